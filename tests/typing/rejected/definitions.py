"""Definitions that type checkers reject. A comment at the end of each line has the codes of their errors."""

from __future__ import annotations

from typing import Protocol

from traction import Activity, DeclaredError, Step, WorkerSystem, Workflow, activity, done, workflow
from traction.testing import SimulatedRun, explore, simulate


class Connection: ...


class Collect(Activity[Connection, list[str]], version="1"):
    project_id: int
    limit: int = 100

    def run(self, connection: Connection) -> list[str]:
        return []


class Index(Activity[None, int], kw_only=True):
    names: list[str]

    def run(self) -> int:
        return 7


@activity
def double(number: int, *, by: int = 2) -> int:
    return number * by


@activity(needs=Connection)
def read(connection: Connection, key: str) -> bytes:
    return b""


@workflow
async def copy(key: str) -> bytes:
    return await read(key)


class Declined(DeclaredError):
    code: str


# Errors.
declined = [
    Declined(),  # E: mypy=call-arg pyright=reportCallIssue
    Declined(7),  # E: mypy=arg-type pyright=reportArgumentType
    Declined(why="expired"),  # E: mypy=call-arg pyright=reportCallIssue
    Declined("expired").retry_after,  # E: mypy=attr-defined pyright=reportAttributeAccessIssue
    Collect(7).recover(Declined, lambda error: error.code),  # E: mypy=arg-type,return-value pyright=reportArgumentType
    Collect(7).recover(Declined, lambda e: done(e.by)),  # E: mypy=attr-defined pyright=reportAttributeAccessIssue
]


@activity(raises=(ValueError,))  # E: mypy=arg-type pyright=reportArgumentType
def charge() -> int:
    raise Declined("expired")


# Calls of classes.
collected = [
    Collect(),  # E: mypy=call-arg pyright=reportCallIssue
    Collect("7"),  # E: mypy=arg-type pyright=reportArgumentType
    Collect(7, "8"),  # E: mypy=arg-type pyright=reportArgumentType
    Collect(7, 8, 9),  # E: mypy=call-arg pyright=reportCallIssue
    Collect(project=7),  # E: mypy=call-arg pyright=reportCallIssue
    Index(["a"]),  # E: mypy=call-arg pyright=reportCallIssue
]
collect: Step[int] = Collect(7)  # E: mypy=assignment pyright=reportAssignmentType
Collect(7).project_id = 8  # E: pyright=reportAttributeAccessIssue

# Calls of functions.
called = [
    double(),  # E: mypy=call-arg pyright=reportCallIssue
    double("1"),  # E: mypy=arg-type pyright=reportArgumentType
    double(1, 2),  # E: mypy=call-arg pyright=reportCallIssue
    double(1, times=2),  # E: mypy=call-arg pyright=reportCallIssue
    read(Connection(), "a"),  # E: mypy=arg-type,call-arg pyright=reportCallIssue
    read(7),  # E: mypy=arg-type pyright=reportArgumentType
    copy(7),  # E: mypy=arg-type pyright=reportArgumentType
]
doubled: Step[str] = double(1)  # E: mypy=assignment pyright=reportAssignmentType
copied: Step[str] = copy("a")  # E: mypy=assignment pyright=reportAssignmentType


# Options.
class Timeout(Activity[None, int], timeout=3):  # E: pyright=reportArgumentType
    def run(self) -> int:
        return 7


class Version(Workflow[int], version=2):  # E: pyright=reportArgumentType
    async def flow(self) -> int:
        return 7


class Policy(Workflow[int], child_policy="KILL"):  # E: pyright=reportArgumentType
    async def flow(self) -> int:
        return 7


@activity(retry=3)  # E: mypy=call-overload,untyped-decorator pyright=reportArgumentType
def retry() -> int:
    return 7


@workflow(heartbeat=3)  # E: mypy=call-overload,untyped-decorator pyright=reportCallIssue
async def heartbeat() -> int:
    return 7


# Functions of another shape.
@activity(needs=Connection)  # E: mypy=arg-type pyright=reportArgumentType,reportCallIssue
def another_dependency(connection: int) -> int:
    return 7


@workflow  # E: mypy=arg-type pyright=reportArgumentType,reportCallIssue
def no_step() -> int:
    return 7


# A flow returns the result type of its class.
class Flow(Workflow[int]):
    async def flow(self) -> str:  # E: mypy=override pyright=reportIncompatibleMethodOverride
        return ""


class StepFlow(Workflow[int]):
    def flow(self) -> Step[str]:  # E: mypy=override pyright=reportIncompatibleMethodOverride
        return copy("a")  # E: mypy=return-value pyright=reportReturnType


class Takes(Workflow[int]):
    async def flow(self, number: int) -> int:  # E: mypy=override pyright=reportIncompatibleMethodOverride
        return number


async def flow() -> None:
    number: int = await read("a")  # E: mypy=assignment pyright=reportAssignmentType
    copy("a")  # E: mypy=unused-awaitable


# What is needed.
class Clock(Protocol):
    def now(self) -> float: ...


@activity(needs=Clock)
def tick(clock: Clock) -> float:
    return clock.now()


class FastConnection(Connection): ...


class Fast(Activity[FastConnection, int]):
    def run(self, connection: FastConnection) -> int:
        return 7


system = WorkerSystem("local:")
system.start_activity_worker(tick, Connection())  # E: mypy=arg-type pyright=reportArgumentType
system.start_activity_worker(Fast, Connection())  # E: mypy=arg-type pyright=reportArgumentType
system.start_activity_worker(Collect)  # E: mypy=arg-type pyright=reportArgumentType
system.start_activity_worker(double, 7)  # E: mypy=arg-type pyright=reportArgumentType
wider: Activity[Connection, int] = Fast()  # E: mypy=assignment pyright=reportAssignmentType


# Runs.
copied_run = simulate(copy("a"))
looked_at = [
    copied_run.calls(Collect)[0].project,  # E: mypy=attr-defined pyright=reportAttributeAccessIssue
    copied_run.calls(copy),  # E: mypy=arg-type pyright=reportCallIssue,reportArgumentType
    copied_run.result.upper(),
    copied_run.result.no_such_method(),  # E: mypy=attr-defined pyright=reportAttributeAccessIssue
]
simulate(copy("a"), workrs=2)  # E: mypy=call-arg pyright=reportCallIssue
simulate(copy("a"), workers="2")  # E: mypy=arg-type pyright=reportArgumentType
simulate(copy)  # E: mypy=arg-type pyright=reportArgumentType


@explore(copy("a"))  # E: mypy=arg-type pyright=reportArgumentType
def test_of_another_result(run: SimulatedRun[str]) -> None: ...


@explore(copy("a"))  # E: mypy=arg-type pyright=reportArgumentType
def test_without_a_run() -> None: ...


@explore(copy("a"))  # E: mypy=arg-type pyright=reportArgumentType
def test_that_returns(run: SimulatedRun[bytes]) -> bool:
    return run.result == b""


@explore(copy("a"), schedule=None)  # E: mypy=call-arg pyright=reportCallIssue
def test_with_a_schedule(run: SimulatedRun[bytes]) -> None: ...


@explore(copy("a"))
def test_at(run: SimulatedRun[bytes]) -> None: ...


test_at.at(7)  # E: mypy=arg-type pyright=reportArgumentType
test_at.at("").result.no_such_method()  # E: mypy=attr-defined pyright=reportAttributeAccessIssue
