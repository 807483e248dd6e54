"""Section 2 of docs/swf-semantics.md, "Protocol and faults": the same over HTTP."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.service.conftest import ACTIVITY, DECIDERS, WORKERS, WORKFLOW, HttpSwf, Site, Swf
from traction.errors import ServiceFault
from traction.model import decisions as d
from traction.model import operations as o
from traction.model.limits import Limits
from traction_local.service.service import Service

IDS = st.sampled_from(["a", "b"])
TEXTS = st.none() | st.text(max_size=5)
DECISIONS: st.SearchStrategy[d.Decision] = st.one_of(
    st.builds(d.ScheduleActivityTask, activity_type=st.just(ACTIVITY), activity_id=IDS, input=TEXTS, control=TEXTS),
    st.builds(d.RequestCancelActivityTask, activity_id=IDS),
    st.builds(d.StartTimer, timer_id=IDS, start_to_fire_timeout=st.sampled_from(["0", "5", "30"])),
    st.builds(d.CancelTimer, timer_id=IDS),
    st.builds(d.RecordMarker, marker_name=IDS, details=TEXTS),
    st.builds(d.StartChildWorkflowExecution, workflow_type=st.just(WORKFLOW), workflow_id=IDS),
    st.builds(d.SignalExternalWorkflowExecution, workflow_id=IDS, signal_name=IDS, input=TEXTS),
    st.builds(d.RequestCancelExternalWorkflowExecution, workflow_id=IDS),
    st.builds(d.ScheduleLambdaFunction, id=IDS, name=IDS),
    st.builds(d.ContinueAsNewWorkflowExecution, input=TEXTS),
    st.builds(d.CompleteWorkflowExecution, result=TEXTS),
)
TOKENS = st.just("last")
REQUESTS: st.SearchStrategy[Any] = st.one_of(
    st.builds(
        o.StartWorkflowExecution, domain=st.just("d"), workflow_id=IDS, workflow_type=st.just(WORKFLOW), input=TEXTS
    ),
    st.builds(o.SignalWorkflowExecution, domain=st.just("d"), workflow_id=IDS, signal_name=IDS, input=TEXTS),
    st.builds(o.RequestCancelWorkflowExecution, domain=st.just("d"), workflow_id=IDS),
    st.builds(o.TerminateWorkflowExecution, domain=st.just("d"), workflow_id=IDS, reason=TEXTS),
    st.builds(o.PollForDecisionTask, domain=st.just("d"), task_list=st.just(DECIDERS), identity=TEXTS),
    st.builds(o.PollForActivityTask, domain=st.just("d"), task_list=st.just(WORKERS)),
    st.builds(
        o.RespondDecisionTaskCompleted,
        task_token=TOKENS,
        decisions=st.none() | st.lists(DECISIONS, max_size=4).map(tuple),
        execution_context=TEXTS,
    ),
    st.builds(o.RecordActivityTaskHeartbeat, task_token=TOKENS, details=TEXTS),
    st.builds(o.RespondActivityTaskCompleted, task_token=TOKENS, result=TEXTS),
    st.builds(o.RespondActivityTaskFailed, task_token=TOKENS, reason=TEXTS),
    st.builds(o.RespondActivityTaskCanceled, task_token=TOKENS),
    st.builds(o.CountPendingDecisionTasks, domain=st.just("d"), task_list=st.just(DECIDERS)),
)
STEPS = st.lists(st.sampled_from([0.0, 0.5, 5.0, 700.0]) | REQUESTS, max_size=20)


class Hand:
    """A client that sends the same requests to both services, each with its own latest tokens."""

    def __init__(self, swf: Swf) -> None:
        self.swf = swf
        self.tokens = {"decision": "none", "activity": "none"}

    def do(self, step: Any) -> object:
        if isinstance(step, float):
            self.swf.advance(step)
            return None
        kind = "decision" if isinstance(step, o.PollForDecisionTask | o.RespondDecisionTaskCompleted) else "activity"
        if getattr(step, "task_token", "") == "last":
            step = msgspec.structs.replace(step, task_token=self.tokens[kind])
        answer = self.ask(step)
        self.tokens[kind] = getattr(answer, "task_token", "") or self.tokens[kind]
        return answer

    def ask(self, request: o.Request[Any]) -> Any:
        try:
            return self.swf.call(request)
        except ServiceFault as fault:
            return fault.code, str(fault)

    def tell(self) -> list[Any]:
        """All that there is to see: every run of either id, and every event of each."""
        since = o.ExecutionTimeFilter(oldest_date=self.swf.now.replace(year=2000))
        seen: list[Any] = []
        for request in (
            o.ListOpenWorkflowExecutions(domain="d", start_time_filter=since),
            o.ListClosedWorkflowExecutions(domain="d", start_time_filter=since),
        ):
            infos = self.ask(request).execution_infos
            seen += [(info, self.swf.describe(info.execution), self.swf.history(info.execution)) for info in infos]
        return seen


@given(STEPS)
def test_s2_1_equal_calls_have_equal_responses_and_histories_over_http(served_site: Site, steps: list[Any]) -> None:
    limits = Limits()
    here, there = Hand(Swf(Service(limits=limits))), Hand(HttpSwf(Service(limits=limits), limits, served_site))
    try:
        for hand in (here, there):
            hand.swf.register()
        for step in steps:
            assert here.do(step) == there.do(step)
        assert here.tell() == there.tell()
    finally:
        served_site.close()
