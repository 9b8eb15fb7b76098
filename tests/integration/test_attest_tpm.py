"""What only a TPM does: proof of residency, a counter that never goes back; and how the tools are run."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from edge.app import destroy_counters
from edge.attest.keystore_tpm import MAKING_NAME, TpmKeyStore
from edge.attest.tpm_evidence import activate, gather_evidence
from edge.attest.tpm_forms import NvSlot, encode_slot, parse_signing_key, sized, take_sized
from edge.attest.tpm_nv import counter_index, define_secret, draw_slot, read_secret, undefine
from edge.attest.tpm_tools import Given, TpmRefusedError, TpmTools, authorised_by
from edge.errors import SetupError
from edge.ports import RollbackCounter
from tests.support.hardware import SoftTpm, missing, soft_tpm
from verifield.v1.enrollment_service_pb2 import TpmChallenge, TpmEvidence

pytestmark = pytest.mark.skipif(missing("tpm") is not None, reason=missing("tpm") or "")

SECRET = bytes(range(32))
START_AUTH_SESSION = struct.pack(
    ">HIIIIH16sHBHH", 0x8001, 43, 0x176, 0x40000007, 0x40000007, 16, bytes(16), 0, 0, 0x0010, 0x000B
)


@pytest.fixture(scope="module")
def tpm() -> Iterator[SoftTpm]:
    with soft_tpm() as tpm:
        yield tpm


@pytest.fixture
def store(tpm: SoftTpm, tmp_path: Path) -> TpmKeyStore:
    return TpmKeyStore.open_store(tmp_path / "device", tcti=tpm.tcti)


def code_of(error: pytest.ExceptionInfo[SetupError]) -> str:
    assert error.value.hint
    return error.value.code


def object_name(public: bytes) -> bytes:
    """Library, Part 1, 16: the name of an object whose name algorithm is SHA-256."""
    return b"\x00\x0b" + hashlib.sha256(public).digest()


def make_challenge(evidence: TpmEvidence, folder: Path, *, ak_name: bytes | None = None) -> TpmChallenge:
    """TPM2_MakeCredential as tpm2-tools do it, without the TPM."""
    certificate = x509.load_der_x509_certificate(evidence.ek_certificates[0])
    key = certificate.public_key()
    (folder / "ek.pem").write_bytes(
        key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (folder / "secret").write_bytes(SECRET)
    name = ak_name or object_name(evidence.ak_public)
    subprocess.run(
        [
            *("tpm2_makecredential", "--quiet", "--tcti", "none"),
            *("--key-algorithm", "rsa" if isinstance(key, rsa.RSAPublicKey) else "ecc"),
            *("--public", str(folder / "ek.pem"), "--secret", str(folder / "secret")),
            *("--name", name.hex(), "--credential-blob", str(folder / "credential")),
        ],
        check=True,
    )
    blob, rest = take_sized((folder / "credential").read_bytes()[8:])  # behind the magic and a version
    secret, nothing = take_sized(rest)
    assert nothing == b""
    return TpmChallenge(credential_blob=blob, encrypted_secret=secret)


def check_evidence(evidence: TpmEvidence, public_key_der: bytes) -> None:
    """What the cloud will look at, from the specification, and not with the code under test."""
    assert parse_signing_key(evidence.key_public, restricted=False) == public_key_der
    info = evidence.certify_info
    magic, kind = struct.unpack_from(">IH", info)
    assert (magic, kind) == (0xFF544347, 0x8017)  # TPM_GENERATED_VALUE, TPM_ST_ATTEST_CERTIFY
    _signer, rest = take_sized(info[6:])
    _extra, rest = take_sized(rest)
    name, rest = take_sized(rest[17 + 8 :])  # TPMS_CLOCK_INFO, firmware version
    _qualified, rest = take_sized(rest)
    assert rest == b""
    assert name == object_name(evidence.key_public)
    scheme, digest = struct.unpack_from(">HH", evidence.certify_signature)
    assert (scheme, digest) == (0x0018, 0x000B)  # ECDSA over SHA-256
    r, rest = take_sized(evidence.certify_signature[4:])
    s, rest = take_sized(rest)
    assert rest == b""
    ak = serialization.load_der_public_key(parse_signing_key(evidence.ak_public, restricted=True))
    assert isinstance(ak, ec.EllipticCurvePublicKey)
    ak.verify(encode_dss_signature(int.from_bytes(r), int.from_bytes(s)), info, ec.ECDSA(SHA256()))


def test_the_evidence_ties_the_key_to_a_tpm_of_the_maker(
    tpm: SoftTpm, store: TpmKeyStore, tmp_path: Path
) -> None:
    signer = store.create("attestation-1")
    evidence = gather_evidence(store, "attestation-1")
    check_evidence(evidence, signer.public_key_der())
    certificate = x509.load_der_x509_certificate(evidence.ek_certificates[0])
    issuer, root = (x509.load_pem_x509_certificate(pem) for pem in tpm.maker_certificates)
    certificate.verify_directly_issued_by(issuer)
    issuer.verify_directly_issued_by(root)
    key = certificate.public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    modulus, rest = take_sized(evidence.ek_public[-258:])  # the last part of TPMT_PUBLIC
    assert rest == b""
    assert int.from_bytes(modulus) == key.public_numbers().n
    released = activate(store, make_challenge(evidence, tmp_path))
    assert released == SECRET
    # A later process, after a restart, can still answer; and the evidence names the same keys.
    challenge = make_challenge(evidence, tmp_path)
    tpm.unplug()
    tpm.plug()
    later = TpmKeyStore.open_store(tmp_path / "device", tcti=tpm.tcti)
    assert activate(later, challenge) == SECRET
    again = gather_evidence(later, "attestation-1")
    assert (again.ek_public, again.ak_public) == (evidence.ek_public, evidence.ak_public)


def test_a_challenge_for_other_keys_is_refused(store: TpmKeyStore, tmp_path: Path) -> None:
    store.create("a")
    evidence = gather_evidence(store, "a")
    good = make_challenge(evidence, tmp_path)
    other = make_challenge(evidence, tmp_path, ak_name=object_name(b"another key"))
    damaged = TpmChallenge(
        credential_blob=good.credential_blob[:-1] + bytes([good.credential_blob[-1] ^ 1]),
        encrypted_secret=good.encrypted_secret,
    )
    for challenge in (other, damaged, TpmChallenge(), TpmChallenge(credential_blob=b"x" * 40)):
        with pytest.raises(SetupError) as error:
            activate(store, challenge)
        assert code_of(error) == "TPM_CHALLENGE_REFUSED"
    assert activate(store, good) == SECRET  # and no session is left in the way
    for _ in range(4):
        assert activate(store, good) == SECRET


def test_evidence_for_a_key_that_is_not_there(store: TpmKeyStore) -> None:
    with pytest.raises(SetupError) as error:
        gather_evidence(store, "a")
    assert code_of(error) == "KEY_MISSING"


def test_a_maker_with_certificates_for_p256_and_one_without_any(tmp_path: Path) -> None:
    with soft_tpm() as tpm:
        store = TpmKeyStore.open_store(tmp_path / "device", tcti=tpm.tcti)
        signer = store.create("a")
        for place in ("0x1c00002", "0x1c00016"):
            tpm.tool("tpm2_nvundefine", "-C", "p", place)
        with pytest.raises(SetupError) as error:
            gather_evidence(store, "a")
        assert code_of(error) == "TPM_NO_CERTIFICATE"
        issuer = certify_p256_ek(tpm, tmp_path)
        evidence = gather_evidence(store, "a")
        check_evidence(evidence, signer.public_key_der())
        leaf, above = (x509.load_der_x509_certificate(der) for der in evidence.ek_certificates)
        assert above == issuer
        leaf.verify_directly_issued_by(issuer)
        assert activate(store, make_challenge(evidence, tmp_path)) == SECRET


def certify_p256_ek(tpm: SoftTpm, folder: Path) -> x509.Certificate:
    """Put a certificate for the P-256 EK, and its issuer's, where a maker would; return the issuer's."""
    pem = folder / "p256.pem"
    tpm.tool("tpm2_createek", "-Q", "-G", "ecc", "-f", "pem", "-c", str(folder / "ek.ctx"), "-u", str(pem))
    tpm.tool("tpm2_flushcontext", "-t")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "maker")])
    builder = (
        x509.CertificateBuilder()
        .issuer_name(name)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=365))
    )
    issuer = (
        builder.subject_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    ek = serialization.load_pem_public_key(pem.read_bytes())
    assert isinstance(ek, ec.EllipticCurvePublicKey)
    leaf = builder.subject_name(x509.Name([])).public_key(ek).serial_number(2).sign(key, SHA256())
    padding_bytes = bytes(64)  # makers fill their places up
    for place, certificate in (("0x1c0000a", leaf), ("0x1c00100", issuer)):
        data = certificate.public_bytes(serialization.Encoding.DER) + padding_bytes
        (folder / "der").write_bytes(data)
        attributes = "ppwrite|ownerread|authread|policywrite|no_da|platformcreate"
        tpm.tool("tpm2_nvdefine", "-Q", place, "-C", "p", "-s", str(len(data)), "-a", attributes)
        tpm.tool("tpm2_nvwrite", "-Q", place, "-C", "p", "-i", str(folder / "der"))
    return issuer


def test_the_counter_only_grows(tpm: SoftTpm, store: TpmKeyStore, tmp_path: Path) -> None:
    counter: RollbackCounter = store.open_counter("rollback")
    first = counter.read()
    assert [counter.increment() for _ in range(3)] == [first + 1, first + 2, first + 3]
    backup = tmp_path / "backup"
    shutil.copytree(tmp_path / "device", backup)
    counter.increment()
    tpm.unplug()
    tpm.plug()
    assert store.open_counter("rollback").read() == first + 4
    restored = TpmKeyStore.open_store(backup, tcti=tpm.tcti)
    assert restored.open_counter("rollback").read() == first + 4  # an old disk does not bring it back
    (tmp_path / "device" / "rollback.tpm-counter").unlink()
    assert store.open_counter("rollback").read() > first + 4  # nor does a new counter begin below
    with pytest.raises(TpmRefusedError):
        restored.open_counter("rollback").read()  # whose authorisation was for the old one


def test_a_destroyed_counter_leaves_nothing_in_the_tpm(tpm: SoftTpm, store: TpmKeyStore) -> None:
    other = store.open_counter("other")
    store.open_counter("rollback").increment()
    place = hex(counter_index("rollback"))
    assert place in tpm.tool("tpm2_getcap", "handles-nv-index").lower()
    for _ in range(2):  # twice does no harm
        store.destroy_counter("rollback")
        assert place not in tpm.tool("tpm2_getcap", "handles-nv-index").lower()
    before = other.read()
    assert other.increment() == before + 1
    store.open_counter("outbox-attestation-1")
    destroy_counters(store, ["attestation-1", "attestation-2"])  # as a wipe does, of every identity's key
    assert (
        hex(counter_index("outbox-attestation-1")) not in tpm.tool("tpm2_getcap", "handles-nv-index").lower()
    )
    assert store.open_counter("rollback").read() > before  # made anew: never below


def test_a_counter_that_the_tpm_lost_is_said(tpm: SoftTpm, store: TpmKeyStore) -> None:
    counter = store.open_counter("rollback")
    tpm.tool("tpm2_nvundefine", "-C", "o", hex(counter_index("rollback")))
    with pytest.raises(SetupError) as error:
        counter.read()
    assert code_of(error) == "KEY_UNREADABLE"


def test_tools_see_secrets_only_through_files_in_memory(
    store: TpmKeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, folder = tmp_path / "log", tmp_path / "bin"
    folder.mkdir()
    for tool in Path("/usr/bin").glob("tpm2_*"):
        (folder / tool.name).write_text(f'#!/bin/sh\necho "$0 $*" >> {log}\nexec {tool} "$@"\n')
        (folder / tool.name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    signer = store.create("a")
    signer.sign(b"message")
    assert store.unwrap(store.wrap(SECRET, label="a"), label="a") == SECRET
    activate(store, make_challenge(gather_evidence(store, "a"), tmp_path))
    store.open_counter("rollback").increment()
    used = log.read_text()
    for tool in ("create", "sign", "nvdefine", "nvwrite", "nvread", "certify", "activatecredential"):
        assert f"/tpm2_{tool} " in used
    words = used.split()
    given = [words[number + 1] for number, word in enumerate(words) if "auth" in word and word[:2] == "--"]
    assert len(given) > 10
    assert all(word.startswith(("file:/dev/fd/", "session:/dev/fd/")) for word in given)
    auths = [slot.auth for slot in map(store._slot_of, (tmp_path / "device").rglob("*")) if slot is not None]
    assert len(auths) >= 2
    for secret in (*auths, SECRET.hex(), SECRET[:8].hex()):
        assert secret not in used


def test_places_of_a_cut_are_freed_and_those_in_use_are_kept(tpm: SoftTpm, store: TpmKeyStore) -> None:
    folder = store._folder
    signer = store.create("a")
    kept = store._slot_of(folder / "tpm-keys" / "a.tpm")
    before = tpm.places()
    assert kept is not None
    orphan = draw_slot()
    for left in (kept, orphan, draw_slot()):  # noted already; not yet noted; not even defined
        if left is orphan:
            assert define_secret(store.tools, orphan) is not None
        (folder / MAKING_NAME).write_bytes(encode_slot(left))
        (folder / MAKING_NAME).chmod(0o600)
        store.create("b")
        store.destroy("b")
        assert tpm.places() == before
    assert not (folder / MAKING_NAME).exists()
    store.open("a").sign(b"message")
    assert store.open("a").public_key_der() == signer.public_key_der()


def test_a_place_of_somebody_else_is_left_alone(
    tpm: SoftTpm, store: TpmKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = draw_slot()
    assert define_secret(store.tools, theirs) is not None
    ours = NvSlot(theirs.index, draw_slot().auth)
    undefine(store.tools, ours)
    assert theirs.index in tpm.places()
    with pytest.raises(TpmRefusedError) as error:
        read_secret(store.tools, ours)
    assert error.value.rc == 0x0A2
    draws = iter([ours, draw_slot(), draw_slot()])
    monkeypatch.setattr("edge.attest.keystore_tpm.draw_slot", lambda: next(draws))
    store.create("a").sign(b"message")  # the second draw
    monkeypatch.setattr("edge.attest.keystore_tpm.draw_slot", lambda: ours)
    with pytest.raises(SetupError) as full:
        store.create("b")
    assert code_of(full) == "KEY_STORE_FULL"
    assert read_secret(store.tools, theirs) is not None
    undefine(store.tools, theirs)
    assert theirs.index not in tpm.places()


def wrong_tries(tpm: SoftTpm) -> str:
    """What the TPM has counted towards its lock-out."""
    lines = tpm.tool("tpm2_getcap", "properties-variable").splitlines()
    return next(line for line in lines if "LOCKOUT_COUNTER" in line)


@pytest.mark.parametrize(
    "form",
    [
        ("--size", "32", "--index-auth", "theirs", "--attributes", "authread|authwrite"),
        ("--size", "32", "--attributes", "ownerread|ownerwrite|no_da"),
        ("--size", "8", "--index-auth", "theirs", "--attributes", "authread|authwrite|no_da"),
        ("--index-auth", "theirs", "--attributes", "nt=counter|authread|authwrite|no_da"),
    ],
)
def test_a_cut_at_a_place_of_somebody_else_blocks_nothing(
    tpm: SoftTpm, store: TpmKeyStore, form: tuple[str, ...]
) -> None:
    """The power went right after the draw of a place that was taken; nobody's lock-out is counted up."""
    theirs, before = draw_slot(), wrong_tries(tpm)
    tpm.tool("tpm2_nvdefine", hex(theirs.index), "--hierarchy", "o", *form)
    making = store._folder / MAKING_NAME
    making.parent.mkdir(exist_ok=True)
    making.write_bytes(encode_slot(theirs))
    making.chmod(0o600)
    store.create("a").sign(b"message")
    assert not making.exists()
    assert theirs.index in tpm.places()
    assert wrong_tries(tpm) == before


def test_objects_and_sessions_that_others_left_are_cleared_away(tpm: SoftTpm, store: TpmKeyStore) -> None:
    for _ in range(3):
        assert tpm.send(START_AUTH_SESSION)[6:10] == bytes(4)  # as a tool that was killed leaves it
    assert tpm.send(START_AUTH_SESSION)[6:10] == struct.pack(">I", 0x903)
    signer = store.create("a")
    for _ in range(5):
        signer.sign(b"message")


def test_a_tpm_that_does_not_answer_ends_in_time(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as control:
        for listener, name in ((server, "tpm"), (control, "tpm.ctrl")):
            listener.bind(str(tmp_path / name))
            listener.listen()
        tools = TpmTools(f"swtpm:path={tmp_path}/tpm", lock=tmp_path / "lock")
        with pytest.raises(SetupError) as error:
            tools.run("tpm2_getcap", "properties-fixed", timeout_s=0.3)
    assert code_of(error) == "KEY_STORE_AWAY"


@pytest.mark.parametrize("path", ["", "/nonexistent"])
def test_tools_that_are_not_installed_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("PATH", path)
    with pytest.raises(SetupError) as error:
        TpmKeyStore.open_store(tmp_path, tcti="device:/dev/null")
    assert code_of(error) == "KEY_STORE_AWAY"
    assert "tpm2-tools" in error.value.hint


def test_a_tpm_whose_owner_has_a_password_is_said(tmp_path: Path) -> None:
    with soft_tpm() as tpm:
        store = TpmKeyStore.open_store(tmp_path / "device", tcti=tpm.tcti)
        tpm.tool("tpm2_changeauth", "-Q", "-c", "o", "password")
        with pytest.raises(SetupError) as error:
            store.create("a")
        assert code_of(error) == "KEY_STORE_REFUSED"
        assert "0x0a2" in error.value.message
        tpm.tool("tpm2_changeauth", "-Q", "-c", "o", "-p", "password")
        store.create("a").sign(b"message")


def test_a_cleared_tpm_opens_nothing_and_can_begin_anew(tmp_path: Path) -> None:
    with soft_tpm() as tpm:
        store = TpmKeyStore.open_store(tmp_path / "device", tcti=tpm.tcti)
        signer = store.create("a")
        wrapped = store.wrap(SECRET, label="a")
        tpm.tool("tpm2_clear", "-Q", "-c", "p")
        for action in (
            lambda: signer.sign(b"message"),
            lambda: store.open("a"),
            lambda: store.unwrap(wrapped, label="a"),
        ):
            with pytest.raises(SetupError) as error:
                action()
            assert code_of(error) == "KEY_UNREADABLE"
        store.destroy("a")
        store.create("a").sign(b"message")
        assert store.unwrap(store.wrap(SECRET, label="a"), label="a") == SECRET


def test_a_signature_needs_the_keys_own_authorisation(store: TpmKeyStore) -> None:
    store.create("a")
    loaded = store.load("a")
    arguments = ("--key-context", Given(loaded.context), "--scheme", "ecdsa", "--signature", "/dev/null")
    for auth in ((), ("--auth", authorised_by("0" * 32))):
        with pytest.raises(TpmRefusedError) as error:
            store.tools.run("tpm2_sign", *arguments, *auth, "--digest", Given(bytes(32)))
        assert error.value.rc == 0x0A2


def test_limits_of_places() -> None:
    slots = [draw_slot() for _ in range(100)]
    assert all(0x01800000 <= slot.index <= 0x01BFFFFF for slot in slots)
    assert len({slot.auth for slot in slots}) == 100
    assert all(0x01800000 <= counter_index(f"counter-{number}") <= 0x01BFFFFF for number in range(1000))
    assert not {slot.index for slot in slots} & {counter_index(f"counter-{number}") for number in range(1000)}
    assert sized(b"abc") == b"\x00\x03abc"
