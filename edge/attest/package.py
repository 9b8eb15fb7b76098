"""What a kiosk hands to the cloud about a live face: the record, and what opens just enough of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edge.answers import PrivateField
from edge.errors import InputError
from verifield.commitments import parse_disclosures
from verifield.evidence import MEDIA_PREFIX
from verifield.tasks import NUMBER_FIELD
from verifield.v1.identity_pb2 import FaceEvidence


def face_evidence(
    envelope: bytes,
    *,
    certificates: Sequence[bytes],
    private: bytes,
    media: Iterable[PrivateField],
    picture: str,
) -> FaceEvidence:
    """Put the package together. ``private``: the record's disclosures; ``media``: what it committed to.

    It opens number, validity and the ``picture`` of that name, and nothing else of the card: whoever takes it
    knows the first two.

    Raises:
        InputError: PICTURE_NOT_KEPT.
    """
    opened = {one.field: one for one in parse_disclosures(private)}
    contents = {one.name: one.value for one in media}
    if picture not in contents or MEDIA_PREFIX + picture not in opened:
        raise picture_not_kept()
    valid_from, valid_to = opened["document.valid_from"], opened["document.valid_to"]
    return FaceEvidence(
        envelope=envelope,
        certificates=certificates,
        number_salt=opened[NUMBER_FIELD].salt,
        valid_from=valid_from.value.decode(),
        valid_from_salt=valid_from.salt,
        valid_to=valid_to.value.decode(),
        valid_to_salt=valid_to.salt,
        picture=contents[picture],
        picture_salt=opened[MEDIA_PREFIX + picture].salt,
    )


def picture_not_kept() -> InputError:
    """There is no picture for the package."""
    return InputError(
        "PICTURE_NOT_KEPT",
        "The policy keeps no picture of the face, which the evidence must contain.",
        hint="Publish a policy whose media keep best_shot, then synchronise.",
    )
