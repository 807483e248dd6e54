"""The routes that act: a form, a page that asks for confirmation and names the execution, and the request itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qsl

from traction.backend import Backend
from traction.client.looking import make_view
from traction.errors import DefinitionError, PayloadError, UnknownResourceFault
from traction.extras import needed_by
from traction.history.escaping import escape
from traction.model.names import WorkflowExecution
from traction.payloads.codec import Codec
from traction.ui.acting import ACTIONS, Action, act, list_signal_forms, read_signal
from traction.ui.histories import Histories
from traction.ui.links import link
from traction.ui.safety import is_token, make_token

with needed_by("the page"):
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import RedirectResponse, Response
    from starlette.routing import Route

BODY_BYTES_MAX: Final = 256 * 1024
"""The most bytes of a form. SWF's payloads are shorter, unless a store has them."""

log = logging.getLogger("traction.ui")


class Forms:
    """The forms of a page that may act.

    Args:
        backend: where they act.
        histories: reads the executions.
        workflows: definitions, for the signals that flows await.
        codec: writes the payloads of signals.
        secret: what makes the tokens of forms.
        render: returns the response of a template.
    """

    def __init__(
        self,
        backend: Backend,
        histories: Histories,
        workflows: tuple[Any, ...],
        codec: Codec,
        secret: bytes,
        render: Callable[..., Response],
    ) -> None:
        self._backend, self._histories, self._workflows = backend, histories, workflows
        self._codec, self._secret, self._render = codec, secret, render

    def list_routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/execution/act/{action}", self._ask),
            Route("/execution/act/{action}", self._post, methods=["POST"]),
        ]

    def _ask(self, request: Request) -> Response:
        """Show the form of a signal, or the confirmation of another action."""
        action = _find_action(request)
        execution = _read_execution(dict(request.query_params))
        if action == "signal":
            return self._show_signals(request, execution, {}, "")
        return self._confirm(request, execution, action)

    async def _post(self, request: Request) -> Response:
        action = _find_action(request)
        form = await _read_form(request)
        return await run_in_threadpool(self._handle, request, action, form)

    def _handle(self, request: Request, action: Action, form: dict[str, str]) -> Response:
        execution = _read_execution(form)
        if not is_token(form.get("token", ""), self._secret, action, execution.workflow_id, execution.run_id):
            raise HTTPException(403, "the form is not of this page, or of an earlier process: load the page again")
        try:
            if action == "signal" and form.get("confirmed") != "yes":
                return self._confirm(request, execution, action, signal=read_signal(form))
            act(self._backend, execution, action, form, self._codec)
        except (DefinitionError, PayloadError) as error:
            if action != "signal":
                raise
            return self._show_signals(request, execution, form, str(error))
        except UnknownResourceFault as error:
            return self._render(request, "message.html", 409, title="Not open", text=str(error), again=False)
        log.info("%s of %s, run %s", action, escape(execution.workflow_id), escape(execution.run_id))
        url = link("/execution", id=execution.workflow_id, run=execution.run_id, done=action)
        return RedirectResponse(url, 303)

    def _show_signals(
        self, request: Request, execution: WorkflowExecution, form: dict[str, str], error: str
    ) -> Response:
        view = self._read(execution)
        return self._render(
            request,
            "signal.html",
            422 if error else 200,
            view=view,
            forms=list_signal_forms(view, form),
            form=form,
            error=error,
            token=self._make_token("signal", execution),
        )

    def _confirm(self, request: Request, execution: WorkflowExecution, action: Action, **more: Any) -> Response:
        view = self._read(execution)
        token = self._make_token(action, execution)
        return self._render(request, "confirm.html", view=view, action=action, token=token, **{"signal": None} | more)

    def _read(self, execution: WorkflowExecution) -> Any:
        events = self._histories.read(execution)
        return make_view(events, execution, self._backend.now(), self._workflows, self._codec)

    def _make_token(self, action: Action, execution: WorkflowExecution) -> str:
        return make_token(self._secret, action, execution.workflow_id, execution.run_id)


def _find_action(request: Request) -> Action:
    for action in ACTIONS:
        if request.path_params["action"] == action:
            return action
    raise HTTPException(404)


def _read_execution(fields: dict[str, str]) -> WorkflowExecution:
    if not fields.get("id") or not fields.get("run"):
        raise DefinitionError("the form names no execution: it needs a workflow id and a run id")
    return WorkflowExecution(fields["id"], fields["run"])


async def _read_form(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise HTTPException(413, f"a form has at most {BODY_BYTES_MAX:,} bytes")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=200))
    except ValueError as error:
        raise HTTPException(400, f"the form cannot be read: {error}") from None
