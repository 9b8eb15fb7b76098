"""Backups at a folder of another site: whole or not there, and never beside the disk that is mounted."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from cloud.backup.places import FolderPlace, list_backups
from cloud.errors import SetupError
from cloud.objects.files import MARK_FILE, Fault, ObjectFolder, StoreFault

NAME = "20260301T120000Z-ab12"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "far"
    folder.mkdir()
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "MANIFEST"
    path.write_bytes(b"a manifest")
    return path


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_nothing_is_written_where_the_disk_is_not_mounted(root: Path, source: Path) -> None:
    with pytest.raises(StoreFault) as error:
        FolderPlace(root).send_file(f"backups/{NAME}/MANIFEST", source)
    assert error.value.fault is Fault.AWAY
    with pytest.raises(SetupError, match="AWAY"):  # and nobody is told that there are no backups
        list_backups(FolderPlace(root))
    assert list(root.iterdir()) == []


def test_what_was_brought_is_durable_and_is_fetched_again(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / MARK_FILE).write_bytes(b"of this service")
    synced: list[int] = []
    fsync = os.fsync

    def note(handle: int) -> None:
        synced.append(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    place = FolderPlace(root)
    place.send_file(f"backups/{NAME}/MANIFEST", source)
    path = root / "backups" / NAME / "MANIFEST"
    assert synced.index(path.stat().st_ino) < synced.index(path.parent.stat().st_ino)
    assert (place.has_file(f"backups/{NAME}/MANIFEST"), place.has_file("backups/other")) == (10, None)
    fetched = io.BytesIO()
    place.fetch_file(f"backups/{NAME}/MANIFEST", fetched)
    assert fetched.getvalue() == b"a manifest"
    assert list_backups(place) == [NAME]


def test_files_of_persons_are_those_of_the_stores_own_replica(root: Path, source: Path) -> None:
    (root / MARK_FILE).write_bytes(b"of this service")
    digest = ObjectFolder(root, min_free_bytes=0).put(b"sealed").hex()
    assert FolderPlace(root).has_file(f"objects/{digest[:2]}/{digest}") == len(b"sealed")


def test_what_breaks_off_leaves_no_half_a_file(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / MARK_FILE).write_bytes(b"of this service")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        FolderPlace(root).send_file(f"backups/{NAME}/MANIFEST", source)
    assert files_in(root) == [MARK_FILE]
