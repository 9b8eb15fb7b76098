"""Steps about the transparency log, as ``verify.py`` numbers them: 13 to 15."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography import x509

from verifield.certificates import (
    Purpose,
    check_chain,
    common_name,
    log_key,
    parse_certificate,
    signing_key,
)
from verifield.dsse import check_signature, parse_envelope
from verifield.errors import Forged, Malformed, Unknown, Untrusted
from verifield.leaf import log_leaf
from verifield.merkle import check_consistency, check_inclusion, leaf_hash
from verifield.note import Checkpoint, check_checkpoint, parse_checkpoint
from verifield.profile import device_id_of
from verifield.statement import STATEMENT_TYPE, parse_statement
from verifield.steps.revocation import check_not_revoked, revoked_by
from verifield.steps.run import Missing, Run
from verifield.v1.bundle_pb2 import Witness


def check_log_checkpoint(run: Run) -> str:
    """Step 13. A checkpoint may be newer than the receipt, and so may the key that signed it."""
    certificates = run.bundle.log_certificates
    if not run.bundle.HasField("log_entry") or not certificates:
        raise Missing("No log entry with its certificate: nothing shows that the record was published.")
    key_certificate = parse_certificate(certificates[0])
    begins = key_certificate.not_valid_before_utc
    at = max(run.not_after, begins) if run.not_after else begins
    check_chain(certificates, roots=run.roots, at=at, purpose=Purpose.LOG)
    checkpoint = check_checkpoint(run.bundle.log_entry.checkpoint, key=log_key(key_certificate))
    if checkpoint.origin != common_name(key_certificate):
        raise Untrusted("LOG_NAME", "The checkpoint is of another log than its key was certified for.")
    if checkpoint.size != run.bundle.log_entry.tree_size:
        raise Forged("LOG_SIZE", "The checkpoint is of another tree size than the log entry claims.")
    # The receipt's key vouches for the note that it holds; for another one the log's key alone does.
    if run.receipt is None or run.receipt.checkpoint != run.bundle.log_entry.checkpoint:
        check_not_revoked(run, certificates[0], at=None, whose="log's")
    run.checkpoint = checkpoint
    return f"The log {checkpoint.origin} signed its tree of {checkpoint.size} records."


def check_log_inclusion(run: Run) -> str:
    """Step 14."""
    checkpoint, entry = run.checkpoint, run.bundle.log_entry
    if checkpoint is None:
        raise Missing("Without a log entry nothing shows that the record was published.")
    check_inclusion(
        leaf=leaf_hash(log_leaf(run.envelope, run.bundle.certificates[0])),
        index=entry.index,
        size=checkpoint.size,
        proof=entry.inclusion_hashes,
        root=checkpoint.root,
    )
    if run.receipt is not None:
        promised = parse_checkpoint(run.receipt.checkpoint)
        same_size_other_root = promised.size == checkpoint.size and promised.root != checkpoint.root
        if promised.origin != checkpoint.origin or promised.size <= entry.index or same_size_other_root:
            raise Forged("LOG_CONTRADICTION", "The receipt and the log entry speak of different logs.")
    return f"The record is entry {entry.index} of the log."


def check_witnesses(run: Run) -> str:
    """Step 15. Some who hold do not count: the device itself, under whatever name, and revoked ones."""
    checkpoint = run.checkpoint
    if checkpoint is None or not run.bundle.witnesses:
        raise Missing("No witness: only the service says that the log shows everybody the same tree.")
    voices = [_check_witness(run, checkpoint, witness) for witness in run.bundle.witnesses]
    others = [voice for voice in voices if not _is_same_device(run, voice)]
    if not others:
        raise Missing("The only witness is the device itself, which does not count.")
    trusted = [voice for voice in others if revoked_by(run, voice.leaf, None) is None]
    # Two names with one key are one device, and so are two keys with one name.
    run.witnesses = min(
        len({voice.device_id for voice in trusted}),
        len({signing_key(voice.leaf).public_numbers() for voice in trusted}),
    )
    if not trusted:
        raise Missing("The only witnesses are devices whose certificate was revoked: they do not count.")
    return f"{count_devices(run.witnesses)} saw a tree of this log with the record in it."


def count_devices(number: int) -> str:
    """Return the words for that many other devices."""
    return "One other device" if number == 1 else f"{number} other devices"


@dataclass(frozen=True, slots=True)
class _Voice:
    """A device that saw the tree. ``predecessor_id``: whose place it has taken, where it says so here."""

    device_id: str
    leaf: x509.Certificate
    predecessor_id: str


def _is_same_device(run: Run, voice: _Voice) -> bool:
    """Whether the witness is the device of the record: by key, by name, or by an earlier or later name."""
    statement, own_key = run.statement, signing_key(run.leaf).public_numbers()
    names = {statement.device_id, statement.device_event.predecessor_id}
    same_key = signing_key(voice.leaf).public_numbers() == own_key
    return same_key or voice.device_id in names or voice.predecessor_id == statement.device_id


def _check_witness(run: Run, checkpoint: Checkpoint, witness: Witness) -> _Voice:
    """Return who saw the tree; whatever fails makes the witness a forged one."""
    try:
        return _check_witness_parts(run, checkpoint, witness)
    except Unknown:
        raise
    except (Malformed, Forged, Untrusted) as error:
        raise Forged(
            "WITNESS",
            f"A witness of the log does not hold: {error.message}",
            hint="Ask the service how a false witness came into the bundle; do not rely on it.",
        ) from error


def _check_witness_parts(run: Run, checkpoint: Checkpoint, witness: Witness) -> _Voice:
    envelope = parse_envelope(witness.envelope)
    if envelope.payload_type != STATEMENT_TYPE or not witness.certificates:
        raise Malformed("WITNESS", "It is no attestation with a certificate.")
    leaf = parse_certificate(witness.certificates[0])
    # No receipt says when the witness spoke, but it was after the record that it saw.
    at = max(leaf.not_valid_before_utc, run.not_before or leaf.not_valid_before_utc)
    check_chain(witness.certificates, roots=run.roots, at=at, purpose=Purpose.ATTESTATION)
    statement = parse_statement(check_signature(envelope, signing_key(leaf)))
    if statement.device_id != device_id_of(leaf):
        raise Forged("DEVICE", "It names another device than its certificate.")
    note = witness.checkpoint.encode()
    if not hmac.compare_digest(statement.last_checkpoint_sha256, hashlib.sha256(note).digest()):
        raise Forged("WITNESS", "It cites another checkpoint than the one that comes with it.")
    key = log_key(parse_certificate(run.bundle.log_certificates[0]))
    seen = check_checkpoint(witness.checkpoint, key=key)
    if seen.origin != checkpoint.origin or seen.size <= run.bundle.log_entry.index:
        raise Forged("WITNESS", "The tree that it saw is of another log, or too small to hold the record.")
    smaller, larger = sorted((seen, checkpoint), key=lambda tree: tree.size)
    check_consistency(
        first_size=smaller.size,
        first_root=smaller.root,
        second_size=larger.size,
        second_root=larger.root,
        proof=witness.consistency_hashes,
    )
    return _Voice(statement.device_id, leaf, statement.device_event.predecessor_id)
