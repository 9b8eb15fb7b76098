"""Our side of the comparison with the cloud, read from the outbox."""

from __future__ import annotations

from edge.model import Position
from edge.sync.compare import START, place
from edge.sync.events import CloudChain, LocalChain, refusal_code
from edge.sync.ports import Backlog
from verifield.chain import ChainHead, cited_head, is_reset
from verifield.dsse import MAX_ENVELOPE_BYTES, parse_envelope
from verifield.errors import VerifieldError
from verifield.statement import parse_statement

_PAGE = 256


def local_chain(backlog: Backlog, cloud: CloudChain) -> LocalChain:
    """Read what ``judge_chains`` needs; the answer of the cloud must be older than this look."""
    head = backlog.head()
    if head is None:
        return LocalChain(head=None)
    at = place(cloud.head) if cloud.head else START
    behind = at.epoch < head.epoch
    cited = _cited(backlog, head.epoch) if behind else (None, True)
    return LocalChain(
        head=head,
        confirmed=backlog.confirmed(),
        sha256_at_cloud=backlog.digest_at(at) if cloud.head else None,
        pending=backlog.first_pending(),
        pending_here=backlog.first_pending(after=Position(head.epoch, 0)),
        cited=cited[0],
        reset_here=cited[1],
        reaches_cited=behind and cited[0] is not None and _reaches(backlog, at, cited[0]),
        holes=tuple(backlog.holes(after=Position(head.epoch, 0) if behind else at)),
        refused=tuple((record.position, refusal_code(record.reason)) for record in backlog.refused()),
        reset_needed=backlog.reset_needed(),
    )


def _cited(backlog: Backlog, epoch: int) -> tuple[ChainHead | None, bool]:
    """The head of the cloud that the RESET of ``epoch`` cites, and whether that RESET is still here."""
    first = Position(epoch, 1)
    records = backlog.pending(after=Position(epoch, 0), limit_bytes=MAX_ENVELOPE_BYTES, limit_count=1)
    if not records or records[0].position != first:
        return None, False
    try:
        statement = parse_statement(parse_envelope(records[0].envelope).payload)
    except VerifieldError:
        return None, False
    return (cited_head(statement), True) if is_reset(statement) else (None, False)


def _reaches(backlog: Backlog, at: Position, cited: ChainHead) -> bool:
    """Whether every record behind ``at`` through the cited one, which is ours, can be sent."""
    goal = place(cited)
    if not at < goal or at.epoch != goal.epoch or backlog.digest_at(goal) != cited.sha256:
        return False
    while at < goal:
        page = backlog.pending(after=at, limit_bytes=_PAGE * MAX_ENVELOPE_BYTES, limit_count=_PAGE)
        for record in page:
            if record.position != Position(at.epoch, at.seq + 1):
                return at >= goal
            at = record.position
        if not page:
            return False
    return True
