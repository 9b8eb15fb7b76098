"""Papers: what they say can be read by people and machines, and the same paper is the same file."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pypdf
import pypdfium2
import pytest
from PIL import Image, ImageDraw

from cloud.errors import SetupError
from cloud.papers import paper as limits
from cloud.papers.fonts import DEBIAN_FONT, FontError, open_fonts
from cloud.papers.layout import break_lines
from cloud.papers.render import Fonts, Paper, PaperError, Picture, Row, Section, render

MADE = datetime(2026, 11, 22, 12, 3, 4, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]
NAME = "欧阳·测试"
ADDRESS = "模拟市样本区虚构路1号"


def png(width: int = 600, height: int = 200) -> bytes:
    picture = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    ImageDraw.Draw(picture).line(
        [(5, height - 5), (width // 2, 5), (width - 5, height // 2)], fill=(160, 0, 0, 255), width=6
    )
    output = io.BytesIO()
    picture.save(output, "PNG")
    return output.getvalue()


def a_paper(language: str = "zh") -> Paper:
    return Paper(
        number="2026-000012",
        title={"zh": "联网核查申请书", "en": "Request", "es": "Solicitud de verificación"}[language],
        language=language,
        made=MADE,
        sections=(
            Section("客户信息", rows=(Row("姓名", NAME), Row("Dirección", ADDRESS))),
            Section("Ñandú", text="第一段。\nSegundo párrafo: ¿así?"),
            Section("签名", pictures=(Picture("手写签名", png()),)),
        ),
    )


@pytest.fixture(params=["debian", "reader"])
def fonts(request: pytest.FixtureRequest) -> Fonts:
    if request.param == "debian" and not DEBIAN_FONT.is_file():
        pytest.skip("the font fonts-droid-fallback is not installed")
    return Fonts.open(DEBIAN_FONT if request.param == "debian" else None)


def text_of(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages)


def pictures_of(pdf: bytes) -> Iterator[Image.Image]:
    for page in pypdfium2.PdfDocument(pdf):
        yield page.render(scale=1.0).to_pil().convert("RGB")


def ink(picture: Image.Image, box: tuple[float, float, float, float] | None = None) -> int:
    part = picture.crop(tuple(map(round, box))) if box else picture
    return sum(count for count, colour in part.getcolors(1 << 24) or () if min(colour) < 140)


@pytest.mark.parametrize("language", limits.LANGUAGES)
def test_all_that_a_paper_says_can_be_extracted(language: str, fonts: Fonts) -> None:
    pdf = render(a_paper(language), fonts)
    text = text_of(pdf)
    page = {"zh": "第 1 页，共 1 页", "en": "Page 1 of 1", "es": "Página 1 de 1"}[language]
    for said in (NAME, ADDRESS, "2026-000012", "2026-11-22 12:03:04 UTC", "¿así?", "手写签名", page):
        assert said in text, said
    assert text.count("2026-000012") == 2  # under the title, and on the page's edge
    by_pdfium = pypdfium2.PdfDocument(pdf)[0].get_textpage().get_text_range()
    assert NAME in by_pdfium
    assert ADDRESS in by_pdfium


def test_all_that_a_paper_says_is_seen(fonts: Fonts) -> None:
    pdf = render(a_paper(), fonts)
    [page] = pictures_of(pdf)
    textpage = pypdfium2.PdfDocument(pdf)[0].get_textpage()
    for said in (NAME, ADDRESS, "12:03:04"):
        found = textpage.search(said).get_next()
        assert found is not None, said
        for index in range(found[0], found[0] + found[1]):
            left, bottom, right, top = textpage.get_charbox(index, loose=True)
            box = left - 0.5, page.height - top - 0.5, right + 0.5, page.height - bottom + 0.5
            assert textpage.get_text_range(index, 1) == "·" or ink(page, box) > 0, (said, index)
    red = sum(count for count, (r, g, b) in page.getcolors(1 << 24) or () if r > g + 60 and r > b + 60)
    assert red > 200  # the signature, on white: what lets light through is not black
    assert ink(page) < page.width * page.height / 5


def test_the_same_paper_is_the_same_file_in_every_process() -> None:
    digest = hashlib.sha256(render(a_paper())).hexdigest()
    assert hashlib.sha256(render(a_paper())).hexdigest() == digest
    assert render(replace(a_paper(), number="2026-000013")) != render(a_paper())
    script = (
        "import hashlib\nfrom tests.unit.test_papers_render import a_paper\n"
        "from cloud.papers.render import render\nprint(hashlib.sha256(render(a_paper())).hexdigest())"
    )
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "7",
        "TZ": "America/Lima",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "proto"), str(ROOT / "firmware-sim")]),
    }
    run = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert run.stdout.strip() == digest


def test_fonts_are_in_the_file_and_its_properties_say_what_it_is() -> None:
    reader = pypdf.PdfReader(io.BytesIO(render(a_paper())))
    assert reader.metadata is not None
    assert reader.metadata.title == "联网核查申请书 2026-000012"
    assert reader.metadata.creation_date == MADE
    assert reader.trailer["/Root"]["/Lang"] == "zh"
    if DEBIAN_FONT.is_file():
        used = [font.get_object() for font in reader.pages[0]["/Resources"]["/Font"].values()]
        embedded = [font for font in used if "/FontFile2" in font.get("/FontDescriptor", {})]
        assert len(embedded) >= 2


def test_a_long_paper_has_pages_with_numbers_and_loses_nothing(fonts: Fonts) -> None:
    rows = tuple(Row(f"字段 {index}", f"值 {index} {ADDRESS * 6}") for index in range(120))
    paper = replace(a_paper("en"), sections=(Section("Rows", rows=rows), *a_paper().sections))
    reader = pypdf.PdfReader(io.BytesIO(render(paper, fonts)))
    pages = [page.extract_text() for page in reader.pages]
    assert len(pages) > 5
    for index, page in enumerate(pages):
        assert f"Page {index + 1} of {len(pages)}" in page
        assert "2026-000012" in page
    together = "".join("".join(pages).split())
    assert all(f"值{index}{ADDRESS}" in together for index in range(120))
    assert all(ink(picture) > 500 for picture in pictures_of(render(paper, fonts)))


def test_what_no_font_has_is_told_and_never_left_out(fonts: Fonts) -> None:
    paper = replace(a_paper(), sections=(Section("x", rows=(Row("姓名", "\U00020bb7\u202e甲\x00"),)),))
    text = text_of(render(paper, fonts))
    assert "[U+20BB7][U+202E]甲[U+0000]" in text


def test_lines_are_no_wider_than_the_page_and_words_stay_whole(fonts: Fonts) -> None:
    text = "本人已阅读 The quick brown fox 以上内容 " * 30 + "A" * 500
    lines = list(break_lines(text, fonts, size=10, width=300))
    assert max(fonts.width(line, 10) for line in lines) <= 300
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert sum(line.count("quick") for line in lines) == 30


def test_signs_stand_where_chinese_readers_expect_them(fonts: Fonts) -> None:
    text = "核查结果（有效、已过期或已撤销）为准。《模拟》“样本”：" * 40
    for width in range(60, 200, 7):
        lines = list(break_lines(text, fonts, size=10, width=width))
        assert "".join(lines) == text
        assert max(fonts.width(line, 10) for line in lines) <= width
        assert not [line for line in lines if line[0] in "。、，：）》”" or line[-1] in "（《“"]
    odd = list(break_lines("。" * 5_000, fonts, size=10, width=400))
    assert len(odd) < 200  # no text makes lines of one sign each


def test_a_text_that_fits_on_a_page_is_not_torn() -> None:
    rows = tuple(Row(f"字段 {index}", "值") for index in range(25))
    paper = replace(a_paper(), sections=(Section("a", rows=rows), Section("b", text="条款\n" * 12)))
    pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(render(paper))).pages]
    assert [page.count("条款") for page in pages] == [0, 12]


def test_the_configured_font_is_refused_in_plain_words(tmp_path: Path) -> None:
    assert open_fonts(None) is None
    with pytest.raises(SetupError) as refused:
        open_fonts(tmp_path / "missing.ttf")
    assert refused.value.code == "PAPER_FONT"
    if DEBIAN_FONT.is_file():
        copy = tmp_path / "copy.ttf"
        copy.write_bytes(DEBIAN_FONT.read_bytes())
        fonts = open_fonts(copy)
        assert fonts is not None
        assert fonts.chinese not in {Fonts.open(DEBIAN_FONT).chinese, Fonts.open(None).chinese}


@pytest.mark.parametrize(
    "paper",
    [
        replace(a_paper(), language="fr"),
        replace(a_paper(), made=MADE.replace(tzinfo=None)),
        replace(a_paper(), number=""),
        replace(a_paper(), number="1" * (limits.MAX_LINE_CHARS + 1)),
        replace(a_paper(), sections=(Section("x"),) * (limits.MAX_SECTIONS + 1)),
        replace(a_paper(), sections=(Section("x", rows=(Row("a", "b"),) * (limits.MAX_ROWS + 1)),)),
        replace(a_paper(), sections=(Section("x", rows=(Row("a", "b" * (limits.MAX_VALUE_CHARS + 1)),)),)),
        replace(a_paper(), sections=(Section("x", text="甲" * limits.MAX_PAPER_CHARS),)),
        replace(a_paper(), sections=(Section("x", text="\n" * 199_000),)),
        *(
            replace(a_paper(), sections=(Section("x", pictures=(Picture("y", content),)),))
            for content in (
                b"",
                b"no picture",
                png()[:200],
                b"GIF89a" + bytes(40),
                bytes(limits.MAX_PICTURE_BYTES + 1),
                png(2001, 2000),
            )
        ),
        replace(a_paper(), sections=(Section("x", pictures=(Picture("y", png(9, 9)),) * 17),)),
        replace(a_paper(), sections=(Section("x", pictures=(Picture("y", png(9, 9), width_mm=0),)),)),
    ],
)
def test_what_is_too_much_or_no_picture_is_refused(paper: Paper) -> None:
    with pytest.raises(PaperError):
        render(paper)


def test_a_file_that_is_no_font_with_chinese_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    for file in (broken, tmp_path / "missing.ttf", Path("Vera.ttf")):
        with pytest.raises(FontError):
            Fonts.open(file)
