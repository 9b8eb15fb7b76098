"""Editions as the contract shows them, with the state that they have at a moment."""

from __future__ import annotations

from google.protobuf.message import Message
from sqlalchemy import Connection

from cloud.rulebook.kinds import RuleKind
from cloud.store import rulebook as rows
from verifield.v1 import rulebook_pb2 as pb


def describe(row: rows.EditionRow, *, next_us: int | None, at_us: int) -> pb.RuleEdition:
    """``next_us``: when the following edition that counts takes effect; None where there is none."""
    edition = pb.RuleEdition(
        kind=pb.RuleKind.ValueType(row.kind),
        version=row.version,
        state=state_of(row, next_us=next_us, at_us=at_us),
        rules=pb.Rules.FromString(bytes(row.content)),
        author=row.author,
        note=row.note,
    )
    edition.effective_time.FromMicroseconds(row.effective_us)
    edition.publish_time.FromMicroseconds(row.published_us)
    if row.withdrawn_us is not None:
        edition.withdraw_time.FromMicroseconds(row.withdrawn_us)
    elif next_us is not None:
        edition.retire_time.FromMicroseconds(next_us)
    return edition


def describe_first(kind: RuleKind[Message], *, next_us: int | None, at_us: int) -> pb.RuleEdition:
    """Version 0, which stands in no table."""
    retired = next_us is not None and next_us <= at_us
    edition = pb.RuleEdition(
        kind=kind.number,
        state=pb.RULES_STATE_RETIRED if retired else pb.RULES_STATE_EFFECTIVE,
        rules=kind.wrap(kind.default),
        author="service",
    )
    if next_us is not None:
        edition.retire_time.FromMicroseconds(next_us)
    return edition


def state_of(row: rows.EditionRow, *, next_us: int | None, at_us: int) -> pb.RulesState.ValueType:
    """Worked out from the times alone."""
    if row.withdrawn_us is not None:
        return pb.RULES_STATE_WITHDRAWN
    if row.effective_us > at_us:
        return pb.RULES_STATE_DRAFT
    retired = next_us is not None and next_us <= at_us
    return pb.RULES_STATE_RETIRED if retired else pb.RULES_STATE_EFFECTIVE


def next_of(connection: Connection, row: rows.EditionRow) -> int | None:
    """When the edition after this one takes effect."""
    after = rows.following(connection, row.kind, row.effective_us)
    return after.effective_us if after else None
