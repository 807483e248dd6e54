"""Measure the server: operations per second over HTTP, with clients that cost little themselves."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks.measures import Measure
from traction.model import events as e
from traction.model import operations as o
from traction.model.names import ActivityType, TaskList
from traction_swf import wire

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS = 16
ROUNDS = 125
"""How many executions each client takes from their start to their close: seven operations each."""

LISTS = [{"name": f"list-{number}"} for number in range(CLIENTS)]
TYPE = {"name": "bench", "version": "1"}


@contextmanager
def serve() -> Iterator[int]:
    """Serve in a process of its own, as people do; give the port."""
    command = [sys.executable, "-m", "traction", "serve", "--port", "0", "--domain", "d"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.terminate()


class Client:
    """A connection that is kept, and no more than SWF needs on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, operation: str, **members: Any) -> Any:
        body = msgspec.json.encode(members)
        head = (
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-amz-json-1.0\r\n"
            f"X-Amz-Target: SimpleWorkflowService.{operation}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        told = await self._reader.readuntil(b"\r\n\r\n")
        assert told.startswith(b"HTTP/1.1 200"), told
        length = int(told.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return msgspec.json.decode(await self._reader.readexactly(length)) if length else None


async def work(client: Client, number: int) -> None:
    """Take executions from start to close: start, decide, work, decide."""
    for turn in range(ROUNDS):
        given: dict[str, Any] = {"taskList": LISTS[number], "workflowType": TYPE, "workflowId": f"{number}-{turn}"}
        await client.ask("StartWorkflowExecution", domain="d", **given)
        task = await client.ask("PollForDecisionTask", domain="d", taskList=LISTS[number])
        activity = {"activityType": TYPE, "activityId": "a", "taskList": LISTS[number], "input": "1"}
        decision = {
            "decisionType": "ScheduleActivityTask",
            "scheduleActivityTaskDecisionAttributes": activity,
        }
        await client.ask("RespondDecisionTaskCompleted", taskToken=task["taskToken"], decisions=[decision])
        work = await client.ask("PollForActivityTask", domain="d", taskList=LISTS[number])
        await client.ask("RespondActivityTaskCompleted", taskToken=work["taskToken"], result="2")
        task = await client.ask("PollForDecisionTask", domain="d", taskList=LISTS[number])
        close = {"decisionType": "CompleteWorkflowExecution"}
        await client.ask("RespondDecisionTaskCompleted", taskToken=task["taskToken"], decisions=[close])


async def measure(port: int) -> float:
    clients = [Client(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(CLIENTS)]
    timeouts = ("ScheduleToStart", "ScheduleToClose", "StartToClose", "Heartbeat")
    defaults: dict[str, Any] = {f"defaultTask{name}Timeout": "NONE" for name in timeouts}
    await clients[0].ask("RegisterActivityType", domain="d", **TYPE, **defaults)
    settings = {"defaultExecutionStartToCloseTimeout": "600", "defaultTaskStartToCloseTimeout": "60"}
    await clients[0].ask("RegisterWorkflowType", domain="d", **TYPE, **settings, defaultChildPolicy="TERMINATE")
    begin = time.perf_counter()
    await asyncio.gather(*(work(client, number) for number, client in enumerate(clients)))
    return CLIENTS * ROUNDS * 7 / (time.perf_counter() - begin)


def rate_server() -> float:
    """Operations per second of 16 clients that take executions from start to close, on connections that are kept."""
    with serve() as port:
        return asyncio.run(measure(port))


def make_page() -> o.History:
    """A page of the commonest events."""
    time_ = datetime(2026, 1, 1, tzinfo=UTC)
    events: list[e.Event] = []
    for turn in range(100):
        at: dict[str, Any] = {"event_id": len(events) + 1, "event_timestamp": time_.replace(microsecond=turn * 1000)}
        events += [
            e.ActivityTaskScheduled(
                **at,
                activity_type=ActivityType("bench", "1"),
                activity_id="a",
                task_list=TaskList("list"),
                decision_task_completed_event_id=4,
                input="1",
                schedule_to_start_timeout="300",
                schedule_to_close_timeout="900",
                start_to_close_timeout="600",
                heartbeat_timeout="NONE",
            ),
            e.ActivityTaskStarted(**at, scheduled_event_id=5, identity="worker"),
            e.ActivityTaskCompleted(**at, scheduled_event_id=5, started_event_id=6, result="2"),
            e.DecisionTaskScheduled(**at, task_list=TaskList("list"), start_to_close_timeout="60"),
        ]
    return o.History(events=tuple(events))


def time_encoding() -> float:
    """Microseconds per event."""
    page = make_page()
    begin = time.perf_counter()
    for _ in range(20):
        wire.encode(page)
    return (time.perf_counter() - begin) * 1e6 / 20 / len(page.events)


def time_decoding() -> float:
    """Microseconds per event."""
    page = make_page()
    data = wire.encode(page)
    begin = time.perf_counter()
    for _ in range(20):
        wire.decode(o.History, data)
    return (time.perf_counter() - begin) * 1e6 / 20 / len(page.events)


SERVER = [
    Measure("writing SWF's JSON", time_encoding, 2, "us/event", more_is_better=False, times=20),
    Measure("reading SWF's JSON", time_decoding, 2, "us/event", more_is_better=False, times=20),
    Measure("serving 16 clients over HTTP", rate_server, 1_500, "ops/s", times=3),
]
