"""The contract as tools read it by reflection: with the file that declares the options for rules.

The service itself runs without that file (``verifield.contract_rules``), and would show an empty one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import protovalidate
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.rpc import error_details_pb2

from verifield.contract_rules import RULES_FILE


class Described:
    """A pool that finds the file of a member by its name too, such as that of a service's method."""

    def __init__(self, pool: descriptor_pool.DescriptorPool) -> None:
        self._pool = pool

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 (the library's name)
        """Raises KeyError where neither the symbol nor what it would be a member of is known."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            owner, _, member = symbol.rpartition(".")
            service = self._pool.FindServiceByName(owner)
            if member not in service.methods_by_name:
                raise
            return service.file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


def describing_pool(service_names: Iterable[str]) -> Described:
    """A pool with the files of these services, which are known to this process, and all that they import.

    What refusals carry is in it too: tools look it up by its name.
    """
    pool, done = descriptor_pool.DescriptorPool(), set[str]()
    known = descriptor_pool.Default()

    def add(file: FileDescriptorProto) -> None:
        done.add(file.name)
        for name in file.dependency:
            if name not in done:
                add(_rules() if name == RULES_FILE else _file(known.FindFileByName(name).serialized_pb))
        pool.Add(file)

    files = [known.FindServiceByName(name).file for name in service_names]
    for file in (*files, error_details_pb2.DESCRIPTOR):
        if file.name not in done:
            add(_file(file.serialized_pb))
    return Described(pool)


def _rules() -> FileDescriptorProto:
    return _file(protovalidate.ViolationPb.desc().file.proto.to_binary())


def _file(serialized: bytes) -> FileDescriptorProto:
    return FileDescriptorProto.FromString(serialized)
