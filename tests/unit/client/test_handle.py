"""Handles: signals arrive or raise; executions are found by id."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.backends import ConnectionLost, Stage, find_events, take_turns
from traction import Signal, WorkerSystem, continue_as_new, receive, workflow
from traction.errors import PayloadError, UnknownResourceFault
from traction.model import events as e
from traction.model import operations as o
from traction.payloads.codec import Codec
from traction.payloads.transforms import Compress


class Say(Signal):
    text: str


@workflow
async def listen(left: int) -> str:
    signal = await receive(Say)
    return signal.text if left == 0 else await continue_as_new(listen(left - 1))


def test_what_a_handle_sends_the_flow_receives(stage: Stage) -> None:
    handle = stage.start(listen(0))
    handle.send(Say("hello"))
    take_turns(stage.decider(listen))
    assert handle.result(0) == "hello"


def test_a_signal_goes_to_the_run_that_is_open_now(stage: Stage) -> None:
    handle = stage.start(listen(1))
    handle.send(Say("first"))
    take_turns(stage.decider(listen))
    handle.send(Say("second"))
    take_turns(stage.decider(listen))
    assert handle.result(0) == "second"


def test_a_signal_to_a_closed_execution_raises_how_it_closed(stage: Stage) -> None:
    handle = stage.start(listen(0))
    handle.terminate()
    with pytest.raises(UnknownResourceFault, match="is not open any more: WorkflowExecutionTerminated"):
        handle.send(Say("late"))
    assert not find_events(handle, e.WorkflowExecutionSignaled)


@pytest.mark.parametrize(
    ("value", "mend"),
    [("hello", "define a subclass of Signal"), (Say, "write Say"), (7, "define a subclass of Signal")],
)
def test_only_signals_are_sent(stage: Stage, value: Any, mend: str) -> None:
    handle = stage.start(listen(0))
    with pytest.raises(TypeError, match=f"Handle.send: expected a signal, got .*; {mend}"):
        handle.send(value)


def test_a_signal_that_cannot_be_decoded_is_not_sent(stage: Stage) -> None:
    handle = stage.start(listen(0))
    with pytest.raises(PayloadError, match="cannot be sent: Expected `str`, got `int`"):
        handle.send(Say(7))  # type: ignore[arg-type]
    assert not find_events(handle, e.WorkflowExecutionSignaled)


def test_a_signal_that_swf_does_not_carry_is_not_sent(stage: Stage) -> None:
    handle = stage.start(listen(0))
    with pytest.raises(PayloadError, match="32,768"):
        handle.send(Say("x" * 40_000))


def test_a_signal_is_encoded_by_the_codec(stage: Stage) -> None:
    codec = Codec(Compress())
    handle = WorkerSystem(backend=stage.backend, codec=codec).start(listen(0))
    handle.send(Say("x" * 40_000))
    take_turns(stage.decider(listen, codec=codec))
    assert handle.result(0) == "x" * 40_000


def test_a_signal_whose_reply_is_lost_is_not_sent_again(stage: Stage) -> None:
    handle = stage.start(listen(0))
    stage.backend.lose_replies = [o.SignalWorkflowExecution]
    with pytest.raises(ConnectionLost):
        handle.send(Say("once"))
    assert len(find_events(handle, e.WorkflowExecutionSignaled)) == 1


def test_by_its_id_the_run_is_found_that_is_open_or_else_the_last_that_closed(stage: Stage) -> None:
    first = stage.start(listen(0), workflow_id="chat").execution
    stage.system.get_handle("chat").terminate()
    stage.advance(1)
    assert stage.system.get_handle("chat", listen).execution == first
    second = stage.start(listen(0), workflow_id="chat").execution
    stage.advance(1)
    handle = stage.system.get_handle("chat", listen)
    assert handle.execution == second != first
    handle.send(Say("there"))
    take_turns(stage.decider(listen))
    assert handle.result(0) == "there"


def test_an_unknown_id_raises_with_the_domain(stage: Stage) -> None:
    with pytest.raises(UnknownResourceFault, match="there is no execution 'nobody' in local:"):
        stage.system.get_handle("nobody")
