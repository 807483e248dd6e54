"""Run a workflow in virtual time: one call, one thread, no clock, no port, no file.

Takes a call of a workflow, what its activities need or do instead, and what comes from outside and when; gives its
result and its history. It drives the turns of the shipping workers over the real codec and the real service: there
is no second copy of their logic for tests.

Theory of operation. What can happen now stands in one line, in the order in which it became possible: a poll that
would find a task, an attempt that ends, a signal that arrives. The schedule chooses who moves next; the plain one
takes the first. When nobody can move, time jumps to the next thing that is due, be it milliseconds or months. Time
stands still while somebody moves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from heapq import heappop, heappush
from typing import Any, Generic, TypeVar

from traction import events as e
from traction import operations as o
from traction.backend import Backend
from traction.client import Handle, register_type, start_execution
from traction.codec import JSON, Codec
from traction.definition import Activity, Workflow
from traction.errors import DefinitionError, ExecutionFailed
from traction.limits import Limits
from traction.names import WorkflowExecution
from traction.options import Span, to_timedelta
from traction.testing.schedule import PLAIN, Schedule
from traction.testing.scripts import BODY, Script, check_script, to_script
from traction.timeline import read_timeline, render
from traction.worker import ActivityWorker, DeciderCache, StuckDecision, WorkflowWorker
from traction_local.knobs import Knobs
from traction_local.service import Service
from traction_local.tasklists import Ready

R = TypeVar("R")
T = TypeVar("T")

START = datetime(2030, 1, 1, tzinfo=UTC)
"""When simulations begin, unless told otherwise."""

DOMAIN = "simulation"
"""The domain of a simulation."""

_NOTHING = timedelta(0)
_LIMITS = Limits()
_KNOBS = Knobs()


class SimulatedBackend(Backend):
    """The service in virtual time, on one thread: polls are answered at once."""

    def __init__(self, service: Service, time: datetime, limits: Limits) -> None:
        self.url = "simulation:"
        self.domain = DOMAIN
        self.limits = limits
        self.service = service
        self.time = time

    def call(self, request: o.Request[T], wait: timedelta | None = None) -> T:
        """Make a request at the time that it is; nobody waits."""
        return self.service.call(request, self.time)

    def now(self) -> datetime:
        """Tell the virtual time."""
        return self.time

    def wait_until_closed(self, execution: WorkflowExecution, wait: timedelta) -> bool:
        """Say whether a run has closed; nobody waits."""
        return self.find_closing_event(execution) is not None

    def close(self) -> None:
        """Nothing is held."""


class Simulation:
    """A world in virtual time: a service, workers for whatever flows ask for, and what comes from outside.

    Args:
        provide: what activities need, by activity.
        stub: what activities do instead of their own body, by activity: see `traction.testing.scripts`.
        schedule: who makes the choices.
        limits: the service's quotas.
        knobs: what SWF leaves open.
        start: when the simulation begins.

    Raises:
        DefinitionError: a key is no activity, or a stub gives what its activity does not.
    """

    def __init__(
        self,
        *,
        provide: Mapping[Callable[..., Activity[Any, Any]], Any] | None = None,
        stub: Mapping[Callable[..., Activity[Any, Any]], Any] | None = None,
        schedule: Schedule = PLAIN,
        limits: Limits = _LIMITS,
        knobs: Knobs = _KNOBS,
        start: datetime = START,
        codec: Codec = JSON,
    ) -> None:
        self._schedule = schedule
        self._codec = codec
        self._provide: dict[Any, Any] = dict(provide or {})
        self._scripts: dict[Any, Script] = {activity: to_script(one) for activity, one in (stub or {}).items()}
        for activity in (*self._provide, *self._scripts):
            if not (isinstance(activity, type) and issubclass(activity, Activity)):
                raise DefinitionError(f"provide and stub go by activity, and {activity!r:.100} is none")
        for activity, script in self._scripts.items():
            check_script(activity, script, codec)
        self.backend = SimulatedBackend(Service(seed=DOMAIN, limits=limits, knobs=knobs), start, limits)
        self.backend.call(o.RegisterDomain(name=DOMAIN, workflow_execution_retention_period_in_days="90"))
        self._cache = DeciderCache()
        self._deciding: dict[Ready, WorkflowWorker] = {}
        self._working: dict[Ready, ActivityWorker] = {}
        self._attempts: dict[Any, int] = {}
        # What can happen now, in the order in which it became possible; and what will happen, by time and order.
        self._moves: list[tuple[str, Callable[[], object]]] = []
        self._planned: list[tuple[datetime, int, str, Callable[[], object]]] = []
        self._plans = 0
        self._stuck: list[StuckDecision] = []
        self._playing = BODY.acts[0]

    def start(self, workflow: Workflow[R], *, workflow_id: str | None = None) -> Handle[R]:
        """Start an execution.

        Raises:
            DefinitionError, PayloadError, BackendError: as `WorkerSystem.run`.
        """
        self._host(type(workflow))
        return start_execution(self.backend, workflow, workflow_id=workflow_id, codec=self._codec)

    def plan(self, when: Span, why: str, act: Callable[[], object]) -> None:
        """Let something happen after a span of virtual time."""
        self._plans += 1
        heappush(self._planned, (self.backend.time + to_timedelta(when), self._plans, why, act))

    def run(self, handle: Handle[Any]) -> None:
        """Move until an execution has closed; one that is continued as new has not.

        Raises:
            DefinitionError, FlowError, PayloadError: a flow cannot go on until its author mends it.
        """
        run_id = handle.run_id
        while True:
            if run_id in self.backend.service.take_closed():
                closing = self.backend.find_closing_event(handle.execution)
                if not isinstance(closing, e.WorkflowExecutionContinuedAsNew):
                    return
                run_id = closing.new_execution_run_id
                handle.execution = WorkflowExecution(handle.workflow_id, run_id)
            self.move_once()

    def move_once(self) -> None:
        """Let one of those who can move do so, or let time jump to when one can."""
        service = self.backend.service
        for key in service.take_ready():
            if key in self._deciding:
                self._moves.append((f"decide on {key.task_list}", self._deciding[key].work_once))
            elif key in self._working:
                worker = self._working[key]
                self._moves.append((f"work on {key.task_list}", partial(self._begin, worker)))
        if not self._moves:
            self._jump()
            return
        n = len(self._moves)
        _, act = self._moves.pop(self._schedule.choose(n, "who moves") if n > 1 else 0)
        act()
        if self._stuck:
            raise self._stuck[0].error
        self._advance()

    def _jump(self) -> None:
        """Let time pass until something is due."""
        due = [when for when, *_ in self._planned[:1]]
        alarm = self.backend.service.next_alarm()
        if alarm is not None:
            due.append(alarm)
        assert due, "an open execution has a time-out, and so an alarm"
        self.backend.time = max(self.backend.time, min(due))
        self._advance()
        while self._planned and self._planned[0][0] <= self.backend.time:
            _, _, why, act = heappop(self._planned)
            self._moves.append((why, act))

    def _advance(self) -> None:
        """Let the service do what is due by now."""
        service, now = self.backend.service, self.backend.time
        while (alarm := service.next_alarm()) is not None and alarm <= now:
            service.advance(now)

    # Workers.

    def _host(self, definition: Any) -> None:
        """Make a worker for a definition that a flow asks for."""
        register_type(self.backend, definition)
        if issubclass(definition, Workflow):
            key = Ready("decision", DOMAIN, definition.spec.task_list.name)
            known = self._deciding[key].workflows.values() if key in self._deciding else ()
            self._deciding[key] = WorkflowWorker(
                self.backend,
                [*known, definition],
                task_list=key.task_list,
                codec=self._codec,
                cache=self._cache,
                met=self._host,
                report=self._stuck.append,
            )
        elif issubclass(definition, Activity):
            key = Ready("activity", DOMAIN, definition.spec.task_list.name)
            self._working[key] = self._employ(definition)

    def _employ(self, activity: Any) -> ActivityWorker:
        if activity in self._scripts:
            return ActivityWorker(
                self.backend, activity, codec=self._codec, body=lambda call: self._play(activity, call)
            )
        needs = activity.spec.needs
        if needs is not None and activity not in self._provide:
            name = activity.__qualname__
            raise DefinitionError(
                f"{name} needs {getattr(needs, '__qualname__', needs)}, and the simulation has none. Write "
                f"simulate(..., provide={{{name}: dependency}}), or stub={{{name}: result}}"
            )
        return ActivityWorker(self.backend, activity, self._provide.get(activity), codec=self._codec)

    def _begin(self, worker: ActivityWorker) -> None:
        """Let a worker take a task, and let it end after as long as its script says."""
        task = worker.poll_once(_NOTHING)
        if task is None:  # it timed out or was cancelled in the meantime
            return
        attempt = self._attempts[worker.activity] = self._attempts.get(worker.activity, 0) + 1
        act = self._scripts.get(worker.activity, BODY).find_act(attempt)

        def end() -> None:
            self._playing = act
            worker.answer(task, worker.do(task))

        if act.span:
            self.plan(act.span, f"{task.activity_id} ends", end)
        else:
            end()

    def _play(self, activity: Any, call: Any) -> Any:
        """Do what the script says, instead of the activity's body."""
        play = self._playing.play
        if play is None:
            needs = activity.spec.needs
            return call.run() if needs is None else call.run(self._provide[activity])
        return play(call)


class Simulated(Generic[R]):
    """What became of a simulated execution."""

    def __init__(self, handle: Handle[R], codec: Codec) -> None:
        self._codec = codec
        self.history: list[e.Event] = handle.history()
        """All events of its last run."""
        self.error: ExecutionFailed | None = None
        """How it closed, if not with a result."""
        self._result: R | None = None
        try:
            self._result = handle.result()
        except ExecutionFailed as error:
            self.error = error

    @property
    def result(self) -> R:
        """What the flow gave.

        Raises:
            ExecutionFailed: it gave nothing; the error tells the story.
        """
        if self.error is not None:
            self.error.add_note(str(self))
            raise self.error
        return self._result  # type: ignore[return-value]

    @property
    def elapsed(self) -> timedelta:
        """How much virtual time passed from its start to its close."""
        return self.history[-1].event_timestamp - self.history[0].event_timestamp

    def calls(self, activity: Callable[..., Activity[Any, T]]) -> list[Activity[Any, T]]:
        """Give the calls of an activity in the order in which they were scheduled, each attempt one."""
        type: Any = activity.spec.type  # type: ignore[attr-defined]
        return [
            self._codec.decode(event.input, activity)
            for event in self.history
            if isinstance(event, e.ActivityTaskScheduled) and event.activity_type == type
        ]

    def called(self, activity: Callable[..., Activity[Any, Any]]) -> bool:
        """Say whether an activity was scheduled at all."""
        return bool(self.calls(activity))

    def __str__(self) -> str:
        return render(read_timeline(self.history))

    def __repr__(self) -> str:
        closing = type(self.history[-1]).__name__
        return f"<Simulated: {closing} after {self.elapsed}, {len(self.history)} events>"


def simulate(
    workflow: Workflow[R],
    *,
    provide: Mapping[Callable[..., Activity[Any, Any]], Any] | None = None,
    stub: Mapping[Callable[..., Activity[Any, Any]], Any] | None = None,
    signals: Iterable[tuple[Span, str, Any]] = (),
    cancels: Iterable[Span] = (),
    schedule: Schedule = PLAIN,
    limits: Limits = _LIMITS,
    knobs: Knobs = _KNOBS,
    start: datetime = START,
    codec: Codec = JSON,
) -> Simulated[R]:
    """Run a workflow to its end in virtual time, and tell what became of it.

    Args:
        workflow: a call of a workflow, with its input.
        provide: what activities need, by activity.
        stub: what activities do instead of their own body, by activity: a value, a function of the call, or a script.
        signals: what is sent to it: after how long, the name, the value.
        cancels: after how long it is asked to cancel.
        schedule: who makes the choices; the plain one unless given, and then every run is the same, byte for byte.
        limits: the service's quotas.
        knobs: what SWF leaves open.
        start: when the simulation begins.

    Example:
        >>> from traction import activity, days, sleep, workflow
        >>> @activity
        ... def greet(name: str) -> str:
        ...     return f"Hello, {name}!"
        >>> @workflow
        ... async def greet_later(name: str) -> str:
        ...     await sleep(days(30))
        ...     return await greet(name)
        >>> run = simulate(greet_later("world"), stub={greet: "Hi!"})
        >>> run.result, run.elapsed.days, run.calls(greet)
        ('Hi!', 30, [greet(name='world')])

    Raises:
        DefinitionError, FlowError, PayloadError: the flow cannot go on until its author mends it.
    """
    simulation = Simulation(
        provide=provide, stub=stub, schedule=schedule, limits=limits, knobs=knobs, start=start, codec=codec
    )
    handle = simulation.start(workflow)
    for when, name, value in signals:
        request = o.SignalWorkflowExecution(
            domain=DOMAIN, workflow_id=handle.workflow_id, signal_name=name, input=codec.encode(value)
        )
        simulation.plan(when, f"signal {name}", partial(simulation.backend.call, request))
    for when in cancels:
        simulation.plan(when, "cancel", handle.cancel)
    simulation.run(handle)
    return Simulated(handle, codec)
