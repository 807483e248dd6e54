"""Tell plugins what workers do and how long it takes, and log records what they are about.

Takes tasks in hand; gives calls of the hooks `traction_task_*` and `traction_decision_*`, and fields for log records.
What a plugin raises is logged, and stops no work. Without a plugin that listens there is no observer, and no cost.
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
from traction.payloads.failures import FailureInfo, make_known, name_exception
from traction.runtime.activity_task import RunningTask

log = logging.getLogger("traction.worker")

HOOKS = ("traction_task_started", "traction_task_finished", "traction_decision_started", "traction_decision_finished")
"""The hooks by which plugins listen."""


def build_execution_fields(execution: WorkflowExecution) -> dict[str, Any]:
    """Give the fields of a record about an execution, to be its `extra`."""
    return {"workflow_id": execution.workflow_id, "run_id": execution.run_id}


def build_task_fields(task: ActivityTask | RunningTask) -> dict[str, Any]:
    """Give the fields of a record about an activity task, to be its `extra`."""
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

    It is a record of this level; or, if there will be another attempt by the activity's own policy, an `INFO`. An error
    that the activity declares is an `INFO` without a traceback: its callers expect it.

    Args:
        name: what the record calls the task.
        error: what was raised here; a failure of another process has its traceback in the account.
        info: what is known of it.
        spec: the activity.
        fields: what `build_task_fields` gives.
        level: that of the record, unless the failure is expected.
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
        ", and is tried again" if retried else "",
        exc_info=None if declared else trace,
        extra=fields,
    )


def _name_type(type: ActivityType) -> str:
    return f"{type.name} {type.version}"


class Observer:
    """Calls the hooks. Each task is begun and ended in one context: the one that its work runs in.

    Args:
        plugins: who listens.
        clock: gives seconds that only go forward.
    """

    def __init__(self, plugins: pluggy.PluginManager, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._hook = plugins.hook
        self._clock = clock
        self._begun: dict[int, float] = {}
        self._ended: dict[int, tuple[str, BaseException | None]] = {}

    def begin_task(self, task: RunningTask) -> None:
        """Tell that an activity is about to run."""
        self._begun[id(task)] = self._clock()
        self._call(self._hook.traction_task_started, task=task)

    def note_task(self, task: RunningTask, outcome: str, error: BaseException | None = None) -> None:
        """Note how an activity ended."""
        self._ended[id(task)] = outcome, error

    def end_task(self, task: RunningTask) -> None:
        """Tell how an activity ended."""
        outcome, error = self._ended.pop(id(task), ("LEFT", None))
        seconds = self._clock() - self._begun.pop(id(task))
        self._call(self._hook.traction_task_finished, task=task, outcome=outcome, seconds=seconds, error=error)

    def begin_decision(self, task: DecisionTask) -> None:
        """Tell that a decision is about to be made."""
        self._begun[id(task)] = self._clock()
        self._call(self._hook.traction_decision_started, task=task)

    def end_decision(self, task: DecisionTask, decisions: Sequence[Decision] | None) -> None:
        """Tell what was decided, or with `None` that it could not be."""
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
    """Give what calls the hooks, if any plugin listens."""
    if plugins is None or not any(getattr(plugins.hook, name).get_hookimpls() for name in HOOKS):
        return None
    return Observer(plugins)
