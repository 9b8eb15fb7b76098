"""Marks on the pages of a draft: whatever is done with them, the service takes them where they were seen."""

from __future__ import annotations

import io
from typing import Any

import pikepdf
import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pikepdf import Array, Dictionary, Name

from cloud.pdf import fields
from cloud.pdf.geometry import sheet_of
from cloud.pdf.intake import Document, Page
from edge.contracts import placing
from edge.contracts.page_worker import _rectangle
from edge.contracts.placing import Board, Box, Kind, Mark, Paper, Signer
from edge.errors import InputError

A4 = Paper(595.0, 842.0)
SIGNERS = (Signer(1, "王芳"), Signer(2, "李强"), Signer(4, "A Company", seals=True))
EMPTY = Board.of((A4, Paper(842.0, 595.0), Paper(72.0, 90.0)), SIGNERS)

PLACES = st.floats(-50, 900, allow_nan=False)
SIZES = st.floats(0.1, 900)
OPERATIONS = st.one_of(
    st.tuples(
        st.just("add"),
        st.sampled_from([1, 2, 3, 4]),
        st.sampled_from(list(Kind)),
        st.integers(0, 4),
        st.none() | st.tuples(PLACES, PLACES),
    ),
    st.tuples(st.just("move"), st.integers(1, 6), PLACES, PLACES, st.booleans()),
    st.tuples(st.just("centre"), st.integers(1, 6), PLACES, PLACES),
    st.tuples(st.just("nudge"), st.integers(1, 6), st.integers(-1, 1), st.integers(-1, 1), st.booleans()),
    st.tuples(st.just("resize"), st.integers(1, 6), SIZES, SIZES),
    st.tuples(st.just("grow"), st.integers(1, 6), st.sampled_from([-1, 1])),
    st.tuples(st.just("remove"), st.integers(1, 6)),
    st.tuples(st.just("undo")),
)


REFUSALS = {
    *("NO_PAGE", "MARK_PARTY", "MARK_NO_SEAL", "MARKS_TOO_MANY", "MARKS_NO_ROOM"),
    *("MARKS_OVERLAP", "MARK_UNKNOWN", "NOTHING_TO_UNDO"),
}


def done(board: Board, operation: tuple[Any, ...]) -> Board:
    name, *given_ = operation
    match name:
        case "add":
            party, kind, page, centre = given_
            return board.add(party, kind, page=page, centre=centre)
        case "move":
            number, x, y, snapping = given_
            return board.move(number, x, y, snapping=snapping)
        case "nudge":
            number, across, down, fine = given_
            return board.nudge(number, across, down, fine=fine)
        case _:
            after: Board = getattr(board, name)(*given_)
            return after


def tried(board: Board, operation: tuple[Any, ...]) -> Board | InputError:
    try:
        return done(board, operation)
    except InputError as refused:
        return refused


def check_by_the_service(board: Board) -> None:
    """By the very function that judges what is sent."""
    pages = tuple(Page(paper.width, paper.height) for paper in board.papers)
    places = [
        fields.Place(
            f"f{mark.number}",
            fields.Kind(mark.kind),
            mark.page,
            fields.Box(mark.box.x, mark.box.y, mark.box.width, mark.box.height),
            str(mark.party),
        )
        for mark in board.marks
    ]
    fields.check_places(Document(pages, b""), places)


@settings(max_examples=150, deadline=None)
@given(st.lists(OPERATIONS, max_size=25))
def test_whatever_is_done_the_service_takes_it_and_each_step_can_be_undone(
    operations: list[tuple[Any, ...]],
) -> None:
    board, states = EMPTY, [EMPTY.marks]
    for operation in operations:
        after = tried(board, operation)
        if isinstance(after, InputError):
            assert after.code in REFUSALS
            continue
        check_by_the_service(after)
        if operation[0] == "undo":
            states.pop()
        elif after.marks != board.marks:
            states.append(after.marks)
        board = after
        assert board.marks == states[-1]
    while board.past:
        board = board.undo()
    assert board.marks == ()
    with pytest.raises(InputError, match="Nothing was changed"):
        board.undo()


@settings(max_examples=100, deadline=None)
@given(PLACES, PLACES, PLACES, PLACES)
def test_what_may_be_laid_down_may_be_laid_down_with_snapping_and_lands_near(
    x: float, y: float, other_x: float, other_y: float
) -> None:
    board = EMPTY.add(1, Kind.SIGNATURE, page=1, centre=(other_x, other_y)).add(2, Kind.SIGN_DATE, page=1)
    try:
        plain = board.move(2, x, y)
    except InputError:
        return
    snapped = board.move(2, x, y, snapping=True)
    there, here = plain.mark(2).box, snapped.mark(2).box
    assert abs(there.x - here.x) <= placing.SNAP + 0.01
    assert abs(there.y - here.y) <= placing.SNAP + 0.01


def test_a_mark_that_is_let_go_near_another_stands_in_line_with_it() -> None:
    board = EMPTY.add(1, Kind.SIGNATURE, page=1, centre=(200, 600)).add(2, Kind.SIGNATURE, page=1)
    first = board.mark(1).box
    board = board.move(2, first.x + first.width + 4, first.y - 3, snapping=True)
    assert board.mark(2).box.x == first.x + first.width
    assert board.mark(2).box.y == first.y
    assert board.move(2, 38, 100, snapping=True).mark(2).box.x == placing.MARGIN
    assert board.nudge(2, 1, 0).mark(2).box.x == first.x + first.width + placing.STEP  # keys never stick
    assert board.nudge(2, 1, 0, fine=True).mark(2).box.x == first.x + first.width + placing.FINE_STEP


def test_marks_of_two_parties_are_kept_apart_and_those_of_one_are_not() -> None:
    board = EMPTY.add(1, Kind.SIGNATURE, page=1, centre=(200, 600))
    with pytest.raises(InputError) as refused:
        board.add(2, Kind.SIGNATURE, page=1, centre=(210, 610))
    assert refused.value.code == "MARKS_OVERLAP"
    assert len(board.add(1, Kind.SIGN_DATE, page=1, centre=(210, 610)).marks) == 2
    assert len(board.add(2, Kind.SIGNATURE, page=2, centre=(210, 500)).marks) == 2  # on another page


def test_free_places_are_found_until_there_is_none() -> None:
    board = EMPTY
    for party in (1, 2, 1, 2, 4):
        board = board.add(party, Kind.SIGNATURE, page=1)
    boxes = [one.box for one in board.marks]
    assert not any(a.overlaps(b) for a in boxes for b in boxes if a is not b)
    small = EMPTY.add(1, Kind.SIGNATURE, page=3)
    assert small.mark(1).box.width <= 72
    with pytest.raises(InputError) as refused:
        small.add(1, Kind.SIGNATURE, page=3)
    assert refused.value.code == "MARKS_NO_ROOM"


def test_who_has_a_date_alone_has_nowhere_to_sign() -> None:
    board = EMPTY.add(1, Kind.SIGN_DATE, page=1).add(2, Kind.SIGNATURE, page=1).add(4, Kind.SEAL, page=1)
    assert [one.number for one in board.without_place()] == [1]
    with pytest.raises(InputError) as refused:
        board.add(1, Kind.SEAL, page=1)
    assert refused.value.code == "MARK_NO_SEAL"


def test_a_party_has_a_limited_number_of_marks_and_a_mark_is_never_too_small_to_be_read() -> None:
    board = EMPTY
    for _ in range(placing.MOST_A_PARTY):
        board = board.add(1, Kind.SIGN_DATE, page=1, centre=(300, 300))
    with pytest.raises(InputError) as refused:
        board.add(1, Kind.SIGN_DATE, page=1, centre=(300, 300))
    assert refused.value.code == "MARKS_TOO_MANY"
    for _ in range(40):
        board = board.grow(1, -1)
    assert (board.mark(1).box.width, board.mark(1).box.height) == placing.LEAST[Kind.SIGN_DATE]
    for _ in range(60):
        board = board.grow(1, 1)
    check_by_the_service(board)


def test_the_limits_are_the_services() -> None:
    assert {kind.value: size for kind, size in placing.LEAST.items()} == {
        kind.value: size for kind, size in fields.LEAST.items()
    }
    assert (placing.MOST_A_PARTY, placing.MOST_A_DOCUMENT) == (fields.MOST_A_PARTY, fields.MOST_A_DOCUMENT)


def test_places_that_are_no_numbers_are_refused() -> None:
    board = EMPTY.add(1, Kind.SIGNATURE, page=1)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(InputError):
            board.move(1, bad, 0)


@settings(max_examples=40, deadline=None)
@given(
    rotate=st.sampled_from([0, 90, 180, 270]),
    crop=st.none()
    | st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(300, 590), st.floats(400, 840)),
    unit=st.sampled_from([1.0, 2.5]),
    left=st.floats(0, 0.7),
    top=st.floats(0, 0.7),
)
def test_what_is_laid_on_the_picture_lies_there_in_the_file_turned_and_cut_or_not(
    rotate: int, crop: tuple[float, float, float, float] | None, unit: float, left: float, top: float
) -> None:
    """Shares of the picture, points, the file's own units (by the service), and back as PDFium shows them."""
    with pikepdf.new() as pdf:
        page = pdf.add_blank_page(page_size=(600, 850)).obj
        page.Rotate, page.UserUnit = rotate, unit
        if crop is not None:
            page.CropBox = Array(list(crop))
        sheet = sheet_of(page)
        paper = Paper(sheet.width, sheet.height)
        x, y = paper.points(left, top)
        board = Board.of((paper,), SIGNERS, [Mark(1, 1, Kind.SIGNATURE, 1, Box(0, 0, 60, 30))]).move(1, x, y)
        shares = paper.shares(board.mark(1).box)
        corners = Array(list(sheet.rectangle(board.mark(1).box)))
        link = Dictionary(Type=Name.Annot, Subtype=Name.Link, Rect=corners)
        page.Annots = Array([pdf.make_indirect(link)])
        output = io.BytesIO()
        pdf.save(output)
    shown_left, shown_top, shown_right, shown_bottom = _shown(output.getvalue())
    nearly = pytest.approx
    assert (shown_left * paper.width, shown_top * paper.height) == nearly((x, y), abs=1.0)
    assert (shown_left, shown_top) == nearly(shares[:2], abs=2e-3)
    assert (shown_right - shown_left, shown_bottom - shown_top) == nearly(shares[2:], abs=2e-3)


def _shown(content: bytes) -> tuple[float, float, float, float]:
    """Where the device's own reader sees the only annotation."""
    with pypdfium2.PdfDocument(content) as pdf:
        page = pdf[0]
        annotation = pypdfium2.raw.FPDFPage_GetAnnot(page, 0)
        try:
            return _rectangle(page, annotation)
        finally:
            pypdfium2.raw.FPDFPage_CloseAnnot(annotation)
