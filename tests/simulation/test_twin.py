"""The twin decides histories in another process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from traction import workflow
from traction.names import WorkflowExecution
from traction.testing import explore
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


@workflow
async def top() -> int:
    return 42


def test_an_exploration_says_why_nothing_was_decided_in_another_process() -> None:
    @workflow
    async def local() -> int:
        return 42

    for flow, world, why in [
        (top, {}, ""),
        (top, {"deploy": {top: local}}, "the other process would not have the deploy"),
        (local, {}, f"{local.__qualname__} is not at the top of a module"),
    ]:

        @explore(flow(), deviations=0, **world)
        def answers(run: Any) -> None:
            assert run.result == 42

        answers()
        assert answers.explored.twinless == why
