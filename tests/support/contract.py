"""What the contract says of itself: every request message, and the rules for its fields."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet

import verifield.v1
from cloud.api.described import describing_pool

FIELD_RULES = 1159  # of buf.validate: the extension (buf.validate.field)

PAYLOADS = frozenset({"verifield.v1.Policy"})
"""Signed as a whole, and judged by verifield.policy on the device as in the cloud."""


def services() -> list[ServiceDescriptor]:
    """All services of the contract."""
    found: list[ServiceDescriptor] = []
    for module in pkgutil.iter_modules(verifield.v1.__path__):
        if module.name.endswith("_pb2"):
            file = importlib.import_module(f"verifield.v1.{module.name}").DESCRIPTOR
            found += file.services_by_name.values()
    return found


def methods() -> list[MethodDescriptor]:
    return [method for service in services() for method in service.methods]


@dataclass(frozen=True)
class Place:
    """A field of a request message, or of one inside it."""

    field: FieldDescriptor
    rules: Any  # buf.validate.FieldRules

    @property
    def name(self) -> str:
        return f"{self.field.containing_type.name}.{self.field.name}"

    def message(self) -> Message:
        """An empty message that has the field."""
        made: Message = GetMessageClass(self.field.containing_type)()
        return made

    @property
    def own(self) -> Any:
        """The rules for the kind of the field, for repeated fields those of one item."""
        rules = self.rules.repeated.items if self.field.is_repeated else self.rules
        kind = rules.WhichOneof("type")
        return getattr(rules, kind) if kind else None


def places() -> list[Place]:
    """Every field that a caller can fill, once."""
    seen: set[str] = set()
    found: list[Place] = []
    for method in methods():
        for message in _inside(method.input_type, seen):
            found += [Place(field, rules_of(field)) for field in message.fields]
    return found


def rules_of(field: FieldDescriptor) -> Any:
    """The rules for a field; empty where it has none."""
    rules = _rules_class()()
    for unknown in UnknownFieldSet(field.GetOptions()):
        if unknown.field_number == FIELD_RULES:
            rules.MergeFromString(unknown.data)
    return rules


def _inside(message: Descriptor, seen: set[str]) -> Iterator[Descriptor]:
    if message.full_name in seen or message.full_name in PAYLOADS or not _is_ours(message):
        return
    seen.add(message.full_name)
    yield message
    for field in message.fields:
        if field.message_type is not None:
            yield from _inside(field.message_type, seen)


def _is_ours(message: Descriptor) -> bool:
    return message.full_name.startswith("verifield.")


@cache
def _rules_class() -> Any:
    pool = describing_pool([services()[0].full_name, "verifield.v1.DeviceService"])
    return GetMessageClass(pool.FindMessageTypeByName("buf.validate.FieldRules"))
