"""`traction graph`: draw what simulations discover of a workflow, and the history of an execution over it."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from traction.cli import arguments, loading, output
from traction.cli.documents import Discovered, DrawnGraph
from traction.cli.loading import UsageError
from traction.cli.options import GRAPH_OPTIONS, CodecName, FaultsName, Json, Payloads, RunId, Stub, Url, Verbose
from traction.cli.worlds import find_faults, read_stubs
from traction.client.visibility import find_execution
from traction.history import make_stored, merge_graphs, read_overlay, read_stored, write_mermaid, write_svg
from traction.history.export import StoredHistory
from traction.history.graphs.arrangement import Overlay
from traction.history.graphs.graph import Graph
from traction.history.graphs.json_export import view_graph
from traction.testing.discovery import RUNS_MAX, Discovery, discover

FORMATS = {".mmd": "mermaid", ".mermaid": "mermaid", ".svg": "svg", ".json": "json"}
"""The formats, by the endings of files."""


def show_graph(
    context: typer.Context,
    target: Annotated[
        str | None, typer.Argument(metavar="MODULE:WORKFLOW", help="A workflow to simulate.", show_default=False)
    ] = None,
    deviations: Annotated[int, typer.Option(min=0, help="The maximum number of deviations from the plain run.")] = 1,
    runs: Annotated[int, typer.Option(min=1, help="The maximum number of runs.")] = RUNS_MAX,
    seconds: Annotated[float, typer.Option(min=0, help="The maximum time of all runs.")] = 20,
    faults: FaultsName = "none",
    cancels: Annotated[bool, typer.Option("--cancels", help="Request the cancellation of some runs.")] = False,
    stub: Stub = None,
    format: Annotated[
        str | None, typer.Option(metavar="mermaid|svg|json", help="What to write. [default: by --output, else mermaid]")
    ] = None,
    output_file: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="The file to write. [default: standard output]")
    ] = None,
    execution: Annotated[
        str | None, typer.Option(metavar="WORKFLOW_ID", help="Lay the history of this execution over the graph.")
    ] = None,
    run_id: RunId = None,
    history: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Lay the history in a file over the graph: traction history --export."),
    ] = None,
    url: Url = "local:",
    codec: CodecName = None,
    payloads: Payloads = None,
    json: Json = False,
    verbose: Verbose = False,
    *,
    fields: dict[str, Any],
) -> None:
    """Draw what simulations discover of a workflow.

    The graph has its steps, branches, loops, failures, signals and timers. Fields that have no option have samples of
    their types. Activities do not run: they return samples of their results, or fail. Without a workflow, the graph is
    that of one history.
    """
    output.set_up_logs(verbose)
    form = _find_format("json" if json else format, output_file)
    if target is None and execution is None and history is None:
        raise UsageError("graph needs a workflow, as module:Workflow, or --execution ID, or --history FILE")
    if execution is not None and history is not None:
        raise UsageError("--execution and --history exclude each other: one history can be laid over a graph")
    payload_codec = loading.open_codec(codec, payloads, context)
    graph, overlay, found, stored = Graph(), None, None, None
    workflow = None if target is None else loading.load_workflow(target)
    if execution is not None or history is not None:
        stored = _read_history(context, url, execution, run_id, history)
        if workflow is not None and stored.workflow_type.name != workflow.spec.type.name:
            raise UsageError(
                f"{target} is the workflow {workflow.spec.type.name}, and the history is one of "
                f"{stored.workflow_type.name}: name its workflow, or leave it out to draw the history alone"
            )
    if workflow is not None:
        found = discover(
            workflow,
            fields=arguments.read_fields(workflow, fields, GRAPH_OPTIONS),
            deviations=deviations,
            runs_max=runs,
            seconds_max=seconds,
            cancels=cancels,
            stub=read_stubs(stub or (), workflow),
            faults=find_faults(faults),
            codec=loading.load_codec(codec),
        )
        graph = found.graph
    if stored is not None:
        own, overlay = read_overlay(stored.events, codec=payload_codec)
        graph = merge_graphs(graph, own)
    _write(_format(form, graph, overlay, found), output_file)
    if found is not None:
        for line in describe(found):
            output.show_message(line)


def describe(found: Discovery) -> list[str]:
    """Return what a graph rests on, and what it does not show, in lines."""
    return [f"It rests on {found.summary}.", *(f"Not seen: {what}." for what in found.unseen)]


def _find_format(format: str | None, file: Path | None) -> str:
    if format is None:
        return "mermaid" if file is None else FORMATS.get(file.suffix.lower(), "mermaid")
    if format not in FORMATS.values():
        raise UsageError(f"--format {format}: expected one of mermaid, svg, json")
    return format


def _read_history(
    context: typer.Context, url: str, workflow_id: str | None, run_id: str | None, file: Path | None
) -> StoredHistory:
    if file is None:
        assert workflow_id is not None
        with loading.open_for(context, url) as backend:
            execution = find_execution(backend, workflow_id, run_id)
            return make_stored(backend.get_history(execution), execution)
    try:
        text = file.read_bytes()
    except OSError as error:
        raise UsageError(f"--history {file}: cannot read the file: {error.strerror}") from error
    return read_stored(text, str(file))


def _format(form: str, graph: Graph, overlay: Overlay | None, found: Discovery | None) -> str:
    lines = [] if found is None else describe(found)
    if form == "svg":
        return write_svg(graph, overlay, description=" ".join(lines))
    if form == "mermaid":
        return write_mermaid(graph, overlay, comments=lines)
    coverage = None
    if found is not None:
        values = msgspec.structs.asdict(found)
        coverage = Discovered(**{name: values[name] for name in Discovered.__struct_fields__})
    view = msgspec.structs.asdict(view_graph(graph, overlay))
    return dumps(msgspec.to_builtins(DrawnGraph(**view, coverage=coverage))) + "\n"


def _write(text: str, file: Path | None) -> None:
    if file is None or str(file) == "-":
        typer.echo(text, nl=False)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--output {file}: cannot write the file: {error.strerror}") from error
