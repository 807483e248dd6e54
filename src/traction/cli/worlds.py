"""The simulated world that the options of `simulate` and `explore` describe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from traction.cli import loading
from traction.cli.dependencies import find_activity, provide_all
from traction.cli.loading import UsageError
from traction.cli.spans import SPAN, read_span
from traction.flow.signals import Signal
from traction.history.export import make_stored, write_stored
from traction.testing import Faults
from traction_local.simulation.options import World
from traction_local.simulation.run import SimulatedRun

_SIGNAL: Final = re.compile(rf"(?:(?P<after>{SPAN}):)?(?P<target>[^:{{]+:[\w.]+)(?P<fields>\{{.*\}})?", re.DOTALL)

_FAULTS: Final = {"none": Faults.none, "some": Faults.some, "all": Faults.all}


class WorldOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a simulated world, as they were written."""

    provide: Sequence[str] = ()
    stub: Sequence[str] = ()
    signal: Sequence[str] = ()
    faults: str = "none"
    workers: int = 1

    def make_world(self, workflow: type[Any], stack: ExitStack) -> World:
        """Return the options of `simulate`. Contexts of dependencies are entered on the stack.

        Raises:
            UsageError: an option is wrong.
        """
        return {
            "provide": provide_all(self.provide, stack, [workflow]),
            "stub": read_stubs(self.stub, workflow),
            "signals": [read_signal_option(word) for word in self.signal],
            "faults": find_faults(self.faults),
            "workers": self.workers,
        }

    def write_words(self) -> list[str]:
        """Return the words of a command line that set these options, without those that have their default."""
        words: list[str] = []
        for name in ("provide", "stub", "signal"):
            for word in getattr(self, name):
                words += [f"--{name}", word]
        if self.faults != "none":
            words += ["--faults", self.faults]
        if self.workers != 1:
            words += ["--workers", str(self.workers)]
        return words


def read_stubs(words: Sequence[str], workflow: type[Any]) -> dict[Any, Any]:
    """Return the stubs that `--stub ACTIVITY=MODULE:FUNCTION` names, by activity.

    Raises:
        UsageError: there is no such activity or function.
    """
    return dict(_read_stub(word, workflow) for word in words)


def find_faults(name: str) -> Faults:
    """Return the faults with a name.

    Raises:
        UsageError: there are no such faults.
    """
    if name not in _FAULTS:
        raise UsageError(f"--faults {name}: expected one of {', '.join(_FAULTS)}")
    return _FAULTS[name]()


def read_signal_option(word: str) -> Signal | tuple[timedelta, Signal]:
    """Return the signal of `[AFTER:]MODULE:SIGNAL[{FIELDS}]`, an item of `signals=` of `simulate`.

    Raises:
        UsageError: it names no signal, or its fields do not have their types.
    """
    found = _SIGNAL.fullmatch(word)
    if found is None:
        raise UsageError(f'--signal {word}: write AFTER:MODULE:SIGNAL{{FIELDS}}, such as 3d:shop:Approve{{"by":"Ann"}}')
    try:
        signal = msgspec.json.decode(found["fields"] or "{}", type=loading.load_signal(found["target"]))
    except msgspec.DecodeError as error:
        raise UsageError(f"--signal {word}: {error}") from error
    return signal if found["after"] is None else (read_span(found["after"]), signal)


def _read_stub(word: str, workflow: type[Any]) -> tuple[Any, Any]:
    name, equals, target = word.partition("=")
    if not equals or ":" not in target:
        raise UsageError(f"--stub {word}: write --stub ACTIVITY=MODULE:FUNCTION, a function of the activity's call")
    return find_activity(name, [workflow], option="--stub"), loading.load(target)


def save_history(run: SimulatedRun[Any], file: Path) -> None:
    """Write the history of a run to a file, for `traction replay`.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        file.write_text(write_stored(make_stored(run.history, run.execution)), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--save {file}: cannot write the file: {error.strerror}") from error
