"""The deployment's own certificate authority and service keys, made at the first start.

    DATA/root.pem            the trust root, for devices, operators and verifiers
    DATA/keys/               0700, files 0600
        root.key root.pem          signs the issuing CA only
        issuing.key issuing.pem    signs the leaves below and those of devices
        server.key server.pem      TLS of both ports
        receipt.key receipt.pem    P-256, signs receipts
        log.key log.pem            Ed25519, signs checkpoints

Leaf certificates that near their end are renewed at start. Those of the receipt and log keys keep
their key and their beginning: a receipt carries the time at which its record became durable, and the
certificate beside it must have been valid then, however often it was renewed since.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from cloud.errors import SetupError
from cloud.layout import ROOT_FILE
from verifield.certificates import Purpose, common_name
from verifield.errors import VerifieldError
from verifield.profile import (
    BACKDATE,
    PublicKey,
    Usage,
    issuing_certificate,
    leaf_certificate,
    root_certificate,
)

CA_LIFETIME = timedelta(days=20 * 365)
"""Records must stay checkable for years after the last device certificate was issued."""

SERVICE_LIFETIME = timedelta(days=5 * 365)
"""Receipt and log certificates."""

SERVER_LIFETIME = timedelta(days=397)
"""TLS server certificate: the longest that common TLS clients accept without complaint."""

ATTESTATION_LIFETIME = timedelta(days=5 * 365)
"""Outlives the longest time that a device may stay offline."""

CLIENT_LIFETIME = timedelta(days=90)
"""TLS client certificate of a device: short, because it opens a door."""

RENEW_FRACTION = 3
"""A service certificate is renewed at start when less than one third of its lifetime remains."""

ServiceKey = ec.EllipticCurvePrivateKey | Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class Credential:
    """A key with its certificate."""

    key: ServiceKey
    certificate: x509.Certificate

    def key_pem(self) -> bytes:
        """PKCS#8, not encrypted."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


class Authority:
    """The opened keys. Everything else asks it for certificates."""

    def __init__(
        self,
        *,
        root: x509.Certificate,
        issuing: Credential,
        server: Credential,
        receipt: Credential,
        log: Credential,
    ) -> None:
        self.root = root
        self._issuing = issuing
        self.server = server
        self.receipt = receipt
        self.log = log

    @classmethod
    def open(cls, data: Path, *, server_names: Sequence[str], now: datetime) -> Authority:
        """Open the keys under ``data``; make them at the first start, renew what nears its end.

        Raises:
            SetupError: files are missing, damaged, not readable, or do not fit together.
        """
        keys = data / "keys"
        try:
            if not keys.exists():
                if (data / ROOT_FILE).exists():
                    raise FileNotFoundError(keys)  # this deployment had keys: never make it another root
                _make_keys(keys, server_names=server_names, now=now)
            root = x509.load_pem_x509_certificate((keys / "root.pem").read_bytes())
            issuing = _load(keys, "issuing")
            authority = cls(
                root=root,
                issuing=issuing,
                server=_renewed_server(keys, issuing, names=server_names, now=now),
                receipt=_renewed(keys, "receipt", issuing, usage=Purpose.RECEIPT, now=now),
                log=_renewed(keys, "log", issuing, usage=Purpose.LOG, now=now),
            )
            write_private(data / ROOT_FILE, authority.root_pem(), mode=0o644)
        except (OSError, ValueError, TypeError, VerifieldError) as error:
            raise SetupError(
                "KEYS_UNUSABLE",
                f"The service's keys in {keys} cannot be used ({type(error).__name__}).",
                hint="Restore the folder from a backup; no device would trust new keys.",
            ) from error
        return authority

    @property
    def receipt_key(self) -> ec.EllipticCurvePrivateKey:
        return _ec(self.receipt.key)

    @property
    def log_key(self) -> Ed25519PrivateKey:
        if not isinstance(self.log.key, Ed25519PrivateKey):
            raise TypeError("the log's key is not an Ed25519 key")
        return self.log.key

    @property
    def log_origin(self) -> str:
        """The log's name, fixed when its key was made."""
        return common_name(self.log.certificate)

    def chain_of(self, certificate: x509.Certificate) -> list[bytes]:
        """``certificate`` and its issuer, DER, leaf first, root left out."""
        return [_der(certificate), _der(self._issuing.certificate)]

    def issue_device(
        self, key: ec.EllipticCurvePublicKey, *, device_id: str, usage: Usage, now: datetime
    ) -> list[bytes]:
        """Return a new certificate chain for a device's attestation or TLS key."""
        lifetime = ATTESTATION_LIFETIME if usage is Purpose.ATTESTATION else CLIENT_LIFETIME
        return self.chain_of(
            _issue(self._issuing, key, name=device_id, usage=usage, now=now, lifetime=lifetime)
        )

    def server_pem(self) -> tuple[bytes, bytes]:
        """Key and chain of the TLS server."""
        return self.server.key_pem(), _pem([self.server.certificate, self._issuing.certificate])

    def root_pem(self) -> bytes:
        return _pem([self.root])


def write_private(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a file whole or not at all, durably, never readable by others in between."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make names in a folder durable: a file that was synced is lost when its name is."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _make_keys(keys: Path, *, server_names: Sequence[str], now: datetime) -> None:
    """Make all keys in a side folder first: a start that breaks off leaves nothing half made."""
    side = Path(tempfile.mkdtemp(dir=keys.parent, prefix=".keys."))  # mkdtemp gives 0700
    root_key, issuing_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = root_certificate(root_key, name="Verifield root", now=now, lifetime=CA_LIFETIME)
    issuing = Credential(
        issuing_key,
        issuing_certificate(
            issuer_cert=root,
            issuer_key=root_key,
            public_key=issuing_key.public_key(),
            name="Verifield issuing",
            now=now,
            lifetime=CA_LIFETIME,
        ),
    )
    # The origin of a log must be unique (C2SP tlog-checkpoint), and never changes.
    origin = f"verifield/log/{root.fingerprint(SHA256()).hex()[:16]}"
    leaves: list[tuple[str, ServiceKey, str, Usage, Sequence[str]]] = [
        ("server", ec.generate_private_key(ec.SECP256R1()), "verifield-cloud", "tls_server", server_names),
        ("receipt", ec.generate_private_key(ec.SECP256R1()), "verifield-receipts", Purpose.RECEIPT, ()),
        ("log", Ed25519PrivateKey.generate(), origin, Purpose.LOG, ()),
    ]
    _save(side, "root", Credential(root_key, root))
    _save(side, "issuing", issuing)
    for file, key, name, usage, san in leaves:
        lifetime = SERVER_LIFETIME if usage == "tls_server" else SERVICE_LIFETIME
        certificate = _issue(
            issuing, key.public_key(), name=name, usage=usage, now=now, lifetime=lifetime, san=san
        )
        _save(side, file, Credential(key, certificate))
    side.rename(keys)
    _sync_folder(keys.parent)


def _renewed(keys: Path, file: str, issuing: Credential, *, usage: Usage, now: datetime) -> Credential:
    """Load a signing credential; where it nears its end, renew it with the same key and beginning."""
    current = _load(keys, file)
    old = current.certificate
    if old.not_valid_after_utc - now > SERVICE_LIFETIME / RENEW_FRACTION:
        return current
    begin = old.not_valid_before_utc + BACKDATE
    new = _issue(
        issuing,
        current.key.public_key(),
        name=common_name(old),
        usage=usage,
        now=begin,
        lifetime=now - begin + SERVICE_LIFETIME,
    )
    _save(keys, file, Credential(current.key, new))
    return Credential(current.key, new)


def _renewed_server(keys: Path, issuing: Credential, *, names: Sequence[str], now: datetime) -> Credential:
    """Load the TLS credential; renew it where it nears its end or lacks a name."""
    current = _load(keys, "server")
    old = current.certificate
    fresh = old.not_valid_after_utc - now > SERVER_LIFETIME / RENEW_FRACTION
    if fresh and _names_of(old) >= set(names):
        return current
    new = _issue(
        issuing,
        current.key.public_key(),
        name=common_name(old),
        usage="tls_server",
        now=now,
        lifetime=SERVER_LIFETIME,
        san=names,
    )
    _save(keys, "server", Credential(current.key, new))
    return Credential(current.key, new)


def _issue(
    issuing: Credential,
    public_key: PublicKey,
    *,
    name: str,
    usage: Usage,
    now: datetime,
    lifetime: timedelta,
    san: Sequence[str] = (),
) -> x509.Certificate:
    return leaf_certificate(
        issuer_cert=issuing.certificate,
        issuer_key=_ec(issuing.key),
        public_key=public_key,
        common_name=name,
        purpose=usage,
        now=now,
        lifetime=lifetime,
        san=san,
    )


def _ec(key: ServiceKey) -> ec.EllipticCurvePrivateKey:
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("a service key is not an EC key")
    return key


def _names_of(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in names}


def _load(keys: Path, name: str) -> Credential:
    key = serialization.load_pem_private_key((keys / f"{name}.key").read_bytes(), password=None)
    certificate = x509.load_pem_x509_certificate((keys / f"{name}.pem").read_bytes())
    if not isinstance(key, ec.EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise TypeError("a service key is of another kind")
    if key.public_key() != certificate.public_key():
        raise ValueError("a key and its certificate do not belong together")
    return Credential(key, certificate)


def _save(keys: Path, name: str, credential: Credential) -> None:
    write_private(keys / f"{name}.pem", _pem([credential.certificate]))
    write_private(keys / f"{name}.key", credential.key_pem())


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)
