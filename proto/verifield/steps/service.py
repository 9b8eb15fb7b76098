"""Steps about what the service confirmed, as ``verify.py`` numbers them: 3 and 9 to 11."""

from __future__ import annotations

import hmac

from verifield.bounds import earliest_time
from verifield.chain import envelope_sha256
from verifield.errors import Forged
from verifield.receipt import check_receipt
from verifield.steps.run import Missing, Run
from verifield.wire import parse_time


def check_service_receipt(run: Run) -> str:
    """Step 3."""
    if not run.bundle.receipt or not run.bundle.receipt_certificates:
        raise Missing("No receipt with its certificate: no trusted time, no proof of the chain position.")
    run.receipt = check_receipt(
        run.bundle.receipt, certificates=run.bundle.receipt_certificates, roots=run.roots
    )
    run.not_after = parse_time(run.receipt.server_time, what="receipt's server time")
    return f"Signed by the service at {run.not_after:%Y-%m-%d %H:%M:%S} UTC."


def check_position(run: Run) -> str:
    """Step 9."""
    receipt, statement = run.receipt, run.statement
    if receipt is None:
        raise Missing("Without a receipt only the device itself says where in its chain the record stands.")
    same_place = (receipt.device_id, receipt.chain_epoch, receipt.through_seq) == (
        statement.device_id,
        statement.chain_epoch,
        statement.seq,
    )
    if not same_place or not hmac.compare_digest(receipt.head_sha256, envelope_sha256(run.bundle.envelope)):
        raise Forged("RECEIPT_MISMATCH", "The receipt was given for another record.")
    return f"The receipt names this record: number {statement.seq} in epoch {statement.chain_epoch}."


def check_not_before(run: Run) -> str:
    """Step 10."""
    statement, bundle = run.statement, run.bundle
    certificates = bundle.cited_receipt_certificates or bundle.receipt_certificates
    if not bundle.cited_receipt or not certificates:
        cites = (
            "the receipt that it cites is not here"
            if statement.last_receipt_sha256
            else "it cites no receipt"
        )
        raise Missing(f"No earliest time of the record: {cites}.")
    if not hmac.compare_digest(statement.last_receipt_sha256, envelope_sha256(bundle.cited_receipt)):
        raise Forged("CITED_RECEIPT", "The bundle brings another earlier receipt than the record cites.")
    cited = check_receipt(bundle.cited_receipt, certificates=certificates, roots=run.roots)
    before = (cited.chain_epoch, cited.through_seq) < (statement.chain_epoch, statement.seq)
    if cited.device_id != statement.device_id or not before:
        raise Forged("CITED_RECEIPT", "The earlier receipt is of another device, or of a later record.")
    server_time = parse_time(cited.server_time, what="receipt's server time")
    run.cited_at = server_time
    if not statement.clock.HasField("since_receipt_ns"):
        run.not_before = server_time
        return f"The record cites a receipt of {server_time:%Y-%m-%d %H:%M:%S} UTC."
    run.not_before = earliest_time(server_time, since_receipt_ns=statement.clock.since_receipt_ns)
    return (
        f"The record cites a receipt of {server_time:%Y-%m-%d %H:%M:%S} UTC, and the device counted on "
        f"to {run.not_before:%Y-%m-%d %H:%M:%S} UTC without a break."
    )


def check_time(run: Run) -> str:
    """Step 11."""
    if run.not_after is None:
        raise Missing("No trusted time bounds the record.")
    if run.not_before is not None and run.not_before > run.not_after:
        raise Forged(
            "TIME_ORDER", "The record is confirmed at an earlier time than it can have been made at."
        )
    return "The bounds of the record's time agree."
