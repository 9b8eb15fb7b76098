"""Rows of one-time codes, of the ledger of text messages, and of proofs of telephone numbers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Row, Select, delete, insert, select, text, update

from cloud.store.messages import before_id
from cloud.store.schema import code_challenges, phone_proofs, send_meters, sms_sends
from cloud.store.values import insert_new, to_values

_LOCK_TRIES = 5
"""A row can be swept away between making and locking it, once in a day at most."""


@dataclass(frozen=True, slots=True)
class SendRow:
    """An accepted send. ``phone``, ``source`` and ``person`` are meters."""

    send_id: str
    phone: bytes
    source: bytes
    person: bytes
    purpose: int
    sent_us: int


@dataclass(frozen=True, slots=True)
class ChallengeRow:
    """``phone``: the meter of the number. ``wrong``: guesses that were."""

    challenge_id: str
    person_id: str
    purpose: int
    state: int
    phone: bytes
    message_id: str
    code_mac: bytes
    wrong: int
    created_us: int
    expires_us: int


@dataclass(frozen=True, slots=True)
class ProofRow:
    """``phone`` is sealed."""

    proof_id: str
    account_id: str
    phone: bytes | None
    method: int
    evidence_id: str
    requested_by: str
    confirmed_by: str
    match: int
    proved_us: int


def lock_meters(connection: Connection, meters: Collection[bytes], *, now_us: int) -> None:
    """Let nobody else send for these meters until the transaction ends.

    Taken in one order, so that two transactions never wait for each other.
    """
    for meter in sorted(set(meters)):
        query = select(send_meters.c.meter).where(send_meters.c.meter == meter).with_for_update()
        for _ in range(_LOCK_TRIES):
            insert_new(connection, send_meters, {"meter": meter, "last_us": now_us})
            if connection.execute(query).first() is not None:
                break
        else:
            raise RuntimeError("a row to lock is deleted again and again")


def add_send(connection: Connection, row: SendRow) -> None:
    """Record an accepted send; its meters are locked."""
    connection.execute(insert(sms_sends).values(**to_values(row)))
    metered = send_meters.c.meter.in_([row.phone, row.source, row.person])
    connection.execute(update(send_meters).where(metered).values(last_us=row.sent_us))


def phone_nth_newest(connection: Connection, meter: bytes, nth: int) -> int | None:
    """When the ``nth`` newest send (from 1) to a number was; None where there were fewer."""
    return _nth_newest(connection, sms_sends.c.phone, meter, nth)


def source_nth_newest(connection: Connection, meter: bytes, nth: int) -> int | None:
    """As :func:`phone_nth_newest`, of those that came from a source."""
    return _nth_newest(connection, sms_sends.c.source, meter, nth)


def person_nth_newest(connection: Connection, meter: bytes, nth: int) -> int | None:
    """As :func:`phone_nth_newest`, of those that a person had sent."""
    return _nth_newest(connection, sms_sends.c.person, meter, nth)


def add_challenge(connection: Connection, row: ChallengeRow) -> None:
    """Insert a challenge."""
    connection.execute(insert(code_challenges).values(**to_values(row)))


def get_challenge(connection: Connection, challenge_id: str, *, lock: bool = False) -> ChallengeRow | None:
    """Read one challenge; with ``lock`` no other transaction may change it meanwhile."""
    query = select(*code_challenges.c).where(code_challenges.c.challenge_id == challenge_id)
    return _challenge(connection.execute(query.with_for_update() if lock else query).one_or_none())


def lock_open_challenge(connection: Connection, person_id: str, *, purpose: int) -> ChallengeRow | None:
    """The one that awaits a person's code for a purpose, locked."""
    query = select(*code_challenges.c).where(
        code_challenges.c.person_id == person_id, code_challenges.c.purpose == purpose, text("state = 1")
    )
    return _challenge(connection.execute(query.with_for_update()).one_or_none())


def change_challenge(connection: Connection, challenge_id: str, *, state: int, wrong: int) -> None:
    """Write what changes of a challenge that was read with a lock."""
    connection.execute(
        update(code_challenges)
        .where(code_challenges.c.challenge_id == challenge_id)
        .values(state=state, wrong=wrong)
    )


def add_proof(connection: Connection, row: ProofRow) -> None:
    """Insert a proof."""
    connection.execute(insert(phone_proofs).values(**to_values(row)))


def proofs_of(connection: Connection, account_id: str, *, limit: int) -> list[ProofRow]:
    """The newest proofs of an account, newest first."""
    query = (
        select(*phone_proofs.c)
        .where(phone_proofs.c.account_id == account_id)
        .order_by(phone_proofs.c.proof_id.desc())
        .limit(limit)
    )
    return [ProofRow(**row._mapping) for row in connection.execute(query)]


def expired_challenges(connection: Connection, *, now_us: int, limit: int) -> list[ChallengeRow]:
    """Challenges whose time has passed and that still await their code, locked."""
    query = (
        select(*code_challenges.c)
        .where(text("state = 1"), code_challenges.c.expires_us <= now_us)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [ChallengeRow(**row._mapping) for row in connection.execute(query)]


def drop_old(connection: Connection, *, sends_us: int, challenges_us: int, limit: int) -> int:
    """Delete up to ``limit`` rows of each table that are older than these times; return how many there were.

    Meters go with the sends that they are for.
    """
    sends = select(sms_sends.c.send_id).where(sms_sends.c.sent_us < sends_us)
    meters = select(send_meters.c.meter).where(send_meters.c.last_us < sends_us)
    old = code_challenges.c.challenge_id < before_id(challenges_us)
    challenges = select(code_challenges.c.challenge_id).where(old)
    return sum(
        _drop(connection, query.limit(limit))
        for query in (sends.order_by(sms_sends.c.sent_us), meters, challenges)
    )


def _drop(connection: Connection, query: Select[Any]) -> int:
    [column] = query.selected_columns
    keys = list(connection.execute(query.with_for_update(skip_locked=True)).scalars())
    table = column.table
    return int(connection.execute(delete(table).where(column.in_(keys))).rowcount) if keys else 0


def _nth_newest(connection: Connection, column: Column[bytes], meter: bytes, nth: int) -> int | None:
    query = select(sms_sends.c.sent_us).where(column == meter).order_by(sms_sends.c.sent_us.desc())
    found = connection.execute(query.offset(nth - 1).limit(1)).first()
    return found.sent_us if found else None


def _challenge(found: Row[*tuple[Any, ...]] | None) -> ChallengeRow | None:
    return ChallengeRow(**found._mapping) if found else None
