"""The look of a field: a mark in its box, upright for whoever reads the page."""

from __future__ import annotations

import io
from collections.abc import Sequence

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name
from pyhanko.pdf_utils.layout import BoxConstraints
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import BasePdfFileWriter
from pyhanko.stamp import BaseStamp, BaseStampStyle

from cloud.pdf.marks import Mark, Sheet, placed, sheet_of_mark

_UPRIGHT = {
    0: (1, 0, 0, 1),
    90: (0, 1, -1, 0),
    180: (-1, 0, 0, -1),
    270: (0, -1, 1, 0),
}
"""Against the turning of the page. A reader moves what comes of it into the box (ISO 32000-2, 12.5.5)."""


def upright(rotate: int) -> tuple[int, int, int, int, int, int]:
    """/Matrix of a form that is seen upright on a page turned that far."""
    return (*_UPRIGHT[rotate % 360], 0, 0)


def shown_size(rectangle: Sequence[float], rotate: int) -> tuple[float, float]:
    """Width and height of a field as the reader of a turned page sees it."""
    width, height = abs(rectangle[2] - rectangle[0]), abs(rectangle[3] - rectangle[1])
    return (height, width) if rotate % 180 else (width, height)


class Shelf:
    """What marks of one act have in common: the same picture is in the file once."""

    def __init__(self) -> None:
        self._sheets: dict[tuple[Mark, float, float], Sheet] = {}
        self._kept: dict[bytes, tuple[int, int]] = {}
        self._new: dict[bytes, tuple[int, int]] = {}

    def sheet(self, mark: Mark, width: float, height: float) -> Sheet:
        key = (mark, width, height)
        if key not in self._sheets:
            self._sheets[key] = sheet_of_mark(mark, width, height)
        return self._sheets[key]

    def begin(self) -> None:
        """Another revision, or the same anew: what was put into one that was not kept is not there."""
        self._new.clear()

    def keep(self) -> None:
        """The revision stays in the file."""
        self._kept.update(self._new)

    def put(self, sheet: Sheet, writer: BasePdfFileWriter) -> generic.IndirectObject:
        """The sheet in ``writer``'s file, where an earlier revision of the same act may have put it."""
        known = self._kept.get(sheet.content) or self._new.get(sheet.content)
        if known is None:
            found = writer.import_page_as_xobject(PdfFileReader(io.BytesIO(sheet.content)))
            known = self._new[sheet.content] = found.idnum, found.generation
        return generic.IndirectObject(*known, writer)  # type: ignore[no-untyped-call]


class MarkStyle(BaseStampStyle):
    """How pyHanko is told of a mark."""

    def __init__(self, mark: Mark, rotate: int, shelf: Shelf) -> None:
        self.mark = mark
        self.rotate = rotate
        self.shelf = shelf

    def create_stamp(
        self, writer: BasePdfFileWriter, box: BoxConstraints, text_params: dict[str, object]
    ) -> BaseStamp:
        del text_params
        return _MarkAppearance(writer, box, self)


class _MarkAppearance(BaseStamp):
    def __init__(self, writer: BasePdfFileWriter, box: BoxConstraints, style: MarkStyle) -> None:
        super().__init__(writer, style, box)
        self._writer_of_marks = writer
        self._style = style

    def as_form_xobject(self) -> generic.StreamObject:
        mark, rotate, shelf = self._style.mark, self._style.rotate, self._style.shelf
        width, height = shown_size((0, 0, float(self.box.width), float(self.box.height)), rotate)
        sheet = shelf.sheet(mark, width, height)
        scale, left, bottom = placed(sheet, width, height)
        inner = shelf.put(sheet, self._writer_of_marks)
        form = generic.StreamObject(
            {
                pdf_name("/Type"): pdf_name("/XObject"),
                pdf_name("/Subtype"): pdf_name("/Form"),
                pdf_name("/BBox"): _numbers(0, 0, width, height),
                pdf_name("/Matrix"): _numbers(*upright(rotate)),
                pdf_name("/Resources"): _dictionary("/XObject", _dictionary("/Mark", inner)),
            },
            stream_data=b"q %.6f 0 0 %.6f %.4f %.4f cm /Mark Do Q" % (scale, scale, left, bottom),
        )
        form.compress()  # type: ignore[no-untyped-call]
        return form


def _dictionary(key: str, value: generic.PdfObject) -> generic.DictionaryObject:
    return generic.DictionaryObject({pdf_name(key): value})  # type: ignore[no-untyped-call]


def _numbers(*values: float) -> generic.ArrayObject:
    return generic.ArrayObject(generic.FloatObject(value) for value in values)  # type: ignore[no-untyped-call]
