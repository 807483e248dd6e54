"""Signals, children, cancellation, policies, sagas and effects of flows, in simulations."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from traction import (
    Activity,
    Failure,
    Retry,
    Signal,
    Step,
    Workflow,
    activity,
    all_of,
    cancel,
    continue_as_new,
    days,
    done,
    each,
    fail,
    history_length,
    hours,
    minutes,
    patched,
    receive,
    saga,
    send,
    set_state,
    side_effect,
    sleep,
    start_child,
    step,
    workflow,
)
from traction.decider import interpreter as interpret
from traction.decider.decider import Decider, decide
from traction.errors import (
    CancelFailed,
    ChildAlreadyRunning,
    FlowError,
    PayloadError,
    SignalFailed,
    WorkflowFailed,
)
from traction.model import decisions as d
from traction.model import events as e
from traction.testing import fails, simulate


class Approve(Signal):
    by: str


class Reject(Signal, name="no"):
    why: str = ""


done_things: list[str] = []


@activity
def do(name: str) -> str:
    done_things.append(name)
    return name


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done_things.clear()


@pytest.mark.parametrize(
    ("say", "what"),
    [
        (lambda _: do(7), "do(name=7)"),
        (lambda again: again("x").options(workflow_id="child"), "Say(n='x')"),
        (lambda again: start_child(again("x").options(workflow_id="child")), "Say(n='x')"),
        (lambda _: send("nobody", Approve(7)), "Approve(by=7)"),  # type: ignore[arg-type]
        (lambda again: continue_as_new(again("x")), "Say(n='x')"),
        (lambda _: done("x"), "the result of Say 1"),
    ],
)
def test_a_value_that_could_not_be_decoded_is_refused_where_it_is_passed(say: Any, what: str) -> None:
    class Say(Workflow[int]):
        n: int

        async def flow(self) -> Any:
            return await say(Say)

    with pytest.raises(PayloadError, match=re.escape(what)):
        simulate(Say(1))


@pytest.mark.parametrize("retry", [None, Retry(attempts=1)])
def test_options_of_a_call_replace_the_retries_of_its_class(retry: Retry | None) -> None:
    @activity(retry=Retry(attempts=5))
    def fragile() -> int:
        raise ValueError("no")

    @workflow
    async def flow() -> int:
        return await fragile().options(retry=retry)

    assert len(simulate(flow()).calls(fragile)) == 1


# Signals.


@workflow
async def wait_for_approval() -> str:
    answer = await (receive(Approve).map(lambda a: a.by) | sleep(days(30)).map(lambda _: "nobody"))
    return f"{answer} at last"


def test_of_several_receivers_the_first_to_wait_is_the_first_to_receive() -> None:
    @workflow
    async def pair() -> tuple[str, str]:
        first, second = await (receive(Approve) & receive(Approve))
        return first.by, second.by

    sent = [(hours(n), "Approve", Approve(name)) for n, name in enumerate("ab", 1)]
    assert simulate(pair(), signals=sent).result == ("a", "b")


def test_a_signal_to_another_execution_arrives_there() -> None:
    @workflow
    async def tell() -> str:
        child = await start_child(wait_for_approval())
        await send(child.execution, Approve("Bob"))
        return await child.result()

    assert simulate(tell()).result == "Bob at last"


@pytest.mark.parametrize("by_run", [True, False])
def test_signals_and_cancel_requests_to_a_closed_execution_fail_typed(by_run: bool) -> None:
    @workflow
    async def tell() -> list[Any]:
        child = await start_child(wait_for_approval())
        await child.send(Approve("Ann"))
        result, causes = await child.result(), []
        whom = child.execution if by_run else child.execution.workflow_id
        for late in (send(whom, Approve("Bob")), cancel(whom)):
            outcome = await late.attempt()
            assert isinstance(outcome, Failure)
            assert isinstance(outcome.error, SignalFailed | CancelFailed)
            causes.append([outcome.error.cause, outcome.error.workflow_id == child.execution.workflow_id])
        return [result, *causes, await child.result()]

    nobody = ["UNKNOWN_EXTERNAL_WORKFLOW_EXECUTION", True]
    assert simulate(tell()).result == ["Ann at last", nobody, nobody, "Ann at last"]


@pytest.mark.parametrize("beside", [True, False])
def test_a_child_whose_id_is_in_use_fails_typed_and_the_one_that_is_open_goes_on(beside: bool) -> None:
    @workflow
    async def parent() -> list[str]:
        first = await start_child(wait_for_approval().options(workflow_id="approval"))
        again: Any = wait_for_approval().options(workflow_id="approval")
        try:
            await (start_child(again) if beside else again)
        except ChildAlreadyRunning as failed:
            await send(failed.workflow_id, Approve("Ann"))
            return [failed.cause, await first.result()]
        return []

    assert simulate(parent()).result == ["WORKFLOW_ALREADY_RUNNING", "Ann at last"]


# Children.


def test_a_child_that_is_started_runs_beside_its_parent() -> None:
    @workflow
    async def parent() -> tuple[str, str]:
        child = await start_child(wait_for_approval())
        mine = await do("mine")
        await child.send(Approve("me"))
        return mine, await child.result()

    assert simulate(parent()).result == ("mine", "me at last")


def test_a_call_of_a_child_has_options_of_its_own() -> None:
    @workflow
    async def parent() -> str:
        return await wait_for_approval().options(workflow_id="named", tags=("a",), execution_start_to_close=60)

    run = simulate(parent())
    (begun,) = [event for event in run.history if isinstance(event, e.StartChildWorkflowExecutionInitiated)]
    assert (begun.workflow_id, begun.tag_list, begun.execution_start_to_close_timeout) == ("named", ("a",), "60")
    assert isinstance(run.error, WorkflowFailed)
    assert "TIMED_OUT" in run.error.message


class Old(Workflow[int], name="Grown", version="1"):
    n: int

    async def flow(self) -> int:
        return await continue_as_new(New(self.n + 1))


class New(Workflow[int], name="Grown", version="2"):
    n: int

    async def flow(self) -> int:
        return self.n


def test_the_next_run_may_be_of_a_version_that_no_worker_was_started_for_yet() -> None:
    run = simulate(Old(0))
    (begun, *_) = run.history
    assert isinstance(begun, e.WorkflowExecutionStarted)
    assert (run.result, begun.workflow_type.version) == (1, "2")


# Cancellation.


# Time and failure.


def test_any_step_can_be_tried_again() -> None:
    @activity
    def flaky(n: int) -> int:
        return n

    @workflow
    async def flow() -> int:
        pair = flaky(1) & flaky(2)
        return sum(await pair.retry(Retry(attempts=3, backoff=60)))

    run = simulate(flow(), stub={flaky: fails(2)})
    assert (run.result, run.elapsed) == (3, minutes(1))
    ids = [event.activity_id for event in run.history if isinstance(event, e.ActivityTaskScheduled)]
    assert ids == ["1.0.flaky-1", "1.1.flaky-1", "~2.1.0.flaky-1", "~2.1.1.flaky-1"]


@pytest.mark.parametrize(
    ("policy", "attempts"),
    [
        (Retry(attempts=5, backoff=1, give_up_on=("ValueError",)), 1),
        (Retry(attempts=5, backoff=1, give_up_on=(ValueError,)), 1),
        (Retry(attempts=5, backoff=1, retry_on=(KeyError,)), 1),
        (Retry(attempts=5, backoff=1, retry_on=("ValueError",)), 5),
        (Retry(attempts=5, backoff=60, deadline=minutes(4)), 3),
    ],
)
def test_a_policy_sets_which_failures_are_retried_and_for_how_long(policy: Retry, attempts: int) -> None:
    class Fragile(Activity[None, str], retry=policy):
        def run(self) -> str:
            raise ValueError("bad")

    @workflow
    async def flow() -> str:
        return await Fragile()

    run = simulate(flow())
    assert isinstance(run.error, WorkflowFailed)
    assert len(run.calls(Fragile)) == attempts


def test_jitter_is_the_runs_own_and_shortens_a_pause() -> None:
    class Fragile(Activity[None, str], retry=Retry(attempts=2, backoff=3600, jitter=1.0)):
        def run(self) -> str:
            return "ok"

    @workflow
    async def flow() -> str:
        return await Fragile()

    first, second = (simulate(flow(), stub={Fragile: fails(1)}) for _ in range(2))
    assert first.elapsed == second.elapsed
    assert timedelta(0) < first.elapsed < hours(1)


def test_a_call_of_an_activity_has_options_of_its_own() -> None:
    @workflow
    async def flow() -> str:
        return await do("x").options(start_to_close=7, priority=3, retry=Retry(attempts=2, backoff=0))

    run = simulate(flow(), stub={do: fails(1)})
    assert run.result == "x"
    scheduled = [event for event in run.history if isinstance(event, e.ActivityTaskScheduled)]
    assert [(event.start_to_close_timeout, event.task_priority) for event in scheduled] == [("7", "3")] * 2


# Sagas.


@activity
def undo(name: str) -> str:
    done_things.append(f"undo {name}")
    return name


def book(*names: str, then: Step[Any]) -> Step[Any]:
    @step
    async def flow() -> None:
        for name in names:
            await do(name).compensate(undo)
        await then

    return flow()


def test_a_saga_that_fails_is_undone_in_reverse_and_then_fails_so() -> None:
    @workflow
    async def trip() -> str:
        try:
            await saga(book("flight", "hotel", then=fail(ValueError("no car"))))
        except ValueError as error:
            return str(error)
        return "?"

    assert simulate(trip()).result == "no car"
    assert done_things == ["flight", "hotel", "undo hotel", "undo flight"]


def test_a_saga_that_succeeds_is_not_undone() -> None:
    @workflow
    async def trip() -> None:
        await saga(book("flight", then=do("car")))

    simulate(trip())
    assert done_things == ["flight", "car"]


def test_a_compensation_that_fails_does_not_prevent_the_others() -> None:
    @workflow
    async def trip() -> None:
        await saga(book("flight", "hotel", then=fail(ValueError("no car"))))

    run = simulate(trip(), stub={undo: fails(1)})
    assert isinstance(run.error, WorkflowFailed)
    assert run.error.message == "no car"
    assert done_things == ["flight", "hotel", "undo flight"]


def test_branches_register_with_the_saga_around_their_group() -> None:
    @workflow
    async def trip() -> None:
        pair = do("a").compensate(undo) & do("b").compensate(undo)
        await saga(pair.flat_map(lambda _: fail(ValueError("no"))))

    simulate(trip())
    assert done_things == ["a", "b", "undo b", "undo a"]


def test_compensate_outside_a_saga_is_refused() -> None:
    @workflow
    async def trip() -> str:
        return await do("a").compensate(undo)

    with pytest.raises(FlowError, match="is used outside a saga"):
        simulate(trip())


@pytest.mark.parametrize("fault", range(4))
def test_each_effect_done_is_undone_once_and_effects_not_done_are_not_undone(fault: int) -> None:
    names = ["a", "b", "c", "d"]

    class Effect(Activity[None, str]):
        name: str

        def run(self) -> str:
            if self.name == names[fault]:
                raise ValueError(self.name)
            done_things.append(self.name)
            return self.name

    @step
    async def effects() -> None:
        for name in names:
            await Effect(name).compensate(undo)

    @workflow
    async def trip() -> None:
        await saga(effects())

    simulate(trip())
    did = names[:fault]
    assert done_things == did + [f"undo {name}" for name in reversed(did)]


# Effects, patches, runs.


def test_a_side_effect_runs_once_and_is_read_from_its_marker_on_every_replay() -> None:
    ran: list[int] = []

    def compute() -> int:
        ran.append(len(ran))
        return len(ran)

    @workflow
    async def flow() -> tuple[int, int]:
        first = await side_effect(compute)
        await do("x")
        return first, await side_effect(compute)

    run = simulate(flow())
    assert run.result == (1, 2)
    replayed = Decider(flow)  # type: ignore[arg-type]
    replayed.feed(run.history)
    assert ran == [0, 1]
    assert replayed.closed


def test_a_patch_is_there_for_new_executions_and_not_for_those_that_had_passed() -> None:
    def make(patch: bool) -> Any:
        @workflow
        async def flow() -> str:
            new = await patched("greet") if patch else False
            first = await do("new" if new else "old")
            await sleep(1)
            return first

        return flow

    old, new = make(patch=False), make(patch=True)
    before = simulate(old()).history
    assert simulate(new()).result == "new"
    # Up to the last decision task, the old history is met by the new code as it was by the old.
    cut = max(event.event_id for event in before if isinstance(event, e.DecisionTaskStarted))
    assert decide(new, before[:cut]) == [d.CompleteWorkflowExecution(result='"old"')]


def test_the_marker_of_a_retired_patch_is_ignored() -> None:
    def make(patch: bool) -> Any:
        @workflow
        async def flow() -> str:
            if patch:
                await patched("greet")
            return await do("new")

        return flow

    history = simulate(make(patch=True)()).history
    assert any(isinstance(event, e.MarkerRecorded) for event in history)
    replayed = Decider(make(patch=False))
    replayed.feed(history)
    assert replayed.closed


def test_signals_that_were_not_received_reach_the_next_run() -> None:
    class Keep(Workflow[str]):
        n: int

        async def flow(self) -> str:
            if self.n == 0:
                await sleep(hours(2))
                await continue_as_new(Keep(1))
            return (await receive(Approve)).by

    assert simulate(Keep(0), signals=[(hours(1), "Approve", Approve("Ann"))]).result == "Ann"


def test_a_flow_cannot_go_on_as_another_workflow() -> None:
    @workflow
    async def flow() -> None:
        await continue_as_new(wait_for_approval())

    with pytest.raises(FlowError, match="cannot continue as wait_for_approval"):
        simulate(flow())


def test_a_flow_knows_how_long_its_history_is() -> None:
    @workflow
    async def flow() -> tuple[int, int]:
        first = await history_length()
        await do("x")
        return first, await history_length()

    assert simulate(flow()).result == (3, 9)


def test_set_state_writes_the_execution_context() -> None:
    @workflow
    async def flow() -> None:
        await set_state({"stage": "begun"})
        await do("x")
        await set_state({"stage": "ending"})

    run = simulate(flow())
    contexts = [event.execution_context for event in run.history if isinstance(event, e.DecisionTaskCompleted)]
    assert [msgspec.json.decode(context or "null") for context in contexts] == [{"stage": "begun"}, {"stage": "ending"}]


def test_side_effects_beyond_one_decision_task_continue_in_the_next() -> None:
    @workflow
    async def flow() -> int:
        total = 0
        for _ in range(120):
            total += await side_effect(lambda: 1)
        return total

    run = simulate(flow())
    assert run.result == 120
    assert [len(decisions) for decisions in run.decisions] == [51, 51, 21]


def test_side_effects_that_wait_for_the_next_decision_task_can_be_cancelled() -> None:
    @step
    async def draw(n: int) -> int:
        if n == 59:
            await sleep(1)
            raise ValueError("late")
        return await side_effect(lambda: n)

    @workflow
    async def flow() -> list[int]:
        return await all_of([draw(n) for n in range(60)])

    assert "ValueError: late" in str(simulate(flow()).error)


def test_more_patches_than_one_decision_task_carries_are_refused() -> None:
    @workflow
    async def flow() -> None:
        for n in range(100):
            await patched(f"{n}")

    with pytest.raises(FlowError, match="markers"):
        simulate(flow())


# Flows without an end.


def test_an_endless_loop_without_waits_is_reported_and_one_with_waits_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpret, "STEPS_MAX", 50)

    @workflow
    async def count(rounds: int, steps: int) -> int:
        total = 0
        for _ in range(rounds):
            for _ in range(steps):
                total += await done(1)
            await sleep(1)
        return total

    assert simulate(count(10, 40)).result == 400
    with pytest.raises(FlowError, match=r"count .*test_language.py, line \d+\) has built 50 steps in a row"):
        simulate(count(1, 60))


def test_an_endless_loop_of_groups_without_waits_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpret, "STEPS_MAX", 50)

    @step
    async def spin() -> None:
        while True:
            await (done(1) & done(2))

    @workflow
    async def flow() -> None:
        await all_of([sleep(1), spin()])

    with pytest.raises(FlowError, match=r"spin .* has built 50 steps in a row"):
        simulate(flow())


# The month-long order.


class Order(Workflow[str]):
    async def flow(self) -> str:
        receipt = await do("charge").options(retry=Retry(attempts=3, backoff=60))
        answer = await (receive(Approve) | sleep(days(30)))
        if answer is None:
            return await undo(receipt)
        return await do("ship")


def test_an_approved_order_ships() -> None:
    run = simulate(Order(), stub={do: fails(2)}, signals=[(days(9), "Approve", Approve("Ann"))])
    assert (run.result, run.called(undo)) == ("ship", False)


def test_an_order_without_approval_is_refunded() -> None:
    assert simulate(Order()).result == "charge"


# Partial failure.


@activity
def pick(n: int) -> int:
    if n % 3 == 0:
        raise ValueError(n)
    return n


def test_a_group_may_tolerate_failures_too() -> None:
    @workflow
    async def flow() -> tuple[list[str], list[str]]:
        pair = await all_of(pick(2), pick(3), max_failures=1)
        listed = await all_of([pick(n) for n in (3, 4, 6)], max_failures=2)
        return [type(one).__name__ for one in pair], [type(one).__name__ for one in listed]

    assert simulate(flow()).result == (["Success", "Failure"], ["Failure", "Success", "Failure"])


def test_no_fewer_failures_than_none_can_be_tolerated() -> None:
    for build in (lambda: all_of(pick(1), max_failures=-1), lambda: each(pick, [1], max_failures=-1)):
        with pytest.raises(ValueError, match=r"\(max_failures=-1\): max_failures must be 0 or more"):
            build()


def test_one_failure_too_many_cancels_the_rest_and_fails() -> None:
    @workflow
    async def flow() -> None:
        await each(pick, range(1, 100), limit=1, max_failures=1)

    run = simulate(flow())
    assert isinstance(run.error, WorkflowFailed)
    assert "ValueError: 6" in run.error.message
    assert len(run.calls(pick)) == 6
