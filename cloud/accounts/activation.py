"""Activating an account of an earlier system, in three steps that a token binds together.

1  the accurate id number                                     StartActivation, or a registration that meets it
2  the telephone number that the earlier system knew, and its code    Verify-, ConfirmActivationPhone
3  a new password                                             Activate: the holder is signed in

A number that is not the one is sent nothing, and after five of them the token is of no more use; from one
place they count as look-ups do, whichever tokens they came with. Of no more use is also every token of an
account whose number the information centre changes.
"""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection

from cloud.access.call import CALL
from cloud.accounts.base import Context, Desks, path_of
from cloud.accounts.passwords import check_password
from cloud.accounts.personal import TEXTS, Personal
from cloud.accounts.sign_in import Finder
from cloud.accounts.states import ACTIVATION, ActivationEvent, ActivationState, Event, State
from cloud.codes.phones import parse_phone
from cloud.codes.values import Method, Purpose
from cloud.devices.tokens import SECRET_BYTES, encode_token, is_token, token_sha256
from cloud.elements import parse_id_number
from cloud.errors import Reason, ServiceError
from cloud.store import account_sessions as rows
from cloud.store.account_sessions import ActivationRow, CredentialRow
from verifield.v1 import account_service_pb2 as pb

TOKEN_PREFIX = "vfa_"  # noqa: S105 (what a token of an activation begins with)

LIFETIME = timedelta(minutes=30)
"""For three screens, and a code that may come late."""

MISMATCHES = 5
"""Telephone numbers that are not the one, until the token is of no more use."""


@dataclass(slots=True)
class About:
    """Whose activation it is: found out within the transaction."""

    account_id: str = ""

    def path(self, _: object) -> str:
        """As the audit chain names the account."""
        return path_of(self.account_id)


class Activations:
    """The three steps."""

    def __init__(self, desks: Desks, finder: Finder) -> None:
        self._desks = desks
        self._finder = finder

    def lead(self, connection: Connection, account_id: str) -> ServiceError:
        """What a registration is told that meets an account of an earlier system: step 1 is done with it."""
        token, row = self._begin(connection, account_id)
        expires = Timestamp()
        expires.FromMicroseconds(row.expires_us)
        return ServiceError(
            Reason.ACTIVATION_REQUIRED,
            "This person has an account that has to be activated.",
            {"next_step": "ACTIVATE", "activation_token": token, "expire_time": expires.ToJsonString()},
        )

    async def StartActivation(
        self, request: pb.StartActivationRequest, context: Context
    ) -> pb.StartActivationResponse:
        id_number, about = parse_id_number(request.id_number), About()
        await self._desks.read(self._finder.check)

        def work(connection: Connection) -> pb.StartActivationResponse | ServiceError:
            account = self._desks.accounts.find_live(connection, id_number)
            if account is None:
                return self._finder.unknown(connection)
            if account.state != State.SYNCED_INACTIVE:
                self._finder.count(connection)
                return ServiceError(Reason.ACCOUNT_EXISTS, "This account is not one to be activated.")
            about.account_id = account.account_id
            token, row = self._begin(connection, account.account_id)
            answer = pb.StartActivationResponse(activation_token=token)
            answer.expire_time.FromMicroseconds(row.expires_us)
            return answer

        return await self._desks.base.mutations.run(
            request, action="accounts.start_activation", subject=about.path, work=work
        )

    async def VerifyActivationPhone(
        self, request: pb.VerifyActivationPhoneRequest, context: Context
    ) -> pb.VerifyActivationPhoneResponse:
        phone, source, about = parse_phone(request.phone), CALL.get().source, About()
        await self._desks.read(self._finder.check)  # whatever the number, so that none is told by it

        def work(connection: Connection) -> pb.VerifyActivationPhoneResponse | ServiceError:
            row, personal = self._open(connection, request.activation_token)
            about.account_id = row.account_id
            if phone != personal.phone:
                return self._mismatch(connection, row)
            state = ACTIVATION.after(ActivationState(row.state), ActivationEvent.SEND_CODE)
            language = self._desks.accounts.contact(connection, row.account_id).language
            sent = self._desks.codes.send(
                connection,
                phone=phone,
                purpose=Purpose.ACTIVATE,
                bound=row.activation_id.encode(),
                person_id=row.account_id,
                source=source,
                language=language,
            )
            rows.change_activation(connection, replace(row, state=int(state), challenge_id=sent.challenge_id))
            answer = pb.VerifyActivationPhoneResponse(challenge_id=sent.challenge_id)
            answer.expire_time.FromDatetime(sent.expire_time)
            return answer

        return await self._desks.base.mutations.run(
            request,
            action="accounts.verify_activation_phone",
            subject=about.path,
            work=work,
        )

    async def ConfirmActivationPhone(
        self, request: pb.ConfirmActivationPhoneRequest, context: Context
    ) -> pb.ConfirmActivationPhoneResponse:
        about = About()

        def work(connection: Connection) -> pb.ConfirmActivationPhoneResponse | ServiceError:
            row, personal = self._open(connection, request.activation_token)
            about.account_id = row.account_id
            state = ACTIVATION.after(ActivationState(row.state), ActivationEvent.VERIFY_CODE)
            refusal = self._desks.codes.verify(
                connection,
                row.challenge_id,
                request.code,
                purpose=Purpose.ACTIVATE,
                bound=row.activation_id.encode(),
                phone=personal.phone,
                person_id=row.account_id,
            )
            if refusal is not None:
                self._desks.note(
                    connection, row.account_id, pb.SIGN_IN_METHOD_ACTIVATION, pb.SIGN_IN_OUTCOME_BAD_CODE
                )
                return refusal
            rows.change_activation(connection, replace(row, state=int(state)))
            self._desks.proofs.add(
                connection,
                row.account_id,
                personal.phone,
                method=Method.CODE,
                evidence_id=row.challenge_id,
            )
            return pb.ConfirmActivationPhoneResponse()

        return await self._desks.base.mutations.run(
            request,
            action="accounts.confirm_activation_phone",
            subject=about.path,
            work=work,
        )

    async def Activate(self, request: pb.ActivateRequest, context: Context) -> pb.ActivateResponse:
        # The states are looked at first: a password costs as much as a hundred other calls.
        await self._desks.write(lambda connection: self._check_ready(connection, request))
        password = await self._desks.passwords.hash(request.new_password, source=CALL.get().source)

        def work(connection: Connection) -> pb.ActivateResponse:
            row, _ = self._open(connection, request.activation_token)
            state = ACTIVATION.after(ActivationState(row.state), ActivationEvent.ACTIVATE)
            account = self._desks.accounts.advance(connection, row.account_id, Event.ACTIVATE)
            rows.change_activation(connection, replace(row, state=int(state)))
            rows.put_credential(connection, CredentialRow(row.account_id, password, self._desks.now_us))
            session = self._desks.begin(connection, row.account_id, pb.SIGN_IN_METHOD_ACTIVATION)
            return pb.ActivateResponse(account=self._desks.show(connection, account), session=session)

        return await self._desks.base.mutations.run(
            request,
            action="accounts.activate",
            subject=lambda answer: path_of(answer.account.account_id),
            work=work,
        )

    def _begin(self, connection: Connection, account_id: str) -> tuple[str, ActivationRow]:
        token = encode_token(TOKEN_PREFIX, self._desks.base.sources.random_bytes(SECRET_BYTES))
        row = ActivationRow(
            self._desks.base.sources.uuid7(),
            account_id,
            token_sha256(token),
            ActivationState.STARTED,
            challenge_id="",
            mismatches=0,
            expires_us=self._desks.now_us + LIFETIME // timedelta(microseconds=1),
        )
        rows.add_activation(connection, row)
        return token, row

    def _open(self, connection: Connection, token: str) -> tuple[ActivationRow, Personal]:
        """The activation of a token that counts, locked, and what is personal of its account."""
        row = None
        if is_token(TOKEN_PREFIX, token):
            row = rows.lock_activation(connection, token_sha256(token))
        if row is None or row.expires_us <= self._desks.now_us or row.state == ActivationState.ENDED:
            raise ServiceError(Reason.ACTIVATION_REFUSED, "This activation is unknown, or its time is over.")
        return row, self._desks.accounts.personal(connection, row.account_id)

    def _mismatch(self, connection: Connection, row: ActivationRow) -> ServiceError:
        self._finder.count(connection)
        ACTIVATION.after(ActivationState(row.state), ActivationEvent.SEND_CODE)
        row = replace(row, mismatches=row.mismatches + 1)
        if row.mismatches >= MISMATCHES:
            row = replace(row, state=int(ACTIVATION.after(ActivationState(row.state), ActivationEvent.END)))
        rows.change_activation(connection, row)
        return ServiceError(
            Reason.ACTIVATION_PHONE_MISMATCH,
            "This is not the telephone number of the account.",
            {"tries_left": str(MISMATCHES - row.mismatches)},
        )

    def _check_ready(self, connection: Connection, request: pb.ActivateRequest) -> None:
        row, personal = self._open(connection, request.activation_token)
        if row.state != ActivationState.DONE:  # a request that is repeated is answered as before
            ACTIVATION.after(ActivationState(row.state), ActivationEvent.ACTIVATE)
        values = (getattr(personal, name) for name in TEXTS)
        check_password(request.new_password, values, path="new_password")
