"""The fixture of the tests of the simulated service: a service whose clock the test advances.

The tests send requests and check responses, histories and faults by SWF's codes and messages. Each runs three times:
with the service in this process, with a service in a file that is opened again, and over HTTP with boto3.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import boto3
import msgspec
import pytest
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError

from traction.errors import ServiceFault
from traction.model import operations as o
from traction.model.decisions import Decision
from traction.model.events import BaseEvent, Event
from traction.model.limits import Limits
from traction.model.names import ActivityType, TaskList, WorkflowExecution, WorkflowType
from traction_local.backend import LocalBackend
from traction_local.journal import JournaledService
from traction_local.server.app import make_app, serving_app
from traction_local.service.knobs import Knobs, LambdaCall, LambdaOutcome
from traction_local.service.service import Service
from traction_local.virtual_clock import VirtualClock
from traction_swf import wire

T = TypeVar("T")

BEGIN = datetime(2024, 2, 29, 12, 0, 0, tzinfo=UTC)
WORKFLOW = WorkflowType("trip", "1")
ACTIVITY = ActivityType("book", "1")
DECIDERS = TaskList("deciders")
WORKERS = TaskList("workers")

Line = tuple[int, str, dict[str, Any]]


def line(event_id: int, type: str, /, **attributes: Any) -> Line:
    """Return an event as tests write it."""
    return event_id, type, attributes


class Swf:
    """A service with a domain `d`, a workflow type and an activity type that have all defaults."""

    def __init__(self, service: Service, now: datetime = BEGIN) -> None:
        self.now = now
        self._service = service

    def call(self, request: o.Request[T]) -> T:
        return self._service.call(request, self.now)

    def advance(self, seconds: float = 0) -> None:
        """Let time pass; what is due meanwhile happens."""
        self.now += timedelta(seconds=seconds)
        self._service.advance(self.now)

    def refuse(self, request: o.Request[Any]) -> tuple[str, str]:
        """Make a call that must fail: the fault's code and message."""
        with pytest.raises(ServiceFault) as caught:
            self.call(request)
        return caught.value.code, str(caught.value)

    def register(self) -> None:
        self.call(o.RegisterDomain(name="d", workflow_execution_retention_period_in_days="7"))
        self.register_workflow_type(WORKFLOW)
        self.register_activity_type(ACTIVITY)

    def register_workflow_type(self, type: WorkflowType, **given: Any) -> None:
        defaults: dict[str, Any] = {
            "default_task_list": DECIDERS,
            "default_execution_start_to_close_timeout": "3600",
            "default_task_start_to_close_timeout": "60",
            "default_child_policy": "TERMINATE",
        }
        self.call(o.RegisterWorkflowType(domain="d", name=type.name, version=type.version, **(defaults | given)))

    def register_activity_type(self, type: ActivityType, **given: Any) -> None:
        defaults: dict[str, Any] = {
            "default_task_list": WORKERS,
            "default_task_schedule_to_start_timeout": "300",
            "default_task_schedule_to_close_timeout": "900",
            "default_task_start_to_close_timeout": "600",
            "default_task_heartbeat_timeout": "NONE",
        }
        self.call(o.RegisterActivityType(domain="d", name=type.name, version=type.version, **(defaults | given)))

    def start(self, workflow_id: str = "w", type: WorkflowType = WORKFLOW, **given: Any) -> WorkflowExecution:
        run = self.call(o.StartWorkflowExecution(domain="d", workflow_id=workflow_id, workflow_type=type, **given))
        assert run.run_id is not None
        return WorkflowExecution(workflow_id, run.run_id)

    def poll(self, task_list: str = "deciders", **given: Any) -> o.DecisionTask:
        return self.call(o.PollForDecisionTask(domain="d", task_list=TaskList(task_list), **given))

    def work(self, task_list: str = "workers", **given: Any) -> o.ActivityTask:
        return self.call(o.PollForActivityTask(domain="d", task_list=TaskList(task_list), **given))

    def respond(self, task: o.DecisionTask, *decisions: Decision, **given: Any) -> None:
        self.call(o.RespondDecisionTaskCompleted(task_token=task.task_token, decisions=decisions, **given))

    def decide(self, *decisions: Decision, task_list: str = "deciders", **given: Any) -> o.DecisionTask:
        """Take the next decision task and answer it. Effects come with the next call or `advance`."""
        task = self.poll(task_list)
        assert task.task_token, f"no decision task on {task_list}"
        self.respond(task, *decisions, **given)
        return task

    def signal(self, execution: WorkflowExecution, name: str = "poke", **given: Any) -> None:
        self.call(o.SignalWorkflowExecution(domain="d", workflow_id=execution.workflow_id, signal_name=name, **given))

    def describe(self, execution: WorkflowExecution) -> o.WorkflowExecutionDetail:
        return self.call(o.DescribeWorkflowExecution(domain="d", execution=execution))

    def history(self, execution: WorkflowExecution) -> list[Event]:
        """All events so far, every page of them."""
        events: list[Event] = []
        token: str | None = None
        while True:
            page = self.call(o.GetWorkflowExecutionHistory(domain="d", execution=execution, next_page_token=token))
            events.extend(page.events)
            token = page.next_page_token
            if token is None:
                return events

    def types(self, execution: WorkflowExecution, since: int = 1) -> list[str]:
        """The types of the events from an id on."""
        return [type(event).__name__ for event in self.history(execution)[since - 1 :]]

    def lines(self, execution: WorkflowExecution, since: int = 1) -> list[Line]:
        """The events from an id on: id, type, and the attributes that are there."""
        return [tell(event) for event in self.history(execution)[since - 1 :]]

    def last(self, execution: WorkflowExecution) -> Line:
        return tell(self.history(execution)[-1])

    def seconds(self, execution: WorkflowExecution) -> list[float]:
        """When each event came, in seconds since the first."""
        events = self.history(execution)
        return [(event.event_timestamp - events[0].event_timestamp).total_seconds() for event in events]

    def find(self, execution: WorkflowExecution, name: str) -> dict[str, Any]:
        """The attributes of the last event of a type."""
        return [tell(event) for event in self.history(execution) if type(event).__name__ == name][-1][2]


def tell(event: BaseEvent) -> Line:
    names = (name for name in event.__struct_fields__ if name not in ("event_id", "event_timestamp"))
    attributes = {name: value for name in names if (value := getattr(event, name)) is not None}
    return event.event_id, type(event).__name__, attributes


class HttpSwf(Swf):
    """The same, asked over HTTP. What botocore refuses to send is sent without it."""

    def __init__(self, service: Service, limits: Limits, site: Site) -> None:
        super().__init__(service)
        self._site = site
        self._clock = VirtualClock(BEGIN)
        self._key = site.open(LocalBackend(service, limits=limits, clock=self._clock, pace=0), self._clock)

    def call(self, request: o.Request[T]) -> T:
        operation = type(request)
        return self._site.call(self._key, operation, wire.to_plain(request))

    def advance(self, seconds: float = 0) -> None:
        self.now += timedelta(seconds=seconds)
        if seconds < 0:
            # No request does that. A machine's clock may be set back nevertheless.
            self._clock.time = self.now
            seconds = 0
        status, body = self._site.post(self._key, "/_traction/advance", {}, msgspec.json.encode({"seconds": seconds}))
        assert (status, msgspec.json.decode(body, type=dict[str, datetime | None])["now"]) == (200, self.now)


class Site:
    """One server for all services of a test run. A header selects the service."""

    HEADER = "x-service"

    def __init__(self) -> None:
        self._apps: dict[str, Any] = {}
        self._idle = LocalBackend(Service())
        self._client: Any = None
        self._connection: http.client.HTTPConnection | None = None
        self._key = ""

    def open(self, backend: LocalBackend, clock: VirtualClock) -> str:
        """Put a backend on the site, with a clock of its own that stands still."""
        key = str(len(self._apps))
        self._apps[key] = (make_app(backend, clock=clock, wait=timedelta(0)), backend)
        return key

    def close(self) -> None:
        """End the services that are on the site."""
        for _, backend in self._apps.values():
            backend.close()
        self._apps.clear()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        app, _ = self._apps[dict(scope["headers"])[self.HEADER.encode()].decode()]
        await app(scope, receive, send)

    def call(self, key: str, operation: type[o.Request[T]], plain: dict[str, Any]) -> T:
        self._key = key
        try:
            answer = getattr(self._client, xform_name(operation.__name__))(**plain)
        except ParamValidationError:
            return self._call_without_boto(operation, plain)
        except ClientError as error:
            fault = error.response["Error"]
            raise wire.FAULTS[fault["Code"]](fault["Message"]) from None
        return wire.read_response(operation, answer)

    def _call_without_boto(self, operation: type[o.Request[T]], plain: dict[str, Any]) -> T:
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"SimpleWorkflowService.{operation.__name__}",
        }
        status, body = self.post(self._key, "/", headers, msgspec.json.encode(plain))
        if status != 200:
            fault = wire.decode_fault(body)
            assert fault is not None, body
            raise fault
        return wire.decode_response(operation, body)

    def post(self, key: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        # The server closes a connection that is idle for some seconds. One that broke must be opened again.
        for is_kept in (True, False):
            try:
                return self._post(path, headers | {self.HEADER: key}, body)
            except BaseException as error:
                assert self._connection is not None
                self._connection.close()
                if not is_kept or not isinstance(error, ConnectionError):
                    raise
        raise AssertionError("the loop returns or raises")

    def _post(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        assert self._connection is not None
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        return response.status, response.read()

    @contextmanager
    def serve(self) -> Iterator[Site]:
        """Serve while the body runs."""
        with serving_app(self, self._idle) as url:
            self._connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
            self._client = make_client(url)
            self._client.meta.events.register("before-send.swf", self._say_which)
            yield self
            self._connection.close()
            self._client.close()

    def _say_which(self, request: Any, **_: Any) -> None:
        request.headers[self.HEADER] = self._key


def make_client(url: str) -> Any:
    """Make a boto3 client as any program would; it tries nothing twice."""
    return boto3.client(
        "swf",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="nobody",
        aws_secret_access_key="nothing",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=70),
    )


@pytest.fixture(scope="session")
def served_site() -> Iterator[Site]:
    with Site().serve() as site:
        yield site


@pytest.fixture
def site(served_site: Site) -> Iterator[Site]:
    yield served_site
    served_site.close()


MakeSwf = Callable[..., Swf]


@pytest.fixture(params=["in process", "in a file", "over HTTP"])
def make_swf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeSwf]:
    """Make services with other limits, knobs or Lambda functions."""
    site: Site | None = request.getfixturevalue("site") if request.param == "over HTTP" else None
    in_a_file = request.param == "in a file"
    files: list[tuple[JournaledService, dict[str, Any]]] = []

    def make(
        limits: Limits | None = None,
        knobs: Knobs | None = None,
        lambdas: Callable[[LambdaCall], LambdaOutcome] | None = None,
    ) -> Swf:
        given: dict[str, Any] = {"limits": limits or Limits(), "knobs": knobs or Knobs(), "lambdas": lambdas}
        if in_a_file:
            service: Service = JournaledService(tmp_path / f"{len(files)}.db", **given)
            files.append((service, given))
        else:
            service = Service(**given)
        swf = Swf(service) if site is None else HttpSwf(service, given["limits"], site)
        swf.register()
        return swf

    yield make
    for service, given in files:
        service.close()
        again = JournaledService(service.path, **given)
        again.close()
        assert tell_state(again) == tell_state(service), "the file was read otherwise than it was written"


def tell_state(service: Service) -> tuple[Any, ...]:
    """All that a service could be asked for."""
    runs = service._region.by_stem
    histories = {run.execution: tuple(run.events) for run in runs.values()}
    return service.clock, service.revision, service.next_alarm(), histories


@pytest.fixture
def swf(make_swf: MakeSwf) -> Swf:
    return make_swf()
