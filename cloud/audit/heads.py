"""Signed heads: where the audit chain stood, in a form that somebody outside can keep.

A hash chain shows that an event in its middle was changed, but not that the newest ones were cut off, nor
that all of it was written anew. Both are found out by whoever has an earlier head: the chain must still have
the event that it names. Each head is signed with a key of its own and is a leaf of the transparency log,
whose checkpoints lie on every device: the database alone cannot be made to forget one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from google.protobuf.message import DecodeError
from sqlalchemy import Connection

from cloud.audit import chain
from cloud.authority import Authority
from cloud.sources import Sources, from_us, to_us
from cloud.store import attestations
from cloud.store import audit as rows
from cloud.store.database import Store
from verifield.certificates import Purpose, check_chain
from verifield.dsse import encode_envelope, pae, parse_envelope
from verifield.errors import Malformed
from verifield.merkle import leaf_hash
from verifield.signed import check_signed
from verifield.v1 import audit_pb2 as pb
from verifield.wire import parse_message

HEAD_TYPE = "application/vnd.verifield.audit-head.v1+protobuf"

SIGN_EVERY = timedelta(days=1)
"""What an intruder could cut off unseen: the events since the newest head that somebody has."""

MAX_HEAD_BYTES = 1024
"""Two numbers and a digest."""

MAX_SIGNED_BYTES = 64 * 1024
"""An envelope and a chain of up to four certificates."""

LEAF_PREFIX = b"verifield-audit-head-v1\0"

SIGN_ACTION = "audit.sign_head"


class Log(Protocol):
    """The transparency log, as far as heads need it."""

    async def append(
        self, work: Callable[[Connection], bytes | None], keep: Callable[[Connection, int], None]
    ) -> None:
        """In one transaction of the log: append the leaf hash that ``work`` returns, and ``keep`` its index.

        Both may be called again. Where ``work`` returns None, nothing is appended nor kept.
        """
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """Who wants a head now."""

    caller: str
    request_id: str


class HeadSigner:
    """Signs the chain's end into the log."""

    def __init__(self, store: Store, log: Log, authority: Authority, sources: Sources) -> None:
        self._store = store
        self._log = log
        self._authority = authority
        self._sources = sources

    def is_due(self) -> bool:
        """Whether a day has gone since the newest head, or since the first event where there is none."""
        with self._store.reading() as connection:
            return self._is_due(connection)

    async def sign(self, asked: Asked | None = None) -> pb.SignedAuditHead | None:
        """Sign the end now where somebody asks, and where it is due by itself; else, None.

        An empty chain has nothing to sign.
        """
        signed: list[rows.HeadRow] = []
        draft: list[tuple[int, bytes, int]] = []

        def work(connection: Connection) -> bytes | None:
            # Of a run that was undone nothing may be left.
            draft.clear()
            signed.clear()
            end = rows.read_end(connection)
            if not end.seq or not (asked or self._is_due(connection)):
                return None
            now_us = to_us(self._sources.now())
            envelope = sign_head(
                pb.AuditHead(seq=end.seq, sha256=end.sha256, time_us=now_us), self._authority.audit_key
            )
            draft.append((end.seq, envelope, now_us))
            return head_leaf(envelope)

        def keep(connection: Connection, log_index: int) -> None:
            [(seq, envelope, now_us)] = draft
            certificates = self._authority.chain_of(self._authority.audit.certificate)
            digest = attestations.add_chain(connection, certificates)
            signed[:] = [rows.HeadRow(seq, log_index, envelope, digest, now_us)]
            rows.add_head(connection, signed[0])
            if asked:
                chain.record(
                    connection,
                    action=SIGN_ACTION,
                    subject=f"audit/{seq}",
                    caller=asked.caller,
                    request_id=asked.request_id,
                    now_us=now_us,
                )

        await self._log.append(work, keep)
        if not signed:
            return None
        certificates = self._authority.chain_of(self._authority.audit.certificate)
        return pb.SignedAuditHead(
            envelope=signed[0].envelope, certificates=certificates, log_index=signed[0].log_index
        )

    def _is_due(self, connection: Connection) -> bool:
        newest = rows.last_head(connection)
        if newest is not None:
            since_us = newest.signed_us
        else:
            first = rows.get_event(connection, 1)
            if first is None:
                return False
            since_us = first.time_us
        # In the future it is where the clock was wrong for a while: that must not end the signing.
        return abs(self._sources.now() - from_us(since_us)) >= SIGN_EVERY


def sign_head(head: pb.AuditHead, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the serialised envelope of ``head``."""
    payload = head.SerializeToString(deterministic=True)
    signature = key.sign(pae(HEAD_TYPE, payload), ec.ECDSA(SHA256()))
    return encode_envelope(payload_type=HEAD_TYPE, payload=payload, signatures=[signature])


def head_leaf(envelope: bytes) -> bytes:
    """Leaf hash of a head: SHA-256 of what is signed and of the first signature, behind a prefix."""
    parsed = parse_envelope(envelope)
    parts = (pae(parsed.payload_type, parsed.payload), parsed.signatures[0].sig)
    return leaf_hash(LEAF_PREFIX + b"".join(sha256(part).digest() for part in parts))


def check_head(signed: pb.SignedAuditHead, *, roots: Sequence[x509.Certificate]) -> pb.AuditHead:
    """Return the head that was signed.

    Raises:
        VerifieldError: not a head, not signed by a key for audit heads, or under no root.
    """
    payload = check_signed(
        signed.envelope, payload_type=HEAD_TYPE, certificates=signed.certificates, what="audit head"
    )
    head = parse_message(pb.AuditHead, payload, what="audit head", max_bytes=MAX_HEAD_BYTES)
    if head.seq < 1 or len(head.sha256) != sha256().digest_size:
        raise Malformed("AUDIT_HEAD", "The audit head names no event.")
    try:
        at = from_us(head.time_us)
    except OverflowError as error:
        raise Malformed("BAD_TIME", "The audit head's time is not a valid time.") from error
    check_chain(signed.certificates, roots=roots, at=at, purpose=Purpose.AUDIT)
    return head


def parse_signed_head(data: bytes) -> pb.SignedAuditHead:
    """Parse a head as it was kept in a file; its signature is not checked yet.

    Raises:
        Malformed: not such a file.
    """
    if len(data) > MAX_SIGNED_BYTES:
        raise Malformed("TOO_LARGE", f"A signed audit head has at most {MAX_SIGNED_BYTES} bytes.")
    try:
        head = pb.SignedAuditHead.FromString(data)
    except DecodeError as error:
        raise Malformed("NOT_PROTOBUF", "The file is no signed audit head.") from error
    if not head.envelope or not head.certificates:
        raise Malformed("AUDIT_HEAD", "The file is no signed audit head.")
    return head
