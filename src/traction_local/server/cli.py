"""`traction serve`: the simulator over HTTP, for boto3, the AWS CLI and other frameworks."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from traction.errors import DefinitionError, DomainAlreadyExistsFault
from traction.extras import needed_by
from traction.model import operations as o
from traction.model.limits import Limits
from traction_local.backend import LocalBackend
from traction_local.clock import system_now
from traction_local.service.knobs import LambdaCall, LambdaOutcome
from traction_local.service.lambda_handlers import Handler, answer_by
from traction_local.service.service import Service
from traction_local.virtual_clock import FastClock, VirtualClock

with needed_by("the command line"):
    import typer

if TYPE_CHECKING:
    from traction_local.journal import JournaledService

PORT = 8787
"""The default port."""

PACE_MAX = 1_000_000

RETENTION_DAYS = "30"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on. No encryption, no authentication.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 chooses a free one.")] = PORT,
    db: Annotated[
        str | None, typer.Option(metavar="FILE", help="Store the state in this file instead of in memory.")
    ] = None,
    domain: Annotated[
        list[str] | None, typer.Option(help="Register a domain at the start; may be given more than once.")
    ] = None,
    virtual: Annotated[bool, typer.Option("--virtual", help="Stop the clock until it is advanced.")] = False,
    speed: Annotated[
        float, typer.Option(min=0.001, max=PACE_MAX, help="Seconds of simulated time per second.", show_default=True)
    ] = 1.0,
    lambda_: Annotated[
        list[str] | None,
        typer.Option("--lambda", metavar="[NAME=]MODULE:FUNCTION", help="The handler of a Lambda function, by name."),
    ] = None,
    poll_wait: Annotated[
        float, typer.Option(min=0, max=3600, help="Seconds that a poll waits for a task; 0 returns at once.")
    ] = 60.0,
    throttle: Annotated[bool, typer.Option("--throttle", help="Refuse calls beyond SWF's rates.")] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A host name besides localhost that clients may use; * for any."),
    ] = None,
    ui: Annotated[
        bool, typer.Option("--ui/--no-ui", help="Show executions in a browser at the URL that is printed.")
    ] = True,
    write: Annotated[
        bool, typer.Option("--write", help="Let the page signal, cancel and terminate executions.")
    ] = False,
) -> None:
    """Serve the simulator of SWF over HTTP.

    Point boto3 or the AWS CLI at the URL that is printed.
    """
    if virtual and speed != 1.0:
        raise typer.BadParameter("cannot be used with --virtual, which stops the clock", param_hint="--speed")
    from traction_local.server.app import serve as run

    service, file = _open_service(db, Limits(throttling=throttle), load_lambdas(lambda_ or ()))
    # The time of a service never goes back, and the file may come from a server whose time ran faster.
    begin = max(system_now(), service.clock)
    clock = VirtualClock(begin)
    backend = LocalBackend(
        service,
        url="local:" if db is None else f"local:{db}",
        limits=Limits(throttling=throttle),
        clock=clock if virtual else system_now if speed == 1.0 and begin <= system_now() else FastClock(speed, begin),
        pace=0.0 if virtual else speed,
        file=file,
    )
    try:
        for name in domain or ():
            with suppress(DomainAlreadyExistsFault):
                backend.call(o.RegisterDomain(name=name, workflow_execution_retention_period_in_days=RETENTION_DAYS))
        run(
            backend,
            host=host,
            port=port,
            clock=clock if virtual else None,
            hosts=frozenset(name.lower() for name in allow_host or ()),
            wait=timedelta(seconds=poll_wait),
            ready=_print_url,
            page_domain=(domain[0] if domain else backend.domain) if ui else None,
            page_may_write=write,
        )
    except OSError as error:
        raise typer.BadParameter(f"cannot listen on {host}, port {port}: {error}", param_hint="--port") from None
    finally:
        backend.close()


def _print_url(url: str) -> None:
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()


def _open_service(
    db: str | None, limits: Limits, lambdas: Callable[[LambdaCall], LambdaOutcome] | None
) -> tuple[Service, JournaledService | None]:
    seed = os.urandom(16).hex()
    if db is None:
        return Service(seed=seed, limits=limits, lambdas=lambdas), None
    from traction_local.journal import JournaledService

    file = JournaledService(Path(db).expanduser(), seed=seed, group=True, limits=limits, lambdas=lambdas)
    return file, file


# Lambda functions.


def load_lambdas(targets: Sequence[str]) -> Callable[[LambdaCall], LambdaOutcome] | None:
    """Load handlers by `[NAME=]MODULE:FUNCTION`. Returns a function that runs Lambda tasks with them, if any.

    Raises:
        DefinitionError: the function does not exist.
    """
    return answer_by(dict(_load(target) for target in targets))


def _load(target: str) -> tuple[str, Handler]:
    name, _, place = target.rpartition("=")
    module, _, path = place.partition(":")
    if not module or not path:
        raise DefinitionError(f"{target!r} does not name a function: write MODULE:FUNCTION, or NAME=MODULE:FUNCTION")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        function: Any = importlib.import_module(module)
        for part in path.split("."):
            function = getattr(function, part)
    except (ImportError, AttributeError) as error:
        raise DefinitionError(f"{target!r} cannot be loaded: {error}") from error
    if not callable(function) or not _takes_two(function):
        raise DefinitionError(
            f"{target!r} is not a Lambda handler: it must take two arguments, the input and a context"
        )
    return name or path.rpartition(".")[2], function


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(None, None)
    except (TypeError, ValueError):
        return False
    return True
