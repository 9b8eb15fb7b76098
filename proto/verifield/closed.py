"""A quick look for what a message type does not know, at the speed of the parser.

For each message type a twin is made whose enums are closed: a parser puts values that a closed enum
does not know among the unknown fields, so one question about unknown fields at any depth answers both.
The twins are made from the descriptors at hand, without their options, in a pool of their own.
"""

from __future__ import annotations

from functools import cache

from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass


def is_closed(message_type: type[Message], data: bytes) -> bool:
    """Whether ``data`` is such a message without any unknown field or enum value, at any depth.

    True is sure. After False look closer: ``verifield.wire.check_all_known`` says what it is.
    """
    try:
        twin = _twin_of(message_type.DESCRIPTOR).FromString(data)
    except DecodeError:
        return False
    size = twin.ByteSize()
    twin.DiscardUnknownFields()
    return twin.ByteSize() == size


@cache
def _twin_of(descriptor: Descriptor) -> type[Message]:
    pool = DescriptorPool()
    _add(pool, descriptor.file, set())
    return GetMessageClass(pool.FindMessageTypeByName(descriptor.full_name))


def _add(pool: DescriptorPool, file: FileDescriptor, added: set[str]) -> None:
    """Add the twin of ``file`` behind those of what it uses."""
    if file.name in added:
        return
    added.add(file.name)
    used = [one for one in file.dependencies if _is_used(file, one)]
    for one in used:
        _add(pool, one, added)
    original, twin = FileDescriptorProto(), FileDescriptorProto()
    file.CopyToProto(original)
    twin.name, twin.package, twin.syntax = original.name, original.package, "proto2"  # its enums are closed
    twin.dependency.extend(one.name for one in used)
    twin.enum_type.extend(original.enum_type)
    twin.message_type.extend(original.message_type)
    for enum in twin.enum_type:
        enum.ClearField("options")
        for value in enum.value:
            value.ClearField("options")
    for message in twin.message_type:
        _close(message)
    pool.Add(twin)


def _is_used(file: FileDescriptor, other: FileDescriptor) -> bool:
    """Whether messages of ``file`` have fields of types of ``other``; what only gives options is left out."""
    pending = list(file.message_types_by_name.values())
    while pending:
        message = pending.pop()
        pending += message.nested_types
        types = [field.message_type or field.enum_type for field in message.fields]
        if any(one is not None and one.file.name == other.name for one in types):
            return True
    return False


def _close(message: DescriptorProto) -> None:
    is_map = message.options.map_entry
    message.ClearField("options")
    if is_map:
        message.options.map_entry = True
    for field in message.field:
        _make_plain(field)
    synthetic = len(message.oneof_decl) - _real_oneofs(message)
    if synthetic:  # they stand behind the real ones
        del message.oneof_decl[-synthetic:]
    for oneof in message.oneof_decl:
        oneof.ClearField("options")
    for enum in message.enum_type:
        enum.ClearField("options")
        for value in enum.value:
            value.ClearField("options")
    for nested in message.nested_type:
        _close(nested)


def _make_plain(field: FieldDescriptorProto) -> None:
    field.ClearField("options")
    if field.proto3_optional:
        field.ClearField("proto3_optional")
        field.ClearField("oneof_index")


def _real_oneofs(message: DescriptorProto) -> int:
    return len({field.oneof_index for field in message.field if field.HasField("oneof_index")})
