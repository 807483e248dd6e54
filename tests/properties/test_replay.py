"""A replay accepts histories of the same code, and reports the first difference of other code."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile, zip_longest
from typing import Any

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from traction.errors import NonDeterminismError
from traction.flow.step import Step
from traction.history.export import make_stored, read_stored, write_stored
from traction.model import events as e
from traction.model.correlation import CAUSES, is_caused_by, matches
from traction.payloads.codec import Codec
from traction.replay import replay
from traction.testing.laws.flows import choices, flows, perform
from traction.testing.laws.history_generator import (
    EXECUTION,
    Choose,
    GeneratedHistory,
    decide_from_start,
    generate_history,
)
from traction.testing.laws.laws import to_workflow

fault_counts = st.integers(0, 4)


def list_answers(generated: GeneratedHistory, completed: e.DecisionTaskCompleted) -> list[e.Event]:
    """Return the events that the decisions of a decision task caused; SWF writes them together."""
    after = generated.events[completed.event_id :]
    return list(takewhile(lambda event: type(event) in CAUSES and is_caused_by(event, completed.event_id), after))


def list_batches(generated: GeneratedHistory) -> Iterator[tuple[e.DecisionTaskCompleted, list[e.Event]]]:
    for one in generated.events:
        if isinstance(one, e.DecisionTaskCompleted):
            yield one, list_answers(generated, one)


@given(flows(), choices(), fault_counts)
def test_code_replays_its_own_history_up_to_any_event(flow: Step[Any], choose: Choose, faults: int) -> None:
    workflow, codec = to_workflow(flow), Codec()
    generated = generate_history(workflow, choose, faults=faults, codec=codec)
    inside = {one.event_id for completed, answers in list_batches(generated) for one in [completed, *answers][:-1]}
    for end in range(1, len(generated.events) + 1):
        if end not in inside:
            replayed = replay(generated.events[:end], workflow, execution=EXECUTION, codec=codec)
            assert (replayed.events, replayed.closed) == (
                end,
                end == len(generated.events) and generated.closed is not None,
            )


@given(flows(), choices(), fault_counts)
def test_a_played_history_is_read_as_it_was_written(flow: Step[Any], choose: Choose, faults: int) -> None:
    stored = make_stored(generate_history(to_workflow(flow), choose, faults=faults, codec=Codec()).events, EXECUTION)
    assert read_stored(write_stored(stored)) == stored


@st.composite
def programs(draw: st.DrawFn) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Draw a program, and the same with a statement dropped, replaced, or put in another place."""
    statement = flows(max_leaves=3)
    before = draw(st.lists(statement, min_size=1, max_size=4))
    after, index = list(before), draw(st.integers(0, len(before) - 1))
    taken = after.pop(index)
    match draw(st.sampled_from(["drop", "replace", "move"])):
        case "replace":
            after.insert(index, draw(statement))
        case "move":
            after.insert(draw(st.integers(0, len(after))), taken)
    return tuple(before), tuple(after)


def find_difference(workflow: Any, generated: GeneratedHistory, codec: Codec) -> int | None:
    """Find, with no decider that compares, the first event that is not what the code asks for."""
    for completed, answers in list_batches(generated):
        decided = decide_from_start(workflow, generated, completed.started_event_id, codec=codec)
        for answer, decision in zip_longest(answers, decided):
            if answer is None:
                return completed.event_id
            if decision is None or not matches(answer, decision):
                return int(answer.event_id)
    return None


@given(programs(), choices(), fault_counts)
def test_other_code_is_reported_at_its_first_other_decision(
    programs: tuple[tuple[Any, ...], tuple[Any, ...]], choose: Choose, faults: int
) -> None:
    before, after = (to_workflow(perform(program)) for program in programs)
    codec = Codec()
    generated = generate_history(before, choose, faults=faults, codec=codec)
    # What was done locally is in the answers, which the comparison here does not read.
    assume(not generated.local)
    difference = find_difference(after, generated, codec)
    event("the code differs" if difference is not None else "the code asks for the same")
    if difference is None:
        replay(generated.events, after, execution=EXECUTION, codec=codec)
        return
    with pytest.raises(NonDeterminismError) as found:
        replay(generated.events, after, execution=EXECUTION, codec=codec)
    assert found.value.event_id <= difference
    assert type(generated.events[found.value.event_id - 1]).__name__ == found.value.event
