"""Papers as PDF: the same paper gives the same bytes, so that its digest can be kept in its place."""

from __future__ import annotations

import io
import threading
from datetime import UTC, datetime
from functools import lru_cache

from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from cloud.papers.fonts import DEBIAN_FONT, Fonts
from cloud.papers.layout import HEIGHT, MARGIN, MM, SMALL, WIDTH, Frame, Item, Layout, Placed, Rule, Text
from cloud.papers.paper import Paper, PaperError, Picture, Row, Section, check_paper

__all__ = ["Fonts", "Paper", "PaperError", "Picture", "Row", "Section", "render"]

_WORDS = {
    "en": ("Number", "Made", "Page {page} of {pages}"),
    "zh": ("编号", "生成时间", "第 {page} 页，共 {pages} 页"),
    "es": ("Número", "Fecha", "Página {page} de {pages}"),
}
_one_at_a_time = threading.Lock()
"""ReportLab keeps fonts for the whole process, and does not say that threads may share them."""


def render(paper: Paper, fonts: Fonts | None = None) -> bytes:
    """The paper as PDF, all fonts embedded. ``fonts``: those of Debian where they are installed.

    Raises:
        PaperError: it holds more than one paper can, or a picture that is none.
    """
    check_paper(paper)
    number, made, page_of = _WORDS[paper.language]
    with _one_at_a_time:
        chosen = fonts or default_fonts()
        layout = Layout(chosen)
        layout.add(paper, (Row(number, paper.number), Row(made, show(paper.made))))
        output = io.BytesIO()
        canvas = _canvas(output, paper)
        for index, items in enumerate(layout.pages):
            for item in items:
                _draw(canvas, item, chosen)
            _draw_frame(canvas, paper, page_of.format(page=index + 1, pages=len(layout.pages)), fonts=chosen)
            canvas.showPage()
        canvas.save()
    return output.getvalue()


@lru_cache(maxsize=1)
def default_fonts() -> Fonts:
    """Debian's font with Chinese characters where it is installed, else the one that readers of PDF bring."""
    return Fonts.open(DEBIAN_FONT if DEBIAN_FONT.is_file() else None)


def show(moment: datetime) -> str:
    """A time as papers tell it: to the second, UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _canvas(output: io.BytesIO, paper: Paper) -> Canvas:
    canvas = Canvas(output, pagesize=(WIDTH, HEIGHT), pageCompression=1, invariant=1, lang=paper.language)
    made = paper.made.astimezone(UTC)
    canvas.setDateFormatter(lambda *_: made.strftime("D:%Y%m%d%H%M%S+00'00'"))
    canvas.setTitle(f"{paper.title} {paper.number}")
    canvas.setSubject(paper.number)
    canvas.setAuthor("Verifield")
    canvas.setCreator("Verifield")
    return canvas


def _draw(canvas: Canvas, item: Item, fonts: Fonts) -> None:
    if isinstance(item, Text):
        _write(canvas, item, fonts)
    elif isinstance(item, Rule):
        canvas.setLineWidth(0.3)
        canvas.setStrokeGray(0.75)
        canvas.line(MARGIN, item.y, WIDTH - MARGIN, item.y)
    elif isinstance(item, Placed):
        canvas.drawImage(ImageReader(item.picture), item.x, item.y, width=item.width, height=item.height)
    elif isinstance(item, Frame):
        canvas.setLineWidth(0.5)
        canvas.setStrokeGray(0.5)
        canvas.rect(item.x, item.y, item.width, item.height, stroke=1, fill=0)


def _write(canvas: Canvas, item: Text, fonts: Fonts) -> None:
    """One line of several fonts as one text object: readers of its text then find no gaps in it."""
    line = canvas.beginText(item.x, item.y)
    line.setFillGray(item.grey)
    for run in fonts.runs(item.text):
        line.setFont(run.font, item.size)
        line.textOut(run.text)
    canvas.drawText(line)


def _draw_frame(canvas: Canvas, paper: Paper, page: str, *, fonts: Fonts) -> None:
    """Number above, number of the page below: a page that was taken out can be put back."""
    above, below = HEIGHT - 18 * MM, 12 * MM
    _write(canvas, Text(MARGIN, above, _short(paper.title, fonts), SMALL, grey=0.4), fonts)
    at_right = WIDTH - MARGIN
    _write(
        canvas, Text(at_right - fonts.width(paper.number, SMALL), above, paper.number, SMALL, grey=0.4), fonts
    )
    _write(canvas, Text(at_right - fonts.width(page, SMALL), below, page, SMALL, grey=0.4), fonts)


def _short(title: str, fonts: Fonts) -> str:
    """As much of a title as stands beside the number."""
    room = (WIDTH - 2 * MARGIN) * 0.6
    while fonts.width(title, SMALL) > room:
        title = title[:-1]
    return title
