"""Answers of IdentityService as commands print them."""

from __future__ import annotations

from typing import Any

from cloud.commands.common import show_maybe, show_time
from verifield.v1 import identity_service_pb2 as pb


def show_verification(message: pb.Verification) -> dict[str, Any]:
    """One attempt."""
    return {
        "verification_id": message.verification_id,
        "account_id": message.account_id,
        "method": show_name(pb.VerificationMethod, message.method, "VERIFICATION_METHOD_"),
        "state": show_name(pb.VerificationState, message.state, "VERIFICATION_STATE_"),
        "code": message.code,
        "mark": show_name(pb.VerificationMark, message.mark, "VERIFICATION_MARK_"),
        "attestation_id": message.attestation_id,
        "device_id": message.device_id,
        "create_time": show_time(message.create_time),
        "update_time": show_time(message.update_time),
    }


def show_entry(message: pb.ManualVerification) -> dict[str, Any]:
    """One entry of the ledger."""
    return {
        "number": message.number,
        "record_time": show_time(message.record_time),
        "operator": message.operator,
        "place": message.place,
        "account_id": message.account_id,
        "verification_id": message.verification_id,
        "documents": [show_name(pb.SeenDocument, one, "SEEN_DOCUMENT_") for one in message.documents],
        "reason": show_name(pb.ManualReason, message.reason, "MANUAL_REASON_"),
        "note": message.note,
        "entry_sha256": message.entry_sha256.hex(),
    }


def show_site(message: pb.SiteVerification) -> dict[str, Any]:
    """A request to an office, with what came of it."""
    return {
        "task_id": message.task_id,
        "account_id": message.account_id,
        "site_id": message.site_id,
        "state": show_name(pb.SiteVerificationState, message.state, "SITE_VERIFICATION_STATE_"),
        "issue_time": show_time(message.issue_time),
        "expire_time": show_time(message.expire_time),
        "requested_by": message.requested_by,
        "results": [show_result(one) for one in message.results],
    }


def show_result(message: pb.SiteResult) -> dict[str, Any]:
    """What became of one record."""
    return {
        "attestation_id": message.attestation_id,
        "device_id": message.device_id,
        "site_id": message.site_id,
        "outcome": message.outcome,
        "not_before": show_time(message.not_before),
        "not_after": show_time(message.not_after),
        "code": message.code,
        "verification_id": message.verification_id,
    }


def show_conflict(message: pb.Conflict) -> dict[str, Any]:
    """Two records that contradict each other."""
    return {
        "conflict_id": message.conflict_id,
        "account_id": message.account_id,
        "kind": show_name(pb.ConflictKind, message.kind, "CONFLICT_KIND_"),
        "state": show_name(pb.ConflictState, message.state, "CONFLICT_STATE_"),
        "first": show_result(message.first) if message.HasField("first") else None,
        "second": show_result(message.second) if message.HasField("second") else None,
        "winner_attestation_id": message.winner_attestation_id,
        "other_account_id": message.other_account_id,
        "open_time": show_time(message.open_time),
        "settle_time": show_maybe(message, "settle_time"),
        "settled_by": message.settled_by,
    }


def show_name(kind: Any, number: int, prefix: str) -> str:
    """A number of the contract by its name; empty for none."""
    name = str(kind.Name(number)).removeprefix(prefix)
    return "" if name == "UNSPECIFIED" else name


def show_cell(value: Any) -> str:
    """As a table shows it."""
    return " ".join(value) if isinstance(value, list) else str(value)
