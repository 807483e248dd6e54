"""The filters of executions as options, shared by the commands that work on more than one execution."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
import typer

from traction.cli import loading
from traction.cli.loading import UsageError
from traction.cli.spans import read_time
from traction.client.query import Query, Times, make_query

StatusName: TypeAlias = Literal[
    "open", "closed", "completed", "failed", "canceled", "terminated", "continued_as_new", "timed_out"
]
"""`traction.client.query.Status`, in lower case."""

PANEL: Final = "Filters"

_AGO: Final = "such as 1d, 2h30m or 2030-01-31T09:00Z"


def _option(name: str, help: str, **more: Any) -> Any:
    return typer.Option(name, help=help, show_default=False, rich_help_panel=PANEL, **more)


class FilterOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The filters of a command line, as they were written."""

    workflow: Annotated[
        str | None, _option("--workflow", "The workflow type: NAME or MODULE:WORKFLOW.", metavar="WORKFLOW")
    ] = None
    workflow_version: Annotated[
        str | None, _option("--workflow-version", "The version of --workflow. [default: all]", metavar="VERSION")
    ] = None
    status: Annotated[
        StatusName | None, _option("--status", "Open, closed, or how it closed.", case_sensitive=False)
    ] = None
    tag: Annotated[str | None, _option("--tag", "One of its tags.", metavar="TAG")] = None
    id: Annotated[str | None, _option("--id", "The workflow id.", metavar="WORKFLOW_ID")] = None
    since: Annotated[str | None, _option("--since", f"Started at or after this time, {_AGO}.", metavar="TIME")] = None
    until: Annotated[str | None, _option("--until", "Started at or before this time.", metavar="TIME")] = None
    closed_since: Annotated[str | None, _option("--closed-since", "Closed at or after this time.", metavar="TIME")] = (
        None
    )
    closed_until: Annotated[str | None, _option("--closed-until", "Closed at or before this time.", metavar="TIME")] = (
        None
    )

    @property
    def is_empty(self) -> bool:
        """Whether no filter is written."""
        return self == FilterOptions()

    def make_query(self, now: datetime) -> Query:
        """Return the query, with times relative to `now`.

        Raises:
            UsageError: a filter is wrong.
            DefinitionError: filters contradict each other.
        """
        if self.workflow_version is not None and self.workflow is None:
            raise UsageError("--workflow-version needs --workflow, the name that has the version")
        named = self.workflow is not None and ":" in self.workflow
        return make_query(
            {
                "workflow": loading.load_workflow(self.workflow) if named and self.workflow else self.workflow,
                "version": self.workflow_version,
                "status": self.status,
                "tag": self.tag,
                "workflow_id": self.id,
                "started": self._read_times("--since", self.since, "--until", self.until, now),
                "closed": self._read_times(
                    "--closed-since", self.closed_since, "--closed-until", self.closed_until, now
                ),
            }
        )

    def _read_times(self, since: str, first: str | None, until: str, last: str | None, now: datetime) -> Times:
        times = (
            None if first is None else read_time(first, now, since),
            None if last is None else read_time(last, now, until),
        )
        if times[0] is not None and times[1] is not None and times[0] > times[1]:
            raise UsageError(f"{since} {first} is after {until} {last}")
        return times


NAMES: Final = frozenset(name.replace("_", "-") for name in FilterOptions.__struct_fields__) | {
    "all-matching",
    "dry-run",
    "yes",
}
"""The options of filters and of actions on what matches, which a field of a signal may be called too."""


def with_filters(f: Callable[..., None]) -> Callable[..., None]:
    """Return a command with the filters as options. Its parameter `filters` receives them."""
    hints = typing.get_type_hints(f, include_extras=True)
    own = [
        parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in inspect.signature(f).parameters.values()
        if parameter.name != "filters"
    ]
    kinds = typing.get_type_hints(FilterOptions, include_extras=True)
    added = [
        inspect.Parameter(f"filter_{name}", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kinds[name])
        for name in FilterOptions.__struct_fields__
    ]

    def command(**arguments: Any) -> None:
        filters = {name: arguments.pop(f"filter_{name}") for name in FilterOptions.__struct_fields__}
        f(**arguments, filters=FilterOptions(**filters))

    parameters = [*own, *added]
    command.__name__, command.__doc__ = f.__name__, f.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command
