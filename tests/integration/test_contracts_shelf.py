"""Contracts afterwards: who sees them, how they are found, filed, kept and handed out."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, timedelta
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner

from cloud.cli import app as commands
from tests.support.accounts import sign_in
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.contracts import (
    TITLE,
    Office,
    Somebody,
    concluded,
    contracting,
    draft,
    job,
    myself,
    pass_time,
    refused,
    sent_contract,
)
from verifield.v1 import audit_service_pb2
from verifield.v1 import contract_service_pb2 as pb

DENIED = grpc.StatusCode.PERMISSION_DENIED
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud"), write_calls_per_minute=100_000) as running:
        yield running


@pytest.fixture
def office(cloud: RunningCloud) -> Iterator[Office]:
    with contracting(cloud) as made:
        yield made


def of(contract_id: str) -> dict[str, Any]:
    """One request of each method that names a contract."""
    sha256 = bytes(32)
    return {
        "UpdateContract": pb.UpdateContractRequest(
            contract_id=contract_id, details=pb.ContractDetails(title="Mine")
        ),
        "SetParties": pb.SetPartiesRequest(contract_id=contract_id, parties=[myself()]),
        "PlaceMarks": pb.PlaceMarksRequest(contract_id=contract_id),
        "RequestContractReview": pb.RequestContractReviewRequest(
            contract_id=contract_id, account_ids=[str(uuid.uuid4())]
        ),
        "DecideContractReview": pb.DecideContractReviewRequest(
            contract_id=contract_id, approve=True, etag="1"
        ),
        "RecallContractReview": pb.RecallContractReviewRequest(contract_id=contract_id),
        "SendContract": pb.SendContractRequest(contract_id=contract_id),
        "GetContract": pb.GetContractRequest(contract_id=contract_id),
        "GetPage": pb.GetPageRequest(contract_id=contract_id, page=1),
        "MarkRead": pb.MarkReadRequest(contract_id=contract_id, document_sha256=sha256),
        "ApproveContract": pb.ApproveContractRequest(contract_id=contract_id, document_sha256=sha256),
        "DeclineContract": pb.DeclineContractRequest(contract_id=contract_id, reason="no"),
        "WithdrawContract": pb.WithdrawContractRequest(contract_id=contract_id),
        "CopyContract": pb.CopyContractRequest(contract_id=contract_id),
        "RemindParties": pb.RemindPartiesRequest(contract_id=contract_id),
        "DownloadContract": pb.DownloadContractRequest(
            contract_id=contract_id, file=pb.CONTRACT_FILE_CURRENT
        ),
        "ClassifyContract": pb.ClassifyContractRequest(contract_id=contract_id, category="MINE"),
        "ArchiveContract": pb.ArchiveContractRequest(contract_id=contract_id),
        "UnarchiveContract": pb.UnarchiveContractRequest(contract_id=contract_id),
        "DeleteContract": pb.DeleteContractRequest(contract_id=contract_id),
    }


_WITHOUT_CONTRACT = {"UploadContract", "OpenInvitation", "SearchContracts"}
_OF_OPERATORS = {"ListContracts", "InspectContract"}


@pytest.mark.req("R146")
def test_each_party_sees_it_and_a_third_account_is_denied_everything(
    cloud: RunningCloud, office: Office
) -> None:
    sender, other, third = office.person(), office.person(), office.person()
    contract_id = concluded(cloud, sender, [other])
    for who in (sender, other):
        found = who.get(contract_id)
        assert found.contract.state == pb.CONTRACT_STATE_COMPLETED
        assert found.details.title == TITLE
        assert {one.state for one in found.parties} == {pb.CONTRACT_PARTY_STATE_SIGNED}
    requests = of(contract_id)
    methods = {one.name for one in pb.DESCRIPTOR.services_by_name["ContractService"].methods}
    assert set(requests) | _WITHOUT_CONTRACT | _OF_OPERATORS == methods
    before = sender.get(contract_id)
    others = [contract_id, draft(sender, [myself()]), str(uuid.uuid4())]
    for one in others:  # one that is known, one that nobody else knows, and one that is none
        for method, request in of(one).items():
            code, info = refused(getattr(third.call, method), request)
            assert (code, info.reason) == (DENIED, "CONTRACT_OTHERS"), method
    assert sender.get(contract_id) == before
    assert third.found() == third.found(text="租赁") == third.found(awaiting_me=True) == []
    for method, more in (("ListContracts", {}), ("InspectContract", {"contract_id": contract_id})):
        request = getattr(pb, f"{method}Request")(**more)
        assert refused(getattr(third.call, method), request)[0] is DENIED


def test_a_party_does_nothing_that_is_the_senders(cloud: RunningCloud, office: Office) -> None:
    sender, other = office.person(), office.person()
    contract_id = sent_contract(cloud, sender, [myself(), other])
    requests = of(contract_id)
    for method in (
        "UpdateContract",
        "SetParties",
        "PlaceMarks",
        "SendContract",
        "WithdrawContract",
        "CopyContract",
        "RemindParties",
        "ClassifyContract",
        "ArchiveContract",
        "UnarchiveContract",
        "DeleteContract",
    ):
        assert refused(getattr(other.call, method), requests[method])[0] is DENIED, method
    upload = pb.DownloadContractRequest(contract_id=contract_id, file=pb.CONTRACT_FILE_UPLOAD)
    assert refused(other.call.DownloadContract, upload)[0] is DENIED
    assert {one.masked_contact for one in other.get(contract_id).parties} == {""}


@pytest.mark.req("R123")
def test_the_page_of_a_contract_has_all_there_is(cloud: RunningCloud, office: Office) -> None:
    sender, other = office.person(), office.person()
    contract_id = sent_contract(cloud, sender, [myself(), other], category="LEASE", number="L-1")
    other.read(contract_id)
    for who in (sender, other):
        found = who.get(contract_id)
        assert (found.details.title, found.details.category) == (TITLE, "LEASE")
        assert [one.name for one in found.parties] == [sender.name, other.name]
        assert found.parties[1].state == pb.CONTRACT_PARTY_STATE_READ_CONFIRMED
        assert [one.is_me for one in found.parties] == [who is sender, who is other]
        assert len(found.pages) == found.contract.page_count == 1
        assert len(found.marks) == 2
        assert who.page(contract_id, 1)[0].startswith(b"\x89PNG")
        kinds = [one.kind for one in found.timeline]
        assert kinds[kinds.index(pb.CONTRACT_EVENT_KIND_SENT) :][:5] == [
            pb.CONTRACT_EVENT_KIND_SENT,
            pb.CONTRACT_EVENT_KIND_NOTIFIED,
            pb.CONTRACT_EVENT_KIND_NOTIFIED,
            pb.CONTRACT_EVENT_KIND_OPENED,
            pb.CONTRACT_EVENT_KIND_READ,
        ]
        assert [one.revision_no for one in found.revisions] == [0]


def test_the_time_of_sending_is_the_same_everywhere_to_the_millisecond(
    cloud: RunningCloud, office: Office
) -> None:
    sender, other = office.person(), office.person()
    contract_id = sent_contract(cloud, sender, [myself(), other])
    found = other.get(contract_id)
    sent = found.contract.send_time
    assert sent.nanos % 1_000_000 == 0
    assert found.revisions[0].time == sent
    assert [one.time for one in found.timeline if one.kind == pb.CONTRACT_EVENT_KIND_SENT] == [sent]
    [event] = actions(cloud, contract_id, "contracts.send")
    told = {one.key: one.value for one in event.facts}
    assert told["sent"] == sent.ToDatetime(UTC).isoformat(timespec="milliseconds")
    assert told["sha256"] == found.contract.document_sha256.hex()


def test_drafts_are_no_part_of_what_parties_see(cloud: RunningCloud, office: Office) -> None:
    sender, other = office.person(), office.person()
    contract_id = sent_contract(cloud, sender, [myself(), other])
    kinds = [one.kind for one in other.get(contract_id).timeline]
    assert pb.CONTRACT_EVENT_KIND_CREATED not in kinds
    assert pb.CONTRACT_EVENT_KIND_SENT in kinds


@pytest.mark.req("R147")
def test_search_finds_by_each_filter_in_pages_and_own_ones_alone(tmp_path: Any, database_url: str) -> None:
    with (
        running_cloud(tmp_path, database=database_url, write_calls_per_minute=100_000) as cloud,
        contracting(cloud) as office,
    ):
        sender, other, third = office.person(), office.person(), office.person()
        titles = ("房屋租赁合同", "设备采购合同", "Service agreement")
        ids = [
            sent_contract(cloud, sender, [myself(), other], title=title, category=f"KIND_{number}")
            for number, title in enumerate(titles)
        ]
        draft_id = draft(sender, [myself()], title="租赁 草稿")
        third_id = draft(third, [myself()], title="房屋租赁合同")
        newest = [draft_id, *reversed(ids)]
        assert sender.found() == newest
        assert other.found() == newest[1:]
        assert third.found() == [third_id]
        assert sender.found(text="租赁") == [draft_id, ids[0]]
        assert sender.found(text="合同 设备") == [ids[1]]
        assert sender.found(text="service AGREEMENT") == [ids[2]]
        assert sender.found(party=other.name) == newest[1:]
        assert sender.found(party=third.name) == []
        assert sender.found(category="KIND_1") == [ids[1]]
        assert sender.found(states=[pb.CONTRACT_STATE_DRAFT]) == [draft_id]
        created = sender.get(ids[1]).contract.create_time
        assert sender.found(from_time=created) == [draft_id, ids[2], ids[1]]
        assert sender.found(until_time=created) == [ids[0]]
        assert sender.found(text="租赁", category="KIND_0", states=[pb.CONTRACT_STATE_SENT]) == [ids[0]]
        pages, token = [], ""
        while True:
            request = pb.SearchContractsRequest(page_size=3, page_token=token)
            page = sender.call.SearchContracts(request)
            pages.append([one.contract.contract_id for one in page.entries])
            token = page.next_page_token
            if not token:
                break
        assert pages == [newest[:3], newest[3:]]
        taken = pb.SearchContractsRequest(page_size=3, page_token=token or "x", text="租赁")
        assert refused(sender.call.SearchContracts, taken)[1].reason == "PAGE_TOKEN_INVALID"


@pytest.mark.req("R149")
def test_moving_and_classifying_is_told_in_the_chain(cloud: RunningCloud, office: Office) -> None:
    sender, other = office.person(), office.person()
    contract_id = concluded(cloud, sender, [other])
    sender.call.ClassifyContract(
        pb.ClassifyContractRequest(
            contract_id=contract_id, category="LEASE", folder="2026", tags=["important"]
        )
    )
    assert sender.found(category="LEASE") == sender.found(folder="2026") == [contract_id]
    assert sender.found(tag="important") == [contract_id]
    [event] = actions(cloud, contract_id, "contracts.classify")
    assert event.caller == f"account/{sender.account_id}"
    assert "LEASE" in str(event.facts)
    assert "important" not in str(event)
    assert pb.CONTRACT_EVENT_KIND_CLASSIFIED in [one.kind for one in sender.get(contract_id).timeline]


def actions(cloud: RunningCloud, contract_id: str, action: str) -> list[Any]:
    request = audit_service_pb2.ListAuditEventsRequest(filter=f'subject = "contracts/{contract_id}"')
    events = cloud.operator.call(cloud.operator.audit.ListAuditEvents, request).events
    return [one for one in events if one.action == action]


@pytest.mark.req("R150")
def test_what_is_archived_is_read_only_and_kept(cloud: RunningCloud, office: Office) -> None:
    sender, other = office.person(), office.person()
    contract_id = concluded(cloud, sender, [other])
    kept = sender.get(contract_id).contract
    assert kept.retention_time.ToDatetime() - kept.complete_time.ToDatetime() == timedelta(days=3653)
    shorter = pb.ArchiveContractRequest(contract_id=contract_id)
    shorter.retention_time.FromDatetime(kept.retention_time.ToDatetime() - timedelta(days=1))
    assert refused(sender.call.ArchiveContract, shorter)[1].reason == "CONTRACT_RETENTION"
    longer = pb.ArchiveContractRequest(contract_id=contract_id)
    longer.retention_time.FromDatetime(kept.retention_time.ToDatetime() + timedelta(days=1))
    sender.call.ArchiveContract(longer)
    found = sender.get(contract_id)
    assert found.contract.state == pb.CONTRACT_STATE_ARCHIVED
    assert found.contract.retention_time == longer.retention_time
    for method in ("ClassifyContract", "UpdateContract", "WithdrawContract", "DeclineContract"):
        code, info = refused(getattr(sender.call, method), of(contract_id)[method])
        assert (code, info.reason) == (PRECONDITION, "CONTRACT_STATE"), method
    delete = pb.DeleteContractRequest(contract_id=contract_id)
    code, info = refused(sender.call.DeleteContract, delete)
    assert (code, info.reason) == (PRECONDITION, "CONTRACT_RETENTION")
    assert sender.get(contract_id) == found
    sender.call.UnarchiveContract(pb.UnarchiveContractRequest(contract_id=contract_id))
    assert sender.get(contract_id).contract.state == pb.CONTRACT_STATE_COMPLETED
    assert refused(sender.call.DeleteContract, delete)[1].reason == "CONTRACT_RETENTION"
    sender.call.ArchiveContract(pb.ArchiveContractRequest(contract_id=contract_id))
    assert other.download(contract_id)[0]
    assert job(cloud, "retain") == 0
    cloud_later(cloud, office, sender, contract_id)


def cloud_later(cloud: RunningCloud, office: Office, sender: Somebody, contract_id: str) -> None:
    """Once its retention is over it can be deleted; then all that was told about it is gone."""
    pass_time(cloud, timedelta(days=3655))
    try:
        later = office.as_somebody(sign_in(cloud, sender.signed_in))
        later.call.DeleteContract(pb.DeleteContractRequest(contract_id=contract_id))
        assert refused(later.call.GetContract, of(contract_id)["GetContract"])[0] is DENIED
        assert later.found(text="租赁") == []
        left = office.operator("InspectContract", pb.InspectContractRequest(contract_id=contract_id))
        assert left.contract.state == pb.CONTRACT_STATE_DELETED
        assert len(left.revisions) == 3
    finally:
        pass_time(cloud, -timedelta(days=3655))


def test_what_came_to_nothing_is_kept_a_year_and_drafts_half_of_one(tmp_path: Any) -> None:
    with running_cloud(tmp_path) as cloud, contracting(cloud) as office:
        sender, other = office.person(), office.person()
        ended, idle = sent_contract(cloud, sender, [myself(), other]), draft(sender, [myself()])
        sender.call.WithdrawContract(pb.WithdrawContractRequest(contract_id=ended))
        delete = pb.DeleteContractRequest(contract_id=ended)
        assert refused(sender.call.DeleteContract, delete)[1].reason == "CONTRACT_RETENTION"
        for days, left in ((179, [idle, ended]), (2, [ended]), (185, [])):
            pass_time(cloud, timedelta(days=days))
            job(cloud, "retain")
            later = office.as_somebody(sign_in(cloud, sender.signed_in))
            assert later.found() == left


def test_what_is_downloaded_is_what_was_stored_and_is_told(cloud: RunningCloud, office: Office) -> None:
    sender, other = office.person(), office.person()
    contract_id = concluded(cloud, sender, [other])
    found = other.get(contract_id).contract
    content, first = other.download(contract_id)
    assert hashlib.sha256(content).digest() == first.sha256 == found.revision_sha256
    document, _ = other.download(contract_id, pb.CONTRACT_FILE_DOCUMENT)
    assert hashlib.sha256(document).digest() == found.document_sha256
    uploaded, _ = sender.download(contract_id, pb.CONTRACT_FILE_UPLOAD)
    assert hashlib.sha256(uploaded).digest() == found.upload_sha256
    events = actions(cloud, contract_id, "contracts.download")
    assert [one.caller for one in events].count(f"account/{other.account_id}") == 2
    assert len(events) == 3


def test_operators_see_how_contracts_stand_and_no_title_or_name(cloud: RunningCloud, office: Office) -> None:
    sender, other = office.person(), office.person()
    contract_id = sent_contract(cloud, sender, [myself(), other], number="L-77", tags=["secret-tag"])
    runner, base = CliRunner(), ["--data", str(cloud.data), "--json"]
    told = ""
    for command in (["list"], ["list", "--state", "sent"], ["show", contract_id]):
        result = runner.invoke(commands, ["contracts", *command, *base])
        assert result.exit_code == 0, result.output
        json.loads(result.stdout)
        told += result.stdout
    plain = runner.invoke(commands, ["contracts", "show", contract_id, "--data", str(cloud.data)])
    told += plain.stdout
    assert contract_id in told
    assert "notified" in told
    for hidden in (
        TITLE,
        "租赁",
        "L-77",
        "secret-tag",
        sender.name,
        other.name,
        other.phone,
        other.phone[-4:],
    ):
        assert hidden not in told
    listed = office.operator("ListContracts", pb.ListContractsRequest(page_size=1))
    assert listed.next_page_token


def test_nothing_personal_stands_in_the_database_or_the_log(tmp_path: Any) -> None:
    with running_cloud(tmp_path) as cloud, contracting(cloud) as office:
        sender, other = office.person(), office.person()
        sent_contract(
            cloud,
            sender,
            [myself(), other],
            title="机密收购 Acquisition",
            note="for nobody else",
            tags=["hush"],
        )
        other.found(text="收购", party=sender.name)
        raw = b"".join(path.read_bytes() for path in cloud.data.glob("verifield.db*"))
        log = str(cloud.log.calls)
    for word in ("机密收购", "Acquisition", "for nobody else", "hush", other.name, other.phone):
        assert word.encode() not in raw, word
        assert word not in log, word
