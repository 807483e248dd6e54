"""Compress, encrypt and store the text of payloads, and restore it.

A transformed payload is `@names:body`: the names of the transforms in the order in which they were applied, and base64,
or the key of a payload store. JSON never begins with `@`, so plain and transformed payloads can be mixed.

    {"n":1}                           JSON, as it is
    @zlib:eNqrVsp...                  compressed
    @zlib+aes-gcm:AjE5...             compressed, then encrypted
    @zlib+aes-gcm+store:9f86d0...     and kept in a payload store under that key

The facts of a later attempt are written behind the body (`attempts.write_attempt`); a body has no brace.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Protocol

from traction.errors import InvalidPayloadError, PayloadError, PayloadUnavailableError
from traction.payloads.stores import DECODED_BYTES_MAX, StoreCache, check_key, too_large

MARK = "@"
"""The first character of a payload that is not plain JSON."""

STORE = "store"
"""The last name of a payload that is in a payload store."""

NAME_CHARS_MAX = 64
"""The most characters of a transform's name."""


class Transform(Protocol):
    """Converts bytes to bytes, and back. Its methods may be called from any thread."""

    @property
    def name(self) -> str:
        """Its name in payloads: lower-case letters, digits and hyphens."""
        ...

    @property
    def hides(self) -> bool:
        """Whether a secret is needed to read what it writes.

        A codec with such a transform keeps the text of payloads out of errors and logs, and transforms the details of
        failures as well. A transform without this attribute counts as one that hides.
        """
        ...

    def write(self, data: bytes) -> bytes | None:
        """Return the transformed bytes, or `None` to leave these bytes as they are."""
        ...

    def read(self, data: bytes, what: str) -> bytes:
        """Return the bytes from which `write` made these. `what` names the payload in errors.

        A transform that can return many bytes for few limits their number.

        Raises:
            InvalidPayloadError: `write` never returned these bytes, or the result is too large.
            PayloadUnavailableError: something that is needed to read them is missing, such as a key.
        """
        ...


class Compress:
    """Compress payloads of more than `over` bytes with zlib, if that makes them shorter. Every codec can read them.

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
        # Base64 adds a third.
        return packed if len(packed) * 4 < len(data) * 3 else None

    def read(self, data: bytes, what: str) -> bytes:
        inflater = zlib.decompressobj()
        try:
            # One byte more than allowed, to detect longer content.
            plain = inflater.decompress(data, self._bytes_max + 1)
        except zlib.error as error:
            raise InvalidPayloadError(f"{what} is marked as compressed, but cannot be decompressed: {error}") from None
        if len(plain) > self._bytes_max:
            raise too_large(what, "when it is decompressed", self._bytes_max)
        if not inflater.eof:
            raise InvalidPayloadError(f"{what} is compressed, but incomplete")
        return plain


class Chain:
    """A sequence of transforms, and a store for what is still too long after them."""

    __slots__ = ("_readers", "bytes_max", "cache", "hides", "transforms")

    def __init__(
        self, transforms: Sequence[Transform], cache: StoreCache | None, bytes_max: int = DECODED_BYTES_MAX
    ) -> None:
        self.transforms = tuple(transforms)
        self.cache = cache
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
                    f"letters, digits and hyphens, each is used once, and {STORE!r} is reserved"
                )

    def pack(self, text: str, chars_max: int, what: str) -> str:
        """Transform a text, and store it if it is too long then. Without a store, the result may be too long.

        Raises:
            PayloadError: it is larger than a reader with the same limit allows.
            PayloadStoreError: the store cannot be written.
        """
        plain = text.encode()
        if len(plain) > self.bytes_max:
            raise PayloadError(
                f"{what} has {len(plain):,} bytes as JSON, and the codec reads at most {self.bytes_max:,}. Pass a "
                "reference (a key, a path) instead, or raise the limit in every process: Codec(..., bytes_max=...)"
            )
        names, data = self._apply(self.transforms, plain)
        packed = _write_text(names, data) if names else text
        if len(packed) <= chars_max or self.cache is None:
            return packed
        if Compress.name not in names:
            others = [one for one in self.transforms if one.name != Compress.name]
            names, data = self._apply([_COMPRESS_ANY, *others], plain)
            if names and len(packed := _write_text(names, data)) <= chars_max:
                return packed
        return f"{MARK}{'+'.join([*names, STORE])}:{self.cache.put(data, what)}"

    def seal(self, text: str) -> str:
        """Transform a text, and never store it."""
        names, data = self._apply(self.transforms, text.encode())
        return _write_text(names, data) if names else text

    def unpack(self, payload: str, what: str) -> bytes:
        """Return the UTF-8 text that was packed.

        Raises:
            InvalidPayloadError: Traction did not write this, or it is larger than `bytes_max` at any stage.
            PayloadUnavailableError: a key, a store or a transform is missing that is needed to read it.
        """
        names, body = _split(payload, what)
        stored = names[-1] == STORE
        if stored:
            names.pop()
            check_key(body, what)
        for name in names:
            if name not in self._readers:
                raise PayloadUnavailableError(
                    f"{what} was written with {name!r}, and this codec has {', '.join(sorted(self._readers))}. Use the "
                    "same codec in all processes"
                )
        if not stored:
            try:
                data = b64decode(body, validate=True)
            except ValueError as error:
                raise InvalidPayloadError(
                    f"{what} begins like a transformed payload, but is not one: {error}. It has {len(payload):,} "
                    "characters. Look for another program that writes to this execution"
                ) from None
        elif self.cache is None:
            raise PayloadUnavailableError(
                f"{what} is in a payload store under {body}, and this process has no store. Set the store to which it "
                "was written: WorkerSystem(..., payloads=...)"
            )
        else:
            data = self.cache.get(body, what, self.bytes_max)
        for name in reversed(names):
            data = self._readers[name].read(data, what)
            if len(data) > self.bytes_max:
                raise too_large(what, f"when {name!r} has read it", self.bytes_max)
        return data

    def settle(self, payload: str) -> None:
        """Write the deferred text of a stored payload to the store.

        Raises:
            PayloadStoreError: the store cannot be written.
        """
        if self.cache is not None and payload.startswith(MARK):
            names, body = _split(payload, "what a decision refers to")
            if names[-1] == STORE:
                self.cache.settle(body, "what a decision refers to")

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
    """Return the names of the transforms of a payload, in order, and its body.

    A name may occur only once, as in every codec: otherwise a payload could be expanded again and again.

    Raises:
        InvalidPayloadError: they are not names of transforms, or one occurs twice.
    """
    head, _, rest = payload[1:].partition(":")
    names = head.split("+")
    if not all(map(_is_name, names)) or len({*names}) < len(names) or STORE in names[:-1]:
        raise InvalidPayloadError(
            f"{what} begins like a transformed payload, but is not one: it does not name transforms, each once, as in "
            f"@zlib+aes-gcm:... It has {len(payload):,} characters. Look for another program that writes to this "
            "execution"
        )
    return names, rest.partition("{")[0]


def _is_name(name: str) -> bool:
    return 0 < len(name) <= NAME_CHARS_MAX and not set(name) - _LETTERS


_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")

_COMPRESS_ANY = Compress(over=0)
