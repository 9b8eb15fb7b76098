"""What a backup consists of, and the signed statement about it.

    BACKUP/MANIFEST     SignedBackupManifest, the last file to be written: without it there is no backup
    BACKUP/FILES        one line for each other file: SHA-256, size in bytes, path
    BACKUP/database     the database, sealed where the backup has a recipient
    BACKUP/keys         a tar file of keys, root certificate and operator token, sealed likewise
    BACKUP/media/...    the encrypted files of devices, as they lie in the service's folder
    BACKUP/objects/...  those of persons, likewise; their keys are in the database

Backups lie beside each other in one folder, each in a folder named by the time at which it was taken, with
a few random digits. Media and objects are named by their digests and never change: backups that lie beside
each other share them by hard links.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import IO

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from google.protobuf.message import DecodeError

from cloud.authority import Authority
from cloud.backup.secrecy import damaged, plain_stream
from cloud.errors import SetupError
from cloud.sources import from_us
from verifield.certificates import Purpose, check_chain
from verifield.dsse import encode_envelope, pae
from verifield.errors import VerifieldError
from verifield.signed import check_signed
from verifield.v1 import backup_pb2 as pb
from verifield.wire import parse_message

MANIFEST_TYPE = "application/vnd.verifield.backup.v1+protobuf"
MANIFEST_FILE = "MANIFEST"
LIST_FILE = "FILES"
DATABASE_FILE = "database"
KEYS_FILE = "keys"
MEDIA_FOLDER = "media"
OBJECTS_FOLDER = "objects"

MAX_MANIFEST_BYTES = 64 * 1024
"""A checkpoint of at most 16 KiB, a few digests, and the certificates."""

MAX_LIST_BYTES = 1024**3
"""About seven million files."""

_LINE = re.compile(
    r"([0-9a-f]{64}) ([0-9]{1,15}) "
    r"((?:database|keys|media/[A-Za-z0-9-]{1,64}/[0-9a-f]{64}|objects/[0-9a-f]{2}/[0-9a-f]{64}))"
)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file of a backup as it lies there; ``path`` is relative to the backup, with slashes."""

    path: str
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup whose manifest and list of files hold."""

    folder: Path
    manifest: pb.BackupManifest
    files: tuple[FileEntry, ...]

    @property
    def is_sealed(self) -> bool:
        return bool(self.manifest.wrapped_key)

    @property
    def size(self) -> int:
        """Bytes, media included."""
        return sum(entry.size for entry in self.files)


def backup_name(taken: datetime, random: bytes) -> str:
    """Name of a backup's folder: names ascend with time, also within a second."""
    at = taken.astimezone(UTC)
    return f"{at:%Y%m%dT%H%M%SZ}-{at.microsecond:05x}{random.hex()[:3]}"


def encode_list(files: Iterable[FileEntry]) -> bytes:
    """The content of FILES."""
    return "".join(f"{entry.sha256.hex()} {entry.size} {entry.path}\n" for entry in files).encode()


def parse_list(data: bytes) -> list[FileEntry]:
    """The files that FILES names.

    Raises:
        SetupError: BACKUP_DAMAGED: not of that form, or a path that has no place in a backup.
    """
    files: dict[str, FileEntry] = {}
    for line in data.decode("ascii", errors="replace").splitlines():
        match = _LINE.fullmatch(line)
        if match is None or match[3] in files:
            raise damaged(LIST_FILE)
        files[match[3]] = FileEntry(match[3], int(match[2]), bytes.fromhex(match[1]))
    if not {DATABASE_FILE, KEYS_FILE} <= set(files):
        raise damaged(LIST_FILE)
    return list(files.values())


def sign_manifest(manifest: pb.BackupManifest, authority: Authority) -> bytes:
    """The content of MANIFEST."""
    payload = manifest.SerializeToString(deterministic=True)
    signature = authority.audit_key.sign(pae(MANIFEST_TYPE, payload), ec.ECDSA(SHA256()))
    envelope = encode_envelope(payload_type=MANIFEST_TYPE, payload=payload, signatures=[signature])
    certificates = authority.chain_of(authority.audit.certificate)
    return pb.SignedBackupManifest(envelope=envelope, certificates=certificates).SerializeToString()


def open_backup(folder: Path, *, roots: Sequence[x509.Certificate]) -> Backup:
    """Read a backup's manifest and list, and check that they are what the service signed.

    The files themselves are for :func:`check_file`.

    Raises:
        SetupError: BACKUP_UNREADABLE, BACKUP_DAMAGED or BACKUP_FOREIGN.
    """
    try:
        signed = _read(folder / MANIFEST_FILE, MAX_MANIFEST_BYTES)
        listed = _read(folder / LIST_FILE, MAX_LIST_BYTES)
    except OSError as error:
        raise SetupError(
            "BACKUP_UNREADABLE",
            f"In {folder} there is no backup that can be read ({type(error).__name__}).",
            hint="List the backups of a folder with: verifield-cloud backup list FOLDER. "
            "One without MANIFEST was broken off.",
        ) from error
    manifest = _check_manifest(signed, roots)
    if sha256(listed).digest() != manifest.files_sha256:
        raise damaged(LIST_FILE)
    return Backup(folder, manifest, tuple(parse_list(listed)))


def check_file(folder: Path, entry: FileEntry) -> None:
    """Check size and digest of a file.

    Raises:
        SetupError: BACKUP_DAMAGED.
    """
    try:
        with (folder / entry.path).open("rb") as file:
            found = digest_of(file)
    except OSError as error:
        raise damaged(entry.path) from error
    if found != (entry.size, entry.sha256):
        raise damaged(entry.path)


def digest_of(file: IO[bytes]) -> tuple[int, bytes]:
    """Size and SHA-256 of what is left in an open file."""
    size, hasher = 0, sha256()
    for piece in plain_stream(file):
        size += len(piece)
        hasher.update(piece)
    return size, hasher.digest()


def _check_manifest(data: bytes, roots: Sequence[x509.Certificate]) -> pb.BackupManifest:
    try:
        signed = pb.SignedBackupManifest.FromString(data)
        payload = check_signed(
            signed.envelope, payload_type=MANIFEST_TYPE, certificates=signed.certificates, what="manifest"
        )
        manifest = parse_message(pb.BackupManifest, payload, what="manifest", max_bytes=MAX_MANIFEST_BYTES)
        check_chain(signed.certificates, roots=roots, at=from_us(manifest.taken_us), purpose=Purpose.AUDIT)
    except DecodeError as error:
        raise damaged(MANIFEST_FILE) from error
    except (VerifieldError, OverflowError) as error:
        raise SetupError(
            "BACKUP_FOREIGN",
            f"The backup's manifest does not hold: {error}",
            hint="Check that --root is the trust root of the deployment that made the backup.",
        ) from error
    return manifest


def _read(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise damaged(path.name)
    return data
