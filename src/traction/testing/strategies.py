"""Draw runs of workflows for Hypothesis: schedules, inputs, signals, executions, histories.

Takes definitions and what their activities need; gives strategies. A schedule is drawn as a short list of deviations,
so what Hypothesis shrinks is the story: fewer deviations, earlier ones, nearer to the plain choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import msgspec

from traction.definitions.classes import Workflow
from traction.errors import DefinitionError, PayloadError
from traction.extras import needed_by
from traction.flow.signals import Signal
from traction.model.events import Event
from traction.payloads.codec import JSON, Codec
from traction_local.simulation.schedule import Deviations, Recurring, Schedule

with needed_by("drawing schedules, inputs, executions and histories"):
    from hypothesis import strategies as st

T = TypeVar("T")

CHOICES = 100
"""Among how many choices a schedule deviates, unless told otherwise."""

DEVIATIONS_MAX = 10
"""How often a drawn schedule deviates at the most, unless told otherwise."""

NEAR = 4
"""How many choices further on a deviation is near."""

NEAR_MAX = 3
"""How many deviations may follow near to each other."""

OFTEN = (3, 2)
"""How often it goes wrong where it goes wrong again."""

_ALTERNATIVES = 63


def schedules(
    choices: int = CHOICES, max_deviations: int = DEVIATIONS_MAX, *, widths: Sequence[int] = ()
) -> st.SearchStrategy[Schedule]:
    """Draw schedules that deviate here and there.

    Args:
        choices: among how many choices; about as many as a run makes.
        max_deviations: how often at the most.
        widths: of how many alternatives each choice of the plain run is, if that is known; then one schedule in five
            or so deviates once, to one of these, one goes on near to that, and one does the same again at the next
            choices of the same reason.
    """
    # A run that deviates is longer than the plain one, and may deviate again where that has ended.
    choices = len(widths) * 3 // 2 + 4 if widths else choices
    numbers, chosen = st.integers(0, max(choices - 1, 0)), st.integers(1, _ALTERNATIVES)
    several = st.dictionaries(numbers, chosen, max_size=max_deviations).map(Deviations)
    plain = [(number, chosen) for number, width in enumerate(widths) for chosen in range(1, width)]
    if not plain:
        return several
    once, further = st.sampled_from(plain), st.tuples(st.integers(1, NEAR), chosen)
    many = st.dictionaries(numbers, chosen, min_size=max_deviations // 2, max_size=max_deviations).map(Deviations)
    near = st.builds(_follow, once, st.lists(further, min_size=1, max_size=NEAR_MAX))
    again = st.builds(_recur, once, st.sampled_from(OFTEN))
    return st.one_of(once.map(lambda one: Deviations(dict([one]))), near, again, several, many)


def _recur(first: tuple[int, int], often: int) -> Recurring:
    """Deviate at a choice, and again at the next of the same reason."""
    return Recurring(*first, often)


def _follow(first: tuple[int, int], further: list[tuple[int, int]]) -> Deviations:
    """Deviate at a choice, and so many choices further on again."""
    choices, (number, chosen) = {}, first
    choices[number] = chosen
    for gap, chosen in further:
        number += gap
        choices[number] = chosen
    return Deviations(choices)


def inputs(workflow: Callable[..., Workflow[T]], codec: Codec = JSON) -> st.SearchStrategy[Workflow[T]]:
    """Draw calls of a workflow, each field by its type; only such as can be written and read.

    Raises:
        DefinitionError: it is no workflow.
    """
    definition: Any = workflow
    if not (isinstance(definition, type) and issubclass(definition, Workflow)):
        raise DefinitionError(f"inputs() draws calls of a workflow, and {definition!r:.100} is none")
    drawn = st.builds(definition, **_fields(definition))

    def reads_back(call: Any) -> bool:
        try:
            return bool(codec.decode(codec.encode(call), definition) == call)
        except PayloadError:
            return False

    return drawn.filter(reads_back)


def signals(*kinds: type[Signal], max_size: int = 3, within: timedelta | None = None) -> st.SearchStrategy[list[Any]]:
    """Draw what is sent to an execution, as `simulate(signals=...)` takes it: which signals, and when.

    Args:
        kinds: which types.
        max_size: how many at the most.
        within: up to how long after the start; at any time if not given.
    """
    one = st.one_of([st.builds(kind, **_fields(kind)) for kind in kinds])
    if within is None:
        return st.lists(one, max_size=max_size)
    return st.lists(st.tuples(st.timedeltas(timedelta(0), within), one), max_size=max_size)


def executions(workflow: Any, *, choices: int = CHOICES, **world: Any) -> st.SearchStrategy[Any]:
    """Draw runs of a workflow under drawn schedules: what `simulate` gives.

    Args:
        workflow: a call of a workflow; or a workflow, whose input is then drawn as well.
        choices: as for `schedules`.
        world: as for `simulate`.
    """
    from traction.testing import simulate

    calls = inputs(workflow) if isinstance(workflow, type) else st.just(workflow)
    return st.builds(lambda call, schedule: simulate(call, schedule=schedule, **world), calls, schedules(choices))


def histories(workflow: Any, **options: Any) -> st.SearchStrategy[list[Event]]:
    """Draw histories of a workflow: those of `executions`."""
    return executions(workflow, **options).map(lambda run: run.history)


def _fields(kind: Any) -> dict[str, st.SearchStrategy[Any]]:
    return {field.name: st.from_type(field.type) for field in msgspec.structs.fields(kind)}
