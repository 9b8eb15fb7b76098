"""From what happened to a signed record in the outbox: the commit point of a verification.

Only when a method has returned may the screen say what came of it: the record is then durable. Every
method raises what ``Outbox.append`` raises.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import uuid_utils

from edge.answers import ManualVerdict, SessionAnswers
from edge.attest import events
from edge.attest.clock import ClockReading, read_clock
from edge.attest.identity import DeviceIdentity
from edge.attest.media import SealedMedia
from edge.attest.sign import seal
from edge.attest.statement import (
    ChainLink,
    StatementContext,
    build_event_statement,
    build_manual_statement,
    build_statement,
)
from edge.model import (
    Decision,
    Evidence,
    Hole,
    Outcome,
    PeripheralKind,
    Position,
    ResetReason,
    Standing,
)
from edge.outbox.records import Cited, SignedRecord, StoredRecord
from edge.outbox.space import Space
from edge.outbox.store import Outbox
from edge.policy import Policy
from edge.ports import Clock, Signer
from verifield.chain import GENESIS_EPOCH, ChainBreak, ChainHead
from verifield.commitments import Disclosure, encode_disclosures
from verifield.v1.attestation_pb2 import DeviceEvent, Statement

SALT_BYTES = 32

POWER_OR_CRASH = "POWER_OR_CRASH"
"""Reason of an abort that nobody was there to record: it is found at the next start."""

Build = Callable[[ChainLink, ClockReading], tuple[Statement, tuple[Disclosure, ...]]]


class _ChainBegun(Exception):
    """Another process was faster."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """Signs for one identity into its outbox."""

    identity: DeviceIdentity
    signer: Signer
    outbox: Outbox
    clock: Clock
    policy: Policy
    config_sha256: bytes
    software_version: str
    _policy_sha256: bytes = field(init=False, repr=False)  # the policy holds for as long as the recorder

    def __post_init__(self) -> None:
        object.__setattr__(self, "_policy_sha256", self.policy.sha256())

    def check_ready(self) -> Space:
        """Refuse a new session whose record could not be stored; errors as ``Outbox.check_ready``."""
        return self.outbox.check_ready()

    def record(
        self,
        evidence: Evidence,
        decision: Decision,
        *,
        standing: Standing = Standing.NORMAL,
        media: Sequence[SealedMedia] = (),
    ) -> StoredRecord:
        """Sign and store one verification. ``media``: files that are stored and delivered with it."""

        def build(link: ChainLink, clock: ClockReading) -> tuple[Statement, tuple[Disclosure, ...]]:
            return build_statement(
                evidence=evidence,
                decision=decision,
                context=self._context(standing),
                link=link,
                attestation_id=_new_id(),
                clock=clock,
                new_salt=lambda: secrets.token_bytes(SALT_BYTES),
                media=media,
            )

        return self._append(build, media=tuple(item.data for item in media))

    def record_manual(
        self,
        verdict: ManualVerdict,
        decision: Decision,
        *,
        find_attempt: Callable[[], Statement],
        session: SessionAnswers,
        cosigner: Signer,
        standing: Standing = Standing.NORMAL,
    ) -> StoredRecord:
        """Sign and store what two people decided about an earlier attempt; ``cosigner`` signs beside us.

        ``find_attempt`` returns the attempt, whose signature it has checked, or raises; it is called within
        the transaction, where no other process can record anything about it.
        """

        def build(link: ChainLink, clock: ClockReading) -> tuple[Statement, tuple[Disclosure, ...]]:
            manual = build_manual_statement(
                verdict=verdict,
                attempt=find_attempt(),
                session=session,
                decision=decision,
                context=self._context(standing),
                link=link,
                attestation_id=_new_id(),
                clock=clock,
            )
            return manual, ()

        return self._append(build, cosigners=(cosigner,))

    def ensure_enrolled(self) -> StoredRecord | None:
        """Begin the chain with the record of the enrolment; None where it has begun, or needs a RESET.

        Called whenever the device is opened, so that a power cut right after the enrolment costs nothing.
        """
        if self.outbox.head() is not None or self.outbox.reset_needed() is not None:
            return None
        event = events.enrolled(
            self.identity.attestation_serial(), predecessor_id=self.identity.predecessor_id
        )

        def build(link: ChainLink, clock: ClockReading) -> tuple[Statement, tuple[Disclosure, ...]]:
            if link.seq > 1:  # within the transaction: no other process can begin it between look and append
                raise _ChainBegun
            return self._event(event, link, clock)

        try:
            return self._append(build)
        except _ChainBegun:
            return None

    def record_cut_off(self) -> list[StoredRecord]:
        """Attest the sessions that were begun and never ended: the power failed, or the process was killed.

        Nothing happens while a process has a session under way, and where only a RESET may follow. Each is
        recorded once, whatever happens meanwhile: its mark goes with its record.
        """
        with self.outbox.closed_for_sessions() as closed:
            if not closed or self.outbox.reset_needed() is not None:
                return []
            decision = Decision(Outcome.ABORTED, (POWER_OR_CRASH,))
            return [
                self.record(
                    Evidence(aborted=POWER_OR_CRASH, session=begun.session), decision, standing=begun.standing
                )
                for begun in self.outbox.begun()
            ]

    def record_reset(self, cloud_head: ChainHead | None, reason: ResetReason) -> StoredRecord:
        """Begin a new epoch. ``cloud_head``: what the cloud just said that its newest record is."""

        def make(head: ChainHead | None, cited: Cited) -> SignedRecord:
            epochs = [known.epoch for known in (head, cloud_head) if known is not None]
            link = ChainLink(
                epoch=max(epochs, default=GENESIS_EPOCH) + 1,
                seq=1,
                previous_sha256=b"",
                last_receipt_sha256=cited.receipt_sha256,
                last_checkpoint_sha256=cited.checkpoint_sha256,
            )
            event = events.reset(device_head=head, cloud_head=cloud_head, reason=reason)
            return self._sign(link, cited, lambda link, clock: self._event(event, link, clock))

        return self.outbox.append(make)

    def record_gap(self, hole: Hole) -> StoredRecord:
        """Give up places of the newest epoch.

        Raises:
            ChainBreak: the hole is of an epoch that is over.
        """
        return self._append_about(Position(hole.epoch, hole.last_seq), events.gap(hole))

    def record_tombstone(self, position: Position, reason: str) -> StoredRecord:
        """Close the place of a record that the cloud refused for ever; ``reason`` is the cloud's code.

        Raises:
            ChainBreak: the place is of an epoch that is over, or has no record.
        """
        sha256 = self.outbox.digest_at(position)
        if sha256 is None:
            raise ChainBreak(f"There is no record at place {position.seq} of epoch {position.epoch}.")
        return self._append_about(position, events.tombstone(position, sha256=sha256, reason=reason))

    def record_peripheral(self, kind: PeripheralKind, previous: str, current: str) -> StoredRecord:
        """Another camera or card reader than before; ``previous`` is empty where there was none."""
        event = events.peripheral(kind, previous_id=previous, current_id=current)
        return self._append(lambda link, clock: self._event(event, link, clock))

    def _append_about(self, position: Position, event: DeviceEvent) -> StoredRecord:
        """Store an event about a place, which must be one of the epoch that the event's record is in."""

        def build(link: ChainLink, clock: ClockReading) -> tuple[Statement, tuple[Disclosure, ...]]:
            if link.epoch != position.epoch:
                raise ChainBreak(f"Epoch {position.epoch} is over; the chain is in epoch {link.epoch}.")
            return self._event(event, link, clock)

        return self._append(build)

    def _event(
        self, event: DeviceEvent, link: ChainLink, clock: ClockReading
    ) -> tuple[Statement, tuple[Disclosure, ...]]:
        statement = build_event_statement(
            event=event,
            context=self._context(Standing.NORMAL),
            link=link,
            attestation_id=_new_id(),
            clock=clock,
        )
        return statement, ()

    def _append(
        self, build: Build, *, media: tuple[bytes, ...] = (), cosigners: Sequence[Signer] = ()
    ) -> StoredRecord:
        def make(head: ChainHead | None, cited: Cited) -> SignedRecord:
            link = ChainLink.after(
                head,
                last_receipt_sha256=cited.receipt_sha256,
                last_checkpoint_sha256=cited.checkpoint_sha256,
            )
            return self._sign(link, cited, build, media=media, cosigners=cosigners)

        return self.outbox.append(make)

    def _sign(
        self,
        link: ChainLink,
        cited: Cited,
        build: Build,
        *,
        media: tuple[bytes, ...] = (),
        cosigners: Sequence[Signer] = (),
    ) -> SignedRecord:
        clock = read_clock(
            self.clock,
            last_server_time=cited.server_time,
            arrival=cited.arrival,
            last_clock=cited.last_clock,
        )
        statement, disclosures = build(link, clock)
        private = encode_disclosures(disclosures) if disclosures else b""
        return SignedRecord(seal(statement, self.signer, cosigners), private, media)

    def _context(self, standing: Standing) -> StatementContext:
        return StatementContext(
            device_id=self.identity.device_id,
            site_id=self.identity.site_id,
            key_protection=self.signer.protection,
            policy_sha256=self._policy_sha256,
            config_sha256=self.config_sha256,
            software_version=self.software_version,
            standing=standing,
        )


def _new_id() -> str:
    return str(uuid_utils.uuid7())
