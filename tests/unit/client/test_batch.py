"""Many executions are signalled, cancelled or terminated at a rate, and a batch may be run again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.support.backends import LossyBackend
from tests.support.http_backends import BEGIN, World, reach_here
from tests.support.populations import TYPES, Life, populate
from traction import Client, Signal
from traction.client.batch import Action, RequestCancel, SendSignal, Terminate
from traction.errors import BackendError, DefinitionError
from traction.model import events as e
from traction.model import operations as o
from traction.model.limits import Limits
from traction.payloads.codec import Codec
from traction.payloads.encryption import Encrypt, KeyRing


class Approve(Signal):
    by: str


class Shop:
    """A client of a service with three open orders, an open refund and a closed order; time stands still."""

    def __init__(self) -> None:
        self.world = World(reach_here)
        self.lossy = LossyBackend(self.world.local)
        self.client = Client(backend=self.lossy)
        self.waits: list[float] = []
        fates = ("OPEN", "OPEN", "OPEN", "FAILED")
        orders = [Life(TYPES[0], f"order-{n}", ("red",) if n else (), fate, 1, 0) for n, fate in enumerate(fates)]
        populate(self.world, [*orders, Life(TYPES[2], "refund-1", (), "OPEN", 1, 0)])

    def batch(self, action: Action, **more: Any) -> list[tuple[str, str]]:
        filters: dict[str, Any] = {"workflow": "order"} | more
        results = self.client.batch(action, wait=self.waits.append, **filters)
        return [(result.execution.workflow_id, result.outcome) for result in results]

    def count_signals(self, id: str) -> int:
        (one,) = self.client.list(workflow_id=id)
        history = self.world.local.get_history(one.execution)
        return sum(isinstance(event, e.WorkflowExecutionSignaled) for event in history)


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.client.close()


ORDERS = ["order-2", "order-1", "order-0"]


@pytest.mark.parametrize("action", [SendSignal(Approve("Ann")), RequestCancel(), Terminate("a mistake")])
def test_a_batch_acts_on_the_open_executions_that_match(shop: Shop, action: Action) -> None:
    assert shop.batch(action) == [(id, "done") for id in ORDERS]
    (refund,) = shop.client.list(workflow_id="refund-1")
    assert (refund.status, refund.cancel_requested, shop.count_signals("refund-1")) == ("OPEN", False, 0)


def test_a_signal_that_a_batch_sends_arrives_with_its_fields(shop: Shop) -> None:
    shop.batch(SendSignal(Approve("Ann")), workflow_id="order-1")
    (one,) = shop.client.list(workflow_id="order-1")
    event = shop.world.local.get_history(one.execution)[-2]
    assert isinstance(event, e.WorkflowExecutionSignaled)
    assert (event.signal_name, event.input) == ("Approve", '{"by":"Ann"}')


def test_a_terminated_execution_has_the_reason(shop: Shop) -> None:
    shop.batch(Terminate("a mistake"), tag="red")
    (one,) = shop.client.list(workflow_id="order-1")
    closing = shop.world.local.find_closing_event(one.execution)
    assert isinstance(closing, e.WorkflowExecutionTerminated)
    assert closing.reason == "a mistake"
    assert [one.workflow_id for one in shop.client.list(workflow="order", status="open")] == ["order-0"]


@pytest.mark.parametrize(
    ("action", "again"),
    [
        (SendSignal(Approve("Ann")), [(id, "already") for id in ORDERS]),
        (RequestCancel(), [(id, "already") for id in ORDERS]),
        (Terminate(), []),
    ],
)
def test_a_batch_that_runs_again_repeats_nothing(shop: Shop, action: Action, again: list[tuple[str, str]]) -> None:
    shop.batch(action)
    sent = list(shop.lossy.asked)
    assert shop.batch(action) == again
    changing = ("SignalWorkflowExecution", "RequestCancelWorkflowExecution", "TerminateWorkflowExecution")
    assert not set(changing) & set(shop.lossy.asked[len(sent) :])


def test_a_batch_that_was_interrupted_completes_when_it_runs_again(shop: Shop) -> None:
    shop.lossy.lose_replies = [o.SignalWorkflowExecution]
    with pytest.raises(BackendError, match="before the reply came"):
        shop.batch(SendSignal(Approve("Ann")))
    assert shop.batch(SendSignal(Approve("Ann"))) == [("order-2", "already"), ("order-1", "done"), ("order-0", "done")]
    assert [shop.count_signals(id) for id in ORDERS] == [1, 1, 1]


def test_a_signal_with_other_fields_is_another_signal(shop: Shop) -> None:
    for by in ("Ann", "Bob", "Ann"):
        shop.batch(SendSignal(Approve(by)))
    assert shop.count_signals("order-1") == 2


def test_an_encrypted_signal_is_not_repeated() -> None:
    shop = Shop()
    shop.client = Client(backend=shop.lossy, codec=Codec(Encrypt(KeyRing({"2024": bytes(16)}))))
    outcomes = [shop.batch(SendSignal(Approve("Ann")), workflow_id="order-1") for _ in range(2)]
    assert outcomes == [[("order-1", "done")], [("order-1", "already")]]
    shop.client.close()


def test_a_dry_run_sends_nothing(shop: Shop) -> None:
    for action in (SendSignal(Approve("Ann")), RequestCancel(), Terminate()):
        assert shop.batch(action, dry_run=True) == [(id, "planned") for id in ORDERS]
    assert set(shop.lossy.asked) == {"ListOpenWorkflowExecutions"}
    assert shop.waits == []


def test_requests_are_sent_at_the_rate(shop: Shop) -> None:
    shop.batch(RequestCancel(), per_second=4)
    assert shop.waits == [0.25, 0.25]


def test_progress_is_reported_after_each_execution(shop: Shop) -> None:
    reported: list[tuple[str, int, int]] = []
    shop.batch(
        RequestCancel(),
        on_result=lambda result, done, total: reported.append((result.execution.workflow_id, done, total)),
    )
    assert reported == [("order-2", 1, 3), ("order-1", 2, 3), ("order-0", 3, 3)]


def test_an_execution_that_closes_meanwhile_is_reported_as_closed(shop: Shop) -> None:
    domain = shop.world.local.domain

    def close_next(_: float) -> None:
        (left,) = (one for one in shop.client.list(workflow_id="order-0"))
        if left.status == "OPEN":
            shop.world.local.call(o.TerminateWorkflowExecution(domain=domain, workflow_id="order-0"))

    results = shop.client.batch(Terminate(), workflow="order", wait=close_next)
    assert [result.outcome for result in results] == ["done", "done", "closed"]
    assert "is not open any more" in (results[-1].detail or "")


def test_a_refusal_is_reported_and_the_batch_goes_on(shop: Shop) -> None:
    results = shop.client.batch(Terminate("x" * 300), workflow="order", wait=shop.waits.append)
    assert [result.outcome for result in results] == ["refused"] * 3
    assert "reason" in (results[0].detail or "")


def test_a_request_that_is_refused_for_its_rate_is_repeated() -> None:
    world = World(reach_here, limits=Limits(throttling=True))
    populate(world, [Life(TYPES[0], f"order-{n}", (), "OPEN", 0, 0) for n in range(2)])
    burst = 0
    while True:
        try:
            world.local.call(o.RequestCancelWorkflowExecution(domain=world.local.domain, workflow_id="nobody"))
        except BackendError as error:
            if error.retryable:
                break
            burst += 1
    assert burst > 100
    with Client(backend=world.backend) as client:
        results = client.batch(RequestCancel(), per_second=1000, wait=world.advance)
    assert [result.outcome for result in results] == ["done", "done"]


def test_a_batch_ends_when_its_client_is_closed(shop: Shop) -> None:
    results = shop.client.batch(
        RequestCancel(), workflow="order", per_second=0.001, on_result=lambda *_: shop.client.close()
    )
    assert [result.outcome for result in results] == ["done"]


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"status": "failed"}, "only open executions can be signalled, cancelled or terminated"),
        ({"closed": (BEGIN - timedelta(days=1), None)}, "only open executions"),
        ({"per_second": 0}, "per_second=0: expected a positive number"),
        ({"state": "open"}, "state=... is not a filter"),
    ],
)
def test_a_batch_that_cannot_be_raises_before_any_request(shop: Shop, more: dict[str, Any], text: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        shop.batch(Terminate(), **more)
    assert text in str(caught.value)
    assert not {"TerminateWorkflowExecution"} & set(shop.lossy.asked)


def test_only_a_signal_can_be_sent() -> None:
    with pytest.raises(TypeError, match="SendSignal: expected a signal"):
        SendSignal("Approve")  # type: ignore[arg-type]
