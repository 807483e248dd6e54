"""Keep the machines of a simulation: which there are, what code they have, and which of them takes a task.

Takes what makes a machine; gives machines. One that died is replaced by another of its name, with nothing in memory and
a list of its own: nobody polls that of the dead any more.
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
from traction_local.simulation.machine import Machine

_NO_SKEW = timedelta(0)


class Fleet:
    """The machines.

    Args:
        workers: how many there are.
        make: makes one, given its name and how far its clock is off.
        choose: chooses among them; `None` to let the first do everything.
        skew: how far a clock may be off, either way.
        new: new code, by the definition that it replaces, for machines to which it is deployed; what replaces another
            may be replaced in turn, by another deploy.
        sticky: for how long decision tasks wait for the machine that has their decider; `None` if any takes them.
    """

    def __init__(
        self,
        workers: int,
        make: Callable[[str, timedelta, Sticky | None], Machine],
        *,
        choose: Callable[[int, str], int] | None,
        skew: timedelta,
        new: Mapping[Any, Any],
        sticky: Span | None,
    ) -> None:
        self._make, self._choose = make, choose
        self._skews = (_NO_SKEW, skew, -skew) if skew and choose is not None else (_NO_SKEW,)
        self._new = new
        self._rounds = self._count_rounds()
        self._sticky = sticky
        self._owners: dict[str, Machine] = {}
        self._leaving: list[Machine] = []
        self._deployed: Counter[str] = Counter()
        self.hosted: dict[Any, None] = {}
        """The definitions whose work every machine does, in the order in which flows asked for them."""
        self.machines: list[Machine] = []
        self.machines += [self._boot(f"worker {n + 1}") for n in range(workers)]

    def host(self, definition: Any) -> bool:
        """Let every machine have what does the work of a definition; say whether it is a new one."""
        if definition in self.hosted or definition in self._new.values():
            return False
        self.hosted[definition] = None
        for machine in self.machines:
            machine.host(self._find_code(machine.name, definition))
        return True

    def find_owner(self, key: Ready) -> Machine | None:
        """Give the machine, alive or not, whose own list it is; `None` for a list that all poll."""
        return self._owners.get(key.task_list) if key.kind == "decision" else None

    def choose(self, key: Ready, meant: Machine | None) -> Machine | None:
        """Give the machine that was meant, if it is alive; else whichever takes the task, if any may."""
        if meant is not None and self.polls(meant):
            return meant
        if (owner := self.find_owner(key)) is not None:
            return owner if self.polls(owner) else None
        if self._choose is None or len(self.machines) == 1:
            return self.machines[0]
        return self.machines[self._choose(len(self.machines), f"who takes the {key.kind} task on {key.task_list}")]

    def replace_dead(self) -> None:
        """Put another machine in the place of each that died."""
        for machine in self.machines:
            if not machine.alive:
                machine.close()
        self.machines = [one if one.alive else self._boot(one.name) for one in self.machines]

    def deploy(self, name: str) -> None:
        """Put a machine with new code in the place of one, which ends what it has in hand and takes nothing more."""
        self._deployed[name] += 1
        self._leaving += [one for one in self.machines if one.name == name]
        self.machines = [self._boot(name) if one.name == name else one for one in self.machines]

    def polls(self, machine: Machine) -> bool:
        """Say whether a machine takes tasks: it is neither dead nor about to leave."""
        return machine.alive and machine in self.machines

    def close(self) -> None:
        """End all machines."""
        for machine in (*self.machines, *self._leaving):
            machine.close()

    def _boot(self, name: str) -> Machine:
        skews = self._skews
        chosen = self._choose(len(skews), f"the clock of {name}") if self._choose is not None and len(skews) > 1 else 0
        sticky = None
        if self._sticky is not None:
            sticky = Sticky(TaskList(f"{name}~{len(self._owners) + 1}"), to_duration(self._sticky), lambda: False)
        machine = self._make(name, skews[chosen], sticky)
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
        """To which machines code is deployed: to each as often as definitions replace each other in turn."""
        return [machine.name for machine in self.machines] * self._rounds

    def is_behind(self, machine: Machine) -> bool:
        """Say whether newer code is still to come to a machine."""
        return self._deployed[machine.name] < self._rounds or machine in self._leaving

    def _count_rounds(self) -> int:
        codes, rounds = set(self._new), 0
        while codes and rounds < len(self._new):
            codes = {self._new[code] for code in codes} & self._new.keys()
            rounds += 1
        return rounds
