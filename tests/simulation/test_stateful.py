"""The hooks of a SimulationMachine are called as written, or refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from traction.errors import DefinitionError
from traction.testing import SimulationMachine

ONCE = settings(max_examples=1, stateful_step_count=1, database=None, deadline=None, phases=[Phase.generate])


async def claims_later(self: Any) -> None:
    assert self is None


def yields(self: Any) -> Any:
    yield
    assert self is None


@pytest.mark.parametrize("hook", ["begin", "end", "check_end"])
@pytest.mark.parametrize("body", [claims_later, yields])
def test_a_hook_whose_body_would_not_run_is_refused(hook: str, body: Any) -> None:
    with pytest.raises(DefinitionError, match="a call of it does not run its body"):
        type("Machine", (SimulationMachine,), {hook: body})


@pytest.mark.parametrize("hook", ["begin", "end", "check_end"])
def test_a_hook_that_returns_a_value_fails(hook: str) -> None:
    machine: Any = type("Machine", (SimulationMachine,), {hook: lambda self: self is None})
    with pytest.raises(DefinitionError, match="returned False, and the result of a test is ignored"):
        run_state_machine_as_test(machine, settings=ONCE)
