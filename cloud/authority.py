"""The deployment's own certificate authority and service keys, made at the first start.

    DATA/root.pem            the trust root, for devices, operators and verifiers
    DATA/keys/               0700, files 0600
        root.key root.pem          signs the issuing CA only
        issuing.key issuing.pem    signs the leaves below and those of devices
        server.key server.pem      TLS of both ports
        receipt.key receipt.pem    P-256, signs receipts
        log.key log.pem            Ed25519, signs checkpoints
        policy.key policy.pem      P-256, signs policies and directives
        audit.key audit.pem        P-256, signs heads of the audit chain and manifests of backups
        certification.key .pem     P-256, signs badges, their status, and manifests of archives
        media.key media.pub        X25519, opens the pictures that devices deliver
        renewal.secret             32 bytes, for challenges, codes, marks and answers of this service alone

The last five are made where an older deployment lacks them; by one start at a time, behind a lock.

Leaf certificates that near their end are renewed at start. All but that of the TLS server keep their
beginning: a receipt carries the time at which its record became durable, and the certificate beside it must
have been valid then, however often it was renewed since.
"""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from cloud.errors import SetupError
from cloud.keyfiles import (
    Credential,
    ServiceKey,
    certificates_pem,
    load_credential,
    load_service_key,
    locked,
    open_x25519,
    save_credential,
    sync_folder,
    write_private,
)
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

REVOCATION_LIST_LIFETIME = timedelta(days=30)
"""A verifier that is rarely online still has one in force; what was revoked since, it does not know."""

RENEWAL_SECRET_BYTES = 32

_SIDE_PREFIX = ".keys."
_LATER_SIGNERS = (
    ("policy", "verifield-policies", Purpose.POLICY),
    ("audit", "verifield-audit", Purpose.AUDIT),
    ("certification", "verifield-certifications", Purpose.CERTIFICATION),
)


@dataclass(frozen=True, slots=True)
class Revoked:
    """One entry of a revocation list."""

    serial: int
    at: datetime
    reason: x509.ReasonFlags


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
        policy: Credential,
        audit: Credential,
        certification: Credential,
        media_key: X25519PrivateKey,
        renewal_secret: bytes,
    ) -> None:
        self.root = root
        self._issuing = issuing
        self.server = server
        self.receipt = receipt
        self.log = log
        self.policy = policy
        self.audit = audit
        self.certification = certification
        self.media_key = media_key
        self.renewal_secret = renewal_secret

    @classmethod
    def open(cls, data: Path, *, server_names: Sequence[str], now: datetime) -> Authority:
        """Open the keys under ``data``; make them at the first start, renew what nears its end.

        Raises:
            SetupError: files are missing, damaged, not readable, or do not fit together.
        """
        keys = data / "keys"
        try:
            with locked(data / "keys.lock"):
                _remove_leftovers(data)
                if not keys.exists():
                    if (data / ROOT_FILE).exists():
                        raise FileNotFoundError(keys)  # this deployment had keys: never make it another root
                    _make_keys(keys, server_names=server_names, now=now)
                authority = cls._load(keys, server_names=server_names, now=now)
                write_private(data / ROOT_FILE, authority.root_pem(), mode=0o644)
        except (OSError, ValueError, TypeError, VerifieldError) as error:
            raise SetupError(
                "KEYS_UNUSABLE",
                f"The service's keys in {keys} cannot be used ({type(error).__name__}).",
                hint="Restore the folder from a backup; no device would trust new keys.",
            ) from error
        return authority

    @classmethod
    def _load(cls, keys: Path, *, server_names: Sequence[str], now: datetime) -> Authority:
        issuing = load_credential(keys, "issuing")
        renewal_secret = _open_renewal_secret(keys)  # before those whose absence lets it be made
        for file, name, usage in _LATER_SIGNERS:
            _complete_signer(keys, issuing, file=file, name=name, usage=usage, now=now)
        return cls(
            root=x509.load_pem_x509_certificate((keys / "root.pem").read_bytes()),
            issuing=issuing,
            server=_renewed_server(keys, issuing, names=server_names, now=now),
            receipt=_renewed(keys, "receipt", issuing, usage=Purpose.RECEIPT, now=now),
            log=_renewed(keys, "log", issuing, usage=Purpose.LOG, now=now),
            policy=_renewed(keys, "policy", issuing, usage=Purpose.POLICY, now=now),
            audit=_renewed(keys, "audit", issuing, usage=Purpose.AUDIT, now=now),
            certification=_renewed(keys, "certification", issuing, usage=Purpose.CERTIFICATION, now=now),
            media_key=open_x25519(keys, "media"),
            renewal_secret=renewal_secret,
        )

    @property
    def receipt_key(self) -> ec.EllipticCurvePrivateKey:
        return _ec(self.receipt.key)

    @property
    def policy_key(self) -> ec.EllipticCurvePrivateKey:
        return _ec(self.policy.key)

    @property
    def audit_key(self) -> ec.EllipticCurvePrivateKey:
        return _ec(self.audit.key)

    @property
    def certification_key(self) -> ec.EllipticCurvePrivateKey:
        return _ec(self.certification.key)

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

    def issue_operator(
        self, key: ec.EllipticCurvePublicKey, *, user_id: str, now: datetime, lifetime: timedelta
    ) -> list[bytes]:
        """Return a new certificate chain for a person's TLS key."""
        return self.chain_of(
            _issue(self._issuing, key, name=user_id, usage="tls_operator", now=now, lifetime=lifetime)
        )

    def revocation_list(self, revoked: Iterable[Revoked], *, number: int, now: datetime) -> bytes:
        """Sign a revocation list (RFC 5280, DER); ``number`` is higher than that of every list before."""
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._issuing.certificate.subject)
            .last_update(now)
            .next_update(now + REVOCATION_LIST_LIFETIME)
            .add_extension(x509.CRLNumber(number), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(_ec(self._issuing.key).public_key()),
                critical=False,
            )
        )
        for entry in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(entry.serial)
                .revocation_date(entry.at)
                .add_extension(x509.CRLReason(entry.reason), critical=False)
                .build()
            )
        return builder.sign(_ec(self._issuing.key), SHA256()).public_bytes(serialization.Encoding.DER)

    def server_pem(self) -> tuple[bytes, bytes]:
        """Key and chain of the TLS server."""
        return self.server.key_pem(), certificates_pem([self.server.certificate, self._issuing.certificate])

    def root_pem(self) -> bytes:
        return certificates_pem([self.root])


def _make_keys(keys: Path, *, server_names: Sequence[str], now: datetime) -> None:
    """Make all keys in a side folder first: a start that breaks off leaves nothing half made."""
    side = Path(tempfile.mkdtemp(dir=keys.parent, prefix=_SIDE_PREFIX))  # mkdtemp gives 0700
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
    save_credential(side, "root", Credential(root_key, root))
    save_credential(side, "issuing", issuing)
    for file, key, name, usage, san in leaves:
        lifetime = SERVER_LIFETIME if usage == "tls_server" else SERVICE_LIFETIME
        certificate = _issue(
            issuing, key.public_key(), name=name, usage=usage, now=now, lifetime=lifetime, san=san
        )
        save_credential(side, file, Credential(key, certificate))
    side.rename(keys)
    sync_folder(keys.parent)


def _remove_leftovers(data: Path) -> None:
    """Keys of a start that broke off: nobody has ever trusted them."""
    for path in data.glob(f"{_SIDE_PREFIX}*"):
        shutil.rmtree(path)


def _complete_signer(
    keys: Path, issuing: Credential, *, file: str, name: str, usage: Purpose, now: datetime
) -> None:
    """Make a signing key that older deployments lack, or the certificate that a cut start left out."""
    if (keys / f"{file}.pem").exists():  # a missing key was lost then, and loading says so
        return
    made = (keys / f"{file}.key").exists()
    key = load_service_key(keys, file) if made else ec.generate_private_key(ec.SECP256R1())
    certificate = _issue(
        issuing, _ec(key).public_key(), name=name, usage=usage, now=now, lifetime=SERVICE_LIFETIME
    )
    save_credential(keys, file, Credential(key, certificate))


def _open_renewal_secret(keys: Path) -> bytes:
    """Made once. It keys marks and kept answers in the database too: with another, they would fit nothing."""
    path = keys / "renewal.secret"
    if not path.exists():
        if any((keys / name).exists() for name in ("policy.pem", "media.pub")):
            raise SetupError("KEYS_UNUSABLE", f"The file {path} was lost.", hint="Restore it from a backup.")
        write_private(path, secrets.token_bytes(RENEWAL_SECRET_BYTES))
    secret = path.read_bytes()
    if len(secret) != RENEWAL_SECRET_BYTES:
        raise ValueError(f"the secret of renewals does not have {RENEWAL_SECRET_BYTES} bytes")
    return secret


def _renewed(keys: Path, file: str, issuing: Credential, *, usage: Usage, now: datetime) -> Credential:
    """Load a signing credential; where it nears its end, renew it with the same key and beginning."""
    current = load_credential(keys, file)
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
    save_credential(keys, file, Credential(current.key, new))
    return Credential(current.key, new)


def _renewed_server(keys: Path, issuing: Credential, *, names: Sequence[str], now: datetime) -> Credential:
    """Load the TLS credential; renew it where it nears its end or lacks a name."""
    current = load_credential(keys, "server")
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
    save_credential(keys, "server", Credential(current.key, new))
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


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)
