"""Cues that need two frames or more: which views are compared, and what their readings come to."""

from __future__ import annotations

import dataclasses
from collections import deque

import numpy as np

from edge.liveness.cues import background, banding, motion
from edge.liveness.cues.view import FaceView

SHORTEST_S, BEST_S, LONGEST_S = 0.3, 0.55, 1.2  # between two views: sooner little changes, later all does
SPACING_S = 0.09  # of the views that are kept
MAX_READINGS = 256
PEAK = 0.8  # quantile: a blink or a word is there in some of the pairs only

_NOTHING = np.zeros((0, 0, 3), np.uint8)


class Timeline:
    """Keeps the views of the last second, without their colour, and all readings."""

    def __init__(self) -> None:
        self._views: deque[FaceView] = deque(maxlen=round(LONGEST_S / SPACING_S) + 2)
        self._pairs: deque[motion.PairReading] = deque(maxlen=MAX_READINGS)
        self._drifts: deque[background.Drift] = deque(maxlen=MAX_READINGS)
        self._bands: deque[float] = deque(maxlen=MAX_READINGS)

    @property
    def compared(self) -> bool:
        """Whether any two views of the face could be compared."""
        return len(self._pairs) > 0

    def remember(self, view: FaceView) -> None:
        """Keep a view to compare later ones with."""
        if not self._views or view.at - self._views[-1].at >= SPACING_S:
            self._views.append(dataclasses.replace(view, skin=_NOTHING))  # lets the whole frame go

    def compare_faces(self, view: FaceView) -> None:
        """Compare the face with itself about half a second ago."""
        earlier = self._earlier(view)
        reading = None if earlier is None else motion.compare(earlier.aligned, view.aligned)
        if reading is not None:
            self._pairs.append(reading)

    def compare_scenes(self, view: FaceView) -> None:
        """Compare the surroundings with those about half a second ago, and the rows with the last view's."""
        earlier = self._earlier(view)
        moved = None if earlier is None else background.drift(earlier, view)
        if moved is not None:
            self._drifts.append(moved)
        steady = banding.steadiness(self._views[-1], view) if self._views else None
        if steady is not None:
            self._bands.append(steady)

    def values(self) -> dict[str, float]:
        """What could be measured so far, by the names of the cues."""
        values: dict[str, float] = {}
        if self._pairs:
            pairs = list(self._pairs)
            values["face_motion"] = float(np.mean([one.excess for one in pairs]))
            values["off_plane"] = float(np.mean([1.0 - one.fitting for one in pairs]))
            peaks = [max(one.eyes, one.mouth) / max(one.floor, 1e-3) for one in pairs]
            values["non_rigid"] = float(np.quantile(peaks, PEAK))
        if (still := background.stillness(self._drifts)) is not None:
            values["background"] = still
        if self._bands:
            values["banding"] = float(np.median(self._bands))
        return values

    def _earlier(self, view: FaceView) -> FaceView | None:
        fitting = [one for one in self._views if SHORTEST_S <= view.at - one.at <= LONGEST_S]
        return min(fitting, key=lambda one: abs(view.at - one.at - BEST_S), default=None)
