"""A priority queue of alarms, ordered by (due, rank, order of setting). Reads no clock.

Theory of operation. Most alarms are timeouts, and most timeouts are postponed (a heartbeat) or cleared (a task closes)
before they are due, so neither searches the heap. An alarm holds a reference to its one valid entry there. Clearing it
drops the reference. Postponing it changes `due` and leaves the entry in place, which is corrected when it reaches the
top. Entries without an alarm are dropped when they reach the top, or all at once when they are more than half of the
heap, so its size stays proportional to the pending alarms. Alarms that are far away and never change, the ends of
retention, have a heap of their own: they are added nearly in order, which is cheap, and do not slow down the others.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from datetime import datetime
from heapq import heapify, heappop, heappush, heapreplace
from typing import ClassVar, TypeAlias

import msgspec

EFFECT = 0
"""The rank of the effects of a batch of decisions, including timers: in the order of the decisions."""

TASK = 1
"""The rank of the timeouts of tasks."""

EXECUTION = 2
"""The rank of the timeouts of executions, so that a task due at the same instant still gets its event."""

_STALE_MIN = 256
"""With fewer stale entries, the heap is not rebuilt."""


class Alarm(msgspec.Struct, eq=False):
    """An object whose `fire` is called at a time."""

    rank: ClassVar[int] = TASK

    due: datetime | None = None
    sequence: int = 0
    entry: Entry | None = None

    @abstractmethod
    def fire(self, now: datetime) -> None:
        """Handle the alarm."""


Entry: TypeAlias = tuple[datetime, int, int, Alarm]


class Effect(Alarm, kw_only=True):
    """A function that is called once, after a batch of decisions."""

    rank = EFFECT

    act: Callable[[datetime], None]

    def fire(self, now: datetime) -> None:
        self.act(now)


class Alarms:
    """The alarms that are set, soonest first."""

    __slots__ = ("_fixed", "_heap", "_sequence", "_stale")

    def __init__(self) -> None:
        self._heap: list[Entry] = []
        self._fixed: list[Entry] = []
        self._sequence = 0
        self._stale = 0

    def set(self, alarm: Alarm, due: datetime) -> None:
        """Set the alarm to this time, instead of any earlier setting."""
        self._sequence = sequence = self._sequence + 1
        alarm.due = due
        alarm.sequence = sequence
        entry = alarm.entry
        if entry is not None:
            if due >= entry[0]:
                return
            alarm.entry = None
            self._count_stale()
        alarm.entry = entry = (due, alarm.rank, sequence, alarm)
        heappush(self._heap, entry)

    def fix(self, alarm: Alarm, due: datetime) -> None:
        """Set the alarm to this time for good: it must not be set or cleared again until then."""
        self.clear(alarm)
        self._sequence = sequence = self._sequence + 1
        alarm.due = due
        alarm.sequence = sequence
        alarm.entry = entry = (due, alarm.rank, sequence, alarm)
        heappush(self._fixed, entry)

    def clear(self, alarm: Alarm) -> None:
        if alarm.entry is None:
            return
        alarm.due = alarm.entry = None
        self._count_stale()

    def _count_stale(self) -> None:
        self._stale += 1
        if self._stale > _STALE_MIN and self._stale * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[3].entry is entry]
            heapify(self._heap)
            self._stale = 0

    def find_next(self) -> datetime | None:
        """Return when the soonest alarm is due, if any is set."""
        heap = self._settle()
        return heap[0][0] if heap else None

    def find_rank(self) -> int | None:
        """Return the rank of the soonest alarm, if any is set."""
        heap = self._settle()
        return heap[0][1] if heap else None

    def is_due(self, now: datetime) -> bool:
        """Whether an alarm may be due. Cheap; may be a false positive."""
        heap, fixed = self._heap, self._fixed
        return bool((heap and heap[0][0] <= now) or (fixed and fixed[0][0] <= now))

    def take_due(self, now: datetime) -> tuple[datetime, Alarm] | None:
        """Remove and return the soonest alarm and its time, if it is due at or before `now`."""
        heap = self._settle()
        if not heap or heap[0][0] > now:
            return None
        due, _, _, alarm = heappop(heap)
        alarm.due = alarm.entry = None
        return due, alarm

    def _settle(self) -> list[Entry]:
        """Move a valid entry to the top of the heap. Return the heap that has the soonest entry."""
        heap, fixed = self._heap, self._fixed
        while heap:
            entry = heap[0]
            _, rank, sequence, alarm = entry
            if alarm.entry is not entry:
                heappop(heap)
                self._stale -= 1
            elif alarm.sequence != sequence and alarm.due is not None:
                alarm.entry = (alarm.due, rank, alarm.sequence, alarm)
                heapreplace(heap, alarm.entry)
            else:
                return fixed if fixed and fixed[0] < entry else heap
        return fixed
