"""Signatures as they stand in the bytes of a file, whatever its structure says.

A PDF's structure can be rewritten so that a signature is not reached any more, and a damaged file has none.
The bytes still tell whether something was signed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asn1crypto import cms
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from verifield.certificates import DAMAGED

MAX_SIGNATURES = 512
"""More than a document of ours has fields."""

MAX_CMS_BYTES = 256 * 1024

_RANGE = re.compile(rb"/ByteRange\s*\[\s*([0-9]{1,10})\s+([0-9]{1,10})\s+([0-9]{1,10})\s+([0-9]{1,10})\s*\]")
_CONTENT = re.compile(rb"<30[0-9A-Fa-f]{1000,524288}>")  # DER in hex, long enough for a signature
_HEX = re.compile(rb"[0-9a-f]*|[0-9A-F]*")
_BROKEN = (*DAMAGED, InvalidSignature, UnsupportedAlgorithm, KeyError, AttributeError)


@dataclass(frozen=True, slots=True)
class RawSignature:
    """``begin``, ``end``: of the gap in what it covers, with brackets. ``content``: what stands there."""

    begin: int
    end: int
    covered: int
    content: bytes


def raw_signatures(content: bytes) -> Iterator[RawSignature]:
    """All signatures whose range begins with the file, in their order; at most MAX_SIGNATURES."""
    for count, found in enumerate(_RANGE.finditer(content)):
        if count >= MAX_SIGNATURES:
            return
        start, first, second, length = map(int, found.groups())
        gap = content[first:second]
        if start == 0 and 2 < len(gap) <= 2 * MAX_CMS_BYTES and gap[:1] == b"<" and gap[-1:] == b">":
            yield RawSignature(first, second, second + length, gap)


def was_signed(content: bytes, issuers: Sequence[x509.Certificate]) -> bool:
    """Whether anywhere stands a signature of somebody whom ``issuers`` vouch for, wherever its range lies."""
    for count, found in enumerate(_CONTENT.finditer(content)):
        if count >= MAX_SIGNATURES:
            return False
        if signer_of(unhex(found[0]), issuers) is not None:
            return True
    return False


def is_plain(gap: bytes) -> bool:
    """Whether a gap holds what we write and nothing else: hex of one case, DER, and zeros behind it."""
    digits = gap[1:-1]
    if len(digits) % 2 or not _HEX.fullmatch(digits):
        return False
    content = unhex(digits)
    return not content[_der_length(content) :].strip(b"\0")


def unhex(gap: bytes) -> bytes:
    """The bytes in a gap, as well as they can be read."""
    digits = re.sub(rb"[^0-9A-Fa-f]", b"", gap)
    return bytes.fromhex(digits[: len(digits) // 2 * 2].decode())


def signer_of(content: bytes, issuers: Sequence[x509.Certificate]) -> x509.Certificate | None:
    """The certificate in a CMS that one of ``issuers``, or a CA below one, issued; None for none."""
    try:
        signed = cms.ContentInfo.load(content)["content"]
        found = [one.chosen.dump() for one in signed["certificates"]]
        certificates = [x509.load_der_x509_certificate(one) for one in found[:16]]
    except _BROKEN:
        return None
    known = list(issuers)
    for _ in range(2):  # a CA below a root, and who it issued to
        known += [one for one in certificates if one not in known and is_issued(one, known)]
    leaves = [one for one in certificates if one in known and not _is_ca(one)]
    return leaves[0] if leaves else None


def is_issued(certificate: x509.Certificate, issuers: Sequence[x509.Certificate]) -> bool:
    """Whether the signature of a certificate is that of one of ``issuers``, a CA."""
    for issuer in issuers:
        try:
            certificate.verify_directly_issued_by(issuer)
        except _BROKEN:
            continue
        if _is_ca(issuer):
            return True
    return False


def to_der(certificate: x509.Certificate) -> bytes:
    """DER."""
    return certificate.public_bytes(Encoding.DER)


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (*_BROKEN, x509.ExtensionNotFound):
        return False


def _der_length(content: bytes) -> int:
    """How many bytes the first value has (X.690); 0 where it is none."""
    if len(content) < 2:
        return 0
    length = content[1]
    if length < 0x80:
        return 2 + length
    octets = length & 0x7F
    if octets > 4 or len(content) < 2 + octets:
        return 0
    return 2 + octets + int.from_bytes(content[2 : 2 + octets], "big")
