"""The cross-process check: replay a history in another process, with another hash seed, and compare the decisions.

What depends on the order of a set,
on `hash()`, on an address or on what a module happened to keep differs there.

The twin is one process for as long as its parent lives, and begins with the first question. It imports the module of a
definition by its name, so it knows only definitions at the top of modules; others are not checked, nor modules
that have changed since the parent began. A module that simulates while it is imported does so in the twin as well,
which has no twin of its own. What modules print or read there goes nowhere.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from queue import SimpleQueue
from types import ModuleType
from typing import Any, BinaryIO, Final

import msgspec

from traction.decider.decider import decide
from traction.errors import TractionError
from traction.model import decisions as d
from traction.model import events as e
from traction.model.names import WorkflowExecution
from traction.payloads.codec import JSON
from traction_local.simulation.determinism import UnsoundFlowError, list_cuts, show_decision

HASH_SEEDS: Final = ("4242", "24")
"""The hash seed of the twin; the second if the parent has the first."""

HISTORIES_MAX: Final = 40
"""The maximal number of different histories that are checked per definition."""

EVENTS_MAX: Final = 20_000
"""The maximal number of events that the twin reads for one question."""

REPLY_SECONDS_MAX: Final = 30.0
"""The maximal time of a reply, including the import of a module."""

_BEGAN: Final = time.time()  # noqa: TID251  # by the clock of the file system

_WAY_OUT: Final = (
    "A flow that goes over a set goes in another order there: sort it. What hash() and id() give differs, and so does "
    "what a module got from elsewhere while it was imported"
)


class Question(msgspec.Struct):
    """A request to the twin: decide at these cuts of a history."""

    path: list[str]
    module: str
    file: str | None
    name: str
    execution: WorkflowExecution
    events: list[e.Event]
    cuts: list[int]


class Reply(msgspec.Struct):
    """The decisions at each cut; or why there are none, or the error."""

    decided: list[list[d.Decision]] = []
    globals: dict[str, str] = {}
    unknown: str = ""
    error: str = ""
    gone: bool = False


class Twin:
    """The other process, from the parent's side."""

    def __init__(self) -> None:
        seed = HASH_SEEDS[os.environ.get("PYTHONHASHSEED") == HASH_SEEDS[0]]
        here = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "traction_local.simulation.cross_process"],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path, "PYTHONBREAKPOINT": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._owner = os.getpid()
        self._lock = threading.Lock()
        atexit.register(self.close)

    @property
    def usable(self) -> bool:
        """Whether it runs, and is the twin of this process: a fork has a twin of its own."""
        return self._owner == os.getpid() and self._process.poll() is None

    def ask(self, question: Question) -> Reply:
        """Send a question, and wait for the reply."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        # A module may hang while it is imported.
        patience = threading.Timer(REPLY_SECONDS_MAX, process.kill)
        patience.daemon = True
        with self._lock:
            patience.start()
            try:
                process.stdin.write(msgspec.json.encode(question) + b"\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except OSError:
                line = b""
            except BaseException:  # else the next question would read this reply
                self.close()
                raise
            finally:
                patience.cancel()
        if not line:
            self.close()
            return Reply(unknown="it ends or hangs where its module is imported or it is decided", gone=True)
        return msgspec.json.decode(line, type=Reply)

    def close(self) -> None:
        """End the process, unless it is that of a parent of this one."""
        if self._owner != os.getpid():
            return
        atexit.unregister(self.close)
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._process.wait()


_twins: list[Twin] = []
"""The twin of this process, the last, if there is one; before it those that are gone."""

_verdicts: dict[Any, dict[int, str]] = {}
"""What is wrong with a definition, by a shape of its histories: empty if nothing is."""

_unknown: dict[Any, str] = {}
"""The definitions that the twin cannot find, and the modules in which it ends or hangs, and why."""


def check_twin(
    workflow: Any,
    execution: WorkflowExecution,
    events: Sequence[e.Event],
    decided: Mapping[int, Sequence[d.Decision]],
) -> str:
    """Check that the twin decides what was decided live; return why it cannot be asked, or an empty string.

    Of each definition some different histories are checked, and none twice. Payloads are compared as sets would be: the
    order of what they list is no claim.

    Raises:
        UnsoundFlowError: it decides something else.
    """
    if reason := _explain_unknown(workflow):
        return reason
    verdicts = _verdicts.setdefault(workflow, {})
    parts = ((type(event), getattr(event, "input", None), getattr(event, "result", None)) for event in events)
    shape = hash(tuple(parts))
    if shape not in verdicts:
        if len(verdicts) >= HISTORIES_MAX:
            return ""
        verdicts[shape], reason = _compare(workflow, execution, events, decided)
        if reason:
            return reason
    if verdict := verdicts[shape]:
        raise UnsoundFlowError(verdict)
    return ""


def _explain_unknown(workflow: Any) -> str:
    """Return why the twin cannot know a definition; empty if it may."""
    name, module = workflow.__qualname__, workflow.__module__
    if "<locals>" in name:
        return f"{name} is not at the top of a module"
    # A program that runs would run again if it were imported. In a child of `multiprocessing` it has another name.
    if module in (None, "__main__", "__mp_main__"):
        return f"{name} is part of a program, and not of a module"
    if _is_twin():
        return "this is the other process"
    if getattr(sys, "frozen", False) or not Path(sys.executable or "").stem.lower().startswith(("python", "pypy")):
        return "this program has no Python interpreter of its own that could be started"
    if found := _unknown.get(workflow) or _unknown.get(module):
        return f"{name} is not found there: {found}"
    return ""


def _compare(
    workflow: Any, execution: WorkflowExecution, events: Sequence[e.Event], decided: Mapping[int, Sequence[d.Decision]]
) -> tuple[str, str]:
    """Return the first difference, and why the check was skipped; both may be empty."""
    module, file = workflow.__module__, getattr(sys.modules.get(workflow.__module__), "__file__", None)
    cuts = list_cuts(events, decided)
    while sum(cuts) > EVENTS_MAX and len(cuts) > 1:
        cuts = cuts[len(cuts) % 2 == 0 :: 2]  # and the last one stays
    if file is not None and os.path.exists(file) and os.path.getmtime(file) > _BEGAN:
        reply = Reply(unknown="its module has changed since this process began")
    else:
        question = Question(sys.path, module, file, workflow.__qualname__, execution, list(events), cuts)
        reply = _find_twin().ask(question)
    if reply.unknown:
        _unknown[module if reply.gone else workflow] = reply.unknown
        return "", _explain_unknown(workflow)
    error = _find_difference(execution, decided, cuts, reply)
    live = describe_globals(sys.modules[module]) if error else {}
    for name, value in live.items():
        if reply.globals.get(name, value) != value:
            return "", f"{module}.{name} has another value there, so that a test may have set it here"
    return error, ""


def _find_twin() -> Twin:
    """Return the twin of this process."""
    if not (_twins and _twins[-1].usable):
        _twins.append(Twin())
    return _twins[-1]


def _find_difference(
    execution: WorkflowExecution, decided: Mapping[int, Sequence[d.Decision]], cuts: Sequence[int], reply: Reply
) -> str:
    there = "in another process, with another hash seed,"
    if reply.error:
        return f"{execution.workflow_id} cannot be decided {there} from its history: {reply.error}\n{_WAY_OUT}"
    for cut, anew in zip(cuts, reply.decided, strict=True):
        if [_normalize(decision) for decision in decided[cut]] != [_normalize(decision) for decision in anew]:
            return (
                f"{execution.workflow_id} decides one thing here and another {there} at event {cut}:\n"
                f"  here:   {', '.join(map(show_decision, decided[cut]))}\n"
                f"  there:  {', '.join(map(show_decision, anew))}\n{_WAY_OUT}"
            )
    return ""


def describe_globals(module: ModuleType) -> dict[str, str]:
    """Return the constants of a module, which tests set to other values, by their names."""
    simple = (bool, int, float, str, bytes, timedelta, type(None))
    return {
        name: repr(value) for name, value in vars(module).items() if type(value) in simple and not name.startswith("__")
    }


def _is_twin() -> bool:
    """Return whether this process is a twin."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec is not None and spec.name == "traction_local.simulation.cross_process"


def _normalize(decision: d.Decision) -> dict[str, Any]:
    fields = msgspec.structs.asdict(decision)
    if isinstance(decision, d.FailWorkflowExecution):
        fields["details"] = None  # a traceback, which is for people
    for name in ("input", "result", "details"):
        if isinstance(fields.get(name), str):
            fields[name] = _sort(fields[name])
    return {"kind": type(decision).__name__, **fields}


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
        module = _load(question.module, question.file)
        workflow: Any = module
        for name in question.name.split("."):
            workflow = getattr(workflow, name)
    except (Exception, SystemExit) as error:
        return Reply(unknown=repr(error))
    constants = describe_globals(module)
    try:
        decided = [
            decide(workflow, question.events[:cut], execution=question.execution, codec=JSON) for cut in question.cuts
        ]
    except TractionError as error:
        return Reply(globals=constants, error=f"{type(error).__name__}: {error}")
    return Reply(decided, constants)


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
    """Answer questions, one a line, until the parent is gone."""
    asked, replies = open(os.dup(0), "rb"), open(os.dup(1), "wb")  # noqa: SIM115
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):  # what modules read and print is neither a question nor an answer
        os.dup2(nothing, stream)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which a terminal sends to all its processes
    questions: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(asked, questions), daemon=True).start()
    while True:
        reply = answer(msgspec.json.decode(questions.get(), type=Question))
        replies.write(msgspec.json.encode(reply) + b"\n")
        replies.flush()


def _listen(asked: BinaryIO, questions: SimpleQueue[bytes]) -> None:
    """Take questions, and end the process with the parent, whatever it is at."""
    for line in asked:
        questions.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
