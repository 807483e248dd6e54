"""Define the number of Hypothesis examples: 25, derandomized in CI, and 2,500 in the nightly profile."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from functools import cache

import pytest
from hypothesis import settings

# No deadlines: the duration of an example depends on the machine, and is not a claim of any test.
settings.register_profile("desk", deadline=None, max_examples=25)
# In CI the same code gets the same examples. Random examples run on developers' machines and in the nightly profile.
settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True, database=None, print_blob=True)
settings.register_profile("nightly", deadline=None, max_examples=2500, derandomize=False, print_blob=True)

# `--hypothesis-profile` is read after this, and wins.
settings.load_profile("ci" if os.environ.get("CI") else "desk")


pytest_plugins = ["pytester"]


def pytest_xdist_auto_num_workers() -> int:
    """Begin two workers for each core: many tests wait for a server, a process or a clock, and use none."""
    return 2 * (os.cpu_count() or 1)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape half a character in what a test logs: the processes of pytest-xdist cannot send it to each other."""
    report = yield
    report.sections = [(title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections]
    return report


@pytest.fixture(scope="session")
def shared_models() -> Iterator[None]:
    """Parse the JSON files of botocore once, not for each of hundreds of clients."""
    from botocore import loaders

    create = cache(loaders.create_loader)

    def share(search_path: str | None = None) -> loaders.Loader:
        loader = create(search_path)
        # boto3 appends its own path for each session.
        loader.search_paths[:] = dict.fromkeys(loader.search_paths)
        return loader

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loaders, "create_loader", share)
        yield
