"""One device as the contract's cloud sees it, in memory: chain, staging, holes, side records, alarms.

Written from the contract alone, and simply: it is the judge of what the device does, not of the service.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from edge.model import Position
from verifield.chain import ChainHead, Excuse, envelope_sha256, excuses_of, is_reset, position_of
from verifield.dsse import check_signature, parse_envelope
from verifield.errors import VerifieldError
from verifield.statement import parse_statement
from verifield.v1.attestation_pb2 import Statement
from verifield.v1.sync_service_pb2 import (
    DELIVER_STATUS_ACCEPTED,
    DELIVER_STATUS_ALREADY_HAVE,
    DELIVER_STATUS_FORK,
    DELIVER_STATUS_INVALID,
    DELIVER_STATUS_OUT_OF_ORDER,
    DELIVER_STATUS_STAGED,
    DeliverResult,
    SeqRange,
)

Places = dict[Position, bytes]


@cache
def statement_of(envelope: bytes) -> Statement:
    return parse_statement(parse_envelope(envelope).payload)


def ranges_of(seqs: list[int]) -> list[tuple[int, int]]:
    """First and last of each run of ascending numbers."""
    found: list[tuple[int, int]] = []
    for seq in seqs:
        if found and found[-1][1] == seq - 1:
            found[-1] = (found[-1][0], seq)
        else:
            found.append((seq, seq))
    return found


@dataclass
class DeviceModel:
    """``side``: kind (REFUSED, BRANCH, DAMAGED), place as claimed, bytes. ``stage_limit``: records."""

    device_id: str
    log: Callable[[bytes], object]
    epoch: int = 1
    head: ChainHead | None = None
    accepted: Places = field(default_factory=dict)
    staged: Places = field(default_factory=dict)
    side: list[tuple[str, Position, bytes]] = field(default_factory=list)
    device_heads: dict[int, int] = field(default_factory=dict)
    left: list[tuple[int, int]] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    suspended: bool = False
    stage_limit: int = 10_000

    @property
    def chain(self) -> list[bytes]:
        """What was accepted, in order."""
        return [self.accepted[position] for position in sorted(self.accepted)]

    def take(self, envelope: bytes, *, key: object, refuse: dict[int, str]) -> Callable[[], DeliverResult]:
        """Take one record in; the verdict is known once the whole batch is in."""
        try:
            statement = parse_statement(check_signature(parse_envelope(envelope), key))  # type: ignore[arg-type]
            if statement.device_id != self.device_id:
                return self._refuse(envelope, Position(0, 0), "OTHER_DEVICE")
        except VerifieldError as error:
            return self._refuse(envelope, Position(0, 0), error.code)
        at = Position(statement.chain_epoch, statement.seq)
        if at.seq in refuse and at not in self.accepted:
            return self._refuse(envelope, at, refuse[at.seq])
        known = self.accepted.get(at)
        if known == envelope:
            return lambda: DeliverResult(status=DELIVER_STATUS_ALREADY_HAVE)
        if known is not None or self.staged.get(at, envelope) != envelope:
            return self._branch(at, envelope)
        if at.epoch < self.epoch:
            unclear = any(low <= at.epoch < high for low, high in self.left)
            if at.seq > self.device_heads.get(at.epoch, 0) and not unclear:
                self._alarm("CLONE", suspend=True)
            return self._branch(at, envelope)
        if at.epoch == self.epoch and self.head and at.seq <= self.head.seq:  # a place that was given up
            return self._branch(at, envelope)
        full = len(self.staged) >= self.stage_limit and excuses_of(statement) is None
        if full and not self._is_next(at):
            expected = (self.head.seq if self.head else 0) + 1
            return lambda: DeliverResult(status=DELIVER_STATUS_OUT_OF_ORDER, expected_seq=expected)
        self.staged[at] = envelope
        self.advance()
        return lambda: self._verdict(at, envelope)

    def take_damaged(self, at: Position, content: bytes) -> None:
        self.side.append(("DAMAGED", at, content))

    def acknowledge(self) -> None:
        """A person has looked into all alarms."""
        self.alarms.clear()
        self.suspended = False
        self.advance()

    def advance(self) -> None:
        """Let the chain go on as far as it can."""
        while not self.suspended and (self._next_record() or self._next_epoch()):
            pass

    def newest_seq(self) -> int:
        waiting = [at.seq for at in self.staged if at.epoch == self.epoch]
        return max([self.head.seq if self.head else 0, *waiting])

    def missing(self) -> list[SeqRange]:
        """Places of this epoch that neither wait nor are excused."""
        first = (self.head.seq if self.head else 0) + 1
        standing = [one for one in self._excuses() if not one.refused or self._was_refused(one)]
        excused = {seq for one in standing for seq in range(one.first_seq, one.last_seq + 1)}
        lacking = [
            seq
            for seq in range(first, self.newest_seq() + 1)
            if Position(self.epoch, seq) not in self.staged and seq not in excused
        ]
        return [SeqRange(first_seq=low, last_seq=high) for low, high in ranges_of(lacking)[:64]]

    def kept(self) -> set[bytes]:
        """Digests of all that is durable here, wherever."""
        rows = [*self.accepted.values(), *self.staged.values(), *(row[2] for row in self.side)]
        return {envelope_sha256(row) for row in rows}

    def _is_next(self, at: Position) -> bool:
        return at == Position(self.epoch, (self.head.seq if self.head else 0) + 1)

    def _verdict(self, at: Position, envelope: bytes) -> DeliverResult:
        if self.accepted.get(at) == envelope:
            return DeliverResult(status=DELIVER_STATUS_ACCEPTED)
        waits = self.staged.get(at) == envelope
        return DeliverResult(status=DELIVER_STATUS_STAGED if waits else DELIVER_STATUS_FORK)

    def _next_record(self) -> bool:
        """Accept the next record of the epoch, passing over places that were given up."""
        seq, previous = (self.head.seq, self.head.sha256) if self.head else (0, b"")
        while Position(self.epoch, seq + 1) not in self.staged:
            excuse = next((one for one in self._excuses() if one.first_seq <= seq + 1 <= one.last_seq), None)
            if excuse is None or (excuse.refused and not self._was_refused(excuse)):
                return False
            seq, previous = excuse.last_seq, excuse.last_sha256
        at = Position(self.epoch, seq + 1)
        envelope = self.staged.pop(at)
        if is_reset(statement_of(envelope)) or statement_of(envelope).previous_envelope_sha256 != previous:
            self.side.append(("BRANCH", at, envelope))
            self._alarm("FORK")
        else:
            self._accept(at, envelope)
        return True

    def _next_epoch(self) -> bool:
        """Accept the RESET of a later epoch that cites the head; of several the newest."""
        for at in sorted(self.staged, reverse=True):
            if at.epoch <= self.epoch or at.seq != 1:
                continue
            reset = statement_of(self.staged[at]).device_event.reset
            cited = position_of(reset.cloud_head) if reset.HasField("cloud_head") else None
            if cited != self.head:
                ahead = cited is not None and (
                    self.head is None or (cited.epoch, cited.seq) > (self.head.epoch, self.head.seq)
                )
                if ahead:
                    continue  # this service was restored: what lies before may still come
                self.side.append(("BRANCH", at, self.staged.pop(at)))
                self._alarm("FORK")
                return True
            if "RESET" in self.alarms:
                self.suspended = True
                return False
            if reset.HasField("device_head"):
                self.device_heads[reset.device_head.chain_epoch] = reset.device_head.seq
                self.left.append((self.epoch, reset.device_head.chain_epoch))  # by RESETs that are not here
            self._alarm("RESET")
            self.epoch = at.epoch
            self._accept(at, self.staged.pop(at))
            for old in [place for place in self.staged if place.epoch < self.epoch]:
                self.side.append(("BRANCH", old, self.staged.pop(old)))
            return True
        return False

    def _accept(self, at: Position, envelope: bytes) -> None:
        self.accepted[at] = envelope
        self.head = ChainHead(at.epoch, at.seq, envelope_sha256(envelope))
        self.log(envelope)

    def _excuses(self) -> list[Excuse]:
        rows = [*self.staged.items(), *self.accepted.items()]
        here = (excuses_of(statement_of(envelope)) for at, envelope in rows if at.epoch == self.epoch)
        return [excuse for excuse in here if excuse is not None]

    def _was_refused(self, excuse: Excuse) -> bool:
        return any(
            kind == "REFUSED" and envelope_sha256(row) == excuse.last_sha256 for kind, _, row in self.side
        )

    def _refuse(self, envelope: bytes, at: Position, reason: str) -> Callable[[], DeliverResult]:
        if ("REFUSED", at, envelope) not in self.side:
            self.side.append(("REFUSED", at, envelope))
        return lambda: DeliverResult(status=DELIVER_STATUS_INVALID, reason=reason)

    def _branch(self, at: Position, envelope: bytes) -> Callable[[], DeliverResult]:
        if ("BRANCH", at, envelope) not in self.side:
            self.side.append(("BRANCH", at, envelope))
            self._alarm("FORK")
        return lambda: DeliverResult(status=DELIVER_STATUS_FORK)

    def _alarm(self, kind: str, *, suspend: bool = False) -> None:
        self.alarms.append(kind)
        self.suspended = self.suspended or suspend
