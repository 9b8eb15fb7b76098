"""The audit chain: who did what, each event bound to the one before it.

The event is written in the transaction of what it tells of: neither is there without the other. The
row of the chain's end is locked last, so that writers wait for each other only for the moment that
an insert takes; on a database with several servers it is what puts their events into one order.

Locks are taken in one order everywhere: rows of the matter, the log's head, the end of this chain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType

from sqlalchemy import Connection

from cloud.store import audit as rows
from verifield.v1 import audit_pb2 as pb

MAX_CALLER_CHARS = 128
MAX_ACTION_CHARS = 64
MAX_SUBJECT_CHARS = 256
"""The widths of the columns: ids of ours and resource names fit well."""

MAX_REQUEST_ID_CHARS = 128
"""A caller may choose it: what is longer is cut."""

MAX_FACTS = 16
MAX_FACT_CHARS = 256
"""Facts are counts, states and digests; whoever has more to tell needs a table of its own."""

NO_FACTS: Mapping[str, str] = MappingProxyType({})

_ACTION = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")


def record(
    connection: Connection,
    *,
    action: str,
    subject: str,
    caller: str,
    request_id: str,
    now_us: int,
    facts: Mapping[str, str] = NO_FACTS,
    outcome: pb.AuditOutcome.ValueType = pb.AUDIT_OUTCOME_DONE,
) -> None:
    """Append an event in the caller's transaction, as its last step.

    ``action`` is of the form "devices.revoke", ``subject`` of the form "devices/ID". Nothing may be
    personal: events are never erased.

    Raises:
        ValueError: a text is empty, too long, or the action is not of that form.
    """
    _check(action=action, subject=subject, caller=caller, facts=facts)
    end = rows.lock_end(connection)
    event = pb.AuditEvent(
        seq=end.seq + 1,
        prev_sha256=end.sha256,
        time_us=now_us,
        caller=caller,
        action=action,
        subject=subject,
        request_id=request_id[:MAX_REQUEST_ID_CHARS],
        outcome=outcome,
        facts=[pb.AuditFact(key=key, value=facts[key]) for key in sorted(facts)],
    )
    content = event.SerializeToString(deterministic=True)
    row = rows.EventRow(
        seq=event.seq,
        content=content,
        sha256=sha256(content).digest(),
        time_us=now_us,
        caller=caller,
        action=action,
        subject=subject,
        outcome=outcome,
    )
    rows.append(connection, row, after=end)


def _check(*, action: str, subject: str, caller: str, facts: Mapping[str, str]) -> None:
    if len(action) > MAX_ACTION_CHARS or not _ACTION.fullmatch(action):
        raise ValueError("an action of the audit chain is of the form devices.revoke")
    if not 1 <= len(subject) <= MAX_SUBJECT_CHARS or not 1 <= len(caller) <= MAX_CALLER_CHARS:
        raise ValueError("an event of the audit chain needs a subject and a caller that are not too long")
    too_long = any(len(text) > MAX_FACT_CHARS for fact in facts.items() for text in fact)
    if len(facts) > MAX_FACTS or too_long:
        raise ValueError("an event of the audit chain has too many facts, or too long ones")
