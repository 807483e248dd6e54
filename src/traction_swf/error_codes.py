"""Map SWF's error codes and HTTP statuses to Traction's errors. Imports no boto3.

Sources: the common errors of the AWS API reference; recorded traffic. A code comes bare, or behind `namespace#`.
"""

from __future__ import annotations

from traction.errors import (
    BackendError,
    InternalFailure,
    OperationNotPermittedFault,
    RequestEntityTooLarge,
    ThrottlingException,
)
from traction_swf.wire import FAULTS


class ServiceUnavailable(BackendError):
    """The service could not be reached, or did not respond. The request may have had its effect."""

    retryable = True


class AnswerCut(ServiceUnavailable):
    """The connection ended before the end of the response."""


class NotTaken(ServiceUnavailable):
    """No connection was made. The request had no effect."""


class SignatureExpired(NotTaken):
    """The credentials or the time of the signature expired. The request had no effect. It is signed again."""


THROTTLES = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottledException",
        "TooManyRequestsException",
    }
)
"""Other words for `ThrottlingException`, as botocore knows them."""

INTERNAL = frozenset({"InternalError", "InternalFailureException", "InternalServerError", "InternalServerException"})
"""Other words for `InternalFailure`."""

DENIALS = frozenset({"AccessDenied", "AccessDeniedException", "NotAuthorized", "UnauthorizedOperation"})
"""IAM's codes for `OperationNotPermittedFault`."""

EXPIRIES = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "RequestTimeTooSkewed"})
"""The codes of a signature that is too old. The request is signed again."""

PASSING = frozenset(
    {
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "TransactionInProgressException",
    }
)
"""The codes of transient errors."""


def read_code(code: str) -> str:
    """Return a code without its namespace and suffix."""
    return code.rpartition("#")[2].partition(":")[0]


def classify(code: str, message: str, status: int = 400) -> BackendError:
    """Return the error for a code.

    Args:
        code: SWF's, bare or behind a namespace; or the HTTP status, if the answer had none.
        message: SWF's text.
        status: The HTTP status of the response.
    """
    name = read_code(code)
    if (kind := FAULTS.get(name)) is not None:
        return kind(message)
    text = f"{name}: {message}" if message else name
    if name in EXPIRIES:
        return SignatureExpired(text)
    if name == "RequestEntityTooLargeException" or status == 413:
        return RequestEntityTooLarge(text)
    if name in THROTTLES or status == 429:
        return ThrottlingException(text)
    if name in INTERNAL or (status == 500 and name not in PASSING):
        return InternalFailure(text)
    if name in DENIALS:
        return OperationNotPermittedFault(text)
    # Load balancers respond 408 when a request took too long.
    if name in PASSING or status >= 500 or status == 408:
        return ServiceUnavailable(text)
    return BackendError(text)
