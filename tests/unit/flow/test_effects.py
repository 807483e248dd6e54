"""Steps that reach beyond the flow: which arguments they reject when they are built."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Any

import pytest

from tests.support.backends import Stage, take_turns
from traction import (
    Activity,
    Retry,
    Workflow,
    activity,
    continue_as_new,
    current_task,
    days,
    done,
    heartbeat,
    hours,
    invoke_lambda,
    patched,
    side_effect,
    start_child,
    workflow,
)
from traction.client.handle import start_execution
from traction.errors import DefinitionError, PayloadError
from traction.flow.effects import PATCH_CHARS_MAX, InvokeLambda, Patched, StartChild
from traction.payloads.codec import Codec
from traction.payloads.encryption import Encrypt, KeyRing
from traction.worker.heartbeats import Heartbeater


@activity
def fetch(number: int) -> int:
    return number


@workflow
async def book(number: int) -> int:
    return number


async def read_later() -> int:
    return 7


def read_now() -> int:
    return 7


# Children and runs.


@pytest.mark.parametrize("say", [start_child, continue_as_new])
@pytest.mark.parametrize("thing", [fetch(7), fetch(7).options(priority=1), book, done(1), "book", None])
def test_start_child_and_continue_as_new_accept_only_calls_of_workflows(say: Any, thing: Any) -> None:
    with pytest.raises(TypeError, match="expected a call of a workflow"):
        say(thing)


def test_a_child_may_be_started_with_options_of_its_own() -> None:
    call = book(7).options(tags=("a",))
    assert start_child(call) == StartChild(call)


def test_the_next_run_takes_no_options() -> None:
    with pytest.raises(TypeError, match="remove"):
        continue_as_new(book(7).options(tags=("a",)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"heartbeat": 3}, "unknown option 'heartbeat'"),
        ({"workflow_id": "a/b"}, "contains '/'"),
        ({"tags": "abc"}, "tags="),
        ({"priority": "3"}, "priority="),
        ({"child_policy": "KILL"}, "child_policy="),
        ({"execution_start_to_close": days(366)}, "one year"),
        ({"execution_start_to_close": None}, "one year"),
        ({"lambda_role": 7}, "lambda_role="),
        ({"task_list": ""}, "task_list="),
    ],
)
def test_an_option_of_a_childs_call_is_checked_at_the_call(options: Any, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        book(7).options(**options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tags": ("a",)}, "unknown option 'tags'"),
        ({"retry": 3}, "expected a Retry"),
        ({"start_to_close": -1}, "zero seconds or more"),
        ({"start_to_close": "1 h"}, "not a time span"),
        ({"priority": 2**31}, "priority="),
        ({"task_list": "a|b"}, "task_list="),
    ],
)
def test_an_option_of_an_activitys_call_is_checked_at_the_call(options: Any, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        fetch(7).options(**options)


# Policies.


@pytest.mark.parametrize("policy", [3, None, "3", Retry])
def test_a_step_is_tried_again_by_a_policy_alone(policy: Any) -> None:
    with pytest.raises(TypeError, match="expected a Retry"):
        done(1).retry(policy)


@pytest.mark.parametrize("undo", [fetch(7), None, 7])
def test_a_step_is_undone_by_a_function_of_its_result_alone(undo: Any) -> None:
    with pytest.raises(TypeError, match="expected a function of the result"):
        done(1).compensate(undo)


@pytest.mark.parametrize("span", ["1 h", None])
def test_a_timeout_is_a_span(span: Any) -> None:
    with pytest.raises(TypeError, match="not a time span"):
        done(1).timeout(span)


@pytest.mark.parametrize("name", ["give_up_on", "retry_on"])
@pytest.mark.parametrize("kinds", [ValueError, "ValueError", [ValueError], (7,), (int,), (KeyboardInterrupt,)])
def test_retry_policies_accept_only_exception_types_or_names(name: str, kinds: Any) -> None:
    with pytest.raises(TypeError, match=rf"Retry\({name}="):
        Retry(**{name: kinds})


@pytest.mark.parametrize("jitter", [-0.1, 1.1, float("nan")])
def test_jitter_is_a_part_of_a_pause(jitter: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        Retry(jitter=jitter)


# Effects.


@pytest.mark.parametrize("f", [7, None, done(7), read_later])
def test_a_side_effect_is_a_plain_function(f: Any) -> None:
    with pytest.raises(TypeError, match=r"^side_effect\("):
        side_effect(f)


@pytest.mark.parametrize("f", [read_now, lambda: 7, partial(int, "7"), int])
def test_building_a_side_effect_runs_nothing(f: Any) -> None:
    assert side_effect(f).f is f  # type: ignore[attr-defined]


def test_a_side_effect_is_decoded_by_its_annotation_unless_type_is_passed() -> None:
    def read() -> Any: ...

    read.__annotations__["return"] = int
    assert side_effect(read).type is int  # type: ignore[attr-defined]
    assert side_effect(read, float).type is float  # type: ignore[attr-defined]
    assert side_effect(lambda: 7).type is Any  # type: ignore[attr-defined]


def read_day() -> date:
    return date(2024, 2, 29)


def test_a_string_return_annotation_is_resolved() -> None:
    assert read_day.__annotations__ == {"return": "date"}
    assert side_effect(read_day).type is date  # type: ignore[attr-defined]


def test_an_unresolvable_return_annotation_is_reported() -> None:
    class Mine: ...

    def read() -> Mine: ...  # type: ignore[empty-body]

    with pytest.raises(DefinitionError, match=r"read\): its return annotation does not resolve.*type="):
        side_effect(read)
    assert side_effect(read, Mine).type is Mine  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["", "x" * (PATCH_CHARS_MAX + 1)])
def test_a_patch_has_a_name_that_its_marker_can_carry(name: str) -> None:
    with pytest.raises(ValueError, match="name of a patch"):
        patched(name)
    assert patched("x" * PATCH_CHARS_MAX) == Patched("x" * PATCH_CHARS_MAX)


def test_a_patch_is_named_by_a_string() -> None:
    with pytest.raises(TypeError, match="name of a patch"):
        patched(7)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "x" * 65])
def test_a_lambda_function_has_a_name_that_swf_takes(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 64 characters"):
        invoke_lambda(name)


@pytest.mark.parametrize("timeout", [0, hours(1), 901])
def test_a_lambda_function_is_given_as_long_as_swf_gives_it(timeout: Any) -> None:
    with pytest.raises(ValueError, match="1 to 900 seconds"):
        invoke_lambda("resize", timeout=timeout)
    assert invoke_lambda("resize", timeout=900) == InvokeLambda("resize", None, Any, 900)


# Attempts.


class Copy(Activity[Any, int], heartbeat=60, retry=Retry(attempts=3, backoff=0)):
    pages: int

    def run(self, act: Any) -> int:
        act()
        return self.pages


class CopyAll(Workflow[int]):
    async def flow(self) -> int:
        return await Copy(9)


def test_a_later_attempt_knows_its_number_and_the_last_heartbeat_details(stage: Stage) -> None:
    seen: list[tuple[str, int, Any]] = []

    def act() -> None:
        task = current_task()
        seen.append((task.activity_id, task.attempt, task.last_details(int)))
        if task.attempt < 3:
            heartbeat(task.attempt * 10)
            # The worker is taken for dead.
            stage.advance(61)

    handle = stage.start(CopyAll())
    take_turns(stage.decider(CopyAll), stage.worker(Copy, act))
    assert handle.result(0) == 9
    assert seen == [("Copy-1", 1, None), ("Copy-1~2", 2, 10), ("Copy-1~3", 3, 20)]


def test_an_attempt_after_one_that_failed_by_itself_knows_its_progress(stage: Stage) -> None:
    seen: list[tuple[int, Any]] = []

    def act() -> None:
        task = current_task()
        seen.append((task.attempt, task.last_details()))
        if task.attempt < 2:
            heartbeat("half")
            raise LookupError

    handle = stage.start(CopyAll())
    take_turns(stage.decider(CopyAll), stage.worker(Copy, act))
    assert handle.result(0) == 9
    assert seen == [(1, None), (2, "half")]


@pytest.mark.parametrize("dies", [True, False])
def test_heartbeat_details_are_kept_until_they_are_replaced(stage: Stage, dies: bool) -> None:
    seen: list[tuple[int, Any]] = []

    def act() -> None:
        task = current_task()
        seen.append((task.attempt, task.last_details()))
        if task.attempt == 1:
            heartbeat("half")
        if task.attempt < 3 and dies:
            stage.advance(61)
        elif task.attempt < 3:
            raise LookupError

    handle = stage.start(CopyAll())
    take_turns(stage.decider(CopyAll), stage.worker(Copy, act))
    assert handle.result(0) == 9
    assert seen == [(1, None), (2, "half"), (3, "half")]


@pytest.mark.parametrize("codec", [Codec(), Codec(Encrypt(KeyRing({"one": bytes(16)})))])
def test_an_attempt_that_is_returned_keeps_its_heartbeat_details(stage: Stage, codec: Codec) -> None:
    seen: list[tuple[int, Any]] = []
    heartbeater = Heartbeater()

    def act() -> None:
        task = current_task()
        seen.append((task.attempt, task.last_details()))
        if len(seen) == 1:
            heartbeat("half")
            heartbeater.hand_back()

    stage.register(CopyAll)
    handle = start_execution(stage.backend, CopyAll(), codec=codec)
    decider = stage.decider(CopyAll, codec=codec)
    take_turns(decider, stage.worker(Copy, act, heartbeater=heartbeater, codec=codec))
    stage.advance(60)
    take_turns(decider, stage.worker(Copy, act, codec=codec))
    assert handle.result(0) == 9
    assert seen == [(1, None), (1, "half")]
    heartbeater.close()


def test_the_last_details_are_read_as_the_type_that_is_asked_for_or_refused(stage: Stage) -> None:
    refused: list[str] = []

    def act() -> None:
        task = current_task()
        if task.attempt == 1:
            heartbeat({"page": 7})
            stage.advance(61)
            return
        assert task.last_details(dict[str, int]) == {"page": 7}
        try:
            task.last_details(int)
        except PayloadError as error:
            refused.append(str(error))

    handle = stage.start(CopyAll())
    take_turns(stage.decider(CopyAll), stage.worker(Copy, act))
    assert handle.result(0) == 9
    assert len(refused) == 1
