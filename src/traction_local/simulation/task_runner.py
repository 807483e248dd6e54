"""Tasks in a simulation: a machine polls one, its worker handles it, and sends the response.

It calls the same methods of the workers as their threads do. Each step is an action in the event queue, so that the
schedule can choose what happens in between.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Final

from traction.errors import BackendError
from traction.worker.workflow_worker import StuckDecisionError
from traction_local.service.state.task_list import Ready
from traction_local.simulation.attempts import Attempts
from traction_local.simulation.backend import SimulatedBackend
from traction_local.simulation.event_queue import EventQueue, PendingAction
from traction_local.simulation.fault_injector import AttemptFault
from traction_local.simulation.fleet import Fleet
from traction_local.simulation.machine import Machine
from traction_local.simulation.run_log import RunLog
from traction_local.simulation.sandbox import ImpureFlowError, Sandbox
from traction_local.simulation.story import format_attempt, format_response
from traction_local.simulation.trace import Trace

PAUSE: Final = timedelta(seconds=1)
"""The pause of a worker after a request that failed."""

_NOW: Final = timedelta(0)


class TaskRunner:
    """Runs the tasks of a simulation.

    Without a `sandbox`, flows may call anything. Machines append the decisions that they cannot make to `stuck`.
    """

    def __init__(
        self,
        backend: SimulatedBackend,
        queue: EventQueue,
        fleet: Fleet,
        attempts: Attempts,
        runs: RunLog,
        trace: Trace,
        sandbox: Sandbox | None,
        stuck: list[StuckDecisionError],
    ) -> None:
        self._backend, self._queue, self._fleet, self._attempts = backend, queue, fleet, attempts
        self._runs, self._trace, self._sandbox, self._stuck = runs, trace, sandbox, stuck
        self._abandoned = False

    def take_abandoned(self) -> bool:
        """Return whether a decision was left to newer code since the last call."""
        abandoned, self._abandoned = self._abandoned, False
        return abandoned

    def take(self, key: Ready, preferred: Machine | None = None) -> None:
        """Run a task on the preferred machine or another; one that shuts down sends its unsent responses."""
        if preferred is not None and preferred.alive and not self._fleet.polls(preferred):
            self._send(preferred, key, partial(preferred.flush, key))
        if (machine := self._fleet.choose(key, preferred)) is not None:
            (self._decide if key.kind == "decision" else self._work)(key, machine)

    def _decide(self, key: Ready, machine: Machine) -> None:
        """Poll for a decision task, decide, and respond."""
        worker = machine.find_decider(key.task_list)
        try:
            task = worker.poll_once(_NOW)
            if task is None:  # it timed out, or the execution closed, in the meantime
                return
            response = worker.do(task) if self._sandbox is None else self._sandbox.run(worker.do, task)
        except BackendError as error:
            self._retry_later(error, machine, key)
            return
        except ImpureFlowError:
            self._trace.note(machine.name, "cannot decide: ImpureFlowError")
            raise
        if response is None:
            self._abandon(machine)
            return
        execution, decisions = task.workflow_execution, response.decisions or ()
        self._runs.add(execution, task.started_event_id, decisions)
        self._trace.note(machine.name, "decides", decisions, execution.workflow_id)
        send = partial(worker.respond, execution, response)
        self._follow(PendingAction(machine, "response", partial(self._send, machine, key, send)))

    def _abandon(self, machine: Machine) -> None:
        """Leave a decision to the machine that takes the task after its timeout, if a deploy is pending."""
        reason = f"cannot decide: {type(self._stuck[0].error).__name__}" if self._stuck else "does not decide"
        self._trace.note(machine.name, reason)
        if self._fleet.is_behind(machine):
            self._stuck.clear()
            self._abandoned = True

    def _work(self, key: Ready, machine: Machine) -> None:
        """Poll for an activity task, and end the attempt after the span of its script."""
        worker = machine.find_worker(key.task_list)
        try:
            task = worker.poll_once(_NOW)
        except BackendError as error:
            self._retry_later(error, machine, key)
            return
        if task is None:  # it timed out or was cancelled in the meantime
            return
        attempt = self._attempts.count(machine.find_activity(task.activity_type))
        fault = self._attempts.begin(machine, task, attempt.span) if attempt.span else None
        self._trace.note(machine.name, format_attempt(task, attempt.span, fault))

        def end() -> None:
            machine.attempt = attempt
            response = worker.do(task)
            if attempt.crashes:
                self._trace.note(machine.name, f"crashes at the end of {task.activity_id}")
                raise machine.crash()
            if machine.alive:  # it may have crashed at a heartbeat
                self._trace.note(machine.name, f"ends {task.activity_id}: {format_response(response)}")
            self._send(machine, key, partial(worker.respond, task, response))

        action = PendingAction(machine, f"end of {task.activity_id}", end)
        if not attempt.span:
            self._follow(action)
            return
        self._queue.plan(self._backend.time + attempt.span, action)
        if fault is AttemptFault.CRASH_HALF_WAY:
            crash = PendingAction(machine, f"end of {machine.name}", partial(self._crash, machine))
            self._queue.plan(self._backend.time + attempt.span * fault.part, crash)

    def _crash(self, machine: Machine) -> None:
        self._trace.note(machine.name, "crashes")
        raise machine.crash()

    def _send(self, machine: Machine, key: Ready, send: Callable[[], Any]) -> None:
        try:
            send()
        except BackendError as error:
            # The worker keeps the response and sends it at its next turn.
            self._retry_later(error, machine, key)

    def _follow(self, action: PendingAction) -> None:
        """Run an action that happens at once in the plain run."""
        if self._trace.plain:
            action.act()
        else:
            self._queue.add(action, first=True)

    def _retry_later(self, error: BackendError, machine: Machine, key: Ready) -> None:
        """Pause a worker after a request that failed; raise errors that retries cannot fix."""
        if not error.retryable:
            raise error
        # Not bound to the machine: if it crashes until then, another one takes the task.
        action = PendingAction(None, f"{machine.name} tries again", partial(self.take, key, machine))
        self._queue.plan(self._backend.time + PAUSE, action)
