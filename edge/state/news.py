"""Between the rules of ``edge.state.pull`` and the tables: what is known is read, what changes is written.

Writing happens within a transaction of the caller.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from cryptography import x509

from edge.errors import EdgeError
from edge.policy import BUILT_IN_VERSION, Policy
from edge.state.database import StateDatabase, text_of, time_of
from edge.state.pull import (
    AdoptPolicy,
    Change,
    DropItem,
    KeepItem,
    Known,
    Obey,
    OrderWipe,
    Refuse,
    SetLock,
    Trust,
    open_policy,
)
from edge.state.records import DownItem, ItemKind, LockState
from verifield.errors import VerifieldError

MAX_REFUSED = 100
"""Refusals that stay visible; older ones say nothing new."""

PERSONAL = frozenset({ItemKind.ACCOUNT, ItemKind.CONTRACT})
"""Kinds whose content is sealed."""


def read_known(db: StateDatabase, trust: Trust, *, now: datetime) -> Known:
    """Return what the device knew before a page of the time ``now``."""
    row = db.one("SELECT version, envelope FROM policy")
    version, envelope = (row["version"], row["envelope"]) if row else (BUILT_IN_VERSION, b"")
    try:
        read_policy(db, trust.device_id, trust.roots)
    except ValueError:  # damaged: the same version once more is welcome, nothing older
        version, envelope = version - 1, b""
    lock = db.one("SELECT issue_time FROM lock")
    signed = {
        kind: {
            item["item_id"]: item["content"]
            for item in db.all("SELECT item_id, content FROM down_items WHERE kind = ?", kind.value)
        }
        for kind in (ItemKind.REVOCATIONS, ItemKind.RULES)
    }
    return Known(
        policy_version=version,
        policy_envelope=envelope,
        lock=read_lock(db),
        lock_time=time_of(lock["issue_time"]) if lock else None,
        obeyed=frozenset(item["directive_id"] for item in db.all("SELECT directive_id FROM directives")),
        revocations=signed[ItemKind.REVOCATIONS],
        rules=signed[ItemKind.RULES],
        items=frozenset(
            (kind, item["item_id"])
            for kind in PERSONAL
            for item in db.all("SELECT item_id FROM down_items WHERE kind = ? AND stale = 0", kind.value)
        ),
        now=now,
    )


def read_policy(db: StateDatabase, device_id: str, roots: Sequence[x509.Certificate]) -> Policy | None:
    """Return the adopted policy, checked anew; None before the first.

    Raises:
        ValueError: it is not what the cloud signed; the text is a stable code.
    """
    row = db.one("SELECT envelope, certificates FROM policy")
    if row is None:
        return None
    try:
        certificates = tuple(base64.b64decode(item) for item in json.loads(row["certificates"]))
        return open_policy(row["envelope"], Trust(device_id, certificates, tuple(roots)))
    except (VerifieldError, EdgeError) as error:
        raise ValueError(error.code) from None
    except (ValueError, TypeError):
        raise ValueError("CERTIFICATES") from None


def read_lock(db: StateDatabase) -> LockState:
    """Return the lock as the newest order left it."""
    row = db.one("SELECT locked, reason FROM lock")
    locked, reason = (bool(row["locked"]), row["reason"]) if row else (False, "")
    return LockState(
        locked=locked,
        reason=reason,
        wiped=db.one("SELECT id FROM wipe") is not None,
        revoked=db.one("SELECT id FROM revoked") is not None,
    )


def read_item(db: StateDatabase, kind: ItemKind, *, item_id: str, content: bytes) -> DownItem:
    """Return an item as it came from the cloud."""
    if kind in PERSONAL:
        content = db.vault.unseal(content, label=_place(kind, item_id))
    return DownItem(kind, item_id, content)


def begin_anew(db: StateDatabase) -> None:
    """Note that the cloud tells everything from its beginning: what it does not tell again is no more."""
    for kind in PERSONAL:
        db.run("UPDATE down_items SET stale = 1 WHERE kind = ?", kind.value)


def end_anew(db: StateDatabase) -> None:
    """Forget what the cloud has not told again, now that it has told everything."""
    db.run("DELETE FROM down_items WHERE stale = 1")


def drop_expired(db: StateDatabase, *, by: datetime) -> int:
    """Forget tasks that have expired at ``by``; return how many."""
    return db.run("DELETE FROM down_items WHERE expires <= ?", text_of(by))


def write_changes(db: StateDatabase, changes: Iterable[Change], trust: Trust) -> EdgeError | None:
    """Carry out what a page changes, in order.

    Returns why personal data could not be sealed, where it could not. All else is carried out even so:
    nobody escapes an order by taking the key of the data away.
    """
    fault: EdgeError | None = None
    for change in changes:
        try:
            sealed = _sealed(db, change)
        except EdgeError as error:
            fault = fault or error
        else:
            _write(db, sealed, trust)
    db.run(
        "DELETE FROM refused WHERE id NOT IN (SELECT id FROM refused ORDER BY id DESC LIMIT ?)", MAX_REFUSED
    )
    return fault


def _sealed(db: StateDatabase, change: Change) -> Change:
    if not isinstance(change, KeepItem) or change.kind not in PERSONAL:
        return change
    return replace(change, content=db.vault.seal(change.content, label=_place(change.kind, change.item_id)))


def _write(db: StateDatabase, change: Change, trust: Trust) -> None:
    match change:
        case AdoptPolicy(policy, envelope):
            chain = json.dumps([base64.b64encode(item).decode() for item in trust.certificates])
            db.put("policy", version=policy.version, envelope=envelope, certificates=chain)
            db.run("DELETE FROM refused WHERE kind = ?", ItemKind.POLICY.value)
        case Obey(directive_id, action, issue_time):
            db.upsert("directives", directive_id=directive_id, action=action, issue_time=text_of(issue_time))
        case SetLock(lock, issue_time):
            db.put("lock", locked=int(lock.locked), reason=lock.reason, issue_time=text_of(issue_time))
        case OrderWipe(directive_id):
            db.put("wipe", directive_id=directive_id, done=0)
        case KeepItem(kind, item_id, content, expires):
            until = None if expires is None else text_of(expires)
            db.run(  # in its place: what is deleted takes a contract's document along
                "INSERT INTO down_items (kind, item_id, content, expires, stale) VALUES (?, ?, ?, ?, 0) "
                "ON CONFLICT (kind, item_id) DO UPDATE SET content = excluded.content, "
                "expires = excluded.expires, stale = 0",
                kind.value,
                item_id,
                content,
                until,
            )
            db.run("DELETE FROM refused WHERE kind = ? AND item_id = ?", kind.value, item_id)
        case DropItem(kind, item_id):
            db.run("DELETE FROM down_items WHERE kind = ? AND item_id = ?", kind.value, item_id)
        case Refuse(item):
            db.run("DELETE FROM refused WHERE kind = ? AND item_id = ?", item.kind, item.item_id)
            db.run(
                "INSERT INTO refused (kind, item_id, code, message) VALUES (?, ?, ?, ?)",
                item.kind,
                item.item_id,
                item.code,
                item.message,
            )


def _place(kind: ItemKind, item_id: str) -> str:
    return f"down_items/{kind.value}/{item_id}"
