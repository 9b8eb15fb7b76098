"""The files that the operator's commands write: whole, and those about people for their reader alone."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest
from typer.testing import CliRunner

from cloud.cli import app as commands
from cloud.commands import common
from cloud.commands.files import write_output
from cloud.errors import SetupError

CONTENT = b"a page about somebody"
ID = "019a0000-0000-7000-8000-000000000001"
PERSONAL = (
    ("archive", "read", ID, ID, "--output"),
    ("archive", "export", ID, "--output"),
    ("business", "document", ID, ID, "--out"),
    ("organisations", "document", ID, ID, "--out"),
    ("seals", "image", ID, "1", "--out"),
    ("bank", "paper", ID, "--out"),
)


class Service:
    """Has one document, and counts who asks for it."""

    def __init__(self) -> None:
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return MagicMock()

    def call(self, *_: object) -> Any:
        self.calls += 1
        return MagicMock(pdf=CONTENT, record=SimpleNamespace(record_id=ID))

    def receive(self, *_: object) -> Iterator[Any]:
        self.calls += 1
        described = SimpleNamespace(media_type="image/jpeg", size_bytes=len(CONTENT), sha256=b"")
        half = len(CONTENT) // 2
        for part in (CONTENT[:half], CONTENT[half:]):
            yield SimpleNamespace(chunk=part, content=part, document=described)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    served = Service()

    @contextmanager
    def opened(*_: object) -> Iterator[Service]:
        yield served

    monkeypatch.setattr(common, "find_target", lambda *_, **__: None)
    monkeypatch.setattr(common, "open_client", opened)
    return served


@pytest.mark.parametrize("command", PERSONAL, ids=" ".join)
def test_what_is_about_people_is_for_its_reader_alone(
    service: Service, command: tuple[str, ...], tmp_path: Path
) -> None:
    kept = tmp_path / "new folder" / "page"
    before = os.umask(0o022)
    try:
        assert CliRunner().invoke(commands, [*command, str(kept)]).exit_code == 0
    finally:
        os.umask(before)
    assert kept.read_bytes() == CONTENT
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


@pytest.mark.parametrize("command", PERSONAL, ids=" ".join)
def test_it_goes_neither_over_a_file_nor_through_a_link_and_is_not_fetched_then(
    service: Service, command: tuple[str, ...], tmp_path: Path
) -> None:
    mine, link, nowhere = tmp_path / "mine", tmp_path / "link", tmp_path / "link to nowhere"
    mine.write_bytes(b"mine")
    link.symlink_to(mine)
    nowhere.symlink_to(tmp_path / "made")
    for taken in (mine, link, nowhere):
        result = CliRunner().invoke(commands, [*command, str(taken), "--json"])
        assert result.exit_code == 3
        assert json.loads(result.stdout)["error"]["code"] == "OUTPUT_EXISTS"
    assert service.calls == 0
    assert mine.read_bytes() == b"mine"
    assert not (tmp_path / "made").exists()


def test_a_disk_without_room_spares_the_file_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list_file = tmp_path / "newest.crl"
    write_output(list_file, b"the list before")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SetupError) as caught:
        write_output(list_file, b"the newest list")
    assert caught.value.code == "OUTPUT_UNWRITABLE"
    assert "No space left on device" in caught.value.message
    assert list_file.read_bytes() == b"the list before"
    assert list(tmp_path.iterdir()) == [list_file]


def test_an_output_takes_the_place_of_the_one_before_where_a_link_leads(tmp_path: Path) -> None:
    kept, link = tmp_path / "kept", tmp_path / "link"
    link.symlink_to(kept)
    before = os.umask(0o027)
    try:
        write_output(link, b"1")
        assert stat.S_IMODE(kept.stat().st_mode) == 0o640
        kept.chmod(0o600)
        write_output(link, b"2")
    finally:
        os.umask(before)
    assert link.is_symlink()
    assert kept.read_bytes() == b"2"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert sorted(tmp_path.iterdir()) == [kept, link]


@pytest.mark.parametrize("write", ["write_output", "write_new"])
@pytest.mark.parametrize("redirected", [True, False])
def test_a_file_may_go_to_standard_output(write: str, redirected: bool, tmp_path: Path) -> None:
    program = (
        f"from pathlib import Path; from cloud.commands.files import {write}; "
        f"{write}(Path('/dev/stdout'), b'content')"
    )
    kept = tmp_path / "kept"
    with kept.open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-c", program],
            stdout=file if redirected else subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            timeout=60,
            check=True,
        )
    assert (kept.read_bytes() if redirected else done.stdout) == b"content"


def test_a_pipe_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_output(pipe, b"content")
        assert os.read(reader, 100) == b"content"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


def test_what_a_device_wrote_is_not_written_over(service: Service, tmp_path: Path) -> None:
    file, link = tmp_path / "tablet.verifield", tmp_path / "link"
    file.write_bytes(b"records")
    link.symlink_to(file)
    for out in (file, link):
        assert CliRunner().invoke(commands, ["import", str(file), "--out", str(out)]).exit_code == 2
    assert file.read_bytes() == b"records"


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_a_key_for_backups_needs_a_name(name: str) -> None:
    result = CliRunner().invoke(commands, ["backup", "keygen", name, "--json"])
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["code"] == "USAGE"


def test_no_key_for_backups_is_written_over(tmp_path: Path) -> None:
    key = tmp_path / "folder" / "backup.key"
    assert CliRunner().invoke(commands, ["backup", "keygen", str(key)]).exit_code == 0
    public = key.with_name("backup.key.pub")
    before = key.read_bytes(), public.read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert CliRunner().invoke(commands, ["backup", "keygen", str(key)]).exit_code == 3
    key.rename(tmp_path / "away")
    assert CliRunner().invoke(commands, ["backup", "keygen", str(key)]).exit_code == 3
    assert not key.exists()
    assert ((tmp_path / "away").read_bytes(), public.read_bytes()) == before
