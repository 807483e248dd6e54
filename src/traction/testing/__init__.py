"""Test what you build with Traction, and what Traction is built of.

`player` plays legal histories of a flow with no service; `laws` states what the step algebra promises and checks it;
`strategies` draws flows and choices for Hypothesis, and is the only one of them that imports it.

`simulate` runs a workflow in virtual time; what it gives and takes is told in `traction_local.simulation`. `scripts`
say what activities do in a test, and `schedule` who moves next.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from traction.testing.faults import Faults
from traction.testing.schedule import PLAIN, Deviations, Plain, Schedule, Seeded
from traction.testing.scripts import dies, fails, heartbeats_then_dies, raises, returns, sometimes, takes

if TYPE_CHECKING:
    from traction.testing.audit import UnsoundFlow
    from traction.testing.exploration import Coverage, Explored, explore
    from traction.testing.explored import ExploredTest
    from traction.testing.runs import executions, histories, inputs, schedules, signals
    from traction.testing.stateful import SimulationMachine
    from traction.testing.waiting import StuckExecution
    from traction_local.simulated import Simulated, World, simulate, simulate_all
    from traction_local.simulation import Simulation

__all__ = [
    "PLAIN",
    "Coverage",
    "Deviations",
    "Explored",
    "ExploredTest",
    "Faults",
    "Plain",
    "Schedule",
    "Seeded",
    "Simulated",
    "Simulation",
    "SimulationMachine",
    "StuckExecution",
    "UnsoundFlow",
    "World",
    "dies",
    "executions",
    "explore",
    "fails",
    "heartbeats_then_dies",
    "histories",
    "inputs",
    "raises",
    "returns",
    "schedules",
    "signals",
    "simulate",
    "simulate_all",
    "sometimes",
    "takes",
]

# A door for people: what is simulated lives with the simulator, and the core does not know its backends.
_DOOR = {
    "Coverage": "traction.testing.exploration",
    "Explored": "traction.testing.exploration",
    "ExploredTest": "traction.testing.explored",
    "StuckExecution": "traction.testing.waiting",
    "UnsoundFlow": "traction.testing.audit",
    "executions": "traction.testing.runs",
    "explore": "traction.testing.exploration",
    "histories": "traction.testing.runs",
    "inputs": "traction.testing.runs",
    "schedules": "traction.testing.runs",
    "signals": "traction.testing.runs",
    "Simulated": "traction_local.simulated",
    "Simulation": "traction_local.simulation",
    "SimulationMachine": "traction.testing.stateful",
    "World": "traction_local.simulated",
    "simulate": "traction_local.simulated",
    "simulate_all": "traction_local.simulated",
}


def __getattr__(name: str) -> Any:
    if name not in _DOOR:
        raise AttributeError(f"module 'traction.testing' has no attribute {name!r}")
    return getattr(import_module(_DOOR[name]), name)
