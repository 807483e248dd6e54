"""Type the decorator `explore`: which tests it takes, and what it makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Protocol, TypeAlias, TypeVar

from traction_local.simulation.schedule import Schedule

if TYPE_CHECKING:
    from traction.testing import Explored, SimulatedRun

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class ExploredTest(Protocol[R_co]):
    """A test that `explore` decorated; its result is that of the workflow, `R`."""

    @property
    def explored(self) -> Explored[R_co]:
        """The test and its world; `explored.coverage` says what the last systematic exploration covered."""
        ...

    def __call__(self, *arguments: Any, **named: Any) -> None:
        """Run the test for run after run; the arguments are those that it takes besides the run."""
        ...

    def at(self, deviations: str | Schedule, *arguments: Any, **named: Any) -> SimulatedRun[R_co]:
        """Run the test once, under one schedule, and return the run."""
        ...


if TYPE_CHECKING:
    RunTest: TypeAlias = (
        Callable[Concatenate[SimulatedRun[R], ...], None]
        | Callable[Concatenate[Any, SimulatedRun[R], ...], None]
        | Callable[Concatenate[Any, Any, SimulatedRun[R], ...], None]
    )
    """A test that takes the run as one of its first three parameters, of which `self` is one."""
