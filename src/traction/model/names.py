"""SWF's names of types, task lists and executions, and the rules that names and ids obey."""

from __future__ import annotations

import re
from hashlib import sha256

import msgspec

from traction.model.limits import SWF

NAME_CHARS_MAX = SWF.name_chars_max
"""The most characters an id or a name may have (SWF)."""

VERSION_CHARS_MAX = SWF.version_chars_max
"""The most characters a version may have (SWF)."""

_TO_BASE64URL = str.maketrans("/+", "_-")
FORBIDDEN = re.compile(r"[:/|\u0000-\u001f\u007f-\u009f]")
"""Characters that names and ids must not have (SWF)."""


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


def make_child_id(run_id: str, step_id: str) -> str:
    """Make the default workflow id of a child: its step, and the run of its parent.

    Run ids of SWF are base64, which has a `/` that no workflow id may have; their `/` and `+` become `_` and `-`, as in
    base64url. An id that would be too long, or have other characters that SWF does not take, ends in a hash.

    Example:
        >>> make_child_id("22hg+/8=", "2.0.Index-1")
        '2.0.Index-1@22hg-_8='
    """
    id = f"{step_id}@{run_id.translate(_TO_BASE64URL)}"
    if find_name_error(id) is None:
        return id
    digest = sha256(f"{step_id}@{run_id}".encode()).hexdigest()[:32]
    return f"{FORBIDDEN.sub('-', step_id)[: NAME_CHARS_MAX - 33]}@{digest}"


def find_name_error(name: str, chars_max: int = NAME_CHARS_MAX) -> str | None:
    """Return which of SWF's rules a name breaks, or `None`.

    The rule is one for domains, types, versions, workflow ids, activity ids, timer ids, task lists and
    Lambda ids: 1 to 256 characters (versions 64), no white space at either end, none of `:` `/` `|` nor
    control characters, and not exactly `arn`. Source: the SWF API reference.

    Example:
        >>> find_name_error("charge/card")
        "it contains '/'"
        >>> find_name_error("charge card") is None
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
    if found := FORBIDDEN.search(name):
        return f"it contains {found.group()!r}"
    return None
