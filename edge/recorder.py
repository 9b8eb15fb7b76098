"""From a decision to a signed record in the outbox: the commit point of a verification.

Only when ``record`` has returned may the screen say what came of it: the record is then durable.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import uuid_utils

from edge.attest.clock import ClockReading, read_clock
from edge.attest.identity import DeviceIdentity
from edge.attest.sign import seal
from edge.attest.statement import (
    ChainLink,
    Disclosure,
    StatementContext,
    build_event_statement,
    build_statement,
    encode_disclosures,
)
from edge.model import Decision, Evidence
from edge.outbox.records import Cited, SignedRecord, StoredRecord
from edge.outbox.store import Outbox
from edge.policy import Policy
from edge.ports import Clock, Signer
from verifield.chain import ChainHead
from verifield.v1.attestation_pb2 import Statement

SALT_BYTES = 32

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

    def record(self, evidence: Evidence, decision: Decision) -> StoredRecord:
        """Sign and store one verification; errors as ``Outbox.append``."""

        def build(link: ChainLink, clock: ClockReading) -> tuple[Statement, tuple[Disclosure, ...]]:
            return build_statement(
                evidence=evidence,
                decision=decision,
                context=self._context(),
                link=link,
                attestation_id=str(uuid_utils.uuid7()),
                clock=clock,
                policy=self.policy,
                new_salt=lambda: secrets.token_bytes(SALT_BYTES),
            )

        return self._append(build)

    def ensure_enrolled(self) -> StoredRecord | None:
        """Begin the chain with the record of the enrolment; None where the chain has begun.

        Called whenever the device is opened, so that a power cut right after the enrolment costs nothing.
        """
        if self.outbox.head() is not None:
            return None

        def build(link: ChainLink, clock: ClockReading) -> tuple[Statement, tuple[Disclosure, ...]]:
            if link.seq > 1:  # within the transaction: no other process can begin it between look and append
                raise _ChainBegun
            statement = build_event_statement(
                context=self._context(),
                link=link,
                attestation_id=str(uuid_utils.uuid7()),
                clock=clock,
                certificate_serial=self.identity.attestation_serial(),
            )
            return statement, ()

        try:
            return self._append(build)
        except _ChainBegun:
            return None

    def _append(self, build: Build) -> StoredRecord:
        def make(head: ChainHead | None, cited: Cited) -> SignedRecord:
            link = ChainLink.after(
                head,
                last_receipt_sha256=cited.receipt_sha256,
                last_checkpoint_sha256=cited.checkpoint_sha256,
            )
            clock = read_clock(self.clock, last_server_time=cited.server_time)
            statement, disclosures = build(link, clock)
            private = encode_disclosures(disclosures) if disclosures else b""
            return SignedRecord(seal(statement, self.signer), private)

        return self.outbox.append(make)

    def _context(self) -> StatementContext:
        return StatementContext(
            device_id=self.identity.device_id,
            site_id=self.identity.site_id,
            key_protection=self.signer.protection,
            config_sha256=self.config_sha256,
            software_version=self.software_version,
        )
