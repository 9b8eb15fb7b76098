from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256

from edge.attest.csr import build_csr
from edge.attest.keys import (
    CREDENTIAL_NAME,
    MAX_KEY_FILE_BYTES,
    SECRET_NAME,
    SoftwareSigner,
    open_or_create_secret,
    open_private_key,
    open_secret,
)
from edge.attest.keystore import open_key_store
from edge.attest.keystore_software import SoftwareKeyStore
from edge.config import EdgeConfig
from edge.errors import SetupError
from edge.files import destroy_file
from edge.model import KeyProtection

SECRET = bytes(range(32))


def code_of(error: pytest.ExceptionInfo[SetupError]) -> str:
    assert error.value.hint
    return error.value.code


def verify(signer: SoftwareSigner, signature: bytes, message: bytes) -> None:
    key = serialization.load_der_public_key(signer.public_key_der())
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(signature, message, ec.ECDSA(SHA256()))


def test_a_key_survives_closing_and_opening(tmp_path: Path) -> None:
    made = SoftwareSigner.create(tmp_path / "a.key", secret=SECRET)
    opened = SoftwareSigner.open(tmp_path / "a.key", secret=SECRET)
    assert opened.public_key_der() == made.public_key_der()
    assert opened.protection is KeyProtection.SOFTWARE
    verify(made, opened.sign(b"message"), b"message")


def test_the_file_is_private_and_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    SoftwareSigner.create(path, secret=SECRET)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"ENCRYPTED PRIVATE KEY" in path.read_bytes()
    assert [item.name for item in tmp_path.iterdir()] == ["a.key"]  # nothing temporary is left


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    SoftwareSigner.create(path, secret=SECRET)
    before = path.read_bytes()
    with pytest.raises(SetupError) as error:
        SoftwareSigner.create(path, secret=SECRET)
    assert code_of(error) == "KEY_EXISTS"
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["a.key"]


def test_a_missing_key_is_said(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as error:
        SoftwareSigner.open(tmp_path / "a.key", secret=SECRET)
    assert code_of(error) == "KEY_MISSING"


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as error:
        SoftwareSigner.create(tmp_path / "none" / "a.key", secret=SECRET)
    assert code_of(error) == "KEY_UNWRITABLE"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.key"
    SoftwareSigner.create(path, secret=SECRET)
    path.chmod(mode)
    with pytest.raises(SetupError) as error:
        SoftwareSigner.open(path, secret=SECRET)
    assert code_of(error) == "KEY_PERMISSIONS"


def test_another_secret_does_not_open_it(tmp_path: Path) -> None:
    SoftwareSigner.create(tmp_path / "a.key", secret=SECRET)
    with pytest.raises(SetupError) as error:
        SoftwareSigner.open(tmp_path / "a.key", secret=bytes(32))
    assert code_of(error) == "KEY_UNREADABLE"


@pytest.mark.parametrize("data", [b"", b"rubbish", b"-" * (MAX_KEY_FILE_BYTES + 1)])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.key"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(SetupError) as error:
        SoftwareSigner.open(path, secret=SECRET)
    assert code_of(error) == "KEY_UNREADABLE"


@pytest.mark.parametrize(
    "key", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())]
)
def test_a_key_of_another_kind_is_refused(
    tmp_path: Path, key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
) -> None:
    path = tmp_path / "a.key"
    encryption = serialization.BestAvailableEncryption(SECRET.hex().encode())
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    )
    path.chmod(0o600)
    with pytest.raises(SetupError) as error:
        SoftwareSigner.open(path, secret=SECRET)
    assert code_of(error) == "KEY_UNREADABLE"


def test_the_secret_is_made_once_and_private(tmp_path: Path) -> None:
    first = open_or_create_secret(tmp_path, environ={})
    assert len(first) == 32
    assert open_or_create_secret(tmp_path, environ={}) == first
    assert open_secret(tmp_path, environ={}) == first
    assert stat.S_IMODE((tmp_path / SECRET_NAME).stat().st_mode) == 0o600


def test_a_credential_of_systemd_wins_and_nothing_is_written(tmp_path: Path) -> None:
    credentials, folder = tmp_path / "credentials", tmp_path / "identity"
    credentials.mkdir()
    folder.mkdir()
    (credentials / CREDENTIAL_NAME).write_bytes(SECRET)
    (credentials / CREDENTIAL_NAME).chmod(0o440)  # as systemd's access lists show
    environ = {"CREDENTIALS_DIRECTORY": str(credentials)}
    assert open_or_create_secret(folder, environ=environ) == SECRET
    assert list(folder.iterdir()) == []


def test_a_credential_that_everybody_may_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / CREDENTIAL_NAME).write_bytes(SECRET)
    (tmp_path / CREDENTIAL_NAME).chmod(0o444)
    with pytest.raises(SetupError) as error:
        open_secret(tmp_path, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert code_of(error) == "KEY_PERMISSIONS"


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_secret_of_another_length_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / SECRET_NAME
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    with pytest.raises(SetupError) as error:
        open_secret(tmp_path, environ={})
    assert code_of(error) == "KEY_UNREADABLE"


def test_a_request_proves_possession_through_the_port(tmp_path: Path) -> None:
    signer = SoftwareSigner.create(tmp_path / "a.key", secret=SECRET)
    request = x509.load_der_x509_csr(build_csr(signer))
    assert request.is_signature_valid
    assert not list(request.subject)
    assert (
        request.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        == signer.public_key_der()
    )


def test_software_is_what_the_default_configuration_means(tmp_path: Path) -> None:
    store = open_key_store(EdgeConfig(), tmp_path / "identity")
    assert store.protection is KeyProtection.SOFTWARE
    assert not (tmp_path / "identity").exists()  # opening writes nothing
    store.create("a")
    assert (tmp_path / "identity" / "keys" / "a.key").is_file()


def first_version_identity(folder: Path) -> SoftwareSigner:
    """The files that version 0.1.0 left when it enrolled a device; returns its attestation key."""
    identity = folder / "id-device-1"
    identity.mkdir(parents=True)
    secret = open_or_create_secret(folder, environ={})
    SoftwareSigner.create(identity / "tls.key", secret=secret)
    return SoftwareSigner.create(identity / "attestation.key", secret=secret)


def test_a_key_of_the_first_version_is_adopted(tmp_path: Path) -> None:
    made = first_version_identity(tmp_path)
    old = tmp_path / "id-device-1" / "attestation.key"
    store = SoftwareKeyStore.open_store(tmp_path, environ={})
    for _ in range(2):  # a cut after the first costs nothing
        adopted = store.adopt(old, name="attestation-device-1")
        assert adopted.public_key_der() == made.public_key_der()
    verify(made, store.open("attestation-device-1").sign(b"message"), b"message")
    open_private_key(tmp_path / "id-device-1" / "tls.key", secret=open_secret(tmp_path, environ={}))


def test_adopting_never_replaces_another_key(tmp_path: Path) -> None:
    first_version_identity(tmp_path)
    store = SoftwareKeyStore.open_store(tmp_path, environ={})
    kept = store.create("a")
    with pytest.raises(SetupError) as error:
        store.adopt(tmp_path / "id-device-1" / "attestation.key", name="a")
    assert code_of(error) == "KEY_EXISTS"
    assert store.open("a").public_key_der() == kept.public_key_der()
    with pytest.raises(SetupError) as error:
        store.adopt(tmp_path / "none.key", name="b")
    assert code_of(error) == "KEY_MISSING"


def test_destroying_an_adopted_key_leaves_nothing_under_its_old_name(tmp_path: Path) -> None:
    first_version_identity(tmp_path)
    old = tmp_path / "id-device-1" / "attestation.key"
    before = old.read_bytes()
    store = SoftwareKeyStore.open_store(tmp_path, environ={})
    store.adopt(old, name="a")
    store.destroy("a")
    assert len(old.read_bytes()) == len(before)
    assert not set(before.splitlines()) & set(old.read_bytes().splitlines())


def test_wrapping_hangs_on_both_secrets(tmp_path: Path) -> None:
    credentials, folder = tmp_path / "credentials", tmp_path / "identity"
    credentials.mkdir()
    (credentials / CREDENTIAL_NAME).write_bytes(SECRET)
    (credentials / CREDENTIAL_NAME).chmod(0o400)
    store = SoftwareKeyStore.open_store(folder, environ={"CREDENTIALS_DIRECTORY": str(credentials)})
    wrapped = store.wrap(b"x", label="a")
    assert not (folder / SECRET_NAME).exists()
    assert store.unwrap(wrapped, label="a") == b"x"
    without = SoftwareKeyStore.open_store(folder, environ={})
    with pytest.raises(SetupError) as error:
        without.unwrap(wrapped, label="a")
    assert code_of(error) == "KEY_UNREADABLE"
    store.destroy_wrapping()  # though systemd still holds its part
    with pytest.raises(SetupError) as error:
        store.unwrap(wrapped, label="a")
    assert code_of(error) == "KEY_UNREADABLE"


@pytest.mark.parametrize("name", ["device-secret", "wrapping-secret"])
def test_secrets_that_others_may_read_are_refused(tmp_path: Path, name: str) -> None:
    store = SoftwareKeyStore.open_store(tmp_path, environ={})
    wrapped = store.wrap(b"x", label="a")
    (tmp_path / name).chmod(0o644)
    with pytest.raises(SetupError) as error:
        store.unwrap(wrapped, label="a")
    assert code_of(error) == "KEY_PERMISSIONS"


def test_files_that_a_cut_left_beside_do_not_stand_in_the_way(tmp_path: Path) -> None:
    store = SoftwareKeyStore.open_store(tmp_path, environ={})
    (tmp_path / "keys").mkdir()
    for name in (".device-secret.0011223344556677", ".wrapping-secret.0011223344556677"):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / "keys" / ".a.key.0011223344556677").write_bytes(b"-----BEGIN ENC")
    signer = store.create("a")
    verify(signer, store.open("a").sign(b"message"), b"message")
    assert store.unwrap(store.wrap(b"x", label="a"), label="a") == b"x"


def test_a_file_is_overwritten_before_it_goes(tmp_path: Path) -> None:
    path, other_name = tmp_path / "a", tmp_path / "b"
    path.write_bytes(SECRET)
    other_name.hardlink_to(path)
    destroy_file(path)
    assert not path.exists()
    assert len(other_name.read_bytes()) == 32
    assert other_name.read_bytes() != SECRET
    destroy_file(path)  # there is none
