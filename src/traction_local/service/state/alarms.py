"""Remember what is to happen, and when.

Takes alarms and the times at which they are due; gives them back in order of (due, rank, when set).
Never looks at a clock.

Theory of operation. Most alarms are timeouts, and most timeouts are put off (a heartbeat) or called off (a
task closes) before they are due; so both cost no search in the heap. An alarm knows its one valid entry
there. To call off is to forget the entry; to put off is to move `due` and leave the entry where it is,
which is mended when it comes up. Entries that no alarm knows any more are dropped when they come up, or all
at once when they are the greater part of the heap: so the heap stays in proportion to what is pending.
What is far away and never changed, the ends of retention, has a heap of its own: it comes nearly in order, so
it costs nothing to add, and what is near does not sift through it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from heapq import heapify, heappop, heappush, heapreplace
from typing import ClassVar, TypeAlias

EFFECT = 0
"""The rank of what follows from a batch of decisions, timers included: in the order that they were asked."""

TASK = 1
"""The rank of the timeouts of tasks."""

EXECUTION = 2
"""The rank of the timeouts of executions, so that a task due at the same instant still gets its event."""

_STALE_MIN = 256
"""Below this many stale entries, tidying up costs more than it gives."""


class Alarm(ABC):
    """Something with a time at which it is due. What it does then is `fire`."""

    __slots__ = ("due", "entry", "sequence")

    rank: ClassVar[int] = TASK

    due: datetime | None
    sequence: int
    entry: Entry | None

    def __init__(self) -> None:
        self.due = None
        self.entry = None

    @abstractmethod
    def fire(self, now: datetime) -> None:
        """Do what is due at `now`."""


Entry: TypeAlias = tuple[datetime, int, int, Alarm]


class Effect(Alarm):
    """A step that follows from another, once and soon."""

    __slots__ = ("act",)

    rank = EFFECT

    def __init__(self, act: Callable[[datetime], None]) -> None:
        super().__init__()
        self.act = act

    def fire(self, now: datetime) -> None:
        self.act(now)


class Alarms:
    """All alarms that are set, soonest first."""

    __slots__ = ("_fixed", "_heap", "_sequence", "_stale")

    def __init__(self) -> None:
        self._heap: list[Entry] = []
        self._fixed: list[Entry] = []
        self._sequence = 0
        self._stale = 0

    def set(self, alarm: Alarm, due: datetime) -> None:
        """Make the alarm due at this time and no other."""
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
        """Make the alarm due at this time for good: until then it is neither set nor called off again."""
        self.clear(alarm)
        self._sequence = sequence = self._sequence + 1
        alarm.due = due
        alarm.sequence = sequence
        alarm.entry = entry = (due, alarm.rank, sequence, alarm)
        heappush(self._fixed, entry)

    def clear(self, alarm: Alarm) -> None:
        """Call the alarm off, if it is set."""
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
        """When the soonest alarm is due, if any is set."""
        heap = self._settle()
        return heap[0][0] if heap else None

    def find_rank(self) -> int | None:
        """The rank of the soonest alarm, if any is set."""
        heap = self._settle()
        return heap[0][1] if heap else None

    def is_due(self, now: datetime) -> bool:
        """Whether it is worth asking `take_due`. Cheap, and at times too hopeful."""
        heap, fixed = self._heap, self._fixed
        return bool((heap and heap[0][0] <= now) or (fixed and fixed[0][0] <= now))

    def take_due(self, now: datetime) -> tuple[datetime, Alarm] | None:
        """Take the soonest alarm and its time, if it is due at or before `now`."""
        heap = self._settle()
        if not heap or heap[0][0] > now:
            return None
        due, _, _, alarm = heappop(heap)
        alarm.due = alarm.entry = None
        return due, alarm

    def _settle(self) -> list[Entry]:
        """Bring a valid entry to the top of the heap; give the heap whose top is the soonest of all."""
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
