"""Spans, retries, and the rounding by which nothing fires early."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs

from traction.flow.durations import SPAN_SECONDS_MAX, days, hours, minutes, seconds, to_duration, to_timedelta
from traction.flow.retry import Retry

longest = timedelta(seconds=SPAN_SECONDS_MAX)
timedeltas = st.timedeltas(min_value=timedelta(0), max_value=longest)
numbers = st.integers(0, SPAN_SECONDS_MAX) | st.floats(0, SPAN_SECONDS_MAX)
spans = timedeltas | numbers


@given(timedeltas)
@example(timedelta(microseconds=1))
@example(timedelta(seconds=99_999_998, microseconds=1))
def test_a_duration_is_rounded_up_to_whole_seconds(span: timedelta) -> None:
    written = timedelta(seconds=int(to_duration(span)))
    assert span <= written < span + timedelta(seconds=1)


@given(spans)
def test_a_duration_has_at_most_the_8_digits_that_swf_reads(span: timedelta | float) -> None:
    duration = to_duration(span)
    assert duration.isdecimal()
    assert len(duration) <= 8


@given(st.integers(0, SPAN_SECONDS_MAX))
def test_a_whole_number_of_seconds_is_written_as_it_is(number: int) -> None:
    assert to_duration(number) == str(number)


@given(numbers)
def test_a_number_is_a_span_in_seconds(number: float) -> None:
    assert to_timedelta(number) == timedelta(seconds=number)


@given(timedeltas)
def test_a_timedelta_is_taken_as_it_is(span: timedelta) -> None:
    assert to_timedelta(span) is span


def test_units_name_the_same_span() -> None:
    assert days(1) == hours(24) == minutes(24 * 60) == seconds(24 * 60 * 60) == timedelta(days=1)


@pytest.mark.parametrize("span", [-1, -1e-9, -0.5, timedelta(microseconds=-1), float("nan"), float("-inf")])
def test_a_span_that_is_not_zero_or_more_is_refused(span: Any) -> None:
    with pytest.raises(ValueError, match="zero seconds or more"):
        to_timedelta(span)


@pytest.mark.parametrize(
    "span",
    [SPAN_SECONDS_MAX + 1, 1e15, 1e300, 10**400, float("inf"), longest + timedelta(microseconds=1), timedelta.max],
)
def test_a_span_longer_than_swf_accepts_is_rejected(span: Any) -> None:
    with pytest.raises(ValueError, match="too long"):
        to_timedelta(span)


@pytest.mark.parametrize("span", ["60", None, True, [1], object])
def test_values_that_are_not_spans_are_rejected(span: Any) -> None:
    with pytest.raises(TypeError, match="not a time span"):
        to_timedelta(span)


attempts = st.integers(1, 10_000)
retries = st.builds(Retry, attempts=attempts, backoff=spans, max_delay=spans)


@given(retries, attempts)
@example(Retry(attempts=100, backoff=hours(1)), 99)
@example(Retry(attempts=100, backoff=longest, max_delay=longest), 99)
def test_a_pause_is_never_longer_than_the_longest(retry: Retry, attempt: int) -> None:
    delay = retry.find_delay(attempt)
    assert delay is None or timedelta(0) <= delay <= to_timedelta(retry.max_delay)


@given(retries, attempts)
def test_there_is_a_pause_exactly_while_there_are_attempts_left(retry: Retry, attempt: int) -> None:
    assert (retry.find_delay(attempt) is None) == (attempt >= retry.attempts)


@given(retries, st.integers(1, 100))
def test_each_pause_is_twice_the_one_before_until_the_longest_is_reached(retry: Retry, attempt: int) -> None:
    before, after = retry.find_delay(attempt), retry.find_delay(attempt + 1)
    if before is not None and after is not None:
        assert after == min(before * 2, to_timedelta(retry.max_delay))


@given(spans, spans)
def test_the_first_pause_is_the_backoff_or_the_longest(backoff: Any, max_delay: Any) -> None:
    first = Retry(attempts=2, backoff=backoff, max_delay=max_delay).find_delay(1)
    assert first == min(to_timedelta(backoff), to_timedelta(max_delay))


def test_a_backoff_of_a_microsecond_grows_until_the_longest_span_of_all() -> None:
    assert Retry(attempts=100, backoff=timedelta.resolution, max_delay=longest).find_delay(99) == longest


@pytest.mark.parametrize("attempts", [0, -1])
def test_a_retry_has_at_least_one_attempt(attempts: int) -> None:
    with pytest.raises(ValueError, match="attempts must be at least 1"):
        Retry(attempts=attempts)


@pytest.mark.parametrize("attempts", ["3", 2.5, True, None])
def test_a_number_of_attempts_is_an_int(attempts: Any) -> None:
    with pytest.raises(TypeError, match="attempts"):
        Retry(attempts=attempts)


@pytest.mark.parametrize("name", ["backoff", "max_delay"])
def test_a_retry_names_the_span_that_is_wrong(name: str) -> None:
    with pytest.raises(ValueError, match=f"Retry\\({name}=-1\\)"):
        Retry(**{name: -1})  # type: ignore[arg-type]


kinds = st.sampled_from([ValueError, KeyError, LookupError, UnicodeError])
several = st.lists(kinds, max_size=2).map(tuple)


@given(retries, attempts, kinds, st.none() | several, several)
@example(Retry(attempts=2), 1, KeyError, (LookupError,), (KeyError,))
def test_a_failure_is_tried_again_after_exactly_if_it_is_wanted_and_not_given_up_on(
    retry: Retry, attempt: int, kind: Any, retry_on: Any, give_up_on: Any
) -> None:
    retry = structs.replace(retry, retry_on=retry_on, give_up_on=give_up_on)
    wanted = (retry_on is None or issubclass(kind, retry_on)) and not issubclass(kind, give_up_on)
    assert retry.find_pause(attempt, kind("no")) == (retry.find_delay(attempt) if wanted else None)


@given(retries, attempts, spans, spans)
@example(Retry(attempts=2, backoff=5), 1, 15, 10)
def test_no_attempt_begins_after_the_deadline(retry: Retry, attempt: int, deadline: Any, elapsed: Any) -> None:
    retry, elapsed = structs.replace(retry, deadline=deadline), to_timedelta(elapsed)
    delay = retry.find_delay(attempt)
    begins = delay is not None and elapsed + delay <= to_timedelta(deadline)
    assert retry.find_pause(attempt, ValueError("no"), elapsed=elapsed) == (delay if begins else None)


@given(retries, st.floats(0, 1), st.floats(0, 1, exclude_max=True))
def test_chance_shortens_a_pause_by_no_more_than_the_jitter(retry: Retry, jitter: float, chance: float) -> None:
    retry = structs.replace(retry, attempts=2, jitter=jitter)
    delay, pause = retry.find_delay(1), retry.find_pause(1, ValueError("no"), chance=chance)
    assert delay is not None
    assert pause is not None
    assert delay * (1 - jitter) - timedelta.resolution <= pause <= delay


def test_retries_are_values() -> None:
    assert Retry(attempts=5) == Retry(attempts=5)
    assert hash(Retry(attempts=5)) == hash(Retry(attempts=5))
