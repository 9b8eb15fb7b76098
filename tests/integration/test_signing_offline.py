"""Signing at a site whose devices may be offline: handed out as a task, handed in with a face, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256
from uuid import uuid4

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import ErrorInfo

from cloud.store import devices
from tests.support.accounts import SignedIn
from tests.support.cloud import CloudDevice, RunningCloud, refusal
from tests.support.final import signing_cloud
from tests.support.identity import Seen, statement_of
from tests.support.signing import (
    Sent,
    Started,
    ask_code,
    begin,
    contract_of,
    contracts,
    download,
    judged,
    sent_contract,
    sign_request,
    signer_of,
    signing,
    signing_refused,
)
from verifield.documents.verdict import Outcome
from verifield.tasks import awaits
from verifield.v1 import contract_service_pb2 as contract_pb
from verifield.v1 import device_service_pb2, diagnostics_service_pb2, identity_pb2
from verifield.v1 import signing_service_pb2 as pb
from verifield.v1.diagnostics_service_pb2_grpc import DiagnosticsServiceStub
from verifield.v1.signing_service_pb2_grpc import SigningServiceStub
from verifield.v1.sync_service_pb2 import DOWN_ITEM_KIND_CONTRACT
from verifield.v1.task_pb2 import ContractTask
from verifield.v1.task_service_pb2 import GetTaskDocumentRequest
from verifield.v1.task_service_pb2_grpc import TaskServiceStub

TIMEOUT_S = 30.0


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with signing_cloud(tmp_path_factory.mktemp("offline")) as running:
        yield running


@pytest.fixture(scope="module")
def other(cloud: RunningCloud) -> CloudDevice:
    return cloud.enroll()  # before the clock is moved: machines check certificates by their own


@pytest.fixture(scope="module")
def third(cloud: RunningCloud) -> CloudDevice:
    return cloud.enroll()


@pytest.fixture(scope="module")
def device(cloud: RunningCloud, other: CloudDevice, third: CloudDevice) -> CloudDevice:
    return cloud.enroll()


def handed_out(cloud: RunningCloud, device: CloudDevice) -> tuple[SignedIn, Sent, Started, pb.Signing]:
    """Somebody who is awaited at the device's site."""
    who = signer_of(cloud)
    sent = sent_contract(cloud, who, [])
    started = begin(cloud, who, sent)
    request = pb.StartOfflineSigningRequest(
        signing_id=started.signing.signing_id,
        preview_hash=started.preview_hash,
        site_id=device.site_id,
    )
    return who, sent, started, signing(cloud, who, "StartOfflineSigning", request).signing


def tasks(cloud: RunningCloud, device: CloudDevice) -> dict[str, ContractTask]:
    """What the device holds."""
    found: dict[str, ContractTask] = {}
    cursor = ""
    while True:
        page = cloud.pull(device, cursor)
        for item in page.items:
            if item.kind == DOWN_ITEM_KIND_CONTRACT:
                found.pop(item.item_id, None)
                if not item.removed:
                    found[item.item_id] = ContractTask.FromString(item.content)
        cursor = page.next_cursor
        if not page.more:
            return found


def taken(device: CloudDevice, who: SignedIn, task: pb.Signing, **other: bytes) -> Message:
    """What the device took for the task, behind the person's confirmation to have read its document."""
    seen = Seen(who.person.elements)
    purpose = {"nonce": task.nonce, "read_sha256": task.document_sha256} | other
    statement, salts = statement_of(device, seen, task_id=task.task_id, **purpose)
    validity = who.person.validity
    assert validity.valid_from
    assert validity.valid_to
    return identity_pb2.FaceEvidence(
        envelope=device.sign(statement),
        certificates=device.chain,
        number_salt=salts["document.number"],
        valid_from=validity.valid_from.isoformat(),
        valid_from_salt=salts["document.valid_from"],
        valid_to=validity.valid_to.isoformat(),
        valid_to_salt=salts["document.valid_to"],
        picture=seen.picture,
        picture_salt=salts["media.best_shot"],
    )


def submit(
    cloud: RunningCloud, device: CloudDevice, task_id: str, evidence: Message
) -> pb.SigningState.ValueType:
    with cloud.device_channel(device.tls_chain, device.tls_key) as channel:
        request = pb.SubmitOfflineSignatureRequest(task_id=task_id, evidence=evidence)
        answer = SigningServiceStub(channel).SubmitOfflineSignature(request, timeout=TIMEOUT_S)
    assert answer.task_id == task_id
    return answer.state


def submit_refused(cloud: RunningCloud, device: CloudDevice, task_id: str, evidence: Message) -> ErrorInfo:
    try:
        state = submit(cloud, device, task_id, evidence)
    except grpc.RpcError as error:
        return refusal(error)[1]
    raise AssertionError(f"not refused: {state}")


@pytest.mark.req("R137")
def test_what_a_device_took_for_a_task_signs_once(cloud: RunningCloud, device: CloudDevice) -> None:
    who, sent, started, told = handed_out(cloud, device)
    assert told.state == pb.SIGNING_STATE_AT_SITE
    task = tasks(cloud, device)[told.task_id]
    assert (task.nonce, task.document_sha256) == (started.signing.nonce, sent.document_sha256)
    assert awaits(task.person, who.person.id_number)
    assert who.person.name not in str(task)
    info = submit_refused(cloud, device, told.task_id, taken(device, who, told, nonce=bytes(32)))
    assert info.reason == "EVIDENCE_NONCE"
    stranger = signer_of(cloud)
    info = submit_refused(cloud, device, told.task_id, taken(device, stranger, told))
    assert info.reason == "EVIDENCE_PERSON"

    for unread in (b"", sha256(b"another document").digest()):
        evidence = taken(device, who, told, read_sha256=unread)
        assert submit_refused(cloud, device, told.task_id, evidence).reason == "CONTRACT_NOT_READ"

    cloud.clock.offset += timedelta(days=2)  # the device had no line for so long
    evidence = taken(device, who, told)
    assert submit(cloud, device, told.task_id, evidence) == pb.SIGNING_STATE_SIGNED
    assert submit(cloud, device, told.task_id, evidence) == pb.SIGNING_STATE_SIGNED  # no answer had come
    info = submit_refused(cloud, device, told.task_id, taken(device, who, told))
    assert info.reason == "SIGN_TASK_OVER"
    assert told.task_id not in tasks(cloud, device)


def test_a_record_of_another_device_of_the_site_counts_for_nothing(
    cloud: RunningCloud, device: CloudDevice, other: CloudDevice
) -> None:
    who, _, _, told = handed_out(cloud, device)
    assert other.site_id == device.site_id
    evidence = taken(device, who, told)
    assert submit_refused(cloud, other, told.task_id, evidence).reason == "EVIDENCE_DEVICE"
    assert submit(cloud, device, told.task_id, evidence) == pb.SIGNING_STATE_SIGNED


def test_a_record_that_comes_twice_at_once_signs_once(cloud: RunningCloud, device: CloudDevice) -> None:
    who, sent, _, told = handed_out(cloud, device)
    evidence = taken(device, who, told)
    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(submit, cloud, device, told.task_id, evidence) for _ in range(4)]
        done = {call.result() for call in calls}
    assert done <= {pb.SIGNING_STATE_SIGNED, pb.SIGNING_STATE_AUTHENTICATED}
    assert pb.SIGNING_STATE_SIGNED in done
    assert contract_of(cloud, who, sent.contract_id).contract.revision_no == 1


def test_a_signature_at_a_site_is_as_any_other(cloud: RunningCloud, device: CloudDevice) -> None:
    who, sent, _, told = handed_out(cloud, device)
    submit(cloud, device, told.task_id, taken(device, who, told))
    found = contract_of(cloud, who, sent.contract_id)
    assert found.contract.state == contract_pb.CONTRACT_STATE_COMPLETED
    assert judged(cloud, download(cloud, who, sent.contract_id)).outcome is Outcome.VALID
    listed = pb.ListSignaturesRequest(contract_id=sent.contract_id)
    record = signing(cloud, who, "ListSignatures", listed).signatures[0]
    assert (record.method, record.device_id) == (pb.SIGN_METHOD_FACE, device.device_id)


def test_a_contract_that_was_withdrawn_is_not_signed_at_a_site(
    cloud: RunningCloud, device: CloudDevice
) -> None:
    who, sent, _, told = handed_out(cloud, device)
    evidence = taken(device, who, told)
    contracts(
        cloud, who, "WithdrawContract", contract_pb.WithdrawContractRequest(contract_id=sent.contract_id)
    )
    info = submit_refused(cloud, device, told.task_id, evidence)
    assert (info.reason, info.metadata["why"]) == ("SIGN_TASK_OVER", "CONTRACT_STATE")
    assert told.task_id not in tasks(cloud, device)
    info = submit_refused(cloud, device, told.task_id, evidence)
    assert info.reason == "SIGN_TASK_OVER"


def test_a_task_has_an_end(cloud: RunningCloud, device: CloudDevice) -> None:
    who, _, _, told = handed_out(cloud, device)
    cloud.clock.offset += timedelta(days=7, seconds=1)
    for _ in range(2):
        info = submit_refused(cloud, device, told.task_id, taken(device, who, told))
        assert (info.reason, info.metadata["why"]) == ("SIGN_TASK_OVER", "EXPIRED")
    assert told.task_id not in tasks(cloud, device)


def test_who_signs_elsewhere_is_awaited_no_more(cloud: RunningCloud, device: CloudDevice) -> None:
    who, sent, _, told = handed_out(cloud, device)
    again = begin(cloud, who, sent)
    assert told.task_id not in tasks(cloud, device)
    code = ask_code(cloud, who, again.signing.signing_id)
    done = signing(cloud, who, "Sign", sign_request(again, sms_code=code)).signing
    assert done.state == pb.SIGNING_STATE_SIGNED
    info = submit_refused(cloud, device, told.task_id, taken(device, who, told))
    assert (info.reason, info.metadata["why"]) == ("SIGN_TASK_OVER", "REPLACED")


def test_a_task_is_called_back(cloud: RunningCloud, device: CloudDevice) -> None:
    who, _, _, told = handed_out(cloud, device)
    request = pb.CancelOfflineSigningRequest(signing_id=told.signing_id)
    assert signing(cloud, who, "CancelOfflineSigning", request).signing.state == pb.SIGNING_STATE_CANCELLED
    assert told.task_id not in tasks(cloud, device)
    assert signing_refused(cloud, who, "CancelOfflineSigning", request).reason == "SIGNING_STATE"
    assert submit_refused(cloud, device, told.task_id, taken(device, who, told)).reason == "SIGN_TASK_OVER"


def test_tasks_of_other_sites_are_nobodys_business(cloud: RunningCloud, device: CloudDevice) -> None:
    who, _, started, told = handed_out(cloud, device)
    request = pb.StartOfflineSigningRequest(
        signing_id=started.signing.signing_id, preview_hash=started.preview_hash, site_id="nowhere"
    )
    assert signing_refused(cloud, who, "StartOfflineSigning", request).reason == "SIGNING_STATE"
    task_id = "0190a0a0-0000-7000-8000-000000000001"
    assert submit_refused(cloud, device, task_id, taken(device, who, told)).reason == "SIGN_TASK_NOT_FOUND"
    begun = begin(cloud, who, sent_contract(cloud, who, []))
    request = pb.StartOfflineSigningRequest(
        signing_id=begun.signing.signing_id, preview_hash=begun.preview_hash, site_id="nowhere"
    )
    assert signing_refused(cloud, who, "StartOfflineSigning", request).reason == "SITE_UNKNOWN"


def read_document(cloud: RunningCloud, device: CloudDevice, task: pb.Signing) -> bytes:
    """The first part of the document of a task, as the device gets it."""
    with cloud.device_channel(device.tls_chain, device.tls_key) as channel:
        request = GetTaskDocumentRequest(task_id=task.task_id, document_sha256=task.document_sha256)
        return TaskServiceStub(channel).GetTaskDocument(request, timeout=TIMEOUT_S).content


def upload_diagnostics(cloud: RunningCloud, device: CloudDevice) -> None:
    found = diagnostics_service_pb2.Diagnostics(
        diagnostic_id=str(uuid4()),
        error_code="CLOUD_UNREACHABLE",
        occur_time=Timestamp(seconds=1_700_000_000),
    )
    with cloud.device_channel(device.tls_chain, device.tls_key) as channel:
        request = diagnostics_service_pb2.UploadDeviceDiagnosticsRequest(diagnostics=found)
        DiagnosticsServiceStub(channel).UploadDeviceDiagnostics(request, timeout=TIMEOUT_S)


def refused(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), refusal(caught.value)[1].reason


@pytest.mark.req("R181")
def test_a_device_that_was_revoked_is_refused_at_its_next_call(
    cloud: RunningCloud, device: CloudDevice, other: CloudDevice
) -> None:
    who, _, _, told = handed_out(cloud, device)
    evidence = taken(other, who, told)
    assert read_document(cloud, other, told).startswith(b"%PDF")
    request = device_service_pb2.RevokeDeviceRequest(
        device_id=other.device_id, reason=device_service_pb2.REVOCATION_REASON_KEY_COMPROMISE
    )
    cloud.operator.call(cloud.operator.devices.RevokeDevice, request)
    revoked = (grpc.StatusCode.UNAUTHENTICATED, "DEVICE_REVOKED")
    assert refused(lambda: read_document(cloud, other, told)) == revoked
    assert refused(lambda: submit(cloud, other, told.task_id, evidence)) == revoked
    assert refused(lambda: upload_diagnostics(cloud, other)) == revoked
    assert submit(cloud, device, told.task_id, taken(device, who, told)) == pb.SIGNING_STATE_SIGNED


@pytest.mark.parametrize(
    "state", [device_service_pb2.DEVICE_STATE_SUSPENDED, device_service_pb2.DEVICE_STATE_REPLACED]
)
def test_a_device_that_is_not_active_reads_no_contract(
    cloud: RunningCloud, device: CloudDevice, third: CloudDevice, state: int
) -> None:
    who, _, _, told = handed_out(cloud, device)
    with cloud.database() as connection:
        devices.set_state(connection, third.device_id, state)
    closed = (grpc.StatusCode.FAILED_PRECONDITION, "DEVICE_NOT_ACTIVE")
    assert refused(lambda: read_document(cloud, third, told)) == closed
    info = submit_refused(cloud, third, told.task_id, taken(third, who, told))
    assert info.reason == "EVIDENCE_DEVICE"
    upload_diagnostics(cloud, third)  # what its line suffers from may be why
