"""A payload store in a directory, which several machines may mount.

Each payload is a file. It is written under a temporary name first, and only its owner can read it.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from traction.errors import BackendError
from traction.payloads.stores import PayloadStore, is_key

# Flags that the system supports: a link is an error, and a pipe does not block.
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class DirectoryStore(PayloadStore):
    """A directory, with a file for each payload: `ab/abcd...`.

    Files have the mode 0600, and the directories that it makes 0700: all processes that share it run as one user. Only
    regular files are read, and links inside of the directory are not followed.
    """

    def __init__(self, directory: Path, *, url: str | None = None) -> None:
        self.url = url or directory.absolute().as_uri()
        self.directory = directory

    def put(self, key: str, data: bytes) -> None:
        path = self._find(key)
        part = path.with_name(f"{key}.{os.getpid()}-{os.urandom(4).hex()}.part")
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            _check_folder(path.parent)
            try:
                with os.fdopen(os.open(part, _CREATE, 0o600), "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise BackendError(f"{path} cannot be written: {error.strerror or error}") from error

    def get(self, key: str) -> bytes | None:
        return self.get_bounded(key, sys.maxsize)

    def get_bounded(self, key: str, bytes_max: int) -> bytes | None:
        path = self._find(key)
        try:
            _check_folder(path.parent)
            with os.fdopen(os.open(path, _READ), "rb") as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode):
                    raise OSError("it is not a regular file")
                # A read allocates a buffer of the requested length.
                return file.read(min(found.st_size, bytes_max + 1))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BackendError(f"{path} cannot be read: {error.strerror or error}") from error

    def _find(self, key: str) -> Path:
        if not is_key(key):
            raise BackendError(f"{key!r:.100} is not a key: a key is a SHA-256 in lower-case hexadecimal")
        return self.directory / key[:2] / key


def _check_folder(folder: Path) -> None:
    """Check that a path is a directory and not a link.

    Raises:
        OSError: it is a link, not a directory, or does not exist.
    """
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise OSError(f"{folder} is not a directory, and links are not followed")


def open_directory(url: str) -> DirectoryStore:
    """Open `file:///directory`, which is created at the first write.

    Raises:
        BackendError: the URL does not name a directory of this machine.
    """
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc not in ("", "localhost") or not path.startswith("/") or parts.query or parts.fragment:
        raise BackendError(f"{url!r} does not name a directory of this machine: write file:///srv/payloads")
    directory = Path(path)
    if directory.exists() and not directory.is_dir():
        raise BackendError(f"{url!r} names a file: payloads are stored in a directory")
    return DirectoryStore(directory, url=url)
