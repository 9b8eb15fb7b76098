"""JPEGs whose last scan comes again and again: a decoder passes over the whole picture for each."""

from __future__ import annotations

import io

from PIL import Image as PilImage

END = b"\xff\xd9"
_SCAN = b"\xff\xda"


def jpeg_of_scans(scans: int, picture: PilImage.Image | None = None) -> bytes:
    """A progressive JPEG of so many scans, 10 or more, that any decoder takes; grey without a picture."""
    buffer = io.BytesIO()
    (picture or PilImage.new("L", (102, 126), 128)).save(buffer, "JPEG", progressive=True)
    whole = buffer.getvalue().removesuffix(END)
    again = whole[whole.rindex(_SCAN) :]
    return whole + again * (scans - whole.count(_SCAN)) + END
