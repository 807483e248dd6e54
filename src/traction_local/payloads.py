"""Keep payloads in a directory, which may be one that several machines mount.

Takes bytes and keys; gives the bytes again. Each is a file, written whole under another name first.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from traction.errors import BackendError
from traction.stores import PayloadStore


class DirectoryStore(PayloadStore):
    """A directory, with a file for each payload: `ab/abcd...`."""

    def __init__(self, directory: Path, *, url: str | None = None) -> None:
        self.url = url or directory.absolute().as_uri()
        self.directory = directory

    def put(self, key: str, data: bytes) -> None:
        path = self._find(key)
        part = path.with_name(f"{key}.{os.getpid()}-{os.urandom(4).hex()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with part.open("xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise BackendError(f"{path} cannot be written: {error.strerror or error}") from error

    def get(self, key: str) -> bytes | None:
        path = self._find(key)
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BackendError(f"{path} cannot be read: {error.strerror or error}") from error

    def _find(self, key: str) -> Path:
        # Keys come from histories, which others may write to: none may lead out of the directory.
        if len(key) != 64 or set(key) - _HEXADECIMAL:
            raise BackendError(f"{key!r:.100} is no key: a key is a SHA-256 in lower-case hexadecimal")
        return self.directory / key[:2] / key


def open_directory(url: str) -> DirectoryStore:
    """Open `file:///directory`, which is made when something is first written.

    Raises:
        BackendError: the URL names no directory of this machine.
    """
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or parts.query or parts.fragment:
        raise BackendError(f"{url!r} names no directory of this machine: write file:///srv/payloads")
    directory = Path(path)
    if directory.exists() and not directory.is_dir():
        raise BackendError(f"{url!r} names a file, and payloads are kept in a directory")
    return DirectoryStore(directory, url=url)


_HEXADECIMAL = frozenset("0123456789abcdef")
