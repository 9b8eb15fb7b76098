"""Results: made from a decision, with document, archive and badge, in the transaction of the decision."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from cloud.certifications.badges import REOPENED, SUPERSEDED
from cloud.certifications.catalogue import DEFAULT_LIFETIME_S
from cloud.certifications.core import Core, show_time
from cloud.certifications.paper import make_document
from cloud.certifications.states import CERTIFIED, MACHINE, Event, State
from cloud.certifications.vault import RESULTS, encode_reasons
from cloud.errors import Reason, ServiceError
from cloud.messages.templates.certifications import NOT_PASSED, PASSED
from cloud.objects.kinds import MediaType
from cloud.objects.store import ObjectRef
from cloud.privacy.masks import mask_name
from cloud.privacy.sealing import Place
from cloud.reviews.port import Decision, Outcome
from cloud.store import certification_care as care
from cloud.store import certifications as rows
from cloud.store.certifications import ApplicationRow, ResultRow
from verifield.archive import ARCHIVE_TYPE
from verifield.v1 import badge_pb2
from verifield.v1 import certification_service_pb2 as pb

JSON = "application/json"
PROTOBUF = "application/protobuf"
_CHANGES = {pb.RECERT_REASON_IDENTITY_CHANGED, pb.RECERT_REASON_ID_EXPIRED}
_EXTENSIONS = {MediaType.JPEG: "jpg", MediaType.PNG: "png", MediaType.PDF: "pdf"}


@dataclass(frozen=True, slots=True)
class Results:
    """In the caller's transaction, which holds the application."""

    core: Core

    def make(
        self, connection: Connection, row: ApplicationRow, decision: Decision, reviewer: str
    ) -> ApplicationRow:
        """Everything that a decision leaves: result, document, archive, badge, and a message.

        Raises:
            ServiceError: APPLICATION_STATE, APPLICANT_CHANGED.
        """
        core, now_us, result_id = self.core, self.core.now_us, self.core.sources.uuid7()
        passed = decision.outcome is Outcome.PASSED
        if passed:
            self._check_current(connection, row)
            self._supersede(connection, row)
        row = core.move(
            connection,
            row,
            Event.PASS if passed else Event.REJECT,
            told_reviewer=reviewer,
            reviewer=reviewer,
            result_id=result_id,
            decided_us=now_us,
            superseded_us=None if passed else row.superseded_us,
        )
        reasons = [(one.code, one.text) for one in decision.reasons]
        result = self._result(connection, row, result_id, reasons, reviewer)
        rows.add_result(connection, result)
        if passed:
            care.settle_recerts(connection, row.account_id, row.type_code, now_us=now_us)
            self._issue(connection, row)
        core.tell(connection, row, PASSED if passed else NOT_PASSED)
        return row

    def take_back(self, connection: Connection, row: ApplicationRow) -> None:
        """The badge of a decision that does not stand counts no more."""
        rows.revoke_badges(connection, row.application_id, now_us=self.core.now_us, why=REOPENED)

    def _result(
        self,
        connection: Connection,
        row: ApplicationRow,
        result_id: str,
        reasons: list[tuple[str, str]],
        reviewer: str,
    ) -> ResultRow:
        core, passed = self.core, row.state == State.PASSED
        materials = rows.materials_of(connection, row.application_id)
        refs = core.objects.find(connection, [one.object_id for one in materials])
        decision = {
            "result_id": result_id,
            "outcome": "PASSED" if passed else "NOT_PASSED",
            "decided": show_time(row.decided_us or 0),
            "reviewer_number": reviewer,
            "reasons": [{"code": code, "text": text} for code, text in reasons],
            "review_task_id": row.task_id,
            "verification_id": core.identities.standing(connection, row.account_id).verification_id,
            "timeline": self._timeline(connection, row),
        }
        document = self._keep(
            connection, row, MediaType.PDF, self._document(connection, row, reasons, reviewer)
        )
        files: list[tuple[str, ObjectRef]] = [
            ("application.json", self._keep(connection, row, JSON, self._copy(connection, row))),
            ("decision.json", self._keep(connection, row, JSON, _json(decision))),
            ("result.pdf", document),
        ]
        files += [
            (_material_name(number, one.kind, refs[one.object_id].media_type), refs[one.object_id])
            for number, one in enumerate(materials, 1)
            if one.object_id in refs
        ]
        manifest = self._keep(connection, row, PROTOBUF, self._manifest(row, result_id, files))
        place = Place(RESULTS, "reasons", result_id)
        return ResultRow(
            result_id=result_id,
            application_id=row.application_id,
            account_id=row.account_id,
            type_code=row.type_code,
            outcome=pb.RESULT_OUTCOME_PASSED if passed else pb.RESULT_OUTCOME_NOT_PASSED,
            reviewer=reviewer,
            reasons=core.vault.seal(connection, row.account_id, place, encode_reasons(reasons)),
            document_id=document.object_id,
            files=json.dumps({name: ref.object_id for name, ref in files}),
            manifest_id=manifest.object_id,
            decided_us=row.decided_us or 0,
        )

    def _document(
        self,
        connection: Connection,
        row: ApplicationRow,
        reasons: list[tuple[str, str]],
        reviewer: str,
    ) -> bytes:
        core = self.core
        return make_document(
            row,
            core.catalogue.edition(connection, row.type_code, row.type_version),
            personal=core.accounts.personal(connection, row.account_id),
            language=core.accounts.contact(connection, row.account_id).language,
            reasons=reasons,
            reviewer=reviewer,
            fonts=core.fonts,
        )

    def _copy(self, connection: Connection, row: ApplicationRow) -> bytes:
        """What was applied for, as it was decided about."""
        application = {
            "application_id": row.application_id,
            "account_id": row.account_id,
            "type": {"code": row.type_code, "version": row.type_version},
            "form": self.core.vault.open_form(connection, row),
            "declaration": {
                "version": row.declaration_version,
                "sha256": (row.declaration_sha256 or b"").hex(),
                "accepted": show_time(row.declared_us or 0),
            },
            "previous_application_id": row.previous_id,
        }
        return _json(application)

    def _keep(self, connection: Connection, row: ApplicationRow, kind: str, content: bytes) -> ObjectRef:
        return self.core.objects.put(connection, person_id=row.account_id, media_type=kind, content=content)

    def _manifest(self, row: ApplicationRow, result_id: str, files: list[tuple[str, ObjectRef]]) -> bytes:
        manifest = badge_pb2.ArchiveManifest(
            result_id=result_id,
            application_id=row.application_id,
            account_id=row.account_id,
            decided_us=row.decided_us or 0,
            files=[
                badge_pb2.ArchivedFile(
                    name=name, size_bytes=ref.size, sha256=ref.sha256, media_type=ref.media_type
                )
                for name, ref in files
            ],
        )
        return self.core.badges.sign_manifest(ARCHIVE_TYPE, manifest.SerializeToString(deterministic=True))

    def _timeline(self, connection: Connection, row: ApplicationRow) -> list[dict[str, Any]]:
        return [
            {
                "event": pb.ApplicationEventKind.Name(pb.ApplicationEventKind.ValueType(one.event)),
                "time": show_time(one.at_us),
                "reviewer_number": one.reviewer,
            }
            for one in rows.events_of(connection, row.application_id)
        ]

    def _issue(self, connection: Connection, row: ApplicationRow) -> None:
        core = self.core
        kind = core.catalogue.edition(connection, row.type_code, row.type_version)
        span = kind.badge_lifetime.ToTimedelta() if kind.HasField("badge_lifetime") else None
        lifetime = span or timedelta(seconds=DEFAULT_LIFETIME_S)
        name = core.accounts.personal(connection, row.account_id).name
        badge = badge_pb2.Badge(
            badge_id=core.sources.uuid7(),
            type_code=row.type_code,
            type_version=row.type_version,
            level=kind.level,
            holder=mask_name(name),
            issued_us=core.now_us,
            expires_us=core.now_us + lifetime // timedelta(microseconds=1),
        )
        core.badges.issue(connection, badge, row)

    def _check_current(self, connection: Connection, row: ApplicationRow) -> None:
        """What was handed in is still about the holder as the service knows them now."""
        MACHINE.after(State(row.state), Event.PASS)
        changed = _CHANGES & set(care.recerts_of(connection, row.application_id))
        if changed or not self.core.identities.standing(connection, row.account_id).verified:
            raise ServiceError(
                Reason.APPLICANT_CHANGED, "What is known of the applicant changed after this was handed in."
            )

    def _supersede(self, connection: Connection, row: ApplicationRow) -> None:
        """What was passed of this type before gives its place to what is passed now."""
        now_us = self.core.now_us
        states = [int(state) for state in CERTIFIED]
        for old in rows.applications_of(connection, row.account_id, states, lock=True):
            if old.type_code != row.type_code or old.application_id == row.application_id:
                continue
            if old.superseded_us is None:
                rows.supersede(connection, old.application_id, now_us=now_us)
                rows.revoke_badges(connection, old.application_id, now_us=now_us, why=SUPERSEDED)


def _material_name(number: int, kind: str, media_type: str) -> str:
    return f"material/{number:02}-{kind}.{_EXTENSIONS.get(MediaType(media_type), 'bin')}"


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True).encode()
