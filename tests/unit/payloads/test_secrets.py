"""With encryption, no secret value reaches the service or a log, whatever goes wrong.

In each scenario something fails while a secret is used. Requests, log records and tracebacks are kept.
`docs/security.md` lists what travels in plain text.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from functools import partial
from typing import Annotated, Any, cast

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.support.backends import NOW, Stage, open_stage, take_turns
from traction import (
    COMPLETE_LATER,
    Activity,
    DeclaredError,
    Handle,
    Retry,
    Signal,
    WorkerSystem,
    Workflow,
    all_of,
    continue_as_new,
    current_task,
    heartbeat,
    invoke_lambda,
    receive,
    send,
    set_state,
    side_effect,
    sleep,
    start_child,
)
from traction.errors import PayloadError
from traction.model import decisions as d
from traction.model import operations as o
from traction.model.names import WorkflowExecution
from traction.payloads.codec import Codec
from traction.payloads.encryption import Encrypt, KeyRing
from traction.payloads.transforms import Compress
from traction.worker.loop import Worker
from traction.worker.process_pool import ProcessPool

RING = KeyRing({"2024": bytes(range(32))})
CODECS = [Codec(Encrypt(RING)), Codec(Compress(over=0), Encrypt(RING))]
HANDLER_FORMAT = logging.Formatter("%(levelname)s %(name)s %(message)s")

secrets = st.from_regex(r"[a-z0-9]{4}-[A-Za-z0-9]{8,20}", fullmatch=True)


class Revealing:
    """A value that cannot be written as JSON, and that shows itself."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return f"Revealing({self.secret})"

    __str__ = __repr__


class Color(Enum):
    RED = "red"


class Picky(msgspec.Struct):
    """A struct that refuses its fields, and shows them when it does."""

    text: str

    def __post_init__(self) -> None:
        if self.text.startswith("key "):
            raise KeyError(self.text)
        raise ValueError(f"{self.text} is not valid")


class Declined(DeclaredError):
    card: str


class Act(Activity[None, int], retry=Retry(attempts=2, backoff=0), raises=(Declined,), heartbeat=60):
    """Behaves as its text selects."""

    text: str

    def run(self) -> int:
        return cast("int", ACTS[0](self.text))


ACTS: list[Callable[[str], Any]] = [len]


class Take(Activity[None, int]):
    """Takes what other code may have sent in another form."""

    color: Color
    short: Annotated[str, msgspec.Meta(max_length=3)] = ""

    def run(self) -> int:
        return 1


class TakePicky(Activity[None, int]):
    picky: Picky

    def run(self) -> int:
        return 1


class ActInProcess(Activity[None, int], raises=(Declined,)):
    text: str

    def run(self) -> int:
        kind, _, secret = self.text.partition(" ")
        if kind == "declared":
            raise Declined(cast("str", [secret]))
        if kind == "raise":
            raise ValueError(secret)
        return cast("int", secret)


class Approve(Signal):
    color: Color


class Note(Signal):
    text: str


FLOWS: list[Callable[[str], Any]] = [lambda text: Act(text)]


class Flow(Workflow[int], raises=(Declined,)):
    """Behaves as its text selects."""

    text: str

    async def flow(self) -> int:
        return cast("int", await FLOWS[0](self.text))


class Number(Workflow[int]):
    number: int
    color: Color = Color.RED

    async def flow(self) -> int:
        return self.number


class Recorder(logging.Handler):
    """Keeps the text of every record, as a log file would."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        facts = {name: value for name, value in record.__dict__.items() if name not in ("exc_info", "args")}
        self.texts.append(f"{HANDLER_FORMAT.format(record)} {facts}")


@contextmanager
def record_logs() -> Iterator[Recorder]:
    recorder, root = Recorder(), logging.getLogger()
    level = root.level
    root.addHandler(recorder)
    root.setLevel(logging.DEBUG)
    try:
        yield recorder
    finally:
        root.removeHandler(recorder)
        root.setLevel(level)


class Scene:
    """A stage whose workers encrypt, and what a scenario needs of them."""

    def __init__(self, stage: Stage, codec: Codec) -> None:
        self.stage, self.codec = stage, codec
        stage.system = WorkerSystem(backend=stage.backend, identity="stage", codec=codec)
        stage.register(Act, Take, TakePicky, ActInProcess, Flow, Number)

    def run(self, secret: str, *, act: Callable[[str], Any] = len, flow: Callable[[str], Any] | None = None) -> None:
        """Run a flow and its activity to where they get, and read the end as a client does."""
        ACTS[0], FLOWS[0] = act, flow or (lambda text: Act(text))
        handle = self.stage.system.start(Flow(secret))
        self.go_on()
        self.read(handle)

    def go_on(self) -> None:
        workers: list[Worker] = [
            self.stage.decider(Flow, codec=self.codec),
            self.stage.decider(Number, codec=self.codec),
            self.stage.worker(Act, codec=self.codec),
            self.stage.worker(Take, codec=self.codec),
            self.stage.worker(TakePicky, codec=self.codec),
        ]
        for _ in range(3):
            take_turns(*workers)
            self.stage.advance(70)

    def read(self, handle: Handle[Any]) -> None:
        with suppress(Exception):
            handle.result(0)

    def start_raw(self, workflow: Any, value: Any) -> None:
        """Start an execution with an input that its definition does not read."""
        run = self.stage.backend.call(
            o.StartWorkflowExecution(
                domain=self.stage.backend.domain,
                workflow_id="raw",
                workflow_type=workflow.spec.type,
                input=self.codec.encode(value),
            )
        )
        self.go_on()
        self.read(Handle(self.stage.backend, WorkflowExecution("raw", run.run_id), workflow, codec=self.codec))

    def schedule_raw(self, activity: Any, value: Any) -> None:
        """Give an activity an input that its definition does not read."""
        self.stage.system.start(Number(1))
        poll = o.PollForDecisionTask(domain=self.stage.backend.domain, task_list=Number.spec.task_list)
        task = self.stage.backend.call(poll, NOW)
        decision = d.ScheduleActivityTask(
            activity_type=activity.spec.type, activity_id="raw-1", input=self.codec.encode(value)
        )
        self.stage.backend.call(o.RespondDecisionTaskCompleted(task_token=task.task_token, decisions=(decision,)))
        take_turns(self.stage.worker(activity, codec=self.codec))

    def answer_raw(self, secret: str, flow: Any, value: Any) -> None:
        """Answer the activity of a flow with a result that its definition does not read."""
        FLOWS[0] = flow
        handle = self.stage.system.start(Flow(secret))
        take_turns(self.stage.decider(Flow, codec=self.codec))
        poll = o.PollForActivityTask(domain=self.stage.backend.domain, task_list=Act.spec.task_list)
        task = self.stage.backend.call(poll, NOW)
        answer = o.RespondActivityTaskCompleted(task_token=task.task_token, result=self.codec.encode(value))
        self.stage.backend.call(answer)
        self.go_on()
        self.read(handle)


Scenario = Callable[[Scene, str], None]


def raise_it(error: BaseException) -> Any:
    raise error


async def _receive(kind: Any) -> int:
    return (await receive(kind)) and 1


def signal_raw(scene: Scene, secret: str) -> None:
    FLOWS[0] = lambda _: receive(Approve)
    handle = scene.stage.system.start(Flow(secret))
    for value in (secret, {"color": secret}, {"color": [secret]}, {secret: secret}):
        scene.stage.backend.call(
            o.SignalWorkflowExecution(
                domain=scene.stage.backend.domain,
                workflow_id=handle.workflow_id,
                signal_name="Approve",
                input=scene.codec.encode(value),
            )
        )
    scene.go_on()


def _call_in_process(kind: str, text: str) -> Any:
    return ActInProcess(f"{kind} {text}")


def run_in_process(scene: Scene, secret: str) -> None:
    pool = ProcessPool(ActInProcess)
    try:
        for kind in ("declared", "result", "raise"):
            FLOWS[0] = partial(_call_in_process, kind)
            scene.stage.system.start(Flow(secret), workflow_id=kind)
            decider = scene.stage.decider(Flow, codec=scene.codec)
            worker = scene.stage.worker(ActInProcess, codec=scene.codec, body=pool.run)
            take_turns(decider, worker)
    finally:
        pool.close()


def answer_by_token(scene: Scene, secret: str) -> None:
    tokens: list[str] = []

    def act(_: str) -> Any:
        tokens.append(current_task().token)
        return COMPLETE_LATER

    ACTS[0], FLOWS[0] = act, lambda text: Act(text)
    system = scene.stage.system
    system.start(Flow(secret))
    take_turns(scene.stage.decider(Flow, codec=scene.codec), scene.stage.worker(Act, codec=scene.codec))
    with suppress(PayloadError):
        system.heartbeat(tokens[0], Revealing(secret))
    system.heartbeat(tokens[0], secret)
    with suppress(PayloadError):
        system.complete(tokens[0], Revealing(secret))
    system.fail(tokens[0], ValueError(secret))
    scene.go_on()


def beat_and_fail(text: str) -> Any:
    task = current_task()
    with suppress(PayloadError):
        task.last_details(int)
    with suppress(PayloadError):
        heartbeat(Revealing(text))
    with suppress(PayloadError):
        heartbeat(text * 500)
    heartbeat({"at": text})
    raise RuntimeError(text)


SCENARIOS: dict[str, Scenario] = {
    # Results.
    "result of another type": lambda s, x: s.run(x, act=lambda text: text),
    "result in the key of a dict": lambda s, x: s.run(x, act=lambda text: {text: text}),
    "result that cannot be written": lambda s, x: s.run(x, act=Revealing),
    "result that is too long": lambda s, x: s.run(x, act=lambda text: [text] * 9_000),
    "result that no longer decodes": lambda s, x: s.answer_raw(x, lambda text: Act(text), [x, {x: x}]),
    "result of a flow of another type": lambda s, x: s.run(x, flow=lambda text: sleep(0).map(lambda _: text)),
    "result of a flow that cannot be written": lambda s, x: s.run(
        x, flow=lambda text: sleep(0).map(lambda _: Revealing(text))
    ),
    "result of a flow that is too long": lambda s, x: s.run(x, flow=lambda t: sleep(0).map(lambda _: [t] * 9_000)),
    "result of a child of another type": lambda s, x: s.run(x, flow=lambda text: Number(cast("int", text))),
    # Inputs.
    "input of an execution": lambda s, x: s.start_raw(Number, {"number": x}),
    "input of an execution with an enum": lambda s, x: s.start_raw(Number, {"number": 1, "color": x}),
    "input of an execution that is a string": lambda s, x: s.start_raw(Number, x),
    "input of an activity": lambda s, x: s.schedule_raw(Take, {"color": x}),
    "input of an activity with a constraint": lambda s, x: s.schedule_raw(Take, {"color": "red", "short": x}),
    "input that its class refuses": lambda s, x: s.schedule_raw(TakePicky, {"picky": {"text": x}}),
    "input that its class raises KeyError for": lambda s, x: s.schedule_raw(TakePicky, {"picky": {"text": f"key {x}"}}),
    "input that cannot be written": lambda s, x: s.run(x, flow=lambda text: Act(cast("str", Revealing(text)))),
    "input of another type": lambda s, x: s.run(x, flow=lambda text: Act(cast("str", [text]))),
    "input that is too long": lambda s, x: s.run(x, flow=lambda text: Act("".join(map(str, range(9_000))) + text)),
    "input that is a step": lambda s, x: s.run(x, flow=lambda text: Act(cast("str", Act(text)))),
    "input of a child beside": lambda s, x: s.run(x, flow=lambda text: start_child(Number(cast("int", text)))),
    "input of the next run": lambda s, x: s.run(x, flow=lambda text: continue_as_new(Flow(cast("str", [text])))),
    # Failures.
    "exception of an activity": lambda s, x: s.run(x, act=lambda text: raise_it(ValueError(text))),
    "exception of a flow": lambda s, x: s.run(x, flow=lambda text: raise_it(LookupError(text))),
    "declared error": lambda s, x: s.run(x, act=lambda text: raise_it(Declined(text))),
    "declared error with a field of another type": lambda s, x: s.run(
        x, act=lambda text: raise_it(Declined(cast("str", [text])))
    ),
    "declared error that cannot be written": lambda s, x: s.run(
        x, act=lambda text: raise_it(Declined(cast("str", Revealing(text))))
    ),
    "declared error that is too long": lambda s, x: s.run(
        x, act=lambda text: raise_it(Declined("".join(map(str, range(9_000))) + text))
    ),
    "declared error of a flow": lambda s, x: s.run(x, flow=lambda text: raise_it(Declined(text))),
    "heartbeats and retries": lambda s, x: s.run(x, act=beat_and_fail),
    "answers by token": answer_by_token,
    "process": run_in_process,
    # Local activities.
    "result of a local activity": lambda s, x: s.run(x, act=lambda text: text, flow=lambda t: Act(t).locally()),
    "local activity that raises": lambda s, x: s.run(
        x, act=lambda text: raise_it(ValueError(text)), flow=lambda t: Act(t).locally()
    ),
    "declared error of a local activity": lambda s, x: s.run(
        x, act=lambda text: raise_it(Declined(text)), flow=lambda t: Act(t).locally()
    ),
    "input of a local activity": lambda s, x: s.run(x, flow=lambda t: Act(cast("str", [t])).locally()),
    # Other steps.
    "side effect of another type": lambda s, x: s.run(x, flow=lambda t: side_effect(lambda: t, type=int)),
    "side effect that cannot be written": lambda s, x: s.run(x, flow=lambda t: side_effect(lambda: Revealing(t))),
    "side effect that is too long": lambda s, x: s.run(x, flow=lambda t: side_effect(lambda: [t] * 9_000)),
    "report": lambda s, x: s.run(x, flow=lambda t: set_state({"at": t})),
    "report that cannot be written": lambda s, x: s.run(x, flow=lambda t: set_state(Revealing(t))),
    "signal that does not decode": signal_raw,
    "signal of another type": lambda s, x: s.run(x, flow=lambda t: send("nobody", Note(cast("str", [t])))),
    "signal that nobody takes": lambda s, x: s.run(x, flow=lambda t: send("nobody", Note(t))),
    "input of a Lambda function that cannot be written": lambda s, x: s.run(
        x, flow=lambda t: invoke_lambda("resize", Revealing(t))
    ),
    # Mistakes in flows.
    "step that is returned": lambda s, x: s.run(x, flow=lambda t: sleep(0).map(lambda _: Act(t))),
    "value that is awaited": lambda s, x: s.run(x, flow=lambda t: t),
    "value among steps": lambda s, x: s.run(x, flow=lambda t: all_of([cast("Any", t), Act(t)])),
    "value that a function returns for a step": lambda s, x: s.run(
        x, flow=lambda t: Act(t).flat_map(lambda _: cast("Any", t))
    ),
    "truth of a step": lambda s, x: s.run(x, flow=lambda t: sleep(0) if Act(t) else sleep(1)),
    "value that is sent": lambda s, x: s.run(x, flow=lambda t: send("nobody", cast("Any", t))),
}

EXCEPTION_TEXTS = frozenset(
    {
        "exception of an activity",
        "exception of a flow",
        "heartbeats and retries",
        "answers by token",
        "process",
        "local activity that raises",
    }
)
"""Where an exception of the user's has the secret in its text, which logs show (docs/security.md)."""


@pytest.mark.parametrize("name", SCENARIOS)
@settings(max_examples=2, phases=[Phase.generate])
@given(secret=secrets, codec=st.sampled_from(CODECS))
def test_no_secret_reaches_the_service_or_a_log(name: str, secret: str, codec: Codec) -> None:
    with record_logs() as logs, open_stage() as stage:
        SCENARIOS[name](Scene(stage, codec), secret)
        sent = [(type(request).__name__, msgspec.json.encode(request).decode()) for request in stage.backend.sent]
    assert [(kind, text) for kind, text in sent if secret in text] == []
    if name not in EXCEPTION_TEXTS:
        assert [text for text in logs.texts if secret in text] == []
