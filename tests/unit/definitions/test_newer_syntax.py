"""Definitions that are written with the syntax of later Pythons work there as well."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator

import pytest

from traction.client.run import run
from traction.errors import DefinitionError

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax of Python 3.12")

NAME = "traction_newer_syntax"
Load = Callable[[str], types.ModuleType]


@pytest.fixture(params=["", "from __future__ import annotations\n"], ids=["plain", "future"])
def load(request: pytest.FixtureRequest) -> Iterator[Load]:
    """Run a module's text, as an import would."""

    def load(source: str) -> types.ModuleType:
        module = sys.modules[NAME] = types.ModuleType(NAME)
        exec(f"{request.param}from traction import *\n{source}", vars(module))
        return module

    yield load
    sys.modules.pop(NAME, None)


def test_a_generic_class_may_name_its_type_parameters_in_brackets(load: Load) -> None:
    made = load("""
class Wrap[T](Activity[None, list[T]], start_to_close=7):
    value: T
    def run(self) -> list[T]: return [self.value]

class WrapInt(Wrap[int]): pass

class Echo[T](Workflow[T]):
    value: T
    async def flow(self) -> T: return self.value

class EchoText(Echo[str]): pass

@workflow
async def both() -> tuple[list[int], str]: return await (WrapInt(3) & EchoText("x"))
""")
    assert made.WrapInt.spec.result == list[int]
    assert run(made.both()) == ([3], "x")


ALIASES = "type Ids = list[int]\ntype Both[A, B] = tuple[A, B]\ntype Later[T] = Step[T]\n"


def test_a_type_alias_stands_for_its_type_in_fields_and_results(load: Load) -> None:
    made = load(f"""{ALIASES}
@activity
def sort(ids: Ids) -> Ids: return sorted(ids)

class First(Activity[None, int]):
    ids: 'Ids | None' = None
    def run(self) -> int: return (self.ids or [0])[0]

@workflow
def steps(ids: Ids) -> Later[Ids]: return sort(ids)

@workflow
async def both(ids: Ids) -> Both[int, Ids]: return await (First(ids) & steps(ids))
""")
    assert run(made.both([2, 1])) == (2, [1, 2])


@pytest.mark.parametrize(
    ("alias", "type_"), [("Ids", "list[int]"), ("Both[int, str]", "tuple[int, str]"), ("dict[str, Ids]",) * 2]
)
def test_a_type_alias_and_its_type_agree(load: Load, alias: str, type_: str) -> None:
    for declared, wanted in (alias, type_), (type_, alias):
        load(f"{ALIASES}\nclass Get(Activity[None, {wanted}]):\n    def run(self) -> {declared}: ...\n")
        load(f"{ALIASES}\nclass Get(Workflow[{wanted}]):\n    def flow(self) -> Later[{declared}]: ...\n")


def test_a_type_alias_of_another_type_is_refused(load: Load) -> None:
    with pytest.raises(DefinitionError, match="run returns Ids, but the class declares"):
        load(f"{ALIASES}\nclass Get(Activity[None, list[str]]):\n    def run(self) -> Ids: ...\n")


def test_a_type_alias_of_what_is_needed_is_its_type(load: Load) -> None:
    load("""
class Bank: pass
type Money = Bank

@activity(needs=Bank)
def pay(bank: Money) -> int: return 1

class Pay(Activity[Bank, int]):
    def run(self, bank: Money) -> int: return 1
""")
