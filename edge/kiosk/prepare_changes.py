"""What the page asks to be changed about a draft's marks, and what it draws then. Pure.

Places come and go in shares (0..1) of the page's picture, whatever its size on the screen.
"""

from __future__ import annotations

from typing import Any

from edge.contracts.placing import Board, Kind, Mark
from edge.kiosk.answers import bad_request, text_of
from edge.kiosk.texts import Texts

MM = 25.4 / 72
"""Millimetres in a point."""

MOST_NUMBER = 10**6
MOST_SHARE = 10.0
"""Beyond the page, as far as a finger may slip; what lies outside is brought back to its edge."""

Values = dict[str, Any]


def changed(board: Board, page: int, given: Values) -> Board:
    """The board after one change that a page asked for, in shares of the page's picture. Pure.

    Raises:
        InputError: BAD_REQUEST, and as the methods of ``Board``.
    """
    what = text_of(given, "do", max_chars=10)
    if what == "add":
        centre = board.papers[page - 1].points(*_pair(given, "x", "y")) if "x" in given else None
        return board.add(whole_of(given, "party", 1, 50), _kind(given), page=page, centre=centre)
    if what == "undo":
        return board.undo()
    number = whole_of(given, "mark", 1, MOST_NUMBER)
    paper = board.papers[board.mark(number).page - 1]
    match what:
        case "move":
            return board.move(number, *paper.points(*_pair(given, "x", "y")), snapping=True)
        case "centre":
            return board.centre(number, *paper.points(*_pair(given, "x", "y")))
        case "nudge":
            across, down = (whole_of(given, side, -1, 1) for side in ("across", "down"))
            return board.nudge(number, across, down, fine=given.get("fine") is True)
        case "resize":
            return board.resize(number, *paper.points(*_pair(given, "width", "height")))
        case "grow":
            return board.grow(number, 1 if whole_of(given, "by", -1, 1) > 0 else -1)
        case "remove":
            return board.remove(number)
    raise bad_request("there is no such change")


def board_values(board: Board, page: int, texts: Texts) -> Values:
    """What a page draws: its own marks in shares of its picture, and how many each signer has in all."""
    paper = board.papers[page - 1]
    names = {one.number: one.name for one in board.signers}
    marks = []
    for one in board.on_page(page):
        left, top, width, height = paper.shares(one.box)
        what = texts("prepare.mark", what=texts(f"contracts.mark.{one.kind}"), name=names.get(one.party, ""))
        marks.append(
            {
                "number": one.number,
                "party": one.party,
                "kind": one.kind.value,
                "left": round(left, 6),
                "top": round(top, 6),
                "width": round(width, 6),
                "height": round(height, 6),
                "name": what,
                "where": where(one, texts),
            }
        )
    counts = {str(signer.number): 0 for signer in board.signers}
    for one in board.marks:
        counts[str(one.party)] = counts.get(str(one.party), 0) + 1
    return {"marks": marks, "counts": counts, "undo": bool(board.past), "newest": board.newest}


def where(mark: Mark, texts: Texts) -> str:
    """Where a mark stands, for who cannot see it: in millimetres."""
    return texts("prepare.where", page=mark.page, left=round(mark.box.x * MM), top=round(mark.box.y * MM))


def said(before: Board, after: Board, texts: Texts) -> str:
    """What has changed, in words, for a screen reader."""
    if len(after.marks) < len(before.marks):
        return texts("prepare.said.removed")
    new = [one for one in after.marks if one not in before.marks]
    return where(new[-1], texts) if new else texts("prepare.said.same")


def _kind(given: Values) -> Kind:
    wanted = text_of(given, "kind", max_chars=20)
    if wanted not in Kind.__members__:
        raise bad_request("there is no such kind of mark")
    return Kind[wanted]


def whole_of(given: Values, name: str, least: int, most: int) -> int:
    """Raises InputError: BAD_REQUEST."""
    value = given.get(name)
    if type(value) is not int or not least <= value <= most:
        raise bad_request(f"{name} is no whole number in its range")
    return value


def _pair(given: Values, *names: str) -> tuple[float, float]:
    one, other = (_share(given.get(name)) for name in names)
    return one, other


def _share(value: object) -> float:
    if type(value) not in (int, float) or not abs(float(value)) <= MOST_SHARE:  # type: ignore[arg-type]
        raise bad_request("a place is told in shares of the page")
    return float(value)  # type: ignore[arg-type]
