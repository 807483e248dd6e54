"""Keep payloads outside the history that are too long for it, under names made of their content.

Takes bytes; gives keys, and the bytes of a key again, checked. `PayloadStore` is the contract with whoever keeps them;
plugins open stores by URL. Reading is a function of the key: what a key names never changes, or the reader hears of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from traction.errors import BackendError, InvalidPayloadError, PayloadStoreError

DECODED_BYTES_MAX = 64 * 1024 * 1024
"""The most bytes that a payload may have, stored, compressed or in the clear, unless its codec has another limit."""

KEPT_BYTES_MAX = 64 * 1024 * 1024
"""How much a process keeps of what it has lately read or written, so as not to fetch it again."""


class PayloadStore(ABC):
    """Keeps bytes under keys, for all workers and clients. Its methods may be called from any thread.

    Traction makes the keys, checks what comes back, and never writes other bytes under a key that is taken.
    """

    url: str
    """What it was opened by, as errors show it."""

    @abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """Keep bytes under a key, a SHA-256 in lower-case hexadecimal; whole or not at all. Twice is once.

        Raises:
            BackendError: the store cannot be reached, or refuses.
        """

    @abstractmethod
    def get(self, key: str) -> bytes | None:
        """Give the bytes of a key, or `None` if there are none.

        Raises:
            BackendError: the store cannot be reached, or refuses.
        """

    def get_bounded(self, key: str, bytes_max: int) -> bytes | None:
        """Return the bytes of a key, or `None` if there are none; of longer content, only the first `bytes_max` + 1.

        Override it where the store can stop reading, so that large content is never read into memory.

        Raises:
            BackendError: the store cannot be reached, or refuses.
        """
        return self.get(key)


def is_key(key: str) -> bool:
    """Whether a text is a key that Traction makes: a SHA-256 in lower-case hexadecimal."""
    return len(key) == 64 and not set(key) - _HEXADECIMAL


_HEXADECIMAL = frozenset("0123456789abcdef")


def check_key(key: str, what: str) -> None:
    """Refuse a key that a payload names and Traction never makes, before a store is asked.

    Raises:
        InvalidPayloadError: it is not a key. The text does not show it.
    """
    if not is_key(key):
        raise InvalidPayloadError(
            f"{what} refers to a payload store, but not by a key that Traction writes: a SHA-256 in lower-case "
            "hexadecimal. The store was not asked. Look for another program that writes to this execution"
        )


class StoreCache:
    """What a codec knows of a store: it names what it writes, checks what it reads, and keeps some of both.

    A deferred shelf writes nothing before `settle`: what is encoded may never be sent.
    """

    __slots__ = ("_kept", "_pending", "store")

    def __init__(self, store: PayloadStore, *, kept: dict[str, bytes] | None = None, deferred: bool = False) -> None:
        self.store = store
        self._kept: dict[str, bytes] = {} if kept is None else kept
        self._pending: dict[str, bytes] | None = {} if deferred else None

    def defer(self) -> StoreCache:
        """Give a shelf on the same store that writes when it is told to."""
        return StoreCache(self.store, kept=self._kept, deferred=True)

    def put(self, data: bytes, what: str) -> str:
        """Write, or be ready to write, and give the key.

        Raises:
            PayloadStoreError: the store does not take it.
        """
        from hashlib import sha256  # with OpenSSL behind it, too slow to import for nothing

        key = sha256(data).hexdigest()
        if self._pending is not None:
            self._pending[key] = data
        else:
            self._write(key, data, what)
        return key

    def settle(self, key: str, what: str) -> None:
        """Write now what was to be written under a key, if anything was.

        Raises:
            PayloadStoreError: the store does not take it.
        """
        if self._pending and (data := self._pending.get(key)) is not None:
            self._write(key, data, what)
            del self._pending[key]

    def forget(self) -> None:
        """Let go of what was to be written and will not be sent."""
        if self._pending:
            self._pending.clear()

    def get(self, key: str, what: str, bytes_max: int = DECODED_BYTES_MAX) -> bytes:
        """Return the bytes of a key.

        Raises:
            InvalidPayloadError: the key is not one that Traction makes, or its content is longer than `bytes_max`.
            PayloadStoreError: the store does not have the content, or has other content, or cannot be reached.
        """
        check_key(key, what)
        if self._pending and (data := self._pending.get(key)) is not None:
            return data
        data = self._kept.pop(key, None)
        if data is None:
            data = self._read(key, what, bytes_max)
        self._keep(key, data)
        return data

    def _write(self, key: str, data: bytes, what: str) -> None:
        # Also what was written before: stores may drop what is old, and what a new payload refers to is not old.
        try:
            self.store.put(key, data)
        except BackendError as error:
            raise PayloadStoreError(
                what, store=self.store.url, key=key, problem=f"cannot be written there: {error}"
            ) from error
        self._keep(key, data)

    def _read(self, key: str, what: str, bytes_max: int) -> bytes:
        url = self.store.url
        try:
            data = self.store.get_bounded(key, bytes_max)
        except BackendError as error:
            raise PayloadStoreError(what, store=url, key=key, problem=f"cannot be read there: {error}") from error
        if data is None:
            raise PayloadStoreError(what, store=url, key=key, problem="is not there")
        if len(data) > bytes_max:
            raise too_large(what, "in the payload store", bytes_max)
        from hashlib import sha256  # with OpenSSL behind it, too slow to import for nothing

        if sha256(data).hexdigest() != key:
            raise PayloadStoreError(what, store=url, key=key, problem="is corrupt there: it is not what was written")
        return data

    def _keep(self, key: str, data: bytes) -> None:
        # Each step is one that threads cannot be seen within; at worst, one of them reads again what another has.
        kept = self._kept
        kept[key] = data
        size = sum(map(len, list(kept.values())))
        for oldest in list(kept):
            if size <= KEPT_BYTES_MAX:
                break
            if (dropped := kept.pop(oldest, None)) is not None:
                size -= len(dropped)


def too_large(what: str, where: str, bytes_max: int) -> InvalidPayloadError:
    """Build the error of a payload that is longer than a codec allows."""
    return InvalidPayloadError(
        f"{what} has more than {bytes_max:,} bytes {where}, and the codec here reads at most that many. If it is meant "
        "to be so large, allow it wherever it is read: Codec(..., bytes_max=...)"
    )
