"""What opens the commitments of a statement: personal data, which the device keeps encrypted.

Of files (media.*) only the salt is kept: what is committed to is the file before encryption, which the
device does not keep, so the value of their disclosures is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from edge.answers import SessionAnswers
from edge.model import IdDocument, Image
from verifield.commitments import Disclosure, commit
from verifield.v1 import attestation_pb2 as pb

LONG_TERM = "long-term"
"""What is committed to as document.valid_to of a card that does not expire."""

CUSTOMER_PREFIX = "customer."
SIGNATURE_FIELD = "session.signature"


def disclose_document(document: IdDocument, new_salt: Callable[[], bytes]) -> tuple[Disclosure, ...]:
    """Every field of the document with a fresh salt, in ascending order of field name.

    Fields that a card leaves empty are committed to as well, so that a statement does not show which.
    Texts are UTF-8, dates ISO 8601, the photo :func:`encode_picture`.
    """
    valid_to = document.valid_to.isoformat() if document.valid_to else LONG_TERM
    texts = {
        "address": document.address,
        "birth": document.birth.isoformat(),
        "ethnicity": document.ethnicity,
        "issuer": document.issuer,
        "name": document.name,
        "nationality": document.nationality,
        "number": document.number,
        "sex": document.sex,
        "valid_from": document.valid_from.isoformat(),
        "valid_to": valid_to,
    }
    values = {f"document.{field}": text.encode() for field, text in texts.items()}
    if document.photo is not None:
        values["document.photo"] = encode_picture(document.photo)
    return _disclose(values, new_salt)


def disclose_session(session: SessionAnswers, new_salt: Callable[[], bytes]) -> tuple[Disclosure, ...]:
    """Customer data and signature with fresh salts, in ascending order of field name."""
    values = {CUSTOMER_PREFIX + item.name: item.value for item in session.customer}
    if session.signature:
        values[SIGNATURE_FIELD] = session.signature
    return _disclose(values, new_salt)


def commitments(disclosures: Iterable[Disclosure]) -> list[pb.Commitment]:
    """What a statement shows of ``disclosures``, in their order."""
    return [
        pb.Commitment(field=item.field, digest=commit(field=item.field, value=item.value, salt=item.salt))
        for item in disclosures
    ]


def encode_picture(pixels: Image) -> bytes:
    """Height and width (4 bytes each, big-endian), then the BGR bytes row by row.

    ``pixels``: uint8 [height, width, 3], BGR.
    """
    height, width = pixels.shape[:2]
    size: bytes = height.to_bytes(4, "big") + width.to_bytes(4, "big")
    return size + pixels.tobytes()


def _disclose(values: Mapping[str, bytes], new_salt: Callable[[], bytes]) -> tuple[Disclosure, ...]:
    return tuple(Disclosure(field, values[field], new_salt()) for field in sorted(values))
