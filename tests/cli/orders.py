"""Work for the command line to run: each workflow shows one thing that a command must cope with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from enum import Enum
from typing import Annotated, Any

import msgspec

from traction import Activity, Signal, Workflow, activity, receive, set_state, sleep, workflow
from traction.payloads.codec import Codec
from traction.payloads.encryption import Encrypt, KeyRing


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Address(msgspec.Struct, frozen=True):
    city: str
    zip: int = 0


class Order(Workflow[dict[str, Any]]):
    """A field of each kind."""

    number: Annotated[int, msgspec.Meta(ge=1)]
    gift: bool
    size: Size = Size.SMALL
    due: date | None = None
    address: Address = Address("Bern")
    notes: list[str] = []  # noqa: RUF012  # msgspec gives each call a list of its own
    url: str = ""
    half_price: bool = False

    async def flow(self) -> dict[str, Any]:
        return msgspec.to_builtins(self)


@activity
def pay(amount: int) -> str:
    if amount > 100:
        raise ValueError("the card is declined")
    return f"paid {amount}"


@workflow
async def buy(amount: int) -> str:
    return await pay(amount)


@activity
def copy_out(line: str) -> str:
    return line


@workflow
async def copy(line: str) -> str:
    return await copy_out(line)


secret = Codec(Encrypt(KeyRing({"2024": bytes(16)})))


@workflow
async def wait_long() -> None:
    await sleep(3600)


class Approve(Signal, name="approved"):
    by: str
    gift: bool = False


@workflow
async def wait_for_approval() -> str:
    approval = await receive(Approve)
    return f"{approval.by} {approval.gift}"


@workflow
async def report_and_wait() -> None:
    await set_state({"left": 3})
    await sleep(3600)


@workflow
async def cook(dishes: list[str]) -> int:
    for dish in dishes:
        await set_state({"at": dish})
        await receive(Taste)
    await set_state("done")
    return len(dishes)


class Taste(Signal):
    pass


class Book:
    def __init__(self, name: str) -> None:
        self.name = name


class Write(Activity[Book, str]):
    line: str

    def run(self, book: Book) -> str:
        return f"{book.name}: {self.line}"


class Keep(Workflow[str]):
    line: str

    async def flow(self) -> str:
        return await Write(self.line)


def open_book() -> Book:
    return Book("ledger")


@contextmanager
def lend_book() -> Iterator[Book]:
    yield Book("lent")


def lose_book() -> Book:
    raise OSError("it is lost")
