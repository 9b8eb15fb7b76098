"""Archives of decided certifications: plain ZIP files whose every file is listed in a signed manifest.

MANIFEST            SignedManifest: names, sizes and SHA-256 of all other files, signed
application.json    what was applied for: form, declaration, material
decision.json       outcome, reasons, reviewer by number, what happened and when
result.pdf          the document that the applicant got
material/NN-KIND    what was uploaded, as it came
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import IO

from cryptography import x509

from verifield.certificates import Purpose, check_chain
from verifield.errors import Malformed
from verifield.signed import check_signed
from verifield.v1 import badge_pb2 as pb
from verifield.wire import parse_message

ARCHIVE_TYPE = "application/vnd.verifield.archive.v1+protobuf"
MANIFEST_NAME = "MANIFEST"

MAX_MANIFEST_BYTES = 64 * 1024
MAX_FILES = 200
MAX_FILE_BYTES = 64 * 1024 * 1024

_PACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
"""What the library raises on bytes that are no archive."""


def read_manifest(data: bytes, *, roots: Sequence[x509.Certificate]) -> pb.ArchiveManifest:
    """Check who signed a manifest.

    Raises:
        Malformed, Forged, Unknown, Untrusted: it is none, was changed, or somebody else signed it.
    """
    signed = parse_message(pb.SignedManifest, data, what="manifest", max_bytes=MAX_MANIFEST_BYTES)
    payload = check_signed(
        signed.envelope, payload_type=ARCHIVE_TYPE, certificates=signed.certificates, what="manifest"
    )
    manifest = parse_message(pb.ArchiveManifest, payload, what="manifest", max_bytes=MAX_MANIFEST_BYTES)
    try:
        at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=manifest.decided_us)
    except OverflowError as error:
        raise Malformed("MANIFEST", "The manifest has a time that cannot be.") from error
    check_chain(signed.certificates, roots=roots, at=at, purpose=Purpose.CERTIFICATION)
    return manifest


def check_archive(file: IO[bytes], *, roots: Sequence[x509.Certificate]) -> pb.ArchiveManifest:
    """Check an archive: its manifest, and that it holds exactly the files that this lists.

    Raises:
        Malformed, Forged, Unknown, Untrusted: something in it is not what was archived.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            found = {info.filename: info for info in archive.infolist()}
            if len(found) != len(archive.infolist()) or not 1 <= len(found) <= MAX_FILES:
                raise Malformed("ARCHIVE", "The archive has too many files, or two of one name.")
            head = found.pop(MANIFEST_NAME, None)
            if head is None:
                raise Malformed("ARCHIVE", "The archive has no manifest.")
            manifest = read_manifest(read_member(archive, head, MAX_MANIFEST_BYTES), roots=roots)
            if sorted(found) != sorted(entry.name for entry in manifest.files):
                raise Malformed("ARCHIVE_FILES", "The archive holds other files than its manifest lists.")
            for entry in manifest.files:
                info = found[entry.name]
                same = info.file_size == entry.size_bytes  # before anything is unpacked
                if not same or sha256(read_member(archive, info, MAX_FILE_BYTES)).digest() != entry.sha256:
                    raise Malformed("ARCHIVE_DIGEST", f"The file {entry.name} is not what was archived.")
    except DAMAGED as error:
        raise Malformed("ARCHIVE", "The file is no ZIP archive, or a damaged one.") from error
    return manifest


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, most: int) -> bytes:
    """Unpack one file of at most ``most`` bytes.

    Raises:
        Malformed: it is larger, encrypted, or packed in a way that is not known; or one of DAMAGED.
    """
    if info.flag_bits & 1 or info.compress_type not in _PACKED:
        raise Malformed(
            "ARCHIVE", "A file of the archive is encrypted, or packed in a way that is not known."
        )
    if info.file_size > most:
        raise Malformed("ARCHIVE", "A file of the archive is larger than it says that it is.")
    with archive.open(info) as opened:
        content = opened.read(most + 1)
    if len(content) > most:
        raise Malformed("ARCHIVE", "A file of the archive is larger than it says that it is.")
    return content
