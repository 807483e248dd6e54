"""Turn classes and functions into definitions: named, versioned, typed, checked when they are made.

Takes your classes and functions; gives `Activity` and `Workflow` classes whose instances are calls, and so steps.
Talks to no service. Every mistake that can be seen in a definition is a `DefinitionError` at its first line.

A definition is a frozen msgspec struct: its fields are the input of the call. Options are class keywords, and what
follows from them is kept in `spec`, where the decider, the workers and the client read it.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Coroutine
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypedDict, TypeVar, Unpack, overload

import msgspec

from traction.codec import JSON
from traction.errors import DefinitionError
from traction.names import VERSION_CHARS_MAX, ActivityType, TaskList, WorkflowType, find_fault
from traction.options import NO_TIMEOUT, ActivitySpec, Retry, Span, WorkflowSpec, to_duration
from traction.signatures import check_method, check_writable, find_arguments, read_function
from traction.step import ActivityStep, Step, WorkflowStep
from traction.values import ChildPolicy, Duration

C = TypeVar("C")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
P = ParamSpec("P")

EXECUTION_SECONDS_MAX = 31_536_000
"""The longest that an execution may be open: one year, in seconds (SWF)."""


class ActivityOptions(TypedDict, total=False):
    """The class keywords of an activity. Spans are `timedelta`s or numbers of seconds; `None` is no limit."""

    name: str
    """The name of its type; the name of the class unless given."""
    version: str
    """The version of its type; `"1"` unless given."""
    task_list: str
    """Where its tasks wait; a list of its own, `name-version`, unless given."""
    schedule_to_start: Span | None
    """How long a task may wait for a worker. No limit unless given."""
    start_to_close: Span | None
    """How long a worker may take for one attempt; 300 s unless given. A dead worker is noticed after this."""
    schedule_to_close: Span | None
    """How long a task may take in all, waiting included. No limit unless given."""
    heartbeat: Span | None
    """How long a worker may go without a heartbeat. No limit unless given."""
    retry: Retry | None
    """How often to try again, and after how long. Once and never, unless given."""
    priority: int
    """Higher first within a task list; 0 unless given."""
    description: str
    """What people read in SWF's console; the first line of the docstring unless given."""


class WorkflowOptions(TypedDict, total=False):
    """The class keywords of a workflow. Spans are `timedelta`s or numbers of seconds."""

    name: str
    """The name of its type; the name of the class unless given."""
    version: str
    """The version of its type; `"1"` unless given."""
    task_list: str
    """Where its decision tasks wait; a list of its own, `name-version`, unless given."""
    execution_start_to_close: Span
    """How long an execution may be open; one year, SWF's longest, unless given."""
    task_start_to_close: Span | None
    """How long a worker may take to decide; 30 s unless given. A dead worker is noticed after this."""
    child_policy: ChildPolicy
    """What becomes of open children when an execution closes; `TERMINATE` unless given."""
    tags: tuple[str, ...]
    """At most five strings to find executions by."""
    priority: int
    """Higher first within a task list; 0 unless given."""
    lambda_role: str
    """The IAM role under which its Lambda tasks run."""
    description: str
    """What people read in SWF's console; the first line of the docstring unless given."""


if TYPE_CHECKING:

    @typing.dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
    class ActivityMeta(msgspec.StructMeta):
        """The metaclass of activities, as type checkers see it: fields make the constructor."""

        def __new__(
            mcls, cls_name: str, bases: Any, namespace: Any, /, **options: Unpack[ActivityOptions]
        ) -> ActivityMeta: ...

    @typing.dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
    class WorkflowMeta(msgspec.StructMeta):
        """The metaclass of workflows, as type checkers see it: fields make the constructor."""

        def __new__(
            mcls, cls_name: str, bases: Any, namespace: Any, /, **options: Unpack[WorkflowOptions]
        ) -> WorkflowMeta: ...

else:

    class ActivityMeta(msgspec.StructMeta):
        """Make a frozen struct of an activity's class, and its spec of the class keywords."""

        def __new__(mcls, cls_name, bases, namespace, /, **options):
            cls = super().__new__(mcls, cls_name, bases, namespace, frozen=True)
            return cls if ActivityStep in bases else _define(cls, Activity, _activity_spec, options)

    class WorkflowMeta(msgspec.StructMeta):
        """Make a frozen struct of a workflow's class, and its spec of the class keywords."""

        def __new__(mcls, cls_name, bases, namespace, /, **options):
            cls = super().__new__(mcls, cls_name, bases, namespace, frozen=True)
            return cls if WorkflowStep in bases else _define(cls, Workflow, _workflow_spec, options)


class Activity(ActivityStep[R_co], msgspec.Struct, Generic[C, R_co], metaclass=ActivityMeta):
    """Work that a worker does: `Activity[C, R]` gives an `R`, and needs a `C` which the worker provides.

    Subclass it with fields for the input and a method `run`: `run(self, dependency: C) -> R`, or `run(self) -> R`
    where `C` is `None`; either may be `async`. An instance is a call, and a `Step[R]`.

    The work may be done more than once: a worker may die after the work and before its answer. Make it safe to repeat.

    Example:
        >>> class Greet(Activity[None, str], version="1", start_to_close=10):
        ...     name: str
        ...     def run(self) -> str:
        ...         return f"Hello, {self.name}!"
        >>> Greet("world").spec.type
        ActivityType(name='Greet', version='1')

    Raises:
        DefinitionError: when the class is made, for whatever is wrong with it.
    """

    if TYPE_CHECKING:

        def __init_subclass__(cls, **options: Unpack[ActivityOptions]) -> None: ...


class Workflow(WorkflowStep[R_co], msgspec.Struct, Generic[R_co], metaclass=WorkflowMeta):
    """A flow under a name and a version: `Workflow[R]` gives an `R`.

    Subclass it with fields for the input and a method `flow`: an `async def` that awaits steps, or a plain method that
    returns a step. An instance is a call: run it with a client, or await it in another flow, where it is a child.

    Raises:
        DefinitionError: when the class is made, for whatever is wrong with it.
    """

    if TYPE_CHECKING:

        def __init_subclass__(cls, **options: Unpack[WorkflowOptions]) -> None: ...

    def workflow_id(self) -> str:
        """Name the execution that this call starts; override it to name by what matters.

        The default is made of the workflow's name and its input, so that starting the same work twice finds the
        execution that is already open. It is the same in every process and under every version.
        """
        return f"{self.spec.label[:200]}-{sha256(JSON.encode(self).encode()).hexdigest()[:16]}"


class _PlainActivity(Protocol):
    @overload
    def __call__(self, f: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Activity[None, R]]: ...
    @overload
    def __call__(self, f: Callable[P, R], /) -> Callable[P, Activity[None, R]]: ...


class _NeedingActivity(Protocol[C]):
    @overload
    def __call__(self, f: Callable[Concatenate[C, P], Coroutine[Any, Any, R]], /) -> Callable[P, Activity[C, R]]: ...
    @overload
    def __call__(self, f: Callable[Concatenate[C, P], R], /) -> Callable[P, Activity[C, R]]: ...


class _PlainWorkflow(Protocol):
    @overload
    def __call__(self, f: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Workflow[R]]: ...
    @overload
    def __call__(self, f: Callable[P, Step[R]], /) -> Callable[P, Workflow[R]]: ...


@overload
def activity(f: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Activity[None, R]]: ...
@overload
def activity(f: Callable[P, R], /) -> Callable[P, Activity[None, R]]: ...
@overload
def activity(*, needs: type[C], **options: Unpack[ActivityOptions]) -> _NeedingActivity[C]: ...
@overload
def activity(**options: Unpack[ActivityOptions]) -> _PlainActivity: ...
def activity(f: Any = None, /, *, needs: Any = None, **options: Any) -> Any:
    """Make an activity of a function: its parameters are the fields, its result the result.

    With `needs=Connection` the first parameter is the dependency, which the worker provides and the caller leaves out.

    Example:
        >>> @activity
        ... def greet(name: str) -> str:
        ...     return f"Hello, {name}!"
        >>> greet("world")
        greet(name='world')

    Raises:
        DefinitionError: a parameter or the result has no type, or cannot be written as JSON.
    """

    def define(f: Callable[..., Any]) -> Any:
        fields, result = read_function(f, skip=0 if needs is None else 1)

        def run(self: Any, *dependency: Any) -> Any:
            return f(*dependency, **{name: getattr(self, name) for name in fields})

        return _make_class(f, typing.cast(Any, Activity)[needs, result], fields, {"run": run}, options)

    return define if f is None else define(f)


@overload
def workflow(f: Callable[P, Coroutine[Any, Any, R]], /) -> Callable[P, Workflow[R]]: ...
@overload
def workflow(f: Callable[P, Step[R]], /) -> Callable[P, Workflow[R]]: ...
@overload
def workflow(**options: Unpack[WorkflowOptions]) -> _PlainWorkflow: ...
def workflow(f: Any = None, /, **options: Any) -> Any:
    """Make a workflow of a function: its parameters are the fields, its result the result.

    The function is an `async def` that awaits steps, or it returns a step.

    Raises:
        DefinitionError: a parameter or the result has no type, or cannot be written as JSON.
    """

    def define(f: Callable[..., Any]) -> Any:
        fields, result = read_function(f, skip=0)

        def flow(self: Any) -> Any:
            return f(**{name: getattr(self, name) for name in fields})

        return _make_class(f, typing.cast(Any, Workflow)[result], fields, {"flow": flow}, options)

    return define if f is None else define(f)


def check_definition(definition: Any) -> None:
    """Check what could not be checked when the class was made, because its annotations named what came later.

    Workers and clients call this for every definition that they are given.

    Raises:
        DefinitionError: an annotation does not resolve, or names a type that cannot be written as JSON.
    """
    where = f"{definition.__module__}.{definition.__qualname__}"
    try:
        hints = typing.get_type_hints(definition)
    except NameError as error:
        raise DefinitionError(f"{where}: {error}; import it where the definition is made") from error
    for name in definition.__struct_fields__:
        check_writable(where, f"field {name!r}", hints[name])
    check_writable(where, "the result", definition.spec.result)


# How classes become definitions.


def _define(cls: Any, root: type, make_spec: Callable[..., Any], options: dict[str, Any]) -> Any:
    where = f"{cls.__module__}.{cls.__qualname__}"
    arguments = find_arguments(cls, root)
    if arguments is None:
        raise DefinitionError(
            f"{where}: {root.__name__} has type arguments, so that callers know what a call gives. "
            f"Write class {cls.__name__}({root.__name__}[{'Connection, int' if root is Activity else 'int'}])"
        )
    for field in cls.__struct_fields__:
        if hasattr(Step, field) or field in ("spec", "run", "flow", "workflow_id"):
            raise DefinitionError(f"{where}: a field cannot be called {field!r}: every step has a method of that name")
    cls.spec = make_spec(cls, where, arguments, options)
    try:
        check_definition(cls)
    except DefinitionError as error:
        # What is not defined yet may be defined further down; a worker or client checks again.
        if not isinstance(error.__cause__, NameError):
            raise
    return cls


def _activity_spec(cls: Any, where: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> ActivitySpec:
    _check_options(where, options, ActivityOptions)
    needs, result = arguments
    needs = None if needs is type(None) else needs
    check_method(cls, where, "run", result, needs)
    name, version, task_list = _read_type(cls, where, options)

    def span(key: str, default: Span | None) -> Duration:
        return _read_span(where, key, options.get(key, default))

    retry = options.get("retry")
    if retry is not None and not isinstance(retry, Retry):
        raise DefinitionError(f"{where}: retry={retry!r} is not a Retry(...)")
    return ActivitySpec(
        type=ActivityType(name, version),
        label=make_label(name),
        task_list=task_list,
        schedule_to_start=span("schedule_to_start", None),
        start_to_close=span("start_to_close", timedelta(minutes=5)),
        schedule_to_close=span("schedule_to_close", None),
        heartbeat=span("heartbeat", None),
        retry=retry,
        priority=_read_priority(where, options),
        description=_read_description(cls, options),
        needs=needs,
        result=result,
    )


def _workflow_spec(cls: Any, where: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> WorkflowSpec:
    _check_options(where, options, WorkflowOptions)
    (result,) = arguments
    check_method(cls, where, "flow", result, None)
    name, version, task_list = _read_type(cls, where, options)
    execution = _read_span(
        where, "execution_start_to_close", options.get("execution_start_to_close", timedelta(days=365))
    )
    if execution == NO_TIMEOUT or int(execution) > EXECUTION_SECONDS_MAX:
        raise DefinitionError(
            f"{where}: execution_start_to_close is at most one year, {EXECUTION_SECONDS_MAX:,} s (SWF)"
        )
    policy = options.get("child_policy", "TERMINATE")
    if policy not in typing.get_args(ChildPolicy):
        raise DefinitionError(
            f"{where}: child_policy={policy!r} is not one of {', '.join(typing.get_args(ChildPolicy))}"
        )
    tags = tuple(options.get("tags", ()))
    if len(tags) > 5 or not all(isinstance(tag, str) and len(tag) <= 256 for tag in tags):
        raise DefinitionError(f"{where}: tags={tags!r}: at most 5 strings of at most 256 characters (SWF)")
    return WorkflowSpec(
        type=WorkflowType(name, version),
        label=make_label(name),
        task_list=task_list,
        execution_start_to_close=execution,
        task_start_to_close=_read_span(
            where, "task_start_to_close", options.get("task_start_to_close", timedelta(seconds=30))
        ),
        child_policy=policy,
        priority=_read_priority(where, options),
        tags=tags,
        lambda_role=options.get("lambda_role"),
        description=_read_description(cls, options),
        result=result,
    )


def make_label(name: str) -> str:
    """Make the word by which a type's name appears in ids: dots and tildes have a meaning there."""
    return name.replace(".", "_").replace("~", "_")


def _check_options(where: str, options: dict[str, Any], known: Any) -> None:
    for key in options:
        if key not in known.__annotations__:
            near = ", ".join(known.__annotations__)
            raise DefinitionError(f"{where}: there is no option {key!r}; the options are {near}")


def _read_type(cls: Any, where: str, options: dict[str, Any]) -> tuple[str, str, TaskList]:
    name = options.get("name", cls.__name__)
    version = options.get("version", "1")
    task_list = options.get("task_list", f"{name[:190]}-{version}" if isinstance(name, str) else "")
    for key, value, chars_max in (
        ("name", name, 256),
        ("version", version, VERSION_CHARS_MAX),
        ("task_list", task_list, 256),
    ):
        if not isinstance(value, str):
            raise DefinitionError(f"{where}: {key}={value!r} is a string in SWF; write {key}={str(value)!r}")
        if fault := find_fault(value, chars_max):
            raise DefinitionError(f"{where}: {key}={value!r} is no name that SWF takes: {fault}")
    return name, version, TaskList(task_list)


def _read_span(where: str, key: str, span: Span | None) -> Duration:
    if span is None:
        return NO_TIMEOUT
    try:
        return to_duration(span)
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"{where}: {key}={span!r}: {error}") from error


def _read_priority(where: str, options: dict[str, Any]) -> str | None:
    priority = options.get("priority")
    if priority is None:
        return None
    if not isinstance(priority, int) or isinstance(priority, bool) or not -(2**31) <= priority < 2**31:
        raise DefinitionError(f"{where}: priority={priority!r} is not an integer of 32 bits (SWF)")
    return str(priority)


def _read_description(cls: Any, options: dict[str, Any]) -> str | None:
    text = options.get("description") or (cls.__dict__.get("__doc__") or "").strip().partition("\n")[0]
    return str(text)[:1024] or None


# How functions become classes.


def _make_class(f: Any, base: Any, fields: dict[str, Any], methods: dict[str, Any], options: dict[str, Any]) -> Any:
    defaults = f.__defaults__ or ()
    positional = f.__code__.co_varnames[: f.__code__.co_argcount]
    given = dict(zip(positional[len(positional) - len(defaults) :], defaults, strict=True)) | (f.__kwdefaults__ or {})

    def fill(namespace: dict[str, Any]) -> None:
        namespace |= {name: value for name, value in given.items() if name in fields}
        namespace |= methods
        namespace |= {"__module__": f.__module__, "__qualname__": f.__qualname__, "__doc__": f.__doc__}
        namespace["__annotations__"] = fields

    try:
        return types.new_class(f.__name__, (base,), options, fill)
    except TypeError as error:
        raise DefinitionError(f"{f.__module__}.{f.__qualname__}: {error}") from error
