"""The error text of each mistake. `GOLDEN=write` rewrites the files; read them as a user before you commit.

Each case makes one mistake; `errors/<case>.txt` is what it raises.
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
from asyncio import Future, sleep
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Generic, TypeVar

import msgspec
import pytest

import traction
from traction import Activity, Retry, Step, Workflow, activity, all_of, done, each, fail, first_of, workflow
from traction import errors as e
from traction.decider.interpreter import Interpreter
from traction.definitions.classes import check_definition
from traction.errors import NonDeterminismError, PayloadError
from traction.payloads.codec import JSON
from traction.payloads.failure_text import read_failure
from traction.payloads.failures import describe_failure, revive

# Cases make mistakes that type checkers would see: they are written against this, which hides nothing from the reader.
A: Any = Activity
W: Any = Workflow
S: Any = traction.Signal
T = TypeVar("T")

GOLDEN = Path(__file__).parent / "errors"

NAIVE = datetime(2030, 1, 1)  # noqa: DTZ001

CASES: dict[str, Callable[[], Any]] = {}


def case(make: Callable[[], Any]) -> Callable[[], Any]:
    CASES[make.__name__] = make
    return make


class Connection: ...


class Change(msgspec.Struct):
    id: int
    path: Path


class Query(Activity[Connection, list[T]], Generic[T]):
    key: T

    def run(self, connection: Connection) -> list[T]:
        return [self.key]


@activity
def fetch(number: int) -> int:
    return number


# Classes.


@case
def class_without_type_arguments() -> None:
    class Fetch(A): ...


@case
def class_with_one_type_argument_of_two() -> None:
    class Fetch(A[int]): ...


@case
def class_with_two_type_arguments_of_one() -> None:
    class Book(W[int, str]): ...


@case
def class_with_a_string_that_names_nothing_yet() -> None:
    class Fetch(A[None, "list[Page]"]):
        def run(self) -> Any: ...


@case
def class_that_needs_a_value() -> None:
    class Fetch(A[7, int]):
        def run(self, connection: Connection) -> int: ...


@case
def class_of_an_open_base() -> None:
    class Fetch(Query): ...  # type: ignore[type-arg]


@case
def run_is_missing() -> None:
    class Fetch(A[None, int]): ...


@case
def run_is_no_method() -> None:
    class Fetch(A[None, int]):
        run = 7


@case
def flow_is_missing() -> None:
    class Book(W[int]): ...


@case
def run_takes_no_dependency() -> None:
    class Fetch(A[Connection, int]):
        def run(self) -> int: ...


@case
def run_has_an_extra_parameter() -> None:
    class Fetch(A[None, int]):
        def run(self, number: int) -> int: ...


@case
def run_takes_another_dependency() -> None:
    class Fetch(A[Connection, int]):
        def run(self, connection: Change) -> int: ...


@case
def run_returns_another_type() -> None:
    class Fetch(A[None, int]):
        def run(self) -> str: ...


@case
def run_yields() -> None:
    class Fetch(A[None, list[int]]):
        def run(self) -> Iterator[int]:
            yield 1


@case
def flow_has_an_extra_parameter() -> None:
    class Book(W[int]):
        async def flow(self, number: int) -> int: ...


@case
def flow_returns_no_step() -> None:
    class Book(W[int]):
        def flow(self) -> int: ...


@case
def flow_returns_another_type() -> None:
    class Book(W[int]):
        async def flow(self) -> str: ...


@case
def field_that_cannot_be_written() -> None:
    class Fetch(A[None, int]):
        path: Path

        def run(self) -> int: ...


@case
def field_within_which_something_cannot_be_written() -> None:
    class Fetch(A[None, int]):
        changes: dict[str, list[Change]]

        def run(self) -> int: ...


@case
def field_whose_keys_cannot_be_written() -> None:
    class Fetch(A[None, int]):
        counts: dict[tuple[int, int], int]

        def run(self) -> int: ...


@case
def field_of_a_union_that_cannot_be_told_apart() -> None:
    class Fetch(A[None, int]):
        changes: list[int] | set[int]

        def run(self) -> int: ...


@case
def result_that_cannot_be_written() -> None:
    class Fetch(A[None, Connection]):
        def run(self) -> Connection: ...


@case
def field_of_the_name_of_a_method() -> None:
    class Fetch(A[None, int]):
        map: int

        def run(self) -> int: ...


@case
def field_without_a_default_after_one_with() -> None:
    class Fetch(A[None, int]):
        number: int = 1
        text: str

        def run(self) -> int: ...


@case
def field_with_a_default_that_all_calls_would_share() -> None:
    class Fetch(A[None, int]):
        numbers: list[int] = [1]  # noqa: RUF012

        def run(self) -> int: ...


@case
def field_that_names_nothing() -> None:
    class Fetch(A[None, int]):
        page: "Page"  # type: ignore[name-defined]  # noqa: F821, UP037

        def run(self) -> int: ...

    check_definition(Fetch)


# Options.


def make_activity(**options: Any) -> None:
    class Fetch(A[None, int], **options):
        def run(self) -> int: ...


def make_workflow(**options: Any) -> None:
    class Book(W[int], **options):
        async def flow(self) -> int: ...


class CardDeclined(traction.DeclaredError):
    code: str


@case
def declared_error_whose_field_cannot_be_written() -> None:
    class NotFound(traction.DeclaredError):
        where: Path


@case
def declared_error_with_a_field_of_a_taken_name() -> None:
    class NotFound(traction.DeclaredError):
        message: str


@case
def declared_error_with_a_field_without_a_default_after_one_with() -> None:
    class NotFound(traction.DeclaredError):
        where: str = ""
        page: int


@case
def declared_error_with_a_default_that_all_would_share() -> None:
    class NotFound(traction.DeclaredError):
        pages: list[int] = []  # noqa: RUF012


@case
def declared_error_that_names_nothing() -> None:
    class NotFound(traction.DeclaredError):
        page: Page  # type: ignore[name-defined]  # noqa: F821

    class Find(A[None, int], raises=(NotFound,)):
        def run(self) -> int: ...

    check_definition(Find)


# Functions.


@case
def function_with_a_parameter_without_a_type() -> None:
    @activity
    def fetch(number) -> int: ...  # type: ignore[no-untyped-def]


@case
def function_without_a_result() -> None:
    @activity
    def fetch(number: int): ...  # type: ignore[no-untyped-def]


@case
def function_that_is_a_method() -> None:
    class Mailer:
        @activity
        def send_letter(self, to: str) -> None: ...


@case
def function_that_is_a_class_method() -> None:
    class Mailer:
        @activity  # type: ignore[arg-type]
        @classmethod
        def send(cls, to: str) -> None: ...


@case
def function_that_is_a_static_method() -> None:
    class Mailer:
        @workflow
        @staticmethod
        async def send(to: str) -> None: ...


@case
def function_that_is_an_object_that_is_called() -> None:
    class Sender:
        def __repr__(self) -> str:
            return "<Sender>"

        def __call__(self, to: str) -> None: ...

    activity(Sender())


@case
def function_with_stars_below_a_decorator() -> None:
    def timed(f: Any) -> Any:
        @functools.wraps(f)
        def inner(*args: Any, **kwargs: Any) -> Any:
            return f(*args, **kwargs)

        return inner

    @activity
    @timed
    def add(*numbers: int) -> int: ...


@case
def function_with_stars() -> None:
    @activity
    def fetch(*numbers: int) -> int: ...


@case
def function_with_parameters_by_place_only() -> None:
    @activity
    def fetch(number: int, /) -> int: ...


@case
def function_that_names_nothing_yet() -> None:
    @activity
    def fetch(page: "Page") -> int: ...  # type: ignore[name-defined]  # noqa: F821, UP037


@case
def function_that_needs_and_takes_nothing() -> None:
    @activity(needs=Connection)  # type: ignore[arg-type]
    def fetch() -> int: ...


@case
def function_that_takes_another_dependency() -> None:
    @activity(needs=Connection)  # type: ignore[arg-type]
    def fetch(connection: Change, number: int) -> int: ...


@case
def activity_that_returns_a_step() -> None:
    @activity
    def fetch_twice() -> Step[int]: ...


@case
def async_workflow_that_returns_a_step() -> None:
    @workflow
    async def book() -> Step[int]: ...


@case
def workflow_that_returns_no_step() -> None:
    @workflow  # type: ignore[arg-type]
    def book() -> int: ...


@case
def workflow_that_returns_a_step_of_an_unknown_type() -> None:
    @workflow
    def book() -> Step: ...  # type: ignore[type-arg]


# Flows.


def run_flow(flow: Callable[[], Any]) -> None:
    Interpreter("seed", lambda _: None).start(flow)


async def fetch_twice() -> int:
    return await fetch(1) + await fetch(2)


@case
def flow_that_awaits_a_coroutine() -> None:
    async def flow() -> int:
        return await fetch_twice()

    run_flow(flow)


@case
def scope_that_is_entered_twice() -> None:
    async def flow() -> None:
        scope = traction.cancel_scope()
        async with scope:
            pass
        async with scope:
            pass

    run_flow(flow)


@case
def function_whose_result_is_open() -> None:
    @activity
    def same(value: T) -> T: ...


def read_later() -> Later: ...  # type: ignore[name-defined, empty-body]  # noqa: F821


@case
def flow_that_holds_an_async_generator() -> None:
    @asynccontextmanager
    async def hold() -> AsyncIterator[int]:
        yield await fetch(1)

    async def flow() -> int:
        async with hold() as held:
            return held

    run_flow(flow)


@case
def flow_that_awaits_asyncio() -> None:
    async def flow() -> None:
        await sleep(0)

    run_flow(flow)


@case
def flow_that_awaits_a_future() -> None:
    future: Future[int] = Future(loop=SimpleNamespace(get_debug=lambda: False))  # type: ignore[arg-type]

    async def flow() -> int:
        return await future

    run_flow(flow)


@case
def flow_that_returns_a_step() -> None:
    async def flow() -> Step[int]:
        return fetch(1)

    run_flow(flow)


@case
def flow_that_returns_nothing() -> None:
    def flow() -> None: ...

    run_flow(flow)


@case
def flow_that_never_waits() -> None:
    async def flow() -> int:
        while True:
            await done(1)

    run_flow(flow)


@case
def flow_whose_steps_never_end() -> None:
    def again(n: int) -> Step[int]:
        return done(n + 1).flat_map(again)

    run_flow(lambda: again(0))


@case
def step_that_is_awaited_outside_of_a_flow() -> None:
    async def main() -> int:
        return await fetch(1)

    asyncio.run(main())


@case
def history_of_other_code() -> None:
    raise NonDeterminismError(
        "BookTrip 3",
        step="2.0.charge_card-1",
        event_id=9,
        expected="ScheduleActivityTask charge_card 2",
        actual="ScheduleActivityTask reserve_hotel 1",
    )


# The rest of the language.


def call(f: Callable[..., Any], *args: Any, **options: Any) -> Callable[[], Any]:
    return lambda: f(*args, **options)


class Approve(traction.Signal):
    by: str


class Approved(traction.Signal, name="Approve"):
    by: str


@workflow
async def book_trip() -> None: ...


async def read_setting() -> int:
    return 7


@case
def signal_whose_field_cannot_be_written() -> None:
    class Found(traction.Signal):
        where: Path


@case
def signal_whose_field_names_nothing() -> None:
    class Found(traction.Signal):
        page: Page  # type: ignore[name-defined]  # noqa: F821

    traction.receive(Found)


@case
def signal_with_a_field_of_a_taken_name() -> None:
    class Found(traction.Signal):
        spec: str


@case
def signal_with_an_unknown_option() -> None:
    class Found(S, version="2"):
        by: str


@case
def signal_with_an_empty_name() -> None:
    class Found(S, name=""):
        by: str


@case
def signal_with_a_name_that_is_a_number() -> None:
    class Found(S, name=7):
        by: str


@case
def signal_with_a_field_without_a_default_after_one_with() -> None:
    class Found(S):
        by: str = ""
        where: str


CASES |= {
    "base_used_as_a_definition": lambda: check_definition(Query),
    "call_used_as_a_definition": lambda: check_definition(fetch(7)),
    "option_that_is_unknown": lambda: make_activity(timeout=3),
    "name_with_a_slash": lambda: make_activity(name="charge/card"),
    "version_that_is_a_number": lambda: make_workflow(version=2),
    "version_that_is_too_long": lambda: make_workflow(version="1." * 40),
    "task_list_that_is_empty": lambda: make_activity(task_list=""),
    "span_that_is_negative": lambda: make_activity(start_to_close=-1),
    "span_that_is_a_string": lambda: make_activity(heartbeat="60"),
    "span_that_is_too_long": lambda: make_activity(schedule_to_close=1e12),
    "execution_without_an_end": lambda: make_workflow(execution_start_to_close=None),
    "retry_that_is_a_number": lambda: make_activity(retry=5),
    "raises_one_error_and_not_a_tuple": lambda: make_activity(raises=CardDeclined),
    "raises_an_error_without_fields": lambda: make_workflow(raises=(CardDeclined, ValueError)),
    "raises_two_errors_of_one_name": lambda: make_activity(
        raises=(CardDeclined, type("CardDeclined", (CardDeclined,), {"__module__": "bank"}))
    ),
    "priority_that_is_a_string": lambda: make_activity(priority="high"),
    "tags_that_are_a_string": lambda: make_workflow(tags="billing"),
    "child_policy_that_is_unknown": lambda: make_workflow(child_policy="KILL"),
    "lambda_role_that_is_no_string": lambda: make_workflow(lambda_role=7),
    "description_that_is_too_long": lambda: make_workflow(description="x" * 2_000),
    "retry_without_an_attempt": lambda: Retry(attempts=0),
    "retry_with_attempts_of_another_type": lambda: Retry(attempts="5"),  # type: ignore[arg-type]
    "retry_with_a_negative_backoff": lambda: Retry(backoff=-1),
    "function_that_is_none": lambda: activity("Fetch"),  # type: ignore[call-overload]
    "function_that_is_a_partial": lambda: activity(functools.partial(len, "x")),
    "all_of_something_else": lambda: all_of([fetch(1), 2]),  # type: ignore[list-item]
    "first_of_none": lambda: first_of([]),
    "each_with_a_limit_of_zero": lambda: each(fetch, [1], limit=0),
    "named_like_a_branch": lambda: fetch(1).named("2"),
    "sleep_that_is_negative": lambda: traction.sleep(-1),
    "sleep_until_a_naive_time": lambda: traction.sleep_until(NAIVE),
    "call_with_a_field_of_another_type": lambda: JSON.encode_call(fetch("one")),
    "side_effect_that_names_nothing": lambda: traction.side_effect(read_later),
    "map_to_a_step": lambda: fetch(1).map(fetch(2)),
    "each_with_a_limit_of_one_half": lambda: each(fetch, [1], limit=0.5),  # type: ignore[call-overload]
    "recurring_since_a_time_without_a_zone": lambda: traction.every("@daily", fetch, again=W, since=NAIVE),
    "flat_map_to_a_value": lambda: run_flow(lambda: done(1).flat_map(lambda n: n + 1)),  # type: ignore[arg-type,return-value]
    "recover_to_a_value": lambda: run_flow(lambda: fail(ValueError()).recover(ValueError, lambda _: 0)),  # type: ignore[arg-type,return-value]
    "input_of_another_type": lambda: JSON.decode('{"number":"7"}', fetch, "the input of fetch 1"),
    "input_without_a_new_field": lambda: JSON.decode("{}", fetch, "the input of fetch 1"),
    "result_that_is_not_json": lambda: JSON.decode("<html>", int, "the result of fetch-1"),
    "result_that_is_absent": lambda: JSON.decode(None, int, "the result of fetch-1"),
    "payload_that_json_cannot_represent": lambda: JSON.encode({"path": Path("/etc/hosts")}),
    "payload_with_a_number_that_json_does_not_have": lambda: JSON.encode([1.0, float("nan")]),
    "payload_that_is_too_long": lambda: JSON.encode(["x" * 40_000]),
    "receive_of_nothing": call(traction.receive),
    "receive_of_a_string": call(traction.receive, "Approve"),
    "receive_of_a_signal_and_not_its_class": call(traction.receive, Approve("Ann")),
    "receive_of_the_base_of_signals": call(traction.receive, traction.Signal),
    "receive_of_two_signals_of_one_name": call(traction.receive, Approve, Approved),
    "signals_of_an_activity": call(traction.signals, fetch),
    "send_of_a_string": call(traction.send, "trip-1", "Approve"),
    "send_of_a_class": call(traction.send, "trip-1", Approve),
    "send_to_a_number": call(traction.send, 7, Approve("Ann")),
    "send_to_what_is_no_workflow_id": call(traction.send, "", Approve("Ann")),
    "cancel_of_none": call(traction.cancel, None),
    "start_child_of_an_activity": call(traction.start_child, fetch(7)),
    "start_child_of_a_definition": call(traction.start_child, book_trip),
    "continue_as_new_of_a_definition": call(traction.continue_as_new, book_trip),
    "continue_as_new_with_options": lambda: traction.continue_as_new(
        book_trip().options(priority=7)  # type: ignore[arg-type]
    ),
    "call_of_an_activity_with_a_childs_option": lambda: fetch(7).options(tags=("a",)),  # type: ignore[call-arg]
    "call_with_a_retry_that_is_a_number": lambda: fetch(7).options(retry=3),  # type: ignore[arg-type]
    "call_of_a_child_for_longer_than_a_year": lambda: book_trip().options(execution_start_to_close=traction.days(366)),
    "call_of_a_child_with_an_unknown_child_policy": lambda: book_trip().options(
        child_policy="KILL"  # type: ignore[arg-type]
    ),
    "call_of_a_child_with_an_id_that_is_none": lambda: book_trip().options(workflow_id="trip/1"),
    "retry_of_a_step_a_number_of_times": lambda: done(1).retry(3),  # type: ignore[arg-type]
    "retry_with_a_jitter_above_one": call(Retry, jitter=2),
    "retry_with_a_jitter_that_is_a_string": call(Retry, jitter="half"),
    "retry_with_a_deadline_that_is_a_string": call(Retry, deadline="1 h"),
    "retry_that_gives_up_on_one_type": call(Retry, give_up_on=ValueError),
    "retry_that_gives_up_on_what_is_no_exception": call(Retry, give_up_on=(7,)),
    "retry_on_one_name": call(Retry, retry_on="ValueError"),
    "timeout_that_is_a_string": lambda: done(1).timeout("1 h"),  # type: ignore[arg-type]
    "timeout_that_is_negative": lambda: done(1).timeout(-1),
    "compensate_with_a_step": lambda: fetch(7).compensate(fetch(8)),  # type: ignore[arg-type]
    "saga_of_a_function": call(traction.saga, fetch),
    "shield_of_a_function": call(traction.shield, read_setting),
    "move_on_after_a_string": call(traction.move_on_after, "1 h"),
    "fail_after_a_negative_span": call(traction.fail_after, -1),
    "side_effect_of_a_value": call(traction.side_effect, 7),
    "side_effect_of_a_step": call(traction.side_effect, done(7)),
    "side_effect_that_is_async": call(traction.side_effect, read_setting),
    "patched_without_a_name": call(traction.patched, ""),
    "patched_by_a_number": call(traction.patched, 7),
    "lambda_without_a_name": call(traction.invoke_lambda, ""),
    "cron_line_of_three_fields": call(traction.every, "0 3 *", fetch, again=book_trip),
    "cron_line_with_a_minute_that_is_none": call(traction.every, "60 * * * *", fetch, again=book_trip),
    "cron_line_that_never_comes": call(traction.every, "0 0 30 2 *", fetch, again=book_trip),
    "interval_of_zero": call(traction.every, 0, fetch, again=book_trip),
    "overlap_that_is_unknown": call(traction.every, 60, fetch, again=book_trip, overlap="skip"),
    "catch_up_that_is_negative": call(traction.every, 60, fetch, again=book_trip, catch_up=-1),
    "lambda_for_longer_than_it_may_run": call(traction.invoke_lambda, "resize", timeout=traction.hours(1)),
}


# What reaches flows and callers.


def catch(error: traction.DeclaredError, kind: Any) -> Exception:
    """Give a declared error as a flow catches it."""
    info = read_failure(*describe_failure(error, JSON))
    failed = e.ActivityFailed("2.0.charge_card-1", type=info.type, message=info.message)
    return revive(failed, info, (kind,), JSON)


@case
def declared_error_that_is_caught() -> None:
    raise catch(CardDeclined("expired"), CardDeclined)


@case
def declared_error_whose_fields_are_too_long() -> None:
    raise catch(CardDeclined("x" * 20_000), CardDeclined)


@case
def declared_error_whose_fields_are_of_another_type() -> None:
    raise catch(CardDeclined(7), CardDeclined)  # type: ignore[arg-type]


@case
def declared_error_that_does_not_decode() -> None:
    class Declined(traction.DeclaredError):
        code: int

    Declined.__name__ = "CardDeclined"
    raise PayloadError(catch(CardDeclined("expired"), Declined).__notes__[0])


def raise_it(error: BaseException) -> Callable[[], Any]:
    def make() -> None:
        raise error

    return make


CASES |= {
    "step_failed_in_activity": raise_it(
        e.ActivityFailed("2.0.charge_card-1", type="ValueError", message="card 17 has expired", traceback="...")
    ),
    "step_timed_out": raise_it(e.ActivityTimedOut("charge_card-1", timeout_type="START_TO_CLOSE")),
    "step_canceled_by_its_worker": raise_it(e.ActivityCancelled("charge_card-1")),
    "step_failed_in_child": raise_it(
        e.ChildFailed("BookTrip-1", status="FAILED", type="ValueError", message="no room")
    ),
    "step_terminated_in_child": raise_it(e.ChildFailed("BookTrip-1", status="TERMINATED")),
    "step_that_starts_a_child_under_an_id_in_use": raise_it(
        e.ChildAlreadyRunning(
            "BookTrip-1",
            decision="StartChildWorkflowExecution",
            cause="WORKFLOW_ALREADY_RUNNING",
            workflow_id="trip-8841",
        )
    ),
    "start_under_the_id_of_an_open_execution": raise_it(
        e.WorkflowAlreadyRunning(
            "trip-8841", run_id="22Pij42q=", type="BookTrip 3", wanted="BookTrip 3", differs="its input differs in days"
        )
    ),
    "start_under_the_id_of_another_workflow": raise_it(
        e.WorkflowAlreadyRunning(
            "trip-8841", run_id="22Pij42q=", type="Cook 1", wanted="BookTrip 3", differs="it is of another workflow"
        )
    ),
    "start_under_the_id_of_a_closed_execution": raise_it(
        e.WorkflowAlreadyClosed(
            "trip-8841",
            run_id="22Pij42q=",
            type="BookTrip 2",
            wanted="BookTrip 3",
            differs="it is of version 2",
            status="COMPLETED",
        )
    ),
    "step_that_signals_an_unknown_execution": raise_it(
        e.SignalFailed("send-1", workflow_id="trip-8841", cause="UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION")
    ),
    "step_that_cancels_an_unknown_execution": raise_it(
        e.CancelFailed("cancel-1", workflow_id="trip-8841", cause="UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION")
    ),
    "step_that_takes_too_long": raise_it(e.StepTimedOut(traction.hours(1))),
    "step_failed_in_a_lambda_function": raise_it(
        e.LambdaFailed("lambda-1", name="resize", reason="HANDLED", details="no image")
    ),
    "step_refused": raise_it(
        e.DecisionFailed("charge_card-1", decision="ScheduleActivityTask", cause="ACTIVITY_TYPE_DOES_NOT_EXIST")
    ),
    "execution_failed": raise_it(e.WorkflowFailed("trip-8841", type="ValueError", message="no room")),
    "execution_timed_out": raise_it(e.WorkflowTimedOut("trip-8841")),
    "execution_canceled": raise_it(e.WorkflowCancelled("trip-8841")),
    "execution_terminated": raise_it(
        e.WorkflowTerminated("trip-8841", cause="OPERATOR_INITIATED", reason="wrong customer")
    ),
}


def format_error(make: Callable[[], Any]) -> str:
    try:
        make()
    except Exception as error:
        # A private subclass is for the machinery; its reader knows the public one.
        kind = next(kind for kind in type(error).__mro__ if not kind.__name__.startswith("_"))
        return f"{kind.__name__}: {error}\n"
    return "nothing was raised\n"


def normalize(text: str) -> str:
    """Leave out what depends on the machine, and on where in this file a case stands."""
    text = re.sub(r"[^\s(]*test_errors[.]py, line \d+", "app.py, line N", text)
    text = text.replace(f"{__name__}.", "app.").replace(__name__, "app")
    return re.sub(r"\w+[.]<locals>[.]", "", text).replace("PosixPath", "Path").replace("WindowsPath", "Path")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_a_mistake_has_this_error_text(name: str) -> None:
    text = normalize(format_error(CASES[name]))
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_every_golden_text_has_its_case() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(CASES)
