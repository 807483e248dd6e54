"""Test what you build with Traction, and what Traction is built of.

`player` plays legal histories of a flow with no service; `laws` states what the step algebra promises and checks it;
`strategies` draws flows and choices for Hypothesis, and is the only one of them that imports it.

`simulate` runs a workflow in virtual time; what it gives and takes is told in `traction_local.simulation`. `scripts`
say what activities do in a test, and `schedule` who moves next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traction.testing.scripts import fails, raises, returns, takes

if TYPE_CHECKING:
    from traction_local.simulation import Simulated, Simulation, simulate

__all__ = ["Simulated", "Simulation", "fails", "raises", "returns", "simulate", "takes"]


def __getattr__(name: str) -> Any:
    # A door for people: what is simulated lives with the simulator, and the core does not know its backends.
    if name not in ("Simulated", "Simulation", "simulate"):
        raise AttributeError(f"module 'traction.testing' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("traction_local.simulation"), name)
