"""What a signing puts on the pages, and the digest of what its person confirms."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from zoneinfo import ZoneInfo

from cloud.papers.fonts import Fonts
from cloud.pdf.fields import Kind
from cloud.pdf.marks import Mark, date_mark, picture_mark
from cloud.pdf.sign import Filled
from cloud.signatures.assets import Look

_DOMAIN = b"verifield preview v1\0"


@dataclass(frozen=True, slots=True)
class Field:
    """A place of the document that this party fills. Points, from the top left corner of the page."""

    name: str
    kind: Kind
    page: int
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """Who signs: the verified name, and the organisation that the person signs for; empty: the own name."""

    account_id: str
    name: str
    organisation_id: str = ""
    organisation: str = ""
    uscc: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Stamp:
    """The seal that is used. ``image``: PNG."""

    seal_id: str
    version: int
    image: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """All that a signing will put on the pages; the dates are made at the moment of signing."""

    contract_id: str
    party_id: str
    document_sha256: bytes
    signer: Signer
    fields: tuple[Field, ...]
    look: Look
    stamp: Stamp | None
    zone: ZoneInfo

    @property
    def preview_hash(self) -> bytes:
        """What the person confirms: which document, who signs, and what is put where."""
        told = {
            "contract": self.contract_id,
            "party": self.party_id,
            "document": self.document_sha256.hex(),
            "signer": [self.signer.account_id, self.signer.name],
            "organisation": [self.signer.organisation_id, self.signer.organisation, self.signer.uscc],
            "marks": [
                [one.name, one.kind.name, one.page, one.x, one.y, one.width, one.height, self._looks(one)]
                for one in self.fields
            ],
        }
        return sha256(_DOMAIN + json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).digest()

    @property
    def pages(self) -> list[int]:
        """Those that have marks of this signing."""
        return sorted({one.page for one in self.fields})

    def fill(self, at: datetime, fonts: Fonts | None) -> list[Filled]:
        """The marks as they look at this time."""
        return [Filled(one.name, self._mark(one, at, fonts)) for one in self.fields]

    def _mark(self, one: Field, at: datetime, fonts: Fonts | None) -> Mark:
        if one.kind is Kind.SIGN_DATE:
            return date_mark(show_time(at, self.zone), fonts)
        if one.kind is Kind.SEAL and self.stamp is not None:
            return picture_mark(self.stamp.image)
        return self.look.mark

    def _looks(self, one: Field) -> str:
        if one.kind is Kind.SIGN_DATE:
            return self.zone.key
        if one.kind is Kind.SEAL and self.stamp is not None:
            return f"{self.stamp.seal_id}/{self.stamp.version}/{sha256(self.stamp.image).hexdigest()}"
        return self.look.digest.hex()


def show_time(at: datetime, zone: ZoneInfo) -> str:
    """A time as it stands on the page, for example 2026-03-01 09:30:00 +08:00."""
    local = at.astimezone(zone)
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%d %H:%M:%S} {offset[:3]}:{offset[3:5]}"


def kinds_of(fields: Sequence[Field]) -> frozenset[Kind]:
    """Which kinds of marks there are."""
    return frozenset(one.kind for one in fields)
