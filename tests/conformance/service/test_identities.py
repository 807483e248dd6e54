"""Section 1 of docs/swf-semantics.md, "Identifiers"."""

from __future__ import annotations

import pytest

from tests.conformance.service.conftest import ACTIVITY, WORKFLOW, Swf
from traction.model.decisions import ScheduleActivityTask
from traction.model.names import TaskList
from traction.model.operations import DescribeDomain, PollForDecisionTask, RegisterDomain, StartWorkflowExecution


def test_s1_a_domain_has_an_arn_with_a_leading_slash(swf: Swf) -> None:
    arn = swf.call(DescribeDomain(name="d")).domain_info.arn
    assert arn is not None
    assert arn.startswith("arn:aws:swf:")
    assert arn.endswith(":/domain/d")


def test_s1_a_run_id_is_opaque_and_never_comes_again(swf: Swf) -> None:
    run_ids = {swf.start(f"w{number}").run_id for number in range(50)}
    assert len(run_ids) == 50
    assert {(len(run_id), run_id[:2], run_id[-1]) for run_id in run_ids} == {(46, "22", "=")}


def test_s1_a_task_token_is_opaque_and_never_comes_again(swf: Swf) -> None:
    for number in range(3):
        swf.start(f"w{number}")
    tokens = [swf.poll().task_token for _ in range(3)]
    assert len(set(tokens)) == 3
    assert all(token.startswith("AAAAKgAAAA") and len(token) <= 1024 for token in tokens)


def test_s1_nothing_crosses_domains(swf: Swf) -> None:
    swf.call(RegisterDomain(name="other", workflow_execution_retention_period_in_days="1"))
    swf.start()
    poll = PollForDecisionTask(domain="other", task_list=TaskList("deciders"))
    assert swf.call(poll).task_token == ""
    start = StartWorkflowExecution(domain="other", workflow_id="w", workflow_type=WORKFLOW)
    assert swf.refuse(start) == ("UnknownResourceFault", "Unknown type: WorkflowType=[name=trip, version=1]")


def test_s1_decision_lists_and_activity_lists_of_one_name_are_different(swf: Swf) -> None:
    swf.start(task_list=TaskList("same"))
    assert swf.work("same").task_token == ""
    book = ScheduleActivityTask(activity_type=ACTIVITY, activity_id="a", task_list=TaskList("same"))
    swf.decide(book, task_list="same")
    assert swf.poll("same").task_token == ""
    assert swf.work("same").activity_id == "a"


@pytest.mark.parametrize("name", ["x" * 256, "with space", "ärger", "Arn", "arn1", "a.b-c_d"])
def test_s1_a_name_may_be(swf: Swf, name: str) -> None:
    swf.start(name)


@pytest.mark.parametrize("name", [" x", "x ", "a:b", "a/b", "a|b", "a\x00b", "a\x1fb", "a\x7fb", "a\x9fb", "arn", "\n"])
def test_s1_a_name_may_not_be(swf: Swf, name: str) -> None:
    start = StartWorkflowExecution(domain="d", workflow_id=name, workflow_type=WORKFLOW)
    code, message = swf.refuse(start)
    assert code == "ValidationException"
    wrong = f"1 validation error detected: Value '{name}' at 'workflowId' failed to satisfy constraint: Member must "
    assert message.startswith(wrong)
