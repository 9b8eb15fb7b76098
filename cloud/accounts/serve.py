"""What this room serves, and what it does by itself."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from cloud.accounts.base import Desks
from cloud.accounts.desk import Accounts
from cloud.accounts.diagnostics import DiagnosticsService
from cloud.accounts.passwords import Cost, Passwords
from cloud.accounts.service import AccountService
from cloud.accounts.sessions import Sessions
from cloud.accounts.states import UNFINISHED, State
from cloud.codes.binding import PhoneBinding
from cloud.codes.desk import Codes
from cloud.codes.proofs import Proofs
from cloud.config import Config
from cloud.objects.store import Objects
from cloud.serving import Base, Served, served
from cloud.sources import to_us
from cloud.store import account_sessions, diagnostics
from cloud.store import accounts as rows
from cloud.upkeep import Job
from verifield.v1 import (
    account_service_pb2,
    account_service_pb2_grpc,
    diagnostics_service_pb2,
    diagnostics_service_pb2_grpc,
)
from verifield.v1.account_service_pb2 import (
    DEREGISTRATION_REASON_ERASED,
    DEREGISTRATION_REASON_NOT_FINISHED,
)

DRAFT_LIVES = timedelta(days=1)
"""Of a registration whose number nobody verified: an id number of somebody else is not taken for longer. One
that the information centre has a ticket about waits as the others do."""

UNFINISHED_LIVES = timedelta(days=30)
"""Of one that waits for the registry, for a window, or for the information centre."""

SESSIONS_KEPT = timedelta(days=30)
"""After their end, for whoever looks into an incident."""

DIAGNOSTICS_KEPT = timedelta(days=90)

SWEEP_EVERY_S = 300.0
SWEPT_AT_ONCE = 200


def services(
    base: Base,
    config: Config,
    *,
    accounts: Accounts,
    sessions: Sessions,
    codes: Codes,
    objects: Objects,
    binding: PhoneBinding,
) -> list[Served]:
    """AccountService and DiagnosticsService."""
    cost = Cost(config.password_memory_kib, config.password_passes, config.password_lanes)
    passwords = Passwords(cost, threads=config.password_threads)
    proofs = Proofs(base.persons, base.sources)
    desks = Desks(base, accounts, sessions, passwords, codes, objects, binding, proofs)
    return [
        served(
            account_service_pb2,
            account_service_pb2_grpc.add_AccountServiceServicer_to_server,
            AccountService(desks),
        ),
        served(
            diagnostics_service_pb2,
            diagnostics_service_pb2_grpc.add_DiagnosticsServiceServicer_to_server,
            DiagnosticsService(base),
        ),
    ]


def jobs(base: Base, accounts: Accounts) -> list[Job]:
    """Registrations that nobody goes on with end; what is of no more use goes."""

    def expire(connection: Connection) -> int:
        now = base.sources.now()
        drafts = rows.list_stale(
            connection,
            states=[State.DRAFT],
            before_us=to_us(now - DRAFT_LIVES),
            waiting=False,
            limit=SWEPT_AT_ONCE,
        )
        others = rows.list_stale(
            connection,
            states=sorted(UNFINISHED),
            before_us=to_us(now - UNFINISHED_LIVES),
            waiting=True,
            limit=SWEPT_AT_ONCE,
        )
        found = {row.account_id for row in (*drafts, *others)}
        for account_id in sorted(found):
            accounts.deregister(connection, account_id, DEREGISTRATION_REASON_NOT_FINISHED)
        return len(found)

    def end_erased(connection: Connection) -> int:
        found = rows.list_erased(connection, limit=SWEPT_AT_ONCE)
        for row in found:
            accounts.deregister(connection, row.account_id, DEREGISTRATION_REASON_ERASED)
        return len(found)

    def sweep(connection: Connection) -> int:
        now = base.sources.now()
        now_us = to_us(now)
        gone = account_sessions.drop_sessions(
            connection, before_us=to_us(now - SESSIONS_KEPT), limit=SWEPT_AT_ONCE
        )
        gone += account_sessions.drop_lookups(connection, before_us=to_us(now - timedelta(hours=1)))
        gone += account_sessions.drop_activations(connection, before_us=now_us)
        return gone + diagnostics.drop_old(connection, before_us=to_us(now - DIAGNOSTICS_KEPT))

    return [
        Job("unfinished_accounts", lambda: base.store.run(expire), SWEEP_EVERY_S, full=SWEPT_AT_ONCE),
        Job("erased_accounts", lambda: base.store.run(end_erased), SWEEP_EVERY_S, full=SWEPT_AT_ONCE),
        Job("accounts_sweep", lambda: base.store.run(sweep), SWEEP_EVERY_S, full=SWEPT_AT_ONCE),
    ]
