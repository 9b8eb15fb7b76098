"""How a key becomes a device, and renews its certificates: the rules over a real store."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from cloud.authority import ATTESTATION_LIFETIME, CLIENT_LIFETIME
from cloud.devices import enrollment
from cloud.devices.certificates import YOUNG, encode_key
from cloud.devices.enrollment import NEXT, Event, Standing, check_predecessor, cleared_state
from cloud.devices.renewal import CHALLENGE_LIFETIME, MAX_DAY_RENEWALS
from cloud.errors import Reason, ServiceError
from tests.support.authority import new_key, sign_envelope
from tests.support.cloud import csr, enroll_request
from tests.support.enrolment import Desk, open_desk
from verifield.certificates import Purpose, check_chain
from verifield.profile import device_id_of
from verifield.renewal import RENEWAL_TYPE, encode_proof
from verifield.v1 import attestation_pb2, device_service_pb2
from verifield.v1 import enrollment_service_pb2 as pb

ACTIVE = pb.ENROLLMENT_STATE_ACTIVE
PENDING = pb.ENROLLMENT_STATE_PENDING_APPROVAL


@pytest.fixture(scope="module")
def the_desk(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("cloud"), database=module_database_url) as opened:
        yield opened


@pytest.fixture
def desk(the_desk: Desk) -> Desk:
    the_desk.reset()
    return the_desk


def refused(call: Callable[[], object]) -> Reason:
    with pytest.raises(ServiceError) as caught:
        call()
    assert caught.value.hint
    return caught.value.reason


def new_request(token: str) -> pb.EnrollRequest:
    return enroll_request(token, new_key(), new_key())


def test_the_table_says_where_each_event_leads() -> None:
    allowed = {
        (Standing.NEW, Event.TPM_EVIDENCE): Standing.CHALLENGED,
        (Standing.NEW, Event.WAIVED): Standing.ACTIVE,
        (Standing.NEW, Event.CLAIMED): Standing.PENDING_APPROVAL,
        (Standing.CHALLENGED, Event.TPM_EVIDENCE): Standing.CHALLENGED,
        (Standing.CHALLENGED, Event.SECRET_RELEASED): Standing.ACTIVE,
        (Standing.PENDING_APPROVAL, Event.CLAIMED): Standing.PENDING_APPROVAL,
        (Standing.PENDING_APPROVAL, Event.APPROVED): Standing.ACTIVE,
    }
    for standing, event in itertools.product(Standing, Event):
        expected = Standing.ACTIVE if standing is Standing.ACTIVE else allowed.get((standing, event))
        assert NEXT.get((standing, event)) is expected


def test_a_waived_token_lets_in_at_once_and_every_certificate_is_on_record(desk: Desk) -> None:
    request = new_request(desk.token(waive_approval=True, account="acme"))
    answer = desk.enroll(request)
    assert answer.state == ACTIVE
    now = desk.clock.now()
    leaf = check_chain(
        answer.attestation_certificates, roots=[desk.authority.root], at=now, purpose=Purpose.ATTESTATION
    )
    assert device_id_of(leaf) == answer.device_id
    assert leaf.not_valid_after_utc - now <= ATTESTATION_LIFETIME
    tls = x509.load_der_x509_certificate(answer.tls_certificates[0])
    assert tls.not_valid_after_utc - now <= CLIENT_LIFETIME
    recorded = {(row.purpose, row.serial, row.not_after_us) for row in desk.issued(answer.device_id)}
    assert recorded == {
        (purpose, f"{item.serial_number:x}", int(item.not_valid_after_utc.timestamp()) * 1_000_000)
        for purpose, item in (("attestation", leaf), ("tls_client", tls))
    }
    row = desk.device(answer.device_id)
    assert row.state == device_service_pb2.DEVICE_STATE_ACTIVE
    assert row.account_id == "acme"
    assert row.attestation_key == encode_key(leaf.public_key())  # type: ignore[arg-type]
    assert hashlib.sha256(row.attestation_key).digest() == answer.key_sha256 == row.attestation_key_sha256
    assert not row.residency


def test_a_lost_answer_costs_nothing(desk: Desk) -> None:
    request = new_request(desk.token(waive_approval=True))
    first, second = desk.enroll(request), desk.enroll(request)
    assert second.device_id == first.device_id
    assert second.attestation_certificates == first.attestation_certificates
    assert second.tls_certificates[0] != first.tls_certificates[0]
    assert len(desk.devices()) == 1
    assert len(desk.issued(first.device_id)) == 3


def test_the_first_contact_ends_the_enrolment(desk: Desk) -> None:
    request = new_request(desk.token(waive_approval=True))
    desk.touch(desk.enroll(request).device_id)
    assert refused(lambda: desk.enroll(request)) is Reason.JOIN_TOKEN_USED


def test_answers_are_limited(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrollment, "MAX_ANSWERS", 3)
    request = new_request(desk.token(waive_approval=True))
    for _ in range(3):
        desk.enroll(request)
    assert refused(lambda: desk.enroll(request)) is Reason.JOIN_TOKEN_USED


def test_a_used_token_is_of_no_use_to_another_key(desk: Desk) -> None:
    token = desk.token(waive_approval=True)
    request = new_request(token)
    desk.enroll(request)
    assert refused(lambda: desk.enroll(new_request(token))) is Reason.JOIN_TOKEN_USED
    request.key_protection = attestation_pb2.KEY_PROTECTION_PKCS11
    assert refused(lambda: desk.enroll(request)) is Reason.JOIN_TOKEN_USED
    assert len(desk.devices()) == 1


def test_a_key_is_of_no_use_to_another_token(desk: Desk) -> None:
    request = new_request(desk.token())
    desk.enroll(request)
    request.join_token = desk.token()
    assert refused(lambda: desk.enroll(request)) is Reason.KEY_ALREADY_ENROLLED


@pytest.mark.parametrize(
    "protection", [attestation_pb2.KEY_PROTECTION_SOFTWARE, attestation_pb2.KEY_PROTECTION_PKCS11]
)
def test_a_person_lets_in_what_cannot_prove_itself(
    desk: Desk, protection: attestation_pb2.KeyProtection.ValueType
) -> None:
    request = new_request(desk.token(ttl=timedelta(hours=1)))
    request.key_protection = protection
    waiting = desk.enroll(request)
    assert waiting.state == PENDING
    assert not waiting.attestation_certificates
    assert not waiting.tls_certificates
    assert desk.device(waiting.device_id).state == device_service_pb2.DEVICE_STATE_PENDING
    assert desk.issued(waiting.device_id) == []

    desk.clock.offset = timedelta(days=3)  # the token has long expired, but it is this key's own
    assert desk.enroll(request).state == PENDING
    assert refused(lambda: desk.approve(waiting.device_id, bytes(32))) is Reason.FINGERPRINT_MISMATCH
    assert desk.enroll(request).state == PENDING
    for _ in range(2):  # a person presses twice
        desk.approve(waiting.device_id, waiting.key_sha256)
    answer = desk.enroll(request)
    assert (answer.state, answer.device_id) == (ACTIVE, waiting.device_id)
    assert answer.attestation_certificates
    row = desk.device(answer.device_id)
    assert row.key_protection == protection
    assert not row.residency


def test_who_is_refused_by_a_person_stays_out(desk: Desk) -> None:
    request = new_request(desk.token())
    waiting = desk.enroll(request)
    desk.set_state(waiting.device_id, device_service_pb2.DEVICE_STATE_REVOKED)
    assert refused(lambda: desk.enroll(request)) is Reason.DEVICE_REVOKED
    approving = lambda: desk.approve(waiting.device_id, waiting.key_sha256)  # noqa: E731
    assert refused(approving) is Reason.DEVICE_NOT_PENDING
    assert refused(lambda: desk.approve("nobody", bytes(32))) is Reason.DEVICE_NOT_FOUND


def test_an_unused_token_expires(desk: Desk) -> None:
    request = new_request(desk.token(ttl=timedelta(hours=1)))
    desk.clock.offset = timedelta(hours=1)
    assert refused(lambda: desk.enroll(request)) is Reason.JOIN_TOKEN_EXPIRED
    desk.clock.offset = timedelta(minutes=59)
    assert desk.enroll(request).state == PENDING


@pytest.mark.parametrize("protection", [0, 99])
def test_an_unknown_protection_is_refused(desk: Desk, protection: int) -> None:
    request = new_request(desk.token())
    request.key_protection = protection  # type: ignore[assignment]
    assert refused(lambda: desk.enroll(request)) is Reason.REQUEST_INVALID


def test_a_successor_takes_the_place_once_it_is_let_in(desk: Desk) -> None:
    old = desk.enroll(new_request(desk.token(waive_approval=True))).device_id
    request = new_request(desk.token(replaces=old))
    waiting = desk.enroll(request)
    assert waiting.predecessor_id == old
    assert desk.device(old).state == device_service_pb2.DEVICE_STATE_ACTIVE
    with desk.store.reading() as connection:
        check_predecessor(connection, old)  # nobody has its place yet
    desk.approve(waiting.device_id, waiting.key_sha256)
    assert desk.device(old).state == device_service_pb2.DEVICE_STATE_REPLACED
    assert desk.enroll(request).predecessor_id == old
    with desk.store.reading() as connection:
        assert refused(lambda: check_predecessor(connection, old)) is Reason.PREDECESSOR_INVALID
        assert refused(lambda: check_predecessor(connection, "nobody")) is Reason.DEVICE_NOT_FOUND


@pytest.mark.parametrize(
    "state", [device_service_pb2.DEVICE_STATE_REVOKED, device_service_pb2.DEVICE_STATE_SUSPENDED]
)
def test_a_successor_does_not_clear_its_predecessor(
    desk: Desk, state: device_service_pb2.DeviceState.ValueType
) -> None:
    old = desk.enroll(new_request(desk.token(waive_approval=True))).device_id
    desk.set_state(old, state)
    desk.enroll(new_request(desk.token(replaces=old, waive_approval=True)))
    assert desk.device(old).state == state
    with desk.store.reading() as connection:
        assert cleared_state(connection, old) == device_service_pb2.DEVICE_STATE_REPLACED


def test_only_one_device_takes_a_place(desk: Desk) -> None:
    """Two tokens for one place were given out: who comes second is told, whichever way it is let in."""
    old = desk.enroll(new_request(desk.token(waive_approval=True))).device_id
    late = new_request(desk.token(replaces=old))
    waiting = desk.enroll(late)
    waived = new_request(desk.token(replaces=old, waive_approval=True))
    first = desk.enroll(new_request(desk.token(replaces=old, waive_approval=True))).device_id
    approving = lambda: desk.approve(waiting.device_id, waiting.key_sha256)  # noqa: E731
    assert refused(approving) is Reason.PREDECESSOR_INVALID
    assert desk.device(waiting.device_id).state == device_service_pb2.DEVICE_STATE_PENDING
    assert refused(lambda: desk.enroll(waived)) is Reason.PREDECESSOR_INVALID
    assert len(desk.devices()) == 3  # and the token is not used up
    desk.set_state(first, device_service_pb2.DEVICE_STATE_REVOKED)  # that was the wrong one
    desk.approve(waiting.device_id, waiting.key_sha256)
    assert desk.enroll(late).state == ACTIVE


def test_a_device_that_waits_has_no_place_to_take(desk: Desk) -> None:
    waiting = desk.enroll(new_request(desk.token())).device_id
    with desk.store.reading() as connection:
        assert refused(lambda: check_predecessor(connection, waiting)) is Reason.PREDECESSOR_INVALID
        assert cleared_state(connection, waiting) == device_service_pb2.DEVICE_STATE_ACTIVE


class Renewer:
    """An enrolled device that asks for new certificates."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.key = new_key()
        answer = desk.enroll(enroll_request(desk.token(waive_approval=True), self.key, new_key()))
        self.device_id = answer.device_id
        self.tls_csr = csr(new_key())

    def prove(self, **changes: object) -> bytes:
        values: dict[str, object] = {
            "device_id": self.device_id,
            "challenge": self.desk.challenge(self.device_id),
            "tls_csr_sha256": hashlib.sha256(self.tls_csr).digest(),
        }
        key = changes.pop("key", self.key)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        proof = pb.RenewalProof(**(values | changes))  # type: ignore[arg-type]
        return sign_envelope(encode_proof(proof), payload_type=RENEWAL_TYPE, key=key)

    def renew(self, **changes: object) -> pb.RenewCertificatesResponse:
        return self.desk.renew(self.prove(**changes), self.tls_csr)


@pytest.fixture
def renewer(desk: Desk) -> Renewer:
    return Renewer(desk)


def test_certificates_are_renewed_long_after_they_expired(desk: Desk, renewer: Renewer) -> None:
    desk.clock.offset = ATTESTATION_LIFETIME + timedelta(days=400)
    answer = renewer.renew()
    now = desk.clock.now()
    leaf = check_chain(
        answer.attestation_certificates, roots=[desk.authority.root], at=now, purpose=Purpose.ATTESTATION
    )
    assert leaf.public_key() == renewer.key.public_key()
    assert device_id_of(leaf) == renewer.device_id
    tls = x509.load_der_x509_certificate(answer.tls_certificates[0])
    assert tls.public_key() == x509.load_der_x509_csr(renewer.tls_csr).public_key()
    assert device_id_of(tls) == renewer.device_id
    assert now < tls.not_valid_after_utc <= now + CLIENT_LIFETIME
    assert len(desk.issued(renewer.device_id)) == 4
    assert desk.device(renewer.device_id).last_contact_us == pytest.approx(desk.now_us, abs=10**7)


def test_a_young_attestation_certificate_is_given_again(desk: Desk, renewer: Renewer) -> None:
    """Each one ever issued stands in the revocation list of a revoked device: so there are few."""
    first = renewer.renew()
    desk.clock.offset = YOUNG - timedelta(minutes=1)
    second = renewer.renew()
    assert second.attestation_certificates == first.attestation_certificates
    assert second.tls_certificates != first.tls_certificates
    desk.clock.offset = YOUNG + timedelta(minutes=1)
    third = renewer.renew()
    assert third.attestation_certificates != first.attestation_certificates
    assert sum(row.purpose == "attestation" for row in desk.issued(renewer.device_id)) == 2


def test_a_challenge_ends_in_time(desk: Desk, renewer: Renewer) -> None:
    proof = renewer.prove()
    desk.clock.offset = CHALLENGE_LIFETIME - timedelta(seconds=5)
    desk.renew(proof, renewer.tls_csr)
    desk.clock.offset = CHALLENGE_LIFETIME
    again = lambda: desk.renew(proof, renewer.tls_csr)  # noqa: E731
    assert refused(again) is Reason.RENEWAL_CHALLENGE_REFUSED


def test_a_challenge_is_for_one_device_of_this_service(desk: Desk, renewer: Renewer, tmp_path: Path) -> None:
    with open_desk(tmp_path / "other") as other:
        foreign = other.challenge(renewer.device_id)
    own = desk.challenge(renewer.device_id)
    later = own[:8] + bytes([own[8] ^ 1]) + own[9:]
    for challenge in (desk.challenge("device-9"), foreign, later, own[:-1], own + b"\0", bytes(57)):
        refusing = lambda made=challenge: renewer.renew(challenge=made)  # noqa: E731
        assert refused(refusing) is Reason.RENEWAL_CHALLENGE_REFUSED


def test_only_the_identity_key_proves(desk: Desk, renewer: Renewer) -> None:
    other = Renewer(desk)
    assert refused(lambda: renewer.renew(key=other.key)) is Reason.RENEWAL_PROOF_REFUSED
    assert refused(lambda: renewer.renew(tls_csr_sha256=bytes(32))) is Reason.RENEWAL_PROOF_REFUSED
    assert refused(lambda: desk.renew(renewer.prove(), other.tls_csr)) is Reason.RENEWAL_PROOF_REFUSED
    assert refused(lambda: desk.renew(b"junk", renewer.tls_csr)) is Reason.RENEWAL_PROOF_REFUSED
    assert refused(lambda: desk.renew(renewer.prove(), b"junk")) is Reason.CSR_INVALID
    borrowed = renewer.prove(device_id=other.device_id, challenge=desk.challenge(other.device_id))
    assert refused(lambda: desk.renew(borrowed, renewer.tls_csr)) is Reason.RENEWAL_PROOF_REFUSED
    assert len(desk.issued(renewer.device_id)) == len(desk.issued(other.device_id)) == 2


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (device_service_pb2.DEVICE_STATE_PENDING, Reason.DEVICE_PENDING),
        (device_service_pb2.DEVICE_STATE_REVOKED, Reason.DEVICE_REVOKED),
        (device_service_pb2.DEVICE_STATE_SUSPENDED, None),
        (device_service_pb2.DEVICE_STATE_REPLACED, None),
    ],
)
def test_who_may_not_connect_gets_no_new_certificates(
    desk: Desk, renewer: Renewer, state: device_service_pb2.DeviceState.ValueType, reason: Reason | None
) -> None:
    desk.set_state(renewer.device_id, state)
    if reason is None:
        assert renewer.renew().tls_certificates
    else:
        assert refused(renewer.renew) is reason
        assert len(desk.issued(renewer.device_id)) == 2


def test_an_unknown_device_is_told_nothing_by_a_challenge(desk: Desk, renewer: Renewer) -> None:
    challenge = desk.challenge("nobody")
    assert len(challenge) == len(desk.challenge(renewer.device_id))
    unknown = lambda: renewer.renew(device_id="nobody", challenge=challenge)  # noqa: E731
    assert refused(unknown) is Reason.DEVICE_UNKNOWN
    for bad in ("", "x" * 65):
        assert refused(lambda name=bad: desk.challenge(name)) is Reason.REQUEST_INVALID  # type: ignore[misc]


def test_renewals_of_a_day_are_limited(desk: Desk, renewer: Renewer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.devices.renewal.MAX_DAY_RENEWALS", 2)
    assert MAX_DAY_RENEWALS > 10
    renewer.renew()  # the second pair of the day: the first came with the enrolment
    assert refused(renewer.renew) is Reason.RENEWAL_TOO_OFTEN
    desk.clock.offset = timedelta(days=1)
    renewer.renew()
