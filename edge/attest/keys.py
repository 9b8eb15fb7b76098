"""Device keys behind ``edge.ports.Signer``. Here: in software, in an encrypted file.

The file is a PKCS#8 private key (RFC 5958), encrypted under the device secret: 32 random bytes in a
file of their own, so that a copied key file alone is worthless. Where systemd hands the secret over
as a credential (systemd.exec(5), LoadCredential=), that one is used and nothing is written.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from edge.errors import SetupError
from edge.files import OTHERS, NotPrivateError, create_private, read_private
from edge.model import KeyProtection

SECRET_BYTES = 32
SECRET_NAME = "device-secret"  # noqa: S105 - a file's name
CREDENTIAL_NAME = "verifield-device-secret"
MAX_KEY_FILE_BYTES = 16 * 1024
"""An encrypted P-256 key has about 400 bytes; a large file is not one."""

_CREDENTIAL_REFUSES = 0o007
"""systemd grants the service's user access by an ACL, which shows as a group bit."""


class SoftwareSigner:
    """A P-256 key that lies encrypted in a file and in this process's memory."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @classmethod
    def create(cls, path: Path, *, secret: bytes) -> SoftwareSigner:
        """Make a new key and keep it at ``path``, where no key may be yet.

        Raises:
            SetupError: KEY_EXISTS, or KEY_UNWRITABLE.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        encoded = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(_passphrase(secret)),
        )
        _create(path, encoded)
        return cls(key)

    @classmethod
    def open(cls, path: Path, *, secret: bytes) -> SoftwareSigner:
        """Open the key at ``path``.

        Raises:
            SetupError: KEY_MISSING, KEY_UNREADABLE (damaged, or another secret) or KEY_PERMISSIONS.
        """
        return cls(open_private_key(path, secret=secret))

    @property
    def protection(self) -> KeyProtection:
        return KeyProtection.SOFTWARE

    def public_key_der(self) -> bytes:
        return self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message, ec.ECDSA(SHA256()))


def open_private_key(path: Path, *, secret: bytes) -> ec.EllipticCurvePrivateKey:
    """Decrypt the P-256 key at ``path``; errors as :meth:`SoftwareSigner.open`."""
    data = _read(path, max_bytes=MAX_KEY_FILE_BYTES)
    try:
        key = serialization.load_pem_private_key(data, _passphrase(secret))
    except (ValueError, TypeError):
        raise _unreadable(path, "it is damaged, or was made with another device secret") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _unreadable(path, "it is not a P-256 key")
    return key


def open_or_create_secret(folder: Path, *, environ: Mapping[str, str]) -> bytes:
    """Return the device secret, made now where there is none; errors as :func:`open_secret`."""
    path = folder / SECRET_NAME
    if credential_path(environ) is None and not path.exists():
        _create(path, secrets.token_bytes(SECRET_BYTES))
    return open_secret(folder, environ=environ)


def open_secret(folder: Path, *, environ: Mapping[str, str]) -> bytes:
    """Return the device secret: systemd's credential where there is one, else the file in ``folder``.

    Raises:
        SetupError: KEY_MISSING, KEY_UNREADABLE or KEY_PERMISSIONS.
    """
    credential = credential_path(environ)
    if credential is None:
        path = folder / SECRET_NAME
        secret = _read(path, max_bytes=SECRET_BYTES)
    else:
        path = credential
        secret = _read(path, max_bytes=SECRET_BYTES, refuse=_CREDENTIAL_REFUSES)
    if len(secret) != SECRET_BYTES:
        raise _unreadable(path, f"a device secret has {SECRET_BYTES} bytes")
    return secret


def credential_path(environ: Mapping[str, str]) -> Path | None:
    """Where systemd put the device secret, or None where it did not."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder) / CREDENTIAL_NAME if folder else None
    return path if path is not None and path.exists() else None


def _passphrase(secret: bytes) -> bytes:
    """PKCS#8 tools treat passphrases as text, so the secret enters as hexadecimal digits."""
    return secret.hex().encode()


def _create(path: Path, data: bytes) -> None:
    try:
        create_private(path, data)
    except FileExistsError:
        raise SetupError(
            "KEY_EXISTS",
            f"There is a key at {path} already.",
            hint="Keys are never overwritten: move the old one away first.",
        ) from None
    except OSError as error:
        raise SetupError(
            "KEY_UNWRITABLE",
            f"The key file {path} cannot be written: {error.strerror or error}.",
            hint="Check that the folder exists, belongs to you and has space.",
        ) from None


def _read(path: Path, *, max_bytes: int, refuse: int = OTHERS) -> bytes:
    try:
        return read_private(path, max_bytes=max_bytes, refuse=refuse)
    except FileNotFoundError:
        raise SetupError(
            "KEY_MISSING",
            f"The key file {path} is missing.",
            hint="Restore it from where it was, or enrol the device anew.",
        ) from None
    except NotPrivateError:
        raise SetupError(
            "KEY_PERMISSIONS",
            f"The key file {path} can be read by others.",
            hint=f"Find out who read it; then run: chmod 600 {path}",
        ) from None
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from None


def _unreadable(path: Path, why: str) -> SetupError:
    return SetupError(
        "KEY_UNREADABLE",
        f"The key file {path} cannot be used: {why}.",
        hint="Restore it from where it was, or enrol the device anew.",
    )
