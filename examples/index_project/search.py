"""An index of stories and issues, in SQLite, in memory: the dependency of `IndexStories` and `IndexIssues`."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterable
from hashlib import sha256

from examples.index_project.repository import Change

ISSUE = re.compile(r"(?<![\w&/])#(\d{1,9})\b")
"""A reference to an issue, such as #12."""


class SearchIndex:
    """Stories, and the issues that they mention. Safe to share between threads. Adding is idempotent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        self._db.executescript(
            "CREATE VIRTUAL TABLE stories USING fts5(message, commit_id UNINDEXED, date UNINDEXED);"
            "CREATE VIRTUAL TABLE mentions USING fts5(issue, subject UNINDEXED, commit_id UNINDEXED);"
        )

    def add_stories(self, changes: Iterable[Change]) -> int:
        """Add the message of each change, and return the number of changes."""
        rows = [(_make_key(change.commit), change.message, change.commit, change.date) for change in changes]
        with self._lock, self._db:
            self._db.executemany(
                "INSERT OR REPLACE INTO stories (rowid, message, commit_id, date) VALUES (?, ?, ?, ?)", rows
            )
        return len(rows)

    def add_issues(self, changes: Iterable[Change]) -> int:
        """Add the issues that each change mentions, and return the number of mentions."""
        rows = [
            (_make_key(f"{change.commit} {issue}"), f"issue{issue}", change.subject, change.commit)
            for change in changes
            for issue in sorted(set(ISSUE.findall(change.message)), key=int)
        ]
        with self._lock, self._db:
            self._db.executemany(
                "INSERT OR REPLACE INTO mentions (rowid, issue, subject, commit_id) VALUES (?, ?, ?, ?)", rows
            )
        return len(rows)

    def search(self, words: str, limit: int = 5) -> tuple[int, list[tuple[str, str, str]]]:
        """Find the stories that have all these words, or that mention an issue such as `#12`.

        Returns their number; and of the best ones the commit, the date and the first line.
        """
        terms = re.findall(r"#?\w+", words)
        if not terms:
            return 0, []
        issues = [word[1:] for word in terms if ISSUE.fullmatch(word)]
        plain = [word.lstrip("#") for word in terms if not ISSUE.fullmatch(word)]
        where, parameters = list[str](), list[str]()
        if plain:
            where.append("stories MATCH ?")
            parameters.append(" ".join(f'"{word}"' for word in plain))
        for issue in issues:
            where.append("commit_id IN (SELECT commit_id FROM mentions WHERE mentions MATCH ?)")
            parameters.append(f'"issue{issue}"')
        chosen = f"FROM stories WHERE {' AND '.join(where)}"
        order = "rank" if plain else "date DESC"
        with self._lock:
            (count,) = self._db.execute(f"SELECT count(*) {chosen}", parameters).fetchone()
            found = self._db.execute(
                f"SELECT commit_id, date, message {chosen} ORDER BY {order}, date DESC, rowid LIMIT ?",
                [*parameters, limit],
            ).fetchall()
        return count, [(commit, date, message.partition("\n")[0]) for commit, date, message in found]

    def close(self) -> None:
        with self._lock:
            self._db.close()


def _make_key(name: str) -> int:
    """Return the row id of a name, the same on every attempt."""
    return int.from_bytes(sha256(name.encode()).digest()[:8], "big", signed=True)
