"""Whatever is asked, in whatever order, well formed or not: only faults are raised, and the invariants hold.

The requests come from a small world (three workflow ids, two types, a few activity and timer ids) so that they
meet: ids are taken, tasks are late, children find their parents closed. The invariants are read off histories,
lists and descriptions alone.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from traction.errors import ServiceFault
from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o
from traction.model.limits import Limits
from traction.model.names import ActivityType, TaskList, WorkflowExecution, WorkflowType
from traction_local.service.knobs import Knobs, LambdaCall, LambdaOutcome
from traction_local.service.service import Service

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)

CLOSES = (
    e.WorkflowExecutionCompleted,
    e.WorkflowExecutionFailed,
    e.WorkflowExecutionCanceled,
    e.WorkflowExecutionContinuedAsNew,
    e.WorkflowExecutionTimedOut,
    e.WorkflowExecutionTerminated,
)

workflow_ids = st.sampled_from(["a", "b", "c"])
workflow_types = st.sampled_from(
    [WorkflowType("trip", "1")] * 4 + [WorkflowType("trip", "2"), WorkflowType("nobody", "1")]
)
activity_types = st.sampled_from([ActivityType("book", "1")] * 4 + [ActivityType("nobody", "1")])
ids = st.sampled_from(["x", "y", "z"])
timeouts = st.sampled_from([None] * 6 + ["0", "1", "7", "NONE"])
seconds = st.sampled_from(["0", "1", "5"])
policies = st.sampled_from([None, "TERMINATE", "REQUEST_CANCEL", "ABANDON"])
lists = st.sampled_from([None] * 4 + [TaskList("other")])
texts = st.sampled_from([None, "", "text"])
priorities = st.sampled_from([None, None, "-1", "3"])
# Null tags are taken too (recorded in 2016).
tags: Any = st.sampled_from([None, (), ("t",), ("t", "u"), ("t", None)])

settings_given = {
    "execution_start_to_close_timeout": st.sampled_from([None] * 6 + ["0", "3", "40"]),
    "task_start_to_close_timeout": timeouts,
    "task_list": lists,
    "child_policy": policies,
    "tag_list": tags,
    "task_priority": priorities,
    "lambda_role": st.sampled_from([None, "role"]),
    "input": texts,
}

closes = st.one_of(
    st.builds(d.CompleteWorkflowExecution, result=texts),
    st.builds(d.FailWorkflowExecution, reason=texts),
    st.builds(d.CancelWorkflowExecution),
    st.builds(
        d.ContinueAsNewWorkflowExecution, workflow_type_version=st.sampled_from([None, "2", "9"]), **settings_given
    ),
)
quiet = st.one_of(
    st.builds(d.RecordMarker, marker_name=ids),
    st.builds(d.CancelTimer, timer_id=ids),
    st.builds(d.RequestCancelActivityTask, activity_id=ids),
    st.builds(d.StartChildWorkflowExecution, workflow_type=workflow_types, workflow_id=workflow_ids, **settings_given),
    st.builds(d.SignalExternalWorkflowExecution, workflow_id=workflow_ids, signal_name=ids),
    st.builds(d.RequestCancelExternalWorkflowExecution, workflow_id=workflow_ids),
    st.builds(d.ScheduleLambdaFunction, id=ids, name=ids, start_to_close_timeout=st.sampled_from([None, "2"])),
)
busy = st.one_of(
    st.builds(d.StartTimer, timer_id=ids, start_to_fire_timeout=seconds),
    st.builds(
        d.ScheduleActivityTask,
        activity_type=activity_types,
        activity_id=ids,
        task_list=lists,
        task_priority=priorities,
        schedule_to_start_timeout=timeouts,
        schedule_to_close_timeout=timeouts,
        start_to_close_timeout=timeouts,
        heartbeat_timeout=timeouts,
    ),
)
ill: Any = st.sampled_from(
    [
        d.RecordMarker(marker_name=""),
        d.StartTimer(timer_id="a:b", start_to_fire_timeout="1"),
        d.StartTimer(timer_id="t", start_to_fire_timeout="NONE"),
        d.RecordMarker(marker_name=None),  # type: ignore[arg-type]
        "no decision",
    ]
)
batches = st.one_of(
    st.lists(st.one_of(quiet, busy), max_size=4).map(tuple),
    st.tuples(st.lists(quiet, max_size=2), closes).map(lambda parts: (*parts[0], parts[1])),
    st.lists(st.one_of(quiet, busy, closes, ill), max_size=3).map(tuple),
)

executions = {"domain": st.just("d"), "workflow_id": workflow_ids}
malformed = st.sampled_from(
    [
        o.StartWorkflowExecution(domain="d", workflow_id="", workflow_type=WorkflowType("trip", "1")),
        o.StartWorkflowExecution(domain="d", workflow_id=7, workflow_type=None),  # type: ignore[arg-type]
        o.SignalWorkflowExecution(domain="nowhere", workflow_id="a", signal_name="s"),
        o.PollForDecisionTask(domain="d", task_list=TaskList("decide"), next_page_token="garbage"),
        o.ListOpenWorkflowExecutions(domain="d", start_time_filter="today"),  # type: ignore[arg-type]
        o.RespondDecisionTaskCompleted(task_token="garbage"),
        o.RespondActivityTaskCompleted(task_token="AAAAKgAAAAIAAAAA"),
        o.ListTagsForResource(resource_arn="arn"),
    ]
)
filters: dict[str, Any] = {
    "type_filter": st.sampled_from([None, o.WorkflowTypeFilter(name="trip")]),
    "tag_filter": st.sampled_from([None, o.TagFilter(tag="t")]),
    "maximum_page_size": st.sampled_from([None, 1, 2]),
    "reverse_order": st.booleans(),
}
times = st.sampled_from([o.ExecutionTimeFilter(oldest_date=NOON + timedelta(seconds=second)) for second in (-9, 3)])
calls = st.one_of(
    st.builds(o.StartWorkflowExecution, workflow_type=workflow_types, **executions, **settings_given),
    st.builds(o.SignalWorkflowExecution, signal_name=ids, input=texts, **executions),
    st.builds(o.RequestCancelWorkflowExecution, **executions),
    st.builds(o.TerminateWorkflowExecution, child_policy=policies, reason=texts, **executions),
    st.builds(o.ListOpenWorkflowExecutions, domain=st.just("d"), start_time_filter=times, **filters),
    st.builds(o.ListClosedWorkflowExecutions, domain=st.just("d"), close_time_filter=times, **filters),
    st.builds(o.DeprecateWorkflowType, domain=st.just("d"), workflow_type=workflow_types),
    st.builds(o.UndeprecateWorkflowType, domain=st.just("d"), workflow_type=workflow_types),
    malformed,
)

answers = st.sampled_from(["complete", "fail", "cancel", "beat"])
names = st.sampled_from(["decide"] * 3 + ["other"])

Move: TypeAlias = tuple[Any, ...]
move: st.SearchStrategy[Move] = st.one_of(
    st.tuples(st.just("call"), calls),
    st.tuples(
        st.just("call"),
        st.builds(o.StartWorkflowExecution, workflow_type=workflow_types, **executions, **settings_given),
    ),
    # A whole turn of a decider or a worker, and its parts in any order and too late.
    *[st.tuples(st.just("turn"), names, batches, lists, timeouts)] * 4,
    st.tuples(st.just("job"), st.sampled_from(["work", "work", "other"]), answers),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.001, 1, 5, 60])),
    st.tuples(st.just("poll"), names, st.booleans()),
    st.tuples(st.just("decide"), st.integers(0, 5), batches, lists, timeouts),
    st.tuples(st.just("work"), st.sampled_from(["work", "other"])),
    st.tuples(st.just("answer"), st.integers(0, 5), answers),
)
moves = st.lists(move, min_size=20, max_size=60)


class World:
    """A service, what it handed out, and a journal of what changed it."""

    def __init__(self, knobs: Knobs, limits: Limits) -> None:
        self.arguments: dict[str, Any] = {"seed": "s", "knobs": knobs, "limits": limits, "lambdas": answer_lambda}
        self.service = Service(**self.arguments)
        self.now = NOON
        self.journal: list[tuple[datetime, o.Request[Any]]] = []
        self.decisions: list[str] = []
        self.activities: list[str] = []
        self.ask(o.RegisterDomain(name="d", workflow_execution_retention_period_in_days="1"))
        for version in "12":
            self.ask(
                o.RegisterWorkflowType(
                    domain="d",
                    name="trip",
                    version=version,
                    default_task_list=TaskList("decide"),
                    default_execution_start_to_close_timeout="100",
                    default_task_start_to_close_timeout="10",
                    default_child_policy="TERMINATE",
                )
            )
        self.ask(
            o.RegisterActivityType(
                domain="d",
                name="book",
                version="1",
                default_task_list=TaskList("work"),
                default_task_start_to_close_timeout="20",
                default_task_schedule_to_start_timeout="20",
                default_task_schedule_to_close_timeout="30",
                default_task_heartbeat_timeout="NONE",
            )
        )
        self.ask(o.StartWorkflowExecution(domain="d", workflow_id="a", workflow_type=WorkflowType("trip", "1")))

    def ask(self, request: o.Request[Any]) -> Any:
        """Make a call; a fault is as good an answer as any."""
        before = self.service.revision
        try:
            return self.service.call(request, self.now)
        except ServiceFault:
            return None
        finally:
            if self.service.revision != before:
                self.journal.append((self.service.clock, request))

    def move(self, move: Move) -> None:
        kind, *rest = move
        if kind == "turn":
            name, *answer = rest
            self.move(("poll", name, True))
            self.move(("decide", 0, *answer))
        if kind == "job":
            self.move(("work", rest[0]))
            self.move(("answer", 0, rest[1]))
        if kind == "call":
            self.ask(rest[0])
        elif kind == "wait":
            self.now += timedelta(seconds=rest[0])
            self.service.advance(self.now)
        elif kind == "poll":
            task = self.ask(
                o.PollForDecisionTask(
                    domain="d",
                    task_list=TaskList(rest[0]),
                    start_at_previous_started_event=rest[1],
                    maximum_page_size=5,
                )
            )
            if task.task_token:
                self.decisions.insert(0, task.task_token)
        elif kind == "work":
            work = self.ask(o.PollForActivityTask(domain="d", task_list=TaskList(rest[0])))
            if work.task_token:
                self.activities.insert(0, work.task_token)
        elif kind == "decide" and rest[0] < len(self.decisions):
            self.ask(
                o.RespondDecisionTaskCompleted(
                    task_token=self.decisions[rest[0]],
                    decisions=rest[1],
                    task_list=rest[2],
                    task_list_schedule_to_start_timeout=rest[3],
                )
            )
        elif kind == "answer" and rest[0] < len(self.activities):
            answers = {
                "complete": o.RespondActivityTaskCompleted,
                "fail": o.RespondActivityTaskFailed,
                "cancel": o.RespondActivityTaskCanceled,
                "beat": o.RecordActivityTaskHeartbeat,
            }
            self.ask(answers[rest[1]](task_token=self.activities[rest[0]]))


def answer_lambda(call: LambdaCall) -> LambdaOutcome:
    outcomes = {
        "x": LambdaOutcome(result="x"),
        "y": LambdaOutcome(reason="HandledError", after=timedelta(seconds=1)),
        "z": LambdaOutcome(after=timedelta(seconds=3)),
    }
    return outcomes[call.name]


def list_runs(service: Service, now: datetime) -> tuple[list[o.WorkflowExecutionInfo], list[o.WorkflowExecutionInfo]]:
    """The open and the closed runs, by lists whose lengths the counts confirm."""
    ever = o.ExecutionTimeFilter(oldest_date=NOON)
    opened = service.call(o.ListOpenWorkflowExecutions(domain="d", start_time_filter=ever), now).execution_infos
    closed = service.call(o.ListClosedWorkflowExecutions(domain="d", start_time_filter=ever), now).execution_infos
    assert service.call(o.CountOpenWorkflowExecutions(domain="d", start_time_filter=ever), now).count == len(opened)
    assert service.call(o.CountClosedWorkflowExecutions(domain="d", start_time_filter=ever), now).count == len(closed)
    by_close = o.ListClosedWorkflowExecutions(domain="d", close_time_filter=ever)
    again = service.call(by_close, now).execution_infos
    assert {info.execution for info in again} == {info.execution for info in closed}
    return list(opened), list(closed)


def read(service: Service, execution: WorkflowExecution, now: datetime) -> tuple[e.Event, ...]:
    return service.call(o.GetWorkflowExecutionHistory(domain="d", execution=execution), now).events


def check_links(history: tuple[e.Event, ...]) -> None:
    """Every link points back to an event of the named kind; 0 means none."""
    kinds: dict[str, dict[str, tuple[type, ...]]] = {
        "DecisionTask": {
            "scheduled_event_id": (e.DecisionTaskScheduled,),
            "started_event_id": (e.DecisionTaskStarted,),
        },
        "ActivityTask": {
            "scheduled_event_id": (e.ActivityTaskScheduled,),
            "started_event_id": (e.ActivityTaskStarted,),
        },
        "LambdaFunction": {
            "scheduled_event_id": (e.LambdaFunctionScheduled,),
            "started_event_id": (e.LambdaFunctionStarted,),
        },
        "StartLambdaFunctionFailed": {"scheduled_event_id": (e.LambdaFunctionScheduled,)},
        "Timer": {"started_event_id": (e.TimerStarted,)},
        "ChildWorkflowExecution": {
            "initiated_event_id": (e.StartChildWorkflowExecutionInitiated,),
            "started_event_id": (e.ChildWorkflowExecutionStarted,),
        },
        "StartChildWorkflowExecutionFailed": {"initiated_event_id": (e.StartChildWorkflowExecutionInitiated,)},
        "ExternalWorkflowExecution": {
            "initiated_event_id": (
                e.SignalExternalWorkflowExecutionInitiated,
                e.RequestCancelExternalWorkflowExecutionInitiated,
            )
        },
    }
    for event in history:
        name = type(event).__name__
        wanted: dict[str, tuple[type, ...]] = {"decision_task_completed_event_id": (e.DecisionTaskCompleted,)}
        wanted |= next((links for prefix, links in kinds.items() if name.startswith(prefix)), {})
        for member, targets in wanted.items():
            link = getattr(event, member, None)
            if link:
                assert link < event.event_id
                assert isinstance(history[link - 1], targets), (event, history[link - 1])


def check_decision_tasks(history: tuple[e.Event, ...]) -> None:
    """At most one decision task is queued, and at most one started."""
    queued = running = None
    for event in history:
        match event:
            case e.DecisionTaskScheduled():
                assert queued is None
                queued = event.event_id
            case e.DecisionTaskStarted():
                assert running is None
                assert event.scheduled_event_id == queued
                queued, running = None, event.event_id
            case e.DecisionTaskCompleted():
                assert event.started_event_id == running
                running = None
            case e.DecisionTaskTimedOut(timeout_type="START_TO_CLOSE"):
                assert event.started_event_id == running
                running = None
            case e.DecisionTaskTimedOut():
                assert event.scheduled_event_id == queued
                queued = None
            case _:
                pass


def count_open(history: tuple[e.Event, ...]) -> tuple[int, int, int, int]:
    """Return what is open in a history: activities, timers, children, Lambda tasks. Each ends at most once."""
    opened: Counter[tuple[str, int]] = Counter()
    for event in history:
        match event:
            case e.ActivityTaskScheduled():
                opened["activity", event.event_id] += 1
            case (
                e.ActivityTaskCompleted() | e.ActivityTaskFailed() | e.ActivityTaskCanceled() | e.ActivityTaskTimedOut()
            ):
                opened["activity", event.scheduled_event_id] -= 1
            case e.TimerStarted():
                opened["timer", event.event_id] += 1
            case e.TimerFired() | e.TimerCanceled():
                opened["timer", event.started_event_id] -= 1
            case e.StartChildWorkflowExecutionInitiated():
                opened["child", event.event_id] += 1
            case e.StartChildWorkflowExecutionFailed() if event.initiated_event_id:
                opened["child", event.initiated_event_id] -= 1
            case (
                e.ChildWorkflowExecutionCompleted()
                | e.ChildWorkflowExecutionFailed()
                | e.ChildWorkflowExecutionCanceled()
                | e.ChildWorkflowExecutionTerminated()
                | e.ChildWorkflowExecutionTimedOut()
            ):
                opened["child", event.initiated_event_id] -= 1
            case e.LambdaFunctionScheduled():
                opened["lambda", event.event_id] += 1
            case e.LambdaFunctionCompleted() | e.LambdaFunctionFailed() | e.LambdaFunctionTimedOut():
                opened["lambda", event.scheduled_event_id] -= 1
            case e.StartLambdaFunctionFailed():
                assert event.scheduled_event_id is not None
                opened["lambda", event.scheduled_event_id] -= 1
            case _:
                pass
    assert set(opened.values()) <= {0, 1}
    kinds = Counter(kind for kind, _ in opened.elements())
    return kinds["activity"], kinds["timer"], kinds["child"], kinds["lambda"]


def check(world: World) -> dict[WorkflowExecution, tuple[e.Event, ...]]:
    """All invariants, over all runs; their histories."""
    service, now = world.service, world.now
    service.advance(now)
    opened, closed = list_runs(service, now)
    assert len({info.execution.workflow_id for info in opened}) == len(opened)
    assert not {info.execution for info in opened} & {info.execution for info in closed}
    histories: dict[WorkflowExecution, tuple[e.Event, ...]] = {}
    for info in (*opened, *closed):
        history = histories[info.execution] = read(service, info.execution, now)
        assert [event.event_id for event in history] == list(range(1, len(history) + 1))
        stamps = [event.event_timestamp for event in history]
        assert stamps == sorted(stamps)
        assert stamps[-1] <= now
        assert isinstance(history[0], e.WorkflowExecutionStarted)
        assert isinstance(history[1], e.DecisionTaskScheduled)
        ends = [event.event_id for event in history if isinstance(event, CLOSES)]
        assert ends == ([] if info.execution_status == "OPEN" else [len(history)])
        check_links(history)
        check_decision_tasks(history)
        detail = service.call(o.DescribeWorkflowExecution(domain="d", execution=info.execution), now)
        assert detail.execution_info == info
        counts = detail.open_counts
        assert count_open(history) == (
            counts.open_activity_tasks,
            counts.open_timers,
            counts.open_child_workflow_executions,
            counts.open_lambda_functions,
        )
    return histories


knob_choices = st.sampled_from(
    [
        Knobs(),
        Knobs(effect_latency=timedelta(milliseconds=50)),
        Knobs(sticky_persists=False, failed_decision_blocks_close=True, child_policy_applies=("CONTINUED_AS_NEW",)),
        Knobs(lambda_ids_unique=True, start_by_timestamp=True, page_items_served_max=3, denied=("RecordMarker",)),
    ]
)
limit_choices = st.sampled_from(
    [Limits(), Limits(history_events_max=25, open_activities_max=1), Limits(throttling=True, open_children_max=1)]
)


@given(moves, knob_choices, limit_choices)
def test_no_sequence_of_requests_breaks_an_invariant(moves: list[Move], knobs: Knobs, limits: Limits) -> None:
    if limits.throttling:
        # Lists and descriptions are asked for more often here than anyone may.
        limits = Limits(throttling=True, open_children_max=1, api_buckets=())
    if knobs.page_items_served_max < 1000:
        knobs = Knobs(lambda_ids_unique=True, start_by_timestamp=True, denied=("RecordMarker",))
    world = World(knobs, limits)
    for move in moves:
        world.move(move)
    histories = check(world)
    # What has closed stays as it is, and so does what is forgotten.
    world.now += timedelta(seconds=200)
    later = check(world)
    for execution, history in histories.items():
        assert later[execution][: len(history)] == history
        if isinstance(history[-1], CLOSES):
            assert later[execution] == history


@given(moves, knob_choices)
def test_a_journal_of_what_changed_rebuilds_the_same_histories(moves: list[Move], knobs: Knobs) -> None:
    world = World(knobs, Limits())
    for move in moves:
        world.move(move)
    again = Service(**world.arguments)
    for now, request in world.journal:
        again.call(request, now)
    world.service.advance(world.now)
    again.advance(world.now)
    assert again.next_alarm() == world.service.next_alarm()
    assert again.revision == world.service.revision
    ever = o.ExecutionTimeFilter(oldest_date=NOON)
    for kind in (o.ListOpenWorkflowExecutions, o.ListClosedWorkflowExecutions):
        query = kind(domain="d", start_time_filter=ever)
        answer = world.service.call(query, world.now)
        assert again.call(query, world.now) == answer
        for info in answer.execution_infos:
            assert read(again, info.execution, world.now) == read(world.service, info.execution, world.now)
    poll = o.PollForDecisionTask(domain="d", task_list=TaskList("decide"))
    assert again.call(poll, world.now) == world.service.call(poll, world.now)
    work = o.PollForActivityTask(domain="d", task_list=TaskList("work"))
    assert again.call(work, world.now) == world.service.call(work, world.now)


@given(moves, st.lists(st.booleans(), min_size=60, max_size=60))
def test_advancing_in_between_makes_no_difference(moves: list[Move], advances: list[bool]) -> None:
    worlds = World(Knobs(), Limits()), World(Knobs(), Limits())
    for move, advance in zip(moves, advances, strict=False):
        for world in worlds:
            world.move(move)
        if advance:
            worlds[0].service.advance(worlds[0].now)
            worlds[0].service.next_alarm()
    assert check(worlds[0]) == check(worlds[1])
