"""The encrypted files of devices on disk, named by their digests.

DATA/media/DEVICE/SHA256            complete, digest checked
DATA/media/DEVICE/parts/SHA256/N    chunks of one that is on its way
DATA/media/NN.lock                  held by the service that writes for one of the devices of this number

Each file is written beside its place, synced, and moved there whole: what stands at its name is complete,
whatever happened to the machine. Sending a chunk again writes the same again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from zlib import crc32

from cloud.keyfiles import locked, sync_folder, write_private, write_whole

_PARTS = "parts"
_LOCKS = 64
_UNFINISHED = "."


class MediaFolder:
    """The folder of all devices. Its callers see to it that one thread at a time writes, in ``locked``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def locked(self, device_id: str) -> Iterator[None]:
        """Let no other service that shares the folder write for this device meanwhile."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self._root / f"{crc32(device_id.encode()) % _LOCKS:02}.lock"):
            yield

    def free_bytes(self) -> int:
        """What is left on the disk."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return shutil.disk_usage(self._root).free

    def has(self, device_id: str, digest: bytes) -> bool:
        """Whether a file is complete."""
        return self.path(device_id, digest).exists()

    def path(self, device_id: str, digest: bytes) -> Path:
        """Where a complete file lies."""
        return self._root / device_id / digest.hex()

    def chunks(self, device_id: str, digest: bytes) -> list[int]:
        """Which chunks of a file are here, ascending."""
        try:
            names = [entry.name for entry in self._part(device_id, digest).iterdir()]
        except FileNotFoundError:  # also one that became complete this moment
            return []
        return sorted(int(name) for name in names if name.isdecimal())

    def put_chunk(self, device_id: str, digest: bytes, index: int, content: bytes) -> None:
        """Keep one chunk, durably."""
        folder = self._part(device_id, digest)
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for above in (folder.parent, folder.parent.parent, self._root):
                sync_folder(above)
        write_private(folder / str(index), content)

    def assemble(self, device_id: str, digest: bytes, *, chunks: int) -> bool:
        """Put the chunks together; False, and none of them is kept, where they have another digest."""
        folder, hasher = self._part(device_id, digest), sha256()

        def content() -> Iterator[bytes]:
            for index in range(chunks):
                piece = (folder / str(index)).read_bytes()
                hasher.update(piece)
                yield piece

        for _ in content():
            pass
        same = hasher.digest() == digest
        if same:
            path = self.path(device_id, digest)
            for left in path.parent.glob(f"{_UNFINISHED}*"):  # by a service that was killed here
                left.unlink()
            write_whole(path, content())
            for above in (self._root, self._root.parent):
                sync_folder(above)
        shutil.rmtree(folder)
        return same

    def make_room(self, device_id: str, digest: bytes, *, most: int) -> None:
        """Drop chunks of files that were not gone on with for longest, until one more has its place."""
        parts = self._root / device_id / _PARTS
        if not parts.exists():
            return
        others = [entry for entry in parts.iterdir() if entry.name != digest.hex()]
        others.sort(key=lambda entry: entry.stat().st_mtime_ns)
        for entry in others[: max(0, len(others) + 1 - most)]:
            shutil.rmtree(entry)

    def _part(self, device_id: str, digest: bytes) -> Path:
        return self._root / device_id / _PARTS / digest.hex()
