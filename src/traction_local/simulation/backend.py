"""The backend of a simulation: the service in virtual time, on one thread."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, TypeVar

from traction.backend import Backend
from traction.model import operations as o
from traction.model.limits import Limits
from traction.model.names import WorkflowExecution
from traction.model.sizes import check_request_size
from traction_local.service.service import Service

T = TypeVar("T")

DOMAIN: Final = "simulation"
"""The domain of a simulation."""


class SimulatedBackend(Backend):
    """Sends requests to the service at the current virtual time. Polls return at once."""

    def __init__(self, service: Service, time: datetime, limits: Limits) -> None:
        self.url = "simulation:"
        self.domain = DOMAIN
        self.limits = limits
        self.service = service
        self.time = time

    def call(self, request: o.Request[T], wait: timedelta | None = None) -> T:
        """Send a request; it does not wait."""
        check_request_size(request, self.limits.request_bytes_max)
        return self.service.call(request, self.time)

    def now(self) -> datetime:
        return self.time

    def wait_until_closed(self, execution: WorkflowExecution, wait: timedelta) -> bool:
        """Return whether a run has closed; it does not wait."""
        return self.find_closing_event(execution) is not None

    def close(self) -> None:
        """Do nothing: there is no connection, thread or file."""
