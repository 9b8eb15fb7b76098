"""What a person's signature looks like: made from the verified name, or drawn by hand.

What was drawn is kept as strokes, which are drawn into documents as vectors, and as a picture for eyes. Both
are sealed under the person's own key; nobody else's can be chosen.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from hashlib import sha256

from PIL import Image, ImageDraw
from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.errors import Reason, ServiceError
from cloud.papers.fonts import Fonts
from cloud.pdf.marks import Mark, MarkRefused, name_mark, strokes_mark
from cloud.pdf.strokes import Strokes, StrokesRefused, decode_strokes, encode_strokes, parse_strokes
from cloud.persons import Persons
from cloud.privacy.sealing import Place
from cloud.sources import Sources, to_us
from cloud.store import passkeys as rows
from cloud.store.passkeys import AssetRow
from cloud.store.schema import signature_assets
from cloud.store.sealed import SealedTable
from verifield.v1 import coop_service_pb2

SEALED = SealedTable(signature_assets, key="asset_id", person="account_id", sealed=("strokes", "image"))
"""For erasing a person."""

MAX_DRAWN = 5
"""Of one account, in use."""

_SIDE = 600  # longer side of a picture, pixels
_FINER = 2  # drawn larger, and made smaller, so that lines are smooth
_PEN = 0.018  # of the longer side
_MARGIN = 0.04
_INK = (16, 24, 64, 255)


@dataclass(frozen=True, slots=True, repr=False)
class Look:
    """What a signature looks like. ``digest``: equal for those that look the same."""

    asset_id: str
    digest: bytes
    mark: Mark


@dataclass(frozen=True, slots=True)
class Drawn:
    """A drawn signature, opened."""

    row: AssetRow
    image: bytes = field(repr=False)


class Assets:
    """In the caller's transaction. ``fonts``: of papers."""

    def __init__(
        self, accounts: Accounts, persons: Persons, sources: Sources, *, fonts: Fonts | None
    ) -> None:
        self._accounts = accounts
        self._persons = persons
        self._sources = sources
        self._fonts = fonts

    def draw(
        self, connection: Connection, account_id: str, drawn: coop_service_pb2.SignatureStrokes
    ) -> Drawn:
        """Keep a signature as it was drawn.

        Raises:
            ServiceError: SIGNATURE_EMPTY, SIGNATURE_INVALID, SIGNATURE_ASSETS_TOO_MANY, ACCOUNT_NOT_ACTIVE.
        """
        strokes = read_strokes(drawn)
        self._accounts.require_active(connection, account_id, lock=True)
        if len(rows.assets_of(connection, account_id)) >= MAX_DRAWN:
            raise ServiceError(
                Reason.SIGNATURE_ASSETS_TOO_MANY, f"An account keeps at most {MAX_DRAWN} drawn signatures."
            )
        asset_id, image = self._sources.uuid7(), draw_picture(strokes)
        key = self._persons.key_of(connection, account_id)
        row = AssetRow(
            asset_id=asset_id,
            account_id=account_id,
            strokes=self._persons.seal_bytes(key, _place(asset_id, "strokes"), encode_strokes(strokes)),
            image=self._persons.seal_bytes(key, _place(asset_id, "image"), image),
            image_sha256=sha256(image).digest(),
            created_us=to_us(self._sources.now()),
        )
        rows.add_asset(connection, row)
        return Drawn(row, image)

    def drawn(self, connection: Connection, account_id: str) -> list[Drawn]:
        """Those of an account that are in use."""
        key = self._persons.keys_of(connection, [account_id]).get(account_id)
        found = []
        for row in rows.assets_of(connection, account_id):
            image = self._persons.open_bytes(key, _place(row.asset_id, "image"), row.image)
            if image is not None:
                found.append(Drawn(row, image))
        return found

    def retire(self, connection: Connection, account_id: str, asset_id: str) -> None:
        """Take one out of use.

        Raises:
            ServiceError: SIGNATURE_ASSET_NOT_FOUND.
        """
        row = rows.get_asset(connection, asset_id)
        if row is None or row.account_id != account_id or row.retired_us is not None:
            raise _not_found()
        rows.retire_asset(connection, asset_id, now_us=to_us(self._sources.now()))

    def default(self, name: str) -> Look:
        """The one that is made from the verified name, with Chinese characters and the dot of long names.

        Raises:
            ServiceError: SIGNATURE_INVALID: no font has its characters; a drawn one can be used.
        """
        try:
            mark = name_mark(name, self._fonts)
        except MarkRefused as error:
            raise ServiceError(
                Reason.SIGNATURE_INVALID, "The name cannot be shown; draw a signature.", {"rule": "NAME"}
            ) from error
        return Look("", sha256(b"name\0" + name.encode()).digest(), mark)

    def choose(
        self, connection: Connection, account_id: str, asset_id: str | None, *, name: str, used: bool = False
    ) -> Look:
        """The one with this id, of this account; none: that of the name.

        ``used``: it was chosen before, and counts also where it was taken out of use meanwhile.

        Raises:
            ServiceError: SIGNATURE_ASSET_NOT_FOUND.
        """
        if not asset_id:
            return self.default(name)
        row = rows.get_asset(connection, asset_id)
        if row is None or row.account_id != account_id or (row.retired_us is not None and not used):
            raise _not_found()
        key = self._persons.keys_of(connection, [account_id]).get(account_id)
        content = self._persons.open_bytes(key, _place(asset_id, "strokes"), row.strokes)
        if content is None:  # its person was erased
            raise _not_found()
        return Look(asset_id, sha256(b"strokes\0" + content).digest(), strokes_mark(decode_strokes(content)))


def read_strokes(drawn: coop_service_pb2.SignatureStrokes) -> Strokes:
    """What was drawn on a pad.

    Raises:
        ServiceError: SIGNATURE_EMPTY: nothing, or a dot. SIGNATURE_INVALID: no drawing of a hand.
    """
    lines = [[(float(point.x), float(point.y)) for point in stroke.points] for stroke in drawn.strokes]
    if len({point for line in lines for point in line}) <= 1:
        raise ServiceError(Reason.SIGNATURE_EMPTY, "There is no signature.", {"rule": "NONE"})
    try:
        return parse_strokes(lines, pad_width=drawn.width, pad_height=drawn.height)
    except StrokesRefused as error:
        if "dot" in str(error):
            raise ServiceError(Reason.SIGNATURE_EMPTY, "There is no signature.", {"rule": "DOT"}) from error
        raise ServiceError(Reason.SIGNATURE_INVALID, f"This is no drawing: {error}.") from error


def draw_picture(strokes: Strokes) -> bytes:
    """PNG, dark ink on clear ground; the same strokes give the same bytes."""
    longer = max(strokes.width, strokes.height)
    scale = _SIDE * _FINER / longer
    margin = round(_SIDE * _FINER * _MARGIN)
    size = tuple(max(1, round(side * scale)) + 2 * margin for side in (strokes.width, strokes.height))
    picture = Image.new("RGBA", (size[0], size[1]), (255, 255, 255, 0))
    pen, width = ImageDraw.Draw(picture), max(1, round(_SIDE * _FINER * _PEN))
    for line in strokes.lines:
        way = [(margin + x * scale, margin + y * scale) for x, y in line]
        if len(way) > 1:
            pen.line(way, fill=_INK, width=width, joint="curve")
        for x, y in (way[0], way[-1]):
            half = width / 2
            pen.ellipse((x - half, y - half, x + half, y + half), fill=_INK)
    smaller = picture.resize((size[0] // _FINER, size[1] // _FINER), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    smaller.save(out, "PNG", optimize=True)
    return out.getvalue()


def _place(asset_id: str, column: str) -> Place:
    return Place(signature_assets.name, column, asset_id)


def _not_found() -> ServiceError:
    return ServiceError(Reason.SIGNATURE_ASSET_NOT_FOUND, "There is no such signature of this account.")
