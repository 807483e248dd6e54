"""`traction run`: run a workflow to its end, with workers for all that it needs, and show how it went."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Annotated, Any

import typer

from traction.cli import arguments, loading, output
from traction.cli.dependencies import provide_all
from traction.cli.options import CodecName, Json, Payloads, Provide, Target, Url, Verbose
from traction.client.handle import Handle
from traction.client.run import LEAVING
from traction.client.run import run as run_embedded
from traction.client.system import WorkerSystem
from traction.errors import TractionError
from traction.history.timeline import Timeline, read_timeline

LOOKS_PER_SECOND = 8
LOOK_SHARE = 10
"""Progress takes a tenth of the time at the most, however long the history is."""


def add_to(app: typer.Typer, argv: Sequence[str]) -> None:
    """Add the command, with options for the fields of the workflow that the arguments name."""
    target = arguments.find_target(argv, "run")
    workflow = None if target is None else loading.load_workflow(target)
    app.command("run")(arguments.with_fields(run, workflow))


def run(
    target: Target,
    provide: Provide = None,
    url: Url = "local:",
    payloads: Payloads = None,
    codec: CodecName = None,
    timeout: Annotated[float | None, typer.Option(help="How many seconds to wait at the most.")] = None,
    json: Json = False,
    verbose: Verbose = False,
    *,
    said: dict[str, Any],
) -> None:
    """Run a workflow to its end: print its result, and how it went.

    The fields of the workflow are options: see them with `traction run MODULE:WORKFLOW --help`.
    """
    workflow = loading.load_workflow(target)
    call = arguments.make_call(workflow, said)
    output.set_up_logs(verbose)
    handles: list[Handle[Any]] = []
    error: Exception | None = None
    result: Any = None
    with ExitStack() as stack:
        dependencies = provide_all(provide or (), stack, [workflow])
        if not json and sys.stderr.isatty():
            stack.enter_context(show_progress(lambda: handles[0] if handles else None))
        try:
            result = run_embedded(
                call,
                provide=dependencies,
                url=url,
                codec=loading.load_codec(codec),
                payloads=payloads,
                timeout=timeout,
                on_start=handles.append,
            )
        except (TractionError, TimeoutError) as caught:
            error = caught
    if any(thread.name == LEAVING for thread in threading.enumerate()):
        output.tell("Polls in flight may still be given tasks, and are waited for: a minute at the most")
    timeline = read_last(handles[0], url) if handles else None
    if json and handles:
        output.show_json(_say(handles[0], timeline, result, error))
    elif timeline is not None:
        output.show_timeline(timeline, sys.stderr)
    if error is not None:
        if not json and (trace := getattr(error, "traceback", "")):
            output.tell(f"\n{trace}")
        raise error
    if not json:
        output.show_result(result)


def _say(handle: Handle[Any], timeline: Timeline | None, result: Any, error: Exception | None) -> dict[str, Any]:
    said: dict[str, Any] = {"workflow_id": handle.workflow_id, "run_id": handle.run_id}
    if error is None:
        said["result"] = result
    else:
        facts = {name: getattr(error, name) for name in ("type", "message", "traceback") if hasattr(error, name)}
        said["error"] = {"kind": type(error).__name__, "text": str(error), **facts}
    return said | {"timeline": timeline}


def read_last(handle: Handle[Any], url: str) -> Timeline | None:
    """Read the timeline of a run whose backend has been closed."""
    try:
        return read_timeline(handle.history(), codec=handle._codec)
    except TractionError:
        with WorkerSystem(url) as system:
            return read_timeline(system.get_handle(handle.execution).history(), codec=handle._codec)


@contextmanager
def show_progress(find_handle: Callable[[], Handle[Any] | None]) -> Iterator[None]:
    """Draw the timeline again and again on standard error while the body runs; leave nothing of it."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    progress = Progress(find_handle)
    with Live(
        get_renderable=lambda: progress.draw(console.width - 1, console.height - 2),
        console=console,
        refresh_per_second=LOOKS_PER_SECOND,
        transient=True,
    ):
        yield


class Progress:
    """What a run looks like now; reads its history no more often than is cheap."""

    def __init__(self, find_handle: Callable[[], Handle[Any] | None]) -> None:
        self._find_handle = find_handle
        self._began = 0.0
        self._next_look = 0.0
        self._drawn: Any = ""
        self._lock = threading.Lock()

    def draw(self, width: int, lines_max: int) -> Any:
        """Give the timeline as coloured text; the last that was drawn, if it is too soon to look again."""
        handle = self._find_handle()
        began = time.monotonic()
        with self._lock:
            if handle is None or began < self._next_look:
                return self._drawn
            try:
                events = handle.history()
                self._began = self._began or began
                # By our own clock: the service's may differ.
                timeline = read_timeline(
                    events,
                    until=events[0].event_timestamp + timedelta(seconds=began - self._began),
                    codec=handle._codec,
                )
            except TractionError:
                return self._drawn
            self._drawn = output.draw_timeline(timeline, sys.stderr, width, lines_max)
            took = time.monotonic() - began
            self._next_look = began + took * LOOK_SHARE
            return self._drawn
