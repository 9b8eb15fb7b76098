"""Enrolment of a device against the cloud's own rules, over real TLS."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cloud.devices.enrollment_service import EnrollmentService
from cloud.errors import Reason, ServiceError
from edge.attest import enroll as enroll_module
from edge.attest import identity as identity_module
from edge.attest import pending as pending_module
from edge.attest.enroll import Progress, enroll, is_under_way, open_enrolment, resolve_endpoint
from edge.attest.identity import CURRENT, DeviceIdentity
from edge.attest.keys import SECRET_NAME
from edge.attest.keystore_software import KEYS_FOLDER, SoftwareKeyStore
from edge.attest.keystore_tpm import TpmKeyStore
from edge.attest.pending import FOLDER, Application
from edge.attest.wipe import wipe_identity, wipe_personal_keys
from edge.errors import CloudError, SetupError
from edge.model import KeyProtection
from edge.ports import KeyStore
from tests.support.authority import new_key
from tests.support.enrolment import Desk, open_desk
from tests.support.hardware import SoftTpm, missing, soft_tpm
from verifield.certificates import Purpose, parse_certificate
from verifield.v1 import device_service_pb2
from verifield.v1.enrollment_service_pb2 import (
    ENROLLMENT_STATE_CHALLENGED,
    EnrollRequest,
    EnrollResponse,
)
from verifield.v1.enrollment_service_pb2_grpc import EnrollmentServiceStub

needs_tpm = pytest.mark.skipif(missing("tpm") is not None, reason=missing("tpm") or "")


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
def folder(tmp_path: Path) -> Path:
    return tmp_path / "identity"


@pytest.fixture
def key_store(folder: Path) -> SoftwareKeyStore:
    return SoftwareKeyStore.open_store(folder)


def try_enrol(
    endpoint: str,
    desk: Desk,
    key_store: KeyStore,
    folder: Path,
    *,
    token: str | None = None,
    root_pem: bytes | None = None,
    replace: bool = False,
) -> Progress:
    return enroll(
        endpoint=endpoint,
        root_pem=root_pem or desk.authority.root_pem(),
        join_token=token or desk.token(waive_approval=True),
        folder=folder,
        key_store=key_store,
        replace=replace,
    )


def enrol(
    endpoint: str, desk: Desk, key_store: KeyStore, folder: Path, *, token: str | None = None
) -> DeviceIdentity:
    progress = try_enrol(endpoint, desk, key_store, folder, token=token)
    assert progress.identity is not None
    return progress.identity


def go_on(folder: Path, key_store: KeyStore) -> Progress:
    with open_enrolment(folder, key_store=key_store) as enrolment:
        return enrolment.advance()


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises((SetupError, CloudError)) as caught:
        call()
    assert caught.value.hint
    return caught.value.code


def keys_in(folder: Path) -> list[Path]:
    return sorted((folder / KEYS_FOLDER).glob("*.key"))


def test_a_token_makes_an_identity_that_opens_again(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path
) -> None:
    made = enrol(endpoint, desk, key_store, folder)
    opened = DeviceIdentity.open(folder, key_store=key_store)
    assert opened == made
    [row] = desk.devices()
    assert (opened.device_id, opened.site_id) == (row.device_id, "site-1")
    assert opened.key_protection is KeyProtection.SOFTWARE
    assert opened.enrollment_endpoint == endpoint
    assert opened.device_endpoint == "127.0.0.1:8443"
    assert opened.predecessor_id == ""
    leaf = parse_certificate(opened.attestation_certificates[0])
    assert opened.attestation_serial() == f"{leaf.serial_number:x}"
    assert opened.open_signer().sign(b"x")
    assert b"BEGIN PRIVATE KEY" in opened.tls_key_pem()
    assert opened.tls_certificates_pem().count(b"BEGIN CERTIFICATE") == 2
    assert len(keys_in(folder)) == 1
    assert not is_under_way(folder)


def test_everything_kept_is_for_the_owner_alone(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path
) -> None:
    token = desk.token(waive_approval=True)
    identity = enrol(endpoint, desk, key_store, folder, token=token)
    files = [item for item in folder.rglob("*") if not item.is_symlink()]
    assert len(files) > 8
    scalar = ec_scalar(identity.tls_key_pem())
    for item in files:
        assert stat.S_IMODE(item.stat().st_mode) & 0o077 == 0, item
        if item.is_file():
            assert b"BEGIN PRIVATE KEY" not in item.read_bytes()
            assert scalar not in item.read_bytes()
            assert token.encode() not in item.read_bytes()
    assert "PRIVATE" not in repr(identity)


def ec_scalar(pem: bytes) -> bytes:
    key = load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.private_numbers().private_value.to_bytes(32)


def test_an_enrolled_device_is_enrolled_again_only_when_asked(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path
) -> None:
    first = enrol(endpoint, desk, key_store, folder)
    before = len(desk.devices())
    assert code_of(lambda: try_enrol(endpoint, desk, key_store, folder)) == "ALREADY_ENROLLED"
    assert len(desk.devices()) == before  # the refusal came before any call
    token = desk.token(waive_approval=True, replaces=first.device_id)
    second = try_enrol(endpoint, desk, key_store, folder, token=token, replace=True).identity
    assert second is not None
    assert second.device_id != first.device_id
    assert second.predecessor_id == first.device_id
    assert desk.device(first.device_id).state == device_service_pb2.DEVICE_STATE_REPLACED
    assert DeviceIdentity.open(folder, key_store=key_store) == second
    assert second.open_signer().public_key_der() != first.open_signer().public_key_der()


def test_a_refusal_carries_the_clouds_reason_and_leaves_nothing(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path
) -> None:
    with pytest.raises(CloudError) as caught:
        try_enrol(endpoint, desk, key_store, folder, token="spent")
    assert caught.value.code == "ENROLL_REFUSED"
    assert "JOIN_TOKEN_UNKNOWN" in caught.value.message
    assert code_of(lambda: DeviceIdentity.open(folder, key_store=key_store)) == "NOT_ENROLLED"
    assert keys_in(folder) == []
    assert not (folder / FOLDER).exists()
    assert code_of(lambda: go_on(folder, key_store)) == "NO_ENROLMENT"


def test_a_cloud_that_is_away_costs_a_second_try_and_nothing_else(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path
) -> None:
    token = desk.token(waive_approval=True)
    assert code_of(lambda: try_enrol("127.0.0.1:1", desk, key_store, folder, token=token)) == "CLOUD_AWAY"
    [key] = keys_in(folder)
    identity = enrol(endpoint, desk, key_store, folder, token=token)  # the address was wrong
    assert identity.enrollment_endpoint == endpoint
    assert keys_in(folder) == [key]


@pytest.mark.parametrize("reason", [Reason.STORE_UNAVAILABLE, Reason.INTERNAL])
def test_a_cloud_that_cannot_answer_now_is_asked_again(
    desk: Desk,
    endpoint: str,
    key_store: SoftwareKeyStore,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    reason: Reason,
) -> None:
    token = desk.token(waive_approval=True)

    def fail(_self: EnrollmentService, _request: EnrollRequest) -> EnrollResponse:
        raise ServiceError(reason, "Not now.")

    with monkeypatch.context() as patch:
        patch.setattr(EnrollmentService, "_enroll", fail)
        with pytest.raises(CloudError) as caught:
            try_enrol(endpoint, desk, key_store, folder, token=token)
    assert caught.value.code == "CLOUD_AWAY"
    assert reason in caught.value.message
    [key] = keys_in(folder)
    enrol(endpoint, desk, key_store, folder, token=token)
    assert keys_in(folder) == [key]


def test_a_fault_of_the_caller_is_not_blamed_on_the_folder(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path
) -> None:
    application = Application(endpoint, desk.authority.root_pem(), desk.token())

    def print_to_nobody() -> None:
        with open_enrolment(folder, key_store=key_store, application=application) as enrolment:
            enrolment.advance()
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        print_to_nobody()
    assert is_under_way(folder)


def test_a_folder_that_cannot_be_read_is_said(folder: Path, key_store: SoftwareKeyStore) -> None:
    folder.mkdir()
    (folder / FOLDER).write_text("a file where a folder was")
    assert code_of(lambda: is_under_way(folder)) == "IDENTITY_UNWRITABLE"
    assert code_of(lambda: go_on(folder, key_store)) == "IDENTITY_UNWRITABLE"


def test_a_server_of_another_root_never_sees_the_token(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path, tmp_path: Path
) -> None:
    token = desk.token(waive_approval=True)
    with open_desk(tmp_path / "other") as other:
        wrong = other.authority.root_pem()
    attempt = lambda: try_enrol(endpoint, desk, key_store, folder, token=token, root_pem=wrong)  # noqa: E731
    assert code_of(attempt) == "ROOT_MISMATCH"
    assert desk.devices() == []
    enrol(endpoint, desk, key_store, folder, token=token)


def test_a_root_file_that_is_none_is_said_before_anything(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path
) -> None:
    attempt = lambda: try_enrol(endpoint, desk, key_store, folder, root_pem=b"no certificate")  # noqa: E731
    assert code_of(attempt) == "ROOT_UNREADABLE"
    assert not folder.exists()


def test_a_device_waits_for_a_person_and_goes_on_from_where_it_was(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path
) -> None:
    waiting = try_enrol(endpoint, desk, key_store, folder, token=desk.token())
    assert waiting.identity is None
    [row] = desk.devices()
    assert (waiting.device_id, waiting.key_sha256) == (row.device_id, row.attestation_key_sha256)
    assert is_under_way(folder)
    assert code_of(lambda: DeviceIdentity.open(folder, key_store=key_store)) == "NOT_ENROLLED"
    assert go_on(folder, key_store) == waiting
    desk.approve(waiting.device_id, waiting.key_sha256)
    done = go_on(folder, key_store)
    assert done.identity == DeviceIdentity.open(folder, key_store=key_store)
    assert done.device_id == waiting.device_id
    assert len(keys_in(folder)) == 1
    assert not is_under_way(folder)


def test_a_device_that_a_person_refuses_gives_its_keys_up(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path
) -> None:
    waiting = try_enrol(endpoint, desk, key_store, folder, token=desk.token())
    desk.set_state(waiting.device_id, device_service_pb2.DEVICE_STATE_REVOKED)
    assert code_of(lambda: go_on(folder, key_store)) == "ENROLL_REFUSED"
    assert keys_in(folder) == []
    assert not is_under_way(folder)


def test_another_token_begins_another_enrolment(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path
) -> None:
    first = try_enrol(endpoint, desk, key_store, folder, token=desk.token())
    second = try_enrol(endpoint, desk, key_store, folder, token=desk.token())
    assert second.key_sha256 != first.key_sha256
    assert len(keys_in(folder)) == 1


def test_two_enrolments_at_once_do_not_disturb_each_other(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path
) -> None:
    application = Application(endpoint, desk.authority.root_pem(), desk.token())
    with open_enrolment(folder, key_store=key_store, application=application) as enrolment:
        waiting = enrolment.advance()
        assert code_of(lambda: try_enrol(endpoint, desk, key_store, folder)) == "ENROLMENT_RUNNING"
        desk.approve(waiting.device_id, waiting.key_sha256)
        assert enrolment.advance().identity is not None
    assert len(desk.devices()) == 1


class PowerCut(BaseException):
    pass


CUTS = [
    (pending_module, "create_tls_key"),
    (enroll_module, "build_csr"),
    (enroll_module, "check_issued"),  # the answer has come
    (enroll_module, "save_identity"),
    (enroll_module, "publish"),
    (identity_module, "_remove_older"),  # the identity is current, tidying is not done
]


@pytest.mark.parametrize(("module", "name"), CUTS, ids=[name for _, name in CUTS])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_cut_off_anywhere_the_next_run_goes_on(
    desk: Desk,
    endpoint: str,
    key_store: SoftwareKeyStore,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: object,
    name: str,
    after: bool,
) -> None:
    token = desk.token(waive_approval=True)
    real = getattr(module, name)

    def cut(*args: object, **options: object) -> None:
        if after:
            real(*args, **options)
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(module, name, cut)
        with pytest.raises(PowerCut):
            enrol(endpoint, desk, key_store, folder, token=token)
    if (folder / CURRENT).is_symlink():
        identity = DeviceIdentity.open(folder, key_store=key_store)
        assert not is_under_way(folder)
    else:
        identity = enrol(endpoint, desk, key_store, folder, token=token)
    assert identity.open_signer().sign(b"x")
    assert identity.tls_key_pem()
    assert [row.device_id for row in desk.devices()] == [identity.device_id]
    assert len(keys_in(folder)) == 1


def test_what_a_cut_left_behind_never_destroys_an_identity_in_use(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(pending_module.Pending, "drop", lambda *_: None)
        first = enrol(endpoint, desk, key_store, folder)
    assert (folder / FOLDER).exists()
    second = try_enrol(endpoint, desk, key_store, folder, replace=True).identity
    assert second is not None
    assert first.open_signer().sign(b"x")  # its records may still have to be delivered


def other_device(answer: EnrollResponse, desk: Desk) -> None:
    key = parse_certificate(answer.attestation_certificates[0]).public_key()
    answer.attestation_certificates[:] = issue(desk, key, name="device-9")


def other_key(answer: EnrollResponse, desk: Desk) -> None:
    answer.attestation_certificates[:] = issue(desk, new_key().public_key(), name=answer.device_id)


def other_tls_key(answer: EnrollResponse, desk: Desk) -> None:
    answer.tls_certificates[:] = desk.authority.issue_device(
        new_key().public_key(), device_id=answer.device_id, usage="tls_client", now=desk.clock.now()
    )


def other_name(answer: EnrollResponse, _: Desk) -> None:
    answer.device_id = "device-9"


def swapped(answer: EnrollResponse, _: Desk) -> None:
    answer.attestation_certificates[:], answer.tls_certificates[:] = (
        list(answer.tls_certificates),
        list(answer.attestation_certificates),
    )


def no_certificates(answer: EnrollResponse, _: Desk) -> None:
    del answer.tls_certificates[:]


def damaged(answer: EnrollResponse, _: Desk) -> None:
    answer.attestation_certificates[0] = answer.attestation_certificates[0][:-1]


def leaf_alone(answer: EnrollResponse, _: Desk) -> None:
    del answer.tls_certificates[1:]


def issue(desk: Desk, key: object, *, name: str) -> list[bytes]:
    return desk.authority.issue_device(
        key,  # type: ignore[arg-type]
        device_id=name,
        usage=Purpose.ATTESTATION,
        now=desk.clock.now(),
    )


def unknown_state(answer: EnrollResponse, _: Desk) -> None:
    answer.state = 99  # type: ignore[assignment]


def challenged(answer: EnrollResponse, _: Desk) -> None:
    answer.state = ENROLLMENT_STATE_CHALLENGED


def other_fingerprint(answer: EnrollResponse, _: Desk) -> None:
    answer.key_sha256 = bytes(32)


def unusable_name(answer: EnrollResponse, _: Desk) -> None:
    answer.device_id = "../../etc"


def unusable_predecessor(answer: EnrollResponse, _: Desk) -> None:
    answer.predecessor_id = "../../etc"


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (other_device, "ROOT_MISMATCH"),
        (other_key, "ROOT_MISMATCH"),
        (other_tls_key, "ROOT_MISMATCH"),
        (other_name, "ROOT_MISMATCH"),
        (swapped, "ROOT_MISMATCH"),
        (no_certificates, "ROOT_MISMATCH"),
        (damaged, "ROOT_MISMATCH"),
        (leaf_alone, "ROOT_MISMATCH"),
        (unknown_state, "ENROLL_ANSWER"),
        (challenged, "ENROLL_ANSWER"),
        (other_fingerprint, "ENROLL_ANSWER"),
        (unusable_name, "ENROLL_ANSWER"),
        (unusable_predecessor, "ENROLL_ANSWER"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_answers_that_do_not_fit_are_not_kept(
    desk: Desk,
    endpoint: str,
    key_store: SoftwareKeyStore,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[EnrollResponse, Desk], None],
    code: str,
) -> None:
    class Spoiling:
        def __init__(self, channel: grpc.Channel) -> None:
            self._real = EnrollmentServiceStub(channel)

        def Enroll(self, request: EnrollRequest, timeout: float) -> EnrollResponse:  # noqa: N802
            answer = self._real.Enroll(request, timeout=timeout)
            spoil(answer, desk)
            return answer

    token = desk.token(waive_approval=True)
    with monkeypatch.context() as patch:
        patch.setattr(enroll_module, "EnrollmentServiceStub", Spoiling)
        assert code_of(lambda: enrol(endpoint, desk, key_store, folder, token=token)) == code
    assert code_of(lambda: DeviceIdentity.open(folder, key_store=key_store)) == "NOT_ENROLLED"
    enrol(endpoint, desk, key_store, folder, token=token)  # an honest answer is taken


@needs_tpm
def test_a_tpm_lets_its_device_in_by_itself(
    desk: Desk, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with soft_tpm() as tpm:
        desk.tpm_roots = [x509.load_pem_x509_certificate(pem) for pem in tpm.maker_certificates]
        store = TpmKeyStore.open_store(folder, tcti=tpm.tcti)
        with desk.serving() as endpoint:
            with monkeypatch.context() as patch:
                patch.setattr(enroll_module, "activate", cut_off)
                with pytest.raises(PowerCut):
                    try_enrol(endpoint, desk, store, folder, token=desk.token())
            progress = go_on(folder, store)
        assert progress.identity is not None
        assert progress.identity.key_protection is KeyProtection.TPM
        assert progress.identity.open_signer().sign(b"x")
        assert desk.device(progress.device_id).residency
        _refuses_weaker_keys(folder, progress.identity, tpm)


def cut_off(*_: object) -> bytes:
    raise PowerCut


def _refuses_weaker_keys(folder: Path, identity: DeviceIdentity, tpm: SoftTpm) -> None:
    software = SoftwareKeyStore.open_store(folder)
    assert code_of(lambda: DeviceIdentity.open(folder, key_store=software)) == "KEY_PROTECTION_FALLEN"
    tpm.unplug()
    assert code_of(lambda: TpmKeyStore.open_store(folder, tcti=tpm.tcti)) == "KEY_STORE_AWAY"
    assert code_of(identity.open_signer) == "KEY_STORE_AWAY"
    tpm.plug()
    assert identity.open_signer().sign(b"x")


class Hardware(SoftwareKeyStore):
    """A store of another kind, as the configuration might name one day."""

    @property
    def protection(self) -> KeyProtection:
        return KeyProtection.PKCS11


def test_a_store_of_another_kind_is_refused_both_ways(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path
) -> None:
    enrol(endpoint, desk, key_store, folder)
    hardware = Hardware.open_store(folder)
    assert code_of(lambda: DeviceIdentity.open(folder, key_store=hardware)) == "KEY_STORE_OTHER"


def test_an_enrolment_under_way_stays_with_its_store(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path
) -> None:
    hardware = Hardware.open_store(folder)
    try_enrol(endpoint, desk, hardware, folder, token=desk.token())
    assert code_of(lambda: go_on(folder, key_store)) == "KEY_PROTECTION_FALLEN"
    assert go_on(folder, hardware).identity is None


def test_a_key_of_another_device_is_noticed(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path
) -> None:
    identity = enrol(endpoint, desk, key_store, folder)
    key_store.destroy(identity.attestation_key)
    assert code_of(identity.open_signer) == "KEY_MISSING"
    key_store.create(identity.attestation_key)
    assert code_of(identity.open_signer) == "KEY_OTHER"


@pytest.mark.parametrize("name", ["identity.json", "attestation.pem", "tls.pem", "root.pem"])
def test_a_damaged_identity_is_said_and_not_used(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path, name: str
) -> None:
    identity = enrol(endpoint, desk, key_store, folder)
    (identity.folder / name).write_bytes(b"{}")
    assert code_of(lambda: DeviceIdentity.open(folder, key_store=key_store)) == "IDENTITY_UNREADABLE"


def test_an_identity_of_a_newer_format_is_refused(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path
) -> None:
    path = enrol(endpoint, desk, key_store, folder).folder / identity_module.IDENTITY
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"format": 3}))
    assert code_of(lambda: DeviceIdentity.open(folder, key_store=key_store)) == "IDENTITY_UNREADABLE"


def test_nothing_is_current_in_an_empty_folder(key_store: SoftwareKeyStore, folder: Path) -> None:
    assert code_of(lambda: DeviceIdentity.open(folder, key_store=key_store)) == "NOT_ENROLLED"
    assert not folder.exists()


def test_a_wiped_device_has_no_key_left(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path
) -> None:
    identity = enrol(endpoint, desk, key_store, folder)
    wrapped = key_store.wrap(b"data key", label="x")
    pending = try_enrol(endpoint, desk, key_store, folder, token=desk.token(), replace=True)
    assert pending.identity is None
    assert len(wipe_identity(folder, key_store=key_store)) == 2
    assert keys_in(folder) == []
    assert not (folder / SECRET_NAME).exists()
    assert not is_under_way(folder)
    assert code_of(lambda: DeviceIdentity.open(folder, key_store=key_store)) == "NOT_ENROLLED"
    assert code_of(identity.open_signer) == "KEY_MISSING"
    assert code_of(identity.tls_key_pem) == "KEY_MISSING"
    assert code_of(lambda: key_store.unwrap(wrapped, label="x")) == "KEY_UNREADABLE"
    assert (identity.folder / "attestation.pem").exists()  # whose records these are stays known
    assert wipe_identity(folder, key_store=key_store) != []  # names, not keys: twice does no harm
    enrol(endpoint, desk, key_store, folder)


def test_a_wipe_of_personal_data_leaves_what_delivery_needs(
    desk: Desk, endpoint: str, key_store: SoftwareKeyStore, folder: Path
) -> None:
    identity = enrol(endpoint, desk, key_store, folder)
    wrapped = key_store.wrap(b"data key", label="x")
    wipe_personal_keys(key_store)
    assert code_of(lambda: key_store.unwrap(wrapped, label="x")) == "KEY_UNREADABLE"
    assert identity.open_signer().sign(b"x")
    assert code_of(identity.tls_key_pem) == "KEY_UNREADABLE"  # a renewal makes another


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
