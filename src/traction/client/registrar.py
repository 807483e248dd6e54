"""Register the types of a system's definitions once each. For workers, retry while the service is unreachable."""

from __future__ import annotations

import logging
import threading
from typing import Any

from traction.backend import Backend
from traction.client.registration import register_type
from traction.definitions.checks import check_twins
from traction.definitions.classes import check_definition
from traction.errors import BackendError, TractionError
from traction.worker.backoff import TRIES, call_with_backoff

log = logging.getLogger("traction.client")


class Registrar:
    """Registers types. Thread-safe.

    Args:
        backend: the backend.
        stop: ends all waits. It is set here if workers cannot start.
    """

    def __init__(self, backend: Backend, stop: threading.Event) -> None:
        self._backend, self._stop = backend, stop
        self._hosted: dict[Any, Any] = {}
        self._registered: set[Any] = set()
        self._deferred: list[Any] = []
        self._lock = threading.Lock()
        self._preparing = threading.Lock()
        self.mistake: TractionError | None = None
        """The error that stopped the workers, raised by their registration once the service was reachable."""

    def register(self, definition: Any, tries: int = TRIES) -> None:
        """Register a type once.

        Raises:
            DefinitionError: something is wrong with the definition, or its type is registered with other settings.
            BackendError: the service rejected the type, or could not be reached after several tries.
        """
        with self._lock:
            if definition in self._registered:
                return
        check_definition(definition)
        # Idempotent: a type that is registered already is accepted.
        note = call_with_backoff(
            lambda: register_type(self._backend, definition, self._stop.wait), self._stop.wait, tries
        )
        if note is not None:
            log.warning("%s", note)
        with self._lock:
            self._registered.add(definition)

    def forget(self, definition: Any) -> None:
        """Register the type again when it is next needed."""
        with self._lock:
            self._registered.discard(definition)

    def host(self, definition: Any) -> None:
        """Register the definition of a worker. If the service cannot be reached, defer that to `prepare`.

        Raises:
            DefinitionError: as `register`; or another definition of its name and version has a worker here.
            BackendError: the service rejected the type.
        """
        with self._lock:
            check_twins(self._hosted.setdefault(definition.spec.type, definition), definition)
        check_definition(definition)
        if self._deferred:
            # The service was unreachable for an earlier definition.
            self._deferred.append(definition)
            return
        try:
            self.register(definition, tries=1)
        except BackendError as error:
            if not error.retryable:
                raise
            self._deferred.append(definition)
            message = "%s cannot be reached, and its workers keep trying until it can: %s"
            log.warning(message, self._backend.url, error)

    def prepare(self) -> None:
        """Register the deferred definitions. If the service rejects one, log that and stop the system.

        Raises:
            BackendError: the service still cannot be reached.
        """
        with self._preparing:
            while self._deferred and not self._stop.is_set():
                definition = self._deferred[0]
                try:
                    self.register(definition, tries=1)
                except TractionError as error:
                    if isinstance(error, BackendError) and error.retryable:
                        raise
                    log.error("workers cannot start, and this system stops: %s", error)
                    self.mistake = error
                    self._stop.set()
                    return
                self._deferred.pop(0)
                if not self._deferred:
                    log.warning("%s can be reached now, and workers have started", self._backend.url)
