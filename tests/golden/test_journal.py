"""A file of an earlier release gives the same histories, or is refused.

`journal/` contains such a file as SQL, and the answers to queries about it. If the simulator now answers differently,
it does so for users' files too: raise `traction_local.journal.FORMAT`, so that they are refused instead of misread,
and write both for the new format with `GOLDEN=write`. Existing files of a format are never overwritten.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from tests.conformance.service.conftest import ACTIVITY, WORKFLOW, Swf
from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import ActivityType, TaskList, WorkflowType
from traction_local.journal import APPLICATION, FORMAT, JournaledService, JournalError
from traction_local.service.knobs import LambdaCall, LambdaOutcome
from traction_local.service.service import CHANGING, POLLS
from traction_local.service.state.domain import ARN_PREFIX

GOLDEN = Path(__file__).parent / "journal"
SQL, HISTORIES = GOLDEN / f"format-{FORMAT}.sql", GOLDEN / f"format-{FORMAT}.txt"

NEVER = {
    # Only where a knob denies something, which SWF does by IAM.
    e.RecordMarkerFailed,
    e.ScheduleLambdaFunctionFailed,
}


def answer_lambda(call: LambdaCall) -> LambdaOutcome:
    """Fail, take too long, or give back what was given."""
    if call.name == "broken":
        return LambdaOutcome(reason="UnhandledError", details="{}")
    return LambdaOutcome(result=call.input, after=timedelta(seconds=9 if call.name == "slow" else 0))


def schedule(activity_id: str, **given: Any) -> d.ScheduleActivityTask:
    return d.ScheduleActivityTask(activity_type=ACTIVITY, activity_id=activity_id, **given)


def work(swf: Swf) -> None:
    """Have each operation accepted that changes something, and each event written that a service may write."""
    swf.register()
    register(swf)
    do_activities(swf)
    do_timers_and_lambdas(swf)
    do_children(swf)
    close(swf)
    swf.start("left-open", task_list=TaskList("elsewhere"), input="é\n", tag_list=("t", "u"), task_priority="7")


def register(swf: Swf) -> None:
    tags = (o.ResourceTag(key="k", value="v"),)
    for name in ("other", "d"):
        arn = ARN_PREFIX + name
        if name != "d":
            swf.call(o.RegisterDomain(name=name, workflow_execution_retention_period_in_days="NONE", tags=tags))
        swf.call(o.TagResource(resource_arn=arn, tags=tags))
        swf.call(o.UntagResource(resource_arn=arn, tag_keys=("k",)))
    swf.call(o.DeprecateDomain(name="other"))
    swf.call(o.UndeprecateDomain(name="other"))
    for version in ("2", "3"):
        type, task = WorkflowType("trip", version), ActivityType("book", version)
        swf.register_workflow_type(type)
        swf.register_activity_type(task)
        swf.call(o.DeprecateWorkflowType(domain="d", workflow_type=type))
        swf.call(o.DeprecateActivityType(domain="d", activity_type=task))
    swf.call(o.UndeprecateWorkflowType(domain="d", workflow_type=WorkflowType("trip", "2")))
    swf.call(o.UndeprecateActivityType(domain="d", activity_type=ActivityType("book", "2")))
    swf.call(o.DeleteWorkflowType(domain="d", workflow_type=WorkflowType("trip", "3")))
    swf.call(o.DeleteActivityType(domain="d", activity_type=ActivityType("book", "3")))


def do_activities(swf: Swf) -> None:
    run = swf.start("activities", input="")
    swf.respond(
        swf.poll(),
        schedule("done", task_priority="-1", control="c"),
        schedule("failed", input="i"),
        schedule("cancelled", heartbeat_timeout="30"),
        schedule("beaten", heartbeat_timeout="30"),
        schedule("late"),
        schedule("late"),
        schedule("unstarted", task_list=TaskList("nobody")),
        execution_context="x",
        task_list=TaskList("sticky"),
        task_list_schedule_to_start_timeout="5",
    )
    tasks = {task.activity_id: task for task in (swf.work(identity="worker") for _ in range(5))}
    swf.advance(1.25)
    beat = o.RecordActivityTaskHeartbeat(task_token=tasks["beaten"].task_token, details="half")
    swf.call(beat)
    swf.decide(
        d.RequestCancelActivityTask(activity_id="unstarted"),
        d.RequestCancelActivityTask(activity_id="cancelled"),
        d.RequestCancelActivityTask(activity_id="unknown"),
        task_list="sticky",
    )
    swf.call(o.RespondActivityTaskCompleted(task_token=tasks["done"].task_token, result="r"))
    swf.call(o.RespondActivityTaskFailed(task_token=tasks["failed"].task_token, reason="r", details="d"))
    swf.call(o.RespondActivityTaskCanceled(task_token=tasks["cancelled"].task_token, details="d"))
    # The sticky list, the heartbeat, a decision task, and the activity that stays open, each at its timeout.
    swf.advance(40)
    swf.poll()
    swf.advance(900)
    swf.poll(start_at_previous_started_event=True)
    swf.signal(run, input="while it is decided")
    swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id="activities", reason="r", details="d"))


def do_timers_and_lambdas(swf: Swf) -> None:
    run = swf.start("timers", lambda_role="role")
    lambdas = [d.ScheduleLambdaFunction(id=name, name=name, input="1", start_to_close_timeout="2") for name in "ab"]
    swf.decide(
        d.StartTimer(timer_id="t", start_to_fire_timeout="3", control="c"),
        d.StartTimer(timer_id="t", start_to_fire_timeout="3"),
        d.StartTimer(timer_id="u", start_to_fire_timeout="3"),
        d.CancelTimer(timer_id="u"),
        d.CancelTimer(timer_id="v"),
        d.RecordMarker(marker_name="m", details="d"),
        *lambdas,
        d.ScheduleLambdaFunction(id="slow", name="slow", input="1", start_to_close_timeout="2"),
        d.ScheduleLambdaFunction(id="broken", name="broken"),
    )
    swf.advance(3)
    task = swf.poll()
    swf.signal(run, input="news")
    swf.respond(task, d.CompleteWorkflowExecution(result="too early"))
    for close in (d.FailWorkflowExecution(reason="r"), d.CancelWorkflowExecution(), d.ContinueAsNewWorkflowExecution()):
        task = swf.poll()
        swf.signal(run)
        swf.respond(task, close)
    swf.decide(d.CompleteWorkflowExecution(result="r"))
    swf.start("no-role")
    swf.decide(*lambdas[:1])


def do_children(swf: Swf) -> None:
    def child(workflow_id: str, **given: Any) -> d.StartChildWorkflowExecution:
        return d.StartChildWorkflowExecution(workflow_type=WORKFLOW, workflow_id=workflow_id, control="c", **given)

    def close_child(close: d.Decision) -> None:
        swf.decide(close, task_list="children")

    parent = swf.start("parent", child_policy="REQUEST_CANCEL")
    names = ("completed", "failed", "cancelled", "terminated", "again", "kept")
    swf.decide(
        *(child(name, task_list=TaskList("children"), child_policy="ABANDON") for name in names),
        child("timed-out", task_list=TaskList("nobody"), execution_start_to_close_timeout="5"),
        child("parent"),
        d.StartChildWorkflowExecution(workflow_type=WorkflowType("nobody", "1"), workflow_id="x"),
        d.SignalExternalWorkflowExecution(workflow_id="parent", signal_name="s", input="i"),
        d.SignalExternalWorkflowExecution(workflow_id="nobody", signal_name="s", control="c"),
        d.RequestCancelExternalWorkflowExecution(workflow_id="parent"),
        d.RequestCancelExternalWorkflowExecution(workflow_id="nobody"),
    )
    close_child(d.CompleteWorkflowExecution(result="r"))
    close_child(d.FailWorkflowExecution(reason="r", details="d"))
    close_child(d.CancelWorkflowExecution(details="d"))
    swf.call(o.TerminateWorkflowExecution(domain="d", workflow_id="terminated", child_policy="TERMINATE"))
    swf.advance(10)
    assert swf.poll("children").workflow_execution.workflow_id == "again"
    swf.advance(60)
    close_child(d.ContinueAsNewWorkflowExecution(workflow_type_version="2", tag_list=("t",), input="more"))
    swf.call(o.RequestCancelWorkflowExecution(domain="d", workflow_id=parent.workflow_id))
    swf.decide(d.CompleteWorkflowExecution())


def close(swf: Swf) -> None:
    swf.start("short", execution_start_to_close_timeout="5")
    swf.advance(5)
    for name, close in {"failed": d.FailWorkflowExecution(), "cancelled": d.CancelWorkflowExecution()}.items():
        swf.start(name, task_list=TaskList(name))
        swf.decide(close, task_list=name)
    swf.start("no-such-version", task_list=TaskList("version"))
    swf.decide(d.ContinueAsNewWorkflowExecution(workflow_type_version="9"), task_list="version")


def tell(swf: Swf) -> str:
    """The histories, and what is known of each run besides."""
    region = swf._service._region
    lines = [f"{swf._service.clock.isoformat()}, revision {swf._service.revision}, next {swf._service.next_alarm()}"]
    for run in region.by_stem.values():
        lines += ["", _write(swf.describe(run.execution)), *map(_write, swf.history(run.execution))]
    return "\n".join(lines) + "\n"


def _write(struct: msgspec.Struct) -> str:
    return type(struct).__name__ + " " + msgspec.json.encode(struct).decode()


def dump(path: Path) -> str:
    with closing(sqlite3.connect(path)) as db:
        marks = [f"PRAGMA application_id = {APPLICATION};", f"PRAGMA user_version = {FORMAT};"]
        return "\n".join([*marks, *db.iterdump()]) + "\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of an earlier release."""
    if os.environ.get("GOLDEN") == "write" and not SQL.exists():
        with closing(JournaledService(tmp_path / "new.db", seed="golden", lambdas=answer_lambda)) as service:
            work(swf := Swf(service))
            HISTORIES.write_text(tell(swf), "utf-8")
        SQL.write_text(dump(tmp_path / "new.db"), "utf-8")
    path = tmp_path / "work.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(SQL.read_text("utf-8"))
    return path


def test_a_file_of_an_earlier_release_gives_the_same_answers(path: Path) -> None:
    try:
        with closing(JournaledService(path, lambdas=answer_lambda)) as service:
            answers = tell(Swf(service, service.clock))
    except JournalError as error:
        answers = str(error)
    assert answers.splitlines() == HISTORIES.read_text("utf-8").splitlines(), (
        f"files of format {FORMAT} are read otherwise than they were written: raise FORMAT, then GOLDEN=write"
    )


def test_the_file_has_every_change_and_every_event(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        written = {name for (name,) in db.execute("SELECT DISTINCT operation FROM journal")}
    assert written == {kind.__name__ for kind in (*CHANGING, *POLLS)} | {"tick"}
    kinds = {line.partition(" ")[0] for line in HISTORIES.read_text("utf-8").splitlines()}
    assert {kind.__name__ for kind in set(get_args(e.Event)) - NEVER} - kinds == set()


def test_only_one_format_is_kept() -> None:
    assert set(GOLDEN.iterdir()) == {SQL, HISTORIES}
