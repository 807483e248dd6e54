"""Uses of steps that type checkers reject. A comment at the end of each line has the codes of their errors."""

from __future__ import annotations

from traction import Step, all_of, done, each, sleep, step
from traction.flow.step import Both

a: Step[int] = done(1)
b: Step[str] = done("b")


@step
async def repeat(text: str, *, times: int = 2) -> list[str]:
    return [await done(text) for _ in range(times)]


def length(text: str) -> int:
    return len(text)


# What a step gives is not something else.
text: Step[str] = a  # E: mypy=assignment pyright=reportAssignmentType
pair: Step[tuple[int, int]] = a & b  # E: mypy=operator pyright=reportAssignmentType
triple: Step[tuple[int, str]] = a & b & a  # E: mypy=assignment pyright=reportAssignmentType
both: Both[int, str] = b & a  # E: mypy=assignment,operator pyright=reportAssignmentType
either: Step[int] = a | b  # E: mypy=operator pyright=reportAssignmentType
outcome: Step[int] = a.attempt()  # E: mypy=assignment pyright=reportAssignmentType
many: Step[list[str]] = all_of([a, a])  # E: mypy=list-item pyright=reportAssignmentType
narrower: Step[bool] = a  # E: mypy=assignment pyright=reportAssignmentType

# Functions take what the step gives.
mapped = [
    a.map(length),  # E: mypy=arg-type pyright=reportArgumentType
    a.flat_map(length),  # E: mypy=arg-type pyright=reportArgumentType
    b.flat_map(length),  # E: mypy=arg-type pyright=reportArgumentType
    a.recover(7, lambda error: b),  # E: mypy=arg-type pyright=reportArgumentType
    a.recover(ValueError, lambda error: 7),  # E: mypy=arg-type,return-value pyright=reportArgumentType
    a.ensure(7),  # E: mypy=arg-type pyright=reportArgumentType
    a.named(7),  # E: mypy=arg-type pyright=reportArgumentType
    each(length, ["a"]),  # E: mypy=arg-type pyright=reportArgumentType
    each(repeat, [7]),  # E: mypy=arg-type pyright=reportArgumentType
    each(repeat, ["a"], limit="2"),  # E: mypy=call-overload pyright=reportArgumentType
]

# Steps go with steps.
grouped = [
    a & 7,  # E: mypy=operator pyright=reportOperatorIssue
    a | 7,  # E: mypy=operator pyright=reportOperatorIssue
    all_of([a, 7]),  # E: mypy=arg-type,list-item pyright=reportArgumentType,reportCallIssue
    sleep("1"),  # E: mypy=arg-type pyright=reportArgumentType
]

# A helper takes what its function takes.
helped = [
    repeat(7),  # E: mypy=arg-type pyright=reportArgumentType
    repeat("a", 2),  # E: mypy=call-arg pyright=reportCallIssue
    repeat("a", time=2),  # E: mypy=call-arg pyright=reportCallIssue
    repeat(),  # E: mypy=call-arg pyright=reportCallIssue
]


async def flow() -> int:
    # Not awaited.
    sleep(1)  # E: mypy=unused-awaitable
    done: str = await a  # E: mypy=assignment pyright=reportAssignmentType
    await 7  # E: mypy=misc pyright=reportGeneralTypeIssues
    x, y = await (a & b & a)  # E: mypy=misc pyright=reportAssignmentType
    return await b  # E: mypy=return-value pyright=reportReturnType


@step  # E: mypy=arg-type pyright=reportArgumentType,reportCallIssue
def no_step(text: str) -> int:
    return 7
