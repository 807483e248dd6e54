"""The examples run as they stand, on every kind of repository that a stranger may have."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.index_project.repository import Change, Git, GitError
from examples.index_project.search import SearchIndex
from examples.index_project.workflow import (
    PAGE_MAX,
    Changes,
    CollectChanges,
    IndexIssues,
    IndexProjectData,
    IndexStories,
)
from traction import run

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(path: Path, *words: str, stdin: bytes = b"") -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env = clean | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(["git", "-C", str(path), *words], input=stdin, capture_output=True, check=True, env=env)
    return done.stdout.decode()


def make_repository(path: Path, *messages: bytes, merge: bool = False) -> Path:
    """Make a repository with one commit for each message; the last merges the first, if asked."""
    path.mkdir(parents=True, exist_ok=True)
    git(path, "init", "--quiet")
    branch = git(path, "symbolic-ref", "HEAD").strip()
    lines = []
    for n, message in enumerate(messages, start=1):
        lines.append(b"commit %s\nmark :%d\ncommitter A <a@b> %d +0000\n" % (branch.encode(), n, 1_000_000_000 + n))
        lines.append(b"data %d\n%s\n" % (len(message), message))
        if merge and n == len(messages):
            lines.append(b"from :%d\nmerge :1\n" % (n - 1))
    git(path, "fast-import", "--quiet", stdin=b"".join(lines))
    return path


_indexes: list[SearchIndex] = []


@pytest.fixture(autouse=True)
def close_indexes() -> Iterator[None]:
    """Close the indexes that a test made."""
    yield
    while _indexes:
        _indexes.pop().close()


def make_index() -> SearchIndex:
    _indexes.append(SearchIndex())
    return _indexes[-1]


def index(path: Path) -> tuple[tuple[int, int], SearchIndex]:
    reader, made = Git(), make_index()
    needs = (reader, made)
    provide = {CollectChanges: reader, IndexStories: needs, IndexIssues: needs}
    return run(IndexProjectData(str(path)), provide=provide, timeout=60), made


def call_demo(*words: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    command = [sys.executable, "-m", "examples.index_project", *words]
    return subprocess.run(command, cwd=cwd, env=clean | env, capture_output=True, text=True, timeout=60)


# Hello.


def test_hello_prints_its_greeting() -> None:
    done = subprocess.run([sys.executable, "examples/hello.py"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello, world!\n", "")


def test_hello_has_at_most_ten_lines_of_code() -> None:
    assert len([line for line in (ROOT / "examples" / "hello.py").read_text().splitlines() if line]) <= 10


# What is indexed.


def test_stories_and_mentions_of_issues_are_counted_and_found(tmp_path: Path) -> None:
    path = make_repository(tmp_path, b"Fix the lamp (#12)\n\nSee #7 and again #12.", b"Paint the door", b"no #a or a#1")
    counts, made = index(path)
    assert counts == (3, 2)
    assert [subject for _, _, subject in made.search("lamp")[1]] == ["Fix the lamp (#12)"]
    assert [subject for _, _, subject in made.search("#7")[1]] == ["Fix the lamp (#12)"]
    assert made.search("#1") == (0, [])
    assert made.search('door" OR (') == (0, [])
    assert made.search("!?") == (0, [])


def test_an_empty_repository_has_nothing_to_index(tmp_path: Path) -> None:
    assert index(make_repository(tmp_path))[0] == (0, 0)


def test_a_merge_is_a_story_like_any_other(tmp_path: Path) -> None:
    assert index(make_repository(tmp_path, b"one", b"two", b"Merge one", merge=True))[0] == (3, 0)


def test_what_is_not_utf_8_is_indexed_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    counts, made = index(make_repository(tmp_path, b"na\xefve lamp #3"))
    assert counts == (1, 1)
    assert made.search("lamp")[1][0][2] == "na�ve lamp #3"


def test_a_shallow_clone_is_indexed_as_far_as_it_goes(tmp_path: Path) -> None:
    origin = make_repository(tmp_path / "origin", b"one", b"two", b"three")
    git(tmp_path, "clone", "--quiet", "--depth=2", origin.as_uri(), "copy")
    assert index(tmp_path / "copy")[0] == (2, 0)
    assert Git().is_shallow(str(tmp_path / "copy"))


def test_a_bare_repository_has_a_history_too(tmp_path: Path) -> None:
    make_repository(tmp_path / "origin", b"one")
    git(tmp_path, "clone", "--quiet", "--bare", "origin", "bare")
    assert index(tmp_path / "bare")[0] == (1, 0)


def test_an_empty_message_is_a_story(tmp_path: Path) -> None:
    assert index(make_repository(tmp_path, b"", b"two"))[0] == (2, 0)


def test_every_change_is_on_one_page(tmp_path: Path) -> None:
    messages = [b"story %d #%d" % (n, n) for n in range(505)]
    counts, made = index(make_repository(tmp_path, *messages))
    assert counts == (505, 505)
    assert made.search("story")[0] == 505


@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 160, 161, 50_000, 1_000_000])
def test_pages_cut_the_changes_without_gap_or_overlap(count: int) -> None:
    pages = Changes("path", "head", count).pages()
    ends = [page.first + page.count for page in pages]
    assert [page.first for page in pages] == [0, *ends[:-1]][: len(pages)]
    assert (ends or [0])[-1] == count
    assert all(0 < page.count <= PAGE_MAX for page in pages)


def test_indexing_a_page_again_changes_nothing() -> None:
    changes = [Change("a" * 40, "Ann", "2030-01-01", "Fix #1"), Change("b" * 40, "Ann", "2030-01-02", "Fix #2")]
    once, twice = make_index(), make_index()
    for made, times in ((once, 1), (twice, 2)):
        for _ in range(times):
            assert (made.add_stories(changes), made.add_issues(changes)) == (2, 2)
    assert once.search("Fix") == twice.search("Fix")


def test_no_repository_is_a_clear_error(tmp_path: Path) -> None:
    for path, says in ((tmp_path, "not a git repository"), (tmp_path / "none", "is not a directory")):
        with pytest.raises(GitError, match=says):
            Git().find_head(str(path))


# The demo.


def test_the_demo_ends_with_a_search_result(tmp_path: Path) -> None:
    done = call_demo(str(make_repository(tmp_path, b"Repair the lighthouse (#4)")))
    assert (done.returncode, done.stderr) == (0, "")
    assert "✓ CollectChanges-1" in done.stdout
    assert "Indexed 1 story, 1 mention of issues." in done.stdout
    assert "Search for 'lighthouse': 1 story" in done.stdout
    assert "  2001-09-09  Repair the lighthouse (#4)\n" in done.stdout


def test_the_demo_answers_a_search_of_ours(tmp_path: Path) -> None:
    path = make_repository(tmp_path, b"one #1", b"two", b"three #1")
    shown = call_demo(str(path), "--search", "#1").stdout.split("Search for")[1].splitlines()
    assert [line.split(maxsplit=2)[-1] for line in shown[1:]] == ["three #1", "one #1"]


def test_the_demo_reports_an_empty_repository(tmp_path: Path) -> None:
    done = call_demo(str(make_repository(tmp_path)))
    assert done.returncode == 0
    assert done.stdout.endswith("Indexed 0 stories, 0 mentions of issues.\n")


def test_the_demo_reports_a_directory_without_a_repository(tmp_path: Path) -> None:
    done = call_demo(str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "not a git repository" in done.stderr


def test_the_demo_of_an_unpacked_archive_names_a_way_out(tmp_path: Path) -> None:
    # An archive may be unpacked inside another repository, which must not be indexed.
    unpacked = make_repository(tmp_path, b"something else") / "traction"
    shutil.copytree(ROOT / "examples", unpacked / "examples")
    done = call_demo(cwd=unpacked, PYTHONPATH=str(ROOT / "src"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not a git repository" in done.stderr
    assert "python -m examples.index_project PATH" in done.stderr


def test_the_demo_leaves_nothing_on_disk(tmp_path: Path) -> None:
    path = make_repository(tmp_path / "repository", b"one")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    before = sorted(tmp_path.rglob("*"))
    done = call_demo(str(path), TMPDIR=str(temporary), HOME=str(temporary))
    assert done.returncode == 0
    assert sorted(tmp_path.rglob("*")) == before
