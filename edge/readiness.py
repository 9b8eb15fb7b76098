"""What has to be right before a session may begin, looked at anew each time."""

from __future__ import annotations

import logging
from datetime import timedelta

from edge.attempts import WINDOW
from edge.attest.clock import arrival_now, bounded_now
from edge.contact import Arrival
from edge.lease import read_lease
from edge.model import PeripheralKind, Standing
from edge.peripherals import judge_peripheral
from edge.recorder import Recorder
from edge.state.store import StateStore
from verifield.certificates import load_roots

_log = logging.getLogger(__name__)


def check_ready(recorder: Recorder, state: StateStore) -> Standing:
    """Return how the device stands with its cloud, if it may begin a session; nothing is recorded.

    Raises:
        SetupError: DEVICE_LOCKED, DEVICE_STOPPED, or the key store is away.
        StorageError: DISK_RESERVE and the like: the record could not be stored.
    """
    identity = recorder.identity
    recorder.check_ready()
    lease = read_lease(
        state,
        recorder.clock,
        policy=recorder.policy,
        certificates=identity.attestation_certificates,
        roots=load_roots(identity.root_pem),
    )
    lease.check_may_begin()
    identity.open_signer()  # a token that was pulled out is missed before anybody poses
    if lease.standing is not Standing.NORMAL:
        _log.warning("%s: no word from the cloud for %s; records are marked", lease.reason, lease.silence)
    return lease.standing


def note_peripheral(recorder: Recorder, state: StateStore, kind: PeripheralKind, current_id: str) -> None:
    """Record a camera or a reader that is another one than last time."""
    change = judge_peripheral(kind, previous_id=state.peripheral(kind), current_id=current_id)
    if change is not None:
        recorder.record_peripheral(kind, change.previous_id, change.current_id)
        state.note_peripheral(kind, change.current_id)


def forget_earlier(recorder: Recorder, state: StateStore, *, retention: timedelta) -> int:
    """Forget which document was here longer ago than ``retention``; return how many records that were.

    By the time that is certain: a clock that runs ahead deletes nothing. Failed attempts stay as long as
    they count.
    """
    age, now = max(retention, WINDOW), arrival_now(recorder.clock)
    bounds = bounded_now(recorder.clock, contact=state.contact())
    mark = Arrival(now.boot_id, now.monotonic_ns - age // timedelta(microseconds=1) * 1000)
    return state.forget_earlier(before=bounds.not_before - age, mark=mark)
