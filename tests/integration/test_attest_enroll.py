"""Enrolment against a gRPC server over real TLS."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge.attest import enroll as enroll_module
from edge.attest import identity as identity_module
from edge.attest.enroll import enroll, resolve_endpoint
from edge.attest.identity import CURRENT, DeviceIdentity
from edge.attest.keys import SECRET_NAME
from edge.errors import CloudError, SetupError
from edge.model import KeyProtection
from tests.support.authority import new_key
from tests.support.model_cloud import ModelCloud, new_authority, serving, tls_leaf
from verifield.certificates import Purpose, parse_certificate
from verifield.v1.enrollment_service_pb2 import EnrollRequest, EnrollResponse

TOKEN = "token-1"


@pytest.fixture
def cloud() -> ModelCloud:
    return ModelCloud(new_authority(), at=datetime.now(UTC), tokens={TOKEN, "token-2"})


@pytest.fixture
def endpoint(cloud: ModelCloud) -> Iterator[str]:
    with serving(cloud) as (public, _):
        yield public


def enroll_at(endpoint: str, cloud: ModelCloud, folder: Path, **options: object) -> DeviceIdentity:
    arguments = {"join_token": TOKEN, "root_pem": cloud.authority.root_pem, **options}
    return enroll(endpoint=endpoint, folder=folder, **arguments)  # type: ignore[arg-type]


def assert_not_enrolled(folder: Path) -> None:
    with pytest.raises(SetupError) as error:
        DeviceIdentity.open(folder)
    assert error.value.code == "NOT_ENROLLED"
    assert error.value.hint
    left = [item.name for item in folder.iterdir()] if folder.exists() else []
    assert left in ([], [SECRET_NAME])


def test_a_token_makes_an_identity_that_opens_again(cloud: ModelCloud, endpoint: str, tmp_path: Path) -> None:
    folder = tmp_path / "identity"
    made = enroll_at(endpoint, cloud, folder)
    opened = DeviceIdentity.open(folder)
    assert opened == made
    assert (opened.device_id, opened.site_id) == ("device-1", "site-1")
    assert opened.key_protection is KeyProtection.SOFTWARE
    assert opened.enrollment_endpoint == endpoint
    assert opened.device_endpoint.startswith("127.0.0.1:")
    assert opened.device_endpoint != endpoint
    leaf = parse_certificate(opened.attestation_certificates[0])
    assert opened.attestation_serial() == f"{leaf.serial_number:x}"
    assert opened.open_signer().sign(b"x")
    assert b"BEGIN PRIVATE KEY" in opened.tls_key_pem()
    assert opened.tls_certificates_pem().count(b"BEGIN CERTIFICATE") == 2


def test_everything_kept_is_for_the_owner_alone(cloud: ModelCloud, endpoint: str, tmp_path: Path) -> None:
    identity = enroll_at(endpoint, cloud, tmp_path / "identity")
    files = [item for item in (tmp_path / "identity").rglob("*") if not item.is_symlink()]
    assert len(files) == 8
    for item in files:
        assert stat.S_IMODE(item.stat().st_mode) & 0o077 == 0, item
        if item.is_file() and item.name != SECRET_NAME:
            assert b"BEGIN PRIVATE KEY" not in item.read_bytes()
    assert "PRIVATE" not in repr(identity)


def test_an_enrolled_device_is_enrolled_again_only_when_asked(
    cloud: ModelCloud, endpoint: str, tmp_path: Path
) -> None:
    first = enroll_at(endpoint, cloud, tmp_path)
    with pytest.raises(SetupError) as error:
        enroll_at(endpoint, cloud, tmp_path, join_token="token-2")
    assert error.value.code == "ALREADY_ENROLLED"
    assert "token-2" in cloud.tokens  # the refusal came before any call
    second = enroll_at(endpoint, cloud, tmp_path, join_token="token-2", replace=True)
    assert second.device_id == "device-2" != first.device_id
    assert DeviceIdentity.open(tmp_path) == second
    assert second.open_signer().public_key_der() != first.open_signer().public_key_der()


def test_a_refusal_carries_the_clouds_reason_and_leaves_nothing(
    cloud: ModelCloud, endpoint: str, tmp_path: Path
) -> None:
    with pytest.raises(CloudError) as error:
        enroll_at(endpoint, cloud, tmp_path / "identity", join_token="spent")
    assert error.value.code == "ENROLL_REFUSED"
    assert "JOIN_TOKEN_UNKNOWN" in error.value.message
    assert_not_enrolled(tmp_path / "identity")


def test_a_cloud_that_is_away_leaves_nothing(cloud: ModelCloud, tmp_path: Path) -> None:
    with pytest.raises(CloudError) as error:
        enroll_at("127.0.0.1:1", cloud, tmp_path / "identity")
    assert error.value.code == "CLOUD_AWAY"
    assert_not_enrolled(tmp_path / "identity")


def test_a_server_of_another_root_never_sees_the_token(
    cloud: ModelCloud, endpoint: str, tmp_path: Path
) -> None:
    with pytest.raises(CloudError) as error:
        enroll_at(endpoint, cloud, tmp_path / "identity", root_pem=new_authority().root_pem)
    assert error.value.code == "ROOT_MISMATCH"
    assert TOKEN in cloud.tokens
    assert_not_enrolled(tmp_path / "identity")


def test_a_root_file_that_is_none_is_said_before_any_call(
    cloud: ModelCloud, endpoint: str, tmp_path: Path
) -> None:
    with pytest.raises(SetupError) as error:
        enroll_at(endpoint, cloud, tmp_path / "identity", root_pem=b"no certificate")
    assert error.value.code == "ROOT_UNREADABLE"
    assert TOKEN in cloud.tokens


def issue(cloud: ModelCloud, key: object, *, name: str) -> list[bytes]:
    return cloud.authority.issue(
        key,  # type: ignore[arg-type]
        name=name,
        purpose=Purpose.ATTESTATION,
        now=datetime.now(UTC),
    )


def other_device(answer: EnrollResponse, cloud: ModelCloud) -> None:
    key = parse_certificate(answer.attestation_certificates[0]).public_key()
    answer.attestation_certificates[:] = issue(cloud, key, name="device-9")


def other_key(answer: EnrollResponse, cloud: ModelCloud) -> None:
    answer.attestation_certificates[:] = issue(cloud, new_key().public_key(), name=answer.device_id)


def other_tls_key(answer: EnrollResponse, cloud: ModelCloud) -> None:
    answer.tls_certificates[:] = tls_leaf(
        cloud.authority, new_key(), name=answer.device_id, usage="tls_client"
    )


def other_name(answer: EnrollResponse, _: ModelCloud) -> None:
    answer.device_id = "device-9"


def swapped(answer: EnrollResponse, _: ModelCloud) -> None:
    answer.attestation_certificates[:], answer.tls_certificates[:] = (
        list(answer.tls_certificates),
        list(answer.attestation_certificates),
    )


def no_certificates(answer: EnrollResponse, _: ModelCloud) -> None:
    del answer.tls_certificates[:]


def damaged(answer: EnrollResponse, _: ModelCloud) -> None:
    answer.attestation_certificates[0] = answer.attestation_certificates[0][:-1]


def leaf_alone(answer: EnrollResponse, _: ModelCloud) -> None:
    del answer.tls_certificates[1:]


@pytest.mark.parametrize(
    "spoil",
    [other_device, other_key, other_tls_key, other_name, swapped, no_certificates, damaged, leaf_alone],
    ids=lambda spoil: spoil.__name__,
)
def test_certificates_that_do_not_fit_are_not_kept(
    cloud: ModelCloud,
    endpoint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[EnrollResponse, ModelCloud], None],
) -> None:
    call = enroll_module._call

    def spoiled(endpoint: str, root_pem: bytes, request: EnrollRequest) -> EnrollResponse:
        answer = call(endpoint, root_pem, request)
        spoil(answer, cloud)
        return answer

    monkeypatch.setattr(enroll_module, "_call", spoiled)
    with pytest.raises(CloudError) as error:
        enroll_at(endpoint, cloud, tmp_path / "identity")
    assert error.value.code == "ROOT_MISMATCH"
    assert_not_enrolled(tmp_path / "identity")


def test_an_enrolment_cut_off_before_its_last_step_is_none(
    cloud: ModelCloud, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "identity"

    class PowerCut(BaseException):
        pass

    def cut(*_: object, **__: object) -> None:
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr("edge.attest.enroll.publish", cut)
        patch.setattr("edge.attest.enroll.shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(PowerCut):
            enroll_at(endpoint, cloud, folder)
    with pytest.raises(SetupError) as error:
        DeviceIdentity.open(folder)
    assert error.value.code == "NOT_ENROLLED"
    enroll_at(endpoint, cloud, folder, join_token="token-2")
    assert not [item for item in folder.iterdir() if item.name.startswith(".enrolling")]


@pytest.mark.parametrize("name", ["identity.json", "attestation.pem", "tls.pem", "root.pem"])
def test_a_damaged_identity_is_said_and_not_used(
    cloud: ModelCloud, endpoint: str, tmp_path: Path, name: str
) -> None:
    identity = enroll_at(endpoint, cloud, tmp_path)
    (identity.folder / name).write_bytes(b"{}")
    with pytest.raises(SetupError) as error:
        DeviceIdentity.open(tmp_path)
    assert error.value.code == "IDENTITY_UNREADABLE"


def test_an_identity_of_a_newer_format_is_refused(cloud: ModelCloud, endpoint: str, tmp_path: Path) -> None:
    path = enroll_at(endpoint, cloud, tmp_path).folder / identity_module._IDENTITY
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"format": 2}))
    with pytest.raises(SetupError) as error:
        DeviceIdentity.open(tmp_path)
    assert error.value.code == "IDENTITY_UNREADABLE"


def test_nothing_is_current_in_an_empty_folder(tmp_path: Path) -> None:
    assert_not_enrolled(tmp_path)
    assert not (tmp_path / CURRENT).exists()


@pytest.mark.parametrize(
    ("told", "resolved"),
    [
        (":8443", "cloud.example:8443"),
        ("devices.example:8443", "devices.example:8443"),
        ("[2001:db8::1]:8443", "[2001:db8::1]:8443"),
    ],
)
def test_an_empty_host_means_the_host_that_was_called(told: str, resolved: str) -> None:
    assert resolve_endpoint(told, called="cloud.example:443") == resolved


@pytest.mark.parametrize("told", ["", "8443", "cloud.example", "cloud.example:", "cloud.example:x"])
def test_an_endpoint_without_a_port_is_refused(told: str) -> None:
    with pytest.raises(CloudError) as error:
        resolve_endpoint(told, called="cloud.example:443")
    assert error.value.code == "ENROLL_ANSWER"
