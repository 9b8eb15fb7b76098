"""Structures of TPM 2.0 as bytes (TCG, TPM 2.0 Library, Part 2: Structures), read strictly.

Only what stands in the evidence of an enrolment: public areas (12.2.4), certifications (10.12.12),
signatures (11.3.4). All integers are big-endian. A structure that is cut, that goes on behind its end,
or that uses an algorithm outside the tables below is refused: nothing here is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntFlag
from types import MappingProxyType
from typing import TypeVar

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

T = TypeVar("T")

MAX_STRUCTURE_BYTES = 2048
"""A public area of RSA-4096 has about 600 bytes; anything large is an attack on the parser."""

MIN_RSA_BITS, MAX_RSA_BITS = 2048, 4096
"""Below, a key is weak; above, no TPM has one."""

MAGIC = 0xFF544347
"""TPM_GENERATED_VALUE: a restricted key never signs outside data that begins so (Part 2, 6.2)."""

_ST_ATTEST_CERTIFY = 0x8017
_ALG_RSA, _ALG_ECC, _ALG_NULL = 0x0001, 0x0023, 0x0010
_ALG_AES, _ALG_CFB = 0x0006, 0x0043
_ALG_RSASSA, _ALG_RSAPSS, _ALG_ECDSA = 0x0014, 0x0016, 0x0018
_DEFAULT_EXPONENT = 65537

HASHES: Mapping[int, hashes.HashAlgorithm] = MappingProxyType(
    {0x000B: hashes.SHA256(), 0x000C: hashes.SHA384(), 0x000D: hashes.SHA512()}
)
"""TPM_ALG_ID of the hashes that count; SHA-1 does not."""

CURVES: Mapping[int, ec.EllipticCurve] = MappingProxyType({0x0003: ec.SECP256R1(), 0x0004: ec.SECP384R1()})
"""TPM_ECC_CURVE of the curves that count."""


class TpmFormatError(ValueError):
    """Bytes that are not the structure they should be; the message says which."""


class Attributes(IntFlag):
    """TPMA_OBJECT (Part 2, 8.3): what a key may do and where it came from."""

    FIXED_TPM = 1 << 1
    FIXED_PARENT = 1 << 4
    SENSITIVE_DATA_ORIGIN = 1 << 5
    RESTRICTED = 1 << 16
    DECRYPT = 1 << 17
    SIGN = 1 << 18


@dataclass(frozen=True, slots=True)
class Public:
    """A TPMT_PUBLIC. ``symmetric_bits``: AES key of a storage key, 0 for others; ``raw``: the bytes read."""

    name_hash: hashes.HashAlgorithm
    attributes: Attributes
    symmetric_bits: int
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey
    raw: bytes

    def name(self) -> bytes:
        """The key's Name: algorithm and digest of the whole public area (Part 1, 16)."""
        digest = hashes.Hash(self.name_hash)
        digest.update(self.raw)
        return self.raw[2:4] + digest.finalize()


@dataclass(frozen=True, slots=True)
class Signature:
    """A TPMT_SIGNATURE; ECDSA comes as DER, RSA as it is, with ``pss`` saying which padding."""

    hash: hashes.HashAlgorithm
    value: bytes
    ecdsa: bool
    pss: bool


def parse_public(data: bytes) -> Public:
    """Parse a TPMT_PUBLIC of an RSA or NIST-curve key.

    Raises:
        TpmFormatError: it is none, or of another kind.
    """
    reader = _Reader(data, "public area")
    kind = reader.u16()
    name_hash = reader.choice(HASHES, "name algorithm")
    attributes = Attributes(reader.u32())
    reader.sized()  # authorisation policy: who may use the key, not what it is
    symmetric_bits = _read_symmetric(reader)
    if kind == _ALG_RSA:
        key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey = _read_rsa(reader)
    elif kind == _ALG_ECC:
        key = _read_ecc(reader)
    else:
        raise TpmFormatError("a public area is neither of an RSA nor of an ECC key")
    reader.end()
    return Public(name_hash, attributes, symmetric_bits, key, data)


def parse_certified_name(data: bytes) -> bytes:
    """Return the Name of the key that a TPMS_ATTEST certifies.

    Raises:
        TpmFormatError: it is none, was not made by a TPM, or certifies no object.
    """
    reader = _Reader(data, "certification")
    if reader.u32() != MAGIC:
        raise TpmFormatError("a certification was not made inside a TPM")
    if reader.u16() != _ST_ATTEST_CERTIFY:
        raise TpmFormatError("a certification is of another kind")
    reader.sized()  # qualified name of the signer
    reader.sized()  # data of the caller
    reader.take(8 + 4 + 4 + 1)  # TPMS_CLOCK_INFO
    reader.take(8)  # firmware version
    name = reader.sized()
    reader.sized()  # qualified name of the key
    reader.end()
    return name


def parse_signature(data: bytes) -> Signature:
    """Parse a TPMT_SIGNATURE by ECDSA, RSASSA or RSAPSS.

    Raises:
        TpmFormatError: it is none, or of another kind.
    """
    reader = _Reader(data, "signature")
    scheme = reader.u16()
    if scheme not in {_ALG_ECDSA, _ALG_RSASSA, _ALG_RSAPSS}:
        raise TpmFormatError("a signature's scheme is not one that counts")
    algorithm = reader.choice(HASHES, "signature hash")
    if scheme == _ALG_ECDSA:
        r, s = (int.from_bytes(reader.sized()) for _ in range(2))
        value = encode_dss_signature(r, s)
    else:
        value = reader.sized()
    reader.end()
    return Signature(algorithm, value, ecdsa=scheme == _ALG_ECDSA, pss=scheme == _ALG_RSAPSS)


def sized(data: bytes) -> bytes:
    """A TPM2B: the length in two bytes, then the data."""
    return len(data).to_bytes(2) + data


def _read_symmetric(reader: _Reader) -> int:
    """TPMT_SYM_DEF_OBJECT: bits of the AES key, 0 for none."""
    algorithm = reader.u16()
    if algorithm == _ALG_NULL:
        return 0
    bits, mode = reader.u16(), reader.u16()
    if algorithm != _ALG_AES or bits not in {128, 256} or mode != _ALG_CFB:
        raise TpmFormatError("a storage key protects with something else than AES-CFB")
    return bits


def _skip_scheme(reader: _Reader) -> None:
    """TPMT_RSA_SCHEME, TPMT_ECC_SCHEME or TPMT_KDF_SCHEME: none, or one with a hash."""
    if reader.u16() != _ALG_NULL:
        reader.u16()


def _read_rsa(reader: _Reader) -> rsa.RSAPublicKey:
    _skip_scheme(reader)
    bits = reader.u16()
    exponent = reader.u32() or _DEFAULT_EXPONENT
    modulus = int.from_bytes(reader.sized())
    if not MIN_RSA_BITS <= bits <= MAX_RSA_BITS or modulus.bit_length() != bits:
        raise TpmFormatError(f"an RSA key does not have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits, as it says")
    try:
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as error:
        raise TpmFormatError("an RSA key is not one") from error


def _read_ecc(reader: _Reader) -> ec.EllipticCurvePublicKey:
    _skip_scheme(reader)
    curve = reader.choice(CURVES, "curve")
    _skip_scheme(reader)
    x, y = (int.from_bytes(reader.sized()) for _ in range(2))
    try:
        return ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
    except ValueError as error:
        raise TpmFormatError("a point is not on its curve") from error


class _Reader:
    """Takes what is there, in order, and never more."""

    def __init__(self, data: bytes, what: str) -> None:
        if len(data) > MAX_STRUCTURE_BYTES:
            raise TpmFormatError(f"a {what} has more than {MAX_STRUCTURE_BYTES} bytes")
        self._data = data
        self._at = 0
        self._what = what

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise TpmFormatError(f"a {self._what} is cut")
        part, self._at = self._data[self._at : end], end
        return part

    def u16(self) -> int:
        return int.from_bytes(self.take(2))

    def u32(self) -> int:
        return int.from_bytes(self.take(4))

    def sized(self) -> bytes:
        return self.take(self.u16())

    def choice(self, table: Mapping[int, T], what: str) -> T:
        found = table.get(self.u16())
        if found is None:
            raise TpmFormatError(f"the {what} of a {self._what} is not one that counts")
        return found

    def end(self) -> None:
        if self._at != len(self._data):
            raise TpmFormatError(f"a {self._what} goes on behind its end")
