"""The cross-process check: replay a history in another process, with another hash seed, and compare the decisions.

Decisions that depend on the order of a set, on `hash()`, on an address or on the state of a module differ there.

The other process starts at the first check and lives as long as its parent. It imports the module of a definition by
name, so it finds only definitions at the top of modules. Others are not checked, nor modules that changed since the
parent started. A module that simulates while it is imported does so there too, without a check. Output of modules is
discarded there, and their input is empty.
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
"""The hash seed of the other process; the second if the parent has the first."""

HISTORIES_MAX: Final = 40
"""The maximal number of different histories that are checked per definition."""

EVENTS_MAX: Final = 20_000
"""The maximal number of events that the other process reads for one request."""

REPLY_SECONDS_MAX: Final = 30.0
"""The maximal time of a reply, including the import of a module."""

_STARTED: Final = time.time()  # noqa: TID251  # compared with times of the file system

_WAY_OUT: Final = (
    "A set has another order there: sort it before iterating. The results of hash() and id() differ too, and so may "
    "values that a module computed while it was imported"
)


class Request(msgspec.Struct):
    """A request to the other process: decide at these cuts of a history."""

    path: list[str]
    module: str
    file: str | None
    name: str
    execution: WorkflowExecution
    events: list[e.Event]
    cuts: list[int]


class Reply(msgspec.Struct):
    """The decisions at each cut; or why the definition was not found, or the error."""

    decided: list[list[d.Decision]] = []
    globals: dict[str, str] = {}
    unknown: str = ""
    error: str = ""
    gone: bool = False


class OtherProcess:
    """The other process, as its parent sees it."""

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
        """Whether it runs and was started by this process: a fork starts its own."""
        return self._owner == os.getpid() and self._process.poll() is None

    def send(self, request: Request) -> Reply:
        """Send a request, and wait for the reply."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        # A module may hang while it is imported.
        timer = threading.Timer(REPLY_SECONDS_MAX, process.kill)
        timer.daemon = True
        with self._lock:
            timer.start()
            try:
                process.stdin.write(msgspec.json.encode(request) + b"\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except OSError:
                line = b""
            except BaseException:  # else the next request would read this reply
                self.close()
                raise
            finally:
                timer.cancel()
        if not line:
            self.close()
            return Reply(unknown="the process ends or hangs while the module is imported or the flow is run", gone=True)
        return msgspec.json.decode(line, type=Reply)

    def close(self) -> None:
        """End the process, unless a parent of this process started it."""
        if self._owner != os.getpid():
            return
        atexit.unregister(self.close)
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._process.wait()


_processes: list[OtherProcess] = []
"""The processes that were started; the last one may be usable."""

_differences: dict[Any, dict[int, str]] = {}
"""The first difference, by definition and by a hash of the history; empty if there is none."""

_unknown: dict[Any, str] = {}
"""Why definitions were not found, and in which modules the other process ended or hung."""


def check_cross_process(
    workflow: Any,
    execution: WorkflowExecution,
    events: Sequence[e.Event],
    decided: Mapping[int, Sequence[d.Decision]],
) -> str:
    """Check that the other process makes the decisions that were made live; return why it was skipped, else "".

    A limited number of histories is checked for each definition, and none twice. Lists in payloads are compared
    without their order, since they may come from sets.

    Raises:
        UnsoundFlowError: it makes other decisions.
    """
    if reason := _explain_unknown(workflow):
        return reason
    differences = _differences.setdefault(workflow, {})
    parts = ((type(event), getattr(event, "input", None), getattr(event, "result", None)) for event in events)
    shape = hash(tuple(parts))
    if shape not in differences:
        if len(differences) >= HISTORIES_MAX:
            return ""
        differences[shape], reason = _compare(workflow, execution, events, decided)
        if reason:
            return reason
    if difference := differences[shape]:
        raise UnsoundFlowError(difference)
    return ""


def _explain_unknown(workflow: Any) -> str:
    """Return why the other process cannot find a definition; empty if it may."""
    name, module = workflow.__qualname__, workflow.__module__
    if "<locals>" in name:
        return f"{name} is not at the top of a module"
    # Importing the main program would run it again. In a child of `multiprocessing` it has another name.
    if module in (None, "__main__", "__mp_main__"):
        return f"{name} is part of the main program, not of a module"
    if _is_other_process():
        return "this is the other process"
    if getattr(sys, "frozen", False) or not Path(sys.executable or "").stem.lower().startswith(("python", "pypy")):
        return "this program has no Python interpreter to start"
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
    if file is not None and os.path.exists(file) and os.path.getmtime(file) > _STARTED:
        reply = Reply(unknown="its module has changed since this process started")
    else:
        request = Request(sys.path, module, file, workflow.__qualname__, execution, list(events), cuts)
        reply = _get_process().send(request)
    if reply.unknown:
        _unknown[module if reply.gone else workflow] = reply.unknown
        return "", _explain_unknown(workflow)
    error = _find_difference(execution, decided, cuts, reply)
    live = describe_globals(sys.modules[module]) if error else {}
    for name, value in live.items():
        if reply.globals.get(name, value) != value:
            return "", f"{module}.{name} has another value there; a test may have set it here"
    return error, ""


def _get_process() -> OtherProcess:
    if not (_processes and _processes[-1].usable):
        _processes.append(OtherProcess())
    return _processes[-1]


def _find_difference(
    execution: WorkflowExecution, decided: Mapping[int, Sequence[d.Decision]], cuts: Sequence[int], reply: Reply
) -> str:
    there = "in another process, with another hash seed,"
    if reply.error:
        return f"{execution.workflow_id} cannot be replayed {there} from its history: {reply.error}\n{_WAY_OUT}"
    for cut, anew in zip(cuts, reply.decided, strict=True):
        if [_normalize(decision) for decision in decided[cut]] != [_normalize(decision) for decision in anew]:
            return (
                f"{execution.workflow_id} makes other decisions {there} at event {cut}:\n"
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


def _is_other_process() -> bool:
    """Return whether this process was started for the check."""
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


# In the other process.


def handle_request(request: Request) -> Reply:
    """Decide at each cut."""
    sys.path[:] = request.path
    try:
        module = _load(request.module, request.file)
        workflow: Any = module
        for name in request.name.split("."):
            workflow = getattr(workflow, name)
    except (Exception, SystemExit) as error:
        return Reply(unknown=repr(error))
    constants = describe_globals(module)
    try:
        decided = [
            decide(workflow, request.events[:cut], execution=request.execution, codec=JSON) for cut in request.cuts
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
        alias = f"_copy_of_{name}"
        if alias not in sys.modules:
            spec = importlib.util.spec_from_file_location(alias, file)
            assert spec is not None
            assert spec.loader is not None
            module = sys.modules[alias] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        return sys.modules[alias]


def main() -> None:
    """Reply to requests, one per line, until the parent ends."""
    source, replies = open(os.dup(0), "rb"), open(os.dup(1), "wb")  # noqa: SIM115
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):  # modules must not read requests or print between replies
        os.dup2(null, stream)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all its processes
    requests: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(source, requests), daemon=True).start()
    while True:
        reply = handle_request(msgspec.json.decode(requests.get(), type=Request))
        replies.write(msgspec.json.encode(reply) + b"\n")
        replies.flush()


def _listen(source: BinaryIO, requests: SimpleQueue[bytes]) -> None:
    """Read requests, and end the process when the parent ends, even in the middle of a request."""
    for line in source:
        requests.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
