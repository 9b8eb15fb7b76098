"""What protoc and buf need beside the .proto files: the file that declares the options for rules.

    protos.py rules FILE   a descriptor set with buf/validate/validate.proto and what it imports, as it stands
                           in the wheel of protovalidate; for `protoc --descriptor_set_in`
    protos.py image FILE   all our files as an image for `buf lint` and `buf breaking`
    protos.py kept FILE    the same to be kept at a release: no comments, and nothing of others' files
                           that is not Google's

The wheel has no source of that file, and none is kept here: its descriptor says the same.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import protovalidate
from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from verifield.contract_rules import RULES_FILE, empty_file

PROTO = Path(__file__).resolve().parent.parent / "proto"
OWN_FOLDER = "verifield/"

# buf.alpha.image.v1: ImageFile.buf_extension (8042), whose is_import (1) keeps a file from being linted.
IS_IMPORT = b"\xd2\xf6\x03\x02\x08\x01"


def write_rules(path: Path) -> None:
    files = FileDescriptorSet()
    for module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    rules = protovalidate.ViolationPb.desc().file.proto.to_binary()
    files.file.append(FileDescriptorProto.FromString(rules))
    if files.file[-1].name != RULES_FILE:
        raise SystemExit(f"protovalidate no longer brings {RULES_FILE}")
    path.write_bytes(files.SerializeToString(deterministic=True))


def write_image(path: Path, *, kept: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        rules, image = Path(folder, "rules.binpb"), Path(folder, "image.binpb")
        write_rules(rules)
        comments = () if kept else ("--include_source_info",)
        command = [sys.executable, "-m", "grpc_tools.protoc", "-Iproto", f"--descriptor_set_in={rules}"]
        sources = sorted(source.relative_to(PROTO).as_posix() for source in PROTO.rglob("*.proto"))
        subprocess.run(
            [*command, "--include_imports", *comments, f"--descriptor_set_out={image}", *sources],
            cwd=PROTO.parent,
            check=True,
        )
        files = FileDescriptorSet.FromString(image.read_bytes())
    for file in files.file:
        if kept and file.name == RULES_FILE:
            file.CopyFrom(empty_file())
        if not file.name.startswith(OWN_FOLDER):
            file.MergeFromString(IS_IMPORT)
    path.write_bytes(files.SerializeToString(deterministic=True))


def main(task: str, file: str) -> None:
    if task == "rules":
        write_rules(Path(file))
    elif task in ("image", "kept"):
        write_image(Path(file), kept=task == "kept")
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
