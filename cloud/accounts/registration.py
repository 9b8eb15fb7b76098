"""Registering, and the telephone number of an account.

1  every value has its one form; the password is not easily guessed
2  the password is worked out, and the facial image kept where no row names it yet: outside of transactions
3  somebody of an earlier system is led to the activation (ACTIVATION_REQUIRED, with its token)
4  nobody has the id number, the telephone number, the login name: what is refused counts as a look-up
5  the account, its password and its session begin together

The number that a registration begins with need not be of a segment that is served: no code is sent there, and
the holder changes it (ChangeDraftPhone) without entering the rest again.
"""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from cloud.access.call import CALL
from cloud.accounts.activation import Activations
from cloud.accounts.base import Context, Desks, fresh_holder, holder, path_of
from cloud.accounts.creation import Wanted, create, identifiers_of, parse_personal
from cloud.accounts.desk import taken
from cloud.accounts.passwords import check_password
from cloud.accounts.personal import TEXTS, Personal, parse_validity_message
from cloud.accounts.sign_in import Finder
from cloud.accounts.states import MACHINE, Event, State
from cloud.codes.binding import Finding
from cloud.codes.phones import parse_phone
from cloud.codes.values import Method, Purpose
from cloud.errors import ServiceError
from cloud.objects.kinds import PICTURES
from cloud.objects.store import Staged
from cloud.store import account_sessions
from cloud.store import accounts as rows
from cloud.store.account_sessions import CredentialRow
from verifield.v1 import account_service_pb2 as pb

MAX_IMAGE_BYTES = 256 * 1024
"""A picture of a face at 1,000 by 1,000 pixels; the contract says the same."""


@dataclass(frozen=True, slots=True, repr=False)
class Prepared:
    """What steps 1 and 2 made."""

    wanted: Wanted
    password: str
    image: Staged


class Registration:
    """Register, ChangeDraftPhone, ChangePhone."""

    def __init__(self, desks: Desks, finder: Finder, activations: Activations) -> None:
        self._desks = desks
        self._finder = finder
        self._activations = activations

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        prepared = await self._prepare(request)

        def work(connection: Connection) -> pb.RegisterResponse | ServiceError:
            return self._refusal(connection, prepared.wanted.personal) or self._make(connection, prepared)

        return await self._desks.base.mutations.run(
            request,
            action="accounts.register",
            subject=lambda answer: path_of(answer.account.account_id),
            work=work,
            facts={"subject_type": pb.SubjectType.Name(request.subject_type or pb.SUBJECT_TYPE_PERSON)},
        )

    async def ChangeDraftPhone(
        self, request: pb.ChangeDraftPhoneRequest, context: Context
    ) -> pb.ChangeDraftPhoneResponse:
        account_id = holder()

        def work(connection: Connection) -> pb.ChangeDraftPhoneResponse | ServiceError:
            accounts = self._desks.accounts
            row = accounts.find(connection, account_id, lock=True)
            MACHINE.after(State(row.state), Event.CHANGE_PHONE)
            phone = self._desks.codes.check_phone(connection, request.phone)
            other = rows.find_identifier(connection, accounts.vault.identifier_keys(phone))
            if other is not None and other.account_id != account_id:
                self._finder.count(connection)
                return taken(pb.IDENTIFIER_KIND_PHONE)
            row = accounts.change(connection, row, Event.CHANGE_PHONE)
            row = accounts.put_phone(connection, row, phone)
            rows.change_account(connection, row)
            return pb.ChangeDraftPhoneResponse(account=self._desks.show(connection, row))

        return await self._desks.base.mutations.run(
            request, action="accounts.change_draft_phone", subject=path_of(account_id), work=work
        )

    async def ChangePhone(self, request: pb.ChangePhoneRequest, context: Context) -> pb.ChangePhoneResponse:
        account_id = fresh_holder(self._desks).name
        phone, challenge_id = parse_phone(request.phone), request.challenge_id.lower()
        finding = await self._judge(account_id, phone, challenge_id)

        def work(connection: Connection) -> pb.ChangePhoneResponse | ServiceError:
            accounts = self._desks.accounts
            accounts.require_active(connection, account_id, lock=True)
            self._desks.confirm(connection)
            refusal = self._desks.codes.verify(
                connection,
                challenge_id,
                request.code,
                purpose=Purpose.REBIND_PHONE,
                bound=b"",
                phone=phone,
                person_id=account_id,
            )
            refusal = refusal or finding.refusal
            if refusal is not None:
                return refusal
            row = accounts.rebind(connection, account_id, phone)
            self._desks.proofs.add(
                connection,
                account_id,
                phone,
                method=Method.CODE,
                evidence_id=challenge_id,
                match=finding.match,
            )
            return pb.ChangePhoneResponse(account=self._desks.show(connection, row))

        return await self._desks.base.mutations.run(
            request, action="accounts.change_phone", subject=path_of(account_id), work=work
        )

    async def _judge(self, account_id: str, phone: str, challenge_id: str) -> Finding:
        """What the carrier says, where the rules want to know; only for a code that may still be taken."""

        def read(connection: Connection) -> str:
            personal = self._desks.accounts.personal(connection, account_id)
            return (
                personal.id_number if self._desks.codes.awaits(connection, challenge_id, account_id) else ""
            )

        id_number = await self._desks.read(read)
        return await self._desks.binding.judge(phone, id_number, request_id=challenge_id)

    async def _prepare(self, request: pb.RegisterRequest) -> Prepared:
        validity = parse_validity_message(request.validity)  # step 1
        personal = parse_personal(request, validity, email=request.email)
        check_password(request.password, (getattr(personal, name) for name in TEXTS), path="password")
        await self._desks.read(self._finder.check)
        account_id = self._desks.base.sources.uuid7()
        wanted = Wanted(
            account_id,
            personal,
            State.DRAFT,
            subject_type=request.subject_type,
            language=request.language,
            prefers=request.prefers,
        )
        image = await asyncio.to_thread(  # step 2
            self._desks.objects.take,
            request.facial_image,
            person_id=account_id,
            limit=MAX_IMAGE_BYTES,
            kinds=PICTURES,
        )
        password = await self._desks.passwords.hash(request.password, source=CALL.get().source)
        return Prepared(wanted, password, image)

    def _refusal(self, connection: Connection, personal: Personal) -> ServiceError | None:
        live = self._desks.accounts.find_live(connection, personal.id_number)
        if live is not None and live.state == State.SYNCED_INACTIVE:  # step 3
            return self._activations.lead(connection, live.account_id)
        for kind, value in identifiers_of(personal):  # step 4
            keys = self._desks.accounts.vault.identifier_keys(value)
            if rows.find_identifier(connection, keys) is not None:
                self._finder.count(connection)
                return taken(kind)
        return None

    def _make(self, connection: Connection, prepared: Prepared) -> pb.RegisterResponse:
        wanted = prepared.wanted  # step 5
        row = create(connection, self._desks.accounts, self._desks.base.sources, wanted)
        ref = self._desks.objects.keep(connection, prepared.image)
        row = replace(row, facial_image_id=ref.object_id)
        rows.change_account(connection, row)
        account_sessions.put_credential(
            connection, CredentialRow(wanted.account_id, prepared.password, self._desks.now_us)
        )
        session = self._desks.begin(connection, wanted.account_id, pb.SIGN_IN_METHOD_REGISTRATION)
        return pb.RegisterResponse(account=self._desks.show(connection, row), session=session)
