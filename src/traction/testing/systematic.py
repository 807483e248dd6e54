"""Systematic exploration: run a test under every schedule with up to a number of deviations from the plain run.

Breadth first: the plain run, then all runs with one deviation, then with two. A run has the number of alternatives of
each of its choices, so the schedules with one deviation more follow from it. None is left out: two runs with equal
histories may have done their work in another order, and only a later event shows the difference.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from traction.model import events as e
from traction_local.simulation.run import SimulatedRun
from traction_local.simulation.schedule import Deviations

RUNS_MAX: Final = 100_000
"""The default number of runs after which a systematic exploration stops."""


class Coverage(msgspec.Struct, frozen=True):
    """What a systematic exploration covered."""

    deviations: int
    """The maximal number of deviations."""
    runs: int
    """The number of runs."""
    histories: int
    """The number of different histories."""
    complete: bool
    """Whether all schedules with at most that number of deviations were run."""

    def __str__(self) -> str:
        what = "all" if self.complete else "the first"
        return f"{what} {self.runs} runs with up to {self.deviations} deviations: {self.histories} different histories"


def cover(run: Callable[[Deviations], SimulatedRun[Any]], deviations: int, runs_max: int) -> Coverage:
    """Call `run` with every schedule that has at most `deviations` deviations."""
    __tracebackhide__ = True
    waiting: deque[dict[int, int]] = deque([{}])
    histories: set[str] = set()
    runs = 0
    while waiting and runs < runs_max:
        choices = waiting.popleft()
        result = run(Deviations(choices))
        runs += 1
        histories.add(describe_history(result.history))
        if len(choices) < deviations:
            waiting += add_deviation(choices, result.widths)
    return Coverage(deviations, runs, len(histories), not waiting)


def add_deviation(choices: dict[int, int], widths: Sequence[int]) -> Iterator[dict[int, int]]:
    """Yield all lists with one more deviation, after the last one."""
    for number in range(max(choices, default=-1) + 1, len(widths)):
        for chosen in range(1, widths[number]):
            yield {**choices, number: chosen}


def describe_history(history: list[e.Event]) -> str:
    """Return a text of the events in their order; without times, identities and the numbers of events."""
    texts: list[str] = []
    by_id: dict[int, str] = {}
    for event in history:
        text = by_id[event.event_id] = _describe(event, by_id)
        texts.append(text)
    return "\n".join(texts)


def _describe(event: e.Event, by_id: dict[int, str]) -> str:
    words = [type(event).__name__]
    for field in event.__struct_fields__:
        value = getattr(event, field)
        if field.endswith(("scheduled_event_id", "initiated_event_id")):
            words.append(by_id.get(value, ""))
        elif not (field.endswith("event_id") or field in ("event_timestamp", "identity")) and value is not None:
            words.append(str(value))
    return " ".join(words)
