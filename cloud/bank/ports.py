"""What bank verification needs of other rooms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import Connection

from cloud.elements import FourElements
from verifield.v1 import identity_pb2


@dataclass(frozen=True, slots=True)
class CheckedFace:
    """A device's evidence of a live face, good in all respects."""

    attestation_id: str
    envelope_sha256: bytes


class Faces(Protocol):
    """Judges what devices say about live faces."""

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
        """Signature, device, freshness, nonce, person, outcome; and that it was never used before.

        ``issued``: when the nonce was given out. ``subject``: what it is used for, TABLE/ID.

        Raises:
            ServiceError: one of the reasons EVIDENCE_... .
        """
        ...
