"""Device keys in software: encrypted files, behind ``edge.ports.Signer``.

The file is a PKCS#8 private key (RFC 5958), encrypted under the device secret: 32 random bytes in a
file of their own, so that a copied key file alone is worthless. Where systemd hands the secret over
as a credential (systemd.exec(5), LoadCredential=), that one is used and nothing is written.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from edge.attest.keystore_rules import key_exists, key_missing, key_unreadable, key_unwritable
from edge.errors import SetupError
from edge.files import (
    OTHERS,
    NotPrivateError,
    create_private,
    destroy_file,
    locked,
    make_private_folder,
    read_private,
)
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
        create_key_file(path, encoded)
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
    data = read_key_file(path, max_bytes=MAX_KEY_FILE_BYTES)
    try:
        key = serialization.load_pem_private_key(data, _passphrase(secret))
    except (ValueError, TypeError):
        raise key_unreadable(str(path), "it is damaged, or was made with another device secret") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise key_unreadable(str(path), "it is not a P-256 key")
    return key


def open_or_create_secret(folder: Path, *, environ: Mapping[str, str]) -> bytes:
    """Return the device secret, made now where there is none; errors as :func:`open_secret`."""
    if credential_path(environ, CREDENTIAL_NAME) is None:
        create_secret_file(folder / SECRET_NAME)
    return open_secret(folder, environ=environ)


def open_secret(folder: Path, *, environ: Mapping[str, str]) -> bytes:
    """Return the device secret: systemd's credential where there is one, else the file in ``folder``.

    Raises:
        SetupError: KEY_MISSING, KEY_UNREADABLE or KEY_PERMISSIONS.
    """
    credential = credential_path(environ, CREDENTIAL_NAME)
    if credential is None:
        return read_secret_file(folder / SECRET_NAME)
    return read_secret_file(credential, refuse=_CREDENTIAL_REFUSES)


def credential_path(environ: Mapping[str, str], name: str) -> Path | None:
    """Where systemd put the credential ``name``, or None where it did not."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder) / name if folder else None
    return path if path is not None and is_there(path) else None


def is_there(path: Path) -> bool:
    """Say whether there is a file at ``path``.

    Raises:
        SetupError: KEY_UNREADABLE, it cannot be known.
    """
    try:
        return path.exists()
    except OSError as error:
        raise key_unreadable(str(path), error.strerror or str(error)) from None


@contextmanager
def taking_turns(lock: Path) -> Iterator[None]:
    """Hold the lock file, made with its folder where there is none, while the block runs.

    Raises:
        SetupError: KEY_UNWRITABLE.
    """
    with ExitStack() as stack:
        try:
            make_private_folder(lock.parent)
            stack.enter_context(locked(lock))
        except OSError as error:
            raise key_unwritable(lock, error) from None
        yield


def create_secret_file(path: Path) -> None:
    """Make 32 random bytes at ``path`` where there is nothing; another process's are as good.

    Raises:
        SetupError: KEY_UNWRITABLE.
    """
    if is_there(path):
        return
    try:
        create_private(path, secrets.token_bytes(SECRET_BYTES))
    except FileExistsError:
        return
    except OSError as error:
        raise key_unwritable(path, error) from None


def read_secret_file(path: Path, *, refuse: int = OTHERS) -> bytes:
    """Return the 32 bytes at ``path``; errors as :func:`open_secret`."""
    secret = read_key_file(path, max_bytes=SECRET_BYTES, refuse=refuse)
    if len(secret) != SECRET_BYTES:
        raise key_unreadable(str(path), f"a device secret has {SECRET_BYTES} bytes")
    return secret


def create_key_file(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path``, whole or not at all.

    Raises:
        SetupError: KEY_EXISTS, or KEY_UNWRITABLE.
    """
    try:
        create_private(path, data)
    except FileExistsError:
        raise key_exists(str(path)) from None
    except OSError as error:
        raise key_unwritable(path, error) from None


def read_key_file(path: Path, *, max_bytes: int, refuse: int = OTHERS) -> bytes:
    """Return the file's bytes.

    Raises:
        SetupError: KEY_MISSING, KEY_UNREADABLE or KEY_PERMISSIONS (a bit in ``refuse`` is set).
    """
    try:
        return read_private(path, max_bytes=max_bytes, refuse=refuse)
    except FileNotFoundError:
        raise key_missing(str(path)) from None
    except NotPrivateError:
        raise SetupError(
            "KEY_PERMISSIONS",
            f"The key file {path} can be read by others.",
            hint=f"Find out who read it; then run: chmod 600 {path}",
        ) from None
    except OSError as error:
        raise key_unreadable(str(path), error.strerror or str(error)) from None


def destroy_key_file(path: Path) -> None:
    """Overwrite and remove the file at ``path``; no fault where there is none.

    Raises:
        SetupError: KEY_UNWRITABLE.
    """
    try:
        destroy_file(path)
    except OSError as error:
        raise key_unwritable(path, error) from None


def _passphrase(secret: bytes) -> bytes:
    """PKCS#8 tools treat passphrases as text, so the secret enters as hexadecimal digits."""
    return secret.hex().encode()
