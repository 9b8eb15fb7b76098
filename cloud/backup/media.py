"""The files of devices and of persons in a backup, and out of it.

They are named by their digests and never change, so backups that lie beside each other share them. One that
is damaged, on the service's disk or on that of the backups, must not take the database with it: it is backed
up as it is, and left out of a restore where it is no longer what was backed up.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cryptography import x509
from sqlalchemy import Connection, inspect, select

from cloud.backup.files import write_new
from cloud.backup.manifest import MEDIA_FOLDER, OBJECTS_FOLDER, FileEntry, digest_of, open_backup
from cloud.backup.secrecy import plain_stream
from cloud.backup.sqlite import Progress
from cloud.errors import SetupError
from cloud.keyfiles import sync_folder
from cloud.store.schema import objects

SHELVES = (MEDIA_FOLDER, OBJECTS_FOLDER)
"""Folders of a backup, and of a service, whose files are named by their digests."""

_FOLDERS = {MEDIA_FOLDER: re.compile(r"[A-Za-z0-9-]{1,64}"), OBJECTS_FOLDER: re.compile(r"[0-9a-f]{2}")}
_FILE = re.compile(r"[0-9a-f]{64}")


def copy_shelf(
    shelf: str,
    source: Path,
    place: Path,
    *,
    earlier: Mapping[str, FileEntry],
    before: Path | None,
    progress: Progress,
) -> list[FileEntry]:
    """Copy all complete files of ``source`` onto a shelf of the backup at ``place``, durably.

    ``before``: a backup beside it, whose files are ``earlier``; what it has in good order is shared.
    What else lies in the folders, put there by somebody else, is no part of the service.
    """
    found: list[FileEntry] = []
    folders = _folders(shelf, source)
    for number, folder in enumerate(folders):
        progress(shelf, number, len(folders))
        target = place / shelf / folder.name
        target.mkdir(mode=0o700, parents=True)
        for path in sorted(path for path in folder.iterdir() if _FILE.fullmatch(path.name)):
            name = f"{shelf}/{folder.name}/{path.name}"
            known = earlier.get(name)
            try:
                if (
                    before is None
                    or known is None
                    or not _share(path, before / name, place / name, known=known)
                ):
                    known = _copy(path, place / name, name)
            except FileNotFoundError:  # swept meanwhile: a restore tells where the database still names it
                if path.exists():
                    raise
                continue
            found.append(known)
        sync_folder(target)
    if folders:
        sync_folder(place / shelf)
    progress(shelf, len(folders), len(folders))
    return found


def fill_shelf(shelf: str, mirror: Path, place: Path, found: Sequence[FileEntry]) -> list[FileEntry]:
    """Take from a mirror what the first folder did not have, or had damaged; return all files of then."""
    entries = {entry.path: entry for entry in found}
    for folder in _folders(shelf, mirror):
        for path in sorted(path for path in folder.iterdir() if _FILE.fullmatch(path.name)):
            name = f"{shelf}/{folder.name}/{path.name}"
            known, target = entries.get(name), place / name
            if known is not None and not is_damaged(known):
                continue
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.unlink(missing_ok=True)  # never shared with another backup, since it is damaged
            try:
                entries[name] = _copy(path, target, name)
            except FileNotFoundError:  # swept meanwhile
                entries.pop(name, None)
            sync_folder(target.parent)
    return list(entries.values())


def files_of(folder: Path | None, *, roots: Sequence[x509.Certificate]) -> dict[str, FileEntry]:
    """The files of a backup by their paths; none of one that cannot be used."""
    try:
        return {entry.path: entry for entry in open_backup(folder, roots=roots).files} if folder else {}
    except SetupError:
        return {}


def is_damaged(entry: FileEntry) -> bool:
    """Whether a file was not what its name says when it was backed up."""
    return is_on_shelf(entry) and entry.sha256.hex() != entry.path.rpartition("/")[2]


def is_on_shelf(entry: FileEntry) -> bool:
    """Whether it is one of the many files beside database and keys."""
    return entry.path.partition("/")[0] in SHELVES


def missing_objects(connection: Connection, files: Sequence[FileEntry]) -> tuple[str, ...]:
    """Paths of objects that a database names and that are not among these files of its backup."""
    if not inspect(connection).has_table(objects.name):  # of a version before there were any
        return ()
    here = {entry.path for entry in files}
    query = select(objects.c.sealed_sha256).where(objects.c.opener.is_not(None))
    names = (bytes(digest).hex() for digest in connection.execute(query).scalars())
    return tuple(path for name in names if (path := f"{OBJECTS_FOLDER}/{name[:2]}/{name}") not in here)


def restore_shelves(backup: Path, data: Path, files: Sequence[FileEntry], progress: Progress) -> None:
    """Copy these files of a backup."""
    for number, entry in enumerate(files, 1):
        target = data / entry.path
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (backup / entry.path).open("rb") as file:
            write_new(target, plain_stream(file))
        progress("files", number, len(files))


def _folders(shelf: str, source: Path) -> list[Path]:
    if not source.is_dir():
        return []
    return sorted(path for path in source.iterdir() if path.is_dir() and _FOLDERS[shelf].fullmatch(path.name))


def _share(path: Path, before: Path, target: Path, *, known: FileEntry) -> bool:
    if is_damaged(known) or not before.exists():
        return False
    if not before.stat().st_size == known.size == path.stat().st_size:
        return False
    try:
        os.link(before, target)
    except OSError:  # a file system without links, or with too many of this one
        return False
    return True


def _copy(path: Path, target: Path, name: str) -> FileEntry:
    with path.open("rb") as file:
        pieces: Iterator[bytes] = plain_stream(file)
        write_new(target, pieces)
    with target.open("rb") as written:
        return FileEntry(name, *digest_of(written))
