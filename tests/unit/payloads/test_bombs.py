"""Payloads that were made to harm their reader: refused for good, in bounded memory, before any store is asked."""

from __future__ import annotations

import tracemalloc
import zlib
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.backends import NOW, Stage, take_turns
from traction import Activity, Handle, Retry, Signal, Workflow, receive
from traction.decider.decider import decide
from traction.errors import ActivityFailed, InvalidPayloadError, PayloadError, PayloadUnavailableError, WorkflowFailed
from traction.model import decisions as d
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction.payloads.attempts import read_attempt
from traction.payloads.codec import JSON, PAYLOAD_CHARS_MAX, Codec
from traction.payloads.encryption import Encrypt, KeyRing
from traction.payloads.stores import DECODED_BYTES_MAX, PayloadStore
from traction.payloads.transforms import Compress

MIB = 1 << 20


class StrictStore(PayloadStore):
    """A store that fails the test if it is asked for anything but the keys it has."""

    url = "strict:"

    def __init__(self, *contents: bytes) -> None:
        self.contents = {sha256(each).hexdigest(): each for each in contents}

    def put(self, key: str, data: bytes) -> None:
        self.contents[key] = data

    def get(self, key: str) -> bytes | None:
        return self.contents[key]


@cache
def zip_zeros(mib: int) -> bytes:
    """Return a JSON string of `mib` MiB, compressed."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(b'"')]
    parts += [packer.compress(b"0" * MIB) for _ in range(mib)]
    return b"".join([*parts, packer.compress(b'"'), packer.flush()])


def write(names: str, data: bytes) -> str:
    return f"@{names}:{b64encode(data).decode()}"


def measure(act: Callable[[], object]) -> float:
    """Return the most MiB that were allocated at a time."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


def test_a_payload_compressed_twice_is_refused_before_it_is_expanded() -> None:
    bomb = write("zlib+zlib", zlib.compress(zip_zeros(500), 9))
    assert len(bomb) < 5_000

    def read() -> None:
        with pytest.raises(InvalidPayloadError, match="does not name transforms, each once"):
            JSON.decode(bomb, Any, "the input of Order 1")

    assert measure(read) < 1


def test_a_payload_that_expands_beyond_the_limit_takes_bounded_memory() -> None:
    bomb = write("zlib", zip_zeros(500))

    def read(codec: Codec) -> None:
        with pytest.raises(InvalidPayloadError, match="when it is decompressed, which is the limit of this codec"):
            codec.decode(bomb, Any, "the input of Order 1")

    assert measure(lambda: read(Codec(bytes_max=MIB))) < 8
    assert measure(lambda: read(JSON)) < 3 * DECODED_BYTES_MAX / MIB


def test_the_limit_of_a_codec_holds_for_its_own_compression_and_behind_encryption() -> None:
    keys = KeyRing({"k": bytes(32)})
    large = Codec(Compress(), Encrypt(keys)).encode("0" * 3 * MIB)
    for small in (Codec(Compress(), Encrypt(keys), bytes_max=MIB), Codec(Encrypt(keys), bytes_max=MIB)):
        with pytest.raises(InvalidPayloadError, match="more than 1,048,576 bytes when it is decompressed"):
            small.decode(large, str)
    assert len(Codec(Compress(), Encrypt(keys), bytes_max=4 * MIB).decode(large, str)) == 3 * MIB


def test_the_limit_of_a_codec_is_kept_by_transforms_that_have_none_of_their_own() -> None:
    class Repeat:
        name = "repeat"
        hides = False

        def write(self, data: bytes) -> bytes | None:
            return data

        def read(self, data: bytes, what: str) -> bytes:
            return b'"' + data * 1_000 + b'"'

    with pytest.raises(InvalidPayloadError, match="more than 500 bytes when 'repeat' has read it"):
        Codec(Repeat(), bytes_max=500).decode(write("repeat", b"a"), str)


def test_a_value_of_exactly_the_limit_is_read_and_one_byte_more_is_refused_where_it_is_written() -> None:
    codec = Codec(Compress(), bytes_max=MIB)
    at_limit = "0" * (MIB - 2)
    assert codec.decode(codec.encode(at_limit, what="the text"), str) == at_limit
    with pytest.raises(PayloadError, match="the text has 1,048,577 bytes as JSON, and the codec reads at most"):
        codec.encode(at_limit + "0", what="the text")


def test_what_a_store_keeps_beyond_the_limit_is_refused() -> None:
    content = bytes(2 * MIB)
    with pytest.raises(InvalidPayloadError, match="in the payload store"):
        Codec(store=StrictStore(content), bytes_max=MIB).decode(f"@store:{sha256(content).hexdigest()}", str)


def test_a_limit_outlives_the_change_of_stores() -> None:
    codec = Codec(Compress(), bytes_max=MIB).with_store(StrictStore()).defer()
    with pytest.raises(InvalidPayloadError):
        codec.decode(write("zlib", zip_zeros(2)), str)


SHA = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "key",
    [
        "other-tenant/x",
        "../" * 5 + "etc/passwd",
        "/etc/passwd",
        "",
        SHA[:-1],
        SHA + "0",
        SHA.upper(),
        f"other-tenant/{SHA}",
        f"../{SHA[3:]}",
        f"{SHA[:-1]}\n",
        f"{SHA[:-1]}\x00",
        f" {SHA[1:]}",
        f"{SHA}:{SHA}",
        f"{SHA[:-1]}\u0661",
        "x" * 32_000,
    ],
)
@pytest.mark.parametrize("codec", [Codec(store=StrictStore()), Codec()], ids=["store", "no store"])
@pytest.mark.parametrize("names", ["store", "zlib+store"])
def test_a_store_is_never_asked_for_a_key_that_traction_does_not_make(names: str, codec: Codec, key: str) -> None:
    with pytest.raises(InvalidPayloadError) as caught:
        codec.decode(f"@{names}:{key}", str, "the input of Order 1")
    text = str(caught.value)
    assert text.startswith("the input of Order 1 refers to a payload store, but not by a key")
    assert not key or key not in text
    assert len(text) < 400


def test_what_does_not_match_its_key_shows_neither_size_nor_hash() -> None:
    class Changed(StrictStore):
        def get(self, key: str) -> bytes | None:
            return b"content of another tenant"

    with pytest.raises(PayloadUnavailableError) as caught:
        Codec(store=Changed()).decode(f"@store:{SHA}", str)
    text = str(caught.value).replace(SHA, "")
    assert "25" not in text
    assert sha256(b"content of another tenant").hexdigest()[:16] not in text


@pytest.mark.parametrize(
    "payload",
    [
        "@",
        "@:",
        "@store",
        "@store+zlib:AAAA",
        "@zlib+:AAAA",
        "@+zlib:AAAA",
        "@store+store:" + SHA,
        "@a+b+a:AAAA",
        "@\x1b[2J:AAAA",
        "@ZLIB:AAAA",
        "@" + "a" * 1_000 + ":AAAA",
        "@zlib:not base64",
        "@zlib:AAAA",
        "@zlib:" + b64encode(zlib.compress(b'"abc"')[:-4]).decode(),
        "@zlib:" + b64encode(zlib.compress(b'"abc"')).decode() + "\x00",
    ],
)
def test_what_only_looks_like_a_transformed_payload_is_invalid_for_good(payload: str) -> None:
    with pytest.raises(InvalidPayloadError) as caught:
        JSON.decode(payload, Any)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


names = st.lists(
    st.sampled_from(["zlib", "aes-gcm", "store", "", "x", "zlib ", "\n"]) | st.text(max_size=5), max_size=6
)
bodies = st.binary(max_size=60).map(lambda data: b64encode(data).decode()) | st.text(max_size=80)
bombs = st.integers(0, 3).flatmap(
    lambda times: st.just(b'"' + b"0" * (3 * MIB) + b'"').map(lambda data: _zip(data, times))
)


def _zip(data: bytes, times: int) -> str:
    for _ in range(times):
        data = zlib.compress(data)
    return b64encode(data).decode()[:PAYLOAD_CHARS_MAX]


@given(names=names, body=bodies | bombs)
def test_any_transformed_payload_is_read_or_refused_in_bounded_memory(names: list[str], body: str) -> None:
    codec = Codec(Compress(), Encrypt(KeyRing({"k": bytes(32)})), store=StrictStore(), bytes_max=MIB)
    try:
        codec.decode(f"@{'+'.join(names)}:{body}", Any, "the input")
    except KeyError:
        assert names[-1] == "store"  # of a valid key
    except PayloadError as error:
        assert str(error).isprintable()  # noqa: PT017
        assert len(str(error)) < 600  # noqa: PT017


@given(payload=st.text(max_size=60) | st.text(max_size=20).map(lambda text: f'@{text}"~attempt"'))
def test_the_attempt_beside_any_payload_is_read_without_an_error(payload: str) -> None:
    assert read_attempt(payload).number >= 1


# What becomes of an execution that is given one.

BOMB = write("zlib+zlib", zlib.compress(zip_zeros(100), 9))


class Measure(Activity[None, int], retry=Retry(attempts=5)):
    text: str

    def run(self) -> int:
        return len(self.text)


class Call(Workflow[int]):
    text: str

    async def flow(self) -> int:
        return await Measure(self.text)


class CallChild(Workflow[int]):
    async def flow(self) -> int:
        return await Call("child")


class CallAndCatch(Workflow[str]):
    async def flow(self) -> str:
        try:
            return str(await Measure("text"))
        except ActivityFailed as error:
            return error.type


class Note(Signal):
    text: str


class Listen(Workflow[str]):
    async def flow(self) -> str:
        return (await receive(Note)).text


def start_raw(stage: Stage, workflow: type[Workflow[Any]], input: str) -> Handle[Any]:
    """Start an execution as a stranger would, with any input."""
    stage.register(workflow, Measure)
    run = stage.backend.call(
        o.StartWorkflowExecution(
            domain=stage.backend.domain, workflow_id="attacked", workflow_type=workflow.spec.type, input=input
        )
    )
    return Handle(stage.backend, WorkflowExecution("attacked", run.run_id), workflow)


def answer_raw(stage: Stage, result: str) -> None:
    """Answer the next task of `Measure` as a stranger would, with any result."""
    task = stage.backend.call(o.PollForActivityTask(domain=stage.backend.domain, task_list=Measure.spec.task_list), NOW)
    stage.backend.call(o.RespondActivityTaskCompleted(task_token=task.task_token, result=result))


def decide_raw(stage: Stage, workflow: type[Workflow[Any]], decision: d.Decision) -> None:
    """Answer the next decision task of a workflow as a stranger would."""
    poll = o.PollForDecisionTask(domain=stage.backend.domain, task_list=workflow.spec.task_list)
    task = stage.backend.call(poll, NOW)
    stage.backend.call(o.RespondDecisionTaskCompleted(task_token=task.task_token, decisions=(decision,)))


def test_an_execution_whose_input_is_a_bomb_fails_and_is_not_stuck(stage: Stage) -> None:
    handle = start_raw(stage, Call, BOMB)
    take_turns(stage.decider(Call))
    assert stage.stuck == []
    with pytest.raises(WorkflowFailed, match="the input of Call 1 begins like a transformed payload, but is not one"):
        handle.result(0)


def test_an_activity_whose_input_is_a_bomb_fails_once_whatever_its_retry_policy(stage: Stage) -> None:
    handle = start_raw(stage, Call, '{"text":"ok"}')
    schedule = d.ScheduleActivityTask(activity_type=Measure.spec.type, activity_id="Measure-1", input=BOMB)
    decide_raw(stage, Call, schedule)
    take_turns(stage.decider(Call), stage.worker(Measure))
    assert [type(event).__name__ for event in handle.history()].count("ActivityTaskFailed") == 1
    with pytest.raises(WorkflowFailed, match="the input of Measure 1 begins like"):
        handle.result(0)


@pytest.mark.parametrize("payload", [BOMB, "@store:other-tenant/x", write("zlib", zip_zeros(5)), "@zlib:AAAA"])
def test_a_result_that_no_codec_reads_fails_its_step_and_may_be_caught(stage: Stage, payload: str) -> None:
    codec = Codec(bytes_max=MIB, store=StrictStore())
    handle = start_raw(stage, CallAndCatch, "{}")
    decider = stage.decider(CallAndCatch, codec=codec)
    take_turns(decider)
    answer_raw(stage, payload)
    take_turns(decider)
    assert stage.stuck == []
    assert handle.result(0) == "InvalidPayloadError"
    # Every replay decides the same.
    assert decide(CallAndCatch, handle.history()[:-2], codec=codec)[-1] == d.CompleteWorkflowExecution(
        result='"InvalidPayloadError"'
    )


def test_a_result_of_a_child_that_no_codec_reads_fails_its_step(stage: Stage) -> None:
    handle = start_raw(stage, CallChild, "{}")
    stage.register(Call)
    take_turns(stage.decider(CallChild))
    decide_raw(stage, Call, d.CompleteWorkflowExecution(result=BOMB))
    take_turns(stage.decider(CallChild))
    assert stage.stuck == []
    with pytest.raises(WorkflowFailed, match="the result of Call 1"):
        handle.result(0)


def test_a_signal_that_no_codec_reads_is_skipped(stage: Stage) -> None:
    handle = start_raw(stage, Listen, "{}")
    for input in (BOMB, '{"text":"read"}'):
        stage.backend.call(
            o.SignalWorkflowExecution(
                domain=stage.backend.domain, workflow_id="attacked", signal_name="Note", input=input
            )
        )
    take_turns(stage.decider(Listen))
    assert handle.result(0) == "read"
