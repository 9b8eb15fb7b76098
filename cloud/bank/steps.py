"""What the customer says in a session: bank and company, the notice, the signature."""

from __future__ import annotations

import hmac
from hashlib import sha256

from sqlalchemy import Connection

from cloud.bank.catalogue import Catalogue, describe_notice
from cloud.bank.customers import Customers
from cloud.bank.sessions import Sessions
from cloud.bank.signature import check_image, check_strokes, strokes_sha256
from cloud.bank.states import Event
from cloud.errors import Reason, ServiceError
from cloud.store import bank as rows
from cloud.store.bank import SessionRow, SignatureRow
from verifield.v1 import coop_service_pb2 as pb


class Steps:
    """All methods work in the caller's transaction, on a session that was taken for the event."""

    def __init__(self, sessions: Sessions, customers: Customers, catalogue: Catalogue) -> None:
        self._sessions = sessions
        self._customers = customers
        self._catalogue = catalogue

    def complete(
        self, connection: Connection, row: SessionRow, request: pb.CompleteInfoRequest
    ) -> tuple[SessionRow, bool]:
        """Keep bank, company and period; also whether the customer is linked to the company.

        Raises:
            ServiceError: BANK_NOT_OFFERED, PERIOD_NOT_OFFERED, ORGANISATION_...
        """
        bank = self._catalogue.offered(connection, request.bank_id, request.period)
        organisation = self._customers.find_organisation(
            connection,
            row.customer_id or "",
            organisation_id=request.organisation_id,
            name=request.organisation_name,
        )
        sealed = self._sessions.vault.seal(
            connection,
            row.person_id,
            organisation.name.encode(),
            at=self._sessions.place(row, "organisation_name"),
        )
        moved = self._sessions.move(
            connection,
            row,
            Event.COMPLETE_INFO,
            bank_id=bank.bank_id,
            period=request.period,
            organisation_id=organisation.organisation_id or None,
            organisation_name=sealed,
        )
        return moved, bool(organisation.organisation_id)

    def confirm_notices(
        self, connection: Connection, row: SessionRow, *, version: int, digest: bytes
    ) -> SessionRow:
        """Keep which notice was confirmed; it is the one that counts now, in the session's language.

        Raises:
            ServiceError: NOTICE_OUTDATED.
        """
        notice = describe_notice(self._catalogue.notice(connection), row.language)
        if version != notice.version or not hmac.compare_digest(digest, notice.sha256):
            raise ServiceError(
                Reason.NOTICE_OUTDATED,
                "This is not the notice that counts now.",
                {"version": str(notice.version)},
            )
        return self._sessions.move(
            connection,
            row,
            Event.CONFIRM_NOTICES,
            notice_version=notice.version,
            notice_sha256=notice.sha256,
        )

    def sign(
        self, connection: Connection, row: SessionRow, strokes: pb.SignatureStrokes, image: bytes
    ) -> tuple[SessionRow, SignatureRow]:
        """Keep strokes and picture, sealed.

        Raises:
            ServiceError: SIGNATURE_EMPTY, SIGNATURE_INVALID.
        """
        check_strokes(strokes)
        check_image(image, strokes)
        customer_id, vault = row.person_id, self._sessions.vault

        def sealed(column: str, content: bytes) -> bytes:
            return vault.seal(
                connection, customer_id, content, at=("coop_signatures", column, row.session_id)
            )

        signature = SignatureRow(
            row.session_id,
            customer_id,
            sealed("strokes", strokes.SerializeToString(deterministic=True)),
            sealed("image", image),
            strokes_sha256(strokes),
            sha256(image).digest(),
            self._sessions.now_us,
        )
        rows.add_signature(connection, signature)
        return self._sessions.move(connection, row, Event.SIGN), signature
