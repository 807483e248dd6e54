"""Alarms fire in order, whatever was put off, called off, or looked at in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from traction_local.service.state.alarms import EFFECT, EXECUTION, Alarm, Alarms

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)


def at(second: int) -> datetime:
    return NOON + timedelta(seconds=second)


class OfTask(Alarm):
    def fire(self, now: datetime) -> None:
        raise AssertionError("these tests take alarms, and let none fire")


class OfEffect(OfTask):
    rank = EFFECT


class OfExecution(OfTask):
    rank = EXECUTION


steps = st.lists(
    st.tuples(st.sampled_from(["set", "fix", "clear", "look", "take"]), st.integers(0, 5), st.integers(0, 9)),
    max_size=200,
)


@given(steps)
def test_alarms_agree_with_a_list_that_is_sorted_each_time(steps: list[tuple[str, int, int]]) -> None:
    alarms = Alarms()
    kinds = (OfTask, OfEffect, OfExecution)
    known = [kinds[number % 3]() for number in range(6)]
    model: dict[int, tuple[datetime, int, int]] = {}
    fixed: set[int] = set()
    for order, (step, which, second) in enumerate(steps):
        if step in ("set", "fix", "clear") and which in fixed:
            continue
        if step in ("set", "fix"):
            getattr(alarms, step)(known[which], at(second))
            model[which] = (at(second), known[which].rank, order)
            if step == "fix":
                fixed.add(which)
        elif step == "clear":
            alarms.clear(known[which])
            model.pop(which, None)
        elif step == "look":
            assert alarms.find_next() == min((due for due, _, _ in model.values()), default=None)
        else:
            taken = alarms.take_due(at(second))
            expected = min(model, key=lambda number: model[number], default=None)
            if expected is None or model[expected][0] > at(second):
                assert taken is None
            else:
                assert taken == (model.pop(expected)[0], known[expected])
                fixed.discard(expected)


def test_what_was_called_off_takes_no_room() -> None:
    alarms = Alarms()
    kept = OfTask()
    alarms.set(kept, at(10_000))
    for _ in range(10_000):
        alarm = OfTask()
        alarms.set(alarm, at(100))
        alarms.clear(alarm)
    assert len(alarms._heap) < 1000
    assert alarms.find_next() == at(10_000)


def test_what_is_put_off_again_and_again_takes_no_room() -> None:
    alarms = Alarms()
    alarm = OfTask()
    for second in range(10_000):
        alarms.set(alarm, at(second))
    assert len(alarms._heap) == 1
    assert alarms.find_next() == at(9_999)
