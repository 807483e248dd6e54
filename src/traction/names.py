"""Name things as SWF names them: types, task lists, executions, and the rule that every id obeys.

Takes strings; gives frozen structs, or says what is wrong with a name. Knows nothing else.
"""

from __future__ import annotations

import re

import msgspec

NAME_CHARS_MAX = 256
"""The most characters an id or a name may have (SWF)."""

VERSION_CHARS_MAX = 64
"""The most characters a version may have (SWF)."""

_FORBIDDEN = re.compile(r"[:/|\x00-\x1f\x7f-\x9f]")


class WorkflowType(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A registered workflow definition: its name and its version, an opaque string."""

    name: str
    version: str


class ActivityType(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A registered activity definition: its name and its version, an opaque string."""

    name: str
    version: str


class TaskList(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """A queue of tasks. Decision lists and activity lists of one name are different queues (SWF)."""

    name: str


class WorkflowExecution(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One run: `workflow_id` is the caller's, `run_id` the service's."""

    workflow_id: str
    run_id: str


def find_fault(name: str, chars_max: int = NAME_CHARS_MAX) -> str | None:
    """Say which of SWF's rules a name breaks, or `None`.

    The rule is one for domains, types, versions, workflow ids, activity ids, timer ids, task lists and
    Lambda ids: 1 to 256 characters (versions 64), no white space at either end, none of `:` `/` `|` nor
    control characters, and not exactly `arn`. Source: the SWF API reference.

    Example:
        >>> find_fault("charge/card")
        "it contains '/'"
        >>> find_fault("charge card") is None
        True
    """
    if not name:
        return "it is empty"
    if len(name) > chars_max:
        return f"it has {len(name)} characters, and at most {chars_max} are allowed"
    if name.strip() != name:
        return "it begins or ends with white space"
    if name == "arn":
        return "it is exactly 'arn', which SWF reserves"
    if found := _FORBIDDEN.search(name):
        return f"it contains {found.group()!r}"
    return None
