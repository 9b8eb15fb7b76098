"""One set of tests for all places where keys can be: software, a token of SoftHSM2, a TPM of swtpm."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

from edge.attest.csr import build_csr
from edge.attest.keys import SECRET_NAME
from edge.attest.keystore import open_key_store
from edge.attest.keystore_rules import MAX_LABEL_BYTES, MAX_SEALED_BYTES, MAX_SECRET_BYTES
from edge.config import EdgeConfig
from edge.errors import SetupError, StorageError
from edge.model import KeyProtection
from edge.outbox.vault import open_vault
from edge.ports import KeyStore
from edge.vault import KEY_BYTES, NONCE_BYTES
from tests.support.hardware import SoftHsm, SoftTpm, missing, soft_hsm, soft_tpm

KINDS = ("software", "pkcs11", "tpm")
SOAK = int(os.environ.get("VERIFIELD_SOAK", "1"))
REPOSITORY = Path(__file__).resolve().parents[2]
MESSAGE = b"message"
SECRET = bytes(range(32))


@dataclass(frozen=True)
class Device:
    """A device: its configuration and its folder."""

    kind: str
    config: EdgeConfig
    folder: Path

    def store(self) -> KeyStore:
        """As a process would open it that has just started."""
        return open_key_store(self.config, self.folder)


@dataclass(frozen=True)
class Bench:
    """Makes devices of one kind, each with hardware of its own, and takes the hardware away."""

    kind: str
    new_config: Callable[[], EdgeConfig]
    unplug: Callable[[], None]
    plug: Callable[[], None]
    places: Callable[[], set[int]] = set


@pytest.fixture(scope="module")
def hsm() -> Iterator[SoftHsm]:
    with soft_hsm() as hsm:
        yield hsm


@pytest.fixture(scope="module")
def tpm() -> Iterator[SoftTpm]:
    with soft_tpm() as tpm:
        yield tpm


@pytest.fixture(scope="module")
def other_tpm() -> Iterator[SoftTpm]:
    with soft_tpm() as tpm:
        yield tpm


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Bench:
    return make_bench(request.param, request)


def make_bench(kind: str, request: pytest.FixtureRequest) -> Bench:
    if absent := missing(kind):
        pytest.skip(absent)
    if kind == "software":
        return Bench(kind, EdgeConfig, lambda: None, lambda: None)
    if kind == "pkcs11":
        hsm: SoftHsm = request.getfixturevalue("hsm")

        def with_token() -> EdgeConfig:
            token = hsm.new_token()
            return EdgeConfig(
                key_store="pkcs11",
                pkcs11_module=hsm.module,
                pkcs11_token=token.label,
                pkcs11_pin_file=token.pin_file,
            )

        return Bench(kind, with_token, hsm.unplug, hsm.plug)
    tpm: SoftTpm = request.getfixturevalue("tpm")
    others = iter([tpm.tcti, request.getfixturevalue("other_tpm").tcti])
    return Bench(
        kind, lambda: EdgeConfig(key_store="tpm", tpm_tcti=next(others)), tpm.unplug, tpm.plug, tpm.places
    )


@pytest.fixture
def device(bench: Bench, tmp_path: Path) -> Device:
    return Device(bench.kind, bench.new_config(), tmp_path / "device")


all_kinds = pytest.mark.parametrize("bench", KINDS, indirect=True)
hardware = pytest.mark.parametrize("bench", KINDS[1:], indirect=True)


def code_of(action: Callable[[], object]) -> str:
    """The code of the error that the action ends with; every one says what to do."""
    with pytest.raises(SetupError) as caught:
        action()
    assert caught.value.hint
    return caught.value.code


def verify(public_key_der: bytes, signature: bytes, message: bytes = MESSAGE) -> None:
    key = serialization.load_der_public_key(public_key_der)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(signature, message, ec.ECDSA(SHA256()))


@all_kinds
@pytest.mark.req("E044")
def test_a_key_signs_and_survives_closing(device: Device) -> None:
    made = device.store().create("attestation-1")
    opened = device.store().open("attestation-1")
    assert opened.public_key_der() == made.public_key_der()
    assert opened.protection is device.store().protection
    assert opened.protection is KeyProtection[device.kind.upper()]
    for size in (0, 1, 1000, 100_000):
        message = bytes(size)
        verify(made.public_key_der(), opened.sign(message), message)
    with pytest.raises(InvalidSignature):
        verify(made.public_key_der(), opened.sign(b"another"))


@all_kinds
@pytest.mark.req("E044")
def test_a_request_for_a_certificate_proves_possession(device: Device) -> None:
    signer = device.store().create("attestation-1")
    request = x509.load_der_x509_csr(build_csr(signer))
    assert request.is_signature_valid
    encoding = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert request.public_key().public_bytes(*encoding) == signer.public_key_der()


@all_kinds
@pytest.mark.req("E044")
def test_keys_are_never_overwritten_and_a_missing_one_is_said(device: Device) -> None:
    store = device.store()
    first = store.create("a")
    assert code_of(lambda: store.create("a")) == "KEY_EXISTS"
    assert code_of(lambda: device.store().create("a")) == "KEY_EXISTS"
    assert store.open("a").public_key_der() == first.public_key_der()
    assert store.create("b").public_key_der() != first.public_key_der()
    assert code_of(lambda: store.open("c")) == "KEY_MISSING"


@all_kinds
@pytest.mark.req("E044")
def test_a_destroyed_key_is_gone_and_its_name_is_free(device: Device) -> None:
    store = device.store()
    store.destroy("a")  # there is none
    first = store.create("a").public_key_der()
    kept = store.create("b")
    store.destroy("a")
    store.destroy("a")
    assert code_of(lambda: store.open("a")) == "KEY_MISSING"
    assert store.create("a").public_key_der() != first
    verify(kept.public_key_der(), store.open("b").sign(MESSAGE))


@all_kinds
@pytest.mark.req("E044")
def test_wrapped_secrets_open_only_under_their_label_and_unchanged(device: Device) -> None:
    store = device.store()
    for size in (1, 32, MAX_SECRET_BYTES):
        secret = os.urandom(size)
        wrapped = store.wrap(secret, label="data key")
        assert device.store().unwrap(wrapped, label="data key") == secret
        assert secret not in wrapped or size == 1
        assert len(wrapped) <= MAX_SEALED_BYTES
    assert store.wrap(SECRET, label="a") != store.wrap(SECRET, label="a")
    wrapped = store.wrap(SECRET, label="data key")
    assert code_of(lambda: store.unwrap(wrapped, label="another")) == "KEY_UNREADABLE"
    for place in range(0, len(wrapped), 7):
        changed = bytearray(wrapped)
        changed[place] ^= 1
        assert code_of(lambda changed=changed: store.unwrap(bytes(changed), label="data key")) == (
            "KEY_UNREADABLE"
        )
    for other in (b"", wrapped[:-1], wrapped + b"x", bytes(32), bytes(MAX_SEALED_BYTES + 1)):
        assert code_of(lambda other=other: store.unwrap(other, label="data key")) == "KEY_UNREADABLE"


@all_kinds
@pytest.mark.parametrize(
    ("secret", "label"),
    [
        (b"", "label"),
        (bytes(MAX_SECRET_BYTES + 1), "label"),
        (SECRET, ""),
        (SECRET, "x" * (MAX_LABEL_BYTES + 1)),
    ],
)
def test_secrets_and_labels_have_limits(device: Device, secret: bytes, label: str) -> None:
    with pytest.raises(ValueError, match="bytes"):
        device.store().wrap(secret, label=label)


@all_kinds
@pytest.mark.parametrize("name", ["", "A", "a/b", "a b", "é", "x" * 65])
def test_names_have_limits(device: Device, name: str) -> None:
    store = device.store()
    for action in (store.create, store.open, store.destroy):
        with pytest.raises(ValueError, match="name"):
            action(name)


@all_kinds
def test_the_longest_name_is_allowed(device: Device) -> None:
    name = "x" * 62 + ".9"
    made = device.store().create(name)
    verify(made.public_key_der(), device.store().open(name).sign(MESSAGE))


@all_kinds
@pytest.mark.req("E044")
def test_a_copy_of_the_disk_is_of_no_use_on_another_device(bench: Bench, device: Device) -> None:
    store = device.store()
    signer = store.create("a")
    wrapped = store.wrap(SECRET, label="data key")
    copy = device.folder.with_name("copy")
    shutil.copytree(device.folder, copy)
    (copy / SECRET_NAME).unlink(missing_ok=True)  # software: all but what systemd or the owner kept apart
    thief = Device(device.kind, bench.new_config(), copy).store()
    assert code_of(lambda: thief.open("a")) in {"KEY_MISSING", "KEY_UNREADABLE"}
    assert code_of(lambda: thief.unwrap(wrapped, label="data key")) == "KEY_UNREADABLE"
    other = thief.wrap(SECRET, label="data key")
    assert code_of(lambda: store.unwrap(other, label="data key")) == "KEY_UNREADABLE"
    assert store.unwrap(wrapped, label="data key") == SECRET
    verify(signer.public_key_der(), store.open("a").sign(MESSAGE))


@all_kinds
@pytest.mark.req("E044")
def test_destroying_the_wrapping_is_for_ever(device: Device) -> None:
    store = device.store()
    store.destroy_wrapping()  # there is none
    signer = store.create("a")
    wrapped = store.wrap(SECRET, label="data key")
    backup = device.folder.with_name("backup")
    shutil.copytree(device.folder, backup)
    store.destroy_wrapping()
    store.destroy_wrapping()
    assert code_of(lambda: store.unwrap(wrapped, label="data key")) == "KEY_UNREADABLE"
    verify(signer.public_key_der(), device.store().open("a").sign(MESSAGE))
    again = store.wrap(SECRET, label="data key")
    assert device.store().unwrap(again, label="data key") == SECRET
    assert code_of(lambda: store.unwrap(wrapped, label="data key")) == "KEY_UNREADABLE"
    if device.kind != "software":  # whose only place is the disk
        restored = replace(device, folder=backup).store()
        assert code_of(lambda: restored.unwrap(wrapped, label="data key")) == "KEY_UNREADABLE"


@hardware
@pytest.mark.req("E044")
def test_a_destroyed_key_does_not_come_back_with_a_copy_of_the_disk(device: Device) -> None:
    store = device.store()
    store.create("a")
    backup = device.folder.with_name("backup")
    shutil.copytree(device.folder, backup)
    store.destroy("a")
    restored = replace(device, folder=backup).store()
    assert code_of(lambda: restored.open("a")) in {"KEY_MISSING", "KEY_UNREADABLE"}


@all_kinds
@pytest.mark.req("E044")
def test_threads_sign_at_the_same_time(device: Device) -> None:
    store = device.store()
    signer = store.create("a")

    def work(number: int) -> None:
        mine = signer if number % 2 else device.store().open("a")
        for count in range(4 * SOAK):
            message = b"%d %d" % (number, count)
            verify(signer.public_key_der(), mine.sign(message), message)
        assert store.unwrap(store.wrap(SECRET, label="a"), label="a") == SECRET

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))


@all_kinds
def test_one_of_many_threads_makes_the_key(device: Device) -> None:
    barrier = threading.Barrier(4)

    def make(_number: int) -> str:
        store = device.store()
        barrier.wait()
        try:
            return store.create("a").public_key_der().hex()
        except SetupError as error:
            return error.code

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(make, range(4)))
    assert results.count("KEY_EXISTS") == 3
    [made] = set(results) - {"KEY_EXISTS"}
    assert device.store().open("a").public_key_der().hex() == made


def start_worker(device: Device, action: str, name: str, count: int) -> subprocess.Popen[str]:
    config = device.config.model_dump_json()
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.support.key_worker"),
            *(action, config, str(device.folder), name, str(count)),
        ],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/proto"},
        stdout=subprocess.PIPE,
        text=True,
    )


@all_kinds
@pytest.mark.req("E044")
def test_two_processes_sign_at_the_same_time(device: Device) -> None:
    public_key_der = device.store().create("a").public_key_der()
    count = 5 * SOAK
    workers = [start_worker(device, "sign", "a", count) for _ in range(2)]
    for worker in workers:
        output, _ = worker.communicate(timeout=60)
        assert worker.returncode == 0
        ready, *signatures = output.split()
        assert ready == "ready"
        assert len(signatures) == count
        for signature in signatures:
            verify(public_key_der, bytes.fromhex(signature))


@all_kinds
@pytest.mark.req("E044")
def test_a_process_killed_while_it_makes_keys_leaves_nothing_behind(bench: Bench, device: Device) -> None:
    device.store().create("before")
    places = bench.places()
    for turn in range(SOAK):
        worker = start_worker(device, "create", f"t{turn}", 1000)
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        said = [worker.stdout.readline().strip() for _ in range(1 + turn % 5)]
        worker.kill()
        said += worker.stdout.read().split()
        worker.stdout.close()
        worker.wait()
        store = device.store()
        for name in said:  # what was said to be made is there
            store.open(name).sign(MESSAGE)
        next_name = f"t{turn}-{len(said)}"  # the one in the making is there, or can be made
        with suppress(SetupError):
            store.create(next_name)
        verify(store.open(next_name).public_key_der(), store.open(next_name).sign(MESSAGE))
        for name in (*said, next_name):
            store.destroy(name)
        assert bench.places() == places
    verify(device.store().open("before").public_key_der(), device.store().open("before").sign(MESSAGE))


@hardware
@pytest.mark.req("E044")
def test_hardware_that_goes_away_is_said_and_comes_back(bench: Bench, device: Device) -> None:
    store = device.store()
    signer = store.create("a")
    wrapped = store.wrap(SECRET, label="data key")
    files = sorted(device.folder.rglob("*"))
    bench.unplug()
    try:
        for action in (
            lambda: signer.sign(MESSAGE),
            lambda: store.open("a"),
            lambda: store.create("b"),
            lambda: store.wrap(SECRET, label="data key"),
            lambda: store.unwrap(wrapped, label="data key"),
            device.store,  # and nothing else is used in its place
        ):
            assert code_of(action) == "KEY_STORE_AWAY"
    finally:
        bench.plug()
    verify(signer.public_key_der(), signer.sign(MESSAGE))  # the same objects go on
    assert store.unwrap(wrapped, label="data key") == SECRET
    assert code_of(lambda: store.open("b")) == "KEY_MISSING"
    verify(store.create("b").public_key_der(), store.open("b").sign(MESSAGE))
    assert {path.name for path in set(device.folder.rglob("*")) - set(files)} <= {"b.tpm", "tpm-making"}


@hardware
def test_hardware_is_never_replaced_by_software(device: Device, tmp_path: Path) -> None:
    device.store().create("a")
    away = {"pkcs11_token": "no such token", "tpm_tcti": f"swtpm:path={tmp_path}/none"}
    config = device.config.model_copy(update=away)
    assert code_of(lambda: open_key_store(config, device.folder)) == "KEY_STORE_AWAY"
    software = open_key_store(EdgeConfig(), device.folder)
    assert code_of(lambda: software.open("a")) == "KEY_MISSING"


@all_kinds
@pytest.mark.req("E044", "E055")
def test_the_data_key_lies_wrapped_and_dies_with_the_wrapping(device: Device, tmp_path: Path) -> None:
    store, path = device.store(), tmp_path / "outbox.key"
    sealed = open_vault(path, key_store=store, create=True).seal(b"personal", label="records/1")
    content = path.read_bytes()
    assert len(content) > KEY_BYTES
    reopened = open_vault(path, key_store=device.store(), create=False)
    assert reopened.unseal(sealed, label="records/1") == b"personal"
    store.destroy_wrapping()
    with pytest.raises(StorageError) as caught:
        open_vault(path, key_store=store, create=False)
    assert caught.value.code == "DATA_KEY_WRONG"


@all_kinds
def test_a_data_key_of_the_first_version_is_wrapped_when_it_is_opened(device: Device, tmp_path: Path) -> None:
    path = tmp_path / "outbox.key"
    path.write_bytes(SECRET)
    path.chmod(0o600)
    nonce = bytes(NONCE_BYTES)
    sealed = nonce + AESGCM(SECRET).encrypt(nonce, b"personal", b"record")
    for _ in range(2):
        vault = open_vault(path, key_store=device.store(), create=False)
        assert vault.unseal(sealed, label="record") == b"personal"
    assert SECRET not in b"".join(item.read_bytes() for item in tmp_path.iterdir() if item.is_file())


@hardware
def test_a_vault_waits_for_its_hardware(bench: Bench, device: Device, tmp_path: Path) -> None:
    path = tmp_path / "outbox.key"
    store = device.store()
    sealed = open_vault(path, key_store=store, create=True).seal(b"personal", label="record")
    bench.unplug()
    try:
        assert code_of(lambda: open_vault(path, key_store=store, create=False)) == "KEY_STORE_AWAY"
    finally:
        bench.plug()
    assert open_vault(path, key_store=store, create=False).unseal(sealed, label="record") == b"personal"


def test_every_store_seals_in_a_form_of_its_own(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    benches = [make_bench(kind, request) for kind in KINDS if missing(kind) is None]
    devices = [Device(bench.kind, bench.new_config(), tmp_path / bench.kind) for bench in benches]
    for one, two in itertools.permutations(devices, 2):
        wrapped = one.store().wrap(SECRET, label="a")
        assert code_of(lambda wrapped=wrapped, two=two: two.store().unwrap(wrapped, label="a")) == (
            "KEY_UNREADABLE"
        )
