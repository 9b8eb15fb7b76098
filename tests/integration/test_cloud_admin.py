"""What an operator does with devices over gRPC: approval, revocation, directives, alarms, policies."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from cloud.authority import CLIENT_LIFETIME, REVOCATION_LIST_LIFETIME
from cloud.commands.policies import first_policy
from cloud.errors import ClientError
from cloud.paging import encode_page_token
from cloud.policies.service import MAX_POLICIES_PAGE
from cloud.sources import to_us
from cloud.store import policies
from tests.support.authority import new_key
from tests.support.cloud import (
    CloudDevice,
    RunningCloud,
    enroll_request,
    next_envelopes,
    refusal,
    running_cloud,
)
from verifield.dsse import encode_envelope, parse_envelope
from verifield.policy import (
    POLICY_TYPE,
    check_directive,
    check_policy,
    encode_policy,
    parse_policy,
    policy_sha256,
)
from verifield.revocation import parse_revocation_list
from verifield.v1 import device_service_pb2 as pb
from verifield.v1 import policy_service_pb2, sync_service_pb2
from verifield.v1.enrollment_service_pb2 import (
    ENROLLMENT_STATE_ACTIVE,
    ENROLLMENT_STATE_PENDING_APPROVAL,
    EnrollRequest,
    EnrollResponse,
)
from verifield.v1.enrollment_service_pb2_grpc import EnrollmentServiceStub
from verifield.v1.policy_pb2 import (
    DIRECTIVE_ACTION_LOCK,
    DIRECTIVE_ACTION_UNLOCK,
    DIRECTIVE_ACTION_UNSPECIFIED,
    DIRECTIVE_ACTION_WIPE,
    Policy,
)
from verifield.v1.sync_service_pb2_grpc import SyncServiceStub


@pytest.fixture
def cloud(tmp_path: Path, database_url: str) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path / "data", database=database_url) as running:
        yield running


def pull(cloud: RunningCloud, device: CloudDevice, cursor: str = "") -> sync_service_pb2.PullResponse:
    with cloud.device_channel(device.tls_chain, device.tls_key) as channel:
        return SyncServiceStub(channel).Pull(sync_service_pb2.PullRequest(cursor=cursor), timeout=20)


def enroll(cloud: RunningCloud, request: EnrollRequest) -> EnrollResponse:
    with cloud.public_channel() as channel:
        return EnrollmentServiceStub(channel).Enroll(request, timeout=20)


def token(cloud: RunningCloud, **options: object) -> str:
    request = pb.CreateJoinTokenRequest(site_id="site-1", **options)  # type: ignore[arg-type]
    return cloud.operator.call(cloud.operator.devices.CreateJoinToken, request).join_token


def policy(version: int) -> Policy:
    wanted = first_policy()
    wanted.version = version
    wanted.expire_time.FromDatetime(datetime.now(UTC) + timedelta(days=30))
    return wanted


def publish(cloud: RunningCloud, wanted: Policy) -> policy_service_pb2.PublishPolicyResponse:
    request = policy_service_pb2.PublishPolicyRequest(policy=wanted)
    return cloud.operator.call(cloud.operator.policies.PublishPolicy, request)


def test_a_key_that_no_hardware_proves_waits_for_a_person(cloud: RunningCloud) -> None:
    request = enroll_request(token(cloud), new_key(), new_key())
    waiting = enroll(cloud, request)
    assert waiting.state == ENROLLMENT_STATE_PENDING_APPROVAL
    assert not waiting.attestation_certificates
    assert not waiting.tls_certificates
    [listed] = cloud.operator.call(
        cloud.operator.devices.ListDevices, pb.ListDevicesRequest(state=pb.DEVICE_STATE_PENDING)
    ).devices
    assert listed.device_id == waiting.device_id

    wrong = pb.ApproveDeviceRequest(device_id=waiting.device_id, key_sha256=bytes(32))
    with pytest.raises(ClientError) as caught:
        cloud.operator.call(cloud.operator.devices.ApproveDevice, wrong)
    assert caught.value.code == "FINGERPRINT_MISMATCH"
    assert enroll(cloud, request).state == ENROLLMENT_STATE_PENDING_APPROVAL

    right = pb.ApproveDeviceRequest(device_id=waiting.device_id, key_sha256=waiting.key_sha256)
    approved = cloud.operator.call(cloud.operator.devices.ApproveDevice, right).device
    assert approved.state == pb.DEVICE_STATE_ACTIVE
    admitted = enroll(cloud, request)
    assert admitted.state == ENROLLMENT_STATE_ACTIVE
    assert admitted.attestation_certificates


def test_a_revoked_device_is_refused_and_the_list_says_when(cloud: RunningCloud) -> None:
    device, other = cloud.enroll(), cloud.enroll()
    cloud.deliver(device, next_envelopes(device, 2))
    request = pb.RevokeDeviceRequest(device_id=device.device_id, reason=pb.REVOCATION_REASON_KEY_COMPROMISE)
    revoked = cloud.operator.call(cloud.operator.devices.RevokeDevice, request).device
    assert revoked.state == pb.DEVICE_STATE_REVOKED
    with pytest.raises(grpc.RpcError) as caught:
        cloud.deliver(device, next_envelopes(device, 1))
    assert refusal(caught.value)[1].reason == "DEVICE_REVOKED"

    listed = cloud.operator.call(
        cloud.operator.devices.GetRevocationList, pb.GetRevocationListRequest()
    ).revocation_list
    roots = x509.load_pem_x509_certificates(cloud.root_pem)
    for source in (listed, _revocations(pull(cloud, other))):
        known = parse_revocation_list(source, issuers=device.chain[1:], roots=roots)
        for chain, is_revoked in ((device.chain, True), (device.tls_chain, True), (other.chain, False)):
            serial = x509.load_der_x509_certificate(chain[0]).serial_number
            assert (known.revoked_at(serial) is not None) is is_revoked

    without = pb.RevokeDeviceRequest(device_id=other.device_id)
    with pytest.raises(ClientError) as refused:
        cloud.operator.call(cloud.operator.devices.RevokeDevice, without)
    assert refused.value.code == "REQUEST_INVALID"


def _revocations(answer: sync_service_pb2.PullResponse) -> bytes:
    [item] = [one for one in answer.items if one.kind == sync_service_pb2.DOWN_ITEM_KIND_REVOCATIONS]
    return item.content


def test_a_directive_reaches_its_device_alone_and_the_newest_counts(cloud: RunningCloud) -> None:
    device, other = cloud.enroll(), cloud.enroll()
    roots = x509.load_pem_x509_certificates(cloud.root_pem)
    for action in (DIRECTIVE_ACTION_LOCK, DIRECTIVE_ACTION_UNLOCK, DIRECTIVE_ACTION_WIPE):
        request = pb.SendDirectiveRequest(device_id=device.device_id, action=action, reason="lost in a taxi")
        cloud.operator.call(cloud.operator.devices.SendDirective, request)
    answer = pull(cloud, device)
    actions = []
    for item in answer.items:
        assert item.kind == sync_service_pb2.DOWN_ITEM_KIND_DIRECTIVE
        directive = check_directive(
            item.content, certificates=answer.policy_certificates, roots=roots, device_id=device.device_id
        )
        assert directive.reason == "lost in a taxi"
        actions.append(directive.action)
    assert actions == [DIRECTIVE_ACTION_UNLOCK, DIRECTIVE_ACTION_WIPE]
    assert not pull(cloud, device, answer.next_cursor).items
    assert not pull(cloud, other).items


def test_an_unlock_counts_also_after_the_services_clock_was_set_back(cloud: RunningCloud) -> None:
    """Devices obey in the order of the times of issue: these ascend, whatever the clock does."""
    device = cloud.enroll()
    roots = x509.load_pem_x509_certificates(cloud.root_pem)
    issued = []
    for action, offset in ((DIRECTIVE_ACTION_LOCK, 300), (DIRECTIVE_ACTION_UNLOCK, 0)):
        cloud.clock.offset = timedelta(seconds=offset)
        request = pb.SendDirectiveRequest(device_id=device.device_id, action=action)
        cloud.operator.call(cloud.operator.devices.SendDirective, request)
        answer = pull(cloud, device)
        [item] = answer.items
        directive = check_directive(
            item.content, certificates=answer.policy_certificates, roots=roots, device_id=device.device_id
        )
        assert directive.action == action
        issued.append(directive.issue_time.ToDatetime())
    assert issued == sorted(set(issued))


def test_revocations_count_also_after_the_services_clock_was_set_back(cloud: RunningCloud) -> None:
    """A device takes no list that is older than its own."""
    first, second, reader = cloud.enroll(), cloud.enroll(), cloud.enroll()
    roots = x509.load_pem_x509_certificates(cloud.root_pem)
    lists = []
    for device, offset in ((first, 300), (second, 0)):
        cloud.clock.offset = timedelta(seconds=offset)
        revoke(cloud, device)
        lists.append(
            parse_revocation_list(_revocations(pull(cloud, reader)), issuers=reader.chain[1:], roots=roots)
        )
    assert lists[0].issued <= lists[1].issued
    for device in (first, second):
        assert lists[1].revoked_at(x509.load_der_x509_certificate(device.chain[0]).serial_number) is not None
    numbers = [_number(cloud), _number(cloud)]
    assert numbers == sorted(numbers)


def test_a_certificate_that_schema_0001_kept_no_record_of_is_revoked_too(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    with cloud.database() as connection:  # as the migration leaves a device that had delivered nothing
        connection.exec_driver_sql("DELETE FROM issued_certificates")
        connection.exec_driver_sql("UPDATE devices SET attestation_key = NULL")
    cloud.deliver(device, next_envelopes(device, 1), next_envelopes(device, 1))
    revoke(cloud, device)
    roots = x509.load_pem_x509_certificates(cloud.root_pem)
    known = parse_revocation_list(newest_list(cloud), issuers=device.chain[1:], roots=roots)
    serial = x509.load_der_x509_certificate(device.chain[0]).serial_number
    assert known.revoked_at(serial) is not None


def test_tls_certificates_leave_the_revocation_list_when_nobody_can_use_them(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    revoke(cloud, device)
    roots = x509.load_pem_x509_certificates(cloud.root_pem)
    for offset, listed in (
        (CLIENT_LIFETIME + REVOCATION_LIST_LIFETIME - timedelta(days=1), True),
        (CLIENT_LIFETIME + REVOCATION_LIST_LIFETIME + timedelta(days=1), False),
    ):
        cloud.clock.offset = offset
        known = parse_revocation_list(newest_list(cloud), issuers=device.chain[1:], roots=roots)
        tls, attestation = (
            x509.load_der_x509_certificate(chain[0]).serial_number
            for chain in (device.tls_chain, device.chain)
        )
        assert (known.revoked_at(tls) is not None) is listed
        assert known.revoked_at(attestation) is not None  # what it signed stays to be judged


def revoke(cloud: RunningCloud, device: CloudDevice) -> None:
    request = pb.RevokeDeviceRequest(device_id=device.device_id, reason=pb.REVOCATION_REASON_SUPERSEDED)
    cloud.operator.call(cloud.operator.devices.RevokeDevice, request)


def newest_list(cloud: RunningCloud) -> bytes:
    request = pb.GetRevocationListRequest()
    return cloud.operator.call(cloud.operator.devices.GetRevocationList, request).revocation_list


def _number(cloud: RunningCloud) -> int:
    known = x509.load_der_x509_crl(newest_list(cloud))
    return known.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


@pytest.mark.parametrize(
    ("action", "reason"), [(DIRECTIVE_ACTION_UNSPECIFIED, ""), (DIRECTIVE_ACTION_LOCK, "x" * 201)]
)
def test_a_directive_that_says_nothing_or_too_much_is_refused(
    cloud: RunningCloud, action: int, reason: str
) -> None:
    device = cloud.enroll()
    request = pb.SendDirectiveRequest(device_id=device.device_id, action=action, reason=reason)  # type: ignore[arg-type]
    with pytest.raises(ClientError) as caught:
        cloud.operator.call(cloud.operator.devices.SendDirective, request)
    assert caught.value.code == "REQUEST_INVALID"
    assert not pull(cloud, device).items


def test_an_action_of_a_newer_contract_is_refused(cloud: RunningCloud) -> None:
    request = pb.SendDirectiveRequest(device_id=cloud.enroll().device_id, action=99)  # type: ignore[arg-type]
    with pytest.raises(ClientError) as caught:
        cloud.operator.call(cloud.operator.devices.SendDirective, request)
    assert caught.value.code == "REQUEST_INVALID"


def test_a_policy_is_signed_and_handed_down_once(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    wanted = policy(1)
    wanted.media.keep.append("best_shot")
    published = publish(cloud, wanted)
    assert published.policy.HasField("issue_time")
    assert len(published.policy.media.recipient_key) == 32, "pictures are encrypted to the service"
    answer = pull(cloud, device)
    [item] = answer.items
    received = check_policy(
        item.content,
        certificates=answer.policy_certificates,
        roots=x509.load_pem_x509_certificates(cloud.root_pem),
    )
    assert received == published.policy
    assert policy_sha256(parse_envelope(item.content).payload) == published.sha256
    given = cloud.operator.call(
        cloud.operator.policies.GetPolicy, policy_service_pb2.GetPolicyRequest(version=1)
    )
    assert given.envelope == item.content
    assert list(given.certificates) == list(answer.policy_certificates)
    publish(cloud, policy(2))
    [newer] = pull(cloud, device, answer.next_cursor).items
    assert (newer.kind, newer.item_id) == (item.kind, item.item_id)
    listed = cloud.operator.call(
        cloud.operator.policies.ListPolicies, policy_service_pb2.ListPoliciesRequest(page_size=1)
    )
    assert [one.version for one in listed.policies] == [2]
    assert listed.next_page_token


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("match", "live_chip_photo_threshold", 0.4),
        ("match", "live_live_false_match_rate", 1e-3),
        ("liveness", "relief_threshold", 0.02),
    ],
)
def test_a_policy_that_devices_would_refuse_is_not_published(
    cloud: RunningCloud, part: str, name: str, value: float
) -> None:
    device = cloud.enroll()
    wanted = policy(1)
    setattr(getattr(wanted, part), name, value)
    with pytest.raises(ClientError) as caught:
        publish(cloud, wanted)
    assert caught.value.code == "POLICY_INVALID"
    assert f"{part}.{name}" in caught.value.message
    assert not pull(cloud, device).items
    too_long = policy(1)
    for number in range(6):
        text = too_long.session.notices.add(text_id=f"notice_{number}")
        text.by_language.update(dict.fromkeys(("zh", "es", "en"), "文" * 4000))
    with pytest.raises(ClientError) as caught:
        publish(cloud, too_long)
    assert caught.value.code == "POLICY_INVALID"  # no envelope can hold it
    assert not pull(cloud, device).items


def test_a_policy_of_a_day_before_the_service_began_is_not_published(cloud: RunningCloud) -> None:
    """The policy key's certificate was not valid then: every device would refuse what it signs."""
    cloud.clock.offset = timedelta(days=-1)
    with pytest.raises(ClientError) as caught:
        publish(cloud, policy(1))
    assert caught.value.code == "POLICY_INVALID"


def test_policies_come_in_pages_that_fit_a_message(cloud: RunningCloud) -> None:
    long_text = {"zh": "\u6587" * 4000, "en": "x" * 4000, "es": "y" * 4000}
    count = MAX_POLICIES_PAGE + 3
    now_us = to_us(cloud.clock.now())
    publish(cloud, policy(1))
    with cloud.database() as connection:  # as after some years
        first = policies.get_policy(connection, 1)
        assert first is not None
        for version in range(2, count + 1):
            wanted = Policy()
            wanted.CopyFrom(parse_policy(parse_envelope(first.envelope).payload))
            wanted.version = version
            for number in range(3):
                wanted.session.notices.add(text_id=f"notice_{number}").by_language.update(long_text)
            envelope = encode_envelope(
                payload_type=POLICY_TYPE, payload=encode_policy(wanted), signatures=[b"s"]
            )
            policies.add_policy(connection, policies.PolicyRow(version, envelope, bytes(32), now_us))
    found: list[int] = []
    request = policy_service_pb2.ListPoliciesRequest(page_size=500)
    while True:
        answer = cloud.operator.call(cloud.operator.policies.ListPolicies, request)
        found += [one.version for one in answer.policies]
        request.page_token = answer.next_page_token
        if not request.page_token:
            break
    assert found == list(range(count, 0, -1))


@pytest.mark.parametrize("position", ["x", "-1", "1" * 19])
def test_a_made_up_page_token_is_refused(cloud: RunningCloud, position: str) -> None:
    request = policy_service_pb2.ListPoliciesRequest(
        page_token=encode_page_token(position, filters="policies")
    )
    with pytest.raises(ClientError) as caught:
        cloud.operator.call(cloud.operator.policies.ListPolicies, request)
    assert caught.value.code == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize("version", [0, 2, 7])
def test_versions_follow_each_other(cloud: RunningCloud, version: int) -> None:
    with pytest.raises(ClientError) as caught:
        publish(cloud, policy(version))
    assert caught.value.code == "POLICY_VERSION"


def test_a_policy_that_breaks_a_rule_is_not_published(cloud: RunningCloud) -> None:
    wanted = policy(1)
    wanted.match.live_chip_photo_threshold = 1.5
    with pytest.raises(ClientError) as caught:
        publish(cloud, wanted)
    assert caught.value.code == "POLICY_INVALID"
    assert publish(cloud, policy(1)).policy.version == 1


def test_a_replacement_names_a_device_that_exists(cloud: RunningCloud) -> None:
    with pytest.raises(ClientError) as caught:
        token(cloud, predecessor_id="11111111-2222-4333-8444-555555555555")
    assert caught.value.code == "DEVICE_NOT_FOUND"


@pytest.mark.parametrize("account", ["a b", "-x", "x" * 65, "\n"])
def test_an_account_is_a_plain_id(cloud: RunningCloud, account: str) -> None:
    with pytest.raises(ClientError) as caught:
        token(cloud, account_id=account)
    assert caught.value.code == "REQUEST_INVALID"


def test_what_does_not_exist_is_said_so(cloud: RunningCloud) -> None:
    devices = cloud.operator.devices
    for method, request, code in (
        (devices.GetDevice, pb.GetDeviceRequest(device_id="nobody"), "DEVICE_NOT_FOUND"),
        (
            cloud.operator.policies.GetPolicy,
            policy_service_pb2.GetPolicyRequest(version=9),
            "POLICY_NOT_FOUND",
        ),
        (
            cloud.operator.policies.GetPolicy,
            policy_service_pb2.GetPolicyRequest(version=2**63 - 1),
            "POLICY_NOT_FOUND",
        ),
        (devices.AcknowledgeAlarm, pb.AcknowledgeAlarmRequest(alarm_id="none"), "ALARM_NOT_FOUND"),
    ):
        with pytest.raises(ClientError) as caught:
            cloud.operator.call(method, request)
        assert caught.value.code == code
