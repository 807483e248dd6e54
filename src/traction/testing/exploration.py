"""The decorator `explore`: run a test of single runs under many schedules, with injected faults.

Hypothesis draws the schedules, which are short lists of deviations from the plain run, or all of them up to a number of
deviations are run. A failure is raised with the story of the shortest schedule, and the line that runs it again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import wraps
from typing import Any, Final, TypeVar, Unpack

from traction.definitions.checks import check_call
from traction.definitions.classes import Workflow
from traction.errors import DefinitionError
from traction.extras import needed_by
from traction.testing.bodies import get_name
from traction.testing.explored import Explored, ExploredTest, RunTest
from traction_local.simulation.options import World
from traction_local.simulation.schedule import Schedule

R = TypeVar("R")

MOVES_MAX: Final = 5_000
"""The default number of moves after which a run of an exploration counts as stuck."""

_SETTINGS: Final = "_hypothesis_internal_use_settings"
"""The attribute in which `@settings` keeps the settings of a test."""

_DEADLINE: Final = timedelta(milliseconds=200)
"""Hypothesis' default deadline of an example."""


def explore(
    workflow: Workflow[R],
    *,
    deviations: int | None = None,
    closes: bool = True,
    given: Mapping[str, Any] | None = None,
    **world: Unpack[World],
) -> Callable[[RunTest[R]], ExploredTest[R]]:
    """Run the decorated test for many runs of a workflow; its parameter `run`, or its first, takes the run.

    Args:
        workflow: a call of the workflow.
        deviations: run all schedules with at most this number of deviations; default: Hypothesis draws schedules.
        closes: whether an execution that waits for something that never happens is a failure.
        given: strategies for other parameters of the test, by name.
        world: as for `simulate`: `provide`, `stub`, `signals`, `cancels`, `faults`, `workers`, `deploy` and so on.
            Without `faults` only orders and delays are explored.

    The decorated test is a Hypothesis test with settings, seeds, the example database and `reproduce_failure`. It has
    no deadline unless settings set one. Its other parameters may be fixtures. `test.at("4:2 9:1")` runs it once, under
    one schedule. It must be a function that asserts and returns nothing, and is neither async nor a generator.

    Example:
        >>> from traction import activity, workflow
        >>> from traction.testing import SimulatedRun
        >>> @activity
        ... def double(n: int) -> int:
        ...     return n * 2
        >>> @workflow
        ... async def six() -> int:
        ...     return sum(await (double(1) & double(2)))
        >>> @explore(six(), deviations=1)
        ... def test_six(run: SimulatedRun[int]) -> None:
        ...     assert run.result == 6
        >>> test_six()
        >>> print(test_six.explored.coverage)
        all 9 runs with up to 1 deviations: 5 different histories

    Raises:
        MissingExtraError: Hypothesis is to draw schedules and is not installed.
        DefinitionError: `workflow` is not a call of a workflow; the test is async or a generator; or both `given` and
            `deviations` are set.
    """
    check_call(workflow)
    if given and deviations is not None:
        raise DefinitionError(
            f"explore(deviations={deviations}, given={{{', '.join(map(repr, given))}: ...}}): deviations= runs all "
            "schedules and draws nothing. Leave out deviations=, so that Hypothesis draws, or parametrize the test"
        )

    def decorate(test: Any) -> Any:
        explored = Explored(workflow, test, {"max_moves": MOVES_MAX, **world}, closes)
        if deviations is None:
            explored_test = _draw_schedules(explored, test, given or {})
        else:
            explored_test = _run_all_schedules(explored, test, deviations)
        explored_test.at, explored_test.explored = explored.at, explored
        return explored_test

    return decorate


def _draw_schedules(explored: Explored[Any], test: Any, given: Mapping[str, Any]) -> Any:
    with needed_by(
        "explore() without deviations=",
        "Without it, explore(..., deviations=2) runs all schedules with up to two deviations",
    ):
        import hypothesis
        from hypothesis import strategies as st

    from traction.testing.strategies import schedules

    def run_test(*arguments: Any, schedule: Schedule, **named: Any) -> None:
        explored.at_shortest(schedule, *arguments, **named)
        if explored.cross_process_skipped:
            hypothesis.event(f"not checked in another process: {explored.cross_process_skipped}")

    _copy_attributes(
        run_test, test, [*explored.parameters, inspect.Parameter("schedule", inspect.Parameter.KEYWORD_ONLY)]
    )
    draw = st.deferred(lambda: schedules(widths=explored.widths))
    run_all: Any = hypothesis.given(schedule=draw, **given)(run_test)

    @wraps(run_all)
    def explored_test(*arguments: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        # Decorators such as @settings and @seed set attributes of the outermost function.
        attributes = {name: value for name, value in vars(explored_test).items() if name != "__wrapped__"}
        vars(run_all).update(attributes)
        vars(run_all)[_SETTINGS] = _drop_default_deadline(vars(run_all).get(_SETTINGS))
        explored.begin()
        return run_all(*arguments, **named)

    return explored_test


def _run_all_schedules(explored: Explored[Any], test: Any, deviations: int) -> Any:
    """Return a test that runs all schedules with at most this number of deviations."""

    def explored_test(*arguments: Any, **named: Any) -> None:
        __tracebackhide__ = True
        explored.cover(deviations, arguments=arguments, named=named)

    _copy_attributes(explored_test, test, explored.parameters)
    return explored_test


def _drop_default_deadline(own: Any) -> Any:
    """Return Hypothesis settings without its default deadline.

    The duration of a run on the wall clock does not matter for a workflow in virtual time. A deadline that the user
    set, by `@settings` or a profile, is another object than Hypothesis' default.
    """
    from hypothesis import settings

    current: Any = own or settings.default
    default = settings.get_profile("default").deadline
    if current.deadline is default and default == _DEADLINE:
        return settings(current, deadline=None)
    return own


def _copy_attributes(function: Any, test: Any, parameters: Sequence[inspect.Parameter]) -> None:
    """Copy the name of a test, and the attributes that decorators below set, to a function that replaces it."""
    function.__signature__ = inspect.Signature(parameters)
    vars(function).update(getattr(test, "__dict__", {}))
    function.__name__ = get_name(test)
    for name in ("__qualname__", "__doc__", "__module__"):
        setattr(function, name, getattr(test, name, getattr(function, name)))
