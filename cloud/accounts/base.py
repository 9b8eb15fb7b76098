"""What the parts of AccountService stand on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from sqlalchemy import Connection

from cloud.access.call import CALL, Caller, caller_of_call
from cloud.accounts.desk import Accounts
from cloud.accounts.passwords import Passwords
from cloud.accounts.sessions import FRESH, Begun, Sessions
from cloud.accounts.views import show_account
from cloud.codes.binding import PhoneBinding
from cloud.codes.desk import Codes
from cloud.codes.proofs import Proofs
from cloud.errors import Reason, ServiceError
from cloud.objects.store import Objects
from cloud.privacy.sealing import Place, SealKey
from cloud.serving import Base
from cloud.sources import to_us
from cloud.store import account_sessions
from cloud.store.account_sessions import SignInRow
from cloud.store.accounts import AccountRow
from verifield.v1 import account_service_pb2 as pb

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Desks:
    """What is below this room, and its own desks."""

    base: Base
    accounts: Accounts
    sessions: Sessions
    passwords: Passwords
    codes: Codes
    objects: Objects
    binding: PhoneBinding
    proofs: Proofs

    @property
    def now_us(self) -> int:
        return to_us(self.base.sources.now())

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Do ``work`` in one view of the database."""
        return await self.base.store.look(work)

    async def write(self, work: Callable[[Connection], T | ServiceError]) -> T:
        """Do ``work`` in one transaction without an event of the audit chain: signing in has its own history.

        Raises:
            ServiceError: what ``work`` raises; then nothing was changed. What it returned as an error, once
                that is committed.
        """
        answer = await asyncio.to_thread(self.base.store.run, work)
        if isinstance(answer, ServiceError):
            raise answer
        return answer

    def confirm(self, connection: Connection) -> None:
        """Check behind the transaction's locks that who makes the call is still signed in.

        Raises:
            ServiceError: SESSION_REFUSED.
        """
        self.sessions.own(connection, CALL.get())

    def show(self, connection: Connection, row: AccountRow) -> pb.Account:
        """An account as the contract has it."""
        return show_account(connection, self.accounts, row, self.now_us)

    def begin(
        self, connection: Connection, account_id: str, method: pb.SignInMethod.ValueType
    ) -> pb.SignedIn:
        """Sign in whoever makes the call."""
        key = self.sessions.key_of(connection, account_id)
        self.note(connection, account_id, method, pb.SIGN_IN_OUTCOME_DONE, key=key)
        return to_signed_in(self.sessions.begin(connection, account_id, CALL.get(), key=key))

    def note(
        self,
        connection: Connection,
        account_id: str,
        method: pb.SignInMethod.ValueType,
        outcome: pb.SignInOutcome.ValueType,
        *,
        key: SealKey | None = None,
    ) -> None:
        """Append to the history of an account; ``key``: the account's."""
        call, sign_in_id = CALL.get(), self.base.sources.uuid7()
        source = self.sessions.seal_source(
            key or self.sessions.key_of(connection, account_id),
            Place("account_sign_ins", "source", sign_in_id),
            call,
        )
        row = SignInRow(sign_in_id, account_id, self.now_us, method, outcome, call.device_id, source)
        account_sessions.add_sign_in(connection, row)


def to_signed_in(begun: Begun) -> pb.SignedIn:
    """As the contract has it."""
    message = pb.SignedIn(token=begun.token)
    message.expire_time.FromMicroseconds(begun.expires_us)
    return message


def holder() -> str:
    """The id of the account whose holder makes the call."""
    return caller_of_call().name


def fresh_holder(desks: Desks) -> Caller:
    """Who makes the call, where the sign-in is not older than ten minutes.

    Raises:
        ServiceError: SIGN_IN_TOO_OLD.
    """
    caller = caller_of_call()
    if caller.proven is None or desks.base.sources.now() - caller.proven > FRESH:
        raise ServiceError(Reason.SIGN_IN_TOO_OLD, "The sign-in is older than ten minutes.")
    return caller


def path_of(account_id: str) -> str:
    """As the audit chain names an account."""
    return f"accounts/{account_id}"
