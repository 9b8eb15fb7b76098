"""Checks the audit chain of a database: of a service that runs, of one that stands, of a restored backup."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cryptography import x509
from sqlalchemy import Connection

from cloud.audit.heads import head_leaf
from cloud.audit.walk import Finding, Report, Walk, conclude, judge_heads, judge_leaves
from cloud.store import attestations
from cloud.store import audit as rows
from cloud.store import log as log_rows
from verifield.v1 import audit_pb2 as pb

Progress = Callable[[int, int], None]
"""Told how many are done, and how many there are."""

_TELL_EVERY = 1000


def check_chain(
    connection: Connection,
    *,
    roots: Sequence[x509.Certificate],
    kept: Sequence[pb.SignedAuditHead] = (),
    progress: Progress | None = None,
) -> Report:
    """Check the whole chain in one view of the database; ``kept``: heads from elsewhere.

    Raises:
        LookupError: the row of the chain's end is gone.
    """
    end = rows.read_end(connection)
    own = [signed_head(connection, row) for row in rows.all_heads(connection)]
    heads = judge_heads(own, kept, roots=roots)
    walk = Walk(heads.marks)
    for row in rows.all_events(connection):
        walk.step_row(row)
        if progress and row.seq % _TELL_EVERY == 0:
            progress(row.seq, end.seq)
    walk.finish(end)
    return conclude(walk, heads, _check_leaves(connection))


def signed_head(connection: Connection, row: rows.HeadRow) -> pb.SignedAuditHead:
    """A head as it travels."""
    return pb.SignedAuditHead(
        envelope=row.envelope,
        certificates=attestations.get_chain(connection, row.certificate_sha256),
        log_index=row.log_index,
    )


def _check_leaves(connection: Connection) -> list[Finding]:
    expected = {row.log_index: head_leaf(row.envelope) for row in rows.all_heads(connection)}
    found = {index: log_rows.get_leaf(connection, index) for index in expected}
    return judge_leaves(
        expected,
        {index: leaf for index, leaf in found.items() if leaf is not None},
        sorted(set(rows.leaves_without_record(connection)) - set(expected)),
    )
