"""The twin decides histories in another process."""

from __future__ import annotations

import sys
from pathlib import Path

from traction.names import WorkflowExecution
from traction.testing.twin import Question, Twin

EXPLORES = """
from traction import workflow
from traction.testing import explore, twin

twin.Twin = None  # who asks for a twin here fails, and begins no process without end


@workflow
async def answer() -> int:
    return 42


@explore(answer(), deviations=0)
def test_answer(run):
    assert run.result == 42


test_answer()
"""


def test_a_twin_has_no_twin_though_its_module_explores_while_it_is_imported(tmp_path: Path) -> None:
    module = tmp_path / "explores.py"
    module.write_text(EXPLORES)
    twin = Twin()
    try:
        reply = twin.ask(Question(sys.path, "explores", str(module), "answer", WorkflowExecution("w", "r"), [], []))
    finally:
        twin.close()
    assert (reply.unknown, reply.error) == ("", "")
