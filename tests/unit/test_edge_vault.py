"""The vault: what it seals opens only in its place, and its key never lies open on the disk."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from edge.attest.keystore_software import SoftwareKeyStore
from edge.errors import SetupError, StorageError
from edge.vault import KEY_BYTES, MAX_WRAPPED_BYTES, Vault

PURPOSE = "test data key"


@pytest.fixture
def store(tmp_path: Path) -> SoftwareKeyStore:
    return SoftwareKeyStore.open_store(tmp_path / "identity", environ={})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "data.key"


@pytest.fixture
def vault(store: SoftwareKeyStore, path: Path) -> Vault:
    """With a key."""
    vault = Vault(path, store, purpose=PURPOSE)
    vault.create()
    return vault


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises((StorageError, SetupError)) as caught:
        action()
    assert caught.value.hint
    return caught.value.code


def everything_on_disk(folder: Path) -> bytes:
    return b"|".join(item.read_bytes() for item in folder.rglob("*") if item.is_file())


def test_a_blob_opens_only_in_its_place_and_unchanged(
    store: SoftwareKeyStore, path: Path, vault: Vault
) -> None:
    sealed = vault.seal(b"personal", label="records/1")
    assert b"personal" not in sealed
    assert vault.seal(b"personal", label="records/1") != sealed
    reopened = Vault(path, store, purpose=PURPOSE)
    assert reopened.unseal(sealed, label="records/1") == b"personal"
    changed = bytes([sealed[0] ^ 1]) + sealed[1:]
    for blob, label in ((sealed, "records/2"), (changed, "records/1"), (sealed[:-1], "records/1"), (b"", "")):
        assert code_of(lambda blob=blob, label=label: reopened.unseal(blob, label=label)) == "DATA_KEY_WRONG"


def test_a_key_serves_its_own_purpose_alone(store: SoftwareKeyStore, path: Path, vault: Vault) -> None:
    assert code_of(Vault(path, store, purpose="another").unlock) == "DATA_KEY_WRONG"


def test_the_key_is_made_once_wrapped_and_private(store: SoftwareKeyStore, path: Path) -> None:
    vault = Vault(path, store, purpose=PURPOSE)
    for use in (vault.unlock, lambda: vault.seal(b"x", label="a"), lambda: vault.pseudonym(b"x")):
        assert code_of(use) == "DATA_KEY_MISSING"
    vault.create()
    content = path.read_bytes()
    Vault(path, store, purpose=PURPOSE).create()
    assert path.read_bytes() == content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = store.unwrap(content, label=PURPOSE)
    assert len(key) == KEY_BYTES
    vault.unlock()
    assert key not in everything_on_disk(path.parents[1])


def test_threads_that_begin_together_have_one_key(store: SoftwareKeyStore, path: Path) -> None:
    barrier = threading.Barrier(4)

    def begin(_number: int) -> bytes:
        barrier.wait()
        vault = Vault(path, store, purpose=PURPOSE)
        vault.create()
        return vault.seal(b"x", label="a")

    with ThreadPoolExecutor(4) as pool:
        sealed = list(pool.map(begin, range(4)))
    vault = Vault(path, store, purpose=PURPOSE)
    assert [vault.unseal(blob, label="a") for blob in sealed] == [b"x"] * 4


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 32, b"x" * 100, b"x" * MAX_WRAPPED_BYTES])
def test_a_file_that_is_no_key_is_refused(store: SoftwareKeyStore, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
    vault = Vault(path, store, purpose=PURPOSE)
    vault.create()
    assert code_of(vault.unlock) == "DATA_KEY_WRONG"
    assert path.read_bytes() == content


def test_limits_and_permissions(store: SoftwareKeyStore, path: Path) -> None:
    vault = Vault(path, store, purpose=PURPOSE)
    path.write_bytes(b"x" * (MAX_WRAPPED_BYTES + 1))
    path.chmod(0o600)
    assert code_of(vault.unlock) == "DATA_KEY_UNREADABLE"
    path.chmod(0o640)
    assert code_of(vault.unlock) == "DATA_KEY_PERMISSIONS"
    path.write_bytes(store.wrap(b"short", label=PURPOSE))
    path.chmod(0o600)
    assert code_of(vault.unlock) == "DATA_KEY_UNREADABLE"
    path.unlink()
    path.mkdir()
    assert code_of(vault.unlock) == "DATA_KEY_UNREADABLE"
    assert code_of(Vault(path / "gone" / "key", store, purpose=PURPOSE).create) == "DATA_KEY_UNREADABLE"


def test_destroying_is_for_ever(store: SoftwareKeyStore, path: Path, vault: Vault) -> None:
    sealed = vault.seal(b"personal", label="a")
    content = path.read_bytes()
    path.with_name(path.name + ".copy").hardlink_to(path)
    vault.destroy()
    vault.destroy()  # there is none
    assert content not in everything_on_disk(path.parent)
    assert code_of(lambda: vault.unseal(sealed, label="a")) == "DATA_KEY_MISSING", "not kept in memory either"
    vault.create()
    assert code_of(lambda: vault.unseal(sealed, label="a")) == "DATA_KEY_WRONG"


def test_a_key_file_that_cannot_be_overwritten_is_told(store: SoftwareKeyStore, path: Path) -> None:
    path.mkdir()
    assert code_of(Vault(path, store, purpose=PURPOSE).destroy) == "DATA_KEY_UNREADABLE"


def test_a_key_store_that_is_away_is_no_wrong_key(
    store: SoftwareKeyStore, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_wrapped: bytes, *, label: str) -> bytes:
        raise SetupError("KEY_STORE_AWAY", f"No {label}.", hint="Plug it in.")

    with monkeypatch.context() as patch:
        patch.setattr(store, "unwrap", away)
        assert code_of(vault.unlock) == "KEY_STORE_AWAY"
    vault.unlock()


def test_pseudonyms_are_of_one_key(store: SoftwareKeyStore, path: Path, vault: Vault) -> None:
    name = vault.pseudonym(b"990000199001019990")
    assert name == Vault(path, store, purpose=PURPOSE).pseudonym(b"990000199001019990")
    assert name != vault.pseudonym(b"990000199001019991")
    other = Vault(path.with_name("other.key"), store, purpose=PURPOSE)
    other.create()
    assert name != other.pseudonym(b"990000199001019990")
