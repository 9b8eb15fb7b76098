"""What the sync machine hears and says: events, commands, and the values in them. All frozen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from edge.model import Hole, Position, ResetReason
from edge.rpc import RpcFailure
from verifield.chain import ChainHead
from verifield.rules import CODE

REFUSED_UNNAMED = "REFUSED_UNNAMED"
"""In the place of a reason that is no code: a TOMBSTONE cannot hold that, and the queue would stop there."""


def refusal_code(reason: str) -> str:
    """Return the cloud's reason for a refusal as what may stand in a TOMBSTONE."""
    return reason if CODE.fullmatch(reason) else REFUSED_UNNAMED


class Verdict(StrEnum):
    """What the cloud says of one record; names equal those of verifield.v1.DeliverStatus."""

    ACCEPTED = "ACCEPTED"
    ALREADY_HAVE = "ALREADY_HAVE"
    STAGED = "STAGED"
    FORK = "FORK"
    OUT_OF_ORDER = "OUT_OF_ORDER"
    INVALID = "INVALID"


@dataclass(frozen=True, slots=True)
class RecordResult:
    """``reason``: the cloud's stable code, for INVALID. ``new``: this device had no answer for it before.

    ``excuse``: the record is a GAP or a TOMBSTONE itself. ``closed``: we knew that it is refused, and a
    TOMBSTONE closes its place.
    """

    position: Position
    verdict: Verdict
    reason: str = ""
    new: bool = True
    excuse: bool = False
    closed: bool = False

    @property
    def reset(self) -> bool:
        """Whether the record begins a new epoch: no other kind may."""
        return self.position.seq == 1 and self.position.epoch > 1


@dataclass(frozen=True, slots=True)
class CloudChain:
    """The cloud's side. ``head``: None when it has nothing of this device yet.

    ``newest_seq`` and ``missing`` (first and last seq of ranges) are of the head's epoch: what is
    durable there although it waits for its turn, and what it waits for.
    """

    head: ChainHead | None
    newest_seq: int = 0
    missing: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class LocalChain:
    """Our side of the comparison.

    ``confirmed``: newest place that a receipt covers. ``sha256_at_cloud``: our digest at the cloud's
    head, None where unknown. ``pending``: oldest place of which the cloud has said nothing, and
    ``pending_here`` the oldest such of this epoch. ``cited``: the head of the cloud that the RESET of
    this epoch cites, ``reset_here`` whether that RESET is still here to be sent, and ``reaches_cited``
    whether our records lead from the cloud's head to the cited one without a gap; only asked where the
    cloud is in an earlier epoch. ``holes``: of this epoch, behind the cloud's head. ``refused``: places
    of this epoch, with the cloud's reasons, that no TOMBSTONE closes yet. ``reset_needed``: the store
    itself says that it cannot go on.
    """

    head: ChainHead | None
    confirmed: Position | None = None
    sha256_at_cloud: bytes | None = None
    pending: Position | None = None
    pending_here: Position | None = None
    cited: ChainHead | None = None
    reset_here: bool = True
    reaches_cited: bool = False
    holes: tuple[Hole, ...] = ()
    refused: tuple[tuple[Position, str], ...] = ()
    reset_needed: ResetReason | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Places to deliver: behind ``after``, through ``through``, or without end where that is None."""

    after: Position
    through: Position | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the machine waits or halts: a stable code and a sentence for the operator."""

    code: str
    message: str


# Events


@dataclass(frozen=True, slots=True)
class Wake:
    """There are new records, or the daemon has just started."""


@dataclass(frozen=True, slots=True)
class Called:
    """A person asks to look again now."""


@dataclass(frozen=True, slots=True)
class Timer:
    """The time in ``until`` has come."""


@dataclass(frozen=True, slots=True)
class RenewalDue:
    """Half of the certificates' life is over."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """The certificates are new."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """A page of what comes down is stored. ``more`` waits."""

    more: bool


@dataclass(frozen=True, slots=True)
class HeadAnswered:
    cloud: CloudChain
    local: LocalChain


@dataclass(frozen=True, slots=True)
class Repaired:
    """Our own notes about the chain are stored: at these places, one behind the other."""

    first: Position
    last: Position


@dataclass(frozen=True, slots=True)
class BatchAnswered:
    """``results`` in the order sent. ``newly_confirmed``: by the receipt beside them.

    ``conflict``: the receipt is good but contradicts our chain.
    """

    results: tuple[RecordResult, ...]
    newly_confirmed: int = 0
    conflict: Trouble | None = None


@dataclass(frozen=True, slots=True)
class SpanSent:
    """Nothing more is in the span. ``unconfirmed``: a receipt for some record is missing.

    ``media``: files wait for their delivery.
    """

    unconfirmed: bool
    media: bool = False


@dataclass(frozen=True, slots=True)
class MediaStepped:
    """One step of a file was made. ``left``: there is more to do. ``records``: new ones have come.

    ``refused``: why the cloud would not take a file now.
    """

    left: bool
    records: bool
    refused: Trouble | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    failure: RpcFailure


Event = (
    Wake
    | Called
    | Timer
    | RenewalDue
    | Renewed
    | Pulled
    | HeadAnswered
    | Repaired
    | BatchAnswered
    | SpanSent
    | MediaStepped
    | Failed
)


# Commands. At most one of those that ask for an answer is given at a time, as the last.


@dataclass(frozen=True, slots=True)
class Renew:
    """Get new certificates; answer with Renewed or Failed."""


@dataclass(frozen=True, slots=True)
class PullPage:
    """Ask for what is new and store it; answer with Pulled or Failed."""


@dataclass(frozen=True, slots=True)
class AskHead:
    """Ask the cloud where it stands; answer with HeadAnswered or Failed."""


@dataclass(frozen=True, slots=True)
class SendBatch:
    """Send what is next in the span; answer with BatchAnswered, SpanSent or Failed."""

    span: Span


@dataclass(frozen=True, slots=True)
class SendMedia:
    """Make one step of a file; answer with MediaStepped or Failed."""


@dataclass(frozen=True, slots=True)
class StartEpoch:
    """Record a RESET that cites ``cloud``; answer with Repaired."""

    cloud: ChainHead | None
    reason: ResetReason


@dataclass(frozen=True, slots=True)
class RecordHoles:
    """Record a GAP for each; answer with Repaired."""

    holes: tuple[Hole, ...]


@dataclass(frozen=True, slots=True)
class RecordTombstone:
    """Mark the record as refused and record a TOMBSTONE for it; answer with Repaired."""

    position: Position
    reason: str


@dataclass(frozen=True, slots=True)
class MarkDelivered:
    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True)
class MarkRefused:
    """For records that no TOMBSTONE can close: those of an earlier epoch."""

    position: Position
    reason: str


@dataclass(frozen=True, slots=True)
class MarkBranch:
    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True)
class DeliverAgain:
    """Queue all that is here of epochs before this one once more: the cloud has lost something."""

    before_epoch: int


@dataclass(frozen=True, slots=True)
class Lock:
    """The cloud has revoked this device: no new session."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Drop the connection: the next attempt starts afresh."""


Command = (
    Renew
    | PullPage
    | AskHead
    | SendBatch
    | SendMedia
    | StartEpoch
    | RecordHoles
    | RecordTombstone
    | MarkDelivered
    | MarkRefused
    | MarkBranch
    | DeliverAgain
    | Lock
    | Disconnect
)
