"""Are the frames new? No two frames of a living sensor are equal to the bit; those of a file that loops are.

Principle: the noise of a sensor never repeats (the same is used to find copied frames in video forensics:
Wang and Farid 2007). Equal neighbours are only slow (a stream that was filled up from 15 to 30 frames a
second); a frame that returns after another came is a loop.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import numpy as np

from edge.liveness.cues.view import FaceView

REMEMBERED = 1024  # frames: half a minute at 30 a second


class FrameNovelty:
    """Fed with each view; holds digests, no pictures."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, None] = OrderedDict()
        self._last = b""
        self.seen = 0
        self.fresh = 0
        self.returned = 0  # frames equal to one that was not the one before

    def observe(self, view: FaceView) -> bool:
        """Take the next view; True where its pixels were not seen before."""
        pixels = np.ascontiguousarray(view.scene).tobytes() + np.ascontiguousarray(view.skin).tobytes()
        digest = hashlib.blake2b(pixels, digest_size=16).digest()
        self.seen += 1
        known, last, self._last = digest in self._known, self._last, digest
        if known:
            self.returned += digest != last
            return False
        self.fresh += 1
        self._known[digest] = None
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return True

    @property
    def share(self) -> float | None:
        """Of frames that were new, 0..1; None with fewer than two frames."""
        return self.fresh / self.seen if self.seen >= 2 else None
