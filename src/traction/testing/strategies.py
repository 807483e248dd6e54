"""Hypothesis strategies for schedules, inputs, signals, executions and histories.

A schedule is drawn as a short list of deviations, so Hypothesis shrinks to fewer and earlier deviations, nearer to the
plain choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar, Unpack

import msgspec

from traction.definitions.classes import Workflow
from traction.errors import DefinitionError, PayloadError
from traction.extras import needed_by
from traction.flow.signals import Signal
from traction.model.events import Event
from traction.payloads.codec import JSON, Codec
from traction_local.simulation.options import World
from traction_local.simulation.schedule import Deviations, Recurring, Schedule
from traction_local.simulation.simulate import simulate

with needed_by("drawing schedules, inputs, executions and histories"):
    from hypothesis import strategies as st

T = TypeVar("T")

CHOICES = 100
"""The default number of choices among which a schedule deviates."""

DEVIATIONS_MAX = 10
"""The default maximal number of deviations of a drawn schedule."""

NEAR = 4
"""The distance, in choices, within which deviations count as near."""

NEAR_MAX = 3
"""The maximal number of deviations near to each other."""

OFTEN = (3, 2)
"""How often a fault repeats in schedules whose faults recur."""

_ALTERNATIVES = 63


def schedules(
    choices: int = CHOICES, max_deviations: int = DEVIATIONS_MAX, *, widths: Sequence[int] = ()
) -> st.SearchStrategy[Schedule]:
    """Draw schedules with a few deviations.

    Args:
        choices: the number of choices to deviate at; about as many as a run makes.
        max_deviations: the maximal number of deviations.
        widths: the number of alternatives of each choice of the plain run, if known. Then about one schedule in five
            deviates once, to one of these; one deviates again near to that; one repeats the deviation at the next
            choices with the same reason.
    """
    # A run that deviates is longer than the plain run, and may deviate after the end of that.
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
    """Deviate at a choice, and again at the next ones with the same reason."""
    return Recurring(*first, often)


def _follow(first: tuple[int, int], further: list[tuple[int, int]]) -> Deviations:
    """Deviate at a choice, and again after each of the given gaps."""
    choices, (number, chosen) = {}, first
    choices[number] = chosen
    for gap, chosen in further:
        number += gap
        choices[number] = chosen
    return Deviations(choices)


def inputs(workflow: Callable[..., Workflow[T]], codec: Codec = JSON) -> st.SearchStrategy[Workflow[T]]:
    """Draw calls of a workflow whose fields survive encoding and decoding.

    Raises:
        DefinitionError: `workflow` is not a workflow.
    """
    definition: Any = workflow
    if not (isinstance(definition, type) and issubclass(definition, Workflow)):
        raise DefinitionError(f"inputs({definition!r:.100}): expected a workflow")
    drawn = st.builds(definition, **_fields(definition))

    def reads_back(call: Any) -> bool:
        try:
            return bool(codec.decode(codec.encode(call), definition) == call)
        except PayloadError:
            return False

    return drawn.filter(reads_back)


def signals(*kinds: type[Signal], max_size: int = 3, within: timedelta | None = None) -> st.SearchStrategy[list[Any]]:
    """Draw lists of signals, as `simulate(signals=...)` takes them.

    Args:
        kinds: the types of the signals.
        max_size: the maximal length of a list.
        within: the maximal span after the start; default: signals come at any time.
    """
    one = st.one_of([st.builds(kind, **_fields(kind)) for kind in kinds])
    if within is None:
        return st.lists(one, max_size=max_size)
    return st.lists(st.tuples(st.timedeltas(timedelta(0), within), one), max_size=max_size)


def executions(workflow: Any, *, choices: int = CHOICES, **world: Unpack[World]) -> st.SearchStrategy[Any]:
    """Draw simulated runs of a workflow under drawn schedules.

    Args:
        workflow: a call of a workflow; or a workflow, whose input is drawn too.
        choices: as for `schedules`.
        world: as for `simulate`.
    """
    calls = inputs(workflow) if isinstance(workflow, type) else st.just(workflow)
    return st.builds(lambda call, schedule: simulate(call, schedule=schedule, **world), calls, schedules(choices))


def histories(workflow: Any, **options: Any) -> st.SearchStrategy[list[Event]]:
    """Draw histories of a workflow, with the arguments of `executions`."""
    return executions(workflow, **options).map(lambda run: run.history)


def _fields(kind: Any) -> dict[str, st.SearchStrategy[Any]]:
    return {field.name: st.from_type(field.type) for field in msgspec.structs.fields(kind)}
