"""Options for the behaviour of SWF that is not known for certain, and the input and result of Lambda functions.

The defaults of `Knobs` are the likeliest behaviour. A flow with the same result under every value does not depend on a
guess.
"""

from __future__ import annotations

from datetime import timedelta

import msgspec

from traction.model.literals import CloseStatus
from traction.model.names import WorkflowExecution


class Knobs(msgspec.Struct, frozen=True, kw_only=True):
    """One field per question that neither the documentation nor a recording answers."""

    effect_latency: timedelta = timedelta(0)
    """The delay between a batch of decisions and its effects on others: 10 to 125 ms in recorded histories."""

    visibility_delay: timedelta = timedelta(0)
    """How far lists and counts of executions lag behind: up to seconds (developer guide)."""

    page_items_served_max: int = 1_000
    """A page may be shorter than asked for and yet not the last."""

    page_bytes_served_max: int = 1 << 20
    """The most bytes of JSON in a page, whatever size was requested. Counts stop there too. About 1 MB."""

    start_by_timestamp: bool = False
    """Whether `startAtPreviousStartedEvent` uses the time, as documented, or the event id, as measured. They
    differ if earlier events share the millisecond."""

    previous_counts_timed_out: bool = False
    """Whether `previousStartedEventId` counts a decision task that timed out."""

    sticky_persists: bool = True
    """Whether an override of the decision task list stays in force after a response without a task list."""

    failed_decision_blocks_close: bool = False
    """Whether a close fails with UNHANDLED_DECISION after a decision of its own batch has failed."""

    child_policy_applies: tuple[CloseStatus, ...] = ("COMPLETED", "FAILED", "CANCELED", "TERMINATED", "TIMED_OUT")
    """The closes at which the child policy is applied. Recorded for COMPLETED, documented for the last two."""

    heartbeat_keeps_details: bool = True
    """Whether a heartbeat without details keeps the details of the previous one."""

    lambda_ids_unique: bool = False
    """Whether the id of an open Lambda task is refused for another one. Documented, but measured otherwise."""

    lambda_available: bool = True
    """Whether the region has Lambda."""

    openings_count_started_decision: bool = False
    """Whether `openDecisionTasks` counts a started task. It is 0 in recorded responses."""

    cancel_requested_after_close: bool = False
    """Whether `cancelRequested` stays true after the close. It is false in recorded responses."""

    default_undefined_names_default: bool = True
    """Whether DefaultUndefinedFault names `defaultTaskList` or `taskList`."""

    denied: tuple[str, ...] = ()
    """Operations and decisions, by SWF's names, that the caller may not use (IAM)."""


class LambdaCall(msgspec.Struct, frozen=True, kw_only=True):
    """The call of a Lambda function."""

    execution: WorkflowExecution
    id: str
    name: str
    input: str
    role: str


class LambdaOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a Lambda function, `after` some time. It is a failure if `reason` is set."""

    result: str | None = None
    reason: str | None = None
    details: str | None = None
    after: timedelta = timedelta(0)
