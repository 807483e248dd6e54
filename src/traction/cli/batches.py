"""Act on all executions that match the filters of a command line, after a confirmation."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import typer

from traction.backend import Backend
from traction.cli import documents, output
from traction.cli.filters import FilterOptions
from traction.cli.loading import UsageError
from traction.client.batch import Action, ActionResult, find_targets, run_batch
from traction.client.query import ListedExecution
from traction.payloads.codec import JSON, Codec

SHOWN_MAX: Final = 5
"""How many executions a confirmation lists."""


class BatchOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of an action on many executions, as they were written."""

    filters: FilterOptions
    all_matching: bool
    dry_run: bool
    rate: float
    yes: bool

    def check(self, one: Sequence[str | None]) -> None:
        """Check that the options fit together; `one` is what names a single execution.

        Raises:
            UsageError: a filter without `--all-matching`, or `--all-matching` with a single execution.
        """
        if self.all_matching and any(word is not None for word in one):
            raise UsageError("--all-matching takes filters, not a workflow id or --run-id")
        if not self.all_matching and (self.dry_run or not self.filters.is_empty):
            raise UsageError("filters and --dry-run need --all-matching")

    def run(
        self,
        backend: Backend,
        action: Action,
        *,
        json: bool,
        wait: Any,
        codec: Codec = JSON,
    ) -> None:
        """Do the action to all open executions that match, and print what became of each.

        Raises:
            UsageError: it was not confirmed, as standard input is not a terminal.
            Exit: with 1 if the service refused one; with 0 if the answer to the confirmation is no.
        """
        targets = find_targets(backend, self.filters.make_query(backend.now()))
        if targets and not (self.yes or self.dry_run):
            confirm(action.name, targets, backend.url)
        results = run_batch(
            backend, targets, action, codec=codec, wait=wait, per_second=self.rate, dry_run=self.dry_run
        )
        shown = show_results(_track(results, len(targets), json), action.name, json=json)
        if shown["refused"]:
            raise typer.Exit(1)


def confirm(action: str, targets: Sequence[ListedExecution], url: str) -> None:
    """Ask on the terminal whether to act.

    Raises:
        UsageError: standard input is not a terminal.
        Exit: the answer is no.
    """
    question = f"{action} {len(targets)} execution{'' if len(targets) == 1 else 's'} in {url}"
    if not sys.stdin.isatty():
        raise UsageError(f"{question}: add --yes, or --dry-run to see them")
    for one in targets[:SHOWN_MAX]:
        output.show_message(f"  {one.workflow_id}  {one.workflow} {one.version}")
    if len(targets) > SHOWN_MAX:
        output.show_message(f"  and {len(targets) - SHOWN_MAX} more")
    if not typer.confirm(f"{question}?", err=True):
        raise typer.Exit


def show_results(results: Iterator[ActionResult], action: str, *, json: bool) -> Counter[str]:
    """Print what became of each execution, and return how often each outcome occurred."""
    outcomes: Counter[str] = Counter()
    printed: list[documents.Action] = []
    for result in results:
        outcomes[result.outcome] += 1
        one = result.execution
        if json:
            printed.append(
                documents.Action(
                    action=action,
                    workflow_id=one.workflow_id,
                    run_id=one.run_id,
                    outcome=result.outcome,
                    detail=result.detail,
                )
            )
        else:
            output.show_table([(f"{result.outcome:<7}", one.workflow_id, result.detail or "")])
    if json:
        output.show_document(printed)
    else:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        output.show_message(f"{action}: {counts or 'no matching execution is open'}")
    return outcomes


def _track(results: Iterator[ActionResult], total: int, json: bool) -> Iterator[ActionResult]:
    """Show the progress on standard error, if that is a terminal and results are printed elsewhere."""
    if json or not sys.stderr.isatty() or sys.stdout.isatty():
        return results
    from rich.console import Console
    from rich.progress import track

    return iter(track(results, total=total, console=Console(stderr=True), transient=True))
