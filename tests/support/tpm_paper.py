"""Evidence of a TPM that exists on paper only: every structure made here, so that each can be made wrong.

No TPM stands behind it, so it never gets past the activation of the credential.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from cloud.devices.tpm_structures import MAGIC, Attributes, sized
from verifield.v1.enrollment_service_pb2 import TpmEvidence

BOUND = Attributes.FIXED_TPM | Attributes.FIXED_PARENT | Attributes.SENSITIVE_DATA_ORIGIN
EK_ATTRIBUTES = BOUND | Attributes.RESTRICTED | Attributes.DECRYPT
AK_ATTRIBUTES = BOUND | Attributes.RESTRICTED | Attributes.SIGN
KEY_ATTRIBUTES = BOUND | Attributes.SIGN
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
_START = datetime(2026, 1, 1, tzinfo=UTC)
_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def u16(*values: int) -> bytes:
    return b"".join(value.to_bytes(2) for value in values)


def rsa_public(key: rsa.RSAPrivateKey, attributes: Attributes) -> bytes:
    """TPMT_PUBLIC of a storage key, as template L-1 makes endorsement keys."""
    modulus = key.public_key().public_numbers().n.to_bytes(key.key_size // 8)
    parameters = u16(0x0006, 128, 0x0043) + u16(0x0010) + u16(key.key_size) + bytes(4)
    return u16(0x0001, 0x000B) + int(attributes).to_bytes(4) + sized(b"") + parameters + sized(modulus)


def ecc_public(key: ec.EllipticCurvePrivateKey, attributes: Attributes) -> bytes:
    """TPMT_PUBLIC of an ECDSA signing key on P-256."""
    numbers = key.public_key().public_numbers()
    point = sized(numbers.x.to_bytes(32)) + sized(numbers.y.to_bytes(32))
    parameters = u16(0x0010) + u16(0x0018, 0x000B) + u16(0x0003) + u16(0x0010)
    return u16(0x0023, 0x000B) + int(attributes).to_bytes(4) + sized(b"") + parameters + point


def name_of(public: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public)
    return u16(0x000B) + digest.finalize()


def certification(name: bytes, *, magic: int = MAGIC, kind: int = 0x8017) -> bytes:
    """TPMS_ATTEST."""
    head = magic.to_bytes(4) + u16(kind) + sized(b"signer") + sized(b"")
    return head + bytes(8 + 4 + 4 + 1) + bytes(8) + sized(name) + sized(b"qualified")


def sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """TPMT_SIGNATURE by ECDSA."""
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
    return u16(0x0018, 0x000B) + sized(r.to_bytes(32)) + sized(s.to_bytes(32))


def certificate(
    key: PrivateKey,
    *,
    issuer: tuple[str, PrivateKey] | None,
    name: str,
    ca: bool,
    end: datetime = _END,
    may_issue: bool = True,
    purposes: Sequence[x509.ObjectIdentifier] = (),
) -> x509.Certificate:
    """As makers give; without an issuer it signs itself."""
    issuer_name, issuer_key = issuer or (name, key)
    usage = {
        "digital_signature": False,
        "content_commitment": False,
        "key_encipherment": not ca,
        "data_encipherment": False,
        "key_agreement": False,
        "key_cert_sign": ca and may_issue,
        "crl_sign": ca and not may_issue,
        "encipher_only": False,
        "decipher_only": False,
    }
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer_name)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_START)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


@dataclass
class PaperTpm:
    """Keys and the maker; ``evidence`` puts them together."""

    maker_key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    ek: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    ak: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def root(self) -> x509.Certificate:
        return certificate(self.maker_key, issuer=None, name="Maker", ca=True)

    def ek_certificate(
        self, *, end: datetime = _END, purposes: Sequence[x509.ObjectIdentifier] = ()
    ) -> bytes:
        maker = ("Maker", self.maker_key)
        leaf = certificate(self.ek, issuer=maker, name="TPM", ca=False, end=end, purposes=purposes)
        return leaf.public_bytes(Encoding.DER)

    def evidence(
        self,
        *,
        ek_certificates: Sequence[bytes] | None = None,
        ek_attributes: Attributes = EK_ATTRIBUTES,
        ak_attributes: Attributes = AK_ATTRIBUTES,
        key_attributes: Attributes = KEY_ATTRIBUTES,
    ) -> TpmEvidence:
        key_public = ecc_public(self.key, key_attributes)
        info = certification(name_of(key_public))
        return TpmEvidence(
            ek_certificates=[self.ek_certificate()] if ek_certificates is None else ek_certificates,
            ek_public=rsa_public(self.ek, ek_attributes),
            ak_public=ecc_public(self.ak, ak_attributes),
            key_public=key_public,
            certify_info=info,
            certify_signature=sign(self.ak, info),
        )
