"""A failure is read back with all that is known of it, a declared error with its fields; both fit in SWF's limits."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import types
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from traction import Activity, DeclaredError, Workflow
from traction.definitions.classes import check_definition
from traction.errors import (
    ActivityFailed,
    ChildFailed,
    DefinitionError,
    ExecutionFailed,
    PayloadError,
    PayloadUnavailableError,
    StepFailed,
    WorkflowFailed,
)
from traction.flow.retry import Retry
from traction.payloads.codec import JSON, PAYLOAD_CHARS_MAX, Codec
from traction.payloads.encryption import Encrypt, KeyRing
from traction.payloads.failure_info import REASON_CHARS_MAX, FailureInfo, cut_middle
from traction.payloads.failure_text import FIELDS_CHARS_MAX, SEALED, FailureDetails, read_failure, write_failure
from traction.payloads.failures import _TAKEN, describe_exception, describe_failure, revive
from traction.payloads.stores import PayloadStore
from traction.payloads.transforms import Compress
from traction.worker.heartbeats import HEARTBEAT_CHARS_MAX

# Failures.


def fail_with(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as raised:
        return raised


@given(st.text(max_size=100))
def test_a_failure_is_read_back_with_type_message_and_traceback(message: str) -> None:
    info = read_failure(*describe_failure(fail_with(ValueError(message)), JSON))
    assert info.type == "ValueError"
    assert info.message == message.encode("utf-8", "backslashreplace").decode()
    assert info.traceback.startswith("Traceback (most recent call last):")
    assert "in fail_with" in info.traceback


def test_the_type_of_a_failure_has_its_module_unless_it_is_built_in() -> None:
    assert describe_failure(KeyError("x"), JSON)[0] == "KeyError"
    assert describe_failure(PayloadError("x"), JSON)[0] == "traction.errors.PayloadError"


@given(st.integers(0, 200_000), st.sampled_from(["x", '"', "\x00", "é", "\U0001f600", "\ud800"]))
@example(PAYLOAD_CHARS_MAX, "\x00")
@example(200_000, "\x00")
def test_a_failure_fits_in_what_swf_carries(length: int, character: str) -> None:
    reason, details = describe_failure(fail_with(ValueError(character * length)), JSON)
    assert len(reason) <= REASON_CHARS_MAX
    assert len(details) <= PAYLOAD_CHARS_MAX
    assert isinstance(msgspec.json.decode(details, type=FailureDetails), FailureDetails)


def test_a_long_message_keeps_both_ends() -> None:
    info = read_failure(*describe_failure(fail_with(ValueError("begin" + "x" * 100_000 + "end")), JSON))
    assert info.message.startswith("begin")
    assert info.message.endswith("end")
    assert info.message.count("left out") == 1


def test_a_long_traceback_keeps_both_ends() -> None:
    error: BaseException = ValueError("the first")
    for number in range(500):
        later = ValueError(f"number {number}")
        later.__cause__ = error
        error = later
    trace = read_failure(*describe_failure(error, JSON)).traceback
    assert trace.startswith("ValueError: the first")
    assert trace.rstrip().endswith("ValueError: number 499")


def test_a_type_with_a_long_name_fits() -> None:
    kind = type("E" * 50_000, (Exception,), {})
    reason, details = describe_failure(kind(), JSON)
    assert len(reason) <= REASON_CHARS_MAX
    assert len(details) <= PAYLOAD_CHARS_MAX


def test_an_error_with_a_faulty_str_is_described() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert read_failure(*describe_failure(MuteError(), JSON)).type.endswith("MuteError")


@given(st.none() | st.text(), st.none() | st.text())
@example("Boom", '{"type": 1}')
@example("Boom", "\ud800")
def test_a_failure_from_another_kind_of_worker_is_kept(reason: str | None, details: str | None) -> None:
    info = read_failure(reason, details)
    assert info == FailureInfo(reason or "unknown", details or "")


# Declared errors.


class CardDeclined(DeclaredError):
    code: str
    retry_after: int = 60


class CardExpired(CardDeclined):
    year: int = 2020


class CardStolen(DeclaredError):
    """Its text is its own."""

    number: str

    def __str__(self) -> str:
        return "the card is stolen"


class Shelf(PayloadStore):
    """A store in memory, which can be out of order."""

    url = "memory:"

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.broken = False

    def put(self, key: str, data: bytes) -> None:
        if self.broken:
            raise PayloadUnavailableError("out of order")
        self.kept[key] = data

    def get(self, key: str) -> bytes | None:
        return self.kept.get(key)


NOISE = Random(7).randbytes(30_000).hex()
"""What no compression makes short enough."""

SECRET = Codec(Compress(), Encrypt(KeyRing({"1": bytes(32)})))

FAILURES: dict[type, Callable[[FailureInfo], StepFailed | ExecutionFailed]] = {
    ActivityFailed: lambda info: ActivityFailed("Charge-1", type=info.type, message=info.message, details="kept"),
    ChildFailed: lambda info: ChildFailed("Shop-1", status="FAILED", type=info.type, message=info.message),
    WorkflowFailed: lambda info: WorkflowFailed("shop 7", type=info.type, message=info.message),
}


def send(error: BaseException, *raises: Any, codec: Codec = JSON, failure: type = ActivityFailed) -> Any:
    """Give an error as it is caught on the other side."""
    info = read_failure(*describe_failure(error, codec), codec)
    return revive(FAILURES[failure](info), info, raises, codec)


values = st.sampled_from(
    [
        (int, st.integers(-(2**63), 2**63)),
        (str, st.text(st.characters(exclude_categories=["Cs"]), max_size=20)),
        (float, st.floats(allow_nan=False, allow_infinity=False)),
        (bytes, st.binary(max_size=20)),
        (list[int], st.lists(st.integers(0, 9), max_size=4)),
        (dict[str, bool], st.dictionaries(st.sampled_from("abc"), st.booleans())),
        (int | None, st.none() | st.integers(0, 9)),
        (tuple[str, ...], st.lists(st.sampled_from(["a", "b"]), max_size=3).map(tuple)),
        (datetime, st.datetimes(timezones=st.just(UTC))),
        (timedelta, st.timedeltas(timedelta(0), timedelta(days=9))),
        (UUID, st.uuids()),
    ]
)


@st.composite
def declared(draw: st.DrawFn) -> DeclaredError:
    """Make a class of declared errors, perhaps one derived from another, and an error of it."""
    kind: Any = DeclaredError
    given: dict[str, Any] = {}
    for level in range(draw(st.integers(1, 2))):
        drawn = {f"f{level}_{n}": draw(values) for n in range(draw(st.integers(0, 4)))}
        given |= {name: draw(value) for name, (_, value) in drawn.items()}
        body = {"__annotations__": {name: type for name, (type, _) in drawn.items()}, "__module__": __name__}
        kind = types.new_class(f"Error{level}", (kind,), {}, lambda namespace, body=body: namespace.update(body))
    made: DeclaredError = kind(**given)
    return made


@given(declared(), st.sampled_from([JSON, SECRET, Codec(Compress(over=0))]), st.sampled_from(list(FAILURES)))
def test_a_declared_error_is_caught_as_it_was_raised(error: DeclaredError, codec: Codec, failure: type) -> None:
    caught = send(error, type(error), codec=codec, failure=failure)
    assert isinstance(caught, type(error))
    assert isinstance(caught, failure)
    assert caught == error
    assert hash(caught) == hash(error)


@given(declared(), st.sampled_from([JSON, SECRET]))
def test_an_error_that_travels_on_is_caught_as_it_was_raised(error: DeclaredError, codec: Codec) -> None:
    once = send(error, type(error), codec=codec)
    assert send(once, type(error), codec=codec, failure=ChildFailed) == error


@given(declared())
def test_a_declared_error_goes_to_another_process_whole(error: DeclaredError) -> None:
    for one in (error, send(error, type(error))):
        copied = copy.copy(one)
        assert (type(copied), copied, copied.args, vars(copied)) == (type(one), one, one.args, vars(one))


@pytest.mark.parametrize("failure", list(FAILURES))
def test_a_declared_error_that_was_caught_is_pickled(failure: type) -> None:
    caught = send(CardDeclined("expired"), CardDeclined, failure=failure)
    loaded = pickle.loads(pickle.dumps(caught))
    assert (type(loaded), loaded, str(loaded)) == (type(caught), caught, str(caught))


@pytest.mark.parametrize("failure", list(FAILURES))
def test_what_is_caught_has_all_that_the_plain_failure_has(failure: type) -> None:
    info = read_failure(*describe_failure(CardDeclined("expired"), JSON))
    plain, caught = FAILURES[failure](info), send(CardDeclined("expired"), CardDeclined, failure=failure)
    assert vars(plain).items() <= vars(caught).items()
    assert str(plain) == str(caught)


def test_an_error_is_caught_by_what_it_is_derived_from() -> None:
    caught = send(CardExpired("expired", 7, 1999), CardDeclined)
    assert (type(caught).__bases__[0], caught.code, caught.retry_after) == (CardDeclined, "expired", 7)
    assert caught.type == f"{__name__}.CardExpired"


def test_of_two_declarations_the_nearest_is_caught() -> None:
    assert send(CardExpired("expired"), CardDeclined, CardExpired) == CardExpired("expired")


def test_an_undeclared_error_is_the_plain_failure_and_shows_its_fields() -> None:
    caught = send(CardDeclined("expired"), CardStolen)
    assert type(caught) is ActivityFailed
    assert str(caught) == f'Charge-1 failed: {__name__}.CardDeclined: {{"code":"expired","retry_after":60}}'
    assert caught.details == "kept"


def test_a_removed_field_is_ignored_and_an_added_one_has_its_default() -> None:
    class CardDeclined(DeclaredError):
        code: str
        bank: str = "ours"

    caught = send(globals()["CardDeclined"]("expired"), CardDeclined)
    assert (caught.code, caught.bank, hasattr(caught, "retry_after")) == ("expired", "ours", False)


def test_an_error_that_does_not_decode_is_the_plain_failure_and_notes_why() -> None:
    class CardDeclined(DeclaredError):
        code: int

    caught = send(globals()["CardDeclined"]("expired"), CardDeclined)
    assert type(caught) is ActivityFailed
    assert '"code":"expired"' in caught.message
    assert "Expected `int`, got `str`" in caught.__notes__[0]


@pytest.mark.parametrize("code", [7, {Path()}, "\ud800", object()])
def test_fields_of_undeclared_types_are_left_out_with_a_note(code: Any) -> None:
    caught = send(CardDeclined(code), CardDeclined)
    assert type(caught) is ActivityFailed
    assert "(its fields are left out: " in caught.message


def test_fields_that_json_does_not_have_are_left_out() -> None:
    class Rate(DeclaredError):
        rate: float | None

    assert "JSON has no nan" in send(Rate(float("nan")), Rate).message


# What is secret, and what is long.


def test_fields_are_encrypted_and_shown_nowhere_else() -> None:
    reason, details = describe_failure(fail_with(CardDeclined("hunter2")), SECRET)
    assert "hunter2" not in reason + details
    again = describe_failure(fail_with(send(CardDeclined("hunter2"), CardDeclined, codec=SECRET)), SECRET)
    assert "hunter2" not in "".join(again)


def test_an_error_with_a_text_of_its_own_is_shown_by_it() -> None:
    caught = send(CardStolen("4711"), CardStolen)
    assert (str(caught), caught.message, caught.number) == ("the card is stolen", "the card is stolen", "4711")


def test_a_missing_key_is_reported_and_the_error_is_not_mistaken() -> None:
    description = describe_failure(CardDeclined("expired"), SECRET)
    with pytest.raises(PayloadUnavailableError, match=r"the failure .*CardDeclined was written with 'aes-gcm'"):
        read_failure(*description, JSON)


def test_without_a_codec_only_the_type_of_an_encrypted_failure_is_read() -> None:
    info = read_failure(*describe_failure(fail_with(ValueError("hunter2")), SECRET))
    assert info == FailureInfo("ValueError", SEALED)


@given(text=st.text(max_size=40), codec=st.sampled_from([JSON, SECRET]))
@example("@channel: the build broke", SECRET)
@example('{"type":"E","message":"","sealed":"@aes-gcm:AAAA"}', SECRET)
@example('{"type":"E","message":"","sealed":"plain"}', SECRET)
def test_any_failure_of_another_kind_of_worker_is_read(text: str, codec: Codec) -> None:
    assert read_failure("Broken", text, codec).type in ("Broken", "E")


@given(
    message=st.integers(0, 60_000),
    fields=st.integers(0, 14_000),
    character=st.sampled_from(["x", "é", "\0", "\U0001f600"]),
    chars_max=st.sampled_from([PAYLOAD_CHARS_MAX, PAYLOAD_CHARS_MAX - 1_536]),
)
def test_an_encrypted_failure_of_any_length_fits_the_service(
    message: int, fields: int, character: str, chars_max: int
) -> None:
    heartbeat = "@" + "h" * (HEARTBEAT_CHARS_MAX - 1)
    account = FailureInfo("Loud", character * message, character * message, ("Loud",), f'"{"f" * fields}"', heartbeat)
    details = write_failure(account, SECRET, chars_max=chars_max)[1]
    assert len(details) <= chars_max
    assert read_failure("Loud", details, SECRET).type == "Loud"


@given(st.integers(0, FIELDS_CHARS_MAX - 2), st.integers(0, 200_000), st.integers(0, HEARTBEAT_CHARS_MAX // 2))
@example(FIELDS_CHARS_MAX - 2, 200_000, HEARTBEAT_CHARS_MAX // 2)
def test_heartbeat_details_are_sent_with_a_failure_if_there_is_room(fields: int, text: int, heartbeat: int) -> None:
    account = FailureInfo("Loud", "\x00" * text, "", ("Loud",), f'"{"x" * fields}"', '"' * heartbeat)
    details = write_failure(account, JSON)[1]
    assert len(details) <= PAYLOAD_CHARS_MAX
    assert read_failure("Loud", details).heartbeat in (account.heartbeat, None)
    if text == 0:
        assert read_failure("Loud", details).heartbeat == account.heartbeat


@given(st.integers(0, 2 * FIELDS_CHARS_MAX), st.integers(0, 200_000), st.sampled_from(["x", '"', "\x00", "\U0001f600"]))
@example(FIELDS_CHARS_MAX, 200_000, "\x00")
@example(FIELDS_CHARS_MAX // 6, 200_000, "\x00")
def test_a_declared_error_fits_in_what_swf_carries(length: int, text: int, character: str) -> None:
    class Loud(DeclaredError):
        code: str

        def __str__(self) -> str:
            return character * text

    error = Loud(character * length)
    details = describe_failure(fail_with(error), JSON)[1]
    assert len(details) <= PAYLOAD_CHARS_MAX
    caught = send(error, Loud)
    if len(JSON.write(error)) <= FIELDS_CHARS_MAX:
        assert caught == error
    else:
        assert type(caught) is ActivityFailed
        assert f"and there is room for {FIELDS_CHARS_MAX:,}" in caught.message


def test_very_long_names_are_left_out_before_the_text() -> None:
    kind: Any = CardDeclined
    for n in range(9):
        kind = types.new_class("E" * 4_000 + str(n), (kind,))
    caught = send(kind("expired"), kind)
    assert caught == kind("expired")
    assert len(describe_failure(caught, JSON)[1]) <= PAYLOAD_CHARS_MAX


def test_long_fields_go_through_the_payload_store() -> None:
    store = Shelf()
    codec = JSON.with_store(store)
    error = CardDeclined(NOISE)
    assert send(error, CardDeclined, codec=codec) == error
    assert store.kept


def test_a_store_that_cannot_be_reached_is_reported() -> None:
    store = Shelf()
    store.broken = True
    with pytest.raises(PayloadUnavailableError):
        describe_failure(CardDeclined(NOISE), JSON.with_store(store))


# Retries.


@pytest.mark.parametrize("again", [(CardDeclined,), ("CardDeclined",), (CardExpired,), (ActivityFailed,)])
def test_a_policy_knows_a_declared_error_by_its_type_and_its_name(again: tuple[Any, ...]) -> None:
    caught = send(CardExpired("expired"), CardExpired)
    assert Retry(retry_on=again).find_pause(1, caught) is not None
    assert Retry(give_up_on=again).find_pause(1, caught) is None


# Definitions.


def test_the_names_that_are_taken_are_those_that_failures_have() -> None:
    info = FailureInfo("t", "m")
    assert {name for make in FAILURES.values() for name in vars(make(info))} == _TAKEN


def test_errors_of_different_classes_are_different() -> None:
    assert CardDeclined("expired") != CardExpired("expired")
    assert CardDeclined("expired") != CardDeclined("expired", 7)
    assert CardDeclined("expired") != "expired"


def test_an_error_without_fields_is_declared() -> None:
    class Busy(DeclaredError): ...

    assert send(Busy(), Busy) == Busy()


def test_a_field_may_have_a_default_of_its_own() -> None:
    class Many(DeclaredError):
        pages: list[int] = dataclasses.field(default_factory=list)

    assert send(Many(), Many) == Many([])


def test_a_subclass_of_a_definition_declares_what_its_base_does() -> None:
    class Charge(Activity[None, int], raises=(CardDeclined,)):
        def run(self) -> int: ...

    class ChargeAgain(Charge): ...

    assert ChargeAgain.spec.raises == (CardDeclined,)


def test_an_error_that_names_what_comes_later_is_checked_by_the_definition_that_declares_it() -> None:
    class Later(DeclaredError):
        where: Nowhere  # type: ignore[name-defined]  # noqa: F821

    class Charge(Workflow[int], raises=(Later,)):
        async def flow(self) -> int: ...

    with pytest.raises(DefinitionError, match="Nowhere"):
        check_definition(Charge)


def test_an_error_whose_annotations_do_not_resolve_is_a_failure_all_the_same() -> None:
    class Later(DeclaredError):
        where: Nowhere  # type: ignore[name-defined]  # noqa: F821

    account = describe_exception(Later("here"))
    assert (account.kinds, account.fields) == ((), None)
    assert "Nowhere" in account.message


# Cuts.


@given(st.text(), st.integers(0, 100))
def test_a_cut_text_fits(text: str, chars_max: int) -> None:
    assert len(cut_middle(text, chars_max)) <= chars_max


@given(st.text(max_size=50))
def test_a_text_that_fits_is_not_cut(text: str) -> None:
    assert cut_middle(text, len(text)) == text


@given(st.integers(1, 100_000), st.integers(60, 1_000))
def test_a_cut_text_shows_how_much_is_left_out(more: int, chars_max: int) -> None:
    cut = cut_middle("a" * chars_max + "b" * more, chars_max)
    head, remark, tail = cut.split("\n")
    assert remark == f"... {chars_max + more - len(head) - len(tail):,} characters left out ..."
    assert head.startswith("a")
    assert tail.endswith("b")
