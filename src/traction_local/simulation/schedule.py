"""Schedules: the only source of chance in a simulation.

A schedule chooses one of several alternatives. Zero is always the plain choice: first in line, no delay, no fault. So a
schedule is a short list of deviations from the plain run.

A simulation uses a copy of its schedule, so a schedule is a value and makes the same choices in every simulation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import Protocol

from traction.errors import DefinitionError


class Schedule(Protocol):
    """Makes the choices of a simulation."""

    def choose(self, n: int, why: str) -> int:
        """Choose one of `n` alternatives, `0 <= choice < n`; `why` describes the choice."""
        ...


class Plain:
    """Makes the plain choice always."""

    def choose(self, n: int, why: str) -> int:
        return 0

    def __repr__(self) -> str:
        return "PLAIN"


PLAIN = Plain()
"""The plain schedule, the default. A simulation never calls it."""


class Deviations:
    """Deviates at some choices, numbered from 0: `Deviations("4:2 9:1")`, or `Deviations({4: 2, 9: 1})`.

    A number beyond the last alternative wraps to the first deviation, so any numbers from 1 are valid.

    Raises:
        DefinitionError: the text is not a list of deviations.
    """

    def __init__(self, choices: str | Mapping[int, int] = "") -> None:
        self.choices: dict[int, int] = _parse(choices) if isinstance(choices, str) else dict(sorted(choices.items()))
        self._number = -1

    def choose(self, n: int, why: str) -> int:
        """Return what is listed for this choice, else 0."""
        self._number += 1
        chosen = self.choices.get(self._number, 0)
        return chosen if chosen < n else 1 + (chosen - 1) % (n - 1)

    def __str__(self) -> str:
        return " ".join(f"{number}:{chosen}" for number, chosen in self.choices.items())

    def __repr__(self) -> str:
        return f"Deviations({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Deviations) and self.choices == other.choices

    def __hash__(self) -> int:
        return hash(tuple(self.choices.items()))


class Recurring:
    """Deviates at one choice, and at the next ones with the same reason, `often` times in all.

    So a fault repeats: both attempts of a charge fail, not one. Digits in the reason, as in machine names, are ignored.
    """

    def __init__(self, number: int, chosen: int, often: int) -> None:
        self.number, self.chosen, self.often = number, chosen, often
        self._number, self._left, self._why = -1, often, ""

    def choose(self, n: int, why: str) -> int:
        """Return the deviation at the first choice and where the reason recurs, else 0."""
        self._number += 1
        if self._number < self.number or not self._left:
            return 0
        kind = _DIGITS.sub("", why)
        if self._number == self.number:
            self._why = kind
        if kind != self._why:
            return 0
        self._left -= 1
        return self.chosen if self.chosen < n else 1 + (self.chosen - 1) % (n - 1)

    def __repr__(self) -> str:
        return f"Recurring({self.number}, {self.chosen}, often={self.often})"


class Seeded:
    """Deviates at random, at each choice with the probability `rate`. Equal seeds make equal choices.

    Raises:
        DefinitionError: the rate is not a probability.
    """

    def __init__(self, seed: int, rate: float = 0.1) -> None:
        if not 0 <= rate <= 1:
            raise DefinitionError(f"Seeded({seed}, rate={rate}): a rate is a probability, from 0 to 1")
        self.seed, self.rate = seed, rate
        self._dice: Random | None = None

    def choose(self, n: int, why: str) -> int:
        """Return 0, or with the probability `rate` one of the deviations."""
        if self._dice is None:
            self._dice = Random(self.seed)
        roll = self._dice.random
        return 1 + int(roll() * (n - 1)) if roll() < self.rate else 0

    def __repr__(self) -> str:
        return f"Seeded({self.seed}, rate={self.rate})"


_DIGITS = re.compile(r"\d+")
"""The numbers of machines and attempts in a reason."""


def _parse(text: str) -> dict[int, int]:
    choices = {}
    for item in text.split():
        number, colon, chosen = item.partition(":")
        if not (colon and number.isdecimal() and chosen.isdecimal()):
            raise DefinitionError(
                f"Deviations({text!r}): {item!r} is not a deviation; write the number of a choice, a colon and the "
                'alternative, as in "4:2 9:1"'
            )
        choices[int(number)] = int(chosen)
    return choices
