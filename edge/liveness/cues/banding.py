"""Do bands run through the picture? A screen that is refreshed or dimmed in pulses, before a rolling shutter.

Principle: a camera that exposes row after row sees a light that pulses as horizontal bands, which wander from
frame to frame (flicker bands, e.g. Sheinin et al. 2017). The mean of each row of the scene is compared
between two frames: what moves in the room changes some rows in no order, bands change all of them in a
sine. Lamps on an alternating current make bands too, so this cue is weak evidence and never more.
"""

from __future__ import annotations

import numpy as np

from edge.liveness.cues.view import FaceView

MIN_ROWS = 48
CYCLES = (1.5, 14.0)  # bands in the height of the picture
VISIBLE = 0.3  # grey levels: bands weaker than noise in a row's mean are none


def steadiness(first: FaceView, second: FaceView) -> float | None:
    """1 less the share of the change between two frames that one sine over the rows explains.

    None where the pictures have other sizes, or too few rows.
    """
    if first.scene.shape != second.scene.shape or first.scene.shape[0] < MIN_ROWS:
        return None
    rows = second.scene.mean(axis=1) - first.scene.mean(axis=1)
    count = len(rows)
    place = np.arange(count) - (count - 1) / 2
    rows = rows - np.polynomial.Polynomial.fit(place, rows, 1)(place)
    window = np.hanning(count)
    power = np.abs(np.fft.rfft(rows * window)) ** 2
    low, high = int(np.ceil(CYCLES[0])), int(CYCLES[1]) + 1
    peak = low + int(np.argmax(power[low:high]))
    around = float(power[peak - 1 : peak + 2].sum())
    amplitude = 2.0 * float(np.sqrt(power[peak])) / float(window.sum())
    if amplitude < VISIBLE:
        return 1.0
    return 1.0 - min(1.0, around / max(float(power.sum()), 1e-9))
