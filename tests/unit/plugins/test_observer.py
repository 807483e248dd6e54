"""Observability: log records name their execution, hooks are called for each task, a run is one trace."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, TraceFlags

from tests.support.backends import NOW, Stage, take_turns
from traction import Activity, Retry, Workflow, get_logger
from traction.decider.decider import Decider
from traction.model.names import WorkflowExecution
from traction.plugins.hookspecs import hookimpl
from traction.plugins.loading import load_plugins
from traction.plugins.observer import Observer, find_observer
from traction.plugins.otel import Tracing, make_root

log = get_logger("shop")


class Charge(Activity[Any, int], retry=Retry(attempts=2, backoff=0)):
    cents: int

    def run(self, act: Any) -> int:
        return act(self.cents)  # type: ignore[no-any-return]


class Order(Workflow[int]):
    cents: int

    async def flow(self) -> int:
        log.info("charging")
        first = await Charge(self.cents)
        log.info("charged")
        return first


class Stuck(Workflow[int]):
    async def flow(self) -> int:
        return object()  # type: ignore[return-value]


class Listener:
    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    @hookimpl
    def traction_task_started(self, task: Any) -> None:
        self.heard.append(("task", task.activity_id))

    @hookimpl
    def traction_task_finished(self, task: Any, outcome: str, seconds: float, error: Any) -> None:
        self.heard.append((outcome, seconds, repr(error)))

    @hookimpl
    def traction_decision_started(self, task: Any) -> None:
        self.heard.append(("decision", task.started_event_id))

    @hookimpl
    def traction_decision_finished(self, outcome: str, seconds: float, decisions: Sequence[Any]) -> None:
        self.heard.append((outcome, seconds, [type(one).__name__ for one in decisions]))


def observe(*plugins: object) -> Observer:
    """Observe by a clock on which everything takes a second."""
    ticks = iter(range(1_000_000))
    return Observer(load_plugins(*plugins), clock=lambda: float(next(ticks)))


def fail(_: int) -> int:
    raise ValueError("declined")


def test_hooks_get_the_outcome_and_duration_of_each_task(stage: Stage) -> None:
    listener = Listener()
    observer = observe(listener)
    stage.start(Order(5), Order, Charge)
    workers = (stage.decider(Order, observer=observer), stage.worker(Charge, lambda n: n, observer=observer))
    take_turns(*workers)
    assert listener.heard == [
        ("decision", 3),
        ("DECIDED", 1.0, ["ScheduleActivityTask"]),
        ("task", "Charge-1"),
        ("COMPLETED", 1.0, "None"),
        ("decision", 9),
        ("DECIDED", 1.0, ["CompleteWorkflowExecution"]),
    ]


def test_hooks_get_the_error_of_a_failure(stage: Stage) -> None:
    listener = Listener()
    stage.start(Order(5), Order, Charge)
    take_turns(stage.decider(Order))
    stage.worker(Charge, fail, observer=observe(listener)).work_once(NOW)
    assert listener.heard[-1] == ("FAILED", 1.0, "ValueError('declined')")


def test_hooks_get_the_outcome_of_a_stuck_decision(stage: Stage) -> None:
    listener = Listener()
    stage.start(Stuck(), Stuck)
    stage.decider(Stuck, observer=observe(listener)).work_once(NOW)
    assert listener.heard[-1] == ("STUCK", 1.0, [])


def test_a_plugin_that_fails_stops_no_work(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        @hookimpl
        def traction_task_started(self) -> None:
            raise RuntimeError("no metrics today")

    handle = stage.start(Order(5), Order, Charge)
    take_turns(stage.decider(Order), stage.worker(Charge, lambda n: n, observer=observe(Broken())))
    assert handle.result() == 5
    (record,) = (record for record in caplog.records if "a plugin failed" in record.message)
    assert record.__dict__["workflow_id"] == handle.workflow_id


def test_without_hooks_there_is_no_observer() -> None:
    assert find_observer(load_plugins()) is None
    assert find_observer(load_plugins(Listener())) is not None


# Records.


def test_a_record_about_a_task_names_its_execution(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "traction.worker")
    handle = stage.start(Order(5), Order, Charge)
    workers = (stage.decider(Order), stage.worker(Charge, fail))
    for _ in range(4):
        take_turns(*workers)
        stage.advance(2)
    records = [record.__dict__ for record in caplog.records if "declined" in record.message]
    names = ("workflow_id", "run_id", "activity_type", "step", "attempt")
    assert [[one[name] for name in names] for one in records] == [
        [handle.workflow_id, handle.run_id, "Charge 1", "Charge-1", attempt] for attempt in (1, 2)
    ]


def test_a_record_about_a_stuck_decision_names_its_execution(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    handle = stage.start(Stuck(), Stuck)
    take_turns(stage.decider(Stuck))
    assert caplog.records[-1].__dict__["workflow_id"] == handle.workflow_id
    assert caplog.records[-1].__dict__["run_id"] == handle.run_id


def test_a_flow_logs_in_the_turn_that_decides_and_not_when_it_is_replayed(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "shop")
    handle = stage.start(Order(5), Order, Charge)
    # Without a cache, each decision task replays all that was before it.
    for _ in range(2):
        take_turns(stage.decider(Order), stage.worker(Charge, lambda n: n))
    assert [record.message for record in caplog.records] == ["charging", "charged"]
    assert {record.__dict__["workflow_id"] for record in caplog.records} == {handle.workflow_id}
    caplog.clear()
    decider = Decider(Order, execution=handle.execution)
    decider.feed(handle.history())
    decider.end()
    assert caplog.records == []


def test_outside_a_flow_the_logger_is_one_like_any_other(caplog: pytest.LogCaptureFixture) -> None:
    log.warning("hello")
    assert [record.message for record in caplog.records] == ["hello"]


# Traces.


class Machine:
    """What one machine traces: the spans that OpenTelemetry's SDK exports there."""

    def __init__(self, ratio: float = 1.0) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("traction")
        self.observer = observe(Tracing(self.tracer, ratio=ratio))

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()


def test_a_run_is_one_trace_on_whichever_machine(stage: Stage) -> None:
    here, there = Machine(), Machine()

    def act(n: int) -> int:
        with there.tracer.start_as_current_span("charge the card"):
            return n

    handle = stage.start(Order(5), Order, Charge)
    take_turns(
        stage.decider(Order, observer=here.observer),
        stage.worker(Charge, act, observer=there.observer),
    )
    root = make_root(handle.execution)
    assert [span.name for span in here.spans] == ["decide Order", "decide Order"]
    inner, outer = there.spans
    assert (inner.name, outer.name) == ("charge the card", "run Charge")
    assert {span.context.trace_id for span in (*here.spans, *there.spans)} == {root.trace_id}
    assert [span.parent for span in (*here.spans, outer)] == [root] * 3
    assert inner.parent == outer.context
    assert dict(outer.attributes or {}) == {
        "traction.workflow_id": handle.workflow_id,
        "traction.run_id": handle.run_id,
        "traction.activity_type": "Charge 1",
        "traction.flow.step": "Charge-1",
        "traction.attempt": 1,
        "traction.outcome": "COMPLETED",
    }
    assert not trace.get_current_span().get_span_context().is_valid


def test_each_run_is_a_trace_of_its_own_and_one_that_is_not_recorded_exports_nothing(stage: Stage) -> None:
    all_of_them, none = Machine(), Machine(ratio=0)
    for n in range(2):
        stage.start(Order(n), Order, Charge)
    take_turns(
        stage.decider(Order, observer=all_of_them.observer),
        stage.worker(Charge, lambda n: n, observer=none.observer),
    )
    assert len({span.context.trace_id for span in all_of_them.spans}) == 2
    assert none.spans == ()


def test_a_failure_is_the_status_of_its_span_and_its_exception_an_event_of_it(stage: Stage) -> None:
    machine = Machine()
    stage.start(Order(5), Order, Charge)
    take_turns(stage.decider(Order))
    stage.worker(Charge, fail, observer=machine.observer).work_once(NOW)
    (span,) = machine.spans
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "ValueError: declined")
    assert [event.name for event in span.events] == ["exception"]


def test_all_workers_agree_on_which_runs_are_recorded() -> None:
    runs = [WorkflowExecution("w", str(n)) for n in range(1_000)]
    recorded = [run for run in runs if make_root(run, 0.3).trace_flags & TraceFlags.SAMPLED]
    assert 200 < len(recorded) < 400
    assert [run for run in runs if make_root(run, 0.3).trace_flags & TraceFlags.SAMPLED] == recorded
    assert all(make_root(run).trace_flags & TraceFlags.SAMPLED for run in runs)
    assert not any(make_root(run, 0).trace_flags & TraceFlags.SAMPLED for run in runs)
