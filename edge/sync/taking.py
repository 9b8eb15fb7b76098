"""What is done with a receipt, however it came: it is checked, compared with our chain, and applied.

Only the outbox, which compares it with its own digest, marks anything as confirmed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, timedelta

from cryptography import x509

from edge.contact import BY_HAND, Arrival
from edge.errors import EdgeError, StorageError
from edge.model import Position
from edge.ports import Clock
from edge.rpc import FailureKind, RpcFailure
from edge.sync import says
from edge.sync.events import Trouble
from edge.sync.ports import Backlog, Chronicle, Downstream, Errand, Uplink
from edge.sync.receipts import LogInconsistent, Word, check_word
from verifield.errors import VerifieldError
from verifield.v1.sync_service_pb2 import DeliverResponse

_CONFLICTS = ("RECEIPT_AHEAD", "RECEIPT_FORK")


@dataclass(frozen=True, slots=True)
class Parts:
    """What a pump works with. ``roots``: pinned. ``renew``: gets new certificates, or says why not.

    ``retention``: how long a confirmed record stays; None where none may go now. ``keep_evidence``: stores
    both notes of a log that contradicts itself. ``errands``: what goes after the records and before their
    files, in this order.
    """

    backlog: Backlog
    chronicle: Chronicle
    downstream: Downstream
    open_uplink: Callable[[], Uplink]
    renew: Callable[[], RpcFailure | None]
    roots: Sequence[x509.Certificate]
    retention: Callable[[], timedelta | None]
    keep_evidence: Callable[[LogInconsistent], None]
    errands: Sequence[Errand] = ()


@dataclass(slots=True)
class ReceiptTaker:
    """``accept_log``: a person believes the log as it is now, once. ``confirmed``: records, so far."""

    parts: Parts
    clock: Clock
    accept_log: bool = False
    confirmed: int = 0

    def take(self, answer: DeliverResponse) -> int | Trouble | RpcFailure:
        """Verify and apply the receipt of an answer, if it has one.

        Returns how many records it confirmed, or what it contradicts in our chain, or why it was refused.
        """
        if not answer.receipt:
            return 0
        try:
            seen = self.parts.backlog.witnessed()
            word = check_word(answer, roots=self.parts.roots, seen=seen, accept_log=self.accept_log)
        except VerifieldError as error:
            message = f"The cloud's receipt was refused: {error.message}"
            return RpcFailure(FailureKind.PERMANENT, "RECEIPT_REFUSED", message)
        except LogInconsistent as error:
            self.parts.keep_evidence(error)
            trouble = says.log_inconsistent(error.code)
            return RpcFailure(FailureKind.PERMANENT, trouble.code, trouble.message)
        return self.apply(word, arrival=read_arrival(self.clock))

    def apply(self, word: Word, *, arrival: Arrival) -> int | Trouble | RpcFailure:
        """Apply a checked receipt that came at ``arrival``; returns as :meth:`take`."""
        backlog, receipt = self.parts.backlog, word.receipt
        at, head = Position(receipt.chain_epoch, receipt.through_seq), backlog.head()
        if head is not None and at.epoch < head.epoch and backlog.digest_at(at) != receipt.head_sha256:
            return 0  # of the branch that our RESET leaves behind
        try:
            confirmed = backlog.apply_receipt(
                word.envelope, receipt, arrival=arrival, tree_size=word.tree_size
            )
        except StorageError as error:
            if error.code in _CONFLICTS:
                return Trouble(error.code, error.message)
            if error.code.startswith("RECEIPT_"):
                return RpcFailure(FailureKind.PERMANENT, error.code, error.message)
            raise
        server_time = receipt.server_time.ToDatetime(tzinfo=UTC)
        with suppress(EdgeError):  # the next receipt says it again
            self.parts.downstream.note_word(server_time, read_arrival(self.clock), by_hand=arrival == BY_HAND)
        retention = self.parts.retention()
        if retention is not None:
            # By the cloud's clock, so that a device's wrong one deletes nothing too early.
            backlog.purge(now=server_time, retention=retention)
        self.confirmed += confirmed
        self.accept_log = False  # what was believed once is what the next one must continue
        return confirmed


def read_arrival(clock: Clock) -> Arrival:
    """When the cloud's word arrived."""
    return Arrival(clock.boot_id(), clock.monotonic_ns())
