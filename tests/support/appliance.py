"""What the tests of attest, outbox and sync share: evidence of a made-up person, and a device that signs."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edge.answers import SessionAnswers, SignedIn, SignInFactor
from edge.attest.clock import ClockReading, SystemClock
from edge.attest.keystore_software import SoftwareKeyStore
from edge.attest.media import SealedMedia
from edge.attest.sign import seal
from edge.attest.statement import ChainLink, StatementContext, build_statement
from edge.model import (
    CameraAssurance,
    CaptureRecord,
    ChallengeRecord,
    Decision,
    DocumentType,
    Evidence,
    ExpertScore,
    Frame,
    IdDocument,
    KeyProtection,
    LivenessDecision,
    LivenessResult,
    MatchResult,
    Outcome,
    Prompt,
    QualityComponent,
    ReadMethod,
)
from edge.outbox.records import Cited, SignedRecord, StoredRecord
from edge.outbox.store import Outbox
from edge.policy import Policy
from edge.ports import RollbackCounter
from edge.recorder import Recorder
from verifield.chain import ChainHead
from verifield.commitments import Disclosure, encode_disclosures
from verifield.v1 import attestation_pb2 as pb

WALL = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
BOOT_ID = "5b6f3c1e-0d7a-4c55-9a53-1f0c1f1d2e3a"
MODEL_SHA256 = "ab" * 32


class MemorySigner:
    """A P-256 key in memory; the Signer port without a file."""

    protection = KeyProtection.SOFTWARE

    def __init__(self, key: ec.EllipticCurvePrivateKey | None = None) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())

    def public_key_der(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message, ec.ECDSA(SHA256()))


def document() -> IdDocument:
    """Nobody's card: the region code 99 does not exist."""
    photo = np.random.default_rng(5).integers(0, 256, (126, 102, 3), dtype=np.uint8)
    return IdDocument(
        type=DocumentType.RESIDENT_ID,
        read_method=ReadMethod.CHIP,
        name="试验·样本",
        number="990000199001019990",
        sex="女",
        birth=date(1990, 1, 1),
        valid_from=date(2020, 2, 3),
        valid_to=None,
        issuer="虚构市公安局样本分局",
        address="虚构省虚构市样本路1号",
        ethnicity="汉",
        nationality="中国",
        photo=photo,
        reader_sam_id="05.03-20260101-0000000001-1234567890",
    )


def verified_evidence() -> Evidence:
    pixels = np.random.default_rng(6).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    return Evidence(
        document=document(),
        capture=CaptureRecord(
            camera_id="v4l2:0",
            assurance=CameraAssurance.HOST,
            frames_seen=40,
            frames_used=30,
            best_shot=Frame(pixels, 12.5, 17),
            quality=(QualityComponent("inter_eye_distance", 91.5, passed=True),),
        ),
        liveness=LivenessResult(
            decision=LivenessDecision.LIVE,
            experts=(ExpertScore("planar_motion", 0.03, 0.012), ExpertScore("head_turn", 1.0, 1.0)),
            challenge=ChallengeRecord(bytes(range(16)), (Prompt.TURN_LEFT, Prompt.TURN_RIGHT), 2),
            reasons=(),
        ),
        match=MatchResult(0.61, 0.466, 1e-5, "live/chip_photo", "sface", MODEL_SHA256),
        session=SessionAnswers(
            bytes(range(16)), operator=SignedIn("op-17", "clerk", frozenset({SignInFactor.PIN}))
        ),
    )


def context(device_id: str) -> StatementContext:
    return StatementContext(
        device_id=device_id,
        site_id="site-1",
        key_protection=KeyProtection.SOFTWARE,
        policy_sha256=Policy().sha256(),
        config_sha256=bytes(32),
        software_version="0.1.0",
    )


def reading(
    wall: datetime = WALL, quality: pb.TimeQuality.ValueType = pb.TIME_QUALITY_SUSPECT
) -> ClockReading:
    return ClockReading(BOOT_ID, 1_000_000_007, wall, quality)


def attestation_id(seed: bytes) -> str:
    """A UUID version 7 with the bits of ``seed`` (16 bytes) around its version and variant."""
    bits = int.from_bytes(seed, "big") & ~(0xF << 76) & ~(0x3 << 62)
    return str(uuid.UUID(int=bits | 0x7 << 76 | 0x2 << 62))


def link_after(head: ChainHead | None, cited: Cited) -> ChainLink:
    return ChainLink.after(
        head,
        last_receipt_sha256=cited.receipt_sha256,
        last_checkpoint_sha256=cited.checkpoint_sha256,
    )


def statement_of(
    evidence: Evidence,
    decision: Decision,
    *,
    device_id: str = "device-1",
    head: ChainHead | None = None,
    cited: Cited | None = None,
    salt: bytes = bytes(range(32)),
    seed: bytes = bytes(16),
    wall: datetime = WALL,
    quality: pb.TimeQuality.ValueType = pb.TIME_QUALITY_SUSPECT,
    media: tuple[bytes, ...] = (),
) -> tuple[pb.Statement, tuple[Disclosure, ...]]:
    return build_statement(
        evidence=evidence,
        decision=decision,
        context=context(device_id),
        link=link_after(head, cited or Cited()),
        attestation_id=attestation_id(seed),
        clock=reading(wall, quality),
        new_salt=lambda: salt,
        media=[SealedMedia(f"picture_{number}", data, data) for number, data in enumerate(media)],
    )


RESERVE_BYTES = 64 * 1024
"""Small, since test runs keep the folders of many stores."""


def key_store_beside(path: Path) -> SoftwareKeyStore:
    """The key store of the device whose outbox is at ``path``; the same in every process."""
    return SoftwareKeyStore.open_store(path.with_name(path.name + ".keys"), environ={})


def open_outbox(path: Path, *, device_id: str = "device-1", counter: RollbackCounter | None = None) -> Outbox:
    return Outbox.open(
        path,
        device_id=device_id,
        key_store=key_store_beside(path),
        counter=counter,
        reserve_bytes=RESERVE_BYTES,
    )


class Appliance:
    """A device with a key and an outbox, whose records are small (aborted) unless told otherwise."""

    def __init__(self, path: Path, signer: MemorySigner, *, device_id: str = "device-1") -> None:
        self.path = path
        self.signer = signer
        self.device_id = device_id
        self.quality: pb.TimeQuality.ValueType = pb.TIME_QUALITY_SUSPECT
        self.outbox = open_outbox(path, device_id=device_id)

    def make(
        self,
        head: ChainHead | None,
        cited: Cited,
        *,
        evidence: Evidence | None = None,
        decision: Decision | None = None,
        media: tuple[bytes, ...] = (),
    ) -> SignedRecord:
        statement, disclosures = statement_of(
            evidence or Evidence(aborted="TIMEOUT"),
            decision or Decision(Outcome.ABORTED, ("TIMEOUT",)),
            device_id=self.device_id,
            head=head,
            cited=cited,
            seed=uuid.uuid4().bytes,
            quality=self.quality,
            media=media,
        )
        private = encode_disclosures(disclosures) if disclosures else b""
        return SignedRecord(seal(statement, self.signer), private, media)

    def verify(self) -> StoredRecord:
        """Store one small record."""
        return self.outbox.append(self.make)

    def verify_person(self) -> StoredRecord:
        """Store one record with everything in it."""
        return self.outbox.append(
            lambda head, cited: self.make(
                head, cited, evidence=verified_evidence(), decision=Decision(Outcome.VERIFIED, ())
            )
        )

    def recorder(self) -> Recorder:
        """What writes the events of this device's chain."""
        identity: Any = SimpleNamespace(
            device_id=self.device_id, site_id="site-1", predecessor_id="", attestation_serial=lambda: "ab"
        )
        return Recorder(
            identity=identity,
            signer=self.signer,
            outbox=self.outbox,
            clock=SystemClock(),
            policy=Policy(),
            config_sha256=bytes(32),
            software_version="0.1.0",
        )

    def restart(self) -> None:
        self.outbox.close()
        self.outbox = open_outbox(self.path, device_id=self.device_id)


def ignore_trouble(_state: object, _trouble: object) -> None:
    """For tests that judge the report instead."""
