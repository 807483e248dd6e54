"""`traction serve`: let boto3, the AWS CLI and other frameworks work on the simulator, over HTTP.

Takes options; gives a server that runs until it is told to stop. Nothing is decided here.
"""

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
"""Where the server is, unless it is told otherwise."""

PACE_MAX = 1_000_000

RETENTION_DAYS = "30"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on. Nothing is encrypted, and nobody checked.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = PORT,
    db: Annotated[str | None, typer.Option(metavar="FILE", help="Keep all in this file, not in memory.")] = None,
    domain: Annotated[
        list[str] | None, typer.Option(help="Register a domain at the start; may be given more than once.")
    ] = None,
    virtual: Annotated[bool, typer.Option("--virtual", help="Let time stand still until it is advanced.")] = False,
    speed: Annotated[
        float, typer.Option(min=0.001, max=PACE_MAX, help="How many seconds pass in one.", show_default=True)
    ] = 1.0,
    lambda_: Annotated[
        list[str] | None,
        typer.Option("--lambda", metavar="[NAME=]MODULE:FUNCTION", help="What answers a Lambda function, by its name."),
    ] = None,
    poll_wait: Annotated[
        float, typer.Option(min=0, max=3600, help="How many seconds a poll is held; 0 answers it at once.")
    ] = 60.0,
    throttle: Annotated[bool, typer.Option("--throttle", help="Refuse calls beyond SWF's rates.")] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A name besides localhost by which clients may reach the server; * for any."),
    ] = None,
) -> None:
    """Serve the simulator of SWF over HTTP: point boto3 or the AWS CLI at the URL that is printed."""
    if virtual and speed != 1.0:
        raise typer.BadParameter("time stands still with --virtual: it has no speed", param_hint="--speed")
    from traction_local.server.app import serve as run

    service, file = _open_service(db, Limits(throttling=throttle), load_lambdas(lambda_ or ()))
    # A file may come from a server whose time went faster, and a service's time never goes back.
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
            ready=_say,
        )
    except OSError as error:
        raise typer.BadParameter(f"cannot listen on {host}, port {port}: {error}", param_hint="--port") from None
    finally:
        backend.close()


def _say(url: str) -> None:
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
    """Find functions by `[NAME=]MODULE:FUNCTION`, and give what answers Lambda tasks with them, if there are any.

    Raises:
        DefinitionError: there is no such function.
    """
    return answer_by(dict(_load(target) for target in targets))


def _load(target: str) -> tuple[str, Handler]:
    name, _, place = target.rpartition("=")
    module, _, path = place.partition(":")
    if not module or not path:
        raise DefinitionError(f"{target!r} names no function: write MODULE:FUNCTION, or NAME=MODULE:FUNCTION")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        function: Any = importlib.import_module(module)
        for part in path.split("."):
            function = getattr(function, part)
    except (ImportError, AttributeError) as error:
        raise DefinitionError(f"{target!r} cannot be loaded: {error}") from error
    if not callable(function) or not _takes_two(function):
        raise DefinitionError(f"{target!r} is no Lambda handler: it must take the input and a context")
    return name or path.rpartition(".")[2], function


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(None, None)
    except (TypeError, ValueError):
        return False
    return True
