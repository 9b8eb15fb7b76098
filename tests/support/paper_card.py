"""Cards that are drawn and then photographed: perspective, light, blur and noise. Nobody's: see the names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from verifield_sim import portraits

Picture = npt.NDArray[np.uint8]

FONT = Path("/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf")
FONT_MISSING = "the font fonts-droid-fallback, with which the cards are drawn, is not installed"
SIZE = (1012, 638)
_LATIN_FOLDER = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
_INK, _LABEL = (30, 30, 30), (120, 90, 40)


@dataclass(frozen=True)
class PaperCard:
    name: str = "测试甲"
    number: str = "11010519491231002X"
    validity: str = "2020.01.01-2040.01.01"
    portrait: str = "astronaut"


def draw_front(card: PaperCard) -> Picture:
    page, pen = _blank()
    rows = [
        ("姓名", card.name),
        ("性别", "女  民族 汉"),
        ("出生", "1949 年 12 月 31 日"),
        ("住址", "模拟市样本区虚构路1号"),
    ]
    for index, (label, value) in enumerate(rows):
        top = 70 + 85 * index
        _write(pen, (60, top), label, 32, _LABEL)
        _write(pen, (170, top - 4), value, 38)
    _write(pen, (60, 545), "公民身份号码", 32, _LABEL)
    _write(pen, (320, 538), card.number, 44)
    photo = portraits.id_photo(portraits.load(card.portrait))
    shown = PilImage.fromarray(np.ascontiguousarray(photo[..., ::-1])).resize((306, 378))
    page.paste(shown, (660, 90))
    return _picture(page)


def draw_back(card: PaperCard) -> Picture:
    page, pen = _blank()
    _write(pen, (260, 80), "模拟样本居民身份证", 56)
    _write(pen, (180, 430), "签发机关", 32, _LABEL)
    _write(pen, (350, 424), "模拟市公安局样本分局", 38)
    _write(pen, (180, 520), "有效期限", 32, _LABEL)
    _write(pen, (350, 514), card.validity, 38)
    return _picture(page)


def draw_zone(rows: tuple[str, ...]) -> Picture:
    """A data page of a passport, as far as its zone."""
    page, pen = _blank()
    for index, row in enumerate(rows):
        pen.text((30, 470 + 70 * index), row, font=_latin(36, "DejaVuSansMono"), fill=_INK)
    return _picture(page)


def photograph(side: Picture, *, seed: int, upside_down: bool = False) -> Picture:
    """The card on a dark table, 1280 x 960, held at a slant by somebody."""
    rng = np.random.default_rng(seed)
    height, width = 960, 1280
    ground = rng.normal(70, 6, (height, width, 3)).clip(0, 255).astype(np.uint8)
    shown = side[::-1, ::-1] if upside_down else side
    across = rng.uniform(0.72, 0.85) * width
    down = across * SIZE[1] / SIZE[0]
    left, top = (width - across) / 2, (height - down) / 2
    corners = np.array([[left, top], [left + across, top], [left + across, top + down], [left, top + down]])
    corners = _turn(corners, rng.uniform(-9, 9)) + rng.uniform(-28, 28, (4, 2))
    source = np.array([[0, 0], [SIZE[0], 0], [SIZE[0], SIZE[1]], [0, SIZE[1]]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, corners.astype(np.float32))
    card = cv2.warpPerspective(np.ascontiguousarray(shown), matrix, (width, height), flags=cv2.INTER_AREA)
    mask = cv2.warpPerspective(np.full(shown.shape[:2], 255, np.uint8), matrix, (width, height))
    seen = np.where(mask[..., None] > 127, card, ground).astype(np.float32)
    light = np.linspace(rng.uniform(0.75, 1.0), rng.uniform(0.85, 1.1), width)[None, :, None]
    seen = cv2.GaussianBlur(seen * light, (0, 0), rng.uniform(0.4, 0.9)) + rng.normal(0, 3, seen.shape)
    return seen.clip(0, 255).astype(np.uint8)


def _blank() -> tuple[PilImage.Image, ImageDraw.ImageDraw]:
    page = PilImage.new("RGB", SIZE, (228, 236, 240))
    return page, ImageDraw.Draw(page)


def _write(
    pen: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: int,
    ink: tuple[int, int, int] = _INK,
) -> None:
    """Character by character: the font with Chinese has no Latin, and the other way round."""
    x, y = place
    for char in text:
        font = _latin(size) if char.isascii() else ImageFont.truetype(str(FONT), size)
        pen.text((x, y), char, font=font, fill=ink)
        x += font.getlength(char)


def _latin(size: int, name: str = "DejaVuSans") -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_LATIN_FOLDER / f"{name}.ttf"), size)


def _picture(page: PilImage.Image) -> Picture:
    return np.ascontiguousarray(np.asarray(page)[..., ::-1])


def _turn(corners: npt.NDArray[np.float64], degrees: float) -> npt.NDArray[np.float64]:
    centre, angle = corners.mean(axis=0), np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (corners - centre) @ turn.T + centre
