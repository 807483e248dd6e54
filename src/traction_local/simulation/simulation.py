"""The simulation: workflows, workers and the service in virtual time, on one thread, without clock, port or file.

It calls the `*_once()` methods of the real workers, with the real codec and the real service: tests have no second copy
of their logic.

Theory of operation. Actions that can happen now form a line, in the order in which they became possible: a task that
waits for a worker; a response or the end of an attempt, which go to the head, so that in the plain run nothing comes in
between; what was planned for this time. The schedule chooses the next action; the plain one takes the first. It may
also choose an action that may happen at any time, delay the first until no other is possible, or advance time although
an action is possible. If no action is possible, time jumps to the next event that is due, milliseconds or months later.
Time does not pass during an action. Faults between a machine and the service are chosen at each request.

Every choice is a call of `choose(n, why)`, counted from 0; the plain schedule is never called. So the choices that were
not plain determine a run: its `deviations`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final, TypeVar, Unpack

from traction.client.handle import Handle, start_execution
from traction.client.registration import register_type
from traction.definitions.checks import check_call
from traction.definitions.classes import Workflow, check_definition
from traction.errors import UnknownResourceFault
from traction.flow.durations import Span, to_timedelta
from traction.flow.signals import Signal
from traction.model import operations as o
from traction.payloads.codec import JSON
from traction.worker.workflow_worker import StuckDecisionError
from traction_local.service.lambda_handlers import answer_by
from traction_local.service.service import Service
from traction_local.service.state.alarms import EFFECT, EXECUTION, TASK
from traction_local.simulation.attempts import Attempts
from traction_local.simulation.backend import DOMAIN, SimulatedBackend
from traction_local.simulation.deadlock import StuckExecutionError, explain_open
from traction_local.simulation.event_queue import JUMPS, EventQueue, PendingAction
from traction_local.simulation.fault_injector import FaultInjector, MachineCrashed
from traction_local.simulation.fleet import Fleet
from traction_local.simulation.machine import Machine
from traction_local.simulation.options import Settings, SimulationOptions
from traction_local.simulation.run_log import RunLog
from traction_local.simulation.sandbox import Sandbox
from traction_local.simulation.story import format_payload, format_story
from traction_local.simulation.stubs import check_script, to_script
from traction_local.simulation.task_runner import TaskRunner
from traction_local.simulation.timed_signals import read_signal
from traction_local.simulation.trace import Trace

R = TypeVar("R")

REGISTRATION_DELAY: Final = timedelta(seconds=5)
"""For how long a type is unknown if its registration takes effect late."""


class Simulation:
    """A service and machines with workers in virtual time, and requests from outside.

    Args:
        options: as for `simulate`, without those that belong to one run. Each machine has workers for all definitions.
            With `deploy`, each starts with the old code and is restarted with the new at any time; if the new code is
            replaced in turn, once more at any later time.

    Raises:
        DefinitionError: a key of `provide` or `stub` is not an activity, or a stub has another type than its activity's
            result.
        TypeError: there is no such option.
    """

    def __init__(self, **options: Unpack[SimulationOptions]) -> None:
        settings = Settings(**options)
        self.codec = codec = settings.codec.exactly() if settings.check_determinism else settings.codec
        """Encodes and decodes payloads."""
        scripts = {activity: to_script(stub) for activity, stub in (settings.stub or {}).items()}
        for activity, script in scripts.items():
            check_script(activity, script, codec)
        lambdas = answer_by(settings.lambdas or {})
        service = Service(seed=DOMAIN, limits=settings.limits, knobs=settings.knobs, lambdas=lambdas)
        self.backend = SimulatedBackend(service, settings.start, settings.limits)
        self.backend.call(o.RegisterDomain(name=DOMAIN, workflow_execution_retention_period_in_days="90"))
        self.trace = Trace(settings.schedule, self.backend)
        """The choices and the moves."""
        self.stuck = ""
        """What executions wait for in a deadlock, one line per pending item."""
        self.restarts = 0
        """The number of crashes."""
        # The other process has only the plain codec.
        self.runs = RunLog(self.backend, codec, has_plain_codec=settings.codec is JSON)
        """The histories and decisions of all runs."""
        self._max_moves = settings.max_moves
        self._checks = settings.check_determinism
        self._deploy = dict(settings.deploy or {})
        self._time_passes_early = False
        self._stuck_decisions: list[StuckDecisionError] = []
        self._sandbox = Sandbox()
        self._faults = FaultInjector(settings.faults, self.trace)
        self._attempts = Attempts(self.backend, scripts, self._faults, self.trace, codec)
        self._queue = EventQueue()
        make = partial(
            Machine,
            self.backend,
            codec=codec,
            provide=dict(settings.provide or {}),
            scripts=scripts,
            count_attempt=self._attempts.count,
            on_definition=partial(self._host, late=True),
            on_stuck=self._stuck_decisions.append,
            faults=self._faults,
        )
        self.fleet = Fleet(
            settings.workers, make, trace=self.trace, faults=self._faults, new=self._deploy, sticky=settings.sticky
        )
        """The machines."""
        self._tasks = TaskRunner(
            self.backend,
            self._queue,
            self.fleet,
            self._attempts,
            self.runs,
            self.trace,
            self._sandbox if self._checks else None,
            self._stuck_decisions,
        )
        for name in self.fleet.deploys:
            self._plan_request(None, f"{name} is restarted with the new code", partial(self.fleet.deploy, name))

    @property
    def story(self) -> str:
        """The trace of all moves."""
        histories = [history for _, history in self.runs.read()]
        return format_story(self.trace.moves, histories, self.trace.deviations)

    # Requests from outside.

    def start(self, workflow: Workflow[R], *, workflow_id: str | None = None) -> Handle[R]:
        """Start an execution.

        Raises:
            DefinitionError, PayloadError, BackendError: as `Client.start`.
        """
        check_call(workflow)
        self._host(type(workflow))
        handle = start_execution(self.backend, workflow, workflow_id=workflow_id, codec=self.codec)
        self.runs.begin(handle)
        return handle

    def plan(self, when: Span, why: str, act: Callable[[], object], machine: Machine | None = None) -> None:
        """Plan an action after a span of virtual time."""
        self._queue.plan(self.backend.time + to_timedelta(when), PendingAction(machine, why, act))

    def signal(self, handle: Handle[Any], signal: Any) -> None:
        """Plan a signal: `Approve("Ann")` at any time, `(days(9), Approve("Ann"))` after nine days.

        `(days(9), "Approve", value)` sends any payload.

        Raises:
            DefinitionError: it has another form.
        """
        when, name, value = read_signal(signal)
        self._plan_request(when, *self._build_signal(handle, name, value))

    def send(self, handle: Handle[Any], signal: Signal) -> None:
        """Send a signal now."""
        why, act = self._build_signal(handle, signal.spec.name, signal)
        self.trace.note("outside", why)
        act()

    def cancel(self, handle: Handle[Any], when: Span | None = None) -> None:
        """Plan a cancellation request after a span, or at any time."""
        self._plan_request(when, "cancel", partial(self._send_request, handle.cancel))

    def _build_signal(self, handle: Handle[Any], name: str, value: Any) -> tuple[str, Callable[[], None]]:
        """Return the description of a signal, and the function that sends it."""
        encode = self.codec.encode_call if isinstance(value, Signal) else self.codec.encode
        input = encode(value)
        request = o.SignalWorkflowExecution(
            domain=DOMAIN, workflow_id=handle.workflow_id, signal_name=name, input=input
        )
        return f"signal {name} {format_payload(input)}".rstrip(), partial(
            self._send_request, self.backend.call, request
        )

    def _plan_request(self, when: Span | None, why: str, act: Callable[[], object]) -> None:
        def send() -> None:
            self.trace.note("outside", why)
            act()

        if when is None:
            self._queue.allow(PendingAction(None, why, send))
        else:
            self.plan(when, why, send)

    def _send_request(self, call: Callable[..., object], *arguments: object) -> None:
        """Send a request to an execution that may have closed."""
        try:
            call(*arguments)
        except UnknownResourceFault:
            self.trace.note("outside", "too late: the execution has closed")

    def _host(self, definition: Any, *, late: bool = False) -> None:
        """Host a definition on every machine, and register it; the registration may take effect late."""
        check_definition(definition)
        if not self.fleet.host(definition):
            return
        register, name = partial(register_type, self.backend, definition), definition.spec.type.name
        if late and self._faults.choose_late_registration(name):
            self.trace.note("service", f"does not know {name} yet")
            self.plan(REGISTRATION_DELAY, f"{name} is known", register)
        else:
            register()

    # Moving.

    def run(self, *handles: Handle[Any]) -> None:
        """Move until the executions have closed; one that continues as new is still open.

        Raises:
            DefinitionError, FlowError, PayloadError: a flow has a mistake that its author must fix.
            ImpureFlowError: a flow calls a clock, the network or the like.
            StuckExecutionError: they are open after `max_moves` moves.
        """
        left = {id(handle) for handle in handles}
        for _ in range(self._max_moves):
            left -= {id(handle) for handle in self._settle()}
            if not left:
                return
            self.move_once()
        names = ", ".join(handle.workflow_id for handle in handles if id(handle) in left)
        raise StuckExecutionError(
            f"{names} is still open after {self._max_moves} moves. Shorten the flow, or pass a larger max_moves"
        )

    def has_open(self) -> bool:
        """Return whether an execution that was started is open."""
        self._settle()
        return bool(self.runs.open)

    def _settle(self) -> list[Handle[Any]]:
        """Check the runs that closed, and return the executions that closed."""
        # With a deploy, several versions of the code made the decisions, and no single one need repeat them. A flow
        # that has entered a debugger would enter it again at each check.
        checks = self._checks and not self._deploy and not self._sandbox.debugged
        return self.runs.settle(self.fleet if checks else None, stuck=bool(self.stuck))

    def close(self) -> None:
        """End all machines."""
        self.fleet.close()

    def move_once(self) -> None:
        """Run one action, or advance time to the next one."""
        for key in self.backend.service.take_ready():
            owner = self.fleet.find_owner(key)
            if owner is None or self.fleet.polls(owner):
                take = partial(self._tasks.take, key)
                self._queue.add(PendingAction(owner, f"{key.kind} task on {key.task_list}", take))
        if (action := self._queue.take_first() if self.trace.plain else self._choose_action()) is None:
            self._jump()
        else:
            self._run_action(action)
            self._advance_service()

    def can_move(self) -> bool:
        """Return whether anything but the timeout of an execution can happen."""
        service = self.backend.service
        return not self._queue.empty or bool(service.has_ready()) or service.next_rank() in (EFFECT, TASK)

    def _choose_action(self) -> PendingAction | None:
        """Return the action that the schedule chooses; `None` to advance time."""
        queue, note = self._queue, self.trace.note
        in_line, ready = queue.count()
        if not ready:
            return None
        can_delay, can_pass = ready > 1 or not in_line, self._can_pass()
        jumps = JUMPS if can_pass and not in_line else ()
        n = ready + can_delay + can_pass + len(jumps)
        chosen = self.trace.choose(n, "who moves")
        if chosen < ready:
            return queue.take(chosen)
        if chosen == ready and can_delay:
            note("", f"delayed: {queue.delay().why}")
            return self._choose_action()
        if chosen >= ready + can_delay + can_pass:
            number = jumps[chosen - n]
            note("", f"delayed until time has passed {number} times: {queue.delay_for(number).why}")
            return self._choose_action()
        self._time_passes_early = True
        note("", f"time passes before the {queue.first}" if queue.first else "time passes")
        return None

    def _can_pass(self) -> bool:
        """Return whether time may pass though an action is possible: to a plan or timer; to a timeout as a fault."""
        plan, alarm = self._queue.next_plan(), self.backend.service.next_alarm()
        if plan is not None and (alarm is None or plan <= alarm):
            return True
        rank = self.backend.service.next_rank()
        return rank == EFFECT or (rank == TASK and self._faults.allows_timeout)

    def _run_action(self, action: PendingAction) -> None:
        """Run an action; replace the machine if it crashes."""
        try:
            action.act()
        except MachineCrashed:
            self._queue.drop_dead()
            self.fleet.replace_dead()
            self.restarts += 1
        if self._stuck_decisions:
            raise self._stuck_decisions[0].error

    def _jump(self) -> None:
        queue, service = self._queue, self.backend.service
        nothing_comes = queue.next_plan() is None and service.next_rank() == EXECUTION
        # A machine that cannot decide waits for new code, so a delayed deploy happens now.
        if queue.release_delayed(self._tasks.take_abandoned() or nothing_comes):
            return
        if nothing_comes:
            types = {one.spec.type: one for one in self.fleet.hosted}
            self.stuck = explain_open(self.runs.read(), types, self.codec)
        early, self._time_passes_early = self._time_passes_early, False
        due = self._attempts.beat_before(lambda: min(filter(None, (queue.next_plan(), service.next_alarm()))))
        if early and due == service.next_alarm() and service.next_rank() == TASK:
            self._faults.spend_timeout()
        self.backend.time = max(self.backend.time, due)
        self._attempts.beat_due()
        self._advance_service()
        queue.release_due(self.backend.time)

    def _advance_service(self) -> None:
        service, now = self.backend.service, self.backend.time
        while (alarm := service.next_alarm()) is not None and alarm <= now:
            service.advance(now)
