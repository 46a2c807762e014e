"""Every method of the contract is audited or excused by name; what is told of it exists in its messages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from gateway.privacy.actions import AUDITED, EXCUSED, Moment, name_of
from protos.walletpush.internal.v1 import worker_pb2
from protos.walletpush.v1 import (
    delivery_pb2,
    device_pb2,
    policy_pb2,
    preference_pb2,
    privacy_pb2,
    template_pb2,
    user_pb2,
)

FILES = (
    delivery_pb2, device_pb2, policy_pb2, preference_pb2, privacy_pb2, template_pb2, user_pb2, worker_pb2,
)  # fmt: skip


def methods() -> Iterator[tuple[str, MethodDescriptor]]:
    for module in FILES:
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                yield f"/{service.full_name}/{method.name}", method


METHODS = dict(methods())


def field(message: Descriptor | None, path: str) -> FieldDescriptor:
    assert message is not None
    first, _, rest = path.partition(".")
    found = message.fields_by_name[first]
    return field(found.message_type, rest) if rest else found


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_audited_or_excused_with_a_reason(method: str) -> None:
    assert (method in AUDITED) != (method in EXCUSED), f"list {method} in gateway/privacy/actions.py"
    assert method in AUDITED or len(EXCUSED[method]) > 10


def test_nothing_is_listed_that_does_not_exist() -> None:
    assert set(AUDITED) | set(EXCUSED) == set(METHODS)


@pytest.mark.parametrize("method", [name for name, action in AUDITED.items() if action.moment is not Moment.IMPORT])
def test_what_is_told_of_a_method_is_in_its_messages(method: str) -> None:
    action, found = AUDITED[method], METHODS[method]
    assert not found.client_streaming
    assert action.moment is Moment.BEFORE or not found.server_streaming, "an answer in parts is audited before"
    for path in (action.app, *action.users):
        assert field(found.input_type, path).type == FieldDescriptor.TYPE_STRING
    for path in action.detail:
        told = field(found.input_type, path)
        assert "." not in path or told.type == FieldDescriptor.TYPE_STRING
    if action.answered:
        assert action.moment is Moment.AFTER
        assert field(found.output_type, action.answered).type == FieldDescriptor.TYPE_STRING


def test_only_privacy_is_answered_in_parts_and_only_users_are_imported() -> None:
    parts = {name_of(one) for one in AUDITED if METHODS[one].server_streaming}
    assert parts == {"PrivacyService.ExportUser", "UserService.ImportUsers"}
