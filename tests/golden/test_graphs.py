"""The graphs of example workflows, as Mermaid. `GOLDEN=write` writes the files again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from examples.hello import hello
from examples.index_project.workflow import IndexProjectData
from tests.support.order_workflow import dinner
from tests.support.trips import Trip
from traction.history import write_mermaid
from traction.testing import discover

GOLDEN = Path(__file__).parent / "graphs"


@pytest.mark.parametrize("workflow", [hello, IndexProjectData, dinner, Trip], ids=lambda one: one.__name__)
def test_the_graph_of_an_example_is_its_golden_text(workflow: Any) -> None:
    found = discover(workflow)
    written = write_mermaid(found.graph, comments=[found.summary])
    file = GOLDEN / f"{workflow.__name__}.mmd"
    if os.environ.get("GOLDEN") == "write":
        file.write_text(written, encoding="utf-8")
    assert written == file.read_text(encoding="utf-8")
