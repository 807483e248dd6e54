"""Signals are frozen and named, and checked when they are defined and when they are used."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest

import traction
from traction import Signal, activity, receive, send, signals
from traction.errors import DefinitionError
from traction.flow.signals import Receive, Send
from traction.model.names import WorkflowExecution
from traction.payloads.codec import JSON

S: Any = Signal


class Approve(Signal):
    by: str
    note: str = ""


class Reject(Signal, name="no"):
    why: str


class Wait(Signal, kw_only=True):
    days: int


class Ask(Signal):
    about: Topic


class Topic(Signal):
    title: str


@activity
def fetch(number: int) -> int:
    return number


# Definitions.


def test_a_signal_goes_by_the_name_of_its_class_or_the_one_given() -> None:
    assert (Approve.spec.name, Reject.spec.name) == ("Approve", "no")


def test_a_signal_made_of_another_has_its_fields_and_a_name_of_its_own() -> None:
    class Urgent(Reject):
        by: str = ""

    assert (Urgent.spec.name, Urgent("late").why, Reject.spec.name) == ("Urgent", "late", "no")


def test_a_signal_is_frozen_and_equal_to_one_with_the_same_fields() -> None:
    assert Approve("Ann") == Approve("Ann", note="")
    with pytest.raises(AttributeError, match="immutable"):
        Approve("Ann").by = "Bob"


def test_a_signal_may_take_its_fields_by_name_only() -> None:
    assert Wait(days=3).days == 3
    with pytest.raises(TypeError):
        Wait(3)  # type: ignore[call-arg]


def test_a_signal_is_read_back_as_it_was_written() -> None:
    assert JSON.decode(JSON.encode(Approve("Ann")), Approve) == Approve("Ann")


def test_a_signal_that_gained_a_field_with_a_default_reads_what_was_sent_before() -> None:
    assert JSON.decode('{"by":"Ann","page":7}', Approve) == Approve("Ann")


@pytest.mark.parametrize("name", ["", "x" * 257, 7])
def test_a_name_that_swf_does_not_take_is_refused(name: Any) -> None:
    with pytest.raises(DefinitionError, match="1 to 256 characters"):

        class Found(S, name=name): ...


@pytest.mark.parametrize("annotation", [Path, list[Path], dict[str, Path], dict[tuple[int, int], str]])
def test_a_field_that_cannot_be_written_is_refused_when_the_class_is_made(annotation: Any) -> None:
    def fill(namespace: dict[str, Any]) -> None:
        namespace |= {"__module__": __name__, "__annotations__": {"where": annotation}}

    with pytest.raises(DefinitionError, match="field 'where' is"):
        types.new_class("Found", (Signal,), {}, fill)


def test_a_field_of_a_taken_name_is_refused() -> None:
    with pytest.raises(DefinitionError, match="'spec'"):

        class Found(Signal):
            spec: str


def test_an_unknown_class_keyword_is_refused() -> None:
    with pytest.raises(DefinitionError, match="unknown option 'version'"):

        class Found(S, version="2"): ...


def test_a_default_that_all_would_share_is_refused() -> None:
    with pytest.raises(DefinitionError, match="Found"):

        class Found(Signal):
            names: list[str] = ["a"]  # noqa: RUF012


def test_a_field_may_name_what_is_defined_further_down() -> None:
    assert receive(Ask) == Receive((Ask,))
    assert send("a", Ask(Topic("x"))) == Send("a", None, Ask(Topic("x")))


@pytest.mark.parametrize("say", [receive, signals, lambda found: send("a", found())])
def test_an_unresolvable_field_is_rejected_when_the_signal_is_used(say: Any) -> None:
    class Found(S):
        page: Page = None  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(DefinitionError, match="'Page' is not defined"):
        say(Found)


# Receiving and sending.


@pytest.mark.parametrize("say", [receive, signals])
@pytest.mark.parametrize("thing", ["Approve", Approve("Ann"), fetch, str, None])
def test_receive_accepts_only_classes_of_signals(say: Any, thing: Any) -> None:
    with pytest.raises(TypeError, match="expected a class of signals"):
        say(Approve, thing)


@pytest.mark.parametrize("say", [receive, signals])
def test_receive_needs_at_least_one_class_of_signals(say: Any) -> None:
    with pytest.raises(ValueError, match="at least one class of signals"):
        say()


@pytest.mark.parametrize("say", [receive, signals])
def test_the_base_of_all_signals_is_not_received(say: Any) -> None:
    with pytest.raises(TypeError, match="name a subclass"):
        say(Signal)


@pytest.mark.parametrize("say", [receive, signals])
def test_two_signals_with_one_name_are_rejected_together(say: Any) -> None:
    class No(Signal, name="no"): ...

    with pytest.raises(DefinitionError, match="both named 'no'"):
        say(Approve, Reject, No)


def test_the_same_signal_twice_is_the_same_as_once() -> None:
    assert receive(Approve, Approve) == Receive((Approve, Approve))


@pytest.mark.parametrize("thing", ["Approve", Approve, fetch(7), None])
def test_send_accepts_only_signals(thing: Any) -> None:
    with pytest.raises(TypeError, match="expected a signal"):
        send("a", thing)


@pytest.mark.parametrize("say", [lambda to: send(to, Approve("Ann")), traction.cancel], ids=["send", "cancel"])
@pytest.mark.parametrize("thing", [None, 7, fetch(7)])
def test_send_and_cancel_accept_only_executions(say: Any, thing: Any) -> None:
    with pytest.raises(TypeError, match="expected an execution"):
        say(thing)


@pytest.mark.parametrize("say", [lambda to: send(to, Approve("Ann")), traction.cancel], ids=["send", "cancel"])
@pytest.mark.parametrize("id", ["", "x" * 257])
def test_a_workflow_id_that_swf_does_not_take_is_not_addressed(say: Any, id: str) -> None:
    with pytest.raises(ValueError, match="a workflow id must have"):
        say(id)


@pytest.mark.parametrize("say", [lambda to: send(to, Approve("Ann")), traction.cancel], ids=["send", "cancel"])
@pytest.mark.parametrize("id", ["22/hg+:1", "a/b", "arn", "x" * 256])
def test_an_execution_of_another_framework_is_addressed_by_its_id(say: Any, id: str) -> None:
    assert say(id).workflow_id == id


def test_a_run_or_whichever_is_open_under_an_id_is_addressed() -> None:
    assert send(WorkflowExecution("a", "run"), Approve("Ann")) == Send("a", "run", Approve("Ann"))
    assert send("a", Approve("Ann")) == Send("a", None, Approve("Ann"))
