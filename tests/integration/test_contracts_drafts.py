"""Drafts of contracts: what is uploaded, told about them, and placed on them."""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import grpc
import pypdf
import pytest

from cloud.contracts import drafts
from tests.support import pdf_samples
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.contracts import (
    APPROVER,
    CC,
    SIGNER,
    Office,
    Somebody,
    contracting,
    draft,
    mark,
    myself,
    party,
    refused,
    send,
    sent_contract,
    stranger,
    token_for,
    upload_of,
)
from verifield.v1 import contract_service_pb2 as pb
from verifield.v1 import signing_service_pb2 as signing_pb

INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud"), write_calls_per_minute=100_000) as running:
        yield running


@pytest.fixture(scope="module")
def office(cloud: RunningCloud) -> Iterator[Office]:
    with contracting(cloud) as made:
        yield made


@pytest.fixture(scope="module")
def sender(office: Office) -> Somebody:
    return office.person()


def terms(cloud: RunningCloud, after: timedelta, **more: Any) -> pb.ContractTerms:
    made = pb.ContractTerms(**more)
    made.deadline_time.FromDatetime(cloud.clock.now() + after)
    return made


def test_who_is_not_verified_uploads_nothing(office: Office) -> None:
    nobody = office.person(real=False)
    code, info = refused(nobody.call.UploadContract, upload_of())
    assert (code, info.reason) == (PRECONDITION, "REAL_NAME_REQUIRED")
    assert info.metadata["remedies"] == "FACE,CTID,MANUAL"
    assert nobody.found() == []


@pytest.mark.req("R119")
def test_a_pdf_is_taken_with_its_digest_and_pages_and_shown(sender: Somebody) -> None:
    content = pdf_samples.several_pages(3)
    answer = sender.call.UploadContract(
        upload_of(content, sha256=hashlib.sha256(content).digest(), details=pb.ContractDetails(title="T"))
    )
    assert answer.contract.upload_sha256 == hashlib.sha256(content).digest()
    assert answer.contract.page_count == len(answer.pages) == 3
    assert answer.contract.state == pb.CONTRACT_STATE_DRAFT
    for number in (1, 2, 3):
        picture, first = sender.page(answer.contract.contract_id, number)
        assert picture.startswith(b"\x89PNG\r\n\x1a\n")
        assert first.shown_sha256 == answer.contract.upload_sha256
    code, info = refused(
        sender.call.GetPage, pb.GetPageRequest(contract_id=answer.contract.contract_id, page=4)
    )
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "CONTRACT_NO_PAGE")

    for why, damaged in (
        ("ENCRYPTED", pdf_samples.encrypted()),
        ("XFA", pdf_samples.xfa()),
        ("JAVASCRIPT", pdf_samples.javascript()),
        ("DAMAGED", pdf_samples.damaged()),
        ("DAMAGED", b"no PDF at all"),
    ):
        code, info = refused(sender.call.UploadContract, upload_of(damaged))
        assert (code, info.reason, info.metadata["why"]) == (INVALID, "CONTRACT_PDF_REFUSED", why)


def test_a_file_is_checked_for_size_and_digest(sender: Somebody) -> None:
    code, info = refused(sender.call.UploadContract, upload_of(bytes(10 * 1024 * 1024 + 1)))
    assert (code, info.reason) == (INVALID, "OBJECT_TOO_LARGE")
    code, _ = refused(sender.call.UploadContract, upload_of(sha256=bytes(32)))
    assert code is INVALID
    code, _ = refused(sender.call.UploadContract, iter([pb.UploadContractRequest(chunk=b"%PDF-")]))
    assert code is INVALID
    twice = [*upload_of(), next(upload_of())]
    assert refused(sender.call.UploadContract, iter(twice))[0] is INVALID


def test_an_upload_that_is_repeated_makes_one_contract(sender: Somebody) -> None:
    request_id, before = str(uuid.uuid4()), len(sender.found(page_size=100))
    first = sender.call.UploadContract(upload_of(request_id=request_id))
    assert sender.call.UploadContract(upload_of(request_id=request_id)) == first
    assert len(sender.found(page_size=100)) == before + 1
    other = pdf_samples.plain(2)
    assert refused(sender.call.UploadContract, upload_of(other, request_id=request_id))[1].reason == (
        "REQUEST_ID_REUSED"
    )


def test_deadlines_are_in_the_future(cloud: RunningCloud, sender: Somebody) -> None:
    for after in (timedelta(seconds=-1), timedelta(days=367)):
        code, info = refused(sender.call.UploadContract, upload_of(terms=terms(cloud, after)))
        assert (code, info.reason) == (INVALID, "CONTRACT_DEADLINE")
    contract_id = draft(sender, [myself()], terms=terms(cloud, timedelta(minutes=1)))
    assert not sender.get(contract_id).contract.deadline_by_default
    request = pb.UpdateContractRequest(
        contract_id=contract_id,
        details=pb.ContractDetails(title="T"),
        terms=terms(cloud, timedelta(days=-1)),
    )
    assert refused(sender.call.UpdateContract, request)[1].reason == "CONTRACT_DEADLINE"


def test_without_a_deadline_it_is_30_days_and_said_so(sender: Somebody) -> None:
    contract_id = sent_contract_of_self(sender)
    found = sender.get(contract_id).contract
    life = found.deadline_time.ToDatetime() - found.send_time.ToDatetime()
    assert found.deadline_by_default
    assert life == timedelta(days=30)


def sent_contract_of_self(sender: Somebody) -> str:
    return send(sender, draft(sender, [myself()]))


@pytest.mark.req("R121")
def test_two_parties_or_the_sender_alone_each_once(
    cloud: RunningCloud, office: Office, sender: Somebody
) -> None:
    one, two = office.person(), office.person()
    contract_id = draft(sender, [myself()])

    def why(*parties: pb.NewParty) -> tuple[Any, str]:
        code, info = refused(
            sender.call.SetParties, pb.SetPartiesRequest(contract_id=contract_id, parties=parties)
        )
        return code, info.reason

    assert why(party(one)) == (INVALID, "PARTIES_TOO_FEW")
    assert why(party(one, role=CC), myself(role=CC)) == (INVALID, "PARTIES_TOO_FEW")
    assert why(party(one, role=CC), party(two)) == (INVALID, "PARTIES_TOO_FEW")
    assert why(party(one), party(two), party(one)) == (INVALID, "PARTY_DUPLICATE")
    assert why(myself(), myself(role=CC)) == (INVALID, "PARTY_DUPLICATE")
    spaced = f"{one.phone[:6]} {one.phone[6:]}"
    again = stranger("另一个", spaced)
    assert why(party(one), again) == (INVALID, "PARTY_DUPLICATE")
    assert why(party(one, order=1), party(two, role=APPROVER, order=1)) == (INVALID, "PARTIES_ORDER")
    assert why(party(one), stranger("x1", "+8613900000001")) == (INVALID, "PARTY_INVALID")
    assert why(party(one), stranger("王五", "12345")) == (INVALID, "PARTY_INVALID")
    assert why(party(one), stranger("王五", email="a@b@c")) == (INVALID, "PARTY_INVALID")
    nobodys = pb.NewParty(self=pb.PartySelf(as_organisation=True), role=SIGNER)
    assert why(nobodys) == (INVALID, "PARTY_INVALID")

    # Each becomes an account's, or waits behind a link of its own.
    contract_id = sent_contract(
        cloud, sender, [myself(), party(one), stranger("周未名", email="new@example.org")]
    )
    assert one.found(awaiting_me=True) == [contract_id]
    assert token_for(cloud, "new@example.org")
    assert sender.get(sent_contract_of_self(sender)).parties[0].is_me


def test_the_sender_never_learns_who_has_an_account(
    cloud: RunningCloud, office: Office, sender: Somebody
) -> None:
    known = office.person()
    unknown = str(uuid.uuid4())
    answers = []
    for who in (
        party(known),
        stranger(known.name, "+8613977770001"),
        party(known, by="account_id"),
        pb.NewParty(person=pb.PartyPerson(name=known.name, account_id=unknown), role=SIGNER),
        party(known, name="另一人"),
    ):
        contract_id = sent_contract(cloud, sender, [myself(), who])
        found = sender.get(contract_id).parties[1]
        answers.append((found.state, found.awaited, found.is_me, found.HasField("open_time")))
        assert found.masked_contact in ("", "+86138****" + known.phone[-4:]) or "*" in found.masked_contact
    assert len(set(answers)) == 1
    assert answers[0][0] == pb.CONTRACT_PARTY_STATE_NOTIFIED


@pytest.mark.req("R122")
def test_what_is_told_about_a_contract_is_kept_and_found(sender: Somebody) -> None:
    details = pb.ContractDetails(
        title="设备采购合同",
        number="CG-2026/118",
        amount=pb.ContractAmount(value="12800.50", currency="CNY"),
        category="PURCHASE",
        folder="二零二六",
        tags=["urgent", "机械"],
        note="Delivery within thirty days.",
    )
    answer = sender.call.UploadContract(upload_of(details=details))
    contract_id = answer.contract.contract_id
    assert sender.get(contract_id).details == details
    for asked in ("采购", "设备采购合同", "cg 118", "12800", "thirty delivery", "机械", "Urgent", "二零二六"):
        assert sender.found(text=asked) == [contract_id], asked
    assert sender.found(category="PURCHASE") == sender.found(tag="urgent") == [contract_id]
    assert sender.found(folder="二零二六") == [contract_id]
    assert sender.found(text="采购 forty") == sender.found(tag="urg") == []

    changed = pb.ContractDetails(title="Other")
    sender.call.UpdateContract(pb.UpdateContractRequest(contract_id=contract_id, details=changed))
    assert sender.get(contract_id).details == changed
    assert sender.found(text="采购") == []


@pytest.mark.req("R174")
def test_marks_lie_on_their_page_and_apart(cloud: RunningCloud, office: Office, sender: Somebody) -> None:
    contract_id = draft(sender, [myself(), office.person()])

    def why(*marks: pb.NewMark) -> tuple[Any, str, str]:
        code, info = refused(
            sender.call.PlaceMarks, pb.PlaceMarksRequest(contract_id=contract_id, marks=marks)
        )
        assert info.reason == "MARKS_REFUSED"
        return code, info.metadata["why"], info.metadata["index"]

    assert why(mark(1, x=560)) == (INVALID, "OUTSIDE", "0")
    assert why(mark(1), mark(1, y=840)) == (INVALID, "OUTSIDE", "1")
    assert why(mark(1, page=2)) == (INVALID, "NO_PAGE", "0")
    assert why(mark(1, y=100), mark(2, y=110)) == (INVALID, "OVERLAP", "1")
    assert why(mark(1, width=2)) == (INVALID, "TOO_SMALL", "0")
    assert why(mark(3)) == (INVALID, "PARTY", "0")
    assert why(mark(1, kind=signing_pb.MARK_KIND_SEAL)) == (INVALID, "SEAL", "0")
    many = [mark(1, y=100) for _ in range(31)]
    assert why(*many) == (INVALID, "TOO_MANY", "30")

    dates = mark(1, kind=signing_pb.MARK_KIND_SIGN_DATE, x=200, y=70.125)
    placed = sender.call.PlaceMarks(
        pb.PlaceMarksRequest(contract_id=contract_id, marks=[mark(1), dates, mark(2)])
    ).marks
    assert [(one.box.x, one.box.y, one.page) for one in placed] == [
        (40, 70, 1),
        (200, 70.125, 1),
        (40, 100, 1),
    ]
    assert len({one.field_name for one in placed}) == 3
    send(sender, contract_id)
    frozen = sender.get(contract_id).marks
    assert [one.box for one in frozen] == [one.box for one in placed]
    assert {one.state for one in frozen} == {pb.CONTRACT_MARK_STATE_FROZEN}
    fields = pdf_fields(sender.download(contract_id)[0])
    for one in frozen:
        left, bottom, right, top = fields[one.field_name]
        assert abs(left - one.box.x) <= 1
        assert abs(right - left - one.box.width) <= 1
        assert abs(top - (pdf_samples.A4[1] - one.box.y)) <= 1
        assert abs(top - bottom - one.box.height) <= 1


def pdf_fields(content: bytes) -> dict[str, list[float]]:
    """Names and rectangles of the fields of a document, read by another library."""
    found = {}
    for page in pypdf.PdfReader(io.BytesIO(content)).pages:
        for one in page.get("/Annots", ()):
            annotation = one.get_object()
            if annotation.get("/FT") == "/Sig":
                found[str(annotation["/T"])] = [float(side) for side in annotation["/Rect"]]
    return found


@pytest.mark.req("R152")
def test_the_short_flow_needs_a_document_and_who_signs(cloud: RunningCloud, office: Office) -> None:
    sender, signer = office.person(), office.person()
    answer = sender.call.UploadContract(
        upload_of(pdf_samples.plain(2), flow=pb.CONTRACT_FLOW_SHORT, parties=[party(signer)])
    )
    contract_id = answer.contract.contract_id
    found = sender.get(contract_id)
    assert found.details.title
    assert [(one.kind, one.page, one.by_default) for one in found.marks] == [
        (signing_pb.MARK_KIND_SIGNATURE, 2, True),
        (signing_pb.MARK_KIND_SIGN_DATE, 2, True),
    ]
    moved = pb.NewMark(
        party_number=1,
        kind=signing_pb.MARK_KIND_SIGNATURE,
        page=1,
        box=pb.MarkBox(x=100, y=100, width=100, height=40),
    )
    sender.call.PlaceMarks(pb.PlaceMarksRequest(contract_id=contract_id, marks=[moved]))
    assert [(one.page, one.by_default) for one in sender.get(contract_id).marks] == [(1, False)]
    send(sender, contract_id)
    found = sender.get(contract_id)
    assert found.contract.deadline_by_default
    assert set(found.contract.allowed_methods) == {
        signing_pb.SIGN_METHOD_SMS_CODE,
        signing_pb.SIGN_METHOD_PASSKEY,
        signing_pb.SIGN_METHOD_FACE,
    }
    assert signer.found(awaiting_me=True) == [contract_id]


def test_methods_can_be_restricted(sender: Somebody) -> None:
    only = pb.ContractTerms(allowed_methods=[signing_pb.SIGN_METHOD_FACE])
    contract_id = draft(sender, [myself()], terms=only)
    assert list(sender.get(contract_id).contract.allowed_methods) == [signing_pb.SIGN_METHOD_FACE]


def test_what_is_missing_is_named(office: Office, sender: Somebody) -> None:
    answer = sender.call.UploadContract(upload_of())
    contract_id = answer.contract.contract_id
    request = pb.SendContractRequest(contract_id=contract_id)
    code, info = refused(sender.call.SendContract, request)
    assert (code, info.reason) == (PRECONDITION, "CONTRACT_INCOMPLETE")
    assert info.metadata["missing"] == "TITLE,PARTIES"
    contract_id = draft(sender, [myself(), office.person()], marks=[mark(1)])
    assert refused(sender.call.SendContract, pb.SendContractRequest(contract_id=contract_id))[1].metadata[
        "missing"
    ] == ("MARKS")


def test_a_change_of_somebody_else_is_not_written_over(sender: Somebody) -> None:
    contract_id = draft(sender, [myself()])
    old = sender.get(contract_id).contract.etag
    details = pb.ContractDetails(title="New")
    sender.call.UpdateContract(pb.UpdateContractRequest(contract_id=contract_id, details=details, etag=old))
    for call, request in (
        (sender.call.UpdateContract, pb.UpdateContractRequest(details=details)),
        (sender.call.SetParties, pb.SetPartiesRequest(parties=[myself()])),
        (sender.call.PlaceMarks, pb.PlaceMarksRequest(marks=[mark(1)])),
        (sender.call.SendContract, pb.SendContractRequest()),
    ):
        request.contract_id, request.etag = contract_id, old
        assert refused(call, request)[1].reason == "ETAG_MISMATCH"


def test_drafts_of_one_sender_are_counted(cloud: RunningCloud, office: Office) -> None:
    busy = office.person()
    with patch.object(drafts, "MAX_DRAFTS", 2):
        first = draft(busy, [myself()])
        draft(busy, [myself()])
        code, info = refused(busy.call.UploadContract, upload_of())
        assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CONTRACT_TOO_MANY")
        busy.call.DeleteContract(pb.DeleteContractRequest(contract_id=first))
        draft(busy, [myself()])
