"""Cut decisions into responses that SWF accepts, and request another decision task if some remain.

SWF has no way to force a decision task, so a response that leaves something behind ends with a timer of zero seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from traction.model import decisions as d
from traction.model.sizes import ESCAPE_BYTES_MAX, is_surely_below, measure
from traction.payloads.codec import PAYLOAD_CHARS_MAX

DECISIONS_MAX: Final = 100
"""The most decisions in one response. SWF's own quota was 100 for years; what bounds a response today is its size."""

DECISION_BYTES_MAX: Final = 980_000
"""The most bytes of decisions in one response, the report included. SWF takes about 1 MB, and the task token, the task
list and the last timer need some of it."""

MARKER_BYTES_MAX: Final = DECISION_BYTES_MAX - PAYLOAD_CHARS_MAX * ESCAPE_BYTES_MAX
"""The most bytes of the markers in one response. The rest is for a report, which may be made after them."""

MARKER_BYTES_LONGEST: Final = (PAYLOAD_CHARS_MAX + 512) * ESCAPE_BYTES_MAX
"""The most bytes of one marker: its details, its name, and the names of its members."""

MORE: Final = "~more-"
"""The prefix of the ids of timers that request another decision task when decisions remain."""


def measure_report(report: str | None) -> int:
    """Return how many bytes a report adds to a response."""
    return 0 if report is None else measure({"executionContext": report})


def choose(
    asked: Iterable[d.Decision], event_id: int, *, more: bool = False, report: str | None = None
) -> list[d.Decision]:
    """Return the first decisions that fit into one response.

    Args:
        asked: the queued decisions; of a long queue, one more than fits is enough.
        event_id: the DecisionTaskStarted of this response, for the id of the timer.
        more: whether to request another decision task in any case.
        report: the report that goes with them.
    """
    queue: Sequence[d.Decision] = tuple(asked)
    chosen: list[d.Decision] = []
    head = queue[:DECISIONS_MAX]
    fits = is_surely_below((head, report), DECISION_BYTES_MAX, len(head))
    size = 0 if fits else measure_report(report)
    for decision in queue:
        size += 0 if fits else measure(decision)
        left = len(queue) - len(chosen) + more
        # A decision alone always fits beside a report.
        if (len(chosen) == DECISIONS_MAX - 1 and left > 1) or (size > DECISION_BYTES_MAX and chosen):
            more = True
            break
        chosen.append(decision)
    if more:
        chosen.append(d.StartTimer(timer_id=f"{MORE}{event_id}", start_to_fire_timeout="0"))
    return chosen
