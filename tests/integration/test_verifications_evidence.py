"""What a device signed about a live face: each step of its check fails by itself, and writes nothing then."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import grpc
import pytest

from cloud.accounts.states import State
from cloud.store.schema import used_evidence, verifications
from tests.support.authorities import face_of, somebody
from tests.support.authority import new_key
from tests.support.cloud import CloudDevice, FakeClock
from tests.support.identity import Holder, IdentityRoom, evidence_of, running_identity
from tests.support.model_cloud import new_authority
from tests.support.people import reason_of
from verifield.v1 import attestation_pb2 as att
from verifield.v1 import identity_service_pb2 as pb
from verifield.v1.bundle_pb2 import Envelope
from verifield.v1.device_service_pb2 import RevokeDeviceRequest

CLOCK = FakeClock()
NUMBERS = iter(range(20_000, 90_000))


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityRoom]:
    with running_identity(
        tmp_path_factory.mktemp("evidence"), clock=CLOCK, account_calls_per_minute=10_000
    ) as opened:
        yield opened


@pytest.fixture
def holder(room: IdentityRoom) -> Iterator[Holder]:
    """Whose four elements are verified."""
    CLOCK.offset = timedelta()
    person = somebody(next(NUMBERS))
    room.authorities.add(person)
    made = room.holder(person)
    made.verify_elements()
    yield made
    CLOCK.offset = timedelta()


def rows_of(room: IdentityRoom) -> list[Any]:
    with room.cloud.database() as connection:
        return [
            *connection.execute(verifications.select().order_by(verifications.c.verification_id)),
            *connection.execute(used_evidence.select()),
        ]


def refused(holder: Holder, request: pb.SubmitFaceEvidenceRequest) -> str:
    """Why; and that nothing was written, and nobody asked."""
    room = holder.room
    before, asked = rows_of(room), room.authorities.asked("registry.face")
    error = holder.refused("SubmitFaceEvidence", request)
    assert rows_of(room) == before
    assert room.authorities.asked("registry.face") == asked
    return error.reason


def passes(holder: Holder, request: pb.SubmitFaceEvidenceRequest) -> None:
    verification = holder.call("SubmitFaceEvidence", request).verification
    assert verification.state == pb.VERIFICATION_STATE_PASSED


@pytest.mark.req("R118")
def test_a_forged_signature_is_refused_and_the_genuine_one_passes(holder: Holder) -> None:
    request = holder.face_request()
    envelope = Envelope.FromString(request.evidence.envelope)
    payload = bytearray(envelope.payload)
    payload[-1] ^= 1
    forged = pb.SubmitFaceEvidenceRequest()
    forged.CopyFrom(request)
    forged.evidence.envelope = Envelope(
        payload=bytes(payload), payload_type=envelope.payload_type, signatures=envelope.signatures
    ).SerializeToString()
    assert refused(holder, forged) == "EVIDENCE_SIGNATURE"
    passes(holder, request)


def test_a_device_of_another_deployment_is_refused(holder: Holder) -> None:
    stranger = new_authority().enroll("device-9")
    check = holder.start_face()
    twin = CloudDevice(stranger.device_id, stranger.key, stranger.chain, site_id="site-1")
    request = pb.SubmitFaceEvidenceRequest(
        face_check_id=check.face_check_id, evidence=evidence_of(twin, holder.seen(), nonce=check.nonce)
    )
    assert refused(holder, request) == "EVIDENCE_SIGNATURE"


def test_what_one_device_signed_does_not_count_with_the_certificates_of_another(holder: Holder) -> None:
    other = holder.room.cloud.enroll()
    request = holder.face_request()
    request.evidence.certificates[:] = other.chain
    assert refused(holder, request) == "EVIDENCE_SIGNATURE"


def test_bytes_that_are_no_record_are_refused(holder: Holder) -> None:
    request = holder.face_request()
    request.evidence.envelope = b"\x0a\x03abc"
    assert refused(holder, request) == "EVIDENCE_INVALID"


def test_a_revoked_device_is_refused(holder: Holder) -> None:
    cloud = holder.room.cloud
    device = cloud.enroll()
    request = holder.face_request(device=device)
    cloud.operator.call(
        cloud.operator.devices.RevokeDevice, RevokeDeviceRequest(device_id=device.device_id, reason=1)
    )
    assert refused(holder, request) == "EVIDENCE_DEVICE"


def test_a_key_that_is_not_the_enrolled_one_is_refused(holder: Holder) -> None:
    device = holder.room.cloud.enroll()
    twin = replace(device, key=new_key())
    check = holder.start_face()
    request = pb.SubmitFaceEvidenceRequest(
        face_check_id=check.face_check_id, evidence=evidence_of(twin, holder.seen(), nonce=check.nonce)
    )
    assert refused(holder, request) == "EVIDENCE_SIGNATURE"


@pytest.mark.parametrize("minutes", [6, 11])
def test_stale_evidence_is_refused(holder: Holder, minutes: int) -> None:
    request = holder.face_request()
    CLOCK.offset = timedelta(minutes=minutes)
    assert refused(holder, request) == "EVIDENCE_STALE"
    CLOCK.offset = timedelta(minutes=4)
    passes(holder, request)


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_trusted_clock_that_contradicts_the_request_is_refused(holder: Holder, hours: int) -> None:
    wall = CLOCK.now() + timedelta(hours=hours)
    seen = holder.seen(quality=att.TIME_QUALITY_TRUSTED, wall=wall)
    assert refused(holder, holder.face_request(seen)) == "EVIDENCE_STALE"
    passes(holder, holder.face_request(replace(seen, wall=CLOCK.now())))


def test_a_device_that_has_counted_more_time_than_has_passed_is_refused(holder: Holder) -> None:
    cloud = holder.room.cloud
    device = cloud.enroll()
    seen = holder.seen()
    [answer] = cloud.deliver(device, [evidence_of(device, seen, nonce=bytes(32)).envelope])

    def counts(hours: int) -> Callable[[att.Statement], None]:
        def change(statement: att.Statement) -> None:
            statement.last_receipt_sha256 = hashlib.sha256(answer.receipt).digest()
            statement.clock.since_receipt_ns = hours * 3600 * 10**9
            statement.clock.monotonic_ns = statement.clock.since_receipt_ns + 10**9

        return change

    request = holder.face_request(replace(seen, change=counts(2)), device=device)
    assert refused(holder, request) == "EVIDENCE_STALE"
    passes(holder, holder.face_request(replace(seen, change=counts(0)), device=device))


@pytest.mark.req("R118")
def test_evidence_for_another_nonce_is_refused(holder: Holder) -> None:
    first = holder.face_request()
    second = holder.face_request()
    assert refused(holder, first) == "EVIDENCE_NONCE"  # a newer check was begun
    mixed = pb.SubmitFaceEvidenceRequest(face_check_id=second.face_check_id, evidence=first.evidence)
    assert refused(holder, mixed) == "EVIDENCE_NONCE"
    passes(holder, second)


def test_evidence_without_a_purpose_or_for_a_task_is_refused(holder: Holder) -> None:
    def clear(statement: att.Statement) -> None:
        statement.ClearField("purpose")

    def for_task(statement: att.Statement) -> None:
        statement.purpose.task_id = "019ca5a0-0000-7000-8000-000000000001"

    for change in (clear, for_task):
        assert refused(holder, holder.face_request(holder.seen(change=change))) == "EVIDENCE_NONCE"


def test_the_nonce_of_somebody_else_is_refused(holder: Holder) -> None:
    person = somebody(next(NUMBERS))
    holder.room.authorities.add(person)
    other = holder.room.holder(person)
    other.verify_elements()
    request = other.face_request(holder.seen())
    assert refused(holder, request) == "EVIDENCE_NONCE"
    assert refused(other, request) == "EVIDENCE_PERSON"


@pytest.mark.parametrize(
    "seen",
    [
        {"outcome": att.OUTCOME_NOT_MATCHED},
        {"outcome": att.OUTCOME_SPOOF},
        {"outcome": att.OUTCOME_ABORTED},
        {"camera": att.CAMERA_ASSURANCE_SIMULATED},
        {"change": lambda one: setattr(one.document, "photo_origin", att.PHOTO_ORIGIN_PRINTED)},
        {"change": lambda one: setattr(one.document, "type", att.DOCUMENT_TYPE_HKMT_PERMIT)},
    ],
)
def test_what_is_no_live_person_with_the_photo_of_a_chip_counts_as_a_try(
    holder: Holder, seen: dict[str, Any]
) -> None:
    request = holder.face_request(holder.seen(**seen))
    error = holder.refused("SubmitFaceEvidence", request)
    assert error.reason == "EVIDENCE_OUTCOME"
    assert holder.identity().face_tries == 1
    assert holder.refused("SubmitFaceEvidence", request).reason == "EVIDENCE_NONCE"  # it was used


def test_the_card_of_another_person_is_refused(holder: Holder) -> None:
    seen = holder.seen(card=somebody(next(NUMBERS)).elements)
    assert refused(holder, holder.face_request(seen)) == "EVIDENCE_PERSON"


def test_another_picture_is_refused(holder: Holder) -> None:
    request = holder.face_request()
    request.evidence.picture = face_of("grace_hopper")
    assert refused(holder, request) == "EVIDENCE_PICTURE"


@pytest.mark.req("R118")
def test_a_replayed_package_is_refused(holder: Holder) -> None:
    request = holder.face_request()
    passes(holder, request)
    assert refused(holder, request) == "EVIDENCE_REPLAYED"
    request.face_check_id = holder.start_face().face_check_id
    assert refused(holder, request) == "EVIDENCE_REPLAYED"


def test_the_same_package_at_the_same_moment_counts_once(holder: Holder) -> None:
    request = holder.face_request()

    def send(_: int) -> str:
        try:
            return str(holder.call("SubmitFaceEvidence", request).verification.state)
        except grpc.RpcError as error:
            return reason_of(error)

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(send, range(4)))
    assert answers.count(str(pb.VERIFICATION_STATE_PASSED)) == 1
    assert set(answers) <= {
        str(pb.VERIFICATION_STATE_PASSED), "EVIDENCE_REPLAYED", "VERIFICATION_RUNNING", "EVIDENCE_NONCE"
    }  # fmt: skip


def test_a_card_of_other_days_is_told_while_an_active_account_is_not_trapped(room: IdentityRoom) -> None:
    CLOCK.offset = timedelta()
    person = somebody(next(NUMBERS))
    room.authorities.add(person)
    holder = room.holder(person, state=State.ACTIVE)
    holder.verify_elements()
    newer = replace(person.elements, validity=replace(person.elements.validity, valid_to=date(2041, 1, 1)))
    error = holder.face_refused(holder.seen(card=newer))
    assert (error.reason, error.metadata["remedies"]) == ("ID_VALIDITY_CONFLICT", "UPDATE_IDENTITY")
    assert holder.verify_face().state == pb.VERIFICATION_STATE_PASSED
