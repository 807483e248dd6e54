"""A Lambda task of an execution.

SWF calls the function itself, after the batch: there is no poll, no cancellation and no retry.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from traction.model.events import (
    LambdaFunctionCompleted,
    LambdaFunctionFailed,
    LambdaFunctionScheduled,
    LambdaFunctionStarted,
    LambdaFunctionTimedOut,
    StartLambdaFunctionFailed,
)
from traction_local.service.knobs import LambdaCall, LambdaOutcome
from traction_local.service.state.alarms import Alarm
from traction_local.service.state.environment import cut, parse_duration
from traction_local.service.state.run import Run

NO_ROLE = "No IAM role is attached to the current workflow execution."


class LambdaTask(Alarm):
    """An open Lambda task. As an alarm: its result or its timeout, whichever is first."""

    __slots__ = ("_outcome", "_siblings", "execution", "scheduled", "started_event_id")

    def __init__(self, execution: Run, scheduled: LambdaFunctionScheduled, siblings: dict[int, LambdaTask]) -> None:
        super().__init__()
        self.execution = execution
        self.scheduled = scheduled
        self.started_event_id = 0
        self._outcome: LambdaOutcome | None = None
        self._siblings = siblings
        siblings[scheduled.event_id] = self

    def start(self, now: datetime) -> None:
        """Call the function."""
        execution = self.execution
        region = execution.region
        scheduled = self.scheduled
        if not execution.is_open:
            return
        role = execution.settings.lambda_role
        if role is None:
            del self._siblings[scheduled.event_id]
            execution.append_trigger(
                StartLambdaFunctionFailed(
                    event_id=execution.next_event_id,
                    event_timestamp=now,
                    scheduled_event_id=scheduled.event_id,
                    cause="ASSUME_ROLE_FAILED",
                    message=NO_ROLE,
                )
            )
            return
        self.started_event_id = execution.next_event_id
        execution.append(
            LambdaFunctionStarted(
                event_id=self.started_event_id, event_timestamp=now, scheduled_event_id=scheduled.event_id
            )
        )
        # Without input, the function gets an empty object.
        call = LambdaCall(
            execution=execution.execution,
            id=scheduled.id,
            name=scheduled.name,
            input="{}" if scheduled.input is None else scheduled.input,
            role=role,
        )
        outcome = LambdaOutcome(reason="ResourceNotFoundException") if region.invoke is None else region.invoke(call)
        # A default timeout applies but is not in the event. Recorded: simpleflow, test_lambda, 2017.
        seconds = scheduled.start_to_close_timeout
        timeout = parse_duration(str(region.limits.lambda_seconds_max) if seconds is None else seconds)
        if timeout is not None and timeout <= outcome.after:
            region.alarms.set(self, now + timeout)
        else:
            self._outcome = outcome
            region.alarms.set(self, now + cut(outcome.after))

    def fire(self, now: datetime) -> None:
        """Close the task with the function's result or failure, or as timed out."""
        execution = self.execution
        outcome = self._outcome
        del self._siblings[self.scheduled.event_id]
        fields: dict[str, Any] = {
            "event_id": execution.next_event_id,
            "event_timestamp": now,
            "scheduled_event_id": self.scheduled.event_id,
            "started_event_id": self.started_event_id,
        }
        if outcome is None:
            execution.append_trigger(LambdaFunctionTimedOut(**fields, timeout_type="START_TO_CLOSE"))
        elif outcome.reason is not None:
            execution.append_trigger(LambdaFunctionFailed(**fields, reason=outcome.reason, details=outcome.details))
        else:
            execution.append_trigger(LambdaFunctionCompleted(**fields, result=outcome.result))
