"""Store payloads that are too long for a history, under the hashes of their content.

`PayloadStore` is the contract of stores, which plugins open by URL. The content of a key never changes: a reader checks
it against the hash.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from traction.errors import BackendError, InvalidPayloadError, PayloadStoreError

DECODED_BYTES_MAX = 64 * 1024 * 1024
"""The most bytes that a payload may have, stored, compressed or in the clear, unless its codec has another limit."""

KEPT_BYTES_MAX = 64 * 1024 * 1024
"""The most bytes that a process caches of what it has read or written."""


class PayloadStore(ABC):
    """Keeps bytes under keys, for all workers and clients. Its methods may be called from any thread.

    Traction makes the keys, checks what it reads, and never writes other bytes under an existing key.
    """

    url: str
    """The URL by which it was opened, as errors show it."""

    @abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """Write bytes under a key, a SHA-256 in lower-case hexadecimal. Atomic and idempotent.

        Raises:
            BackendError: the store cannot be reached, or rejects the request.
        """

    @abstractmethod
    def get(self, key: str) -> bytes | None:
        """Return the bytes of a key, or `None` if there are none.

        Raises:
            BackendError: the store cannot be reached, or rejects the request.
        """

    def get_bounded(self, key: str, bytes_max: int) -> bytes | None:
        """Return the bytes of a key, at most the first `bytes_max` + 1, or `None` if there are none.

        Override it where the store can stop reading, so that large content is never read into memory.

        Raises:
            BackendError: the store cannot be reached, or rejects the request.
        """
        return self.get(key)


def is_key(key: str) -> bool:
    """Return whether a text is a key that Traction makes: a SHA-256 in lower-case hexadecimal."""
    return len(key) == 64 and not set(key) - _HEXADECIMAL


_HEXADECIMAL = frozenset("0123456789abcdef")


def check_key(key: str, what: str) -> None:
    """Reject a key that Traction never makes, before the store is read.

    Raises:
        InvalidPayloadError: it is not a key. The text does not show it.
    """
    if not is_key(key):
        raise InvalidPayloadError(
            f"{what} refers to a payload store, but not by a key that Traction writes: a SHA-256 in lower-case "
            "hexadecimal. The store was not read. Look for another program that writes to this execution"
        )


class StoreCache:
    """A payload store with a cache: makes the keys, and checks what it reads.

    A deferred cache writes nothing before `settle`, since an encoded payload may never be sent.
    """

    __slots__ = ("_kept", "_pending", "store")

    def __init__(self, store: PayloadStore, *, kept: dict[str, bytes] | None = None, deferred: bool = False) -> None:
        self.store = store
        self._kept: dict[str, bytes] = {} if kept is None else kept
        self._pending: dict[str, bytes] | None = {} if deferred else None

    def defer(self) -> StoreCache:
        """Return a cache of the same store that writes at `settle`."""
        return StoreCache(self.store, kept=self._kept, deferred=True)

    def put(self, data: bytes, what: str) -> str:
        """Write bytes, now or at `settle`, and return their key.

        Raises:
            PayloadStoreError: the store cannot be written.
        """
        from hashlib import sha256  # loads OpenSSL, which is slow to import

        key = sha256(data).hexdigest()
        if self._pending is not None:
            self._pending[key] = data
        else:
            self._write(key, data, what)
        return key

    def settle(self, key: str, what: str) -> None:
        """Write the deferred bytes of a key, if there are any.

        Raises:
            PayloadStoreError: the store cannot be written.
        """
        if self._pending and (data := self._pending.get(key)) is not None:
            self._write(key, data, what)
            del self._pending[key]

    def forget(self) -> None:
        """Drop deferred bytes that will not be sent."""
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
        # Even if it was written before: stores may delete old content, and a new payload refers to this.
        try:
            self.store.put(key, data)
        except BackendError as error:
            raise PayloadStoreError(
                what, store=self.store.url, key=key, problem=f"cannot be written: {error}"
            ) from error
        self._keep(key, data)

    def _read(self, key: str, what: str, bytes_max: int) -> bytes:
        url = self.store.url
        try:
            data = self.store.get_bounded(key, bytes_max)
        except BackendError as error:
            raise PayloadStoreError(what, store=url, key=key, problem=f"cannot be read: {error}") from error
        if data is None:
            raise PayloadStoreError(what, store=url, key=key, problem="is missing")
        if len(data) > bytes_max:
            raise too_large(what, "in the payload store", bytes_max)
        from hashlib import sha256  # loads OpenSSL, which is slow to import

        if sha256(data).hexdigest() != key:
            raise PayloadStoreError(what, store=url, key=key, problem="is corrupt: it differs from what was written")
        return data

    def _keep(self, key: str, data: bytes) -> None:
        # Each step is atomic; at worst, one thread reads again what another has read.
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
        f"{what} has more than {bytes_max:,} bytes {where}, which is the limit of this codec. If that size is "
        "intended, raise the limit in every process: Codec(..., bytes_max=...)"
    )
