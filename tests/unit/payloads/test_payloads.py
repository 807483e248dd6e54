"""What is promised of payloads in a store, or encrypted: the same results, and no task lost to a bad store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.backends import NOW, Stage, find_events, find_last, take_turns
from traction import (
    Activity,
    DeclaredError,
    Retry,
    Signal,
    WorkerSystem,
    Workflow,
    current_task,
    receive,
    side_effect,
    sleep,
)
from traction.decider.decider import decide
from traction.errors import PayloadStoreError, PayloadUnavailableError
from traction.model import decisions as d
from traction.model import events as e
from traction.model import operations as o
from traction.payloads.codec import Codec
from traction.payloads.encryption import Encrypt, KeyRing
from traction.payloads.failure_text import UNREADABLE
from traction.payloads.transforms import Compress
from traction_local.file_store import DirectoryStore

KEYS = {"2023": bytes(32), "2024": bytes(range(32))}


def make_noise(length: int) -> str:
    """Give a text that compression does not make short enough."""
    return Encrypt(KeyRing(KEYS), chance=bytes).write(bytes(length)).hex()  # type: ignore[union-attr]


class Double(Activity[None, str]):
    text: str

    def run(self) -> str:
        return self.text * 2


class Shorten(Activity[None, int]):
    text: str

    def run(self) -> int:
        return len(self.text)


class Text(Signal):
    text: str


class DoubleAndShorten(Workflow[int]):
    text: str

    async def flow(self) -> int:
        return await Shorten(await Double(self.text))


class Wait(Workflow[str]):
    async def flow(self) -> str:
        return (await receive(Text)).text


@pytest.fixture
def codec(tmp_path: Path) -> Codec:
    return Codec(store=DirectoryStore(tmp_path))


def list_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def start(stage: Stage, codec: Codec, workflow: Workflow[Any]) -> Any:
    stage.system._codec = codec
    return stage.start(workflow, type(workflow), Double, Shorten, Attempted, Refuse)


@pytest.mark.parametrize("transforms", [(), (Compress(), Encrypt(KeyRing(KEYS)))], ids=["plain", "encrypted"])
def test_workers_and_clients_pass_what_is_too_long_by_the_store(tmp_path: Path, transforms: Any) -> None:
    with WorkerSystem("local:", payloads=tmp_path.as_uri(), codec=Codec(*transforms)) as ws:
        ws.start_workflow_worker(DoubleAndShorten)
        ws.start_activity_worker(Double)
        ws.start_activity_worker(Shorten)
        text = make_noise(60_000)
        assert ws.run(DoubleAndShorten(text), timeout=30) == 2 * len(text)
    assert list_files(tmp_path) != []


def test_a_decider_reads_a_store_and_never_writes_to_it(tmp_path: Path, stage: Stage, codec: Codec) -> None:
    handle = start(stage, codec, DoubleAndShorten(make_noise(60_000)))
    before = list_files(tmp_path)
    started = o.PollForDecisionTask(domain=stage.backend.domain, task_list=DoubleAndShorten.spec.task_list)
    task = stage.backend.call(started, NOW)
    first, second = (decide(DoubleAndShorten, task.events, codec=codec) for _ in range(2))
    assert first == second
    assert isinstance(first[0], d.ScheduleActivityTask)
    assert list_files(tmp_path) == before
    assert handle.status() == "OPEN"


def test_a_decision_without_its_stored_input_is_made_when_the_store_is_back(
    tmp_path: Path, stage: Stage, codec: Codec
) -> None:
    handle = start(stage, codec, DoubleAndShorten(make_noise(60_000)))
    (kept,) = list_files(tmp_path)
    data = kept.read_bytes()
    kept.write_bytes(data + b"!")
    codec = Codec(store=DirectoryStore(tmp_path))
    workers = [
        stage.decider(DoubleAndShorten, codec=codec),
        stage.worker(Double, codec=codec),
        stage.worker(Shorten, codec=codec),
    ]
    take_turns(*workers)
    (stuck,) = stage.stuck
    assert isinstance(stuck.error, PayloadStoreError)
    assert stuck.error.key == kept.name
    assert "the input of DoubleAndShorten 1" in str(stuck)
    kept.write_bytes(data)
    stage.advance(60)
    take_turns(*workers)
    assert handle.result() > 0


def test_an_activity_without_its_stored_input_runs_when_the_store_is_back(
    tmp_path: Path, stage: Stage, codec: Codec
) -> None:
    handle = start(stage, codec, DoubleAndShorten(make_noise(60_000)))
    decider = stage.decider(DoubleAndShorten, codec=codec)
    take_turns(decider)
    kept = {path: path.read_bytes() for path in list_files(tmp_path)}
    for path in kept:
        path.unlink()
    fresh = Codec(store=DirectoryStore(tmp_path))
    workers = [stage.worker(Double, codec=fresh), stage.worker(Shorten, codec=fresh)]
    take_turns(*workers)
    failed = find_last(handle.history(), e.ActivityTaskFailed)
    assert failed.reason == UNREADABLE
    assert "the input of Double 1, with the key " in failed.details
    for path, data in kept.items():
        path.write_bytes(data)
    for _ in range(4):
        take_turns(decider, *workers)
        stage.advance(2)
    assert handle.result() > 0


def test_an_activity_whose_result_cannot_be_written_is_done_again(tmp_path: Path, stage: Stage, codec: Codec) -> None:
    handle = start(stage, codec, DoubleAndShorten(make_noise(30_000)))
    decider = stage.decider(DoubleAndShorten, codec=codec)
    take_turns(decider)
    (tmp_path / "full").write_text("in the way")
    bad = Codec(store=DirectoryStore(tmp_path / "full"))
    # What the bad store cannot give, the good one has read into the memory that both share.
    bad._chain.cache._kept = codec._chain.cache._kept  # type: ignore[union-attr]
    stage.worker(Double, codec=bad).work_once(NOW)
    assert find_last(handle.history(), e.ActivityTaskFailed).reason == UNREADABLE
    workers = [stage.worker(Double, codec=codec), stage.worker(Shorten, codec=codec)]
    for _ in range(4):
        take_turns(decider, *workers)
        stage.advance(2)
    assert handle.result() > 0


class Keep(Workflow[int]):
    async def flow(self) -> int:
        kept = await side_effect(lambda: make_noise(30_000))
        await sleep(1)
        return len(kept)


def test_the_value_of_a_side_effect_that_is_too_long_is_kept_in_the_store(
    tmp_path: Path, stage: Stage, codec: Codec
) -> None:
    handle = start(stage, codec, Keep())
    take_turns(stage.decider(Keep, codec=codec))
    assert find_last(handle.history(), e.MarkerRecorded).details.startswith("@")
    stage.advance(1)
    take_turns(stage.decider(Keep, codec=Codec(store=DirectoryStore(tmp_path))))
    assert handle.result(0) == len(make_noise(30_000))


class TooLong(DeclaredError):
    text: str


class Refuse(Activity[None, int], raises=(TooLong,)):
    text: str

    def run(self) -> int:
        raise TooLong(self.text)


class AskRefused(Workflow[int], raises=(TooLong,)):
    text: str

    async def flow(self) -> int:
        return await Refuse(self.text)


def test_a_declared_error_with_long_fields_goes_through_the_store_from_hand_to_hand(
    tmp_path: Path, stage: Stage, codec: Codec
) -> None:
    text = make_noise(20_000)
    handle = start(stage, codec, AskRefused(text))
    # Each has a codec of its own, which remembers nothing of what another has written.
    worker = stage.worker(Refuse, codec=Codec(store=DirectoryStore(tmp_path)))
    for _ in range(2):
        take_turns(stage.decider(AskRefused, codec=Codec(store=DirectoryStore(tmp_path))), worker)
    handle.codec = Codec(store=DirectoryStore(tmp_path))
    with pytest.raises(TooLong) as caught:
        handle.result(0)
    assert caught.value.text == text


def test_an_activity_whose_error_cannot_be_written_is_done_again(tmp_path: Path, stage: Stage, codec: Codec) -> None:
    handle = start(stage, codec, AskRefused(make_noise(20_000)))
    decider = stage.decider(AskRefused, codec=codec)
    take_turns(decider)
    (tmp_path / "full").write_text("in the way")
    bad = Codec(store=DirectoryStore(tmp_path / "full"))
    bad._chain.cache._kept = codec._chain.cache._kept  # type: ignore[union-attr]
    stage.worker(Refuse, codec=bad).work_once(NOW)
    assert find_last(handle.history(), e.ActivityTaskFailed).reason == UNREADABLE
    for _ in range(4):
        take_turns(decider, stage.worker(Refuse, codec=codec))
        stage.advance(2)
    with pytest.raises(TooLong):
        handle.result(0)


def test_a_declared_error_that_cannot_be_read_yet_is_not_taken_for_a_plain_failure(stage: Stage) -> None:
    old, new = (Codec(Encrypt(KeyRing(keys))) for keys in ({"2023": KEYS["2023"]}, KEYS))
    handle = start(stage, old, AskRefused("text"))
    take_turns(stage.decider(AskRefused, codec=old), stage.worker(Refuse, codec=new))
    take_turns(stage.decider(AskRefused, codec=old))
    assert isinstance(stage.stuck[0].error, PayloadUnavailableError)
    stage.advance(60)
    take_turns(stage.decider(AskRefused, codec=new))
    handle.codec = new
    with pytest.raises(TooLong):
        handle.result(0)


def test_a_signal_that_cannot_be_read_yet_is_not_skipped(stage: Stage) -> None:
    old, new = (Codec(Encrypt(KeyRing(keys))) for keys in ({"2023": KEYS["2023"]}, KEYS))
    handle = start(stage, old, Wait())
    stage.backend.call(
        o.SignalWorkflowExecution(
            domain=stage.backend.domain,
            workflow_id=handle.workflow_id,
            signal_name=Text.spec.name,
            input=new.encode(Text("hello")),
        )
    )
    take_turns(stage.decider(Wait, codec=old))
    assert isinstance(stage.stuck[0].error, PayloadUnavailableError)
    stage.advance(60)
    take_turns(stage.decider(Wait, codec=new))
    handle.codec = new
    assert handle.result() == "hello"


class Attempted(Activity[None, int], retry=Retry(attempts=3, backoff=0)):
    n: int

    def run(self) -> int:
        if current_task().attempt < 3:
            raise ValueError("not yet")
        return current_task().attempt + self.n


class CallAttempted(Workflow[int]):
    async def flow(self) -> int:
        return await Attempted(10)


def test_an_encrypted_activity_knows_which_attempt_it_is(stage: Stage) -> None:
    codec = Codec(Encrypt(KeyRing(KEYS)))
    handle = start(stage, codec, CallAttempted())
    workers = [stage.decider(CallAttempted, codec=codec), stage.worker(Attempted, codec=codec)]
    for _ in range(4):
        take_turns(*workers)
        stage.advance(2)
    assert handle.result() == 13
    assert all(one.input.startswith("@aes-gcm:") for one in find_events(handle, e.ActivityTaskScheduled))
