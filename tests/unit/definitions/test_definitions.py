"""Definitions: what they are made of, what is refused at their first line, and what their instances are.

This module has `from __future__ import annotations`, so all its annotations are strings when classes are made.
The error texts are in `tests/golden/errors`.
"""

# ruff: noqa: ARG001 - what a function takes is what matters here

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, Protocol, TypeVar

import msgspec
import pytest

from traction import Activity, DeclaredError, Retry, Step, Workflow, activity, done, hours, workflow
from traction.definitions.classes import check_definition
from traction.definitions.options import ActivityOptions, WorkflowOptions
from traction.errors import DefinitionError
from traction.flow.step import ActivityStep, Both, WorkflowStep
from traction.model.names import TaskList, find_name_error
from traction.payloads.codec import JSON

# Mistakes are written against these, so that type checkers do not see them.
A: Any = Activity
W: Any = Workflow
T = TypeVar("T")


class Connection:
    pass


class FastConnection(Connection):
    pass


class Readable(Protocol):
    def read(self) -> str: ...


class Change(msgspec.Struct, frozen=True):
    id: int
    text: str = ""


@dataclass
class Holder:
    path: Path


class Pair(NamedTuple):
    left: int
    right: object


class Recursive(msgspec.Struct):
    inner: Recursive | None = None
    connection: Connection | None = None


class Tree(msgspec.Struct):
    children: list[Tree] = []


class Collect(Activity[Connection, list[Change]], version="2", start_to_close=600, retry=Retry(attempts=5)):
    """Collect what has changed.

    Slowly.
    """

    project_id: int
    limit: int = 100

    def run(self, connection: Connection) -> list[Change]:
        return [Change(self.project_id)]


class Index(Workflow[int], tags=("search",), child_policy="ABANDON"):
    project_id: int
    names: frozenset[str] = frozenset()

    async def flow(self) -> int:
        return len(await Collect(self.project_id))


@activity(name="Collect", version="2", start_to_close=600, retry=Retry(attempts=5), needs=Connection)
def collect(connection: Connection, project_id: int, limit: int = 100) -> list[Change]:
    """Collect what has changed."""
    return [Change(project_id)]


@workflow(name="Index", tags=("search",), child_policy="ABANDON")
async def index(project_id: int, names: frozenset[str] = frozenset()) -> int:
    return len(await collect(project_id))


@activity
def greet(name: str, *, greeting: str, mark: Annotated[str, msgspec.Meta(max_length=1)] = "!") -> str:
    return f"{greeting}, {name}{mark}"


# The specs of definitions.


def test_a_definition_has_its_type_of_the_class_and_its_keywords() -> None:
    assert (Collect.spec.type.name, Collect.spec.type.version) == ("Collect", "2")
    assert Collect.spec.task_list == TaskList("Collect-2")
    assert (Collect.spec.start_to_close, Collect.spec.heartbeat) == ("600", "NONE")
    assert Collect.spec.retry == Retry(attempts=5)
    assert (Collect.spec.needs, Collect.spec.result) == (Connection, list[Change])
    assert Collect.spec.description == "Collect what has changed."
    assert (Index.spec.child_policy, Index.spec.tags) == ("ABANDON", ("search",))
    assert Index.spec.execution_start_to_close == str(365 * 24 * 60 * 60)


@pytest.mark.parametrize(("function", "cls"), [(collect, Collect), (index, Index)], ids=["activity", "workflow"])
def test_a_function_makes_the_class_that_one_would_write(function: Any, cls: Any) -> None:
    assert function.spec == cls.spec
    assert function.__struct_fields__ == cls.__struct_fields__
    assert function.__struct_defaults__ == cls.__struct_defaults__
    ours, theirs = msgspec.structs.fields(function), msgspec.structs.fields(cls)
    assert [(one.name, one.type, one.default) for one in ours] == [(one.name, one.type, one.default) for one in theirs]
    assert JSON.encode(function(7)) == JSON.encode(cls(7))


@pytest.mark.parametrize(("function", "cls"), [(collect, Collect), (index, Index)], ids=["activity", "workflow"])
def test_a_function_and_a_class_of_one_name_start_one_execution(function: Any, cls: Any) -> None:
    if issubclass(cls, WorkflowStep):
        assert function(7).workflow_id() == cls(7).workflow_id()
    else:
        assert function.spec.label == cls.spec.label


def test_the_body_of_a_function_is_what_runs() -> None:
    run: Any = collect(7).run  # type: ignore[attr-defined]
    assert run(Connection()) == [Change(7)]
    assert greet("world", greeting="Hello").run() == "Hello, world!"  # type: ignore[attr-defined]


def test_a_parameter_by_name_only_is_a_field_by_name_only() -> None:
    make: Any = greet
    assert make("world", greeting="Hello") == make(name="world", greeting="Hello", mark="!")
    with pytest.raises(TypeError):
        make("world", "Hello")
    with pytest.raises(TypeError):
        make("world")


def test_a_class_may_take_its_fields_by_name_only() -> None:
    class Charge(Activity[None, None], kw_only=True):
        currency: str = "EUR"
        amount: int

        def run(self) -> None: ...

    assert Charge(amount=3).currency == "EUR"
    with pytest.raises(TypeError):
        Charge("EUR", 3)  # type: ignore[misc]  # pyright: ignore


def test_a_constraint_of_a_parameter_is_kept() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"\$\.mark"):
        msgspec.json.decode(b'{"name": "world", "greeting": "Hello", "mark": "!!"}', type=greet)


def test_a_workflow_function_may_return_any_kind_of_step() -> None:
    @workflow
    def both() -> Both[int, str]:
        return done(1) & done("a")

    @workflow
    def call() -> Collect:  # type: ignore[type-var]
        return Collect(7)

    @workflow
    def anything() -> Step[Any]:
        return done(1)

    specs = [definition.spec.result for definition in (both, call, anything)]  # type: ignore[attr-defined]
    assert specs == [tuple[int, str], list[Change], Any]


def test_strings_for_type_arguments_are_resolved() -> None:
    class Fetch(Activity["Connection", "list[Change]"]):
        def run(self, connection: Connection) -> list[Change]: ...

    assert (Fetch.spec.needs, Fetch.spec.result) == (Connection, list[Change])


# Instances.

CALLS = [Collect(7), Index(7, frozenset({"a", "b"})), collect(7), index(7), greet("world", greeting="Hello")]


@pytest.mark.parametrize("call", CALLS, ids=lambda call: type(call).__name__)
def test_a_call_is_a_step_and_a_leaf(call: Any) -> None:
    assert isinstance(call, Step)
    assert isinstance(call, ActivityStep | WorkflowStep)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: type(call).__name__)
def test_a_call_is_frozen(call: Any) -> None:
    with pytest.raises(AttributeError):
        setattr(call, call.__struct_fields__[0], 8)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: type(call).__name__)
def test_calls_are_equal_by_value(call: Any) -> None:
    same = copy.deepcopy(call)
    assert same == call
    assert hash(same) == hash(call)
    assert msgspec.structs.replace(call, **{call.__struct_fields__[0]: 8}) != call


@pytest.mark.parametrize("call", CALLS, ids=lambda call: type(call).__name__)
def test_a_call_is_pickled_and_read_back(call: Any) -> None:
    assert pickle.loads(pickle.dumps(call)) == call


@pytest.mark.parametrize("call", CALLS, ids=lambda call: type(call).__name__)
def test_a_call_is_written_and_read_back(call: Any) -> None:
    assert JSON.decode(JSON.encode(call), type(call)) == call


def test_calls_of_different_definitions_differ() -> None:
    assert Collect(7) != collect(7)


# Workflow ids.


@pytest.mark.parametrize("define", [activity, workflow])
@pytest.mark.parametrize("result", [T, list[T]])
def test_a_function_names_the_type_of_what_it_gives(define: Any, result: Any) -> None:
    async def same(value: Any) -> Any: ...

    same.__annotations__["return"] = result
    with pytest.raises(DefinitionError, match=r"same: the result type .*T.* is a type variable"):
        define(same)


def test_reading_the_spec_of_a_generic_base_class_raises() -> None:
    class Same(Workflow[T], Generic[T]):
        value: T

        async def flow(self) -> T: ...

    with pytest.raises(DefinitionError, match=r"Same: this generic base class.*Same\[int\]"):
        Same(1).step_label  # noqa: B018


def test_a_workflow_id_is_made_of_the_name_and_the_input() -> None:
    assert Index(7).workflow_id() == Index(7).workflow_id() != Index(8).workflow_id()
    assert Index(7).workflow_id().startswith("Index-")


def test_a_workflow_id_is_one_that_swf_takes_however_long_the_name() -> None:
    class Book(Workflow[int], name="x" * 256, task_list="books"):
        async def flow(self) -> int: ...

    assert find_name_error(Book().workflow_id()) is None


def test_a_workflow_id_does_not_depend_on_the_version() -> None:
    def make(version: str) -> Any:
        class Book(Workflow[int], version=version):
            async def flow(self) -> int: ...

        return Book()

    assert make("1").workflow_id() == make("2").workflow_id()


def test_a_workflow_id_does_not_depend_on_how_large_the_input_is() -> None:
    assert len(Index(7, frozenset({"x" * 100_000})).workflow_id()) < 256


def test_a_workflow_id_is_the_same_under_every_hash_seed() -> None:
    code = (
        "from traction import workflow, done, Step\n"
        "@workflow\n"
        "def index(names: set[str], sizes: dict[str, int]) -> Step[int]: return done(1)\n"
        "print(index({'a', 'b', 'c', 'd'}, {'x': 1, 'y': 2}).workflow_id())\n"
        "print(index({'d', 'c', 'b', 'a'}, {'y': 2, 'x': 1}).workflow_id())\n"
    )
    ids = set()
    for seed in ("1", "2", "3"):
        done = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        ids.update(done.stdout.split())
    assert len(ids) == 1


# Bases.


class Query(Activity[Connection, list[T]], Generic[T], retry=Retry(attempts=9), task_list="queries", version="8"):
    key: T

    def run(self, connection: Connection) -> list[T]:
        return [self.key]


class CountQuery(Query[int], start_to_close=5):
    pass


def test_a_generic_base_is_completed_by_a_subclass() -> None:
    assert CountQuery.spec.result == list[int]
    assert CountQuery.spec.needs is Connection
    assert JSON.decode('{"key": 7}', CountQuery) == CountQuery(7)


def test_a_field_of_a_generic_base_has_the_type_that_the_subclass_gives_it() -> None:
    class Find(Activity[Connection, int], Generic[T]):
        key: T

        def run(self, connection: Connection) -> int: ...

    with pytest.raises(DefinitionError, match="field 'key' is Connection"):

        class FindConnection(Find[Connection]):
            pass


def test_the_options_of_a_base_hold_for_its_subclasses_but_for_those_that_name_it() -> None:
    assert CountQuery.spec.retry == Retry(attempts=9)
    assert CountQuery.spec.task_list == TaskList("queries")
    assert CountQuery.spec.start_to_close == "5"
    assert (CountQuery.spec.type.name, CountQuery.spec.type.version) == ("CountQuery", "1")


def test_a_generic_base_class_is_not_a_definition() -> None:
    for use in (lambda: check_definition(Query), lambda: Query(1).spec, lambda: Query[int](1).spec):
        with pytest.raises(DefinitionError, match=r"make a subclass of Query\[int\]"):
            use()


def test_only_definitions_have_a_spec() -> None:
    assert [hasattr(cls, "spec") for cls in (Query, Query[int], Activity, Workflow, CountQuery)] == [False] * 4 + [True]
    # What the metaclass made for the parameters that are given by place.
    base_of_function: Any = greet.__mro__[1]  # type: ignore[attr-defined]
    assert base_of_function.__struct_fields__ == ("name",)
    assert not hasattr(base_of_function, "spec")


def test_a_definition_may_extend_another() -> None:
    class CollectMore(Collect):
        depth: int = 1

    assert CollectMore.spec.result == list[Change]
    assert CollectMore(7, 100, 2).__struct_fields__ == ("project_id", "limit", "depth")


# What is refused when the class is made.


def run_for_nothing(self: Any) -> Any: ...


def make_activity(**options: Any) -> Any:
    class Fetch(A[None, int], **options):
        def run(self) -> int: ...

    return Fetch


def make_workflow(**options: Any) -> Any:
    class Book(W[int], **options):
        async def flow(self) -> int: ...

    return Book


BAD_ACTIVITY_OPTIONS: list[dict[str, Any]] = [
    {"timeout": 3},
    {"tags": ("a",)},
    {"name": ""},
    {"name": " a"},
    {"name": "a:b"},
    {"name": "arn"},
    {"name": "x" * 257},
    {"name": None},
    {"version": 1},
    {"version": "x" * 65},
    {"task_list": "a|b"},
    {"task_list": 7},
    *(
        {key: bad}
        for key in ("schedule_to_start", "start_to_close", "schedule_to_close", "heartbeat")
        for bad in (-1, "60")
    ),
    {"start_to_close": True},
    {"start_to_close": timedelta.max},
    {"start_to_close": float("nan")},
    {"retry": 5},
    {"retry": Retry},
    {"priority": "1"},
    {"priority": True},
    {"priority": 2**31},
    {"priority": 1.5},
    {"description": 7},
    {"description": "x" * 1_025},
]


class Declined(DeclaredError): ...


BAD_WORKFLOW_OPTIONS: list[dict[str, Any]] = [
    {"retry": Retry()},
    {"start_to_close": 3},
    {"name": "a/b"},
    {"execution_start_to_close": None},
    {"execution_start_to_close": timedelta(days=366)},
    {"execution_start_to_close": "1"},
    {"task_start_to_close": -1},
    {"child_policy": "KILL"},
    {"child_policy": ["TERMINATE"]},
    {"tags": "search"},
    {"tags": 7},
    {"tags": {"a"}},
    {"tags": ("a", "b", "c", "d", "e", "f")},
    {"tags": ("x" * 257,)},
    {"tags": (7,)},
    {"raises": [Declined]},
    {"raises": (KeyError,)},
    {"priority": -(2**31) - 1},
    {"lambda_role": 7},
    {"lambda_role": "x" * 1_601},
]


@pytest.mark.parametrize("options", BAD_ACTIVITY_OPTIONS, ids=lambda options: f"{options!r:.60}")
def test_a_bad_option_of_an_activity_is_refused_by_its_name(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=next(iter(options))):
        make_activity(**options)


@pytest.mark.parametrize("options", BAD_WORKFLOW_OPTIONS, ids=lambda options: f"{options!r:.60}")
def test_a_bad_option_of_a_workflow_is_refused_by_its_name(options: dict[str, Any]) -> None:
    with pytest.raises(DefinitionError, match=next(iter(options))):
        make_workflow(**options)


def test_every_option_is_taken() -> None:
    spans = dict.fromkeys(["schedule_to_start", "start_to_close", "schedule_to_close", "heartbeat"], hours(1))
    texts = {"name": "n", "version": "v", "task_list": "t", "description": "d"}
    ours: dict[str, Any] = {**spans, **texts, "retry": Retry(), "raises": (Declined,), "priority": -1}
    theirs: dict[str, Any] = {
        **texts,
        "execution_start_to_close": hours(1),
        "task_start_to_close": None,
        "child_policy": "REQUEST_CANCEL",
        "tags": ["a"],
        "raises": (Declined,),
        "priority": 1,
        "lambda_role": "r",
    }
    assert set(ours) == set(ActivityOptions.__annotations__)
    assert set(theirs) == set(WorkflowOptions.__annotations__)
    assert (make_activity(**ours).spec.heartbeat, make_activity(**ours).spec.priority) == ("3600", "-1")
    assert (make_workflow(**theirs).spec.tags, make_workflow(**theirs).spec.lambda_role) == (("a",), "r")


@pytest.mark.parametrize("base", [A, W, Query], ids=str)
def test_a_class_without_type_arguments_is_refused(base: Any) -> None:
    with pytest.raises(DefinitionError):
        types.new_class("Fetch", (base,), {}, lambda body: body.update(run=run_for_nothing, flow=run_for_nothing))


@pytest.mark.parametrize(
    ("root", "arguments"),
    [(A, int), (A, (None, int, int)), (W, (int, int)), (W, ())],
    ids=lambda value: f"{value!r:.30}",
)
def test_a_wrong_number_of_type_arguments_is_refused(root: Any, arguments: Any) -> None:
    with pytest.raises(DefinitionError, match="the type arguments are"):
        root[arguments]


class Methods:
    """`run` and `flow` as they should not be."""

    def takes_more(self, one: Any, two: Any) -> int: ...

    def takes_names(self, connection: Connection, *, more: int) -> int: ...

    def gives_text(self, connection: Connection) -> str: ...

    def takes_another(self, connection: Change) -> int: ...

    def yields(self, connection: Connection) -> Any:
        yield 1

    async def yields_later(self, connection: Connection) -> Any:
        yield 1

    def names_no_type(self, connection: 7 / 0) -> int: ...  # type: ignore


@pytest.mark.parametrize(
    "run", [one for name, one in vars(Methods).items() if name[0] != "_"], ids=lambda f: f.__name__
)
def test_a_run_of_another_shape_is_refused(run: Any) -> None:
    with pytest.raises(DefinitionError):
        types.new_class("Fetch", (A[Connection, int],), {}, lambda body: body.update(run=run))


@pytest.mark.parametrize(
    "run", [None, 7, staticmethod(len), classmethod(len), property(len)], ids=lambda run: type(run).__name__
)
def test_a_run_that_is_not_a_method_is_rejected(run: Any) -> None:
    with pytest.raises(DefinitionError, match="write def run"):
        types.new_class("Fetch", (A[Connection, int],), {}, lambda body: body.update(run=run))


def test_a_run_may_be_async_unannotated_or_of_a_wider_parameter() -> None:
    async def later(self: Any, connection: Connection) -> int: ...

    def bare(self, connection): ...  # type: ignore[no-untyped-def]

    def wide(self: Any, connection: Connection | None) -> int: ...

    def any(self: Any, connection: Any) -> Any: ...

    def structural(self: Any, connection: Readable) -> int: ...

    def optional(self: Any, connection: Connection, more: int = 1) -> int: ...

    def decorated(*args: Any, **kwargs: Any) -> Any: ...

    for run in (later, bare, wide, any, structural, optional, decorated):
        made: Any = types.new_class("Fetch", (A[FastConnection, int],), {}, lambda body, run=run: body.update(run=run))
        assert made.spec.result is int


def test_a_flow_is_async_or_returns_a_step_of_the_declared_type() -> None:
    async def later(self: Any) -> int: ...

    def step(self: Any) -> Step[int]: ...

    def both(self: Any) -> Both[int, str]: ...

    def value(self: Any) -> int: ...

    async def text(self: Any) -> str: ...

    def text_step(self: Any) -> Step[str]: ...

    def define(flow: Any, result: Any) -> Any:
        return types.new_class("Book", (W[result],), {}, lambda body: body.update(flow=flow))

    for flow, result in ((later, int), (step, int), (both, tuple[int, str])):
        assert define(flow, result).spec.result == result
    for flow in (value, text, text_step, both):
        with pytest.raises(DefinitionError, match="flow returns"):
            define(flow, int)


UNWRITABLE: list[Any] = [
    Path,
    object,
    complex,
    Connection,
    list[Path],
    dict[str, tuple[int, Path]],
    Path | None,
    Holder,
    Pair,
    Recursive,
    dict[Change, int],
    dict[tuple[int, int], int],
    dict[bool, int],
    list[int] | set[int],
    Iterator[int],
    type[int],
    msgspec.msgpack.Ext,
]

WRITABLE: list[Any] = [
    Any,
    None,
    Tree,
    list[Change],
    dict[int | str, Change],
    dict[str, dict[int, float]],
    set[Change],
    tuple[int, ...],
    Annotated[int, msgspec.Meta(ge=0)],
    Change | None,
    msgspec.Raw,
]


@pytest.mark.parametrize("annotation", UNWRITABLE, ids=str)
def test_a_field_or_result_that_cannot_be_written_is_refused(annotation: Any) -> None:
    with pytest.raises(DefinitionError, match="field 'x'"):
        types.new_class(
            "Fetch",
            (A[None, int],),
            {},
            lambda body: body.update(run=run_for_nothing, __annotations__={"x": annotation}),
        )
    with pytest.raises(DefinitionError, match="the result"):
        types.new_class("Fetch", (A[None, annotation],), {}, lambda body: body.update(run=run_for_nothing))


@pytest.mark.parametrize("annotation", WRITABLE, ids=str)
def test_a_field_and_result_that_can_be_written_are_taken(annotation: Any) -> None:
    made: Any = types.new_class(
        "Fetch",
        (A[None, annotation],),
        {},
        lambda body: body.update(run=run_for_nothing, __annotations__={"x": annotation}),
    )
    check_definition(made)
    assert made.spec.result == (type(None) if annotation is None else annotation)


@pytest.mark.parametrize(
    "name", [name for name in dir(Step) if name[0] != "_"] + ["run", "spec", "flow", "workflow_id"]
)
def test_a_field_that_would_hide_a_method_is_refused(name: str) -> None:
    with pytest.raises(DefinitionError, match=f"'{name}'"):
        types.new_class(
            "Fetch",
            (A[None, int],),
            {},
            lambda body: body.update({"run": run_for_nothing, "__annotations__": {name: int}}),
        )


# Functions that are refused.


def test_anything_but_a_plain_function_is_rejected() -> None:
    for thing in ("Fetch", 7, Connection, len, Connection().__init__, Collect):
        with pytest.raises(DefinitionError, match="made from a function"):
            activity(thing)  # type: ignore[call-overload]


def test_a_function_whose_parameters_cannot_be_fields_is_refused() -> None:
    def stars(*numbers: int) -> int: ...

    def names(**numbers: int) -> int: ...

    def by_place(number: int, /) -> int: ...

    def untyped(number) -> int: ...  # type: ignore[no-untyped-def]

    def no_result(number: int): ...  # type: ignore[no-untyped-def]

    def unwritable(path: Path) -> int: ...

    def later(page: Page) -> int: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore

    def hides(map: int) -> int: ...

    def shared(numbers: list[int] = [1]) -> int: ...  # noqa: B006

    def yields() -> Iterator[int]:
        yield 1

    for f in (stars, names, by_place, untyped, no_result, unwritable, later, hides, shared, yields):
        with pytest.raises(DefinitionError, match=f.__name__):
            activity(f)  # type: ignore[call-overload]


def test_a_dependency_is_the_first_parameter_by_place_and_of_its_type() -> None:
    def none() -> int: ...

    def by_name(*, connection: Connection) -> int: ...

    def another(connection: Change) -> int: ...

    for f in (none, by_name, another):
        with pytest.raises(DefinitionError, match="needs=Connection"):
            activity(needs=Connection)(f)  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="is not a type"):
        activity(needs=Connection())(by_name)  # type: ignore[call-overload]


def test_a_function_declares_its_own_keyword_only_parameters() -> None:
    def collect_nothing(number: int) -> None: ...

    with pytest.raises(DefinitionError, match=r"write a \*"):
        activity(kw_only=True)(collect_nothing)  # type: ignore[call-overload]


# What is named before it is there.


def make_module(source: str) -> types.ModuleType:
    """Run a module's text as an import would."""
    module = types.ModuleType("traction_test_module")
    sys.modules[module.__name__] = module
    exec(source, module.__dict__)
    return module


@pytest.fixture(params=["", "from __future__ import annotations\n"], ids=["plain", "future"])
def head(request: pytest.FixtureRequest) -> Iterator[str]:
    yield f"{request.param}import msgspec\nfrom pathlib import Path\nfrom traction import *\n"
    del sys.modules["traction_test_module"]


FETCH = "class Fetch(Activity[None, int]):\n    page: 'Page'\n    def run(self) -> int: return 1\n"


def test_a_type_that_is_defined_later_is_checked_later(head: str) -> None:
    module = make_module(head + FETCH + "class Page(msgspec.Struct): number: int\n")
    check_definition(module.Fetch)
    assert JSON.decode('{"page": {"number": 7}}', module.Fetch) == module.Fetch(module.Page(7))


def test_a_type_that_is_never_defined_is_refused_by_the_later_check(head: str) -> None:
    module = make_module(head + FETCH)
    with pytest.raises(DefinitionError, match="'Page' is not defined"):
        check_definition(module.Fetch)


def test_a_later_type_that_cannot_be_encoded_is_rejected_by_the_later_check(head: str) -> None:
    module = make_module(head + FETCH + "class Page(msgspec.Struct): path: Path\n")
    with pytest.raises(DefinitionError, match=r"Page\.path is a Path"):
        check_definition(module.Fetch)


def test_a_later_type_within_a_field_is_checked_later(head: str) -> None:
    page = "class Page(msgspec.Struct): lines: 'list[Line]'\n"
    module = make_module(head + page + FETCH + "Line = Path\n")
    with pytest.raises(DefinitionError, match=r"Page\.lines is a Path"):
        check_definition(module.Fetch)


def test_an_annotation_that_is_not_a_type_is_rejected_at_once(head: str) -> None:
    with pytest.raises(DefinitionError, match="is not a type"):
        make_module(head + FETCH.replace("'Page'", "'Page |'"))


def test_an_error_in_a_known_type_is_raised_before_later_types_are_defined(head: str) -> None:
    with pytest.raises(DefinitionError, match="the result is Path"):
        make_module(head + FETCH.replace("int", "Path"))


def test_check_definition_rejects_other_values() -> None:
    for thing in (Collect(7), Activity, Workflow, int, "Collect", None):
        with pytest.raises(DefinitionError, match="expected a definition"):
            check_definition(thing)
