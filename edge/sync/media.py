"""Delivery of encrypted files, chunk by chunk, after the records that name them.

A step is one call to the cloud, so that new records can go first between two of them. What the cloud
has already is asked for before a file begins: a cut costs one chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edge.rpc import FailureKind
from edge.sync.events import Trouble
from edge.sync.ports import Backlog, Media, Uplink, UplinkError
from verifield.media import CHUNK_BYTES, chunk_count

RETRY_S = 3600.0
"""A file that the cloud would not take is offered again after this: its record may wait for a person."""


@dataclass(slots=True)
class MediaQueue:
    """``monotonic``: seconds. Between two steps it remembers the file under way and what is left of it."""

    backlog: Backlog
    monotonic: Callable[[], float]
    uploaded: int = 0
    _file: Media | None = None
    _chunks: list[int] = field(default_factory=list)
    _refused: dict[bytes, float] = field(default_factory=dict)

    def waiting(self) -> bool:
        """Whether there is a file to deliver now."""
        return self._file is not None or self._next() is not None

    def forget(self) -> None:
        """The connection is gone: ask again what the cloud has of the file under way."""
        self._file = None

    def step(self, uplink: Uplink) -> Trouble | None:
        """Make one call; return why the cloud would not take a file, if it would not.

        Raises:
            UplinkError: the call failed in a way that has nothing to do with the file.
        """
        media = self._file
        if media is None:
            media = self._next()
            if media is None:
                return None
            return self._guarded(media, lambda: self._begin(uplink, media))
        return self._guarded(media, lambda: self._send(uplink, media))

    def _guarded(self, media: Media, call: Callable[[], None]) -> Trouble | None:
        try:
            call()
        except UplinkError as error:
            if error.failure.kind is not FailureKind.PERMANENT:
                self.forget()
                raise
            return self._refuse(media, error.failure.code)
        except OSError:
            return self._refuse(media, "MEDIA_UNREADABLE")
        if self._file is not None and not self._chunks:
            return self._refuse(media, "MEDIA_INCOMPLETE")
        return None

    def _begin(self, uplink: Uplink, media: Media) -> None:
        have = uplink.get_media(media.sha256)
        if have is None:
            self._finish(media)
            return
        self._file = media
        self._chunks = [index for index in range(chunk_count(media.size)) if index not in have]

    def _send(self, uplink: Uplink, media: Media) -> None:
        index = self._chunks[0]
        with media.path.open("rb") as file:
            file.seek(index * CHUNK_BYTES)
            content = file.read(CHUNK_BYTES)
        complete = uplink.put_media_chunk(media, index=index, content=content)
        del self._chunks[0]
        if complete:
            self._finish(media)

    def _finish(self, media: Media) -> None:
        self.backlog.media_done(media.sha256)
        self.uploaded += 1
        self._file = None

    def _refuse(self, media: Media, code: str) -> Trouble:
        self._file = None
        self._refused[media.sha256] = self.monotonic() + RETRY_S
        return Trouble(
            "MEDIA_REFUSED",
            f"The cloud did not take a picture that belongs to a record ({code}); it is kept.",
        )

    def _next(self) -> Media | None:
        now = self.monotonic()
        held = (media for media in self.backlog.media_pending())
        return next((media for media in held if self._refused.get(media.sha256, now) <= now), None)
