"""The request: a numbered paper with all that was confirmed, its record, and what both rest on."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection

from cloud.access.call import CALL, caller_of_call
from cloud.audit import chain
from cloud.bank.catalogue import Catalogue, describe_notice
from cloud.bank.customers import Customers
from cloud.bank.items import unpack
from cloud.bank.periods import end_of
from cloud.bank.sessions import Sessions, name_of
from cloud.bank.states import Event
from cloud.bank.views import describe_bank
from cloud.bank.words import WORDS, show_period
from cloud.errors import Reason, ServiceError
from cloud.papers.render import Fonts, Paper, Picture, Row, Section, render, show
from cloud.sources import from_us, to_us
from cloud.store import bank as rows
from cloud.store import banks
from cloud.store.bank import RecordRow, RequestRow, SessionRow, SignatureRow
from cloud.store.banks import BankRow
from verifield.v1 import bank_pb2, customer_service_pb2
from verifield.v1 import coop_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Confirmed:
    """All that a request is made of."""

    row: SessionRow
    card: pb.CoopCard
    customer: customer_service_pb2.Customer
    bank: BankRow
    organisation: str
    notice: str
    signature: SignatureRow
    image: bytes
    told: bank_pb2.CoopEvidence
    record_id: str
    number: str
    issued_us: int
    expires_us: int


class Requests:
    """All methods work in the caller's transaction."""

    def __init__(
        self, sessions: Sessions, customers: Customers, catalogue: Catalogue, fonts: Fonts | None
    ) -> None:
        self._sessions = sessions
        self._customers = customers
        self._catalogue = catalogue
        self._fonts = fonts

    def issue(self, connection: Connection, row: SessionRow) -> tuple[SessionRow, RecordRow, RequestRow]:
        """Number, print and keep the request of a session that was taken, and make its record.

        Raises:
            ServiceError: CHOICE_WITHDRAWN.
        """
        self._check_choice(connection, row)
        now_us = self._sessions.now_us
        year = from_us(now_us).year
        number = f"{year}-{rows.next_number(connection, year):06d}"
        row = self._sessions.move(connection, row, Event.ISSUE, number=number)
        confirmed = self._gather(connection, row, number=number, now_us=now_us)
        pdf = render(_paper(confirmed), self._fonts)
        evidence = _evidence(confirmed, sha256(pdf).digest()).SerializeToString(deterministic=True)
        record_id, customer_id = confirmed.record_id, confirmed.customer.customer_id
        seal = self._sessions.vault.seal
        record = RecordRow(
            record_id,
            number,
            row.session_id,
            customer_id,
            confirmed.bank.bank_id,
            describe_bank(confirmed.bank).SerializeToString(deterministic=True),
            row.organisation_id,
            seal(
                connection,
                customer_id,
                confirmed.organisation.encode(),
                at=("coop_records", "organisation_name", record_id),
            ),
            bank_pb2.COOP_OUTCOME_PASSED,
            row.period or "",
            now_us,
            confirmed.expires_us,
        )
        request = RequestRow(
            record_id,
            customer_id,
            seal(connection, customer_id, pdf, at=("coop_requests", "pdf", record_id)),
            sha256(pdf).digest(),
            evidence,
            sha256(evidence).digest(),
        )
        rows.add_record(connection, record, request)
        self._tell(connection, row, request)
        return row, record, request

    def pdf_of(self, connection: Connection, record_id: str) -> tuple[bytes, RequestRow]:
        """The paper of a record; empty where the customer was erased.

        Raises:
            ServiceError: COOP_RECORD_NOT_FOUND; RECORD_DAMAGED, it is no longer what was issued.
        """
        request = rows.get_request(connection, record_id)
        if request is None:
            raise ServiceError(Reason.COOP_RECORD_NOT_FOUND, "There is no such record.")
        pdf = self._sessions.vault.open(
            connection, request.customer_id, request.pdf, at=("coop_requests", "pdf", record_id)
        )
        if pdf is not None and sha256(pdf).digest() != request.pdf_sha256:
            raise ServiceError(Reason.RECORD_DAMAGED, "The paper is not the one that was issued.")
        return pdf or b"", request

    def _check_choice(self, connection: Connection, row: SessionRow) -> None:
        """What the customer chose must still be so: a bank gets no request that it no longer takes."""
        try:
            self._catalogue.offered(connection, row.bank_id or "", row.period or "")
            if row.organisation_id:
                self._customers.find_organisation(
                    connection, row.customer_id or "", organisation_id=row.organisation_id
                )
        except ServiceError as error:
            raise ServiceError(
                Reason.CHOICE_WITHDRAWN,
                "What was chosen is no longer so.",
                {"choice": error.reason.value},
            ) from error

    def _tell(self, connection: Connection, row: SessionRow, request: RequestRow) -> None:
        """Anchor what the request rests on in the audit chain."""
        chain.record(
            connection,
            action="coop.evidence",
            subject=name_of(row.session_id),
            caller=caller_of_call().path,
            request_id=CALL.get().request_id,
            now_us=self._sessions.now_us,
            facts={
                "number": row.number or "",
                "record": request.record_id,
                "evidence_sha256": request.evidence_sha256.hex(),
                "request_sha256": request.pdf_sha256.hex(),
            },
        )

    def _notice(self, connection: Connection, row: SessionRow) -> str:
        """The text that was confirmed, to the letter."""
        notice = describe_notice(self._catalogue.notice(connection, row.notice_version), row.language)
        if notice.sha256 != row.notice_sha256:
            raise ServiceError(Reason.RECORD_DAMAGED, "The notice is not the one that was confirmed.")
        return notice.text

    def _gather(self, connection: Connection, row: SessionRow, *, number: str, now_us: int) -> Confirmed:
        vault = self._sessions.vault
        customer = self._customers.read(connection, row.customer_id or "", row.customer_version)
        bank = banks.get_bank(connection, row.bank_id or "")
        signature = rows.get_signature(connection, row.session_id)
        organisation = vault.open(
            connection,
            row.person_id,
            row.organisation_name,
            at=self._sessions.place(row, "organisation_name"),
        )
        if bank is None or signature is None or organisation is None:
            raise ServiceError(Reason.RECORD_DAMAGED, "Something of this session is missing.")
        image = vault.open(
            connection,
            signature.customer_id,
            signature.image,
            at=("coop_signatures", "image", row.session_id),
        )
        return Confirmed(
            row,
            self._sessions.card_of(connection, row),
            customer,
            bank,
            organisation.decode(),
            self._notice(connection, row),
            signature,
            image or b"",
            bank_pb2.CoopEvidence.FromString(row.steps),
            self._sessions.sources.uuid7(),
            number,
            now_us,
            to_us(end_of(from_us(now_us), row.period or "")),
        )


def _paper(confirmed: Confirmed) -> Paper:
    row, words = confirmed.row, WORDS[confirmed.row.language]
    return Paper(
        number=confirmed.number,
        title=words["title"],
        language=row.language,
        made=from_us(confirmed.issued_us),
        sections=(
            Section(words["customer"], rows=_customer_rows(confirmed)),
            Section(words["request"], rows=_request_rows(confirmed)),
            Section(words["result"], rows=_result_rows(confirmed)),
            Section(
                words["notice"],
                rows=(
                    Row(words["notice_version"], str(row.notice_version)),
                    Row(words["notice_sha256"], _digest(row.notice_sha256 or b"")),
                    Row(words["confirmed"], _time_of(confirmed, Event.CONFIRM_NOTICES)),
                ),
                text=confirmed.notice,
            ),
            Section(
                words["signature"],
                rows=(
                    Row(words["signed"], show(from_us(confirmed.signature.signed_us))),
                    Row(words["strokes"], _digest(confirmed.signature.strokes_sha256)),
                ),
                pictures=(
                    Picture(
                        f"{words['written']} ({confirmed.customer.name})", confirmed.image, width_mm=70.0
                    ),
                ),
            ),
            Section(
                words["check"],
                rows=(Row(words["record"], confirmed.record_id), Row(words["session"], row.session_id)),
                text=words["how"],
            ),
        ),
    )


def _customer_rows(confirmed: Confirmed) -> tuple[Row, ...]:
    words, card, customer = WORDS[confirmed.row.language], confirmed.card, confirmed.customer
    ends = (words["long-term"] if day == "long-term" else day for day in (card.valid_from, card.valid_to))
    values = {
        "name": customer.name,
        "id_number": customer.id_number,
        "issuer": card.issuer,
        "validity": " – ".join(ends),
        "address": customer.info.address,
        "phone": customer.info.phone,
        "email": customer.info.email,
        "occupation": customer.info.occupation,
        "version": str(customer.version),
    }
    return tuple(Row(words[key], value) for key, value in values.items() if value)


def _request_rows(confirmed: Confirmed) -> tuple[Row, ...]:
    row = confirmed.row
    words = WORDS[row.language]
    return (
        Row(words["bank"], confirmed.bank.name(row.language)),
        Row(words["company"], confirmed.organisation),
        Row(words["linked"], words["yes" if row.organisation_id else "no"]),
        Row(words["period"], show_period(row.period or "", row.language)),
        Row(words["valid_from"], show(from_us(confirmed.issued_us))),
        Row(words["expires"], show(from_us(confirmed.expires_us))),
    )


def _result_rows(confirmed: Confirmed) -> tuple[Row, ...]:
    """All five match, or the session would not have come here."""
    words = WORDS[confirmed.row.language]
    sources = {
        bank_pb2.CoopItemName.Name(one.item).removeprefix("COOP_ITEM_NAME_"): one.source
        for one in unpack(confirmed.row.items).items
    }
    return (
        *(Row(words[name], f"{words['MATCH']} ({source})") for name, source in sources.items()),
        Row(words["overall"], words["passed"]),
        Row(words["attestation"], confirmed.row.attestation_id or ""),
    )


def _digest(sha256: bytes) -> str:
    """In two halves, each on a line of its own."""
    told = sha256.hex()
    return f"{told[:32]}\n{told[32:]}"


def _time_of(confirmed: Confirmed, event: Event) -> str:
    [step] = [step for step in confirmed.told.steps if step.event == event.value]
    return show(from_us(step.time.ToMicroseconds()))


def _evidence(confirmed: Confirmed, pdf_sha256: bytes) -> bank_pb2.CoopEvidence:
    row, known = confirmed.row, unpack(confirmed.row.items)
    return bank_pb2.CoopEvidence(
        session_id=row.session_id,
        device_id=row.device_id,
        number=confirmed.number,
        record_id=confirmed.record_id,
        attestation_id=row.attestation_id or "",
        envelope_sha256=row.envelope_sha256 or b"",
        picture_sha256=row.picture_sha256 or b"",
        items=known.items,
        outcome=known.outcome,
        customer_id=confirmed.customer.customer_id,
        customer_version=row.customer_version,
        bank_id=confirmed.bank.bank_id,
        organisation_id=row.organisation_id or "",
        period=row.period or "",
        steps=confirmed.told.steps,
        notice_version=row.notice_version or 0,
        notice_sha256=row.notice_sha256 or b"",
        strokes_sha256=confirmed.signature.strokes_sha256,
        signature_sha256=confirmed.signature.image_sha256,
        request_sha256=pdf_sha256,
        audit_subject=name_of(row.session_id),
    )
