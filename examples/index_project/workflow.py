"""Say what indexing a project is: collect its changes, then index stories and issues side by side.

What travels between machines is small, however large the project: not the changes, but where they are found.
"""

from __future__ import annotations

import msgspec

from examples.index_project.repository import Git
from examples.index_project.search import SearchIndex
from traction import Activity, Retry, Workflow, each

PAGE_MIN, PAGE_MAX, PAGES_WANTED = 20, 2_500, 8


class Page(msgspec.Struct, frozen=True):
    """A part of the changes that lead to a commit, which are always the same: `count` of them from the `first` on."""

    path: str
    head: str
    first: int
    count: int


class Changes(msgspec.Struct, frozen=True):
    """The changes that lead to a commit: where they are, and how many."""

    path: str
    head: str
    count: int

    def pages(self) -> list[Page]:
        """Cut them into pages, the same for the same changes."""
        size = min(max(-(-self.count // PAGES_WANTED), PAGE_MIN), PAGE_MAX)
        return [Page(self.path, self.head, at, min(size, self.count - at)) for at in range(0, self.count, size)]


class CollectChanges(Activity[Git, Changes], start_to_close=600, retry=Retry(attempts=3)):
    """Find what there is to index."""

    path: str

    def run(self, git: Git) -> Changes:
        head = git.find_head(self.path)
        return Changes(self.path, head or "", len(git.list_commits(self.path, head)) if head else 0)


class IndexStories(Activity[tuple[Git, SearchIndex], int], retry=Retry(attempts=3)):
    """Index what the changes of a page tell; safe to repeat, since a story is stored under its commit."""

    page: Page

    def run(self, needs: tuple[Git, SearchIndex]) -> int:
        git, index = needs
        return index.add_stories(git.read_changes(self.page.path, self.page.head, self.page.first, self.page.count))


class IndexIssues(Activity[tuple[Git, SearchIndex], int], retry=Retry(attempts=3)):
    """Index which issues the changes of a page mention; safe to repeat, as stories are."""

    page: Page

    def run(self, needs: tuple[Git, SearchIndex]) -> int:
        git, index = needs
        return index.add_issues(git.read_changes(self.page.path, self.page.head, self.page.first, self.page.count))


class IndexProjectData(Workflow[tuple[int, int]]):
    """Index a project: how many stories there are, and how many mentions of issues."""

    path: str

    async def flow(self) -> tuple[int, int]:
        changes = await CollectChanges(self.path)
        stories = each(IndexStories, changes.pages(), limit=4).map(sum)
        issues = each(IndexIssues, changes.pages(), limit=4).map(sum)
        return await (stories & issues)
