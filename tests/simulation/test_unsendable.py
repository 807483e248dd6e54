"""A payload that SWF refuses or that does not decode fails its step, and leaves no execution open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.backends import Stage, open_stage, take_turns
from traction import (
    Retry,
    Signal,
    Step,
    activity,
    continue_as_new,
    done,
    invoke_lambda,
    receive,
    send,
    set_state,
    side_effect,
    start_child,
    step,
    workflow,
)
from traction.errors import ActivityFailed, ChildFailed, LambdaFailed, PayloadError, StepFailed, WorkflowFailed
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction.payloads.codec import Codec
from traction.replay import replay
from traction.testing import simulate
from traction.testing.laws.history_generator import generate_history
from traction_local.backend import DOMAIN

LONG = "x" * 40_000


@activity(retry=Retry(attempts=3))
def store(text: str) -> int:
    return len(text)


@activity
def number(x: float) -> float:
    return x


@activity
def count(n: Annotated[int, msgspec.Meta(ge=0)]) -> int:
    return n


@activity(retry=Retry(attempts=3, backoff=1))
def grow(n: int) -> str:
    return "x" * n


class Note(Signal):
    text: str


@workflow
async def kid(text: str) -> int:
    return len(text)


@workflow
async def go_on(text: str = "") -> str:  # noqa: ARG001
    try:
        await continue_as_new(go_on("x" * 40_000))
    except PayloadError:
        return "caught"


STEPS: dict[str, Callable[[], Step[Any]]] = {
    "a call": lambda: store(LONG),
    "a call with options": lambda: store(LONG).options(start_to_close=5),
    "a local call": lambda: store(LONG).locally(),
    "a child": lambda: kid(LONG),
    "a child beside": lambda: start_child(kid(LONG)),
    "a signal": lambda: send("somebody", Note(LONG)),
    "a side effect": lambda: side_effect(lambda: LONG, type=str),
    "a Lambda function": lambda: invoke_lambda("f", LONG),
    "a number that JSON lacks": lambda: number(float("nan")),
    "a side effect that JSON lacks": lambda: side_effect(lambda: float("inf"), type=float),
    "a report that JSON lacks": lambda: set_state(float("nan")),
    "a value that its type does not allow": lambda: count(-1),
}

steps = pytest.mark.parametrize("make", STEPS.values(), ids=STEPS)


@steps
def test_an_unsendable_step_fails_where_it_is_awaited(make: Callable[[], Step[Any]]) -> None:
    @workflow
    async def flow() -> str:
        try:
            await make()
        except PayloadError:
            await store("ok")
            return "caught"
        return "sent"

    run = simulate(flow())
    assert run.result == "caught"
    replay(run.history, flow)


@steps
def test_an_unsendable_step_is_not_retried_and_its_failure_is_a_value(make: Callable[[], Step[Any]]) -> None:
    made: list[int] = []

    @workflow
    async def flow() -> tuple[str, str]:
        @step
        async def once() -> None:
            made.append(1)
            await make()

        tried = await once().retry(Retry(attempts=4)).attempt()
        caught = await make().recover(PayloadError, lambda _: store("ok").map(lambda _: "recovered"))
        return type(tried.error).__name__, caught  # type: ignore[union-attr]

    assert simulate(flow(), check_determinism=False).result == ("PayloadError", "recovered")
    assert len(made) <= 2


@steps
def test_an_unsendable_step_that_is_not_caught_fails_the_execution(make: Callable[[], Step[Any]]) -> None:
    @workflow
    async def flow() -> None:
        await make()

    run = simulate(flow())
    assert isinstance(run.error, WorkflowFailed)
    assert "PayloadError" in run.error.type
    assert "codec" not in run.error.traceback


def test_too_long_a_call_is_caught_on_the_local_backend() -> None:
    @workflow
    async def save(n: int) -> str:
        try:
            return str(await store("x" * n))
        except Exception as error:
            return f"caught {type(error).__name__}"

    with open_stage() as stage:
        handle = stage.start(save(40_000), save, store)
        take_turns(stage.decider(save), stage.worker(store))
        assert handle.result(0) == "caught PayloadError"
        assert stage.stuck == []


def test_too_long_an_input_of_the_next_run_fails_at_continue_as_new() -> None:
    assert simulate(go_on()).result == "caught"


CLOSES: dict[str, Callable[[], Any]] = {
    "too long": lambda: LONG,
    "no JSON": lambda: float("nan"),
}


@pytest.mark.parametrize("make", CLOSES.values(), ids=CLOSES)
def test_a_result_that_cannot_be_sent_fails_the_execution(make: Callable[[], Any]) -> None:
    @workflow
    async def flow() -> str:
        await store("ok")
        return make()  # type: ignore[no-any-return]

    run = simulate(flow())
    assert isinstance(run.error, WorkflowFailed)
    assert "the result of flow 1" in str(run.error)


def test_an_input_that_grows_in_finally_fails_the_execution_and_sends_no_signals_on() -> None:
    texts: list[str] = []

    @workflow
    async def grows(texts: list[str] = texts) -> None:
        texts = ["x"]
        try:
            await continue_as_new(grows(texts))
        finally:
            texts[0] = LONG

    run = simulate(grows([]), signals=[(0, Note("early"))])
    assert isinstance(run.error, WorkflowFailed)
    assert not [event for event in run.history if isinstance(event, e.SignalExternalWorkflowExecutionInitiated)]


def test_too_long_a_result_of_an_activity_is_not_tried_again() -> None:
    @workflow
    async def flow(local: bool) -> str:
        try:
            await (grow(40_000).locally() if local else grow(40_000))
        except ActivityFailed as error:
            return error.type
        return "sent"

    for local in (False, True):
        run = simulate(flow(local))
        assert run.result.endswith("PayloadError")
        assert len(run.calls(grow)) == (0 if local else 1)


BUGS: dict[str, Callable[[], Step[Any]]] = {
    "a step that nobody awaited": lambda: store(grow(3)),  # type: ignore[arg-type]
    "a value of another type": lambda: store(3),  # type: ignore[arg-type]
    "a side effect of another type": lambda: side_effect(lambda: "three", type=int),
    "a side effect that is no JSON": lambda: side_effect(object, type=int),
    "a report that is no JSON": lambda: set_state(object()),
    "a result of another type": lambda: done([1]),
}


@pytest.mark.parametrize("make", BUGS.values(), ids=BUGS)
def test_a_value_of_a_wrong_type_leaves_the_execution_open_for_fixed_code(make: Callable[[], Step[Any]]) -> None:
    @workflow
    async def flow() -> int:
        try:
            return await make()  # type: ignore[no-any-return]
        except Exception:
            return 0

    with open_stage() as stage:
        handle = stage.start(flow(), flow, store, grow)
        take_turns(stage.decider(flow))
        assert handle.status() == "OPEN"
        (stuck,) = stage.stuck
        assert isinstance(stuck.error, PayloadError)


# Results that do not decode.


@workflow
async def reads_all() -> list[str]:
    outcomes = []
    for one in (store("x"), kid("x"), invoke_lambda("f", type=int)):
        try:
            outcomes.append(f"{await one}")  # type: ignore[misc]
        except (ActivityFailed, ChildFailed, LambdaFailed) as error:
            outcomes.append(f"{type(error).__name__} {isinstance(error, PayloadError)}")
    return outcomes


GARBAGE = st.one_of(
    st.none(),
    st.text(max_size=40),
    st.sampled_from(
        ["", "null", '""', "{", "@", "@zlib:AAAA", "@store:00", "nan", "1e999", '"\\ud800"', "[" * 5_000, "!"]
    ),
)


@settings(max_examples=60, deadline=None)
@given(garbage=GARBAGE)
def test_no_result_leaves_an_execution_open(garbage: str | None) -> None:
    @workflow
    async def flow() -> str:
        try:
            return f"{await store('x')}"
        except StepFailed as error:
            return type(error).__name__

    played = generate_history(flow, outcome=lambda *_: garbage if garbage is not None else None, codec=Codec())
    if garbage is not None and garbage.startswith("@store:"):
        return
    assert isinstance(played.closed, e.WorkflowExecutionCompleted)


def end_foreign(stage: Stage, result: str) -> None:
    """Complete the next task of `store` as another program would."""
    task = stage.backend.call(o.PollForActivityTask(domain=DOMAIN, task_list=o.TaskList("store-1")))  # type: ignore[attr-defined]
    stage.backend.call(o.RespondActivityTaskCompleted(task_token=task.task_token, result=result))


@pytest.mark.parametrize("result", ["three", "", "null", '{"a": 1}', "@zlib:AAAA"])
def test_a_foreign_result_that_is_unreadable_fails_the_step_once(result: str) -> None:
    @workflow
    async def flow() -> str:
        try:
            return f"{await store('x').retry(Retry(attempts=3))}"
        except PayloadError as error:
            return f"{type(error).__name__} {isinstance(error, ActivityFailed)}"

    with open_stage() as stage:
        handle = stage.start(flow(), flow, store)
        decider = stage.decider(flow)
        take_turns(decider)
        end_foreign(stage, result)
        take_turns(decider)
        assert handle.result(0) == "UnreadableActivityResult True"
        assert stage.stuck == []


# Starts and signals without an input.


class Stop(Signal):
    pass


@workflow
async def hello() -> str:
    return "hello"


@workflow
async def add(a: int, b: int, note: str = "") -> int:  # noqa: ARG001
    return a + b


@workflow
async def waits() -> str:
    return type(await receive(Stop)).__name__


def start_foreign(stage: Stage, definition: Any, input: str | None) -> Any:
    stage.register(definition)
    run = stage.backend.call(
        o.StartWorkflowExecution(domain=DOMAIN, workflow_id="a", workflow_type=definition.spec.type, input=input)
    )
    return stage.system.get_handle(WorkflowExecution("a", run.run_id), definition)


def test_a_start_without_input_needs_none_where_no_field_does() -> None:
    with open_stage() as stage:
        handle = start_foreign(stage, hello, None)
        take_turns(stage.decider(hello))
        assert handle.result(0) == "hello"


def test_a_signal_without_input_is_received_where_it_has_no_field() -> None:
    with open_stage() as stage:
        handle = stage.start(waits(), waits)
        stage.backend.call(o.SignalWorkflowExecution(domain=DOMAIN, workflow_id=handle.workflow_id, signal_name="Stop"))
        take_turns(stage.decider(waits))
        assert handle.result(0) == "Stop"


@pytest.mark.parametrize("input", [None, "", "null", '""'])
def test_a_start_without_its_fields_reports_which_to_send(input: str | None) -> None:
    with open_stage() as stage:
        start_foreign(stage, add, input)
        take_turns(stage.decider(add))
        (stuck,) = stage.stuck
        assert str(stuck.error).endswith('such as {"a":0,"b":0}')
        assert ("is absent" if input is None else f"is {input!r}") in str(stuck.error)


@pytest.mark.parametrize("input", ["", "null", '""'])
def test_a_signal_without_fields_reports_which_to_send(input: str, caplog: pytest.LogCaptureFixture) -> None:
    with open_stage() as stage:
        handle = stage.start(waits(), waits)
        stage.backend.call(
            o.SignalWorkflowExecution(domain=DOMAIN, workflow_id=handle.workflow_id, signal_name="Stop", input=input)
        )
        take_turns(stage.decider(waits))
        assert "such as {}" in caplog.text


# Lambda functions.


def test_a_failure_of_a_lambda_function_shows_its_message() -> None:
    details = '{"errorMessage": "no such image", "errorType": "KeyError", "stackTrace": []}'
    error = LambdaFailed("lambda-1", name="resize", reason="UnhandledError", details=details)
    assert str(error) == "lambda-1 resize failed: UnhandledError: KeyError: no such image"
    assert (error.type, error.message) == ("KeyError", "no such image")
    plain = LambdaFailed("lambda-1", name="resize", reason="ASSUME_ROLE_FAILED", details="No IAM role is attached")
    assert str(plain) == "lambda-1 resize failed: ASSUME_ROLE_FAILED: No IAM role is attached"
    assert str(LambdaFailed("lambda-1", name="f", reason="START_TO_CLOSE")) == "lambda-1 f failed: START_TO_CLOSE"
