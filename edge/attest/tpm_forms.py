"""Structures of TPM 2.0 as bytes (Library, Part 2: Structures), and the files of tpm2-tools around them.

What tpm2-tools write and what goes on the wire differ by a frame:

    tool and format                     file                                    on the wire
    tpm2_create -u, tpm2_readpublic     TPM2B_PUBLIC = u16 size + TPMT_PUBLIC    TPMT_PUBLIC (size cut off)
      -f tss, tpm2_createek -f tss
    tpm2_certify -o                     TPMS_ATTEST                             TPMS_ATTEST
    tpm2_certify -s, -f tss             TPMT_SIGNATURE                          TPMT_SIGNATURE
    tpm2_activatecredential -i          u32 0xBADCC0DE, u32 1,                  contents of both, without
                                        TPM2B_ID_OBJECT,                        their sizes
                                        TPM2B_ENCRYPTED_SECRET

All numbers are big-endian. The device parses only what its own TPM said; the cloud judges by itself.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

ALG_ECC = 0x0023
ALG_NULL = 0x0010
ALG_SHA256 = 0x000B
ALG_ECDSA = 0x0018
CURVE_P256 = 0x0003

FIXED_TPM = 1 << 1
FIXED_PARENT = 1 << 4
SENSITIVE_DATA_ORIGIN = 1 << 5
RESTRICTED = 1 << 16
SIGN = 1 << 18

COORDINATE_BYTES = 32
AUTH_BYTES = 32
"""An authorisation value is kept as 32 hexadecimal digits (128 bits): text passes through every tool."""
MAX_SIZED_BYTES = 4096
"""Larger than any TPM2B that a TPM of today returns."""

_CREDENTIAL_FRONT = struct.pack(">II", 0xBADCC0DE, 1)
_SLOT_MAGIC = b"VTN1"
_SLOT = struct.Struct(f">4sI{AUTH_BYTES}s")


class TpmFormError(ValueError):
    """Bytes that are not the structure they should be."""


@dataclass(frozen=True, slots=True)
class NvSlot:
    """An NV index of ours (its handle) and the value that authorises its use."""

    index: int
    auth: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyBlob:
    """A key of the TPM as it lies on disk.

    ``public`` and ``private``: TPM2B_PUBLIC and TPM2B_PRIVATE; ``slot``: where the TPM keeps what its
    authorisation is derived from.
    """

    slot: NvSlot
    public: bytes
    private: bytes = field(repr=False)


def encode_slot(slot: NvSlot) -> bytes:
    """Return the file form of ``slot``."""
    return _SLOT.pack(_SLOT_MAGIC, slot.index, slot.auth.encode())


def parse_slot(data: bytes) -> NvSlot:
    """Raises:
    TpmFormError: it is not what :func:`encode_slot` writes.
    """
    slot, rest = _take_slot(data)
    if rest:
        raise TpmFormError("bytes behind a slot")
    return slot


def encode_key(blob: KeyBlob) -> bytes:
    """Return the file form of ``blob``."""
    return encode_slot(blob.slot) + blob.public + blob.private


def parse_key(data: bytes) -> KeyBlob:
    """Raises:
    TpmFormError: it is not what :func:`encode_key` writes.
    """
    slot, rest = _take_slot(data)
    public, rest = take_sized(rest)
    private, rest = take_sized(rest)
    if rest or not public or not private:
        raise TpmFormError("not a public and a private part")
    return KeyBlob(slot, sized(public), sized(private))


def sized(content: bytes) -> bytes:
    """Return the TPM2B form: a u16 size before the content."""
    return struct.pack(">H", len(content)) + content


def take_sized(data: bytes) -> tuple[bytes, bytes]:
    """Return the content of the TPM2B at the start of ``data``, and what follows it.

    Raises:
        TpmFormError: ``data`` ends before it does.
    """
    if len(data) < 2:
        raise TpmFormError("a size is cut off")
    size = int.from_bytes(data[:2], "big")
    if size > MAX_SIZED_BYTES or len(data) < 2 + size:
        raise TpmFormError("a sized structure is cut off")
    return data[2 : 2 + size], data[2 + size :]


def parse_sized(data: bytes) -> bytes:
    """Return the content of ``data``, which is one TPM2B and nothing else.

    Raises:
        TpmFormError: it is not.
    """
    content, rest = take_sized(data)
    if rest:
        raise TpmFormError("bytes behind a sized structure")
    return content


def parse_signing_key(public: bytes, *, restricted: bool) -> bytes:
    """Return the SubjectPublicKeyInfo (DER) of ``public``, a TPMT_PUBLIC of a P-256 signing key.

    Raises:
        TpmFormError: it is not one that was born in this TPM and cannot leave it.
    """
    try:
        kind, name_alg, attributes = struct.unpack_from(">HHI", public)
        _policy, rest = take_sized(public[8:])
        symmetric, scheme, scheme_hash, curve, kdf = struct.unpack_from(">HHHHH", rest)
        x, rest = take_sized(rest[10:])
        y, rest = take_sized(rest)
    except struct.error:
        raise TpmFormError("a public area is cut off") from None
    form = (kind, name_alg, symmetric, scheme, scheme_hash, curve, kdf)
    if form != (ALG_ECC, ALG_SHA256, ALG_NULL, ALG_ECDSA, ALG_SHA256, CURVE_P256, ALG_NULL) or rest:
        raise TpmFormError("not a P-256 key for ECDSA over SHA-256")
    must = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | SIGN | (RESTRICTED if restricted else 0)
    if attributes & (must | RESTRICTED) != must:
        raise TpmFormError("the key may leave the TPM, or does not sign as it should")
    return _point_to_der(x, y)


def encode_credential(blob: bytes, secret: bytes) -> bytes:
    """Return the file that tpm2_activatecredential reads, from the contents of both structures."""
    return _CREDENTIAL_FRONT + sized(blob) + sized(secret)


def split_certificates(data: bytes, *, limit: int) -> list[bytes]:
    """Return the DER certificates that stand one behind the other in ``data``, at most ``limit``.

    An NV index may be larger than its certificate: what does not begin like one ends the list.
    """
    found: list[bytes] = []
    while len(found) < limit and (size := _sequence_size(data)):
        found.append(data[:size])
        data = data[size:]
    return found


def _sequence_size(data: bytes) -> int:
    """The bytes of the DER sequence at the start of ``data``, with tag and length; 0 where there is none."""
    lengths = {b"\x30\x81": 1, b"\x30\x82": 2}.get(data[:2])
    if lengths is None or len(data) < 2 + lengths:
        return 0
    size = 2 + lengths + int.from_bytes(data[2 : 2 + lengths], "big")
    return size if size <= len(data) else 0


def _take_slot(data: bytes) -> tuple[NvSlot, bytes]:
    if len(data) < _SLOT.size or not data.startswith(_SLOT_MAGIC):
        raise TpmFormError("not a file of the TPM key store")
    _magic, index, auth = _SLOT.unpack_from(data)
    try:
        return NvSlot(index, auth.decode("ascii")), data[_SLOT.size :]
    except UnicodeDecodeError:
        raise TpmFormError("not a file of the TPM key store") from None


def _point_to_der(x: bytes, y: bytes) -> bytes:
    if max(len(x), len(y)) > COORDINATE_BYTES:
        raise TpmFormError("a coordinate is too large")
    point = b"\x04" + x.rjust(COORDINATE_BYTES, b"\0") + y.rjust(COORDINATE_BYTES, b"\0")
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    except ValueError:
        raise TpmFormError("a point that is not on the curve") from None
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
