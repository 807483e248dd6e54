"""What planted workflows work on, and what plants them: a flawed flow, its mended twin, and what is claimed of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from traction import Retry, activity
from traction.testing import SimulatedRun, explore

Claim = Callable[[SimulatedRun[Any]], None]


class Shop:
    """A world outside of all flows: what was done there, what there is, and which requests it has seen."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.held: Counter[str] = Counter()
        self.seen: set[str] = set()

    def do(self, what: str, key: str | None = None) -> str:
        """Do something, each time; of a key, once."""
        if key is None or key not in self.seen:
            self.done.append(what)
        if key is not None:
            self.seen.add(key)
        return what


WORKING: list[Any] = []
"""The activities that need the shop."""


class SoldOut(Exception):
    """There is no more of it, however often one asks."""


PATIENT = Retry(attempts=20, give_up_on=(SoldOut,))
"""As many attempts as outlast all faults."""


def work(f: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Make an activity that works on the shop."""
    if f is None:
        return lambda f: work(f, **options)
    made = activity(needs=Shop, **{"retry": PATIENT, **options})(f)
    WORKING.append(made)
    return made


class Plant(NamedTuple):
    """A flawed flow, its mended twin, and what holds of the twin alone."""

    flawed: Any
    mended: Any
    claim: Claim
    error: type[Exception]
    world: dict[str, Any]

    def explore(self, flow: Any) -> Any:
        """Make a test of one of the two."""

        def provide(shop: Shop) -> dict[Any, Shop]:
            return dict.fromkeys(WORKING, shop)

        return explore(flow, world=Shop, provide=provide, **self.world)(self.claim)


def plant(
    flawed: Any, mended: Any, *, error: type[Exception] = AssertionError, **world: Any
) -> Callable[[Claim], Plant]:
    """Plant a flawed flow beside its mended twin, of which the decorated claim is made.

    Args:
        error: how the flaw is told.
        world: as for `explore`.
    """
    return lambda claim: Plant(flawed, mended, claim, error, world)
