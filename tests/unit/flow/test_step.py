"""Steps are frozen, and checked when they are built."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traction.flow.combinators import all_of, done, each, first_of, now, random, sleep, sleep_until, step, uuid4, uuid7
from traction.flow.step import Both, Done, First, Step, find_segment_fault
from traction.model.names import find_name_error
from traction.payloads.codec import Codec
from traction.testing.laws.history_generator import generate_history
from traction.testing.laws.laws import to_workflow


def read(s: Step[Any]) -> str:
    """Give the result of a step that asks for nothing."""
    closed = generate_history(to_workflow(s), codec=Codec()).closed
    return str(getattr(closed, "result", None)).strip('"')


def test_a_step_is_frozen() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        done(1).value = 2  # type: ignore[attr-defined]


def test_nothing_runs_when_a_step_is_built() -> None:
    called: list[Any] = []

    @step
    def helper() -> Step[None]:
        called.append("helper")
        return done(None)

    helper().map(called.append).flat_map(called.append).recover(Exception, called.append).ensure(helper())  # type: ignore[arg-type]
    each(called.append, [1, 2])  # type: ignore[arg-type]
    assert called == []


def test_three_by_and_are_one_group_of_three() -> None:
    a, b, c = done(1), done(2), done(3)
    assert a & b & c == Both((a, b, c))
    assert all_of(a & b, c) == Both((Both((a, b)), c))


def test_three_by_or_are_one_race_of_three() -> None:
    a, b, c = done(1), done(2), done(3)
    assert (a | b) | c == First((a, b, c))


@pytest.mark.parametrize("say", [lambda: done(1) & 2, lambda: done(1) | 2], ids=["&", "|"])
def test_a_group_rejects_values_that_are_not_steps(say: Any) -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        say()


@pytest.mark.parametrize("say", [all_of, first_of])
def test_a_group_names_the_item_that_is_not_a_step(say: Any) -> None:
    with pytest.raises(TypeError, match=rf"{say.__name__}: item 1: expected a step, got a value of type str"):
        say([done(1), "two"])


def test_one_iterable_gives_a_list_and_several_steps_a_tuple() -> None:
    assert read(all_of([done(1), done(2)])) == "[1, 2]"
    assert read(all_of(done(1), done(2))) == "(1, 2)"
    assert read(all_of([])) == "[]"


def test_first_of_needs_at_least_one_step() -> None:
    with pytest.raises(ValueError, match="at least one step"):
        first_of([])


@pytest.mark.parametrize("number", [2.5, "2", True])
@pytest.mark.parametrize("option", ["limit", "max_failures"])
def test_each_counts_items_in_whole_numbers(option: str, number: Any) -> None:
    options: Any = {option: number}
    with pytest.raises(TypeError, match=rf"each\({option}=.*an int"):
        each(done, [1], **options)
    if option == "max_failures":
        with pytest.raises(TypeError, match=r"all_of\(max_failures=.*an int"):
            all_of([done(1)], **options)


@pytest.mark.parametrize("what", ["map", "flat_map", "compensate"])
def test_what_follows_a_step_is_a_function(what: str) -> None:
    with pytest.raises(TypeError, match=rf"^{what}\(a value of type int\): expected a function"):
        getattr(done(1), what)(7)
    with pytest.raises(TypeError, match=r"^recover\(.*expected a function"):
        done(1).recover(ValueError, done(2))  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [0, -1])
def test_each_does_at_least_one_at_a_time(limit: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        each(done, [1], limit=limit)


def test_recover_rejects_values_that_are_not_exception_types() -> None:
    for errors in (ValueError("no"), "ValueError", (ValueError, 3), int):
        with pytest.raises(TypeError, match="is not an exception type"):
            done(1).recover(errors, done)  # type: ignore[type-var, arg-type]


@pytest.mark.parametrize("span", [-1, timedelta(seconds=-1), float("nan"), float("inf"), 100_000_000])
def test_a_span_that_swf_does_not_accept_is_rejected(span: Any) -> None:
    with pytest.raises(ValueError, match=r"a time span (must|has)"):
        sleep(span)


def test_an_instant_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a time zone"):
        sleep_until(datetime(2026, 1, 1))  # noqa: DTZ001


def test_waiting_until_an_instant_that_has_passed_asks_for_nothing() -> None:
    played = generate_history(to_workflow(sleep_until(datetime(2020, 1, 1, tzinfo=UTC))), codec=Codec())
    assert len(played.decisions) == 1


def test_waiting_until_an_instant_waits_for_what_is_left() -> None:
    played = generate_history(
        to_workflow(now().flat_map(lambda t: sleep_until(t + timedelta(seconds=90)))), codec=Codec()
    )
    (timer,) = played.decisions[3]
    assert timer.start_to_fire_timeout == "90"  # type: ignore[union-attr]


@given(st.text())
def test_a_name_that_is_taken_makes_ids_that_swf_takes(name: str) -> None:
    if find_segment_fault(name) is None:
        assert find_name_error(f"{name}.work-1") is None
        assert done(1).named(name).name == name  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["", " x", "7", "a.b", "a~b", "a:b", "a/b", "a|b", "a\nb", "x" * 65])
def test_a_name_that_could_be_mistaken_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="named"):
        done(1).named(name)


def test_chance_is_a_function_of_the_place_alone() -> None:
    once, again = (read(all_of(uuid4(), random(), uuid4())) for _ in range(2))
    assert once == again
    assert len(set(once.strip("()").split(", "))) == 3


def test_a_uuid_is_of_version_4() -> None:
    assert read(uuid4())[14] == "4"
    assert read(uuid4())[19] in "89ab"


@step
async def stamp(naps: list[int]) -> list[tuple[int, UUID]]:
    """Draw stamps side by side, with naps between; give each with the milliseconds of its time."""
    stamped = []
    for seconds in naps:
        if seconds:
            await sleep(seconds)
        ms = int((await now()).timestamp() * 1000)
        stamped += [(ms, one) for one in await all_of([uuid7(), uuid7().named("x")])]
    return stamped


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_uuids_of_version_7_grow_within_a_run_and_begin_with_its_time(naps: list[int]) -> None:
    stamped: list[tuple[int, UUID]] = []
    read(stamp(naps).map(stamped.extend))
    ids = [one for _, one in stamped]
    assert ids == sorted(set(ids))
    assert {(one.version, one.variant) for one in ids} == {(7, "specified in RFC 4122")}
    assert [one.int >> 80 for one in ids] == [ms for ms, _ in stamped]


def test_more_uuids_of_version_7_than_a_millisecond_has_room_for_still_grow() -> None:
    ids: list[UUID] = []
    read(all_of([uuid7() for _ in range(5_000)]).map(ids.extend))
    assert ids == sorted(set(ids))
    assert ids[-1].int >> 80 == (ids[0].int >> 80) + 1


def test_a_uuid_of_version_7_is_the_same_on_every_replay() -> None:
    whole, chunked = (
        generate_history(to_workflow(stamp([0, 1, 1])), incremental=one, codec=Codec()) for one in (False, True)
    )
    assert whole.decisions == chunked.decisions


@given(st.integers(0, 50))
def test_chance_is_at_least_0_and_less_than_1(n: int) -> None:
    assert 0 <= float(read(random().named(f"place-{n}"))) < 1


def test_a_helper_keeps_the_name_of_its_function() -> None:
    @step
    async def book(n: int) -> int:
        """Book."""
        return n

    assert (book.__name__, book.__doc__) == ("book", "Book.")
    assert read(book(3)) == "3"


def test_a_helper_step_can_be_built_once_and_awaited_twice() -> None:
    @step
    async def book(n: int) -> int:
        return n

    twice = book(3)
    assert read(twice & twice) == "(3, 3)"


def test_a_step_of_a_value_is_equal_to_another_of_an_equal_value() -> None:
    assert done([1]) == Done([1])
    assert done(1) != done(2)
