"""The folder in memory for files that must never reach a disk: whose it is, and what clears it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.app import destroy_abandoned_files
from edge.config import EdgeConfig
from edge.reader import memory_folder as module
from edge.reader.memory_folder import memory_folder

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from edge.reader.memory_folder import memory_folder
with memory_folder() as folder:
    (folder / "photo").touch()
    print(folder, flush=True)
    sys.stdin.read()
"""


@contextmanager
def held() -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A process that has such a folder, until it is killed."""
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield Path(process.stdout.readline().strip()), process
        finally:
            process.kill()


def use(_data: Path) -> None:
    with memory_folder():
        pass


def start_or_wipe(data: Path) -> None:
    destroy_abandoned_files(EdgeConfig(data_dir=data))


@pytest.mark.parametrize("clear", [use, start_or_wipe])
def test_what_a_killed_process_left_goes_with_the_next_start(
    clear: Callable[[Path], None], tmp_path: Path
) -> None:
    with held() as (left, killed), held() as (kept, _living):
        killed.kill()
        killed.wait()
        assert (left / "photo").exists()
        clear(tmp_path)
        assert not left.exists()
        assert (kept / "photo").exists()
    use(tmp_path)
    assert not kept.exists()


def test_the_devices_own_folder_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    with memory_folder() as shared:
        own, session = shared / "own", shared / "session"
        own.mkdir()
        session.mkdir()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(session))
        for first, chosen in ((own, own), (shared / "missing", session)):
            monkeypatch.setattr(module, "SYSTEM_FOLDERS", (first, shared))
            with memory_folder() as folder:
                assert folder.parent == chosen
        monkeypatch.setenv("XDG_RUNTIME_DIR", "")
        with memory_folder() as folder:
            assert folder.parent == shared
            assert folder.stat().st_mode & 0o777 == 0o700
    assert not shared.exists()
