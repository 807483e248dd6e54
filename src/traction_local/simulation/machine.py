"""Machines of a simulation: processes with workers that share a memory, and their connection to the service.

A machine may crash at each of its requests. Then its memory is lost, and every later request of its workers raises
`MachineCrashed`. The order in which machines act is not chosen here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from traction.definitions.classes import Activity, Workflow
from traction.errors import MissingDependencyError
from traction.model import operations as o
from traction.model.names import ActivityType, WorkflowType
from traction.payloads.codec import Codec
from traction.worker.activity_worker import ActivityWorker
from traction.worker.decider_cache import DeciderCache
from traction.worker.hosted_activity import HostedActivity
from traction.worker.local_activities import LocalActivities
from traction.worker.sticky import Sticky
from traction.worker.workflow_worker import StuckDecisionError, WorkflowWorker
from traction_local.service.state.task_list import Ready
from traction_local.simulation.backend import SimulatedBackend
from traction_local.simulation.fault_injector import FaultInjector, MachineCrashed
from traction_local.simulation.stubs import BODY, StubbedAttempt, StubScript

T = TypeVar("T")

EVENTS_CACHED_MAX: Final = 1_000_000
"""The maximal number of events in the decider cache of a machine: large, since events are shared with the service."""

INFO: Final = 20
"""The level at which simulations log failures of flows: the caller receives the failure, often of many runs."""


class Machine(SimulatedBackend):
    """A process with a worker for each task list, and the backend that its workers use.

    Args:
        service: the backend of the simulation.
        name: the name in traces, and the identity of its workers.
        skew: how far its clock is ahead.
        sticky: its own task list.
        codec: encodes and decodes payloads.
        provide: the dependencies of activities.
        scripts: stubs that replace the bodies of activities.
        count_attempt: counts an attempt of an activity, and returns what it does.
        on_definition: called with each definition that a flow uses for the first time.
        on_stuck: called with each decision that cannot be made.
        faults: chooses the faults of requests.
    """

    def __init__(
        self,
        service: SimulatedBackend,
        name: str,
        skew: timedelta,
        sticky: Sticky | None,
        *,
        codec: Codec,
        provide: Mapping[Any, Any],
        scripts: Mapping[Any, StubScript],
        count_attempt: Callable[[Any], StubbedAttempt],
        on_definition: Callable[[Any], None],
        on_stuck: Callable[[StuckDecisionError], None],
        faults: FaultInjector,
    ) -> None:
        self.url, self.domain, self.limits = service.url, service.domain, service.limits
        self.name = name
        self.alive = True
        self.attempt = BODY.attempts[0]
        """What the current attempt does."""
        self._service = service
        self._codec = codec
        self._cache = DeciderCache(EVENTS_CACHED_MAX)
        self._provide, self._scripts = provide, scripts
        self._on_definition, self._on_stuck = on_definition, on_stuck
        self._faults = faults
        self._skew = skew
        self._sticky = sticky
        self._count_attempt = count_attempt
        stubbed = {activity: partial(self._run_locally, activity) for activity in scripts}
        self._local = LocalActivities(provide, stubbed, failure_level=INFO)
        self._workflows: dict[WorkflowType, type[Workflow[Any]]] = {}
        self._activities: dict[ActivityType, HostedActivity] = {}
        self._deciding: dict[str, WorkflowWorker] = {}
        self._working: dict[str, ActivityWorker] = {}

    def call(self, request: o.Request[T], wait: timedelta | None = None) -> T:
        """Send a request, unless a fault prevents it."""
        if not self.alive:
            raise MachineCrashed
        try:
            return self._faults.call(self.name, request, self._service.call)
        except MachineCrashed:
            self._end()
            raise

    def now(self) -> datetime:
        return self._service.time + self._skew

    def crash(self) -> MachineCrashed:
        """Lose the memory; return the exception to raise."""
        self._end()
        return MachineCrashed()

    def close(self) -> None:
        """End, and close the event loops of async activities; none of them may be running."""
        self._end()
        for worker in self._working.values():
            worker.close()

    def _end(self) -> None:
        self.alive = False
        self._cache.close()

    def host(self, definition: Any) -> None:
        """Host a definition.

        Raises:
            DefinitionError: an activity needs a dependency that is not provided.
        """
        if issubclass(definition, Workflow):
            self._workflows[definition.spec.type] = definition
        elif issubclass(definition, Activity):
            self._activities[definition.spec.type] = self._make_worker(definition).hosted

    def find_activity(self, kind: ActivityType) -> type[Activity[Any, Any]]:
        """Return the definition of an activity that a flow called."""
        return self._activities[kind].activity

    def flush(self, key: Ready) -> None:
        """Send the unsent responses of the worker of a list."""
        (self.find_decider if key.kind == "decision" else self.find_worker)(key.task_list).flush()

    def find_decider(self, task_list: str) -> WorkflowWorker:
        """Return the worker that polls a list for decision tasks."""
        worker = self._deciding.get(task_list)
        if worker is None:
            worker = self._deciding[task_list] = WorkflowWorker(
                self,
                (),
                task_list=task_list,
                identity=self.name,
                codec=self._codec,
                cache=self._cache,
                on_definition=self._on_definition,
                on_stuck=self._on_stuck,
                neighbours=self._workflows,
                local=self._local,
                sticky=self._sticky,
                failure_level=INFO,
            )
        return worker

    def find_worker(self, task_list: str) -> ActivityWorker:
        """Return the worker that polls a list for activity tasks."""
        worker = self._working.get(task_list)
        if worker is None:
            hosts = self._activities.values()
            host = next((host for host in hosts if host.activity.spec.task_list.name == task_list), next(iter(hosts)))
            worker = self._working[task_list] = self._make_worker(host.activity, task_list)
        return worker

    def _make_worker(self, activity: Any, task_list: str | None = None) -> ActivityWorker:
        options: Any = {
            "task_list": task_list,
            "identity": self.name,
            "codec": self._codec,
            "neighbours": self._activities,
            "failure_level": INFO,
        }
        if activity in self._scripts:
            return ActivityWorker(self, activity, body=partial(self._run_stub, activity), **options)
        needs = activity.spec.needs
        if needs is not None and activity not in self._provide:
            name = activity.__qualname__
            raise MissingDependencyError(
                name,
                needs,
                f"the simulation has none. Write simulate(..., provide={{{name}: dependency}}), or "
                f"stub={{{name}: result}}",
            )
        return ActivityWorker(self, activity, self._provide.get(activity), **options)

    def _run_locally(self, activity: Any, call: Any) -> Any:
        """Run an attempt of a local activity; it takes no time."""
        self.attempt = attempt = self._count_attempt(activity)
        result = self._run_stub(activity, call)
        if attempt.crashes:
            raise self.crash()
        return result

    def _run_stub(self, activity: Any, call: Any) -> Any:
        if (body := self.attempt.body) is not None:
            return body(call)
        needs = activity.spec.needs
        return call.run() if needs is None else call.run(self._provide[activity])
