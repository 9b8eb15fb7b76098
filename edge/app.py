"""Wiring: from the configuration to the parts that a command needs. Nothing is opened at import."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path

from edge.attest.clock import SystemClock
from edge.attest.identity import DeviceIdentity
from edge.capture.sources import open_camera
from edge.config import EdgeConfig
from edge.errors import HardwareError, SetupError
from edge.model import CameraAssurance
from edge.models.store import ModelStore
from edge.outbox.store import Outbox
from edge.pipeline import Pipeline
from edge.policy import Policy
from edge.ports import Camera, Clock, PhotoDecoder
from edge.reader.photo import NoPhotoDecoder, SimulatorPhotoDecoder
from edge.reader.reader import SamVReader
from edge.recorder import Recorder
from edge.screen import open_screens
from edge.vision import Vision

NONCE_BYTES = 16
SERIAL_BY_ID = Path("/dev/serial/by-id")


def software_version() -> str:
    """The installed release."""
    return version("verifield")


def identity_folder(config: EdgeConfig) -> Path:
    """Where keys and certificates live."""
    return config.data_dir / "identity"


def open_vision(config: EdgeConfig) -> Vision:
    """Load the default models; errors as ``Vision.open``."""
    return Vision.open(ModelStore.open(config.models_dir), threads=config.threads)


@contextmanager
def open_outbox(config: EdgeConfig, identity: DeviceIdentity) -> Iterator[Outbox]:
    """Each identity has a store of its own, so that an older one's records stay deliverable."""
    path = config.data_dir / "outbox" / f"{identity.device_id}.sqlite"
    with Outbox.open(path, device_id=identity.device_id) as outbox:
        yield outbox


@contextmanager
def open_recorder(config: EdgeConfig) -> Iterator[Recorder]:
    """Open the identity, its key and its outbox; the chain has begun when this returns.

    Raises:
        SetupError: NOT_ENROLLED, or the key is not usable.
        StorageError: the outbox is not usable.
    """
    identity = DeviceIdentity.open(identity_folder(config))
    with open_outbox(config, identity) as outbox:
        recorder = Recorder(
            identity=identity,
            signer=identity.open_signer(),
            outbox=outbox,
            clock=SystemClock(),
            policy=Policy(),
            config_sha256=config.sha256(),
            software_version=software_version(),
        )
        recorder.ensure_enrolled()
        yield recorder


@contextmanager
def open_pipeline(config: EdgeConfig, recorder: Recorder) -> Iterator[Pipeline]:
    """Open models, camera and reader; what they find is attested by ``recorder``.

    Raises:
        SetupError: MODEL_MISSING and the like, or CAMERA_NOT_ALLOWED.
        HardwareError: NO_CAMERA, NO_READER and the like.
    """
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
            attest=recorder.record,
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
