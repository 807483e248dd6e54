"""Retry policies."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from traction.errors import PayloadError
from traction.flow.durations import Span, to_timedelta
from traction.payloads.exception_names import is_one_of


class Retry(msgspec.Struct, frozen=True):
    """Try an activity again when it fails or times out, after a pause that doubles.

    `attempts` counts the first try. The pause before attempt `n + 1` is `backoff * 2 ** (n - 1)`, at most
    `max_delay`. The decider schedules each attempt itself and keeps time by durable timers, because SWF
    never retries an activity. So a pause may last for days, whatever happens to workers.
    """

    attempts: int = 3
    """How many attempts there are, the first included."""
    backoff: Span = timedelta(seconds=1)
    """The pause after the first attempt; it doubles with each."""
    max_delay: Span = timedelta(hours=1)
    """The longest pause."""
    jitter: float = 0.0
    """How much of a pause is left to chance, from 0 to 1. The chance is the run's own, the same on every replay."""
    give_up_on: tuple[str | type[Exception], ...] = ()
    """Failures not to retry: exception types, with their subclasses, or names of types."""
    retry_on: tuple[str | type[Exception], ...] | None = None
    """The only failures to retry, in the same form; all of them by default."""
    deadline: Span | None = None
    """How long after the first attempt began no further one begins."""

    def __post_init__(self) -> None:
        if not isinstance(self.attempts, int) or isinstance(self.attempts, bool):
            raise TypeError(f"Retry(attempts={self.attempts!r}): attempts must be an int")
        if self.attempts < 1:
            raise ValueError(
                f"Retry(attempts={self.attempts}): attempts must be at least 1 (it counts the first attempt)"
            )
        for name, span in (("backoff", self.backoff), ("max_delay", self.max_delay), ("deadline", self.deadline)):
            if span is None and name == "deadline":
                continue
            try:
                to_timedelta(span)  # type: ignore[arg-type]
            except (TypeError, ValueError) as error:
                raise type(error)(f"Retry({name}={span!r}): {error}") from None
        if not isinstance(self.jitter, int | float) or isinstance(self.jitter, bool):
            raise TypeError(f"Retry(jitter={self.jitter!r}): jitter must be a number, the random fraction of a delay")
        if not 0 <= self.jitter <= 1:
            raise ValueError(
                f"Retry(jitter={self.jitter!r}): jitter must be from 0 to 1, the random fraction of a delay"
            )
        self._check_kinds("give_up_on", self.give_up_on)
        if self.retry_on is not None:
            self._check_kinds("retry_on", self.retry_on)

    @staticmethod
    def _check_kinds(name: str, kinds: Any) -> None:
        if not isinstance(kinds, tuple):
            only = kinds.__name__ if isinstance(kinds, type) else repr(kinds)
            raise TypeError(f"Retry({name}={only:.100}): expected a tuple; write {name}=({only:.100},)")
        for one in kinds:
            if not isinstance(one, str) and not (isinstance(one, type) and issubclass(one, Exception)):
                raise TypeError(f"Retry({name}={kinds!r:.100}): {one!r:.100} is neither an exception type nor its name")

    def find_delay(self, attempt: int) -> timedelta | None:
        """Return how long to wait after attempt number `attempt` (from 1) has failed, or `None` to give up.

        Example:
            >>> [str(Retry(attempts=4, backoff=10).find_delay(n)) for n in (1, 2, 3, 4)]
            ['0:00:10', '0:00:20', '0:00:40', 'None']
        """
        if attempt >= self.attempts:
            return None
        # In whole microseconds, which cannot overflow. 2 ** 47 of them are longer than any span: there the cap decides.
        doubled = to_timedelta(self.backoff) // timedelta.resolution << min(attempt - 1, 47)
        return min(doubled, to_timedelta(self.max_delay) // timedelta.resolution) * timedelta.resolution

    def find_pause(
        self, attempt: int, error: Exception, *, elapsed: timedelta = timedelta(0), chance: float = 0.0
    ) -> timedelta | None:
        """Return how long to wait after a failed attempt, or `None` to give up. A `PayloadError` is final.

        Args:
            attempt: which one failed, from 1.
            error: how it failed.
            elapsed: how long ago the first attempt began.
            chance: a number in [0, 1), for the jitter.
        """
        # What could not be written or read once cannot be the next time.
        if is_one_of(error, (PayloadError, *self.give_up_on)) or not (
            self.retry_on is None or is_one_of(error, self.retry_on)
        ):
            return None
        pause = self.find_delay(attempt)
        if pause is None:
            return None
        pause -= pause * self.jitter * chance
        if self.deadline is not None and elapsed + pause > to_timedelta(self.deadline):
            return None
        return pause
