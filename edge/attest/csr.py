"""Certificate requests (PKCS#10, RFC 2986) for keys behind the Signer port."""

from __future__ import annotations

from typing import NoReturn

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from edge.ports import Signer


def build_csr(signer: Signer) -> bytes:
    """Return the DER request; its signature proves that the caller holds the key.

    The subject is empty: the cloud alone decides what the device is called.
    """
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = builder.sign(_SignerKey(signer), SHA256())
    return request.public_bytes(serialization.Encoding.DER)


class _SignerKey(ec.EllipticCurvePrivateKey):
    """Shows a Signer, whose key may lie in hardware, to a builder that wants a key object."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    @property
    def curve(self) -> ec.EllipticCurve:
        return ec.SECP256R1()

    @property
    def key_size(self) -> int:
        return self.curve.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        key = serialization.load_der_public_key(self._signer.public_key_der())
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise TypeError("a Signer's key is on P-256")
        return key

    def sign(self, data: object, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        if not isinstance(signature_algorithm.algorithm, SHA256):
            raise TypeError("a Signer signs over SHA-256")
        return self._signer.sign(bytes(data))  # type: ignore[call-overload]

    def exchange(self, *_: object) -> NoReturn:
        raise NotImplementedError

    def private_numbers(self) -> NoReturn:
        raise NotImplementedError

    def private_bytes(self, *_: object) -> NoReturn:
        raise NotImplementedError

    def __copy__(self) -> _SignerKey:
        return self

    def __deepcopy__(self, _memo: dict[int, object]) -> _SignerKey:
        return self
