"""A whole deployment in memory for tests: root, issuing CA, devices, receipt key, log, bundles.

    authority = Authority.create()
    device = authority.enroll("device-1")
    bundle = authority.bundle(device, device.sign(verification(device)))
    verify_bundle(bundle, roots=[authority.root])

Everything happens at times given as arguments, by default around ``NOW``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from verifield.bundle import BUNDLE_TYPE
from verifield.certificates import Purpose
from verifield.chain import ChainHead, envelope_sha256, next_head
from verifield.commitments import commit
from verifield.cosign import encode_cosigner_key
from verifield.dsse import encode_envelope, pae, parse_envelope
from verifield.leaf import log_leaf
from verifield.merkle import MerkleTree, leaf_hash
from verifield.note import Checkpoint, sign_checkpoint
from verifield.profile import PublicKey, issuing_certificate, leaf_certificate, root_certificate
from verifield.receipt import encode_receipt
from verifield.statement import RECEIPT_TYPE, STATEMENT_TYPE, encode_statement
from verifield.v1 import attestation_pb2 as pb
from verifield.v1.bundle_pb2 import Bundle, LogEntry, Receipt, Witness

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
CA_LIFETIME = timedelta(days=3650)
LEAF_LIFETIME = timedelta(days=365)
ORIGIN = "log.test.example/verifield"
SALT = bytes(range(32))


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def sign_envelope(
    payload: bytes, *, payload_type: str, key: ec.EllipticCurvePrivateKey, keyid: str = ""
) -> bytes:
    signature = key.sign(pae(payload_type, payload), ec.ECDSA(SHA256()))
    data = encode_envelope(payload_type=payload_type, payload=payload, signatures=[signature])
    if not keyid:
        return data
    envelope = parse_envelope(data)
    envelope.signatures[0].keyid = keyid
    return envelope.SerializeToString(deterministic=True)


@dataclass
class Device:
    """A device with its attestation key, the head of its chain, and the supervisor who works at it."""

    device_id: str
    key: ec.EllipticCurvePrivateKey
    chain: list[bytes]
    head: ChainHead | None = None
    supervisor: ec.EllipticCurvePrivateKey = field(default_factory=new_key)

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(self.chain[0])

    def sign(self, statement: pb.Statement) -> bytes:
        """Return the serialised envelope and move the head. The supervisor co-signs a manual decision."""
        payload = encode_statement(statement)
        keys = [self.key, self.supervisor] if statement.outcome == pb.OUTCOME_MANUAL else [self.key]
        message = pae(STATEMENT_TYPE, payload)
        envelope = encode_envelope(
            payload_type=STATEMENT_TYPE,
            payload=payload,
            signatures=[key.sign(message, ec.ECDSA(SHA256())) for key in keys],
        )
        self.head = next_head(statement, envelope)
        return envelope


@dataclass
class Authority:
    """Who vouches, confirms and logs."""

    root_key: ec.EllipticCurvePrivateKey
    root: x509.Certificate
    issuing_key: ec.EllipticCurvePrivateKey
    issuing: x509.Certificate
    receipt_key: ec.EllipticCurvePrivateKey
    receipt_chain: list[bytes]
    log_key: Ed25519PrivateKey
    log_chain: list[bytes]
    policy_key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    tree: MerkleTree = field(default_factory=MerkleTree)

    @classmethod
    def create(cls, *, now: datetime = NOW) -> Authority:
        root_key, issuing_key, receipt_key, log_key = (
            new_key(),
            new_key(),
            new_key(),
            Ed25519PrivateKey.generate(),
        )
        root = root_certificate(root_key, name="Test root", now=now, lifetime=CA_LIFETIME)
        issuing = issuing_certificate(
            issuer_cert=root,
            issuer_key=root_key,
            public_key=issuing_key.public_key(),
            name="Test issuing CA",
            now=now,
            lifetime=CA_LIFETIME,
        )
        authority = cls(root_key, root, issuing_key, issuing, receipt_key, [], log_key, [])
        authority.receipt_chain = authority.issue(
            receipt_key.public_key(), name="Test receipts", purpose=Purpose.RECEIPT, now=now
        )
        authority.log_chain = authority.issue(log_key.public_key(), name=ORIGIN, purpose=Purpose.LOG, now=now)
        return authority

    @property
    def root_pem(self) -> bytes:
        return self.root.public_bytes(Encoding.PEM)

    def issue(
        self,
        public_key: PublicKey,
        *,
        name: str,
        purpose: Purpose,
        now: datetime = NOW,
        lifetime: timedelta = LEAF_LIFETIME,
    ) -> list[bytes]:
        """Return the chain of a new leaf: DER, leaf first, root left out."""
        leaf = leaf_certificate(
            issuer_cert=self.issuing,
            issuer_key=self.issuing_key,
            public_key=public_key,
            common_name=name,
            purpose=purpose,
            now=now,
            lifetime=lifetime,
        )
        return [der(leaf), der(self.issuing)]

    @property
    def policy_chain(self) -> list[bytes]:
        return self.issue(self.policy_key.public_key(), name="Test policies", purpose=Purpose.POLICY)

    def enroll(self, device_id: str, *, now: datetime = NOW, lifetime: timedelta = LEAF_LIFETIME) -> Device:
        key = new_key()
        chain = self.issue(
            key.public_key(), name=device_id, purpose=Purpose.ATTESTATION, now=now, lifetime=lifetime
        )
        return Device(device_id, key, chain)

    def append(self, envelope: bytes, certificate: bytes) -> int:
        """Log an envelope and return its index."""
        return self.tree.append(leaf_hash(log_leaf(parse_envelope(envelope), certificate)))

    def checkpoint(self, size: int | None = None) -> str:
        """Return the signed note for the tree of ``size``, or of all leaves."""
        size = self.tree.size if size is None else size
        return sign_checkpoint(Checkpoint(ORIGIN, size, self.tree.root(size)), key=self.log_key)

    def receipt(self, device_id: str, head: ChainHead, *, at: datetime = NOW, keyid: str = "") -> bytes:
        """Return a receipt envelope through ``head``, with the newest checkpoint."""
        receipt = Receipt(
            device_id=device_id,
            chain_epoch=head.epoch,
            through_seq=head.seq,
            head_sha256=head.sha256,
            checkpoint=self.checkpoint(),
        )
        receipt.server_time.FromDatetime(at)
        payload = encode_receipt(receipt)
        return sign_envelope(payload, payload_type=RECEIPT_TYPE, key=self.receipt_key, keyid=keyid)

    def revocation_list(
        self, *certificates: x509.Certificate, at: datetime = NOW, issued: datetime = NOW + timedelta(days=1)
    ) -> bytes:
        """Return the list of ``issued``, with ``certificates`` revoked ``at`` that time."""
        builder = x509.CertificateRevocationListBuilder(
            issuer_name=self.issuing.subject, last_update=issued, next_update=issued + timedelta(days=7)
        )
        for certificate in certificates:
            entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
            builder = builder.add_revoked_certificate(entry.revocation_date(at).build())
        return builder.sign(self.issuing_key, SHA256()).public_bytes(Encoding.DER)

    def witness(self, device: Device, statement: pb.Statement, *, size: int, entry: LogEntry) -> Witness:
        """Let ``statement`` cite the checkpoint of ``size``, and prove that tree against ``entry``."""
        smaller, larger = sorted((size, entry.tree_size))
        note = self.checkpoint(size)
        statement.last_checkpoint_sha256 = hashlib.sha256(note.encode()).digest()
        return Witness(
            envelope=device.sign(statement),
            certificates=device.chain,
            checkpoint=note,
            consistency_hashes=self.tree.consistency_proof(smaller, larger),
        )

    def log_entry(self, index: int) -> LogEntry:
        """Return the entry with its proof in the newest tree."""
        return LogEntry(
            index=index,
            tree_size=self.tree.size,
            inclusion_hashes=self.tree.inclusion_proof(index, self.tree.size),
            checkpoint=self.checkpoint(),
        )

    def confirm(
        self, device: Device, envelope: bytes, *, at: datetime = NOW + timedelta(hours=2), cited: bytes = b""
    ) -> Bundle:
        """Log the newest envelope of ``device``, give the receipt at ``at``, and return the bundle."""
        assert device.head is not None
        assert device.head.sha256 == envelope_sha256(envelope)
        index = self.append(envelope, device.chain[0])
        return Bundle(
            media_type=BUNDLE_TYPE,
            envelope=envelope,
            certificates=device.chain,
            receipt=self.receipt(device.device_id, device.head, at=at),
            cited_receipt=cited,
            log_entry=self.log_entry(index),
            receipt_certificates=self.receipt_chain,
            log_certificates=self.log_chain,
        )

    def bundle(
        self, device: Device, envelope: bytes, *, at: datetime = NOW + timedelta(hours=2), cited: bytes = b""
    ) -> bytes:
        """Return the bytes of :meth:`confirm`."""
        return self.confirm(device, envelope, at=at, cited=cited).SerializeToString(deterministic=True)


def base_statement(device: Device, *, at: datetime, cites: bytes) -> pb.Statement:
    head = device.head
    seq = head.seq + 1 if head else 1
    statement = pb.Statement(
        attestation_id=f"019ca5a0-0000-7000-8000-{seq:012x}",
        device_id=device.device_id,
        chain_epoch=head.epoch if head else 1,
        seq=seq,
        previous_envelope_sha256=head.sha256 if head else b"",
        last_receipt_sha256=envelope_sha256(cites) if cites else b"",
        clock=pb.Clock(
            boot_id="3f1f7a52-51c5-4a3e-9d52-8a3d5e1c7b10",
            monotonic_ns=seq * 60_000_000_000,
            quality=pb.TIME_QUALITY_BOUNDED if cites else pb.TIME_QUALITY_SUSPECT,
        ),
        assurance=pb.Assurance(
            key_protection=pb.KEY_PROTECTION_SOFTWARE,
            camera=pb.CAMERA_ASSURANCE_SIMULATED,
            reader_sam_id="0000.00000000.0000000000.0000000000",
        ),
        site=pb.Site(site_id="site-1"),
    )
    statement.clock.wall_time.FromDatetime(at)
    return statement


def device_event(device: Device, *, at: datetime = NOW, cites: bytes = b"") -> pb.Statement:
    """Return the next statement of ``device``: its enrolment."""
    statement = base_statement(device, at=at, cites=cites)
    statement.kind = pb.RECORD_KIND_DEVICE_EVENT
    statement.device_event.type = pb.DEVICE_EVENT_TYPE_ENROLLED
    statement.device_event.certificate_serial = f"{device.certificate.serial_number:x}"
    return statement


def verification(
    device: Device,
    *,
    outcome: pb.Outcome.ValueType = pb.OUTCOME_VERIFIED,
    reasons: Sequence[str] = (),
    at: datetime = NOW + timedelta(hours=1),
    cites: bytes = b"",
) -> pb.Statement:
    """Return the next statement of ``device`` with evidence that agrees with ``outcome``."""
    statement = base_statement(device, at=at, cites=cites)
    statement.kind = pb.RECORD_KIND_VERIFICATION
    statement.outcome = outcome
    statement.reasons.extend(reasons)
    statement.operator.role = "clerk"
    statement.configuration.policy_sha256 = bytes(32)
    statement.configuration.config_sha256 = bytes(32)
    statement.configuration.software_version = "0.1.0"
    if outcome == pb.OUTCOME_ABORTED:
        return statement
    if outcome == pb.OUTCOME_MANUAL:
        statement.operator.operator_id = "op-1"
        statement.operator.factors.append(pb.AUTHENTICATION_FACTOR_PIN)
        statement.manual.CopyFrom(_manual(device))
        return statement
    attack, matched = outcome == pb.OUTCOME_SPOOF, outcome != pb.OUTCOME_NOT_MATCHED
    statement.document.CopyFrom(_document())
    statement.capture.CopyFrom(_capture())
    statement.liveness.CopyFrom(_liveness(attack=attack))
    if not attack:
        statement.match.CopyFrom(_match(matched=matched))
    return statement


def _manual(device: Device) -> pb.ManualDecision:
    return pb.ManualDecision(
        accepted=True,
        causes=["CHIP_UNREADABLE"],
        cosigner=pb.Operator(operator_id="op-2", role="supervisor", factors=[pb.AUTHENTICATION_FACTOR_PIN]),
        cosigner_key=encode_cosigner_key(device.supervisor.public_key()),
    )


def _document() -> pb.Document:
    values = {"document.name": "测试".encode(), "document.number": b"specimen"}
    return pb.Document(
        type=pb.DOCUMENT_TYPE_RESIDENT_ID,
        read_method=pb.READ_METHOD_CHIP,
        fields=[
            pb.Commitment(field=name, digest=commit(field=name, value=value, salt=SALT))
            for name, value in values.items()
        ],
    )


def _capture() -> pb.Capture:
    return pb.Capture(
        camera_id="simulated:1",
        frames_seen=40,
        frames_used=24,
        best_shot_sha256=bytes(range(32)),
        quality=[pb.QualityComponent(name="inter_eye_distance", value=92.5, passed=True)],
    )


def _liveness(*, attack: bool) -> pb.Liveness:
    score = 0.012 if attack else 0.061
    return pb.Liveness(
        decision=pb.LIVENESS_DECISION_ATTACK if attack else pb.LIVENESS_DECISION_LIVE,
        experts=[pb.LivenessExpert(name="planar_motion", score=score, threshold=0.035, passed=not attack)],
        challenge=pb.Challenge(nonce=bytes(16), actions=["TURN_LEFT", "TURN_RIGHT"], completed=2),
    )


def _match(*, matched: bool) -> pb.Match:
    return pb.Match(
        model_name="sface",
        model_sha256=bytes(32),
        score=0.61 if matched else 0.12,
        threshold=0.466,
        false_match_rate=1e-5,
        domain="live/chip_photo",
        decision=pb.MATCH_DECISION_MATCH if matched else pb.MATCH_DECISION_NO_MATCH,
    )
