"""Complete activity tasks by token, from any process: those whose activity returned `COMPLETE_LATER`."""

from __future__ import annotations

from traction.backend import Backend
from traction.errors import BackendError, ThrottlingException, UnknownResourceFault
from traction.flow.step import Cancelled
from traction.model import operations as o
from traction.payloads.codec import Codec
from traction.payloads.failures import describe_failure
from traction.worker.backoff import Pause, call_with_backoff
from traction.worker.heartbeats import write_details


class TaskCompleter:
    """Sends responses by token, and retries them after transient errors.

    Args:
        pause: waits for some seconds between two tries.
    """

    def __init__(self, backend: Backend, codec: Codec, pause: Pause) -> None:
        self._backend = backend
        self._codec = codec
        self._pause = pause

    def complete(self, token: str, value: object) -> None:
        """Complete a task with its result."""
        self._send(o.RespondActivityTaskCompleted(task_token=token, result=self._codec.encode(value)))

    def fail(self, token: str, error: BaseException) -> None:
        """Fail a task; with `Cancelled`, report it as cancelled."""
        if isinstance(error, Cancelled):
            self._send(o.RespondActivityTaskCanceled(task_token=token))
            return
        reason, details = describe_failure(error, self._codec)
        self._send(o.RespondActivityTaskFailed(task_token=token, reason=reason, details=details))

    def heartbeat(self, token: str, details: object = None) -> None:
        """Record a heartbeat of a task."""
        payload = None if details is None else write_details(self._codec, details)
        try:
            request = o.RecordActivityTaskHeartbeat(task_token=token, details=payload)
            status = call_with_backoff(lambda: self._backend.call(request), self._pause)
        except UnknownResourceFault:
            raise Cancelled from None
        if status.cancel_requested:
            raise Cancelled

    def _send(self, response: o.Request[None]) -> None:
        unsure = False

        def send() -> None:
            nonlocal unsure
            try:
                self._backend.call(response)
            except BackendError as error:
                # The service accepts one response. If an earlier try may have arrived, this fault means that it has, or
                # that the task has ended otherwise. Either way nothing is left to send.
                if not (unsure and isinstance(error, UnknownResourceFault)):
                    unsure = unsure or not isinstance(error, ThrottlingException)
                    raise

        call_with_backoff(send, self._pause)
