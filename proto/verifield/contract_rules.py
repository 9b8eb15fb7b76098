"""Lets the contract be loaded without the library that knows its rules.

The ``.proto`` files state rules for requests in options that ``buf/validate/validate.proto`` declares.
Descriptors name that file, so something of its name must be there. An empty one is enough: what is not
declared stays in the options as it was written, and the library that checks rules (protovalidate, in the
cloud alone) reads it from there. So devices and verifiers need no such library.

Imported by generated code (``scripts/protogen.sh`` writes the import) before its own descriptor is added.
"""

from __future__ import annotations

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto

RULES_FILE = "buf/validate/validate.proto"
RULES_PACKAGE = "buf.validate"


def empty_file() -> FileDescriptorProto:
    """A file of that name which declares nothing."""
    return FileDescriptorProto(name=RULES_FILE, package=RULES_PACKAGE, syntax="proto2")


def _register(pool: descriptor_pool.DescriptorPool) -> None:
    try:
        pool.FindFileByName(RULES_FILE)  # of another package that brings the whole file
    except KeyError:
        pool.AddSerializedFile(empty_file().SerializeToString())


_register(descriptor_pool.Default())
