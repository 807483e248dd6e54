"""A test of single runs that `explore` decorated, and its types."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Concatenate, Final, Generic, Protocol, TypeAlias, TypeVar

from traction.definitions.classes import Workflow
from traction.errors import DefinitionError, NonDeterminismError
from traction.testing.bodies import check_body, check_returned, get_name
from traction.testing.shrinking import Shrinker, is_shorter
from traction.testing.systematic import RUNS_MAX, Coverage, cover
from traction_local.simulation.deadlock import StuckExecutionError
from traction_local.simulation.determinism import UnsoundFlowError
from traction_local.simulation.options import World
from traction_local.simulation.run import SimulatedRun
from traction_local.simulation.schedule import Deviations, Schedule
from traction_local.simulation.simulate import simulate

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_NOT_IN_OTHER_PROCESS: Final = frozenset({"codec", "deploy"})
"""The options with which the cross-process check is skipped: the other process has neither the code nor the codec."""


class Explored(Generic[R_co]):
    """A test of single runs, and the world in which they are made."""

    def __init__(self, workflow: Workflow[R_co], test: Callable[..., None], world: World, closes: bool) -> None:
        self._workflow = workflow
        self._test = test
        self._world = world
        self._closes = closes
        check_body(test, "run")
        self._run_parameter, self.parameters = _read_parameters(test)
        self._shortest: dict[Any, Deviations] = {}
        self._unsound: dict[str, Exception] = {}
        self.widths: list[int] = []
        """The number of alternatives of each choice of the plain run."""
        self.coverage = Coverage(deviations=0, runs=0, histories=0, complete=False)
        """What the last systematic exploration covered; zeros before the first one."""
        skipping = ", ".join(sorted(_NOT_IN_OTHER_PROCESS & world.keys()))
        self.cross_process_skipped = skipping and f"the other process would not have the {skipping}"
        """Why the cross-process check was skipped; empty if it was not."""

    def at(self, deviations: str | Schedule, *arguments: Any, **named: Any) -> SimulatedRun[R_co]:
        """Run the test once, under one schedule, and return the run. A failure prints this call.

        Raises:
            Exception: as the test; with `deviations` and `story`.
        """
        __tracebackhide__ = True
        run = self._simulate(Deviations(deviations) if isinstance(deviations, str) else deviations)
        try:
            if run.stuck and self._closes:
                raise StuckExecutionError(
                    f"{run.execution.workflow_id} waits for something that never happens:\n{run.stuck}"
                )
            if self._run_parameter is None:
                returned: Any = self._test(run, *arguments, **named)
            else:
                names = [parameter.name for parameter in self.parameters]
                if len(arguments) > len(names):
                    raise TypeError(
                        f"expected at most {len(names)} arguments, {', '.join(names) or 'none'}: got {arguments!r:.99}"
                    )
                by_name = dict(zip(names, arguments, strict=False))
                returned = self._test(**by_name, **named, **{self._run_parameter: run})
            check_returned(self._test, returned)
        except Exception as error:
            self._add_story(error, run.deviations, run.story)
            raise
        return run

    def _simulate(self, schedule: Schedule) -> SimulatedRun[R_co]:
        run = simulate(self._workflow, schedule=schedule, on_error=self._add_story, **self._world)
        self.cross_process_skipped = self.cross_process_skipped or run.cross_process_skipped
        return run

    def _add_story(self, error: Any, deviations: str, story: str) -> None:
        error.deviations, error.story = deviations, story
        count = len(deviations.split())
        title = f"{count} deviation{'s' if count > 1 else ''} from the plain run (those with a star)"
        title = title if count else "which is the plain run"
        name = get_name(self._test)
        qualified = getattr(self._test, "__qualname__", name)
        owner = "" if "<locals>" in qualified else qualified.removesuffix(name).removesuffix(".")
        call = f'{owner}.{name}.at("{deviations}", {owner}())' if owner else f'{name}.at("{deviations}")'
        error.add_note(
            f"\nThe story, {title}:\n\n{story}\n\nThe same run as a test of its own:\n\n"
            f"    def {name}_again() -> None:\n        {call}\n"
        )

    def at_quietly(self, schedule: Schedule, *arguments: Any, **named: Any) -> SimulatedRun[R_co]:
        """Run the test as `at` does, without logs: those of many runs are of no use."""
        __tracebackhide__ = True
        disabled = logging.root.manager.disable
        logging.disable()
        try:
            return self.at(schedule, *arguments, **named)
        finally:
            logging.disable(disabled)

    def at_shortest(self, schedule: Schedule, *arguments: Any, **named: Any) -> SimulatedRun[R_co]:
        """Run the test as `at_quietly` does; after a failure raise that of the shortest schedule that is found."""
        __tracebackhide__ = True
        failure: Any
        try:
            run = self.at_quietly(schedule, *arguments, **named)
        except Exception as error:
            failure = self._unsound.get(getattr(error, "deviations", ""), error)
        else:
            # A flow that depends on outside state may differ in one run and not in the next: once is enough.
            if (failure := self._unsound.get(run.deviations)) is None:
                return run
        self._keep_unsound(failure)
        # Not in the handler: an exception raised there has a context, and is another failure to Hypothesis.
        found, origin = Deviations(failure.deviations), _find_origin(failure)

        def reproduces(schedule: Deviations) -> bool:
            try:
                self.at_quietly(schedule, *arguments, **named)
            except Exception as error:
                return _find_origin(error) == origin
            return False

        if origin not in self._shortest:
            self._shortest[origin] = Shrinker(found, self.widths, reproduces).run()
        if is_shorter(self._shortest[origin], found):
            self.at_quietly(self._shortest[origin], *arguments, **named)
        raise failure

    def _keep_unsound(self, failure: Any) -> None:
        # The cross-process check of the plain run fails before there is a story: the first example repeats it.
        deviations: str | None = getattr(failure, "deviations", None)
        if isinstance(failure, UnsoundFlowError | NonDeterminismError) and deviations is not None:
            self._unsound.setdefault(deviations, failure)

    def begin(self) -> None:
        """Make the plain run before the first example, which then is not slow because it starts the other process.

        It counts the alternatives of its choices. If it fails, the first example fails too.
        """
        try:
            self.widths = list(self._simulate(Deviations()).widths)
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
        """Run the test under every schedule with at most `deviations` deviations.

        Raises:
            Exception: as the test, with the story; no run with fewer deviations fails.
        """
        __tracebackhide__ = True
        self.coverage = cover(lambda schedule: self.at_quietly(schedule, *arguments, **named), deviations, runs_max)
        return self.coverage


class ExploredTest(Protocol[R_co]):
    """A test that `explore` decorated; `R` is the result of the workflow."""

    @property
    def explored(self) -> Explored[R_co]:
        """The test and its world; `explored.coverage` is what the last systematic exploration covered."""
        ...

    def __call__(self, *arguments: Any, **named: Any) -> None:
        """Run the test many times; the arguments are those of its other parameters."""
        ...

    def at(self, deviations: str | Schedule, *arguments: Any, **named: Any) -> SimulatedRun[R_co]:
        """Run the test once, under one schedule, and return the run."""
        ...


RunTest: TypeAlias = (
    Callable[Concatenate[SimulatedRun[R], ...], None]
    | Callable[Concatenate[Any, SimulatedRun[R], ...], None]
    | Callable[Concatenate[Any, Any, SimulatedRun[R], ...], None]
)
"""A test that takes the run as one of its first three parameters, of which `self` may be one."""


def _read_parameters(test: Callable[..., None]) -> tuple[str | None, list[inspect.Parameter]]:
    """Return the name of the parameter for the run, `None` if it is the first by position, and the other parameters.

    Raises:
        DefinitionError: there is none.
    """
    parameters = inspect.signature(test).parameters
    if not parameters:
        raise DefinitionError(f"{get_name(test)}() needs a parameter for the run: write def {get_name(test)}(run)")
    name = "run" if "run" in parameters else next(iter(parameters))
    others = [parameter for other, parameter in parameters.items() if other != name]
    by_position = parameters[name].kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)
    return None if by_position else name, others


def _find_origin(error: BaseException) -> tuple[type, str, int]:
    """Return the type of a failure, and the file and line where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    file, line = ("", 0) if trace is None else (trace.tb_frame.f_code.co_filename, trace.tb_lineno)
    return type(error), file, line
