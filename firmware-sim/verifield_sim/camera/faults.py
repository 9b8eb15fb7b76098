"""What goes wrong with the camera: when, drawn from the scenario's seed, or by a lever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from verifield_sim.camera.optics import Image
from verifield_sim.camera.scene import Scene

Span = tuple[float, float]


class CameraFaultKind(StrEnum):
    UNPLUG = "unplug"  # the stream ends, and none begins
    BUSY = "busy"  # the same, because somebody else has the camera
    FREEZE = "freeze"  # the same picture again and again, under new numbers
    BLACK = "black"  # the lens is covered: noise only


@dataclass(frozen=True, slots=True)
class CameraFault:
    """``at_s``: when it begins, after the scenario did, somewhere in this span. ``lasts_s``: 0 for ever."""

    kind: CameraFaultKind
    at_s: Span
    lasts_s: Span = (0.0, 0.0)


class CameraAway(Exception):
    """The camera gives no picture. ``kind``: UNPLUG or BUSY."""

    def __init__(self, kind: CameraFaultKind) -> None:
        super().__init__(f"the camera gives no picture: {kind}")
        self.kind = kind


class FaultyCamera:
    """A camera before a scene. The picture is a function of seed, prompts, levers and time."""

    def __init__(self, scene: Scene, faults: Sequence[CameraFault] = (), *, seed: int = 0) -> None:
        self._scene = scene
        rng = np.random.default_rng([seed, 2])  # apart from the scene's own
        self._spans = [(fault.kind, *_drawn(fault, rng)) for fault in faults]
        self._by_hand: CameraFaultKind | None = None
        self._frozen: Image | None = None

    def set(self, kind: CameraFaultKind | None) -> None:
        """Bring a fault about until it is taken back with None; the scenario's own come beside it."""
        self._by_hand = kind

    def fault(self, now: float) -> CameraFaultKind | None:
        """What is wrong at ``now``, in seconds of the scenario."""
        if self._by_hand is not None:
            return self._by_hand
        return next((kind for kind, begin, end in self._spans if begin <= now < end), None)

    def frame(self, now: float) -> Image:
        """Return what the camera gives at ``now``.

        Raises:
            CameraAway: nothing.
        """
        fault = self.fault(now)
        if fault in (CameraFaultKind.UNPLUG, CameraFaultKind.BUSY):
            raise CameraAway(fault)
        if fault is CameraFaultKind.FREEZE:
            self._frozen = self._scene.frame(now) if self._frozen is None else self._frozen
            return self._frozen
        self._frozen = None
        return self._scene.covered(now) if fault is CameraFaultKind.BLACK else self._scene.frame(now)


def _drawn(fault: CameraFault, rng: np.random.Generator) -> Span:
    begin, lasts = float(rng.uniform(*fault.at_s)), float(rng.uniform(*fault.lasts_s))
    return begin, begin + lasts if lasts > 0 else float("inf")
