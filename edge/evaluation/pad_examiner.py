"""What looks at presentations: the detector and the passive liveness of the product, as a device has them."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

from edge.capture.detector import YuNetDetector
from edge.capture.live import LiveDetector
from edge.evaluation.pad_judging import Examiner
from edge.liveness.calibration import FILE, PassiveCalibration
from edge.liveness.minifasnet import open_minifasnet
from edge.liveness.passive import PassiveEvidence
from edge.liveness.texture import TextureExpert
from edge.models.store import ModelStore
from edge.ports import FrameExpert
from edge.vision import DETECTOR_MODEL


def open_examiner(models_dir: Path | None) -> Examiner:
    """Load what judges; each network gets one thread, so that answers do not depend on the machine.

    Raises:
        SetupError: MODEL_MISSING, MODEL_DIGEST, MODEL_UNREADABLE.
    """
    store = ModelStore.open(models_dir)
    detector = LiveDetector(YuNetDetector.open(store.path(DETECTOR_MODEL), threads=1))
    experts: list[FrameExpert] = [TextureExpert.open(threads=1)]
    optional = open_minifasnet(store, threads=1)
    if optional is not None:
        experts.append(optional)
    calibration = PassiveCalibration.built_in()
    models = [(DETECTOR_MODEL, store.entry(DETECTOR_MODEL).prepared_sha256)]
    models += [(expert.name, expert.model_sha256) for expert in experts]
    models.append(("calibration", _calibration_sha256()))
    return Examiner(detector.detect, lambda: PassiveEvidence(experts, calibration), tuple(models))


def _calibration_sha256() -> str:
    return hashlib.sha256(resources.files("edge.liveness").joinpath(FILE).read_bytes()).hexdigest()
