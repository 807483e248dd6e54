"""The command line shows the line that failed, and a decision task without a worker."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from tests.cli.test_run import run
from traction import WorkerSystem, activity, workflow
from traction.client.following import follow_events
from traction.client.visibility import describe_waiting, explain_waiting, find_waiting_decision
from traction.errors import WorkflowFailed
from traction.history.reading import list_failures, read_execution
from traction.history.rendering import render


@activity
def fetch(number: int) -> int:
    raise ConnectionResetError(f"reset by peer {number}")  # the line that failed


@workflow
async def fetching(number: int) -> int:
    return await fetch(number)  # the line of the flow


@workflow
async def fetching_locally(number: int) -> int:
    return await fetch(number).locally()


@workflow
async def parent(number: int) -> int:
    return await fetching(number)


def fail_in(url: str) -> None:
    with WorkerSystem(url) as system:
        system.start_workflow_worker(fetching)
        system.start_activity_worker(fetch)
        with pytest.raises(WorkflowFailed):
            system.run(fetching(7), workflow_id="one", timeout=60)


def test_history_shows_where_a_step_failed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    url = f"local:{tmp_path / 'work.db'}"
    fail_in(url)
    code, out, _ = run(capsys, "history", "one", "--url", url)
    assert code == 0
    assert "\nfetch-1:\nTraceback (most recent call last):\n" in out
    assert "# the line that failed" in out
    assert "\nthe flow:\nTraceback" in out
    assert "src/traction" not in out


def test_run_shows_the_remote_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "run", f"{__name__}:fetching", "--number", "7")
    assert code == 1
    assert err.count("# the line that failed") == 1


@pytest.mark.parametrize("call", [fetching(7), fetching_locally(7), parent(7)])
def test_the_timeline_names_file_line_and_function(call: object) -> None:
    from traction.testing import simulate

    events = simulate(call).history  # type: ignore[call-overload]
    assert re.search(r"\(test_failures\.py:\d+\)", render(read_execution(events), width=400))
    assert list_failures(read_execution(events))[-1].startswith("the flow:\n")


def test_a_waiting_decision_task_is_shown_with_its_list(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    url = f"local:{tmp_path / 'work.db'}"
    with WorkerSystem(url) as system:
        handle = system.start(fetching(7), workflow_id="late")
        assert explain_waiting(system.backend, handle.execution, at_least=timedelta(hours=1)) is None
        events = handle.history()
        waiting = find_waiting_decision(events, events[-1].event_timestamp + timedelta(seconds=5))
        assert waiting == ("fetching-1", timedelta(seconds=5))
        assert describe_waiting(*waiting).endswith("waited on the list fetching-1 for 5.00 s: is a worker running?")
        with pytest.raises(
            TimeoutError, match=r"after 1\.\d* s; a decision task has waited on the list fetching-1 for 1"
        ):
            handle.result(timeout=1.1)
    for command in ("describe", "history"):
        assert "a decision task has waited on the list fetching-1 for" in run(capsys, command, "late", "--url", url)[1]


def test_no_waiting_task_is_shown_for_closed_and_decided_executions(tmp_path: Path) -> None:
    url = f"local:{tmp_path / 'work.db'}"
    fail_in(url)
    with WorkerSystem(url) as system:
        assert explain_waiting(system.backend, system.get_handle("one").execution) is None


@activity
def halve(number: int) -> int:
    return number // 2


@activity
def wrong() -> int:
    return "seven"  # type: ignore[return-value]


@workflow
async def misplaced() -> int:
    return await halve(7).options(task_list="fetch-1")


@workflow
async def asking_wrong() -> int:
    return await wrong()


def test_a_task_of_another_type_on_a_list_is_logged_with_both_types(caplog: pytest.LogCaptureFixture) -> None:
    with WorkerSystem("local:") as system:
        system.start_workflow_worker(misplaced)
        system.start_activity_worker(fetch)
        handle = system.start(misplaced())
        with pytest.raises(TimeoutError):
            handle.result(timeout=0.5)
        handle.terminate()
    text = next(record.getMessage() for record in caplog.records if record.levelname == "ERROR")
    assert "a task of halve 1 is on the list fetch-1, and the worker that polls it has only fetch 1" in text
    assert "input" not in text


def test_an_error_about_the_type_of_a_result_does_not_mention_versions() -> None:
    with WorkerSystem("local:") as system:
        system.start_workflow_worker(asking_wrong)
        system.start_activity_worker(wrong)
        with pytest.raises(WorkflowFailed, match="Return or pass a value of that type") as caught:
            system.run(asking_wrong(), timeout=60)
    assert "version" not in str(caught.value)


def test_events_are_followed_until_the_execution_closes(tmp_path: Path) -> None:
    url = f"local:{tmp_path / 'work.db'}"
    with WorkerSystem(url) as system:
        handle = system.start(fetching(7), workflow_id="one")
        waits: list[int] = []

        def act() -> None:
            waits.append(len(handle.history()))
            if len(waits) == 2:
                handle.terminate("enough")

        events = list(follow_events(system.backend, handle.execution, act))
        assert waits == [2, 2]
        assert events == handle.history()
