"""A failure shows the line that raised it, keeps its type and its causes, and is matched by them."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from traction import DeclaredError, Retry, Step, WorkerSystem, activity, done, run, sleep, workflow
from traction.errors import (
    ActivityFailed,
    ActivityTimedOut,
    ChildFailed,
    PayloadError,
    RemoteTraceback,
    StepTimedOut,
    WorkflowFailed,
)
from traction.payloads.causes import CAUSES_MAX, make_known
from traction.payloads.codec import JSON, PAYLOAD_CHARS_MAX
from traction.payloads.exception_names import is_one_of
from traction.payloads.failure_text import read_failure
from traction.payloads.failures import describe_failure
from traction.testing import fails, raises, simulate
from traction_local.backend import LocalBackend
from traction_local.server.app import serving
from traction_local.service.service import Service


class Reset(ConnectionResetError):
    """A subclass of a built-in error, which no policy names."""


class Refused(DeclaredError):
    code: int


class RefusedForGood(Refused):
    why: str = ""


@activity
def fetch(number: int) -> int:
    raise Reset(f"number {number}")  # the line that failed


@activity
async def fetch_async(number: int) -> int:
    raise Reset(f"number {number}")  # the line that failed


@workflow
async def once(number: int) -> int:
    return await fetch(number)  # the line of the flow


@workflow
async def once_async(number: int) -> int:
    return await fetch_async(number)


@workflow
async def once_locally(number: int) -> int:
    return await fetch(number).locally()


@workflow
async def parent(number: int) -> int:
    return await once(number)  # the line of the parent


@workflow
async def grandparent(number: int) -> int:
    return await parent(number)


@workflow
async def translator(number: int) -> int:
    try:
        return await fetch(number)
    except ActivityFailed as error:
        raise LookupError("no such number") from error


def fail_of(make: Callable[[], Any]) -> WorkflowFailed:
    with pytest.raises(WorkflowFailed) as caught:
        make()
    return caught.value


def show(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def list_causes(error: Any) -> list[Any]:
    causes = [error]
    while (error := getattr(error, "cause", None)) is not None:
        causes.append(error)
    return causes


# Tracebacks.


@pytest.mark.parametrize("call", [once(7), once_async(7), once_locally(7), parent(7), grandparent(7)])
def test_the_traceback_of_the_client_shows_the_line_of_the_activity(call: Any) -> None:
    for failed in (fail_of(lambda: run(call)), fail_of(lambda: simulate(call).result)):
        shown = show(failed)
        assert shown.count("  # the line that failed\n") == 1
        assert 'test_remote_failures.py", line ' in failed.traceback
        assert "Reset: number 7" in failed.traceback
        assert isinstance(failed.__cause__, RemoteTraceback)


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_the_line_is_shown_over_http_from_threads_and_processes(executor: Any) -> None:
    with (
        serving(LocalBackend(Service(), pace=0)) as url,
        WorkerSystem(f"swf://acme?endpoint={url}&region=us-east-1&retention_days=1") as system,
    ):
        system.start_workflow_worker(once, parent)
        system.start_activity_worker(fetch, executor=executor)
        failed = fail_of(lambda: system.run(parent(7), timeout=60))
    lines = [line.strip() for line in show(failed).splitlines()]
    wanted = ["raise Reset(f", "return await fetch(number)  # the", "return await once(number)  # the"]
    found = [next(n for n, line in enumerate(lines) if line.startswith(start)) for start in wanted]
    assert found == sorted(found)


def test_a_remote_traceback_has_no_frames_of_traction() -> None:
    for call in (once(7), once_async(7), once_locally(7), parent(7), translator(7)):
        text = fail_of(lambda call=call: run(call)).traceback
        assert "src/traction" not in text
        assert "asyncio" not in text
        assert "Traceback (most recent call last):" in text


TESTS = """
from traction import activity, run, workflow
from traction.testing import simulate

@activity
def fetch(number: int) -> int:
    raise ConnectionResetError("reset by peer")

@workflow
async def flow() -> int:
    return await fetch(7)

def test_run():
    run(flow())

def test_simulate():
    simulate(flow()).result
"""


def test_pytest_shows_no_frames_of_traction(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_flow=TESTS)
    text = pytester.runpytest_inprocess("--tb=short", "--show-capture=no").stdout.str()
    assert "2 failed" in text
    assert text.count('raise ConnectionResetError("reset by peer")') >= 2
    assert "src/traction" not in text


def test_an_error_that_traction_raises_for_the_user_shows_the_users_line_alone() -> None:
    def read() -> None:
        JSON.decode("{", int)

    with pytest.raises(PayloadError) as caught:
        read()
    text = read_failure(*describe_failure(caught.value, JSON)).traceback
    assert "JSON.decode" in text
    assert "codec.py" not in text


def test_a_failure_that_is_caught_and_raised_again_is_shown_with_both_lines() -> None:
    text = fail_of(lambda: run(translator(7))).traceback
    assert text.index("the line that failed") < text.index("return await fetch") < text.index("raise LookupError")


@given(
    st.integers(0, 200_000),
    st.integers(0, 60),
    st.sampled_from(["x", '"', "\x00", "é", "\U0001f600"]),
)
@example(200_000, 60, "\x00")
def test_a_failure_with_causes_fits_in_what_swf_carries(length: int, depth: int, character: str) -> None:
    failed: Any = fail_deep(length, depth, character)
    reason, details = describe_failure(failed, JSON)
    assert len(details) <= PAYLOAD_CHARS_MAX
    known = make_known(read_failure(reason, details))
    assert len(list_causes(ActivityFailed("X-1", **known))) <= CAUSES_MAX + 1
    if length < 1_000 and character == "x":
        assert "fail_deep" in known["traceback"]
        assert list_causes(known["cause"])[-1].type == "ValueError"


def fail_deep(length: int, depth: int, character: str) -> Exception:
    try:
        raise ValueError(character * length)
    except ValueError as error:
        failed: Exception = error
    for number in range(depth + 1):
        failed = ChildFailed(
            f"child-{number}", status="FAILED", **make_known(read_failure(*describe_failure(failed, JSON)))
        )
    return failed


def test_of_a_deep_stack_the_innermost_frames_are_kept() -> None:
    def dive(depth: int) -> None:
        if depth:
            # Two lines in turn, which Python does not fold.
            if depth % 2:
                dive(depth - 1)
            dive(depth - 1)
        raise ValueError("the bottom")

    with pytest.raises(ValueError, match="bottom") as caught:
        dive(600)
    info = read_failure(*describe_failure(caught.value, JSON))
    assert info.traceback.endswith('raise ValueError("the bottom")\nValueError: the bottom\n')


def test_a_long_message_leaves_the_frames_in_the_traceback() -> None:
    info = read_failure(*describe_failure(fail_deep(0, 0, ""), JSON))
    assert "fail_deep" in make_known(info)["traceback"]
    with pytest.raises(ValueError, match="x") as caught:
        raise ValueError("x" * 100_000)
    assert 'raise ValueError("x" * 100_000)' in read_failure(*describe_failure(caught.value, JSON)).traceback


# Causes.


def test_the_cause_of_a_workflows_failure_is_that_of_its_step() -> None:
    failed = fail_of(lambda: run(once(7)))
    cause: Any = failed.cause
    assert type(cause) is ActivityFailed
    assert (cause.step, cause.message) == ("fetch-1", "number 7")
    assert cause.type == f"{__name__}.Reset"
    assert cause.bases == ("ConnectionResetError", "ConnectionError", "OSError")
    assert "the line that failed" in cause.traceback


def test_causes_lead_through_children_to_what_failed_first() -> None:
    failed = fail_of(lambda: run(grandparent(7)))
    causes = list_causes(failed)
    assert [type(one) for one in causes] == [WorkflowFailed, ChildFailed, ChildFailed, ActivityFailed]
    assert [one.step for one in causes[1:]] == ["parent-1", "once-1", "fetch-1"]
    assert [one.status for one in causes[1:3]] == ["FAILED", "FAILED"]
    assert causes[-1].type == f"{__name__}.Reset"
    assert causes[1].traceback != causes[2].traceback


def test_what_a_flow_raises_from_a_failure_has_that_failure_as_its_cause() -> None:
    failed = fail_of(lambda: run(translator(7)))
    assert (failed.type, failed.message) == ("LookupError", "no such number")
    assert [type(one) for one in list_causes(failed)] == [WorkflowFailed, ActivityFailed]


def test_what_a_flow_raises_from_none_has_no_cause() -> None:
    @workflow
    async def quiet() -> int:
        try:
            return await fetch(7)
        except ActivityFailed:
            raise LookupError("no such number") from None

    assert fail_of(lambda: run(quiet())).cause is None


def test_causes_of_other_kinds_keep_their_type_and_their_facts() -> None:
    @workflow
    async def late() -> None:
        await sleep(100).timeout(10)

    cause: Any = fail_of(lambda: simulate(late()).result).cause
    assert type(cause) is StepTimedOut
    assert cause.limit.total_seconds() == 10
    timed_out = ActivityTimedOut("fetch-1", timeout_type="HEARTBEAT", details='"at 7"')
    known = make_known(read_failure(*describe_failure(timed_out, JSON)))
    assert vars(known["cause"]) == vars(timed_out)  # type: ignore[arg-type]
    assert str(known["cause"]) == str(timed_out)


def test_a_declared_error_that_passes_has_the_failure_of_its_activity_as_its_cause() -> None:
    @activity(raises=(Refused,))
    def charge() -> int:
        raise RefusedForGood(7, "limit")

    @workflow(raises=(Refused,))
    async def buy() -> int:
        return await charge()

    with pytest.raises(Refused) as caught:
        run(buy())
    error: Any = caught.value
    assert (error.code, error.cause.step) == (7, "charge-1")
    assert error.cause.type.endswith("RefusedForGood")
    assert not hasattr(error.cause, "code")


def test_a_failure_that_is_copied_or_pickled_keeps_its_causes_and_its_traceback() -> None:
    failed = fail_of(lambda: run(parent(7)))
    for one in (copy.copy(failed), pickle.loads(pickle.dumps(failed))):
        assert show(one.__cause__) == show(failed.__cause__)  # type: ignore[arg-type]
        assert [(type(each), str(each)) for each in list_causes(one)] == [
            (type(each), str(each)) for each in list_causes(failed)
        ]


def test_details_without_bases_and_causes_are_read() -> None:
    old = '{"type":"shop.Reset","message":"m","traceback":"Traceback"}'
    known = make_known(read_failure("shop.Reset", old))
    assert known == {"type": "shop.Reset", "message": "m", "traceback": "Traceback", "bases": (), "cause": None}


def test_a_cause_of_an_unknown_class_is_a_failed_step() -> None:
    causes = [
        {"failure": name, "text": "t", "facts": {"step": "s"}} for name in ("Later", "timedelta", "DefinitionError")
    ]
    details = msgspec.json.encode({"type": "T", "message": "", "causes": causes}).decode()
    for cause in causes:
        one: Any = make_known(read_failure("T", details))["cause"]
        assert (type(one).__name__, one.step) == ("StepFailed", "s"), cause


# Logs.


class Books(DeclaredError):
    pages: int


@activity(raises=(Books,))
def count_pages() -> int:
    raise Books(7)


@workflow(raises=(Books,))
async def counting() -> int:
    return await count_pages()


def list_records(caplog: pytest.LogCaptureFixture, text: str) -> list[logging.LogRecord]:
    return [record for record in caplog.records if text in record.getMessage() and "fail" in record.getMessage()]


@pytest.mark.parametrize(("call", "executor"), [(once(7), "thread"), (once(7), "process"), (once_locally(7), "thread")])
def test_a_worker_logs_a_failed_activity_once_with_its_traceback(
    caplog: pytest.LogCaptureFixture, call: Any, executor: Any
) -> None:
    with WorkerSystem("local:") as system:
        system.start_workflow_worker(type(call))
        system.start_activity_worker(fetch, executor=executor)
        fail_of(lambda: system.run(call, workflow_id="order-1", timeout=60))
    (record,) = list_records(caplog, "order-1 fetch-1 failed")
    assert record.levelno == logging.WARNING
    assert record.getMessage() == f"order-1 fetch-1 failed: {__name__}.Reset: number 7"
    assert "the line that failed" in logging.Formatter().format(record)
    assert vars(record)["step"] == "fetch-1"
    assert vars(record)["activity_type"] == "fetch 1"


def test_attempts_that_are_retried_are_logged_as_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "traction")
    assert run(fetching()) == 7
    records = list_records(caplog, "fetch_again-1")
    assert [record.levelno for record in records] == [logging.INFO, logging.INFO]
    assert all(record.getMessage().endswith("; retrying") and record.exc_info for record in records)


def test_a_declared_error_is_logged_as_info_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "traction")
    with pytest.raises(Books):
        run(counting())
    (record,) = list_records(caplog, "count_pages-1")
    assert (record.levelno, record.exc_info) == (logging.INFO, None)


def test_simulations_log_failed_activities_as_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "traction")
    for call in (once(7), once_locally(7)):
        fail_of(lambda call=call: simulate(call).result)
    assert {record.levelno for record in list_records(caplog, "fetch-1")} == {logging.INFO}


# Matching.


def report(error: BaseException, *, through: int = 0, old: bool = False) -> Any:
    """Report an exception as the failure of an activity, below a number of children."""
    info = read_failure(*describe_failure(error, JSON))
    failed: Any = ActivityFailed("fetch-1", **make_known(msgspec.structs.replace(info, bases=()) if old else info))
    for number in range(through):
        known = make_known(read_failure(*describe_failure(failed, JSON)))
        failed = ChildFailed(f"child-{number}", status="FAILED", **known)
    return failed


KINDS: list[tuple[BaseException, Any, bool]] = [
    (PermissionError("x"), OSError, True),
    (ConnectionResetError("x"), OSError, True),
    (ConnectionResetError("x"), ConnectionError, True),
    (ConnectionResetError("x"), "OSError", True),
    (ConnectionResetError("x"), "ConnectionResetError", True),
    (ConnectionResetError("x"), ValueError, False),
    (OSError("x"), ConnectionResetError, False),
    (Reset("x"), OSError, True),
    (Reset("x"), Reset, True),
    (Reset("x"), "Reset", True),
    (Reset("x"), f"{__name__}.Reset", True),
    (Reset("x"), "eset", False),
    (Reset("x"), "ConnectionError", True),
    (UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), ValueError, True),
    (KeyError("x"), LookupError, True),
    (RefusedForGood(1), Refused, True),
    (RefusedForGood(1), "Refused", True),
    (RefusedForGood(1), DeclaredError, True),
    (Refused(1), RefusedForGood, False),
    (ValueError("x"), Exception, True),
    (ValueError("x"), "Exception", True),
    (type("TimeoutError", (Exception,), {})("x"), TimeoutError, False),
    (type("TimeoutError", (Exception,), {})("x"), "TimeoutError", True),
]


@pytest.mark.parametrize(("error", "kind", "matches"), KINDS)
@pytest.mark.parametrize("through", [None, 0, 1, 3])
def test_a_type_matches_its_subclasses_wherever_an_error_comes_from(
    error: Exception, kind: Any, matches: bool, through: int | None
) -> None:
    met = error if through is None else report(error, through=through)
    assert is_one_of(met, (kind,)) == matches
    assert (Retry(retry_on=(kind,)).find_pause(1, met) is not None) == matches
    assert (Retry(give_up_on=(kind,)).find_pause(1, met) is None) == matches


def test_a_failure_without_bases_is_matched_by_its_own_type_alone() -> None:
    assert is_one_of(report(Reset("x"), old=True), (Reset,))
    assert is_one_of(report(Reset("x"), old=True), ("Reset",))
    assert not is_one_of(report(Reset("x"), old=True), (OSError,))


def test_the_word_of_another_worker_is_matched_by_the_name_of_a_class() -> None:
    failed = ActivityFailed("fetch-1", type="Refused", message="")
    assert is_one_of(failed, (Refused,))
    assert is_one_of(failed, ("Refused",))


def test_a_class_of_the_program_is_the_class_of_the_module_that_it_is() -> None:
    failed = ActivityFailed("fetch-1", type="__main__.Reset", message="")
    assert is_one_of(failed, (Reset,))
    assert not is_one_of(failed, (RefusedForGood,))


def test_what_a_flow_raises_from_a_failure_is_not_that_failure() -> None:
    error = LookupError("no such number")
    error.__cause__ = report(Reset("x"))
    assert not is_one_of(report(error, through=2), (OSError,))
    assert is_one_of(report(error, through=2), (LookupError,))


tries: list[int] = []


@pytest.fixture(autouse=True)
def forget_tries() -> None:
    tries.clear()


def stumble(error: Exception, until: int) -> int:
    tries.append(1)
    if len(tries) < until:
        raise error
    return 7


@activity(retry=Retry(attempts=4, backoff=0, retry_on=(OSError,)))
def fetch_again() -> int:
    return stumble(ConnectionResetError("reset by peer"), 3)


@activity(retry=Retry(attempts=4, backoff=0, give_up_on=(OSError,)))
def charge_once() -> int:
    return stumble(PermissionError("refused"), 9)


@activity
def fetch_plainly() -> int:
    return stumble(ConnectionResetError("reset by peer"), 3)


@workflow
async def fetching() -> int:
    return await fetch_again()


@workflow
async def charging() -> int:
    return await charge_once()


@workflow
async def fetching_locally() -> int:
    return await fetch_again().locally()


@workflow
async def charging_locally() -> int:
    return await charge_once().locally()


@workflow
async def plain() -> int:
    return await fetch_plainly()


@workflow
async def retrying_a_child() -> int:
    return await plain().retry(Retry(attempts=4, backoff=0, retry_on=(OSError,)))


@workflow
async def recovering() -> int:
    def look(error: Any) -> Step[int]:
        return done(len(error.type))

    return await fetch(7).recover(OSError, look)


@workflow
async def recovering_a_grandchild() -> int:
    return await parent(7).recover((KeyError, OSError), lambda _: done(1))


@workflow
async def recovering_of_another_type() -> int:
    return await parent(7).recover(KeyError, lambda _: done(1))


@pytest.mark.parametrize("call", [fetching(), fetching_locally(), retrying_a_child()])
@pytest.mark.parametrize("start", [run, lambda call: simulate(call).result])
def test_retry_on_a_class_tries_again_after_its_subclasses(call: Any, start: Any) -> None:
    assert start(call) == 7


@pytest.mark.parametrize("call", [charging(), charging_locally()])
def test_give_up_on_a_class_gives_up_after_its_subclasses(call: Any) -> None:
    fail_of(lambda: run(call))
    assert len(tries) == 1


def test_stubs_that_fail_are_matched_as_bodies_are() -> None:
    stub = {fetch_again: fails(2, then=5, error=ConnectionResetError("x")), charge_once: raises(PermissionError("x"))}
    assert simulate(fetching(), stub=stub).result == 5
    failed = simulate(charging(), stub=stub)
    assert len(failed.calls(charge_once)) == 1


def test_a_script_that_raises_shows_no_frames_of_traction() -> None:
    failed = simulate(charging(), stub={charge_once: raises(PermissionError("x"))}).error
    assert isinstance(failed, WorkflowFailed)
    assert "scripts.py" not in failed.traceback
    assert "return await charge_once()" in failed.traceback


def test_policies_know_bases_from_processes() -> None:
    with WorkerSystem("local:") as system:
        system.start_workflow_worker(parent, once)
        system.start_activity_worker(fetch, executor="process")
        failed = fail_of(lambda: system.run(parent(7), timeout=60))
    assert is_one_of(failed, (OSError,))


def test_recover_knows_a_failure_by_the_type_that_it_reports() -> None:
    assert run(recovering()) == len(f"{__name__}.Reset")
    assert run(recovering_a_grandchild()) == 1
    fail_of(lambda: run(recovering_of_another_type()))
