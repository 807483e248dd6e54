"""`traction types`: show the types that are registered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import typer

from traction.backend import Backend
from traction.cli import output
from traction.cli.documents import RegisteredType
from traction.cli.loading import open_for
from traction.cli.options import Json, Url
from traction.client.task_lists import list_activity_types, list_workflow_types
from traction.model.literals import RegistrationStatus

_KINDS: Final[tuple[Literal["workflow", "activity"], ...]] = ("workflow", "activity")


def show_types(
    context: typer.Context,
    name: Annotated[str | None, typer.Option(help="Only types with this name.")] = None,
    deprecated: Annotated[
        bool, typer.Option("--deprecated/--no-deprecated", help="Whether to show deprecated types too.")
    ] = True,
    url: Url = "local:",
    json: Json = False,
) -> None:
    """Show the registered types with their status."""
    statuses: tuple[RegistrationStatus, ...] = ("REGISTERED", "DEPRECATED") if deprecated else ("REGISTERED",)
    with open_for(context, url) as backend:
        found = [one for kind in _KINDS for status in statuses for one in list_types(backend, kind, status, name)]
    found.sort(key=lambda one: (one.kind == "activity", one.name, one.version))
    if json:
        output.show_document(found)
        return
    if not found:
        output.show_message(f"No types in {url}")
    output.show_table([(one.kind, one.name, one.version, one.status, one.description or "") for one in found])


def list_types(
    backend: Backend, kind: Literal["workflow", "activity"], status: RegistrationStatus, name: str | None
) -> Iterator[RegisteredType]:
    """Yield the documents of the types of a kind and a status, reading page by page."""
    list_infos: Any = list_workflow_types if kind == "workflow" else list_activity_types
    for info in list_infos(backend, status, name):
        type = info.workflow_type if kind == "workflow" else info.activity_type
        yield RegisteredType(
            kind=kind,
            name=type.name,
            version=type.version,
            status=info.status,
            description=info.description,
            created_at=info.creation_date,
            deprecated_at=info.deprecation_date,
        )
