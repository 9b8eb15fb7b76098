"""The service's keys as files: written whole and durably, for the service's own user alone.

A key that is made beside older ones gets its file first and its certificate after: a start that breaks
off in between leaves a key without a certificate, which the next start completes. A certificate
without its key means that the key was lost.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

ServiceKey = ec.EllipticCurvePrivateKey | Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Credential:
    """A key with its certificate."""

    key: ServiceKey
    certificate: x509.Certificate

    def key_pem(self) -> bytes:
        """PKCS#8, not encrypted."""
        return _key_pem(self.key)


def load_credential(keys: Path, name: str) -> Credential:
    """Load a key with its certificate.

    Raises:
        OSError, ValueError, TypeError: one is missing, damaged, or of another pair.
    """
    key = load_service_key(keys, name)
    certificate = x509.load_pem_x509_certificate((keys / f"{name}.pem").read_bytes())
    if key.public_key() != certificate.public_key():
        raise ValueError("a key and its certificate do not belong together")
    return Credential(key, certificate)


def load_service_key(keys: Path, name: str) -> ServiceKey:
    """Load a key alone; errors as :func:`load_credential`."""
    key = serialization.load_pem_private_key((keys / f"{name}.key").read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise TypeError("a service key is of another kind")
    return key


def save_credential(keys: Path, name: str, credential: Credential) -> None:
    """Write the key, then the certificate."""
    write_private(keys / f"{name}.key", credential.key_pem())
    write_private(keys / f"{name}.pem", certificates_pem([credential.certificate]))


def open_x25519(keys: Path, name: str) -> X25519PrivateKey:
    """Load a key for encryption, made now where there never was one.

    Raises:
        OSError, ValueError, TypeError: it was lost, is damaged, or is of another kind.
    """
    path, public = keys / f"{name}.key", keys / f"{name}.pub"
    if not path.exists():
        if public.exists():
            raise FileNotFoundError(path)
        write_private(path, _key_pem(X25519PrivateKey.generate()))
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, X25519PrivateKey):
        raise TypeError("a key for encryption is of another kind")
    encoded = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    if not public.exists():
        write_private(public, encoded)
    if public.read_bytes() != encoded:
        raise ValueError("a private and a public key do not belong together")
    return key


def certificates_pem(certificates: Sequence[x509.Certificate]) -> bytes:
    """One PEM file."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def write_private(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a file whole or not at all, durably, never readable by others in between."""
    write_whole(path, [data], mode=mode)


def write_whole(path: Path, pieces: Iterable[bytes], *, mode: int = 0o600) -> None:
    """As :func:`write_private`, for what comes in pieces; what a kill leaves beside it begins with a dot."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable: a file that was synced is lost when its name is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs; who else asks for it waits."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _key_pem(key: ServiceKey | X25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
