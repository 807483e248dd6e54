"""Every `--json` prints a document of a stable, documented shape."""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cli.test_run import run
from traction.cli import COMMANDS, documents
from traction.cli.documents import DOCUMENTS
from traction.history import explanation, views
from traction.history.graphs import json_export
from traction.inspection import Branch, FlowFrame

HERE = "tests.cli.orders"
ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "docs" / "cli-schemas.json"
MODULES = (documents.__name__, explanation.__name__, json_export.__name__, views.__name__)
WITHOUT = {"ui", "watch", "worker"}
"""Commands that print no result, or redraw a screen."""


class World:
    """Runs commands on a file, and returns what `--json` prints."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        self.url = f"local:{folder / 'work.db'}"

    def __call__(self, *argv: str, url: bool = True, code: int = 0) -> Any:
        left, out, err = run(self.capsys, *argv, *(("--url", self.url) if url else ()), "--json")
        assert left == code, err
        return json.loads(out)


@pytest.fixture
def world(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> World:
    return World(tmp_path, capsys)


def check(command: str, printed: Any) -> None:
    """Check that a document has the keys and the types of its command, and no others."""
    document = msgspec.convert(printed, DOCUMENTS[command])
    assert json.loads(json.dumps(msgspec.to_builtins(document))) == printed


def test_documents_of_running_work_have_their_shape(world: World) -> None:
    check("run", world("run", f"{HERE}:buy", "--amount", "7"))
    check("run", world("run", f"{HERE}:buy", "--amount", "700", code=1))
    check("start", world("start", f"{HERE}:wait_for_approval", "--workflow-id", "one"))
    check("list", world("list"))
    check("list", world("list", "--reasons", "--status", "failed"))
    check("list --count-only", world("list", "--count-only"))
    check("describe", world("describe", "one"))
    check("why", world("why", "one"))
    check("debug", world("debug", "one", "-d", HERE))
    check("history", world("history", "one"))
    check("history --events", world("history", "one", "--events"))
    check("state", world("state", "one", f"{HERE}:wait_for_approval"))


def test_documents_of_closed_work_have_their_shape(world: World) -> None:
    id = world("run", f"{HERE}:buy", "--amount", "700", code=1)["workflow_id"]
    check("describe", world("describe", id))
    check("why", world("why", id))
    check("history", world("history", id))
    check("history --events", world("history", id, "--events"))


def test_documents_of_replays_have_their_shape(world: World) -> None:
    id = world("run", f"{HERE}:buy", "--amount", "7")["workflow_id"]
    file = str(world.folder / "history.json")
    run(world.capsys, "history", id, "--export", file, "--url", world.url)
    for module, code in ((HERE, 0), (f"{HERE}_now", 1)):
        check("replay", world("replay", file, f"{module}:buy", url=False, code=code))
        check("check", world("check", f"{module}:buy", code=code))


def test_documents_of_simulations_have_their_shape(world: World) -> None:
    check("simulate", world("simulate", f"{HERE}:buy", "--amount", "7", url=False))
    check("simulate", world("simulate", f"{HERE}:buy", "--amount", "700", url=False, code=1))
    check("explore", world("explore", f"{HERE}:buy", "--amount", "7", url=False))
    check("graph", world("graph", f"{HERE}:buy", url=False))


def test_documents_of_graphs_have_their_shape(world: World) -> None:
    id = world("run", f"{HERE}:buy", "--amount", "7")["workflow_id"]
    check("graph", world("graph", f"{HERE}:buy", "--execution", id))
    check("graph", world("graph", "--execution", id))


def test_json_is_one_line_of_ascii(world: World) -> None:
    _, out, _ = run(world.capsys, "run", f"{HERE}:copy", "--line", "é\u202e\x9b\n", "--url", world.url, "--json")
    assert out.isascii()
    assert out.count("\n") == 1
    assert json.loads(out)["result"] == "é\u202e\x9b\n"


def test_every_command_that_prints_a_result_has_a_document() -> None:
    assert {name.partition(" ")[0] for name in DOCUMENTS} | WITHOUT == set(COMMANDS)


def list_structs() -> Iterator[type[msgspec.Struct]]:
    for one in chain.from_iterable(vars(module).values() for module in (documents, explanation, json_export, views)):
        if isinstance(one, type) and issubclass(one, msgspec.Struct) and one.__module__ in MODULES:
            yield one
    yield from (Branch, FlowFrame)


def test_keys_are_in_snake_case() -> None:
    fields = {field.encode_name for one in list_structs() for field in msgspec.structs.fields(one)}
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", name) for name in fields)


def test_the_schemas_of_documents_are_stable() -> None:
    """A key that changes its name or type breaks programs that read it. `GOLDEN=write` writes the file again."""
    (schemas, components) = msgspec.json.schema_components(DOCUMENTS.values(), ref_template="#/$defs/{name}")
    # Python 3.13 removes the indentation of docstrings, older ones keep it.
    for component in components.values():
        component["description"] = inspect.cleandoc(component.get("description", ""))
    written = {"commands": dict(zip(DOCUMENTS, schemas, strict=True)), "$defs": components}
    text = json.dumps(written, indent=1) + "\n"
    if os.environ.get("GOLDEN") == "write":
        SCHEMAS.write_text(text)
    assert SCHEMAS.read_text() == text


def test_the_page_lists_the_keys_of_every_document() -> None:
    page = (ROOT / "docs" / "cli.md").read_text()
    for one in list_structs():
        section = re.search(rf"^### `{one.__name__}`\n(.*?)(?=^##|\Z)", page, re.M | re.S)
        assert section is not None, f"docs/cli.md has no section on {one.__name__}"
        listed = [base for base in one.__bases__ if base.__module__ in MODULES]
        inherited = {name for base in listed for name in getattr(base, "__struct_fields__", ())}
        own = [name for name in one.__struct_fields__ if name not in inherited]
        assert re.findall(r"^\| `(\w+)` \|", section[1], re.M) == own


def test_documents_of_task_lists_and_types_have_their_shape(world: World) -> None:
    world("start", f"{HERE}:buy", "--amount", "7", "--workflow-id", "one")
    check("tasks", tasks := world("tasks"))
    assert tasks == [{"task_list": "buy-1", "kind": "decision", "count": 1, "truncated": False}]
    check("tasks", tasks := world("tasks", "--list", "pay-1", "--list", "buy-1"))
    assert [(one["task_list"], one["kind"], one["count"]) for one in tasks] == [
        ("buy-1", "activity", 0),
        ("buy-1", "decision", 1),
        ("pay-1", "activity", 0),
        ("pay-1", "decision", 0),
    ]
    assert world("tasks", "--status", "closed") == []
    check("types", types := world("types"))
    assert [(one["kind"], one["name"], one["status"]) for one in types] == [("workflow", "buy", "REGISTERED")]


def test_documents_of_actions_have_their_shape(world: World) -> None:
    world("start", f"{HERE}:wait_for_approval", "--workflow-id", "one")
    for command in (["signal", "one", f"{HERE}:Approve", "--by", "Ann"], ["cancel", "one"], ["terminate", "one"]):
        check(command[0], world(*command))
