"""Encrypt payloads by AES-GCM, with keys that can be replaced.

Needs the extra `crypto`. Not pure: each nonce is new, so the same value is never encrypted to the same bytes twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from traction.errors import InvalidPayloadError, PayloadUnavailableError
from traction.extras import needed_by

with needed_by("encryption"):
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
"""The length of a nonce. With random nonces, one key is good for 2 ** 32 payloads (NIST SP 800-38D)."""


class KeyRing:
    """Keys by id, of 16, 24 or 32 bytes each. The last one encrypts; any of them decrypts.

    To replace a key, first add the new one to all readers, before the old one in the ring; then move it to the end;
    then remove the old one when no history that was written with it is kept any more.

    Args:
        keys: the keys, oldest first. Ids are readable in payloads.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise ValueError("a key ring needs at least one key; create one with AESGCM.generate_key(256)")
        for id, key in keys.items():
            if not 1 <= len(id.encode()) <= 255:
                raise ValueError(f"{id!r:.100} is not an id of a key: an id has 1 to 255 bytes")
            if len(key) not in (16, 24, 32):
                raise ValueError(f"the key {id!r} has {len(key)} bytes; AES has keys of 16, 24 or 32")
        self._ciphers = {id: AESGCM(key) for id, key in keys.items()}
        self.newest = list(keys)[-1]

    def __repr__(self) -> str:
        return f"<KeyRing of {', '.join(self._ciphers)}>"

    def get(self, id: str, what: str) -> AESGCM:
        """Return the cipher of a key.

        Raises:
            PayloadUnavailableError: the ring does not have it.
        """
        try:
            return self._ciphers[id]
        except KeyError:
            raise PayloadUnavailableError(
                f"{what} was encrypted with the key {id!r}, and this ring has {', '.join(map(repr, self._ciphers))}. "
                "Add that key to the ring, and keep it as long as histories that use it are stored"
            ) from None


class Encrypt:
    """Encrypt by AES-GCM, which also detects changes.

    Args:
        keys: the ring.
        chance: returns this number of unpredictable bytes.
    """

    name = "aes-gcm"
    hides = True

    def __init__(self, keys: KeyRing, *, chance: Callable[[int], bytes] = os.urandom) -> None:
        self._keys = keys
        self._chance = chance

    def write(self, data: bytes) -> bytes | None:
        keys = self._keys
        id = keys.newest.encode()
        head = bytes([len(id)]) + id
        nonce = self._chance(NONCE_BYTES)
        return head + nonce + keys.get(keys.newest, "").encrypt(nonce, data, head)

    def read(self, data: bytes, what: str) -> bytes:
        end = 1 + data[0] if data else 1
        head, nonce, body = data[:end], data[end : end + NONCE_BYTES], data[end + NONCE_BYTES :]
        try:
            id = head[1:].decode()
        except UnicodeDecodeError:
            id = ""
        if not id or len(nonce) < NONCE_BYTES:
            raise InvalidPayloadError(
                f"{what} is marked as encrypted, but its {len(data):,} bytes are too few or do not name a key"
            )
        try:
            return self._keys.get(id, what).decrypt(nonce, body, head)
        except InvalidTag:
            raise PayloadUnavailableError(
                f"{what} was encrypted with another key than the key {id!r} of this process, or was changed later. "
                "Use the same key with this id in all processes"
            ) from None
