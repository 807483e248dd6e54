"""Read git repositories: the dependency of `CollectChanges`, `IndexStories` and `IndexIssues`."""

from __future__ import annotations

import os
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path


class GitError(Exception):
    """A repository cannot be read; the text has the reason that git reports."""


@dataclass(frozen=True)
class Change:
    """One commit. Bytes that are not UTF-8 have been replaced."""

    commit: str
    author: str
    date: str
    message: str

    @property
    def subject(self) -> str:
        return self.message.partition("\n")[0]


class Git:
    """The program git. Safe to share between threads: it caches only lists of commits, which never change."""

    def __init__(self) -> None:
        self._commits: dict[tuple[str, str], list[str]] = {}
        self._lock = threading.Lock()

    def find_head(self, path: str) -> str | None:
        """Return the commit that is checked out, or `None` if there is none yet.

        Raises:
            GitError: there is no repository at the path, or git refuses to read it.
        """
        if not Path(path).is_dir():
            raise GitError(f"{path} is not a directory")
        self._run(path, "rev-parse", "--git-dir")
        found = self._start(path, ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], "")
        return found.stdout.decode().strip() or None

    def is_shallow(self, path: str) -> bool:
        """Return whether the clone has only a part of the history."""
        return self._run(path, "rev-parse", "--is-shallow-repository").strip() == b"true"

    def list_commits(self, path: str, head: str) -> list[str]:
        """Return the commits that lead to `head`, newest first: always the same for the same head.

        Raises:
            GitError: the repository or the commit does not exist.
        """
        with self._lock:
            if (path, head) not in self._commits:
                self._commits[path, head] = self._run(path, "rev-list", head, "--").decode().split()
            return self._commits[path, head]

    def read_changes(self, path: str, head: str, first: int, count: int) -> list[Change]:
        """Read a part of the commits that `list_commits` returns.

        Raises:
            GitError: the repository or the commit does not exist.
        """
        commits = self.list_commits(path, head)[first : first + count]
        if not commits:
            return []
        # Each commit is four fields, and each field ends in NUL, which no message has.
        fields = self._run(
            path,
            *("log", "--no-walk=unsorted", "--stdin", "-z", "--no-show-signature", "--no-color"),
            "--format=tformat:%H%x00%an%x00%as%x00%B",
            stdin="\n".join(commits),
        ).decode(errors="replace")
        words = iter(fields.split("\0"))
        return [Change(*each) for each in zip(words, words, words, words, strict=False)]

    def _run(self, path: str, *words: str, stdin: str = "") -> bytes:
        done = self._start(path, list(words), stdin)
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip().partition("\n")[0]
            raise GitError(f"{path} cannot be read: git reports {reason!r}")
        return done.stdout

    def _start(self, path: str, words: list[str], stdin: str) -> subprocess.CompletedProcess[bytes]:
        # Without GIT_* variables, which hooks set, git reads the repository at the path. Messages are in UTF-8.
        env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {"LC_ALL": "C"}
        command = ["git", "-C", path, "-c", "i18n.logOutputEncoding=UTF-8", *words]
        try:
            return subprocess.run(command, input=stdin.encode(), capture_output=True, env=env)
        except FileNotFoundError as error:
            raise GitError("git is not installed, or not on PATH") from error
