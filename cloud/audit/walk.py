"""Checks the audit chain: pure, fed with events and heads from wherever they come.

1  each event is the bytes that its digest was taken of, has the next seq, and names the one before it
2  what was copied beside it is what it says
3  the last event is where the chain is said to end
4  each signed head is by the right key, and names an event that is still there
5  each head is in the log at its place, and the log has no head that is not here
6  heads that somebody kept elsewhere hold as well
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from cryptography import x509
from google.protobuf.message import DecodeError

from cloud.audit.heads import check_head
from cloud.store.audit import ChainEnd, EventRow
from verifield.errors import VerifieldError
from verifield.v1 import audit_pb2 as pb

MAX_FINDINGS = 100
"""Enough to see where and how; a chain that was written anew is broken everywhere."""


class Fault(StrEnum):
    """What can be wrong with a chain."""

    EVENT_UNREADABLE = "EVENT_UNREADABLE"
    EVENT_CHANGED = "EVENT_CHANGED"
    EVENT_MISPLACED = "EVENT_MISPLACED"
    CHAIN_BROKEN = "CHAIN_BROKEN"
    COPY_CHANGED = "COPY_CHANGED"
    END_CHANGED = "END_CHANGED"
    HEAD_FORGED = "HEAD_FORGED"
    HEAD_CONTRADICTED = "HEAD_CONTRADICTED"
    CHAIN_CUT = "CHAIN_CUT"
    HEAD_NOT_LOGGED = "HEAD_NOT_LOGGED"
    HEAD_MISSING = "HEAD_MISSING"


@dataclass(frozen=True, slots=True)
class Finding:
    """``seq``: of the event, or what the head names; 0 where there is none to name."""

    fault: Fault
    seq: int
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found; ``end`` is the last event that was seen."""

    end: ChainEnd
    heads: int
    kept_heads: int
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        return not self.findings


@dataclass(slots=True)
class Walk:
    """Steps along the chain. ``marks``: seqs whose digests are wanted, for the heads that name them."""

    marks: frozenset[int] = frozenset()
    end: ChainEnd = field(default_factory=lambda: ChainEnd(0, b""))
    digests: dict[int, bytes] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def step(self, content: bytes) -> pb.AuditEvent | None:
        """Take the next event (step 1). After a fault, go on from where the chain seems to be."""
        try:
            event = pb.AuditEvent.FromString(content)
        except DecodeError:
            self.add(Fault.EVENT_UNREADABLE, self.end.seq + 1, "This is no event.")
            return None
        if event.seq != self.end.seq + 1:
            text = f"After event {self.end.seq} comes event {event.seq}."
            self.add(Fault.EVENT_MISPLACED, event.seq, text)
        elif event.prev_sha256 != self.end.sha256:
            text = f"It names another event {self.end.seq} than there is."
            self.add(Fault.CHAIN_BROKEN, event.seq, text)
        self.end = ChainEnd(event.seq, sha256(content).digest())
        if event.seq in self.marks:
            self.digests[event.seq] = self.end.sha256
        return event

    def step_row(self, row: EventRow) -> None:
        """Take the next event with what stands beside it (steps 1 and 2)."""
        event = self.step(row.content)
        if sha256(row.content).digest() != row.sha256:
            self.add(Fault.EVENT_CHANGED, row.seq, "Its content has another digest.")
        if event is None:
            self.end = ChainEnd(row.seq, row.sha256)
            return
        said = (event.seq, event.time_us, event.caller, event.action, event.subject, event.outcome)
        if said != (row.seq, row.time_us, row.caller, row.action, row.subject, row.outcome):
            self.add(Fault.COPY_CHANGED, row.seq, "What is listed of it is not what it says.")

    def finish(self, end: ChainEnd) -> None:
        """Compare with where the chain is said to end (step 3)."""
        if end != self.end:
            text = f"The chain is said to end with event {end.seq}, and does with {self.end.seq}."
            self.add(Fault.END_CHANGED, end.seq, text)

    def finish_before(self, end: ChainEnd) -> None:
        """As :meth:`finish`, where more may have been added since ``end``, one of the marks, was told."""
        if end.seq >= self.end.seq or self.digests.get(end.seq, b"") != end.sha256:
            self.finish(end)

    def match(self, head: pb.AuditHead, *, whose: str) -> None:
        """Compare with a head whose signature was checked (steps 4 and 6)."""
        if head.seq > self.end.seq:
            text = f"{whose} names event {head.seq}, but the chain ends with {self.end.seq}: it was cut off."
            self.add(Fault.CHAIN_CUT, head.seq, text)
        elif self.digests.get(head.seq) != head.sha256:
            text = f"{whose} names another event {head.seq} than the chain has."
            self.add(Fault.HEAD_CONTRADICTED, head.seq, text)

    def add(self, fault: Fault, seq: int, text: str) -> None:
        """Note a fault, up to a limit."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(fault, seq, text))


@dataclass(frozen=True, slots=True)
class KnownHeads:
    """Heads that were read: those whose signatures hold, and what is wrong with the others."""

    own: tuple[pb.AuditHead, ...]
    kept: tuple[pb.AuditHead, ...]
    findings: tuple[Finding, ...]

    @property
    def marks(self) -> frozenset[int]:
        return frozenset(head.seq for head in (*self.own, *self.kept))


def judge_heads(
    own: Iterable[pb.SignedAuditHead],
    kept: Iterable[pb.SignedAuditHead],
    *,
    roots: Sequence[x509.Certificate],
) -> KnownHeads:
    """Check the signatures of the chain's own heads and of those kept elsewhere."""
    findings: list[Finding] = []
    good: tuple[list[pb.AuditHead], list[pb.AuditHead]] = ([], [])
    for place, (whose, heads) in enumerate((("A signed head", own), ("The kept head", kept))):
        for signed in heads:
            try:
                good[place].append(check_head(signed, roots=roots))
            except VerifieldError as error:
                findings.append(Finding(Fault.HEAD_FORGED, 0, f"{whose} does not hold: {error}"))
    return KnownHeads(tuple(good[0]), tuple(good[1]), tuple(findings))


def judge_leaves(
    expected: Mapping[int, bytes], found: Mapping[int, bytes], unexplained: Iterable[int]
) -> list[Finding]:
    """Compare the heads' leaves with the log's (step 5), each by its index in the log.

    ``unexplained``: leaves of the log that belong to no record and to no head.
    """
    findings = [
        Finding(Fault.HEAD_NOT_LOGGED, 0, f"The log does not have a signed head at its place {index}.")
        for index, leaf in expected.items()
        if found.get(index) != leaf
    ]
    return findings + [
        Finding(Fault.HEAD_MISSING, 0, f"Leaf {index} of the log belongs to no record and to no head.")
        for index in unexplained
    ]


def conclude(walk: Walk, heads: KnownHeads, more: Iterable[Finding] = ()) -> Report:
    """The report, once all events were taken."""
    for head in heads.own:
        walk.match(head, whose="A signed head")
    for head in heads.kept:
        walk.match(head, whose="The kept head")
    findings = (*walk.findings, *heads.findings, *more)
    return Report(walk.end, len(heads.own), len(heads.kept), findings[:MAX_FINDINGS])
