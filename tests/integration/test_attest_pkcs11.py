"""What only a token has: a PIN that must never be tried twice, and halves of keys under labels."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pkcs11.constants import Attribute, MechanismFlag, ObjectClass
from pkcs11.mechanisms import KeyType
from pkcs11.util.ec import encode_named_curve_parameters

from edge.attest.keystore import open_key_store
from edge.attest.keystore_pkcs11 import MAX_PIN_BYTES, PIN_CREDENTIAL, Pkcs11KeyStore, read_pin
from edge.attest.keystore_pkcs11_module import REFUSED_PIN_NAME, TokenAccess, open_module
from edge.config import EdgeConfig
from edge.errors import SetupError
from tests.support.hardware import PIN, SoftHsm, Token, missing, soft_hsm

pytestmark = pytest.mark.skipif(missing("pkcs11") is not None, reason=missing("pkcs11") or "")

SECRET = bytes(range(32))


@pytest.fixture(scope="module")
def hsm() -> Iterator[SoftHsm]:
    with soft_hsm() as hsm:
        yield hsm


@pytest.fixture
def token(hsm: SoftHsm) -> Token:
    return hsm.new_token()


def open_store(hsm: SoftHsm, token: Token, folder: Path, **environ: str) -> Pkcs11KeyStore:
    return Pkcs11KeyStore.open_store(
        folder, module=hsm.module, token=token.label, pin_file=token.pin_file, environ=environ
    )


def code_of(error: pytest.ExceptionInfo[SetupError]) -> str:
    assert error.value.hint
    assert PIN not in str(error.value) + error.value.hint
    return error.value.code


def count_logins(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of the tokens that are asked with a PIN from now on."""
    asked: list[str] = []
    module = open_module(hsm.module)
    find = module._token

    class Counted:
        def __init__(self, token: Any) -> None:
            self.flags = token.flags
            self._token = token

        def open(self, **options: Any) -> Any:
            asked.append(self._token.label)
            return self._token.open(**options)

    monkeypatch.setattr(module, "_token", lambda label: Counted(find(label)))
    return asked


def test_a_wrong_pin_is_tried_once_and_never_again(
    hsm: SoftHsm, token: Token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = count_logins(hsm, monkeypatch)
    token.pin_file.write_text("00000000")
    for _ in range(5):  # as a service does that is started again and again
        with pytest.raises(SetupError) as error:
            open_store(hsm, token, tmp_path)
        assert code_of(error) == "KEY_PIN_REFUSED"
        assert "00000000" not in str(error.value)
    assert asked == [token.label]
    assert b"00000000" not in (tmp_path / REFUSED_PIN_NAME).read_bytes()
    token.pin_file.write_text(PIN)
    open_store(hsm, token, tmp_path).create("a").sign(b"message")
    assert asked == [token.label] * 2
    assert not (tmp_path / REFUSED_PIN_NAME).exists()


def test_another_pin_than_the_one_in_use_is_refused_without_asking(
    hsm: SoftHsm, token: Token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(hsm, token, tmp_path)
    asked = count_logins(hsm, monkeypatch)
    token.pin_file.write_text("00000000")
    with pytest.raises(SetupError) as error:
        open_store(hsm, token, tmp_path)
    assert code_of(error) == "KEY_PIN_REFUSED"
    assert asked == []


def test_a_token_that_is_about_to_lock_itself_is_left_alone(
    hsm: SoftHsm, token: Token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = open_module(hsm.module)
    find = module._token
    for flag in (0x20000, 0x40000):  # CKF_USER_PIN_FINAL_TRY, CKF_USER_PIN_LOCKED

        class Warned:
            def __init__(self, label: str, flag: int = flag) -> None:
                self.flags = type(find(label).flags)(find(label).flags | flag)

            def open(self, **_options: object) -> None:
                raise AssertionError("asked")

        monkeypatch.setattr(module, "_token", Warned)
        with pytest.raises(SetupError) as error:
            open_store(hsm, token, tmp_path)
        assert code_of(error) == "KEY_PIN_REFUSED"
        monkeypatch.undo()


def test_the_pin_comes_from_a_private_file_or_a_credential(tmp_path: Path) -> None:
    path = tmp_path / "pin"
    for content, pin in (("1234", "1234"), ("1234\n", "1234"), ("x" * MAX_PIN_BYTES, "x" * MAX_PIN_BYTES)):
        path.write_text(content)
        path.chmod(0o600)
        assert read_pin(path, environ={}) == pin
    credential = tmp_path / PIN_CREDENTIAL
    credential.write_text("5678")
    credential.chmod(0o440)
    assert read_pin(path, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "5678"
    assert read_pin(None, environ={"CREDENTIALS_DIRECTORY": str(tmp_path)}) == "5678"


@pytest.mark.parametrize(
    ("content", "mode", "code"),
    [
        (b"1234", 0o640, "KEY_PERMISSIONS"),
        (b"1234", 0o604, "KEY_PERMISSIONS"),
        (b"", 0o600, "KEY_UNREADABLE"),
        (b"\n", 0o600, "KEY_UNREADABLE"),
        (b"12\n34", 0o600, "KEY_UNREADABLE"),
        (b"12\0", 0o600, "KEY_UNREADABLE"),
        (b"1234\r\n", 0o600, "KEY_UNREADABLE"),
        (b"\xef\xbb\xbf1234\n", 0o600, "KEY_UNREADABLE"),
        (b"\xff\xff", 0o600, "KEY_UNREADABLE"),
        (b"x" * (MAX_PIN_BYTES + 2), 0o600, "KEY_UNREADABLE"),
    ],
)
def test_a_file_that_holds_no_pin_is_refused(tmp_path: Path, content: bytes, mode: int, code: str) -> None:
    path = tmp_path / "pin"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(SetupError) as error:
        read_pin(path, environ={})
    assert code_of(error) == code


def test_a_pin_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as error:
        read_pin(tmp_path / "pin", environ={})
    assert code_of(error) == "KEY_MISSING"
    with pytest.raises(SetupError) as error:
        read_pin(None, environ={})
    assert code_of(error) == "CONFIG_INVALID"


@pytest.mark.parametrize("absent", ["pkcs11_module", "pkcs11_token"])
def test_a_configuration_without_module_or_token_is_refused(tmp_path: Path, absent: str) -> None:
    values = {"pkcs11_module": "/usr/lib/x.so", "pkcs11_token": "x", "pkcs11_pin_file": "/pin"}
    del values[absent]
    with pytest.raises(SetupError) as error:
        open_key_store(EdgeConfig.model_validate({"key_store": "pkcs11", **values}), tmp_path)
    assert code_of(error) == "CONFIG_INVALID"


def test_a_module_that_does_not_load_is_said(token: Token, tmp_path: Path) -> None:
    for module in (tmp_path / "none.so", token.pin_file):
        with pytest.raises(SetupError) as error:
            Pkcs11KeyStore.open_store(
                tmp_path / "device", module=module, token=token.label, pin_file=token.pin_file, environ={}
            )
        assert code_of(error) == "KEY_STORE_AWAY"


def make_pair(session: Any, label: str, **private: Any) -> tuple[Any, Any]:
    parameters = session.create_domain_parameters(
        KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True
    )
    template = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
    template |= {Attribute[name.upper()]: value for name, value in private.items()}
    public, secret = parameters.generate_keypair(
        label=label,
        store=True,
        capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
        private_template=template,
    )
    return public, secret


def test_keys_are_born_in_the_token_and_stay_there(hsm: SoftHsm, token: Token, tmp_path: Path) -> None:
    store = open_store(hsm, token, tmp_path)
    store.create("a")
    store.wrap(SECRET, label="x")

    def read(session: Any) -> list[dict[str, object]]:
        names = ("SENSITIVE", "EXTRACTABLE", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE", "LOCAL", "PRIVATE")
        found = [
            *session.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY}),
            *session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY}),
        ]
        return [{name: item[Attribute[name]] for name in names} for item in found]

    protected = {
        "SENSITIVE": True,
        "EXTRACTABLE": False,
        "ALWAYS_SENSITIVE": True,
        "NEVER_EXTRACTABLE": True,
        "LOCAL": True,
        "PRIVATE": True,
    }
    assert store.call(read) == [protected, protected]


@pytest.mark.parametrize("weakness", [{"extractable": True}, {"sensitive": False}])
def test_a_key_that_could_be_copied_is_refused(
    hsm: SoftHsm, token: Token, tmp_path: Path, weakness: dict[str, bool]
) -> None:
    store = open_store(hsm, token, tmp_path)
    store.call(lambda session: make_pair(session, "verifield key a", **weakness) and None)
    with pytest.raises(SetupError) as error:
        store.open("a")
    assert code_of(error) == "KEY_UNREADABLE"


def test_halves_that_a_cut_left_do_not_stand_in_the_way(hsm: SoftHsm, token: Token, tmp_path: Path) -> None:
    store = open_store(hsm, token, tmp_path)
    store.call(lambda session: make_pair(session, "verifield key a")[1].destroy())
    with pytest.raises(SetupError) as error:
        store.open("a")
    assert code_of(error) == "KEY_MISSING"
    load_der_public_key(store.create("a").public_key_der())
    store.call(lambda session: make_pair(session, "verifield key b")[0].destroy())
    with pytest.raises(SetupError) as error:
        store.open("b")
    assert code_of(error) == "KEY_UNREADABLE"
    with pytest.raises(SetupError) as error:
        store.create("b")  # a private key is never destroyed by the way
    assert code_of(error) == "KEY_EXISTS"
    store.destroy("b")
    store.create("b").sign(b"message")


def test_two_keys_under_one_label_are_refused(hsm: SoftHsm, token: Token, tmp_path: Path) -> None:
    store = open_store(hsm, token, tmp_path)
    for _ in range(2):
        store.call(lambda session: make_pair(session, "verifield key a") and None)
    with pytest.raises(SetupError) as error:
        store.open("a")
    assert code_of(error) == "KEY_UNREADABLE"
    store.destroy("a")
    store.create("a").sign(b"message")


def test_two_tokens_with_one_label_are_refused(hsm: SoftHsm, token: Token, tmp_path: Path) -> None:
    hsm.new_token(token.label)
    with pytest.raises(SetupError) as error:
        open_store(hsm, token, tmp_path)
    assert code_of(error) == "KEY_STORE_AWAY"


def test_a_call_that_hangs_ends_in_time_and_the_next_one_works(
    hsm: SoftHsm, token: Token, tmp_path: Path
) -> None:
    store = open_store(hsm, token, tmp_path)
    signer = store.create("a")
    access = TokenAccess(token.label, PIN, tmp_path)
    go_on, entered = threading.Event(), threading.Event()

    def hang(_session: Any) -> None:
        entered.set()
        go_on.wait(20)

    try:
        with pytest.raises(SetupError) as error:
            open_module(hsm.module).call(access, hang, timeout_s=0.1)
        assert code_of(error) == "KEY_STORE_AWAY"
        assert entered.is_set()
        never: list[int] = []
        with pytest.raises(SetupError) as error:  # behind it, and given up before its turn
            open_module(hsm.module).call(access, lambda _session: never.append(1), timeout_s=0.1)
        assert code_of(error) == "KEY_STORE_AWAY"
    finally:
        go_on.set()
    signer.sign(b"message")
    assert never == []


def test_a_folder_that_cannot_be_written_is_said(hsm: SoftHsm, token: Token, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SetupError) as error:
        open_store(hsm, token, tmp_path / "file" / "device")
    assert code_of(error) == "KEY_UNWRITABLE"
