"""Another password: by the old one, or by a code that reaches the account's telephone."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from sqlalchemy import Connection

from cloud.access.call import CALL
from cloud.accounts.base import Context, Desks, holder, path_of
from cloud.accounts.passwords import check_password
from cloud.accounts.personal import TEXTS
from cloud.accounts.sign_in import Finder, SigningIn, refusal_of_state
from cloud.accounts.states import State
from cloud.codes.values import Purpose
from cloud.errors import Reason, ServiceError
from cloud.store import account_sessions as rows
from cloud.store.account_sessions import CredentialRow
from cloud.store.accounts import AccountRow
from verifield.v1 import account_service_pb2 as pb


class PasswordChanges:
    """ChangePassword, StartPasswordReset, ResetPassword."""

    def __init__(self, desks: Desks, finder: Finder, signing_in: SigningIn) -> None:
        self._desks = desks
        self._finder = finder
        self._signing_in = signing_in

    async def ChangePassword(
        self, request: pb.ChangePasswordRequest, context: Context
    ) -> pb.ChangePasswordResponse:
        account_id, call = holder(), CALL.get()
        credential, rules = await self._desks.read(
            lambda connection: (
                rows.get_credential(connection, account_id),
                self._finder.rules(connection),
            )
        )
        proof = await self._signing_in.prove(credential, request.old_password)
        await self._check_new(account_id, request.new_password)
        password = ""
        if proof.right:
            password = await self._desks.passwords.hash(request.new_password, source=call.source)

        def work(connection: Connection) -> pb.ChangePasswordResponse | ServiceError:
            account = self._desks.accounts.find(connection, account_id, lock=True)
            own = self._desks.sessions.own(connection, call)
            refusal = self._signing_in.judge(connection, account, proof, rules)
            if refusal is not None:
                return refusal
            rows.put_credential(connection, CredentialRow(account_id, password, self._desks.now_us))
            self._desks.accounts.end_sessions(connection, account_id, besides=own.session_id)
            return pb.ChangePasswordResponse()

        return await self._desks.base.mutations.run(
            request, action="accounts.change_password", subject=path_of(account_id), work=work
        )

    async def StartPasswordReset(
        self, request: pb.StartPasswordResetRequest, context: Context
    ) -> pb.StartPasswordResetResponse:
        account, source = await self._find(request.identifier), CALL.get().source

        def work(connection: Connection) -> pb.StartPasswordResetResponse:
            contact = self._desks.accounts.contact(connection, account.account_id)
            sent = self._desks.codes.send(
                connection,
                phone=contact.phone,
                purpose=Purpose.RESET_PASSWORD,
                bound=account.account_id.encode(),
                person_id=account.account_id,
                source=source,
                language=contact.language,
            )
            answer = pb.StartPasswordResetResponse(challenge_id=sent.challenge_id, phone=sent.masked_phone)
            answer.expire_time.FromDatetime(sent.expire_time)
            return answer

        return await self._desks.base.mutations.run(
            request,
            action="accounts.start_password_reset",
            subject=path_of(account.account_id),
            work=work,
        )

    async def ResetPassword(
        self, request: pb.ResetPasswordRequest, context: Context
    ) -> pb.ResetPasswordResponse:
        account = await self._find(request.identifier)
        account_id = account.account_id
        await self._check_new(account_id, request.new_password)
        challenge_id, password = request.challenge_id.lower(), ""
        # Nobody has passwords worked out for codes that nobody awaits.
        if await self._desks.read(lambda one: self._desks.codes.awaits(one, challenge_id, account_id)):
            password = await self._desks.passwords.hash(request.new_password, source=CALL.get().source)

        def work(connection: Connection) -> pb.ResetPasswordResponse | ServiceError:
            locked = self._desks.accounts.find(connection, account_id, lock=True)
            refusal = _refusal(locked.state) or self._desks.codes.verify(
                connection,
                challenge_id,
                request.code,
                purpose=Purpose.RESET_PASSWORD,
                bound=account_id.encode(),
                phone=self._desks.accounts.contact(connection, account_id).phone,
                person_id=account_id,
            )
            if refusal is not None:
                self._desks.note(connection, account_id, pb.SIGN_IN_METHOD_RESET, pb.SIGN_IN_OUTCOME_BAD_CODE)
                return refusal
            if not password:
                raise ServiceError(Reason.CODE_EXPIRED, "The code was not awaited a moment ago.")
            self._desks.note(connection, account_id, pb.SIGN_IN_METHOD_RESET, pb.SIGN_IN_OUTCOME_DONE)
            rows.put_credential(connection, CredentialRow(account_id, password, self._desks.now_us))
            ended = self._desks.accounts.end_sessions(connection, account_id)
            return pb.ResetPasswordResponse(ended_sessions=ended)

        return await self._desks.base.mutations.run(
            request, action="accounts.reset_password", subject=path_of(account_id), work=work
        )

    async def _find(self, identifier: str) -> AccountRow:
        """Whose password may be reset by a code.

        Raises:
            ServiceError: LOGIN_USER_NOT_FOUND, TOO_MANY_LOOKUPS, ACTIVATION_REQUIRED, ACCOUNT_LOCKED,
                ACCOUNT_NOT_ACTIVE.
        """
        found = await self._finder.find(identifier)
        refusal = _refusal(found.account.state) if found.account else None
        if found.account is None or refusal is not None:
            raise refusal or ServiceError(Reason.INTERNAL, "An account that nobody has was found.")
        return found.account

    async def _check_new(self, account_id: str, password: str) -> None:
        personal = await self._desks.read(
            lambda connection: self._desks.accounts.personal(connection, account_id)
        )
        check_password(password, (getattr(personal, name) for name in TEXTS), path="new_password")


def _refusal(state: int) -> ServiceError | None:
    """Why a code does not open an account of this state: of a draft, nobody has verified the number."""
    if state == State.DRAFT:
        return ServiceError(
            Reason.ACCOUNT_NOT_ACTIVE, "The telephone number was not verified.", {"state": State.DRAFT.name}
        )
    return refusal_of_state(state)
