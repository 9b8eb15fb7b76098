"""The seal itself, once its person has authenticated.

1  the places are on the document
2  the platform freezes the document with its fields; somebody who has changed it since is found out
3  a certificate for this one act is issued: it names the organisation and the person
4  the marks are set, each a signature with a time-stamp of its own
5  the document is closed so that it can be checked for ever (PAdES B-LTA)

No transaction is open while this runs. Without a time-stamp nothing is sealed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from cloud.approvals.desk import Authenticated
from cloud.errors import Reason, ServiceError
from cloud.pdf.fields import Box, Kind, Place, PlacesRefused, check_places
from cloud.pdf.freeze import freeze
from cloud.pdf.intake import PdfRefused, check_document
from cloud.pdf.marks import MarkRefused, picture_mark
from cloud.pdf.ports import Identity, StampUnavailable
from cloud.pdf.sign import Filled, Signed, SignRefused, finish, sign
from cloud.seals.desk import Scope, Seals, UsableSeal
from cloud.signers.authority import Subject
from cloud.signers.room import Signers
from cloud.sources import Sources, to_us
from cloud.store.approvals import SignatureRow
from cloud.store.database import Store
from verifield.v1 import approval_service_pb2 as pb
from verifield.v1 import signing_service_pb2

_POINTS_PER_MM = 72 / 25.4


@dataclass(frozen=True, slots=True)
class Sealer:
    """Any thread may use it."""

    store: Store
    sources: Sources
    signers: Signers
    seals: Seals

    def check(self, content: bytes, places: Sequence[Place]) -> None:
        """Step 1.

        Raises:
            ServiceError: APPROVAL_PLACE_REFUSED, APPROVAL_DOCUMENT_REFUSED.
        """
        try:
            check_places(check_document(content), places)
        except PlacesRefused as error:
            facts = {"why": error.why.value, "index": str(error.index)}
            raise ServiceError(Reason.APPROVAL_PLACE_REFUSED, f"{error}.", facts) from error
        except PdfRefused as error:
            raise document_refused(error) from error

    def seal(self, content: bytes, places: Sequence[Place], given: Authenticated, *, caller: str) -> Signed:
        """Steps 2 to 5.

        Raises:
            ServiceError: APPROVAL_STAMP_UNAVAILABLE; why no certificate is issued.
        """
        now = self.sources.now()
        platform, signer = self.store.run(lambda connection: self._identities(connection, given, caller))
        stamper = self.signers.stamper
        try:
            mark = picture_mark(given.seal.image_png)
            frozen = freeze(content, places, identity=platform, stamper=stamper, at=now)
            signed = sign(
                frozen,
                [Filled(place.name, mark) for place in places],
                identity=signer,
                stamper=stamper,
                at=now,
                reason=f"approval {given.row.approval_id}",
            )
            with self.store.reading() as connection:
                crls = self.signers.authority.crls(connection)
            final = finish(signed.content, stamper=stamper, chain=self.signers.chain, crls=crls)
        except StampUnavailable as error:
            raise ServiceError(
                Reason.APPROVAL_STAMP_UNAVAILABLE, "No authority for time-stamps answers; nothing was sealed."
            ) from error
        except PdfRefused as error:
            raise document_refused(error) from error
        except (SignRefused, MarkRefused, PlacesRefused) as error:
            raise ServiceError(
                Reason.APPROVAL_DOCUMENT_REFUSED, f"It cannot be sealed: {error}.", {"why": "UNSEALABLE"}
            ) from error
        return Signed(final, signed.parts)

    def records(
        self, connection: Connection, given: Authenticated, signed: Signed, *, caller: str
    ) -> list[SignatureRow]:
        """What is kept of each signature, in the order in which they were made."""
        verification = self.seals.verifications.require_verified(connection, caller)
        ids = sorted(self.sources.uuid7() for _ in signed.parts)  # within a millisecond they have no order
        return [
            SignatureRow(
                record_id=record_id,
                approval_id=given.row.approval_id,
                account_id=caller,
                organisation_id=given.row.organisation_id,
                kind=signing_service_pb2.SIGNATURE_KIND_SEAL,
                field=part.name,
                serial=f"{part.serial:x}",
                method=signing_service_pb2.SIGN_METHOD_SMS_CODE,
                evidence_id=given.evidence_id,
                verification_id=verification.verification_id,
                document_sha256=given.row.document_sha256,
                challenge=given.challenge,
                before_sha256=part.before_sha256,
                after_sha256=part.after_sha256,
                seal_id=given.seal.seal_id,
                seal_version=given.seal.version,
                authenticated_us=given.time_us,
                signed_us=to_us(part.time),
            )
            for record_id, part in zip(ids, signed.parts, strict=True)
        ]

    def _identities(
        self, connection: Connection, given: Authenticated, caller: str
    ) -> tuple[Identity, Identity]:
        """Step 3, and the platform's for step 2."""
        now, authority = self.sources.now(), self.signers.authority
        proof = self.seals.proof(seal_id=given.seal.seal_id, scope=Scope.APPROVALS)
        proven = proof.proven(connection, caller)
        subject = Subject(proven.name, caller, proven.organisation, proven.uscc)
        signer = authority.issue(connection, subject, proof=proof, now=now)
        return authority.platform(connection, now=now), signer


def places_of(asked: Sequence[pb.ApprovalPlace], seal: UsableSeal, *, caller: str) -> list[Place]:
    """The fields for marks of a seal in its own size."""
    width, height = seal.width_mm * _POINTS_PER_MM, seal.height_mm * _POINTS_PER_MM
    return [
        Place(f"Seal{number}", Kind.SEAL, one.page, Box(one.x, one.y, width, height), caller)
        for number, one in enumerate(asked, start=1)
    ]


def document_refused(error: PdfRefused) -> ServiceError:
    """Why a file may not become an approval."""
    return ServiceError(
        Reason.APPROVAL_DOCUMENT_REFUSED, f"The file is refused: {error}.", {"why": error.why.value}
    )
