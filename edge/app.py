"""Wiring of identity and outbox: what every command needs that has to do with records.

Kept apart from ``edge.station``, whose networks and camera take a second to import.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from edge.attest.clock import SystemClock
from edge.attest.identity import DeviceIdentity
from edge.attest.keystore import open_key_store
from edge.attest.keystore_tpm import TpmKeyStore
from edge.attest.wipe import wipe_personal_keys
from edge.config import EdgeConfig
from edge.downstream import StateDownstream
from edge.errors import StorageError
from edge.files import destroy_file, destroy_leftovers
from edge.outbox.store import Outbox
from edge.ports import KeyStore, RollbackCounter
from edge.reader.memory_folder import clear_leftovers
from edge.recorder import Recorder
from edge.state.records import PullOutcome
from edge.state.store import StateStore
from verifield.certificates import load_roots

DATA_KEYS = ("**/*.sqlite.key*", "**/*.gallery.key*")
"""Of outboxes, state and gallery; those of the first version were not wrapped, copies end in .old."""


_log = logging.getLogger(__name__)


def software_version() -> str:
    """The installed release."""
    return version("verifield")


def identity_folder(config: EdgeConfig) -> Path:
    """Where keys and certificates live."""
    return config.data_dir / "identity"


def outbox_path(config: EdgeConfig, device_id: str) -> Path:
    """Each identity has a store of its own, so that an older one's records stay deliverable."""
    return config.data_dir / "outbox" / f"{device_id}.sqlite"


def state_path(config: EdgeConfig, device_id: str) -> Path:
    """What a device knows belongs to one identity too."""
    return config.data_dir / "state" / f"{device_id}.sqlite"


def open_identity(config: EdgeConfig) -> DeviceIdentity:
    """Open the current identity with the configured key store.

    Raises:
        SetupError: NOT_ENROLLED, KEY_STORE_AWAY, KEY_PROTECTION_FALLEN and the like.
    """
    folder = identity_folder(config)
    return DeviceIdentity.open(folder, key_store=open_key_store(config, folder))


@contextmanager
def open_outbox(config: EdgeConfig, identity: DeviceIdentity) -> Iterator[Outbox]:
    """Open the store of the identity's records; with a TPM, its counter tells an old copy of it."""
    with Outbox.open(
        outbox_path(config, identity.device_id),
        device_id=identity.device_id,
        key_store=identity.key_store,
        counter=open_counter(identity),
    ) as outbox:
        yield outbox


def open_counter(identity: DeviceIdentity) -> RollbackCounter | None:
    """Return the hardware counter for the identity's records; None where the key store has none."""
    if isinstance(identity.key_store, TpmKeyStore):
        return identity.key_store.open_counter(_counter_name(identity.attestation_key))
    return None


def destroy_counters(key_store: KeyStore, attestation_keys: Iterable[str]) -> None:
    """Free the places in hardware of the counters for these keys' records; for a device that is wiped.

    Raises:
        SetupError: the key store is away or refuses.
    """
    if isinstance(key_store, TpmKeyStore):
        for name in attestation_keys:
            key_store.destroy_counter(_counter_name(name))


def destroy_abandoned_files(config: EdgeConfig) -> None:
    """Destroy what processes that were killed left of files they were writing: keys may be among them."""
    identities = [Path(path) for path, _, _ in os.walk(identity_folder(config))]  # which come and go
    stores = [config.data_dir / name for name in ("outbox", "state", "gallery")]
    try:
        for path in (config.data_dir, *identities, *stores):
            destroy_leftovers(path)
        clear_leftovers()
    except OSError as error:  # of a disk that can only be read: nothing is lost by it
        _log.warning("abandoned files stay: %s", error.strerror or type(error).__name__)


def _counter_name(attestation_key: str) -> str:
    return f"outbox-{attestation_key}"


@contextmanager
def open_state(config: EdgeConfig, identity: DeviceIdentity) -> Iterator[StateStore]:
    """Open what the device knows besides its records; a wipe that was cut off is carried out first."""
    with StateStore.open(
        state_path(config, identity.device_id), device_id=identity.device_id, key_store=identity.key_store
    ) as state:
        state.finish_wipe(lambda: wipe_personal_data(config, identity))
        yield state


def open_downstream(
    config: EdgeConfig, identity: DeviceIdentity, state: StateStore, *, tell: Callable[[PullOutcome], None]
) -> StateDownstream:
    """What takes the cloud's news into ``state``, and wipes where they say so."""
    return StateDownstream(
        state,
        roots=load_roots(identity.root_pem),
        clock=SystemClock(),
        wipe=lambda: wipe_personal_data(config, identity),
        tell=tell,
    )


def wipe_personal_data(config: EdgeConfig, identity: DeviceIdentity) -> None:
    """Make all personal data on this device unreadable for ever; done again, it changes nothing.

    Raises:
        SetupError: the key store is away or refuses.
        StorageError: DATA_KEY_UNWRITABLE.
    """
    destroy_data_keys(config)  # first: the key store may be away
    wipe_personal_keys(identity.key_store)


def destroy_data_keys(config: EdgeConfig) -> None:
    """Destroy the files of the keys under which personal data lies.

    Raises:
        StorageError: DATA_KEY_UNWRITABLE.
    """
    try:
        for path in (path for pattern in DATA_KEYS for path in config.data_dir.glob(pattern)):
            if path.suffix != ".lock":  # which somebody may hold
                destroy_file(path)
    except OSError as error:
        raise StorageError(
            "DATA_KEY_UNWRITABLE",
            f"A data key cannot be destroyed: {error.strerror or error}.",
            hint="Check that the folder belongs to you and that its disk can be written, then run it again.",
        ) from None


@contextmanager
def open_recorder(config: EdgeConfig) -> Iterator[Recorder]:
    """Open the identity, its key and its outbox; the chain has begun when this returns.

    Sessions that a power cut or a killed process has cut off are recorded first.

    Raises:
        SetupError: NOT_ENROLLED, or the key is not usable.
        StorageError: a store is not usable.
    """
    identity = open_identity(config)
    with open_state(config, identity) as state:
        policy = state.policy(load_roots(identity.root_pem))
    with open_outbox(config, identity) as outbox:
        recorder = Recorder(
            identity=identity,
            signer=identity.open_signer(),
            outbox=outbox,
            clock=SystemClock(),
            policy=policy,
            config_sha256=config.sha256(),
            software_version=software_version(),
        )
        recorder.ensure_enrolled()
        _record_cut_off(recorder)
        destroy_abandoned_files(config)
        yield recorder


def _record_cut_off(recorder: Recorder) -> None:
    """A store that cannot take a record now keeps the marks: delivery must go on even so."""
    try:
        for record in recorder.record_cut_off():
            _log.warning("a session was cut off; it is recorded as %s", record.attestation_id)
    except StorageError as error:
        _log.warning("sessions that were cut off are not recorded yet: %s", error.code)
