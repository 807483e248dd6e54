"""`traction ui`: show what runs on a backend, in a browser."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from traction.cli import output
from traction.cli.loading import load_workflows, open_codec, open_for
from traction.cli.logs import make_handler
from traction.cli.options import CodecName, Definitions, Payloads, Url

PORT = 8788
"""The default port."""


def show_page(
    context: typer.Context,
    url: Url = "local:",
    host: Annotated[str, typer.Option(help="The address to listen on. No encryption, no authentication.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 chooses a free one.")] = PORT,
    definitions: Definitions = None,
    codec: CodecName = None,
    payloads: Payloads = None,
    write: Annotated[
        bool, typer.Option("--write", help="Let the page signal, cancel and terminate executions.")
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A host name besides localhost that browsers may use; * for any. Repeatable."),
    ] = None,
) -> None:
    """Show executions and what they wait for in a browser."""
    from traction.ui.app import Page, Site
    from traction.ui.listening import serve_page

    workflows = load_workflows(definitions)
    payload_codec = open_codec(codec, payloads, context)
    logging.getLogger("traction").addHandler(make_handler())
    # The log of actions.
    logging.getLogger("traction.ui").setLevel(logging.INFO)
    with open_for(context, url) as backend:
        site = Site(
            backend=backend,
            workflows=tuple(workflows),
            codec=payload_codec,
            may_write=write,
            hosts=frozenset({host.lower(), *(name.lower() for name in allow_host or ())}),
        )
        try:
            serve_page(Page(site), host=host, port=port, ready=lambda address: output.show_lines(address))
        except OSError as error:
            raise typer.BadParameter(f"cannot listen on {host}, port {port}: {error}", param_hint="--port") from None
