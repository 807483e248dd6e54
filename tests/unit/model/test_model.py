"""Events, decisions and operations equal those in botocore's copy of the service model."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, get_args, get_origin

import botocore.session
import msgspec
import pytest
from botocore.model import ListShape, Shape, StringShape, StructureShape

from traction import errors
from traction.model.decisions import BaseDecision, Decision
from traction.model.events import BaseEvent, Event
from traction.model.operations import Operation, Request

SWF = botocore.session.get_session().get_service_model("swf")

EVENTS: dict[str, type] = {member.__name__: member for member in get_args(Event)}
DECISIONS: dict[str, type] = {member.__name__: member for member in get_args(Decision)}
OPERATIONS: dict[str, type] = {member.__name__: member for member in get_args(Operation)}

# SWF writes each of these as one structure with a member per type; here each is a union, judged type by type.
UNIONS: dict[str, Any] = {"HistoryEvent": Event, "Decision": Decision}

COMMON_TO_EVENTS = {"eventId", "eventTimestamp"}

SCALARS: dict[str, type] = {"boolean": bool, "integer": int, "long": int, "string": str, "timestamp": datetime}


def find_answer(operation: type) -> Any:
    """Give `T` of the `Request[T]` that an operation is."""
    (base,) = [base for base in operation.__orig_bases__ if get_origin(base) is Request]  # type: ignore[attr-defined]
    return get_args(base)[0]


def split_optional(hint: Any) -> Any:
    """Take `None` out of a hint: a member that may be absent is judged by its default."""
    rest = [arg for arg in get_args(hint) if arg is not type(None)]
    return rest[0] if type(None) in get_args(hint) and len(rest) == 1 else hint


def list_differences(hint: Any, shape: Shape, path: str, passed_over: frozenset[str] = frozenset()) -> list[str]:
    """List where a type differs from SWF's shape, member by member, recursively."""
    hint = split_optional(hint)
    if shape.name in UNIONS:
        return [] if hint == UNIONS[shape.name] else [f"{path}: {hint} for any {shape.name}"]
    if isinstance(shape, StructureShape):
        if not (isinstance(hint, type) and issubclass(hint, msgspec.Struct)):
            return [f"{path}: {hint} for the structure {shape.name}"]
        ours = {
            field.encode_name: field for field in msgspec.structs.fields(hint) if field.encode_name not in passed_over
        }
        found = [f"{path}.{name}: unknown to SWF" for name in sorted(ours.keys() - shape.members.keys())]
        found += [f"{path}.{name}: missing" for name in sorted(shape.members.keys() - ours.keys())]
        for name, member in shape.members.items():
            if name in ours:
                if ours[name].required != (name in shape.required_members):
                    found.append(f"{path}.{name}: required is {ours[name].required} here, and not so in SWF")
                found += list_differences(ours[name].type, member, f"{path}.{name}")
        return found
    if isinstance(shape, ListShape):
        if get_origin(hint) is not tuple or get_args(hint)[1:] != (...,):
            return [f"{path}: {hint} for a list"]
        return list_differences(get_args(hint)[0], shape.member, f"{path}[]")
    if isinstance(shape, StringShape) and shape.enum:
        theirs = set(shape.enum)
        if get_origin(hint) is not Literal or set(get_args(hint)) != theirs:
            return [f"{path}: {hint} for one of {sorted(theirs)}"]
        return []
    return [] if hint is SCALARS[shape.type_name] else [f"{path}: {hint} for {shape.type_name}"]


def name_attributes(type_name: str, kind: str) -> str:
    """Return the member of HistoryEvent or Decision that holds the attributes of a type."""
    return f"{type_name[0].lower()}{type_name[1:]}{kind}Attributes"


def test_every_event_type_of_the_service_is_in_the_union_and_no_other() -> None:
    assert sorted(EVENTS) == sorted(SWF.shape_for("EventType").enum)


def test_every_decision_type_of_the_service_is_in_the_union_and_no_other() -> None:
    assert sorted(DECISIONS) == sorted(SWF.shape_for("DecisionType").enum)


def test_every_operation_of_the_service_is_in_the_union_and_no_other() -> None:
    assert sorted(OPERATIONS) == sorted(SWF.operation_names)


@pytest.mark.parametrize("name", sorted(EVENTS))
def test_an_event_has_the_members_that_the_service_gives_it(name: str) -> None:
    shape = SWF.shape_for("HistoryEvent").members[name_attributes(name, "Event")]
    assert list_differences(EVENTS[name], shape, name, frozenset(COMMON_TO_EVENTS)) == []


def test_every_event_has_an_id_and_a_time() -> None:
    fields = {field.encode_name: field for field in msgspec.structs.fields(BaseEvent)}
    assert fields.keys() == COMMON_TO_EVENTS
    assert all(field.required for field in fields.values())


def test_a_decision_has_no_member_in_common_with_all_others() -> None:
    assert msgspec.structs.fields(BaseDecision) == ()


@pytest.mark.parametrize("name", sorted(DECISIONS))
def test_a_decision_has_the_members_that_the_service_takes(name: str) -> None:
    shape = SWF.shape_for("Decision").members[name_attributes(name, "Decision")]
    assert list_differences(DECISIONS[name], shape, name) == []


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_an_operation_has_the_members_that_the_service_takes(name: str) -> None:
    assert list_differences(OPERATIONS[name], SWF.operation_model(name).input_shape, name) == []


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_an_operation_is_answered_by_the_members_that_the_service_gives(name: str) -> None:
    answer, shape = find_answer(OPERATIONS[name]), SWF.operation_model(name).output_shape
    if shape is None:
        assert answer is type(None)
    else:
        assert list_differences(answer, shape, f"the answer to {name}") == []


@pytest.mark.parametrize("member", [*EVENTS.values(), *DECISIONS.values()], ids=lambda member: member.__name__)
def test_a_member_of_a_union_is_tagged_with_its_own_name(member: type[msgspec.Struct]) -> None:
    assert member.__struct_config__.tag == member.__name__


@pytest.mark.parametrize("name", sorted({shape.name for shape in SWF.error_shapes}))
def test_a_fault_of_the_service_is_an_error_of_the_same_name(name: str) -> None:
    assert issubclass(getattr(errors, name), errors.ServiceFault)
