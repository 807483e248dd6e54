"""Answer Lambda tasks by functions of this process.

Takes functions by their names; gives what the service invokes. A function is called as AWS calls a handler: with the
input, read from JSON, and a context, here the call. What it returns is written as JSON; what it raises is the failure
of the task. It must be a function of its input.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from traction_local.service.knobs import LambdaCall, LambdaOutcome

Handler: TypeAlias = Callable[[Any, LambdaCall], Any]
"""A Lambda function."""


def answer_by(handlers: Mapping[str, Handler]) -> Callable[[LambdaCall], LambdaOutcome] | None:
    """Give what answers Lambda tasks with these functions, if there are any."""
    if not handlers:
        return None

    def invoke(call: LambdaCall) -> LambdaOutcome:
        handler = handlers.get(call.name)
        if handler is None:
            return LambdaOutcome(reason="ResourceNotFoundException", details=f"Function not found: {call.name}")
        try:
            return LambdaOutcome(result=json.dumps(handler(json.loads(call.input), call)))
        except Exception as error:
            told = {"errorMessage": str(error), "errorType": type(error).__name__}
            return LambdaOutcome(reason=type(error).__name__[:256], details=json.dumps(told)[:32768])

    return invoke
