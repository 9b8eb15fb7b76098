"""Certifications from the application to the badge, over real TLS, on both engines."""

from __future__ import annotations

import io
import os
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from pypdf import PdfReader

from cloud.errors import Reason
from tests.support.certifications import (
    FORM,
    ORGANISATION_FORM,
    certifying,
    form,
    joined,
    refused,
    upload_of,
)
from tests.support.cloud import FakeClock, running_cloud
from tests.support.samples import jpeg, pdf, pdf_with_script, png
from tests.support.spool import spooled, wait_for
from verifield.archive import check_archive
from verifield.badge import check_badge
from verifield.errors import VerifieldError
from verifield.v1 import archive_service_pb2 as archive_pb
from verifield.v1 import badge_pb2
from verifield.v1 import certification_service_pb2 as pb
from verifield.v1 import review_service_pb2 as review_pb
from verifield.v1.certification_service_pb2_grpc import CertificationServiceStub

KINDS = pb.ApplicationEventKind


def kinds_of(status: pb.GetApplicationStatusResponse) -> list[str]:
    return [KINDS.Name(one.kind).removeprefix("APPLICATION_EVENT_KIND_") for one in status.timeline]


@pytest.mark.req("R090", "R097", "R100")
def test_the_whole_way_from_registration_to_the_badge(database_url: str, tmp_path: Path) -> None:
    with running_cloud(tmp_path, database=database_url) as cloud, certifying(cloud) as office:
        applicant = office.applicant()
        application_id = applicant.create()
        draft = applicant.status(application_id)
        assert draft.next_action == pb.APPLICANT_ACTION_SUBMIT
        assert list(draft.missing_kinds) == ["id_card_front", "id_card_back"]
        applicant.complete(application_id)
        applicant.submit(application_id)
        waiting = applicant.status(application_id)
        assert waiting.application.state == pb.APPLICATION_STATE_IN_REVIEW
        assert waiting.next_action == pb.APPLICANT_ACTION_WAIT_FOR_DECISION
        office.ask(application_id)
        asked = applicant.status(application_id)
        assert asked.application.state == pb.APPLICATION_STATE_SUPPLEMENT_REQUIRED
        assert asked.supplement.reason.code == "UNREADABLE"
        assert list(asked.supplement.items) == ["back of the identity card"]
        applicant.upload(application_id, "id_card_back", png())
        applicant.submit(application_id)
        office.decide(application_id)
        done = applicant.status(application_id)
        assert done.application.state == pb.APPLICATION_STATE_PASSED
        assert done.next_action == pb.APPLICANT_ACTION_NONE
        assert kinds_of(done) == [
            "CREATED",
            "SUBMITTED",
            "ASSIGNED",
            "SUPPLEMENT_ASKED",
            "RESUBMITTED",
            "PASSED",
        ]
        times = [one.time.ToMicroseconds() for one in done.timeline]
        assert times == sorted(times)
        reviewer = next(
            one.reviewer_number
            for one in done.timeline
            if one.kind == KINDS.Value("APPLICATION_EVENT_KIND_ASSIGNED")
        )
        assert reviewer > 0
        assert "reviewer-1" not in str(done)
        assert done.result.outcome == pb.RESULT_OUTCOME_PASSED
        document = joined(
            list(applicant.stub.DownloadFile(pb.DownloadFileRequest(application_id=application_id)))
        )
        assert sha256(document.getvalue()).digest() == done.result.document_sha256
        text = PdfReader(document).pages[0].extract_text()
        assert application_id[-12:].upper() in text
        badge = applicant.stub.GetBadge(pb.GetBadgeRequest(application_id=application_id)).badge
        roots = x509.load_pem_x509_certificates(cloud.root_pem)
        checked = check_badge(badge, roots=roots, at=datetime.now(UTC))
        assert checked.badge.level == 1
        assert checked.status is not None
        assert applicant.signed_in.person.name not in str(checked.badge)


@pytest.mark.req("R085", "R086", "R083", "R089")
def test_what_is_missing_is_told_before_it_is_handed_in(database_url: str, tmp_path: Path) -> None:
    with running_cloud(tmp_path, database=database_url) as cloud, certifying(cloud) as office:
        applicant = office.applicant()
        stub = applicant.stub
        extra = pb.CertificationType(
            code="NOTARY",
            version=1,
            level=3,
            checks=["licence"],
            title=pb.CertificationText(zh="公证员", en="Notary", es="Notario"),
            fields=[
                pb.FormField(
                    name="licence_number", kind=pb.FORM_FIELD_KIND_TEXT, required=True, pattern="[0-9]{6}"
                )
            ],
            materials=[
                pb.MaterialRule(kind="licence", category=pb.MATERIAL_CATEGORY_IDENTITY, required=True)
            ],
        )
        office.staff.PublishCertificationType(pb.PublishCertificationTypeRequest(type=extra))
        types = {
            one.code: one for one in stub.ListCertificationTypes(pb.ListCertificationTypesRequest()).types
        }
        assert set(types) == {"PERSONAL", "ORGANISATION", "NOTARY"}
        needed = {
            code: (
                [field.name for field in one.fields if field.required],
                [rule.kind for rule in one.materials if rule.required],
            )
            for code, one in types.items()
        }
        assert len({str(one) for one in needed.values()}) == 3
        notary = applicant.create("NOTARY", {"licence_number": "123456"})
        code, info = refused(
            stub.UpdateApplication,
            pb.UpdateApplicationRequest(application_id=notary, form=form({"licence_number": "12a"})),
        )
        assert (code, info.metadata["fields"]) == (grpc.StatusCode.INVALID_ARGUMENT, "licence_number")
        company = applicant.create("ORGANISATION", {"organisation_name": "Example"})
        code, info = refused(stub.SubmitApplication, pb.SubmitApplicationRequest(application_id=company))
        assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, Reason.FORM_INVALID)
        assert info.metadata["fields"] == "credit_code,address"
        stub.UpdateApplication(
            pb.UpdateApplicationRequest(application_id=company, form=form(ORGANISATION_FORM))
        )
        code, info = refused(stub.SubmitApplication, pb.SubmitApplicationRequest(application_id=company))
        assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, Reason.DECLARATION_REQUIRED)
        wrong = pb.AcceptDeclarationRequest(application_id=company, version=1, sha256=bytes(32))
        assert refused(stub.AcceptDeclaration, wrong)[1].reason == Reason.DECLARATION_OUTDATED
        accepted = applicant.declare(company)
        assert accepted.declaration_version == 1
        assert accepted.HasField("declare_time")
        code, info = refused(stub.SubmitApplication, pb.SubmitApplicationRequest(application_id=company))
        assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, Reason.MATERIAL_MISSING)
        assert info.metadata["kinds"] == "business_licence,id_card_front,id_card_back,authorisation_letter"
        for kind in info.metadata["kinds"].split(","):
            applicant.upload(company, kind, pdf())
        assert applicant.submit(company).state in (
            pb.APPLICATION_STATE_SUBMITTED,
            pb.APPLICATION_STATE_IN_REVIEW,
        )
        text = pb.CertificationText(zh="新声明", en="New", es="Nueva")
        office.staff.PublishDeclaration(pb.PublishDeclarationRequest(version=2, text=text))
        personal = applicant.create()
        applicant.complete(personal)
        assert applicant.submit(personal).declaration_version == 2


@pytest.mark.req("R087", "R088")
def test_material_is_sniffed_limited_hashed_and_encrypted(database_url: str, tmp_path: Path) -> None:
    with running_cloud(tmp_path, database=database_url) as cloud, certifying(cloud) as office:
        applicant = office.applicant()
        stub, application_id = applicant.stub, applicant.create()
        picture = jpeg(7, size=(900, 700))
        material = applicant.upload(application_id, "id_card_front", picture)
        assert material.sha256 == sha256(picture).digest()
        assert (material.media_type, material.category) == ("image/jpeg", pb.MATERIAL_CATEGORY_IDENTITY)
        optional = applicant.upload(application_id, "employment_proof", pdf())
        assert (optional.media_type, optional.category) == (
            "application/pdf",
            pb.MATERIAL_CATEGORY_SUPPORTING,
        )
        listed = stub.GetApplication(pb.GetApplicationRequest(application_id=application_id)).materials
        assert [one.kind for one in listed] == ["id_card_front", "employment_proof"]
        stored = [path.read_bytes() for path in (tmp_path / "objects").rglob("*") if path.is_file()]
        assert len(stored) == 2
        assert not any(picture[100:140] in one or pdf()[10:60] in one for one in stored)
        request = pb.DownloadFileRequest(application_id=application_id, material_id=material.material_id)
        assert joined(list(stub.DownloadFile(request))).getvalue() == picture
        for kind, content, reason in [
            ("id_card_front", b"MZ\x90\0" + bytes(100), Reason.OBJECT_TYPE_REFUSED),
            ("id_card_front", pdf_with_script(), Reason.OBJECT_TYPE_REFUSED),
            ("id_card_front", picture + os.urandom(10 * 1024 * 1024), Reason.OBJECT_TOO_LARGE),
            ("passport", picture, Reason.MATERIAL_UNKNOWN),
        ]:
            code, info = refused(stub.UploadMaterial, upload_of(application_id, kind, content))
            assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
        again = "018f0000-0000-7000-8000-0000000000aa"
        first = stub.UploadMaterial(
            upload_of(application_id, "social_security_record", pdf(), request_id=again)
        )
        second = stub.UploadMaterial(
            upload_of(application_id, "social_security_record", pdf(), request_id=again)
        )
        assert first == second
        other = upload_of(application_id, "social_security_record", png(), request_id=again)
        assert refused(stub.UploadMaterial, other)[1].reason == Reason.REQUEST_ID_REUSED
        lied = upload_of(application_id, "id_card_back", png(), sha256=bytes(32))
        assert refused(stub.UploadMaterial, lied)[0] is grpc.StatusCode.INVALID_ARGUMENT
        files = [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]
        assert len(files) == 3  # nothing is left of what was refused, or came twice
        stub.RemoveMaterial(
            pb.RemoveMaterialRequest(application_id=application_id, material_id=optional.material_id)
        )
        kinds = [
            one.kind
            for one in stub.GetApplication(pb.GetApplicationRequest(application_id=application_id)).materials
        ]
        assert kinds == ["id_card_front", "social_security_record"]


@pytest.mark.req("R095")
def test_what_is_asked_for_stops_the_clock_and_comes_back_to_the_same_reviewer(
    database_url: str, tmp_path: Path
) -> None:
    with running_cloud(tmp_path, database=database_url) as cloud, certifying(cloud, reviewers=2) as office:
        applicant = office.applicant()
        application_id = applicant.submitted()
        stub, task = office.task_of(application_id)
        assert task.HasField("due_time")
        office.ask(application_id)
        status = applicant.status(application_id)
        assert status.application.state == pb.APPLICATION_STATE_SUPPLEMENT_REQUIRED
        assert status.next_action == pb.APPLICANT_ACTION_SUPPLEMENT
        [told] = wait_for(cloud, 1, to=applicant.signed_in.person.phone, template="certification_supplement")
        assert application_id[-12:].upper() in str(told)
        waiting = stub.GetTask(review_pb.GetTaskRequest(task_id=task.task_id)).task
        assert waiting.state == review_pb.REVIEW_TASK_STATE_WAITING_SUPPLEMENT
        assert not waiting.HasField("due_time")
        applicant.upload(application_id, "id_card_back", png())
        applicant.submit(application_id)
        again = stub.GetTask(review_pb.GetTaskRequest(task_id=task.task_id)).task
        assert again.state == review_pb.REVIEW_TASK_STATE_ASSIGNED
        assert again.reviewer_id == task.reviewer_id
        assert again.due_time.ToMicroseconds() >= task.due_time.ToMicroseconds()
        assert applicant.status(application_id).application.state == pb.APPLICATION_STATE_IN_REVIEW


@pytest.mark.req("R096")
def test_a_supplement_that_does_not_come_closes_the_application(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.reviews.upkeep.LATE_EVERY_S", 0.2)
    clock = FakeClock()
    with running_cloud(tmp_path, database=database_url, clock=clock) as cloud, certifying(cloud) as office:
        applicant = office.applicant()
        application_id = applicant.submitted()
        office.ask(application_id)
        phone = applicant.signed_in.person.phone
        wait_for(cloud, 1, to=phone, template="certification_supplement")
        clock.offset = timedelta(days=60)
        applicant = office.again(applicant)
        deadline, state = time.monotonic() + 40, pb.APPLICATION_STATE_UNSPECIFIED
        while state != pb.APPLICATION_STATE_CLOSED_NO_SUPPLEMENT and time.monotonic() < deadline:
            time.sleep(0.2)
            state = applicant.status(application_id).application.state
        assert state == pb.APPLICATION_STATE_CLOSED_NO_SUPPLEMENT
        wait_for(cloud, 1, to=phone, template="certification_closed")
        assert len(spooled(cloud, to=phone, template="certification_supplement")) == 1
        assert len(spooled(cloud, to=phone, template="certification_closed")) == 1


@pytest.mark.req("R101", "R102", "R103", "R104", "R099")
def test_who_is_not_passed_learns_why_and_applies_again(database_url: str, tmp_path: Path) -> None:
    assert [name for name in pb.ResultOutcome.keys() if name != "RESULT_OUTCOME_UNSPECIFIED"] == [  # noqa: SIM118
        "RESULT_OUTCOME_PASSED",
        "RESULT_OUTCOME_NOT_PASSED",
    ]
    with running_cloud(tmp_path, database=database_url) as cloud, certifying(cloud) as office:
        applicant, other = office.applicant(), office.applicant()
        first = applicant.submitted()
        stub, task = office.task_of(first)
        for check in stub.GetTask(review_pb.GetTaskRequest(task_id=task.task_id)).checks:
            stub.RecordCheck(
                review_pb.RecordCheckRequest(
                    task_id=task.task_id, item=check.item, result=review_pb.CHECK_RESULT_FAILED
                )
            )
        empty = review_pb.DecideTaskRequest(task_id=task.task_id, outcome=review_pb.REVIEW_OUTCOME_NOT_PASSED)
        assert refused(stub.DecideTask, empty)[0] is grpc.StatusCode.INVALID_ARGUMENT
        office.reject(first, "The address is another one.")
        status = applicant.status(first)
        assert status.next_action == pb.APPLICANT_ACTION_REAPPLY
        assert [(one.code, one.text) for one in status.result.reasons] == [
            ("UNREADABLE", "The address is another one.")
        ]
        assert (
            refused(applicant.stub.GetBadge, pb.GetBadgeRequest(application_id=first))[1].reason
            == Reason.BADGE_NOT_FOUND
        )
        answer = applicant.stub.Reapply(pb.ReapplyRequest(application_id=first))
        assert answer.application.previous_id == first
        assert {one.name: one.value for one in answer.form} == FORM
        assert (
            refused(applicant.stub.Reapply, pb.ReapplyRequest(application_id=first))[1].reason
            == Reason.APPLICATION_OPEN
        )
        second = answer.application.application_id
        applicant.complete(second)
        applicant.submit(second)
        office.decide(second)
        for call in ("GetApplicationStatus", "GetApplication", "GetBadge"):
            request = getattr(pb, f"{call}Request")(application_id=first)
            code, info = refused(getattr(other.stub, call), request)
            assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, Reason.APPLICATION_OTHERS)
        page = applicant.stub.ListHistory(pb.ListHistoryRequest(page_size=1))
        assert [one.application.application_id for one in page.entries] == [second]
        assert page.entries[0].results[0].outcome == pb.RESULT_OUTCOME_PASSED
        page = applicant.stub.ListHistory(pb.ListHistoryRequest(page_size=1, page_token=page.next_page_token))
        assert [one.application.application_id for one in page.entries] == [first]
        assert page.entries[0].results[0].reasons[0].code == "UNREADABLE"
        assert not page.next_page_token
        assert not other.stub.ListHistory(pb.ListHistoryRequest()).entries


@pytest.mark.req("R100", "R109")
def test_false_information_ends_a_certification_and_its_badge(database_url: str, tmp_path: Path) -> None:
    with running_cloud(tmp_path, database=database_url) as cloud, certifying(cloud) as office:
        applicant = office.applicant()
        application_id = applicant.submitted()
        early = pb.MarkFalseInformationRequest(application_id=application_id, reason="forged")
        assert refused(office.staff.MarkFalseInformation, early)[0] is grpc.StatusCode.FAILED_PRECONDITION
        office.decide(application_id)
        badge = applicant.stub.GetBadge(pb.GetBadgeRequest(application_id=application_id)).badge
        roots = x509.load_pem_x509_certificates(cloud.root_pem)
        badge_id = check_badge(badge, roots=roots, at=datetime.now(UTC)).badge.badge_id
        check = pb.CheckBadgeRequest(file=badge)
        with cloud.public_channel() as channel:
            public = CertificationServiceStub(channel)
            assert public.CheckBadge(check, timeout=20).state == badge_pb2.BADGE_STATE_VALID
            assert (
                refused(public.MarkFalseInformation, early, timeout=20)[0] is grpc.StatusCode.UNAUTHENTICATED
            )
            office.staff.MarkFalseInformation(
                pb.MarkFalseInformationRequest(application_id=application_id, reason="The licence is forged.")
            )
            assert public.CheckBadge(check, timeout=20).state == badge_pb2.BADGE_STATE_REVOKED
            assert (
                public.CheckBadge(pb.CheckBadgeRequest(badge_id=badge_id), timeout=20).state
                == badge_pb2.BADGE_STATE_REVOKED
            )
            changed = bytearray(badge)
            changed[200] ^= 1
            assert (
                refused(public.CheckBadge, pb.CheckBadgeRequest(file=bytes(changed)), timeout=20)[1].reason
                == Reason.BADGE_INVALID
            )
        fresh = applicant.stub.GetBadge(pb.GetBadgeRequest(application_id=application_id)).badge
        with pytest.raises(VerifieldError) as error:
            check_badge(fresh, roots=roots, at=datetime.now(UTC))
        assert error.value.code == "BADGE_REVOKED"
        assert applicant.status(application_id).application.state == pb.APPLICATION_STATE_REVOKED
        wait_for(cloud, 1, to=applicant.signed_in.person.phone, template="certification_revoked")
        [entry] = office.archive.SearchArchive(
            archive_pb.SearchArchiveRequest(account_id=applicant.account_id)
        ).entries
        assert entry.state == pb.APPLICATION_STATE_REVOKED
        archived = office.archive.GetArchived(archive_pb.GetArchivedRequest(result_id=entry.result_id))
        assert [one.reason for one in archived.measures] == ["The licence is forged."]


@pytest.mark.req("R108")
def test_the_archive_finds_and_exports_what_was_decided(database_url: str, tmp_path: Path) -> None:
    clock = FakeClock()
    with (
        running_cloud(tmp_path, database=database_url, clock=clock) as cloud,
        certifying(cloud, reviewers=2) as office,
    ):
        applicants = [office.applicant() for _ in range(4)]
        applications = [one.submitted() for one in applicants]
        for number, application_id in enumerate(applications):
            if number % 2:
                office.reject(application_id)
            else:
                office.decide(application_id)
        search = office.archive.SearchArchive

        def found(**filters: object) -> list[str]:
            request = archive_pb.SearchArchiveRequest(**filters)  # type: ignore[arg-type]
            return [one.application_id for one in search(request).entries]

        newest_first = applications[::-1]
        assert found() == newest_first
        assert found(account_id=applicants[1].account_id) == [applications[1]]
        assert found(outcome=pb.RESULT_OUTCOME_NOT_PASSED) == newest_first[::2]
        entries = search(archive_pb.SearchArchiveRequest()).entries
        times = [one.decide_time for one in entries]
        assert found(from_time=times[1]) == newest_first[:2]
        assert found(until_time=times[1]) == newest_first[2:]
        for number in {one.reviewer_number for one in entries}:
            expected = [one.application_id for one in entries if one.reviewer_number == number]
            assert found(reviewer_number=number) == expected
        first = search(archive_pb.SearchArchiveRequest(page_size=3))
        rest = search(archive_pb.SearchArchiveRequest(page_size=3, page_token=first.next_page_token))
        assert [one.application_id for one in (*first.entries, *rest.entries)] == newest_first
        roots = x509.load_pem_x509_certificates(cloud.root_pem)
        for entry in entries:
            bundle = joined(
                office.archive.ExportArchived(archive_pb.ExportArchivedRequest(result_id=entry.result_id))
            )
            manifest = check_archive(bundle, roots=roots)
            assert manifest.application_id == entry.application_id
            names = [one.name for one in manifest.files]
            assert names == [
                "application.json",
                "decision.json",
                "result.pdf",
                "material/01-id_card_front.jpg",
                "material/02-id_card_back.jpg",
            ]
            digests = {one.name: one.sha256 for one in manifest.files}
            number = applications.index(entry.application_id)
            document = joined(
                list(
                    applicants[number].stub.DownloadFile(
                        pb.DownloadFileRequest(application_id=entry.application_id)
                    )
                )
            )
            assert digests["result.pdf"] == sha256(document.getvalue()).digest()
            assert digests["material/01-id_card_front.jpg"] == sha256(jpeg(0)).digest()
            for at in (300, len(bundle.getvalue()) // 2):
                changed = bytearray(bundle.getvalue())
                changed[at] ^= 1
                with pytest.raises(VerifieldError):
                    check_archive(io.BytesIO(bytes(changed)), roots=roots)
