"""The fleet of machines in a simulation: their code, and which of them takes a task.

A machine that crashed is replaced by one of the same name, with empty memory and a new sticky task list; the old
list is not polled any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from traction.flow.durations import Span, to_duration
from traction.model.names import TaskList
from traction.worker.sticky import Sticky
from traction_local.service.state.task_list import Ready
from traction_local.simulation.fault_injector import FaultInjector
from traction_local.simulation.machine import Machine
from traction_local.simulation.trace import Trace


class Fleet:
    """The machines of a simulation.

    Args:
        workers: how many there are.
        make: creates a machine from its name, clock skew and sticky list.
        trace: chooses the machine of a task.
        faults: chooses the skew of clocks.
        new: new code, by the definition that it replaces, for machines to which it is deployed; what replaces another
            may be replaced in turn, by another deploy.
        sticky: for how long decision tasks wait for the machine that has their decider; `None` if any takes them.
    """

    def __init__(
        self,
        workers: int,
        make: Callable[[str, timedelta, Sticky | None], Machine],
        *,
        trace: Trace,
        faults: FaultInjector,
        new: Mapping[Any, Any],
        sticky: Span | None,
    ) -> None:
        self._make, self._trace, self._faults = make, trace, faults
        self._new = new
        self._rounds = self._count_rounds()
        self._sticky = sticky
        self._owners: dict[str, Machine] = {}
        self._leaving: list[Machine] = []
        self._deployed: Counter[str] = Counter()
        self.hosted: dict[Any, None] = {}
        """The definitions that every machine hosts, in the order in which flows needed them."""
        self.machines: list[Machine] = []
        self.machines += [self._boot(f"worker {n + 1}") for n in range(workers)]

    def host(self, definition: Any) -> bool:
        """Host a definition on every machine; return whether it is new."""
        if definition in self.hosted or definition in self._new.values():
            return False
        self.hosted[definition] = None
        for machine in self.machines:
            machine.host(self._find_code(machine.name, definition))
        return True

    def find_owner(self, key: Ready) -> Machine | None:
        """Return the machine, alive or not, that owns a sticky list; `None` for a list that all poll."""
        return self._owners.get(key.task_list) if key.kind == "decision" else None

    def choose(self, key: Ready, preferred: Machine | None) -> Machine | None:
        """Return `preferred` if it polls, else the chosen machine; `None` if none may take the task."""
        if preferred is not None and self.polls(preferred):
            return preferred
        if (owner := self.find_owner(key)) is not None:
            return owner if self.polls(owner) else None
        number = self._trace.choose(len(self.machines), f"who takes the {key.kind} task on {key.task_list}")
        return self.machines[number]

    def replace_dead(self) -> None:
        for machine in self.machines:
            if not machine.alive:
                machine.close()
        self.machines = [one if one.alive else self._boot(one.name) for one in self.machines]

    def deploy(self, name: str) -> None:
        """Replace a machine by one with new code; the old one finishes its tasks and polls no more."""
        self._deployed[name] += 1
        self._leaving += [one for one in self.machines if one.name == name]
        self.machines = [self._boot(name) if one.name == name else one for one in self.machines]

    def polls(self, machine: Machine) -> bool:
        """Return whether a machine takes tasks: it is alive and not shutting down."""
        return machine.alive and machine in self.machines

    def close(self) -> None:
        for machine in (*self.machines, *self._leaving):
            machine.close()

    def _boot(self, name: str) -> Machine:
        skew = self._faults.choose_skew(name)
        sticky = None
        if self._sticky is not None:
            sticky = Sticky(TaskList(f"{name}~{len(self._owners) + 1}"), to_duration(self._sticky), lambda: False)
        machine = self._make(name, skew, sticky)
        if sticky is not None:
            self._owners[sticky.task_list.name] = machine
        for definition in self.hosted:
            machine.host(self._find_code(name, definition))
        return machine

    def _find_code(self, name: str, definition: Any) -> Any:
        for _ in range(self._deployed[name]):
            definition = self._new.get(definition, definition)
        return definition

    @property
    def deploys(self) -> list[str]:
        """The names of machines to deploy to: each once per round of replacements in a chain."""
        return [machine.name for machine in self.machines] * self._rounds

    def is_behind(self, machine: Machine) -> bool:
        """Return whether a newer deploy of a machine is pending."""
        return self._deployed[machine.name] < self._rounds or machine in self._leaving

    def _count_rounds(self) -> int:
        codes, rounds = set(self._new), 0
        while codes and rounds < len(self._new):
            codes = {self._new[code] for code in codes} & self._new.keys()
            rounds += 1
        return rounds
