"""Enrolment with a real TPM 2.0 (swtpm), whose maker the service trusts; and with what only pretends."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cloud.devices.enrollment import CHALLENGE_LIFETIME
from cloud.devices.tpm_credential import SECRET_BYTES, Checked, load_tpm_roots, make_credential
from cloud.devices.tpm_structures import parse_public
from cloud.errors import Reason, ServiceError
from edge.attest.csr import build_csr
from edge.attest.keystore_tpm import TpmKeyStore
from edge.attest.tpm_evidence import activate, gather_evidence
from edge.errors import SetupError
from tests.support.authority import new_key
from tests.support.cloud import csr
from tests.support.enrolment import Desk, open_desk
from tests.support.hardware import SoftTpm, missing, soft_tpm
from tests.support.tpm_paper import AK_ATTRIBUTES, certification, ecc_public, name_of, sign
from verifield.v1 import attestation_pb2, device_service_pb2
from verifield.v1 import enrollment_service_pb2 as pb

pytestmark = pytest.mark.skipif(missing("tpm") is not None, reason=missing("tpm") or "")

KEY = "attestation-1"


@pytest.fixture(scope="module")
def tpm() -> Iterator[SoftTpm]:
    with soft_tpm() as made:
        yield made


@pytest.fixture
def store(tpm: SoftTpm, tmp_path: Path) -> TpmKeyStore:
    return TpmKeyStore.open_store(tmp_path / "keys", tcti=tpm.tcti)


@pytest.fixture
def desk(tpm: SoftTpm, tmp_path: Path) -> Iterator[Desk]:
    roots = load_tpm_roots(b"".join(tpm.maker_certificates))
    with open_desk(tmp_path / "cloud", tpm_roots=roots) as opened:
        yield opened


def request_for(token: str, store: TpmKeyStore) -> pb.EnrollRequest:
    signer = store.create(KEY)
    return pb.EnrollRequest(
        join_token=token,
        attestation_csr=build_csr(signer),
        tls_csr=csr(new_key()),
        key_protection=attestation_pb2.KEY_PROTECTION_TPM,
        tpm=gather_evidence(store, KEY),
    )


def refused(desk: Desk, request: pb.EnrollRequest) -> str:
    with pytest.raises(ServiceError) as caught:
        desk.enroll(request)
    assert caught.value.reason is Reason.KEY_PROTECTION_UNPROVEN
    assert desk.devices() == []
    return caught.value.message


def test_a_genuine_tpm_lets_itself_in(desk: Desk, store: TpmKeyStore) -> None:
    token = desk.token()
    request = request_for(token, store)
    asked = desk.enroll(request)
    assert asked.state == pb.ENROLLMENT_STATE_CHALLENGED
    assert not asked.attestation_certificates
    row = desk.device(asked.device_id)
    assert (row.state, row.residency) == (device_service_pb2.DEVICE_STATE_PENDING, False)
    with pytest.raises(ServiceError) as caught:  # no person can say what only the TPM can prove
        desk.approve(asked.device_id, asked.key_sha256)
    assert caught.value.reason is Reason.DEVICE_NOT_PENDING

    desk.activate(token, asked.device_id, activate(store, asked.tpm_challenge))
    row = desk.device(asked.device_id)
    assert (row.state, row.residency) == (device_service_pb2.DEVICE_STATE_ACTIVE, True)
    answer = desk.enroll(request)
    assert (answer.state, answer.device_id) == (pb.ENROLLMENT_STATE_ACTIVE, asked.device_id)
    assert answer.attestation_certificates
    assert answer.key_sha256 == hashlib.sha256(store.open(KEY).public_key_der()).digest()
    desk.activate(token, asked.device_id, b"again")  # the first answer may have been lost: nothing is gained


def test_a_waived_token_waives_no_proof_that_was_promised(desk: Desk, store: TpmKeyStore) -> None:
    request = request_for(desk.token(waive_approval=True), store)
    assert desk.enroll(request).state == pb.ENROLLMENT_STATE_CHALLENGED


def test_one_wrong_answer_ends_a_challenge(desk: Desk, store: TpmKeyStore) -> None:
    token = desk.token()
    request = request_for(token, store)
    asked = desk.enroll(request)
    right = activate(store, asked.tpm_challenge)
    for secret, reason in (
        (bytes(32), Reason.TPM_SECRET_REFUSED),
        (right, Reason.TPM_CHALLENGE_EXPIRED),  # right, and too late
    ):
        with pytest.raises(ServiceError) as caught:
            desk.activate(token, asked.device_id, secret)
        assert caught.value.reason is reason
    again = desk.enroll(request)
    assert again.device_id == asked.device_id
    with pytest.raises(ServiceError) as caught:  # replayed from the challenge before
        desk.activate(token, asked.device_id, right)
    assert caught.value.reason is Reason.TPM_SECRET_REFUSED
    last = desk.enroll(request)
    desk.activate(token, last.device_id, activate(store, last.tpm_challenge))


def test_a_challenge_ends_in_time_and_belongs_to_its_token(desk: Desk, store: TpmKeyStore) -> None:
    token = desk.token()
    asked = desk.enroll(request_for(token, store))
    secret = activate(store, asked.tpm_challenge)
    for other, device_id in ((desk.token(), asked.device_id), (token, "nobody")):
        with pytest.raises(ServiceError) as caught:
            desk.activate(other, device_id, secret)
        assert caught.value.reason is Reason.JOIN_TOKEN_UNKNOWN
    desk.clock.offset = CHALLENGE_LIFETIME
    with pytest.raises(ServiceError) as caught:
        desk.activate(token, asked.device_id, secret)
    assert caught.value.reason is Reason.TPM_CHALLENGE_EXPIRED
    desk.clock.offset = CHALLENGE_LIFETIME - timedelta(seconds=10)
    desk.activate(token, asked.device_id, secret)


def test_a_maker_that_nobody_named_is_refused(desk: Desk, store: TpmKeyStore) -> None:
    request = request_for(desk.token(), store)
    with soft_tpm() as other:
        desk.tpm_roots = load_tpm_roots(b"".join(other.maker_certificates))
        assert "maker" in refused(desk, request)
    desk.tpm_roots = ()
    assert "trusts no maker" in refused(desk, request)


def test_a_key_in_software_does_not_pass_for_one_in_the_tpm(desk: Desk, store: TpmKeyStore) -> None:
    request = request_for(desk.token(), store)
    software = new_key()
    request.attestation_csr = csr(software)
    assert "another key" in refused(desk, request)
    request.tpm.key_public = ecc_public(
        software, parse_public(request.tpm.key_public).attributes
    )  # what the TPM certified was another one
    assert "certifies another key" in refused(desk, request)
    request.tpm.certify_info = certification(name_of(request.tpm.key_public))
    assert "not signed" in refused(desk, request)


def test_a_made_up_identity_key_gets_no_secret_out_of_the_tpm(desk: Desk, store: TpmKeyStore) -> None:
    """Everything about it is right but that no TPM has it: only the activation can tell."""
    request = request_for(desk.token(), store)
    software, fake = new_key(), new_key()
    attributes = parse_public(request.tpm.key_public).attributes
    request.attestation_csr = csr(software)
    request.tpm.key_public = ecc_public(software, attributes)
    request.tpm.certify_info = certification(name_of(request.tpm.key_public))
    request.tpm.ak_public = ecc_public(fake, AK_ATTRIBUTES)
    request.tpm.certify_signature = sign(fake, request.tpm.certify_info)
    asked = desk.enroll(request)
    assert asked.state == pb.ENROLLMENT_STATE_CHALLENGED
    with pytest.raises(SetupError) as caught:
        activate(store, asked.tpm_challenge)
    assert caught.value.code == "TPM_CHALLENGE_REFUSED"


def test_keys_of_two_tpms_prove_nothing(desk: Desk, store: TpmKeyStore, tmp_path: Path) -> None:
    """The certificate of a genuine TPM, with keys of another: each TPM refuses its part."""
    with soft_tpm() as other:
        foreign = TpmKeyStore.open_store(tmp_path / "other", tcti=other.tcti)
        request = request_for(desk.token(), foreign)
        genuine = request_for("unused", store).tpm
        request.tpm.ek_public = genuine.ek_public
        del request.tpm.ek_certificates[:]
        request.tpm.ek_certificates.extend(genuine.ek_certificates)
        asked = desk.enroll(request)
        for tried in (store, foreign):
            with pytest.raises(SetupError) as caught:
                activate(tried, asked.tpm_challenge)
            assert caught.value.code == "TPM_CHALLENGE_REFUSED"


def run(tpm: SoftTpm, *command: str) -> None:
    """Run a tool; what it leaves loaded would fill this TPM's three places for objects."""
    tpm.tool(*command)
    tpm.tool("tpm2_flushcontext", "-t")


def test_a_key_that_may_leave_its_tpm_is_refused(
    desk: Desk, tpm: SoftTpm, store: TpmKeyStore, tmp_path: Path
) -> None:
    request = request_for(desk.token(), store)
    made = {name: str(tmp_path / name) for name in ("parent", "key", "public", "info", "sig", "ak")}
    run(tpm, "tpm2_createprimary", "-C", "o", "-G", "ecc", "-c", made["parent"])
    run(
        tpm,
        *("tpm2_create", "-C", made["parent"], "-G", "ecc256:ecdsa-sha256", "-c", made["key"]),
        *("-a", "sensitivedataorigin|userwithauth|sign", "-u", made["public"]),
    )
    attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign"
    run(
        tpm,
        *("tpm2_createprimary", "-C", "o", "-G", "ecc256:ecdsa-sha256:null", "-g", "sha256"),
        *("-a", attributes, "-c", made["ak"]),
    )
    run(
        tpm,
        *("tpm2_certify", "-c", made["key"], "-C", made["ak"], "-g", "sha256", "-f", "tss"),
        *("-o", made["info"], "-s", made["sig"]),
    )
    request.tpm.key_public = Path(made["public"]).read_bytes()[2:]
    request.tpm.certify_info = Path(made["info"]).read_bytes()
    request.tpm.certify_signature = Path(made["sig"]).read_bytes()
    assert "attributes" in refused(desk, request)  # the certification is genuine, the key is not bound


@pytest.mark.parametrize("algorithm", ["rsa", "ecc"])
def test_credentials_for_both_kinds_of_endorsement_keys_open_in_a_tpm(
    tpm: SoftTpm, tmp_path: Path, algorithm: str
) -> None:
    made = {name: str(tmp_path / name) for name in ("ek", "ekpub", "ak", "session", "blob", "out")}
    run(tpm, "tpm2_createek", "-c", made["ek"], "-G", algorithm, "-u", made["ekpub"], "-f", "tss")
    ak = f"{tmp_path}/akpub"
    run(
        tpm,
        *("tpm2_createak", "-C", made["ek"], "-c", made["ak"], "-G", "ecc", "-g", "sha256", "-s", "ecdsa"),
        *("-u", ak, "-f", "tss"),
    )
    endorsement = parse_public(Path(made["ekpub"]).read_bytes()[2:])
    assert isinstance(endorsement.key, ec.EllipticCurvePublicKey) == (algorithm == "ecc")
    checked = Checked(endorsement, parse_public(Path(ak).read_bytes()[2:]).name())
    secret = os.urandom(SECRET_BYTES)
    challenge = make_credential(checked, secret, random_bytes=os.urandom)
    parts = (challenge.credential_blob, challenge.encrypted_secret)
    header = bytes.fromhex("badcc0de00000001")  # tpm2_makecredential(1)
    Path(made["blob"]).write_bytes(header + b"".join(len(part).to_bytes(2) + part for part in parts))
    run(tpm, "tpm2_startauthsession", "--policy-session", "-S", made["session"])
    run(tpm, "tpm2_policysecret", "-S", made["session"], "-c", "e")
    run(
        tpm,
        *("tpm2_activatecredential", "-c", made["ak"], "-C", made["ek"], "-i", made["blob"]),
        *("-o", made["out"], "-P", f"session:{made['session']}"),
    )
    run(tpm, "tpm2_flushcontext", made["session"])
    assert Path(made["out"]).read_bytes() == secret
