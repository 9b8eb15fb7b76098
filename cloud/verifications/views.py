"""Rows as the contract shows them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from cloud.store.identity_conflicts import ConflictRow
from cloud.store.site_verifications import ResultRow, TaskRow
from cloud.store.verifications import IdentityRow, LedgerRow, VerificationRow
from verifield.v1 import attestation_pb2 as att
from verifield.v1 import identity_service_pb2 as pb
from verifield.v1.rulebook_pb2 import VerificationRules


def stamp(microseconds: int) -> Timestamp:
    """A time of the store."""
    made = Timestamp()
    made.FromMicroseconds(microseconds)
    return made


def to_verification(row: VerificationRow) -> pb.Verification:
    """One attempt."""
    return pb.Verification(
        verification_id=row.verification_id,
        account_id=row.account_id,
        method=pb.VerificationMethod.Name(row.method),  # type: ignore[arg-type]
        state=pb.VerificationState.Name(row.state),  # type: ignore[arg-type]
        code=row.code,
        mark=pb.VerificationMark.Name(row.mark),  # type: ignore[arg-type]
        attestation_id=row.attestation_id,
        device_id=row.device_id,
        create_time=stamp(row.created_us),
        update_time=stamp(row.updated_us),
    )


def to_identity(row: IdentityRow, rules: VerificationRules) -> pb.Identity:
    """How an account stands."""
    made = pb.Identity(
        account_id=row.account_id,
        state=_state(row),
        method=pb.VerificationMethod.Name(row.method),  # type: ignore[arg-type]
        mark=pb.VerificationMark.Name(row.mark),  # type: ignore[arg-type]
        verification_id=row.verification_id or "",
        stale_code=row.stale_code,
        element_tries=row.element_tries,
        face_tries=row.face_tries,
        escalation_allowed=row.element_tries >= rules.tries_before_escalation,
        window_advised=row.face_tries >= rules.face_tries_before_window,
    )
    if row.verified_us is not None:
        made.verify_time.FromMicroseconds(row.verified_us)
    return made


def to_entry(row: LedgerRow) -> pb.ManualVerification:
    """One entry of the ledger."""
    return pb.ManualVerification(
        number=row.number,
        account_id=row.account_id,
        verification_id=row.verification_id,
        operator=row.operator,
        record_time=stamp(row.recorded_us),
        place=row.place,
        documents=json.loads(row.documents),
        reason=pb.ManualReason.Name(row.reason),  # type: ignore[arg-type]
        note=row.note,
        entry_sha256=bytes(row.entry_sha256),
    )


def to_site(row: TaskRow, results: Iterable[ResultRow] = ()) -> pb.SiteVerification:
    """A request to an office, with what came of it."""
    return pb.SiteVerification(
        task_id=row.task_id,
        account_id=row.account_id,
        site_id=row.site_id,
        state=pb.SiteVerificationState.Name(row.state),  # type: ignore[arg-type]
        issue_time=stamp(row.issued_us),
        expire_time=stamp(row.expires_us),
        requested_by=row.requested_by,
        results=[to_result(one) for one in results],
    )


def to_result(row: ResultRow) -> pb.SiteResult:
    """What became of one record."""
    return pb.SiteResult(
        attestation_id=row.attestation_id,
        device_id=row.device_id,
        site_id=row.site_id,
        outcome=att.Outcome.Name(row.outcome).removeprefix("OUTCOME_"),  # type: ignore[arg-type]
        not_before=stamp(row.not_before_us),
        not_after=stamp(row.not_after_us),
        code=row.code,
        verification_id=row.verification_id,
    )


def to_conflict(row: ConflictRow, results: Mapping[str, ResultRow]) -> pb.Conflict:
    """A conflict; ``results``: of the records that it names."""
    made = pb.Conflict(
        conflict_id=row.conflict_id,
        account_id=row.account_id,
        kind=pb.ConflictKind.Name(row.kind),  # type: ignore[arg-type]
        state=pb.ConflictState.Name(row.state),  # type: ignore[arg-type]
        winner_attestation_id=row.winner_id,
        open_time=stamp(row.opened_us),
        settled_by=row.settled_by,
        other_account_id=row.other_account_id,
    )
    if row.first_id in results:
        made.first.CopyFrom(to_result(results[row.first_id]))
    if row.second_id in results:
        made.second.CopyFrom(to_result(results[row.second_id]))
    if row.settled_us is not None:
        made.settle_time.FromMicroseconds(row.settled_us)
    return made


def _state(row: IdentityRow) -> pb.IdentityState.ValueType:
    if row.conflict_us is not None:
        return pb.IDENTITY_STATE_VALIDITY_CONFLICT
    if row.stale_us is not None:
        return pb.IDENTITY_STATE_STALE
    if row.verified_us is not None:
        return pb.IDENTITY_STATE_VERIFIED
    return pb.IDENTITY_STATE_ELEMENTS_VERIFIED if row.elements_us else pb.IDENTITY_STATE_UNVERIFIED
