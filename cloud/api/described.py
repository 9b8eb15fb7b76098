"""The contract as tools read it by reflection: with the file that declares the options for rules.

The service itself runs without that file (``verifield.contract_rules``), and would show an empty one.
"""

from __future__ import annotations

from collections.abc import Iterable

import protovalidate
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.rpc import error_details_pb2

from verifield.contract_rules import RULES_FILE


def describing_pool(service_names: Iterable[str]) -> descriptor_pool.DescriptorPool:
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
    return pool


def _rules() -> FileDescriptorProto:
    return _file(protovalidate.ViolationPb.desc().file.proto.to_binary())


def _file(serialized: bytes) -> FileDescriptorProto:
    return FileDescriptorProto.FromString(serialized)
