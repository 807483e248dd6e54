"""Be a machine in a simulation: workers that share a memory, and the line between them and the service.

Takes definitions, and what their activities need or do instead; gives workers by the list that they poll. A machine may
die at each request that it makes; then all that it had in memory is gone, and every request of what is left of it
raises `MachineCrashed`. Knows nothing of who moves when: `simulation` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from msgspec.structs import asdict

from traction.backend import Backend
from traction.definitions.classes import Activity, Workflow
from traction.errors import BackendError, MissingDependencyError, ThrottlingException
from traction.model import operations as o
from traction.model.limits import Limits
from traction.model.names import ActivityType, WorkflowExecution, WorkflowType
from traction.model.sizes import check_request_size
from traction.payloads.codec import Codec
from traction.worker.activity_worker import ActivityWorker
from traction.worker.decider_cache import DeciderCache
from traction.worker.hosted_activity import HostedActivity
from traction.worker.local_activities import LocalActivities
from traction.worker.sticky import Sticky
from traction.worker.workflow_worker import StuckDecisionError, WorkflowWorker
from traction_local.service.service import POLLS, READING, Service
from traction_local.service.state.task_list import Ready
from traction_local.simulation.faults import Faults
from traction_local.simulation.stubs import BODY, StubbedAttempt, StubScript

T = TypeVar("T")

EVENTS_CACHED_MAX = 1_000_000
"""How many events the deciders of a machine may have read between them: more than elsewhere, since a fleet takes turns,
and the events are the service's own."""

INFO: Final = 20
"""The level at which simulations log that a flow failed: their caller gets the failure, often of many runs."""

DOMAIN = "simulation"
"""The domain of a simulation."""


class MachineCrashed(BaseException):
    """The machine is no more. No worker can catch it."""


class Unreachable(BackendError):
    """The line was cut: the request may have arrived, or not."""

    retryable = True


class SimulatedBackend(Backend):
    """The service in virtual time, on one thread: polls are answered at once."""

    def __init__(self, service: Service, time: datetime, limits: Limits) -> None:
        self.url = "simulation:"
        self.domain = DOMAIN
        self.limits = limits
        self.service = service
        self.time = time

    def call(self, request: o.Request[T], wait: timedelta | None = None) -> T:
        """Make a request at the time that it is; nobody waits."""
        check_request_size(request, self.limits.request_bytes_max)
        return self.service.call(request, self.time)

    def now(self) -> datetime:
        """Tell the virtual time."""
        return self.time

    def wait_until_closed(self, execution: WorkflowExecution, wait: timedelta) -> bool:
        """Say whether a run has closed; nobody waits."""
        return self.find_closing_event(execution) is not None

    def close(self) -> None:
        """Nothing is held."""


class FaultInjector:
    """What may still go wrong between machines and the service, chosen at each request: plainly nothing."""

    def __init__(self, faults: Faults, choose: Callable[[int, str], int]) -> None:
        self.left = {name: value for name, value in asdict(faults).items() if name != "skew"}
        """How many faults of each kind there still may be."""
        self._choose = choose
        self._count()

    def spend(self, kind: str) -> None:
        """Take one fault from a budget."""
        self.left[kind] -= 1
        self._count()

    def _count(self) -> None:
        """Say what may go wrong of each kind of request: only that for which there is a budget."""
        self._poll, self._read, self._answer = (
            [kind for kind in kinds if self.left[_BUDGETS[kind]] > 0] for kinds in (_POLL, _READ, _ANSWER)
        )

    def meet(self, machine: Machine, request: o.Request[T], call: Callable[[o.Request[T]], T]) -> T:
        """Make a request, unless something goes wrong.

        Raises:
            Died, Unreachable, ThrottlingException: it did.
        """
        kind = type(request)
        kinds = self._poll if kind in POLLS else self._read if kind in READING else self._answer
        chosen = self._choose(1 + len(kinds), f"{machine.name} asks {kind.__name__}") if kinds else 0
        if chosen == 0:
            return call(request)
        trouble = kinds[chosen - 1]
        self.spend(_BUDGETS[trouble])
        machine.note(f"{kind.__name__}: {trouble}")
        match trouble:
            case "the request is lost":
                raise Unreachable(f"{kind.__name__}: the request was lost")
            case "throttled":
                raise ThrottlingException("Rate exceeded")
            case "dies before it":
                raise machine.die()
            case "the request arrives twice":
                call(request)
                return call(request)
        with suppress(BackendError):  # that is not heard of either
            call(request)
        if trouble == "the reply is lost":
            raise Unreachable(f"{kind.__name__}: the reply was lost")
        raise machine.die()


_BUDGETS: Final = {
    "the request is lost": "losses",
    "the reply is lost": "losses",
    "dies before it": "crashes",
    "dies after it": "crashes",
    "the request arrives twice": "repeats",
    "throttled": "throttles",
}
_READ: Final = ("the reply is lost", "throttled")
_POLL: Final = (*_READ, "dies after it")
_ANSWER: Final = tuple(_BUDGETS)


class Machine(SimulatedBackend):
    """One process with a worker for each task list that its definitions wait on, and the backend that they see."""

    def __init__(
        self,
        world: SimulatedBackend,
        name: str,
        skew: timedelta,
        sticky: Sticky | None,
        *,
        codec: Codec,
        provide: Mapping[Any, Any],
        scripts: Mapping[Any, StubScript],
        find_act: Callable[[Any], StubbedAttempt],
        on_definition: Callable[[Any], None],
        on_stuck: Callable[[StuckDecisionError], None],
        note: Callable[[str, str], None],
        trouble: FaultInjector | None,
    ) -> None:
        self.url, self.domain, self.limits = world.url, world.domain, world.limits
        self.name = name
        self.alive = True
        self.playing = BODY.acts[0]
        """What the attempt that is being done does instead of its body."""
        self._world = world
        self._codec = codec
        self._cache = DeciderCache(EVENTS_CACHED_MAX)
        self._provide, self._scripts = provide, scripts
        self._on_definition, self._on_stuck, self._note = on_definition, on_stuck, note
        self._trouble = trouble
        self._skew = skew
        self._sticky = sticky
        self._find_act = find_act
        played = {activity: partial(self._do_locally, activity) for activity in scripts}
        self._local = LocalActivities(provide, played, failure_level=INFO)
        self._workflows: dict[WorkflowType, type[Workflow[Any]]] = {}
        self._activities: dict[ActivityType, HostedActivity] = {}
        self._deciding: dict[str, WorkflowWorker] = {}
        self._working: dict[str, ActivityWorker] = {}

    def call(self, request: o.Request[T], wait: timedelta | None = None) -> T:
        """Make a request, over a line on which things go wrong as the schedule says."""
        if not self.alive:
            raise MachineCrashed
        if self._trouble is None:
            return self._world.call(request)
        return self._trouble.meet(self, request, self._world.call)

    def now(self) -> datetime:
        """Tell the time as this machine's clock has it."""
        return self._world.time + self._skew

    def note(self, what: str) -> None:
        """Tell what happens here."""
        self._note(self.name, what)

    def die(self) -> MachineCrashed:
        """Lose all that is in memory."""
        self._end()
        return MachineCrashed()

    def close(self) -> None:
        """End, and close the event loops of async activities. Not while one of them runs."""
        self._end()
        for worker in self._working.values():
            worker.close()

    def _end(self) -> None:
        self.alive = False
        self._cache.close()

    def host(self, definition: Any) -> None:
        """Have what does the work of a definition.

        Raises:
            DefinitionError: an activity needs what nobody provides.
        """
        if issubclass(definition, Workflow):
            self._workflows[definition.spec.type] = definition
        elif issubclass(definition, Activity):
            self._activities[definition.spec.type] = self._employ(definition).hosted

    def find_activity(self, kind: ActivityType) -> type[Activity[Any, Any]]:
        """Give the definition of an activity that flows asked for."""
        return self._activities[kind].activity

    def flush(self, key: Ready) -> None:
        """Send what the worker of a list could not send."""
        (self.find_decider if key.kind == "decision" else self.find_worker)(key.task_list).flush()

    def find_decider(self, task_list: str) -> WorkflowWorker:
        """Give the worker that polls a list for decision tasks."""
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
        """Give the worker that polls a list for activity tasks."""
        worker = self._working.get(task_list)
        if worker is None:
            hosts = self._activities.values()
            host = next((host for host in hosts if host.activity.spec.task_list.name == task_list), next(iter(hosts)))
            worker = self._working[task_list] = self._employ(host.activity, task_list)
        return worker

    def _employ(self, activity: Any, task_list: str | None = None) -> ActivityWorker:
        options: Any = {
            "task_list": task_list,
            "identity": self.name,
            "codec": self._codec,
            "neighbours": self._activities,
            "failure_level": INFO,
        }
        if activity in self._scripts:
            return ActivityWorker(self, activity, body=partial(self._play, activity), **options)
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

    def _do_locally(self, activity: Any, call: Any) -> Any:
        """Do a local activity as its script says; it takes no time."""
        self.playing = act = self._find_act(activity)
        result = self._play(activity, call)
        if act.crashes:
            raise self.die()
        return result

    def _play(self, activity: Any, call: Any) -> Any:
        """Do what the script says, instead of the activity's body."""
        play = self.playing.play
        if play is None:
            needs = activity.spec.needs
            return call.run() if needs is None else call.run(self._provide[activity])
        return play(call)
