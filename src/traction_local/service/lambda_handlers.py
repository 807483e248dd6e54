"""Run Lambda tasks with functions of this process.

A function is called as AWS calls a handler: with the decoded JSON input and a context, here the `LambdaCall`. Its
return value is encoded as JSON. An exception fails the task. It must depend on its input only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from traction_local.service.knobs import LambdaCall, LambdaOutcome

Handler: TypeAlias = Callable[[Any, LambdaCall], Any]
"""A Lambda function."""


def answer_by(handlers: Mapping[str, Handler]) -> Callable[[LambdaCall], LambdaOutcome] | None:
    """Return a function that runs Lambda tasks with these handlers, or `None` if there are none."""
    if not handlers:
        return None

    def invoke(call: LambdaCall) -> LambdaOutcome:
        handler = handlers.get(call.name)
        if handler is None:
            return LambdaOutcome(reason="ResourceNotFoundException", details=f"Function not found: {call.name}")
        try:
            return LambdaOutcome(result=json.dumps(handler(json.loads(call.input), call)))
        except Exception as error:
            fields = {"errorMessage": str(error), "errorType": type(error).__name__}
            return LambdaOutcome(reason=type(error).__name__[:256], details=json.dumps(fields)[:32768])

    return invoke
