"""An activity with what its body needs to run in this process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from traction.definitions.checks import check_dependency
from traction.definitions.classes import Activity
from traction.errors import PayloadError
from traction.model.operations import ActivityTask
from traction.payloads.codec import Codec


class WrongListError(PayloadError):
    """A task arrived at a worker that does not have its activity."""


class HostedActivity:
    """An activity with its dependency, or with a function that replaces its body.

    Args:
        activity: the definition.
        dependency: passed to each `run`.
        body: called with the call instead of the activity's `run`; then no dependency is needed.

    Raises:
        MissingDependencyError: the activity needs a dependency, and there is neither one nor a `body`.
    """

    def __init__(self, activity: Any, dependency: Any = None, body: Callable[[Any], Any] | None = None) -> None:
        if body is None:
            check_dependency(activity, dependency)
        self.activity: type[Activity[Any, Any]] = activity
        self.spec = self.activity.spec
        self._arguments = () if self.spec.needs is None else (dependency,)
        self._body = body
        type = self.spec.type
        self._input_name, self._result_name = (
            f"the {part} of {type.name} {type.version}" for part in ("input", "result")
        )

    def decode(self, task: ActivityTask, codec: Codec, task_list: str) -> Any:
        """Return the call of a task from a task list.

        Raises:
            WrongListError: it is the task of another activity.
            PayloadError: its input cannot be decoded.
        """
        got, has = task.activity_type, self.spec.type
        if got is not has and got != has:
            raise WrongListError(
                f"a task of {got.name} {got.version} is on the list {task_list}, and the worker that "
                f"polls it has only {has.name} {has.version}. Start a worker of {got.name} {got.version} for this "
                "list in the same process, or schedule it on its own list"
            )
        return codec.decode_call(task.input, self.activity, self._input_name)

    def run(self, call: Any) -> Any:
        """Run the body. For an async activity, return its coroutine."""
        return call.run(*self._arguments) if self._body is None else self._body(call)

    def encode(self, result: Any, codec: Codec) -> str:
        """Encode a result.

        Raises:
            PayloadError: it cannot be encoded, or is not of the declared type, which would leave the flow stuck.
        """
        return codec.encode_as(result, self.spec.result, self._result_name)
