"""Discover the graph of a workflow by simulations: of sample inputs, results, failures, signals and schedules.

Theory of operation. A scenario is a call, and a list of deviations from its plain run. There are four kinds of them:

- A step has another outcome than the first sample of its result: another sample, one of its declared errors, or
  `UndeclaredError`, at all its attempts.
- All steps of an activity have another outcome.
- A signal arrives, when nothing else can happen. The first one of a name that a run waited for is not counted as a
  deviation, nor is one that a run waited for until its end.
- The schedule deviates, as in an exploration; but not in runs with signals.

If cancellation is wanted, it is requested in further runs, which is not counted as a deviation.

The scenarios with one deviation more follow from a run: from the steps that it asked for, the signals that it awaited
and the choices that it made. Those that have been tried least for their kind of step come first.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from heapq import heappop, heappush
from time import monotonic
from typing import Any, Final, NamedTuple, Unpack

import msgspec

from traction.decider.decider import Decider
from traction.definitions.classes import Activity, Workflow
from traction.errors import DefinitionError
from traction.flow.signals import Signal
from traction.history.graphs.graph import Graph, merge_graphs
from traction.history.graphs.reading import read_graph
from traction.model import events as e
from traction.model.names import WorkflowExecution
from traction.payloads.codec import JSON, Codec
from traction.runtime.activity_task import current_task
from traction.testing.samples import sample_calls, sample_errors, sample_values
from traction_local.simulation.faults import Faults
from traction_local.simulation.options import SimulationOptions
from traction_local.simulation.schedule import Deviations
from traction_local.simulation.simulation import Simulation

RUNS_MAX: Final = 300
"""The default number of runs after which a discovery stops."""

MOVES_MAX: Final = 5_000
"""The number of moves after which a run is cut off."""

SIGNALS_MAX: Final = 4
"""The most signals that a scenario sends."""

FAILED_ATTEMPTS_MAX: Final = 10
"""An activity that fails succeeds at its next attempt after this number, so that endless retries end."""

_ATTEMPT: Final = re.compile(r"~\d{1,9}$")
_DIGITS: Final = re.compile(r"\d+")


class UndeclaredError(Exception):
    """The failure of an activity in a discovery that is none of those that it declares."""


class Discovery(msgspec.Struct, frozen=True):
    """The graph of a workflow, and what it rests on."""

    graph: Graph
    inputs: int
    """The number of different inputs."""
    runs: int
    """The number of simulated runs."""
    deviations: int
    """The most deviations of a run from the plain run of its input."""
    complete: bool
    """Whether all scenarios with at most that number of deviations were run."""
    unseen: tuple[str, ...]
    """What the simulations did not show."""

    @property
    def summary(self) -> str:
        """What the graph rests on, in one sentence."""
        which = "all" if self.complete else "the first"
        runs, inputs = count_noun(self.runs, "run"), count_noun(self.inputs, "input")
        paths, deviations = (
            count_noun(len(self.graph.paths), "different path"),
            count_noun(self.deviations, "deviation"),
        )
        return f"{which} {runs} of {inputs} with up to {deviations}: {paths}"


class _Scenario(NamedTuple):
    call: int
    outcomes: tuple[tuple[str, int], ...] = ()
    """The numbers of the outcomes of steps that are not plain."""
    signals: tuple[tuple[str, int], ...] = ()
    """The names of signals, and the numbers of their samples."""
    schedule: tuple[tuple[int, int], ...] = ()
    """The deviations of the schedule."""


class _Run(NamedTuple):
    histories: list[tuple[WorkflowExecution, list[e.Event]]]
    asked: dict[str, tuple[Any, int]]
    """The activity of each step, and the number of its possible outcomes."""
    widths: Sequence[int]
    stuck: bool
    error: Exception | None


class _Outcomes:
    """The outcomes of activities in one run: plain ones, but for those of a scenario."""

    def __init__(self, alternatives: Callable[[Any], Sequence[Any]], chosen: Iterable[tuple[str, int]]) -> None:
        self._alternatives, self._chosen = alternatives, dict(chosen)
        self._executions: dict[str, int] = {}
        self.asked: dict[str, tuple[Any, int]] = {}

    def answer(self, call: Any) -> Any:
        """Return or raise the outcome of a call of an activity."""
        task, activity = current_task(), type(call)
        execution = self._executions.setdefault(task.execution.workflow_id, len(self._executions))
        step = f"{execution} {_ATTEMPT.sub('', task.activity_id)}"
        alternatives = self._alternatives(activity)
        self.asked.setdefault(step, (activity, len(alternatives)))
        number = self._chosen.get(step, self._chosen.get(_name_all(activity), 0))
        outcome = alternatives[number % len(alternatives)]
        if not isinstance(outcome, Exception):
            return outcome
        if task.attempt > FAILED_ATTEMPTS_MAX:
            return alternatives[0]
        raise outcome.with_traceback(None)


def discover(
    workflow: Workflow[Any] | Callable[..., Workflow[Any]],
    *,
    fields: Mapping[str, Any] | None = None,
    deviations: int = 1,
    runs_max: int = RUNS_MAX,
    seconds_max: float | None = None,
    cancels: bool = False,
    **options: Unpack[SimulationOptions],
) -> Discovery:
    """Return the graph of what simulations of a workflow show.

    Args:
        workflow: a call; or a workflow, of whose fields samples are used.
        fields: the values of some fields, if `workflow` is not a call.
        deviations: the most deviations of a run from the plain run of its input.
        runs_max: the number of runs after which it stops.
        seconds_max: the time, on the wall clock, after which it stops; default: none.
        cancels: whether runs in which cancellation is requested are made too.
        options: as for `Simulation`, without `schedule`. Activities in `stub` have no outcomes but those.

    Example:
        >>> from traction import activity, workflow
        >>> from traction.history import write_mermaid
        >>> @activity
        ... def count(word: str) -> int:
        ...     return len(word)
        >>> @workflow
        ... async def count_twice(word: str) -> int:
        ...     return sum(await (count(word) & count(word)))
        >>> discovery = discover(count_twice("a"), deviations=0)
        >>> discovery.summary
        'all 1 run of 1 input with up to 0 deviations: 1 different path'

    Raises:
        DefinitionError: `workflow` is not a workflow, or a sample of a type is not known.
        Exception: as the flow, if no run shows anything.
    """
    definition: Any = workflow if isinstance(workflow, type) else type(workflow)
    if not (issubclass(definition, Workflow) and hasattr(definition, "spec")):
        raise DefinitionError(f"discover() takes a workflow or a call of one, and {workflow!r:.100} is not one")
    codec = options.get("codec", JSON)
    calls = [workflow] if definition is not workflow else sample_calls(definition, fields or {}, codec)
    search = _Search(calls, definition, deviations, codec, cancels, options)
    ends = None if seconds_max is None else monotonic() + seconds_max
    with _without_logs():
        while search.waiting and search.runs < runs_max and (ends is None or monotonic() < ends):
            search.run_next()
    if not search.graphs and search.errors:
        raise next(iter(search.errors.values()))
    return Discovery(
        graph=merge_graphs(*search.graphs.values()),
        inputs=len(calls),
        runs=search.runs,
        deviations=deviations,
        complete=not search.waiting,
        unseen=tuple(search.list_unseen()),
    )


class _Search:
    """The scenarios that were run, and those that wait."""

    def __init__(
        self,
        calls: Sequence[Any],
        definition: type[Workflow[Any]],
        deviations: int,
        codec: Codec,
        cancels: bool,
        options: SimulationOptions,
    ) -> None:
        self._calls, self._definition, self._deviations = calls, definition, deviations
        self._codec, self._cancels, self._options = codec, cancels, options
        self._alternatives: dict[Any, list[Any]] = {}
        self._signals: dict[str, list[Any]] = {}
        self._awaited: dict[frozenset[str], tuple[list[str], list[str]]] = {}
        self._tried: dict[tuple[str, int], int] = {}
        self._known: set[_Scenario] = set()
        self._pushed = 0
        self.waiting: list[tuple[int, int, int, _Scenario]] = []
        self.graphs: dict[frozenset[str], Graph] = {}
        self.errors: dict[str, Exception] = {}
        self.runs = 0
        for number in range(len(calls)):
            self._push(0, ("", 0), _Scenario(number))
        if cancels:
            for number in range(len(calls)):
                self._push(0, ("cancel", 0), _Scenario(number, signals=((_CANCEL, 0),)))

    def _push(self, cost: int, kind: tuple[str, int], scenario: _Scenario) -> None:
        if cost > self._deviations or scenario in self._known:
            return
        self._known.add(scenario)
        tried = self._tried[kind] = self._tried.get(kind, -1) + 1
        self._pushed += 1
        heappush(self.waiting, (cost, tried, self._pushed, scenario))

    def run_next(self) -> None:
        """Run the next scenario, and add those that follow from it."""
        cost, _, _, scenario = heappop(self.waiting)
        run = self._simulate(scenario)
        self.runs += 1
        if run.error is not None:
            self._note(run.error)
        for execution, history in run.histories:
            graph = read_graph(history, codec=self._codec)
            if graph.paths not in self.graphs:
                self.graphs[graph.paths] = graph
                self._awaited[graph.paths] = self._find_awaited(execution, history)
            ever, last = self._awaited[graph.paths]
            self._follow_signals(cost, scenario, last if run.stuck else ever, stuck=run.stuck)
        self._follow(cost, scenario, run)

    def _follow(self, cost: int, scenario: _Scenario, run: _Run) -> None:
        if not scenario.schedule:
            changed = dict(scenario.outcomes)
            every = {_name_all(activity): (activity, count) for activity, count in run.asked.values()}
            for step, (activity, count) in (run.asked | every).items():
                for number in range(1, count) if step not in changed else ():
                    outcomes = tuple(sorted((changed | {step: number}).items()))
                    kind = f"{activity.__qualname__} {_DIGITS.sub('', step)}", number
                    self._push(cost + 1, kind, scenario._replace(outcomes=outcomes))
        sends = any(name != _CANCEL for name, _ in scenario.signals)
        last = scenario.schedule[-1][0] if scenario.schedule else -1
        for number in range(last + 1, len(run.widths)) if not sends else ():
            for chosen in range(1, run.widths[number]):
                schedule = (*scenario.schedule, (number, chosen))
                self._push(cost + 1, ("schedule", chosen), scenario._replace(schedule=schedule))

    def _follow_signals(self, cost: int, scenario: _Scenario, names: Iterable[str], *, stuck: bool) -> None:
        if scenario.schedule or len(scenario.signals) >= SIGNALS_MAX:
            return
        sent = {name for name, _ in scenario.signals}
        for name in names:
            more = 0 if stuck or name not in sent else 1
            for number in range(len(self._signals[name])):
                signals = (*scenario.signals, (name, number))
                self._push(cost + more, (f"signal {name}", number), scenario._replace(signals=signals))

    def _find_awaited(self, execution: WorkflowExecution, history: Sequence[e.Event]) -> tuple[list[str], list[str]]:
        """Return the names of the signals that the flow awaited at any time, and at the end; keep their samples."""
        decider = Decider(self._definition, execution=execution, codec=self._codec, silent=True)
        kinds, last = dict[str, type[Signal]](), dict[str, type[Signal]]()
        try:
            for event in history:
                decider.feed([event])
                kinds |= _list_awaited(decider)
            decider.end()
            last = _list_awaited(decider)
        except Exception as error:  # of the flow, which the run has shown
            self._note(error)
        finally:
            decider.close()
        kinds |= last
        for name in kinds.keys() - self._signals.keys():
            self._signals[name] = sample_calls(kinds[name], {}, self._codec)
        return sorted(kinds), sorted(last)

    def _find_alternatives(self, activity: Any) -> list[Any]:
        if activity not in self._alternatives:
            values = sample_values(activity.spec.result, self._codec)
            self._alternatives[activity] = [*values, *sample_errors(activity.spec.raises), UndeclaredError("simulated")]
        return self._alternatives[activity]

    def _note(self, error: Exception) -> None:
        self.errors.setdefault(f"{type(error).__name__}: {error}".partition("\n")[0], error)

    def _simulate(self, scenario: _Scenario) -> _Run:
        outcomes = _Outcomes(self._find_alternatives, scenario.outcomes)
        stub = dict.fromkeys(list_activities(), outcomes.answer) | dict(self._options.get("stub") or {})
        options: Any = {"max_moves": MOVES_MAX, "check_determinism": False, **self._options, "stub": stub}
        simulation = Simulation(**options, schedule=Deviations(dict(scenario.schedule)))
        error: Exception | None = None
        try:
            handle = simulation.start(self._calls[scenario.call])
            for name, number in scenario.signals:
                if name == _CANCEL:
                    simulation.cancel(handle)
                else:
                    simulation.signal(handle, self._signals[name][number])
            simulation.run(handle)
        except Exception as raised:
            error = raised
        finally:
            simulation.close()
        histories = [
            (execution, _cut_off(history, stuck=bool(simulation.stuck)))
            for execution, history in simulation.runs.read()
            if _is_of(history, self._definition)
        ]
        return _Run(histories, outcomes.asked, simulation.trace.widths, bool(simulation.stuck), error)

    def list_unseen(self) -> Iterator[str]:
        """Yield what the simulations did not show, one line each."""
        if self.waiting:
            yield f"{len(self.waiting):,} or more further scenarios: raise the number of runs, or the time"
        if self._deviations < 2:
            yield "two deviations in one run, such as two failures: raise the number of deviations"
        if not self._cancels:
            yield "cancellation requests"
        if self._options.get("faults", Faults.none()) == Faults.none():
            yield "timeouts of tasks, and workers that crash"
        yield "results and inputs other than samples of their types"
        for text in self.errors:
            yield f"runs that ended with {text}"


_CANCEL: Final = "~cancel"
"""The name that stands for a cancellation request among the signals of a scenario."""


def _name_all(activity: Any) -> str:
    """Return the name that stands for all steps of an activity."""
    return f"* {activity.spec.type.name} {activity.spec.type.version}"


def list_activities() -> set[type[Activity[Any, Any]]]:
    """Return all activities that are defined in this process."""
    found, waiting = set[Any](), list[Any](type.__subclasses__(Activity))
    while waiting:
        one = waiting.pop()
        waiting += type.__subclasses__(one)
        if hasattr(one, "spec"):
            found.add(one)
    return found


def _list_awaited(decider: Decider) -> dict[str, type[Signal]]:
    return {name: kind for receiver in decider.context.mailbox.receivers for name, kind in receiver.types.items()}


@contextmanager
def _without_logs() -> Iterator[None]:
    """Disable logs: those of many runs are of no use."""
    disabled = logging.root.manager.disable
    logging.disable()
    try:
        yield
    finally:
        logging.disable(disabled)


def count_noun(count: int, noun: str) -> str:
    """Return a count with its noun, in the plural unless it is one."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _is_of(history: Sequence[e.Event], definition: type[Workflow[Any]]) -> bool:
    begun = history[0]
    return isinstance(begun, e.WorkflowExecutionStarted) and begun.workflow_type == definition.spec.type


def _cut_off(history: list[e.Event], *, stuck: bool) -> list[e.Event]:
    """Leave out the timeout that ends a run only because it waits for what never happens."""
    return history[:-1] if stuck and isinstance(history[-1], e.WorkflowExecutionTimedOut) else history
