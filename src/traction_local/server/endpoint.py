"""SWF's JSON protocol over ASGI."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID

import msgspec

from traction.errors import BackendError, InternalFailure, ServiceFault, UnknownOperationException, ValidationException
from traction.model import operations as o
from traction.model.decisions import CompleteWorkflowExecution
from traction.ui.trusted_hosts import find_refusal
from traction_local.backend import LocalBackend, Waiter
from traction_local.server.held_polls import HeldPolls, settle
from traction_local.server.request_body import ClientGone, Headers, Receive, Refusal, read_body
from traction_local.service.rules import format_violation
from traction_local.service.validation import CLOSE_NOT_LAST, DECISION_TYPES, Validator, get_validator, make_invalid
from traction_swf import forms, wire

log = logging.getLogger("traction.server")


Scope: TypeAlias = MutableMapping[str, Any]


Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


CONTENT_TYPES = frozenset({b"application/x-amz-json-1.0", b"application/x-amz-json-1.1", b"application/json"})
"""The content types that clients send. Responses have `application/json`, as recorded."""


_NEVER_TAKEN = (CompleteWorkflowExecution(), CompleteWorkflowExecution())


def check_client(headers: dict[bytes, bytes], allowed: frozenset[str]) -> None:
    """Refuse a request with an untrusted `Host` or `Origin`."""
    if (refusal := find_refusal(headers, allowed)) is not None:
        raise Refusal(403, "AccessDeniedException", refusal)


# The operations.


class SwfEndpoint:
    """`POST /`: the 39 operations."""

    def __init__(self, backend: LocalBackend, hosts: frozenset[str], wait: timedelta, held: HeldPolls) -> None:
        self._backend = backend
        self._held = held
        self._hosts = hosts
        self._wait = wait.total_seconds()
        self._validator = get_validator(backend.limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        status = 200
        more: Headers = ()
        try:
            body = await self._answer(scope, headers, receive)
        except ClientGone:
            return
        except Refusal as refusal:
            status, more, body = refusal.status, refusal.headers, wire.encode_fault(refusal.code, str(refusal))
        except ServiceFault as fault:
            status, more, body = describe_fault(fault)
        except BackendError as error:
            log.error("request failed: %s", error)
            status, body = 503, wire.encode_fault("ServiceUnavailable", str(error))
        except Exception:
            log.exception("internal error of the simulator")
            status, more, body = describe_fault(InternalFailure())
        await respond(send, status, body, *more)

    async def _answer(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        check_client(headers, self._hosts)
        if scope["method"] != "POST":
            raise Refusal(405, "UnknownOperationException", "SWF requests use POST", ((b"allow", b"POST"),))
        operation = find_operation(headers)
        body = await read_body(receive, self._backend.limits.request_bytes_max)
        request = wire.decode_request(operation, body)
        if type(request) is o.RespondDecisionTaskCompleted and request.decisions:
            request = self._fit_decisions(request)
        if operation is o.PollForDecisionTask or operation is o.PollForActivityTask:
            return wire.encode_response(await self._poll(request, receive, headers.get(wire.CLIENT_HEADER.encode())))
        return wire.encode(self._backend.ask(request))

    def _fit_decisions(self, request: o.RespondDecisionTaskCompleted) -> o.RespondDecisionTaskCompleted:
        """Convert the decisions of a request. An invalid token is reported before invalid decisions."""
        try:
            return check_decisions(request, self._validator)
        except ValidationException as error:
            if any(self._validator.requests[type(request)].complain(request, "")):
                raise
            invalid = error
        try:
            self._backend.ask(msgspec.structs.replace(request, decisions=_NEVER_TAKEN))
        except ValidationException as error:
            raise invalid if str(error) == CLOSE_NOT_LAST else error from None
        raise AssertionError("a batch of two closes was taken")

    async def _poll(self, request: o.Request[Any], receive: Receive, client: bytes | None) -> Any:
        """Return a task as soon as there is one, or the empty response after the wait."""
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            loop.call_soon_threadsafe(settle, woken)

        held = self._wait > 0 and not self._held.has_left(client)
        answer = self._backend.ask(request, wake if held else None)
        if not isinstance(answer, Waiter):
            return answer
        # The body has been read, so the next message can only be the disconnect.
        gone: asyncio.Future[Any] = asyncio.ensure_future(receive())
        either: set[asyncio.Future[Any]] = {woken, gone}
        try:
            with self._held.hold(client, woken):
                done, _ = await asyncio.wait(either, timeout=self._wait, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._backend.withdraw(answer)
            gone.cancel()
        if gone in done:
            if answer.answer is not None:
                log.warning("a task was assigned to a client that has disconnected: it will time out")
            raise ClientGone
        return answer.get_answer()


def find_operation(headers: dict[bytes, bytes]) -> type[o.Request[Any]]:
    """Return the operation that X-Amz-Target names after its last dot."""
    kind = headers.get(b"content-type")
    if kind is not None and kind.partition(b";")[0].strip().lower() not in CONTENT_TYPES:
        raise Refusal(415, "SerializationException", "the content type is not one that SWF accepts")
    target = headers.get(b"x-amz-target")
    if not target:
        raise Refusal(400, "MissingAction", "the header X-Amz-Target is missing: it names the operation")
    operation = wire.OPERATIONS.get(target.rpartition(b".")[2].decode("latin-1"))
    if operation is None:
        raise UnknownOperationException("The requested operation is not recognized by the service.")
    return operation


def check_decisions(request: o.RespondDecisionTaskCompleted, validator: Validator) -> o.RespondDecisionTaskCompleted:
    """Validate decisions with a missing or unknown type, missing attributes, or attributes of other types.

    Attributes of other types must be valid, and are ignored. Source: measured by implementers.
    """
    batch: Any = request.decisions or ()
    if not any(type(decision) is forms.UnfitDecision for decision in batch):
        return request
    complaints = list(validator.requests[type(request)].complain(request, ""))
    decisions: list[Any] = []
    for position, decision in enumerate(batch, 1):
        if type(decision) is forms.UnfitDecision:
            found, fit = _validate_unfit(position, decision, validator)
            complaints += found
            decisions.append(fit)
        else:
            complaints += validator.complain(position, decision)
            decisions.append(decision)
    if complaints:
        raise make_invalid(complaints)
    if None in decisions:
        name = batch[decisions.index(None)].decision_type
        raise ValidationException(f"{name}DecisionAttributes must be specified for decision of type {name}")
    return msgspec.structs.replace(request, decisions=tuple(decisions))


def _validate_unfit(position: int, unfit: forms.UnfitDecision, validator: Validator) -> tuple[list[str], Any]:
    """Return the messages for an unfit decision, and the decision of its type, if it has those attributes."""
    path, name = f"decisions.{position}.member", unfit.decision_type
    complaints: list[str] = []
    fit: Any = None
    if name is None:
        complaints.append(format_violation(None, f"{path}.decisionType", "not be null"))
    elif name not in DECISION_TYPES.split(", "):
        complaints.append(format_violation(name, f"{path}.decisionType", f"satisfy enum value set: [{DECISION_TYPES}]"))
    else:
        fit = next((decision for decision in unfit.attributes if type(decision).__name__ == name), None)
        if fit is None:
            fit = next((kind() for kind in forms.CLOSES_WITHOUT_ATTRIBUTES if kind.__name__ == name), None)
    for decision in unfit.attributes:
        complaints += validator.complain(position, decision)
    return complaints, fit


# Answers.


def describe_fault(fault: ServiceFault) -> tuple[int, Headers, bytes]:
    """Return the status, headers and body of a fault."""
    sender, status, message = b"Sender", 400, str(fault)
    if isinstance(fault, InternalFailure):
        sender, status = b"Receiver", 500
    header = (b"x-amzn-query-error", fault.code.encode() + b";" + sender)
    return status, (header,), wire.encode_fault(fault.code, message if status == 400 else None)


async def respond(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    """Send a response with SWF's headers."""
    all_headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-amzn-requestid", str(UUID(bytes=os.urandom(16), version=4)).encode()),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": all_headers})
    await send({"type": "http.response.body", "body": body})
