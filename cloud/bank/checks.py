"""The two steps of a session at which the authority is asked: the card, and the live face."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any, NoReturn, TypeVar

from sqlalchemy import Connection

from cloud.access.call import caller_of_call
from cloud.authorities.port import BankQuery, BankRecord, BankVerdict
from cloud.bank import items as rules
from cloud.bank.cards import elements_of, other_of, parse_card
from cloud.bank.customers import Customers
from cloud.bank.ports import Faces
from cloud.bank.questions import Claim, Questions
from cloud.bank.sessions import NONCE_BYTES, Sessions, name_of
from cloud.bank.states import Event
from cloud.bank.views import FACE_TRIES, describe_session
from cloud.errors import ServiceError
from cloud.mutations import Mutations
from cloud.sources import from_us
from cloud.store.bank import SessionRow
from cloud.store.database import Store
from verifield.v1 import bank_pb2
from verifield.v1 import coop_service_pb2 as pb

CARD, FACE = "coop.submit_card", "coop.submit_face"
"""Actions of the audit chain."""

A = TypeVar("A")
R = TypeVar("R", pb.SubmitCardResponse, pb.SubmitFaceResponse)
Request = pb.SubmitCardRequest | pb.SubmitFaceRequest


class Checks:
    """Claims, asks and records (``cloud.bank.questions``)."""

    def __init__(
        self,
        store: Store,
        mutations: Mutations,
        customers: Customers,
        sessions: Sessions,
        *,
        questions: Questions,
        faces: Faces,
    ) -> None:
        self._store = store
        self._mutations = mutations
        self._customers = customers
        self._sessions = sessions
        self._questions = questions
        self._faces = faces

    async def submit_card(self, request: pb.SubmitCardRequest) -> pb.SubmitCardResponse:
        """Ask about the card: what is registered, and whether each item agrees.

        Raises:
            ServiceError: the card is none, the state does not allow it, or the authority does not answer.
        """
        today = self._sessions.sources.now().date()
        card = await asyncio.to_thread(parse_card, request.card, today=today)
        device_id, digest = caller_of_call().name, self._digest(card)

        def claim(connection: Connection) -> Claim:
            row = self._sessions.take(connection, request.session_id, Event.ACCEPT_CARD, device_id=device_id)
            return self._questions.claim(connection, row, digest)

        claimed = await self._begin(claim)
        if isinstance(claimed, ServiceError):
            again: pb.SubmitCardResponse = await self._record(request, CARD, _refusing(claimed))
            return again

        def record(connection: Connection) -> pb.SubmitCardResponse:
            row = self._questions.resume(connection, claimed, Event.ACCEPT_CARD)
            seen = rules.to_items(verdict.items)
            if not found.photo:  # the live face has to be compared with it at the device
                seen = rules.combine(seen, rules.photo_of("query", bank_pb2.COOP_ITEM_RESULT_UNAVAILABLE))
            if rules.passed(seen):
                row = self._accept_card(connection, row, card, found, seen)
            else:
                packed = rules.pack(seen, bank_pb2.COOP_OUTCOME_NOT_PASSED)
                row = self._sessions.move(connection, row, Event.REFUSE_CARD, items=packed)
            return pb.SubmitCardResponse(session=describe_session(connection, row))

        async with self._questions.asking(claimed):
            found = await self._questions.query(claimed, card.number)
            verdict = await self._questions.verify(claimed, _question(card, card.photo))
            return await self._record(request, CARD, record)

    async def submit_face(self, request: pb.SubmitFaceRequest) -> pb.SubmitFaceResponse:
        """Judge the device's evidence, and ask whether the live face is the registered one.

        Raises:
            ServiceError: EVIDENCE_..., the state does not allow it, or the authority does not answer.
        """
        digest = self._digest(
            pb.SubmitFaceRequest(evidence=request.evidence, local_match=request.local_match)
        )
        begun = await self._begin(partial(self._claim_face, request, digest, caller_of_call().name))
        if isinstance(begun, ServiceError):
            again: pb.SubmitFaceResponse = await self._record(request, FACE, _refusing(begun))
            return again
        claimed, card = begun

        def record(connection: Connection) -> pb.SubmitFaceResponse:
            row = self._questions.resume(connection, claimed, Event.ACCEPT_FACE)
            row = self._judge_face(connection, row, verdict, request.local_match)
            return pb.SubmitFaceResponse(session=describe_session(connection, row))

        async with self._questions.asking(claimed):
            verdict = await self._questions.verify(claimed, _question(card, request.evidence.picture))
            return await self._record(request, FACE, record)

    def _claim_face(
        self, request: pb.SubmitFaceRequest, digest: bytes, device_id: str, connection: Connection
    ) -> tuple[Claim, pb.CoopCard]:
        """Evidence is judged, and used up, in the transaction of its claim."""
        row = self._sessions.take(connection, request.session_id, Event.ACCEPT_FACE, device_id=device_id)
        card = self._sessions.card_of(connection, row)
        claimed = self._questions.claim(connection, row, digest)
        if row.check_input == digest:  # judged before the authority failed, or a server fell over
            return claimed, card
        face = self._faces.check(
            connection,
            request.evidence,
            nonce=row.nonce or b"",
            issued=from_us(row.nonce_us or 0),
            elements=elements_of(card),
            device_id=device_id,
            subject=name_of(row.session_id),
        )
        told = replace(
            claimed.row,
            attestation_id=face.attestation_id,
            envelope_sha256=face.envelope_sha256,
            picture_sha256=sha256(request.evidence.picture).digest(),
        )
        return Claim(self._sessions.write(connection, told)), card

    def _accept_card(
        self,
        connection: Connection,
        row: SessionRow,
        card: pb.CoopCard,
        found: BankRecord,
        seen: list[bank_pb2.CoopItem],
    ) -> SessionRow:
        customer = self._customers.of_number(connection, card.number)
        owned = replace(
            row,
            person_id=customer.customer_id if customer else row.session_id,
            customer_id=customer.customer_id if customer else None,
        )

        def sealed(column: str, content: bytes) -> bytes:
            place = self._sessions.place(row, column)
            return self._sessions.vault.seal(connection, owned.person_id, content, at=place)

        return self._sessions.move(
            connection,
            owned,
            Event.ACCEPT_CARD,
            card=sealed("card", card.SerializeToString(deterministic=True)),
            authority_photo=sealed("authority_photo", found.photo) if found.photo else None,
            items=rules.pack(seen, bank_pb2.COOP_OUTCOME_UNSPECIFIED),
            **self._new_nonce(),
        )

    def _judge_face(
        self,
        connection: Connection,
        row: SessionRow,
        verdict: BankVerdict,
        local_match: pb.CoopLocalMatch.ValueType,
    ) -> SessionRow:
        """What the device itself found can only make it worse: the authority has to agree besides."""
        seen = rules.combine(rules.unpack(row.items).items, rules.to_items(verdict.items))
        if local_match != pb.COOP_LOCAL_MATCH_MATCHED:
            seen = rules.combine(seen, rules.photo_of("device", bank_pb2.COOP_ITEM_RESULT_MISMATCH))
        if rules.passed(seen):
            packed = rules.pack(seen, bank_pb2.COOP_OUTCOME_PASSED)
            return self._sessions.move(connection, row, Event.ACCEPT_FACE, items=packed, nonce=None)
        packed = rules.pack(seen, bank_pb2.COOP_OUTCOME_NOT_PASSED)
        changes: dict[str, Any] = {"face_tries": row.face_tries + 1}
        if row.face_tries + 1 >= FACE_TRIES:
            return self._sessions.move(connection, row, Event.REFUSE_FACE, items=packed, **changes)
        changes |= self._new_nonce()
        changes |= {"attestation_id": None, "envelope_sha256": None, "picture_sha256": None}
        moved = self._sessions.move(connection, row, Event.MISS_FACE, **changes)
        # What is kept are the card's own items: the next face is judged beside those.
        return replace(moved, items=packed)

    def _new_nonce(self) -> dict[str, Any]:
        chance = self._sessions.sources.random_bytes(NONCE_BYTES)
        return {"nonce": chance, "nonce_us": self._sessions.now_us}

    def _digest(self, message: pb.CoopCard | pb.SubmitFaceRequest) -> bytes:
        return self._sessions.vault.digest(sha256(message.SerializeToString(deterministic=True)).digest())

    async def _begin(self, claim: Callable[[Connection], A]) -> A | ServiceError:
        try:
            return await asyncio.to_thread(self._store.run, claim)
        except ServiceError as error:
            return error

    async def _record(self, request: Request, action: str, work: Callable[[Connection], R]) -> R:
        subject = name_of(request.session_id)
        return await self._mutations.run(request, action=action, subject=subject, work=work)


def _refusing(error: ServiceError) -> Callable[[Connection], Any]:
    """Work that is refused; where the request was answered before, that answer is given in its place."""

    def refuse(_: Connection) -> NoReturn:
        raise error

    return refuse


def _question(card: pb.CoopCard, photo: bytes) -> BankQuery:
    return BankQuery(
        name=card.name, id_number=card.number, issuer=card.issuer, photo=photo, other=other_of(card)
    )
