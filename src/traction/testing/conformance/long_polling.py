"""Check waiting and crowds: polls are held and woken, a task goes to one poller, and a close lets everybody go."""

from __future__ import annotations

import time
from collections import Counter
from datetime import timedelta

from traction.backend import POLL_WAIT_MAX, Backend
from traction.errors import LimitExceededFault, UnknownResourceFault, WorkflowExecutionAlreadyStartedFault
from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction.testing.conformance.expect import expect, expect_equal
from traction.testing.conformance.fixture import AT_ONCE, LONG, NOW, Fixture, Running, wait_for

POLLERS_TRIED_MAX = 50
"""The largest number of waiting polls that a check is ready to make."""


def the_clock_is_aware_and_counts_whole_milliseconds(backend: Backend) -> None:
    """In UTC, as events are stamped."""
    now = backend.now()
    expect_equal(now.utcoffset(), timedelta(0), "the offset from UTC")
    expect_equal(now.microsecond % 1000, 0, "the microseconds beyond whole milliseconds")
    expect(backend.now() >= now, "the clock should not go backwards")


def a_poll_that_finds_nothing_says_so(backend: Backend) -> None:
    """After a while, with no token; a list that nobody used is no error."""
    desk = Fixture(backend)
    began = time.monotonic()
    for _ in range(2):
        expect(not desk.find_decision_task().task_token, "an empty poll should have no token")
        expect(not desk.find_activity_task().task_token, "an empty poll should have no token")
    empty = desk.find_decision_task(timedelta(seconds=1))
    expect_equal((empty.started_event_id, tuple(empty.events)), (0, ()), "what an empty poll holds")
    longest = 5 * (POLL_WAIT_MAX.total_seconds() + 10)
    expect(time.monotonic() - began < longest, f"five polls should not take longer than {longest:.0f} s")


def a_poll_that_waits_for_a_decision_task_is_woken_by_it(backend: Backend) -> None:
    """Well before its time is up."""
    desk = Fixture(backend)
    desk.register()
    poll = Running(lambda: desk.find_decision_task(LONG))
    poll.settle()
    execution = desk.start()
    task = poll.get(AT_ONCE)
    expect_equal(task.workflow_execution, execution, "the execution of the task that came")
    again = Running(lambda: desk.find_decision_task(LONG))
    desk.respond(task, d.StartTimer(timer_id="t", start_to_fire_timeout="1"))
    woken = again.get(AT_ONCE)
    expect(isinstance(woken.events[-3], e.TimerFired), "a timer should wake a poll that waits")
    desk.terminate(execution)


def a_poll_that_waits_for_an_activity_task_is_woken_by_it(backend: Backend) -> None:
    """Well before its time is up."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    poll = Running(lambda: desk.find_activity_task(LONG))
    poll.settle()
    desk.decide(d.ScheduleActivityTask(activity_type=desk.activity_type, activity_id="a", input="now"))
    expect_equal(poll.get(AT_ONCE).input, "now", "the input of the task that came")
    desk.terminate(execution)


def a_task_goes_to_one_of_many_pollers(backend: Backend) -> None:
    """However many wait at the same moment, and however many tasks come."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    count = 24

    def work() -> list[str]:
        taken = []
        while not finished and (task := desk.find_activity_task(timedelta(seconds=2))).task_token:
            taken.append(task.activity_id)
            desk.complete(task)
        return taken

    finished: list[bool] = []
    pollers = [Running(work) for _ in range(min(8, backend.limits.pollers_max))]
    for poller in pollers:
        poller.began.wait()
    desk.decide(*(d.ScheduleActivityTask(activity_type=desk.activity_type, activity_id=f"a{n}") for n in range(count)))
    taken = [id for poller in pollers for id in poller.get()]
    finished.append(True)
    while len(taken) < count:
        # A poller may have given up before the tasks came.
        task = desk.get_activity_task()
        taken.append(task.activity_id)
        desk.complete(task)
    expect_equal(Counter(taken), Counter(f"a{n}" for n in range(count)), "the tasks taken")
    types = Counter(desk.list_types(execution))
    expect_equal((types["ActivityTaskStarted"], types["ActivityTaskCompleted"]), (count, count), "the events")
    desk.terminate(execution)


def every_call_that_many_threads_make_is_in_one_history_once(backend: Backend) -> None:
    """Those that were accepted; those that were refused are in none."""
    desk = Fixture(backend)
    desk.register()
    executions = [desk.start(f"w{n}") for n in range(3)]
    closing = executions[-1]

    def signal(thread: int) -> list[tuple[WorkflowExecution, str]]:
        accepted = []
        for n in range(10):
            for execution in executions:
                name = f"{thread}.{n}"
                try:
                    desk.signal(execution, input=name)
                except UnknownResourceFault:
                    expect_equal(execution, closing, "the execution that is not open")
                    continue
                accepted.append((execution, name))
        return accepted

    threads = [Running(lambda thread=thread: signal(thread)) for thread in range(6)]  # type: ignore[misc]
    desk.terminate(closing)
    accepted = Counter(call for thread in threads for call in thread.get())
    kept = Counter(
        (execution, event.input)
        for execution in executions
        for event in backend.get_history(execution)
        if isinstance(event, e.WorkflowExecutionSignaled)
    )
    expect_equal(kept, accepted, "the signals in the histories")
    expect_equal(sum(kept[execution, f"{t}.9"] for execution in executions[:2] for t in range(6)), 12, "the last ones")
    for execution in executions:
        ids = [event.event_id for event in backend.get_history(execution)]
        expect_equal(ids, list(range(1, len(ids) + 1)), "the ids of the events")
    for execution in executions[:2]:
        desk.terminate(execution)


def many_starts_of_one_id_open_one_run(backend: Backend) -> None:
    """All but one are told that it runs."""
    desk = Fixture(backend)
    desk.register()
    desk.terminate(desk.start("first"))

    def start() -> str | None:
        try:
            return desk.call(
                o.StartWorkflowExecution(
                    domain=desk.domain, workflow_id=f"{desk.tag}-one", workflow_type=desk.workflow_type
                )
            ).run_id
        except WorkflowExecutionAlreadyStartedFault:
            return None

    starts = [Running(start) for _ in range(8)]
    (run_id,) = [run_id for running in starts if (run_id := running.get()) is not None]
    desk.terminate(WorkflowExecution(f"{desk.tag}-one", run_id))


def who_waits_for_a_close_is_woken_by_it(backend: Backend) -> None:
    """All of them; and told when it has not come in time."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    for wait in (NOW, timedelta(seconds=1)):
        in_time = Running(lambda wait=wait: backend.wait_until_closed(execution, wait)).get(AT_ONCE)  # type: ignore[misc]
        expect_equal(in_time, False, f"whether an open run has closed after {wait}")
    waiters = [Running(lambda: backend.wait_until_closed(execution, LONG)) for _ in range(3)]
    for waiter in waiters:
        waiter.settle()
    desk.decide(d.CompleteWorkflowExecution(result="done"))
    expect_equal([waiter.get(AT_ONCE) for waiter in waiters], [True] * 3, "what those who wait are told")
    closing = backend.find_closing_event(execution)
    assert isinstance(closing, e.WorkflowExecutionCompleted), closing
    expect_equal(closing.result, "done", "the result")


def a_poll_too_many_is_refused(backend: Backend) -> None:
    """Where the limit is one that can be reached here; one list's polls are not counted for another."""
    limit = backend.limits.pollers_max
    if limit > POLLERS_TRIED_MAX:
        return
    desk = Fixture(backend)
    polls = [Running(lambda: desk.find_activity_task(timedelta(seconds=5))) for _ in range(limit)]
    for poll in polls:
        poll.settle()
    request = o.PollForActivityTask(domain=desk.domain, task_list=desk.workers)
    try:
        backend.call(request, timedelta(seconds=5))
        expect(False, "a poll too many should be refused")
    except LimitExceededFault:
        pass
    expect(not desk.find_decision_task(timedelta(seconds=1)).task_token, "another list should be open to polls")
    for poll in polls:
        poll.get()


def closing_answers_the_polls_that_wait_and_twice_is_once(backend: Backend) -> None:
    """None of them hangs, and none fails."""
    desk = Fixture(backend)
    polls = [Running(lambda: desk.find_decision_task(LONG)), Running(lambda: desk.find_activity_task(LONG))]
    for poll in polls:
        poll.settle()
    closers = [Running(backend.close) for _ in range(2)]
    for closer in closers:
        closer.get()
    for poll in polls:
        expect(not poll.get().task_token, "a poll in flight at the close should be answered empty")
    backend.close()


def a_task_in_hand_at_the_close_can_be_answered(backend: Backend) -> None:
    """Of either kind; so a worker that is told to stop loses nothing."""
    desk = Fixture(backend)
    desk.register()
    execution = desk.start()
    desk.decide(d.ScheduleActivityTask(activity_type=desk.activity_type, activity_id="a"))
    desk.signal(execution)
    work, decision = desk.get_activity_task(), desk.get_decision_task()
    backend.close()
    desk.call(o.RecordActivityTaskHeartbeat(task_token=work.task_token))
    desk.complete(work, "42")
    desk.respond(decision, d.RecordMarker(marker_name="m"))
    types = desk.list_types(execution)
    for kind in ("ActivityTaskCompleted", "MarkerRecorded"):
        expect(kind in types, f"the answer should be in the history as {kind}")
    desk.terminate(execution)


def a_task_is_never_dropped_by_a_poll_whose_time_is_up(backend: Backend) -> None:
    """It is in the answer, or it waits for the next poll."""
    desk = Fixture(backend)
    desk.register()
    executions = []
    taken: list[o.DecisionTask] = []
    for n in range(20):
        poll = Running(lambda n=n: desk.find_decision_task(timedelta(milliseconds=5 * (n % 4))))  # type: ignore[misc]
        executions.append(desk.start(f"w{n}"))
        task = poll.get()
        if task.task_token:
            taken.append(task)
    while len(taken) < len(executions):
        taken.append(desk.get_decision_task())
    expect_equal({task.workflow_execution for task in taken}, set(executions), "the executions whose tasks came")
    for execution in executions:
        desk.terminate(execution)
    wait_for(lambda: backend.wait_until_closed(executions[-1], NOW), "the close")


CHECKS = (
    the_clock_is_aware_and_counts_whole_milliseconds,
    a_poll_that_finds_nothing_says_so,
    a_poll_that_waits_for_a_decision_task_is_woken_by_it,
    a_poll_that_waits_for_an_activity_task_is_woken_by_it,
    a_task_goes_to_one_of_many_pollers,
    every_call_that_many_threads_make_is_in_one_history_once,
    many_starts_of_one_id_open_one_run,
    who_waits_for_a_close_is_woken_by_it,
    a_poll_too_many_is_refused,
    closing_answers_the_polls_that_wait_and_twice_is_once,
    a_task_in_hand_at_the_close_can_be_answered,
    a_task_is_never_dropped_by_a_poll_whose_time_is_up,
)
