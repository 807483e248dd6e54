"""Inject faults of networks and services between boto3 and a server.

A proxy has a URL of its own, and records each fault. A plan of faults is seeded and has a budget: when the budget is
used up, the proxy only forwards, so that retries succeed.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Literal, NamedTuple, TypeAlias, get_args
from urllib.parse import urlsplit

Fault: TypeAlias = Literal[
    "lose the request",
    "lose the reply",
    "cut the reply",
    "send it twice",
    "delay it",
    "answer 500",
    "answer 503",
    "throttle it",
    "refuse the credentials",
    "refuse the clock",
]
"""What may happen to a request. If it is lost, answered by the proxy or refused, it has had no effect."""

FAULTS: tuple[Fault, ...] = get_args(Fault)

LOSSES: tuple[Fault, ...] = ("lose the reply", "cut the reply", "send it twice")
"""After these the server has given an answer that the client does not know: of a poll, perhaps a task."""

DELAY_MAX = 0.3
"""The longest delay, in seconds."""

IN_A_ROW_MAX = 2
"""The number of times one request fails, so that a client that retries often enough succeeds."""

_CORAL = "com.amazon.coral.service"
_ANSWERS: dict[str, tuple[int, bytes]] = {
    "answer 500": (500, b""),
    "answer 503": (503, b"<html><body>Service Unavailable</body></html>"),
    "throttle it": (
        400,
        b'{"__type":"com.amazon.coral.availability#ThrottlingException","message":"Rate exceeded"}',
    ),
    "refuse the credentials": (
        400,
        json.dumps({"__type": f"{_CORAL}#ExpiredTokenException", "message": "The security token is expired"}).encode(),
    ),
    "refuse the clock": (
        400,
        json.dumps({"__type": f"{_CORAL}#RequestExpired", "message": "Request has expired"}).encode(),
    ),
}


class Plan:
    """Choose the fault of a request, if any: the first request of each operation gets one, the others by chance.

    Args:
        seed: of the chance by which requests and faults are chosen.
        faults: what may happen.
        operations: to which requests; to any unless given.
        share: to which share of the others.
        budget: to how many of each operation.
    """

    def __init__(
        self, seed: int, *faults: Fault, operations: Container[str] | None = None, share: float = 0.3, budget: int = 4
    ) -> None:
        self._random = random.Random(seed)
        self._faults = faults or FAULTS
        self._operations = operations
        self._share = share
        self._budget = budget
        self._met: Counter[str] = Counter()
        self._failed: Counter[bytes] = Counter()

    def choose(self, operation: str, body: bytes) -> Fault | None:
        """Return the fault of a request."""
        if self._met[operation] == self._budget or not (self._operations is None or operation in self._operations):
            return None
        spared = self._met[operation] > 0 and self._random.random() >= self._share
        if spared or self._failed[body] == IN_A_ROW_MAX:
            self._failed[body] = 0
            return None
        self._failed[body] += 1
        self._met[operation] += 1
        return self._random.choice(self._faults)


class Happened(NamedTuple):
    """What happened to a request."""

    operation: str
    fault: Fault


class ClientGone(Exception):
    """The client has gone."""


class Proxy:
    """Forwards each request over a connection of its own, and drops that as soon as its client is gone."""

    def __init__(self, server: str, plan: Plan, idle_max: float = 0, cuts: int = 0) -> None:
        parts = urlsplit(server)
        self._server = (parts.hostname, parts.port)
        self._plan = plan
        self._chance = random.Random(0)
        self._open: set[asyncio.Task[None]] = set()
        self.injected: list[Happened] = []
        self._idle_max, self._cuts = idle_max, cuts
        self.idle_cuts: SimpleQueue[str] = SimpleQueue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one connection, which is for one request."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            await self._answer(reader, writer)
        except (ClientGone, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            _reset(writer)
        finally:
            self._open.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        headers = _read_headers(head)
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        fault = self._plan.choose(operation, body)
        if fault is not None:
            self.injected.append(Happened(operation, fault))
        if fault == "lose the request":
            _reset(writer)
            return
        if fault in _ANSWERS:
            reply = _make_reply(*_ANSWERS[fault])
        else:
            if fault == "delay it":
                await asyncio.sleep(self._chance.random() * DELAY_MAX)
            cut = self._cuts > 0 and operation.startswith("Poll")
            self._cuts -= cut
            try:
                async with asyncio.timeout(self._idle_max if cut else None):
                    reply = await self._forward(head + body, reader)
            except TimeoutError:
                self.idle_cuts.put(operation)
                raise ClientGone from None
        if fault == "send it twice":
            reply = await self._forward(head + body, reader)
        if fault == "lose the reply":
            _reset(writer)
            return
        if fault == "cut the reply":
            reply = _cut(reply)
        writer.write(reply)
        await writer.drain()

    async def _forward(self, request: bytes, client: asyncio.StreamReader) -> bytes:
        """Send a request to the server, and give its whole reply, unless the client goes away meanwhile."""
        reader, writer = await asyncio.open_connection(*self._server)
        try:
            writer.write(_close_after(request))
            reply = asyncio.ensure_future(reader.read())
            # A client that waits for its reply sends no more data, so only the end of the connection can arrive.
            gone = asyncio.ensure_future(client.read(1))
            either: set[asyncio.Future[bytes]] = {reply, gone}
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if not reply.done():
                    raise ClientGone
                return reply.result()
            finally:
                for future in either:
                    future.cancel()
                await asyncio.gather(*either, return_exceptions=True)
        finally:
            writer.close()

    async def close(self) -> None:
        """Close all connections."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)


def _read_headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.lower(): value.strip() for name, _, value in pairs}


def _close_after(request: bytes) -> bytes:
    """Ask the server to close the connection after its reply, whose end is then the end of what there is to read."""
    line, _, rest = request.partition(b"\r\n")
    return line + b"\r\nConnection: close\r\n" + rest


def _make_reply(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} Told\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def _cut(reply: bytes) -> bytes:
    """Give a reply as far as the middle of its body; of its head, if it has no more."""
    head, separator, body = reply.partition(b"\r\n\r\n")
    return head + separator + body[: len(body) // 2] if body else head[: len(head) // 2]


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a machine that goes down does: by a reset, not by a farewell."""
    connection = writer.get_extra_info("socket")
    with suppress(OSError):
        # Not lingering is what resets.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


@contextmanager
def between(server: str, plan: Plan, *, idle_max: float = 0, cuts: int = 0) -> Iterator[tuple[str, Proxy]]:
    """Run a proxy in a thread of its own while the body runs; give its URL, and the proxy.

    The first `cuts` polls that wait `idle_max` seconds for their reply are cut, as load balancers do.
    """
    proxy = Proxy(server, plan, idle_max, cuts)
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        async with await asyncio.start_server(proxy.serve, sock=listener, limit=2**22):
            await stop.wait()
            await proxy.close()

    def run_loop() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(run())

    thread = threading.Thread(target=run_loop, name="fault proxy", daemon=True)
    thread.start()
    try:
        yield url, proxy
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
