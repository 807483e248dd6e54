"""Fit decisions into responses: as many as one may carry, and a way to get another.

Takes decisions; gives those that are sent now. When there is more, they end with a timer of no length, whose firing
brings the next decision task (SWF has no other way to force one).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from traction import decisions as d

DECISIONS_MAX: Final = 100
"""The most decisions in one response. SWF's own quota was 100 for years; what bounds a response today is its size."""

DECISION_CHARS_MAX: Final = 500_000
"""The most characters of payload in one response: half of the 1 MB that SWF takes, to leave room for escapes."""

MORE: Final = "~more-"
"""How the ids of the timers begin that bring the next decision task when there is more to send."""


def measure(decisions: Iterable[d.Decision]) -> int:
    """Count the characters of the payloads of decisions."""
    return sum(
        len(getattr(decision, name, None) or "") for decision in decisions for name in ("input", "result", "details")
    )


def choose(asked: Sequence[d.Decision], event_id: int, *, more: bool = False) -> list[d.Decision]:
    """Take as many from the head of what is asked as one response may carry.

    Args:
        asked: what waits to be sent; of a long queue, one more than fits is enough.
        event_id: the DecisionTaskStarted that it answers, for the id of the timer.
        more: whether another decision task is wanted in any case.
    """
    chosen: list[d.Decision] = []
    chars = 0
    for decision in asked:
        chars += measure((decision,))
        left = len(asked) - len(chosen) + more
        if (len(chosen) == DECISIONS_MAX - 1 and left > 1) or chars > DECISION_CHARS_MAX:
            more = True
            break
        chosen.append(decision)
    if more:
        chosen.append(d.StartTimer(timer_id=f"{MORE}{event_id}", start_to_fire_timeout="0"))
    return chosen
