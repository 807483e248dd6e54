"""Each construct of a flow has the same result, decisions and histories through boto3 as in this process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from tests.support.http_backends import NOW, Site, World, leave_out_clocks, reach_here
from tests.support.profile import pick
from traction import (
    COMPLETE_LATER,
    Activity,
    DeclaredError,
    Failure,
    Retry,
    Signal,
    Step,
    Success,
    WorkerSystem,
    Workflow,
    activity,
    all_of,
    cancel,
    cancel_scope,
    continue_as_new,
    current_task,
    done,
    each,
    every,
    fail,
    fail_after,
    heartbeat,
    history_length,
    invoke_lambda,
    minutes,
    move_on_after,
    now,
    patched,
    random,
    receive,
    saga,
    send,
    set_state,
    shield,
    side_effect,
    signals,
    sleep,
    sleep_until,
    start_child,
    step,
    uuid4,
    uuid7,
    workflow,
)
from traction.errors import (
    ActivityFailed,
    CancelFailed,
    ChildAlreadyRunning,
    ChildFailed,
    ExecutionFailed,
    NonDeterminismError,
    SignalFailed,
    StepTimedOut,
)
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction.replay import replay
from traction.worker.local_activities import LocalActivities
from traction.worker.loop import Worker
from traction_local.backend import DOMAIN
from traction_local.service.knobs import LambdaCall, LambdaOutcome

# Signals, activities and functions.


class Approve(Signal):
    by: str


class Reject(Signal, name="no"):
    why: str


class Declined(DeclaredError):
    code: str
    retry_after: int = 60


@activity
def do(what: str) -> str:
    return what


class Fragile(Activity[None, int], retry=Retry(attempts=3, backoff=10, give_up_on=(KeyError,)), raises=(Declined,)):
    """Fails a number of times, in one of several ways."""

    times: int
    how: str = "value"

    def run(self) -> int:
        attempt = current_task().attempt
        if attempt <= self.times:
            raise {"value": ValueError("bad"), "key": KeyError("none"), "declared": Declined("limit", 5)}[self.how]
        return attempt


class Copy(Activity[None, list[int]], heartbeat=30, start_to_close=600, retry=Retry(attempts=3, backoff=1)):
    """Falls silent after each heartbeat, twice."""

    def run(self) -> list[int]:
        begin = current_task().last_details(int) or 0
        heartbeat(begin + 7)
        return COMPLETE_LATER if begin < 14 else [begin, current_task().attempt]


class Keep(Activity[None, str]):
    n: int

    def run(self) -> str:
        return str(self.n)


class Sign(Activity[None, str], start_to_close=600, raises=(Declined,)):
    """Is completed by token, from outside."""

    def run(self) -> str:
        TOKENS.append(current_task().token)
        return COMPLETE_LATER  # type: ignore[no-any-return]


TOKENS: list[str] = []


def call_function(call: LambdaCall) -> LambdaOutcome:
    if call.name == "double":
        return LambdaOutcome(result=str(2 * int(call.input)), after=timedelta(seconds=3))
    return LambdaOutcome(reason="ResourceNotFoundException")


# One flow for each construct.


@workflow
async def approve() -> str:
    return await (receive(Approve).map(lambda approval: approval.by) | sleep(60).map(lambda _: "nobody"))


@workflow
async def judge() -> list[str]:
    names = []
    for _ in range(2):
        match await receive(Approve, Reject):
            case Approve(by=by):
                names.append(by)
            case Reject(why=why):
                names.append(f"no: {why}")
    async for approval in signals(Approve):
        names.append(approval.by)
        if len(names) == 4:
            break
    return names


@workflow
async def tell_nobody() -> list[str]:
    causes = []
    for request in (send("nobody", Approve("Ann")), cancel("nobody")):
        outcome = await request.attempt()
        assert isinstance(outcome, Failure)
        assert isinstance(outcome.error, SignalFailed | CancelFailed)
        causes.append(outcome.error.cause)
    return causes


class Part(Workflow[int], raises=(Declined,)):
    how: str
    n: int = 0

    async def flow(self) -> int:
        match self.how:
            case "fail":
                await fail(ValueError("no part"))
            case "decline":
                await fail(Declined("part", 7))
            case "again" if self.n < 3:
                await continue_as_new(Part("again", self.n + 1))
            case "wait":
                return len((await receive(Approve)).by)
        return self.n


async def name_end(child: Step[int]) -> str:
    try:
        return str(await child)
    except Declined as error:
        return f"{error.code} {error.retry_after}"
    except ChildFailed as error:
        return f"{error.status} {error.message}".strip()


@workflow
async def family() -> list[str]:
    calls: list[Step[int]] = [Part("fail"), Part("decline"), Part("again")]
    calls.append(Part("wait").options(execution_start_to_close=20, workflow_id="late", tags=("slow",)))
    return list(await all_of([step(name_end)(call) for call in calls]))


@workflow
async def beside() -> list[str]:
    first = await start_child(Part("wait").options(workflow_id="first"))
    second = await start_child(Part("wait").options(workflow_id="second", child_policy="ABANDON"))
    again = Part("wait").options(workflow_id="first")
    in_use = await start_child(again).attempt()
    assert isinstance(in_use, Failure)
    assert isinstance(in_use.error, ChildAlreadyRunning)
    await first.send(Approve("Ann"))
    await second.cancel()
    return [in_use.error.workflow_id, str(await first.result()), await step(name_end)(second.result())]


@workflow
async def doomed() -> str:
    return await step(name_end)(Part("wait").options(workflow_id="doomed"))


@workflow
async def tidy() -> str:
    try:
        await shield(do("debit") & sleep(30))
        await do("never")
    finally:
        await sleep(5)
        await do("tidied")
    return "never"


@workflow
async def scopes() -> list[Any]:
    async with move_on_after(5) as left:
        await sleep(60)
    async with move_on_after(60) as kept:
        await do("quick")
    try:
        async with fail_after(5):
            await sleep(60)
    except StepTimedOut as late:
        return [left.cancelled, kept.cancelled, late.limit.total_seconds()]
    return []


@workflow
async def times() -> list[float]:
    begin = await now()
    await sleep_until(begin + timedelta(seconds=40))
    late = await sleep(60).timeout(minutes(0.5)).attempt()
    assert isinstance(late, Failure)
    assert isinstance(late.error, StepTimedOut)
    return [(await now() - begin).total_seconds(), late.error.limit.total_seconds()]


@workflow
async def recur(since: int, seen: int) -> int:
    async def look(_: Any) -> int:
        return 1 if await history_length() < 20 else await continue_as_new(recur(since, seen + 1))

    if seen == 2:
        return seen
    await every(20, step(look), again=lambda _: recur(since, seen), overlap="cancel")
    return -1


@workflow
async def recur_by_cron(seen: int) -> int:
    async def look(_: Any) -> int:
        return 1 if await history_length() < 20 else await continue_as_new(recur_by_cron(seen + 1))

    if seen == 2:
        return seen
    await every("30 * * * *", step(look), again=lambda _: recur_by_cron(seen), catch_up=2)
    return -1


@workflow(execution_start_to_close=10 * 3600)
async def recur_daily(since: datetime | None = None) -> None:
    await every("0 6 * * *", tell_time, again=recur_daily, since=since)


def tell_time(time: datetime) -> Step[str]:
    return fail(ValueError("odd")) if time.day % 2 else do(str(time))


@workflow
async def go_on(n: int) -> None:
    await sleep(60)
    await continue_as_new(go_on(n + 1))


@workflow
async def ends_of_one() -> list[Any]:
    child = await start_child(Part("again"))
    return [await (child.result() | child.result()), await all_of([child.result(), child.result()])]


@workflow
async def scope_left_before() -> list[Any]:
    scope = cancel_scope()

    @step
    async def hold() -> bool:
        async with scope:
            await do("never")
        return scope.cancelled

    return await all_of([scope.cancel(), hold()])


@workflow
async def try_by_policy() -> list[Any]:
    late = await Fragile(99).options(retry=Retry(attempts=99, backoff=10, jitter=0.5, deadline=45)).attempt()
    other = await Fragile(9).options(retry=Retry(retry_on=(KeyError,))).attempt()
    known = await Fragile(1, "key").options(retry=Retry(backoff=1, max_delay=1, retry_on=(KeyError,)))
    return [type(late).__name__, type(other).__name__, known]


@workflow
async def try_again() -> list[Any]:
    first = await Fragile(2)
    gave_up = await Fragile(1, "key").attempt()
    ended = await Fragile(3).recover(ActivityFailed, lambda error: done(error.message))
    both = await (Fragile(3).options(retry=None) & do("x")).retry(Retry(attempts=2, backoff=5)).attempt()
    declared = await Fragile(9, "declared").recover(Declined, lambda error: done(error.retry_after))
    return [first, type(gave_up).__name__, ended, type(both).__name__, declared]


@workflow(raises=(Declined,))
async def decline() -> int:
    return await Fragile(3, "declared").ensure(do("seen"))


async def book_all() -> None:
    await do("flight").compensate(do)
    await (do("hotel").compensate(do) & do("car").compensate(do))
    await receive(Approve)
    await fail(ValueError("no train"))


@workflow
async def travel() -> None:
    await saga(step(book_all)())


@workflow
async def tolerant() -> list[str]:
    outcomes = await each(Fragile, [0, 9, 1], limit=2, max_failures=1)
    return [str(one.value) if isinstance(one, Success) else "failed" for one in outcomes]


@workflow
async def chance() -> list[Any]:
    rolled, made = await random(), [await uuid4(), await uuid7()]
    kept = await side_effect(lambda: 7)
    new = await patched("new")
    await set_state({"at": kept})
    await sleep(1)
    return [0 <= rolled < 1, [UUID(str(one)).version for one in made], kept, new]


@workflow
async def count(n: int) -> int:
    await do(str(n))
    return n if n == 3 else await continue_as_new(count(n + 1))


@workflow
async def many() -> int:
    return len(await each(do, [str(n) for n in range(40)], limit=15))


MANY = pick(1_100, 10_000)


@workflow
async def thousands() -> int:
    """Run thousands of local activities: more steps than open activities are allowed, in a history of a few pages."""

    def keep(n: int) -> Step[str]:
        return Keep(n).locally()

    return len(set(await each(keep, range(MANY), limit=40)))


@workflow
async def copy() -> list[int]:
    return await Copy()


@workflow
async def sign() -> list[str]:
    declined = await Sign().attempt()
    assert isinstance(declined, Failure)
    assert isinstance(declined.error, Declined)
    return [declined.error.code, await Sign()]


@workflow(lambda_role="arn:aws:iam::123456789012:role/lambda")
async def functions() -> list[Any]:
    return [await invoke_lambda("double", 21, type=int), type(await invoke_lambda("none").attempt()).__name__]


@workflow
async def locally() -> list[int]:
    return list(await (Fragile(1).locally() & Fragile(0).locally()))


@workflow
async def with_options() -> list[str]:
    one = do("x").options(start_to_close=7, priority=3, heartbeat=5, schedule_to_start=8)
    return list(await (one & do("y").options(task_list="big")))


# What happens outside.


Act = Callable[[World, Any], object]


def tell(signal: str, input: str, workflow_id: str = "one") -> Act:
    return lambda world, _: world.backend.call(
        o.SignalWorkflowExecution(domain=DOMAIN, workflow_id=workflow_id, signal_name=signal, input=input)
    )


def answer(act: Callable[[WorkerSystem, str], object]) -> Act:
    def answer_last(world: World, _: Any) -> None:
        act(WorkerSystem(backend=world.backend, identity="somebody"), TOKENS[-1])

    return answer_last


def wait(seconds: float) -> Act:
    return lambda world, _: world.advance(seconds)


ANN, BOB = tell("Approve", '{"by":"Ann"}'), tell("Approve", '{"by":"Bob"}')
ODD, NO, UNKNOWN = tell("Approve", '{"whom":1}'), tell("no", '{"why":"late"}'), tell("Unknown", "null")


def ask_to_cancel(_: World, handle: Any) -> None:
    handle.cancel()


def end(workflow_id: str) -> Act:
    return lambda world, _: world.backend.call(
        o.TerminateWorkflowExecution(domain=DOMAIN, workflow_id=workflow_id, reason="an operator")
    )


class Said(NamedTuple):
    """A flow, its result or the name of its failure, and the external events that it waits for."""

    flow: Workflow[Any]
    gives: Any
    outside: tuple[tuple[Act, ...], ...] = ()
    """Each group of acts happens before anybody moves again."""


NOBODY = "UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION"

LANGUAGE = {
    "a signal": Said(approve(), "Ann", ((ANN,),)),
    "a signal, then the time-out, in one decision task": Said(approve(), "Ann", ((wait(59), ANN, wait(1)),)),
    "a time-out, then the signal, in one decision task": Said(approve(), "nobody", ((wait(60), ANN),)),
    "signals of several types": Said(judge(), ["Ann", "no: late", "Bob", "Ann"], ((ANN, ODD, NO), (UNKNOWN, BOB, ANN))),
    "signals to nobody": Said(tell_nobody(), [NOBODY, NOBODY]),
    "children": Said(family(), ["FAILED no part", "part 7", "3", "TIMED_OUT"]),
    "children beside": Said(beside(), ["first", "3", "CANCELED"]),
    "a child that is terminated": Said(doomed(), "TERMINATED", ((end("doomed"),),)),
    "a cancellation": Said(tidy(), "WorkflowCancelled", ((wait(10), ask_to_cancel), (wait(1), ask_to_cancel))),
    "scopes": Said(scopes(), [True, False, 5.0]),
    "time": Said(times(), [70.0, 30.0]),
    "recurring work": Said(recur(0, 0), 2),
    "work by cron": Said(recur_by_cron(0), 2),
    "work that recurs less often than a run may be open": Said(recur_daily(), "WorkflowFailed"),
    "a cancellation together with the next run": Said(go_on(0), "WorkflowCancelled", ((wait(60), ask_to_cancel),)),
    "the end of one child for several": Said(ends_of_one(), [3, [3, 3]]),
    "a scope that is cancelled before it is entered": Said(scope_left_before(), [None, True]),
    "policies of calls": Said(try_by_policy(), ["Failure", "Failure", 2]),
    "attempts": Said(try_again(), [3, "Failure", "bad", "Failure", 5]),
    "a declared error": Said(decline(), Declined("limit", 5)),
    "a saga that fails": Said(travel(), "WorkflowFailed", ((ANN,),)),
    "a saga that is cancelled": Said(travel(), "WorkflowCancelled", ((ask_to_cancel,),)),
    "failures that are tolerated": Said(tolerant(), ["1", "failed", "2"]),
    "chance and effects": Said(chance(), [True, [4, 7], 7, True]),
    "runs": Said(count(0), 3),
    "many, so many at a time": Said(many(), 40),
    "thousands": Said(thousands(), MANY),
    "heartbeats": Said(copy(), [14, 3]),
    "answers by token": Said(
        sign(),
        ["pen", "Ann"],
        (
            (answer(lambda system, token: system.fail(token, Declined("pen"))),),
            (
                answer(lambda system, token: system.heartbeat(token, "soon")),
                answer(lambda system, token: system.complete(token, "Ann")),
            ),
        ),
    ),
    "functions": Said(functions(), [42, "Failure"]),
    "local activities": Said(locally(), [2, 1]),
    "options of a call": Said(with_options(), ["x", "y"]),
}


class Played(NamedTuple):
    gave: Any
    reported: Any
    decided: list[Any]
    histories: dict[str, list[e.Event]]


def play(reach: Any, script: Said) -> Played:
    TOKENS.clear()
    world = World(reach, lambdas=call_function)
    try:
        local = LocalActivities({Fragile: None, Keep: None})
        deciders = [world.decider(flow, local=local) for flow in (type(script.flow), Part)]
        workers: list[Worker] = [*deciders, *(world.worker(one) for one in (do, Fragile, Copy, Sign))]
        workers.append(world.worker(do, task_list="big"))
        handle = world.start(script.flow)
        for acts in script.outside:
            while sum(worker.work_once(NOW) for worker in workers):
                pass
            for act in acts:
                act(world, handle)
        execution: WorkflowExecution = handle.execution
        world.run(workers, execution)
        while isinstance(closing := world.local.find_closing_event(execution), e.WorkflowExecutionContinuedAsNew):
            execution = WorkflowExecution(execution.workflow_id, closing.new_execution_run_id)
            world.run(workers, execution)
        try:
            gave: Any = handle.result()
        except ExecutionFailed as error:
            gave = error
        began = o.ExecutionTimeFilter(oldest_date=world.clock() - timedelta(days=1))
        closed = o.ListClosedWorkflowExecutions(domain=DOMAIN, start_time_filter=began)
        runs = [info.execution for info in world.local.call(closed).execution_infos]
        histories = {run.run_id: world.local.get_history(run) for run in [execution, *runs]}
        return Played(gave, handle.state(), world.backend.decided, histories)
    finally:
        world.close()


@pytest.mark.parametrize("script", LANGUAGE.values(), ids=LANGUAGE)
def test_flows_run_the_same_through_boto3_as_in_process(site: Site, script: Said) -> None:
    here, there = play(reach_here, script), play(site.reach, script)
    for gave in (here.gave, there.gave):
        match script.gives:
            case Declined() as error:
                assert isinstance(gave, type(error))
                assert (gave.code, gave.retry_after) == (error.code, error.retry_after)
            case _ if isinstance(gave, ExecutionFailed):
                assert type(gave).__name__ == script.gives
            case _:
                assert gave == script.gives
    assert str(there.gave) == str(here.gave)
    assert there.reported == here.reported
    assert leave_out_clocks(there.decided) == leave_out_clocks(here.decided)
    assert leave_out_clocks(there.histories) == leave_out_clocks(here.histories)


# A patch, as it is brought in and retired: the same workflow in three states of its code.


def greet(*, patch: bool, old: bool) -> type[Workflow[str]]:
    """Make the workflow as it was before the patch, with it, or after the old branch was taken out."""

    class Greet(Workflow[str], name="greet"):
        async def flow(self) -> str:
            await do("first")
            await receive(Approve)
            if old or (patch and not await patched("politely")):
                return await Keep(0)
            return await do("good day")

    return Greet


def find(history: list[e.Event], kind: type) -> list[e.Event]:
    return [event for event in history if isinstance(event, kind)]


BEFORE, WITH, AFTER = greet(patch=False, old=True), greet(patch=True, old=False), greet(patch=False, old=False)


@pytest.mark.parametrize("over_http", [False, True], ids=["in this process", "through boto3"])
def test_executions_continue_while_a_patch_is_introduced_and_retired(site: Site, over_http: bool) -> None:
    world = World(site.reach if over_http else reach_here)
    try:
        handles: dict[str, Any] = {}

        def live_with(code: type[Workflow[str]], *begin: str, approve: str = "") -> None:
            workers: list[Worker] = [world.decider(code), world.worker(do), world.worker(Keep)]
            for workflow_id in begin:
                handles[workflow_id] = world.start(code(), workflow_id)
            if approve:
                tell("Approve", '{"by":"Ann"}', approve)(world, None)
            while sum(worker.work_once(NOW) for worker in workers):
                pass

        live_with(BEFORE, "old", "early")
        live_with(BEFORE, approve="old")
        live_with(WITH, "new", approve="early")
        live_with(WITH, "late", approve="new")
        live_with(AFTER, "last", approve="late")
        live_with(AFTER, approve="last")
        results = {workflow_id: handle.result(0) for workflow_id, handle in handles.items()}
        polite = dict.fromkeys(("early", "new", "late", "last"), "good day")
        assert results == {"old": "0", **polite}
        marked = {name for name in results if find(world.history(handles[name]), e.MarkerRecorded)}
        assert marked == {"early", "new"}
        # Each of them meets the code of the last day, but for the one that had gone the old way.
        for name in polite:
            assert replay(world.history(handles[name]), AFTER).closed
        with pytest.raises(NonDeterminismError, match="do-2"):
            replay(world.history(handles["old"]), AFTER)
    finally:
        world.close()
