"""A business customer at a device: from the card to the numbered request, over both databases."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, timedelta
from hashlib import sha256

import grpc
import pypdf
import pypdfium2
import pytest

from cloud.bank.periods import end_of
from cloud.store.bank import get_signature
from tests.support.bank import (
    COMPANY,
    INFO,
    Counter,
    counter,
    new_id,
    own_counter,
    picture_of,
    reason_of,
    strokes,
)
from tests.support.bank_rows import dump
from tests.support.cloud import FakeClock
from verifield.v1 import (
    audit_service_pb2,
    bank_pb2,
    bank_service_pb2,
    catalog_service_pb2,
    customer_service_pb2,
)
from verifield.v1 import coop_service_pb2 as pb
from verifield.v1.catalog_service_pb2_grpc import CatalogServiceStub

PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="module")
def shop(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    with counter(tmp_path_factory.mktemp("shop"), database=module_database_url, clock=FakeClock()) as running:
        yield running


@pytest.fixture
def at(shop: Counter, request: pytest.FixtureRequest) -> Iterator[Counter]:
    """A device of its own, and a person of its own, for each test."""
    with own_counter(shop, request.node.name) as own:
        yield own


def check(at: Counter, **key: str) -> bank_pb2.CoopRecord:
    request = bank_service_pb2.CheckRecordRequest(**key)
    return at.operator(at.cloud.operator.bank.CheckRecord, request).record


def text_of(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages)


@pytest.mark.req("R004")
def test_the_menu_leads_to_a_session(at: Counter) -> None:
    with at.cloud.device_channel(at.device.tls_chain, at.device.tls_key) as channel:
        menu = at.call(CatalogServiceStub(channel).ListFunctions, catalog_service_pb2.ListFunctionsRequest())
    [enterprise] = [module for module in menu.modules if module.code == "ENTERPRISE"]
    [function] = [one for one in enterprise.functions if one.code == "COOP_VERIFY"]
    request = pb.StartSessionRequest(function_code=function.code, language="zh")
    assert at.call(at.coop.StartSession, request).session.state == pb.COOP_STATE_CARD_READ


def test_without_a_card_every_later_step_says_so(at: Counter) -> None:
    request = pb.StartSessionRequest(function_code="COOP_VERIFY", language="es")
    answer = at.call(at.coop.StartSession, request)
    assert answer.session.state == pb.COOP_STATE_CARD_READ
    assert answer.prompt == "Por favor, coloque su documento de identidad sobre el lector."
    session = answer.session
    written = strokes()
    later = [
        lambda: at.call(
            at.coop.GetAuthorityPhoto, pb.GetAuthorityPhotoRequest(session_id=session.session_id)
        ),
        lambda: at.see_face(session, at.person),
        lambda: at.call(at.coop.GetCoopDetails, pb.GetCoopDetailsRequest(session_id=session.session_id)),
        lambda: at.records(session),
        lambda: at.decide(session, pb.COOP_DECISION_EXIT),
        lambda: at.decide(session, pb.COOP_DECISION_CONTINUE),
        lambda: at.upsert(session),
        lambda: at.confirm(session),
        lambda: at.complete(session),
        lambda: at.notice(session),
        lambda: at.confirm_notice(session, bank_pb2.Notice(sha256=bytes(32))),
        lambda: at.call(
            at.coop.ConfirmSignature,
            pb.ConfirmSignatureRequest(
                session_id=session.session_id, strokes=written, image=picture_of(written)
            ),
        ),
        lambda: at.issue(session),
    ]
    for step in later:
        with pytest.raises(grpc.RpcError) as refused:
            step()
        assert reason_of(refused.value) == (PRECONDITION, "CARD_REQUIRED")


@pytest.mark.req("R006")
def test_details_are_shown_behind_the_face_alone(at: Counter) -> None:
    session = at.walk("CARD_ACCEPTED")
    details = pb.GetCoopDetailsRequest(session_id=session.session_id)
    for step in (lambda: at.call(at.coop.GetCoopDetails, details), lambda: at.records(session)):
        with pytest.raises(grpc.RpcError) as refused:
            step()
        assert reason_of(refused.value) == (PRECONDITION, "FACE_REQUIRED")
    at.see_face(session, at.person)
    shown = at.call(at.coop.GetCoopDetails, details)
    assert shown.session.outcome == bank_pb2.COOP_OUTCOME_PASSED
    assert (shown.card.name, shown.card.number) == (at.person.name, at.person.id_number)
    assert shown.card.photo == b""


@pytest.mark.req("R007")
def test_earlier_records_are_shown_newest_first(at: Counter) -> None:
    assert at.records(at.walk("FACE_PASSED")) == []
    first = at.walk("REQUEST_ISSUED", language="en")
    second = at.walk("REQUEST_ISSUED", language="es")
    session = at.walk("FACE_PASSED")
    found = at.records(session)
    assert [one.record_id for one in found] == [second.record_id, first.record_id]
    for one in found:
        assert one.bank_name == "模拟样本银行"
        assert one.organisation_name == COMPANY
        assert one.outcome == bank_pb2.COOP_OUTCOME_PASSED
        assert one.state == bank_pb2.COOP_RECORD_STATE_VALID
        assert one.expire_time.ToDatetime(UTC) == end_of(one.valid_from.ToDatetime(UTC), "P6M")
    page = pb.ListRecordsRequest(session_id=session.session_id, page_size=1)
    one = at.call(at.coop.ListRecords, page)
    assert [record.record_id for record in one.records] == [second.record_id]
    page.page_token = one.next_page_token
    rest = at.call(at.coop.ListRecords, page)
    assert [record.record_id for record in rest.records] == [first.record_id]
    assert rest.next_page_token == ""


@pytest.mark.req("R007")
def test_a_card_without_records_goes_on(at: Counter) -> None:
    session = at.walk("RECORDS_SHOWN")
    assert at.decide(session, pb.COOP_DECISION_CONTINUE).state == pb.COOP_STATE_CUSTOMER_INFO


@pytest.mark.req("R008")
def test_the_customer_chooses_to_leave_or_to_go_on(at: Counter) -> None:
    at.walk("REQUEST_ISSUED")
    session = at.walk("RECORDS_SHOWN")
    for value in (0, 3, 99):
        with pytest.raises(grpc.RpcError) as refused:
            at.decide(session, value)  # type: ignore[arg-type]
        assert reason_of(refused.value)[0] == INVALID
    gone = at.decide(session, pb.COOP_DECISION_EXIT)
    assert (gone.state, gone.end) == (pb.COOP_STATE_EXITED, pb.COOP_END_CLOSED_BY_USER)
    goes_on = at.decide(at.walk("RECORDS_SHOWN"), pb.COOP_DECISION_CONTINUE)
    assert goes_on.state == pb.COOP_STATE_CUSTOMER_INFO


@pytest.mark.req("R009")
def test_leaving_changes_no_record_and_no_customer(at: Counter) -> None:
    at.walk("REQUEST_ISSUED")
    session = at.walk("RECORDS_SHOWN")
    kept = ("customer", "coop_records", "coop_requests", "coop_signatures", "bank", "used_evidence")
    before = dump(at.cloud, *kept)
    at.decide(session, pb.COOP_DECISION_EXIT)
    assert dump(at.cloud, *kept) == before
    assert {"customer_versions", "customer_organisations", "coop_requests"} <= set(before)
    for decision in (pb.COOP_DECISION_EXIT, pb.COOP_DECISION_CONTINUE):
        with pytest.raises(grpc.RpcError) as refused:
            at.decide(session, decision)
        assert reason_of(refused.value) == (PRECONDITION, "COOP_SESSION_ENDED")
    with pytest.raises(grpc.RpcError) as refused:
        at.upsert(session, 1)
    assert reason_of(refused.value) == (PRECONDITION, "COOP_SESSION_ENDED")


@pytest.mark.req("R010", "R011")
def test_customers_have_versions(at: Counter) -> None:
    session = at.walk("CUSTOMER_INFO")
    first = at.upsert(session)
    assert (first.version, first.name, first.id_number) == (1, at.person.name, at.person.id_number)
    moved = customer_service_pb2.CustomerInfo(address="模拟市样本区虚构路2号")
    with pytest.raises(grpc.RpcError) as refused:
        at.upsert(session, 0, moved)  # as if there were none yet
    assert reason_of(refused.value) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    second = at.upsert(session, 1, moved)
    assert (second.customer_id, second.version) == (first.customer_id, 2)
    with pytest.raises(grpc.RpcError) as refused:
        at.upsert(session, 1, INFO)  # stale
    assert reason_of(refused.value) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    get = at.cloud.operator.customers.GetCustomer
    for version, address in ((1, INFO.address), (2, moved.address), (0, moved.address)):
        request = customer_service_pb2.GetCustomerRequest(customer_id=first.customer_id, version=version)
        assert at.operator(get, request).customer.info.address == address
    found = at.operator(
        at.cloud.operator.customers.FindCustomer,
        customer_service_pb2.FindCustomerRequest(id_number=at.person.id_number.lower()),
    )
    assert found.customer.customer_id == first.customer_id


@pytest.mark.req("R012")
def test_the_next_step_needs_the_customers_confirmation(at: Counter) -> None:
    session = at.walk("CUSTOMER_INFO")
    with pytest.raises(grpc.RpcError) as refused:
        at.confirm(session)
    assert reason_of(refused.value) == (PRECONDITION, "CUSTOMER_REQUIRED")
    at.upsert(session)
    with pytest.raises(grpc.RpcError) as refused:
        at.complete(session)
    assert reason_of(refused.value) == (PRECONDITION, "CUSTOMER_UNCONFIRMED")
    with pytest.raises(grpc.RpcError) as refused:
        at.confirm(session, version=2)
    assert reason_of(refused.value) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    assert at.confirm(session).state == pb.COOP_STATE_INFO_CONFIRMED
    assert at.complete(session).session.state == pb.COOP_STATE_COMPLETION


@pytest.mark.req("R013")
def test_only_banks_of_the_list_can_be_chosen(at: Counter) -> None:
    closed = at.put_bank(enabled=False)
    listed = {one.bank_id: one for one in at.call(at.coop.ListBanks, pb.ListBanksRequest()).banks}
    assert at.bank.bank_id in listed
    assert closed.bank_id not in listed
    assert all(one.enabled for one in listed.values())
    session = at.walk("INFO_CONFIRMED")
    for bank_id in (closed.bank_id, new_id()):
        with pytest.raises(grpc.RpcError) as refused:
            at.complete(session, bank_id=bank_id)
        assert reason_of(refused.value) == (INVALID, "BANK_NOT_OFFERED")
    closed.enabled = True
    opened = at.operator(at.cloud.operator.bank.PutBank, bank_service_pb2.PutBankRequest(bank=closed)).bank
    assert at.complete(session, bank_id=opened.bank_id).session.state == pb.COOP_STATE_COMPLETION


@pytest.mark.req("R014")
def test_the_company_is_one_of_the_customers_or_recorded_as_unlinked(at: Counter) -> None:
    session = at.walk("INFO_CONFIRMED")
    for name in ("", " ", "\u3000\t"):
        with pytest.raises(grpc.RpcError) as refused:
            at.complete(session, organisation_name=name)
        assert reason_of(refused.value)[0] == INVALID
    stranger = at.walk("INFO_CONFIRMED", person=at.person)
    link = customer_service_pb2.LinkOrganisationRequest(customer_id=session.customer_id, name=COMPANY)
    linked = at.operator(at.cloud.operator.customers.LinkOrganisation, link).organisation
    with pytest.raises(grpc.RpcError) as refused:
        at.complete(session, organisation_id=new_id())
    assert reason_of(refused.value) == (INVALID, "ORGANISATION_NOT_LINKED")
    assert at.complete(session, organisation_id=linked.organisation_id).linked
    other = at.complete(stranger, organisation_name="另一家模拟有限公司")
    assert not other.linked
    records = {}
    for one in (session, stranger):
        at.confirm_notice(one, at.notice(one))
        at.sign(one)
        records[one.session_id] = check(at, record_id=at.issue(one).record_id)
    assert records[session.session_id].organisation_id == linked.organisation_id
    assert records[session.session_id].organisation_name == COMPANY
    assert records[stranger.session_id].organisation_id == ""
    assert records[stranger.session_id].organisation_name == "另一家模拟有限公司"
    paper = bank_service_pb2.GetCoopRequestRequest(record_id=records[stranger.session_id].record_id)
    assert "未关联" in text_of(at.operator(at.cloud.operator.bank.GetCoopRequest, paper).pdf)


@pytest.mark.req("R015", "R016")
def test_a_record_expires_at_one_instant(at: Counter) -> None:
    session = at.walk("INFO_CONFIRMED")
    for period in ("P1D", "P7M"):
        with pytest.raises(grpc.RpcError) as refused:
            at.complete(session, period=period)
        assert reason_of(refused.value) == (INVALID, "PERIOD_NOT_OFFERED")
    at.complete(session, period="P90D")
    at.confirm_notice(session, at.notice(session))
    at.sign(session)
    issued = at.issue(session)
    record = check(at, number=issued.number)
    begin, end = record.valid_from.ToDatetime(UTC), record.expire_time.ToDatetime(UTC)
    assert end - begin == timedelta(days=90)
    assert issued.expire_time == record.expire_time
    assert record.state == bank_pb2.COOP_RECORD_STATE_VALID
    clock = at.cloud.clock
    clock.offset = end - clock.now() - timedelta(seconds=5)
    assert check(at, record_id=issued.record_id).state == bank_pb2.COOP_RECORD_STATE_VALID
    clock.offset = timedelta()
    clock.offset = end - clock.now() + timedelta(milliseconds=1)
    assert check(at, record_id=issued.record_id).state == bank_pb2.COOP_RECORD_STATE_EXPIRED
    # Shown so in the customer's list too.
    listed = at.operator(
        at.cloud.operator.bank.ListCustomerRecords,
        bank_service_pb2.ListCustomerRecordsRequest(customer_id=record.customer_id),
    )
    assert [one.state for one in listed.records] == [bank_pb2.COOP_RECORD_STATE_EXPIRED]


def test_a_record_can_be_revoked_once_with_a_reason(at: Counter) -> None:
    record_id = at.walk("REQUEST_ISSUED").record_id
    request = bank_service_pb2.RevokeRecordRequest(
        record_id=record_id, revocation=bank_pb2.COOP_REVOCATION_CUSTOMER, explanation="客户要求撤销"
    )
    revoked = at.operator(at.cloud.operator.bank.RevokeRecord, request).record
    assert revoked.state == bank_pb2.COOP_RECORD_STATE_REVOKED
    assert revoked.revocation == bank_pb2.COOP_REVOCATION_CUSTOMER
    assert check(at, record_id=record_id).state == bank_pb2.COOP_RECORD_STATE_REVOKED
    assert at.records(at.walk("FACE_PASSED"))[0].state == bank_pb2.COOP_RECORD_STATE_REVOKED
    with pytest.raises(Exception, match="revoked already"):
        at.operator(at.cloud.operator.bank.RevokeRecord, request)
    paper = at.operator(
        at.cloud.operator.bank.GetCoopRequest, bank_service_pb2.GetCoopRequestRequest(record_id=record_id)
    )
    assert paper.revocation_explanation == "客户要求撤销"
    assert "客户要求撤销" not in str(dump(at.cloud, "coop_records"))


@pytest.mark.req("R017")
def test_the_notice_that_counts_must_be_confirmed(at: Counter) -> None:
    session = at.walk("COMPLETION")
    for step in (lambda: at.sign(session), lambda: at.issue(session)):
        with pytest.raises(grpc.RpcError) as refused:
            step()
        assert reason_of(refused.value) == (PRECONDITION, "NOTICES_UNCONFIRMED")
    old = at.notice(session)
    assert old.sha256 == sha256(old.text.encode()).digest()
    publish = bank_service_pb2.PublishNoticeRequest(
        text_zh="新的重要提示", text_en="A new notice", text_es="Un aviso nuevo"
    )
    version = at.operator(at.cloud.operator.bank.PublishNotice, publish).version
    assert version == old.version + 1
    with pytest.raises(grpc.RpcError) as refused:
        at.confirm_notice(session, old)
    assert reason_of(refused.value) == (PRECONDITION, "NOTICE_OUTDATED")
    new = at.notice(session)
    assert (new.version, new.text) == (version, "新的重要提示")
    with pytest.raises(grpc.RpcError) as refused:
        at.confirm_notice(session, bank_pb2.Notice(version=new.version, sha256=old.sha256))
    assert reason_of(refused.value) == (PRECONDITION, "NOTICE_OUTDATED")
    at.confirm_notice(session, new)
    at.sign(session)
    issued = at.issue(session)
    answer = at.operator(
        at.cloud.operator.bank.GetCoopRequest,
        bank_service_pb2.GetCoopRequestRequest(record_id=issued.record_id),
    )
    assert answer.evidence.notice_version == new.version
    assert answer.evidence.notice_sha256 == new.sha256
    [confirmed] = [step for step in answer.evidence.steps if step.event == "CONFIRM_NOTICES"]
    assert abs(confirmed.time.ToDatetime(UTC) - at.cloud.clock.now()) < timedelta(minutes=1)
    earlier = bank_service_pb2.GetNoticeRequest(version=old.version, language="zh")
    assert at.operator(at.cloud.operator.bank.GetNotice, earlier).notice.sha256 == old.sha256


@pytest.mark.req("R018")
def test_a_signature_is_needed_and_kept(at: Counter) -> None:
    session = at.walk("NOTICES_CONFIRMED")
    written = strokes()
    dot = pb.SignatureStrokes(width=600, height=200)
    dot.strokes.add().points.add(x=1, y=1)
    for given, image in (
        (pb.SignatureStrokes(width=600, height=200), picture_of(written)),
        (dot, picture_of(written)),
        (written, picture_of(pb.SignatureStrokes(width=600, height=200))),
    ):
        request = pb.ConfirmSignatureRequest(session_id=session.session_id, strokes=given, image=image)
        with pytest.raises(grpc.RpcError) as refused:
            at.call(at.coop.ConfirmSignature, request)
        assert reason_of(refused.value) == (INVALID, "SIGNATURE_EMPTY")
    with pytest.raises(grpc.RpcError) as refused:
        at.issue(session)
    assert reason_of(refused.value) == (PRECONDITION, "SIGNATURE_REQUIRED")
    signed = at.sign(session)
    assert signed.session.state == pb.COOP_STATE_SIGNED
    assert signed.strokes_sha256 == sha256(written.SerializeToString(deterministic=True)).digest()
    assert signed.image_sha256 == sha256(picture_of(written)).digest()
    issued = at.issue(session)
    answer = at.operator(
        at.cloud.operator.bank.GetCoopRequest,
        bank_service_pb2.GetCoopRequestRequest(record_id=issued.record_id),
    )
    assert answer.evidence.strokes_sha256 == signed.strokes_sha256
    assert answer.evidence.signature_sha256 == signed.image_sha256
    assert signed.strokes_sha256.hex() in "".join(text_of(answer.pdf).split())
    [page] = [page for page in pypdf.PdfReader(io.BytesIO(answer.pdf)).pages if page.images]
    [printed] = [one.image for one in page.images]
    assert printed is not None
    assert printed.size == (written.width, written.height)
    with at.cloud.database() as connection:
        kept = get_signature(connection, session.session_id)
    assert kept is not None
    assert (kept.strokes_sha256, kept.image_sha256) == (signed.strokes_sha256, signed.image_sha256)
    assert len(kept.image or b"") > len(picture_of(written))  # sealed


@pytest.mark.req("R019")
@pytest.mark.parametrize("language", ["zh", "en", "es"])
def test_the_request_says_all_that_was_confirmed(at: Counter, language: str) -> None:
    session = at.walk("SIGNED", language=language)
    request_id = new_id()
    issued = at.issue(session, request_id)
    again = at.issue(session, request_id)
    assert again == issued
    with pytest.raises(grpc.RpcError) as refused:
        at.issue(session)
    assert reason_of(refused.value) == (PRECONDITION, "COOP_SESSION_ENDED")
    download = at.call(at.coop.DownloadRequest, pb.DownloadRequestRequest(session_id=session.session_id))
    assert sha256(download.pdf).digest() == download.sha256 == issued.sha256
    answer = at.operator(
        at.cloud.operator.bank.GetCoopRequest,
        bank_service_pb2.GetCoopRequestRequest(record_id=issued.record_id),
    )
    assert answer.pdf == download.pdf
    assert answer.evidence.request_sha256 == issued.sha256
    assert sha256(answer.evidence.SerializeToString(deterministic=True)).digest() == answer.evidence_sha256
    text = text_of(download.pdf)
    bank_name = {"zh": "模拟样本银行", "en": "Sample Bank", "es": "Banco de Muestra"}[language]
    record = check(at, record_id=issued.record_id)
    for said in (
        issued.number,
        at.person.name,
        at.person.id_number,
        at.person.issuer,
        "2020-01-01 – 2040-01-01",
        INFO.address,
        INFO.phone,
        INFO.email,
        INFO.occupation,
        bank_name,
        COMPANY,
        {"zh": "6个月", "en": "6 months", "es": "6 meses"}[language],
        record.expire_time.ToDatetime(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        answer.evidence.attestation_id,
    ):
        assert said in text, said
    assert answer.evidence.notice_sha256.hex() in "".join(text.split())
    pages = [page.render(scale=1).to_pil().convert("L") for page in pypdfium2.PdfDocument(download.pdf)]
    assert all(page.getextrema()[0] < 80 for page in pages)


def test_what_a_request_rests_on_is_anchored_in_the_audit_chain(at: Counter) -> None:
    session = at.walk("REQUEST_ISSUED")
    answer = at.operator(
        at.cloud.operator.bank.GetCoopRequest,
        bank_service_pb2.GetCoopRequestRequest(record_id=session.record_id),
    )
    evidence = answer.evidence
    assert evidence.device_id == at.device.device_id
    assert [step.event for step in evidence.steps] == [
        "ACCEPT_CARD",
        "ACCEPT_FACE",
        "SHOW_RECORDS",
        "CONTINUE",
        "CHANGE_CUSTOMER",
        "CONFIRM_CUSTOMER",
        "COMPLETE_INFO",
        "CONFIRM_NOTICES",
        "SIGN",
        "ISSUE",
    ]
    events = at.operator(
        at.cloud.operator.audit.ListAuditEvents,
        audit_service_pb2.ListAuditEventsRequest(filter=f'subject = "{evidence.audit_subject}"'),
    ).events
    [anchor] = [event for event in events if event.action == "coop.evidence"]
    facts = {fact.key: fact.value for fact in anchor.facts}
    assert facts["evidence_sha256"] == answer.evidence_sha256.hex()
    assert facts["number"] == answer.number
    told = [event.action for event in events]
    for action in ("coop.start", "coop.submit_card", "coop.submit_face", "coop.decide", "coop.sign"):
        assert action in told, action


def test_menu_functions_other_than_this_one_begin_nothing(at: Counter) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        at.call(at.coop.StartSession, pb.StartSessionRequest(function_code="OTHER", language="zh"))
    assert reason_of(refused.value)[0] == INVALID
