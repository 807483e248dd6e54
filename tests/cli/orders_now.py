"""The workflows of `orders`, as they are after a deploy: `buy` asks for something else, `copy` for the same."""

from __future__ import annotations

from tests.cli.orders import copy, copy_out, pay
from traction import workflow

__all__ = ["buy", "copy"]


@workflow
async def buy(amount: int) -> str:
    await copy_out("a receipt")
    return await pay(amount)
