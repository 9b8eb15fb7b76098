"""Checks backups, and makes a service's folders of them again.

1  manifest and list are what the service signed; every file has the digest that the list gives
2  the target is empty: nothing is ever overwritten
3  database, keys, media and objects are written into a folder beside the target
4  what came out is what the manifest says: the log's checkpoint, the end of the audit chain
5  the whole log is checked against its checkpoints, the whole audit chain against its heads
6  the folder gets its name

A restore that was broken off, or found something wrong, leaves the folder as it was; a PostgreSQL database
keeps what was loaded. A damaged file of a device or a person does not hold up the rest: it is left out, and
told of, as is one of a person that the database names and the backup lacks.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy.engine import make_url

from cloud.audit.check import check_chain
from cloud.audit.walk import Report
from cloud.authority import Authority
from cloud.backup.aside import copy_aside
from cloud.backup.files import write_new
from cloud.backup.manifest import (
    DATABASE_FILE,
    KEYS_FILE,
    Backup,
    check_file,
    open_backup,
)
from cloud.backup.media import is_on_shelf, missing_objects, restore_shelves
from cloud.backup.postgres import load_dump
from cloud.backup.secrecy import damaged, plain_stream, unseal_stream, unwrap_key, write_pieces
from cloud.backup.sqlite import Progress
from cloud.backup.state import State, check_structure, count_tables, read_state, reading_copy
from cloud.errors import SetupError
from cloud.keyfiles import sync_folder
from cloud.log.sequencer import LogSigner
from cloud.log.verify import LogReport, verify_log
from cloud.sources import Sources
from cloud.store import replicas
from cloud.store.database import Store, StoreOptions
from cloud.store.engines import open_engines
from verifield.v1 import audit_pb2
from verifield.v1 import backup_pb2 as pb

DATABASE_NAME = "verifield.db"
"""As the settings name it where they name none."""

MAX_KEYS_BYTES = 16 * 1024 * 1024
"""Some dozen files of a few kilobytes each."""


@dataclass(frozen=True, slots=True)
class Check:
    """What a backup was checked with. ``identity``: of its recipient; None checks digests alone if sealed."""

    roots: Sequence[x509.Certificate]
    identity: X25519PrivateKey | None
    progress: Progress


@dataclass(frozen=True, slots=True)
class Restored:
    """What was found in the restored database."""

    log: LogReport
    audit: Report
    lost_media: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return self.log.sound and self.audit.holds


def verify_backup(folder: Path, check: Check, *, place: Path | None = None) -> tuple[Backup, State | None]:
    """Check every file of a backup (step 1); a SQLite database that can be opened also by its content.

    ``place``: where one that is sealed is unpacked, best where the service has it anyway; None: beside the
    backup.

    Raises:
        SetupError: BACKUP_UNREADABLE, BACKUP_DAMAGED, BACKUP_FOREIGN, BACKUP_IDENTITY or BACKUP_FAILED.
    """
    backup = open_backup(folder, roots=check.roots)
    for number, entry in enumerate(backup.files, 1):
        check_file(folder, entry)
        check.progress("files", number, len(backup.files))
    key = _key_of(backup, check)
    if backup.is_sealed and key is None:
        return backup, None
    sqlite = backup.manifest.engine == pb.BACKUP_ENGINE_SQLITE
    if sqlite and key is None:
        return backup, _check_copy(folder / DATABASE_FILE, backup)
    for name in (KEYS_FILE, DATABASE_FILE):
        with _opened(backup, name, key) as pieces:
            for _ in pieces:
                pass  # each piece is checked as it comes
    if not sqlite:
        return backup, None
    return backup, _check_unpacked(backup, key, place or folder.absolute().parent)


def restore_backup(
    folder: Path, data: Path, check: Check, sources: Sources, *, database: str | None = None
) -> Restored:
    """Restore into ``data``, which must be empty or absent; ``database``: an empty PostgreSQL database.

    Raises:
        SetupError: RESTORE_NOT_EMPTY, RESTORE_TARGET, BACKUP_...: see the module's steps.
    """
    backup = open_backup(folder, roots=check.roots)
    lost = _check_files(backup, check.progress)
    key = _key_of(backup, check)
    if backup.is_sealed and key is None:
        raise SetupError(
            "BACKUP_IDENTITY",
            "The backup is encrypted.",
            hint="Give the private key of its recipient with --identity.",
        )
    _check_target(backup, data, database)
    try:
        data.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{data.name}.restoring-"
        for left in (path for path in data.parent.iterdir() if path.name.startswith(prefix)):
            shutil.rmtree(left)  # with keys in it, by a restore that was killed
        aside = Path(tempfile.mkdtemp(dir=data.parent, prefix=prefix))
        try:
            sound = [one for one in backup.files if is_on_shelf(one) and one.path not in lost]
            restore_shelves(backup.folder, aside, sound, check.progress)
            restored = _fill(backup, aside, key, check, sources, database=database)
            lost += restored.lost_media
            if restored.holds:
                os.sync()  # before it has its name: of all files and folders that were written
                with suppress(FileNotFoundError):
                    data.rmdir()  # empty, as was checked
                aside.rename(data)
                sync_folder(data.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise SetupError(
            "RESTORE_TARGET",
            f"The folder {data} cannot be written ({error.strerror or type(error).__name__}).",
            hint="Check that its parent folder may be written, and that the disk has room.",
        ) from error
    return replace(restored, lost_media=lost)


def _fill(
    backup: Backup,
    aside: Path,
    key: bytes | None,
    check: Check,
    sources: Sources,
    *,
    database: str | None,
) -> Restored:
    _unpack_keys(backup, key, aside)
    if backup.manifest.engine == pb.BACKUP_ENGINE_SQLITE:
        copy = aside / DATABASE_NAME
        _unpack(backup, DATABASE_FILE, key, copy)
        _check_copy(copy, backup)
        with reading_copy(copy) as connection:
            missing = missing_objects(connection, backup.files)
        url = f"sqlite:///{copy.absolute()}"
    else:
        url = str(database)
        with _opened(backup, DATABASE_FILE, key) as pieces:
            load_dump(make_url(url), pieces)
        engines = open_engines(url, connections=1, require_durable=False)
        try:
            with engines.reading.begin() as connection:
                _compare(read_state(connection), backup)
                missing = missing_objects(connection, backup.files)
        finally:
            engines.dispose()
    restored = check_restored(aside, url, sources, check.progress)
    if restored.holds:
        _forget_stores(url)
    return replace(restored, lost_media=missing)


def _forget_stores(url: str) -> None:
    """What the rows say of stores was so at another place: the service finds out anew what is where."""
    store = Store.open(url, StoreOptions(require_durable=False))
    try:
        store.run(replicas.forget_stores)
    finally:
        store.close()


def check_restored(
    data: Path,
    url: str,
    sources: Sources,
    progress: Progress,
    *,
    kept: Sequence[audit_pb2.SignedAuditHead] = (),
) -> Restored:
    """Check log and audit chain of a database with the keys under ``data`` (step 5); an old one is migrated.

    Raises:
        SetupError: keys or database cannot be used.
    """
    authority = Authority.open(data, server_names=(), now=sources.now())
    store = Store.open(url, StoreOptions(require_durable=False))
    try:
        signer = LogSigner(authority.log_origin, authority.log_key)
        log = verify_log(store, signer, lambda done, total: progress("log", done, total))
        with store.reading() as connection:
            report = check_chain(
                connection,
                roots=[authority.root],
                kept=kept,
                progress=lambda done, total: progress("audit", done, total),
            )
    finally:
        store.close()
    return Restored(log, report)


def _check_target(backup: Backup, data: Path, database: str | None) -> None:
    if data.exists() and (not data.is_dir() or any(data.iterdir())):
        raise SetupError(
            "RESTORE_NOT_EMPTY",
            f"{data} is not empty: nothing is ever overwritten.",
            hint="Name a new folder with --data, or move the old one away first.",
        )
    if backup.manifest.engine == pb.BACKUP_ENGINE_SQLITE:
        if database is not None:
            raise SetupError(
                "RESTORE_TARGET",
                "The backup is one of SQLite: its database goes into the data folder.",
                hint="Leave --database out.",
            )
        return
    if database is None or make_url(database).get_backend_name() != "postgresql":
        raise SetupError(
            "RESTORE_TARGET",
            "The backup is one of PostgreSQL.",
            hint="Create an empty database, and name it with --database postgresql+psycopg://...",
        )
    engines = open_engines(database, connections=1, require_durable=False)
    try:
        with engines.reading.begin() as connection:
            tables = count_tables(connection)
    finally:
        engines.dispose()
    if tables:
        raise SetupError(
            "RESTORE_NOT_EMPTY",
            f"The database has {tables} tables: nothing is ever overwritten.",
            hint="Create a new database: createdb NAME.",
        )


def _check_unpacked(backup: Backup, key: bytes | None, place: Path) -> State:
    [size] = [entry.size for entry in backup.files if entry.path == DATABASE_FILE]
    try:
        with copy_aside(place, size=size) as aside:
            copy = aside / DATABASE_FILE
            _unpack(backup, DATABASE_FILE, key, copy)
            return _check_copy(copy, backup)
    except OSError as error:
        raise SetupError(
            "BACKUP_FAILED",
            f"The database cannot be unpacked in {place} ({error.strerror or type(error).__name__}).",
            hint="Name the service's folder with --data, or copy the backup to a disk that may be written.",
        ) from error


def _check_copy(copy: Path, backup: Backup) -> State:
    with reading_copy(copy) as connection:
        if not check_structure(connection):
            raise damaged(DATABASE_FILE)
        state = read_state(connection)
    _compare(state, backup)
    return state


def _compare(state: State, backup: Backup) -> None:
    said = backup.manifest
    found = (state.schema_version, state.checkpoint, state.audit_end.seq, state.audit_end.sha256)
    if found != (said.schema_version, said.checkpoint, said.audit_seq, said.audit_sha256):
        raise damaged(DATABASE_FILE)


def _check_files(backup: Backup, progress: Progress) -> tuple[str, ...]:
    """Check every digest (step 1); return which media are damaged."""
    lost = []
    for number, entry in enumerate(backup.files, 1):
        try:
            check_file(backup.folder, entry)
        except SetupError:
            if not is_on_shelf(entry):
                raise
            lost.append(entry.path)
        progress("files", number, len(backup.files))
    return tuple(lost)


def _key_of(backup: Backup, check: Check) -> bytes | None:
    if not backup.is_sealed or check.identity is None:
        return None
    return unwrap_key(backup.manifest.wrapped_key, check.identity)


@contextmanager
def _opened(backup: Backup, name: str, key: bytes | None) -> Iterator[Iterator[bytes]]:
    """The content of a file of the backup; unsealed where ``key`` is given."""
    with (backup.folder / name).open("rb") as file:
        source: IO[bytes] = file
        yield unseal_stream(source, key=key, name=name) if key else plain_stream(source)


def _unpack(backup: Backup, name: str, key: bytes | None, target: Path) -> None:
    with _opened(backup, name, key) as pieces:
        write_new(target, pieces)


def _unpack_keys(backup: Backup, key: bytes | None, data: Path) -> None:
    with tempfile.TemporaryFile(dir=data) as file:
        with _opened(backup, KEYS_FILE, key) as pieces:
            if write_pieces(file, pieces) > MAX_KEYS_BYTES:
                raise damaged(KEYS_FILE)
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                (data / "keys").mkdir(mode=0o700)
                tar.extractall(data, filter="data")
        except (tarfile.TarError, OSError) as error:
            raise damaged(KEYS_FILE) from error
