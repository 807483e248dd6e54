"""`traction run`: run a workflow to its end, with workers for all that it needs, and show its timeline."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Annotated, Any

import typer

from traction.cli import arguments, loading, output
from traction.cli.dependencies import provide_all
from traction.cli.documents import Run, to_failure
from traction.cli.options import CodecName, Json, Payloads, Provide, Target, Url, Verbose
from traction.client.handle import Handle
from traction.client.run import LEAVING
from traction.client.run import run as run_embedded
from traction.client.system import WorkerSystem
from traction.errors import TractionError
from traction.history.reading import read_execution
from traction.history.views import ExecutionView

DRAWS_PER_SECOND = 8
DRAW_SHARE = 10
"""Progress takes at most a tenth of the time, however long the history is."""


def run(
    target: Target,
    provide: Provide = None,
    url: Url = "local:",
    payloads: Payloads = None,
    codec: CodecName = None,
    timeout: Annotated[float | None, typer.Option(help="The maximum number of seconds to wait for the result.")] = None,
    json: Json = False,
    verbose: Verbose = False,
    *,
    fields: dict[str, Any],
) -> None:
    """Run a workflow to its end.

    Its result is printed to standard output, its timeline to standard error. The fields of the workflow are options.
    List them with `traction run MODULE:WORKFLOW --help`.
    """
    workflow = loading.load_workflow(target)
    call = arguments.make_call(workflow, fields)
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
        output.show_message("Waiting up to a minute for pending polls, which may still return tasks")
    view = read_last(handles[0], url) if handles else None
    if json and handles:
        output.show_document(
            Run(
                workflow_id=handles[0].workflow_id,
                run_id=handles[0].run_id,
                result=output.to_plain(result, handles[0].codec),
                error=None if error is None else to_failure(error),
                execution=view,
            )
        )
    elif view is not None:
        output.show_timeline(view, sys.stderr)
    if error is not None:
        if not json and (trace := getattr(error, "traceback", "")):
            output.show_message(f"\n{trace}")
        raise error
    if not json:
        output.show_result(result)


def read_last(handle: Handle[Any], url: str) -> ExecutionView | None:
    """Return the view of a run whose backend has been closed."""
    try:
        return read_execution(handle.history(), execution=handle.execution, codec=handle.codec)
    except TractionError:
        with WorkerSystem(url) as system:
            events = system.get_handle(handle.execution).history()
            return read_execution(events, execution=handle.execution, codec=handle.codec)


@contextmanager
def show_progress(find_handle: Callable[[], Handle[Any] | None]) -> Iterator[None]:
    """Draw the timeline on standard error repeatedly while the body runs, then erase it."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    progress = Progress(find_handle)
    with Live(
        get_renderable=lambda: progress.draw(console.width - 1, console.height - 2),
        console=console,
        refresh_per_second=DRAWS_PER_SECOND,
        transient=True,
    ):
        yield


class Progress:
    """The timeline of a running execution. Reads its history only as often as is cheap."""

    def __init__(self, find_handle: Callable[[], Handle[Any] | None]) -> None:
        self._find_handle = find_handle
        self._began = 0.0
        self._next_draw = 0.0
        self._drawn: Any = ""
        self._lock = threading.Lock()

    def draw(self, width: int, lines_max: int) -> Any:
        """Return the timeline as coloured text; the last one if it is too early to read again."""
        handle = self._find_handle()
        began = time.monotonic()
        with self._lock:
            if handle is None or began < self._next_draw:
                return self._drawn
            try:
                events = handle.history()
                self._began = self._began or began
                # By this machine's clock: the service's may differ.
                view = read_execution(
                    events,
                    until=events[0].event_timestamp + timedelta(seconds=began - self._began),
                    codec=handle.codec,
                )
            except TractionError:
                return self._drawn
            self._drawn = output.draw_timeline(view, sys.stderr, width, lines_max)
            took = time.monotonic() - began
            self._next_draw = began + took * DRAW_SHARE
            return self._drawn
