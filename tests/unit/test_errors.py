"""Errors carry facts as attributes, in every process; their texts are in `tests/golden/errors`."""

from __future__ import annotations

import copy
import pickle

import pytest

from traction import errors as e

ERRORS: list[Exception] = [
    e.DefinitionError("wrong"),
    e.NonDeterminismError("BookTrip 3", step="2.0.charge_card-1", event_id=9, expected="nothing", actual="a timer"),
    e.ThrottlingException("slower"),
    e.MissingExtraError("tracing", package="opentelemetry", extra="otel"),
    e.ActivityFailed("charge-1", type="ValueError", message="expired", traceback="...", reason="r", details="d"),
    e.ActivityTimedOut("charge-1", timeout_type="HEARTBEAT", details="half"),
    e.ActivityCancelled("charge-1", details="half"),
    e.ChildFailed("Book-1", status="FAILED", type="ValueError", message="no room"),
    e.DecisionFailed("charge-1", decision="StartTimer", cause="TIMER_ID_ALREADY_IN_USE"),
    e.ChildAlreadyRunning("Book-1", decision="StartChildWorkflowExecution", cause="IN_USE", workflow_id="trip-8841"),
    e.WorkflowFailed("trip-8841", type="ValueError", message="no room"),
    e.WorkflowTimedOut("trip-8841"),
    e.WorkflowCancelled("trip-8841", details="half"),
    e.WorkflowTerminated("trip-8841", cause="OPERATOR_INITIATED", reason="wrong customer"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_goes_to_another_process_with_its_text_and_its_facts(error: Exception) -> None:
    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(same) is type(error)
        assert str(same) == str(error)
        assert vars(same) == vars(error)


def test_the_code_of_a_fault_is_its_name_in_swf() -> None:
    assert e.UnknownResourceFault("gone").code == "UnknownResourceFault"


@pytest.mark.parametrize("fault", e.ServiceFault.__subclasses__(), ids=lambda fault: fault.__name__)
def test_only_what_passes_by_itself_may_be_retried(fault: type[e.ServiceFault]) -> None:
    assert fault.retryable == (fault.__name__ in ("ThrottlingException", "InternalFailure"))
