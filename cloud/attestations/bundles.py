"""Puts together all that a third party needs to check one record offline.

The receipt in a bundle is signed when the bundle is asked for, and carries the time at which the
record became durable. Signing it at delivery would cost every record a signature that few ever need;
the receipt key's certificate covers that time however often it was renewed (``cloud.authority``).
"""

from __future__ import annotations

import json
from collections.abc import Callable

from sqlalchemy import Connection

from cloud.attestations.receipts import sign_receipt
from cloud.authority import Authority
from cloud.errors import Reason, ServiceError
from cloud.log.sequencer import Sequencer, SignedCheckpoint
from cloud.sources import to_us
from cloud.store import attestations as rows
from cloud.store import log
from verifield.bundle import BUNDLE_TYPE
from verifield.certificates import parse_certificate
from verifield.chain import ChainHead, envelope_sha256
from verifield.dsse import parse_envelope
from verifield.errors import VerifieldError
from verifield.leaf import log_leaf
from verifield.merkle import leaf_hash
from verifield.statement import parse_statement
from verifield.v1.attestation_pb2 import Statement
from verifield.v1.bundle_pb2 import Bundle, LogEntry, Witness
from verifield.wire import parse_time

MAX_WITNESSES = 3
"""One other device that saw the log is proof that it was not made up for this record alone; two more stand
in for one whose key is found to be in wrong hands."""


class Bundles:
    """``revocation_list``: reads the list as of now (RFC 5280, DER)."""

    def __init__(
        self,
        authority: Authority,
        sequencer: Sequencer,
        *,
        revocation_list: Callable[[Connection], bytes],
    ) -> None:
        self._authority = authority
        self._sequencer = sequencer
        self._revocation_list = revocation_list

    def build(
        self,
        connection: Connection,
        row: rows.AttestationRow,
        statement: Statement,
        *,
        published: SignedCheckpoint,
    ) -> Bundle:
        """The bundle of a record that was checked with :func:`check_row`, in the tree of ``published``."""
        authority = self._authority
        size, hashes = self._sequencer.inclusion_proof(row.log_index, published.size, connection=connection)
        receipt = sign_receipt(
            authority.receipt_key,
            device_id=row.device_id,
            head=ChainHead(row.chain_epoch, row.seq, row.envelope_sha256),
            server_us=row.received_us,
            checkpoint=published.note,
        )
        cited = rows.get_receipt(connection, statement.last_receipt_sha256, device_id=row.device_id)
        return Bundle(
            media_type=BUNDLE_TYPE,
            envelope=row.envelope,
            certificates=rows.get_chain(connection, row.certificate_sha256),
            receipt=receipt,
            cited_receipt=cited.envelope if cited else b"",
            cited_receipt_certificates=self._other_chain(connection, cited),
            log_entry=LogEntry(
                index=row.log_index, tree_size=size, inclusion_hashes=hashes, checkpoint=published.note
            ),
            receipt_certificates=authority.chain_of(authority.receipt.certificate),
            log_certificates=authority.chain_of(authority.log.certificate),
            witnesses=self._witnesses(connection, row, published),
            revocation_list=self._revocation_list(connection),
        )

    def _other_chain(self, connection: Connection, cited: rows.ReceiptRow | None) -> list[bytes]:
        """The certificates of a cited receipt, where its key is not the one of today."""
        if cited is None or cited.certificate_sha256 is None:
            return []
        chain = rows.get_chain(connection, cited.certificate_sha256)
        same = parse_certificate(chain[0]).public_key() == self._authority.receipt.certificate.public_key()
        return [] if same else chain

    def _witnesses(
        self, connection: Connection, row: rows.AttestationRow, published: SignedCheckpoint
    ) -> list[Witness]:
        """Statements of other devices that cite a tree in which the record is."""
        found = rows.find_witnesses(connection, row.log_index, but=row.device_id, limit=MAX_WITNESSES)
        witnesses: list[Witness] = []
        for one in found:
            size = one.cited_tree_size or 0
            note = log.get_checkpoint(connection, size)
            if note is None or size > published.size or not _is_sound(connection, one):
                continue
            _, hashes = self._sequencer.consistency_proof(size, published.size, connection=connection)
            witnesses.append(
                Witness(
                    envelope=one.envelope,
                    certificates=rows.get_chain(connection, one.certificate_sha256),
                    checkpoint=note,
                    consistency_hashes=hashes,
                )
            )
        return witnesses


def _is_sound(connection: Connection, row: rows.AttestationRow) -> bool:
    """Whether a witness can be shown: damage to one is told where it is asked for itself."""
    try:
        check_row(connection, row)
    except ServiceError:
        return False
    return True


def check_row(connection: Connection, row: rows.AttestationRow) -> Statement:
    """Check a stored record against its digest and its leaf in the log; return its statement.

    Its signature was checked before the leaf was made, and the leaf is under a signed root: what
    agrees with the leaf is what was verified then.

    Raises:
        ServiceError: the row was changed from outside.
    """
    try:
        chain = rows.get_chain(connection, row.certificate_sha256)
        envelope = parse_envelope(row.envelope)
        statement = parse_statement(envelope.payload)
    except VerifieldError as error:
        raise _damaged(row) from error
    leaf = leaf_hash(log_leaf(envelope, chain[0]))
    place = (statement.attestation_id, statement.device_id, statement.chain_epoch, statement.seq)
    shown = (statement.kind, statement.outcome, list(statement.reasons))
    if (
        envelope_sha256(row.envelope) != row.envelope_sha256
        or leaf != log.get_leaf(connection, row.log_index)
        or place != (row.attestation_id, row.device_id, row.chain_epoch, row.seq)
        or shown != (row.kind, row.outcome, json.loads(row.reasons))
        or to_us(parse_time(statement.clock.wall_time, what="wall time")) != row.wall_us
    ):
        raise _damaged(row)
    return statement


def _damaged(row: rows.AttestationRow) -> ServiceError:
    return ServiceError(
        Reason.RECORD_DAMAGED,
        "The stored record does not agree with the log.",
        {"attestation_id": row.attestation_id, "log_index": str(row.log_index)},
    )
