"""Report the work of workers to OpenTelemetry: one trace per run, on all machines. Needs the extra `otel`.

The trace id is a function of workflow id and run id, so every worker computes it, and payloads do not carry it. A
span is current while its work runs, so the spans that an activity creates are its children.

Example:
    from traction import WorkerSystem
    from traction.plugins.otel import Tracing
    from traction.plugins.loading import load_plugins

    ws = WorkerSystem("local:", plugins=load_plugins(Tracing()))
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from traction.extras import needed_by
from traction.model.decisions import Decision
from traction.model.names import WorkflowExecution
from traction.model.operations import DecisionTask
from traction.plugins.hookspecs import hookimpl
from traction.runtime.activity_task import RunningTask

with needed_by("tracing"):
    from opentelemetry import context, trace
    from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, Tracer


def make_root(execution: WorkflowExecution, ratio: float = 1.0) -> SpanContext:
    """Return the context of the root span of a run. The span is never exported, so viewers show it as missing.

    Args:
        execution: the run.
        ratio: the share of runs that are recorded. The choice depends only on the run, so all workers agree.
    """
    digest = sha256(f"{execution.workflow_id}\0{execution.run_id}".encode()).digest()
    sampled = int.from_bytes(digest[24:]) < ratio * 2**64
    return SpanContext(
        # Zero is not a valid id.
        trace_id=int.from_bytes(digest[:16]) or 1,
        span_id=int.from_bytes(digest[16:24]) or 1,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT),
    )


class Tracing:
    """A plugin that creates a span for each decision and each attempt of an activity.

    Args:
        tracer: creates the spans; OpenTelemetry's global tracer by default.
        ratio: the share of runs that are recorded.
    """

    def __init__(self, tracer: Tracer | None = None, *, ratio: float = 1.0) -> None:
        self._tracer = tracer or trace.get_tracer("traction")
        self._ratio = ratio
        self._open: dict[int, tuple[trace.Span, Any]] = {}

    def _begin(self, task: object, name: str, execution: WorkflowExecution, about: dict[str, str | int]) -> None:
        root = trace.set_span_in_context(NonRecordingSpan(make_root(execution, self._ratio)))
        about = {"traction.workflow_id": execution.workflow_id, "traction.run_id": execution.run_id, **about}
        span = self._tracer.start_span(name, context=root, attributes=about)
        self._open[id(task)] = span, context.attach(trace.set_span_in_context(span))

    def _end(self, task: object, outcome: str, *, bad: bool, error: BaseException | None, count: int | None) -> None:
        opened = self._open.pop(id(task), None)
        if opened is None:
            return
        span, token = opened
        context.detach(token)
        span.set_attribute("traction.outcome", outcome)
        if count is not None:
            span.set_attribute("traction.decisions", count)
        if error is not None:
            span.record_exception(error)
        if bad:
            span.set_status(Status(StatusCode.ERROR, outcome if error is None else f"{type(error).__name__}: {error}"))
        span.end()

    @hookimpl
    def traction_task_started(self, task: RunningTask) -> None:
        about: dict[str, str | int] = {
            "traction.activity_type": f"{task.activity_type.name} {task.activity_type.version}",
            "traction.flow.step": task.activity_id.partition("~")[0],
            "traction.attempt": task.attempt,
        }
        self._begin(task, f"run {task.activity_type.name}", task.execution, about)

    @hookimpl
    def traction_task_finished(self, task: RunningTask, outcome: str, error: BaseException | None) -> None:
        self._end(task, outcome, bad=outcome == "FAILED", error=error, count=None)

    @hookimpl
    def traction_decision_started(self, task: DecisionTask) -> None:
        type = task.workflow_type
        about: dict[str, str | int] = {
            "traction.workflow_type": f"{type.name} {type.version}",
            "traction.event_id": task.started_event_id,
        }
        self._begin(task, f"decide {type.name}", task.workflow_execution, about)

    @hookimpl
    def traction_decision_finished(self, task: DecisionTask, outcome: str, decisions: Sequence[Decision]) -> None:
        self._end(task, outcome, bad=outcome == "STUCK", error=None, count=len(decisions))
