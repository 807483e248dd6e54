"""Give spans of time and policies their types, and turn them into what SWF reads.

Takes numbers, `timedelta`s and policies; gives frozen values and SWF's strings of seconds. Knows nothing of steps.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal, TypeAlias, TypedDict, get_args

import msgspec

from traction.errors import DefinitionError, PayloadError
from traction.failures import DeclaredError, is_one_of
from traction.names import NAME_CHARS_MAX, ActivityType, TaskList, WorkflowType, find_fault
from traction.values import ChildPolicy, Duration

Span: TypeAlias = timedelta | int | float
"""A span of time: a `timedelta`, or a number of seconds."""

Raises: TypeAlias = tuple[type[DeclaredError], ...]
"""The errors that a definition declares."""

NO_TIMEOUT = "NONE"
"""SWF's word for a timeout that never runs out."""

SPAN_SECONDS_MAX = 99_999_999
"""The longest span that SWF can be told, in seconds: its durations have at most 8 digits."""

TAGS_MAX = 5
"""The most tags that an execution may have (SWF)."""

TAG_CHARS_MAX = 256
"""The most characters that a tag may have (SWF)."""

DESCRIPTION_CHARS_MAX = 1_024
"""The most characters that a description may have (SWF)."""

ROLE_CHARS_MAX = 1_600
"""The most characters that a role may have (SWF)."""

EXECUTION_SECONDS_MAX = 31_536_000
"""The longest that an execution may be open: one year, in seconds (SWF)."""


def seconds(n: float) -> timedelta:
    """Give a span of `n` seconds."""
    return timedelta(seconds=n)


def minutes(n: float) -> timedelta:
    """Give a span of `n` minutes."""
    return timedelta(minutes=n)


def hours(n: float) -> timedelta:
    """Give a span of `n` hours."""
    return timedelta(hours=n)


def days(n: float) -> timedelta:
    """Give a span of `n` days."""
    return timedelta(days=n)


def to_timedelta(span: Span) -> timedelta:
    """Read a span, and refuse one that is negative or that SWF cannot be told.

    Raises:
        ValueError: it is negative, not a number, or longer than 99,999,999 seconds.
        TypeError: it is no span at all.
    """
    if isinstance(span, timedelta):
        number = span.total_seconds()
    elif isinstance(span, int | float) and not isinstance(span, bool):
        number = span
    else:
        raise TypeError(f"{span!r} is no span of time; give a timedelta, such as minutes(5), or a number of seconds")
    if not number >= 0:
        raise ValueError(f"{span!r} is less than no time; a span is zero seconds or more")
    if number > SPAN_SECONDS_MAX:
        raise ValueError(f"{span!r:.100} is too long; a span has at most {SPAN_SECONDS_MAX:,} seconds (SWF)")
    return span if isinstance(span, timedelta) else timedelta(seconds=span)


def to_duration(span: Span) -> Duration:
    """Write a span as SWF does: whole seconds, rounded up, so that nothing fires early.

    Example:
        >>> to_duration(minutes(1.5)), to_duration(0.2)
        ('90', '1')
    """
    return str(-(-to_timedelta(span) // timedelta(seconds=1)))


class Retry(msgspec.Struct, frozen=True):
    """Try an activity again when it fails or times out, after a pause that doubles.

    `attempts` counts the first try. The pause before attempt `n + 1` is `backoff * 2 ** (n - 1)`, at most
    `max_delay`. The decider schedules each attempt itself and keeps time by durable timers, because SWF
    never retries an activity; so a pause may last for days and survives every worker.
    """

    attempts: int = 3
    """How many attempts there are, the first included."""
    backoff: Span = timedelta(seconds=1)
    """The pause after the first attempt; it doubles with each."""
    max_delay: Span = timedelta(hours=1)
    """The longest pause."""
    jitter: float = 0.0
    """How much of a pause is left to chance, from 0 to 1. The chance is the run's own, the same on every replay."""
    give_up_on: tuple[str | type[Exception], ...] = ()
    """Failures not to retry: exception types, with their subclasses, or names of types."""
    retry_on: tuple[str | type[Exception], ...] | None = None
    """The only failures to retry, in the same form; all of them unless given."""
    deadline: Span | None = None
    """How long after the first attempt began no further one begins."""

    def __post_init__(self) -> None:
        if not isinstance(self.attempts, int) or isinstance(self.attempts, bool):
            raise TypeError(f"Retry(attempts={self.attempts!r}): a number of attempts is an int")
        if self.attempts < 1:
            raise ValueError(f"Retry(attempts={self.attempts}): there is at least one attempt, the first")
        for name, span in (("backoff", self.backoff), ("max_delay", self.max_delay), ("deadline", self.deadline)):
            if span is None and name == "deadline":
                continue
            try:
                to_timedelta(span)  # type: ignore[arg-type]
            except (TypeError, ValueError) as error:
                raise type(error)(f"Retry({name}={span!r}): {error}") from None
        if not isinstance(self.jitter, int | float) or isinstance(self.jitter, bool):
            raise TypeError(f"Retry(jitter={self.jitter!r}): it is the part of a pause left to chance, a number")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"Retry(jitter={self.jitter!r}): it is the part of a pause left to chance, from 0 to 1")
        self._check_kinds("give_up_on", self.give_up_on)
        if self.retry_on is not None:
            self._check_kinds("retry_on", self.retry_on)

    @staticmethod
    def _check_kinds(name: str, kinds: Any) -> None:
        if not isinstance(kinds, tuple):
            only = kinds.__name__ if isinstance(kinds, type) else repr(kinds)
            raise TypeError(f"Retry({name}={only:.100}): there may be several; write {name}=({only:.100},)")
        for one in kinds:
            if not isinstance(one, str) and not (isinstance(one, type) and issubclass(one, Exception)):
                raise TypeError(
                    f"Retry({name}={kinds!r:.100}): {one!r:.100} is no type of exception, nor the name of one"
                )

    def find_delay(self, attempt: int) -> timedelta | None:
        """Say how long to wait after attempt number `attempt` (from 1) has failed, or `None` to give up.

        Example:
            >>> [str(Retry(attempts=4, backoff=10).find_delay(n)) for n in (1, 2, 3, 4)]
            ['0:00:10', '0:00:20', '0:00:40', 'None']
        """
        if attempt >= self.attempts:
            return None
        # In whole microseconds, which cannot overflow. 2 ** 47 of them are longer than any span: there the cap decides.
        doubled = to_timedelta(self.backoff) // timedelta.resolution << min(attempt - 1, 47)
        return min(doubled, to_timedelta(self.max_delay) // timedelta.resolution) * timedelta.resolution

    def find_pause(
        self, attempt: int, error: Exception, *, elapsed: timedelta = timedelta(0), chance: float = 0.0
    ) -> timedelta | None:
        """Say how long to wait after an attempt has failed so, or `None` to give up. A `PayloadError` is final.

        Args:
            attempt: which one failed, from 1.
            error: how it failed.
            elapsed: how long ago the first attempt began.
            chance: a number in [0, 1), for the jitter.
        """
        # What could not be written or read once cannot be the next time.
        if is_one_of(error, (PayloadError, *self.give_up_on)) or not (
            self.retry_on is None or is_one_of(error, self.retry_on)
        ):
            return None
        pause = self.find_delay(attempt)
        if pause is None:
            return None
        pause -= pause * self.jitter * chance
        if self.deadline is not None and elapsed + pause > to_timedelta(self.deadline):
            return None
        return pause


class ActivityOptions(TypedDict, total=False):
    """The class keywords of an activity. Spans are `timedelta`s or numbers of seconds; `None` is no limit.

    Those of a base class hold for its subclasses too, but for name, version and description.
    """

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
    raises: Raises
    """The errors that arrive with their fields where its failure is read."""
    priority: int
    """Higher first within a task list; 0 unless given."""
    description: str
    """What people read in SWF's console; the first line of the docstring unless given."""


class WorkflowOptions(TypedDict, total=False):
    """The class keywords of a workflow. Spans are `timedelta`s or numbers of seconds.

    Those of a base class hold for its subclasses too, but for name, version and description.
    """

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
    raises: Raises
    """The errors that arrive with their fields where its failure is read."""
    priority: int
    """Higher first within a task list; 0 unless given."""
    lambda_role: str
    """The IAM role under which its Lambda tasks run."""
    description: str
    """What people read in SWF's console; the first line of the docstring unless given."""


class TaskOptions(TypedDict, total=False):
    """What one call of an activity may say otherwise than its class."""

    task_list: str
    schedule_to_start: Span | None
    start_to_close: Span | None
    schedule_to_close: Span | None
    heartbeat: Span | None
    retry: Retry | None
    priority: int


Cancellation: TypeAlias = Literal["wait", "request", "abandon"]
"""What happens to a child when its await is cancelled.

`wait`: the child is asked to cancel, and the await ends when it has closed. `request`: the child is asked to cancel,
and the await ends at once. `abandon`: the await ends at once, and the child is not asked.
"""


class ChildOptions(TypedDict, total=False):
    """Options of one call of a child, in place of those of its class. `cancellation` is an option of calls alone."""

    cancellation: Cancellation

    workflow_id: str
    task_list: str
    execution_start_to_close: Span
    task_start_to_close: Span | None
    child_policy: ChildPolicy
    tags: tuple[str, ...]
    priority: int
    lambda_role: str


class SignalSpec(msgspec.Struct, frozen=True):
    """What a definition says of a signal: the name it goes by."""

    name: str


class ActivitySpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a definition says of an activity: its type, its defaults in SWF's words, its retries, its result."""

    type: ActivityType
    label: str
    task_list: TaskList
    schedule_to_start: Duration = NO_TIMEOUT
    start_to_close: Duration
    schedule_to_close: Duration = NO_TIMEOUT
    heartbeat: Duration = NO_TIMEOUT
    retry: Retry | None = None
    raises: Raises = ()
    priority: str | None = None
    description: str | None = None
    needs: Any = None
    result: Any


class WorkflowSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a definition says of a workflow: its type, its defaults in SWF's words, its result."""

    type: WorkflowType
    label: str
    task_list: TaskList
    execution_start_to_close: Duration
    task_start_to_close: Duration
    child_policy: ChildPolicy
    priority: str | None = None
    tags: tuple[str, ...] = ()
    raises: Raises = ()
    lambda_role: str | None = None
    description: str | None = None
    names_itself: bool = False
    """Whether its class overrides `workflow_id`, so that a child, too, has the id that it returns."""
    result: Any


# How options are read.


def check_options(where: str, options: dict[str, Any], known: Any) -> None:
    """Check that every class keyword is one."""
    for key in options:
        if key not in known.__annotations__:
            raise DefinitionError(
                f"{where}: there is no option {key!r}; the options are {', '.join(sorted(known.__annotations__))}"
            )


def read_name(where: str, key: str, value: Any, chars_max: int) -> str:
    """Check a name against SWF's rules."""
    if not isinstance(value, str):
        example = f"; write {key}={str(value)!r}" if isinstance(value, int | float) else ""
        raise DefinitionError(f"{where}: {key}={value!r} is not a string, as SWF's names are{example}")
    if fault := find_fault(value, chars_max):
        raise DefinitionError(
            f"{where}: {key}={value!r:.100} is no name that SWF takes: {fault}. A name has 1 to {chars_max} "
            "characters, none of : / | and no control characters, no white space at its ends, and is not 'arn'"
        )
    return value


def read_span(where: str, options: dict[str, Any], key: str, default: Span | None) -> Duration:
    """Write a timeout as SWF does."""
    span = options.get(key, default)
    if span is None:
        return NO_TIMEOUT
    try:
        return to_duration(span)
    except (TypeError, ValueError) as error:
        raise DefinitionError(f"{where}: {key}: {error}") from error


def read_execution_span(where: str, options: dict[str, Any]) -> Duration:
    """Write how long an execution may be open, which is never for ever."""
    execution = read_span(where, options, "execution_start_to_close", EXECUTION_SECONDS_MAX)
    if execution == NO_TIMEOUT or int(execution) > EXECUTION_SECONDS_MAX:
        raise DefinitionError(
            f"{where}: execution_start_to_close={options['execution_start_to_close']!r}: an execution is open for at "
            f"most one year, {EXECUTION_SECONDS_MAX:,} s (SWF); for longer work, continue as a new run"
        )
    return execution


def read_child_policy(where: str, options: dict[str, Any]) -> ChildPolicy:
    """Check that a child policy is one."""
    policy: ChildPolicy = options.get("child_policy", "TERMINATE")
    if policy not in get_args(ChildPolicy):
        raise DefinitionError(
            f"{where}: child_policy={policy!r} is not one of SWF's: {', '.join(get_args(ChildPolicy))}"
        )
    return policy


def read_cancellation(where: str, options: dict[str, Any]) -> Cancellation:
    """Check what happens to a child when its await is cancelled."""
    cancellation: Cancellation = options.get("cancellation", "wait")
    if cancellation not in get_args(Cancellation):
        raise DefinitionError(
            f"{where}: cancellation={cancellation!r:.100} is not one of {', '.join(get_args(Cancellation))} (Traction)"
        )
    return cancellation


def read_retry(where: str, options: dict[str, Any]) -> Retry | None:
    """Check that a policy of retries is one."""
    retry = options.get("retry")
    if retry is not None and not isinstance(retry, Retry):
        raise DefinitionError(f"{where}: retry={retry!r:.100} is no Retry; write retry=Retry(attempts=5)")
    return retry


def read_raises(where: str, options: dict[str, Any]) -> Raises:
    """Check that declared errors are such, and that their names tell them apart."""
    raises = options.get("raises", ())
    if not isinstance(raises, tuple):
        only = raises.__name__ if isinstance(raises, type) else repr(raises)
        raise DefinitionError(f"{where}: raises={only:.100}: there may be several; write raises=({only:.100},)")
    by_name: dict[str, Any] = {}
    for one in raises:
        if not isinstance(one, type) or not issubclass(one, DeclaredError) or one is DeclaredError:
            name = one.__name__ if isinstance(one, type) else f"{one!r:.100}"
            raise DefinitionError(
                f"{where}: raises={name}: that is no subclass of DeclaredError, whose fields are what travels. Any "
                "other exception needs no declaration, and arrives with its type's name, its text and its traceback"
            )
        other = by_name.setdefault(one.__name__, one)
        if other is not one:
            raise DefinitionError(
                f"{where}: raises: {other.__module__}.{other.__qualname__} and {one.__module__}.{one.__qualname__} "
                "have one name, and what arrives could be either. Give one another name"
            )
    return raises


def read_priority(where: str, options: dict[str, Any]) -> str | None:
    """Write a priority as SWF does."""
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
    """Read the options of one call, and give what its decision says besides, in SWF's words.

    Raises:
        DefinitionError: an option is unknown, or SWF does not take it.
    """
    check_options(where, options, known)
    told: dict[str, Any] = {}
    for key in options:
        if key == "execution_start_to_close":
            told[f"{key}_timeout"] = read_execution_span(where, options)
        elif key == "heartbeat" or key.endswith(("_to_start", "_to_close")):
            told[f"{key}_timeout"] = read_span(where, options, key, None)
        elif key == "task_list":
            told[key] = TaskList(read_name(where, key, options[key], NAME_CHARS_MAX))
        elif key == "workflow_id":
            told[key] = read_name(where, key, options[key], NAME_CHARS_MAX)
        elif key == "priority":
            told["task_priority"] = read_priority(where, options)
        elif key == "tags":
            told["tag_list"] = read_tags(where, options) or None
        elif key == "child_policy":
            told[key] = read_child_policy(where, options)
        elif key == "lambda_role":
            told[key] = read_text(where, options, key, ROLE_CHARS_MAX)
        elif key == "cancellation":
            read_cancellation(where, options)
        else:
            assert key == "retry", key
            read_retry(where, options)
    return told
