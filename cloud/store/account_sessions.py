"""Rows of what opens accounts: passwords, sessions, activations, and the history of who signed in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from cloud.store.glances import Glance
from cloud.store.schema import (
    account_activations,
    account_credentials,
    account_lookups,
    account_sessions,
    account_sign_ins,
)
from cloud.store.values import insert_new, to_values

_ENDED = 5  # cloud.accounts.states.ActivationState.ENDED
_OPEN = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """``password``: as Argon2id writes it."""

    account_id: str
    password: str
    changed_us: int
    failures: int = 0
    next_try_us: int = 0
    locked_until_us: int = 0


@dataclass(frozen=True, slots=True)
class SessionRow:
    """``source`` is sealed. ``device_id``: empty where the holder did not stand at a device."""

    session_id: str
    account_id: str
    token_sha256: bytes
    created_us: int
    proven_us: int
    seen_us: int
    expires_us: int
    ended_us: int | None
    device_id: str
    source: bytes | None


SESSION = Glance(SessionRow, account_sessions.c.token_sha256)
"""The session whose token has a digest, also one that has ended."""


@dataclass(frozen=True, slots=True)
class SignInRow:
    """``source`` is sealed."""

    sign_in_id: str
    account_id: str
    time_us: int
    method: int
    outcome: int
    device_id: str
    source: bytes | None


@dataclass(frozen=True, slots=True)
class ActivationRow:
    """``state``: ActivationState."""

    activation_id: str
    account_id: str
    token_sha256: bytes
    state: int
    challenge_id: str
    mismatches: int
    expires_us: int


# Built once: these are asked with every call of an account's holder, and at every sign-in.
_CREDENTIAL = select(*account_credentials.c).where(
    account_credentials.c.account_id == bindparam("account_id")
)
_CREDENTIAL_LOCKED = _CREDENTIAL.with_for_update()
_SESSION = select(*account_sessions.c).where(account_sessions.c.token_sha256 == bindparam("token_sha256"))
_LOOKUP = select(account_lookups.c.times).where(account_lookups.c.source_key == bindparam("source_key"))
_LOOKUP_LOCKED = _LOOKUP.with_for_update()


def get_credential(connection: Connection, account_id: str, *, lock: bool = False) -> CredentialRow | None:
    """The password of an account, and what was tried; None where it has none yet."""
    query = _CREDENTIAL_LOCKED if lock else _CREDENTIAL
    found = connection.execute(query, {"account_id": account_id}).one_or_none()
    return CredentialRow(**found._mapping) if found else None


def locked_until(connection: Connection, account_ids: Collection[str]) -> dict[str, int]:
    """Until when no password counts, of those accounts that have one."""
    query = select(account_credentials.c.account_id, account_credentials.c.locked_until_us)
    found = connection.execute(query.where(account_credentials.c.account_id.in_(account_ids)))
    return {row.account_id: row.locked_until_us for row in found}


def put_credential(connection: Connection, row: CredentialRow) -> None:
    """Replace a password; the account's row, or the credential's own, is locked."""
    if insert_new(connection, account_credentials, to_values(row)):
        return
    values = to_values(row)
    del values["account_id"]
    own = account_credentials.c.account_id == row.account_id
    connection.execute(update(account_credentials).where(own).values(**values))


def drop_credential(connection: Connection, account_id: str) -> None:
    """Let no password count any more."""
    connection.execute(delete(account_credentials).where(account_credentials.c.account_id == account_id))


def shut_out(connection: Connection, account_id: str, *, now_us: int) -> None:
    """Let nobody in any more, and sign out who is: the person was erased."""
    end_sessions(connection, account_id, now_us=now_us)
    end_activations(connection, account_id)
    drop_credential(connection, account_id)


def add_session(connection: Connection, row: SessionRow) -> None:
    """Record a session that begins."""
    connection.execute(insert(account_sessions), to_values(row))


def find_session(connection: Connection, token_sha256: bytes) -> SessionRow | None:
    """The session whose token has this digest, also one that has ended."""
    return _session(connection.execute(_SESSION, {"token_sha256": token_sha256}).one_or_none())


def see_session(connection: Connection, session_id: str, *, seen_us: int) -> None:
    """Note that a session is used."""
    own = account_sessions.c.session_id == session_id
    connection.execute(update(account_sessions).where(own).values(seen_us=seen_us))


def open_sessions(
    connection: Connection, account_id: str, *, now_us: int, seen_after_us: int, limit: int
) -> list[SessionRow]:
    """Sessions that count, the newest first."""
    query = (
        select(*account_sessions.c)
        .where(
            account_sessions.c.account_id == account_id,
            account_sessions.c.ended_us.is_(None),
            account_sessions.c.expires_us > now_us,
            account_sessions.c.seen_us > seen_after_us,
        )
        .order_by(account_sessions.c.session_id.desc())
        .limit(limit)
    )
    return [SessionRow(**row._mapping) for row in connection.execute(query)]


def end_session(connection: Connection, account_id: str, session_id: str, *, now_us: int) -> bool:
    """End one session of an account; False where there is none that has not ended."""
    return _end(connection, account_sessions.c.session_id == session_id, account_id, now_us) == 1


def end_sessions(connection: Connection, account_id: str, *, now_us: int, besides: str = "") -> int:
    """End all sessions of an account but one; return how many there were."""
    return _end(connection, account_sessions.c.session_id != besides, account_id, now_us)


def drop_sessions(connection: Connection, *, before_us: int, limit: int) -> int:
    """Delete sessions whose time was over before; return how many went."""
    old = (
        select(account_sessions.c.session_id)
        .where(account_sessions.c.expires_us < before_us)
        .order_by(account_sessions.c.expires_us)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    ids = list(connection.execute(old).scalars())
    gone = delete(account_sessions).where(account_sessions.c.session_id.in_(ids))
    return int(connection.execute(gone).rowcount) if ids else 0


def add_sign_in(connection: Connection, row: SignInRow) -> None:
    """Append to the history."""
    connection.execute(insert(account_sign_ins), to_values(row))


def list_sign_ins(connection: Connection, account_id: str, *, behind: str, limit: int) -> list[SignInRow]:
    """The history of an account, the newest first."""
    query = select(*account_sign_ins.c).where(account_sign_ins.c.account_id == account_id)
    if behind:
        query = query.where(account_sign_ins.c.sign_in_id < behind)
    found = connection.execute(query.order_by(account_sign_ins.c.sign_in_id.desc()).limit(limit))
    return [SignInRow(**row._mapping) for row in found]


def get_lookups(connection: Connection, source_key: bytes, *, lock: bool = False) -> bytes | None:
    """When a source last asked for identifiers that nobody has: 8 bytes each."""
    query = _LOOKUP_LOCKED if lock else _LOOKUP
    times = connection.execute(query, {"source_key": source_key}).scalar_one_or_none()
    return bytes(times) if times is not None else None


def lock_lookups(connection: Connection, source_key: bytes, *, now_us: int) -> bytes:
    """As :func:`get_lookups`, for changing them: of a new source nothing."""
    new = {"source_key": source_key, "times": b"", "last_us": now_us}
    insert_new(connection, account_lookups, new)
    return get_lookups(connection, source_key, lock=True) or b""


def put_lookups(connection: Connection, source_key: bytes, times: bytes, *, now_us: int) -> None:
    """Replace them."""
    own = account_lookups.c.source_key == source_key
    connection.execute(update(account_lookups).where(own).values(times=times, last_us=now_us))


def drop_lookups(connection: Connection, *, before_us: int) -> int:
    """Delete what tells nothing any more; return how many sources went."""
    return int(
        connection.execute(delete(account_lookups).where(account_lookups.c.last_us < before_us)).rowcount
    )


def add_activation(connection: Connection, row: ActivationRow) -> None:
    """Record an activation that begins."""
    connection.execute(insert(account_activations).values(**to_values(row)))


def lock_activation(connection: Connection, token_sha256: bytes) -> ActivationRow | None:
    """The activation whose token has this digest; no other transaction may change it meanwhile."""
    query = select(*account_activations.c).where(account_activations.c.token_sha256 == token_sha256)
    found = connection.execute(query.with_for_update()).one_or_none()
    return ActivationRow(**found._mapping) if found else None


def change_activation(connection: Connection, row: ActivationRow) -> None:
    """Write a row that was read with a lock."""
    own = account_activations.c.activation_id == row.activation_id
    values = {"state": row.state, "challenge_id": row.challenge_id, "mismatches": row.mismatches}
    connection.execute(update(account_activations).where(own).values(**values))


def end_activations(connection: Connection, account_id: str) -> None:
    """Let no activation of an account go on: its telephone number changed, or it has ended."""
    own = account_activations.c.account_id == account_id, account_activations.c.state.in_(_OPEN)
    connection.execute(update(account_activations).where(*own).values(state=_ENDED))


def drop_activations(connection: Connection, *, before_us: int) -> int:
    """Delete activations whose time is over; return how many went."""
    old = delete(account_activations).where(account_activations.c.expires_us < before_us)
    return int(connection.execute(old).rowcount)


def _session(found: Row[Any] | None) -> SessionRow | None:
    return SessionRow(**found._mapping) if found else None


def _end(connection: Connection, which: Any, account_id: str, now_us: int) -> int:
    own = which, account_sessions.c.account_id == account_id, account_sessions.c.ended_us.is_(None)
    return int(connection.execute(update(account_sessions).where(*own).values(ended_us=now_us)).rowcount)
