from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edge.rpc import FailureKind, RpcFailure
from edge.sync.media import RETRY_S, MediaQueue
from edge.sync.ports import UplinkError
from verifield.media import CHUNK_BYTES


@dataclass(frozen=True)
class File:
    sha256: bytes
    path: Path
    size: int


class Cloud:
    """Keeps chunks; ``fail`` is raised by the next call."""

    def __init__(self) -> None:
        self.chunks: dict[bytes, dict[int, bytes]] = {}
        self.calls: list[tuple[str, int]] = []
        self.fail: UplinkError | None = None

    def get_media(self, sha256: bytes) -> frozenset[int] | None:
        self._called("get", -1)
        return None if self._complete(sha256) else frozenset(self.chunks.get(sha256, {}))

    def put_media_chunk(self, media: File, *, index: int, content: bytes) -> bool:
        self._called("put", index)
        self.chunks.setdefault(media.sha256, {})[index] = content
        return self._complete(media.sha256)

    def _called(self, name: str, index: int) -> None:
        self.calls.append((name, index))
        if self.fail is not None:
            failure, self.fail = self.fail, None
            raise failure

    def _complete(self, sha256: bytes) -> bool:
        chunks = self.chunks.get(sha256, {})
        return hashlib.sha256(b"".join(chunks[index] for index in sorted(chunks))).digest() == sha256


class Desk:
    """A queue over files in a folder, and its clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[File] = []
        self.now = 0.0
        self.cloud: Any = Cloud()
        backlog: Any = self
        self.queue = MediaQueue(backlog, lambda: self.now)

    def add(self, content: bytes) -> File:
        sha256 = hashlib.sha256(content).digest()
        path = self.folder / sha256.hex()
        path.write_bytes(content)
        self.files.append(File(sha256, path, len(content)))
        return self.files[-1]

    def media_pending(self) -> list[File]:
        return self.files

    def media_done(self, sha256: bytes) -> None:
        self.files = [file for file in self.files if file.sha256 != sha256]

    def work(self) -> list[str]:
        """Steps until nothing is left for now; returns codes of what was refused."""
        refused = []
        while self.queue.waiting():
            trouble = self.queue.step(self.cloud)
            if trouble is not None:
                refused.append(trouble.code)
        return refused


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    return Desk(tmp_path)


def failure(kind: FailureKind) -> UplinkError:
    return UplinkError(RpcFailure(kind, "MEDIA_NO_ROOM", "No room."))


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES - 1])
def test_a_file_goes_in_chunks_in_order(desk: Desk, size: int) -> None:
    file = desk.add(bytes(size))
    assert desk.work() == []
    count = -(-size // CHUNK_BYTES)
    assert desk.cloud.calls == [("get", -1), *(("put", index) for index in range(count))]
    assert sum(map(len, desk.cloud.chunks[file.sha256].values())) == size
    assert (desk.files, desk.queue.uploaded) == ([], 1)


def test_only_what_is_missing_is_sent(desk: Desk) -> None:
    file = desk.add(bytes(range(256)) * (4 * CHUNK_BYTES // 256))
    content = file.path.read_bytes()
    desk.cloud.chunks[file.sha256] = {index: content[index * CHUNK_BYTES :][:CHUNK_BYTES] for index in (0, 2)}
    desk.work()
    assert desk.cloud.calls == [("get", -1), ("put", 1), ("put", 3)]
    assert desk.files == []


def test_a_file_that_the_cloud_has_is_done(desk: Desk) -> None:
    file = desk.add(b"content")
    desk.cloud.chunks[file.sha256] = {0: b"content"}
    desk.work()
    assert (desk.cloud.calls, desk.files) == ([("get", -1)], [])


@pytest.mark.parametrize("kind", [FailureKind.TRANSIENT, FailureKind.AUTH])
def test_after_a_cut_it_asks_again_what_is_there(desk: Desk, kind: FailureKind) -> None:
    desk.add(bytes(2 * CHUNK_BYTES))
    desk.queue.step(desk.cloud)
    desk.queue.step(desk.cloud)
    desk.cloud.fail = failure(kind)
    with pytest.raises(UplinkError):
        desk.queue.step(desk.cloud)
    desk.work()
    assert desk.cloud.calls == [("get", -1), ("put", 0), ("put", 1), ("get", -1), ("put", 1)]
    assert desk.files == []


def test_a_refused_file_waits_an_hour_and_keeps_no_other_back(desk: Desk) -> None:
    first = desk.add(b"first")
    desk.add(b"second")
    desk.cloud.fail = failure(FailureKind.PERMANENT)
    assert desk.work() == ["MEDIA_REFUSED"]
    assert desk.files == [first]
    desk.now = RETRY_S - 1
    assert not desk.queue.waiting()
    desk.now = RETRY_S
    assert desk.work() == []
    assert desk.files == []


def test_a_file_that_is_gone_or_changed_is_said(desk: Desk) -> None:
    desk.add(b"gone").path.unlink()
    desk.add(b"changed").path.write_bytes(b"chanGed")
    assert desk.work() == ["MEDIA_REFUSED", "MEDIA_REFUSED"]
    assert len(desk.files) == 2
