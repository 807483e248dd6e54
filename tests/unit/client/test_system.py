"""Clients and worker systems: executions start once, handles return results, `close` stops all threads."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from tests.support.backends import (
    BEGIN,
    NOW,
    ConnectionLost,
    LossyBackend,
    Stage,
    find_events,
    name_types,
    open_stage,
    run_threads,
    take_turns,
)
from traction import Activity, Handle, WorkerSystem, Workflow, activity, all_of, set_state, sleep, workflow
from traction.client.registration import register_type
from traction.errors import (
    DefinitionError,
    PayloadError,
    TypeDeprecatedFault,
    UnknownResourceFault,
    UnknownSchemeError,
    WorkflowCancelled,
    WorkflowFailed,
    WorkflowTerminated,
    WorkflowTimedOut,
)
from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction_local.plugin import open_local
from traction_local.service.knobs import Knobs


class Add(Activity[Any, int]):
    a: int
    b: int

    def run(self, add: Any) -> int:
        return add(self.a, self.b)  # type: ignore[no-any-return]


class Kept(list[int]):
    """What an activity keeps."""


class AddAll(Workflow[int]):
    numbers: list[int]

    async def flow(self) -> int:
        total = 0
        for number in self.numbers:
            total = await Add(total, number)
        return total


class Wait(Workflow[str], execution_start_to_close=100):
    name: str = ""

    async def flow(self) -> str:
        await sleep(10)
        return f"waited for {self.name}"


class WaitToo(Workflow[str]):
    async def flow(self) -> str:
        return "other"


def answer(stage: Stage, workflow: Any, *decisions: d.Decision) -> None:
    """Answer the next decision task by hand."""
    poll = o.PollForDecisionTask(domain=stage.backend.domain, task_list=workflow.spec.task_list)
    token = stage.backend.call(poll, NOW).task_token
    stage.backend.call(o.RespondDecisionTaskCompleted(task_token=token, decisions=decisions))


# Starting.


def list_all(stage: Stage) -> list[WorkflowExecution]:
    since = o.ExecutionTimeFilter(oldest_date=BEGIN)
    return [
        info.execution
        for listing in (o.ListOpenWorkflowExecutions, o.ListClosedWorkflowExecutions)
        for info in stage.backend.call(
            listing(domain=stage.backend.domain, start_time_filter=since)  # type: ignore[operator]
        ).execution_infos
    ]


@pytest.mark.parametrize("lost", ["lose_requests", "lose_replies"])
def test_a_start_that_is_lost_is_made_again_and_finds_what_it_began(stage: Stage, lost: str) -> None:
    getattr(stage.backend, lost).append(o.StartWorkflowExecution)
    handle = stage.start(Wait("a"))
    assert list_all(stage) == [handle.execution]


def test_a_start_whose_reply_is_lost_finds_what_it_began_though_that_has_closed(stage: Stage) -> None:
    before = stage.start(Wait("a"))
    before.terminate()
    stage.advance(1)

    class LateReply(LossyBackend):
        def call(self, request: Any, wait: timedelta | None = None) -> Any:
            answer = super().call(request, wait)
            if isinstance(request, o.StartWorkflowExecution):
                Handle(stage.backend, WorkflowExecution(request.workflow_id, answer.run_id)).terminate()
                raise ConnectionLost("the connection was lost before the reply came")
            return answer

    handle = WorkerSystem(backend=LateReply(stage.backend)).start(Wait("a"))
    assert list_all(stage) == [handle.execution, before.execution]


@pytest.mark.parametrize("lost", ["lose_requests", "lose_replies"])
def test_a_registration_that_is_lost_is_made_again(stage: Stage, lost: str) -> None:
    getattr(stage.backend, lost).append(o.RegisterWorkflowType)
    stage.start(Wait("a"))
    assert stage.backend.asked.count("RegisterWorkflowType") == (2 if lost == "lose_requests" else 1)


def test_an_open_execution_that_lists_do_not_show_yet_is_looked_for_again() -> None:
    with open_stage(knobs=Knobs(visibility_delay=timedelta(seconds=5))) as stage:
        first = stage.start(Wait("a"))
        looks = 0

        class Later(LossyBackend):
            def call(self, request: Any, wait: timedelta | None = None) -> Any:
                nonlocal looks
                if isinstance(request, o.ListOpenWorkflowExecutions):
                    looks += 1
                    if looks == 2:
                        stage.time += timedelta(seconds=5)
                return super().call(request, wait)

        system = WorkerSystem(backend=Later(stage.backend))
        assert system.start(Wait("a")).execution == first.execution
        assert looks == 2


def test_a_start_that_finds_its_type_unknown_registers_it_and_is_tried_again(stage: Stage) -> None:
    stage.register(Wait)
    for forget in (o.DeprecateWorkflowType, o.DeleteWorkflowType):
        stage.backend.call(forget(domain=stage.backend.domain, workflow_type=Wait.spec.type))
    assert stage.start(Wait("a")).status() == "OPEN"
    assert stage.backend.asked.count("StartWorkflowExecution") == 2


def test_many_threads_that_start_the_same_work_find_one_execution(stage: Stage) -> None:
    found = []
    run_threads(*[lambda: found.append(stage.start(Wait("a")).execution)] * 8)
    assert len(found) == 8
    assert len(set(found)) == 1


def test_an_input_of_a_wrong_type_is_refused_where_the_call_is_written(stage: Stage) -> None:
    wrong: Any = ["one"]
    with pytest.raises(PayloadError, match="the input of AddAll 1 does not decode as AddAll"):
        stage.start(AddAll(wrong))


def test_an_id_that_the_service_does_not_take_is_refused_by_its_rule(stage: Stage) -> None:
    with pytest.raises(DefinitionError, match="Wait cannot be started under the id 'a/b': it contains '/'"):
        stage.start(Wait(), workflow_id="a/b")


def test_a_deprecated_type_is_not_started(stage: Stage) -> None:
    stage.register(Wait)
    stage.backend.call(o.DeprecateWorkflowType(domain=stage.backend.domain, workflow_type=Wait.spec.type))
    with pytest.raises(TypeDeprecatedFault):
        stage.start(Wait("a"))


def test_a_type_is_registered_with_its_defaults_and_its_domain_if_need_be() -> None:
    backend = open_local()
    backend.domain = "new"
    register_type(backend, Wait)
    register_type(backend, Wait)
    kept = backend.call(o.DescribeWorkflowType(domain="new", workflow_type=Wait.spec.type))
    assert kept.configuration.default_execution_start_to_close_timeout == "100"
    backend.close()


# Handles.


def test_a_result_that_has_not_come_in_time_is_a_timeout_and_may_be_asked_for_again(stage: Stage) -> None:
    handle = stage.start(Wait("a"))
    decider = stage.decider(Wait)
    take_turns(decider)
    with pytest.raises(TimeoutError, match="is still open after 0"):
        handle.result(0)
    stage.advance(10)
    take_turns(decider)
    assert handle.result(timedelta(seconds=1)) == "waited for a"
    assert handle.result() == "waited for a"


def test_a_result_is_waited_for_until_it_is_there(stage: Stage) -> None:
    handle = stage.start(WaitToo())
    decider = stage.decider(WaitToo)
    results: list[str] = []
    run_threads(lambda: results.append(handle.result()), lambda: take_turns(decider))
    assert results == ["other"]


def test_the_result_of_a_cancelled_execution_raises_workflow_cancelled(stage: Stage) -> None:
    handle = stage.start(Wait("a"))
    decider = stage.decider(Wait)
    take_turns(decider)
    handle.cancel()
    assert handle.status() == "OPEN"
    take_turns(decider)
    assert handle.status() == "CANCELED"
    with pytest.raises(WorkflowCancelled):
        handle.result(0)
    with pytest.raises(UnknownResourceFault):
        handle.cancel()


def test_the_result_of_a_terminated_execution_raises_the_reason(stage: Stage) -> None:
    handle = stage.start(Wait("a"))
    handle.terminate("enough")
    assert handle.status() == "TERMINATED"
    with pytest.raises(WorkflowTerminated, match=r"was terminated \(OPERATOR_INITIATED\): enough"):
        handle.result(0)
    with pytest.raises(UnknownResourceFault):
        handle.terminate()


def test_the_result_of_an_execution_that_timed_out_raises(stage: Stage) -> None:
    handle = stage.start(Wait("a"))
    stage.advance(100)
    assert handle.status() == "TIMED_OUT"
    with pytest.raises(WorkflowTimedOut):
        handle.result(0)


def test_a_failed_execution_raises_type_message_and_traceback(stage: Stage) -> None:
    @workflow
    async def fall() -> int:
        raise LookupError("no way")

    handle = stage.start(fall())
    take_turns(stage.decider(fall))
    with pytest.raises(WorkflowFailed) as caught:
        handle.result(0)
    assert (caught.value.type, caught.value.message) == ("LookupError", "no way")
    assert "in fall" in caught.value.traceback


def test_a_handle_shows_history_and_description(stage: Stage) -> None:
    handle = stage.start(Wait("a"))
    take_turns(stage.decider(Wait))
    assert name_types(handle)[-1] == "TimerStarted"
    assert handle.describe().open_counts.open_timers == 1
    assert repr(handle) == f"<Handle of {handle.workflow_id}, run {handle.run_id}>"


def test_a_handle_of_an_unknown_run_raises(stage: Stage) -> None:
    handle = stage.system.get_handle(WorkflowExecution("nobody", "nowhere"))
    for ask in (handle.status, handle.history, handle.describe, handle.cancel, handle.terminate, handle.result):
        with pytest.raises(UnknownResourceFault):
            ask()


def test_the_result_of_a_run_started_elsewhere_has_its_declared_type(stage: Stage) -> None:
    execution = stage.start(AddAll([1, 2])).execution
    take_turns(stage.decider(AddAll), stage.worker(Add, lambda a, b: a + b))
    assert stage.system.get_handle(execution, AddAll).result(0) == 3
    assert stage.system.get_handle(execution).result(0) == 3
    with pytest.raises(PayloadError, match="does not decode as str"):
        stage.system.get_handle(execution, Wait).result(0)


def test_a_result_is_that_of_the_last_run(stage: Stage) -> None:
    handle = stage.start(Wait("a"))
    first = handle.run_id
    answer(stage, Wait, d.ContinueAsNewWorkflowExecution(input='{"name":"b"}'))
    assert handle.status() == "CONTINUED_AS_NEW"
    answer(stage, Wait, d.ContinueAsNewWorkflowExecution(input='{"name":"c"}'))
    answer(stage, Wait, d.CompleteWorkflowExecution(result='"c"'))
    assert handle.result(0) == "c"
    assert handle.run_id != first
    assert handle.status() == "COMPLETED"


@pytest.mark.parametrize("ask", ["cancel", "terminate"])
def test_what_is_asked_of_an_execution_reaches_the_run_that_is_open(stage: Stage, ask: str) -> None:
    handle = stage.start(Wait("a"))
    for _ in range(2):
        answer(stage, Wait, d.ContinueAsNewWorkflowExecution(input="{}"))
    getattr(handle, ask)()
    kind = e.WorkflowExecutionCancelRequested if ask == "cancel" else e.WorkflowExecutionTerminated
    assert len(find_events(handle, kind)) == 1


# Workers.


def count_threads(name: str) -> int:
    return sum(thread.name.startswith(name) for thread in threading.enumerate())


def test_workers_do_the_work_in_as_many_threads_as_asked_and_a_close_leaves_none() -> None:
    before = set(threading.enumerate())
    with WorkerSystem() as system:
        system.start_workflow_worker(AddAll, instances=2)
        system.start_activity_worker(Add, lambda a, b: a + b, instances=3)
        assert (count_threads("decide AddAll-1"), count_threads("work Add-1")) == (2, 3)
        handles = [system.start(AddAll([n, n, n])) for n in range(20)]
        assert [handle.result(60) for handle in handles] == [3 * n for n in range(20)]
    assert set(threading.enumerate()) - before == set()


def test_one_start_hosts_several_workflows_each_on_its_list() -> None:
    with WorkerSystem() as system:
        system.start_workflow_worker(AddAll, WaitToo)
        assert (count_threads("decide AddAll-1"), count_threads("decide WaitToo-1")) == (1, 1)
        assert system.run(WaitToo(), timeout=60) == "other"
        assert system.run(AddAll([]), timeout=60) == 0


def test_two_systems_on_one_backend_share_its_work() -> None:
    backend = open_local()
    with WorkerSystem(backend=backend) as one, WorkerSystem(backend=backend) as other:
        one.start_workflow_worker(AddAll)
        other.start_activity_worker(Add, lambda a, b: a + b)
        assert other.run(AddAll([1, 2, 3]), timeout=60) == 6


def test_a_close_waits_until_the_running_task_is_completed() -> None:
    began, go_on = threading.Event(), threading.Event()

    def add(a: int, b: int) -> int:
        began.set()
        assert go_on.wait(60)
        return a + b

    system = WorkerSystem()
    system.start_workflow_worker(AddAll)
    system.start_activity_worker(Add, add)
    handle = system.start(AddAll([7]))
    assert began.wait(60)
    closing = threading.Thread(target=system.close)
    closing.start()
    go_on.set()
    closing.join(60)
    assert not closing.is_alive()
    (completed,) = find_events(handle, e.ActivityTaskCompleted)
    assert completed.result == "7"


def test_a_close_logs_a_worker_that_runs_after_the_grace(caplog: pytest.LogCaptureFixture) -> None:
    began, go_on = threading.Event(), threading.Event()

    def add(a: int, b: int) -> int:
        began.set()
        go_on.wait(60)
        return a + b

    before = set(threading.enumerate())
    system = WorkerSystem()
    system.start_workflow_worker(AddAll)
    system.start_activity_worker(Add, add)
    system.start(AddAll([7]))
    assert began.wait(60)
    system.close(grace=0.01)
    assert "still working after 0.01: work Add-1" in caplog.text
    go_on.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    assert set(threading.enumerate()) - before == set()


def test_closing_twice_is_closing_once() -> None:
    system = WorkerSystem()
    system.start_workflow_worker(AddAll)
    system.close()
    system.close()
    assert count_threads("decide AddAll-1") == 0


def test_a_worker_that_is_started_while_the_system_closes_is_not_left_behind() -> None:
    before = set(threading.enumerate())
    for _ in range(20):
        system = WorkerSystem()
        run_threads(
            lambda system=system: system.start_activity_worker(Add, max, instances=4),  # type: ignore[misc]
            lambda system=system: system.start_workflow_worker(AddAll, instances=4),  # type: ignore[misc]
            system.close,
        )
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    assert set(threading.enumerate()) - before == set()


def test_a_system_whose_body_raises_is_closed() -> None:
    def work() -> None:
        with WorkerSystem() as system:
            system.start_workflow_worker(AddAll)
            raise LookupError

    with pytest.raises(LookupError):
        work()
    assert count_threads("decide AddAll-1") == 0


class OtherAddAll(Workflow[int], name="AddAll"):
    async def flow(self) -> int:
        return 0


def test_two_definitions_of_one_name_and_version_cannot_both_have_workers(stage: Stage) -> None:
    stage.system.start_workflow_worker(AddAll)
    stage.system.start_workflow_worker(AddAll)
    with pytest.raises(DefinitionError, match=r"AddAll and .*OtherAddAll are both named AddAll 1"):
        stage.system.start_workflow_worker(OtherAddAll)


@activity
def shout(text: str) -> str:
    return text.upper()


WRONG: list[tuple[str, str, tuple[Any, ...], str]] = [
    ("a call", "activity", (shout("hi"),), "write shout"),
    ("a function", "activity", (len,), "make one with @activity"),
    ("a workflow as an activity", "activity", (AddAll,), "accepts only activities"),
    ("an activity as a workflow", "workflow", (shout,), "accepts only workflows"),
    ("a bare class", "workflow", (Workflow,), "accepts only workflows"),
    ("nothing", "workflow", (), "needs at least one workflow"),
    ("a missing dependency", "activity", (Add,), "Add needs Any, and its worker has none"),
    (
        "a dependency too many",
        "activity",
        (shout, "loud"),
        "shout declares no dependency, but its worker was started with 'loud'",
    ),
]


@pytest.mark.parametrize(("kind", "given", "message"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_no_worker_can_be_started_for_is_refused_at_once(
    stage: Stage, kind: str, given: tuple[Any, ...], message: str
) -> None:
    before = threading.active_count()
    with pytest.raises(DefinitionError, match=message):
        getattr(stage.system, f"start_{kind}_worker")(*given)
    assert threading.active_count() == before


def test_a_url_that_no_backend_opens_is_refused() -> None:
    with pytest.raises(UnknownSchemeError, match="no installed backend opens 'redis://here'"):
        WorkerSystem("redis://here")


def test_sync_and_async_definitions_of_classes_and_functions_work_together() -> None:
    @activity
    async def double(n: int) -> int:
        return 2 * n

    @activity(needs=Kept)
    def keep(kept: Kept, n: int) -> int:
        kept.append(n)
        return n

    class Both(Workflow[list[int]]):
        n: int

        async def flow(self) -> list[int]:
            return await all_of([double(self.n), keep(self.n), Add(self.n, 1)])

    kept = Kept()
    with WorkerSystem() as system:
        system.start_workflow_worker(Both)
        system.start_activity_worker(double, instances=2)
        system.start_activity_worker(keep, kept)
        system.start_activity_worker(Add, lambda a, b: a + b)
        assert system.run(Both(5), timeout=60) == [10, 5, 6]
    assert kept == [5]


def test_activities_of_one_system_may_share_a_task_list() -> None:
    @activity(task_list="shared")
    def one(n: int) -> int:
        return n + 1

    @activity(task_list="shared")
    async def two(n: int) -> int:
        return n * 2

    @workflow
    async def both(n: int) -> int:
        for _ in range(n):
            n = await two(await one(n))
        return n

    with WorkerSystem() as system:
        system.start_workflow_worker(both)
        system.start_activity_worker(one, instances=2)
        system.start_activity_worker(two, instances=2)
        handle = system.start(both(10))
        assert handle.result(60) == 12_286
        assert find_events(handle, e.ActivityTaskFailed) == []


def test_a_handle_reads_what_the_flow_reported_last() -> None:
    @workflow
    async def reporting() -> None:
        await set_state({"stage": 1})
        await sleep(0)
        await set_state({"stage": 2})

    with WorkerSystem() as system:
        system.start_workflow_worker(reporting)
        handle = system.start(reporting())
        handle.result(30)
        assert handle.published_state(dict[str, int]) == {"stage": 2}


def test_a_handle_of_a_flow_that_reports_nothing_reads_nothing() -> None:
    @workflow
    async def silent() -> None:
        await sleep(0)

    with WorkerSystem() as system:
        system.start_workflow_worker(silent)
        handle = system.start(silent())
        handle.result(30)
        assert handle.published_state() is None
