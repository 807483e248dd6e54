"""Values that do not come back equal are refused, with the part, both types and what to declare."""

from __future__ import annotations

import enum
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traction import (
    DeclaredError,
    Signal,
    WorkerSystem,
    activity,
    continue_as_new,
    receive,
    send,
    set_state,
    side_effect,
    start_child,
    workflow,
)
from traction.errors import DefinitionError, PayloadError, WorkflowFailed
from traction.payloads.codec import JSON
from traction.payloads.losses import find_loss, is_lossless
from traction.testing import simulate


@dataclass
class Payment:
    amount: int


@dataclass
class CardPayment(Payment):
    card: str = ""


class Plain(msgspec.Struct):
    amount: int


class Fancy(Plain):
    card: str = ""


class Colour(enum.StrEnum):
    RED = "red"


class Pair(NamedTuple):
    left: int
    right: int


@dataclass(eq=False)
class Unequal:
    numbers: list[int]


@dataclass(eq=False)
class Own:
    text: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own) and other.text.lower() == self.text.lower()

    def __hash__(self) -> int:
        return hash(self.text.lower())


class Declined(DeclaredError):
    payment: Payment


class Paid(Signal):
    payment: Payment


@activity
def charge(payment: Payment) -> str:
    return repr(payment)


@activity
def keep(value: Any) -> str:
    return repr(value)


@activity
def make(kind: str) -> Any:
    return LOSSES[kind]


@activity
def pay() -> Payment:
    return CardPayment(5, "4111")


class Cash(msgspec.Struct, tag=True):
    amount: int


class Card(msgspec.Struct, tag=True):
    number: str


@activity
def settle(payment: Cash | Card) -> str:
    return type(payment).__name__


@workflow
async def settles() -> str:
    return await settle(Card("4111"))


@activity(raises=(Declined,))
def decline() -> None:
    raise Declined(CardPayment(5, "4111"))


@workflow
async def charges() -> str:
    return await charge(CardPayment(5, "4111"))


@workflow
async def keeps(kind: str) -> str:
    return await keep(LOSSES[kind])


@workflow
async def makes(kind: str) -> Any:
    return await make(kind)


@workflow
async def makes_locally(kind: str) -> Any:
    return await make(kind).locally()


@workflow
async def pays() -> Payment:
    return await pay()


@workflow
async def gives() -> Payment:
    return CardPayment(5, "4111")


@workflow
async def calls_child() -> Payment:
    return await gives()


@workflow
async def takes(payment: Payment) -> None: ...


@workflow
async def starts_child() -> None:
    await start_child(takes(CardPayment(5, "4111")))


@workflow
async def sends() -> None:
    await send("other", Paid(CardPayment(5, "4111")))


@workflow
async def has_effect() -> Any:
    return await side_effect(lambda: {1: 2})


@workflow
async def reports() -> None:
    await set_state({"table": {1: 2}})


@workflow
async def reports_well() -> None:
    for status in (Payment(1), [Payment(1)], {"a": Colour.RED, "b": datetime(2030, 1, 1, tzinfo=UTC)}, [1, "a", None]):
        await set_state(status)


@workflow
async def goes_on(payment: Payment) -> None:
    await continue_as_new(goes_on(CardPayment(payment.amount)))


@workflow
async def declines() -> None:
    await decline()


@workflow
async def waits() -> int:
    return (await receive(Paid)).payment.amount


LOSSES: dict[str, Any] = {
    "int keys": {"table": {1: 2}},
    "a tuple": [(2, 3)],
    "a set": {1, 2},
    "an enum": {"colour": Colour.RED},
    "a dataclass": Payment(5),
    "a Struct": [Plain(5)],
    "a datetime": datetime(2030, 1, 1, tzinfo=UTC),
    "a Decimal": Decimal("1.5"),
    "bytes": b"x",
}


def refuse(flow: Any, *words: str, **options: Any) -> None:
    """Check that a simulation ends with an error that has these words."""
    with pytest.raises((PayloadError, WorkflowFailed)) as caught:
        _ = simulate(flow, **options).result
    text = str(caught.value)
    assert all(word in text for word in (*words, "come back equal")), text


CUT = ("a CardPayment", "as a Payment", "msgspec.Struct, tag=True")


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("flow", [keeps, makes, makes_locally])
def test_a_simulation_refuses_what_any_reads_as_something_else(flow: Any, kind: str) -> None:
    refuse(flow(kind), "read back as")


@pytest.mark.parametrize("flow", [charges(), pays(), gives(), calls_child(), starts_child(), sends()])
def test_a_subclass_that_would_be_cut_to_its_base_is_refused(flow: Any) -> None:
    refuse(flow, *CUT)


def test_other_ways_out_of_a_flow_are_checked_too() -> None:
    refuse(goes_on(Payment(5)), *CUT)
    refuse(has_effect(), "a key of it is an int", "a str")
    refuse(reports(), "a key of ['table']")
    refuse(waits(), *CUT, signals=[Paid(CardPayment(5))])
    assert "CardPayment" in str(simulate(declines()).error)
    assert simulate(reports_well()).result is None


def test_the_error_names_the_part() -> None:
    with pytest.raises(PayloadError, match=r"payment is a CardPayment, and is read back as a Payment"):
        JSON.encode_call(charge(CardPayment(5)))
    with pytest.raises(PayloadError, match=r"value\['table'\]\[0\] is a tuple, and is read back as a list"):
        JSON.encode_call(keep({"table": [(1, 2)]}))


def test_workers_refuse_what_is_read_back_unequal() -> None:
    with WorkerSystem("local:") as ws:
        ws.start_workflow_worker(pays)
        ws.start_activity_worker(pay)
        with pytest.raises(WorkflowFailed, match="a CardPayment, and is read back as a Payment"):
            ws.run(pays())
        with pytest.raises(PayloadError, match="a CardPayment"):
            ws.start(goes_on(CardPayment(5)))


def test_workers_take_equal_values_of_another_type() -> None:
    JSON.encode_call(keep({"colour": Colour.RED, "counts": defaultdict(int, a=1)}))
    with pytest.raises(PayloadError, match="a Colour, and is read back as a str"):
        JSON.exactly().encode_call(keep({"colour": Colour.RED}))


@pytest.mark.parametrize(
    ("live", "kind"),
    [
        (1, float),
        (Pair(1, 2), Pair),
        ({1: (2, 3)}, dict[int, tuple[int, int]]),
        ({Colour.RED}, set[Colour]),
        (Unequal([1]), Unequal),
        (Own("A"), Own),
        (datetime(2030, 1, 1, tzinfo=timezone(timedelta(hours=2))), datetime),
        (Plain(1), Plain),
        ([Payment(1), CardPayment(2, "a")], None),
    ],
)
def test_what_comes_back_is_taken(live: Any, kind: Any) -> None:
    read = live if kind is None else JSON.decode(JSON.write(live), kind)
    assert find_loss(live, read) is None


def test_what_is_not_a_number_equals_itself_and_fields_out_of_comparisons_do_not_count() -> None:
    @dataclass
    class Measured:
        value: float
        cache: list[int] = field(default_factory=list, compare=False)

    assert find_loss([float("nan")], [float("nan")]) is None
    assert find_loss(Measured(float("nan"), [1]), Measured(float("nan"))) is None
    assert find_loss(Measured(1.0), Measured(2.0)) is not None


class Scalars(msgspec.Struct):
    count: int = 0
    share: float = 0.0
    name: str = ""
    done: bool = False
    nothing: None = None


class Bounded(msgspec.Struct):
    count: Annotated[int, msgspec.Meta(ge=0)]


class Count(int):
    pass


@given(
    count=st.integers() | st.booleans() | st.integers().map(Count),
    share=st.floats(allow_nan=False, allow_infinity=False) | st.integers(),
    name=st.text(),
    done=st.booleans() | st.integers(0, 1),
)
def test_fields_of_exactly_their_types_come_back_equal(count: Any, share: Any, name: str, done: Any) -> None:
    live = Scalars(count, share, name, done)
    if is_lossless(live):
        read = JSON.decode(JSON.write(live), Scalars)
        assert read == live
        assert [type(value) for value in msgspec.structs.astuple(read)] == [int, float, str, bool, type(None)]


@pytest.mark.parametrize(
    "live", [Scalars(True), Scalars(Count(1)), Scalars(0, 1), Scalars(name=Colour.RED), Bounded(1), Plain("1")]
)
def test_other_fields_take_the_full_check(live: Any) -> None:
    assert not is_lossless(live)
    assert is_lossless(Scalars(2**70, 0.5, "é", True))


def test_a_tagged_union_keeps_its_classes() -> None:
    assert simulate(settles()).result == "Card"


def test_a_union_of_dataclasses_is_refused_with_the_way_to_write_it() -> None:
    with pytest.raises(DefinitionError, match=r"class Payment\(msgspec.Struct, tag=True\).*class CardPayment"):

        @activity
        def either(payment: Payment | CardPayment) -> None: ...

    with pytest.raises(DefinitionError, match=r"msgspec.Struct, tag=True"):

        @activity
        def several() -> list[Plain | Fancy]: ...
