"""State what is not known of SWF for certain, as choices.

Takes nothing; gives `Knobs`, whose defaults are the likeliest behaviour. A flow that gives the same answer
under each of them does not lean on a guess. Also here: what a Lambda function is given and may answer.
"""

from __future__ import annotations

from datetime import timedelta

import msgspec

from traction.model.literals import CloseStatus
from traction.model.names import WorkflowExecution


class Knobs(msgspec.Struct, frozen=True, kw_only=True):
    """Where the documents are silent and no recording is known: one field per question."""

    effect_latency: timedelta = timedelta(0)
    """How long after a batch of decisions its effects on others come: 10 to 125 ms in recorded histories."""

    visibility_delay: timedelta = timedelta(0)
    """How far lists and counts of executions lag behind: up to seconds (developer guide)."""

    page_items_served_max: int = 1_000
    """A page may be shorter than asked for and yet not the last."""

    page_bytes_served_max: int = 1 << 20
    """For how many bytes of JSON a page has room, whatever was asked for; counts stop there too. About 1 MB."""

    start_by_timestamp: bool = False
    """Whether `startAtPreviousStartedEvent` goes by time, as documented, or by event id, as measured. They differ
    if earlier events share the millisecond."""

    previous_counts_timed_out: bool = False
    """Whether `previousStartedEventId` moves on over a decision task that timed out."""

    sticky_persists: bool = True
    """Whether an override of the decision task list outlives an answer that names none."""

    failed_decision_blocks_close: bool = False
    """Whether a close fails with UNHANDLED_DECISION after a decision of its own batch has failed."""

    child_policy_applies: tuple[CloseStatus, ...] = ("COMPLETED", "FAILED", "CANCELED", "TERMINATED", "TIMED_OUT")
    """The closes at which the child policy is applied. Recorded for COMPLETED, documented for the last two."""

    heartbeat_keeps_details: bool = True
    """Whether a heartbeat without details leaves those of the one before."""

    lambda_ids_unique: bool = False
    """Whether the id of an open Lambda task is refused for another one. Documented, and not what was measured."""

    lambda_available: bool = True
    """Whether the region has Lambda."""

    openings_count_started_decision: bool = False
    """Whether `openDecisionTasks` counts a started task. Recorded answers say 0."""

    cancel_requested_after_close: bool = False
    """Whether a closed execution still says `cancelRequested`. Recorded answers say false."""

    default_undefined_names_default: bool = True
    """Whether DefaultUndefinedFault says `defaultTaskList` or `taskList`."""

    denied: tuple[str, ...] = ()
    """Operations and decisions, by SWF's names, that the caller may not use (IAM)."""


class LambdaCall(msgspec.Struct, frozen=True, kw_only=True):
    """What a Lambda task asks."""

    execution: WorkflowExecution
    id: str
    name: str
    input: str
    role: str


class LambdaOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a Lambda function answers, `after` some time: a result, or if `reason` is given a failure."""

    result: str | None = None
    reason: str | None = None
    details: str | None = None
    after: timedelta = timedelta(0)
