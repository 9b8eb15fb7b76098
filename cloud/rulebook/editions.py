"""What is in effect: read by whoever obeys rules, in the transaction in which they are obeyed.

Nothing is kept in memory between two looks. An edition counts from its instant on, on every server, and
what another server has published or withdrawn is seen by the next look: it is one row of an index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.rulebook.kinds import M, RuleKind
from cloud.store import rulebook as rows
from verifield.v1 import rulebook_pb2 as pb


@dataclass(frozen=True, slots=True)
class Edition(Generic[M]):
    """``version`` 0: what the service came with, in effect since ever. ``rules`` are never changed."""

    kind: RuleKind[M]
    version: int
    effective_us: int
    rules: M


def find(connection: Connection, kind: RuleKind[M], now_us: int) -> Edition[M]:
    """The edition in effect at a moment."""
    row = rows.effective_at(connection, kind.number, now_us)
    return _edition(kind, row) if row else Edition(kind, 0, 0, kind.default)


def pin(connection: Connection, kind: RuleKind[M], now_us: int) -> int:
    """The version in effect, for what begins now and keeps it to its end: :func:`get` reads it again."""
    return find(connection, kind, now_us).version


def get(connection: Connection, kind: RuleKind[M], version: int) -> Edition[M]:
    """One edition, whatever the time.

    Raises:
        ServiceError: RULES_NOT_FOUND.
    """
    if version == 0:
        return Edition(kind, 0, 0, kind.default)
    row = rows.get_edition(connection, kind.number, version)
    if row is None:
        raise ServiceError(Reason.RULES_NOT_FOUND, f"There are no rules {kind.name} of version {version}.")
    return _edition(kind, row)


def live(connection: Connection, kind: RuleKind[M], now_us: int) -> list[Edition[M]]:
    """What is in effect, and all that is to come, in order of time: for who must obey without asking."""
    editions = [find(connection, kind, now_us)]
    moment = now_us
    while (row := rows.following(connection, kind.number, moment)) is not None:
        editions.append(_edition(kind, row))
        moment = row.effective_us
    return editions


def _edition(kind: RuleKind[M], row: rows.EditionRow) -> Edition[M]:
    return Edition(kind, row.version, row.effective_us, kind.of(pb.Rules.FromString(bytes(row.content))))
