"""The state of one service: its domains, and its executions by their tokens."""

from __future__ import annotations

from collections.abc import Callable

from traction.errors import UnknownResourceFault, ValidationException
from traction.model.limits import Limits
from traction_local.service.knobs import Knobs, LambdaCall, LambdaOutcome
from traction_local.service.state.domain import Domain
from traction_local.service.state.environment import Environment
from traction_local.service.state.execution import Execution
from traction_local.service.tokens import make_run_id, make_stem, parse_token
from traction_local.service.validation import Validator, get_validator


class Region(Environment):
    """The state of one service: in AWS, one region of one account."""

    __slots__ = ("by_stem", "domains", "revision", "validator")

    def __init__(
        self, seed: str, limits: Limits, knobs: Knobs, invoke: Callable[[LambdaCall], LambdaOutcome] | None
    ) -> None:
        super().__init__(seed, limits, knobs, invoke)
        self.validator: Validator = get_validator(limits)
        self.domains: dict[str, Domain] = {}
        self.by_stem: dict[str, Execution] = {}
        """The executions of all domains, within retention, by the common prefix of their task tokens."""
        self.revision = 0

    def get_domain(self, name: str) -> Domain:
        """Return a domain, registered or deprecated."""
        domain = self.domains.get(name)
        if domain is None:
            raise UnknownResourceFault(f"Unknown domain: {name}")
        return domain

    def get_run(self, number: int) -> Execution:
        """Return the n-th run, within retention."""
        execution = self.by_stem.get(make_stem(make_run_id(self.seed, number)))
        if execution is None:
            raise ValidationException("Invalid token")
        return execution

    def read_token(self, token: str, kind: str) -> tuple[Execution, int]:
        """Return the execution and the scheduled event id of a task token."""
        parsed = parse_token(token, kind)
        execution = None if parsed is None else self.by_stem.get(parsed[0])
        if parsed is None or execution is None or not 0 < parsed[1] <= len(execution.events):
            raise ValidationException("Invalid token")
        return execution, parsed[1]
