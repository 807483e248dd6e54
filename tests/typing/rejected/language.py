"""Other uses that type checkers reject. A comment at the end of each line has the codes of their errors."""

from __future__ import annotations

from traction import (
    Handle,
    Retry,
    Signal,
    Step,
    WorkerSystem,
    activity,
    cancel_scope,
    continue_as_new,
    fail_after,
    history_length,
    invoke_lambda,
    move_on_after,
    patched,
    receive,
    saga,
    send,
    shield,
    side_effect,
    signals,
    start_child,
    workflow,
)


class Approve(Signal):
    by: str


class Reject(Signal):
    why: str


class Named(Signal, name=7):  # E: pyright=reportArgumentType
    by: str


class Versioned(Signal, version="2"):  # E: pyright=reportGeneralTypeIssues
    by: str


@activity
def book(room: int) -> str:
    return str(room)


@workflow
async def stay(nights: int) -> list[str]:
    return [await book(night) for night in range(nights)]


# The fields of a signal are typed.
made = [
    Approve(),  # E: mypy=call-arg pyright=reportCallIssue
    Approve(7),  # E: mypy=arg-type pyright=reportArgumentType
    Approve(why="late"),  # E: mypy=call-arg pyright=reportCallIssue
]
Approve("Ann").by = "Bob"  # E: pyright=reportAttributeAccessIssue
received: Step[Reject] = receive(Approve)  # E: mypy=arg-type pyright=reportAssignmentType
either: Step[Approve] = receive(Approve, Reject)  # E: mypy=arg-type pyright=reportAssignmentType
said = [
    receive(str),  # E: mypy=type-var pyright=reportArgumentType,reportCallIssue
    receive(Approve("Ann")),  # E: mypy=call-overload pyright=reportArgumentType,reportCallIssue
    signals(str),  # E: mypy=type-var pyright=reportArgumentType
    send("trip-1", "Approve"),  # E: mypy=arg-type pyright=reportArgumentType
    send("trip-1", Approve),  # E: mypy=arg-type pyright=reportArgumentType
    send(7, Approve("Ann")),  # E: mypy=arg-type pyright=reportArgumentType
]

# Children are calls of workflows.
started = [  # E: mypy=var-annotated
    start_child(book(1)),  # E: mypy=arg-type pyright=reportArgumentType
    start_child(book(1).options(priority=3)),  # E: mypy=arg-type pyright=reportArgumentType
    start_child(stay),  # E: mypy=arg-type pyright=reportArgumentType
    continue_as_new(book(1)),  # E: mypy=arg-type pyright=reportArgumentType
    continue_as_new(stay(2).options(priority=3)),  # E: mypy=arg-type pyright=reportArgumentType
]

# Calls have the options of their kind.
adjusted = [
    book(1).options(tags=("a",)),  # E: mypy=call-arg pyright=reportCallIssue
    book(1).options(priority="3"),  # E: mypy=arg-type pyright=reportArgumentType
    book(1).options(retry=3),  # E: mypy=arg-type pyright=reportArgumentType
    stay(2).options(heartbeat=3),  # E: mypy=call-arg pyright=reportCallIssue
    stay(2).options(child_policy="KILL"),  # E: mypy=arg-type pyright=reportArgumentType
]

# Policies, cancellation, sagas.
policies = [
    Retry(attempts="3"),  # E: mypy=arg-type pyright=reportArgumentType
    Retry(give_up_on=ValueError),  # E: mypy=arg-type pyright=reportArgumentType
    Retry(give_up_on=(KeyboardInterrupt,)),  # E: mypy=arg-type pyright=reportArgumentType
    book(1).retry(3),  # E: mypy=arg-type pyright=reportArgumentType
    book(1).timeout("1"),  # E: mypy=arg-type pyright=reportArgumentType
    book(1).compensate(book(2)),  # E: mypy=arg-type pyright=reportArgumentType
    book(1).compensate(lambda booking: booking),  # E: mypy=arg-type,return-value pyright=reportArgumentType
    saga(7),  # E: mypy=arg-type pyright=reportArgumentType
    shield(7),  # E: mypy=arg-type pyright=reportArgumentType
    move_on_after("1"),  # E: mypy=arg-type pyright=reportArgumentType
    fail_after(None),  # E: mypy=arg-type pyright=reportArgumentType
]

# Effects.
counted: Step[str] = side_effect(lambda: 7)  # E: mypy=arg-type,return-value pyright=reportAssignmentType
effects = [
    side_effect(7),  # E: mypy=arg-type pyright=reportArgumentType
    patched(7),  # E: mypy=arg-type pyright=reportArgumentType
    stay(2).locally(),  # E: mypy=attr-defined pyright=reportAttributeAccessIssue
    book(7).options(priority=1).locally(),  # E: mypy=attr-defined pyright=reportAttributeAccessIssue
    invoke_lambda(7),  # E: mypy=call-overload pyright=reportArgumentType
]


async def flow() -> None:
    child = await start_child(stay(2))
    nights: int = await child.result()  # E: mypy=assignment pyright=reportAssignmentType
    approval: Reject = await receive(Approve)  # E: mypy=arg-type pyright=reportAssignmentType
    events: str = await history_length()  # E: mypy=assignment pyright=reportAssignmentType
    with move_on_after(1):  # E: mypy=attr-defined pyright=reportGeneralTypeIssues
        pass
    async with cancel_scope() as scope:
        scope.cancel()  # E: mypy=unused-awaitable
    async for one in signals(Approve):
        rejection: Reject = one  # E: mypy=assignment pyright=reportAssignmentType


def look(system: WorkerSystem, handle: Handle[str]) -> None:
    system.start_workflow_worker(stay, provide={stay: 7})  # E: mypy=dict-item pyright=reportArgumentType
    approval: Reject | None = handle.state(Approve)  # E: mypy=assignment pyright=reportAssignmentType
    handle.send("approved")  # E: mypy=arg-type pyright=reportArgumentType
    number: int = handle.published_state(int)  # E: mypy=assignment pyright=reportAssignmentType
