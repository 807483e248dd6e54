"""Options of activities, workflows and single calls, checked and converted to SWF's values."""

from __future__ import annotations

from typing import Any, TypedDict, get_args

from traction.errors import DefinitionError
from traction.flow.durations import EXECUTION_SECONDS_MAX, NO_TIMEOUT, Span, to_duration
from traction.flow.retry import Retry
from traction.flow.specs import Cancellation, Raises
from traction.model.limits import SWF
from traction.model.literals import ChildPolicy, Duration
from traction.model.names import NAME_CHARS_MAX, TaskList, find_name_error
from traction.payloads.failures import DeclaredError

TAGS_MAX = SWF.execution_tags_max
"""The most tags that an execution may have (SWF)."""


TAG_CHARS_MAX = SWF.execution_tag_chars_max
"""The most characters that a tag may have (SWF)."""


DESCRIPTION_CHARS_MAX = SWF.description_chars_max
"""The most characters that a description may have (SWF)."""


ROLE_CHARS_MAX = SWF.role_chars_max
"""The most characters that a role may have (SWF)."""


class ActivityOptions(TypedDict, total=False):
    """The class keywords of an activity. Spans are `timedelta`s or numbers of seconds; `None` means unlimited.

    Subclasses inherit them, except name, version and description.
    """

    name: str
    """The name of its type; by default, the name of the class."""
    version: str
    """The version of its type; `"1"` by default."""
    task_list: str
    """The list of its tasks; `name-version` by default."""
    schedule_to_start: Span | None
    """The longest wait for a worker; no limit by default."""
    start_to_close: Span | None
    """The longest attempt; 300 s by default. A dead worker is detected after this time."""
    schedule_to_close: Span | None
    """The longest time of an attempt, waiting for a worker included; no limit by default."""
    heartbeat: Span | None
    """The longest time between heartbeats; no limit by default."""
    retry: Retry | None
    """The retry policy; one attempt by default."""
    raises: Raises
    """The errors whose fields are stored in the history."""
    priority: int
    """Higher first within a task list; 0 by default."""
    description: str
    """The text in SWF's console; the first line of the docstring by default."""


class WorkflowOptions(TypedDict, total=False):
    """The class keywords of a workflow. Spans are `timedelta`s or numbers of seconds.

    Subclasses inherit them, except name, version and description.
    """

    name: str
    """The name of its type; by default, the name of the class."""
    version: str
    """The version of its type; `"1"` by default."""
    task_list: str
    """The list of its decision tasks; `name-version` by default."""
    execution_start_to_close: Span
    """The longest run; one year by default, SWF's maximum."""
    task_start_to_close: Span | None
    """The longest decision task; 30 s by default. A dead worker is detected after this time."""
    child_policy: ChildPolicy
    """What happens to open children when their parent closes, unless it continues as new; `TERMINATE` by default."""
    tags: tuple[str, ...]
    """At most five strings by which executions are found."""
    raises: Raises
    """The errors whose fields are stored in the history."""
    priority: int
    """Higher first within a task list; 0 by default."""
    lambda_role: str
    """The IAM role under which its Lambda tasks run."""
    description: str
    """The text in SWF's console; the first line of the docstring by default."""


class TaskOptions(TypedDict, total=False):
    """Options of one call of an activity. They replace those of its class."""

    task_list: str
    schedule_to_start: Span | None
    start_to_close: Span | None
    schedule_to_close: Span | None
    heartbeat: Span | None
    retry: Retry | None
    priority: int


class ChildOptions(TypedDict, total=False):
    """Options of one call of a child. They replace those of its class; `cancellation` is only an option of calls."""

    cancellation: Cancellation

    workflow_id: str
    task_list: str
    execution_start_to_close: Span
    task_start_to_close: Span | None
    child_policy: ChildPolicy
    tags: tuple[str, ...]
    priority: int
    lambda_role: str


# How options are read.


def check_options(where: str, options: dict[str, Any], known: Any) -> None:
    """Check that every class keyword is a known option."""
    for key in options:
        if key not in known.__annotations__:
            raise DefinitionError(
                f"{where}: unknown option {key!r}; the options are {', '.join(sorted(known.__annotations__))}"
            )


def read_name(where: str, key: str, value: Any, chars_max: int) -> str:
    """Check a name against SWF's rules."""
    if not isinstance(value, str):
        example = f"; write {key}={str(value)!r}" if isinstance(value, int | float) else ""
        raise DefinitionError(f"{where}: {key}={value!r} must be a string (SWF){example}")
    if fault := find_name_error(value, chars_max):
        raise DefinitionError(
            f"{where}: {key}={value!r:.100} is not a valid SWF name: {fault}. A name has 1 to {chars_max} characters, "
            "none of : / | and no control characters, no whitespace at its ends, and is not 'arn'"
        )
    return value


def read_span(where: str, options: dict[str, Any], key: str, default: Span | None) -> Duration:
    """Convert a timeout to SWF's text."""
    span = options.get(key, default)
    if span is None:
        return NO_TIMEOUT
    try:
        return to_duration(span)
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"{where}: {key}: {error}") from error


def read_execution_span(where: str, options: dict[str, Any]) -> Duration:
    """Convert the longest run of an execution to SWF's text. It cannot be unlimited."""
    execution = read_span(where, options, "execution_start_to_close", EXECUTION_SECONDS_MAX)
    if execution == NO_TIMEOUT or int(execution) > EXECUTION_SECONDS_MAX:
        raise DefinitionError(
            f"{where}: execution_start_to_close={options['execution_start_to_close']!r}: an execution can stay open "
            f"for at most one year, {EXECUTION_SECONDS_MAX:,} s (SWF); for longer work, use continue_as_new"
        )
    return execution


def read_child_policy(where: str, options: dict[str, Any]) -> ChildPolicy:
    """Check and return the child policy."""
    policy: ChildPolicy = options.get("child_policy", "TERMINATE")
    if policy not in get_args(ChildPolicy):
        raise DefinitionError(
            f"{where}: child_policy={policy!r} is not one of {', '.join(get_args(ChildPolicy))} (SWF)"
        )
    return policy


def read_cancellation(where: str, options: dict[str, Any]) -> Cancellation:
    """Check and return what happens to a child when its await is cancelled."""
    cancellation: Cancellation = options.get("cancellation", "wait")
    if cancellation not in get_args(Cancellation):
        raise DefinitionError(
            f"{where}: cancellation={cancellation!r:.100} is not one of {', '.join(get_args(Cancellation))} (Traction)"
        )
    return cancellation


def read_retry(where: str, options: dict[str, Any]) -> Retry | None:
    """Check and return the retry policy."""
    retry = options.get("retry")
    if retry is not None and not isinstance(retry, Retry):
        raise DefinitionError(f"{where}: retry={retry!r:.100}: expected a Retry; write retry=Retry(attempts=5)")
    return retry


def read_raises(where: str, options: dict[str, Any]) -> Raises:
    """Check that declared errors are subclasses of `DeclaredError` with distinct names."""
    raises = options.get("raises", ())
    if not isinstance(raises, tuple):
        only = raises.__name__ if isinstance(raises, type) else repr(raises)
        raise DefinitionError(f"{where}: raises={only:.100}: expected a tuple; write raises=({only:.100},)")
    by_name: dict[str, Any] = {}
    for one in raises:
        if not isinstance(one, type) or not issubclass(one, DeclaredError) or one is DeclaredError:
            name = one.__name__ if isinstance(one, type) else f"{one!r:.100}"
            raise DefinitionError(
                f"{where}: raises={name}: expected a subclass of DeclaredError, whose fields are sent with the "
                "failure. Other exceptions need no declaration; their type name, message and traceback are sent"
            )
        other = by_name.setdefault(one.__name__, one)
        if other is not one:
            raise DefinitionError(
                f"{where}: raises: {other.__module__}.{other.__qualname__} and {one.__module__}.{one.__qualname__} "
                "have the same name, so received failures would be ambiguous. Rename one"
            )
    return raises


def read_priority(where: str, options: dict[str, Any]) -> str | None:
    """Convert a priority to SWF's text."""
    priority = options.get("priority")
    if priority is None:
        return None
    if not isinstance(priority, int) or isinstance(priority, bool) or not -(2**31) <= priority < 2**31:
        raise DefinitionError(
            f"{where}: priority={priority!r} is not an integer from {-(2**31):,} to {2**31 - 1:,} (SWF)"
        )
    return str(priority)


def read_tags(where: str, options: dict[str, Any]) -> tuple[str, ...]:
    """Check tags against SWF's limits."""
    tags = options.get("tags", ())
    if (
        not isinstance(tags, tuple | list)
        or len(tags) > TAGS_MAX
        or not all(isinstance(tag, str) and len(tag) <= TAG_CHARS_MAX for tag in tags)
    ):
        raise DefinitionError(
            f"{where}: tags={tags!r:.200} is not a tuple of at most {TAGS_MAX} strings, each of at most "
            f"{TAG_CHARS_MAX} characters (SWF)"
        )
    return tuple(tags)


def read_text(where: str, options: dict[str, Any], key: str, chars_max: int) -> str | None:
    """Check a text against its limit."""
    text = options.get(key)
    if text is not None and not isinstance(text, str):
        raise DefinitionError(f'{where}: {key}={text!r:.100} is not a string; write {key}="..."')
    if text is not None and len(text) > chars_max:
        raise DefinitionError(
            f"{where}: {key} has {len(text):,} characters, and at most {chars_max:,} are allowed (SWF)"
        )
    return text


def read_overrides(where: str, options: dict[str, Any], known: Any) -> dict[str, Any]:
    """Return the options of one call as attributes of its decision.

    Raises:
        DefinitionError: an option is unknown, or SWF does not accept it.
    """
    check_options(where, options, known)
    overrides: dict[str, Any] = {}
    for key in options:
        if key == "execution_start_to_close":
            overrides[f"{key}_timeout"] = read_execution_span(where, options)
        elif key == "heartbeat" or key.endswith(("_to_start", "_to_close")):
            overrides[f"{key}_timeout"] = read_span(where, options, key, None)
        elif key == "task_list":
            overrides[key] = TaskList(read_name(where, key, options[key], NAME_CHARS_MAX))
        elif key == "workflow_id":
            overrides[key] = read_name(where, key, options[key], NAME_CHARS_MAX)
        elif key == "priority":
            overrides["task_priority"] = read_priority(where, options)
        elif key == "tags":
            overrides["tag_list"] = read_tags(where, options) or None
        elif key == "child_policy":
            overrides[key] = read_child_policy(where, options)
        elif key == "lambda_role":
            overrides[key] = read_text(where, options, key, ROLE_CHARS_MAX)
        elif key == "cancellation":
            read_cancellation(where, options)
        else:
            assert key == "retry", key
            read_retry(where, options)
    return overrides
