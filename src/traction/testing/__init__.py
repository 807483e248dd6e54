"""Test workflows, backends and the step algebra.

`simulate` runs a workflow in virtual time. `explore` runs a test under many schedules, with injected faults.
`discover` returns the graph of what simulations show. The module `strategies` has Hypothesis strategies, `conformance`
the tests that every backend must pass, and `laws` the laws of the step algebra.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traction.lazy_imports import import_lazily

if TYPE_CHECKING:
    from traction.testing.discovery import Discovery, discover
    from traction.testing.exploration import explore
    from traction.testing.explored import Explored, ExploredTest
    from traction.testing.stateful import SimulationMachine
    from traction.testing.systematic import Coverage
    from traction_local.simulation.deadlock import StuckExecutionError
    from traction_local.simulation.determinism import UnsoundFlowError
    from traction_local.simulation.faults import Faults
    from traction_local.simulation.options import World
    from traction_local.simulation.run import SimulatedRun
    from traction_local.simulation.schedule import PLAIN, Deviations, Plain, Schedule, Seeded
    from traction_local.simulation.simulate import simulate, simulate_all
    from traction_local.simulation.simulation import Simulation
    from traction_local.simulation.stubs import (
        crashes,
        fails,
        heartbeats_then_crashes,
        raises,
        returns,
        sometimes,
        takes,
    )

__all__ = [
    "PLAIN",
    "Coverage",
    "Deviations",
    "Discovery",
    "Explored",
    "ExploredTest",
    "Faults",
    "Plain",
    "Schedule",
    "Seeded",
    "SimulatedRun",
    "Simulation",
    "SimulationMachine",
    "StuckExecutionError",
    "UnsoundFlowError",
    "World",
    "crashes",
    "discover",
    "explore",
    "fails",
    "heartbeats_then_crashes",
    "raises",
    "returns",
    "simulate",
    "simulate_all",
    "sometimes",
    "takes",
]

__getattr__ = import_lazily(
    __name__,
    {
        "Faults": "traction_local.simulation.faults",
        "PLAIN": "traction_local.simulation.schedule",
        "Deviations": "traction_local.simulation.schedule",
        "Plain": "traction_local.simulation.schedule",
        "Schedule": "traction_local.simulation.schedule",
        "Seeded": "traction_local.simulation.schedule",
        "crashes": "traction_local.simulation.stubs",
        "fails": "traction_local.simulation.stubs",
        "heartbeats_then_crashes": "traction_local.simulation.stubs",
        "raises": "traction_local.simulation.stubs",
        "returns": "traction_local.simulation.stubs",
        "sometimes": "traction_local.simulation.stubs",
        "takes": "traction_local.simulation.stubs",
        "Coverage": "traction.testing.systematic",
        "Discovery": "traction.testing.discovery",
        "discover": "traction.testing.discovery",
        "Explored": "traction.testing.explored",
        "ExploredTest": "traction.testing.explored",
        "StuckExecutionError": "traction_local.simulation.deadlock",
        "UnsoundFlowError": "traction_local.simulation.determinism",
        "explore": "traction.testing.exploration",
        "SimulatedRun": "traction_local.simulation.run",
        "Simulation": "traction_local.simulation.simulation",
        "SimulationMachine": "traction.testing.stateful",
        "World": "traction_local.simulation.options",
        "simulate": "traction_local.simulation.simulate",
        "simulate_all": "traction_local.simulation.simulate",
    },
)
