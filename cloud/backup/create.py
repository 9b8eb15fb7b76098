"""Makes a backup, of a service that runs or stands:

1  the key ring is held: no version is destroyed while the backup is made
2  the database is copied as it stands at one moment
3  the keys are copied: all that the database of that moment needs
4  media and objects are copied: all that the database calls complete are there
5  the list and the signed manifest are written, and the folder gets its name

A backup that was broken off has no name and no manifest; the next one removes what is left of it.
"""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from sqlalchemy.engine import make_url

from cloud.authority import Authority
from cloud.backup import manifest as paper
from cloud.backup.aside import copy_aside
from cloud.backup.files import write_new
from cloud.backup.manifest import (
    DATABASE_FILE,
    KEYS_FILE,
    LIST_FILE,
    MANIFEST_FILE,
    MEDIA_FOLDER,
    OBJECTS_FOLDER,
)
from cloud.backup.media import copy_shelf, files_of, fill_shelf
from cloud.backup.postgres import dumping, export_snapshot
from cloud.backup.secrecy import KEY_BYTES, plain_stream, seal_stream, wrap_key
from cloud.backup.sqlite import Progress, copy_database
from cloud.backup.state import State, read_state, reading_copy
from cloud.config import Config
from cloud.errors import SetupError
from cloud.keyfiles import locked, sync_folder, write_private
from cloud.layout import LAST_BACKUP_FILE, ROOT_FILE, TOKEN_FILE
from cloud.privacy.ring import LOCK_FILE
from cloud.sources import Sources, to_us
from cloud.store.engines import open_engines
from verifield.v1 import backup_pb2 as pb

_UNFINISHED = ".unfinished-"
_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Terms:
    """``recipient``: who alone can read database and keys of the backup; None: whoever has the files."""

    recipient: X25519PublicKey | None
    progress: Progress


def create_backup(config: Config, folder: Path, terms: Terms, sources: Sources) -> paper.Backup:
    """Make a backup in a new folder within ``folder``, and return it.

    Raises:
        SetupError: there is nothing to back up, a tool is missing, or the disk does not take it.
    """
    keys = config.keys_folder / "keys"
    if not keys.is_dir() or not (config.keys_folder / ROOT_FILE).exists():
        raise SetupError(
            "NOTHING_TO_BACK_UP",
            f"In {config.keys_folder} there are no keys of a service.",
            hint="Name the service's folder with --data, or its settings with --config.",
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(folder / _LOCK), locked(keys / LOCK_FILE), _unfinished(folder) as place:
            made = _Maker(config, place, terms, sources).make()
    except OSError as error:
        raise SetupError(
            "BACKUP_FAILED",
            f"The backup cannot be written to {folder} ({error.strerror or type(error).__name__}).",
            hint="Check that the folder may be written, and that its disk has room.",
        ) from error
    _note(config, made)
    return made


def _note(config: Config, made: paper.Backup) -> None:
    """Leave word for the service, which tells when the newest backup was taken."""
    if config.data.is_dir():  # of a service on another machine there is none
        with suppress(OSError):
            write_private(config.data / LAST_BACKUP_FILE, str(made.manifest.taken_us).encode())


class _Maker:
    def __init__(self, config: Config, place: Path, terms: Terms, sources: Sources) -> None:
        self._config = config
        self._place = place
        self._terms = terms
        self._sources = sources
        self._key = sources.random_bytes(KEY_BYTES) if terms.recipient else None
        self._files: list[paper.FileEntry] = []

    def make(self) -> paper.Backup:
        authority = Authority.open(self._config.keys_folder, server_names=(), now=self._sources.now())
        taken = self._sources.now()
        url = make_url(self._config.database_url)
        sqlite = url.get_backend_name() == "sqlite"
        state = self._copy_sqlite(Path(str(url.database))) if sqlite else self._dump_postgres()
        self._copy_keys()
        before = _newest_backup(self._place.parent)
        earlier = files_of(before, roots=[authority.root])
        for shelf, source in (
            (MEDIA_FOLDER, self._config.media_folder),
            (OBJECTS_FOLDER, self._config.objects_folder),
        ):
            self._files += copy_shelf(
                shelf,
                source,
                self._place,
                earlier=earlier,
                before=before,
                progress=self._terms.progress,
            )
        for mirror in self._config.object_mirrors.values():
            self._files = fill_shelf(OBJECTS_FOLDER, mirror.absolute(), self._place, self._files)
        listed = paper.encode_list(self._files)
        manifest = pb.BackupManifest(
            backup_id=paper.backup_name(taken, self._sources.random_bytes(2)),
            taken_us=to_us(taken),
            engine=pb.BACKUP_ENGINE_SQLITE if sqlite else pb.BACKUP_ENGINE_POSTGRESQL,
            schema_version=state.schema_version,
            files_sha256=sha256(listed).digest(),
            checkpoint=state.checkpoint,
            audit_seq=state.audit_end.seq,
            audit_sha256=state.audit_end.sha256,
            targets=state.targets,
        )
        if self._terms.recipient and self._key:
            manifest.wrapped_key = wrap_key(self._key, self._terms.recipient)
            manifest.recipient_key = self._terms.recipient.public_bytes_raw()
        write_new(self._place / LIST_FILE, [listed])
        write_new(self._place / MANIFEST_FILE, [paper.sign_manifest(manifest, authority)])
        sync_folder(self._place)
        final = self._place.with_name(manifest.backup_id)
        self._place.rename(final)
        sync_folder(final.parent)
        return paper.Backup(final, manifest, tuple(self._files))

    def _copy_sqlite(self, source: Path) -> State:
        log = source.with_name(f"{source.name}-wal")
        size = sum(path.stat().st_size for path in (source, log) if path.exists())
        with copy_aside(source.parent, size=size) as aside:
            copy = aside / DATABASE_FILE
            copy_database(source, copy, progress=self._terms.progress)
            with reading_copy(copy) as connection:
                state = read_state(connection)
            with copy.open("rb") as file:
                self._add(DATABASE_FILE, file)
        return state

    def _dump_postgres(self) -> State:
        engines = open_engines(self._config.database_url, connections=1, require_durable=False)
        try:
            with engines.reading.begin() as connection:
                connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
                state = read_state(connection)
                with dumping(engines.reading.url, export_snapshot(connection)) as dump:
                    self._add(DATABASE_FILE, dump)
        finally:
            engines.dispose()
        return state

    def _copy_keys(self) -> None:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in sorted((self._config.keys_folder / "keys").iterdir()):
                if not path.name.startswith(".") and path.name != LOCK_FILE:
                    tar.add(path, f"keys/{path.name}", recursive=False)
            tar.add(self._config.keys_folder / ROOT_FILE, ROOT_FILE)
            token = self._config.data / TOKEN_FILE
            if token.exists():
                tar.add(token, TOKEN_FILE)
        data.seek(0)
        self._add(KEYS_FILE, data)

    def _add(self, name: str, source: IO[bytes]) -> None:
        pieces = seal_stream(source, key=self._key, name=name) if self._key else plain_stream(source)
        target = self._place / name
        write_new(target, pieces)
        with target.open("rb") as written:
            size, digest = paper.digest_of(written)
        self._files.append(paper.FileEntry(name, size, digest))


def list_names(folder: Path) -> list[str]:
    """Names of the backups in a folder, oldest first; those that were broken off have none."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise SetupError(
            "BACKUP_UNREADABLE",
            f"The folder {folder} cannot be read ({type(error).__name__}).",
            hint="Name the folder that was given to backup create.",
        ) from error
    return [entry.name for entry in entries if (entry / MANIFEST_FILE).exists() and entry.name[0] != "."]


def prune(folder: Path, keep: int, *, made: str = "") -> list[str]:
    """Delete the oldest backups of a folder, never its newest ``keep`` (1 or more); return their names.

    ``made``: the one that was just made stays, also where the clock says that it is old.
    """
    with locked(folder / _LOCK):  # another one that is made now would take what is deleted for broken off
        names = list_names(folder)
        doomed = [name for name in names[: max(0, len(names) - max(1, keep))] if name != made]
        for name in doomed:
            # Without its name first: what is half deleted must not look like a backup.
            aside = folder / f"{_UNFINISHED}{name}"
            (folder / name).rename(aside)
            shutil.rmtree(aside)
    return doomed


@contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    for left in folder.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(left)
    place = Path(tempfile.mkdtemp(dir=folder, prefix=_UNFINISHED))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)  # where it was given its name, it is no more here


def _newest_backup(folder: Path) -> Path | None:
    names = list_names(folder)
    return folder / names[-1] if names else None
