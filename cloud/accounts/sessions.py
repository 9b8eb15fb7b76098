"""Who is signed in: sessions of the holders of accounts.

A token has 256 random bits; the database keeps its digest. A session ends when its holder says so, half an
hour after it was last used, at the end of its longest life, and when the account is locked or ended or its
password changes. What was found is kept for a second, so that somebody who asks often costs one look-up in
that time. Who ends sessions says so here first, within the transaction: from then on, for longer than a
transaction lasts, the account's sessions are looked up each time. So on one server an ended session is
refused at once; other servers notice within that second.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from cloud.access.call import Call, Caller, Kind
from cloud.access.callers import SESSION_PREFIX
from cloud.access.rates import address_of
from cloud.devices.tokens import SECRET_BYTES, encode_token, is_token, token_sha256
from cloud.errors import Reason, ServiceError
from cloud.persons import Persons
from cloud.privacy.sealing import Place, SealKey
from cloud.rulebook.editions import find
from cloud.rulebook.kinds import RuleKind
from cloud.sources import Sources, from_us, to_us
from cloud.store import account_sessions as rows
from cloud.store.account_sessions import SessionRow
from cloud.store.database import Store

IDLE = timedelta(minutes=30)
"""A kiosk that somebody walked away from, and a telephone in a pocket."""

SEEN_EVERY = timedelta(minutes=1)
"""How exactly the last use is known: a write for each call would cost more than the call."""

FRESH = timedelta(minutes=10)
"""A sign-in that is older is not enough for changes that others could do harm with."""

CACHED_S = 1.0
UNCACHED_S = 120.0
"""After sessions were ended: longer than a call, and so a transaction, may last."""

MAX_CACHED = 20_000
MIN_SWEPT = 1000
"""Accounts whose sessions ended, from which on those of long ago are let go."""

_SOURCE = "source"
_SEEN_EVERY_US = SEEN_EVERY // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Begun:
    """A session that begins with the transaction; ``token`` is a secret."""

    token: str
    expires_us: int

    def __repr__(self) -> str:
        return "Begun()"


@dataclass(frozen=True, slots=True)
class _Known:
    session: SessionRow
    until: float


class Sessions:
    """``clock``: seconds of a clock that never jumps. Any thread may use it."""

    def __init__(
        self,
        store: Store,
        persons: Persons,
        sources: Sources,
        *,
        clock: Callable[[], float] = time.monotonic,
        cached_s: float = CACHED_S,
    ) -> None:
        self._store = store
        self._persons = persons
        self._sources = sources
        self._clock = clock
        self._cached_s = cached_s
        self._known: dict[bytes, _Known] = {}
        self._ended: dict[str, float] = {}
        self._swept_at = MIN_SWEPT
        self._mutex = threading.Lock()

    async def find(self, token: str) -> Caller:
        """Whose token this is.

        Raises:
            ServiceError: SESSION_REFUSED: unknown, ended, or too old.
        """
        if not is_token(SESSION_PREFIX, token):
            raise _refused()
        digest = token_sha256(token)
        known = self._known.get(digest)
        now = self._clock()
        if known is None or not self._is_good(known, now):
            session = await self._look_up(digest)
            self._keep(digest, session, now)
        else:
            session = known.session
        check_session(session, to_us(self._sources.now()))
        return Caller(
            Kind.ACCOUNT,
            session.account_id,
            valid_until=from_us(session.expires_us),
            proven=from_us(session.proven_us),
        )

    def forget(self, account_id: str) -> None:
        """Sessions of this account end with the transaction that runs: trust no memory of them."""
        now = self._clock()
        with self._mutex:  # called in the threads of transactions, of which many run at once
            if len(self._ended) >= self._swept_at:
                self._ended = {one: until for one, until in self._ended.items() if until > now}
                self._swept_at = max(MIN_SWEPT, 2 * len(self._ended))
            self._ended[account_id] = now + UNCACHED_S

    def is_ending(self, account_id: str) -> bool:
        """Whether sessions of this account ended lately, so that none is remembered."""
        until = self._ended.get(account_id)
        return until is not None and until > self._clock()

    def begin(
        self, connection: Connection, account_id: str, call: Call, *, key: SealKey | None = None
    ) -> Begun:
        """Begin a session of somebody who has just given a password or a code; ``key``: the account's."""
        now_us = to_us(self._sources.now())
        rules = find(connection, RuleKind.LOGIN, now_us).rules
        token = encode_token(SESSION_PREFIX, self._sources.random_bytes(SECRET_BYTES))
        session_id = self._sources.uuid7()
        row = SessionRow(
            session_id,
            account_id,
            token_sha256(token),
            created_us=now_us,
            proven_us=now_us,
            seen_us=now_us,
            expires_us=now_us + rules.session.ToMicroseconds(),
            ended_us=None,
            device_id=call.device_id,
            source=self.seal_source(
                key or self.key_of(connection, account_id),
                Place("account_sessions", _SOURCE, session_id),
                call,
            ),
        )
        rows.add_session(connection, row)
        return Begun(token, row.expires_us)

    def own(self, connection: Connection, call: Call) -> SessionRow:
        """The session that makes a call, as its row is now: another server may have ended it a moment ago.

        Raises:
            ServiceError: SESSION_REFUSED.
        """
        token = (call.one("authorization") or "").partition(" ")[2].strip()
        session = rows.find_session(connection, token_sha256(token))
        if session is None:
            raise _refused()
        check_session(session, to_us(self._sources.now()))
        return session

    def key_of(self, connection: Connection, account_id: str) -> SealKey:
        """The account's key, for :meth:`begin` and :meth:`seal_source`.

        Raises:
            ServiceError: PERSON_ERASED.
        """
        return self._persons.key_of(connection, account_id)

    def seal_source(self, key: SealKey, place: Place, call: Call) -> bytes | None:
        """The address that a call comes from, sealed; None where a device tells it."""
        if call.device_id:
            return None
        return self._persons.seal_text(key, place, address_of(call.peer)[:64])

    def open_source(
        self, connection: Connection, account_id: str, table: str, row: str, sealed: bytes | None
    ) -> str:
        """What :meth:`seal_source` sealed; empty for nothing, and where the account was erased."""
        key = self._persons.keys_of(connection, [account_id]).get(account_id)
        return self._persons.open_text(key, Place(table, _SOURCE, row), sealed)

    def _is_good(self, known: _Known, now: float) -> bool:
        unseen_us = to_us(self._sources.now()) - known.session.seen_us
        if self.is_ending(known.session.account_id):
            return False
        return known.until > now and unseen_us <= _SEEN_EVERY_US

    async def _look_up(self, digest: bytes) -> SessionRow:
        session = await self._store.glance(rows.SESSION, digest)
        if session is None:
            raise _refused()
        now_us = to_us(self._sources.now())
        check_session(session, now_us)
        if now_us - session.seen_us > _SEEN_EVERY_US:
            await asyncio.to_thread(
                self._store.run,
                lambda connection: rows.see_session(connection, session.session_id, seen_us=now_us),
            )
        return session

    def _keep(self, digest: bytes, session: SessionRow, now: float) -> None:
        if self.is_ending(session.account_id):
            return
        if len(self._known) >= MAX_CACHED:
            self._known.clear()
        self._known[digest] = _Known(session, now + self._cached_s)


def check_session(session: SessionRow, now_us: int) -> None:
    """Check that a session counts.

    Raises:
        ServiceError: SESSION_REFUSED.
    """
    idle = now_us - session.seen_us >= IDLE // timedelta(microseconds=1)
    if session.ended_us is not None or now_us >= session.expires_us or idle:
        raise _refused()


def _refused() -> ServiceError:
    return ServiceError(Reason.SESSION_REFUSED, "Nobody is signed in with this token.")
