"""Index a git repository with several workers, and answer a search: `python -m examples.index_project [path]`."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from pathlib import Path

from examples.index_project.repository import Git, GitError
from examples.index_project.search import SearchIndex
from examples.index_project.workflow import CollectChanges, IndexIssues, IndexProjectData, IndexStories
from traction import Handle, WorkerSystem
from traction.errors import TractionError
from traction.history import read_execution, render

CHECKOUT = Path(__file__).resolve().parents[2]
LEGEND = "Each line is a step, or a group of parallel steps. ░ waits for a worker, █ runs."
PROGRESS_SECONDS = 0.1
"""The time between two reports of progress."""


def main() -> int:
    parser = argparse.ArgumentParser("python -m examples.index_project", description=__doc__)
    parser.add_argument("path", nargs="?", help="a git repository (default: the one that contains this example)")
    parser.add_argument("--search", metavar="WORDS", help="words, or issues such as '#12'")
    parser.add_argument("--url", default="local:", help="the backend (default: local:, in memory)")
    given = parser.parse_args()

    git, index = Git(), SearchIndex()
    try:
        path = find_path(git, given.path)
        shallow = " (a shallow clone, so only a part of its history)" if git.is_shallow(path) else ""
        print(f"Indexing {path}{shallow}\n2 workers decide and 9 run activities, through the backend {given.url}\n")
        stories, issues = index_project(path, git, index, given.url)
        print(
            f"Indexed {count_noun(stories, 'story', 'stories')}, {count_noun(issues, 'mention', 'mentions')} of issues."
        )
        words = given.search or find_word(git, path)
        if words:
            answer(index, words)
        if words and not given.search:
            program = os.path.relpath(sys.executable)
            print(f"\nTo search for other words:  {program} -m examples.index_project [PATH] --search WORDS")
    except (GitError, TractionError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        index.close()
    return 0


def index_project(path: str, git: Git, index: SearchIndex, url: str) -> tuple[int, int]:
    """Run the workflow with workers in this process; with another URL they could be on other machines."""
    with WorkerSystem(url) as ws:
        ws.start_workflow_worker(IndexProjectData, instances=2)
        ws.start_activity_worker(CollectChanges, git)
        ws.start_activity_worker(IndexStories, (git, index), instances=4)
        ws.start_activity_worker(IndexIssues, (git, index), instances=4)
        handle = ws.start(IndexProjectData(path))
        try:
            return watch(handle)
        finally:
            width = shutil.get_terminal_size((100, 24)).columns
            print(LEGEND if can_draw() else LEGEND.replace("░", ".").replace("█", "#"))
            print(render(read_execution(handle.history()), width=width, branches_max=8, ascii=not can_draw()))


def watch(handle: Handle[tuple[int, int]]) -> tuple[int, int]:
    """Wait for the result; on a terminal, show the progress."""
    terminal, shown = sys.stdout.isatty(), ""
    try:
        while True:
            try:
                return handle.result(PROGRESS_SECONDS)
            except TimeoutError:
                if terminal:
                    steps = [step for step in read_execution(handle.history()).walk() if not step.steps]
                    shown = f"{sum(step.state == 'Done' for step in steps)} of {len(steps)} started steps are done"
                    print(f"\r{shown}", end="", flush=True)
    finally:
        if shown:
            print(f"\r{' ' * len(shown)}\r", end="")


def find_path(git: Git, given: str | None) -> str:
    """Return the path of the repository to index.

    Raises:
        GitError: it is not a git repository.
    """
    if given is not None:
        path = str(Path(given).resolve())
        git.find_head(path)
        return path
    way_out = "Pass the path of a repository: python -m examples.index_project PATH"
    # Code from an archive may be in a folder of another repository, which must not be indexed.
    if not (CHECKOUT / ".git").exists():
        raise GitError(
            f"{CHECKOUT} is not a git repository (it has no .git), so there is no history to index.\n{way_out}"
        )
    try:
        git.find_head(str(CHECKOUT))
    except GitError as error:
        raise GitError(f"{error}\n{way_out}") from error
    return str(CHECKOUT)


def find_word(git: Git, path: str) -> str:
    """Choose a word to search for: the longest in the first line of the newest story that has words."""
    head = git.find_head(path)
    for change in git.read_changes(path, head, 0, 20) if head else ():
        words: list[str] = re.findall(r"[^\W\d_]{2,}", change.subject)
        if words:
            return max(words, key=len)
    return ""


def answer(index: SearchIndex, words: str) -> None:
    count, found = index.search(words)
    print(f"\nSearch for {words!r}: {count_noun(count, 'story', 'stories')}")
    for commit, date, subject in found:
        line = "".join(c if c.isprintable() else " " for c in f"  {commit[:9]}  {date}  {subject}")
        encoding = sys.stdout.encoding or "ascii"
        print(line.encode(encoding, "replace").decode(encoding))


def count_noun(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def can_draw() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


if __name__ == "__main__":
    sys.exit(main())
