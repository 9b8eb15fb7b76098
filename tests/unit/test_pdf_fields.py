"""Places of marks, and where they are on the page of the file."""

from __future__ import annotations

import io

import pikepdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.pdf.fields import (
    MOST_A_DOCUMENT,
    MOST_A_PARTY,
    Box,
    Kind,
    Misplaced,
    Place,
    PlacesRefused,
    check_places,
)
from cloud.pdf.geometry import Sheet, sheet_of
from cloud.pdf.intake import Document, Page, check_document
from tests.support import pdf_samples as samples

DOCUMENT = Document((Page(600, 800), Page(800, 600)), b"")
BOX = Box(10, 20, 120, 40)


def place(name: str = "a", box: Box = BOX, **changes: object) -> Place:
    values: dict[str, object] = {"kind": Kind.SIGNATURE, "page": 1, "party": "one"} | changes
    return Place(name=name, box=box, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("why", "index", "places"),
    [
        (Misplaced.NO_PAGE, 0, [place(page=3)]),
        (Misplaced.NO_PAGE, 0, [place(page=0)]),
        (Misplaced.NO_PAGE, 1, [place(), place("b", page=-1)]),
        (Misplaced.OUTSIDE, 0, [place(box=Box(-1, 20, 120, 40))]),
        (Misplaced.OUTSIDE, 0, [place(box=Box(500, 20, 120, 40))]),
        (Misplaced.OUTSIDE, 0, [place(box=Box(10, 790, 120, 40))]),
        (Misplaced.OUTSIDE, 0, [place(box=Box(650, 20, 120, 40))]),
        (Misplaced.OUTSIDE, 0, [place(box=Box(10, 650, 120, 40), page=2)]),
        (Misplaced.OUTSIDE, 0, [place(box=Box(float("nan"), 20, 120, 40))]),
        (Misplaced.OUTSIDE, 0, [place(box=Box(10, 20, float("inf"), 40))]),
        (Misplaced.TOO_SMALL, 0, [place(box=Box(10, 20, 5, 40))]),
        (Misplaced.TOO_SMALL, 0, [place(box=Box(10, 20, -120, -40))]),
        (Misplaced.TOO_SMALL, 0, [place(kind=Kind.SEAL, box=Box(10, 20, 120, 20))]),
        (Misplaced.TOO_SMALL, 0, [place(kind=Kind.SIGN_DATE, box=Box(10, 20, 30, 10))]),
        (Misplaced.DUPLICATE, 1, [place(), place(box=Box(10, 200, 120, 40))]),
        (Misplaced.OVERLAP, 1, [place(), place("b", Box(129, 59, 120, 40), party="two")]),
        (Misplaced.OVERLAP, 1, [place(), place("b", Box(20, 25, 50, 20), party="two")]),
        (
            Misplaced.TOO_MANY,
            MOST_A_PARTY,
            [place(f"n{n}", Box(10, 20 * n, 120, 15)) for n in range(MOST_A_PARTY + 1)],
        ),
    ],
)
def test_refused(why: Misplaced, index: int, places: list[Place]) -> None:
    with pytest.raises(PlacesRefused) as caught:
        check_places(DOCUMENT, places)
    assert (caught.value.why, caught.value.index) == (why, index)


def test_too_many_of_all_parties() -> None:
    places = [place(f"n{n}", party=str(n)) for n in range(MOST_A_DOCUMENT + 1)]
    with pytest.raises(PlacesRefused) as caught:
        check_places(DOCUMENT, places)
    assert caught.value.why is Misplaced.TOO_MANY


@pytest.mark.parametrize("name", ["", "a.b", "a b", "名", "x" * 65, "/a", "Platform", "Archive1"])
def test_names_that_no_field_can_have(name: str) -> None:
    with pytest.raises(ValueError, match="field"):
        check_places(DOCUMENT, [place(name)])


def test_edges_that_touch_and_marks_of_one_party_that_overlap_are_right() -> None:
    check_places(
        DOCUMENT,
        [
            place("a", Box(0, 0, 600, 40)),
            place("b", Box(0, 40, 300, 760), party="two"),
            place("c", Box(10, 50, 100, 100), kind=Kind.SEAL, party="two"),
            place("d", Box(0, 40, 300, 40), party="one", page=2),
        ],
    )


@settings(max_examples=60, deadline=None)
@given(
    st.floats(-500, 500),
    st.floats(-500, 500),
    st.sampled_from([0, 90, 180, 270]),
    st.floats(0.5, 4),
    st.floats(0, 100),
    st.floats(0, 100),
)
def test_a_place_keeps_its_size_and_stays_on_its_page(
    left: float, bottom: float, rotate: int, unit: float, x: float, y: float
) -> None:
    sheet = Sheet(left, bottom, left + 300, bottom + 400, rotate, unit)
    one, low, other, high = sheet.rectangle(Box(x, y, 40 * unit, 20 * unit))
    wide, tall = (20, 40) if rotate % 180 else (40, 20)
    assert (other - one, high - low) == pytest.approx((wide, tall))
    assert one >= left - 1e-6
    assert low >= bottom - 1e-6
    assert other <= left + 300 + 1e-6
    assert high <= bottom + 400 + 1e-6


@pytest.mark.parametrize(
    ("rotate", "rectangle"),
    [
        (0, (60, 670, 160, 690)),
        (90, (60, 90, 80, 190)),
        (180, (340, 90, 440, 110)),
        (270, (420, 590, 440, 690)),
    ],
)
def test_a_place_on_a_turned_and_cropped_page(rotate: int, rectangle: tuple[float, ...]) -> None:
    """The page shows (50, 80) to (450, 700) of the file."""
    content = samples.cropped(degrees=rotate)
    check_document(content)
    with pikepdf.open(io.BytesIO(content)) as pdf:
        sheet = sheet_of(pdf.pages[0].obj)
    assert sheet.rectangle(Box(10, 10, 100, 20)) == pytest.approx(rectangle)
