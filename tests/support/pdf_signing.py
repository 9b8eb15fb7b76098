"""A test authority for signatures: root, issuer of signers, time-stamps, revocation lists; and checks."""

from __future__ import annotations

import hashlib
import io
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from asn1crypto import cms, core
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.general import as_signing_certificate, simple_cms_attribute
from pyhanko.sign.timestamps.dummy_client import DummyTimeStamper
from pyhanko.sign.validation import validate_pdf_signature, validate_pdf_timestamp
from pyhanko.sign.validation.status import DocumentTimestampStatus, PdfSignatureStatus, SignatureCoverageLevel
from pyhanko_certvalidator import ValidationContext

from cloud.pdf.ports import Identity, StampUnavailable

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
CRL_URL = "http://crl.example.org/signers.crl"


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(**used: bool) -> x509.KeyUsage:
    names = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: used.get(name, False) for name in names})


@dataclass(frozen=True)
class SigningAuthority:
    """Everything under one root, as a deployment has it."""

    root: x509.Certificate
    root_key: ec.EllipticCurvePrivateKey
    issuer: x509.Certificate
    issuer_key: ec.EllipticCurvePrivateKey
    stamps: x509.Certificate
    stamps_key: rsa.RSAPrivateKey
    crls: tuple[bytes, ...]

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        return self.issuer, self.root

    def identity(self, name: str = "欧阳·明") -> Identity:
        """A signer with a key of its own."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _issued(
            _name(name),
            key.public_key(),
            self.issuer,
            self.issuer_key,
            _usage(content_commitment=True),
            ca=False,
        )
        return Identity(certificate, key, self.chain, self.crls)

    def stamper(self, *, at: datetime = NOW) -> LocalStamper:
        return LocalStamper(self, at)

    def context(self, *, at: datetime = NOW) -> ValidationContext:
        """Trust in this root alone, nothing fetched, revocation lists demanded of those who have one."""
        return ValidationContext(
            trust_roots=[as_asn1(self.root)],
            other_certs=[as_asn1(self.issuer)],
            crls=[*self.crls],
            allow_fetching=False,
            revocation_mode="hard-fail",
            moment=at,
        )


class _Authority(DummyTimeStamper):
    """pyHanko's own, without reading its key anew for each token."""

    def __init__(self, authority: SigningAuthority, at: datetime) -> None:
        super().__init__(as_asn1(authority.stamps), tsa_key=None, fixed_dt=at)
        self._key = authority.stamps_key

    def _sign_tst_info(
        self, tst_info_data: bytes, md_algorithm: str, dt: datetime
    ) -> tuple[bytes, cms.CMSAttributes]:
        digest = hashlib.new(md_algorithm, tst_info_data).digest()
        attributes = cms.CMSAttributes(
            [
                simple_cms_attribute("content_type", "tst_info"),
                simple_cms_attribute("signing_time", cms.Time({"utc_time": core.UTCTime(dt)})),
                simple_cms_attribute("signing_certificate", as_signing_certificate(self.tsa_cert)),
                simple_cms_attribute("message_digest", digest),
            ]
        )
        return self._key.sign(attributes.dump(), PKCS1v15(), hashes.SHA256()), attributes


class LocalStamper:
    """A time-stamping authority in this process. ``away_after``: so many tokens, and no more."""

    def __init__(self, authority: SigningAuthority, at: datetime) -> None:
        self._inner = _Authority(authority, at)
        self.calls = 0
        self.away_after: int | None = None

    def stamp(self, digest: bytes) -> bytes:
        self.calls += 1
        if self.away_after is not None and self.calls > self.away_after:
            raise StampUnavailable("no time-stamping authority answers")
        _, request = self._inner.request_cms(digest, "sha256")
        token: bytes = self._inner.request_tsa_response(request)["time_stamp_token"].dump()
        return token


@lru_cache(maxsize=1)
def signing_authority() -> SigningAuthority:
    """One for all tests: making it takes a while. It holds no state."""
    root_key, issuer_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    stamps_key = rsa.generate_private_key(65537, 2048)
    signs = _usage(key_cert_sign=True, crl_sign=True)
    root = _issued(_name("Test root"), root_key.public_key(), None, root_key, signs, ca=True)
    issuer = _issued(_name("Test signers"), issuer_key.public_key(), root, root_key, signs, ca=True)
    stamps = _issued(
        _name("Test time"),
        stamps_key.public_key(),
        root,
        root_key,
        _usage(digital_signature=True),
        ca=False,
        purpose=ExtendedKeyUsageOID.TIME_STAMPING,
    )
    crls = _crl(root, root_key), _crl(issuer, issuer_key)
    return SigningAuthority(root, root_key, issuer, issuer_key, stamps, stamps_key, crls)


def as_asn1(certificate: x509.Certificate) -> asn1_x509.Certificate:
    return asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))


def judged(
    content: bytes, authority: SigningAuthority, *, at: datetime = NOW
) -> list[tuple[str, PdfSignatureStatus | DocumentTimestampStatus]]:
    """pyHanko's judgement of each signature, with difference analysis: the field and the status."""
    reader = PdfFileReader(io.BytesIO(content))
    found: list[tuple[str, PdfSignatureStatus | DocumentTimestampStatus]] = []
    for signature in reader.embedded_signatures:
        if signature.sig_object["/Type"] == "/DocTimeStamp":
            status: PdfSignatureStatus | DocumentTimestampStatus = validate_pdf_timestamp(
                signature, validation_context=authority.context(at=at)
            )
        else:
            status = validate_pdf_signature(
                signature,
                signer_validation_context=authority.context(at=at),
                ts_validation_context=authority.context(at=at),
            )
        found.append((signature.field_name, status))
    return found


def holds(status: PdfSignatureStatus | DocumentTimestampStatus) -> bool:
    if isinstance(status, PdfSignatureStatus):
        return bool(status.bottom_line)
    lasting = status.coverage == SignatureCoverageLevel.ENTIRE_FILE
    return bool(status.intact and status.valid and status.trusted and lasting)


def check_valid(content: bytes, authority: SigningAuthority, *, at: datetime = NOW) -> list[str]:
    """All signatures hold after all that came later; the names of their fields."""
    found = judged(content, authority, at=at)
    for name, status in found:
        assert holds(status), (name, status.summary())
    return [name for name, _ in found]


def pdfsig(content: bytes, folder: Path) -> str:
    """What poppler's pdfsig says."""
    file = folder / f"{secrets.token_hex(4)}.pdf"
    file.write_bytes(content)
    done = subprocess.run(
        ["pdfsig", "-nocert", str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    return done.stdout


def qpdf_check(content: bytes, folder: Path) -> None:
    file = folder / f"{secrets.token_hex(4)}.pdf"
    file.write_bytes(content)
    done = subprocess.run(
        ["qpdf", "--check", str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def installed(*programs: str) -> bool:
    return all(map(shutil.which, programs))


def _issued(
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    issuer: x509.Certificate | None,
    key: ec.EllipticCurvePrivateKey,
    usage: x509.KeyUsage,
    *,
    ca: bool,
    purpose: x509.ObjectIdentifier | None = None,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=10))
        .not_valid_after(NOW + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
    if issuer is not None:
        place = x509.DistributionPoint([x509.UniformResourceIdentifier(CRL_URL)], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([place]), critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
    return builder.sign(key, hashes.SHA256())


def _crl(issuer: x509.Certificate, key: ec.EllipticCurvePrivateKey, revoked: Sequence[int] = ()) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.subject)
        .last_update(NOW - timedelta(hours=1))
        .next_update(NOW + timedelta(days=30))
        .add_extension(x509.CRLNumber(1), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key()), critical=False
        )
    )
    for serial in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(serial)
            .revocation_date(NOW - timedelta(hours=1))
            .build()
        )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
