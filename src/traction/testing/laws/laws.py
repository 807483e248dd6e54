"""The laws of the step algebra, and their checks, which run under any test runner.

`traction.testing.laws.flows` draws the parts of laws for Hypothesis.

Two flows are *equal* if they make the same decisions, with the same ids, for every history. `assert_equivalent`
generates a history of the first, and compares the decisions of both at each of its decision tasks. Tracebacks in the
details of a failure are not compared: the source lines of the two flows differ.

How far a law holds is its `reach`. Most hold everywhere: either side may replace the other in any place of any flow. A
group uses a number in its scope even if it makes no decision, and `named` uses its name, so laws that drop one hold up
to the numbers of the groups, or the uses of that name, that follow. A finalizer completes when its flow is cancelled
and an ordinary step does not, so laws that turn one into the other hold for flows that are not cancelled. Laws that
move a step to another branch hold up to ids.

`a & b & c` is one group of three, so where `a` may be a group, a law has `all_of(a, b)` and not `a & b`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec

from traction.decider.decider import Decider
from traction.flow.cancellation import cancel_scope
from traction.flow.combinators import all_of, done, each, fail, first_of, saga, shield, step
from traction.flow.retry import Retry
from traction.flow.specs import WorkflowSpec
from traction.flow.step import Failure, Step, Success, WorkflowStep
from traction.model import decisions as d
from traction.model import events as e
from traction.model.names import TaskList, WorkflowType
from traction.payloads.codec import Codec
from traction.payloads.failure_text import read_failure
from traction.testing.laws.history_generator import (
    EXECUTION,
    Choose,
    ChooseOutcome,
    GeneratedHistory,
    choose_outcome,
    decide_from_start,
    derive_outcome,
    generate_history,
    repeat_decision,
)

Flow: TypeAlias = Step[Any]
Context: TypeAlias = Callable[[Flow], Flow]
"""A flow with a hole."""

EVERYWHERE: Final = "everywhere"
"""In every context, under every history."""

ALONE: Final = "up to the numbers that follow"
"""As a whole flow; within one, up to the numbers of the groups, or uses of a name, that follow in its scope."""

UNCANCELLED: Final = "until it is cancelled"
"""As a whole flow that is not cancelled."""

RENAMED: Final = "up to ids"
"""For flows without races whose steps do not fail: the same result, and the same tasks under other ids."""


class LawBroken(AssertionError):
    """Two flows that must be equal are not, or a decider contradicts itself."""


class Law(msgspec.Struct, frozen=True):
    """One law: from its parts it makes two flows that must be equal.

    `parts` names what it is made of, a word each: `x`, `y` are values, `s`, `t` steps, `u` steps with no sagas, `b`,
    `c` steps with no races and no failures, `f`, `g` functions from a value to a step, `h`, `k` from a value to a
    value, `e` an exception, `p` a retry policy, `xs` a list of values, `name` a segment of an id.
    """

    number: int
    text: str
    parts: str
    sides: Callable[..., tuple[Flow, Flow]]
    reach: str = EVERYWHERE

    def __str__(self) -> str:
        return f"law {self.number}, {self.text} ({self.reach})"


class NeverRaised(Exception):
    """An exception that no step of a law raises."""


def identity(x: Any) -> Any:
    """Return the argument."""
    return x


@step
async def await_step(s: Flow) -> Any:
    """Await a step in do-notation."""
    return await s


@step
async def await_then(s: Flow, f: Callable[[Any], Flow]) -> Any:
    """Write `flat_map` in do-notation."""
    x = await s
    return await f(x)


@step
async def await_or_recover(s: Flow, f: Callable[[Any], Flow]) -> Any:
    """Write `recover` in do-notation."""
    try:
        return await s
    except Exception as error:
        handler = f(error)
    return await handler


@step
async def await_and_finally(s: Flow, t: Flow) -> Any:
    """Write `ensure` in do-notation."""
    try:
        return await s
    finally:
        await t


@step
async def await_in_scope(s: Flow) -> Any:
    """Await a step in a cancel scope that is not cancelled."""
    async with cancel_scope():
        return await s


LAWS: Final = (
    Law(1, "done(x).flat_map(f) == f(x)", "x f", lambda x, f: (done(x).flat_map(f), call(f, x))),
    Law(2, "s.flat_map(done) == s", "s", lambda s: (s.flat_map(done), s)),
    Law(
        3,
        "s.flat_map(f).flat_map(g) == s.flat_map(lambda x: f(x).flat_map(g))",
        "s f g",
        lambda s, f, g: (s.flat_map(f).flat_map(g), s.flat_map(lambda x: f(x).flat_map(g))),
    ),
    Law(4, "s.map(identity) == s", "s", lambda s: (s.map(identity), s)),
    Law(
        5,
        "s.map(h).map(k) == s.map(lambda x: k(h(x)))",
        "s h k",
        lambda s, h, k: (s.map(h).map(k), s.map(lambda x: k(h(x)))),
    ),
    Law(
        6,
        "s.map(h) == s.flat_map(lambda x: done(h(x)))",
        "s h",
        lambda s, h: (s.map(h), s.flat_map(lambda x: done(h(x)))),
    ),
    Law(7, "fail(e).flat_map(f) == fail(e)", "e f", lambda e, f: (fail(e).flat_map(f), fail(e))),
    Law(8, "fail(e).map(h) == fail(e)", "e h", lambda e, h: (fail(e).map(h), fail(e))),
    Law(9, "fail(e).recover(type(e), f) == f(e)", "e f", lambda e, f: (fail(e).recover(type(e), f), call(f, e))),
    Law(10, "done(x).recover(Exception, f) == done(x)", "x f", lambda x, f: (done(x).recover(Exception, f), done(x))),
    Law(11, "s.recover(NeverRaised, f) == s", "s f", lambda s, f: (s.recover(NeverRaised, f), s)),
    Law(12, "s.recover(Exception, fail) == s", "s", lambda s: (s.recover(Exception, fail), s)),
    Law(13, "s.ensure(done(None)) == s", "s", lambda s: (s.ensure(done(None)), s)),
    Law(
        14,
        "done(x).ensure(t) == t.map(lambda _: x)",
        "x t",
        lambda x, t: (done(x).ensure(t), t.map(lambda _: x)),
        UNCANCELLED,
    ),
    Law(
        15,
        "fail(e).ensure(t) == t.flat_map(lambda _: fail(e))",
        "e t",
        lambda e, t: (fail(e).ensure(t), t.flat_map(lambda _: fail(e))),
        UNCANCELLED,
    ),
    Law(16, "done(x).attempt() == done(Success(x))", "x", lambda x: (done(x).attempt(), done(Success(x)))),
    Law(17, "fail(e).attempt() == done(Failure(e))", "e", lambda e: (fail(e).attempt(), done(Failure(e)))),
    Law(18, "await s == s", "s", lambda s: (await_step(s), s)),
    Law(19, "x = await s; await f(x) == s.flat_map(f)", "s f", lambda s, f: (await_then(s, f), s.flat_map(f))),
    Law(
        20,
        "try: await s; except Exception as e: await f(e) == s.recover(Exception, f)",
        "s f",
        lambda s, f: (await_or_recover(s, f), s.recover(Exception, f)),
    ),
    Law(
        21,
        "try: await s; finally: await t == s.ensure(t)",
        "s t",
        lambda s, t: (await_and_finally(s, t), s.ensure(t)),
        UNCANCELLED,
    ),
    Law(22, "all_of([]) == done([])", "", lambda: (all_of([]), done([]))),
    Law(23, "done(x) & done(y) == done((x, y))", "x y", lambda x, y: (all_of(done(x), done(y)), done((x, y))), ALONE),
    Law(24, "each(done, xs) == done(xs)", "xs", lambda xs: (each(done, xs), done(xs)), ALONE),
    Law(
        25,
        "each(f, xs) == all_of([f(x) for x in xs])",
        "xs f",
        lambda xs, f: (each(f, xs), all_of([call(f, x) for x in xs])),
    ),
    Law(
        26,
        "each(f, xs, limit=n) == each(f, xs) when n is not less than the items",
        "xs f",
        lambda xs, f: (each(f, xs, limit=len(xs) + 1), each(f, xs)),
    ),
    Law(27, "done(x) | s == done(x)", "x s", lambda x, s: (first_of(done(x), s), done(x)), ALONE),
    Law(28, "fail(e) | s == fail(e)", "e s", lambda e, s: (first_of(fail(e), s), fail(e)), ALONE),
    Law(29, "fail(e) & s == fail(e)", "e s", lambda e, s: (all_of(fail(e), s), fail(e)), ALONE),
    Law(30, "done(x).named(name) == done(x)", "x name", lambda x, name: (done(x).named(name), done(x)), ALONE),
    Law(
        31,
        "s.map(h).named(name) == s.named(name).map(h)",
        "s h name",
        lambda s, h, name: (s.map(h).named(name), s.named(name).map(h)),
    ),
    Law(
        32,
        "b & c == (c & b).map(swap)",
        "b c",
        lambda b, c: (all_of(b, c), all_of(c, b).map(lambda two: (two[1], two[0]))),
        RENAMED,
    ),
    Law(
        33,
        "all_of(b & c, b) == all_of(b, c & b), without the brackets",
        "b c",
        lambda b, c: (
            all_of(all_of(b, c), b).map(lambda two: (*two[0], two[1])),
            all_of(b, all_of(c, b)).map(lambda two: (two[0], *two[1])),
        ),
        RENAMED,
    ),
    Law(
        34,
        "b & done(x) == b.map(lambda y: (y, x))",
        "b x",
        lambda b, x: (all_of(b, done(x)), b.map(lambda y: (y, x))),
        RENAMED,
    ),
    Law(35, "first_of([b]) == b", "b", lambda b: (first_of([b]), b), RENAMED),
    Law(36, "b.named(name) == b", "b name", lambda b, name: (b.named(name), b), RENAMED),
    Law(37, "done(x).retry(p) == done(x)", "x p", lambda x, p: (done(x).retry(p), done(x))),
    Law(38, "s.retry(Retry(attempts=1)) == s", "s", lambda s: (s.retry(Retry(attempts=1)), s)),
    Law(39, "done(x).timeout(d) == done(x)", "x", lambda x: (done(x).timeout(1), done(x)), ALONE),
    Law(40, "shield(done(x)) == done(x)", "x", lambda x: (shield(done(x)), done(x))),
    Law(41, "shield(s) == s", "s", lambda s: (shield(s), s), UNCANCELLED),
    Law(42, "shield(shield(s)) == shield(s)", "s", lambda s: (shield(shield(s)), shield(s))),
    Law(43, "saga(u) == u", "u", lambda u: (saga(u), u)),
    Law(44, "saga(u.compensate(f)) == u", "u f", lambda u, f: (saga(u.compensate(f)), u), UNCANCELLED),
    Law(
        45,
        "saga(u.compensate(f) then fail(e)) == u.flat_map(lambda x: f(x).attempt()) then fail(e)",
        "u f e",
        lambda u, f, e: (
            saga(u.compensate(f).flat_map(lambda _: fail(e))),
            u.flat_map(lambda x: call(f, x).attempt()).flat_map(lambda _: fail(e)),
        ),
        UNCANCELLED,
    ),
    Law(46, "async with cancel_scope(): await s == s", "s", lambda s: (await_in_scope(s), s)),
    Law(47, "saga(u.compensate(done)) == shield(u)", "u", lambda u: (saga(u.compensate(done)), shield(u)), ALONE),
    Law(
        48,
        "all_of([s, t], max_failures=2) == all_of([s.attempt(), t.attempt()])",
        "s t",
        lambda s, t: (all_of([s, t], max_failures=2), all_of([s.attempt(), t.attempt()])),
    ),
    Law(
        49,
        "all_of([s, t], max_failures=0) == all_of([s, t]).map(lambda xs: [Success(x) for x in xs])",
        "s t",
        lambda s, t: (all_of([s, t], max_failures=0), all_of([s, t]).map(lambda xs: [Success(x) for x in xs])),
    ),
    Law(
        50,
        "each(f, xs, max_failures=len(xs)) == all_of([f(x).attempt() for x in xs])",
        "xs f",
        lambda xs, f: (each(f, xs, max_failures=len(xs)), all_of([call(f, x).attempt() for x in xs])),
    ),
    Law(
        51,
        "saga(u.compensate(f) then saga(u.compensate(g)) then fail(e)) == the same, without the inner saga",
        "u f g e",
        lambda u, f, g, e: (
            saga(u.compensate(f).flat_map(lambda _: saga(u.compensate(g))).flat_map(lambda _: fail(e))),
            saga(u.compensate(f).flat_map(lambda _: u.compensate(g)).flat_map(lambda _: fail(e))),
        ),
    ),
)
"""Every law, by its number."""


def call(f: Callable[[Any], Flow], x: Any) -> Flow:
    """Return `f(x)`, or a step that fails if it raises."""
    try:
        return f(x)
    except Exception as error:
        return fail(error)


def check_law(
    law: Law,
    parts: Sequence[Any],
    choose: Choose,
    *,
    context: Context = identity,
    faults: int = 0,
) -> None:
    """Check one law for one history, within its reach.

    Args:
        law: one of `LAWS`.
        parts: a value for each word of `law.parts`.
        choose: the choices of the history.
        context: the flow around both sides, if the law holds everywhere.
        faults: the maximal number of faults, if the law holds with them.

    Raises:
        LawBroken: the sides are not equal.
    """
    left, right = law.sides(*parts)
    try:
        if law.reach == EVERYWHERE:
            assert_equivalent(context(left), context(right), choose, faults=faults)
        elif law.reach == ALONE:
            assert_equivalent(left, right, choose, faults=faults)
        elif law.reach == UNCANCELLED:
            assert_equivalent(left, right, choose)
        else:
            assert_same_tasks(left, right, choose)
    except LawBroken as error:
        raise LawBroken(f"{law}\n\n{error}") from error


def assert_equivalent(
    left: Flow, right: Flow, choose: Choose, *, outcome: ChooseOutcome = choose_outcome, faults: int = 0
) -> GeneratedHistory:
    """Generate a history of `left`, and check that `right` makes the same decisions for it.

    Raises:
        LawBroken: they differ, or `right` rejects the history.
    """
    codec = Codec()
    generated = generate_history(to_workflow(left), choose, outcome=outcome, faults=faults, codec=codec)
    other = to_workflow(right)
    for started, decisions in generated.decisions.items():
        try:
            others = decide_from_start(other, generated, started, codec=codec)
        except Exception as error:
            raise LawBroken(
                f"the right side rejects the left side's history: {error}\n{format_history(generated)}"
            ) from error
        if [*map(drop_traceback, decisions)] != [*map(drop_traceback, others)]:
            raise LawBroken(f"at event {started}\n  left   {decisions}\n  right  {others}\n{format_history(generated)}")
    return generated


def assert_same_tasks(left: Flow, right: Flow, choose: Choose, *, outcome: ChooseOutcome = derive_outcome) -> None:
    """Check that both have the same result after the same tasks, up to ids.

    Raises:
        LawBroken: they differ.
    """
    ends: list[Any] = []
    for side in (left, right):
        generated = generate_history(to_workflow(side), choose, outcome=outcome, codec=Codec())
        decided = [one for decisions in generated.decisions.values() for one in decisions]
        tasks = sorted(
            f"{one.activity_type.name} {one.input}" for one in decided if isinstance(one, d.ScheduleActivityTask)
        )
        ends.append((getattr(generated.closed, "result", generated.closed), tasks))
    if ends[0] != ends[1]:
        raise LawBroken(f"  left   {ends[0]}\n  right  {ends[1]}")


def assert_chunk_invariant(flow: Flow, generated: GeneratedHistory, cuts: Sequence[int]) -> None:
    """Check that a decider that is fed in chunks makes the decisions of one that is fed from the start.

    Args:
        flow: the flow.
        generated: a history of it.
        cuts: the ids of the DecisionTaskStarted events at which it decides; all of them were completed.

    Raises:
        LawBroken: they differ.
    """
    codec, workflow = Codec(), to_workflow(flow)
    decider = Decider(workflow, execution=EXECUTION, codec=codec)
    fed = 0
    for cut in cuts:
        decider.feed(generated.events[fed:cut])
        fed = cut
        chunked = repeat_decision(decider, generated, cut)
        whole = decide_from_start(workflow, generated, cut, codec=codec)
        if not chunked == whole == generated.decisions[cut] == decider.decide():
            sides = f"  in chunks   {chunked}\n  as a whole  {whole}\n  generated      {generated.decisions[cut]}"
            raise LawBroken(f"at event {cut}\n{sides}\n{format_history(generated)}")
    decider.close()


def to_workflow(flow: Flow) -> type[WorkflowStep[Any]]:
    """Return a workflow of a flow. Its result is a text, so that a flow may have any result.

    All these workflows have the same name, so workers cannot host them.
    """

    class Whole(WorkflowStep[Any], msgspec.Struct, frozen=True):
        """The workflow of one flow."""

        def flow(self) -> Flow:
            return flow.map(describe)

    Whole.spec = _SPEC
    return Whole


_SPEC: Final = WorkflowSpec(
    type=WorkflowType("Whole", "1"),
    label="Whole",
    task_list=TaskList("played"),
    execution_start_to_close="3600",
    task_start_to_close="30",
    child_policy="TERMINATE",
    result=str,
)


def describe(value: Any) -> str:
    """Return any result of a flow as a text that is the same in every process."""
    if isinstance(value, list | tuple):
        inner = ", ".join(map(describe, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    if isinstance(value, Success):
        return f"Success({describe(value.value)})"
    if isinstance(value, Failure):
        return f"Failure({describe(value.error)})"
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    if isinstance(value, int | float | str | datetime | UUID) or value is None:
        return str(value)
    raise TypeError(f"{value!r} has no text that is the same in every process")


def drop_traceback(decision: d.Decision) -> object:
    """Return a decision without the traceback of a failure."""
    if isinstance(decision, d.FailWorkflowExecution):
        failure = read_failure(decision.reason, decision.details)
        return (decision.reason, failure.type, failure.message)
    return decision


def format_history(generated: GeneratedHistory) -> str:
    """Return a history as a text, one line per event."""
    return "\n".join(f"  {event.event_id:>4} {_format_event(event)}" for event in generated.events)


def _format_event(event: e.Event) -> str:
    names = ("activity_id", "timer_id", "workflow_id", "input", "result", "reason", "cause", "timeout_type")
    links = ("scheduled_event_id", "started_event_id", "initiated_event_id", "decision_task_completed_event_id")
    fields = {name: getattr(event, name, None) for name in (*names, *links)}
    return " ".join([type(event).__name__, *(f"{name}={value}" for name, value in fields.items() if value)])
