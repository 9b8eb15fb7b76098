"""The ZIP archive of a decision, written file by file: it is never in memory as a whole."""

from __future__ import annotations

import io
import zipfile

_MADE = (1980, 1, 1, 0, 0, 0)
"""The time of files in an archive, so that the same decision gives the same archive."""


class _Written(io.RawIOBase):
    """What was written since it was last taken; nobody goes back in it."""

    def __init__(self) -> None:
        super().__init__()
        self._pending = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._pending += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._pending)
        self._pending.clear()
        return taken


class Bundle:
    """Add a file, take what has become of it, and so on to the end."""

    def __init__(self) -> None:
        self._written = _Written()
        self._archive = zipfile.ZipFile(self._written, "w", zipfile.ZIP_STORED)

    def add(self, name: str, content: bytes) -> None:
        """Append a file."""
        self._archive.writestr(zipfile.ZipInfo(name, _MADE), content)

    def take(self) -> bytes:
        """What came to the archive since the last time."""
        return self._written.take()

    def end(self) -> bytes:
        """The rest of it."""
        self._archive.close()
        return self._written.take()
