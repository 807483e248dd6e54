"""Split decisions into responses that SWF accepts, and request another decision task if some remain.

SWF has no way to force a decision task, so a response that leaves decisions to the next one ends with a timer of zero
seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from traction.model import decisions as d
from traction.model.sizes import ESCAPE_BYTES_MAX, is_surely_below, measure
from traction.payloads.codec import PAYLOAD_CHARS_MAX

DECISIONS_MAX: Final = 100
"""The most decisions in one response. SWF's quota was 100 for years; today it limits only the size of a response."""

DECISION_BYTES_MAX: Final = 980_000
"""The most bytes of decisions in one response, the state included. SWF accepts about 1 MB, and the task token, the task
list and the last timer need some of it."""

MARKER_BYTES_MAX: Final = DECISION_BYTES_MAX - PAYLOAD_CHARS_MAX * ESCAPE_BYTES_MAX
"""The most bytes of the markers in one response. The rest is for a state, which may be published after them."""

MARKER_BYTES_LONGEST: Final = (PAYLOAD_CHARS_MAX + 512) * ESCAPE_BYTES_MAX
"""The most bytes of one marker: its details, its name, and the names of its members."""

MORE: Final = "~more-"
"""The prefix of the ids of timers that request another decision task when decisions remain."""


def measure_state(state: str | None) -> int:
    """Return how many bytes a state adds to a response."""
    return 0 if state is None else measure({"executionContext": state})


def choose(
    queue: Iterable[d.Decision], event_id: int, *, more: bool = False, state: str | None = None
) -> list[d.Decision]:
    """Return the first decisions that fit into one response.

    Args:
        queue: the queued decisions; of a long queue, one more than fits is enough.
        event_id: the DecisionTaskStarted of this response, for the id of the timer.
        more: whether to request another decision task in any case.
        state: the state that goes with them.
    """
    decisions: Sequence[d.Decision] = tuple(queue)
    chosen: list[d.Decision] = []
    head = decisions[:DECISIONS_MAX]
    fits = is_surely_below((head, state), DECISION_BYTES_MAX, len(head))
    size = 0 if fits else measure_state(state)
    for decision in decisions:
        size += 0 if fits else measure(decision)
        left = len(decisions) - len(chosen) + more
        # A decision alone always fits beside a state.
        if (len(chosen) == DECISIONS_MAX - 1 and left > 1) or (size > DECISION_BYTES_MAX and chosen):
            more = True
            break
        chosen.append(decision)
    if more:
        chosen.append(d.StartTimer(timer_id=f"{MORE}{event_id}", start_to_fire_timeout="0"))
    return chosen
