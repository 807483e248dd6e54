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

from traction.errors import InvalidPayloadError, PayloadError, PayloadUnavailableError
from traction.payloads.stores import DECODED_BYTES_MAX, StoreCache, check_key, too_large

MARK = "@"
"""How a payload begins that is not plain JSON."""

STORE = "store"
"""What a payload says that is kept in a payload store."""

NAME_CHARS_MAX = 64
"""The most characters of a transform's name."""


class Transform(Protocol):
    """Turns bytes into bytes, and back. Its methods may be called from any thread."""

    @property
    def name(self) -> str:
        """What payloads call it: lower-case letters, digits and hyphens."""
        ...

    @property
    def hides(self) -> bool:
        """Whether nobody can read what it writes without a secret.

        A codec with such a transform keeps the text of payloads out of errors and logs, and transforms the details of
        failures as well. A transform without this attribute is taken to hide.
        """
        ...

    def write(self, data: bytes) -> bytes | None:
        """Transform, or give `None` to leave these bytes as they are."""
        ...

    def read(self, data: bytes, what: str) -> bytes:
        """Turn back what `write` gave. `what` names the payload in errors.

        A transform that can turn few bytes into many limits how many it returns.

        Raises:
            InvalidPayloadError: `write` never gave this, or it is too large.
            PayloadUnavailableError: something is missing here that it takes to read this, such as a key.
        """
        ...


class Compress:
    """Compress with zlib what is longer than `over` bytes, where that makes it shorter. Every codec reads it.

    Args:
        over: the number of bytes up to which payloads stay as they are.
        bytes_max: the most bytes that `read` returns. A codec reads with its own limit instead.
    """

    name = "zlib"
    hides = False

    def __init__(self, over: int = 1_024, *, bytes_max: int = DECODED_BYTES_MAX) -> None:
        self._over = over
        self._bytes_max = bytes_max

    def write(self, data: bytes) -> bytes | None:
        if len(data) <= self._over:
            return None
        packed = zlib.compress(data)
        # In base64 a third is added.
        return packed if len(packed) * 4 < len(data) * 3 else None

    def read(self, data: bytes, what: str) -> bytes:
        inflater = zlib.decompressobj()
        try:
            # One byte more than allowed, which tells what is too long from what ends at the limit.
            plain = inflater.decompress(data, self._bytes_max + 1)
        except zlib.error as error:
            raise InvalidPayloadError(f"{what} says that it is compressed, and is not: {error}") from None
        if len(plain) > self._bytes_max:
            raise too_large(what, "when it is decompressed", self._bytes_max)
        if not inflater.eof:
            raise InvalidPayloadError(f"{what} is compressed, and its end is missing")
        return plain


class Chain:
    """Transforms in a row, and at the end a shelf for what is still too long."""

    __slots__ = ("_readers", "bytes_max", "hides", "shelf", "transforms")

    def __init__(
        self, transforms: Sequence[Transform], shelf: StoreCache | None, bytes_max: int = DECODED_BYTES_MAX
    ) -> None:
        self.transforms = tuple(transforms)
        self.shelf = shelf
        self.bytes_max = bytes_max
        self.hides = any(getattr(one, "hides", True) for one in transforms)
        inflate = Compress(bytes_max=bytes_max)
        self._readers: dict[str, Transform] = {inflate.name: inflate}
        self._readers.update((one.name, one) for one in transforms if type(one) is not Compress)
        names = [one.name for one in transforms]
        for name in names:
            if not _is_name(name) or name == STORE or names.count(name) > 1:
                raise ValueError(
                    f"a codec cannot have a transform called {name!r}: names are at most {NAME_CHARS_MAX} lower-case "
                    f"letters, digits and hyphens, each is there once, and {STORE!r} is taken"
                )

    def pack(self, text: str, chars_max: int, what: str) -> str:
        """Transform a text, and store it if it is too long then; the caller checks what is still too long.

        Raises:
            PayloadError: it is larger than a reader with the same limit takes.
            PayloadStoreError: the store does not take it.
        """
        plain = text.encode()
        if len(plain) > self.bytes_max:
            raise PayloadError(
                f"{what} takes {len(plain):,} bytes as JSON, and the codec reads at most {self.bytes_max:,}. Pass a "
                "reference (a key, a path) to what is larger, or allow more in every process: Codec(..., bytes_max=...)"
            )
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

    def seal(self, text: str) -> str:
        """Transform a text, and never store it."""
        names, data = self._apply(self.transforms, text.encode())
        return _write_text(names, data) if names else text

    def unpack(self, payload: str, what: str) -> bytes:
        """Return the UTF-8 text that was packed.

        Raises:
            InvalidPayloadError: Traction did not write this, or it is larger than `bytes_max` at any stage.
            PayloadUnavailableError: a key, a store or a transform is missing here that it takes to read it.
        """
        names, body = _split(payload, what)
        stored = names[-1] == STORE
        if stored:
            names.pop()
            check_key(body, what)
        for name in names:
            if name not in self._readers:
                raise PayloadUnavailableError(
                    f"{what} was written with {name!r}, and the codec here has {', '.join(sorted(self._readers))}. "
                    "Give this process the codec that its writer has"
                )
        if not stored:
            try:
                data = b64decode(body, validate=True)
            except ValueError as error:
                raise InvalidPayloadError(
                    f"{what} begins as a transformed payload does, and is none: {error}. It has {len(payload):,} "
                    "characters. Look for another program that writes to this execution"
                ) from None
        elif self.shelf is None:
            raise PayloadUnavailableError(
                f"{what} is kept in a payload store under {body}, and none is open here. Name the one that it was "
                "written to: WorkerSystem(..., payloads=...)"
            )
        else:
            data = self.shelf.get(body, what, self.bytes_max)
        for name in reversed(names):
            data = self._readers[name].read(data, what)
            if len(data) > self.bytes_max:
                raise too_large(what, f"when {name!r} has read it", self.bytes_max)
        return data

    def settle(self, payload: str) -> None:
        """Bring what a payload refers to into the store, if it is not there yet.

        Raises:
            PayloadStoreError: the store does not take it.
        """
        if self.shelf is not None and payload.startswith(MARK):
            names, body = _split(payload, "what a decision refers to")
            if names[-1] == STORE:
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


def _split(payload: str, what: str) -> tuple[list[str], str]:
    """Return the names of what was done to a payload, in order, and its body.

    Each name is there once, as in every codec. A payload could otherwise be expanded again and again.

    Raises:
        InvalidPayloadError: they are not names of transforms, or one is there twice.
    """
    head, _, rest = payload[1:].partition(":")
    names = head.split("+")
    if not all(map(_is_name, names)) or len({*names}) < len(names) or STORE in names[:-1]:
        raise InvalidPayloadError(
            f"{what} begins as a transformed payload does, and is none: it does not name transforms, each once, as in "
            f"@zlib+aes-gcm:... It has {len(payload):,} characters. Look for another program that writes to this "
            "execution"
        )
    return names, rest.partition("{")[0]


def _is_name(name: str) -> bool:
    return 0 < len(name) <= NAME_CHARS_MAX and not set(name) - _LETTERS


_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")

_COMPRESS_ANY = Compress(over=0)
