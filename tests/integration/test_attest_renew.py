"""Renewal of a device's certificates against the cloud's own rules; and identities of the first version."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from cloud import authority as authority_module
from cloud.authority import CLIENT_LIFETIME
from edge.attest import identity as identity_module
from edge.attest import renew as renew_module
from edge.attest.clock import TimeBounds
from edge.attest.enroll import enroll
from edge.attest.identity import CURRENT, TLS_KEY, DeviceIdentity, folders_of_identities
from edge.attest.keys import SoftwareSigner, open_or_create_secret
from edge.attest.keystore_software import SoftwareKeyStore
from edge.attest.renew import RenewalError, renew, renewal_due
from edge.attest.wipe import wipe_identity, wipe_personal_keys
from edge.errors import SetupError
from edge.files import write_private
from edge.model import KeyProtection
from edge.rpc import FailureKind
from tests.support.authority import new_key
from tests.support.cloud import enroll_request
from tests.support.enrolment import Desk, open_desk
from verifield.certificates import parse_certificate
from verifield.v1 import device_service_pb2
from verifield.v1.attestation_pb2 import TIME_QUALITY_BOUNDED, TIME_QUALITY_SUSPECT


@pytest.fixture(scope="module")
def the_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with open_desk(tmp_path_factory.mktemp("cloud")) as opened:
        yield opened


@pytest.fixture(scope="module")
def endpoint(the_desk: Desk) -> Iterator[str]:
    with the_desk.serving() as public:
        yield public


@pytest.fixture
def desk(the_desk: Desk) -> Desk:
    the_desk.reset()
    return the_desk


@pytest.fixture
def identity(desk: Desk, endpoint: str, tmp_path: Path) -> DeviceIdentity:
    return enrol(desk, endpoint, tmp_path / "identity")


def enrol(desk: Desk, endpoint: str, folder: Path) -> DeviceIdentity:
    enrolled = enroll(
        endpoint=endpoint,
        root_pem=desk.authority.root_pem(),
        join_token=desk.token(waive_approval=True),
        folder=folder,
        key_store=SoftwareKeyStore.open_store(folder),
    ).identity
    assert enrolled is not None
    return enrolled


def tls_key_of(identity: DeviceIdentity) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(identity.tls_key_pem(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == parse_certificate(identity.tls_certificates[0]).public_key()
    return key


def reopened(identity: DeviceIdentity) -> DeviceIdentity:
    return DeviceIdentity.open(identity.folder.parent, key_store=identity.key_store)


def failure_of(identity: DeviceIdentity) -> RenewalError:
    with pytest.raises(RenewalError) as caught:
        renew(identity)
    assert caught.value.hint
    return caught.value


def test_a_renewal_brings_new_certificates_and_a_new_tls_key(desk: Desk, identity: DeviceIdentity) -> None:
    desk.clock.offset = timedelta(days=60)
    new = renew(identity)
    assert new == reopened(identity)
    assert new.device_id == identity.device_id
    assert new.attestation_key == identity.attestation_key
    assert new.open_signer().public_key_der() == identity.open_signer().public_key_der()
    assert tls_key_of(new).private_numbers() != tls_key_of(identity).private_numbers()
    ends = [parse_certificate(one.tls_certificates[0]).not_valid_after_utc for one in (identity, new)]
    assert ends[1] - ends[0] > timedelta(days=59)
    assert [row.purpose for row in desk.issued(identity.device_id)].count("tls_client") == 2


def test_a_device_whose_certificates_have_expired_comes_back(
    desk: Desk, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "identity"
    ended = timedelta(seconds=-1)
    with monkeypatch.context() as patch:
        patch.setattr(authority_module, "CLIENT_LIFETIME", ended)
        patch.setattr(authority_module, "ATTESTATION_LIFETIME", ended)
        old = enrol(desk, endpoint, folder)
    now = datetime.now(UTC)
    for chain in (old.tls_certificates, old.attestation_certificates):
        assert parse_certificate(chain[0]).not_valid_after_utc < now
    new = renew(old)
    for chain in (new.tls_certificates, new.attestation_certificates):
        certificate = parse_certificate(chain[0])
        assert certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc


def test_renewal_is_due_at_half_life(identity: DeviceIdentity) -> None:
    certificate = parse_certificate(identity.tls_certificates[0])
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    half = begin + (end - begin) / 2
    assert end - begin < CLIENT_LIFETIME * 1.01
    for wall, due in ((half - timedelta(seconds=1), False), (half, True), (end + timedelta(days=999), True)):
        assert renewal_due(identity, TimeBounds(begin, TIME_QUALITY_BOUNDED, wall)) is due


def test_a_clock_that_is_not_believed_makes_nothing_due(identity: DeviceIdentity) -> None:
    begin = parse_certificate(identity.tls_certificates[0]).not_valid_before_utc
    ahead = begin + timedelta(days=3650)
    assert not renewal_due(identity, TimeBounds(begin, TIME_QUALITY_SUSPECT, ahead))
    assert renewal_due(identity, TimeBounds(ahead, TIME_QUALITY_SUSPECT, begin))  # what is certain counts


def test_an_attestation_certificate_is_renewed_in_time_too(identity: DeviceIdentity) -> None:
    certificate = parse_certificate(identity.attestation_certificates[0])
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    bounds = TimeBounds(begin, TIME_QUALITY_BOUNDED, begin + (end - begin) / 2)
    alone = DeviceIdentity(
        **{name: getattr(identity, name) for name in DeviceIdentity.__slots__}
        | {"tls_certificates": identity.attestation_certificates}
    )
    assert renewal_due(alone, bounds)
    earlier = TimeBounds(begin, TIME_QUALITY_BOUNDED, begin + (end - begin) / 2 - timedelta(seconds=1))
    assert not renewal_due(alone, earlier)


def test_a_revoked_device_keeps_what_it_has(desk: Desk, identity: DeviceIdentity) -> None:
    desk.set_state(identity.device_id, device_service_pb2.DEVICE_STATE_REVOKED)
    error = failure_of(identity)
    assert (error.failure.kind, error.failure.code) == (FailureKind.AUTH, "DEVICE_REVOKED")
    assert reopened(identity) == identity
    assert not list(identity.folder.parent.glob(".renewing-*"))


def test_a_cloud_that_is_away_is_asked_again_later(identity: DeviceIdentity) -> None:
    values = json.loads((identity.folder / "identity.json").read_text())
    values["enrollment_endpoint"] = "127.0.0.1:1"
    write_private(identity.folder / "identity.json", json.dumps(values).encode())
    error = failure_of(reopened(identity))
    assert (error.failure.kind, error.failure.code) == (FailureKind.TRANSIENT, "CLOUD_AWAY")
    assert tls_key_of(reopened(identity))


def test_certificates_for_another_key_are_not_kept(
    desk: Desk, identity: DeviceIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(*_: object) -> bytes:
        return b"another key"

    monkeypatch.setattr(SoftwareSigner, "public_key_der", other)
    monkeypatch.setattr(DeviceIdentity, "open_signer", lambda self: self.key_store.open(self.attestation_key))
    monkeypatch.setattr(renew_module, "build_csr", lambda _: enroll_request("", new_key(), new_key()).tls_csr)
    error = failure_of(identity)
    assert (error.failure.kind, error.failure.code) == (FailureKind.PERMANENT, "ROOT_MISMATCH")
    assert reopened(identity) == identity


def test_renewals_at_once_end_up_with_one_identity(desk: Desk, identity: DeviceIdentity) -> None:
    with ThreadPoolExecutor(3) as pool:
        renewed = list(pool.map(lambda _: renew(identity), range(3)))
    assert len({one.folder for one in renewed}) == 1
    assert [row.purpose for row in desk.issued(identity.device_id)].count("tls_client") == 2


def test_one_version_back_is_kept_for_who_uses_it(desk: Desk, identity: DeviceIdentity) -> None:
    second = renew(identity)
    tls_key_of(identity)
    third = renew(second)
    tls_key_of(second)
    assert folders_of_identities(identity.folder.parent) == sorted([second.folder, third.folder])


class PowerCut(BaseException):
    pass


@pytest.mark.parametrize("name", ["_call", "save_identity", "publish"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_renewal_cut_off_leaves_an_identity_that_works(
    desk: Desk, identity: DeviceIdentity, monkeypatch: pytest.MonkeyPatch, name: str, after: bool
) -> None:
    real = getattr(renew_module, name)

    def cut(*args: object, **options: object) -> None:
        if after:
            real(*args, **options)
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(renew_module, name, cut)
        patch.setattr(renew_module.shutil, "rmtree", lambda *_, **__: None)  # as if the power went
        with pytest.raises(PowerCut):
            renew(identity)
    current = reopened(identity)
    tls_key_of(current)
    assert (current != identity) is (name == "publish" and after)
    renewed = renew(current)
    tls_key_of(renewed)
    assert not list(identity.folder.parent.glob(".renewing-*"))


def test_a_cut_within_the_last_step_leaves_an_identity_that_works(
    desk: Desk, identity: DeviceIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the new folder's name and the step that makes it current."""

    def cut(*_: object) -> None:
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(identity_module, "sync_folder", cut)
        with pytest.raises(PowerCut):
            renew(identity)
    assert reopened(identity) == identity
    renewed = renew(identity)
    assert folders_of_identities(identity.folder.parent) == sorted([identity.folder, renewed.folder])


def test_a_device_that_became_another_one_is_said(
    desk: Desk, endpoint: str, identity: DeviceIdentity
) -> None:
    enroll(
        endpoint=endpoint,
        root_pem=desk.authority.root_pem(),
        join_token=desk.token(waive_approval=True),
        folder=identity.folder.parent,
        key_store=identity.key_store,
        replace=True,
    )
    with pytest.raises(SetupError) as caught:
        renew(identity)
    assert caught.value.code == "IDENTITY_REPLACED"


def test_a_renewal_mends_what_a_wipe_of_personal_data_took(desk: Desk, identity: DeviceIdentity) -> None:
    wipe_personal_keys(identity.key_store)
    tls_key_of(renew(identity))


@pytest.fixture
def first_version(desk: Desk, endpoint: str, tmp_path: Path) -> Path:
    """An identity as version 0.1.0 wrote it."""
    folder = tmp_path / "identity"
    folder.mkdir(mode=0o700)
    secret = open_or_create_secret(folder, environ={})
    request = enroll_request(desk.token(waive_approval=True), new_key(), new_key())
    staged = folder / "staged"
    staged.mkdir(mode=0o700)
    attestation = SoftwareSigner.create(staged / "attestation.key", secret=secret)
    tls = SoftwareSigner.create(staged / "tls.key", secret=secret)
    request.attestation_csr = renew_module.build_csr(attestation)
    request.tls_csr = renew_module.build_csr(tls)
    answer = desk.enroll(request)
    for name, chain in (
        ("attestation", answer.attestation_certificates),
        ("tls", answer.tls_certificates),
    ):
        pem = b"".join(parse_certificate(der).public_bytes(Encoding.PEM) for der in chain)
        write_private(staged / f"{name}.pem", pem)
    write_private(staged / "root.pem", desk.authority.root_pem())
    values = {
        "format": 1,
        "device_id": answer.device_id,
        "site_id": answer.site_id,
        "key_protection": "SOFTWARE",
        "enrollment_endpoint": endpoint,
        "device_endpoint": "127.0.0.1:8443",
    }
    write_private(staged / "identity.json", json.dumps(values).encode())
    staged.rename(folder / f"id-{answer.device_id}")
    (folder / CURRENT).symlink_to(f"id-{answer.device_id}")
    return folder


def test_an_identity_of_the_first_version_opens_and_renews(desk: Desk, first_version: Path) -> None:
    store = SoftwareKeyStore.open_store(first_version)
    [row] = desk.devices()
    for _ in range(2):
        old = DeviceIdentity.open(first_version, key_store=store)
        assert (old.device_id, old.predecessor_id) == (row.device_id, "")
        assert old.key_protection is KeyProtection.SOFTWARE
        assert old.open_signer().sign(b"x")
        tls_key_of(old)
    new = renew(old)
    assert new.attestation_key == old.attestation_key
    assert not (new.folder / TLS_KEY).read_bytes().startswith(b"-----BEGIN")
    last = renew(new)
    assert not (first_version / f"id-{row.device_id}").exists()
    shutil.copytree(first_version, first_version.parent / "copy", symlinks=True)
    assert last.open_signer().public_key_der() == new.open_signer().public_key_der()


def test_an_identity_of_the_first_version_is_wiped_whole(desk: Desk, first_version: Path) -> None:
    store = SoftwareKeyStore.open_store(first_version)
    DeviceIdentity.open(first_version, key_store=store)
    old_key = next(first_version.glob("id-*/attestation.key"))
    copy = first_version.parent / "hard-link.key"
    os.link(old_key, copy)
    before = copy.read_bytes()
    wipe_identity(first_version, key_store=store)
    assert copy.read_bytes() != before
    assert list(first_version.rglob("*.key")) == []
