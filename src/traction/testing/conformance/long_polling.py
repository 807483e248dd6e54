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
from traction.testing.conformance.expect import expect, expect_equal, expect_type
from traction.testing.conformance.fixture import AT_ONCE, LONG, NOW, Fixture, Running, begin, wait_for

POLLERS_TRIED_MAX = 50
"""The largest number of waiting polls that a check is ready to make."""


def now_is_utc_in_whole_milliseconds(backend: Backend) -> None:
    """Like the timestamps of events."""
    now = backend.now()
    expect_equal(now.utcoffset(), timedelta(0), "the offset from UTC")
    expect_equal(now.microsecond % 1000, 0, "the microseconds beyond whole milliseconds")
    expect(backend.now() >= now, "the clock should not go backwards")


def polls_without_a_task_return_empty(backend: Backend) -> None:
    """Without a token. An unused list is not an error."""
    fixture = Fixture(backend)
    longest = 5 * (POLL_WAIT_MAX.total_seconds() + 10)
    began = time.monotonic()
    for _ in range(2):
        activity_poll = Running(fixture.find_activity_task)
        expect(not fixture.find_decision_task().task_token, "an empty poll should have no token")
        expect(not activity_poll.get(longest).task_token, "an empty poll should have no token")
    empty = fixture.find_decision_task(timedelta(seconds=1))
    expect_equal((empty.started_event_id, tuple(empty.events)), (0, ()), "the fields of an empty poll")
    expect(time.monotonic() - began < longest, f"five polls should not take longer than {longest:.0f} s")


def a_decision_task_wakes_a_waiting_poll(backend: Backend) -> None:
    """Long before the wait is over."""
    fixture = Fixture(backend).register()
    poll = Running(lambda: fixture.find_decision_task(LONG))
    poll.settle()
    execution = fixture.start()
    task = poll.get(AT_ONCE)
    expect_equal(task.workflow_execution, execution, "the execution of the task")
    again = Running(lambda: fixture.find_decision_task(LONG))
    fixture.respond(task, d.StartTimer(timer_id="t", start_to_fire_timeout="1"))
    woken = again.get(AT_ONCE)
    expect(isinstance(woken.events[-3], e.TimerFired), "a timer should wake a waiting poll")
    fixture.terminate(execution)


def an_activity_task_wakes_a_waiting_poll(backend: Backend) -> None:
    """Long before the wait is over."""
    fixture, execution = begin(backend)
    poll = Running(lambda: fixture.find_activity_task(LONG))
    poll.settle()
    fixture.decide(d.ScheduleActivityTask(activity_type=fixture.activity_type, activity_id="a", input="now"))
    expect_equal(poll.get(AT_ONCE).input, "now", "the input of the task")
    fixture.terminate(execution)


def each_task_is_assigned_to_one_poller(backend: Backend) -> None:
    """With many pollers and many tasks at the same time."""
    fixture, execution = begin(backend)
    count = 24

    def work() -> list[str]:
        taken = []
        while not finished and (task := fixture.find_activity_task(timedelta(seconds=2))).task_token:
            taken.append(task.activity_id)
            fixture.complete(task)
        return taken

    finished: list[bool] = []
    pollers = [Running(work) for _ in range(min(8, backend.limits.pollers_max))]
    for poller in pollers:
        poller.began.wait()
    fixture.decide(
        *(d.ScheduleActivityTask(activity_type=fixture.activity_type, activity_id=f"a{n}") for n in range(count))
    )
    taken = [id for poller in pollers for id in poller.get()]
    finished.append(True)
    while len(taken) < count:
        # A poll may have returned empty before the tasks were scheduled.
        task = fixture.get_activity_task()
        taken.append(task.activity_id)
        fixture.complete(task)
    expect_equal(Counter(taken), Counter(f"a{n}" for n in range(count)), "the tasks taken")
    types = Counter(fixture.list_types(execution))
    expect_equal((types["ActivityTaskStarted"], types["ActivityTaskCompleted"]), (count, count), "the events")
    fixture.terminate(execution)


def signals_from_many_threads_are_recorded_once(backend: Backend) -> None:
    """Accepted signals are recorded, refused ones are not."""
    fixture = Fixture(backend).register()
    executions = [fixture.start(f"w{n}") for n in range(3)]
    closing = executions[-1]

    def signal(thread: int) -> list[tuple[WorkflowExecution, str]]:
        accepted = []
        for n in range(10):
            for execution in executions:
                name = f"{thread}.{n}"
                try:
                    fixture.signal(execution, input=name)
                except UnknownResourceFault:
                    expect_equal(execution, closing, "the execution that refuses signals")
                    continue
                accepted.append((execution, name))
        return accepted

    threads = [Running(lambda thread=thread: signal(thread)) for thread in range(6)]  # type: ignore[misc]
    fixture.terminate(closing)
    accepted = Counter(call for thread in threads for call in thread.get())
    kept = Counter(
        (execution, event.input)
        for execution in executions
        for event in backend.get_history(execution)
        if isinstance(event, e.WorkflowExecutionSignaled)
    )
    expect_equal(kept, accepted, "the signals in the histories")
    expect_equal(
        sum(kept[execution, f"{t}.9"] for execution in executions[:2] for t in range(6)), 12, "the last signals"
    )
    for execution in executions:
        ids = [event.event_id for event in backend.get_history(execution)]
        expect_equal(ids, list(range(1, len(ids) + 1)), "the ids of the events")
    for execution in executions[:2]:
        fixture.terminate(execution)


def concurrent_starts_of_one_id_open_one_run(backend: Backend) -> None:
    """All but one are refused."""
    fixture = Fixture(backend).register()
    fixture.terminate(fixture.start("first"))

    def start() -> str | None:
        try:
            return fixture.call(
                o.StartWorkflowExecution(
                    domain=fixture.domain, workflow_id=f"{fixture.tag}-one", workflow_type=fixture.workflow_type
                )
            ).run_id
        except WorkflowExecutionAlreadyStartedFault:
            return None

    starts = [Running(start) for _ in range(8)]
    (run_id,) = [run_id for running in starts if (run_id := running.get()) is not None]
    fixture.terminate(WorkflowExecution(f"{fixture.tag}-one", run_id))


def a_close_wakes_all_waiters(backend: Backend) -> None:
    """A wait that is over before the close returns `False`."""
    fixture, execution = begin(backend)
    for wait in (NOW, timedelta(seconds=1)):
        in_time = Running(lambda wait=wait: backend.wait_until_closed(execution, wait)).get(AT_ONCE)  # type: ignore[misc]
        expect_equal(in_time, False, f"whether an open run has closed after {wait}")
    waiters = [Running(lambda: backend.wait_until_closed(execution, LONG)) for _ in range(3)]
    for waiter in waiters:
        waiter.settle()
    fixture.decide(d.CompleteWorkflowExecution(result="done"))
    expect_equal([waiter.get(AT_ONCE) for waiter in waiters], [True] * 3, "the results of the waiting calls")
    closing = expect_type(backend.find_closing_event(execution), e.WorkflowExecutionCompleted)
    expect_equal(closing.result, "done", "the result")


def polls_beyond_the_limit_are_refused(backend: Backend) -> None:
    """Only checked if the limit is small. Each list has its own limit."""
    limit = backend.limits.pollers_max
    if limit > POLLERS_TRIED_MAX:
        return
    fixture = Fixture(backend)
    polls = [Running(lambda: fixture.find_activity_task(timedelta(seconds=5))) for _ in range(limit)]
    for poll in polls:
        poll.settle()
    request = o.PollForActivityTask(domain=fixture.domain, task_list=fixture.workers)
    try:
        backend.call(request, timedelta(seconds=5))
        expect(False, "a poll beyond the limit should be refused")
    except LimitExceededFault:
        pass
    expect(not fixture.find_decision_task(timedelta(seconds=1)).task_token, "another list should accept polls")
    for poll in polls:
        poll.get()


def closing_the_backend_ends_pending_polls(backend: Backend) -> None:
    """They return empty. Closing twice is allowed."""
    fixture = Fixture(backend)
    polls = [Running(lambda: fixture.find_decision_task(LONG)), Running(lambda: fixture.find_activity_task(LONG))]
    for poll in polls:
        poll.settle()
    closers = [Running(backend.close) for _ in range(2)]
    for closer in closers:
        closer.get()
    for poll in polls:
        expect(not poll.get().task_token, "a pending poll should return empty at the close")
    backend.close()


def tasks_can_be_completed_after_the_backend_is_closed(backend: Backend) -> None:
    """Activity tasks and decision tasks, so a worker that stops loses nothing."""
    fixture, execution = begin(backend)
    fixture.decide(d.ScheduleActivityTask(activity_type=fixture.activity_type, activity_id="a"))
    fixture.signal(execution)
    work, decision = fixture.get_activity_task(), fixture.get_decision_task()
    backend.close()
    fixture.call(o.RecordActivityTaskHeartbeat(task_token=work.task_token))
    fixture.complete(work, "42")
    fixture.respond(decision, d.RecordMarker(marker_name="m"))
    types = fixture.list_types(execution)
    for kind in ("ActivityTaskCompleted", "MarkerRecorded"):
        expect(kind in types, f"{kind} should be in the history")
    fixture.terminate(execution)


def no_task_is_lost_when_a_poll_times_out(backend: Backend) -> None:
    """The poll returns it, or it stays in the queue."""
    fixture = Fixture(backend).register()
    executions = []
    taken: list[o.DecisionTask] = []
    for n in range(20):
        poll = Running(lambda n=n: fixture.find_decision_task(timedelta(milliseconds=5 * (n % 4))))  # type: ignore[misc]
        executions.append(fixture.start(f"w{n}"))
        task = poll.get()
        if task.task_token:
            taken.append(task)
    while len(taken) < len(executions):
        taken.append(fixture.get_decision_task())
    expect_equal({task.workflow_execution for task in taken}, set(executions), "the executions of the tasks")
    for execution in executions:
        fixture.terminate(execution)
    wait_for(lambda: backend.wait_until_closed(executions[-1], NOW), "the close")
