"""Who sees what: holders their own alone, reviewers what is theirs to decide now; logs nothing personal."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from sqlalchemy import text

from cloud.errors import Reason
from tests.support.certifications import FORM, Applicant, Office, certifying, form, joined, refused, upload_of
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.people import channel_of
from tests.support.samples import jpeg
from verifield.archive import check_archive
from verifield.v1 import archive_service_pb2 as archive_pb
from verifield.v1 import certification_service_pb2 as pb
from verifield.v1 import review_service_pb2 as review_pb
from verifield.v1.archive_service_pb2_grpc import ArchiveServiceStub

DENIED = {(grpc.StatusCode.PERMISSION_DENIED, Reason.APPLICATION_OTHERS)}


def calls(application_id: str, material_id: str) -> Iterator[tuple[str, Any]]:
    """A request of each method that names an application."""
    yield "UpdateApplication", pb.UpdateApplicationRequest(application_id=application_id, form=form(FORM))
    yield (
        "AcceptDeclaration",
        pb.AcceptDeclarationRequest(application_id=application_id, version=1, sha256=bytes(32)),
    )
    yield "UploadMaterial", upload_of(application_id, "id_card_front", jpeg())
    yield (
        "RemoveMaterial",
        pb.RemoveMaterialRequest(application_id=application_id, material_id=material_id),
    )
    for name in ("SubmitApplication", "WithdrawApplication", "Reapply", "GetApplication"):
        yield name, getattr(pb, f"{name}Request")(application_id=application_id)
    yield "GetApplicationStatus", pb.GetApplicationStatusRequest(application_id=application_id)
    yield "GetBadge", pb.GetBadgeRequest(application_id=application_id)
    yield "DownloadFile", pb.DownloadFileRequest(application_id=application_id)
    yield "DownloadFile", pb.DownloadFileRequest(application_id=application_id, material_id=material_id)


def outcome(stub: Any, name: str, request: Any) -> tuple[grpc.StatusCode, str]:
    def call(asked: Any) -> Any:
        answer = getattr(stub, name)(asked)
        return list(answer) if name == "DownloadFile" else answer

    code, info = refused(call, request)
    return code, info.reason


def test_nobody_comes_near_to_the_application_of_another(database_url: str, tmp_path: Path) -> None:
    named = {
        method.name
        for method in pb.DESCRIPTOR.services_by_name["CertificationService"].methods
        if "application_id" in method.input_type.fields_by_name or method.name == "UploadMaterial"
    } - {"MarkFalseInformation"}
    with running_cloud(tmp_path, database=database_url) as cloud, certifying(cloud) as office:
        holder, other = office.applicant(), office.applicant()
        application_id = holder.create()
        material = holder.upload(application_id, "id_card_front").material_id
        own = other.create()
        before = _rows(cloud)
        asked = list(calls(application_id, material))
        assert {name for name, _ in asked} == named
        for name, request in asked:
            assert outcome(other.stub, name, request) in DENIED, name
        for name, request in calls(str(uuid.uuid4()), material):
            assert outcome(other.stub, name, request)[0] is grpc.StatusCode.NOT_FOUND, name
        # Material of another, asked for through an application of one's own.
        other.stub.RemoveMaterial(pb.RemoveMaterialRequest(application_id=own, material_id=material))
        request = pb.DownloadFileRequest(application_id=own, material_id=material)
        assert outcome(other.stub, "DownloadFile", request)[0] is grpc.StatusCode.NOT_FOUND
        assert _rows(cloud) == before
        files = [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]
        assert len(files) == 1


def _rows(cloud: RunningCloud) -> list[str]:
    names = ("certification_applications", "certification_materials", "certification_events", "objects")
    with cloud.database() as connection:
        return [
            repr(row) for name in names for row in connection.execute(text(f"SELECT * FROM {name}")).all()
        ]


def archives(cloud: RunningCloud, office: Office, stack: ExitStack) -> list[Any]:
    return [
        ArchiveServiceStub(stack.enter_context(channel_of(cloud, person))) for person, _ in office.reviewers
    ]


def test_a_reviewer_sees_the_case_that_is_theirs_while_it_is(database_url: str, tmp_path: Path) -> None:
    with (
        running_cloud(tmp_path, database=database_url) as cloud,
        certifying(cloud, reviewers=2) as office,
        ExitStack() as stack,
    ):
        applicant = office.applicant()
        application_id = applicant.submitted()
        stub, _task = office.task_of(application_id)
        mine = next(number for number, (_, one) in enumerate(office.reviewers) if one is stub)
        stubs = archives(cloud, office, stack)
        theirs, others = stubs[mine], stubs[1 - mine]
        case = archive_pb.GetCaseRequest(application_id=application_id)
        seen = theirs.GetCase(case, timeout=20)
        assert {one.name: one.value for one in seen.form} == FORM
        assert (seen.application.state, seen.application.etag) == (0, "")
        assert not seen.application.HasField("update_time")
        material = archive_pb.ReadMaterialRequest(
            application_id=application_id, material_id=seen.materials[0].material_id
        )
        assert joined(list(theirs.ReadMaterial(material, timeout=20))).getvalue() == jpeg(0)

        def closed(one: Any) -> None:
            for call, request in ((one.GetCase, case), (lambda r: list(one.ReadMaterial(r)), material)):
                code, info = refused(call, request)
                assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, Reason.CASE_NOT_YOURS)

        closed(others)
        office.decide(application_id)
        closed(theirs)
        for one in stubs:  # how others decided is not for those who might decide the same
            assert refused(one.SearchArchive, archive_pb.SearchArchiveRequest())[0] is (
                grpc.StatusCode.PERMISSION_DENIED
            )
        assert office.archive.GetCase(case).materials


def test_the_reviewer_is_shown_the_validity_of_the_card(tmp_path: Path) -> None:
    with running_cloud(tmp_path) as cloud, certifying(cloud) as office:
        application_id = office.applicant().submitted()
        stub, task = office.task_of(application_id)
        found = stub.GetTask(review_pb.GetTaskRequest(task_id=task.task_id)).material
        shown = {one.name: one.value for one in found}
        assert shown["id_valid_from"]
        assert shown["id_valid_to"]


def test_a_large_archive_is_sent_file_by_file(tmp_path: Path) -> None:
    """Thirty files of a megabyte; each piece is small, and the whole holds."""
    import os  # noqa: PLC0415

    with running_cloud(tmp_path) as cloud, certifying(cloud) as office:
        applicant: Applicant = office.applicant()
        application_id = applicant.create()
        applicant.complete(application_id)
        for _ in range(10):
            picture = jpeg()
            large = picture[:2] + b"".join(
                b"\xff\xfe\xff\xff" + os.urandom(65_533).replace(b"<", b"=") for _ in range(16)
            )
            applicant.upload(application_id, "employment_proof", large + picture[2:])
        applicant.submit(application_id)
        office.decide(application_id)
        [entry] = office.archive.SearchArchive(archive_pb.SearchArchiveRequest()).entries
        request = archive_pb.ExportArchivedRequest(result_id=entry.result_id)
        answers = list(office.archive.ExportArchived(request))
        assert max(len(one.chunk) for one in answers) <= 32 * 1024
        again = list(office.archive.ExportArchived(request))
        bundle = joined(answers).getvalue()
        assert bundle == joined(again).getvalue()
        assert len(bundle) > 10 * 1024 * 1024
        roots = x509.load_pem_x509_certificates(cloud.root_pem)
        assert len(check_archive(io.BytesIO(bundle), roots=roots).files) == 15


def test_nothing_personal_in_the_audit_chain_and_in_names_of_files(tmp_path: Path) -> None:
    with running_cloud(tmp_path) as cloud, certifying(cloud) as office:
        applicant = office.applicant()
        application_id = applicant.submitted()
        office.reject(application_id, "The name 张三 on the card is another one.")
        person = applicant.signed_in.person
        with cloud.database() as connection:
            audit = connection.execute(text("SELECT content FROM audit_events")).scalars().all()
            results = connection.execute(text("SELECT * FROM certification_results")).all()
        kept = repr(_rows(cloud)) + repr(results)
        chain = b"".join(map(bytes, audit))
        for secret in (person.name, person.id_number, person.phone, FORM["address"], "张三", "engineer"):
            assert secret.encode() not in chain
            assert secret not in kept
        assert application_id.encode() in chain


@pytest.mark.parametrize("step", ["submit", "withdraw"])
def test_two_at_once_have_one_effect(database_url: str, tmp_path: Path, step: str) -> None:
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415

    with running_cloud(tmp_path, database=database_url) as cloud, certifying(cloud) as office:
        applicant = office.applicant()
        application_id = applicant.create()
        applicant.complete(application_id)
        name = {"submit": "SubmitApplication", "withdraw": "WithdrawApplication"}[step]
        request = getattr(pb, f"{name}Request")(application_id=application_id)

        def ask(_number: int) -> str:
            try:
                getattr(applicant.stub, name)(request)
            except grpc.RpcError as error:
                return str(error.code())
            return "OK"

        with ThreadPoolExecutor(6) as threads:
            answers = sorted(threads.map(ask, range(6)))
        assert answers == ["OK", *[str(grpc.StatusCode.FAILED_PRECONDITION)] * 5]
        with cloud.database() as connection:
            tasks = connection.execute(text("SELECT count(*) FROM review_tasks")).scalar_one()
            told = connection.execute(
                text("SELECT count(*) FROM messages WHERE template = 'certification_submitted'")
            ).scalar_one()
        assert (tasks, told) == ((1, 1) if step == "submit" else (0, 0))
