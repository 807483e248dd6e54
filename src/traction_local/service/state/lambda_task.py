"""A Lambda task of an execution.

SWF calls the function itself, after the batch: there is no poll, no cancellation and no retry.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from traction.model import events as e
from traction_local.service.knobs import LambdaCall, LambdaOutcome
from traction_local.service.state.alarms import Alarm
from traction_local.service.state.environment import cut, parse_duration
from traction_local.service.state.run import Run

NO_ROLE = "No IAM role is attached to the current workflow execution."


class LambdaTask(Alarm, kw_only=True):
    """An open Lambda task. As an alarm: its result or its timeout, whichever is first."""

    execution: Run
    scheduled: e.LambdaFunctionScheduled
    siblings: dict[int, LambdaTask]
    started_event_id: int = 0
    outcome: LambdaOutcome | None = None

    def __post_init__(self) -> None:
        self.siblings[self.scheduled.event_id] = self

    def start(self, now: datetime) -> None:
        execution = self.execution
        region = execution.region
        scheduled = self.scheduled
        if not execution.is_open:
            return
        role = execution.settings.lambda_role
        if role is None:
            del self.siblings[scheduled.event_id]
            execution.append_trigger(
                e.StartLambdaFunctionFailed(
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
            e.LambdaFunctionStarted(
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
            self.outcome = outcome
            region.alarms.set(self, now + cut(outcome.after))

    def fire(self, now: datetime) -> None:
        """Close the task with the function's result or failure, or as timed out."""
        execution = self.execution
        outcome = self.outcome
        del self.siblings[self.scheduled.event_id]
        fields: dict[str, Any] = {
            "event_id": execution.next_event_id,
            "event_timestamp": now,
            "scheduled_event_id": self.scheduled.event_id,
            "started_event_id": self.started_event_id,
        }
        if outcome is None:
            execution.append_trigger(e.LambdaFunctionTimedOut(**fields, timeout_type="START_TO_CLOSE"))
        elif outcome.reason is not None:
            execution.append_trigger(e.LambdaFunctionFailed(**fields, reason=outcome.reason, details=outcome.details))
        else:
            execution.append_trigger(e.LambdaFunctionCompleted(**fields, result=outcome.result))
