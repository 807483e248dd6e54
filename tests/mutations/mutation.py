"""Planted flaws in workflows: a flawed flow, the corrected flow, and the claim that only the second meets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, settings

from tests.support.profile import NIGHTLY
from traction import Retry, activity
from traction.testing import SimulatedRun, explore

SHORT = settings(
    max_examples=200,
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
"""The settings of an exploration that must find a flaw and shorten its story."""

FOUND = settings(SHORT, phases=(Phase.generate,))
"""The same without shortening, which takes most of the time."""


def choose_settings(number: int) -> settings:
    """Return the settings for a flaw: every third story is shortened, and in the nightly profile each."""
    return SHORT if NIGHTLY or number % 3 == 0 else FOUND


Claim = Callable[[SimulatedRun[Any]], None]


class Shop:
    """The world that activities change: what was done, what is in stock, and the keys of the requests it has seen."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.held: Counter[str] = Counter()
        self.seen: set[str] = set()

    def do(self, what: str, key: str | None = None) -> str:
        """Do something; once for each key."""
        if key is None or key not in self.seen:
            self.done.append(what)
        if key is not None:
            self.seen.add(key)
        return what


WORKING: list[Any] = []
"""The activities that need the shop."""


class SoldOut(Exception):
    """The stock is empty; a retry does not help."""


PATIENT = Retry(attempts=20, give_up_on=(SoldOut,))
"""More attempts than there are faults."""


def work(f: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Return an activity that works on the shop."""
    if f is None:
        return lambda f: work(f, **options)
    made = activity(needs=Shop, **{"retry": PATIENT, **options})(f)
    WORKING.append(made)
    return made


class Plant(NamedTuple):
    """A flawed flow, the corrected flow, and the claim that only the second meets."""

    flawed: Any
    corrected: Any
    claim: Claim
    error: type[Exception]
    world: dict[str, Any]

    def explore(self, flow: Any) -> Any:
        """Return a test of one of the two flows."""

        def provide(shop: Shop) -> dict[Any, Shop]:
            return dict.fromkeys(WORKING, shop)

        return explore(flow, world=Shop, provide=provide, **self.world)(self.claim)


def plant(
    flawed: Any, corrected: Any, *, error: type[Exception] = AssertionError, **world: Any
) -> Callable[[Claim], Plant]:
    """Plant a flawed flow beside the corrected one; the decorated function is the claim about both.

    Args:
        error: the type of the error that reports the flaw.
        world: as for `explore`.
    """
    return lambda claim: Plant(flawed, corrected, claim, error, world)
