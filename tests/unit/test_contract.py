"""The contract held to buf's rules: names, comments, request and response types, from the sources and descriptors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor, ServiceDescriptor

from protos.walletpush.internal.v1 import worker_pb2
from protos.walletpush.v1 import (
    delivery_pb2,
    device_pb2,
    notification_pb2,
    policy_pb2,
    preference_pb2,
    privacy_pb2,
    receipt_pb2,
    template_pb2,
    user_pb2,
    value_pb2,
)

ROOT = Path(__file__).resolve().parents[2]
FILES: list[FileDescriptor] = [
    module.DESCRIPTOR
    for module in (
        delivery_pb2, device_pb2, notification_pb2, policy_pb2, preference_pb2, privacy_pb2, receipt_pb2, template_pb2,
        user_pb2, value_pb2, worker_pb2,
    )
]
PUBLIC = [file for file in FILES if file.package == "walletpush.v1"]
DECLARATION = re.compile(
    r"^\s*(?:(?:service|rpc|message|enum|oneof)\s+\w+"
    r"|(?:repeated |optional |map<[^>]*> |[\w.]+ )[\w<>., ]*\w+ = \d+;"
    r"|[A-Z][A-Z0-9_]+ = \d+;)"
)


def sources() -> list[Path]:
    return sorted((ROOT / "protos").rglob("*.proto"))


def messages(file: FileDescriptor) -> Iterator[Descriptor]:
    waiting: list[Descriptor] = list(file.message_types_by_name.values())
    while waiting:
        message = waiting.pop()
        if not message.GetOptions().map_entry:
            yield message
        waiting += message.nested_types


def fields(file: FileDescriptor) -> Iterator[FieldDescriptor]:
    return (field for message in messages(file) for field in message.fields)


def enums(file: FileDescriptor) -> Iterator[EnumDescriptor]:
    yield from file.enum_types_by_name.values()
    for message in messages(file):
        yield from message.enum_types


def services() -> list[ServiceDescriptor]:
    return [service for file in FILES for service in file.services_by_name.values()]


def test_every_source_is_looked_at() -> None:
    assert {file.name for file in FILES} == {path.relative_to(ROOT).as_posix() for path in sources()}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_package_is_the_directory_and_ends_in_a_version(file: FileDescriptor) -> None:
    assert file.package == Path(file.name).parent.as_posix().removeprefix("protos/").replace("/", ".")
    assert re.search(r"\.v[1-9]\d*$", file.package)
    assert re.fullmatch(r"[a-z][a-z0-9_]*\.proto", Path(file.name).name)


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_everything_has_a_comment_of_its_own(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    bare = [
        line.strip()
        for number, line in enumerate(lines)
        if DECLARATION.match(line) and not lines[number - 1].strip().startswith("//")
    ]
    assert not bare
    assert lines[0] == 'syntax = "proto3";'
    package = next(number for number, line in enumerate(lines) if line.startswith("package "))
    assert lines[package - 1].startswith("// ")


def test_the_comment_check_sees_every_declaration() -> None:
    text = "\n".join(path.read_text("utf-8") for path in sources())
    seen = sum(1 for line in text.splitlines() if DECLARATION.match(line))
    every = sum(
        sum(1 for _ in fields(file))
        + sum(1 for _ in messages(file))
        + sum(1 + len(enum.values) for enum in enums(file))
        # An optional field is a oneof of one, but not in the source.
        + sum(1 for message in messages(file) for one in message.oneofs if not one.name.startswith("_"))
        for file in FILES
    )
    assert seen == every + sum(1 + len(service.methods) for service in services())


@pytest.mark.parametrize("enum", [enum for file in FILES for enum in enums(file)], ids=lambda enum: enum.name)
def test_enum_values_carry_their_enums_name_and_zero_is_unspecified(enum: EnumDescriptor) -> None:
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper()
    assert enum.values_by_number[0].name == f"{prefix}_UNSPECIFIED"
    assert all(re.fullmatch(f"{prefix}_[A-Z0-9_]+", value.name) for value in enum.values)
    assert not enum.GetOptions().allow_alias


def test_fields_are_lower_snake_case_and_lists_are_plural() -> None:
    every = [field for file in FILES for field in fields(file)]
    assert [field.full_name for field in every if not re.fullmatch(r"[a-z]+[a-z0-9]*(_[a-z0-9]+)*", field.name)] == []
    lists = [field for field in every if field.is_repeated and field.name != "data"]
    assert [field.full_name for field in lists if not field.name.endswith("s")] == []


def test_messages_and_enums_are_pascal_case() -> None:
    names = [one.name for file in FILES for one in (*messages(file), *enums(file))]
    assert [name for name in names if not re.fullmatch(r"([A-Z][a-z0-9]+)+", name)] == []


def test_services_end_in_service_and_rpcs_are_pascal_case() -> None:
    assert [service.name for service in services() if not re.fullmatch(r"([A-Z][a-z0-9]+)+Service", service.name)] == []
    methods = [method.name for service in services() for method in service.methods]
    assert [name for name in methods if not re.fullmatch(r"([A-Z][a-z0-9]+)+", name)] == []


def test_each_rpc_has_a_request_and_a_response_of_its_own() -> None:
    used: Counter[str] = Counter()
    for service in services():
        for method in service.methods:
            assert method.input_type.name == f"{method.name}Request"
            assert method.output_type.name == f"{method.name}Response"
            used.update((method.input_type.full_name, method.output_type.full_name))
    assert [name for name, n in used.items() if n > 1] == []


def test_numbers_of_fields_leave_no_gap_that_says_something_was_removed() -> None:
    for file in FILES:
        for message in messages(file):
            assert sorted(field.number for field in message.fields) == list(range(1, len(message.fields) + 1))


def test_the_public_contract_imports_nothing_internal() -> None:
    assert [file.name for file in PUBLIC for one in file.dependencies if "internal" in one.name] == []


def test_each_text_that_a_caller_sets_tells_its_bound_or_form() -> None:
    names = ("notification.proto", "device.proto")
    text = "".join((ROOT / "protos/walletpush/v1" / name).read_text("utf-8") for name in names)
    for message in ("Content", "ApnsOptions", "FcmOptions", "WalletPassUpdate", "Device"):
        body = re.search(rf"^message {message} {{\n(.*?)^}}", text, re.MULTILINE | re.DOTALL)
        assert body is not None
        texts = re.findall(r"((?:^  //.*\n)+)  string (\w+) = ", body[1], re.MULTILINE)
        assert texts
        assert [name for comment, name in texts if not re.search(r'\d|"|resource', comment)] == []
