"""The base classes `Activity` and `Workflow`, and how a subclass becomes a definition."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, Unpack
from weakref import WeakKeyDictionary, WeakSet

import msgspec

from traction.definitions.options import (
    DESCRIPTION_CHARS_MAX,
    ROLE_CHARS_MAX,
    ActivityOptions,
    ChildOptions,
    TaskOptions,
    WorkflowOptions,
    check_options,
    read_cancellation,
    read_child_policy,
    read_execution_span,
    read_name,
    read_overrides,
    read_priority,
    read_raises,
    read_retry,
    read_span,
    read_tags,
    read_text,
)
from traction.definitions.signatures import (
    check_flow,
    check_run,
    find_arguments,
    is_open,
    read_arguments,
)
from traction.errors import DefinitionError
from traction.flow.effects import Local
from traction.flow.retry import Retry
from traction.flow.specs import ActivitySpec, WorkflowSpec
from traction.flow.step import ActivityStep, Adjusted, AdjustedChild, Step, WorkflowStep
from traction.model.names import NAME_CHARS_MAX, VERSION_CHARS_MAX, ActivityType, TaskList, WorkflowType
from traction.payloads.codec import name_type, write_canonically
from traction.payloads.json_types import OF_AN_ERROR, check_fields, check_writable, is_about_later

C = TypeVar("C")
C_contra = TypeVar("C_contra", contravariant=True)
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
P = ParamSpec("P")


def make_struct(metaclass: Any, name: str, bases: Any, namespace: dict[str, Any], kw_only: bool) -> Any:
    """Create the class of a frozen struct."""
    try:
        return msgspec.StructMeta.__new__(metaclass, name, bases, namespace, frozen=True, kw_only=kw_only)
    except TypeError as error:
        where = f"{namespace.get('__module__')}.{namespace.get('__qualname__', name)}"
        raise DefinitionError(f"{where}: {error}") from error


if TYPE_CHECKING:

    @typing.dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
    class ActivityMeta(msgspec.StructMeta):
        """The metaclass of activities for type checkers: the fields define the constructor."""

        def __new__(
            mcls,
            cls_name: str,
            bases: Any,
            namespace: Any,
            /,
            *,
            kw_only: bool = False,
            **options: Unpack[ActivityOptions],
        ) -> ActivityMeta: ...

    @typing.dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
    class WorkflowMeta(msgspec.StructMeta):
        """The metaclass of workflows for type checkers: the fields define the constructor."""

        def __new__(
            mcls,
            cls_name: str,
            bases: Any,
            namespace: Any,
            /,
            *,
            kw_only: bool = False,
            **options: Unpack[WorkflowOptions],
        ) -> WorkflowMeta: ...

else:

    class ActivityMeta(msgspec.StructMeta):
        """Makes an activity's class a frozen struct, with a spec from the class keywords."""

        def __new__(mcls, cls_name, bases, namespace, /, *, kw_only=False, **options):
            cls = make_struct(mcls, cls_name, bases, namespace, kw_only)
            return cls if ActivityStep in bases else _define(cls, Activity, _activity_spec, options)

    class WorkflowMeta(msgspec.StructMeta):
        """Makes a workflow's class a frozen struct, with a spec from the class keywords."""

        def __new__(mcls, cls_name, bases, namespace, /, *, kw_only=False, **options):
            cls = make_struct(mcls, cls_name, bases, namespace, kw_only)
            return cls if WorkflowStep in bases else _define(cls, Workflow, _workflow_spec, options)


class Activity(ActivityStep[R_co], msgspec.Struct, Generic[C_contra, R_co], metaclass=ActivityMeta):
    """Work that a worker runs: `Activity[C, R]` returns an `R`, and needs a `C` that the worker provides.

    Subclass it with fields for the input and a method `run`: `run(self, dependency: C) -> R`, or `run(self) -> R`
    where `C` is `None`; either may be `async`. An instance is a call, and a `Step[R]`.

    The work may run more than once: a worker may crash after the work and before its response. Make it idempotent.

    Example:
        >>> class Greet(Activity[None, str], version="1", start_to_close=10):
        ...     name: str
        ...     def run(self) -> str:
        ...         return f"Hello, {self.name}!"
        >>> Greet("world").spec.type
        ActivityType(name='Greet', version='1')

    Raises:
        DefinitionError: the class is wrong. Raised when it is created.
    """

    if TYPE_CHECKING:

        def __init_subclass__(cls, *, kw_only: bool = False, **options: Unpack[ActivityOptions]) -> None: ...

    else:

        def __class_getitem__(cls, arguments):
            form, example = "Activity[dependency, result]", "Activity[None, int] without a dependency"
            return _parametrize(cls, super().__class_getitem__, arguments, form, example)

    def options(self, **options: Unpack[TaskOptions]) -> Step[R_co]:
        """Return this call with its own options: timeouts, task list, priority, retries.

        Example:
            await CollectChanges(7).options(start_to_close=3600, task_list="big")

        Raises:
            DefinitionError: an option is unknown, or its value is not one that SWF accepts.
        """
        values: dict[str, Any] = dict(options)
        where = f"{type(self).__qualname__}.options"
        overrides, policy = read_overrides(where, values, TaskOptions), values.get("retry")
        if "retry" in values and policy is None:
            policy = Retry(attempts=1)  # overrides the policy of the class
        return Adjusted(self, overrides, policy)

    def locally(self) -> Step[R_co]:
        """Run this call in the workflow worker, within the decision task, and record its result as a marker.

        For work of milliseconds, such as a cache lookup or a short query. It needs no activity task. It runs again if
        the decision task is lost, and has no timeouts and no heartbeats. Several local activities of one flow run one
        after the other.

        Example:
            price = await LookUp("tea").locally()

        Raises:
            ActivityFailed: (in the flow) it failed, and its retry policy allows no more attempts.

        History:
            RecordMarker, in the decision task that runs it; for a pause between attempts, StartTimer.
        """
        return Local(self)


class Workflow(WorkflowStep[R_co], msgspec.Struct, Generic[R_co], metaclass=WorkflowMeta):
    """A flow under a name and a version: `Workflow[R]` returns an `R`.

    Subclass it with fields for the input and a method `flow`: an `async def` that awaits steps, or a plain method that
    returns a step. An instance is a call: run it with a client, or await it in another flow, where it is a child.

    Raises:
        DefinitionError: the class is wrong. Raised when it is created.
    """

    if TYPE_CHECKING:

        def __init_subclass__(cls, *, kw_only: bool = False, **options: Unpack[WorkflowOptions]) -> None: ...

    else:

        def __class_getitem__(cls, arguments):
            form, example = "Workflow[result]", "Workflow[tuple[int, str]] for two values"
            return _parametrize(cls, super().__class_getitem__, arguments, form, example)

    def workflow_id(self) -> str:
        """Return the workflow id under which a client starts this call. Override it to choose the id.

        The default is made from the workflow's name and its input, so that starting the same work twice finds the open
        execution. It is the same in all processes and for all versions.

        A child has another default id, made from its parent's run and its step, so that one flow may have many children
        with the same input. A class that overrides this method also defines the ids of its children.
        """
        from hashlib import sha256

        return f"{self.spec.label[:200]}-{sha256(write_canonically(self)).hexdigest()[:16]}"

    def options(self, **options: Unpack[ChildOptions]) -> AdjustedChild[R_co]:
        """Return this call, as a child, with its own options: id, timeouts, task list, child policy, tags.

        `cancellation` defines what happens to the child when its await is cancelled: `"wait"` (the default) requests
        its cancellation and waits until it has closed, `"request"` only requests it, `"abandon"` does neither.

        Raises:
            DefinitionError: an option is unknown, or its value is not one that SWF or Traction accepts.
        """
        values: dict[str, Any] = dict(options)
        where = f"{type(self).__qualname__}.options"
        overrides = read_overrides(where, values, ChildOptions)
        return AdjustedChild(self, overrides, cancellation=read_cancellation(where, values))


def check_definition(definition: Any) -> None:
    """Check a definition whose annotations named later types when its class was created.

    Workers and clients call this for each definition.

    Raises:
        DefinitionError: it is not a definition, an annotation does not resolve, or a type cannot be encoded as JSON.
    """
    is_made = isinstance(definition, ActivityMeta | WorkflowMeta) and definition not in (Activity, Workflow)
    if not is_made:
        what = f"a call of {type(definition).__name__}" if isinstance(definition, Step) else f"{definition!r:.100}"
        raise DefinitionError(
            f"expected a definition, got {what}; pass the class, a subclass of Activity[...] or Workflow[...]"
        )
    made = typing.cast(Any, definition)
    if made.spec and made in _UNCHECKED:  # raises for a generic base, which has no spec
        _check_types(made)
        _UNCHECKED.discard(made)


def _check_types(definition: Any) -> None:
    where = name_definition(definition)
    check_writable(where, "the result", definition.spec.result)
    check_fields(definition, where)
    for error in definition.spec.raises:
        check_fields(error, name_definition(error), OF_AN_ERROR)


# How classes become definitions.

_OPTIONS: WeakKeyDictionary[type, dict[str, Any]] = WeakKeyDictionary()
"""The class keywords of each definition, with those that it inherits."""

_UNCHECKED: WeakSet[type] = WeakSet()
"""The definitions whose annotations name types that were not yet defined."""


class _OpenError(DefinitionError, AttributeError):
    """Also an `AttributeError`, so that `hasattr(cls, "spec")` is false for a class without a spec."""


class _Open:
    """The `spec` of a generic base class, which is not a definition: reading it raises."""

    def __get__(self, instance: Any, owner: Any) -> Any:
        parameters = ", ".join(["int"] * len(owner.__parameters__)) or "..."
        raise _OpenError(
            f"{name_definition(owner)}: this generic base class is not a definition; make a subclass of "
            f"{owner.__name__}[{parameters}]"
        )


def name_definition(made: Any) -> str:
    """Return the module and name of a definition, for errors."""
    return f"{made.__module__}.{made.__qualname__}"


def _parametrize(cls: Any, parametrize: Callable[[Any], Any], arguments: Any, form: str, example: str) -> Any:
    try:
        return parametrize(arguments)
    except TypeError as error:
        if cls not in (Activity, Workflow):
            raise
        actual = f"[{', '.join(map(name_type, arguments if isinstance(arguments, tuple) else (arguments,)))}]"
        raise DefinitionError(f"the type arguments are {form}, got {actual}; write {example}") from error


def _define(cls: Any, root: type, make_spec: Callable[..., Any], options: dict[str, Any]) -> Any:
    where = name_definition(cls)
    arguments = find_arguments(cls, root)
    if arguments is None:
        raise DefinitionError(
            f"{where}: {root.__name__} needs type arguments, which declare the result of a call. "
            f"Write class {cls.__name__}({root.__name__}[{'Connection, int' if root is Activity else 'int'}])"
        )
    for field in cls.__struct_fields__:
        if hasattr(Step, field) or field in _TAKEN:
            raise DefinitionError(
                f"{where}: a field cannot be named {field!r}, which is an attribute of every call "
                f"(Traction); rename it to {field}_"
            )
    _OPTIONS[cls] = options = _inherit_options(cls) | options
    if any(map(is_open, arguments)):
        if not cls.__parameters__:
            raise DefinitionError(
                f"{where}: its base class is generic, so the result type of a call is unknown; write its type "
                f"arguments, such as {cls.__bases__[0].__name__}[int]"
            )
        cls.spec = cls.step_label = _Open()
        return cls
    cls.spec = make_spec(cls, where, read_arguments(cls, where, arguments), options)
    cls.step_label = cls.spec.label
    try:
        _check_types(cls)
    except DefinitionError as error:
        # The type may be defined further down in the module; a worker or client checks again.
        if not is_about_later(error):
            raise
        _UNCHECKED.add(cls)
    return cls


_TAKEN = frozenset({"spec", "step_label", "options", "locally", "run", "flow", "workflow_id"})


def _inherit_options(cls: Any) -> dict[str, Any]:
    """Return the class keywords of the nearest base, except those that identify its type."""
    for base in cls.__mro__[1:]:
        if (options := _OPTIONS.get(base)) is not None:
            return {key: value for key, value in options.items() if key not in ("name", "version", "description")}
    return {}


def _activity_spec(cls: Any, where: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> ActivitySpec:
    check_options(where, options, ActivityOptions)
    needs, result = arguments
    needs = None if needs is type(None) else needs
    check_run(cls, where, needs, result)
    name, version, task_list = _read_type(cls, where, options)
    return ActivitySpec(
        type=ActivityType(name, version),
        label=make_label(name),
        task_list=task_list,
        schedule_to_start=read_span(where, options, "schedule_to_start", None),
        start_to_close=read_span(where, options, "start_to_close", timedelta(minutes=5)),
        schedule_to_close=read_span(where, options, "schedule_to_close", None),
        heartbeat=read_span(where, options, "heartbeat", None),
        retry=read_retry(where, options),
        raises=read_raises(where, options),
        priority=read_priority(where, options),
        description=_read_description(cls, where, options),
        needs=needs,
        result=result,
        is_async=_is_async(cls),
    )


def _is_async(cls: Any) -> bool:
    """Return whether an activity is async, as a class or as a function."""
    owner = next(base for base in cls.__mro__ if "run" in vars(base))
    # The method `run` of a function's class calls the function, and is not async itself.
    body = owner._function if "_function" in vars(owner) else owner.run
    # A decorator that is not async may call an async function and return its coroutine.
    return inspect.iscoroutinefunction(body) or inspect.iscoroutinefunction(inspect.unwrap(body))


def _workflow_spec(cls: Any, where: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> WorkflowSpec:
    check_options(where, options, WorkflowOptions)
    (result,) = arguments
    check_flow(cls, where, result)
    name, version, task_list = _read_type(cls, where, options)
    return WorkflowSpec(
        type=WorkflowType(name, version),
        label=make_label(name),
        task_list=task_list,
        execution_start_to_close=read_execution_span(where, options),
        task_start_to_close=read_span(where, options, "task_start_to_close", timedelta(seconds=30)),
        child_policy=read_child_policy(where, options),
        priority=read_priority(where, options),
        tags=read_tags(where, options),
        raises=read_raises(where, options),
        lambda_role=read_text(where, options, "lambda_role", ROLE_CHARS_MAX),
        description=_read_description(cls, where, options),
        names_itself=cls.workflow_id is not Workflow.workflow_id,
        result=result,
    )


def make_label(name: str) -> str:
    """Return a type's name as it appears in ids, without dots and tildes, which have a meaning there."""
    return name.replace(".", "_").replace("~", "_")


def _read_type(cls: Any, where: str, options: dict[str, Any]) -> tuple[str, str, TaskList]:
    name = read_name(where, "name", options.get("name", cls.__name__), NAME_CHARS_MAX)
    version = read_name(where, "version", options.get("version", "1"), VERSION_CHARS_MAX)
    task_list = options.get("task_list", f"{name[:190]}-{version}")
    return name, version, TaskList(read_name(where, "task_list", task_list, NAME_CHARS_MAX))


def _read_description(cls: Any, where: str, options: dict[str, Any]) -> str | None:
    text = read_text(where, options, "description", DESCRIPTION_CHARS_MAX)
    if text is None:
        text = (cls.__dict__.get("__doc__") or "").strip().partition("\n")[0][:DESCRIPTION_CHARS_MAX]
    return text or None
