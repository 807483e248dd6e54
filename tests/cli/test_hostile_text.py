"""What others wrote cannot control the terminal, and cannot pass for a line of a command."""

from __future__ import annotations

import io
import logging
from contextlib import redirect_stderr, redirect_stdout
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from traction import Workflow
from traction.cli import main
from traction.cli.logs import TRACE_PREFIX, RecordFormatter
from traction.client.registration import register_type
from traction.history.escaping import is_safe
from traction.model import decisions as d
from traction.model import operations as o
from traction.plugins.loading import open_backend

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
"""What JSON can carry."""

HOSTILE = "\x1b[2J\r\x07\u202eapproved\x9b\n2024-02-29 12:00:00  COMPLETED  hostile 1  forged"


class Hostile(Workflow[None], name="hostile", task_list="hostile"):
    async def flow(self) -> None:
        pass


COMMANDS = (
    ("list", "--status", "failed"),
    ("list", "--wide"),
    ("describe", "open"),
    ("describe", "failed"),
    ("history", "open"),
    ("history", "failed"),
    ("history", "failed", "--events"),
    ("why", "open"),
    ("why", "failed"),
    ("tasks",),
    ("terminate", "--all-matching", "--dry-run"),
)


def write_executions(url: str, text: str) -> None:
    """Start executions with a text in every place where SWF accepts any."""
    backend = open_backend(url)
    try:
        register_type(backend, Hostile)
        marker = d.RecordMarker(marker_name=text, details=text)
        failure = d.FailWorkflowExecution(reason=text, details=text)
        for id, decisions in (("open", (marker,)), ("failed", (marker, failure))):
            start, signal = o.StartWorkflowExecution, o.SignalWorkflowExecution
            backend.call(
                start(domain=backend.domain, workflow_id=id, workflow_type=Hostile.spec.type, tag_list=(text,))
            )
            backend.call(signal(domain=backend.domain, workflow_id=id, signal_name=text, input=text))
            task = backend.call(
                o.PollForDecisionTask(domain=backend.domain, task_list=Hostile.spec.task_list), timedelta(0)
            )
            backend.call(
                o.RespondDecisionTaskCompleted(task_token=task.task_token, decisions=decisions, execution_context=text)
            )
    finally:
        backend.close()


def run(*argv: str) -> str:
    """Run a command, and return what it writes to both streams."""
    written = io.StringIO()
    with redirect_stdout(written), redirect_stderr(written), pytest.raises(SystemExit):
        main(argv)
    return written.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@settings(max_examples=15)
@given(TEXT)
@example(HOSTILE)
def test_no_printed_line_has_a_control_character_of_a_payload(folder: Path, text: str) -> None:
    url = f"local:{folder / f'{len([*folder.iterdir()])}.db'}"
    write_executions(url, text)
    for command in COMMANDS:
        printed = run(*command, "--url", url)
        assert printed
        lines = printed.split("\n")
        assert [line for line in lines if not all(is_safe(c) or c == "\t" for c in line)] == []
        assert not any(line.startswith("2024-02-29 12:00:00  COMPLETED") for line in lines)


def format_record(message: str, *args: object, error: BaseException | None = None) -> str:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(RecordFormatter("%(levelname)s %(message)s"))
    logger = logging.Logger("traction.test")
    logger.addHandler(handler)
    logger.warning(message, *args, exc_info=error)
    return written.getvalue()


@given(TEXT)
def test_a_log_record_is_one_line_whatever_its_text(text: str) -> None:
    line, end = format_record("a task failed: %s", text).split("\n")
    assert end == ""
    assert line.startswith("WARNING a task failed: ")
    assert all(is_safe(c) for c in line)


@given(TEXT)
def test_lines_of_a_traceback_cannot_pass_for_records(text: str) -> None:
    first, *lines, end = format_record("failed", error=ValueError(text)).split("\n")
    assert (first, end) == ("WARNING failed", "")
    assert lines
    assert all(line.startswith(TRACE_PREFIX) and all(is_safe(c) or c == "\t" for c in line) for line in lines)
