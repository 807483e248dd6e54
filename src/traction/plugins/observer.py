"""Call the hooks of plugins for tasks and decisions, and build the fields of log records.

Exceptions of plugins are logged and stop no work. Without a plugin that implements a hook there is no observer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import pluggy

from traction.errors import ActivityFailed
from traction.flow.specs import ActivitySpec
from traction.model.decisions import Decision
from traction.model.names import ActivityType, WorkflowExecution
from traction.model.operations import ActivityTask, DecisionTask
from traction.payloads.causes import make_known
from traction.payloads.exception_names import name_exception
from traction.payloads.failure_info import FailureInfo
from traction.runtime.activity_task import RunningTask

log = logging.getLogger("traction.worker")

HOOKS = ("traction_task_started", "traction_task_finished", "traction_decision_started", "traction_decision_finished")
"""The hooks that an observer calls."""


def build_execution_fields(execution: WorkflowExecution) -> dict[str, Any]:
    """Return the `extra` of a log record about an execution."""
    return {"workflow_id": execution.workflow_id, "run_id": execution.run_id}


def build_task_fields(task: ActivityTask | RunningTask) -> dict[str, Any]:
    """Return the `extra` of a log record about an activity task."""
    execution = task.execution if isinstance(task, RunningTask) else task.workflow_execution
    step, _, attempt = task.activity_id.partition("~")
    return {
        **build_execution_fields(execution),
        "activity_type": _name_type(task.activity_type),
        "step": step,
        "attempt": int(attempt) if attempt.isdecimal() else 1,
    }


def log_failure(
    name: str, error: BaseException, info: FailureInfo, spec: ActivitySpec, fields: dict[str, Any], level: int
) -> None:
    """Log that an attempt of an activity failed, with its traceback.

    The level is `INFO` if the activity's own policy allows another attempt. A declared error is an `INFO` without a
    traceback: callers expect it.

    Args:
        name: the name of the task in the record.
        error: the exception. For one of another process, the traceback is in `info`.
        info: the description of the exception.
        spec: the spec of the activity.
        fields: the result of `build_task_fields`.
        level: the log level of failures that are not expected.
    """
    failed = ActivityFailed(name, **make_known(info))
    declared = any(kind.__name__ in info.kinds for kind in spec.raises)
    retried = spec.retry is not None and spec.retry.find_pause(fields["attempt"], failed) is not None
    trace = error if error.__traceback__ is not None and name_exception(type(error)) == info.type else failed.__cause__
    log.log(
        logging.INFO if declared or retried else level,
        "%s failed: %s%s",
        name,
        f"{info.type}: {info.message}" if info.message else info.type,
        "; retrying" if retried else "",
        exc_info=None if declared else trace,
        extra=fields,
    )


def _name_type(type: ActivityType) -> str:
    return f"{type.name} {type.version}"


class Observer:
    """Calls the hooks, in the context in which the work of a task runs.

    Args:
        plugins: the plugins.
        clock: returns monotonic seconds.
    """

    def __init__(self, plugins: pluggy.PluginManager, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._hook = plugins.hook
        self._clock = clock
        self._begun: dict[int, float] = {}
        self._ended: dict[int, tuple[str, BaseException | None]] = {}

    def begin_task(self, task: RunningTask) -> None:
        """Call the hook for an activity that is about to run."""
        self._begun[id(task)] = self._clock()
        self._call(self._hook.traction_task_started, task=task)

    def note_task(self, task: RunningTask, outcome: str, error: BaseException | None = None) -> None:
        """Record how an activity ended, for `end_task`."""
        self._ended[id(task)] = outcome, error

    def end_task(self, task: RunningTask) -> None:
        """Call the hook for an activity that has ended."""
        outcome, error = self._ended.pop(id(task), ("LEFT", None))
        seconds = self._clock() - self._begun.pop(id(task))
        self._call(self._hook.traction_task_finished, task=task, outcome=outcome, seconds=seconds, error=error)

    def begin_decision(self, task: DecisionTask) -> None:
        """Call the hook for a decision task that is about to be decided."""
        self._begun[id(task)] = self._clock()
        self._call(self._hook.traction_decision_started, task=task)

    def end_decision(self, task: DecisionTask, decisions: Sequence[Decision] | None) -> None:
        """Call the hook for a decision task; `decisions` is `None` if it is stuck."""
        self._call(
            self._hook.traction_decision_finished,
            task=task,
            outcome="STUCK" if decisions is None else "DECIDED",
            seconds=self._clock() - self._begun.pop(id(task)),
            decisions=() if decisions is None else decisions,
        )

    def _call(self, hook: Callable[..., object], **arguments: Any) -> None:
        try:
            hook(**arguments)
        except Exception:
            task = arguments["task"]
            execution = task.execution if isinstance(task, RunningTask) else task.workflow_execution
            log.exception("%s: a plugin failed", execution.workflow_id, extra=build_execution_fields(execution))


def find_observer(plugins: pluggy.PluginManager | None) -> Observer | None:
    """Return an observer, or `None` if no plugin implements its hooks."""
    if plugins is None or not any(getattr(plugins.hook, name).get_hookimpls() for name in HOOKS):
        return None
    return Observer(plugins)
