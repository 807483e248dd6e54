"""The simulation: workflows, workers and the service in virtual time, on one thread, without clock, port or file.

It calls the `*_once()` methods of the real workers, with the real codec and the real service: tests have no second copy
of their logic.

Theory of operation. Actions that can happen now form a line, in the order in which they became possible: a task that
waits for a worker; a response or the end of an attempt, which go to the head, so that in the plain run nothing comes in
between; what was planned for this time. The schedule chooses the next action; the plain one takes the first. It may
also choose an action that may happen at any time, delay the first until no other is possible, or advance time although
an action is possible. If no action is possible, time jumps to the next event that is due, milliseconds or months later.
Time does not pass during an action. Faults between a machine and the service are chosen at each request, in `machine`.

Every choice is a call of `choose(n, why)`, counted from 0; the plain schedule is never called. So the choices that were
not plain determine a run: its `deviations`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from traction.client.handle import Handle, start_execution
from traction.client.registration import register_type
from traction.definitions.checks import check_call
from traction.definitions.classes import Activity, Workflow, check_definition
from traction.errors import BackendError, DefinitionError, UnknownResourceFault
from traction.flow.durations import Span, to_timedelta
from traction.flow.signals import Signal
from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o
from traction.model.limits import Limits
from traction.payloads.codec import JSON, Codec
from traction.worker.workflow_worker import StuckDecisionError
from traction_local.service.knobs import Knobs
from traction_local.service.lambda_handlers import Handler, answer_by
from traction_local.service.service import Service
from traction_local.service.state.alarms import EFFECT, EXECUTION, TASK
from traction_local.service.state.task_list import Ready
from traction_local.simulation.attempts import Attempts
from traction_local.simulation.deadlock import StuckExecutionError, explain_open
from traction_local.simulation.event_queue import COMPLETE_LATER, MOVES_MAX, EventQueue, PendingAction
from traction_local.simulation.faults import Faults
from traction_local.simulation.fleet import Fleet
from traction_local.simulation.machine import DOMAIN, FaultInjector, Machine, MachineCrashed, SimulatedBackend
from traction_local.simulation.outside import read_signal
from traction_local.simulation.run_log import Runs
from traction_local.simulation.sandbox import ImpureFlowError, Watch
from traction_local.simulation.schedule import PLAIN, Deviations, Plain, Schedule
from traction_local.simulation.story import Moved, format_answer, format_attempt, format_payload, format_story
from traction_local.simulation.stubs import StubScript, check_script, to_script

R = TypeVar("R")

START = datetime(2030, 1, 1, tzinfo=UTC)
"""The default start of simulations."""

PAUSE = timedelta(seconds=1)
"""The pause of a worker after a request that failed."""

UNKNOWN = timedelta(seconds=5)
"""For how long a type is unknown if its registration takes effect late."""

LIMITS = Limits()
"""The quotas of SWF."""

KNOBS = Knobs()
"""The most likely behaviour of SWF."""

_NOTHING = timedelta(0)


class Simulation:
    """A service and machines with workers in virtual time, and requests from outside.

    Args:
        provide: the dependencies of activities, by activity.
        stub: replacements for the bodies of activities, by activity.
        schedule: makes the choices.
        faults: the faults that the schedule may inject.
        workers: the number of machines; each has workers for all definitions.
        deploy: new definitions, by the definitions that they replace. Each machine starts with the old code and is
            restarted with the new at any time; if the new code is replaced in turn, once more at any later time.
        sticky: for how long decision tasks wait for the machine that has cached their decider.
        lambdas: Lambda functions by name, each called with the input and a context.
        limits: the service's quotas.
        knobs: behaviour that SWF leaves open.
        start: the virtual time at which the simulation starts.
        check_determinism: whether flows are checked for purity and for replay.
        max_moves: the number of moves after which an open execution counts as stuck.

    Raises:
        DefinitionError: a key is not an activity, or a stub has another type than its activity's result.
    """

    def __init__(
        self,
        *,
        provide: Mapping[Callable[..., Activity[Any, Any]], Any] | None = None,
        stub: Mapping[Callable[..., Activity[Any, Any]], Any] | None = None,
        schedule: Schedule = PLAIN,
        faults: Faults = Faults.none(),  # noqa: B008
        workers: int = 1,
        deploy: Mapping[Any, Any] | None = None,
        sticky: Span | None = None,
        lambdas: Mapping[str, Handler] | None = None,
        limits: Limits = LIMITS,
        knobs: Knobs = KNOBS,
        start: datetime = START,
        codec: Codec = JSON,
        check_determinism: bool = True,
        max_moves: int = MOVES_MAX,
    ) -> None:
        # The other process has the plain codec alone.
        has_plain_codec = codec is JSON
        codec = self._codec = codec.exactly() if check_determinism else codec
        self._provide: dict[Any, Any] = dict(provide or {})
        self._scripts: dict[Any, StubScript] = {activity: to_script(one) for activity, one in (stub or {}).items()}
        for activity in (*self._provide, *self._scripts):
            if not (isinstance(activity, type) and issubclass(activity, Activity)):
                raise DefinitionError(f"the keys of provide and stub are activities, and {activity!r:.100} is not one")
        for activity, script in self._scripts.items():
            check_script(activity, script, codec)
        if workers < 1:
            raise DefinitionError(f"workers={workers}: a simulation has one at least")
        service = Service(seed=DOMAIN, limits=limits, knobs=knobs, lambdas=answer_by(lambdas or {}))
        self.backend = SimulatedBackend(service, start, limits)
        self.backend.call(o.RegisterDomain(name=DOMAIN, workflow_execution_retention_period_in_days="90"))
        self.schedule = schedule
        self.deviations: dict[int, int] = {}
        """The choices that were not plain, by their numbers."""
        self.widths: list[int] = []
        """The number of alternatives of each choice."""
        self.moves: list[Moved] = []
        """The moves; empty under `PLAIN`, where the history is enough."""
        self.stuck = ""
        """What executions wait for in a deadlock, one line per pending item."""
        self.restarts = 0
        """The number of crashes."""
        self._make = None if isinstance(schedule, Plain) else copy(schedule).choose
        self._deviated: tuple[int, ...] = ()
        self._checked, self._moves_max = check_determinism, max_moves
        self._watch = Watch()
        self._trouble = FaultInjector(faults, self._choose)
        choose = None if self._make is None else self._choose
        self._attempts = Attempts(self.backend, self._scripts, self._trouble, choose, codec)
        self._agenda = EventQueue()
        self._stuck: list[StuckDecisionError] = []
        self._abandoned = self._early = False  # whether a decision was just left to newer code; time passes too soon
        self._runs = Runs(self.backend, codec, has_plain_codec=has_plain_codec)
        self.decided = self._runs.decided
        """What was decided, by run and DecisionTaskStarted."""
        make = partial(
            Machine,
            self.backend,
            codec=codec,
            provide=self._provide,
            scripts=self._scripts,
            find_act=self._attempts.find_act,
            on_definition=partial(self._host, late=True),
            on_stuck=self._stuck.append,
            note=self.note,
            trouble=None if choose is None or faults == Faults.none() else self._trouble,
        )
        self._new = dict(deploy or {})
        self._crew = Fleet(workers, make, choose=choose, skew=faults.skew, new=self._new, sticky=sticky)
        for name in self._crew.deploys:
            self._come(None, f"{name} is restarted with the new code", partial(self._crew.deploy, name))

    @property
    def trace(self) -> str:
        """The deviations as a text: `Deviations(trace)` is the schedule of this very simulation."""
        return str(Deviations(self.deviations))

    @property
    def twinless(self) -> str:
        """Why the cross-process check was skipped for a run; empty if it was not."""
        return self._runs.twinless

    @property
    def story(self) -> str:
        """The trace of all moves."""
        return format_story(self.moves, self.read_histories())

    # What users do.

    def start(self, workflow: Workflow[R], *, workflow_id: str | None = None) -> Handle[R]:
        """Start an execution.

        Raises:
            DefinitionError, PayloadError, BackendError: as `Client.start`.
        """
        check_call(workflow)
        self._host(type(workflow))
        handle = start_execution(self.backend, workflow, workflow_id=workflow_id, codec=self._codec)
        self._runs.begin(handle)
        return handle

    def plan(self, when: Span, why: str, act: Callable[[], object], machine: Machine | None = None) -> None:
        """Plan an action after a span of virtual time."""
        self._agenda.plan(self.backend.time + to_timedelta(when), PendingAction(machine, why, act))

    def signal(self, handle: Handle[Any], signal: Any) -> None:
        """Plan a signal: `Approve("Ann")` at any time, `(days(9), Approve("Ann"))` after nine days.

        `(days(9), "Approve", value)` sends any payload.

        Raises:
            DefinitionError: it has another form.
        """
        when, name, value = read_signal(signal)
        self._come(when, *self._address(handle, name, value))

    def send(self, handle: Handle[Any], signal: Signal) -> None:
        """Send a signal now."""
        why, act = self._address(handle, signal.spec.name, signal)
        self.note("outside", why)
        act()

    def _address(self, handle: Handle[Any], name: str, value: Any) -> tuple[str, Callable[[], None]]:
        """Return the description of a signal, and the function that sends it."""
        encode = self._codec.encode_call if isinstance(value, Signal) else self._codec.encode
        input = encode(value)
        request = o.SignalWorkflowExecution(
            domain=DOMAIN, workflow_id=handle.workflow_id, signal_name=name, input=input
        )
        return f"signal {name} {format_payload(input)}".rstrip(), partial(self._reach, self.backend.call, request)

    def cancel(self, handle: Handle[Any], when: Span | None = None) -> None:
        """Plan a cancellation request after a span, or at any time."""
        self._come(when, "cancel", partial(self._reach, handle.cancel))

    def run(self, *handles: Handle[Any]) -> None:
        """Move until the executions have closed; one that continues as new is still open.

        Raises:
            DefinitionError, FlowError, PayloadError: a flow has a mistake that its author must fix.
            ImpureFlowError: a flow calls a clock, the network or the like.
            StuckExecutionError: they are open after `max_moves` moves.
        """
        left = {id(handle) for handle in handles}
        for _ in range(self._moves_max):
            left -= {id(handle) for handle in self._settle()}
            if not left:
                return
            self.move_once()
        names = ", ".join(handle.workflow_id for handle in handles if id(handle) in left)
        raise StuckExecutionError(f"{names} goes on after {self._moves_max} moves: end it, or allow more by max_moves=")

    def has_open(self) -> bool:
        """Return whether an execution that was started is open."""
        self._settle()
        return bool(self._runs.open)

    def _settle(self) -> list[Handle[Any]]:
        """Check the runs that closed, and return the executions that closed."""
        # With a deploy, several versions of the code made the decisions, and no single one need repeat them. A flow
        # that has entered a debugger would enter it again at each check.
        checks = self._checked and not self._new and not self._watch.debugged
        return self._runs.settle(self._crew if checks else None, stuck=bool(self.stuck))

    def close(self) -> None:
        """End all machines."""
        self._crew.close()

    # Moving.

    def move_once(self) -> None:
        """Run one action, or advance time to the next one."""
        for key in self.backend.service.take_ready():
            owner = self._crew.find_owner(key)
            if owner is None or self._crew.polls(owner):
                self._agenda.add(PendingAction(owner, f"{key.kind} task on {key.task_list}", partial(self._take, key)))
        if (move := self._agenda.take_first() if self._make is None else self._pick()) is None:
            self._jump()
        else:
            self._act(move)
            self._advance()

    def can_move(self) -> bool:
        """Return whether anything but the timeout of an execution can happen."""
        service = self.backend.service
        return not self._agenda.empty or bool(service.has_ready()) or service.next_rank() in (EFFECT, TASK)

    def _pick(self) -> PendingAction | None:
        """Return the action that the schedule chooses; `None` to advance time."""
        agenda = self._agenda
        in_line, ready = agenda.count()
        if not ready:
            return None
        can_put_off, can_pass = ready > 1 or not in_line, self._can_pass()
        later = COMPLETE_LATER if can_pass and not in_line else ()
        n = ready + can_put_off + can_pass + len(later)
        chosen = self._choose(n, "who moves") if n > 1 else 0
        if chosen < ready:
            return agenda.take(chosen)
        if chosen == ready and can_put_off:
            self.note("", f"put off: {agenda.put_off().why}")
            return self._pick()
        if chosen >= ready + can_put_off + can_pass:
            jumps = later[chosen - n]
            self.note("", f"put off until time has passed {jumps} times: {agenda.put_off_for(jumps).why}")
            return self._pick()
        self._early = True
        self.note("", f"time passes before the {agenda.first}" if agenda.first else "time passes")
        return None

    def _can_pass(self) -> bool:
        """Return whether time may pass though an action is possible: to a plan or timer; to a timeout as a fault."""
        plan, alarm = self._agenda.next_plan(), self.backend.service.next_alarm()
        if plan is not None and (alarm is None or plan <= alarm):
            return True
        rank = self.backend.service.next_rank()
        return rank == EFFECT or (rank == TASK and self._trouble.left["timeouts"] > 0)

    def _choose(self, n: int, why: str) -> int:
        assert self._make is not None
        chosen = self._make(n, why)
        if chosen:
            number = len(self.widths)
            self.deviations[number] = chosen
            self._deviated += (number,)
        self.widths.append(n)
        return chosen

    def _act(self, move: PendingAction) -> None:
        """Run an action; replace the machine if it crashes."""
        try:
            move.act()
        except MachineCrashed:
            self._agenda.drop_dead()
            self._crew.replace_dead()
            self.restarts += 1
        if self._stuck:
            raise self._stuck[0].error

    def _jump(self) -> None:
        """Advance time until something is due."""
        agenda, service = self._agenda, self.backend.service
        nothing_comes = agenda.next_plan() is None and service.next_rank() == EXECUTION
        # A machine that cannot decide waits for new code, so a delayed deploy happens now.
        abandoned, self._abandoned = self._abandoned, False
        if agenda.call_last(nothing_comes or abandoned):
            return
        if nothing_comes:
            types = {one.spec.type: one for one in self._crew.hosted}
            self.stuck = explain_open(self._runs.read(), types, self._codec)
        early, self._early = self._early, False
        due = self._attempts.beat_before(lambda: min(filter(None, (agenda.next_plan(), service.next_alarm()))))
        if early and due == service.next_alarm() and service.next_rank() == TASK:
            self._trouble.spend("timeouts")
        self.backend.time = max(self.backend.time, due)
        self._attempts.beat_due()
        self._advance()
        agenda.call_due(self.backend.time)

    def read_histories(self) -> list[list[e.Event]]:
        """Return the histories of all runs that were started or had a decision."""
        return [history for _, history in self._runs.read()]

    def _advance(self) -> None:
        """Make the service process what is due."""
        service, now = self.backend.service, self.backend.time
        while (alarm := service.next_alarm()) is not None and alarm <= now:
            service.advance(now)

    def note(self, who: str, what: str, decisions: tuple[d.Decision, ...] = (), workflow_id: str = "") -> None:
        """Record a move for the story."""
        if self._make is not None:
            self.moves.append(Moved(self.backend.time, who, what, self._deviated, decisions, workflow_id))
            self._deviated = ()

    # What machines do.

    def _take(self, key: Ready, meant: Machine | None = None) -> None:
        """Run a task on the machine `meant` or on another one; a machine that shuts down sends its unsent responses."""
        if meant is not None and meant.alive and not self._crew.polls(meant):
            self._respond(meant, key, partial(meant.flush, key))
        if (machine := self._crew.choose(key, meant)) is not None:
            (self._decide if key.kind == "decision" else self._work)(key, machine)

    def _decide(self, key: Ready, machine: Machine) -> None:
        """Poll for a decision task, decide, and respond."""
        worker = machine.find_decider(key.task_list)
        try:
            task = worker.poll_once(_NOTHING)
            if task is None:  # it timed out, or the execution closed, in the meantime
                return
            answer = self._watch.run(worker.do, task) if self._checked else worker.do(task)
        except BackendError as error:
            self._rest(error, machine, key)
            return
        except ImpureFlowError:
            self.note(machine.name, "cannot decide: ImpureFlowError")
            raise
        if answer is None:
            self._leave(machine)
            return
        execution, decisions = task.workflow_execution, answer.decisions or ()
        self._runs.note(execution, task.started_event_id, decisions)
        self.note(machine.name, "decides", decisions, execution.workflow_id)
        self._end(
            PendingAction(
                machine, "answer", partial(self._respond, machine, key, partial(worker.answer, execution, answer))
            )
        )

    def _leave(self, machine: Machine) -> None:
        """Leave a decision to the machine that takes the task after its timeout, if a deploy is pending."""
        reason = f"cannot decide: {type(self._stuck[0].error).__name__}" if self._stuck else "leaves the decision alone"
        self.note(machine.name, reason)
        if self._crew.is_behind(machine):
            self._stuck.clear()
            self._abandoned = True

    def _work(self, key: Ready, machine: Machine) -> None:
        """Poll for an activity task, and end the attempt after the span of its script."""
        worker = machine.find_worker(key.task_list)
        try:
            task = worker.poll_once(_NOTHING)
        except BackendError as error:
            self._rest(error, machine, key)
            return
        if task is None:  # it timed out or was cancelled in the meantime
            return
        act = self._attempts.find_act(machine.find_activity(task.activity_type))
        fault = self._attempts.begin(machine, task, act.span) if act.span else None
        self.note(machine.name, format_attempt(task, act.span, fault))

        def end() -> None:
            machine.playing = act
            answer = worker.do(task)
            if act.crashes:
                self.note(machine.name, f"dies at the end of {task.activity_id}")
                raise machine.die()
            if machine.alive:  # it may have crashed at a heartbeat
                self.note(machine.name, f"ends {task.activity_id}: {format_answer(answer)}")
            self._respond(machine, key, partial(worker.answer, task, answer))

        move = PendingAction(machine, f"end of {task.activity_id}", end)
        if not act.span:
            self._end(move)
            return
        self.plan(act.span, *move[1:], machine)
        if fault is not None and fault.budget == "crashes":
            self.plan(act.span * fault.part, f"end of {machine.name}", partial(self._crash, machine), machine)

    def _crash(self, machine: Machine) -> None:
        """Crash a machine outside of any request."""
        self.note(machine.name, "dies")
        raise machine.die()

    def _respond(self, machine: Machine, key: Ready, answer: Callable[[], None]) -> None:
        try:
            answer()
        except BackendError as error:
            # The worker keeps the response and sends it at its next turn.
            self._rest(error, machine, key)

    def _end(self, move: PendingAction) -> None:
        """Run an action that happens at once in the plain run."""
        if self._make is None:
            move.act()
        else:
            self._agenda.add(move, first=True)

    def _rest(self, error: BackendError, machine: Machine, key: Ready) -> None:
        """Pause a worker after a request that failed; raise errors that retries cannot fix."""
        if not error.retryable:
            raise error
        self.plan(PAUSE, f"{machine.name} tries again", partial(self._take, key, machine))

    def _host(self, definition: Any, *, late: bool = False) -> None:
        """Host a definition on every machine, and register it; the registration may take effect late."""
        check_definition(definition)
        if not self._crew.host(definition):
            return
        register, name = partial(register_type, self.backend, definition), definition.spec.type.name
        if late and self._make and self._trouble.left["delays"] and self._choose(2, f"when {name} is known"):
            self._trouble.spend("delays")
            self.note("service", f"does not know {name} yet")
            self.plan(UNKNOWN, f"{name} is known", register)
        else:
            register()

    # What comes from outside.

    def _come(self, when: Span | None, why: str, act: Callable[[], object]) -> None:
        def come() -> None:
            self.note("outside", why)
            act()

        if when is None:
            self._agenda.allow(PendingAction(None, why, come))
        else:
            self.plan(when, why, come)

    def _reach(self, call: Callable[..., object], *arguments: object) -> None:
        """Send a request to an execution that may have closed."""
        try:
            call(*arguments)
        except UnknownResourceFault:
            self.note("outside", "it came too late: the execution has closed")
