"""What a reviewer sees of the material: fields on the list are masked, so that nobody decides by a person."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from cloud.privacy import masks
from verifield.v1 import review_service_pb2 as pb

HIDDEN = "***"
"""Of what no mask is made for."""

_MASKS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "name": masks.mask_name,
        "id_number": masks.mask_id_number,
        "phone": masks.mask_phone,
        "email": masks.mask_email,
    }
)


def masked(material: Mapping[str, str], blind: Collection[str]) -> list[pb.ReviewField]:
    """The fields in their order; those named in ``blind`` as masks. ``agent.phone`` is masked as a phone."""
    return [
        pb.ReviewField(name=name, value=_mask(name, value), masked=True)
        if name in blind or name.rpartition(".")[2] in blind
        else pb.ReviewField(name=name, value=value)
        for name, value in material.items()
    ]


def _mask(name: str, value: str) -> str:
    mask = _MASKS.get(name.rpartition(".")[2])
    if not value:
        return ""
    return mask(value) if mask else HIDDEN
