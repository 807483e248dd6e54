"""What the activities of the example need, where some attempts kill their own process, as a machine that fails does.

Which ones is chance, seeded by the environment, and the same in every process.
"""

from __future__ import annotations

import os
import random
import signal
from typing import Any

from examples.index_project.repository import Change, Git
from examples.index_project.search import SearchIndex
from traction.runtime.activity_task import current_task

SEED = "TRACTION_TEST_SEED"
SHARE = 0.3


def is_mortal(seed: str, activity_id: str) -> bool:
    """Return whether the first attempt of a step kills its process."""
    return random.Random(f"{seed} {activity_id}").random() < SHARE


def may_die() -> None:
    task, seed = current_task(), os.environ.get(SEED)
    if seed is not None and task.attempt == 1 and is_mortal(seed, task.activity_id):
        os.kill(os.getpid(), signal.SIGKILL)


class MortalGit(Git):
    """The program git, which is asked within activities alone."""

    def list_commits(self, path: str, head: str) -> list[str]:
        may_die()
        return super().list_commits(path, head)

    def read_changes(self, path: str, head: str, first: int, count: int) -> list[Change]:
        changes = super().read_changes(path, head, first, count)
        may_die()
        return changes


def open_git() -> Git:
    return MortalGit()


def open_both() -> Any:
    return MortalGit(), SearchIndex()
