"""boto3 clients for SWF, with the hooks that let msgspec decode responses, and their errors as Traction's.

botocore signs, sends, retries and parses errors. Its parser takes ten times as long for a history as msgspec, so a hook
takes the bytes of a response before botocore parses them, unless the URL has `decode=plain`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from functools import partial
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

import msgspec

from traction.errors import BackendError, ValidationException
from traction.extras import needed_by
from traction.model.sizes import explain_size
from traction_swf import wire
from traction_swf.error_codes import AnswerCut, NotTaken, ServiceUnavailable, classify
from traction_swf.url import SwfOptions

with needed_by("the backend swf://"):
    import boto3
    import botocore.exceptions as b
    from botocore.config import Config
    from botocore.parsers import ResponseParserError


POLL_READ_TIMEOUT = 75
"""The read timeout of a poll, in seconds. SWF holds polls for 60 s, and asks clients to allow 70 s."""

READ_TIMEOUT = 30
"""The read timeout of all other requests, in seconds."""

RELEASE_TIMEOUT = 5
"""The timeout of the request to end pending polls, in seconds."""

CONNECT_TIMEOUT = 10
"""The connect timeout, in seconds."""

READ_ATTEMPTS_MAX = 5
"""How often botocore sends a read before it raises."""

TIMED = frozenset(name for name in wire.OPERATIONS if name.endswith("WorkflowExecutions"))
"""The operations with time filters, which botocore would send in whole seconds."""

BODY = "TractionBody"

POLLS = frozenset({"PollForActivityTask", "PollForDecisionTask"})


def make_clients(options: SwfOptions) -> tuple[Any, Any, Any]:
    """Create the clients for polls, for reads and for changes."""
    try:
        session = boto3.Session(profile_name=options.profile, region_name=options.region)
        settings: dict[str, Any] = {"endpoint_url": options.endpoint}
        if options.is_local:
            settings |= _find_local_credentials(options, session)
        # The first client loads the service model, the others share it.
        polls = session.client("swf", config=_configure(options, POLL_READ_TIMEOUT, 1), **settings)
        reads = session.client("swf", config=_configure(options, READ_TIMEOUT, READ_ATTEMPTS_MAX), **settings)
        changes = session.client("swf", config=_configure(options, READ_TIMEOUT, 1), **settings)
    except b.NoRegionError as error:
        raise BackendError(
            f"swf://{options.domain} has no region, and the AWS configuration has none: write "
            f"swf://{options.domain}?region=us-east-1"
        ) from error
    except (b.BotoCoreError, ValueError) as error:
        raise BackendError(f"swf://{options.domain} cannot be opened: {error}") from error
    return polls, reads, changes


def _find_local_credentials(options: SwfOptions, session: Any) -> dict[str, str]:
    """Return a region and credentials for a local server, which requires both and checks neither."""
    settings = {} if session.region_name else {"region_name": "us-east-1"}
    if options.profile is None and "AWS_ACCESS_KEY_ID" not in os.environ:
        settings |= {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return settings


def _configure(options: SwfOptions, read_timeout: int, attempts_max: int) -> Config:
    return Config(
        read_timeout=read_timeout,
        connect_timeout=CONNECT_TIMEOUT,
        tcp_keepalive=True,
        max_pool_connections=options.pool,
        retries={"mode": "standard", "total_max_attempts": attempts_max},
        user_agent_extra="traction",
    )


def prepare_client(client: Any, *, fast: bool, bytes_max: int) -> None:
    """Register hooks with a client, for documented events of botocore only."""
    events = client.meta.events
    for name in TIMED:
        events.register(f"before-parameter-build.swf.{name}", _keep_times)
        events.register(f"before-call.swf.{name}", _send_times)
    events.register_last("before-call.swf", partial(_check_size, bytes_max))
    events.register("before-parse.swf", _check_length)
    if fast:
        events.register("before-parse.swf", _take_body)


def name_client(client: Any, name: str) -> None:
    """Send a name with each poll of a client."""

    def add(params: MutableMapping[str, Any], **_: Any) -> None:
        params["headers"][wire.CLIENT_HEADER] = name

    for poll in POLLS:
        client.meta.events.register(f"before-call.swf.{poll}", add)


def release_polls(options: SwfOptions, name: str) -> bool:
    """Ask the server to end the polls of this client. Return whether it does: only `traction serve` knows the path."""
    parts = urlsplit(options.endpoint or "")
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=RELEASE_TIMEOUT)
    try:
        connection.request("POST", wire.RELEASE_PATH, headers={wire.CLIENT_HEADER: name})
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _keep_times(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context[BODY] = msgspec.json.encode(params)


def _send_times(params: MutableMapping[str, Any], context: dict[str, Any], **_: Any) -> None:
    params["body"] = context[BODY]


def _check_size(bytes_max: int, model: Any, params: Mapping[str, Any], **_: Any) -> None:
    """Refuse a request that is too large before it is sent: SWF may drop the connection instead of responding."""
    if (size := len(params["body"])) > bytes_max:
        raise explain_size(model.name, size, bytes_max)


def _check_length(response_dict: dict[str, Any], **_: Any) -> None:
    """Refuse a response that is shorter than its Content-Length: botocore would treat it as an empty one."""
    headers = response_dict["headers"]
    length = headers.get("Content-Length", "")
    if length.isdigit() and int(length) != len(response_dict["body"]) and "Content-Encoding" not in headers:
        raise AnswerCut(f"the connection ended after {len(response_dict['body'])} of {length} bytes of the response")


def _take_body(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Take the body of a response before botocore parses it. botocore parses the bodies of errors."""
    if response_dict["status_code"] < 300:
        customized_response_dict[BODY] = response_dict["body"]
        response_dict["body"] = b"{}"


# Errors.


def translate_error(error: Exception) -> BaseException:
    """Return Traction's error for one of botocore's. Any other exception is a bug, and is returned unchanged."""
    message = str(error)
    match error:
        case b.ClientError():
            response: Any = error.response
            fields = response.get("Error", {})
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
            return classify(str(fields.get("Code", "")), str(fields.get("Message") or ""), status)
        case b.ParamValidationError():
            return ValidationException(message)
        case b.EndpointConnectionError() | b.ConnectTimeoutError() | b.ProxyConnectionError():
            return NotTaken(message)
        case b.HTTPClientError() | b.SSLError() | b.IncompleteReadError() | ResponseParserError():
            return ServiceUnavailable(message)
        case b.CredentialRetrievalError() | b.MetadataRetrievalError():
            return NotTaken(message)
        case b.NoCredentialsError() | b.PartialCredentialsError():
            return BackendError(f"{message}: see docs/production.md for where boto3 looks for them")
        case b.BotoCoreError():
            return BackendError(message)
    return error
