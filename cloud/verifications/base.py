"""What the parts of IdentityService stand on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from sqlalchemy import Connection

from cloud.authorities.bundle import Authorities
from cloud.authorities.port import AuthorityFault
from cloud.errors import ServiceError
from cloud.serving import Base
from cloud.store.verifications import VerificationRow
from cloud.verifications.ctid import CtidDesk
from cloud.verifications.desk import Verifications
from cloud.verifications.ledger import Ledger
from cloud.verifications.online import Online
from cloud.verifications.people import Staff
from cloud.verifications.sites import Sites

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Desks:
    """What is below this room, and its own desks."""

    base: Base
    authorities: Authorities
    verifications: Verifications
    online: Online
    ctid: CtidDesk
    ledger: Ledger
    staff: Staff
    sites: Sites

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Do ``work`` in one view of the database."""

        def run() -> T:
            with self.base.store.reading() as connection:
                return work(connection)

        return await asyncio.to_thread(run)

    async def begin(self, work: Callable[[Connection], T]) -> T:
        """Do ``work`` in one transaction before an authority is asked; the audit chain is told later."""
        return await asyncio.to_thread(self.base.store.run, work)


def path_of(account_id: str) -> str:
    """As the audit chain names an account."""
    return f"accounts/{account_id}"


def answered(ended: VerificationRow | ServiceError, make: Callable[[VerificationRow], T]) -> T | ServiceError:
    """What is made of an attempt; an error goes on as it is, to be told once it is committed."""
    return ended if isinstance(ended, ServiceError) else make(ended)


async def ask(question: Callable[[], Awaitable[T]]) -> T | AuthorityFault:
    """Put a question to an authority; that it gave no answer is an answer too."""
    try:
        return await question()
    except AuthorityFault as fault:
        return fault
