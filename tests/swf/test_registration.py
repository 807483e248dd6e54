"""The registered defaults are compared with the code before a worker polls."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from tests.support.http_backends import World
from tests.swf.conftest import MakeStage
from traction import Activity, Workflow, activity, workflow
from traction.backend import Backend
from traction.client.registration import LOOKUPS_MAX, RegistrationError, register_type
from traction.client.system import WorkerSystem
from traction.errors import TypeDeprecatedFault, UnknownResourceFault
from traction.model import operations as o
from traction_local.backend import LocalBackend
from traction_local.service.service import Service


@activity(name="brew", start_to_close=60)
def brew(cups: int) -> int:
    return cups


@activity(name="brew", start_to_close=90, heartbeat=30, description="Brew longer.")
def brew_longer(cups: int) -> int:
    return cups


@activity(name="brew", start_to_close=60, description="Told in other words.")
def brew_retold(cups: int) -> int:
    return cups


@workflow(name="breakfast")
async def breakfast() -> int:
    return await brew(1)


@workflow(name="breakfast", task_start_to_close=10, child_policy="ABANDON")
async def hasty_breakfast() -> int:
    return await brew(1)


def describe(backend: Backend, definition: Any) -> Any:
    if issubclass(definition, Activity):
        return backend.call(o.DescribeActivityType(domain=backend.domain, activity_type=definition.spec.type))
    return backend.call(o.DescribeWorkflowType(domain=backend.domain, workflow_type=definition.spec.type))


def test_a_type_is_registered_with_the_options_of_its_definition(world: World) -> None:
    for definition in (brew, hasty_breakfast):
        assert register_type(world.backend, definition) is None
    configuration = describe(world.backend, brew).configuration
    assert configuration.default_task_start_to_close_timeout == "60"
    assert configuration.default_task_heartbeat_timeout == "NONE"
    configuration = describe(world.backend, hasty_breakfast).configuration
    assert (configuration.default_child_policy, configuration.default_task_start_to_close_timeout) == ("ABANDON", "10")


def test_an_unchanged_type_is_not_registered_again(world: World) -> None:
    register_type(world.backend, brew)
    world.backend.asked.clear()
    assert register_type(world.backend, brew) is None
    assert world.backend.asked == ["DescribeActivityType"]


def test_a_changed_default_is_an_error_with_both_values_and_a_way_out(world: World) -> None:
    register_type(world.backend, brew)
    with pytest.raises(RegistrationError) as caught:
        register_type(world.backend, brew_longer)
    assert caught.value.differences == {
        "default_task_start_to_close_timeout": ("60", "90"),
        "default_task_heartbeat_timeout": ("NONE", "30"),
    }
    message = str(caught.value)
    assert "brew 1 is registered in the domain traction with other settings" in message
    assert "default_task_start_to_close_timeout  registered: 60  code: 90" in message
    assert "never changes (SWF). Give the definition a new version" in message


def test_a_changed_default_of_a_workflow_is_an_error_too(world: World) -> None:
    register_type(world.backend, breakfast)
    with pytest.raises(RegistrationError) as caught:
        register_type(world.backend, hasty_breakfast)
    assert set(caught.value.differences) == {"default_child_policy", "default_task_start_to_close_timeout"}


def test_a_description_may_change(world: World) -> None:
    register_type(world.backend, brew)
    assert register_type(world.backend, brew_retold) is None


def test_a_worker_does_not_start_if_its_settings_differ() -> None:
    with WorkerSystem() as system:
        system.start_activity_worker(brew)
        with WorkerSystem(backend=system.backend) as other, pytest.raises(RegistrationError):
            other.start_activity_worker(brew_longer)


def test_a_registration_error_can_be_pickled() -> None:
    error = RegistrationError(brew_longer, "acme", {"default_task_list": (None, "x")})
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.differences) == (str(error), error.differences)


def test_a_deprecated_type_can_be_worked_on_but_not_started(caplog: pytest.LogCaptureFixture) -> None:
    with WorkerSystem() as system:
        handle = system.start(breakfast())
        system.backend.call(o.DeprecateWorkflowType(domain=system.backend.domain, workflow_type=breakfast.spec.type))  # type: ignore[attr-defined]
        with WorkerSystem(backend=system.backend) as other, caplog.at_level(logging.WARNING):
            other.start_activity_worker(brew)
            other.start_workflow_worker(breakfast)
            assert handle.result(30) == 1
            with pytest.raises(TypeDeprecatedFault):
                other.start(breakfast(), workflow_id="another")
    assert "breakfast 1 is deprecated in the domain traction: open executions continue" in caplog.text


# Types that are not seen everywhere at once.


class Late(LocalBackend):
    """A service on which a new type is unknown until it has been asked for so often."""

    def __init__(self, looks: int) -> None:
        super().__init__(Service())
        self.looks = looks
        self.pauses: list[float] = []

    def call(self, request: Any, wait: timedelta | None = None) -> Any:
        answer: Any = super().call(request, wait)
        if isinstance(request, o.DescribeActivityType | o.StartWorkflowExecution) and self.looks > 0:
            self.looks -= 1
            raise UnknownResourceFault("Unknown type")
        return answer


@pytest.fixture
def late() -> Iterator[Late]:
    backend = Late(3)
    yield backend
    backend.close()


def test_a_new_type_is_described_until_it_is_visible(late: Late) -> None:
    pauses: list[float] = []
    register_type(late, brew, pauses.append)
    assert late.looks == 0
    assert pauses == sorted(pauses)
    assert len(pauses) == 3


def test_waiting_for_a_type_to_become_visible_ends(late: Late) -> None:
    late.looks = 1_000
    pauses: list[float] = []
    assert register_type(late, brew, pauses.append) is None
    assert (len(pauses), sum(pauses) < 30) == (LOOKUPS_MAX, True)


# Domains.


def test_an_unknown_domain_is_registered_only_if_the_url_requests_it(make_stage: MakeStage) -> None:
    stage = make_stage(LocalBackend(Service(), domain="acme"))
    backend = stage.open()
    with pytest.raises(UnknownResourceFault, match="retention_days=30"):
        register_type(backend, brew)
    register_type(stage.open(retention_days=7), brew)
    detail = backend.call(o.DescribeDomain(name="acme"))
    assert detail.configuration.workflow_execution_retention_period_in_days == "7"
    assert register_type(backend, breakfast) is None


class Beaten(LocalBackend):
    """A service on which another client registers the same a moment before."""

    retention_days = 7

    def call(self, request: Any, wait: timedelta | None = None) -> Any:
        if isinstance(request, o.RegisterDomain | o.RegisterActivityType):
            with suppress(UnknownResourceFault):
                super().call(request)
        return super().call(request, wait)


def test_concurrent_registration_of_a_domain_and_a_type_succeeds() -> None:
    backend = Beaten(Service(), domain="acme")
    assert register_type(backend, brew, lambda _: None) is None
    backend.close()


def test_definitions_may_be_classes() -> None:
    class Toast(Workflow[int], version="2"):
        def flow(self) -> Any:
            return brew(1)

    with WorkerSystem() as system:
        assert register_type(system.backend, Toast) is None
        assert describe(system.backend, Toast).type_info.workflow_type.version == "2"
