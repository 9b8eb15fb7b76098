"""Wiring of identity and outbox: what every command needs that has to do with records.

Kept apart from ``edge.station``, whose networks and camera take a second to import.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from edge.attest.clock import SystemClock
from edge.attest.identity import DeviceIdentity
from edge.config import EdgeConfig
from edge.outbox.store import Outbox
from edge.policy import Policy
from edge.recorder import Recorder


def software_version() -> str:
    """The installed release."""
    return version("verifield")


def identity_folder(config: EdgeConfig) -> Path:
    """Where keys and certificates live."""
    return config.data_dir / "identity"


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
