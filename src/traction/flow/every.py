"""Start work at recurring times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal, TypeAlias

from traction.errors import FlowError
from traction.flow.combinators import first_of, now, sleep_until, step
from traction.flow.cron import Recurrence, read_recurrence
from traction.flow.durations import Span
from traction.flow.effects import continue_as_new, history_length, run_deadline, start_child
from traction.flow.step import AdjustedChild, Step, WorkflowStep

Overlap: TypeAlias = Literal["wait", "beside", "cancel"]
"""What becomes of work that is not done when the next time comes: see `every`."""


HISTORY_EVENTS_MAX = 5_000
"""How long a history may be when the next run is started; SWF ends an execution at 25,000 events."""


SHARE = 0.5
"""The part of a run's time after which the next run starts; the rest is for steps that have not ended."""


def every(
    when: str | Span | Recurrence,
    do: Callable[[datetime], Step[Any]],
    *,
    again: Callable[[datetime], WorkflowStep[Any]],
    since: datetime | None = None,
    overlap: Overlap = "wait",
    catch_up: int = 1,
    zone: tzinfo = UTC,
) -> Step[Any]:
    """Run a step at each time of a cron line or an interval. It never returns.

    Args:
        when: a cron line, or the span between two times.
        do: returns the step for a time. If the step fails, so does `every`: use `attempt` or `recover` to continue.
        again: returns the call for the next run, which handles the times after the one that it receives. The next run
            starts when the history is long, or half of the time has passed for which a run may be open.
        since: the last time that was handled, which `again` received; the start of the run by default.
        overlap: what to do if the step of one time has not ended at the next: `wait` for it; `cancel` it; or start the
            next one `beside` it, as a child (then `do` returns calls of a workflow).
        catch_up: how many of the times that were missed are handled, counted from the latest.
        zone: the time zone of a cron line.

    Raises:
        ValueError: the recurrence is wrong, or names a date that never comes; or `since` has no time zone.
        FlowError: (in the flow) with `beside`, `do` does not return a call of a workflow.

    History:
        Sends StartTimer for each time, then the decisions of `do`; ContinueAsNewWorkflowExecution when the next run
        starts.
    """
    recurrence = read_recurrence(when, zone)
    if catch_up < 0:
        raise ValueError(f"every(catch_up={catch_up}): catch_up must be 0 or more")
    if overlap not in ("wait", "beside", "cancel"):
        raise ValueError(f"every(overlap={overlap!r}): overlap must be one of wait, beside, cancel")
    if since is not None and not isinstance(since, datetime):
        raise TypeError(f"every(since={since!r:.100}): since must be a datetime, the last time that was handled")
    if since is not None and since.tzinfo is None:
        raise ValueError(
            f"every(since={since!r}): the datetime needs a time zone; write datetime(..., tzinfo=timezone.utc)"
        )
    return _recur(recurrence, do, again, since, overlap, catch_up)


@step
async def _recur(
    recurrence: Recurrence,
    do: Callable[[datetime], Step[Any]],
    again: Callable[[datetime], WorkflowStep[Any]],
    since: datetime | None,
    overlap: Overlap,
    catch_up: int,
) -> None:
    began, ends = await now(), await run_deadline()
    leaves = began + (ends - began) * SHARE
    last = began if since is None else since
    while await history_length() < HISTORY_EVENTS_MAX and await now() < leaves:
        due = recurrence.find_due(last, await now(), catch_up)
        await sleep_until(min(due, leaves))
        if due > leaves:
            break
        work, last = do(due), due
        if overlap == "beside":
            await start_child(_check_call(work))
        elif overlap == "cancel":
            await first_of(work, sleep_until(min(recurrence.find_next(due), ends)))
        else:
            await work
    await continue_as_new(again(last))


def _check_call(work: Any) -> WorkflowStep[Any] | AdjustedChild[Any]:
    if not isinstance(work, WorkflowStep | AdjustedChild):
        raise FlowError(
            f"every(overlap='beside'): expected a call of a workflow, got {work!r:.100}. Only child workflows can "
            "overlap; make this a @workflow, or use overlap='wait' or 'cancel'"
        )
    return work
