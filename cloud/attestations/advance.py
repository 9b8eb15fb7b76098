"""How a device's chain goes on, without I/O: step 12 of ``cloud.attestations.ingest``.

Records come in order of their places. Each is appended when its turn has come:

    a RESET cites the very head that the chain has   the chain goes on in its epoch
    it has the next place, and names the head        appended
    all places before it are given up, and it names  appended
      the digest given for the last of them
    it names another predecessor                     kept beside: a FORK
    places before it are neither here nor given up   it waits, and all behind it

A place is given up by a GAP, or by a TOMBSTONE that names bytes which were refused here. A record that
is here although a GAP gives its place up is appended all the same: nothing is lost that need not be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cloud.attestations.record import Record
from verifield.chain import ChainBreak, ChainHead, Excuse, check_link, check_next


class Holes:
    """Places of one epoch that were given up. Asked for in ascending order of places."""

    def __init__(self, excuses: Iterable[Excuse]) -> None:
        self._excuses = sorted(excuses, key=lambda one: one.first_seq)
        self._next = 0
        self._reach = 0
        self._ends: dict[int, set[bytes]] = {}
        for one in self._excuses:
            self._ends.setdefault(one.last_seq, set()).add(one.last_sha256)

    def cover(self, first_seq: int, last_seq: int) -> bool:
        """Whether all places from first to last are given up; an empty range is."""
        self._reach = max(self._reach, first_seq - 1)
        while self._next < len(self._excuses) and self._excuses[self._next].first_seq <= self._reach + 1:
            self._reach = max(self._reach, self._excuses[self._next].last_seq)
            self._next += 1
        return self._reach >= last_seq

    def digests_at(self, seq: int) -> set[bytes]:
        """Digests that excuses give for a place at which they end; empty where none ends."""
        return self._ends.get(seq, set())


@dataclass(slots=True)
class Advance:
    """What became of the records of one epoch.

    ``appended`` in the chain's order, with ``head`` behind them; ``forked`` name another predecessor,
    ``reused`` another record's attestation id. ``reset``: the RESET whose turn has come; nothing behind
    it was looked at. ``more``: the limit was reached.
    """

    head: ChainHead
    appended: list[Record] = field(default_factory=list)
    forked: list[Record] = field(default_factory=list)
    reused: list[Record] = field(default_factory=list)
    reset: Record | None = None
    more: bool = False


def advance(
    records: Iterable[Record],
    *,
    head: ChainHead,
    holes: Holes,
    resets: Mapping[ChainHead | None, Record],
    used_ids: set[str],
    limit: int,
) -> Advance:
    """Append what can be appended of ``records``: of the head's epoch, behind it, in order of places.

    ``head`` has seq 0 where the chain is empty. ``resets``: first records of later epochs, by the head of
    the service that they cite. ``used_ids``: attestation ids of stored records; those that are appended
    join them. At most ``limit`` records are appended.
    """
    result = Advance(head)
    for record in records:
        if resets and known(result.head) in resets:
            break
        head, seq = result.head, record.place[1]
        if seq != head.seq + 1 and not holes.cover(head.seq + 1, seq - 1):
            break
        if len(result.appended) >= limit:
            result.more = True
            return result
        if record.attestation_id in used_ids:
            result.reused.append(record)
        elif not _is_usual(record, head) and not _follows(record, head, holes):
            result.forked.append(record)
        else:
            result.appended.append(record)
            result.head = ChainHead(*record.place, record.sha256)
            used_ids.add(record.attestation_id)
    result.reset = resets.get(known(result.head))
    return result


def missing_ranges(
    waiting: Sequence[int], excuses: Iterable[Excuse], *, head_seq: int, limit: int
) -> list[tuple[int, int]]:
    """Ranges of places between the head and the newest waiting one that are neither here nor given up.

    ``waiting``: places at which records wait. At most ``limit`` ranges, lowest first.
    """
    newest = max(waiting, default=head_seq)
    spans = sorted([(seq, seq) for seq in waiting] + [(one.first_seq, one.last_seq) for one in excuses])
    ranges: list[tuple[int, int]] = []
    wanted = head_seq + 1
    for first, last in spans:
        if first > newest or len(ranges) == limit:
            break
        if first > wanted:
            ranges.append((wanted, first - 1))
        wanted = max(wanted, last + 1)
    return ranges


def known(head: ChainHead) -> ChainHead | None:
    """The head as records cite it: None where the chain is empty."""
    return head if head.seq else None


def _is_usual(record: Record, head: ChainHead) -> bool:
    """Whether a record of the head's epoch is plainly its next one: what most are, told without more ado."""
    return (
        record.previous_sha256 == head.sha256
        and record.place == (head.epoch, head.seq + 1)
        and head.seq > 0
        and not record.is_event
    )


def _follows(record: Record, head: ChainHead, holes: Holes) -> bool:
    seq = record.place[1]
    if seq == head.seq + 1:
        before = [known(head)]
    else:
        before = [ChainHead(head.epoch, seq - 1, digest) for digest in holes.digests_at(seq - 1)]
        if not before:
            return True  # inside of a GAP: nobody knows what was there
    return any(_links(record, one) for one in before)


def _links(record: Record, head: ChainHead | None) -> bool:
    try:
        if record.is_event:
            check_link(record.statement, head)
        else:
            check_next(*record.place, record.previous_sha256, head)
    except ChainBreak:
        return False
    return True
