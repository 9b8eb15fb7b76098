"""The passive half of liveness: what pictures tell by themselves, put together to one calibrated score.

What it takes: one picture, a folder of frames (1.5 a second are enough) or video. What it gives:

    case                                                        score       reason
    time ran backwards                                          None        LIVENESS_TIME_BACKWARDS
    no usable face in any frame                                 None        LIVENESS_NO_FACE
    a face in fewer than half of the frames                     None        LIVENESS_FACE_LOST
    frames that came before came again, again and again         None        LIVENESS_FRAMES_REPEAT
    all frames of a second and more are equal to the bit        None        LIVENESS_FRAMES_FROZEN
    frames, but no two of them far enough apart to compare      None        LIVENESS_TOO_FEW_FRAMES
    no texture network judged, nothing else accuses             None        LIVENESS_NO_FRAME_EXPERT
    no texture network judged, the other cues accuse            under 0.5   LIVENESS_NO_FRAME_EXPERT
    else                                                        0..1        (none)

None is never a pass. What is missing shows in ``experts`` as a score of None with its reason; it adds
nothing to the fused score. How cues are weighed: ``edge.liveness.calibration``.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from edge.liveness.calibration import CLIP, PICTURE, PassiveCalibration
from edge.liveness.cues import border, colour, focus, frequency
from edge.liveness.cues.repetition import FrameNovelty
from edge.liveness.cues.timeline import Timeline
from edge.liveness.cues.view import FaceView, look, usable
from edge.model import ExpertScore, Face, Image
from edge.ports import FrameExpert

TEXTURE = "texture"  # the expert that comes with the product
OPERATING_POINT = 0.5
"""A fused score from here on is a pass by the calibration's own, stated operating point."""

MIN_FACE_SHARE = 0.5  # of the frames
FROZEN_AFTER_S = 1.0
MIN_RETURNED = 3  # one frame that comes twice may be a slip of the driver
MAX_VALUES = 512  # kept of each cue
MAX_LOGIT = 5.0  # one frame of which a network is more sure counts no more than this
# Nominal costs in milliseconds on one slow core. Work is spread by them, not by a clock, so that the same
# frames give the same score on every machine.
BUDGET_MS = 9.0
COSTS_MS = {"texture": 5.0, "minifasnet": 8.0}
UNKNOWN_COST_MS = 6.0
SLOW_STREAM_S = 0.25  # with frames this far apart each one is worth all the work

FRAME_CUES: Mapping[str, Callable[[FaceView], float | None]] = {
    "moire": frequency.evenness,
    "colours": colour.diversity,
    "shine": colour.mattness,
    "fineness": focus.fineness,
    "border": border.openness,
}


@dataclass(frozen=True, slots=True)
class PassiveResult:
    """``score``: 0..1, higher is more alive; None could not judge and is never a pass.

    ``experts``: each cue by itself, its score the share of life that its value speaks for (0.5: undecided),
    advisory and with threshold 0: recorded, decided upon only through ``score``. ``reason``: a code, "" where
    there is none. ``values``: what the cues measured, in their own units, for evaluation and calibration.
    """

    score: float | None
    experts: tuple[ExpertScore, ...]
    reason: str
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclass(slots=True)
class _Job:
    """Something that is done again and again, no sooner than ``every`` seconds after the last time."""

    cost_ms: float
    every: float
    run: Callable[[Image, Face, FaceView], None]
    last: float = -math.inf

    def overdue(self, at: float) -> float:
        return (at - self.last) / self.every


class PassiveEvidence:
    """Fed with every frame of one person; holds a second of small grey pictures and numbers."""

    def __init__(self, experts: Sequence[FrameExpert], calibration: PassiveCalibration) -> None:
        self._experts = tuple(experts)
        self._calibration = calibration
        self._novelty = FrameNovelty()
        self._timeline = Timeline()
        self._shares: dict[str, list[float]] = {expert.name: [] for expert in experts}
        self._measured: dict[str, list[float]] = {name: [] for name in FRAME_CUES}
        self._frames = self._faces = 0
        self._first_at: float | None = None
        self._last_at: float | None = None
        self._fresh_at: float | None = None
        self._backwards = False
        self._jobs = [
            *(self._expert_job(expert) for expert in self._experts),
            _Job(3.0, 0.2, lambda _i, _f, view: self._timeline.compare_faces(view)),
            _Job(1.5, 0.2, lambda _i, _f, view: self._timeline.compare_scenes(view)),
            _Job(1.0, 0.3, lambda _i, _f, view: self._measure(view, FRAME_CUES.keys() - {"border"})),
            _Job(2.0, 0.6, lambda _i, _f, view: self._measure(view, {"border"})),
        ]

    def observe(self, image: Image, face: Face | None, at: float) -> None:
        """Take the next frame (uint8 [height, width, 3], BGR) and the one face in it.

        ``at``: monotonic seconds of the frame; the same moment twice is one frame.
        """
        if not math.isfinite(at) or (self._last_at is not None and at < self._last_at):
            self._backwards = True
            return
        if at == self._last_at:
            return
        self._first_at = at if self._first_at is None else self._first_at
        self._last_at = at
        self._frames += 1
        if face is None or not usable(image, face):
            return
        self._faces += 1
        view = look(image, face, at)
        if self._novelty.observe(view):
            slow = self._fresh_at is None or at - self._fresh_at >= SLOW_STREAM_S
            self._fresh_at = at
            self._work(image, face, view, math.inf if slow else BUDGET_MS)
            self._timeline.remember(view)

    def result(self) -> PassiveResult:
        """Judge what was seen so far; may be asked at any time, and again."""
        values, missing = self._values()
        experts = tuple(
            ExpertScore(
                name,
                self._share(name, values),
                0.0,
                missing.get(name, ""),
                self._digest(name),
                advisory=True,
            )
            for name in dict.fromkeys((*self._shares, *self._calibration.curves))
        )
        if reason := self._unjudgeable():
            return PassiveResult(None, experts, reason, values)
        judged = [name for name in self._shares if name in values]
        used = {name: value for name, value in values.items() if name not in self._ignored()}
        score = self._calibration.score(used, self._variant(judged))
        if not judged:
            accused = score if score < OPERATING_POINT else None
            return PassiveResult(accused, experts, "LIVENESS_NO_FRAME_EXPERT", values)
        return PassiveResult(score, experts, "", values)

    def _expert_job(self, expert: FrameExpert) -> _Job:
        def judge(image: Image, face: Face, _view: FaceView) -> None:
            try:
                share = expert.live(image, face)
            except (ValueError, cv2.error):  # no score from this frame; what never scores is shown as missing
                return
            if math.isfinite(share):
                _keep(self._shares[expert.name], min(max(share, 0.0), 1.0))

        return _Job(COSTS_MS.get(expert.name, UNKNOWN_COST_MS), 0.2, judge)

    def _work(self, image: Image, face: Face, view: FaceView, budget_ms: float) -> None:
        """Do what is due, the longest overdue first, at least one thing and no more than the budget has."""
        due = sorted(
            (job for job in self._jobs if job.overdue(view.at) >= 1.0), key=lambda job: -job.overdue(view.at)
        )
        spent = 0.0
        for job in due:
            if spent and spent + job.cost_ms > budget_ms:
                continue
            job.last = view.at
            spent += job.cost_ms
            job.run(image, face, view)

    def _measure(self, view: FaceView, names: set[str]) -> None:
        for name in sorted(names):
            value = FRAME_CUES[name](view)
            if value is not None and math.isfinite(value):
                _keep(self._measured[name], value)

    def _values(self) -> tuple[dict[str, float], dict[str, str]]:
        """What each cue measured over all frames, and why some did not."""
        values: dict[str, float] = {}
        missing: dict[str, str] = {}
        for name, shares in self._shares.items():
            if shares:
                values[name] = mean_share(shares)
        for name, measured in self._measured.items():
            if measured:
                values[name] = statistics.median(measured)
        values |= self._timeline.values()
        if (fresh := self._novelty.share) is not None:
            values["fresh_frames"] = fresh
        for name in (*self._shares, *self._calibration.curves):
            if name not in values:
                missing[name] = self._why_missing(name)
        return values, missing

    def _why_missing(self, name: str) -> str:
        if name in self._shares or name in FRAME_CUES:
            return "LIVENESS_CUE_COULD_NOT_JUDGE"
        if name in self._calibration.optional:
            return "LIVENESS_MODEL_NOT_PULLED"
        if name == TEXTURE:
            return "LIVENESS_NO_FRAME_EXPERT"
        return "LIVENESS_NEEDS_FRAMES" if self._faces < 2 else "LIVENESS_CUE_COULD_NOT_JUDGE"

    def _unjudgeable(self) -> str:
        """Why there can be no score at all; "" where there can be."""
        if self._backwards:
            return "LIVENESS_TIME_BACKWARDS"
        if self._faces == 0 or self._first_at is None or self._last_at is None:
            return "LIVENESS_NO_FACE"
        if self._faces < MIN_FACE_SHARE * self._frames:
            return "LIVENESS_FACE_LOST"
        if self._novelty.returned >= MIN_RETURNED:
            return "LIVENESS_FRAMES_REPEAT"
        lasted = self._last_at - self._first_at
        if self._novelty.fresh == 1 and self._novelty.seen > 1 and lasted >= FROZEN_AFTER_S:
            return "LIVENESS_FRAMES_FROZEN"
        if self._faces > 1 and not self._timeline.compared:
            return "LIVENESS_TOO_FEW_FRAMES"
        return ""

    def _variant(self, judged: Sequence[str]) -> str:
        optional = "".join(f"+{name}" for name in sorted(judged) if name in self._calibration.optional)
        return (CLIP if self._faces > 1 else PICTURE) + optional

    def _ignored(self) -> frozenset[str]:
        return frozenset() if self._calibration.camera_fixed else frozenset({"background"})

    def _share(self, name: str, values: Mapping[str, float]) -> float | None:
        if name not in values or name not in self._calibration.curves:
            return values.get(name)
        return 1.0 / (1.0 + math.exp(-self._calibration.evidence(name, values[name])))

    def _digest(self, name: str) -> str:
        return next((expert.model_sha256 for expert in self._experts if expert.name == name), "")


def _keep(values: list[float], value: float) -> None:
    if len(values) < MAX_VALUES:
        values.append(value)


def mean_share(shares: Sequence[float]) -> float:
    """Mean over frames of the log odds, each bounded, as a share again."""
    kept = np.clip(np.asarray(shares, dtype=np.float64), 1e-6, 1 - 1e-6)
    logits = np.clip(np.log(kept / (1 - kept)), -MAX_LOGIT, MAX_LOGIT)
    return float(1.0 / (1.0 + np.exp(-logits.mean())))
