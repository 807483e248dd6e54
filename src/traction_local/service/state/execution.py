"""One execution: a run with its open activities, timers, children and Lambda tasks.

An execution changes others only through effects that happen after the batch.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial

import msgspec

from traction.model import events as e
from traction.model.literals import ChildPolicy, CloseStatus
from traction.model.operations import WorkflowExecutionOpenCounts
from traction_local.service.state.activity import Activity
from traction_local.service.state.child import Child
from traction_local.service.state.index import ExecutionIndex
from traction_local.service.state.lambda_task import LambdaTask
from traction_local.service.state.run import Run
from traction_local.service.state.timer import Timer


class Execution(Run, kw_only=True):
    """One run. As an alarm: its own timeout while it is open, the end of its retention afterwards."""

    index: ExecutionIndex[Execution]
    started_at: datetime
    as_child: Child | None
    """What the parent keeps of this run, while it is open."""
    closed_at: datetime | None = None
    close_number: int = 0
    forgotten: bool = False
    activities: dict[str, Activity] = msgspec.field(default_factory=dict)
    """The open ones, by activity id."""
    timers: dict[str, Timer] = msgspec.field(default_factory=dict)
    """The open ones, by timer id."""
    children: dict[int, Child] = msgspec.field(default_factory=dict)
    """The open ones, by Initiated event."""
    lambdas: dict[int, LambdaTask] = msgspec.field(default_factory=dict)
    """The open ones, by Scheduled event."""
    final_counts: WorkflowExecutionOpenCounts | None = None

    @property
    def started(self) -> e.WorkflowExecutionStarted:
        """The first event."""
        event = self.events[0]
        assert isinstance(event, e.WorkflowExecutionStarted)
        return event

    def was_open(self, when: datetime) -> bool:
        return self.started_at <= when and (self.closed_at is None or self.closed_at > when)

    def had_closed(self, when: datetime) -> bool:
        return self.closed_at is not None and self.closed_at <= when

    def get_time(self, of_close: bool) -> datetime:
        """Return the start time or the close time."""
        if not of_close:
            return self.started_at
        assert self.closed_at is not None
        return self.closed_at

    def close(self, event: e.Event, status: CloseStatus, now: datetime, *, policy: ChildPolicy | None = None) -> None:
        self.append(event)
        # Frozen, except that queued decision tasks are not counted (recorded responses).
        self.final_counts = msgspec.structs.replace(self.count_open(), open_decision_tasks=0)
        self.close_status, self.closed_at = status, now
        region = self.region
        region.closed.append(self.run_id)
        for task in (*self.activities.values(), *filter(None, (self.queued, self.running))):
            task.withdraw()
            region.alarms.clear(task)
        for alarm in (*self.timers.values(), *self.lambdas.values()):
            region.alarms.clear(alarm)
        self.queued = self.running = None
        self.activities.clear()
        self.timers.clear()
        self.lambdas.clear()
        self.index.close(self)
        region.alarms.fix(self, now + self.index.retention)
        self._follow_close(event, policy or self.settings.child_policy, now)

    def _follow_close(self, event: e.Event, policy: ChildPolicy, now: datetime) -> None:
        """Schedule the effects of the close: the report to the parent, and the child policy.

        For the parent, a run that continued as new has not closed: its successor takes its place.
        """
        region = self.region
        if self.as_child is not None:
            if self.close_status != "CONTINUED_AS_NEW":
                region.follow(partial(self.as_child.report_close, event), now)
            self.as_child = None
        if self.children:
            if policy != "ABANDON" and self.close_status in region.knobs.child_policy_applies:
                region.follow(partial(self._apply_child_policy, policy), now)
            else:
                self.children.clear()

    def _apply_child_policy(self, policy: ChildPolicy, now: datetime) -> None:
        """Apply the child policy to each open child. The children of a child are handled when that child closes."""
        for child in list(self.children.values()):
            run = child.run
            # Effects keep the order of their decisions, so the child was started or refused before.
            assert run is not None
            if not run.is_open:
                continue
            if policy == "TERMINATE":
                run.terminate(now, "CHILD_POLICY_APPLIED")
            else:
                run.request_cancel(now, source=self.execution, cause="CHILD_POLICY_APPLIED")
        self.children.clear()

    def count_open(self) -> WorkflowExecutionOpenCounts:
        """Count what is open, or was open at the close.

        By default a started decision task is not counted (recorded responses).
        """
        if self.final_counts is not None:
            return self.final_counts
        started = self.running is not None and self.region.knobs.openings_count_started_decision
        return WorkflowExecutionOpenCounts(
            open_activity_tasks=len(self.activities),
            open_decision_tasks=int(self.queued is not None or started),
            open_timers=len(self.timers),
            open_child_workflow_executions=len(self.children),
            open_lambda_functions=len(self.lambdas),
        )

    def fire(self, now: datetime) -> None:
        """Time out. After the close: delete the execution, its retention is over."""
        if not self.is_open:
            self.index.forget(self)
            return
        policy = self.settings.child_policy
        self.close(
            e.WorkflowExecutionTimedOut(
                event_id=self.next_event_id,
                event_timestamp=now,
                timeout_type="START_TO_CLOSE",
                child_policy=policy,
            ),
            "TIMED_OUT",
            now,
        )
