"""The commands that look at executions and work on them, on a backend that lasts from one command to the next."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pluggy
import pytest

from tests.cli.orders import Book, Keep, Write, report_and_wait
from traction.backend import POLL_WAIT_MAX, Backend
from traction.cli import loading, main
from traction.client.system import WorkerSystem
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction.plugins.hookspecs import hookimpl
from traction.plugins.loading import load_plugins, open_backend
from traction.worker.workflow_worker import WorkflowWorker
from traction_local.backend import LocalBackend
from traction_local.plugin import open_local

HERE = "tests.cli.orders"
LOOK = timedelta(milliseconds=20)


class View(Backend):
    """A connection to a backend that others use too: closing it closes nothing but itself."""

    def __init__(self, shared: LocalBackend) -> None:
        self.url, self.domain, self.limits = "kept:", shared.domain, shared.limits
        self._shared = shared
        self._closed = threading.Event()

    def call(self, request: o.Request[Any], wait: timedelta | None = None) -> Any:
        deadline = time.monotonic() + (POLL_WAIT_MAX if wait is None else wait).total_seconds()
        while True:
            answer = self._shared.call(request, LOOK)
            if getattr(answer, "task_token", True) or self._closed.is_set() or time.monotonic() >= deadline:
                return answer

    def now(self) -> Any:
        return self._shared.now()

    def wait_until_closed(self, execution: WorkflowExecution, wait: timedelta) -> bool:
        return self._shared.wait_until_closed(execution, wait)

    def close(self) -> None:
        self._closed.set()


class Kept:
    """A plugin whose `kept:` is one backend for as long as the plugin lives."""

    def __init__(self) -> None:
        self.shared = open_local()

    @hookimpl
    def traction_backend(self, url: str) -> Backend | None:
        return View(self.shared) if url == "kept:" else None

    @hookimpl
    def traction_schemes(self) -> list[str]:
        return ["kept:"]


@pytest.fixture
def plugins() -> Iterator[pluggy.PluginManager]:
    kept = Kept()
    yield load_plugins(kept)
    kept.shared.close()


class Command:
    """Runs commands on `kept:`, and gives what they print."""

    def __init__(self, plugins: pluggy.PluginManager, capsys: pytest.CaptureFixture[str]) -> None:
        self.plugins, self.capsys = plugins, capsys
        self.err = ""

    def __call__(self, *argv: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as left:
            main([*argv, "--url", "kept:"], self.plugins)
        out, self.err = self.capsys.readouterr()
        assert (left.value.code or 0) == code, self.err
        return out


@pytest.fixture
def traction(plugins: pluggy.PluginManager, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(plugins, capsys)


def test_start_gives_the_id_and_does_no_work(traction: Command) -> None:
    id = traction("start", f"{HERE}:buy", "--amount", "7").strip()
    assert json.loads(traction("list", "--json"))[0]["workflow_id"] == id
    assert "open activities   0" in traction("describe", id)


def test_starting_the_same_work_twice_finds_the_execution_that_is_open(traction: Command) -> None:
    argv = ["start", f"{HERE}:buy", "--amount", "7", "--json"]
    first, second = json.loads(traction(*argv)), json.loads(traction(*argv))
    assert (first.pop("new_run"), second.pop("new_run")) == (True, False)
    assert first == second


def test_starting_other_work_under_an_open_id_prints_that_nothing_was_started(traction: Command) -> None:
    traction("start", f"{HERE}:buy", "--amount", "7", "--workflow-id", "one")
    assert "Its workers: traction worker tests.cli.orders --url kept:" in traction.err
    traction("start", f"{HERE}:buy", "--amount", "8", "--workflow-id", "one", code=1)
    assert "its input differs in amount" in traction.err
    assert "with --workflow-id ..., or get its handle with --if-running return" in traction.err
    traction("start", f"{HERE}:buy", "--amount", "8", "--workflow-id", "one", "--if-running", "return")
    assert "Nothing was started: run" in traction.err


def test_a_module_alone_is_all_that_it_defines() -> None:
    names = {definition.__name__ for definition in loading.load_definitions(HERE)}
    assert {"buy", "pay", "Keep", "Write"} <= names
    assert "Activity" not in names
    with pytest.raises(loading.UsageError, match="defines neither a workflow nor an activity"):
        loading.load_definitions("json")


def test_list_shows_one_line_for_each_execution(traction: Command) -> None:
    traction("start", f"{HERE}:buy", "--amount", "1", "--workflow-id", "one")
    traction("start", f"{HERE}:wait_long", "--workflow-id", "two")
    lines = traction("list").splitlines()
    assert sorted(line.split()[2:6] for line in lines) == [
        ["OPEN", "buy", "1", "one"],
        ["OPEN", "wait_long", "1", "two"],
    ]
    assert len(traction("list", "--count", "1").splitlines()) == 1
    assert traction("list", "--status", "closed") == ""
    assert traction.err == "No matching executions in kept:\n"


def test_list_and_describe_show_the_state_of_an_open_flow(traction: Command, plugins: pluggy.PluginManager) -> None:
    traction("start", f"{HERE}:buy", "--amount", "1", "--workflow-id", "silent")
    with WorkerSystem("kept:", plugins=plugins) as system:
        handle = system.start(report_and_wait(), workflow_id="one")
        worker = WorkflowWorker(system.backend, [report_and_wait])
        assert worker.work_once(LOOK)
        assert handle.published_state() == {"left": 3}
    reports = {words[5]: words[7:] for words in map(str.split, traction("list").splitlines())}
    assert reports == {"silent": [], "one": ['{"left":3}']}
    assert "left" not in traction("list", "--no-states")
    assert 'state             {"left":3}' in traction("describe", "one")
    listed = {one["workflow_id"]: one for one in json.loads(traction("list", "--json"))}
    assert listed["one"]["state"] == '{"left":3}'
    assert listed["silent"]["state"] is None


def test_terminate_closes_an_execution_and_keeps_the_reason(traction: Command) -> None:
    traction("start", f"{HERE}:buy", "--amount", "1", "--workflow-id", "one")
    traction("terminate", "one", "--reason", "a mistake")
    assert traction("history", "one").startswith("buy 1  TERMINATED  ")
    assert "a mistake" in traction("history", "one")
    assert "status            TERMINATED" in traction("describe", "one")
    traction("terminate", "one", code=1)


def test_cancel_asks_an_execution_to_cancel(traction: Command) -> None:
    traction("start", f"{HERE}:wait_long", "--workflow-id", "one")
    traction("cancel", "one")
    assert "cancel requested  yes" in traction("describe", "one")
    assert "CANCEL_REQUESTED" in traction("list")


def test_signal_sends_the_fields_that_its_options_set(traction: Command) -> None:
    traction("start", f"{HERE}:wait_for_approval", "--workflow-id", "one")
    traction("signal", "one", f"{HERE}:Approve", "--by", "Ann", "--gift")
    assert traction.err == "Sent approved to one\n"
    (printed,) = [line for line in traction("history", "one", "--events").splitlines() if "Signaled" in line]
    fields = json.loads(printed[printed.index("{") :])
    assert (fields["signalName"], json.loads(fields["input"])) == ("approved", {"by": "Ann", "gift": True})


def test_a_signal_to_a_closed_execution_exits_with_1_and_shows_how_it_closed(traction: Command) -> None:
    traction("start", f"{HERE}:wait_for_approval", "--workflow-id", "one")
    traction("terminate", "one")
    traction("signal", "one", f"{HERE}:Approve", "--by", "Ann", code=1)
    assert "one is not open any more: WorkflowExecutionTerminated" in traction.err
    traction("signal", "nobody", f"{HERE}:Approve", "--by", "Ann", code=1)
    assert "there is no execution 'nobody'" in traction.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((f"{HERE}:Approve",), "--by"),
        ((f"{HERE}:Approve", "--by", "Ann", "--tip", "7"), "--tip"),
        ((f"{HERE}:buy",), "not a signal class"),
        ((f"{HERE}:Reject",), "has no 'Reject'"),
        ((), "MODULE:SIGNAL"),
    ],
)
def test_a_signal_that_is_none_leaves_with_2(traction: Command, words: tuple[str, ...], says: str) -> None:
    traction("start", f"{HERE}:wait_for_approval", "--workflow-id", "one")
    traction("signal", "one", *words, code=2)
    assert says in traction.err


def test_state_shows_the_current_state_of_a_flow_without_a_worker(traction: Command) -> None:
    traction("start", f"{HERE}:cook", "--dishes", '["soup", "cake"]', "--workflow-id", "one")
    assert traction("state", "one", f"{HERE}:cook") == '{"at":"soup"}\n'
    backend = open_backend("kept:", traction.plugins)
    taste = o.SignalWorkflowExecution(domain=backend.domain, workflow_id="one", signal_name="Taste", input="{}")
    backend.call(taste)
    assert json.loads(traction("state", "one", f"{HERE}:buy", f"{HERE}:cook", "--json"))["state"] == {"at": "cake"}
    backend.call(taste)
    assert traction("state", "one", f"{HERE}:cook") == "done\n"


def test_state_reports_that_a_flow_has_set_none(traction: Command) -> None:
    traction("start", f"{HERE}:wait_long", "--workflow-id", "one")
    assert traction("state", "one", f"{HERE}:wait_long") == ""
    assert traction.err == "one has set no state\n"
    assert json.loads(traction("state", "one", f"{HERE}:wait_long", "--json"))["state"] is None


def test_query_takes_the_code_of_the_workflow(traction: Command) -> None:
    traction("start", f"{HERE}:wait_long", "--workflow-id", "one")
    traction("state", "one", f"{HERE}:buy", code=2)
    assert "one is an execution of wait_long 1, not of buy 1" in traction.err


def test_the_state_of_an_unknown_id_exits_with_1(traction: Command) -> None:
    traction("state", "nobody", f"{HERE}:cook", code=1)
    assert "there is no execution 'nobody'" in traction.err


def test_an_unknown_id_exits_with_1(traction: Command) -> None:
    for command in ("describe", "history", "cancel", "terminate"):
        traction(command, "nobody", code=1)
        assert "nobody" in traction.err


def test_history_prints_one_line_per_event(traction: Command) -> None:
    traction("start", f"{HERE}:buy", "--amount", "1", "--workflow-id", "one")
    lines = traction("history", "one", "--events").splitlines()
    assert [line.split()[3] for line in lines] == ["WorkflowExecutionStarted", "DecisionTaskScheduled"]
    events = json.loads(traction("history", "one", "--events", "--json"))
    assert [event["event_id"] for event in events] == [1, 2]
    assert json.loads(traction("history", "one", "--json"))["status"] == "OPEN"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_works_until_a_signal_and_ends_well(
    traction: Command, plugins: pluggy.PluginManager, number: signal.Signals
) -> None:
    traction("start", f"{HERE}:Keep", "--line", "a", "--workflow-id", "one")
    with WorkerSystem("kept:", plugins=plugins) as system:
        (info,) = system.backend.call(
            o.ListOpenWorkflowExecutions(
                domain=system.backend.domain,
                start_time_filter=o.ExecutionTimeFilter(oldest_date=system.backend.now() - timedelta(days=1)),
            )
        ).execution_infos
        results: list[object] = []

        def stop_after_the_result() -> None:
            try:
                results.append(system.get_handle(info.execution).result(30))
            finally:
                os.kill(os.getpid(), number)

        watcher = threading.Thread(target=stop_after_the_result)
        # The handlers are in place before the work begins, and the result comes from these workers alone.
        watcher.start()
        argv = ["worker", f"{HERE}:Keep", f"{HERE}:Write", "--provide", f"Write={HERE}:open_book"]
        traction(*argv)
        watcher.join()
    assert results == ["ledger: a"]
    assert "Stopping" in traction.err


def test_a_flow_may_ask_for_an_activity_before_the_first_worker_that_has_it(plugins: pluggy.PluginManager) -> None:
    with WorkerSystem("kept:", plugins=plugins) as deciding, WorkerSystem("kept:", plugins=plugins) as working:
        handle = deciding.start(Keep("a"))
        deciding.start_workflow_worker(Keep)
        with pytest.raises(TimeoutError):
            handle.result(0.1)
        working.start_activity_worker(Write, Book("ledger"))
        assert handle.result(30) == "ledger: a"


def test_a_worker_without_what_its_activity_needs_leaves_with_2(traction: Command) -> None:
    traction("worker", f"{HERE}:Write", code=2)
    assert "Write needs Book" in traction.err


# The real command, in processes of their own, on a backend that is a file.


def call_command(*argv: str, cwd: Path) -> str:
    return subprocess.run(
        [sys.executable, "-m", "traction", *argv, "--url", "local:work.db"],
        cwd=cwd,
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    ).stdout


def test_processes_meet_at_a_file(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).with_name("orders.py"), tmp_path / "shop.py")
    id = call_command("start", "shop:buy", "--amount", "7", cwd=tmp_path).strip()
    assert id in call_command("list", cwd=tmp_path)
    command = [sys.executable, "-m", "traction", "worker", "shop:buy", "shop:pay", "--url", "local:work.db"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as worker:
        with WorkerSystem(f"local:{tmp_path / 'work.db'}") as system:
            started = json.loads(call_command("describe", id, "--json", cwd=tmp_path))
            assert (
                system.get_handle(WorkflowExecution(started["workflow_id"], started["run_id"])).result(30) == "paid 7"
            )
        worker.send_signal(signal.SIGTERM)
        assert worker.stderr is not None
        log = worker.stderr.read()
        assert (worker.wait(60), "Stopping" in log) == (0, True), log
    assert "✓ pay-1" in call_command("history", id, cwd=tmp_path)
    assert "COMPLETED" in call_command("list", "--status", "completed", cwd=tmp_path)
