"""docs/api.md lists every option of definitions, calls, workers and URLs with the default that the code has."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.house.test_api import read_section
from traction import Activity, Step, Workflow, done, run
from traction.client.client import Client
from traction.client.system import WorkerSystem
from traction.definitions.options import ActivityOptions, ChildOptions, TaskOptions, WorkflowOptions, read_overrides
from traction.flow.durations import NO_TIMEOUT
from traction.payloads.codec import JSON
from traction_local import plugin
from traction_swf import s3
from traction_swf.url import SwfOptions


class Probe(Activity[None, int]):
    """An activity with the default options."""

    def run(self) -> int:
        return 1


class Survey(Workflow[int]):
    """A workflow with the default options."""

    def flow(self) -> Step[int]:
        return done(1)


def list_defaults(title: str) -> dict[str, str]:
    """Return the column `default` of a table, by option."""
    rows = [line.split(" | ") for line in read_section(title).splitlines() if line.startswith("| `")]
    return {row[0].removeprefix("| ").strip("`"): row[1].strip("`") for row in rows}


NONE: Mapping[str, str] = {
    "backend": "opened from url",
    "endpoint": "that of the region",
    "identity": "host and process id",
    "lambda_role": "none",
    "plugins": "those installed",
    "priority": "0",
    "profile": "that of the environment",
    "region": "that of the profile or the environment",
    "retry": "one attempt",
    "sticky": "by the backend",
    "task_list": "as the definition",
    "timeout": "no limit",
    "workflow_id": "made from the input",
}
"""What `None` means as a default; "none" for all other options."""


def show(name: str, value: Any, *, quote: str = '"') -> str:
    if value is None or value is inspect.Parameter.empty:
        return NONE.get(name, "none")
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}"
    if value is JSON:
        return "plain JSON"
    return f"{quote}{value}{quote}" if isinstance(value, str) else str(value)


def show_spec(definition: Any, names: Mapping[str, Any]) -> dict[str, str]:
    spec = definition.spec
    texts = {
        "name": {definition.__name__: "the name of the class or function"}[spec.type.name],
        "task_list": {f"{definition.__name__}-1": "name-version"}[spec.task_list.name],
        "version": f'"{spec.type.version}"',
        "description": {definition.__doc__: "first line of the docstring"}[spec.description],
    }
    for name in names.keys() - texts.keys():
        value = getattr(spec, name)
        if name.endswith(("_to_start", "_to_close")) or name == "heartbeat":
            texts[name] = "no limit" if value == NO_TIMEOUT else f"{int(value):,} s"
        else:
            texts[name] = "none" if value == () else show(name, value)
    return texts


@pytest.mark.parametrize(
    ("title", "definition", "options"),
    [
        ("Options of activities", Probe, ActivityOptions),
        ("Options of workflows", Survey, WorkflowOptions),
    ],
)
def test_the_page_lists_the_options_of_definitions(title: str, definition: Any, options: Any) -> None:
    assert list_defaults(title) == show_spec(definition, options.__annotations__)


@pytest.mark.parametrize(
    ("title", "options", "own"),
    [
        ("Options of calls of activities", TaskOptions, {}),
        (
            "Options of calls of children",
            ChildOptions,
            {
                "cancellation": f'"{Survey().options().cancellation}"',
                "workflow_id": "the id of the step and the parent's run id",
            },
        ),
    ],
)
def test_the_page_lists_the_options_of_calls(title: str, options: Any, own: dict[str, str]) -> None:
    assert read_overrides("", {}, options) == {}
    assert list_defaults(title) == dict.fromkeys(options.__annotations__, "as the definition") | own


def list_parameters(function: Callable[..., Any], *required: str) -> dict[str, str]:
    parameters = inspect.signature(function).parameters
    return {name: show(name, p.default) for name, p in parameters.items() if name not in ("self", *required)}


@pytest.mark.parametrize(
    ("title", "parameters"),
    [
        ("Options of workflow workers", list_parameters(WorkerSystem.start_workflow_worker, "workflows")),
        ("Options of activity workers", list_parameters(WorkerSystem.start_activity_worker, "activity")),
        ("Options of worker systems", list_parameters(WorkerSystem)),
        ("Options of worker systems", {**list_parameters(Client), "identity": "host and process id"}),
        ("Options of starts", list_parameters(Client.run, "workflow")),
        ("Options of starts", {**list_parameters(Client.start, "workflow"), "timeout": "no limit"}),
    ],
)
def test_the_page_lists_the_options_of_workers_and_starts(title: str, parameters: dict[str, str]) -> None:
    listed = {name: text.replace("`", "") for name, text in list_defaults(title).items()}
    assert listed == {name: text.replace("`", "") for name, text in parameters.items()}


def test_the_page_lists_the_options_of_run() -> None:
    both = list_defaults("Options of starts") | list_defaults("Options of `traction.run`")
    assert both == list_parameters(run, "workflow")


def test_the_page_lists_the_options_of_urls() -> None:
    swf = {
        field.name: show(field.name, field.default, quote="")
        for field in msgspec.structs.fields(SwfOptions)
        if field.name != "domain"
    }
    local = inspect.signature(plugin.open_file).parameters
    assert list_defaults("Options of `swf:` URLs") == swf
    assert list_defaults("Options of `local:` URLs") == {name: local[name].default for name in plugin._OPTIONS}
    assert list_defaults("Options of payload store URLs") == {name: NONE[name] for name in s3._OPTIONS}
