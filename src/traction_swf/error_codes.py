"""Say what an error of SWF's is, and who should act: by its code, its HTTP status, and nothing else.

Takes codes and messages; gives Traction's errors. Knows nothing of boto3.

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
    """The service could not be reached, or did not answer: what was asked may or may not have had its effect."""

    retryable = True


class AnswerCut(ServiceUnavailable):
    """The connection ended within the answer."""


class NotTaken(ServiceUnavailable):
    """No connection came to be: what was asked had no effect."""


class SignatureExpired(NotTaken):
    """The credentials, or the time, of the signature have passed: what was asked had no effect. It is signed anew."""


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
"""What IAM says where SWF says `OperationNotPermittedFault`."""

EXPIRIES = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "RequestTimeTooSkewed"})
"""What says that a signature is too old: credentials are fetched again, and clocks are set."""

PASSING = frozenset(
    {
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "TransactionInProgressException",
    }
)
"""Errors that pass by themselves: services come back."""


def read_code(code: str) -> str:
    """Give a code without its namespace, and without what some services put behind it."""
    return code.rpartition("#")[2].partition(":")[0]


def classify(code: str, message: str, status: int = 400) -> BackendError:
    """Give the error that a code stands for.

    Args:
        code: SWF's, bare or behind a namespace; or the HTTP status, if the answer had none.
        message: SWF's text.
        status: the HTTP status of the answer.
    """
    name = read_code(code)
    if (kind := FAULTS.get(name)) is not None:
        return kind(message)
    told = f"{name}: {message}" if message else name
    if name in EXPIRIES:
        return SignatureExpired(told)
    if name == "RequestEntityTooLargeException" or status == 413:
        return RequestEntityTooLarge(told)
    if name in THROTTLES or status == 429:
        return ThrottlingException(told)
    if name in INTERNAL or (status == 500 and name not in PASSING):
        return InternalFailure(told)
    if name in DENIALS:
        return OperationNotPermittedFault(told)
    # 408 is what load balancers answer when a request took them too long.
    if name in PASSING or status >= 500 or status == 408:
        return ServiceUnavailable(told)
    return BackendError(told)
