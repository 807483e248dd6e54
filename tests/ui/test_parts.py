"""The parts of the page: histories kept in memory, pages of lists, marks, and messages of the service."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.ui import shop
from traction import Client
from traction.errors import ThrottlingException, UnknownResourceFault
from traction.history.reading import read_execution
from traction.model import events as e
from traction.model.names import TaskList, WorkflowExecution
from traction.testing import simulate
from traction.ui import Page, Site
from traction.ui.histories import Histories
from traction.ui.links import link
from traction.ui.lists import PAGE
from traction.ui.marks import find_attention
from traction.ui.rows import list_rows, list_ticks
from traction_local.backend import LocalBackend
from traction_local.plugin import open_local


class CountingBackend(LocalBackend):
    """Counts the requests by their names, and refuses those that a test names."""

    def __init__(self, backend: LocalBackend) -> None:
        self.__dict__.update(backend.__dict__)
        self.requests: list[str] = []
        self.refused: set[str] = set()

    def call(self, request: Any, wait: timedelta | None = None) -> Any:
        name = type(request).__name__
        self.requests.append(name)
        if name in self.refused:
            raise ThrottlingException("Rate exceeded")
        return super().call(request, wait)


@pytest.fixture
def backend() -> Iterator[CountingBackend]:
    backend = CountingBackend(open_local())
    yield backend
    backend.close()


def browse(backend: LocalBackend, **options: Any) -> TestClient:
    return TestClient(Page(Site(backend=backend, **options)), base_url="http://localhost", follow_redirects=False)


def start(backend: LocalBackend, id: str) -> WorkflowExecution:
    return Client(backend=backend).start(shop.Idle(), workflow_id=id).execution


# Histories.


def test_kept_histories_equal_those_of_the_backend(backend: CountingBackend) -> None:
    execution = start(backend, "idle-1")
    client = Client(backend=backend)
    histories = Histories(backend)
    for count in (0, 1, 150, 2):
        for number in range(count):
            client.get_handle(execution).send(shop.Approve(by=str(number)))
        assert list(histories.read(execution)) == backend.get_history(execution)
    client.get_handle(execution).terminate()
    assert list(histories.read(execution)) == backend.get_history(execution)
    backend.requests.clear()
    histories.read(execution)
    assert backend.requests == []


def test_an_execution_without_news_costs_one_request(backend: CountingBackend) -> None:
    execution = start(backend, "idle-1")
    histories = Histories(backend)
    histories.read(execution)
    backend.requests.clear()
    histories.read(execution)
    assert backend.requests == ["GetWorkflowExecutionHistory"]


def test_the_oldest_histories_are_dropped_beyond_a_number_of_events(backend: CountingBackend) -> None:
    first, second = start(backend, "idle-1"), start(backend, "idle-2")
    histories = Histories(backend, events_max=3)
    Client(backend=backend).get_handle(first).terminate()
    histories.read(first)
    histories.read(second)
    backend.requests.clear()
    assert list(histories.read(first)) == backend.get_history(first)
    assert len(backend.requests) == 2
    with pytest.raises(UnknownResourceFault):
        histories.read(WorkflowExecution("idle-1", "unknown"))


# Lists.


def test_the_pages_of_a_list_have_each_execution_once(backend: CountingBackend) -> None:
    ids = [f"idle-{number}" for number in range(2 * PAGE + 7)]
    for id in ids:
        start(backend, id)
    client = browse(backend)
    found: list[str] = []
    address, costs = "/?status=open", []
    while address:
        backend.requests.clear()
        page = client.get(address).text
        found += re.findall(r'<a href="/execution\?[^"]*"><code>([^<]+)</code>', page)
        costs.append(backend.requests.count("ListOpenWorkflowExecutions"))
        older = re.search(r'href="([^"]+)" rel="next"', page)
        address = older[1].replace("&amp;", "&") if older else ""
    assert found == sorted(ids, key=ids.index, reverse=True)
    assert len(costs) == 3
    assert max(costs) <= 2


def test_marks_are_kept_for_some_seconds(backend: CountingBackend) -> None:
    start(backend, "idle-1")
    client = browse(backend)
    client.get("/")
    backend.requests.clear()
    client.get("/")
    assert "GetWorkflowExecutionHistory" not in backend.requests


# Marks.


def make_task_events(*kinds: str) -> list[e.Event]:
    """Return the events of decision tasks, a second apart, from their short names."""
    backend = open_local()
    begun = backend.now()
    events: list[e.Event] = []
    for number, kind in enumerate(kinds, start=1):
        common: dict[str, Any] = {"event_id": number, "event_timestamp": begun + timedelta(seconds=number)}
        match kind:
            case "scheduled":
                events.append(e.DecisionTaskScheduled(**common, task_list=TaskList("late")))
            case "started":
                events.append(e.DecisionTaskStarted(**common, scheduled_event_id=number - 1))
            case "completed":
                ids = {"scheduled_event_id": number - 2, "started_event_id": number - 1}
                events.append(e.DecisionTaskCompleted(**common, **ids))
            case "timed out":
                ids = {"scheduled_event_id": number - 2, "started_event_id": number - 1}
                events.append(e.DecisionTaskTimedOut(**common, **ids, timeout_type="START_TO_CLOSE"))
    backend.close()
    return events


TASK = ("scheduled", "started")


@pytest.mark.parametrize(
    ("kinds", "waited", "kind"),
    [
        ((*TASK, "timed out", *TASK, "timed out"), 0, "stuck"),
        ((*TASK, "timed out", *TASK, "timed out", "scheduled"), 60, "stuck"),
        ((*TASK, "timed out", *TASK, "timed out", *TASK, "completed"), 60, ""),
        ((*TASK, "timed out", *TASK, "completed", *TASK, "timed out"), 60, ""),
        (("scheduled",), 60, "unworked"),
        (("scheduled",), 1, ""),
        (TASK, 60, ""),
    ],
)
def test_the_newest_events_show_what_needs_attention(kinds: tuple[str, ...], waited: int, kind: str) -> None:
    events = make_task_events(*kinds)
    assert find_attention(events, events[-1].event_timestamp + timedelta(seconds=waited)).kind == kind


# A service that is busy.


def test_a_busy_service_is_a_message_and_is_asked_again(backend: CountingBackend) -> None:
    execution = start(backend, "idle-1")
    client = browse(backend)
    backend.refused = {"ListOpenWorkflowExecutions", "GetWorkflowExecutionHistory"}
    for address in ("/", link("/execution", id="idle-1", run=execution.run_id)):
        answer = client.get(address)
        assert answer.status_code == 503
        assert answer.headers["refresh"] == "5"
        assert "The service is busy" in answer.text
        assert "Rate exceeded" in answer.text
        assert "<h1>" in answer.text


@pytest.mark.parametrize("refused", ["CountOpenWorkflowExecutions", "GetWorkflowExecutionHistory"])
def test_a_list_shows_what_it_has_while_the_service_is_busy(backend: CountingBackend, refused: str) -> None:
    start(backend, "idle-1")
    backend.refused = {refused}
    answer = browse(backend).get("/?status=open")
    assert answer.status_code == 200
    assert "idle-1" in answer.text
    assert 'class="note"' in answer.text


def test_task_lists_that_were_not_counted_are_reported(backend: CountingBackend) -> None:
    backend.refused = {"CountPendingDecisionTasks"}
    answer = browse(backend).get("/tasks?list=nobody")
    assert answer.status_code == 200
    assert "were not counted" in answer.text


# Rows.


@pytest.fixture(scope="module")
def fan_out() -> list[e.Event]:
    return list(simulate(shop.pack_all(2_000)).history)


def test_two_thousand_branches_have_few_rows(fan_out: list[e.Event]) -> None:
    middle = next(n for n, one in enumerate(fan_out) if isinstance(one, e.ActivityTaskCompleted)) + 500
    # In the middle, not all branches are scheduled: a decision task schedules a part of them at once.
    for events, branches in ((fan_out, 2_000), (fan_out[:middle], 50)):
        view = read_execution(events)
        rows = list_rows(view)
        assert len(rows) < 40
        (fold,) = (row for row in rows if row.fold is not None)
        assert sum(int(number.replace(",", "")) for number in re.findall(r"[\d,]+", fold.note)) >= branches
        assert all(0 <= mark.x <= 100 and mark.x + mark.width <= 100.01 for row in rows for mark in row.marks)
        assert fold.fold is not None
        assert len(list_rows(view, fold.fold.of)) >= branches


def test_the_axis_has_few_lines_for_any_span(fan_out: list[e.Event]) -> None:
    view = read_execution(fan_out)
    for seconds in (0, 0.001, 0.5, 3, 70, 4_000, 90_000, 10**7, 10**9):
        until = view.started_at + timedelta(seconds=seconds)
        ticks = list_ticks(read_execution(fan_out[:3], until=until))
        assert len(ticks) <= 5
        assert all(0 < tick.x < 90 for tick in ticks)
