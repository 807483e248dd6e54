"""The markers of a flow: values that one decider computed and later ones read."""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from traction.decider.frames import Leaf, Pending

PATCH: Final = "~patch-"
"""The prefix of the names of markers that `patched` records."""


class UnfinishedStep(Pending):
    """A step that records a marker when it is done: a local activity, or a side effect that found no room for it."""

    leaf: Leaf

    @property
    @abstractmethod
    def task_id(self) -> str:
        """The name of its marker."""

    def begin_turn(self) -> None:
        """Try again, at the start of the next turn."""

    @abstractmethod
    def complete(self, details: str | None) -> None:
        """Resume the flow with the details of its marker."""


class Markers:
    """The markers of the turn that is replayed, and the steps that will record one."""

    __slots__ = ("patches", "recorded", "unfinished")

    def __init__(self) -> None:
        self.recorded: dict[str, str | None] = {}
        """The details of the markers of the turn that is replayed, by name."""
        self.patches: dict[str, bool] = {}
        """Whether the execution has each patch that the flow has reached."""
        self.unfinished: dict[str, UnfinishedStep] = {}
        """The steps that are not done yet, in the order in which the flow reached them."""

    def is_of_retired_patch(self, name: str) -> bool:
        """Return whether a marker was recorded by a call of `patched` that the code does not contain any more."""
        return name.startswith(PATCH) and name[len(PATCH) :] not in self.patches

    def add_unfinished(self, step: UnfinishedStep) -> None:
        """Keep a step until its marker is recorded."""
        step.leaf.pending = step
        self.unfinished[step.task_id] = step

    def remove_unfinished(self, step: UnfinishedStep) -> bool:
        """Remove a step, and return whether it was there."""
        if self.unfinished.get(step.task_id) is not step:
            return False
        del self.unfinished[step.task_id]
        return True
