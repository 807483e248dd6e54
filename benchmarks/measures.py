"""Take measures and hold them against budgets.

A measure is a function that gives one number; it is taken several times, and the best is kept, since noise only ever
slows. A budget is a floor for rates and a ceiling for times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """One number and what it may be."""

    name: str
    take: Callable[[], float]
    budget: float
    unit: str
    more_is_better: bool = True
    times: int = 5

    def run(self) -> tuple[float, bool]:
        """Give the best of several takes, and whether it is within the budget."""
        taken = [self.take() for _ in range(self.times)]
        best = max(taken) if self.more_is_better else min(taken)
        return best, best >= self.budget if self.more_is_better else best <= self.budget


def report(measures: list[Measure]) -> bool:
    """Print one line per measure; say whether all are within their budgets."""
    fine = True
    for measure in measures:
        best, within = measure.run()
        fine &= within
        sign = ">=" if measure.more_is_better else "<="
        ratio = best / measure.budget
        mark = "ok " if within else "OUT"
        print(
            f"{mark} {measure.name:<58} {best:>12,.3g} {measure.unit:<10} {sign} {measure.budget:,g}  ({ratio:.2f}x)",
            flush=True,
        )
    return fine
