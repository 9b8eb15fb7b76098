"""Delivery by hand, inwards: the file that came back. Importing it again changes nothing.

1. The file is whole, begins with a manifest that this device signed, and the cloud has sealed the rest. All
   that follows reads one private copy of it: a stick may show something else each time that it is read.
2. The device remembers what that export held, and the answers are as many.
3. The newest receipt passes the checks of ``edge.sync.receipts``.
4. Marks, receipt, files and news are applied as if they had come over the network.
5. What the answers ask for is recorded: a GAP, a TOMBSTONE, a RESET; it travels with the next export.

Steps 1 to 3 come before anything is changed. Where the device has heard from the cloud since the export,
what the file says of receipts and news is older than what it knows: then only marks and files count.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from edge.contact import BY_HAND
from edge.errors import CloudError, InputError
from edge.files import make_private_folder
from edge.model import Position
from edge.ports import Clock
from edge.rpc import RpcFailure
from edge.sync.batch import marks_of, sort_results
from edge.sync.compare import Bury, Mend, NewEpoch, judge_chains
from edge.sync.events import (
    CloudChain,
    MarkBranch,
    MarkDelivered,
    MarkRefused,
    RecordResult,
    Verdict,
)
from edge.sync.journal import Entry, Journal
from edge.sync.look import local_chain
from edge.sync.ports import Outgoing, UplinkError
from edge.sync.receipts import LogInconsistent, Word, check_word
from edge.sync.says import log_inconsistent
from edge.sync.taking import Parts, ReceiptTaker, read_arrival
from edge.sync.uplink import check_epoch, parse_missing, parse_results
from verifield.certificates import parse_certificate
from verifield.chain import ChainHead
from verifield.errors import VerifieldError
from verifield.rules import DIGEST_BYTES
from verifield.transfer import check_manifest, check_seal, read_frames, read_seal
from verifield.v1.sync_service_pb2 import DeliverResponse
from verifield.v1.transfer_pb2 import TransferFrame, TransferManifest

MAX_TOMBSTONES = 16
"""At most so many refused records are given up by one import: more look like a fault of the cloud."""

MAX_ANSWER_BYTES = 512 * 1024 * 1024
"""More than the answers to a million records and the 64 pages of news of one answer can have."""

_COPY_BYTES = 1024 * 1024

_DELIVERED = (Verdict.ACCEPTED, Verdict.ALREADY_HAVE, Verdict.STAGED)


@dataclass(frozen=True, slots=True)
class Importer:
    """``certificates``: of the attestation key, DER, leaf first.

    ``accept_log``: a person believes the log as it is now.
    """

    parts: Parts
    journal: Journal
    certificates: tuple[bytes, ...]
    clock: Clock
    accept_log: bool = False


@dataclass(frozen=True, slots=True)
class ImportReport:
    """``stale``: the device has heard from the cloud since. ``notes``: recorded for the next export."""

    delivered: int
    confirmed: int
    refused: int
    forked: int
    files: int
    news: bool
    stale: bool
    notes: int


@dataclass(slots=True)
class _Answers:
    """``results``: of the records that are still here. ``newest``: the last answer with a receipt, which are
    cumulative. ``missing``: what the cloud waits for, by its last answer.
    """

    manifest: TransferManifest
    entry: Entry
    results: list[RecordResult] = field(default_factory=list)
    files: list[bytes] = field(default_factory=list)
    newest: DeliverResponse | None = None
    missing: tuple[tuple[int, int], ...] = ()


def read_import(importer: Importer, path: Path) -> ImportReport:
    """Take the answer file at ``path``.

    Raises:
        InputError: TRANSFER_UNREADABLE, TRANSFER_DAMAGED, TRANSFER_NOT_AN_ANSWER, TRANSFER_FOREIGN or
            TRANSFER_UNKNOWN; nothing was changed.
        CloudError: RECEIPT_REFUSED or LOG_INCONSISTENT; nothing was changed.
        StorageError: a store refused.
    """
    with _copied(path, importer.journal.folder) as file:
        return _import(importer, file)


def _import(importer: Importer, file: BinaryIO) -> ImportReport:
    answers = _read(importer, file)
    seen = importer.parts.backlog.witnessed()
    stale = (seen.tree_size if seen else 0) != answers.entry.tree_size
    word = None if stale else _check_receipt(importer, answers)
    _mark(importer, answers)
    confirmed = _apply(importer, word)
    for sha256 in answers.files:
        importer.parts.backlog.media_done(sha256)
    news = _take_news(importer, file, answers.manifest)
    notes = 0 if stale else _repair(importer, answers, word)
    return ImportReport(
        delivered=sum(one.verdict in _DELIVERED for one in answers.results),
        confirmed=confirmed,
        refused=sum(one.verdict is Verdict.INVALID for one in answers.results),
        forked=sum(one.verdict is Verdict.FORK for one in answers.results),
        files=len(answers.files),
        news=news,
        stale=stale,
        notes=notes,
    )


@contextmanager
def _copied(path: Path, folder: Path) -> Iterator[BinaryIO]:
    with ExitStack() as stack:
        try:
            make_private_folder(folder)
            copy = stack.enter_context(tempfile.TemporaryFile(dir=folder))
            with path.open("rb") as file:
                while piece := file.read(_COPY_BYTES):
                    copy.write(piece)
                    if copy.tell() > MAX_ANSWER_BYTES:
                        raise _damaged("it is larger than any answer.")
        except OSError as error:
            raise InputError(
                "TRANSFER_UNREADABLE",
                f"The file {path} cannot be read, or not be copied into this device: "
                f"{error.strerror or error}.",
                hint="Check that the stick is in, the file's name, and that the device's disk has space.",
            ) from None
        yield copy


def _read(importer: Importer, file: BinaryIO) -> _Answers:
    """Steps 1 and 2; nothing but the manifest is believed, or kept, before the seal is checked."""
    manifest = _check_manifest(importer, _manifest_frame(file))
    _check_seal(importer, file, manifest)
    entry = importer.journal.find(manifest.transfer_id)
    if entry is None:
        raise InputError(
            "TRANSFER_UNKNOWN",
            "This device does not remember the export that the file answers.",
            hint="Export again, and bring back the answer to that file: nothing is delivered twice.",
        )
    answers = _Answers(manifest, entry)
    batches = iter(entry.batches)
    for frame in _frames(file):
        if frame.HasField("answer"):
            _take_answer(importer, answers, next(batches, None), frame.answer)
        elif frame.HasField("media_complete"):
            if len(frame.media_complete) != DIGEST_BYTES:
                raise _damaged("it names a file by no digest.")
            answers.files.append(frame.media_complete)
    if next(batches, None) is not None:
        raise _not_as_many()
    return answers


def _manifest_frame(file: BinaryIO) -> bytes:
    frames = _frames(file)
    first, second = next(frames, None), next(frames, None)
    if first is None or not first.HasField("manifest"):
        raise _not_an_answer()
    if second is not None and (second.HasField("deliver") or second.HasField("media")):
        raise _not_an_answer()  # the export itself
    return first.manifest


def _frames(file: BinaryIO) -> Iterator[TransferFrame]:
    file.seek(0)
    try:
        yield from read_frames(file)
    except VerifieldError as error:
        raise _damaged(error.message) from None


def _take_answer(
    importer: Importer, answers: _Answers, batch: tuple[Position, ...] | None, answer: DeliverResponse
) -> None:
    if batch is None or len(answer.results) != len(batch):
        raise _not_as_many()
    records: list[Outgoing] = []
    kept = DeliverResponse()
    for position, result in zip(batch, answer.results, strict=True):
        record = importer.parts.backlog.at(position)
        if record is not None:
            records.append(record)
            kept.results.append(result)
    try:
        answers.results += parse_results(kept, records)
        answers.missing = parse_missing(answer)
    except UplinkError as error:
        raise _damaged(error.failure.message) from None
    if answer.receipt:
        answers.newest = answer


def _check_manifest(importer: Importer, envelope: bytes) -> TransferManifest:
    """The certificate is judged at its own beginning: the file may be older than a renewal."""
    leaf = parse_certificate(importer.certificates[0])
    try:
        return check_manifest(
            envelope,
            certificates=importer.certificates,
            roots=importer.parts.roots,
            at=leaf.not_valid_before_utc,
        )
    except VerifieldError as error:
        raise InputError(
            "TRANSFER_FOREIGN",
            f"The file is not an answer to an export of this device ({error.code}).",
            hint="Take the file that belongs to this device: its name begins with the device's id.",
        ) from None


def _check_seal(importer: Importer, file: BinaryIO, manifest: TransferManifest) -> None:
    """Most of an answer carries no signature of its own, and whoever had the stick could write it."""
    file.seek(0)
    try:
        found, seal = read_seal(file)
        check_seal(seal, roots=importer.parts.roots, found=found, answered=manifest)
    except VerifieldError as error:
        raise _damaged(f"it is not as the cloud sealed it ({error.code}).") from None


def _check_receipt(importer: Importer, answers: _Answers) -> Word | None:
    """Step 3."""
    if answers.newest is None:
        return None
    parts = importer.parts
    try:
        word = check_word(
            answers.newest,
            roots=parts.roots,
            seen=parts.backlog.witnessed(),
            accept_log=importer.accept_log,
        )
    except VerifieldError as error:
        raise CloudError(
            "RECEIPT_REFUSED",
            f"The receipt in the file was refused: {error.message}",
            hint="Nothing was changed. Ask the operator of the cloud, and show the file.",
        ) from None
    except LogInconsistent as error:
        parts.keep_evidence(error)
        trouble = log_inconsistent(error.code)
        raise CloudError(trouble.code, trouble.message, hint="Nothing was changed.") from None
    try:
        check_epoch(_head_of(word), parts.backlog.head())
    except UplinkError as error:
        raise _damaged(error.failure.message) from None
    return word


def _mark(importer: Importer, answers: _Answers) -> None:
    """Step 4: what became of each record that is still here."""
    backlog = importer.parts.backlog
    head = backlog.head()
    for mark in marks_of(sort_results(tuple(answers.results), epoch=head.epoch if head else 1)):
        match mark:
            case MarkDelivered(positions):
                backlog.mark_delivered(positions)
            case MarkBranch(positions):
                backlog.mark_branch(positions)
            case MarkRefused(position, reason):
                backlog.mark_refused(position, reason)
    backlog.mark_damaged_sent(answers.entry.damaged)


def _apply(importer: Importer, word: Word | None) -> int:
    if word is None:
        return 0
    taken = ReceiptTaker(importer.parts, importer.clock).apply(word, arrival=BY_HAND)
    if isinstance(taken, RpcFailure):
        raise CloudError(taken.code, taken.message, hint="Ask the operator of the cloud.")
    return taken if isinstance(taken, int) else 0  # a contradiction is settled by a RESET


def _take_news(importer: Importer, file: BinaryIO, manifest: TransferManifest) -> bool:
    """News count only where they continue what the device has heard."""
    downstream = importer.parts.downstream
    if downstream.cursor() != manifest.pull_cursor:
        return False
    taken = False
    for frame in _frames(file):
        if frame.HasField("down"):
            downstream.take(frame.down, arrival=read_arrival(importer.clock), by_hand=True)
            taken = True
    return taken


def _repair(importer: Importer, answers: _Answers, word: Word | None) -> int:
    """Step 5: compare both sides as the answers leave them; return how many notes were recorded."""
    parts = importer.parts
    head = parts.backlog.head()
    epoch = head.epoch if head else 1
    results = answers.results
    batch = sort_results(tuple(results), epoch=epoch)
    notes = 0
    if batch.excuse_refused is None:
        here = [one for one in results if one.verdict is Verdict.INVALID and one.position.epoch == epoch]
        for one in [one for one in here if not one.closed and not one.reset][:MAX_TOMBSTONES]:
            parts.backlog.mark_refused(one.position, one.reason)
            parts.chronicle.record_tombstone(one.position, one.reason)
            notes += 1
    if word is None:
        return notes
    cloud = _cloud_chain(answers, word)
    judgement = judge_chains(cloud, local_chain(parts.backlog, cloud), forked=batch.forked, sweep=False)
    match judgement:
        case NewEpoch(reason):
            parts.chronicle.record_reset(cloud.head, reason)
            notes += 1
        case Mend(holes):
            for hole in holes:
                parts.chronicle.record_gap(hole)
                notes += 1
        case Bury(position, reason):
            parts.chronicle.record_tombstone(position, reason)
            notes += 1
    return notes


def _head_of(word: Word) -> ChainHead:
    return ChainHead(word.receipt.chain_epoch, word.receipt.through_seq, word.receipt.head_sha256)


def _cloud_chain(answers: _Answers, word: Word) -> CloudChain:
    head = _head_of(word)
    staged = [
        one.position.seq
        for one in answers.results
        if one.verdict is Verdict.STAGED and one.position.epoch == head.epoch
    ]
    return CloudChain(head, max([head.seq, *staged]), answers.missing)


def _not_an_answer() -> InputError:
    return InputError(
        "TRANSFER_NOT_AN_ANSWER",
        "This file is no answer of the cloud.",
        hint="Bring the exported file to the operator of the cloud, and take the answer file back.",
    )


def _not_as_many() -> InputError:
    return _damaged("its answers are not as many as there were questions.")


def _damaged(why: str) -> InputError:
    return InputError(
        "TRANSFER_DAMAGED",
        f"The file is damaged: {why}",
        hint="Copy it again from where it was written; nothing was changed.",
    )
