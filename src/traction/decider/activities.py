"""Activities of a flow: schedule their tasks, read their outcomes, retry them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

from traction.decider.context import DecisionContext
from traction.decider.diagnostics import encode_call
from traction.decider.frames import Leaf
from traction.decider.outcomes import Outcome, Raised
from traction.decider.pending import PendingDecision, read_result
from traction.errors import ActivityCancelled, ActivityFailed, ActivityTimedOut
from traction.flow.durations import NO_TIMEOUT
from traction.flow.retry import Retry
from traction.flow.step import ActivityStep, Adjusted
from traction.history.local_records import Record
from traction.model import decisions as d
from traction.model import events as e
from traction.model.literals import Duration
from traction.payloads.attempts import write_attempt
from traction.payloads.causes import make_known
from traction.payloads.failure_text import HANDED_BACK, INVALID, UNREADABLE, read_failure
from traction.payloads.failures import revive

UNREADABLE_DELAY_MAX: Final = timedelta(hours=1)
"""The longest pause before an activity is scheduled again whose worker could not read its input."""


class PendingAttempt(PendingDecision):
    """A call of an activity, at one of its attempts."""

    attempt: int = 1
    """The number of the attempt, from 1."""
    began: datetime | None = None
    """When its first attempt was opened."""
    retry_policy: Retry | None = None
    """The policy of this call, if it differs from that of its definition."""

    def __init__(self, context: DecisionContext, leaf: Leaf, call: ActivityStep[Any]) -> None:
        self.context = context
        self.leaf = leaf
        self.call = call

    @property
    def task_id(self) -> str:
        return self.leaf.id if self.attempt == 1 else f"{self.leaf.id}~{self.attempt}"

    def read_failure(self, event: e.ActivityTaskFailed | Record) -> Exception:
        """Return the failure of an attempt, as the exception that it was if the definition declares it."""
        codec = self.context.codec
        failure = read_failure(event.reason, event.details, codec)
        known = make_known(failure)
        failed = ActivityFailed(self.leaf.id, **known, reason=event.reason or "", details=event.details or "")
        return revive(failed, failure, self.call.spec.raises, codec)

    def fail_attempt(self, error: Exception) -> None:
        """Request the next attempt, at once or after a pause, or fail the step."""
        policy = self.retry_policy or self.call.spec.retry
        pause, flow, id = None, self.context.flow, self.leaf.id
        if policy is not None:
            elapsed = flow.now - self.began if self.began is not None else timedelta(0)
            pause = policy.find_pause(self.attempt, error, elapsed=elapsed, chance=flow.draw(id, self.attempt))
        if pause is None:
            self.resume(Raised(error))
            return
        self.attempt += 1
        if pause:
            self.pause(f"{id}~retry-{self.attempt - 1}", pause)
        else:
            self.retry()


class PendingActivity(PendingAttempt):
    """A call of an activity whose tasks SWF gives to workers."""

    overrides: Mapping[str, Any] = MappingProxyType({})
    """Options of this call, as members of the decision."""
    heartbeat_details: str | None = None
    """The details of the last heartbeat of its attempts."""

    def request(self) -> Outcome | None:
        context, overrides, call = self.context, self.overrides, self.call
        context.definitions.add(type(call))
        payload = encode_call(context.codec, call, self.leaf.fiber)
        heartbeat = overrides.get("heartbeat_timeout")
        limit = _find_limit(overrides) if overrides else None
        if self.attempt > 1 or heartbeat is not None or limit is not None or self.heartbeat_details is not None:
            payload = write_attempt(payload, self.attempt, self.heartbeat_details, heartbeat, limit)
        type_, id = call.spec.type, self.task_id
        if overrides:
            self.queue(d.ScheduleActivityTask(activity_type=type_, activity_id=id, input=payload, **overrides))
        else:
            self.queue(d.ScheduleActivityTask(activity_type=type_, activity_id=id, input=payload))
        return None

    def open(self, event: e.Event) -> None:
        """Record the event that shows the decision, and when the first attempt was opened."""
        self.opened_event_id = event.event_id
        self.began = self.began or event.event_timestamp

    def on_completed(self, event: e.ActivityTaskCompleted) -> None:
        context, leaf = self.context, self.leaf
        context.flow.resume(leaf, read_result(context, leaf, self.call, event.result))

    def on_failed(self, event: e.ActivityTaskFailed) -> None:
        """Retry the activity, or fail the step."""
        heartbeat = read_failure(event.reason, event.details, self.context.codec).heartbeat
        self.heartbeat_details = heartbeat or self.heartbeat_details
        if event.reason == UNREADABLE:
            # The worker could not read the input, so the work did not begin. Another worker may be able to read it.
            self.retry_later(UNREADABLE_DELAY_MAX)
        elif event.reason == HANDED_BACK:
            # Its worker was stopped: this is not a failure of the work, so the attempt does not count.
            self.retry_later()
        elif event.reason == INVALID:
            self.resume(Raised(self.read_failure(event)))
        else:
            self.fail_attempt(self.read_failure(event))

    def on_timed_out(self, event: e.ActivityTaskTimedOut) -> None:
        """Retry the activity, or fail the step."""
        self.heartbeat_details = event.details or self.heartbeat_details
        self.fail_attempt(ActivityTimedOut(self.leaf.id, timeout_type=event.timeout_type, details=event.details))

    def on_cancelled(self, event: e.ActivityTaskCanceled) -> None:
        self.resume(Raised(ActivityCancelled(self.leaf.id, details=event.details)))


def adjust_activity(context: DecisionContext, leaf: Leaf) -> PendingActivity:
    """Return the pending activity of a call with options of its own."""
    node: Adjusted[Any] = leaf.node
    pending = PendingActivity(context, leaf, node.call)
    pending.overrides, pending.retry_policy = node.overrides, node.policy
    return pending


def _find_limit(overrides: Mapping[str, Any]) -> Duration | None:
    """Return the shorter of the timeouts of a call within which its body must end, or `None` if it has neither."""
    limits = [overrides.get(f"{name}_to_close_timeout") for name in ("start", "schedule")]
    return min((limit for limit in limits if limit not in (None, NO_TIMEOUT)), key=int, default=None)
