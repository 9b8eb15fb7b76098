"""What a receipt must bear out before it counts. Pure.

1. It is signed by a receipt key of the pinned root.
2. Its checkpoint is signed by a log key of the same root, under the log's own name.
3. The log's tree grew out of the one that this device saw last: this device is a witness.
4. It is for this device, and names our own digest at its place (the outbox checks that).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509

from edge.sync.ports import SeenTree
from verifield.certificates import Purpose, check_chain, common_name, log_key
from verifield.errors import Forged, VerifieldError
from verifield.merkle import check_consistency
from verifield.note import Checkpoint, check_checkpoint, parse_checkpoint
from verifield.receipt import check_receipt
from verifield.v1.bundle_pb2 import Receipt
from verifield.v1.sync_service_pb2 import DeliverResponse
from verifield.wire import parse_time


class LogInconsistent(Exception):
    """The log contradicts what it showed before. ``seen`` and ``shown``: both notes, as signed."""

    def __init__(self, code: str, *, seen: str, shown: str) -> None:
        super().__init__(code)
        self.code = code
        self.seen = seen
        self.shown = shown


@dataclass(frozen=True, slots=True)
class Word:
    """A receipt that passed steps 1 to 3."""

    envelope: bytes
    receipt: Receipt
    tree_size: int


def check_word(
    answer: DeliverResponse,
    *,
    roots: Sequence[x509.Certificate],
    seen: SeenTree | None,
    accept_log: bool = False,
) -> Word:
    """Check the receipt of ``answer``. ``accept_log``: a person has decided to leave step 3 out.

    Raises:
        VerifieldError: steps 1 and 2.
        LogInconsistent: step 3.
    """
    receipt = check_receipt(answer.receipt, certificates=answer.receipt_certificates, roots=roots)
    at = parse_time(receipt.server_time, what="receipt's server time")
    leaf = check_chain(answer.log_certificates, roots=roots, at=at, purpose=Purpose.LOG)
    checkpoint = check_checkpoint(receipt.checkpoint, key=log_key(leaf))
    if checkpoint.origin != common_name(leaf):
        raise Forged("CHECKPOINT_ORIGIN", "The checkpoint's log is not the one that its certificate names.")
    if seen is not None and not accept_log:
        _check_growth(seen, checkpoint, receipt.checkpoint, answer.consistency_hashes)
    return Word(answer.receipt, receipt, checkpoint.size)


def _check_growth(seen: SeenTree, shown: Checkpoint, note: str, proof: Sequence[bytes]) -> None:
    before = parse_checkpoint(seen.note)
    if shown.origin != before.origin:
        raise LogInconsistent("OTHER_LOG", seen=seen.note, shown=note)
    if shown.size < before.size:
        raise LogInconsistent("LOG_SHRANK", seen=seen.note, shown=note)
    try:
        check_consistency(
            first_size=before.size,
            first_root=before.root,
            second_size=shown.size,
            second_root=shown.root,
            proof=proof,
        )
    except VerifieldError as error:
        raise LogInconsistent(error.code, seen=seen.note, shown=note) from error
