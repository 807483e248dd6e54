"""Payload stores return what was put, to every process, and report errors."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from traction.errors import BackendError, UnknownSchemeError
from traction.payloads.stores import PayloadStore
from traction.plugins.hookspecs import hookimpl
from traction.plugins.loading import load_plugins, open_payload_store

DATA = b"what is kept"
KEY = sha256(DATA).hexdigest()

OpenStore = Callable[[], PayloadStore]


@pytest.fixture(params=["file", "s3"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenStore]:
    """Open one store, as often as wanted."""
    if request.param == "file":
        yield lambda: open_payload_store((tmp_path / "a b").as_uri())
        return
    request.getfixturevalue("shared_models")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="payloads")
        yield lambda: open_payload_store("s3://payloads/some/prefix?region=us-east-1")


def test_what_is_put_is_there_for_everyone(reopen: OpenStore) -> None:
    reopen().put(KEY, DATA)
    assert reopen().get(KEY) == DATA


def test_to_put_twice_is_to_put_once(reopen: OpenStore) -> None:
    store = reopen()
    store.put(KEY, DATA)
    store.put(KEY, DATA)
    assert store.get(KEY) == DATA


def test_what_was_never_put_is_not_there(reopen: OpenStore) -> None:
    assert reopen().get(KEY) is None


def test_a_directory_has_whole_files_and_no_others(tmp_path: Path) -> None:
    open_payload_store(tmp_path.as_uri()).put(KEY, DATA)
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()] == [
        f"{KEY[:2]}/{KEY}"
    ]


@pytest.mark.parametrize("key", ["../../etc/passwd", "", KEY.upper(), KEY[:-1], f"{KEY}/"])
def test_no_key_leads_out_of_a_directory(tmp_path: Path, key: str) -> None:
    store = open_payload_store(tmp_path.as_uri())
    with pytest.raises(BackendError, match="is not a key"):
        store.get(key)


def test_what_a_directory_keeps_is_readable_for_its_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "kept"
    open_payload_store(directory.as_uri()).put(KEY, DATA)
    paths = [directory, *directory.rglob("*")]
    assert [oct(path.stat().st_mode & 0o777) for path in paths] == ["0o700", "0o700", "0o600"]


def _link_to_file(path: Path) -> None:
    outside = path.parent.parent / "outside"
    outside.write_bytes(DATA)
    path.symlink_to(outside)


def _link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, _link_to_file, _link_to_device])
def test_a_directory_reads_regular_files_alone(tmp_path: Path, make: Callable[[Path], None]) -> None:
    store = open_payload_store(tmp_path.as_uri())
    path = tmp_path / KEY[:2] / KEY
    path.parent.mkdir()
    make(path)
    with pytest.raises(BackendError, match="cannot be read"):
        store.get(KEY)


def test_a_directory_follows_no_link_to_another_directory(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / KEY).write_bytes(DATA)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / KEY[:2]).symlink_to(other)
    store = open_payload_store((tmp_path / "kept").as_uri())
    for act in (lambda: store.get(KEY), lambda: store.put(KEY, DATA)):
        with pytest.raises(BackendError, match="links are not followed"):
            act()


def test_no_more_is_read_than_was_asked_for(reopen: OpenStore) -> None:
    reopen().put(KEY, DATA)
    assert [reopen().get_bounded(KEY, n) for n in (3, 11, 12, 10**9)] == [DATA[:4], DATA, DATA, DATA]


def test_a_directory_that_cannot_be_used_is_a_backend_error(tmp_path: Path) -> None:
    store = open_payload_store((tmp_path / "file").as_uri())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BackendError, match="cannot be written"):
        store.put(KEY, DATA)
    with pytest.raises(BackendError, match="cannot be read"):
        store.get(KEY)


@pytest.mark.parametrize(
    "url", ["file:relative", "file://host/dir", "file:///dir?x=1", "s3:", "s3:///key", "s3://bucket?color=red"]
)
def test_a_url_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(BackendError, match=r"file:///srv|s3://bucket/prefix"):
        open_payload_store(url)


def test_a_file_is_not_a_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BackendError, match="names a file"):
        open_payload_store((tmp_path / "file").as_uri())


def test_a_bucket_that_is_not_there_is_a_backend_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        store = open_payload_store("s3://payloads?region=us-east-1")
        for act in (lambda: store.get(KEY), lambda: store.put(KEY, DATA)):
            with pytest.raises(BackendError, match="NoSuchBucket"):
                act()


def test_a_store_that_is_never_opened_is_reported() -> None:
    with pytest.raises(UnknownSchemeError, match=r"no installed payload store opens 'gs://bucket'"):
        open_payload_store("gs://bucket")


def test_a_plugin_opens_a_store_of_its_own(tmp_path: Path) -> None:
    inner = open_payload_store(tmp_path.as_uri())

    class Plugin:
        @hookimpl
        def traction_payload_store(self, url: str) -> PayloadStore | None:
            return inner if url == "mine:" else None

    assert open_payload_store("mine:", load_plugins(Plugin())) is inner
    assert os.listdir(tmp_path) == []
