"""How much work a JPEG makes (ITU-T T.81), told before a decoder has to do it.

libjpeg passes over the whole picture for each scan and each may have a dozen bytes only, so that neither
bytes nor pixels bound the time. The walk skips what libjpeg skips: the contents of segments, with the
thumbnails of EXIF in them, and all behind the end of the first picture.
"""

from __future__ import annotations

import re

MAX_SCANS = 100
"""libvips stops there too; the progressive pictures of libjpeg have 10."""

MAX_SEGMENTS = 10_000
"""A picture of 32 MiB whose notes fill it has some 500."""

_BEGINNING = b"\xff\xd8\xff"
_SCAN = 0xDA
_END = 0xD9
_MARKER = re.compile(rb"\xff([\xc0-\xcf\xd8-\xfe])")  # those below 0xC0, and restarts, have no segment


def is_laborious_jpeg(data: bytes) -> bool:
    """Whether ``data`` is a JPEG of more than MAX_SCANS scans or MAX_SEGMENTS segments."""
    if not data.startswith(_BEGINNING):
        return False
    at, scans = 2, 0
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(data, at)
        if found is None or found[1][0] == _END:
            return False
        scans += found[1][0] == _SCAN
        if scans > MAX_SCANS:
            return True
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
    return True
