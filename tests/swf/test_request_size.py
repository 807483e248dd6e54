"""Requests are counted as boto3 sends them, and responses to decision tasks are cut to what SWF takes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, get_args, get_origin

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.backends import NOW, ConnectionLost, LossyBackend, open_stage, take_turns
from tests.support.http_backends import World
from tests.swf.conftest import MakeStage
from traction import activity, all_of, set_state, side_effect, workflow
from traction.decider.batching import DECISIONS_MAX, choose
from traction.errors import RequestEntityTooLarge
from traction.model import decisions as d
from traction.model import operations as o
from traction.model.limits import Limits
from traction.model.names import ActivityType, TaskList, WorkflowType
from traction.model.sizes import REQUEST_BYTES_MAX, check_request_size, measure
from traction.testing import simulate
from traction.worker.decider_cache import DeciderCache
from traction_local.backend import DOMAIN, LocalBackend
from traction_local.service.service import Service
from traction_swf import wire
from traction_swf.backend import open_swf
from traction_swf.error_codes import classify

LETTERS = {"ascii": "x", "latin": "é", "cyrillic": "я", "chinese": "漢", "emoji": "🙂", "quote": '"', "control": "\x01"}


@activity
def size(text: str) -> int:
    return len(text)


@workflow
async def sizes(count: int, length: int, letter: str) -> int:
    return sum(await all_of([size(letter * length) for _ in range(count)]))


@workflow
async def sizes_here(count: int, length: int, letter: str) -> int:
    return sum([await size(letter * length).locally() for _ in range(count)])


@activity
def grow(letter: str, length: int) -> str:
    return letter * length


@workflow
async def grown(count: int, length: int, letter: str) -> int:
    return sum(map(len, await all_of([grow(letter, length).locally() for _ in range(count)])))


@workflow
async def kept(count: int, length: int, letter: str) -> int:
    await set_state(letter * length)
    total = 0
    for _ in range(count):
        total += len(await side_effect(lambda: letter * length, type=str))
    return total


MANY = [sizes, sizes_here, grown, kept]


# Over HTTP, each alphabet and each flow once: how they combine is decided before a request is sent.
ALPHABETS = [
    *(("in process", flow, letter) for flow in MANY for letter in LETTERS),
    *(("over HTTP", sizes, letter) for letter in LETTERS),
    *(("over HTTP", flow, "control") for flow in MANY[1:]),
]


@pytest.mark.parametrize(("world", "flow", "letter"), ALPHABETS, indirect=["world"])
def test_large_payloads_of_any_alphabet_reach_swf(world: World, flow: Any, letter: str) -> None:
    letter = LETTERS[letter]
    # Escaped once more in JSON, a quote takes two characters and a control character six.
    length = 30_000 // (len(json.dumps(letter, ensure_ascii=False)) - 2)
    decider = world.decider(flow, cache=DeciderCache(events_max=0))
    handle = world.start(flow(9, length, letter))
    world.run([decider, world.worker(size)], handle.execution)
    assert handle.result() == 9 * length


@pytest.mark.parametrize(("count", "length", "letter"), [(6, 30_000, "é"), (90, 2_000, "漢"), (40, 5_000, "я")])
def test_several_large_calls_reach_swf(world: World, count: int, length: int, letter: str) -> None:
    decider = world.decider(sizes)
    handle = world.start(sizes(count, length, letter))
    world.run([decider, world.worker(size)], handle.execution)
    assert handle.result() == count * length


@pytest.mark.parametrize("flow", MANY, ids=lambda flow: flow.__name__)
def test_simulations_enforce_the_request_limit(flow: Any) -> None:
    assert simulate(flow(9, 30_000, "é")).result == 270_000


# What is counted.


class NotSent(Exception):
    """Raised where a request would be sent: its body."""


@cache
def open_nowhere() -> Any:
    def look(request: Any, **_: Any) -> None:
        raise NotSent(request.body)

    backend = open_swf("swf://acme?endpoint=http://127.0.0.1:9")
    for client in backend._clients:
        client.meta.events.register("before-send.swf", look)
    return backend


def write_by_botocore(request: Any) -> bytes:
    """Return the body that boto3 sends."""
    with pytest.raises(NotSent) as raised:
        open_nowhere().call(request)
    body: bytes = raised.value.args[0]
    return body


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def fill(hint: Any, text: str) -> Any:
    """Build a shape all of whose texts are this one."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        fields = ((field.name, fill(field.type, text)) for field in msgspec.structs.fields(hint))
        return hint(**{name: value for name, value in fields if value is not None})
    if get_origin(hint) is Literal:
        return get_args(hint)[0]
    if get_origin(hint) is tuple:
        return (fill(get_args(hint)[0], text),) * 3
    return text if hint is str else fill(get_args(hint)[0], text)


@settings(max_examples=50)
@given(text=TEXTS.filter(bool))
def test_a_request_is_counted_as_botocore_writes_it(text: str) -> None:
    decisions = tuple(fill(kind, text) for kind in get_args(d.Decision))
    request = o.RespondDecisionTaskCompleted(task_token="t", execution_context=text, decisions=decisions)
    assert measure(request) == len(write_by_botocore(request))


@pytest.mark.parametrize(
    "request_",
    [
        o.StartWorkflowExecution(
            domain="d",
            workflow_id="w",
            workflow_type=WorkflowType("é", "1"),
            input="🙂" * 32_768,
            tag_list=("🙂",) * 5,
        ),
        o.SignalWorkflowExecution(domain="d", workflow_id="w", signal_name="s", input="🙂" * 32_768),
        o.RespondActivityTaskCompleted(task_token="t" * 1_024, result="🙂" * 32_768),
        o.RespondActivityTaskFailed(task_token="t" * 1_024, reason="🙂" * 256, details="🙂" * 32_768),
        o.RecordActivityTaskHeartbeat(task_token="t" * 1_024, details="🙂" * 2_048),
        o.TerminateWorkflowExecution(domain="d", workflow_id="w", reason="🙂" * 256, details="🙂" * 32_768),
    ],
    ids=lambda request: type(request).__name__,
)
def test_requests_within_swfs_character_limits_are_not_too_large(request_: Any) -> None:
    assert measure(request_) == len(write_by_botocore(request_)) < REQUEST_BYTES_MAX // 2


PAYLOADS = st.builds(lambda letter, n: letter * n, st.sampled_from(list(LETTERS.values())), st.integers(0, 32_768))
DECISIONS = st.builds(
    lambda make, text: make(text),
    st.sampled_from(
        [
            lambda text: d.ScheduleActivityTask(
                activity_id=text[:256] or "a", activity_type=ActivityType("a", "1"), input=text
            ),
            lambda text: d.StartChildWorkflowExecution(
                workflow_id=text[:256] or "c", workflow_type=WorkflowType("c", "1"), input=text, control=text[:256]
            ),
            lambda text: d.SignalExternalWorkflowExecution(workflow_id="w", signal_name="s", input=text),
            lambda text: d.StartTimer(timer_id=text[:256] or "t", start_to_fire_timeout="1"),
        ]
    ),
    PAYLOADS,
)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], max_examples=30)
@given(
    asked=st.lists(DECISIONS, min_size=1, max_size=120),
    letter=st.sampled_from(list(LETTERS.values())),
    n=st.integers(0, 32_768),
)
def test_a_response_stays_within_the_request_limit(asked: list[d.Decision], letter: str, n: int) -> None:
    report = letter * n
    left = asked
    while left:
        chosen = choose(left[: DECISIONS_MAX + 1], 3, state=report)
        request = o.RespondDecisionTaskCompleted(
            task_token="t" * 1_024,
            decisions=tuple(chosen),
            execution_context=report,
            task_list=TaskList("🙂" * 256),
            task_list_schedule_to_start_timeout="99999999",
        )
        assert len(json.dumps(wire.to_plain(request))) <= REQUEST_BYTES_MAX
        taken = sum(getattr(decision, "timer_id", "") != "~more-3" for decision in chosen)
        assert taken > 0
        assert chosen[:taken] == left[:taken]
        left = left[taken:]


# What is refused.

LARGE = o.SignalWorkflowExecution(domain=DOMAIN, workflow_id="w", signal_name="s", input="é" * 200_000)


def open_here(limits: Limits) -> LocalBackend:
    return LocalBackend(Service(limits=limits), limits=limits, pace=0)


def test_requests_over_the_limit_are_refused_in_process_as_over_http(make_stage: MakeStage) -> None:
    local = open_here(Limits())
    over_http = make_stage(local).open()
    for backend in (local, over_http):
        with pytest.raises(RequestEntityTooLarge, match="1,048,576"):
            backend.call(LARGE)


def test_the_limit_holds_to_the_byte_on_both_backends(make_stage: MakeStage) -> None:
    request = o.RegisterDomain(name="é", workflow_execution_retention_period_in_days="1", description='"é🙂\n\x01"')
    exact = len(write_by_botocore(request))
    check_request_size(request, exact)
    for less in (0, 1):
        local = open_here(Limits(request_bytes_max=exact - less))
        for backend in (local, make_stage(local).open()):
            if less:
                with pytest.raises(RequestEntityTooLarge):
                    backend.call(request)
            elif backend is local:
                backend.call(request)


class Narrow(LossyBackend):
    """A backend whose service accepts less than its limit: it refuses large requests, or drops the connection."""

    def __init__(self, inner: Any, error: Callable[[], Exception]) -> None:
        super().__init__(inner)
        self.error = error

    def call(self, request: Any, wait: Any = None) -> Any:
        if measure(request) > 300_000:
            raise self.error()
        return super().call(request, wait)


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (lambda: classify("RequestEntityTooLarge", "too large", 413), 1),
        (lambda: classify("413", "", 413), 1),
        (lambda: ConnectionLost("reset"), 5),
    ],
    ids=["refused", "refused by a proxy", "dropped"],
)
def test_an_execution_whose_response_is_too_large_is_reported_by_name(
    caplog: pytest.LogCaptureFixture, error: Callable[[], Exception], tries: int
) -> None:
    with open_stage() as stage:
        stage.register(size)
        handle = stage.start(sizes(6, 30_000, "é"), sizes, workflow_id="big")
        other = stage.start(sizes(1, 1, "e"), sizes, workflow_id="small")
        decider = stage.decider(sizes)
        decider._backend = Narrow(stage.backend, error)
        for _ in range(tries - 1):
            with pytest.raises(ConnectionLost):
                decider.work_once(NOW)
        take_turns(decider, stage.worker(size))
        assert other.result() == 1
        (stuck,) = stage.stuck
        assert (stuck.execution, type(stuck.error)) == (handle.execution, RequestEntityTooLarge)
        (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert "big (run" in record.getMessage()
