"""Run a test in every ordering, with every fault: as Hypothesis draws them, or all of them up to so many deviations.

Takes a call of a workflow, what its world is made of, and a test of one run; runs the test for run after run. One that
fails comes back as the shortest story that shows it, with the line that runs it again.

Theory of operation. A schedule is a list of deviations from the plain run. Hypothesis draws such lists and shrinks
them. The systematic way takes the plain run, then every run with one deviation, then with two: since a run tells of how
many alternatives each of its choices was, the runs with one deviation more follow from it. None is left out: two runs
with equal histories may still have done their work in another order, and only what comes after shows the difference.
"""

from __future__ import annotations

import inspect
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from functools import wraps
from itertools import islice, product
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack

import msgspec

from traction.definitions.checks import check_call
from traction.definitions.classes import Workflow
from traction.errors import DefinitionError, NonDeterminismError
from traction.extras import needed_by
from traction.model import events as e
from traction.testing.bodies import check_body, check_returned, get_name
from traction_local.simulation.deadlock import StuckExecutionError
from traction_local.simulation.determinism import UnsoundFlowError
from traction_local.simulation.schedule import Deviations, Schedule

if TYPE_CHECKING:
    from traction.testing import SimulatedRun, World
    from traction.testing.explored import ExploredTest, RunTest


R = TypeVar("R")


R_co = TypeVar("R_co", covariant=True)


RUNS_MAX = 100_000
"""After how many runs a systematic exploration stops, complete or not."""


MOVES_MAX = 5_000
"""After how many moves a run of an exploration is called stuck, unless told otherwise."""


TRIES_MAX = 300
"""How many runs it may take to leave deviations out of the story of a failure."""


SINGLES_MAX = 100
"""How many single deviations from the plain run are tried before that."""


SHIFTS = (0, -1, 1, -2, 2, -3, 3)
"""How far later choices move when an earlier deviation is left out."""


_SETTINGS = "_hypothesis_internal_use_settings"
"""Where `@settings` keeps the settings of a test."""


_DEADLINE = timedelta(milliseconds=200)
"""The deadline of each example, unless users of Hypothesis set another."""


_TWINLESS = frozenset({"codec", "deploy"})
"""With these the twin would not have what made the history: its code, or what reads its payloads."""


class Coverage(msgspec.Struct, frozen=True):
    """What a systematic exploration covered."""

    deviations: int
    """Up to how many deviations."""
    runs: int
    """How many runs that took."""
    histories: int
    """How many different histories there were."""
    complete: bool
    """Whether these were all schedules with up to so many deviations."""

    def __str__(self) -> str:
        what = "all" if self.complete else "the first"
        return f"{what} {self.runs} runs with up to {self.deviations} deviations: {self.histories} different histories"


class Explored(Generic[R_co]):
    """A test of single runs, and the world in which they are made."""

    def __init__(
        self, workflow: Workflow[R_co], test: Callable[..., None], world: Mapping[str, Any], closes: bool
    ) -> None:
        self._workflow = workflow
        self._test = test
        self._world = world
        self._closes = closes
        check_body(test, "run")
        self._takes, self.others = _read_parameters(test)
        self._shortest: dict[Any, Deviations] = {}
        self._unsound: dict[str, Exception] = {}
        self.widths: list[int] = []
        """Of how many alternatives each choice of the plain run is."""
        self.coverage = Coverage(deviations=0, runs=0, histories=0, complete=False)
        """What the last systematic exploration covered; nothing, before there was one."""
        with_these = ", ".join(sorted(_TWINLESS & world.keys()))
        self.twinless = with_these and f"the other process would not have the {with_these}"
        """Why nothing was decided once more in another process; empty if it was."""

    def at(self, deviations: str | Schedule, *arguments: Any, **named: Any) -> SimulatedRun[R_co]:
        """Run the test once, under one schedule: what a failure prints to be pasted. Gives the run.

        Raises:
            Exception: as the test; with `deviations` and `story`.
        """
        __tracebackhide__ = True
        from traction.testing import simulate

        schedule = Deviations(deviations) if isinstance(deviations, str) else deviations
        run = simulate(self._workflow, schedule=schedule, on_error=self._retell, **self._world)
        try:
            self.twinless = self.twinless or run.twinless
            if run.stuck and self._closes:
                raise StuckExecutionError(f"{run.execution.workflow_id} waits for what never comes:\n{run.stuck}")
            if self._takes is None:
                returned: Any = self._test(run, *arguments, **named)
            else:
                names = [parameter.name for parameter in self.others]
                if len(arguments) > len(names):
                    raise TypeError(
                        f"besides the run the test takes {', '.join(names) or 'nothing'}: {arguments!r:.99}"
                    )
                returned = self._test(**dict(zip(names, arguments, strict=False)), **named, **{self._takes: run})
            check_returned(self._test, returned)
        except Exception as error:
            self._retell(error, run.deviations, run.story)
            raise
        return run

    def _retell(self, error: Exception, deviations: str, story: str) -> None:
        told: Any = error
        told.deviations, told.story = deviations, story
        count = len(deviations.split())
        say = f"{count} deviation{'s' if count > 1 else ''} from the plain run (those with a star)"
        say = say if count else "which is the plain run"
        name = get_name(self._test)
        whole = getattr(self._test, "__qualname__", name)
        of = "" if "<locals>" in whole else whole.removesuffix(name).removesuffix(".")
        call = f'{of}.{name}.at("{deviations}", {of}())' if of else f'{name}.at("{deviations}")'
        error.add_note(
            f"\nThe story, {say}:\n\n{story}\n\nThe same run as a test of its own:\n\n"
            f"    def {name}_again() -> None:\n        {call}\n"
        )

    def at_quietly(self, schedule: Schedule, *arguments: Any, **named: Any) -> Any:
        """As `at`, and let nobody log: of many runs, the logs are no story."""
        __tracebackhide__ = True
        disabled = logging.root.manager.disable
        logging.disable()
        try:
            return self.at(schedule, *arguments, **named)
        finally:
            logging.disable(disabled)

    def at_shortest(self, schedule: Schedule, *arguments: Any, **named: Any) -> Any:
        """As `at_quietly`, but of a failure tell the shortest story that is found.

        Hypothesis shrinks a schedule choice by choice, and to leave out an early deviation moves the numbers of the
        later ones: so here they are left out with the later ones moved along.
        """
        __tracebackhide__ = True
        told: Any
        try:
            run = self.at_quietly(schedule, *arguments, **named)
        except Exception as error:
            told = self._unsound.get(getattr(error, "deviations", ""), error)
        else:
            # What a flow keeps or meets outside of it may differ once and not again: that once is enough.
            if (told := self._unsound.get(run.deviations)) is None:
                return run
        self._keep_unsound(told)
        # Not in the handler: what is raised there has a context, and to Hypothesis would be another failure.
        origin = _find_origin(told)
        if origin not in self._shortest:
            self._shortest[origin] = self._shorten(Deviations(told.deviations), origin, arguments, named)
        shortest = self._shortest[origin]
        if _rank(shortest) < _rank(Deviations(told.deviations)):
            self.at_quietly(shortest, *arguments, **named)
        raise told

    def _keep_unsound(self, told: Any) -> None:
        # What the other process says of the plain run has no story yet: it says so again in the first example.
        deviations: str | None = getattr(told, "deviations", None)
        if isinstance(told, UnsoundFlowError | NonDeterminismError) and deviations is not None:
            self._unsound.setdefault(deviations, told)

    def _shorten(self, found: Deviations, origin: Any, arguments: Any, named: Any) -> Deviations:
        """Leave out deviations, one after the other, for as long as the same comes of it.

        If one deviation from the plain run is enough, that is the story, though it be none of those that were found.
        """
        if found.choices:
            for one in islice(_follow({}, self.widths), SINGLES_MAX):
                if self._come_from(origin, Deviations(one), arguments, named):
                    return Deviations(one)
        tries = TRIES_MAX
        shortened = True
        while shortened:
            shortened = False
            choices = list(found.choices.items())
            for left_out, shift in product(range(len(choices)), SHIFTS):
                later = [(number + shift, chosen) for number, chosen in choices[left_out + 1 :]]
                shorter = Deviations(dict(choices[:left_out] + later))
                if tries == 0 or len(shorter.choices) >= len(choices) or any(number < 0 for number in shorter.choices):
                    continue
                tries -= 1
                if self._come_from(origin, shorter, arguments, named):
                    found, shortened = shorter, True
                    break
        return found

    def _come_from(self, origin: Any, schedule: Deviations, arguments: Any, named: Any) -> bool:
        try:
            self.at_quietly(schedule, *arguments, **named)
        except Exception as error:
            return bool(_find_origin(error) == origin)
        return False

    def begin(self) -> None:
        """Take the plain run before any example, which is not to be called slow for what is done once.

        Then it is known of how many alternatives its choices are, and the other process is there. If it fails, it will
        as the first example.
        """
        from traction.testing import simulate

        try:
            run = simulate(self._workflow, schedule=Deviations(), on_error=self._retell, **self._world)
            self.widths = list(run.widths)
            self.twinless = self.twinless or run.twinless
        except Exception as error:
            self._keep_unsound(error)

    def cover(
        self,
        deviations: int,
        runs_max: int = RUNS_MAX,
        *,
        arguments: tuple[Any, ...] = (),
        named: Mapping[str, Any] = MappingProxyType({}),
    ) -> Coverage:
        """Run the test under every schedule with up to so many deviations.

        Raises:
            Exception: as the test, with the story; no run with fewer deviations fails.
        """
        __tracebackhide__ = True
        waiting: deque[dict[int, int]] = deque([{}])
        histories: set[str] = set()
        runs = 0
        while waiting and runs < runs_max:
            choices = waiting.popleft()
            run = self.at_quietly(Deviations(choices), *arguments, **named)
            runs += 1
            histories.add(_hash(run.history))
            if len(choices) < deviations:
                waiting += _follow(choices, run.widths)
        self.coverage = Coverage(deviations, runs, len(histories), not waiting)
        return self.coverage


def explore(
    workflow: Workflow[R],
    *,
    deviations: int | None = None,
    closes: bool = True,
    given: Mapping[str, Any] | None = None,
    **world: Unpack[World],
) -> Callable[[RunTest[R]], ExploredTest[R]]:
    """Run the decorated test for run after run of a workflow; it takes the run as `run`, or as its first argument.

    Args:
        workflow: a call of the workflow.
        deviations: run all schedules with up to so many deviations, instead of those that Hypothesis draws.
        closes: whether an execution that waits for what never comes is a failure.
        given: further strategies, by the name of the test's parameter.
        world: as for `simulate`: `provide`, `stub`, `signals`, `cancels`, `faults`, `workers`, `deploy` and so on.
            Without `faults` only orders and delays are explored.

    The decorated test is a Hypothesis test: settings, seeds, the example database and `reproduce_failure` are as ever,
    but that there is no deadline unless settings set one; fixtures come to its other parameters. `test.at("4:2 9:1")`
    runs it once, under one schedule. It must be a plain function that asserts and returns nothing.

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
        MissingExtraError: schedules are to be drawn, and Hypothesis is not installed.
        DefinitionError: it is no call of a workflow; the test is async or a generator; or `given` comes with
            `deviations`, where nothing is drawn.
    """
    check_call(workflow)
    if given and deviations is not None:
        raise DefinitionError(
            f"explore(deviations={deviations}, given={{{', '.join(map(repr, given))}: ...}}): all schedules are run, "
            "and nothing is drawn. Leave out deviations= to have Hypothesis draw, or parametrize the test"
        )

    def decorate(test: Any) -> Any:
        explored = Explored(workflow, test, {"max_moves": MOVES_MAX, **world}, closes)
        others = explored.others

        if deviations is None:
            with needed_by(
                "explore() without deviations=",
                "Without it, explore(..., deviations=2) runs all schedules with up to two deviations",
            ):
                import hypothesis
                from hypothesis import strategies as st

            from traction.testing.strategies import schedules

            def run_test(*arguments: Any, schedule: Schedule, **named: Any) -> None:
                explored.at_shortest(schedule, *arguments, **named)
                if explored.twinless:
                    hypothesis.event(f"not decided in another process: {explored.twinless}")

            kind = inspect.Parameter.KEYWORD_ONLY
            run_test.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
                [*others, inspect.Parameter("schedule", kind)]
            )
            _dress(run_test, test)
            draw = st.deferred(lambda: schedules(widths=explored.widths))
            run_all: Any = hypothesis.given(schedule=draw, **(given or {}))(run_test)

            @wraps(run_all)
            def explored_test(*arguments: Any, **named: Any) -> Any:
                __tracebackhide__ = True
                # What @settings, @seed and the like say, they say of the outermost.
                said = {name: value for name, value in vars(explored_test).items() if name != "__wrapped__"}
                vars(run_all).update(said)
                vars(run_all)[_SETTINGS] = _drop_default_deadline(vars(run_all).get(_SETTINGS))
                explored.begin()
                return run_all(*arguments, **named)
        else:
            most = deviations

            def cover(*arguments: Any, **named: Any) -> None:
                __tracebackhide__ = True
                explored.cover(most, arguments=arguments, named=named)

            cover.__signature__ = inspect.Signature(others)  # type: ignore[attr-defined]

            explored_test = _dress(cover, test)
        told: Any = explored_test
        told.at, told.explored = explored.at, explored
        return told

    return decorate


def _read_parameters(test: Callable[..., None]) -> tuple[str | None, list[inspect.Parameter]]:
    """Say which parameter of a test takes the run, `None` for the first of all; and which others there are.

    Raises:
        DefinitionError: there is none.
    """
    parameters = inspect.signature(test).parameters
    if not parameters:
        raise DefinitionError(f"{get_name(test)}() is to test runs, and takes none: write def {get_name(test)}(run)")
    takes = "run" if "run" in parameters else next(iter(parameters))
    others = [parameter for name, parameter in parameters.items() if name != takes]
    by_place = parameters[takes].kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
    return None if by_place else takes, others


def _rank(schedule: Deviations) -> tuple[int, list[tuple[int, int]]]:
    """Say how plain a schedule is: the fewer deviations, the earlier and the nearer to the plain choice, the less."""
    return len(schedule.choices), list(schedule.choices.items())


def _find_origin(error: BaseException) -> tuple[type, str, int]:
    """Say what kind of failure it is: of which type, and raised in which line."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    file, line = ("", 0) if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
    return type(error), file, line


def _drop_default_deadline(own: Any) -> Any:
    """Return Hypothesis settings without the deadline that nobody asked for.

    How long a run takes on the wall clock says nothing of a workflow in virtual time. A deadline of the user's own, of
    `@settings` or of a profile, is another object than Hypothesis' default.
    """
    from hypothesis import settings

    said: Any = own or settings.default
    default = settings.get_profile("default").deadline
    if said.deadline is default and default == _DEADLINE:
        return settings(said, deadline=None)
    return own


def _dress(function: Any, test: Any) -> Any:
    """Let a function stand for a test: its name, and what decorators below have said of it, its marks and settings."""
    vars(function).update(getattr(test, "__dict__", {}))
    function.__name__ = get_name(test)
    for name in ("__qualname__", "__doc__", "__module__"):
        setattr(function, name, getattr(test, name, getattr(function, name)))
    return function


def _follow(choices: dict[int, int], widths: list[int]) -> Iterator[dict[int, int]]:
    """Give the lists with one deviation more, after the last one."""
    for number in range(max(choices, default=-1) + 1, len(widths)):
        for chosen in range(1, widths[number]):
            yield {**choices, number: chosen}


def _hash(history: list[e.Event]) -> str:
    """Say what is told apart as a history: what happened, and in which order, whoever did it and when."""
    names: list[str] = []
    numbers: dict[int, str] = {}
    for event in history:
        name = _name(event, numbers)
        numbers[event.event_id] = name
        names.append(name)
    return "\n".join(names)


def _name(event: e.Event, numbers: dict[int, str]) -> str:
    said = [type(event).__name__]
    for field in event.__struct_fields__:
        value = getattr(event, field)
        if field.endswith(("scheduled_event_id", "initiated_event_id")):
            said.append(numbers.get(value, ""))
        elif not (field.endswith("event_id") or field in ("event_timestamp", "identity")) and value is not None:
            said.append(str(value))
    return " ".join(said)
