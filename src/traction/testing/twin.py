"""Decide once more, in a process with another hash seed, other random numbers and another memory.

Takes a history and what was decided live; says whether the twin decides the same. What depends on the order of a set,
on `hash()`, on an address or on what a module happened to keep differs there.

The twin is one process for as long as its parent lives. It imports the module of a definition by its name, so it knows
only definitions at the top of modules: of others it says nothing. A module that explores while it is imported does so
in the twin as well, which has no twin of its own.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec

from traction import decisions as d
from traction import events as e
from traction.codec import JSON
from traction.decide import decide
from traction.errors import TractionError
from traction.names import WorkflowExecution
from traction.testing.audit import UnsoundFlow, list_cuts, show_decision

HASH_SEEDS: Final = ("4242", "24")
"""The hash seed of the twin; the second if the parent has the first."""


class Question(msgspec.Struct):
    """What the twin is asked: to decide at these cuts of a history."""

    path: list[str]
    module: str
    file: str | None
    name: str
    execution: WorkflowExecution
    events: list[e.Event]
    cuts: list[int]


class Reply(msgspec.Struct):
    """What it decides there; or why it has no answer, or which error came."""

    decided: list[list[d.Decision]] = []
    unknown: str = ""
    error: str = ""


class Twin:
    """The other process, from the parent's side."""

    def __init__(self) -> None:
        seed = HASH_SEEDS[os.environ.get("PYTHONHASHSEED") == HASH_SEEDS[0]]
        here = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "traction.testing.twin"],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        atexit.register(self.close)

    def ask(self, question: Question) -> Reply:
        """Ask, and wait for the reply."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(question) + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        return msgspec.json.decode(line, type=Reply) if line else Reply(unknown="the twin is gone")

    def close(self) -> None:
        """Let it go."""
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()


_twins: list[Twin] = []


def check_twin(
    workflow: Any,
    execution: WorkflowExecution,
    events: Sequence[e.Event],
    decided: Mapping[int, Sequence[d.Decision]],
) -> str:
    """Check that the twin decides what was decided live; if it cannot be asked, say why.

    Payloads are compared as sets would be: the order of what they list is no claim.

    Raises:
        UnsoundFlow: it decides something else.
    """
    if "<locals>" in workflow.__qualname__:
        return f"{workflow.__qualname__} is not at the top of a module"
    # A program that runs would run again if it were imported.
    if workflow.__module__ in (None, "__main__"):
        return f"{workflow.__qualname__} is part of a program, and not of a module"
    if _is_twin():
        return "this is the other process"
    cuts = list_cuts(events, decided)
    file = getattr(sys.modules.get(workflow.__module__), "__file__", None)
    if not _twins:
        _twins.append(Twin())
    reply = _twins[0].ask(
        Question(sys.path, workflow.__module__, file, workflow.__qualname__, execution, list(events), cuts)
    )
    if reply.unknown:
        return f"{workflow.__qualname__} is not found there: {reply.unknown}"
    said = "in another process, with another hash seed,"
    if reply.error:
        raise UnsoundFlow(f"{execution.workflow_id} cannot be decided {said} from its history: {reply.error}")
    for cut, anew in zip(cuts, reply.decided, strict=True):
        live = [_normalize(decision) for decision in decided[cut]]
        other = [_normalize(decision) for decision in anew]
        if live != other:
            raise UnsoundFlow(
                f"{execution.workflow_id} decides one thing here and another {said} at event {cut}:\n"
                f"  here:   {', '.join(map(show_decision, decided[cut]))}\n"
                f"  there:  {', '.join(map(show_decision, anew))}\n"
                "A flow that goes over a set goes in another order there: sort it; what hash() and id() give differs"
            )
    return ""


def _is_twin() -> bool:
    """Say whether this process is one."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name == "traction.testing.twin"


def _normalize(decision: d.Decision) -> dict[str, Any]:
    said = msgspec.structs.asdict(decision)
    if isinstance(decision, d.FailWorkflowExecution):
        said["details"] = None  # a traceback, which is for people
    for name in ("input", "result", "details"):
        if isinstance(said.get(name), str):
            said[name] = _sort(said[name])
    return {"kind": type(decision).__name__, **said}


def _sort(payload: str) -> Any:
    try:
        return _sort_value(msgspec.json.decode(payload))
    except msgspec.DecodeError:
        return payload


def _sort_value(value: Any) -> Any:
    if isinstance(value, list):
        return sorted(map(_sort_value, value), key=repr)
    if isinstance(value, dict):
        return {key: _sort_value(value[key]) for key in sorted(value)}
    return value


# The other side.


def answer(question: Question) -> Reply:
    """Decide at each cut."""
    sys.path[:] = question.path
    try:
        workflow: Any = _load(question.module, question.file)
        for name in question.name.split("."):
            workflow = getattr(workflow, name)
    except Exception as error:
        return Reply(unknown=repr(error))
    try:
        return Reply(
            [decide(workflow, question.events[:cut], execution=question.execution, codec=JSON) for cut in question.cuts]
        )
    except TractionError as error:
        return Reply(error=f"{type(error).__name__}: {error}")


def _load(name: str, file: str | None) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        if file is None:
            raise
        alias = f"_twin_of_{name}"
        if alias not in sys.modules:
            spec = importlib.util.spec_from_file_location(alias, file)
            assert spec is not None
            assert spec.loader is not None
            module = sys.modules[alias] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        return sys.modules[alias]


def main() -> None:
    """Answer questions, one a line, until there are no more."""
    out, sys.stdout = sys.stdout, sys.stderr  # what modules print is no answer
    for line in sys.stdin.buffer:
        out.buffer.write(msgspec.json.encode(answer(msgspec.json.decode(line, type=Question))) + b"\n")
        out.buffer.flush()


if __name__ == "__main__":
    main()
