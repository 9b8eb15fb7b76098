"""The key store in a PKCS#11 token (2.40): smart card, USB token, HSM; SoftHSM2 in tests.

In the token: key pairs ``verifield key <name>`` on P-256, born there, sensitive and not extractable; and
one AES-256 key, ``verifield wrapping``. Signatures are CKM_ECDSA over a digest made here.

Wrapping uses CKM_AES_CBC, since every token that knows AES has it, while CKM_AES_GCM is missing from
many: the token encrypts 32 random bytes, from which the key of the AEAD around the secret is derived
(HKDF). A changed ciphertext gives other bytes, hence another key, and the AEAD does not open.

    folder/
      pkcs11.lock     creating and destroying take turns, since labels in a token are not unique
      pin-refused     a digest of a PIN that the token refused
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pkcs11.constants import Attribute, MechanismFlag, ObjectClass
from pkcs11.exceptions import AttributeTypeInvalid
from pkcs11.mechanisms import KeyType, Mechanism
from pkcs11.util.ec import encode_named_curve_parameters

from edge.attest.keys import credential_path, read_key_file, taking_turns
from edge.attest.keystore_pkcs11_module import Session, TokenAccess, TokenModule, open_module
from edge.attest.keystore_rules import (
    KEY_BYTES,
    check_name,
    derive_key,
    key_exists,
    key_missing,
    key_unreadable,
    key_unwritable,
    parse_head,
    seal_secret,
    unseal_secret,
    wrapped_unreadable,
)
from edge.errors import SetupError
from edge.files import OTHERS, make_private_folder
from edge.model import KeyProtection

PIN_CREDENTIAL = "verifield-pkcs11-pin"
MAX_PIN_BYTES = 255
"""Tokens take 4 to 255 characters at most (SoftHSM2's limit; smart cards take fewer)."""
LOCK_NAME = "pkcs11.lock"

_CREDENTIAL_REFUSES = 0o007  # see edge.attest.keys
_POINT_BYTES = 65
_OCTET_STRING = bytes([0x04, _POINT_BYTES])
_IV_BYTES = 16
_HEAD_BYTES = _IV_BYTES + KEY_BYTES
_MAGIC = b"VKP1"
_WRAPPING_LABEL = "verifield wrapping"
_WRAPPING_INFO = "verifield PKCS#11 key store, wrapping, v1"
_HIDDEN = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
_PROTECTED = {
    **_HIDDEN,
    Attribute.ALWAYS_SENSITIVE: True,
    Attribute.NEVER_EXTRACTABLE: True,
    Attribute.LOCAL: True,  # made in the token, not brought in
}

Result = TypeVar("Result")


class Pkcs11Signer:
    """A key in the token; any number of threads may use it."""

    def __init__(self, store: Pkcs11KeyStore, name: str, public_key_der: bytes) -> None:
        self._store = store
        self._name = name
        self._public_key_der = public_key_der

    @property
    def protection(self) -> KeyProtection:
        return KeyProtection.PKCS11

    def public_key_der(self) -> bytes:
        return self._public_key_der

    def sign(self, message: bytes) -> bytes:
        digest = hashlib.sha256(message).digest()

        def sign(session: Session) -> bytes:
            return bytes(_private_key(session, self._name).sign(digest, mechanism=Mechanism.ECDSA))

        raw = self._store.call(sign)
        half = len(raw) // 2
        return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))


class Pkcs11KeyStore:
    """Keys in one token."""

    def __init__(self, module: TokenModule, access: TokenAccess) -> None:
        self._module = module
        self._access = access

    @classmethod
    def open_store(
        cls,
        folder: Path,
        *,
        module: Path,
        token: str,
        pin_file: Path | None,
        environ: Mapping[str, str] | None = None,
    ) -> Pkcs11KeyStore:
        """Log in to the token labelled ``token`` with the PIN in ``pin_file``, or systemd's credential.

        Raises:
            SetupError: KEY_STORE_AWAY, KEY_PIN_REFUSED, or KEY_MISSING, KEY_UNREADABLE or KEY_PERMISSIONS
                of the file with the PIN.
        """
        try:
            make_private_folder(folder)
        except OSError as error:
            raise key_unwritable(folder, error) from None
        pin = read_pin(pin_file, environ=os.environ if environ is None else environ)
        store = cls(open_module(module), TokenAccess(token, pin, folder))
        store.call(lambda session: session.token.label)
        return store

    @property
    def protection(self) -> KeyProtection:
        return KeyProtection.PKCS11

    def call(self, action: Callable[[Session], Result]) -> Result:
        """Run ``action`` with a logged-in session; errors as ``TokenModule.call``."""
        return self._module.call(self._access, action)

    def create(self, name: str) -> Pkcs11Signer:
        check_name(name)

        def create(session: Session) -> None:
            if _find(session, ObjectClass.PRIVATE_KEY, _label(name)):
                raise key_exists(f"{_label(name)} in the token {self._access.label}")
            for half in _find(session, ObjectClass.PUBLIC_KEY, _label(name)):
                half.destroy()  # the power went between the halves of a pair
            parameters = session.create_domain_parameters(
                KeyType.EC, {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}, local=True
            )
            parameters.generate_keypair(
                id=secrets.token_bytes(16),
                label=_label(name),
                store=True,
                capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
                private_template=_HIDDEN,
            )

        with self._changing():
            self.call(create)
        return self.open(name)

    def open(self, name: str) -> Pkcs11Signer:
        check_name(name)

        def read(session: Session) -> bytes:
            _private_key(session, name)
            halves = _find(session, ObjectClass.PUBLIC_KEY, _label(name))
            if len(halves) != 1:
                raise key_unreadable(_label(name), "its public half is missing from the token")
            return bytes(halves[0][Attribute.EC_POINT])

        return Pkcs11Signer(self, name, _point_to_der(self.call(read), name))

    def destroy(self, name: str) -> None:
        check_name(name)
        self._destroy(_label(name), ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY)

    def wrap(self, secret: bytes, *, label: str) -> bytes:
        seed = secrets.token_bytes(KEY_BYTES)
        vector = secrets.token_bytes(_IV_BYTES)

        def encrypt(session: Session) -> bytes:
            keys = _find(session, ObjectClass.SECRET_KEY, _WRAPPING_LABEL) or [_make_wrapping_key(session)]
            _check_protected(keys[0], _WRAPPING_LABEL)
            return bytes(keys[0].encrypt(seed, mechanism=Mechanism.AES_CBC, mechanism_param=vector))

        with self._changing():
            encrypted = self.call(encrypt)
        key = derive_key(seed, info=_WRAPPING_INFO)
        return seal_secret(secret, key=key, magic=_MAGIC, head=vector + encrypted, label=label)

    def unwrap(self, wrapped: bytes, *, label: str) -> bytes:
        head = parse_head(wrapped, magic=_MAGIC, head_bytes=_HEAD_BYTES)

        def decrypt(session: Session) -> bytes:
            keys = _find(session, ObjectClass.SECRET_KEY, _WRAPPING_LABEL)
            if not keys:
                raise wrapped_unreadable()
            return bytes(
                keys[0].decrypt(
                    head[_IV_BYTES:], mechanism=Mechanism.AES_CBC, mechanism_param=head[:_IV_BYTES]
                )
            )

        key = derive_key(self.call(decrypt), info=_WRAPPING_INFO)
        return unseal_secret(wrapped, key=key, magic=_MAGIC, head_bytes=_HEAD_BYTES, label=label)

    def destroy_wrapping(self) -> None:
        self._destroy(_WRAPPING_LABEL, ObjectClass.SECRET_KEY)

    def _destroy(self, label: str, *classes: ObjectClass) -> None:
        def destroy(session: Session) -> None:
            for kind in classes:
                for found in _find(session, kind, label):
                    found.destroy()

        with self._changing():
            self.call(destroy)

    def _changing(self) -> AbstractContextManager[None]:
        """Take turns with other processes of this device."""
        return taking_turns(self._access.folder / LOCK_NAME)


def read_pin(path: Path | None, *, environ: Mapping[str, str]) -> str:
    """Return the PIN: systemd's credential where there is one, else the first line of the file.

    Raises:
        SetupError: CONFIG_INVALID (neither is named), or as ``read_key_file``.
    """
    credential = credential_path(environ, PIN_CREDENTIAL)
    if credential is not None:
        data = read_key_file(credential, max_bytes=MAX_PIN_BYTES + 1, refuse=_CREDENTIAL_REFUSES)
    elif path is not None:
        data = read_key_file(path, max_bytes=MAX_PIN_BYTES + 1, refuse=OTHERS)
    else:
        raise SetupError(
            "CONFIG_INVALID",
            "The token's PIN is not given.",
            hint=f"Set pkcs11_pin_file, or hand it over as systemd's credential {PIN_CREDENTIAL}.",
        )
    try:
        pin = data.decode().removesuffix("\n")
    except UnicodeDecodeError:
        pin = ""
    if not pin or not pin.isprintable():  # a carriage return, say, would use up one of few tries
        raise key_unreadable(str(credential or path), "it does not hold one line with a PIN")
    return pin


def _label(name: str) -> str:
    return f"verifield key {name}"


def _find(session: Session, kind: ObjectClass, label: str) -> list[Any]:
    """All objects of the kind with the label. Where there are none, the token is asked whether it is there:
    a module may answer from memory about a token that is gone."""
    found = list(session.get_objects({Attribute.CLASS: kind, Attribute.LABEL: label, Attribute.TOKEN: True}))
    if not found:
        session.token.slot.get_token()
    return found


def _private_key(session: Session, name: str) -> Any:
    found = _find(session, ObjectClass.PRIVATE_KEY, _label(name))
    if not found:
        raise key_missing(_label(name))
    if len(found) > 1:
        raise key_unreadable(_label(name), "several in the token have this label")
    _check_protected(found[0], _label(name))
    return found[0]


def _check_protected(key: Any, label: str) -> None:
    """A key that could have been copied is none in hardware, whatever token it lies in.

    Raises:
        SetupError: KEY_UNREADABLE.
    """
    for attribute, wanted in _PROTECTED.items():
        try:
            kept = key[attribute] is wanted
        except AttributeTypeInvalid:
            kept = False
        if not kept:
            raise key_unreadable(label, f"the token does not protect it ({attribute.name})")


def _make_wrapping_key(session: Session) -> Any:
    return session.generate_key(
        KeyType.AES,
        KEY_BYTES * 8,
        label=_WRAPPING_LABEL,
        store=True,
        capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
        template=_HIDDEN,
    )


def _point_to_der(point: bytes, name: str) -> bytes:
    """CKA_EC_POINT is an OCTET STRING in DER; some tokens leave its tag and length out."""
    if len(point) == _POINT_BYTES + len(_OCTET_STRING) and point.startswith(_OCTET_STRING):
        point = point[len(_OCTET_STRING) :]
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise key_unreadable(_label(name), "it is not on P-256") from None
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
