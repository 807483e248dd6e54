"""How deciding grows with the flow: by counting instructions, never by the clock; and never by recursion."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from statistics import mode
from types import FrameType
from typing import Any

import pytest

from traction.decider.decider import Decider
from traction.flow.combinators import all_of, done, each, fail, first_of, sleep, step
from traction.flow.step import All, Step
from traction.model import events as e
from traction.payloads.codec import Codec
from traction.testing.laws.flows import work
from traction.testing.laws.history_generator import EXECUTION, derive_outcome, generate_history
from traction.testing.laws.laws import to_workflow


def count_instructions(act: Callable[[], object]) -> int:
    """Count the instructions of Python that are run."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    # Python 3.12 sends opcode events only if a frame asked for them before the trace function is set.
    sys._getframe().f_trace_opcodes = True
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    finally:
        sys.settrace(before)
    return count


@contextmanager
def little_recursion() -> Iterator[None]:
    """Leave room for no more than 150 calls within each other."""
    depth, frame = 0, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 150)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def chain_maps(n: int) -> Step[Any]:
    s: Step[Any] = work(0)
    for _ in range(n):
        s = s.map(lambda x: x + 1)
    return s


def chain_flat_maps(n: int) -> Step[Any]:
    s: Step[Any] = done(0)
    for _ in range(n):
        s = s.flat_map(lambda x: done(x + 1))
    return s


def loop_by_flat_map(n: int) -> Step[Any]:
    return done(n).flat_map(lambda x: loop_by_flat_map(x - 1) if x else done("end"))


def chain_recovers(n: int) -> Step[Any]:
    s = fail(ValueError("no"))
    for _ in range(n):
        s = s.recover(ValueError, fail)
    return s


def chain_finalizers(n: int) -> Step[Any]:
    s: Step[Any] = work(0)
    for _ in range(n):
        s = s.ensure(done(None))
    return s


def nest_groups(n: int) -> Step[Any]:
    s: Step[Any] = work(0)
    for _ in range(n):
        s = all_of([s, done(1)])
    return s.map(lambda _: "end")


def nest_races(n: int) -> Step[Any]:
    s: Step[Any] = work(0)
    for _ in range(n):
        s = first_of(s, sleep(1))
    return s


def nest_helpers(n: int) -> Step[Any]:
    @step
    async def descend(n: int) -> int:
        return await (descend(n - 1) if n else work(0))

    return descend(n)


def nest_names(n: int) -> Step[Any]:
    s: Step[Any] = work(0)
    for _ in range(n):
        s = s.named("deep")
    return s


def await_in_a_loop(n: int) -> Step[Any]:
    @step
    async def loop() -> int:
        total = 0
        for _ in range(n):
            total += await work(1)
        return total

    return loop()


def go_side_by_side(n: int) -> Step[Any]:
    return all_of([work(1) for _ in range(n)]).map(len)


def go_some_at_a_time(n: int) -> Step[Any]:
    return each(work, [1] * n, limit=3).map(len)


def go_on_without_asking(n: int) -> Step[Any]:
    return All(tuple(done(1) for _ in range(n)), 2).map(len)


SHAPES = {
    chain_maps: 100_000,
    chain_flat_maps: 100_000,
    loop_by_flat_map: 100_000,
    chain_recovers: 20_000,
    chain_finalizers: 20_000,
    nest_groups: 2_000,
    nest_races: 2_000,
    nest_helpers: 2_000,
    nest_names: 2_000,
    await_in_a_loop: 20_000,
    go_side_by_side: 2_000,
    go_some_at_a_time: 2_000,
    go_on_without_asking: 20_000,
}


shapes = pytest.mark.parametrize(
    ("shape", "n"), SHAPES.items(), ids=lambda given: getattr(given, "__name__", str(given))
)


@shapes
def test_a_large_flow_is_decided_without_recursion(shape: Callable[[int], Step[Any]], n: int) -> None:
    workflow = to_workflow(shape(n))
    with little_recursion():
        assert generate_history(workflow, outcome=derive_outcome, codec=Codec()).closed is not None


@shapes
def test_deciding_is_linear_in_the_size_of_the_flow(shape: Callable[[int], Step[Any]], n: int) -> None:
    small = max(n // 50, 150)
    cost, four_times = (count_decisions(shape(size)) for size in (small, 4 * small))
    # Four times the instructions, and a little for what grows by steps.
    assert four_times < 4.5 * cost


def count_decisions(flow: Step[Any]) -> int:
    """Count the instructions that it takes to decide the whole of a plain history."""
    workflow, codec = to_workflow(flow), Codec()
    events = generate_history(workflow, outcome=derive_outcome, codec=codec).events
    return count_instructions(lambda: decide_all(workflow, codec, events))


def decide_all(workflow: Any, codec: Codec, events: list[e.Event]) -> None:
    decider = Decider(workflow, execution=EXECUTION, codec=codec)
    decider.feed(events)
    decider.close()


def test_a_large_group_is_cancelled_without_recursion_and_in_linear_time() -> None:
    def cancel(n: int) -> Step[Any]:
        s: Step[Any] = work(0)
        for _ in range(n):
            s = all_of(s, sleep(1)).ensure(done(None))
        return all_of(s, fail(ValueError("no")))

    with little_recursion():
        assert generate_history(to_workflow(cancel(2_000)), codec=Codec()).closed is not None
    assert count_decisions(cancel(800)) < 4.5 * count_decisions(cancel(200))


def test_a_wide_group_is_cancelled_in_linear_time() -> None:
    def cancel(n: int) -> Step[Any]:
        return first_of(all_of([sleep(9) for _ in range(n)]), sleep(1))

    assert count_decisions(cancel(2_000)) < 4.5 * count_decisions(cancel(500))


def test_the_ids_of_a_deep_flow_fit_swf_and_differ() -> None:
    s: Step[Any] = work(0)
    for _ in range(200):
        s = all_of(s, work(1)).named("a-name-of-some-length")
    generated = generate_history(to_workflow(s), outcome=derive_outcome, codec=Codec())
    ids = [event.activity_id for event in generated.events if isinstance(event, e.ActivityTaskScheduled)]
    assert len(ids) == len(set(ids)) == 201
    assert max(map(len, ids)) <= 256


def test_letting_go_of_a_deep_flow_does_not_recurse() -> None:
    decider = Decider(to_workflow(nest_groups(2_000)), execution=EXECUTION, codec=Codec())
    decider.feed(generate_history(to_workflow(work(0)), codec=Codec()).events[:3])
    with little_recursion():
        assert len(decider.decide()) == 1
        decider.close()
        del decider


def test_deciding_a_step_costs_no_more_after_many() -> None:
    workflow, codec = to_workflow(await_in_a_loop(1_000)), Codec()
    generated = generate_history(workflow, outcome=derive_outcome, codec=codec)
    decider = Decider(workflow, execution=EXECUTION, codec=codec)
    fed, costs = 0, []
    for cut in generated.decisions:
        new, fed = generated.events[fed:cut], cut
        costs.append(count_instructions(partial(advance, decider, new)))
    # The commonest cost, since a collection of garbage may run code of others in between.
    assert mode(costs[10:110]) == mode(costs[-101:-1])


def advance(decider: Decider, events: list[e.Event]) -> None:
    decider.feed(events)
    decider.decide()
