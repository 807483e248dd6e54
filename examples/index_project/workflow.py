"""The workflow that indexes a project: collect its changes, then index stories and issues in parallel.

Payloads are small for any size of project: they contain the places of changes, not the changes.
"""

from __future__ import annotations

import msgspec

from examples.index_project.repository import Git
from examples.index_project.search import SearchIndex
from traction import Activity, Retry, Workflow, each

PAGE_MIN, PAGE_MAX, PAGES_WANTED = 20, 2_500, 8


class Page(msgspec.Struct, frozen=True):
    """A part of the changes that lead to a commit: `count` of them, from number `first`."""

    path: str
    head: str
    first: int
    count: int


class Changes(msgspec.Struct, frozen=True):
    """The changes that lead to a commit: the repository, the commit and their number."""

    path: str
    head: str
    count: int

    def pages(self) -> list[Page]:
        """Return the changes as pages, always the same for the same changes."""
        size = min(max(-(-self.count // PAGES_WANTED), PAGE_MIN), PAGE_MAX)
        return [Page(self.path, self.head, at, min(size, self.count - at)) for at in range(0, self.count, size)]


class CollectChanges(Activity[Git, Changes], start_to_close=600, retry=Retry(attempts=3)):
    """Find the changes to index."""

    path: str

    def run(self, git: Git) -> Changes:
        head = git.find_head(self.path)
        return Changes(self.path, head or "", len(git.list_commits(self.path, head)) if head else 0)


class IndexStories(Activity[tuple[Git, SearchIndex], int], retry=Retry(attempts=3)):
    """Index the messages of a page of changes. Safe to repeat, because each is stored under its commit."""

    page: Page

    def run(self, needs: tuple[Git, SearchIndex]) -> int:
        git, index = needs
        return index.add_stories(git.read_changes(self.page.path, self.page.head, self.page.first, self.page.count))


class IndexIssues(Activity[tuple[Git, SearchIndex], int], retry=Retry(attempts=3)):
    """Index the issues that a page of changes mentions. Safe to repeat, as `IndexStories` is."""

    page: Page

    def run(self, needs: tuple[Git, SearchIndex]) -> int:
        git, index = needs
        return index.add_issues(git.read_changes(self.page.path, self.page.head, self.page.first, self.page.count))


class IndexProjectData(Workflow[tuple[int, int]]):
    """Index a project, and return the numbers of stories and of mentions of issues."""

    path: str

    async def flow(self) -> tuple[int, int]:
        changes = await CollectChanges(self.path)
        stories = each(IndexStories, changes.pages(), limit=4).map(sum)
        issues = each(IndexIssues, changes.pages(), limit=4).map(sum)
        return await (stories & issues)
