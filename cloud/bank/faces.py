"""Evidence of a live face from the device at which the session is."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from cloud.bank.ports import CheckedFace
from cloud.bank.sessions import LIFETIME
from cloud.elements import FourElements
from cloud.errors import Reason, ServiceError
from cloud.verifications.evidence import FaceEvidence, Wanted, same_card
from verifield.v1 import identity_pb2


class DeviceFaces:
    """``Faces`` of the ports. A nonce counts as long as a session: its device alone was told it."""

    def __init__(self, evidence: FaceEvidence) -> None:
        self._evidence = evidence

    def check(
        self,
        connection: Connection,
        evidence: identity_pb2.FaceEvidence,
        *,
        nonce: bytes,
        issued: datetime,
        elements: FourElements,
        device_id: str,
        subject: str,
    ) -> CheckedFace:
        """As the port says; the card of the record must be the one that was handed in, validity and all."""
        wanted = Wanted(nonce, issued, elements.id_number, subject, LIFETIME)
        checked = self._evidence.check(connection, evidence, wanted)
        if checked.device_id != device_id:
            raise ServiceError(Reason.EVIDENCE_DEVICE, "The record is of another device than the session.")
        if not same_card(checked.validity, elements.validity):
            raise ServiceError(Reason.EVIDENCE_PERSON, "The record is of another card than the session.")
        return CheckedFace(checked.attestation_id, checked.envelope_sha256)
