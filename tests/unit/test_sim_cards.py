"""Synthetic cards and portraits: valid in every check, the same for the same seed, nobody's."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.model import DocumentType
from edge.reader.cards import parse_text
from verifield_sim import portraits
from verifield_sim.cards import CARD_TYPES, card_for, citizen_number, permit_number, text_area
from verifield_sim.errors import SimError

TYPES = {
    "resident": DocumentType.RESIDENT_ID,
    "hkmt": DocumentType.HKMT_PERMIT,
    "foreigner2017": DocumentType.FOREIGNER_2017,
    "foreigner2023": DocumentType.FOREIGNER_2023,
}


@pytest.fixture
def quick_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoding the photo is the slow part, and the texts do not depend on it."""
    monkeypatch.setattr(portraits, "encode_chip_photo", lambda _image: bytes(1024))


def test_every_type_has_its_expectation() -> None:
    assert set(TYPES) == set(CARD_TYPES)


@pytest.mark.usefixtures("quick_photos")
@pytest.mark.parametrize("card_type", CARD_TYPES)
@pytest.mark.parametrize("seed", range(5))
def test_cards_pass_every_check_of_the_driver(card_type: str, seed: int) -> None:
    card = card_for("astronaut", card_type=card_type, seed=seed)
    text = parse_text(card.text)
    assert text.type is TYPES[card_type]
    assert "测试" in text.name or "SPECIMEN" in text.name


@pytest.mark.usefixtures("quick_photos")
def test_cards_are_the_same_for_the_same_seed_only() -> None:
    assert card_for("astronaut", seed=1).text == card_for("astronaut", seed=1).text
    assert card_for("astronaut", seed=1).text != card_for("astronaut", seed=2).text
    assert card_for("astronaut", seed=1).text != card_for("grace_hopper", seed=1).text


def test_published_numbers() -> None:
    assert citizen_number("110105", "19491231", 2) == "11010519491231002X"
    assert citizen_number("931586", "19800101", 2) == "931586198001010028"
    assert permit_number("PAK", "3100", "19800101", 0) == "PAK310080010103"


def test_a_value_that_does_not_fit_is_refused() -> None:
    assert text_area(" ", {0: (4, "ab")})[:6] == b"a\0b\0 \0"
    with pytest.raises(SimError):
        text_area(" ", {0: (4, "abc")})


def test_unknown_names_are_refused() -> None:
    with pytest.raises(SimError, match="resident"):
        card_for("astronaut", card_type="passport")
    with pytest.raises(SimError, match="grace_hopper"):
        portraits.load("nobody")


@pytest.mark.parametrize(("name", "centre"), [("astronaut", (224, 115)), ("grace_hopper", (268, 220))])
def test_the_biggest_face_is_found(name: str, centre: tuple[int, int]) -> None:
    image = portraits.load(name)
    assert image.dtype == np.uint8
    x, y, width, height = portraits.face_box(image)
    assert abs(x + width / 2 - centre[0]) < 15
    assert abs(y + height / 2 - centre[1]) < 15


def test_a_portrait_from_a_file_and_at_another_size(tmp_path: Path) -> None:
    large = cv2.resize(portraits.load("astronaut"), None, fx=2.5, fy=2.5)
    cv2.imwrite(str(tmp_path / "large.png"), large)
    x, y, width, height = portraits.face_box(portraits.load(str(tmp_path / "large.png")))
    assert abs((x + width / 2) / 2.5 - 224) < 15
    assert abs((y + height / 2) / 2.5 - 115) < 15


def test_pictures_without_a_face_and_files_without_a_picture(tmp_path: Path) -> None:
    with pytest.raises(SimError, match="no face"):
        portraits.face_box(np.full((200, 200, 3), 128, np.uint8))
    with pytest.raises(SimError, match="too small"):
        portraits.face_box(np.full((20, 20, 3), 128, np.uint8))
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(SimError, match=r"text\.jpg"):
        portraits.load(str(tmp_path / "text.jpg"))


def test_an_id_photo_has_the_face_in_its_middle() -> None:
    photo = portraits.id_photo(portraits.load("astronaut"))
    assert photo.shape == (126, 102, 3)
    x, y, width, height = portraits.face_box(cv2.resize(photo, None, fx=4, fy=4))
    assert abs((x + width / 2) / 4 - 51) < 5
    assert abs((y + height / 2) / 4 - 126 * 0.52) < 6
    assert 0.45 < width / 4 / 102 < 0.65


def test_a_photo_of_another_size_is_refused() -> None:
    with pytest.raises(SimError, match="102 x 126"):
        portraits.encode_chip_photo(np.zeros((102, 126, 3), np.uint8))


def test_noise_fits_as_well_as_it_can_into_1024_bytes() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (126, 102, 3), np.uint8)
    field = portraits.encode_chip_photo(picture)
    assert len(field) == 1024
    assert field.startswith(b"VFSIM\x01")


@pytest.mark.parametrize("size", [0, portraits.MAX_PICTURE_BYTES, portraits.MAX_PICTURE_BYTES + 1])
def test_a_file_that_is_no_portrait_is_said_and_a_huge_one_not_read(size: int, tmp_path: Path) -> None:
    path = tmp_path / "portrait.jpg"
    with path.open("wb") as file:
        file.truncate(size)
    why = "larger" if size > portraits.MAX_PICTURE_BYTES else "not a picture"
    with pytest.raises(SimError, match=why):
        portraits.load(str(path))
