"""The outbox's data key: made once, and wrapped where the first version of the program kept it as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge.attest.keystore_software import SoftwareKeyStore
from edge.errors import SetupError, StorageError
from edge.files import destroy_file
from edge.outbox import vault as vault_module
from edge.outbox.vault import open_vault
from edge.vault import KEY_BYTES, NONCE_BYTES

OLD_KEY = bytes(range(32))


class PowerCut(BaseException):
    """Nothing after this runs."""


@pytest.fixture
def store(tmp_path: Path) -> SoftwareKeyStore:
    return SoftwareKeyStore.open_store(tmp_path / "identity", environ={})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "outbox").mkdir()
    return tmp_path / "outbox" / "outbox.sqlite.key"


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises((StorageError, SetupError)) as caught:
        action()
    assert caught.value.hint
    return caught.value.code


def old_file(path: Path) -> None:
    """As the first version kept it."""
    path.write_bytes(OLD_KEY)
    path.chmod(0o600)


def sealed_by_the_first_version(plaintext: bytes) -> bytes:
    nonce = bytes(NONCE_BYTES)
    return nonce + AESGCM(OLD_KEY).encrypt(nonce, plaintext, b"a")


def everything_on_disk(folder: Path) -> bytes:
    return b"|".join(item.read_bytes() for item in folder.rglob("*") if item.is_file())


def test_the_key_is_made_only_where_it_may_be(store: SoftwareKeyStore, path: Path) -> None:
    assert code_of(lambda: open_vault(path, key_store=store, create=False)) == "DATA_KEY_MISSING"
    sealed = open_vault(path, key_store=store, create=True).seal(b"personal", label="a")
    for create in (False, True):
        vault = open_vault(path, key_store=store, create=create)
        assert vault.unseal(sealed, label="a") == b"personal"


def test_a_folder_that_is_not_there_is_told(store: SoftwareKeyStore, path: Path) -> None:
    missing = path.parent / "gone" / path.name
    assert code_of(lambda: open_vault(missing, key_store=store, create=True)) == "DATA_KEY_UNREADABLE"


def test_a_key_of_the_first_version_survives_a_cut_at_every_step(
    store: SoftwareKeyStore, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = sealed_by_the_first_version(b"personal")
    steps = ("wrap", "sync_folder", "write_private", "destroy_file", "none")

    def cut(*_arguments: object, **_options: object) -> None:
        raise PowerCut

    for step in steps:
        for item in path.parent.iterdir():
            item.unlink()
        old_file(path)
        with monkeypatch.context() as patch:
            if step == "wrap":
                patch.setattr(store, "wrap", cut)
            elif step != "none":
                patch.setattr(vault_module, step, cut)
            try:
                open_vault(path, key_store=store, create=False)
            except PowerCut:
                assert step != "none"
        vault = open_vault(path, key_store=store, create=False)
        assert vault.unseal(sealed, label="a") == b"personal"
        assert OLD_KEY not in everything_on_disk(tmp_path)
        assert {item.name for item in path.parent.iterdir()} == {path.name, f"{path.name}.lock"}


def test_the_old_bytes_are_overwritten_not_only_unnamed(store: SoftwareKeyStore, path: Path) -> None:
    old_file(path)
    witness = path.with_name("witness")
    witness.hardlink_to(path)
    open_vault(path, key_store=store, create=False)
    assert len(witness.read_bytes()) == KEY_BYTES
    assert witness.read_bytes() != OLD_KEY


def test_a_store_that_does_not_give_back_what_it_wrapped_keeps_the_old_key(
    store: SoftwareKeyStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_file(path)
    monkeypatch.setattr(store, "unwrap", lambda _wrapped, label: b"another")
    assert code_of(lambda: open_vault(path, key_store=store, create=False)) == "DATA_KEY_UNREADABLE"
    assert path.read_bytes() == OLD_KEY


def test_a_wipe_in_the_middle_of_the_change_leaves_nothing(
    store: SoftwareKeyStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_arguments: object) -> None:
        raise PowerCut

    old_file(path)
    with monkeypatch.context() as patch:
        patch.setattr(vault_module, "destroy_file", cut)
        with pytest.raises(PowerCut):
            open_vault(path, key_store=store, create=False)
    assert OLD_KEY in everything_on_disk(path.parent)
    for item in path.parent.glob(f"{path.name}*"):  # as a wipe does
        destroy_file(item)
    assert OLD_KEY not in everything_on_disk(path.parent)
    assert code_of(lambda: open_vault(path, key_store=store, create=False)) == "DATA_KEY_MISSING"
