"""Transformed payloads are read back and name their transforms, and plain JSON stays plain."""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from traction.errors import PayloadError, PayloadStoreError, PayloadUnavailableError
from traction.payloads.attempts import Attempt, read_attempt, write_attempt
from traction.payloads.codec import JSON, PAYLOAD_CHARS_MAX, Codec
from traction.payloads.encryption import Encrypt, KeyRing
from traction.payloads.stores import DECODED_BYTES_MAX, KEPT_BYTES_MAX, PayloadStore
from traction.payloads.transforms import Compress, Transform

KEYS = {"2023": bytes(range(32)), "2024": bytes(range(1, 17))}
LONG = "abcdefgh" * 10_000
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
) | st.integers(1, 90_000).map(lambda n: "é" * n)


class MemoryStore(PayloadStore):
    """A store that tests can look into, and spoil."""

    url = "memory:"

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.reads = 0

    def put(self, key: str, data: bytes) -> None:
        self.kept[key] = data

    def get(self, key: str) -> bytes | None:
        self.reads += 1
        return self.kept.get(key)


def draw_noise(length: int) -> str:
    """Give a text that does not become shorter by compression."""
    return AESGCM(KEYS["2023"]).encrypt(bytes(12), bytes(length), None).hex()


chains: list[tuple[Transform, ...]] = [
    (),
    (Compress(),),
    (Compress(over=0),),
    (Encrypt(KeyRing(KEYS)),),
    (Compress(over=0), Encrypt(KeyRing(KEYS))),
    (Encrypt(KeyRing(KEYS)), Compress(over=0)),
]


@given(value=values, chain=st.sampled_from(chains))
def test_what_a_chain_writes_it_reads_back(value: Any, chain: tuple[Transform, ...]) -> None:
    codec = Codec(*chain, store=MemoryStore())
    payload = codec.encode(value)
    assert len(payload) <= PAYLOAD_CHARS_MAX
    assert codec.decode(payload, Any) == value


@given(value=values)
def test_without_transforms_a_payload_that_fits_is_json_byte_for_byte(value: Any) -> None:
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(plain) <= PAYLOAD_CHARS_MAX:
        assert json.loads(Codec(store=MemoryStore()).encode(value)) == value
        assert Codec(store=MemoryStore()).encode(value) == JSON.encode(value)


@given(value=values)
def test_json_never_begins_as_a_transformed_payload_does(value: Any) -> None:
    assert not msgspec.json.encode(value).startswith(b"@")


@given(value=values, chain=st.sampled_from(chains))
def test_a_codec_with_transforms_reads_plain_payloads(value: Any, chain: tuple[Transform, ...]) -> None:
    store = MemoryStore()
    assert Codec(*chain, store=store).decode(Codec(store=store).encode(value), Any) == value


@pytest.mark.parametrize(
    ("codec", "value", "head"),
    [
        (Codec(Compress()), "short", '"'),
        (Codec(Compress()), LONG, "@zlib:"),
        (Codec(Compress(), Encrypt(KeyRing(KEYS))), "short", "@aes-gcm:"),
        (Codec(Compress(), Encrypt(KeyRing(KEYS))), LONG, "@zlib+aes-gcm:"),
        (Codec(store=MemoryStore()), LONG, "@zlib:"),
        (Codec(store=MemoryStore()), draw_noise(70_000), "@zlib+store:"),
        (Codec(Encrypt(KeyRing(KEYS)), store=MemoryStore()), LONG, "@zlib+aes-gcm:"),
        (Codec(Encrypt(KeyRing(KEYS)), store=MemoryStore()), draw_noise(70_000), "@zlib+aes-gcm+store:"),
    ],
)
def test_a_payload_names_its_transforms(codec: Codec, value: str, head: str) -> None:
    assert codec.encode(value).startswith(head)


def test_what_is_too_long_without_a_store_is_refused() -> None:
    with pytest.raises(PayloadError, match="at most 32,768"):
        Codec(Encrypt(KeyRing(KEYS))).encode(draw_noise(70_000))


def test_a_payload_of_an_unknown_transform_names_it() -> None:
    with pytest.raises(
        PayloadUnavailableError, match="the input of Order 1 was written with 'aes-gcm', and this codec"
    ):
        JSON.decode(Codec(Encrypt(KeyRing(KEYS))).encode(1), int, "the input of Order 1")


@pytest.mark.parametrize("payload", ["@", "@zlib", "@zlib:", "@zlib:???", "@zlib:YWJj", "@:", "@+:", "@zlib:\ud800"])
def test_what_only_looks_transformed_is_a_payload_error(payload: str) -> None:
    with pytest.raises(PayloadError):
        JSON.decode(payload, Any)


def test_a_value_of_another_type_is_shown_unless_a_transform_hides_it() -> None:
    with pytest.raises(PayloadError, match=r"the input does not decode as int.*The payload is '\"seven\"'"):
        Codec(Compress(over=0)).decode(Codec(Compress(over=0)).encode("seven"), int, "the input")
    with pytest.raises(
        PayloadError, match=r"decode as int: Expected `int`, got `str`\. It has 7 bytes, not shown here"
    ):
        Codec(Encrypt(KeyRing(KEYS))).decode(Codec(Encrypt(KeyRing(KEYS))).encode("seven"), int, "the input")


def test_a_compressed_payload_without_its_end_is_refused() -> None:
    cut = b64encode(zlib.compress(b'"abc"')[:-4]).decode()
    with pytest.raises(PayloadError, match="is compressed, but incomplete"):
        JSON.decode(f"@zlib:{cut}", str)


def test_a_short_payload_cannot_claim_any_length() -> None:
    packer = zlib.compressobj()
    zeros = bytes(1 << 20)
    bomb = b"".join(packer.compress(zeros) for _ in range((DECODED_BYTES_MAX >> 20) + 1)) + packer.flush()
    with pytest.raises(PayloadError, match="more than 67,108,864 bytes when it is decompressed"):
        Compress().read(bomb, "the input")


@pytest.mark.parametrize("name", ["", "store", "a+b", "a:b", "A", "a{"])
def test_a_transform_has_a_name_that_payloads_can_carry(name: str) -> None:
    class Named(Compress):
        pass

    Named.name = name
    with pytest.raises(ValueError, match="cannot have a transform called"):
        Codec(Named())


def test_a_chain_has_each_transform_once() -> None:
    with pytest.raises(ValueError, match="each is used once"):
        Codec(Compress(), Compress())


# Attempts.


@given(
    value=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    chain=st.sampled_from(chains),
    number=st.integers(1, 99),
    previous=st.none() | st.text(max_size=20),
    heartbeat=st.none() | st.sampled_from(["NONE", "30"]),
)
def test_the_number_of_an_attempt_is_written_beside_any_payload(
    value: dict[str, str], chain: tuple[Transform, ...], number: int, previous: str | None, heartbeat: str | None
) -> None:
    codec = Codec(*chain)
    details = None if previous is None else codec.encode(previous)
    written = write_attempt(codec.encode(value), number, details, heartbeat)
    assert read_attempt(written) == Attempt(number, details, heartbeat)
    if written.startswith("@"):
        assert codec.decode(written, dict[str, str]) == value


@pytest.mark.parametrize("room", [0, 1])
def test_an_attempt_for_which_swf_leaves_no_room_goes_untold(room: int) -> None:
    chars = len(write_attempt("{}", 2, None))
    payload = Codec().encode({"k": "x" * (PAYLOAD_CHARS_MAX - 8 - chars + 1 + 1 - room)})
    joined = write_attempt(payload, 2, None)
    assert read_attempt(joined).number == 1 + room
    assert len(joined) <= PAYLOAD_CHARS_MAX
    assert room or joined == payload


# Keys.


def test_the_newest_key_encrypts_and_every_known_one_decrypts() -> None:
    before, after = (Codec(Encrypt(KeyRing(keys))) for keys in ({"2023": KEYS["2023"]}, KEYS))
    assert after.decode(before.encode("old"), str) == "old"
    with pytest.raises(PayloadUnavailableError, match=r"encrypted with the key '2024', and this ring has '2023'"):
        before.decode(after.encode("new"), str, "the input")


def test_another_key_with_the_same_id_is_detected() -> None:
    mine, other = (Codec(Encrypt(KeyRing({"k": bytes([n]) * 32}))) for n in (1, 2))
    with pytest.raises(PayloadUnavailableError, match="another key than the key 'k' of this process"):
        other.decode(mine.encode(1), int, "the input")


@given(data=st.binary(min_size=1, max_size=60), place=st.integers(0), flip=st.integers(1, 255))
def test_a_change_of_any_byte_is_noticed(data: bytes, place: int, flip: int) -> None:
    encrypt = Encrypt(KeyRing(KEYS))
    written = bytearray(encrypt.write(data) or b"")
    written[place % len(written)] ^= flip
    with pytest.raises(PayloadError):
        encrypt.read(bytes(written), "the input")


@given(data=st.binary(max_size=40))
def test_bytes_that_no_encryption_wrote_are_a_payload_error(data: bytes) -> None:
    with pytest.raises(PayloadError):
        Encrypt(KeyRing(KEYS)).read(data, "the input")


def test_the_same_value_is_never_encrypted_twice_alike() -> None:
    codec = Codec(Encrypt(KeyRing(KEYS)))
    assert len({codec.encode(1) for _ in range(100)}) == 100


def test_a_ring_shows_its_ids_and_no_keys() -> None:
    assert repr(KeyRing(KEYS)) == "<KeyRing of 2023, 2024>"


@pytest.mark.parametrize("keys", [{}, {"": bytes(32)}, {"k": bytes(31)}, {"k" * 256: bytes(32)}])
def test_a_ring_of_invalid_keys_is_refused(keys: dict[str, bytes]) -> None:
    with pytest.raises(ValueError, match=r"key|ring"):
        KeyRing(keys)


# Stores.


def test_a_missing_payload_is_reported_with_store_key_and_owner() -> None:
    store = MemoryStore()
    payload = Codec(store=store).encode(draw_noise(70_000))
    key = payload.rpartition(":")[2]
    store.kept.clear()
    with pytest.raises(PayloadStoreError) as caught:
        Codec(store=store).decode(payload, str, "the input of Order 1")
    error = caught.value
    assert (error.store, error.key, error.what) == ("memory:", key, "the input of Order 1")
    assert str(error).startswith(f"the input of Order 1, with the key {key} in the payload store memory:, is missing. ")


def test_what_was_changed_in_the_store_is_corrupt() -> None:
    store = MemoryStore()
    payload = Codec(store=store).encode(draw_noise(70_000))
    for key in store.kept:
        store.kept[key] += b"!"
    with pytest.raises(PayloadStoreError, match="is corrupt"):
        Codec(store=store).decode(payload, str)


def test_a_payload_in_a_store_needs_one_to_be_read() -> None:
    with pytest.raises(PayloadUnavailableError, match="this process has no store"):
        JSON.decode(Codec(store=MemoryStore()).encode(draw_noise(70_000)), str)


def test_equal_values_are_kept_once() -> None:
    store = MemoryStore()
    codec = Codec(store=store)
    assert codec.encode(draw_noise(70_000)) == codec.encode(draw_noise(70_000))
    assert len(store.kept) == 1


def test_what_was_read_lately_is_not_fetched_again() -> None:
    store = MemoryStore()
    payload = Codec(store=store).encode(draw_noise(70_000))
    reader = Codec(store=store)
    for codec in (reader, reader, reader.defer()):
        codec.decode(payload, str)
    assert store.reads == 1


def test_what_is_kept_in_memory_has_a_bound() -> None:
    shelf = Codec(store=MemoryStore())._chain.cache
    assert shelf is not None
    for n in range(5):
        shelf.put(bytes([n]) * (KEPT_BYTES_MAX // 3), "it")
    assert sum(map(len, shelf._kept.values())) <= KEPT_BYTES_MAX


def test_a_deferred_codec_writes_what_is_sent_and_nothing_else() -> None:
    store = MemoryStore()
    codec = Codec(store=store).defer()
    sent, not_sent = (codec.encode(draw_noise(length)) for length in (70_000, 70_001))
    assert codec.decode(sent, str) == draw_noise(70_000)
    assert store.kept == {}
    codec.settle([None, "1", sent])
    assert [*store.kept] == [sent.rpartition(":")[2]]
    with pytest.raises(PayloadStoreError):
        codec.decode(not_sent, str)


def test_what_is_still_to_be_sent_is_not_forgotten() -> None:
    store = MemoryStore()
    codec = Codec(store=store).defer()
    now, later = (codec.encode(draw_noise(length)) for length in (70_000, 70_001))
    codec.settle([now], more=True)
    codec.settle([later])
    assert len(store.kept) == 2
