"""Looks at a whole device and says what was found: identity, stores, parts and the sync daemon."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509

from edge.app import open_identity, open_outbox, open_state, outbox_path
from edge.attest.clock import SystemClock, bounded_now
from edge.attest.identity import DeviceIdentity
from edge.capture.video_devices import VIDEO_CLASS, list_video_devices
from edge.config import EdgeConfig
from edge.errors import EdgeError
from edge.health import DeliveryLook, Health, PartLook, Queue
from edge.heartbeat import SYNC_BEAT, read_beat
from edge.lease import read_lease
from edge.model import PeripheralKind
from edge.models.store import ModelState, ModelStore
from edge.outbox.older import undelivered_elsewhere
from edge.policy import Policy
from edge.ports import Clock
from edge.reader.checkup import Level
from edge.reader.search import stable_ports
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


NO_PARTS = Parts()


def look_at_device(
    config: EdgeConfig,
    *,
    camera: PartLook | None = None,
    reader: PartLook | None = None,
    clock: Clock | None = None,
) -> Health:
    """Look at everything without disturbing a session.

    ``camera`` and ``reader``: what whoever holds them knows of them; None looks at them from outside.

    Raises:
        SetupError: NOT_ENROLLED, KEY_STORE_AWAY and the like.
        StorageError: the state cannot be opened.
    """
    clock = clock or SystemClock()
    identity = open_identity(config)
    with open_state(config, identity) as state:
        return look(
            config,
            identity,
            state,
            clock,
            parts=look_at_parts(config, identity, camera=camera, reader=reader),
        )


def look_at_parts(
    config: EdgeConfig,
    identity: DeviceIdentity,
    *,
    camera: PartLook | None = None,
    reader: PartLook | None = None,
) -> Parts:
    """Look at the parts from outside, where nobody knows better."""
    return Parts(
        look_at_key(identity),
        camera or look_at_camera(config),
        reader or look_at_port(config),
        look_at_models(config),
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
        delivery=look_at_delivery(config, clock),
    )


def look_at_key(identity: DeviceIdentity) -> PartLook:
    """Whether the key is there, and the one that the device was enrolled with; nothing is signed."""
    try:
        identity.open_signer()
    except EdgeError as error:
        return _fault(error)
    return PartLook(value=identity.key_protection.value)


def look_at_camera(config: EdgeConfig) -> PartLook:
    """From outside, so that whoever uses the camera is not disturbed: is there one that this user may open?

    Cameras that are reached by an address are not called: only a session, or the doctor, can tell.
    """
    scheme, _, rest = config.camera.partition(":")
    if scheme != "v4l2" and not config.camera.startswith("/dev/"):
        return PartLook(value=scheme, works=True, code="CAMERA_NOT_LOCAL")
    address = config.camera if config.camera.startswith("/dev/") else rest
    devices = [Path("/dev") / device.node for device in list_video_devices(VIDEO_CLASS)]
    wanted = [Path(address)] if address.startswith("/dev/") else devices
    there = [path for path in wanted if path.exists()]
    if not there:
        return PartLook("NO_CAMERA")
    if not any(os.access(path, os.R_OK | os.W_OK) for path in there):
        return PartLook("CAMERA_DENIED")
    return PartLook(value=str(there[0]))


def try_camera(config: EdgeConfig, clock: Clock | None = None) -> PartLook:
    """Open the camera and wait for a frame."""
    from edge.capture.sources import open_camera  # noqa: PLC0415 - loads the image library

    try:
        with closing(open_camera(config.camera, clock=clock or SystemClock())) as camera:
            frame = camera.read(FRAME_TIMEOUT_S)
            height, width = frame.pixels.shape[:2]
            return PartLook(value=f"{width}x{height}, {camera.assurance.value}")
    except EdgeError as error:
        return replace(_fault(error), works=error.code == "CAMERA_BUSY")


def look_at_port(config: EdgeConfig) -> PartLook:
    """From outside: is there a port, and may this user use it? No byte is sent."""
    ports = stable_ports() if config.reader_port == "auto" else [config.reader_port]
    there = [port for port in ports if Path(port).exists()]
    if not there:
        return PartLook("NO_READER")
    usable = [port for port in there if os.access(port, os.R_OK | os.W_OK)]
    return PartLook(value=usable[0]) if usable else PartLook("READER_FORBIDDEN")


def try_reader(config: EdgeConfig, state: StateStore | None = None) -> PartLook:
    """Ask the reader; the gravest finding counts."""
    from edge.documents import check_up_reader  # noqa: PLC0415 - loads the image library

    pinned = state.pinned(PeripheralKind.READER) if state is not None else ""
    findings = list(check_up_reader(config, pinned=pinned))
    for level in (Level.FAIL, Level.WARN):
        for finding in findings:
            if finding.level is level:
                return PartLook(finding.check, finding.what, finding.hint, works=level is Level.WARN)
    return PartLook(value=findings[-1].what if findings else "")


def look_at_models(config: EdgeConfig) -> PartLook:
    """Whether all models that a session needs are there; reads no file."""
    try:
        states = ModelStore.open(config.models_dir).list()
    except EdgeError as error:
        return _fault(error)
    missing = [one.entry.name for one in states if one.entry.default and one.state is not ModelState.READY]
    return PartLook("MODEL_MISSING", value=", ".join(missing)) if missing else PartLook()


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
