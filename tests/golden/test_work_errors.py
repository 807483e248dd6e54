"""The error text of each mistake at run time. `GOLDEN=write` rewrites the files, as for `test_errors`.

Each case makes one mistake; `work_errors/<case>.txt` is what it raises, or what the worker reports.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pluggy
import pytest

import traction_local.plugin
from tests.golden.test_errors import format_error
from tests.support.backends import Stage, open_stage, take_turns
from traction import (
    Activity,
    WorkerSystem,
    Workflow,
    activity,
    current_task,
    heartbeat,
    run,
    side_effect,
    sleep,
    workflow,
)
from traction.model import operations as o
from traction.plugins import hookspecs
from traction.plugins.loading import open_backend
from traction.worker.activity_worker import ActivityWorker
from traction.worker.workflow_worker import WorkflowWorker
from traction_local.backend import DOMAIN

GOLDEN = Path(__file__).parent / "work_errors"

CASES: dict[str, Callable[[Any], Any]] = {}


def case(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
    CASES[make.__name__] = make
    return make


class Connection: ...


def load_local() -> pluggy.PluginManager:
    """Load one plugin alone, whatever is installed here."""
    plugins = pluggy.PluginManager(hookspecs.PROJECT)
    plugins.add_hookspecs(hookspecs)
    plugins.register(traction_local.plugin)
    return plugins


class CollectChanges(Activity[Connection, int]):
    project_id: int

    def run(self, db: Connection) -> int:
        return self.project_id


class IndexProject(Workflow[int]):
    project_id: int

    async def flow(self) -> int:
        return await CollectChanges(self.project_id)


class IndexAgain(Workflow[int], name="IndexProject"):
    project_id: int

    async def flow(self) -> int:
        await sleep(1)
        return 0


@activity
def greet(name: str) -> str:
    return name


@workflow
async def leave() -> None:
    raise SystemExit(2)


# Starting.


@case
def run_a_definition(stage: Stage) -> None:
    stage.system.start(IndexProject)  # type: ignore[arg-type]


@case
def run_an_activity(stage: Stage) -> None:
    stage.system.start(greet("you"))  # type: ignore[arg-type]


@case
def run_under_an_id_with_a_slash(stage: Stage) -> None:
    stage.system.start(IndexProject(7), workflow_id="projects/7")


@case
def run_with_an_input_of_another_type(stage: Stage) -> None:
    stage.system.start(IndexProject("seven"))  # type: ignore[arg-type]


@case
def run_under_the_id_of_another_type(stage: Stage) -> None:
    stage.system.start(leave(), workflow_id="project 7")
    stage.system.start(IndexProject(7), workflow_id="project 7")


@case
def result_after_the_timeout(stage: Stage) -> None:
    stage.system.run(IndexProject(7), workflow_id="project 7", timeout=0)


@case
def run_without_what_an_activity_needs(_: Stage) -> None:
    run(IndexProject(7))


@case
def url_of_an_unknown_scheme(_: Stage) -> None:
    WorkerSystem("redis://here", plugins=load_local())


@case
def url_without_a_scheme(_: Stage) -> None:
    open_backend("work.db", load_local())


# Workers.


@case
def workflow_worker_of_an_activity(stage: Stage) -> None:
    stage.system.start_workflow_worker(greet)  # type: ignore[arg-type]


@case
def workflow_worker_of_nothing(stage: Stage) -> None:
    stage.system.start_workflow_worker()


@case
def activity_worker_of_a_call(stage: Stage) -> None:
    stage.system.start_activity_worker(greet("you"))  # type: ignore[call-overload]


@case
def activity_worker_of_a_function(stage: Stage) -> None:
    stage.system.start_activity_worker(len)  # type: ignore[call-overload]


@case
def activity_worker_without_its_dependency(stage: Stage) -> None:
    ActivityWorker(stage.backend, CollectChanges)


@case
def activity_worker_with_a_dependency_too_many(stage: Stage) -> None:
    ActivityWorker(stage.backend, greet, "db")


@case
def two_definitions_of_one_name_and_version(stage: Stage) -> None:
    WorkflowWorker(stage.backend, [IndexProject, IndexAgain])


@case
def one_worker_of_two_lists(stage: Stage) -> None:
    WorkflowWorker(stage.backend, [IndexProject, leave])  # type: ignore[list-item]


# Tasks.


@case
def heartbeat_outside_of_an_activity(_: Stage) -> None:
    heartbeat()


@case
def current_task_outside_of_an_activity(_: Stage) -> None:
    current_task()


# What a worker reports of a decision task.


def report(stage: Stage, hosted: Any, call: Workflow[Any], **given: Any) -> None:
    stage.start(call, workflow_id="project 7")
    take_turns(stage.decider(hosted, **given))
    raise stage.stuck[0]


@case
def stuck_by_a_workflow_that_the_worker_does_not_have(stage: Stage) -> None:
    report(stage, leave, IndexProject(7), task_list=IndexProject.spec.task_list.name)


@case
def stuck_by_an_input_that_does_not_decode(stage: Stage) -> None:
    class Renamed(Workflow[int], name="IndexProject"):
        project: int

        async def flow(self) -> int:
            return self.project

    report(stage, Renamed, IndexProject(7))


@case
def stuck_by_a_flow_that_exits(stage: Stage) -> None:
    report(stage, leave, leave())


@workflow
async def keep() -> str:
    return await side_effect(lambda: "x" * 40_000)


@case
def failed_by_a_side_effect_that_is_too_long(stage: Stage) -> None:
    handle = stage.start(keep(), keep)
    take_turns(stage.decider(keep))
    handle.result(0)


@case
def stuck_by_a_start_without_its_fields(stage: Stage) -> None:
    stage.register(IndexProject)
    run = o.StartWorkflowExecution(domain=DOMAIN, workflow_id="project 7", workflow_type=IndexProject.spec.type)
    stage.backend.call(run)
    take_turns(stage.decider(IndexProject))
    raise stage.stuck[0]


@case
def stuck_by_a_flow_that_no_longer_matches(stage: Stage) -> None:
    stage.start(IndexProject(7), CollectChanges, workflow_id="project 7")
    take_turns(stage.decider(IndexProject), stage.worker(CollectChanges, Connection()))
    stage.start(IndexProject(8), workflow_id="project 8")
    take_turns(stage.decider(IndexProject))
    stage.worker(CollectChanges, Connection()).work_once()
    take_turns(stage.decider(IndexAgain))
    raise stage.stuck[0]


def normalize(text: str) -> str:
    """Leave out what depends on the machine and the run."""
    text = re.sub(r"[^\s(]*test_work_errors[.]py, line \d+", "app.py, line N", text)
    text = text.replace(f"{__name__}.", "app.").replace(__name__, "app")
    text = re.sub(r"\(run [^)]*\)", "(run R)", re.sub(r" at 0x[0-9a-f]+", "", text))
    return re.sub(r"(?:\w+[.])*\w+[.]<locals>[.]", "", text)


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_at_run_time_has_this_error_text(name: str) -> None:
    with open_stage() as stage:
        text = normalize(format_error(lambda: CASES[name](stage)))
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_every_golden_text_of_running_work_has_its_case() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)
