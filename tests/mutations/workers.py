"""Plant flaws in workers, deciders and the service: each as a patch of one real method, and where it must be found.

Takes a `MonkeyPatch`; gives the flawed system, until the patch is undone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from itertools import count
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import pytest
from msgspec import structs

from traction import (
    Activity,
    Cancelled,
    Retry,
    Signal,
    Step,
    Workflow,
    activity,
    all_of,
    continue_as_new,
    current_task,
    first_of,
    heartbeat,
    minutes,
    move_on_after,
    receive,
    seconds,
    side_effect,
    sleep,
    workflow,
)
from traction.decider.activities import PendingAttempt
from traction.decider.decider import Decider
from traction.decider.frames import Leaf
from traction.decider.inbound import HANDLERS
from traction.decider.interpreter import Interpreter
from traction.decider.outbound import REQUESTS
from traction.decider.outcomes import Outcome, Raised, Returned
from traction.errors import FlowError, HistoryError, NonDeterminismError
from traction.flow.effects import ContinuedAsNew, SideEffect
from traction.model import events as e
from traction.model import operations as o
from traction.testing import (
    Faults,
    StuckExecutionError,
    UnsoundFlowError,
    fails,
    heartbeats_then_crashes,
    sometimes,
    takes,
)
from traction.worker.activity_worker import ActivityWorker
from traction.worker.heartbeats import RunningActivity
from traction.worker.workflow_worker import WorkflowWorker
from traction_local.service.decisions.apply import apply_decisions
from traction_local.service.decisions.batch import Batch
from traction_local.service.knobs import Knobs
from traction_local.service.service import OPERATIONS
from traction_local.service.state.execution import Execution
from traction_local.service.state.region import Region
from traction_local.service.state.run import PendingDecision, Run
from traction_local.service.state.timer import Timer
from traction_local.service.tokens import ACTIVITY, DECISION

RETRY = Retry(attempts=20, backoff=1, max_delay=10)


class World:
    """What activities leave behind."""

    def __init__(self) -> None:
        self.done: list[str] = []


class Do(Activity[World, str], start_to_close=60, retry=RETRY):
    what: str

    def run(self, world: World) -> str:
        world.done.append(self.what)
        return self.what


class Resume(Activity[World, str], start_to_close=60, heartbeat=30, retry=RETRY):
    def run(self, world: World) -> str:
        heartbeat()
        world.done.append(str(current_task().last_details(str)))
        return "resumed"


@activity
def look(what: str) -> str:
    return what


class Go(Signal):
    n: int


# The flows, and what must hold of each run of them.


@workflow
async def line() -> list[str]:
    a, b = await (Do("a") & Do("b"))
    await sleep(minutes(1))
    return [a, b, await Do("c")]


@workflow
async def crowd() -> list[str]:
    return await all_of([Do(what) for what in "abcde"])


@workflow
async def tally() -> list[int]:
    got = []
    for _ in range(3):
        got.append((await receive(Go)).n)
        await Do(f"told {got[-1]}")
    return got


@workflow
async def rounds(left: int, got: list[int]) -> list[int]:
    got = [*got, (await receive(Go)).n]
    await Do(f"round {left}")
    if left == 0:
        return got
    return await continue_as_new(rounds(left - 1, got))


@workflow
async def race() -> list[str]:
    won = [await first_of(Do(str(n)), sleep(seconds(30)).map(lambda _: "late")) for n in range(2)]
    async with move_on_after(seconds(30)):
        won.append(await Do("in time"))
    return won


@workflow
async def tidy() -> None:
    try:
        await receive(Go)
    except Cancelled:
        await Do("tidied")
        await sleep(minutes(1))
        await Do("told")


rolls = count()


def roll() -> int:
    return next(rolls)


@workflow
async def remember() -> str:
    await Do(str(await side_effect(roll)))

    def ask(what: str) -> Step[str]:
        return look(what).locally().flat_map(Do)

    await (ask("left") & ask("right"))
    return await Resume()


def check_line(run: Any) -> None:
    assert run.result == ["a", "b", "c"]


def check_crowd(run: Any) -> None:
    assert run.result == list("abcde")


def check_sent_again(run: Any) -> None:
    assert not any(isinstance(event, e.DecisionTaskTimedOut | e.ActivityTaskTimedOut) for event in run.history)
    assert sorted(run.world.done) == ["a", "b", "c"]


def check_tally(run: Any) -> None:
    came = [event.input for event in run.history if isinstance(event, e.WorkflowExecutionSignaled)]
    assert [f'{{"n":{n}}}' for n in run.result] == came[:3]


def check_rounds(run: Any) -> None:
    assert sorted(run.result) == [1, 2, 3]


def check_race(run: Any) -> None:
    assert run.error is None


def check_tidy(run: Any) -> None:
    assert run.calls(Do) == [Do("tidied"), Do("told")]


def check_remember(run: Any) -> None:
    assert run.result == "resumed"
    # The next attempt has the details of the last heartbeat.
    details = [event.details for event in run.history if isinstance(event, e.ActivityTaskTimedOut) and event.details]
    assert not details or '"half"' in details[-1]
    assert run.world.done[-1] == ("half" if details else "None")


class Place(NamedTuple):
    """Where a flaw is looked for: a flow, what is known of each of its runs, and what may go wrong."""

    flow: Workflow[Any]
    check: Callable[[Any], None]
    world: dict[str, Any]


_GIVEN: dict[str, Any] = {"world": World, "provide": lambda world: {Do: world, Resume: world}, "workers": 2}
_LINE = Place(line(), check_line, _GIVEN | {"faults": Faults.some()})
_CROWD = Place(crowd(), check_crowd, _GIVEN | {"faults": Faults(crashes=3, losses=3, repeats=3), "workers": 1})
# One worker, which has its decider, and reads no history.
_SENT_AGAIN = Place(line(), check_sent_again, _GIVEN | {"faults": Faults(throttles=5), "workers": 1})
_THREE: dict[str, Any] = {"signals": [Go(1), Go(2), Go(3)]}
_TALLY = Place(tally(), check_tally, _GIVEN | _THREE | {"faults": Faults(crashes=2)})
_ROUNDS = Place(rounds(2, []), check_rounds, _GIVEN | _THREE)
_RACE = Place(race(), check_race, _GIVEN | {"stub": {Do: takes(seconds(30))}})
_COUNTS = Place(line(), check_line, _GIVEN | {"faults": Faults.some(), "knobs": Knobs(previous_counts_timed_out=True)})
_TIDY = Place(tidy(), check_tidy, _GIVEN | {"cancels": [None, None]})
_REMEMBER = Place(
    remember(),
    check_remember,
    _GIVEN
    | {
        "faults": Faults(crashes=2),
        "stub": {Do: sometimes(fails(9)), Resume: sometimes(heartbeats_then_crashes("half"))},
    },
)

PLACES = {
    "line": _LINE,
    "crowd": _CROWD,
    "line throttled": _SENT_AGAIN,
    "line where timed-out tasks count": _COUNTS,
    "tally": _TALLY,
    "rounds": _ROUNDS,
    "race": _RACE,
    "tidy": _TIDY,
    "remember": _REMEMBER,
}


# The flaws.


class Flaw(NamedTuple):
    """A flaw: how it is planted, where it is looked for, and as what it shows."""

    plant: Callable[[pytest.MonkeyPatch], None]
    place: Place
    shows: tuple[type[Exception], ...]


FLAWS: dict[str, Flaw] = {}


def flaw(place: Place, *shows: type[Exception]) -> Callable[[Callable[[pytest.MonkeyPatch], None]], None]:
    def add(plant: Callable[[pytest.MonkeyPatch], None]) -> None:
        FLAWS[plant.__name__.replace("_", " ")] = Flaw(plant, place, shows)

    return add


def wrap(patch: pytest.MonkeyPatch, owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Put `around(real, *arguments)` in the place of a method."""
    real = getattr(owner, name)

    @wraps(real)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        return around(real, *arguments, **named)

    patch.setattr(owner, name, wrapped)


@flaw(_LINE, HistoryError)
def a_cached_decider_is_used_after_its_decision_was_lost(patch: pytest.MonkeyPatch) -> None:
    def find(real: Any, self: Any, task: o.DecisionTask) -> Decider:
        return self._cache.take(task.workflow_execution) or real(self, task)

    wrap(patch, WorkflowWorker, "_find_decider", find)


@flaw(_COUNTS, HistoryError)
def a_cached_decider_is_used_although_its_decision_was_late(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("traction.worker.workflow_worker._was_late", lambda *_: False)


@flaw(_CROWD, HistoryError, NonDeterminismError)
def a_decision_that_arrives_twice_counts_twice(patch: pytest.MonkeyPatch) -> None:
    def respond(region: Region, request: Any, now: datetime) -> None:
        execution, scheduled_event_id = region.read_token(request.task_token, DECISION)
        if execution.is_open and (completed_event_id := _find_completed(execution, scheduled_event_id)):
            apply_decisions(
                region.domains[execution.index.domain], execution, request.decisions, completed_event_id, now
            )
        else:
            real(region, request, now)

    real = OPERATIONS[o.RespondDecisionTaskCompleted]
    patch.setitem(OPERATIONS, o.RespondDecisionTaskCompleted, respond)


def _find_completed(execution: Execution, scheduled_event_id: int) -> int:
    completed = (event for event in execution.events if isinstance(event, e.DecisionTaskCompleted))
    return next((event.event_id for event in completed if event.scheduled_event_id == scheduled_event_id), 0)


@flaw(_CROWD, HistoryError)
def a_result_that_arrives_twice_counts_twice(patch: pytest.MonkeyPatch) -> None:
    def respond(region: Region, request: Any, now: datetime) -> None:
        execution, scheduled_event_id = region.read_token(request.task_token, ACTIVITY)
        done = [event for event in execution.events if isinstance(event, e.ActivityTaskCompleted)]
        again = next((event for event in done if event.scheduled_event_id == scheduled_event_id), None)
        if again is None or not execution.is_open:
            real(region, request, now)
        else:
            execution.append_trigger(structs.replace(again, event_id=execution.next_event_id, event_timestamp=now))

    real = OPERATIONS[o.RespondActivityTaskCompleted]
    patch.setitem(OPERATIONS, o.RespondActivityTaskCompleted, respond)


@flaw(_SENT_AGAIN, AssertionError)
def a_decision_that_was_throttled_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(WorkflowWorker, "flush", lambda self: self._unsent.clear())


@flaw(_SENT_AGAIN, AssertionError)
def a_result_that_was_throttled_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ActivityWorker, "flush", lambda self: self._unsent.clear())


@flaw(_CROWD, AssertionError)
def a_worker_that_died_answers_with_the_token_that_it_had(patch: pytest.MonkeyPatch) -> None:
    # As one would that keeps the token of its task in a file, and does not look whose it is.
    files: WeakKeyDictionary[Any, dict[str, str]] = WeakKeyDictionary()

    def answer(real: Any, self: Any, task: o.ActivityTask, response: Any, **given: Any) -> None:
        file = files.setdefault(self._backend._service, {})
        token = file.setdefault(self._backend.name, response.task_token)
        real(self, task, structs.replace(response, task_token=token), **given)
        del file[self._backend.name]

    wrap(patch, ActivityWorker, "respond", answer)


@flaw(_TALLY, NonDeterminismError, UnsoundFlowError)
def events_are_told_in_the_order_of_their_arrival(patch: pytest.MonkeyPatch) -> None:
    def end(real: Any, self: Any) -> None:
        if not self._decided:
            self._arrived += self._arrived_later
            self._arrived_later.clear()
        real(self)

    wrap(patch, Decider, "_end_completed", end)


@flaw(_TALLY, StuckExecutionError, UnsoundFlowError)
def a_signal_that_comes_during_a_decision_is_lost(patch: pytest.MonkeyPatch) -> None:
    def end(real: Any, self: Any) -> None:
        self._arrived_later = [
            arrived for arrived in self._arrived_later if not isinstance(arrived[0], e.WorkflowExecutionSignaled)
        ]
        real(self)

    wrap(patch, Decider, "_end_completed", end)


@flaw(_TALLY, StuckExecutionError)
def news_that_come_during_a_decision_ask_for_no_other(patch: pytest.MonkeyPatch) -> None:
    def append(real: Any, self: Run, event: Any) -> None:
        self.append(event) if self.running is not None else real(self, event)

    wrap(patch, Run, "append_trigger", append)


@flaw(_LINE, StuckExecutionError)
def a_decision_task_that_timed_out_is_not_given_again(patch: pytest.MonkeyPatch) -> None:
    def fire(real: Any, self: PendingDecision, now: datetime) -> None:
        with pytest.MonkeyPatch.context() as meanwhile:
            meanwhile.setattr(Run, "schedule_decision", lambda *_: None)
            real(self, now)

    wrap(patch, PendingDecision, "fire", fire)


@flaw(_ROUNDS, StuckExecutionError)
def an_execution_closes_although_there_is_news(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Batch, "check_close", lambda *_: None)


@flaw(_ROUNDS, StuckExecutionError)
def signals_that_nobody_received_are_left_behind_by_the_next_run(patch: pytest.MonkeyPatch) -> None:
    def close(real: Any, self: Decider, outcome: Outcome) -> None:
        if isinstance(outcome, Raised) and isinstance(outcome.error, ContinuedAsNew):
            self.signals.clear()
        real(self, outcome)

    wrap(patch, Decider, "_queue_close", close)


@flaw(_LINE, HistoryError)
def a_timer_fires_twice(patch: pytest.MonkeyPatch) -> None:
    def fire(real: Any, self: Timer, now: datetime) -> None:
        real(self, now)
        if sum(isinstance(event, e.TimerFired) for event in self.execution.events) == 1:
            self.execution.timers[self.id] = self
            self.start("0", now)

    wrap(patch, Timer, "fire", fire)


@flaw(_RACE, FlowError)
def to_cancel_what_has_just_ended_is_an_error(patch: pytest.MonkeyPatch) -> None:
    def hear(_: Any, event: Any, __: Any) -> None:
        raise FlowError(f"{event.activity_id} cannot be cancelled: {event.cause}")

    patch.setitem(HANDLERS, e.RequestCancelActivityTaskFailed, hear)


@flaw(_TIDY, AssertionError)
def a_second_request_to_cancel_disturbs_the_clean_up_after_the_first(patch: pytest.MonkeyPatch) -> None:
    def cancel(real: Any, self: Any) -> None:
        self._cancelled = False
        real(self)

    wrap(patch, Interpreter, "cancel", cancel)


@flaw(_REMEMBER, NonDeterminismError, UnsoundFlowError)
def a_side_effect_happens_again_on_replay(patch: pytest.MonkeyPatch) -> None:
    def request(context: Any, leaf: Leaf) -> Any:
        outcome = real(context, leaf)
        return Returned(leaf.node.f()) if context.replaying else outcome

    real = REQUESTS[SideEffect]
    patch.setitem(REQUESTS, SideEffect, request)


@flaw(_REMEMBER, NonDeterminismError, UnsoundFlowError)
def attempts_are_counted_in_memory_alone(patch: pytest.MonkeyPatch) -> None:
    def fail_attempt(real: Any, self: PendingAttempt, error: Exception) -> None:
        if self.context.replaying:
            self.attempt = 1
        real(self, error)

    wrap(patch, PendingAttempt, "fail_attempt", fail_attempt)


@flaw(_REMEMBER, NonDeterminismError, UnsoundFlowError)
def markers_are_read_backwards(patch: pytest.MonkeyPatch) -> None:
    def end(real: Any, self: Any) -> None:
        self._caused.sort(key=lambda event: -event.event_id if isinstance(event, e.MarkerRecorded) else 0)
        real(self)

    wrap(patch, Decider, "_end_completed", end)


@flaw(_REMEMBER, AssertionError)
def what_a_heartbeat_said_is_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RunningActivity, "last_details", lambda *_: None)
