"""Signing in, and the sessions that this gives.

1  the source may still ask (TOO_MANY_LOOKUPS); who has the identifier? nobody: LOGIN_USER_NOT_FOUND, counted
2  the account's state lets its holder in (ACTIVATION_REQUIRED, ACCOUNT_LOCKED), whatever the password
3  a password may be tried now (PASSWORD_LOCKED, PASSWORD_TOO_SOON)
4  the password is worked out, outside of any transaction
5  behind the locks of account and password, 2 and 3 once more; then the outcome is written, and told
"""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from sqlalchemy import Connection

from cloud.access.call import CALL
from cloud.accounts.base import Context, Desks, holder, path_of
from cloud.accounts.lookups import Lookups
from cloud.accounts.sessions import IDLE
from cloud.accounts.states import MAY_SIGN_IN, State
from cloud.accounts.tries import after_right, after_wrong, bad_password, check_may_try
from cloud.accounts.views import next_step
from cloud.errors import Reason, ServiceError
from cloud.paging import encode_page_token, page_size, parse_page_token
from cloud.rulebook.editions import find
from cloud.rulebook.kinds import RuleKind
from cloud.store import account_sessions as rows
from cloud.store.account_sessions import CredentialRow, SignInRow
from cloud.store.accounts import AccountRow
from verifield.v1 import account_service_pb2 as pb
from verifield.v1.rulebook_pb2 import LoginRules

MAX_LISTED = 100
"""Sessions of one account that are shown."""

REMEDIES = "CONFIRM_REGISTERED,CHECK_IDENTIFIER_KIND,USE_ID_NUMBER"
"""What to do where nobody has an identifier, in this order; for machines."""

_IDLE_US = int(IDLE.total_seconds() * 1e6)
_PASSWORD = pb.SIGN_IN_METHOD_PASSWORD


@dataclass(frozen=True, slots=True)
class Found:
    """Who has an identifier, as step 1 saw it."""

    account: AccountRow | None
    credential: CredentialRow | None
    rules: LoginRules


class Finder:
    """Step 1, for all who look up an identifier."""

    def __init__(self, desks: Desks) -> None:
        self._desks = desks
        self._lookups = Lookups(desks.base.authority.renewal_secret)

    async def find(self, identifier: str) -> Found:
        """Who has an identifier.

        Raises:
            ServiceError: TOO_MANY_LOOKUPS, LOGIN_USER_NOT_FOUND.
        """
        source = CALL.get().source
        found = await self._desks.read(lambda connection: self._look(connection, source, identifier))
        if found.account is None:
            await self._desks.write(self.unknown)
        return found

    def unknown(self, connection: Connection) -> ServiceError:
        """Count that nobody has what was asked for, and return what is told of it.

        Raises:
            ServiceError: TOO_MANY_LOOKUPS.
        """
        self.count(connection)
        return ServiceError(
            Reason.LOGIN_USER_NOT_FOUND,
            "The user does not exist: what was entered is not accurate.",
            {"remedies": REMEDIES},
        )

    def count(self, connection: Connection) -> None:
        """Count an answer that tells whether somebody has an account.

        Raises:
            ServiceError: TOO_MANY_LOOKUPS.
        """
        limit = self.rules(connection).unknown_per_minute
        self._lookups.note(connection, CALL.get().source, limit=limit, clock=lambda: self._desks.now_us)

    def check(self, connection: Connection) -> None:
        """Refuse a source that was wrong too often.

        Raises:
            ServiceError: TOO_MANY_LOOKUPS.
        """
        limit, now_us = self.rules(connection).unknown_per_minute, self._desks.now_us
        self._lookups.check(connection, CALL.get().source, limit=limit, now_us=now_us)

    def rules(self, connection: Connection) -> LoginRules:
        """Those in effect."""
        return find(connection, RuleKind.LOGIN, self._desks.now_us).rules

    def _look(self, connection: Connection, source: str, identifier: str) -> Found:
        rules = self.rules(connection)
        self._lookups.check(connection, source, limit=rules.unknown_per_minute, now_us=self._desks.now_us)
        account = self._desks.accounts.find_by_identifier(connection, identifier)
        credential = rows.get_credential(connection, account.account_id) if account else None
        return Found(account, credential, rules)


class SigningIn:
    """Login, and the calls about sessions."""

    def __init__(self, desks: Desks, finder: Finder) -> None:
        self._desks = desks
        self._finder = finder

    async def Login(self, request: pb.LoginRequest, context: Context) -> pb.LoginResponse:
        found = await self._finder.find(request.identifier)  # step 1
        account = found.account
        if account is None:
            raise ServiceError(Reason.INTERNAL, "An account that nobody has was found.")
        await self._refuse_state(account)  # step 2
        if found.credential is not None:
            await self._refuse_time(account, found.credential)  # step 3
        proof = await self.prove(found.credential, request.password)  # step 4

        def work(connection: Connection) -> pb.LoginResponse | ServiceError:  # step 5
            locked = self._desks.accounts.find(connection, account.account_id, lock=True)
            refusal = refusal_of_state(locked.state) or self.judge(connection, locked, proof, found.rules)
            if refusal is not None:
                return refusal
            return pb.LoginResponse(
                session=self._desks.begin(connection, locked.account_id, _PASSWORD),
                account_id=locked.account_id,
                state=cast("pb.AccountState.ValueType", locked.state),
                next_step=next_step(locked.state),
            )

        return await self._desks.write(work)

    async def prove(self, credential: CredentialRow | None, password: str) -> Proof:
        """Step 4: compare a password with the one that is kept; make it anew where its cost has changed."""
        if credential is None:
            return Proof("", right=False, fresh=None)
        source = CALL.get().source
        right = await self._desks.passwords.verify(credential.password, password, source=source)
        fresh = None
        if right and self._desks.passwords.is_old(credential.password):
            fresh = await self._desks.passwords.hash(password, source=source)
        return Proof(credential.password, right=right, fresh=fresh)

    def judge(
        self, connection: Connection, account: AccountRow, proof: Proof, rules: LoginRules
    ) -> ServiceError | None:
        """Step 5: what a proof counts now, with the account's row locked; a refusal is to be committed."""
        now_us = self._desks.now_us
        row = rows.get_credential(connection, account.account_id, lock=True)
        if row is None or row.password != proof.against:
            # It was changed while this one was worked out, or there is none: nothing is told of it.
            return ServiceError(Reason.PASSWORD_TOO_SOON, "The password is being changed.")
        try:
            check_may_try(row, now_us)
        except ServiceError as refusal:
            self._desks.note(connection, account.account_id, _PASSWORD, pb.SIGN_IN_OUTCOME_TOO_SOON)
            return refusal
        if not proof.right:
            row = after_wrong(row, rules, now_us)
            rows.put_credential(connection, row)
            self._desks.note(connection, account.account_id, _PASSWORD, pb.SIGN_IN_OUTCOME_BAD_PASSWORD)
            return bad_password(row, rules)
        better = after_right(replace(row, password=proof.fresh or row.password))
        if better != row:
            rows.put_credential(connection, better)
        return None

    async def SignOut(self, request: pb.SignOutRequest, context: Context) -> pb.SignOutResponse:
        call = CALL.get()

        def work(connection: Connection) -> pb.SignOutResponse:
            own = self._desks.sessions.own(connection, call)
            self._desks.accounts.end_session(connection, own.account_id, own.session_id)
            return pb.SignOutResponse()

        return await self._desks.write(work)

    async def ListSessions(
        self, request: pb.ListSessionsRequest, context: Context
    ) -> pb.ListSessionsResponse:
        call, account_id, now_us = CALL.get(), holder(), self._desks.now_us

        def read(connection: Connection) -> pb.ListSessionsResponse:
            own = self._desks.sessions.own(connection, call)
            found = rows.open_sessions(
                connection, account_id, now_us=now_us, seen_after_us=now_us - _IDLE_US, limit=MAX_LISTED
            )
            return pb.ListSessionsResponse(
                sessions=[self._session(connection, one, own.session_id) for one in found]
            )

        return await self._desks.read(read)

    async def EndSession(self, request: pb.EndSessionRequest, context: Context) -> pb.EndSessionResponse:
        call, account_id = CALL.get(), holder()

        def work(connection: Connection) -> pb.EndSessionResponse:
            accounts = self._desks.accounts
            if request.WhichOneof("which") == "all_others":
                own = self._desks.sessions.own(connection, call)
                ended = accounts.end_sessions(connection, account_id, besides=own.session_id)
                return pb.EndSessionResponse(ended=ended)
            if not accounts.end_session(connection, account_id, request.session_id):
                raise ServiceError(Reason.SESSION_NOT_FOUND, "There is no such session that has not ended.")
            return pb.EndSessionResponse(ended=1)

        return await self._desks.base.mutations.run(
            request, action="accounts.end_session", subject=path_of(account_id), work=work
        )

    async def ListOwnSignIns(
        self, request: pb.ListOwnSignInsRequest, context: Context
    ) -> pb.ListOwnSignInsResponse:
        account_id = holder()
        found, token = await self._desks.read(
            lambda connection: page_of_sign_ins(connection, self._desks, account_id, request)
        )
        return pb.ListOwnSignInsResponse(sign_ins=found, next_page_token=token)

    async def _refuse_state(self, account: AccountRow) -> None:
        refusal = refusal_of_state(account.state)
        if refusal is None:
            return
        inactive = account.state == State.SYNCED_INACTIVE
        outcome = pb.SIGN_IN_OUTCOME_NOT_ACTIVATED if inactive else pb.SIGN_IN_OUTCOME_LOCKED
        await self._note(account.account_id, outcome)
        raise refusal

    async def _refuse_time(self, account: AccountRow, credential: CredentialRow) -> None:
        try:
            check_may_try(credential, self._desks.now_us)
        except ServiceError:
            await self._note(account.account_id, pb.SIGN_IN_OUTCOME_TOO_SOON)
            raise

    async def _note(self, account_id: str, outcome: pb.SignInOutcome.ValueType) -> None:
        await self._desks.write(
            lambda connection: self._desks.note(connection, account_id, _PASSWORD, outcome)
        )

    def _session(self, connection: Connection, row: rows.SessionRow, own_id: str) -> pb.AccountSession:
        address = self._desks.sessions.open_source(
            connection, row.account_id, "account_sessions", row.session_id, row.source
        )
        message = pb.AccountSession(
            session_id=row.session_id,
            device_id=row.device_id,
            address=address,
            current=row.session_id == own_id,
        )
        message.create_time.FromMicroseconds(row.created_us)
        message.seen_time.FromMicroseconds(row.seen_us)
        message.expire_time.FromMicroseconds(row.expires_us)
        return message


@dataclass(frozen=True, slots=True)
class Proof:
    """A password, compared with ``against``; ``fresh``: it anew, at today's cost."""

    against: str
    right: bool
    fresh: str | None

    def __repr__(self) -> str:
        return "Proof()"


def refusal_of_state(state: int) -> ServiceError | None:
    """Why nobody signs in to an account of this state; None where its holder may."""
    if state in MAY_SIGN_IN:
        return None
    if state == State.SYNCED_INACTIVE:
        return ServiceError(
            Reason.ACTIVATION_REQUIRED, "This account has to be activated first.", {"next_step": "ACTIVATE"}
        )
    if state == State.LOCKED:
        return ServiceError(Reason.ACCOUNT_LOCKED, "This account is locked.")
    return ServiceError(
        Reason.LOGIN_USER_NOT_FOUND, "The user does not exist any more.", {"remedies": REMEDIES}
    )


def page_of_sign_ins(
    connection: Connection,
    desks: Desks,
    account_id: str,
    request: pb.ListOwnSignInsRequest | pb.ListSignInsRequest,
) -> tuple[list[pb.SignIn], str]:
    """One page of an account's history, and the token of the next.

    Raises:
        ServiceError: PAGE_TOKEN_INVALID.
    """
    asked, size = f"sign-ins {account_id}", page_size(request.page_size)
    behind = parse_page_token(request.page_token, filters=asked)
    found = rows.list_sign_ins(connection, account_id, behind=behind, limit=size + 1)
    token = encode_page_token(found[size - 1].sign_in_id, filters=asked) if len(found) > size else ""
    return [_sign_in(connection, desks, row) for row in found[:size]], token


def _sign_in(connection: Connection, desks: Desks, row: SignInRow) -> pb.SignIn:
    address = desks.sessions.open_source(
        connection, row.account_id, "account_sign_ins", row.sign_in_id, row.source
    )
    message = pb.SignIn(
        sign_in_id=row.sign_in_id,
        method=cast("pb.SignInMethod.ValueType", row.method),
        outcome=cast("pb.SignInOutcome.ValueType", row.outcome),
        device_id=row.device_id,
        address=address,
    )
    message.time.FromMicroseconds(row.time_us)
    return message
