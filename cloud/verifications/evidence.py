"""What a device signed about a live face, and whether it counts for one request: the steps, in order.

    1  a device signed it whose certificates lead to our root, and it keeps the rules     EVIDENCE_INVALID,
       of statements (steps 1 to 5 of cloud.attestations.ingest)                          EVIDENCE_SIGNATURE
    2  that device is enrolled with this very key, is let in now, and neither it nor its  EVIDENCE_DEVICE
       certificate was revoked; its chain has no other record at this place
    3  it was made for this request: it names the nonce that was given out for it         EVIDENCE_NONCE
    4  it is fresh: it was made after the nonce was given out, by all that is known of    EVIDENCE_STALE
       its time, and it came within the life of the nonce
    5  the device saw a live person who matches the photo of a resident's chip, with a    EVIDENCE_OUTCOME
       camera that is not simulated
    6  the number on that chip is the person's, and the days that are shown are those     EVIDENCE_PERSON
       on it: the commitments to them open; by these days the card counts today, whatever (EVIDENCE_OUTCOME)
       the device took for today
    7  the picture is the one that was taken: the commitment to it opens                  EVIDENCE_PICTURE
    8  it was never used before                                                           EVIDENCE_REPLAYED

Steps 1 and 3 to 7 are functions without I/O. Nothing is written before the last step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from sqlalchemy import Connection

from cloud.attestations.record import Record, verify_record
from cloud.attestations.signer import Signer, check_signer
from cloud.authority import Authority
from cloud.elements import Validity, first_today, last_today
from cloud.errors import Reason, ServiceError
from cloud.sources import Sources, to_us
from cloud.store import attestations, devices, issued
from cloud.store import verifications as rows
from verifield.bounds import earliest_time
from verifield.commitments import check_disclosure
from verifield.errors import VerifieldError
from verifield.evidence import MEDIA_PREFIX
from verifield.tasks import NUMBER_FIELD
from verifield.v1 import attestation_pb2 as att
from verifield.v1.bundle_pb2 import Envelope, Receipt
from verifield.v1.device_service_pb2 import DEVICE_STATE_ACTIVE
from verifield.v1.identity_pb2 import FaceEvidence as FaceEvidencePb

NONCE_LIFE = timedelta(minutes=10)
"""How long a nonce counts: time to walk to the device, read the card and pose. Rules may make it less."""

CLOCK_SLACK = timedelta(minutes=1)
"""By how much the clocks of two machines that are kept by NTP differ at the very most."""

LONG_TERM = "long-term"
"""What devices commit to as document.valid_to of a card that does not end."""

PICTURE = "best_shot"
"""The kept picture that shows the live face."""


@dataclass(frozen=True, slots=True)
class Signed:
    """What passed step 1. ``sha256``: digest of the envelope."""

    record: Record
    statement: att.Statement = field(repr=False)
    signer: Signer = field(repr=False)

    @property
    def sha256(self) -> bytes:
        return self.record.sha256


@dataclass(frozen=True, slots=True)
class CheckedEvidence:
    """What passed all steps. The record was made between the two times; ``validity``: of the card."""

    attestation_id: str
    envelope_sha256: bytes
    device_id: str
    site_id: str
    not_before: datetime
    not_after: datetime
    validity: Validity = field(repr=False)
    statement: att.Statement = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The request that evidence has to be for. ``nonce`` was given out at ``issued`` and counts for ``life``.

    ``subject``: what it is used for, TABLE/ID; it stands beside the used record. ``task_id``: of the task
    that was handed down for it; empty where the nonce was given to a kiosk.
    """

    nonce: bytes
    issued: datetime
    id_number: str = field(repr=False)
    subject: str
    life: timedelta = NONCE_LIFE
    task_id: str = ""


class FaceEvidence:
    """``simulated``: whether records of simulated cameras count, for trials."""

    def __init__(self, authority: Authority, sources: Sources, *, simulated: bool = False) -> None:
        self._authority = authority
        self._sources = sources
        self._simulated = simulated

    def check(self, connection: Connection, evidence: FaceEvidencePb, wanted: Wanted) -> CheckedEvidence:
        """All steps, in the caller's transaction; from its end on the record counts as used.

        Raises:
            ServiceError: the reason of the step that failed; nothing was written.
        """
        now = self._sources.now()
        signed = open_signed(evidence, root=self._authority.root, at=now)  # step 1
        self._check_device(connection, signed)  # step 2
        check_nonce(signed.statement, wanted.nonce, task_id=wanted.task_id)  # step 3
        earliest = earliest_of(connection, signed.statement)
        not_before = check_time(  # step 4
            signed.statement, issued=wanted.issued, earliest=earliest, now=now, life=wanted.life
        )
        check_outcome(signed.statement, simulated=self._simulated)  # step 5
        check_person(signed.statement, wanted.id_number, salt=evidence.number_salt)  # step 6
        validity = open_days(signed.statement, evidence)
        check_current(validity, signed.statement, not_before=not_before, now=now)
        check_picture(signed.statement, evidence.picture, salt=evidence.picture_salt)  # step 7
        row = rows.EvidenceRow(signed.sha256, signed.record.attestation_id, wanted.subject, to_us(now))
        if not rows.use_evidence(connection, row):  # step 8
            raise ServiceError(Reason.EVIDENCE_REPLAYED, "This record was used as evidence before.")
        return CheckedEvidence(
            attestation_id=signed.record.attestation_id,
            envelope_sha256=signed.sha256,
            device_id=signed.record.device_id,
            site_id=signed.record.site_id,
            not_before=not_before,
            not_after=now,
            validity=validity,
            statement=signed.statement,
        )

    def _check_device(self, connection: Connection, signed: Signed) -> None:
        device = devices.get_device(connection, signed.record.device_id)
        if device is None or device.attestation_key_sha256 != sha256(signed.signer.key_spki).digest():
            raise ServiceError(Reason.EVIDENCE_DEVICE, "The device is not enrolled with this key.")
        if device.state != DEVICE_STATE_ACTIVE:
            raise ServiceError(Reason.EVIDENCE_DEVICE, "The device is not let in.")
        if issued.is_revoked(connection, device.device_id, signed.signer.serial):
            raise ServiceError(Reason.EVIDENCE_DEVICE, "The device's certificate was revoked.")
        if signed.record.site_id != device.site_id:
            raise ServiceError(Reason.EVIDENCE_DEVICE, "The record is of another site than the device.")
        if signed.record.key_protection != device.key_protection:
            raise ServiceError(Reason.EVIDENCE_DEVICE, "The record claims another protection of its key.")
        self._check_place(connection, signed, device)

    def _check_place(self, connection: Connection, signed: Signed, device: devices.DeviceRow) -> None:
        """A key that signs one place of its chain twice is in two hands, or was set back."""
        epoch, seq = signed.record.place
        if (epoch, seq) > (device.chain_epoch, device.seq):
            return
        stored = attestations.envelope_digests(connection, device.device_id, chain_epoch=epoch, seqs=[seq])
        if stored.get(seq) != signed.sha256:
            raise ServiceError(
                Reason.EVIDENCE_DEVICE, "The device's chain has another record here.", {"check": "FORK"}
            )


def earliest_of(connection: Connection, statement: att.Statement) -> datetime | None:
    """Before which a record cannot have been made, by the receipt that it cites; None where it cites none.

    What the device's clock has counted since counts too: it cannot count less than the time that passed.
    """
    row = attestations.get_receipt(connection, statement.last_receipt_sha256, device_id=statement.device_id)
    if row is None:
        return None
    receipt = Receipt.FromString(Envelope.FromString(row.envelope).payload)
    server_time = receipt.server_time.ToDatetime(tzinfo=UTC)
    try:
        return earliest_time(server_time, since_receipt_ns=statement.clock.since_receipt_ns)
    except VerifieldError:
        return None


def open_signed(evidence: FaceEvidencePb, *, root: x509.Certificate, at: datetime) -> Signed:
    """Step 1.

    Raises:
        ServiceError: EVIDENCE_INVALID, EVIDENCE_SIGNATURE.
    """
    try:
        signer = check_signer(list(evidence.certificates), root=root, at=at)
    except ServiceError as error:
        raise ServiceError(
            Reason.EVIDENCE_SIGNATURE,
            "The certificates are not those of a device of this service.",
            dict(error.metadata),
        ) from error
    key = load_der_public_key(signer.key_spki)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("a checked signer has a key on P-256")
    found = verify_record(
        evidence.envelope,
        key=key,
        certificate_sha256=sha256(signer.chain[0]).digest(),
        device_id=signer.device_id,
    )
    if isinstance(found, Record):
        return Signed(found, found.statement, signer)
    forged = found.reason in {"SIGNATURE", "OTHER_DEVICE", "COSIGNATURE"}
    raise ServiceError(
        Reason.EVIDENCE_SIGNATURE if forged else Reason.EVIDENCE_INVALID,
        "The record is not one that this device signed.",
        {"check": found.reason},
    )


def check_nonce(statement: att.Statement, nonce: bytes, *, task_id: str = "") -> None:
    """Step 3.

    Raises:
        ServiceError: EVIDENCE_NONCE.
    """
    if not statement.HasField("purpose"):
        raise ServiceError(Reason.EVIDENCE_NONCE, "The record does not say what it was made for.")
    if statement.purpose.nonce != nonce or statement.purpose.task_id != task_id:
        raise ServiceError(Reason.EVIDENCE_NONCE, "The record was made for another request.")


def check_time(
    statement: att.Statement,
    *,
    issued: datetime,
    earliest: datetime | None,
    now: datetime,
    life: timedelta,
) -> datetime:
    """Step 4; the earliest time of the record.

    Nobody can name a nonce before it is given out: so the record was made after ``issued``. Where a device
    contradicts that (by the time that it has counted since its last receipt, or by a wall clock that it calls
    trusted) something is wrong with one of the clocks, or with the device, and nothing is said of the person.

    Raises:
        ServiceError: EVIDENCE_STALE.
    """
    if not issued - CLOCK_SLACK <= now <= issued + life:
        raise ServiceError(Reason.EVIDENCE_STALE, "The request that the record was made for is over.")
    not_before = max(issued, earliest) if earliest else issued
    if not_before > now + CLOCK_SLACK:
        raise ServiceError(Reason.EVIDENCE_STALE, "The device counts time that has not passed yet.")
    if statement.clock.quality == att.TIME_QUALITY_TRUSTED:
        wall = statement.clock.wall_time.ToDatetime(tzinfo=UTC)
        if not issued - CLOCK_SLACK <= wall <= now + CLOCK_SLACK:
            raise ServiceError(Reason.EVIDENCE_STALE, "The record's time is not that of the request.")
    return min(not_before, now)


def check_outcome(statement: att.Statement, *, simulated: bool) -> None:
    """Step 5. ``simulated``: whether a simulated camera counts.

    Raises:
        ServiceError: EVIDENCE_OUTCOME, with the outcome and the first of its reasons as facts.
    """
    document = statement.document
    good = (
        statement.outcome == att.OUTCOME_VERIFIED
        and statement.liveness.decision == att.LIVENESS_DECISION_LIVE
        and statement.match.decision == att.MATCH_DECISION_MATCH
        and document.type == att.DOCUMENT_TYPE_RESIDENT_ID
        and document.read_method == att.READ_METHOD_CHIP
        and document.photo_origin == att.PHOTO_ORIGIN_UNSPECIFIED
    )
    if not good:
        facts = {"outcome": outcome_name(statement), "reason": next(iter(statement.reasons), "")}
        raise ServiceError(
            Reason.EVIDENCE_OUTCOME, "The device did not verify a live person with the chip's photo.", facts
        )
    if statement.assurance.camera in (att.CAMERA_ASSURANCE_UNSPECIFIED, att.CAMERA_ASSURANCE_SIMULATED):
        if simulated:
            return
        facts = {"outcome": outcome_name(statement), "reason": "CAMERA_SIMULATED"}
        raise ServiceError(Reason.EVIDENCE_OUTCOME, "The pictures came from no camera of the device.", facts)


def check_person(statement: att.Statement, id_number: str, *, salt: bytes) -> None:
    """Step 6.

    Raises:
        ServiceError: EVIDENCE_PERSON.
    """
    if not opens(statement, NUMBER_FIELD, id_number.encode(), salt=salt):
        raise ServiceError(Reason.EVIDENCE_PERSON, "The card was not that of the account's holder.")


def open_days(statement: att.Statement, evidence: FaceEvidencePb) -> Validity:
    """Step 6, second half: the days of the card, as the device committed to them.

    Raises:
        ServiceError: EVIDENCE_PERSON.
    """
    shown = (
        ("document.valid_from", evidence.valid_from, evidence.valid_from_salt),
        ("document.valid_to", evidence.valid_to, evidence.valid_to_salt),
    )
    if not all(opens(statement, name, day.encode(), salt=salt) for name, day, salt in shown):
        raise ServiceError(Reason.EVIDENCE_PERSON, "The days that are shown are not those of the card.")
    try:
        end = None if evidence.valid_to == LONG_TERM else date.fromisoformat(evidence.valid_to)
        return Validity(date.fromisoformat(evidence.valid_from), end)
    except ValueError:
        raise ServiceError(Reason.EVIDENCE_INVALID, "A day of the card is none.") from None


def check_current(
    validity: Validity, statement: att.Statement, *, not_before: datetime, now: datetime
) -> None:
    """Step 6, the end: the card counted when the record was made, on some place of the earth.

    Raises:
        ServiceError: EVIDENCE_OUTCOME.
    """
    start, end = validity.valid_from, validity.valid_to
    if end is not None and end < first_today(not_before):
        reason = "DOCUMENT_EXPIRED"
    elif start is not None and start > last_today(now):
        reason = "DOCUMENT_NOT_YET_VALID"
    else:
        return
    facts = {"outcome": outcome_name(statement), "reason": reason}
    raise ServiceError(Reason.EVIDENCE_OUTCOME, "The card does not count today.", facts)


def same_card(shown: Validity, known: Validity) -> bool:
    """Whether these are the days that are known; long-term has no first day that a card could show."""
    return shown.valid_to == known.valid_to and known.valid_from in (None, shown.valid_from)


def check_picture(statement: att.Statement, picture: bytes, *, salt: bytes) -> None:
    """Step 7.

    Raises:
        ServiceError: EVIDENCE_PICTURE.
    """
    if not opens(statement, MEDIA_PREFIX + PICTURE, picture, salt=salt):
        raise ServiceError(Reason.EVIDENCE_PICTURE, "The picture is not the one that the device took.")


def opens(statement: att.Statement, name: str, value: bytes, *, salt: bytes) -> bool:
    """Whether the statement committed to this value of a field under this salt."""
    try:
        check_disclosure(statement, field=name, value=value, salt=salt)
    except VerifieldError:
        return False
    return True


def outcome_name(statement: att.Statement) -> str:
    """Without the prefix of the contract, for example VERIFIED."""
    return att.Outcome.Name(statement.outcome).removeprefix("OUTCOME_")
