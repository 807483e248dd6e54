"""The page as an ASGI application: its routes, and what each reads.

Each function of a route runs in a thread, because backends block. Errors of the service become messages within the
page: a service that refuses for a while is not a fault of the reader.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any, Final, cast
from urllib.parse import quote

import msgspec

from traction.backend import Backend
from traction.client.query import STATUSES, Query
from traction.client.task_lists import (
    READ_MAX,
    Kind,
    count_tasks,
    find_task_lists,
    list_activity_types,
    list_workflow_types,
)
from traction.client.visibility import find_execution
from traction.definitions.classes import Workflow
from traction.errors import (
    BackendError,
    DefinitionError,
    HistoryError,
    TractionError,
    UnknownResourceFault,
    ValidationException,
)
from traction.extras import needed_by
from traction.history.export import make_stored, write_stored
from traction.history.graphs.arrangement import read_overlay
from traction.history.graphs.svg import STYLE, write_svg
from traction.model.literals import RegistrationStatus
from traction.model.names import WorkflowExecution
from traction.payloads.codec import JSON, Codec
from traction.ui.events import read_event_page
from traction.ui.forms import Forms
from traction.ui.histories import Histories
from traction.ui.links import link
from traction.ui.lists import WITHIN, count_cheaply, read_filters, read_page, read_query
from traction.ui.live import LiveStreams
from traction.ui.marks import AttentionReader
from traction.ui.moments import list_failures, visit
from traction.ui.rendering import get_environment
from traction.ui.rows import list_rows, list_ticks
from traction.ui.safety import Guard, Receive, Scope, Send

with needed_by("the page"):
    from markupsafe import Markup
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import RedirectResponse, Response, StreamingResponse
    from starlette.routing import Route

ROWS_MAX: Final = 500
"""How many rows a timeline or a tree has on one page."""

GRAPH_NODES_MAX: Final = 20_000
"""A graph with more nodes, before shapes that repeat are folded, is not drawn."""

DOMAIN_COOKIE: Final = "traction-domain"
"""The cookie with the domain that a browser has chosen."""

STATIC: Final = {
    "style.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """What a page shows."""

    backend: Backend
    workflows: tuple[Callable[..., Workflow[Any]], ...] = ()
    """Definitions, by which the page shows lines, variables and awaited signals."""
    codec: Codec = JSON
    """Reads payloads, and writes those of signals."""
    may_write: bool = False
    """Whether the page may signal, cancel and terminate."""
    hosts: frozenset[str] = frozenset()
    """Names besides loopback names under which browsers may reach the page; `*` for any."""
    list_domains: Callable[[], list[str]] | None = None
    """The domains between which a browser may choose. What serves the page reads the choice from `DOMAIN_COOKIE`."""


class Page:
    """The page of a site: an ASGI application."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._backend = site.backend
        # Type checkers see decorated functions as functions; they are classes.
        self._workflows: tuple[type[Workflow[Any]], ...] = cast(Any, site.workflows)
        self._histories = Histories(site.backend)
        self._attention = AttentionReader(site.backend)
        self._live = LiveStreams()
        self._templates = get_environment()
        self._static = {name: files("traction.ui").joinpath(name).read_bytes() for name in STATIC}
        self._static["style.css"] += STYLE.encode()
        routes = [
            Route("/", self._show_list),
            Route("/execution", self._show_timeline),
            Route("/execution/tree", self._show_tree),
            Route("/execution/graph", self._show_graph),
            Route("/execution/events", self._show_events),
            Route("/execution/step", self._show_step),
            Route("/execution/download", self._download),
            Route("/tasks", self._show_tasks),
            Route("/types", self._show_types),
            Route("/domain", self._choose_domain),
            Route("/live/list", self._follow_list),
            Route("/live/execution", self._follow_execution),
            Route("/static/{name}", self._send_static),
        ]
        if site.may_write:
            forms = Forms(site.backend, self._histories, self._workflows, site.codec, os.urandom(32), self._render)
            routes += forms.list_routes()
        handlers: Any = {
            HTTPException: self._show_status,
            UnknownResourceFault: self._show_unknown,
            DefinitionError: self._show_mistake,
            ValidationException: self._show_mistake,
            BackendError: self._show_fault,
            TractionError: self._show_broken,
        }
        self._app = Guard(Starlette(routes=routes, exception_handlers=handlers), site.hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)

    def close(self) -> None:
        """End the live streams. Idempotent."""
        self._live.close()

    # Lists.

    def _show_list(self, request: Request) -> Response:
        parameters = request.query_params
        filters = read_filters(parameters)
        now = self._backend.now()
        query = read_query(filters, now)
        page = read_page(self._backend, query, parameters)
        notes: list[str] = []
        try:
            count = count_cheaply(self._backend, query) if page.is_first else None
        except BackendError as error:
            count = None
            notes.append(f"SWF did not count: {error}")
        marks, is_complete = self._attention.read(page.executions)
        if not is_complete:
            notes.append("Not every open execution was checked for being stuck: SWF limits the rate of reads.")
        return self._render(
            request,
            "list.html",
            page=page,
            filters=filters,
            count=count,
            marks=marks,
            notes=notes,
            statuses=STATUSES,
            withins=WITHIN,
            now=now,
            live=link("/live/list", **filters, seen=page.digest) if page.is_first else "",
        )

    # Executions.

    def _find(self, parameters: Mapping[str, str]) -> WorkflowExecution:
        workflow_id, run_id = parameters.get("id", ""), parameters.get("run", "")
        if not workflow_id:
            raise DefinitionError("the address names no execution: it needs ?id=WORKFLOW_ID")
        if run_id:
            return WorkflowExecution(workflow_id, run_id)
        return find_execution(self._backend, workflow_id)

    def _show_execution(self, request: Request, template: str, tab: str, **more: Any) -> Response:
        parameters = request.query_params
        execution = self._find(parameters)
        if not parameters.get("run"):
            at = {name: text for name, text in parameters.items() if name not in ("id", "run")}
            url = link(request.url.path, id=execution.workflow_id, run=execution.run_id, **at)
            return RedirectResponse(url, 302)
        events = self._histories.read(execution)
        seen = visit(
            self._backend,
            execution,
            events,
            event_id=_read_number(parameters, "at"),
            workflows=self._workflows,
            codec=self._site.codec,
        )
        base = {"id": execution.workflow_id, "run": execution.run_id}
        if not seen.is_last:
            base["at"] = str(seen.event_id)
        is_open = seen.view.status == "OPEN" and seen.is_last
        live = link("/live/execution", id=base["id"], run=base["run"], seen=seen.events) if is_open else ""
        context: dict[str, Any] = {
            "visit": seen,
            "view": seen.view,
            "now": seen.view.until,
            "base": base,
            "tab": tab,
            "live": live,
        }
        context["done"] = parameters.get("done", "")
        for name, make in more.items():
            context[name] = make(seen, events, parameters)
        return self._render(request, template, **context)

    def _show_timeline(self, request: Request) -> Response:
        return self._show_execution(
            request,
            "timeline.html",
            "timeline",
            rows=_page_rows,
            ticks=lambda seen, *_: list_ticks(seen.view),
            failures=lambda seen, *_: list_failures(seen.view),
        )

    def _show_tree(self, request: Request) -> Response:
        return self._show_execution(request, "tree.html", "tree", rows=_page_rows)

    def _show_graph(self, request: Request) -> Response:
        return self._show_execution(request, "graph.html", "graph", graph=self._draw)

    def _draw(self, seen: Any, events: Any, _parameters: Any) -> Markup | str:
        """Return the drawing, or why there is none."""
        codec = None if self._site.codec is JSON else self._site.codec
        graph, overlay = read_overlay(events[: seen.event_id], codec=codec)
        if len(graph.nodes) > GRAPH_NODES_MAX:
            return f"The graph has {len(graph.nodes):,} nodes, which are too many to draw here."
        text = f"The path of {seen.view.workflow_id} through its flow, with the state of each step."
        return Markup(write_svg(graph, overlay, description=text, style=""))

    def _show_events(self, request: Request) -> Response:
        return self._show_execution(
            request,
            "events.html",
            "events",
            found=lambda seen, events, parameters: read_event_page(
                events[: seen.event_id], parameters, self._site.codec
            ),
        )

    def _show_step(self, request: Request) -> Response:
        def find_step(seen: Any, _events: Any, parameters: Mapping[str, str]) -> Any:
            wanted = parameters.get("step", "")
            for step in seen.view.walk():
                if step.id == wanted and not step.steps:
                    return step
            raise UnknownResourceFault(f"the execution has no step {wanted!r:.200} at event {seen.event_id}")

        return self._show_execution(request, "step.html", "", step=find_step)

    def _download(self, request: Request) -> Response:
        execution = self._find(request.query_params)
        text = write_stored(make_stored(self._histories.read(execution), execution))
        headers = {"content-disposition": 'attachment; filename="history.json"'}
        return Response(text, media_type="application/json", headers=headers)

    # Task lists and types.

    def _show_tasks(self, request: Request) -> Response:
        wanted = request.query_params.get("list", "").strip()
        lists: set[tuple[str, Kind]] = {(wanted, "decision"), (wanted, "activity")}
        if not wanted:
            lists = find_task_lists(self._backend, Query(status="OPEN"), read=self._histories.read)
        counts, notes = [], []
        for name, kind in sorted(lists):
            try:
                counted = count_tasks(self._backend, name, kind)
            except UnknownResourceFault:
                continue
            except BackendError as error:
                if not error.retryable:
                    raise
                notes.append(f"The tasks of {name} were not counted: {error}")
                continue
            counts.append({"name": name, "kind": kind, "count": counted.count, "truncated": counted.truncated})
        context: dict[str, Any] = {"wanted": wanted, "counts": counts, "notes": notes, "read_max": READ_MAX}
        return self._render(request, "tasks.html", **context)

    def _show_types(self, request: Request) -> Response:
        return self._render(request, "types.html", types=[*list_types(self._backend)])

    def _choose_domain(self, request: Request) -> Response:
        name = request.query_params.get("name", "")
        if self._site.list_domains is None or name not in self._site.list_domains():
            raise UnknownResourceFault(f"there is no domain {name!r:.300}")
        response = RedirectResponse("/", 303)
        response.set_cookie(DOMAIN_COOKIE, quote(name, safe=""), httponly=True, samesite="strict")
        return response

    # Streams.

    def _follow_execution(self, request: Request) -> Response:
        execution = self._find(request.query_params)
        seen = request.query_params.get("seen", "")
        self._histories.read_last(execution)
        return self._follow(lambda: str(self._histories.read_last(execution).event_id), seen)

    def _follow_list(self, request: Request) -> Response:
        filters = read_filters(request.query_params)
        query = read_query(filters, self._backend.now())

        def look() -> str:
            return read_page(self._backend, query, {}).digest

        return self._follow(look, request.query_params.get("seen", ""))

    def _follow(self, look: Any, seen: str) -> Response:
        if self._live.is_full:
            return Response("too many live pages are open", 503, media_type="text/plain")
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(self._live.follow(look, seen), media_type="text/event-stream", headers=headers)

    # The rest.

    def _send_static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            raise HTTPException(404)
        return Response(self._static[name], headers={"content-type": STATIC[name], "cache-control": "no-cache"})

    def _render(self, request: Request, template: str, status: int = 200, **context: Any) -> Response:
        context = {"live": "", "path": request.url.path} | context
        text = self._templates.get_template(template).render(
            **context,
            url=self._backend.url,
            domain=self._backend.domain,
            domains=[] if self._site.list_domains is None else self._site.list_domains(),
            may_write=self._site.may_write,
            needs_definitions=not self._site.workflows,
        )
        # Others may have written lone surrogates, which UTF-8 does not have.
        content = text.encode("utf-8", "replace")
        return Response(content, status, media_type="text/html", headers={"content-type": "text/html; charset=utf-8"})

    def _show_message(self, request: Request, status: int, title: str, text: str, *, again: bool = False) -> Response:
        response = self._render(request, "message.html", status, title=title, text=text, again=again)
        if again:
            response.headers["retry-after"] = "5"
            response.headers["refresh"] = "5"
        return response

    def _show_status(self, request: Request, error: HTTPException) -> Response:
        text = f"{request.method} {request.url.path}: {error.detail}"
        response = self._show_message(request, error.status_code, "Not found", text)
        response.headers.update(error.headers or {})
        return response

    def _show_unknown(self, request: Request, error: UnknownResourceFault) -> Response:
        return self._show_message(request, 404, "Not found", str(error))

    def _show_mistake(self, request: Request, error: TractionError) -> Response:
        return self._show_message(request, 400, "The address is wrong", str(error))

    def _show_fault(self, request: Request, error: BackendError) -> Response:
        if error.retryable:
            return self._show_message(request, 503, "The service is busy", str(error), again=request.method == "GET")
        return self._show_message(request, 502, "The service refused", str(error))

    def _show_broken(self, request: Request, error: HistoryError) -> Response:
        return self._show_message(request, 500, "This cannot be shown", str(error))


def list_types(backend: Backend) -> list[dict[str, Any]]:
    """Return the registered and deprecated types by name and version, workflows first."""
    found: list[dict[str, Any]] = []
    statuses: tuple[RegistrationStatus, ...] = ("REGISTERED", "DEPRECATED")
    for status in statuses:
        infos: list[tuple[str, Any, Any]] = [
            *(("workflow", one.workflow_type, one) for one in list_workflow_types(backend, status)),
            *(("activity", one.activity_type, one) for one in list_activity_types(backend, status)),
        ]
        found += (
            {
                "kind": kind,
                "name": type.name,
                "version": type.version,
                "status": info.status,
                "created_at": info.creation_date,
                "deprecated_at": info.deprecation_date,
                "description": info.description,
            }
            for kind, type, info in infos
        )
    return sorted(found, key=lambda one: (one["kind"] == "activity", one["name"], one["version"]))


def _read_number(parameters: Mapping[str, str], name: str) -> int | None:
    text = parameters.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _page_rows(seen: Any, _events: Any, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Return the rows of one page, and where the pages before and after begin."""
    unfolded = parameters.get("unfold", "")
    awaits = [(each.step, each.waits_for.partition(" ")[2]) for each in seen.awaits]
    rows = list_rows(seen.view, unfolded, awaits)
    begin = min(_read_number(parameters, "from") or 0, max(len(rows) - 1, 0))
    return {
        "shown": rows[begin : begin + ROWS_MAX],
        "begin": begin,
        "count": len(rows),
        "before": max(begin - ROWS_MAX, 0) if begin else None,
        "after": begin + ROWS_MAX if begin + ROWS_MAX < len(rows) else None,
        "unfolded": unfolded,
    }
