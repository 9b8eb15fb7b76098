"""Backups at stores elsewhere: brought there whole, and fetched from there into an empty folder.

    backups/BACKUP/MANIFEST, FILES, database, keys     of each backup
    objects/..., media/...                             shared by all of them, and by the store's own replica

What is there already, with the same size, is not sent again: files of persons and devices are named by their
digests. Whatever comes back is checked against the signed list before anybody uses it.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cryptography import x509

from cloud.backup.manifest import LIST_FILE, MANIFEST_FILE, OBJECTS_FOLDER, Backup, check_file, open_backup
from cloud.backup.media import is_damaged, is_on_shelf
from cloud.backup.sqlite import Progress
from cloud.config import Config
from cloud.errors import SetupError
from cloud.keyfiles import sync_folder
from cloud.objects.files import MARK_FILE, Fault, StoreFault
from cloud.objects.s3 import S3Store
from cloud.objects.stores import address_of

if TYPE_CHECKING:
    from typing import BinaryIO

_BACKUPS = "backups"
_NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{1,16}")


class Place(Protocol):
    """Where named files lie; whatever goes wrong is a StoreFault or an OSError."""

    def has_file(self, name: str) -> int | None:
        """Bytes of a file; None where it is not there."""
        ...

    def send_file(self, name: str, path: Path) -> None:
        """Bring one."""
        ...

    def fetch_file(self, name: str, file: BinaryIO) -> None:
        """Fetch one."""
        ...

    def list_files(self, under: str) -> list[str]:
        """Names of those that begin with ``under``."""
        ...


class FolderPlace:
    """A folder of another site, which the service has taken up: nothing is written where its mark is not."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def has_file(self, name: str) -> int | None:
        """As :meth:`Place.has_file`."""
        path = self._path(name)
        return path.stat().st_size if path.is_file() else None

    def send_file(self, name: str, path: Path) -> None:
        """As :meth:`Place.send_file`."""
        self._check_here()
        target = self._path(name)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", delete=False) as aside:
            try:
                with path.open("rb") as source:
                    shutil.copyfileobj(source, aside)
                aside.flush()
                os.fsync(aside.fileno())
                Path(aside.name).replace(target)
            except BaseException:
                Path(aside.name).unlink(missing_ok=True)
                raise
        sync_folder(target.parent)

    def fetch_file(self, name: str, file: BinaryIO) -> None:
        """As :meth:`Place.fetch_file`."""
        with self._path(name).open("rb") as source:
            shutil.copyfileobj(source, file)

    def list_files(self, under: str) -> list[str]:
        """As :meth:`Place.list_files`."""
        self._check_here()
        found = (path.relative_to(self._root).as_posix() for path in (self._root / under).rglob("*"))
        return sorted(found)

    def _check_here(self) -> None:
        """That the disk is mounted there.

        Raises:
            StoreFault: AWAY.
        """
        if not (self._root / MARK_FILE).is_file():
            raise StoreFault(Fault.AWAY, "The store is not mounted, or was never taken up.")

    def _path(self, name: str) -> Path:
        # The store's own replica has no folder in between.
        return self._root / name.removeprefix(f"{OBJECTS_FOLDER}/")


def open_place(config: Config, name: str) -> Place:
    """The store of that name, elsewhere.

    Raises:
        SetupError: STORE_UNKNOWN.
    """
    remote = config.remote_stores.get(name)
    if remote is None:
        known = ", ".join(config.remote_stores) or "none"
        raise SetupError(
            "STORE_UNKNOWN",
            f"The settings have no store elsewhere with the name {name}.",
            hint=f"There are: {known}. See remote_stores in docs/configuration.md.",
        )
    if remote.folder is not None:
        return FolderPlace(remote.folder.absolute())
    return S3Store(address_of(remote), timeout_s=config.remote_timeout_s)


def push_backup(backup: Backup, place: Place, progress: Progress) -> int:
    """Bring a backup to a place; its manifest comes last, without which it is none. Return files sent.

    Raises:
        SetupError: BACKUP_DAMAGED: it is not whole here; STORE_FAILED.
    """
    sent = 0
    try:
        for number, entry in enumerate(backup.files, 1):
            name = _name_of(backup.folder.name, entry.path)
            if not is_damaged(entry) and place.has_file(name) != entry.size:
                check_file(backup.folder, entry)
                place.send_file(name, backup.folder / entry.path)
                sent += 1
            progress("files", number, len(backup.files))
        for path in (LIST_FILE, MANIFEST_FILE):
            place.send_file(_name_of(backup.folder.name, path), backup.folder / path)
    except (StoreFault, OSError) as error:
        raise _failed(error) from error
    return sent


def list_backups(place: Place) -> list[str]:
    """Names of the backups of a place, oldest first.

    Raises:
        SetupError: STORE_FAILED.
    """
    try:
        names = place.list_files(f"{_BACKUPS}/")
    except (StoreFault, OSError) as error:
        raise _failed(error) from error
    whole = (name.split("/") for name in names if name.endswith(f"/{MANIFEST_FILE}"))
    return sorted(parts[1] for parts in whole if len(parts) == 3 and _NAME.fullmatch(parts[1]))


def fetch_backup(
    place: Place, name: str, folder: Path, *, roots: Sequence[x509.Certificate], progress: Progress
) -> tuple[Backup, tuple[str, ...]]:
    """Fetch a backup into ``folder``; return it, and the files of persons and devices that did not come.

    Raises:
        SetupError: it is not there, not what the service signed, or damaged; STORE_FAILED.
    """
    if not _NAME.fullmatch(name) or (folder / name).exists():
        raise SetupError(
            "BACKUP_NAME",
            f"The backup {name} cannot be fetched into {folder}.",
            hint="Name one that storage backups lists, and a folder in which it does not lie yet.",
        )
    lost: list[str] = []
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished-") as made:
            aside = Path(made) / name
            for path in (MANIFEST_FILE, LIST_FILE):
                _fetch(place, _name_of(name, path), aside / path)
            backup = open_backup(aside, roots=roots)
            for number, entry in enumerate(backup.files, 1):
                try:
                    _fetch(place, _name_of(name, entry.path), aside / entry.path)
                    check_file(aside, entry)
                except (StoreFault, SetupError, FileNotFoundError) as error:
                    missing = not isinstance(error, StoreFault) or error.fault is Fault.MISSING
                    if not is_on_shelf(entry) or not missing:
                        raise
                    (aside / entry.path).unlink(missing_ok=True)
                    lost.append(entry.path)
                progress("files", number, len(backup.files))
            aside.rename(folder / name)
            sync_folder(folder)
    except (StoreFault, OSError) as error:
        raise _failed(error) from error
    return Backup(folder / name, backup.manifest, backup.files), tuple(lost)


def _fetch(place: Place, name: str, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with target.open("xb") as file:
        place.fetch_file(name, file)


def _name_of(backup: str, path: str) -> str:
    return path if "/" in path else f"{_BACKUPS}/{backup}/{path}"


def _failed(error: StoreFault | OSError) -> SetupError:
    why = error.fault.value if isinstance(error, StoreFault) else type(error).__name__
    return SetupError(
        "STORE_FAILED",
        f"The store elsewhere failed ({why}).",
        hint="Check its settings and credentials, and that it can be reached; then try again.",
    )
