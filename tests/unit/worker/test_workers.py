"""Workers: each task is completed or reported, no error stops a worker, and no work is lost or repeated."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from tests.support.backends import (
    BEGIN,
    NOW,
    ConnectionLost,
    LossyBackend,
    Stage,
    find_events,
    find_last,
    name_types,
    open_stage,
    run_threads,
    take_turns,
)
from traction import (
    Activity,
    Cancelled,
    Retry,
    Workflow,
    activity,
    current_task,
    first_of,
    heartbeat,
    move_on_after,
    sleep,
    workflow,
)
from traction.decider.decider import Decider
from traction.errors import (
    ActivityFailed,
    ActivityTimedOut,
    DefinitionError,
    FlowError,
    NonDeterminismError,
    PayloadError,
    ThrottlingException,
    ValidationException,
    WorkflowFailed,
)
from traction.model import events as e
from traction.model import operations as o
from traction.model.limits import Bucket, Limits
from traction.model.names import WorkflowExecution
from traction.payloads.failure_text import UNREADABLE, read_failure
from traction.worker.activity_worker import ActivityWorker
from traction.worker.decider_cache import STUCK_MAX, DeciderCache, StuckExecutions
from traction.worker.loop import Worker, run_worker
from traction.worker.workflow_worker import WorkflowWorker
from traction_local.service.knobs import Knobs

# What an activity raises.


class Do(Activity[Any, int]):
    """Do whatever the worker's dependency does."""

    n: int = 0

    def run(self, act: Any) -> int:
        return act(self.n)  # type: ignore[no-any-return]


class DoAsync(Activity[Any, int]):
    """Await whatever the worker's dependency does."""

    async def run(self, act: Any) -> int:
        await asyncio.sleep(0)
        return act(0)  # type: ignore[no-any-return]


class CallDo(Workflow[int]):
    n: int = 0

    async def flow(self) -> int:
        return await Do(self.n)


class CallDoAsync(Workflow[int]):
    n: int = 0

    async def flow(self) -> int:
        return await DoAsync()


class UnsayableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class UnpicklableError(Exception):
    def __init__(self) -> None:
        super().__init__("holds a lock")
        self.lock = threading.Lock()


class OwnBaseError(BaseException):
    pass


def recurse(n: int) -> int:
    return recurse(n + 1) + 1


def raise_it(error: BaseException) -> Callable[[int], int]:
    def act(_: int) -> int:
        raise error

    return act


def raise_group(_: int) -> int:
    raise ExceptionGroup("several", [ValueError("one"), KeyError("two")])


RAISING: list[tuple[str, Callable[[int], int], str, str]] = [
    ("an Exception", raise_it(ValueError("no such page")), "ValueError", "no such page"),
    ("SystemExit", raise_it(SystemExit(3)), "SystemExit", "3"),
    ("KeyboardInterrupt", raise_it(KeyboardInterrupt()), "KeyboardInterrupt", ""),
    ("GeneratorExit", raise_it(GeneratorExit()), "GeneratorExit", ""),
    ("a BaseException", raise_it(OwnBaseError("own")), f"{__name__}.OwnBaseError", "own"),
    ("one whose str fails", raise_it(UnsayableError()), f"{__name__}.UnsayableError", "<its str() failed>"),
    ("one that pickle refuses", raise_it(UnpicklableError()), f"{__name__}.UnpicklableError", "holds a lock"),
    ("half a character", raise_it(OSError("\ud800")), "OSError", "\\ud800"),
    ("a group", raise_group, "ExceptionGroup", "several (2 sub-exceptions)"),
]


@pytest.mark.parametrize(("act", "type", "message"), [row[1:] for row in RAISING], ids=[row[0] for row in RAISING])
@pytest.mark.parametrize("call", [CallDo, CallDoAsync])
def test_an_exception_of_an_activity_fails_its_task_and_not_the_worker(
    stage: Stage, call: Any, act: Callable[[int], int], type: str, message: str
) -> None:
    activity = Do if call is CallDo else DoAsync
    decider = stage.decider(call)
    acts = [act, lambda _: 7]
    worker = stage.worker(activity, lambda n: acts.pop(0)(n))
    failing = stage.start(call(1))
    assert take_turns(decider, worker) == 3
    (failed,) = find_events(failing, e.ActivityTaskFailed)
    info = read_failure(failed.reason, failed.details)
    assert (failed.reason, info.type, info.message) == (type, type, message)
    assert act.__name__ in info.traceback
    with pytest.raises(WorkflowFailed, match=activity.__name__):
        failing.result(0)
    other = stage.start(call(2))
    take_turns(decider, worker)
    assert other.result(0) == 7
    worker.close()


def test_the_failure_reaches_the_flow_with_type_message_and_traceback(stage: Stage) -> None:
    caught: list[ActivityFailed] = []

    @workflow
    async def catch() -> int:
        try:
            return await Do()
        except ActivityFailed as error:
            caught.append(error)
            return -1

    handle = stage.start(catch())
    take_turns(stage.decider(catch), stage.worker(Do, raise_it(LookupError("no page 7"))))
    assert handle.result(0) == -1
    assert (caught[0].type, caught[0].message) == ("LookupError", "no page 7")
    assert "raise error" in caught[0].traceback


def test_a_failure_of_any_length_fits_the_service_with_both_its_ends(stage: Stage) -> None:
    handle = stage.start(CallDo())
    take_turns(stage.decider(CallDo), stage.worker(Do, raise_it(ValueError("head" + "x\0" * 500_000 + "tail"))))
    (failed,) = find_events(handle, e.ActivityTaskFailed)
    info = read_failure(failed.reason, failed.details)
    assert info.message.startswith("head")
    assert info.message.endswith("tail")


def test_recursion_without_end_is_a_failure_of_the_task(stage: Stage) -> None:
    handle = stage.start(CallDo())
    take_turns(stage.decider(CallDo), stage.worker(Do, recurse))
    with pytest.raises(WorkflowFailed, match="RecursionError"):
        handle.result(0)


UNREADABLE_RESULTS: list[tuple[str, Any, str]] = [
    ("one that JSON cannot hold", object(), "cannot be written as JSON"),
    ("one of another type", "seven", "does not decode as int"),
]


@pytest.mark.parametrize(
    ("result", "message"), [row[1:] for row in UNREADABLE_RESULTS], ids=[row[0] for row in UNREADABLE_RESULTS]
)
def test_a_result_that_cannot_be_read_back_is_a_failure_of_the_task(stage: Stage, result: Any, message: str) -> None:
    handle = stage.start(CallDo())
    take_turns(stage.decider(CallDo), stage.worker(Do, lambda _: result))
    with pytest.raises(WorkflowFailed, match=message) as caught:
        handle.result(0)
    assert "PayloadError" in str(caught.value)


def test_a_result_that_is_too_long_is_a_failure_of_the_task(stage: Stage) -> None:
    class Text(Activity[None, str]):
        def run(self) -> str:
            return "x" * 40_000

    @workflow
    async def read() -> str:
        return await Text()

    handle = stage.start(read())
    take_turns(stage.decider(read), stage.worker(Text))
    with pytest.raises(WorkflowFailed, match="40,002 characters"):
        handle.result(0)


def test_a_result_that_the_service_refuses_is_a_failure_of_the_task() -> None:
    class Text(Activity[None, str]):
        def run(self) -> str:
            return "x" * 20_000

    @workflow
    async def read() -> str:
        return await Text()

    with open_stage(Limits(payload_chars_max=10_000)) as stage:
        handle = stage.start(read())
        take_turns(stage.decider(read), stage.worker(Text))
        with pytest.raises(WorkflowFailed, match="the service rejected the result"):
            handle.result(0)


def test_a_failure_that_the_service_refuses_is_raised_where_it_was_sent(stage: Stage) -> None:
    class Picky(LossyBackend):
        def call(self, request: Any, wait: timedelta | None = None) -> Any:
            if isinstance(request, o.RespondActivityTaskFailed):
                raise ValidationException("no failures today")
            return super().call(request, wait)

    stage.start(CallDo(), Do)
    stage.decider(CallDo).work_once(NOW)
    with pytest.raises(ValidationException, match="no failures today"):
        ActivityWorker(Picky(stage.backend), Do, raise_it(ValueError("no"))).work_once(NOW)


# What an activity is given.


class OldDo(Activity[Any, int], name="Do"):
    n: str = ""

    def run(self, act: Any) -> int:
        return -1


class StrictDo(Activity[Any, int], name="Do"):
    n: int = 0

    def __post_init__(self) -> None:
        raise RuntimeError("not today")

    def run(self, act: Any) -> int:
        return -1


@pytest.mark.parametrize("old", [OldDo, StrictDo])
def test_an_execution_with_an_undecodable_input_continues_after_the_code_is_fixed(stage: Stage, old: Any) -> None:
    decider = stage.decider(CallDo)
    handle = stage.start(CallDo(41), Do)
    take_turns(decider, ActivityWorker(stage.backend, old, int))
    (failed,) = find_events(handle, e.ActivityTaskFailed)
    assert failed.reason == UNREADABLE
    assert handle.status() == "OPEN"
    stage.advance(1)
    take_turns(decider, stage.worker(Do, lambda n: n + 1))
    assert handle.result(0) == 42


def test_a_task_of_another_activity_is_left_to_a_worker_that_has_it(stage: Stage) -> None:
    class Other(Activity[None, int], task_list="shared"):
        def run(self) -> int:
            return 1

    class Mine(Activity[None, int], task_list="shared"):
        def run(self) -> int:
            return 2

    @workflow
    async def call_mine() -> int:
        return await Mine()

    handle = stage.start(call_mine(), Mine, Other)
    decider = stage.decider(call_mine)
    take_turns(decider, stage.worker(Other))
    stage.advance(1)
    take_turns(decider, stage.worker(Mine))
    assert handle.result(0) == 2


# The task within.


def test_an_activity_knows_its_own_task_and_an_async_one_too(stage: Stage) -> None:
    seen: list[tuple[str, str, str]] = []

    def look(_: int) -> int:
        task = current_task()
        seen.append((task.execution.workflow_id, task.activity_type.name, task.activity_id))
        return 0

    worker, worker_async = stage.worker(Do, look), stage.worker(DoAsync, look)
    decider, decider_async = stage.decider(CallDo), stage.decider(CallDoAsync)
    for n in (1, 2):
        stage.start(CallDo(n), workflow_id=f"plain-{n}")
        stage.start(CallDoAsync(n), workflow_id=f"async-{n}")
        take_turns(decider, decider_async, worker, worker_async)
    assert sorted(seen) == [
        ("async-1", "DoAsync", "DoAsync-1"),
        ("async-2", "DoAsync", "DoAsync-1"),
        ("plain-1", "Do", "Do-1"),
        ("plain-2", "Do", "Do-1"),
    ]
    worker_async.close()


def test_a_worker_that_is_closed_leaves_no_loop_open_and_may_take_turns_again(stage: Stage) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    def look(_: int) -> int:
        loops.append(asyncio.get_running_loop())
        return 0

    decider, worker = stage.decider(CallDoAsync), stage.worker(DoAsync, look)
    for n in (1, 2):
        stage.start(CallDoAsync(n))
        take_turns(decider, worker)
        assert not loops[-1].is_closed()
        worker.close()
        assert loops[-1].is_closed()
    assert len(set(map(id, loops))) == 2


class Beat(Activity[Any, str], heartbeat=10, start_to_close=100):
    def run(self, act: Any) -> str:
        act()
        return "done"


class CallBeat(Workflow[str]):
    async def flow(self) -> str:
        return await Beat()


def test_a_heartbeat_puts_off_the_timeout_and_its_details_are_in_it(stage: Stage) -> None:
    def act() -> None:
        stage.advance(9)
        heartbeat({"page": 1})
        stage.advance(9)
        heartbeat()
        stage.advance(11)

    caught: list[ActivityTimedOut] = []

    @workflow
    async def catch() -> int:
        try:
            await Beat()
        except ActivityTimedOut as error:
            caught.append(error)
        return 0

    handle = stage.start(catch())
    take_turns(stage.decider(catch), stage.worker(Beat, act))
    assert handle.result(0) == 0
    assert (caught[0].timeout_type, caught[0].details) == ("HEARTBEAT", '{"page":1}')
    (timed_out,) = find_events(handle, e.ActivityTaskTimedOut)
    assert (timed_out.event_timestamp - handle.history()[0].event_timestamp).total_seconds() == 28


def test_the_heartbeat_of_a_cancelled_activity_raises_cancelled(stage: Stage) -> None:
    @workflow
    async def race() -> str | None:
        return await first_of(Beat(), sleep(5))

    decider = stage.decider(race)
    cleaned: list[str] = []

    def act() -> None:
        heartbeat()
        stage.advance(6)
        take_turns(decider)
        try:
            heartbeat()
        finally:
            cleaned.append("up")

    worker = stage.worker(Beat, act)
    handle = stage.start(race())
    decider.work_once(NOW)

    assert worker.work_once(NOW)
    assert cleaned == ["up"]
    take_turns(decider)
    assert handle.result(0) is None
    assert "ActivityTaskCancelRequested" in name_types(handle)


def test_an_activity_that_asks_for_its_own_cancellation_is_answered_as_cancelled(stage: Stage) -> None:
    handle = stage.start(CallDo())
    take_turns(stage.decider(CallDo), stage.worker(Do, raise_it(Cancelled())))
    assert "ActivityTaskCanceled" in name_types(handle)
    with pytest.raises(WorkflowFailed, match="was cancelled by its worker"):
        handle.result(0)


def test_a_heartbeat_after_the_execution_has_closed_cancels_the_activity(stage: Stage) -> None:
    handle = stage.start(CallBeat())
    raised: list[BaseException] = []

    def act() -> None:
        handle.terminate("enough")
        try:
            heartbeat()
        except BaseException as error:
            raised.append(error)
            raise

    take_turns(stage.decider(CallBeat), stage.worker(Beat, act))
    assert [type(error) for error in raised] == [Cancelled]
    assert handle.status() == "TERMINATED"


def test_heartbeat_details_that_are_too_long_are_rejected(stage: Stage) -> None:
    handle = stage.start(CallBeat())
    take_turns(stage.decider(CallBeat), stage.worker(Beat, lambda: heartbeat("x" * 3_000)))
    with pytest.raises(WorkflowFailed, match="the details of a heartbeat take 3,002 characters; SWF allows at most"):
        handle.result(0)


def test_a_heartbeat_that_is_lost_does_not_fail_the_activity(stage: Stage) -> None:
    def act() -> None:
        stage.backend.lose_requests.append(o.RecordActivityTaskHeartbeat)
        heartbeat()
        heartbeat()

    handle = stage.start(CallBeat())
    take_turns(stage.decider(CallBeat), stage.worker(Beat, act))
    assert handle.result(0) == "done"


# Late and lost answers of activities.


def test_an_answer_that_comes_after_the_timeout_is_dropped_and_the_worker_goes_on(stage: Stage) -> None:
    class Slow(Activity[Any, int], start_to_close=10, retry=Retry(attempts=2, backoff=0)):
        def run(self, seconds: list[int]) -> int:
            stage.advance(seconds.pop())
            return len(seconds)

    @workflow
    async def call_slow() -> int:
        return await Slow()

    handle = stage.start(call_slow())
    take_turns(stage.decider(call_slow), stage.worker(Slow, [5, 11]))
    assert handle.result(0) == 0
    assert [type for type in name_types(handle) if type in ("ActivityTaskTimedOut", "ActivityTaskCompleted")] == [
        "ActivityTaskTimedOut",
        "ActivityTaskCompleted",
    ]


@pytest.mark.parametrize("lost", ["lose_requests", "lose_replies"])
def test_a_response_that_is_lost_is_sent_again_before_the_next_poll(stage: Stage, lost: str) -> None:
    done: list[int] = []

    def act(n: int) -> int:
        done.append(n)
        return n

    decider, worker = stage.decider(CallDo), stage.worker(Do, act)
    handle = stage.start(CallDo(7))
    take_turns(decider)
    getattr(stage.backend, lost).append(o.RespondActivityTaskCompleted)
    with pytest.raises(ConnectionLost):
        worker.work_once(NOW)
    stage.backend.asked.clear()
    assert not worker.work_once(NOW)
    assert stage.backend.asked == ["RespondActivityTaskCompleted", "PollForActivityTask"]
    take_turns(decider)
    assert handle.result(0) == 7
    assert done == [7]


# What a flow does wrong.


async def fetch() -> int:
    await asyncio.sleep(0)
    return 1


@activity
def fetch_page() -> int:
    return 1


class Mended(Workflow[int], name="Trip"):
    async def flow(self) -> int:
        await sleep(1)
        return 42


class AwaitsCoroutine(Workflow[int], name="Trip"):
    async def flow(self) -> int:
        coroutine = fetch()
        try:
            await sleep(1)
            return await coroutine
        finally:
            coroutine.close()


class AwaitsFuture(Workflow[int], name="Trip"):
    async def flow(self) -> int:
        await sleep(1)
        loop = asyncio.new_event_loop()
        try:
            return await loop.create_future()  # type: ignore[no-any-return]
        finally:
            loop.close()


class Exits(Workflow[int], name="Trip"):
    async def flow(self) -> int:
        await sleep(1)
        raise SystemExit


class Interrupts(Workflow[int], name="Trip"):
    async def flow(self) -> int:
        await sleep(1)
        raise KeyboardInterrupt


@pytest.mark.parametrize("broken", [AwaitsCoroutine, AwaitsFuture, Exits, Interrupts])
def test_a_flow_that_breaks_a_rule_is_reported_and_continues_after_it_is_fixed(stage: Stage, broken: Any) -> None:
    decider = stage.decider(broken)
    handle = stage.start(broken())
    take_turns(decider)
    stage.advance(1)
    take_turns(decider)
    (stuck,) = stage.stuck
    assert isinstance(stuck.error, FlowError)
    assert stuck.execution == handle.execution
    assert handle.status() == "OPEN"
    stage.advance(30)
    take_turns(stage.decider(Mended))
    assert handle.result(0) == 42


def test_the_pauses_between_tries_of_a_stuck_execution_double_and_are_reported(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "traction.worker")
    decider = stage.decider(Exits)
    handle = stage.start(Exits(), workflow_id="trip-1")
    take_turns(decider)
    stage.advance(1)
    tried: list[int] = []
    for second in range(0, 1_800, 30):
        take_turns(decider)
        tried += [second] * (len(stage.stuck) - len(tried))
        stage.advance(30)
    # SWF gives the task out every 30 s, when it has timed out.
    assert [after - before for before, after in pairwise(tried)] == [30, 60, 120, 240, *[300] * 4]
    assert [stuck.pause.total_seconds() for stuck in stage.stuck] == [30, 60, 120, 240, *[300] * 5]
    assert caplog.messages[1].startswith("skipped for 0:01:00: trip-1 (run ")
    assert handle.status() == "OPEN"


@workflow
async def raises_our_error() -> int:
    raise FlowError("this flow is broken on purpose")


@workflow
async def exits_at_once() -> int:
    raise SystemExit("broken on purpose")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (raises_our_error, f"this flow is broken on purpose ({__file__}, line "),
        (exits_at_once, "cannot go on: SystemExit"),
    ],
)
def test_a_stuck_decision_is_logged_once_with_its_message_once(
    stage: Stage, caplog: pytest.LogCaptureFixture, broken: Any, message: str
) -> None:
    caplog.set_level(logging.DEBUG, "traction.worker")
    stage.start(broken())
    take_turns(stage.decider(broken))
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert message in record.getMessage()
    assert (record.exc_info is None) == (broken is raises_our_error)
    messages = [line for line in caplog.text.splitlines() if "on purpose" in line and "raise " not in line]
    assert len(messages) == 1


def test_an_execution_that_went_on_meanwhile_is_left_alone_no_longer_than_at_first(stage: Stage) -> None:
    met: list[str] = []

    def meet(_: type) -> None:
        met.append("met")
        if len(met) != 2:
            raise ValueError("no such domain")

    @workflow
    async def twice() -> int:
        await Do(1)
        return await fetch_page()

    decider = stage.decider(twice, on_definition=meet)
    stage.start(twice(), Do, fetch_page)
    for _ in range(2):
        take_turns(decider, stage.worker(Do, lambda n: n))
        stage.advance(30)
    assert [stuck.pause.total_seconds() for stuck in stage.stuck] == [30, 30]


def test_a_new_worker_tries_at_once_what_another_leaves_alone(stage: Stage) -> None:
    decider = stage.decider(Exits)
    handle = stage.start(Exits())
    take_turns(decider)
    stage.advance(1)
    for _ in range(2):
        take_turns(decider)
        stage.advance(30)
    take_turns(decider)
    stage.advance(30)
    take_turns(stage.decider(Mended))
    assert handle.result(0) == 42


def test_of_too_many_stuck_executions_those_known_longest_are_tried_again() -> None:
    stuck = StuckExecutions()
    executions = [WorkflowExecution("w", f"run-{n}") for n in range(STUCK_MAX + 1)]
    for execution in executions:
        stuck.note(execution, BEGIN)
    assert [stuck.is_skipped(execution, lambda: BEGIN) for execution in executions[:2]] == [False, True]


def test_a_worker_goes_on_with_others_after_a_flow_that_is_stuck(stage: Stage) -> None:
    class Odd(Workflow[int]):
        n: int

        async def flow(self) -> int:
            if self.n % 2:
                raise SystemExit
            return self.n

    decider = stage.decider(Odd)
    handles = [stage.start(Odd(n)) for n in range(4)]
    take_turns(decider)
    assert [handle.status() for handle in handles] == ["COMPLETED", "OPEN", "COMPLETED", "OPEN"]


def test_a_flow_that_does_not_match_its_history_continues_after_it_is_fixed(stage: Stage) -> None:
    class Before(Workflow[int], name="Order"):
        async def flow(self) -> int:
            return await Do(1) + await Do(2)

    class After(Workflow[int], name="Order"):
        async def flow(self) -> int:
            await sleep(1)
            return await Do(1) + await Do(2)

    handle = stage.start(Before(), Do)
    take_turns(stage.decider(Before))
    worker = stage.worker(Do, lambda n: n)
    worker.work_once(NOW)
    take_turns(stage.decider(After))
    (stuck,) = stage.stuck
    assert isinstance(stuck.error, NonDeterminismError)
    assert stuck.error.step == "sleep-1"
    stage.advance(30)
    take_turns(stage.decider(Before), worker)
    assert handle.result(0) == 3


class Sum(Workflow[int]):
    numbers: list[int]

    async def flow(self) -> int:
        return sum(self.numbers)


class SumOfNames(Workflow[int], name="Sum"):
    names: list[int]

    async def flow(self) -> int:
        return sum(self.names)


def test_an_undecodable_input_of_an_activity_keeps_the_execution_open(stage: Stage) -> None:
    handle = stage.start(Sum([1, 2]))
    take_turns(stage.decider(SumOfNames))
    (stuck,) = stage.stuck
    assert isinstance(stuck.error, PayloadError)
    assert "the input of Sum 1" in str(stuck)
    stage.advance(30)
    take_turns(stage.decider(Sum))
    assert handle.result(0) == 3


def test_a_result_of_an_activity_that_does_not_decode_fails_the_step(stage: Stage) -> None:
    class DoText(Activity[Any, str], name="Do"):
        n: int = 0

        def run(self, act: Any) -> str:
            return ""

    class CallDoText(Workflow[str], name="CallDo"):
        n: int = 0

        async def flow(self) -> str:
            return await DoText(self.n)

    handle = stage.start(CallDo(1))
    decider = stage.decider(CallDoText)
    take_turns(decider, stage.worker(Do, lambda _: 7))
    with pytest.raises(WorkflowFailed, match=r"the result of Do 1 \(Do-1\) does not decode as str"):
        handle.result(0)


def test_a_workflow_that_the_worker_does_not_have_is_reported(stage: Stage) -> None:
    class Known(Workflow[int], task_list="trips"):
        async def flow(self) -> int:
            return 1

    class Unknown(Workflow[int], task_list="trips", version="2"):
        async def flow(self) -> int:
            return 2

    handle = stage.start(Unknown())
    take_turns(stage.decider(Known))
    assert isinstance(stage.stuck[0].error, DefinitionError)
    assert handle.status() == "OPEN"


# Callbacks.


def test_on_definition_is_called_once_per_definition_before_its_first_task(stage: Stage) -> None:
    met: list[Any] = []

    class Parent(Workflow[int]):
        n: int

        async def flow(self) -> int:
            await sleep(1)
            return await CallDo(self.n) + await Do(1)

    decider = stage.decider(Parent, on_definition=met.append)
    stage.register(CallDo, Do)
    handles = [stage.start(Parent(n)) for n in (1, 2)]
    take_turns(decider)
    stage.advance(1)
    others = stage.decider(CallDo), stage.worker(Do, lambda n: n)
    take_turns(decider, *others)
    assert [handle.result(0) for handle in handles] == [2, 3]
    assert met == [CallDo, Do]


def test_an_exception_of_on_definition_is_reported_and_the_call_repeated(stage: Stage) -> None:
    calls: list[type] = []

    def meet(definition: type) -> None:
        calls.append(definition)
        if len(calls) == 1:
            raise ValueError("no workers left")

    decider = stage.decider(CallDo, on_definition=meet)
    handle = stage.start(CallDo(), Do)
    take_turns(decider)
    assert str(stage.stuck[0].error) == "no workers left"
    stage.advance(30)
    take_turns(decider, stage.worker(Do, lambda n: n))
    assert handle.result(0) == 0
    assert calls == [Do, Do]


def test_an_on_stuck_that_raises_does_not_stop_the_worker(stage: Stage) -> None:
    def report(_: object) -> None:
        raise ValueError("the pager is out of order")

    decider = stage.decider(Exits, on_stuck=report)
    stage.start(Exits(), workflow_id="a")
    stage.start(Exits(), workflow_id="b")
    take_turns(decider)
    stage.advance(1)
    assert take_turns(decider) == 2


# The cache of deciders.


def make_decider(events: int) -> tuple[WorkflowExecution, Decider]:
    execution = WorkflowExecution("w", f"run-{events}")
    decider = Decider(CallDo, execution=execution)
    decider.history.last = events
    return execution, decider


def test_the_cache_gives_a_decider_to_one_only() -> None:
    cache = DeciderCache()
    execution, decider = make_decider(3)
    cache.put(execution, decider)
    assert len(cache) == 1
    assert cache.take(execution) is decider
    assert cache.take(execution) is None


def test_the_cache_drops_the_least_recently_used_deciders() -> None:
    cache = DeciderCache(events_max=100)
    entries = [make_decider(events) for events in (40, 41, 42)]
    for entry in entries[:2]:
        cache.put(*entry)
    first = cache.take(entries[0][0])
    assert first is not None
    cache.put(entries[0][0], first)
    cache.put(*entries[2])
    assert [cache.take(execution) is not None for execution, _ in entries] == [True, False, True]


def test_the_cache_keeps_one_decider_however_many_events_it_holds() -> None:
    cache = DeciderCache(events_max=10)
    execution, decider = make_decider(1_000)
    cache.put(execution, decider)
    assert cache.take(execution) is decider


def test_a_decider_put_in_the_place_of_another_takes_its_room_as_well() -> None:
    cache = DeciderCache(events_max=100)
    execution, decider = make_decider(60)
    for _ in range(5):
        cache.put(execution, decider)
    other = make_decider(39)
    cache.put(*other)
    assert len(cache) == 2


def test_closing_the_cache_ends_flows_whose_cleanup_awaits(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    @workflow
    async def patient() -> None:
        async with move_on_after(60):
            await sleep(30)

    complaints: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    cache = DeciderCache()
    stage.start(patient())
    take_turns(WorkflowWorker(stage.backend, [patient], cache=cache))
    assert len(cache) == 1
    cache.close()
    gc.collect()
    assert len(cache) == 0
    assert not complaints


def count_reads(stage: Stage) -> int:
    return stage.backend.asked.count("GetWorkflowExecutionHistory")


def test_a_cached_decider_reads_only_new_events(stage: Stage) -> None:
    @workflow
    async def chain() -> int:
        for n in range(10):
            await Do(n)
        return 0

    handle = stage.start(chain())
    take_turns(stage.decider(chain), stage.worker(Do, lambda n: n))
    assert handle.status() == "COMPLETED"
    assert count_reads(stage) == 0


def test_a_decider_is_there_for_the_next_task_as_soon_as_its_answer_is_sent(stage: Stage) -> None:
    cache = DeciderCache()
    seen: list[int] = []

    class Peeking(type(stage.backend)):  # type: ignore[misc]
        def call(self, request: Any, wait: timedelta | None = None) -> Any:
            if isinstance(request, o.RespondDecisionTaskCompleted):
                seen.append(len(cache))
            return super().call(request, wait)

    stage.register(CallDo, Do)
    decider = WorkflowWorker(Peeking(stage.backend.inner), [CallDo], cache=cache)
    stage.start(CallDo())
    take_turns(decider)
    assert seen == [1]


def test_two_workers_that_take_turns_with_caches_of_their_own_agree(stage: Stage) -> None:
    @workflow
    async def chain() -> list[int]:
        results = []
        for n in range(7):
            results.append(await Do(n))
        return results

    deciders = [stage.decider(chain), stage.decider(chain)]
    worker = stage.worker(Do, lambda n: n)
    handle = stage.start(chain())
    turn = 0
    # Two turns each, so that each meets entries that are good and entries that are stale.
    while deciders[turn // 2 % 2].work_once(NOW):
        worker.work_once(NOW)
        turn += 1
    assert handle.result(0) == list(range(7))
    assert stage.stuck == []
    assert count_reads(stage) == 4


@pytest.mark.parametrize("lost", ["lose_requests", "lose_replies"])
def test_a_decision_that_is_lost_is_sent_again_and_taken_once(stage: Stage, lost: str) -> None:
    decider = stage.decider(CallDo)
    handle = stage.start(CallDo(5), Do)
    getattr(stage.backend, lost).append(o.RespondDecisionTaskCompleted)
    with pytest.raises(ConnectionLost):
        decider.work_once(NOW)
    take_turns(decider, stage.worker(Do, lambda n: n))
    assert handle.result(0) == 5
    assert name_types(handle).count("ActivityTaskScheduled") == 1
    assert stage.stuck == []


def test_a_decision_that_comes_after_the_timeout_is_dropped_and_taken_anew(stage: Stage) -> None:
    late = [31]

    def meet(_: type) -> None:
        if late:
            stage.advance(late.pop())

    decider = stage.decider(CallDo, on_definition=meet)
    handle = stage.start(CallDo(5), Do)
    take_turns(decider, stage.worker(Do, lambda n: n))
    assert handle.result(0) == 5
    assert name_types(handle).count("DecisionTaskTimedOut") == 1
    assert stage.stuck == []


def test_a_cached_decider_whose_task_timed_out_is_rebuilt_from_the_whole_history(stage: Stage) -> None:
    @workflow
    async def twice() -> int:
        return await Do(1) + await Do(2)

    decider, worker = stage.decider(twice), stage.worker(Do, lambda n: n)
    handle = stage.start(twice())
    decider.work_once(NOW)
    worker.work_once(NOW)
    # Another poller takes the task and dies with it.
    stage.backend.call(o.PollForDecisionTask(domain=stage.backend.domain, task_list=twice.spec.task_list))  # type: ignore[attr-defined]
    stage.advance(30)
    take_turns(decider, worker)
    assert handle.result(0) == 3
    assert stage.stuck == []


def test_the_response_to_a_task_that_timed_out_early_is_dropped(stage: Stage) -> None:
    first, worker = stage.decider(CallDo), stage.worker(Do, lambda n: n)
    handle = stage.start(CallDo(5), Do)
    first.work_once(NOW)
    worker.work_once(NOW)
    late = stage.decider(CallDo)
    task = late.poll_once(NOW)
    assert task is not None
    stage.advance(31)
    answer = late.do(task)
    assert answer is not None
    late.respond(task.workflow_execution, answer)
    assert stage.stuck == []
    take_turns(first)
    assert handle.result(0) == 5


@pytest.mark.parametrize("counts", [False, True], ids=["not counted", "counted as the previous one"])
def test_a_cached_decider_is_rebuilt_if_its_response_was_late(counts: bool) -> None:
    with open_stage(knobs=Knobs(previous_counts_timed_out=counts)) as stage:
        cache = DeciderCache()
        late, other = stage.decider(CallDo, cache=cache), stage.decider(CallDo, cache=cache)
        handle = stage.start(CallDo(5), Do)
        task = late.poll_once(NOW)
        assert task is not None
        answer = late.do(task)
        stage.advance(31)
        other.work_once(NOW)
        late.respond(task.workflow_execution, answer)
        take_turns(late, other, stage.worker(Do, lambda n: n))
        assert handle.result(0) == 5
        assert stage.stuck == []


def test_the_decider_of_an_execution_that_closed_meanwhile_is_dropped(stage: Stage) -> None:
    cache = DeciderCache()
    handle = stage.start(CallDo(), Do)
    decider = stage.decider(CallDo, cache=cache, on_definition=lambda _: handle.terminate())
    assert decider.work_once(NOW)
    assert len(cache) == 0
    assert stage.stuck == []


def test_a_transient_error_while_a_history_is_read_is_not_reported_as_stuck(
    stage: Stage,
) -> None:
    decider, other = stage.decider(CallDo), stage.decider(CallDo)
    worker = stage.worker(Do, lambda n: n)
    handle = stage.start(CallDo(3))
    decider.work_once(NOW)
    worker.work_once(NOW)
    stage.backend.lose_replies.append(o.GetWorkflowExecutionHistory)
    with pytest.raises(ConnectionLost):
        other.work_once(NOW)
    stage.advance(30)
    take_turns(other)
    assert handle.result(0) == 3
    assert stage.stuck == []


def test_a_throttled_response_is_sent_again() -> None:
    scarce = (Bucket("RespondDecisionTaskCompleted", 1, 1),)
    with open_stage(Limits(throttling=True, api_buckets=scarce, execution_buckets=(), decision_buckets=())) as stage:
        decider = stage.decider(Sum)
        handles = [stage.start(Sum([n])) for n in (1, 2)]
        assert decider.work_once(NOW)
        with pytest.raises(ThrottlingException):
            decider.work_once(NOW)
        assert [handle.status() for handle in handles] == ["COMPLETED", "OPEN"]
        stage.advance(1)
        decider.work_once(NOW)
        assert [handle.result(0) for handle in handles] == [1, 2]
        assert stage.stuck == []


@pytest.mark.parametrize("cached", [True, False])
def test_a_history_of_many_pages_is_read_to_its_end(cached: bool) -> None:
    @workflow
    async def burst() -> int:
        from traction import all_of

        await all_of([Do(n) for n in range(20)])
        return sum(await all_of([Do(n) for n in range(20)]))

    with open_stage(Limits(page_items_max=7)) as stage:
        decider, worker = stage.decider(burst), stage.worker(Do, lambda n: n)
        handle = stage.start(burst())
        for _ in range(3):
            take_turns(decider if cached else stage.decider(burst))
            take_turns(worker)
        take_turns(decider if cached else stage.decider(burst))
        assert stage.stuck == []
        assert handle.result(0) == sum(range(20))
        assert len(handle.history()) > 100


# The loop.


class ScriptedWorker:
    """A worker with prepared turns that then stops the loop."""

    def __init__(self, stop: threading.Event, *turns: Exception | bool) -> None:
        self.stop = stop
        self.turns = list(turns)
        self.waits: list[timedelta | None] = []
        self.unsent: list[Exception] = []
        self.flushed = self.closed = 0

    def work_once(self, wait: timedelta | None = None) -> bool:
        self.waits.append(wait)
        turn = self.turns.pop(0)
        if not self.turns:
            self.stop.set()
        if isinstance(turn, Exception):
            raise turn
        return turn

    def flush(self) -> None:
        self.flushed += 1
        if self.unsent:
            raise self.unsent.pop()

    def close(self) -> None:
        self.closed += 1


class Pauses(threading.Event):
    """An event whose waits pass at once and are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        return self.is_set()


def test_the_pause_after_failed_turns_doubles_up_to_half_a_minute() -> None:
    stop = Pauses()
    failures = [ConnectionLost("no route")] * 7
    run_worker(ScriptedWorker(stop, *failures, True, ConnectionLost("again"), True), stop)
    assert stop.seconds == [1, 2, 4, 8, 16, 30, 30, 1]


def test_the_pause_is_shortened_by_the_jitter_that_is_given() -> None:
    stop = Pauses()
    run_worker(ScriptedWorker(stop, *[ConnectionLost("no route")] * 3, True), stop, jitter=lambda: 0.5)
    assert stop.seconds == [0.5, 1, 2]


def test_a_turn_that_fails_by_a_bug_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop = Pauses()
    worker = ScriptedWorker(stop, ZeroDivisionError("a bug"), ConnectionLost("no route"), True)
    run_worker(worker, stop, wait=timedelta(seconds=3))
    assert worker.waits == [timedelta(seconds=3)] * 3
    assert [record.exc_info is not None for record in caplog.records if record.levelno == logging.WARNING] == [
        True,
        False,
    ]


def test_the_loop_sends_what_could_not_be_sent_before_it_ends() -> None:
    stop = Pauses()
    worker = ScriptedWorker(stop, ConnectionLost("no route"))
    worker.unsent = [ConnectionLost("no route")] * 2
    run_worker(worker, stop)
    assert (worker.flushed, worker.closed) == (3, 1)


def test_the_loop_ends_though_an_answer_cannot_be_sent(caplog: pytest.LogCaptureFixture) -> None:
    stop = Pauses()
    worker = ScriptedWorker(stop, True)
    worker.unsent = [ZeroDivisionError("a bug")]
    run_worker(worker, stop)
    assert (worker.flushed, worker.closed) == (1, 1)
    assert "its task will time out: a bug" in caplog.text


def test_the_loop_ends_on_stop_and_closes_the_worker() -> None:
    stop = Pauses()
    worker = ScriptedWorker(stop, True, False, True)
    run_worker(worker, stop)
    assert worker.turns == []
    assert worker.closed == 1


# Making workers.


def test_what_several_threads_of_one_worker_decide_is_decided_once(stage: Stage) -> None:
    decider = stage.decider(CallDo)
    handles = [stage.start(CallDo(n), Do, workflow_id=f"w{n}") for n in range(50)]

    def work(make: Callable[[], Worker]) -> Callable[[], object]:
        return lambda: take_turns(make())

    run_threads(*[work(lambda: decider)] * 4)
    run_threads(*[work(lambda: stage.worker(Do, lambda n: n))] * 4)
    run_threads(*[work(lambda: decider)] * 4)
    assert [handle.result(0) for handle in handles] == list(range(50))
    assert stage.stuck == []
    assert {len(handle.history()) for handle in handles} == {11}


def test_the_protocol_of_workers_is_what_both_workers_answer_to(stage: Stage) -> None:
    workers: list[Worker] = [stage.decider(CallDo), stage.worker(Do, int)]
    assert [worker.work_once(NOW) for worker in workers] == [False, False]
    for worker in workers:
        worker.close()


def test_a_service_that_refuses_a_decision_for_good_is_reported() -> None:
    @workflow
    async def talk() -> str:
        return "x" * 3_000

    with open_stage(Limits(payload_chars_max=2_500)) as stage:
        handle = stage.start(talk())
        take_turns(stage.decider(talk))
        assert isinstance(stage.stuck[0].error, ValidationException)
        assert handle.status() == "OPEN"


def test_the_last_event_of_a_finished_execution_is_its_close(stage: Stage) -> None:
    handle = stage.start(CallDo(1))
    take_turns(stage.decider(CallDo), stage.worker(Do, lambda n: n))
    history = handle.history()
    assert find_last(history, e.WorkflowExecutionCompleted) is history[-1]


def test_the_same_turns_write_the_same_history() -> None:
    def play() -> list[e.Event]:
        with open_stage() as stage:
            handle = stage.start(CallDo(1))
            take_turns(stage.decider(CallDo), stage.worker(Do, lambda n: n))
            return handle.history()

    assert play() == play()
