"""Looks at a whole device and says what was found: identity, stores, parts and the sync daemon."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509

from edge.answers import Step
from edge.app import open_identity, open_outbox, open_state, outbox_path
from edge.attest.clock import SystemClock, bounded_now
from edge.attest.identity import DeviceIdentity
from edge.capture.video_devices import (
    VIDEO_CLASS,
    choose_by_serial,
    is_virtual,
    list_video_devices,
    parse_serial,
)
from edge.config import EdgeConfig
from edge.errors import EdgeError, HardwareError
from edge.gallery.faults import STORE
from edge.gallery.home import gallery_key, gallery_path
from edge.health import DeliveryLook, Health, PartLook, Queue
from edge.heartbeat import SYNC_BEAT, read_beat
from edge.lease import read_lease
from edge.model import CameraAssurance
from edge.models.manifest import Role
from edge.models.store import ModelState, ModelStore
from edge.outbox.older import undelivered_elsewhere
from edge.policy import Policy
from edge.ports import Clock
from edge.reader.search import stable_ports
from edge.sqlite import storage_errors
from edge.state.store import StateStore
from verifield.certificates import load_roots, parse_certificate

HALTED = "HALTED"

FRAME_TIMEOUT_S = 5.0
"""A camera that is opened gives its first frame within two seconds."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What was seen of what can be looked at from outside; None: nobody has looked."""

    key: PartLook | None = None
    camera: PartLook | None = None
    reader: PartLook | None = None
    models: PartLook | None = None
    gallery: PartLook | None = None


NO_PARTS = Parts()


def look_at_device(
    config: EdgeConfig,
    *,
    known: Parts = NO_PARTS,
    clock: Clock | None = None,
) -> Health:
    """Look at everything without disturbing a session.

    ``known``: parts that whoever asks has seen not long ago; they are not looked at anew.

    Raises:
        SetupError: NOT_ENROLLED, KEY_STORE_AWAY and the like.
        StorageError: the state cannot be opened.
    """
    clock = clock or SystemClock()
    identity = open_identity(config)
    with open_state(config, identity) as state:
        parts = look_at_parts(config, identity, state, known=known)
        return look(config, identity, state, clock, parts=parts)


def look_at_parts(
    config: EdgeConfig, identity: DeviceIdentity, state: StateStore, *, known: Parts = NO_PARTS
) -> Parts:
    """Look at the parts that are not known, from outside."""
    return Parts(
        known.key or look_at_key(identity, state),
        known.camera or look_at_camera(config),
        known.reader or look_at_port(config),
        known.models or look_at_models(config),
        known.gallery or look_at_gallery(config, identity),
    )


def look(
    config: EdgeConfig,
    identity: DeviceIdentity,
    state: StateStore,
    clock: Clock,
    *,
    parts: Parts = NO_PARTS,
) -> Health:
    """Look at what is open; errors as :func:`look_at_device`."""
    roots = load_roots(identity.root_pem)
    policy = _policy(state, roots)
    gallery = parts.gallery
    if gallery is None and parts != NO_PARTS and policy is not None and Step.GALLERY in policy.session.steps:
        gallery = PartLook("GALLERY_MISSING")
    lease = read_lease(
        state,
        clock,
        policy=policy or Policy(),
        certificates=identity.attestation_certificates,
        roots=roots,
    )
    return Health(
        lease=lease,
        bounds=bounded_now(clock, contact=state.contact()),
        policy=policy,
        certificates=tuple(
            (name, parse_certificate(chain[0]).not_valid_after_utc)
            for name, chain in (
                ("attestation", identity.attestation_certificates),
                ("tls", identity.tls_certificates),
            )
        ),
        queue=_queue(config, identity),
        refused=tuple(state.refused()),
        key=parts.key,
        camera=parts.camera,
        reader=parts.reader,
        models=parts.models,
        gallery=gallery,
        delivery=look_at_delivery(config, clock),
    )


def look_at_key(identity: DeviceIdentity, state: StateStore) -> PartLook:
    """Whether the key is there, and the one that the device was enrolled with; nothing is signed.

    And whether it opens what the device knows of its operators and tasks: without them nobody signs in.
    """
    try:
        identity.open_signer()
        state.check_key()
    except EdgeError as error:
        return _fault(error)
    return PartLook(value=identity.key_protection.value)


def look_at_camera(
    config: EdgeConfig, *, video_class: Path = VIDEO_CLASS, devices: Path = Path("/dev")
) -> PartLook:
    """From outside, so that whoever uses the camera is not disturbed: is the one that is meant there, and may
    this user open it?

    Cameras that are reached by an address are not called: only a session, or the doctor, can tell. A session
    refuses them, and those that a program feeds, unless trials allow it.
    """
    scheme, _, rest = config.camera.partition(":")
    if scheme != "v4l2" and not config.camera.startswith("/dev/"):
        allowed = config.allow_simulated_camera
        return PartLook("CAMERA_NOT_LOCAL" if allowed else "CAMERA_NOT_ALLOWED", works=allowed, value=scheme)
    address = config.camera if config.camera.startswith("/dev/") else rest
    try:
        path = _camera_path(address, video_class, devices)
    except HardwareError as error:
        return _fault(error)
    if not path.exists():
        return PartLook("NO_CAMERA")
    if not os.access(path, os.R_OK | os.W_OK):
        return PartLook("CAMERA_DENIED")
    seen = video_class / path.resolve().name
    if (not seen.exists() or is_virtual(seen)) and not config.allow_simulated_camera:
        return PartLook("CAMERA_NOT_ALLOWED", value=str(path))
    return PartLook(value=str(path))


def _camera_path(address: str, video_class: Path, devices: Path) -> Path:
    """What ``edge.capture.camera_v4l2`` would open; another camera is no camera."""
    serial = parse_serial(address)
    if serial is not None:
        return devices / choose_by_serial(list_video_devices(video_class), serial).node
    return devices / f"video{address}" if address.isdigit() else Path(address)


def try_camera(config: EdgeConfig, clock: Clock | None = None) -> PartLook:
    """Open the camera and wait for a frame, which a session would judge."""
    from edge.capture.sources import open_camera  # noqa: PLC0415 - loads the image library

    try:
        with closing(open_camera(config.camera, clock=clock or SystemClock())) as camera:
            frame = camera.read(FRAME_TIMEOUT_S)
            height, width = frame.pixels.shape[:2]
            seen = f"{width}x{height}, {camera.assurance.value}"
            if camera.assurance is CameraAssurance.SIMULATED and not config.allow_simulated_camera:
                return PartLook("CAMERA_NOT_ALLOWED", value=seen)
            return PartLook(value=seen)
    except EdgeError as error:
        return replace(_fault(error), works=error.code == "CAMERA_BUSY")


def look_at_port(config: EdgeConfig) -> PartLook:
    """From outside: is there a port, and may this user use it? No byte is sent.

    A reader whose photos nothing here decodes works, and verifies nobody.
    """
    ports = stable_ports() if config.reader_port == "auto" else [config.reader_port]
    there = [port for port in ports if Path(port).exists()]
    if not there:
        return PartLook("NO_READER")
    usable = [port for port in there if os.access(port, os.R_OK | os.W_OK)]
    if not usable:
        return PartLook("READER_FORBIDDEN")
    return PartLook("PHOTO_DECODER" if config.photo_decoder == "none" else "", works=True, value=usable[0])


def look_at_models(config: EdgeConfig, *, read: bool = False) -> PartLook:
    """Whether all models that a session needs are there; to ``read``: each file's digest is checked too."""
    try:
        store = ModelStore.open(config.models_dir)
        states = store.verify() if read else store.list()
    except EdgeError as error:
        return _fault(error)
    for code, state in (("MODEL_MISSING", ModelState.MISSING), ("MODEL_DIGEST", ModelState.DAMAGED)):
        names = [one.entry.name for one in states if one.entry.default and one.state is state]
        if names:
            return PartLook(code, value=", ".join(names))
    return PartLook()


def look_at_gallery(config: EdgeConfig, identity: DeviceIdentity) -> PartLook | None:
    """Whether the gallery opens with this device's key, also beside whoever uses it, and holds templates that
    today's faces can be compared with; None: there is none.
    """
    path = gallery_path(config.data_dir)
    try:
        with storage_errors(STORE):  # a folder that is another user's ends no look
            if not path.exists():
                return None
        from edge.gallery.glance import glance  # noqa: PLC0415 - loads the compiler

        header = glance(path, gallery_key(config.data_dir, identity.key_store))
        models = [one.entry for one in ModelStore.open(config.models_dir).list() if one.entry.default]
    except EdgeError as error:
        return _fault(error)
    used = {entry.sha256 for entry in models if entry.role == Role.EMBEDDING}
    return PartLook("" if header.model_sha256.hex() in used else "MODEL_MISMATCH")


def look_at_delivery(config: EdgeConfig, clock: Clock) -> DeliveryLook | None:
    """What the sync daemon said last; None where none has run since the start, or it was told to end."""
    beat = read_beat(config.run_folder() / SYNC_BEAT, clock)
    if beat is None:
        return None
    return DeliveryLook(beat.alive, beat.state, beat.code, halted=beat.state == HALTED)


def _fault(error: EdgeError) -> PartLook:
    return PartLook(error.code, error.message, error.hint)


def _policy(state: StateStore, roots: list[x509.Certificate]) -> Policy | None:
    try:
        return state.policy(roots)
    except EdgeError as error:
        if error.code != "STATE_POLICY_DAMAGED":
            raise
        return None


def _queue(config: EdgeConfig, identity: DeviceIdentity) -> Queue:
    """A store that cannot be used is an answer here, not the end of the look."""
    queue = Queue()
    try:
        with open_outbox(config, identity) as outbox:
            queue = Queue(stats=outbox.stats(), space=outbox.space())
            outbox.check_ready()
    except EdgeError as error:
        queue = replace(queue, unusable=error.code)
    return replace(queue, left=undelivered_elsewhere(outbox_path(config, identity.device_id)))
