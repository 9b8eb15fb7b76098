"""What is asked of the authority: outside of transactions, and not twice where a server falls over.

1  claim: the session may take this step, nobody else asks for it, and what is asked has an id of its own
2  ask; the id goes with every question, so that one that is put again is not charged again
3  record: the answer, the next state and the audit, in one transaction

Where a server ends between 1 and 3, the session stands where it stood: the device hands in the same again,
which goes on with the same id once the claim is over. Each question is told in the audit chain with its
mode and how long it took, also where no answer came.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection

from cloud.access.call import CALL, caller_of_call
from cloud.audit import chain
from cloud.authorities.port import AuthorityFault, Bank, BankQuery, BankRecord, BankVerdict, ItemResult
from cloud.bank.sessions import Sessions, name_of
from cloud.bank.states import Event
from cloud.errors import Reason, ServiceError
from cloud.store import bank as rows
from cloud.store.bank import SessionRow
from cloud.store.database import Store

SPARE = timedelta(seconds=20)
"""Beyond the time that the two questions of a step may take: for what is written before and behind them."""

ACTION = "coop.authority_call"

ABANDONED = "ABANDONED"
"""The outcome of a question whose asker did not wait for the answer."""

R = TypeVar("R", BankVerdict, BankRecord)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, for the audit chain. ``outcome``: a word without anything personal."""

    mode: str
    seconds: float
    tries: int
    outcome: str


@dataclass(frozen=True, slots=True)
class Claim:
    """``row``: the session as it was claimed, with the id of what is asked."""

    row: SessionRow
    asked: list[Asked] = field(default_factory=list)

    def key(self, mode: str) -> str:
        """The id of one question: the same whenever it is put again."""
        return str(uuid.uuid5(uuid.UUID(self.row.check_id or ""), mode))


class Questions:
    """Claims, asks, and tells of it. ``budget``: the longest that one question may take, with its tries."""

    def __init__(self, store: Store, sessions: Sessions, bank: Bank, *, budget: timedelta) -> None:
        self._claimed_us = (2 * budget + SPARE) // timedelta(microseconds=1)
        self._store = store
        self._sessions = sessions
        self._bank = bank

    def claim(self, connection: Connection, row: SessionRow, digest: bytes) -> Claim:
        """Step 1, of a session that was taken; ``digest``: of what the device handed in.

        Raises:
            ServiceError: COOP_CHECK_RUNNING.
        """
        now_us = self._sessions.now_us
        if now_us < row.check_until_us:
            raise _running()
        known = row.check_id if row.check_input == digest else None
        chance = self._sessions.sources.random_bytes(16)
        claimed = replace(
            row,
            check_id=known or str(uuid.UUID(bytes=chance, version=4)),
            check_input=digest,
            check_until_us=now_us + self._claimed_us,
        )
        return Claim(rows.change_session(connection, claimed))

    @asynccontextmanager
    async def asking(self, claim: Claim) -> AsyncIterator[None]:
        """Around steps 2 and 3: where they fail, the claim is let go, and what was asked is told."""
        try:
            yield
        except BaseException:
            await asyncio.shield(asyncio.to_thread(self._store.run, partial(self._release, claim)))
            raise

    async def query(self, claim: Claim, id_number: str) -> BankRecord:
        """Mode QUERY, by the number alone: whether the name agrees is for VERIFY to say.

        Raises:
            AuthorityFault: no answer was got.
        """
        question = self._bank.query(id_number, request_id=claim.key("QUERY"))
        record = await _timed(claim, "QUERY", question)
        claim.asked.append(
            Asked("QUERY", record.seconds, record.tries, "FOUND" if record.found else "MISSING")
        )
        return record

    async def verify(self, claim: Claim, query: BankQuery) -> BankVerdict:
        """Mode VERIFY.

        Raises:
            AuthorityFault: no answer was got.
        """
        verdict = await _timed(claim, "VERIFY", self._bank.verify(query, request_id=claim.key("VERIFY")))
        outcome = _worst(item.result for item in verdict.items)
        claim.asked.append(Asked("VERIFY", verdict.seconds, verdict.tries, outcome))
        return verdict

    def resume(self, connection: Connection, claim: Claim, event: Event) -> SessionRow:
        """Step 3: the session as it was claimed, taken, with the audit of what was asked.

        Raises:
            ServiceError: COOP_CHECK_RUNNING, where it took so long that another call took over.
        """
        row = self._sessions.take(connection, claim.row.session_id, event, device_id=claim.row.device_id)
        if row.version != claim.row.version:
            raise _running()
        self._tell(connection, claim)
        return replace(row, check_id=None, check_input=None, check_until_us=0)

    def _release(self, claim: Claim, connection: Connection) -> None:
        row = rows.get_session(connection, claim.row.session_id, lock=True)
        if row is not None and row.version == claim.row.version:
            rows.change_session(connection, replace(row, check_until_us=0))
        self._tell(connection, claim)

    def _tell(self, connection: Connection, claim: Claim) -> None:
        for one in claim.asked:
            chain.record(
                connection,
                action=ACTION,
                subject=name_of(claim.row.session_id),
                caller=caller_of_call().path,
                request_id=CALL.get().request_id,
                now_us=self._sessions.now_us,
                facts={
                    "mode": one.mode,
                    "latency_ms": str(round(one.seconds * 1000)),
                    "tries": str(one.tries),
                    "outcome": one.outcome,
                    "check": claim.row.check_id or "",
                },
            )


async def _timed(claim: Claim, mode: str, question: Awaitable[R]) -> R:
    clock = asyncio.get_running_loop().time
    started = clock()
    try:
        return await question
    except asyncio.CancelledError:  # who asked went away; the question was on its way all the same
        claim.asked.append(Asked(mode, clock() - started, 1, ABANDONED))
        raise
    except AuthorityFault as fault:
        claim.asked.append(Asked(mode, fault.seconds, fault.tries, fault.kind.value))
        raise


def _worst(results: Iterable[ItemResult]) -> str:
    order = (ItemResult.MISMATCH, ItemResult.UNAVAILABLE, ItemResult.MATCH)
    return min(results, key=order.index).value


def _running() -> ServiceError:
    return ServiceError(Reason.COOP_CHECK_RUNNING, "The authority is being asked for this session.")
