"""Publishing and withdrawing, each within the transaction that it is given.

1  an edition takes effect now or later, never in the past
2  editions take effect in the order of their versions: what is still to come is withdrawn first
3  an edition is withdrawn only well before it takes effect; it is never changed
4  an edition can be obeyed, and locks nobody out (cloud.rulebook.checks)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection

from cloud.api.rules import refuse_field
from cloud.errors import Reason, ServiceError
from cloud.rulebook.checks import check_sense
from cloud.rulebook.kinds import RuleKind, kind_of
from cloud.sources import Sources, from_us, to_us
from cloud.store import rulebook as rows
from verifield.v1 import rulebook_pb2 as pb

FARTHEST = timedelta(days=731)
"""Two years: a later time is rather a slip of the pen, and nobody would look for it."""

SETTLED = timedelta(minutes=1)
"""Before it takes effect an edition is no longer withdrawn: a server whose clock is ahead obeys it already,
and history would say that it never counted."""

MAX_TO_COME = 20
"""Of one kind: devices are sent all of them."""

OnPublished = Callable[[Connection, RuleKind[Message]], None]
"""Told in the transaction of a change, after it: which kind has another edition, or one less."""


@dataclass(frozen=True, slots=True)
class RulebookDesk:
    """``on_published``: who hands editions down to devices, or keeps something that depends on them."""

    sources: Sources
    on_published: tuple[OnPublished, ...] = ()

    def publish(
        self, connection: Connection, rules: pb.Rules, *, effective: Timestamp | None, author: str, note: str
    ) -> rows.EditionRow:
        """Add an edition; ``effective`` None: it takes effect now.

        Raises:
            ServiceError: RULES_PAST, RULES_ORDER, REQUEST_INVALID.
        """
        kind = kind_of(rules)
        check_sense(rules)  # rule 4
        now_us = to_us(self.sources.now())
        effective_us = effective.ToMicroseconds() if effective else now_us
        if effective_us < now_us:  # rule 1
            raise ServiceError(Reason.RULES_PAST, "Rules cannot take effect in the past.")
        if from_us(now_us) + FARTHEST < from_us(effective_us):
            refuse_field("effective_time", rule="rules.farthest", why="is more than two years away")
        # The version is taken before the order is judged: whoever publishes in between has the same, so that
        # one of the two meets the other's row, is run again, and judges the order anew.
        version = rows.newest_version(connection, kind.number) + 1
        last = rows.last_to_come(connection, kind.number)
        if last is not None and last.effective_us >= effective_us:  # rule 2
            raise ServiceError(
                Reason.RULES_ORDER,
                f"Version {last.version} of these rules takes effect at that time or later.",
                {"version": str(last.version)},
            )
        if rows.count_to_come(connection, kind.number, now_us=now_us) >= MAX_TO_COME:
            refuse_field(
                "effective_time", rule="rules.to_come", why="is behind too many others that are to come"
            )
        row = rows.EditionRow(
            kind=kind.number,
            version=version,
            effective_us=effective_us,
            published_us=now_us,
            author=author,
            note=note,
            content=rules.SerializeToString(deterministic=True),
        )
        rows.add_edition(connection, row)
        self._tell(connection, kind)
        return row

    def withdraw(self, connection: Connection, kind: RuleKind[Message], version: int) -> rows.EditionRow:
        """Take an edition back that has some time until it takes effect.

        Raises:
            ServiceError: RULES_NOT_FOUND, RULES_IN_EFFECT, RULES_WITHDRAWN.
        """
        now_us, settled_us = to_us(self.sources.now()), to_us(self.sources.now() + SETTLED)
        if not rows.withdraw(connection, kind.number, version, now_us=now_us, after_us=settled_us):  # rule 3
            raise _why_not(rows.get_edition(connection, kind.number, version), kind, version)
        self._tell(connection, kind)
        row = rows.get_edition(connection, kind.number, version)
        if row is None:  # it was there a moment ago, and rows are never deleted
            raise ServiceError(Reason.RECORD_DAMAGED, "The edition was removed from outside.")
        return replace(row, withdrawn_us=now_us)

    def _tell(self, connection: Connection, kind: RuleKind[Message]) -> None:
        for told in self.on_published:
            told(connection, kind)


def _why_not(row: rows.EditionRow | None, kind: RuleKind[Message], version: int) -> ServiceError:
    if row is None:
        return ServiceError(Reason.RULES_NOT_FOUND, f"There are no rules {kind.name} of version {version}.")
    if row.withdrawn_us is not None:
        return ServiceError(Reason.RULES_WITHDRAWN, "These rules were withdrawn before.")
    return ServiceError(Reason.RULES_IN_EFFECT, "These rules have taken effect, or will within a minute.")
