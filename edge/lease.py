"""Whether the device may begin a new session: the policy's lease for the time without word from the cloud.

    locked by the cloud, wiped, or its certificate revoked   LOCKED
    without word for longer than stopped_after               STOPPED
    without word for longer than degraded_after,
    or the policy has expired                                DEGRADED
    otherwise                                                NORMAL

The time without word is at least what the device was on since then, counted across boots, which no wall
clock can turn back; the wall clock adds the time switched off, unless it is SUSPECT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509

from edge.attest.clock import TimeBounds, arrival_now, bounded_now
from edge.contact import Arrival, Contact
from edge.errors import SetupError, StorageError
from edge.model import Standing
from edge.policy import Policy
from edge.ports import Clock
from edge.state.records import ItemKind, LockState
from edge.state.store import StateStore
from verifield.certificates import parse_certificate
from verifield.errors import VerifieldError
from verifield.revocation import parse_revocation_list
from verifield.v1.attestation_pb2 import TIME_QUALITY_SUSPECT


@dataclass(frozen=True, slots=True)
class Lease:
    """``silence``: time since the cloud's last word. ``reason``: a stable code, empty where NORMAL.

    ``detail``: the cloud's own words, where it locked the device. ``left``: until no session may begin.
    """

    standing: Standing
    reason: str
    detail: str
    silence: timedelta
    left: timedelta
    policy_expired: bool

    def check_may_begin(self) -> None:
        """Raise SetupError DEVICE_LOCKED or DEVICE_STOPPED unless a new session may begin."""
        if self.standing is Standing.LOCKED:
            raise SetupError(
                "DEVICE_LOCKED",
                f"This device takes no new session ({self.reason}).",
                hint=self.detail or "Ask the operator of the cloud why, and to unlock it.",
            )
        if self.standing is Standing.STOPPED:
            raise SetupError(
                "DEVICE_STOPPED",
                f"No word from the cloud for {self.silence.days} days: this device takes no new session.",
                hint="Connect it to the network and run: verifield-edge sync --once",
            )


def silence_of(contact: Contact | None, *, now: Arrival, bounds: TimeBounds) -> timedelta:
    """Return how long ago the cloud's last word was: at least the time on, and what a sound clock says."""
    if contact is None:
        return timedelta(0)
    known = contact.elapsed(now)
    if contact.server_time is None or bounds.quality == TIME_QUALITY_SUSPECT:
        return known
    return max(known, bounds.wall - contact.server_time)


def judge_lease(
    silence: timedelta, policy: Policy, *, bounds: TimeBounds, lock: LockState, revoked: bool = False
) -> Lease:
    """Judge by the rules above. An expired policy stays in force, but marks the records."""
    expired = policy.expire_time is not None and bounds.likely > policy.expire_time
    standing, reason = Standing.NORMAL, ""
    revoked = revoked or lock.revoked
    if lock.wiped or revoked or lock.locked:
        standing = Standing.LOCKED
        reason = "WIPED" if lock.wiped else "REVOKED" if revoked else "LOCKED"
    elif silence > policy.offline.stopped_after:
        standing, reason = Standing.STOPPED, "SILENCE"
    elif silence > policy.offline.degraded_after:
        standing, reason = Standing.DEGRADED, "SILENCE"
    elif expired:
        standing, reason = Standing.DEGRADED, "POLICY_EXPIRED"
    return Lease(
        standing=standing,
        reason=reason,
        detail=lock.reason if lock.locked else "",
        silence=silence,
        left=max(timedelta(0), policy.offline.stopped_after - silence),
        policy_expired=expired,
    )


def read_lease(
    state: StateStore,
    clock: Clock,
    *,
    policy: Policy,
    certificates: Sequence[bytes],
    roots: Sequence[x509.Certificate],
) -> Lease:
    """Count the time until now, then judge. ``certificates``: the device's own chain, DER, leaf first."""
    now = arrival_now(clock)
    contact = state.touch(now)
    bounds = bounded_now(clock, contact=contact)
    return judge_lease(
        silence_of(contact, now=now, bounds=bounds),
        policy,
        bounds=bounds,
        lock=state.lock(),
        revoked=is_revoked(state, certificates=certificates, roots=roots),
    )


def is_revoked(
    state: StateStore, *, certificates: Sequence[bytes], roots: Sequence[x509.Certificate]
) -> bool:
    """Whether the authority took the device's own certificate back.

    Raises:
        StorageError: STATE_REVOCATIONS_DAMAGED: a stored list is no longer what the authority signed.
    """
    leaf, *issuers = certificates
    own = parse_certificate(leaf)
    for item in state.items(ItemKind.REVOCATIONS):
        try:
            listed = parse_revocation_list(item.content, issuers=issuers, roots=roots)
        except VerifieldError as error:
            if error.code == "REVOCATION_ISSUER":
                continue  # of another authority than ours
            raise StorageError(
                "STATE_REVOCATIONS_DAMAGED",
                f"The stored revocation list is not what the authority signed ({error.code}).",
                hint="Keep the file and call for help: somebody or a failing disk has changed it.",
            ) from None
        if listed.issuer == own.issuer and listed.revoked_at(own.serial_number) is not None:
            return True
    return False
