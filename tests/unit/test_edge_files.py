from __future__ import annotations

import stat
from pathlib import Path

import pytest

from edge.files import (
    NotPrivateError,
    create_private,
    destroy_file,
    destroy_leftovers,
    locked,
    make_private_folder,
    read_private,
    write_private,
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_replaced_whole_and_stays_private(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old and longer")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_creating_never_replaces(tmp_path: Path) -> None:
    path = tmp_path / "file"
    create_private(path, b"first")
    with pytest.raises(FileExistsError):
        create_private(path, b"second")
    assert path.read_bytes() == b"first"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_writing_over_a_folder_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"):
        write_private(tmp_path / "file", b"data")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_reading_keeps_its_limit_on_both_sides(tmp_path: Path) -> None:
    path = tmp_path / "file"
    create_private(path, b"12345")
    assert read_private(path, max_bytes=5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_private(path, max_bytes=4)


@pytest.mark.parametrize(
    ("bits", "refuse", "allowed"), [(0o400, 0o077, True), (0o440, 0o077, False), (0o440, 0o007, True)]
)
def test_reading_refuses_what_others_may_read(tmp_path: Path, bits: int, refuse: int, allowed: bool) -> None:
    path = tmp_path / "file"
    create_private(path, b"data")
    path.chmod(bits)
    if allowed:
        assert read_private(path, max_bytes=9, refuse=refuse) == b"data"
    else:
        with pytest.raises(NotPrivateError):
            read_private(path, max_bytes=9, refuse=refuse)


def test_folders_are_made_for_the_owner_alone(tmp_path: Path) -> None:
    make_private_folder(tmp_path / "a")
    make_private_folder(tmp_path / "a")
    assert mode(tmp_path / "a") == 0o700


@pytest.mark.parametrize("fault", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.hardlink_to"])
def test_a_write_that_fails_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException, call: str
) -> None:
    target, new = tmp_path / "m.onnx", tmp_path / "new"
    write_private(target, b"old")

    def torn(*_arguments: object) -> None:
        raise fault

    monkeypatch.setattr(call, torn)
    writes = [write_private] if "hardlink" not in call else []
    writes += [create_private] if "replace" not in call else []
    for write in writes:
        with pytest.raises(type(fault)):
            write(target if write is write_private else new, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_destroying_overwrites_every_name_and_removes_one(tmp_path: Path) -> None:
    path, other = tmp_path / "key", tmp_path / "other"
    create_private(path, b"secret" * 9)
    other.hardlink_to(path)
    destroy_file(path)
    destroy_file(path)  # there is none
    assert list(tmp_path.iterdir()) == [other]
    assert len(other.read_bytes()) == 54
    assert b"secret" not in other.read_bytes()


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path), pytest.raises(BlockingIOError), locked(path, wait=False):
        raise AssertionError("held twice")
    with locked(path, wait=False):
        assert mode(path) == 0o600


def leave(folder: Path, name: str, content: bytes = b"secret") -> Path:
    """What a process leaves that was killed while it wrote ``name``."""
    path = folder / f".{name}.0123456789abcdef"
    path.write_bytes(content)
    return path


def test_what_a_killed_process_left_is_destroyed(tmp_path: Path) -> None:
    left = leave(tmp_path, "device.key")
    others = [
        tmp_path / name for name in (".device.key", "device.key", ".hidden.0123", ".x.0123456789abcdeg")
    ]
    for path in others:
        path.write_bytes(b"kept")
    with left.open("rb") as file:
        assert destroy_leftovers(tmp_path) == 1
        assert file.read() != b"secret"  # overwritten, not only unlinked
    assert not left.exists()
    assert [path.read_bytes() for path in others] == [b"kept"] * len(others)
    assert destroy_leftovers(tmp_path) == 0
    assert destroy_leftovers(tmp_path / "nowhere") == 0


def test_a_leftover_that_has_its_own_name_already_costs_that_name_nothing(tmp_path: Path) -> None:
    """A kill after the link and before the other name was taken away."""
    left = leave(tmp_path, "device.key", b"the key")
    (tmp_path / "device.key").hardlink_to(left)
    assert destroy_leftovers(tmp_path) == 1
    assert not left.exists()
    assert (tmp_path / "device.key").read_bytes() == b"the key"


def test_a_file_that_is_being_written_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace, found = Path.replace, []

    def clean_first(self: Path, target: Path) -> Path:
        found.append(destroy_leftovers(tmp_path))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", clean_first)
    write_private(tmp_path / "device.key", b"new")
    assert found == [0]
    assert (tmp_path / "device.key").read_bytes() == b"new"


def test_an_empty_one_may_be_one_that_begins_now(tmp_path: Path) -> None:
    left = leave(tmp_path, "device.key", b"")
    assert destroy_leftovers(tmp_path) == 0
    assert left.exists()
