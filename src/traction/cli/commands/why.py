"""`traction why`: explain what an execution waits for, or why it is stuck."""

from __future__ import annotations

import typer

from traction.cli import output
from traction.cli.loading import load_workflows, open_codec, open_for
from traction.cli.options import CodecName, Definitions, Id, Json, Payloads, RunId, Url
from traction.client.looking import explain_execution
from traction.client.visibility import find_execution


def why(
    context: typer.Context,
    workflow_id: Id,
    run_id: RunId = None,
    definitions: Definitions = None,
    url: Url = "local:",
    codec: CodecName = None,
    payloads: Payloads = None,
    json: Json = False,
) -> None:
    """Explain what an execution waits for, or why it is stuck.

    The first sentence answers; the facts follow: since when, at which line, and who can answer.
    """
    workflows = load_workflows(definitions)
    payload_codec = open_codec(codec, payloads, context)
    with open_for(context, url) as backend:
        execution = find_execution(backend, workflow_id, run_id)
        explanation = explain_execution(backend, execution, workflows=workflows, codec=payload_codec)
    if json:
        output.show_document(explanation)
    else:
        output.show_lines(str(explanation))
