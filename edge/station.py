"""Wiring of what looks and reads: networks, camera, card reader, screens. Nothing is opened at import."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from edge.attest.clock import SystemClock
from edge.capture.sources import open_camera
from edge.config import EdgeConfig
from edge.errors import HardwareError, SetupError
from edge.interrupts import stops_held_back
from edge.model import CameraAssurance, Decision, Evidence
from edge.models.store import ModelStore
from edge.outbox.records import StoredRecord
from edge.pipeline import Pipeline
from edge.ports import Camera, Clock, PhotoDecoder
from edge.reader.photo import NoPhotoDecoder, SimulatorPhotoDecoder
from edge.reader.reader import SamVReader
from edge.recorder import Recorder
from edge.screen import open_screens
from edge.vision import Vision

NONCE_BYTES = 16
SERIAL_BY_ID = Path("/dev/serial/by-id")


def open_vision(config: EdgeConfig) -> Vision:
    """Load the default models; errors as ``Vision.open``."""
    return Vision.open(ModelStore.open(config.models_dir), threads=config.threads)


@contextmanager
def open_pipeline(config: EdgeConfig, recorder: Recorder) -> Iterator[Pipeline]:
    """Open models, camera and reader; what they find is attested by ``recorder``.

    Raises:
        SetupError: MODEL_MISSING and the like, or CAMERA_NOT_ALLOWED.
        HardwareError: NO_CAMERA, NO_READER and the like.
    """

    def attest(evidence: Evidence, decision: Decision) -> StoredRecord:
        with stops_held_back():  # nobody gets rid of an attempt by pressing stop once more
            return recorder.record(evidence, decision)

    vision = open_vision(config)
    clock = SystemClock()
    with (
        closing(_open_allowed_camera(config, clock)) as camera,
        closing(
            SamVReader.open(
                _reader_port(config),
                baud=config.reader_baud,
                decoder=_photo_decoder(config),
                expected_sam_id=config.reader_sam_id,
            )
        ) as reader,
    ):
        yield Pipeline(
            reader=reader,
            camera=camera,
            vision=vision,
            screen=open_screens(config.language, config.screen_url),
            attest=attest,
            policy=recorder.policy,
            monotonic=lambda: clock.monotonic_ns() / 1e9,  # the clock that stamps the frames
            new_nonce=lambda: secrets.token_bytes(NONCE_BYTES),
            card_timeout_s=config.card_timeout_s,
            capture_timeout_s=config.capture_timeout_s,
        )


def _open_allowed_camera(config: EdgeConfig, clock: Clock) -> Camera:
    camera = open_camera(config.camera, clock=clock)
    if camera.assurance is CameraAssurance.SIMULATED and not config.allow_simulated_camera:
        camera.close()
        raise SetupError(
            "CAMERA_NOT_ALLOWED",
            "This camera is a file, a stream or a simulator, whose pictures could be made up.",
            hint="Use a camera attached to this device; for trials set allow_simulated_camera = true.",
        )
    return camera


def _reader_port(config: EdgeConfig) -> str:
    if config.reader_port != "auto":
        return config.reader_port
    found = sorted(SERIAL_BY_ID.glob("*")) if SERIAL_BY_ID.is_dir() else []
    if len(found) == 1:
        return str(found[0])
    names = ", ".join(path.name for path in found) or "none"
    raise HardwareError(
        "NO_READER",
        f"The card reader's port is not clear: found {names} under {SERIAL_BY_ID}.",
        hint="Plug the reader in, or name its port with reader_port or --reader.",
    )


def _photo_decoder(config: EdgeConfig) -> PhotoDecoder:
    return SimulatorPhotoDecoder() if config.photo_decoder == "simulator" else NoPhotoDecoder()
