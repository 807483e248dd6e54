"""The fast bound of a size in bytes is never below the size that is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traction.decider.batching import choose
from traction.model import decisions as d
from traction.model import operations as o
from traction.model.names import ActivityType
from traction.model.sizes import check_request_size, is_surely_below, measure

TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
DECISIONS = st.one_of(
    st.builds(d.StartTimer, timer_id=TEXT, start_to_fire_timeout=st.just("0")),
    st.builds(d.RecordMarker, marker_name=TEXT, details=TEXT),
    st.builds(
        d.ScheduleActivityTask,
        activity_type=st.builds(ActivityType, name=TEXT, version=TEXT),
        activity_id=TEXT,
        input=TEXT | st.none(),
    ),
    st.builds(d.RequestCancelExternalWorkflowExecution, workflow_id=TEXT),
)


@given(st.lists(DECISIONS, max_size=12), TEXT | st.none())
def test_the_fast_bound_of_decisions_covers_their_size(decisions: list[d.Decision], report: str | None) -> None:
    size = sum(map(measure, decisions)) + (0 if report is None else measure({"executionContext": report}))
    assert not is_surely_below((tuple(decisions), report), size - 1, len(decisions))


@given(st.lists(DECISIONS, max_size=12), TEXT | st.none())
def test_the_fast_bound_of_a_request_covers_its_size(decisions: list[d.Decision], context: str | None) -> None:
    request = o.RespondDecisionTaskCompleted(task_token="t", decisions=decisions, execution_context=context)
    assert not is_surely_below(request, measure(request) - 1)


def test_the_fast_bound_holds_for_ordinary_requests() -> None:
    request = o.RespondActivityTaskCompleted(task_token="t", result="x" * 1000)
    assert is_surely_below(request, 5_000)


@pytest.mark.parametrize("text", ["\ud800", "a\udfff" * 3])
def test_texts_that_utf_8_cannot_encode_have_a_size(text: str) -> None:
    timer = d.StartTimer(timer_id=text, start_to_fire_timeout="0")
    assert choose([timer, timer], 3) == [timer, timer]
    check_request_size(o.RespondDecisionTaskCompleted(task_token="t", decisions=[timer]), 1_000)
