"""Turn the text of a payload into another, and back: compressed, encrypted, kept outside.

Takes JSON text; gives `@names:body`, where the names say what was done to it, in order, and the body is base64, or the
key of a payload store. JSON never begins with `@`, so plain payloads and transformed ones stand side by side.

    {"n":1}                           JSON, as it is
    @zlib:eNqrVsp...                  compressed
    @zlib+aes-gcm:AjE5...             compressed, then encrypted
    @zlib+aes-gcm+store:9f86d0...     and kept in a payload store under that key

An attempt after the first is told its number behind the body (`codec.write_attempt`); a body has no brace.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Protocol

from traction.errors import PayloadError, PayloadUnavailable
from traction.stores import Shelf

MARK = "@"
"""How a payload begins that is not plain JSON."""

STORE = "store"
"""What a payload says that is kept in a payload store."""

INFLATED_BYTES_MAX = 256 * 1024 * 1024
"""The most bytes that a compressed payload may have in the clear: a short one can claim any length."""


class Transform(Protocol):
    """Turns bytes into bytes, and back. Its methods may be called from any thread."""

    @property
    def name(self) -> str:
        """What payloads call it: lower-case letters, digits and hyphens."""
        ...

    def write(self, data: bytes) -> bytes | None:
        """Transform, or give `None` to leave these bytes as they are."""
        ...

    def read(self, data: bytes, what: str) -> bytes:
        """Turn back what `write` gave. `what` names the payload in errors.

        Raises:
            PayloadError: `write` never gave this.
            PayloadUnavailable: something is missing here that it takes to read this, such as a key.
        """
        ...


class Compress:
    """Compress by zlib what is longer than `over` bytes, where that makes it shorter. Every codec reads it."""

    name = "zlib"

    def __init__(self, over: int = 1_024) -> None:
        self._over = over

    def write(self, data: bytes) -> bytes | None:
        if len(data) <= self._over:
            return None
        packed = zlib.compress(data)
        # In base64 a third is added.
        return packed if len(packed) * 4 < len(data) * 3 else None

    def read(self, data: bytes, what: str) -> bytes:
        inflater = zlib.decompressobj()
        try:
            plain = inflater.decompress(data, INFLATED_BYTES_MAX)
        except zlib.error as error:
            raise PayloadError(f"{what} says that it is compressed, and is not: {error}") from error
        if not inflater.eof:
            raise PayloadError(
                f"{what} is compressed, and "
                + (
                    f"longer than {INFLATED_BYTES_MAX:,} bytes in the clear"
                    if inflater.unconsumed_tail
                    else "its end is missing"
                )
            )
        return plain


class Chain:
    """Transforms in a row, and at the end a shelf for what is still too long."""

    __slots__ = ("_readers", "shelf", "transforms")

    def __init__(self, transforms: Sequence[Transform], shelf: Shelf | None) -> None:
        self.transforms = tuple(transforms)
        self.shelf = shelf
        self._readers: dict[str, Transform] = {"zlib": Compress(), **{one.name: one for one in transforms}}
        names = [one.name for one in transforms]
        for name in names:
            if not name or set(name) - _LETTERS or name == STORE or names.count(name) > 1:
                raise ValueError(
                    f"a codec cannot have a transform called {name!r}: names are lower-case letters, digits and "
                    f"hyphens, each is there once, and {STORE!r} is taken"
                )

    def pack(self, text: str, chars_max: int, what: str) -> str:
        """Transform a text, and give it away if it is too long then; what is too long still, the caller sees."""
        plain = text.encode()
        names, data = self._apply(self.transforms, plain)
        packed = _write_text(names, data) if names else text
        if len(packed) <= chars_max or self.shelf is None:
            return packed
        if Compress.name not in names:
            others = [one for one in self.transforms if one.name != Compress.name]
            names, data = self._apply([_COMPRESS_ANY, *others], plain)
            if names and len(packed := _write_text(names, data)) <= chars_max:
                return packed
        return f"{MARK}{'+'.join([*names, STORE])}:{self.shelf.put(data, what)}"

    def unpack(self, payload: str, what: str) -> str:
        """Give the text that was packed.

        Raises:
            PayloadError: nothing of Traction's has written this.
            PayloadUnavailable: it takes something to read it that is not here.
        """
        names, body = _split(payload)
        if names and names[-1] == STORE:
            names.pop()
            if self.shelf is None:
                raise PayloadUnavailable(
                    f"{what} is kept in a payload store under {body}, and none is open here. Name the one that it was "
                    "written to: WorkerSystem(..., payloads=...)"
                )
            data = self.shelf.get(body, what)
        else:
            try:
                data = b64decode(body, validate=True)
            except ValueError as error:
                raise PayloadError(
                    f"{what} begins as a transformed payload does, and is none: {error}. It reads {payload!r:.200}"
                ) from error
        for name in reversed(names):
            reader = self._readers.get(name)
            if reader is None:
                raise PayloadUnavailable(
                    f"{what} was written with {name!r}, and the codec here has {', '.join(sorted(self._readers))}. "
                    "Give this process the codec that its writer has"
                )
            data = reader.read(data, what)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            raise PayloadError(f"{what} is no text when it is turned back: {error}") from error

    def settle(self, payload: str) -> None:
        """Bring what a payload refers to into the store, if it is not there yet.

        Raises:
            PayloadStoreError: the store does not take it.
        """
        if self.shelf is not None and payload.startswith(MARK):
            names, body = _split(payload)
            if names and names[-1] == STORE:
                self.shelf.settle(body, "what a decision refers to")

    @staticmethod
    def _apply(transforms: Sequence[Transform], data: bytes) -> tuple[list[str], bytes]:
        names: list[str] = []
        for one in transforms:
            written = one.write(data)
            if written is not None:
                names.append(one.name)
                data = written
        return names, data


def _write_text(names: Sequence[str], data: bytes) -> str:
    return f"{MARK}{'+'.join(names)}:{b64encode(data).decode()}"


def _split(payload: str) -> tuple[list[str], str]:
    head, _, rest = payload[1:].partition(":")
    return head.split("+"), rest.partition("{")[0]


_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")

_COMPRESS_ANY = Compress(over=0)
