"""Drawn cards, photographed at a slant and upside down, read by the real networks."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from edge.capture.detector import YuNetDetector
from edge.cli import app
from edge.errors import InputError
from edge.model import ReadMethod
from edge.models.store import ModelStore
from edge.reader.scan.card import find_card, rectify
from edge.reader.scan.scanner import document_of, scan
from edge.reader.scan.text import RapidTextReader
from edge.vision import Vision
from tests.support.paper_card import (
    FONT,
    FONT_MISSING,
    SIZE,
    PaperCard,
    Picture,
    draw_back,
    draw_front,
    draw_zone,
    photograph,
)

TODAY = date(2026, 1, 1)
CARD = PaperCard()
pytestmark = pytest.mark.skipif(not FONT.is_file(), reason=FONT_MISSING)


@pytest.fixture(scope="module")
def detector(model_store: ModelStore) -> YuNetDetector:
    return Vision.open(model_store, threads=1).detector


@pytest.fixture(scope="module")
def texts() -> RapidTextReader:
    return RapidTextReader(threads=1)


@pytest.mark.parametrize(("seed", "upside_down"), [(1, False), (2, True)])
def test_both_sides_make_a_document(
    detector: YuNetDetector, texts: RapidTextReader, seed: int, upside_down: bool
) -> None:
    sides = [
        photograph(draw_back(CARD), seed=seed + 50, upside_down=not upside_down),
        photograph(draw_front(CARD), seed=seed, upside_down=upside_down),
    ]
    document = document_of(scan(sides, faces=detector.detect, texts=texts, today=TODAY))
    assert document.read_method is ReadMethod.SCANNED
    assert (document.name, document.number) == (CARD.name, CARD.number)
    assert (document.valid_from, document.valid_to) == (date(2020, 1, 1), date(2040, 1, 1))
    assert document.photo is not None
    assert document.photo.shape == (126, 102, 3)
    [face] = detector.detect(np.asarray(np.kron(document.photo, np.ones((4, 4, 1))), np.uint8))
    assert face.score > 0.8


def test_one_side_is_not_enough_and_a_table_is_no_card(
    detector: YuNetDetector, texts: RapidTextReader
) -> None:
    front = photograph(draw_front(CARD), seed=3)
    with pytest.raises(InputError) as caught:
        document_of(scan([front], faces=detector.detect, texts=texts, today=TODAY))
    assert caught.value.code == "SCAN_INCOMPLETE"
    table = np.random.default_rng(1).normal(70, 6, (960, 1280, 3)).clip(0, 255).astype(np.uint8)
    with pytest.raises(InputError) as caught:
        scan([table], faces=detector.detect, texts=texts, today=TODAY)
    assert caught.value.code == "SCAN_NO_CARD"


def test_a_passports_zone(detector: YuNetDetector, texts: RapidTextReader) -> None:
    rows = ("P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F1204159ZE184226B<<<<<10")
    zone = scan([photograph(draw_zone(rows), seed=4)], faces=detector.detect, texts=texts, today=TODAY).zone
    assert zone is not None
    assert (zone.number, zone.birth) == ("L898902C3", date(1974, 8, 12))


@pytest.mark.parametrize("seed", range(6))
def test_the_corners_are_found_and_the_card_is_straightened(seed: int) -> None:
    side: Picture = draw_front(CARD)
    picture = photograph(side, seed=seed)
    quad = find_card(picture)
    assert quad is not None
    straight = rectify(picture, quad)
    assert straight.shape == (SIZE[1], SIZE[0], 3)
    seen, drawn = (np.asarray(one, float).mean(axis=2) for one in (straight, side))
    assert np.corrcoef(seen.ravel(), drawn.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("shape", [(1, 1), (1, 1600), (1, 1601), (1, 20_000), (30, 49_000), (5, 3000)])
def test_a_picture_too_narrow_for_a_card_shows_none(shape: tuple[int, int]) -> None:
    for height, width in (shape, shape[::-1]):
        assert find_card(np.zeros((height, width, 3), np.uint8)) is None


def call(*args: object) -> Result:
    return CliRunner().invoke(app, ["scan", *map(str, args)])


def test_the_command_masks_what_it_read_unless_told(tmp_path: Path, model_store: ModelStore) -> None:
    for name, side, seed in (("front.png", draw_front(CARD), 1), ("back.png", draw_back(CARD), 51)):
        cv2.imwrite(str(tmp_path / name), photograph(side, seed=seed))
    sides = (tmp_path / "front.png", tmp_path / "back.png")
    data = ("--data", tmp_path / "data", "--json")
    done = call(*sides, *data)
    assert done.exit_code == 0
    answer = json.loads(done.stdout)
    assert answer["portrait"] is True
    assert answer["missing"] == []
    assert CARD.name not in done.output
    assert CARD.number not in done.output
    assert answer["number"] == "1101************2X"
    shown = json.loads(call(*sides, *data, "--show").stdout)
    assert (shown["name"], shown["number"]) == (CARD.name, CARD.number)
    half = call(sides[0], *data)
    assert half.exit_code == 1
    assert json.loads(half.stdout)["missing"] == ["valid_from", "valid_to"]
    assert not (tmp_path / "data").exists()  # nothing is kept


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "NOT_A_PICTURE"),
        (b"\xff\xd8\xff\xe0" + bytes(400), "NOT_A_PICTURE"),
        (None, "NOT_A_PICTURE"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\xff\xff\x00\x00\xff\xff\x08\x02\x00\x00\x00", None),
    ],
)
def test_files_that_are_no_pictures_are_refused_before_anything_begins(
    tmp_path: Path, content: bytes | None, code: str | None
) -> None:
    """Neither a scan nor a session: no device is needed to be told."""
    path = tmp_path / "front.jpg"
    if content is not None:
        path.write_bytes(content)
    for command in (
        ["scan", str(path)],
        ["verify", "--front", str(path)],
        ["verify", "--pictures", str(path), str(path)],
    ):
        done = CliRunner().invoke(app, [*command, "--data", str(tmp_path / "data"), "--json"])
        assert done.exit_code == 5, done.output
        error = json.loads(done.stdout.splitlines()[0])["error"]
        assert error["code"] in ({code} if code else {"NOT_A_PICTURE", "PICTURE_TOO_LARGE"})
        assert error["hint"]


def test_a_picture_of_one_line_is_told_to_show_no_card(tmp_path: Path, model_store: ModelStore) -> None:
    line = tmp_path / "line.png"
    cv2.imwrite(str(line), np.zeros((1, 4000, 3), np.uint8))
    done = call(line, "--data", tmp_path / "data", "--json")
    assert done.exit_code == 5
    assert json.loads(done.stdout)["error"]["code"] == "SCAN_NO_CARD"


def test_one_way_at_a_time(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["verify", "--typed", "--front", "x.jpg", "--data", str(tmp_path)])
    assert done.exit_code == 2
