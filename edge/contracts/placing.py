"""Where the marks of a draft will stand: laid down, moved, made larger, taken away, undone. Pure.

    board = Board.of(papers, signers, marks)
    board = board.add(1, Kind.SIGNATURE, page=1, centre=(300.0, 700.0))
    board = board.move(board.newest, 62.0, 560.0, snapping=True)

Places are in points (1/72 inch) from the top left corner of the page as a reader shows it, turned and cut
as its /Rotate and /CropBox say: so the service takes them (``ContractService.PlaceMarks``), which works out
the rectangles of the file. A page on a screen is any number of pixels, so a place there is told in shares
(0..1) of its picture: :meth:`Paper.points` and :meth:`Paper.shares`.

A board that exists can be sent: whatever would break a rule of the service is refused here first, with a
code of its own, and changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

from edge.errors import InputError

SNAP = 6.0
"""Points: a mark let go so near to an edge of another, or to the margin, was meant to stand there."""

MARGIN = 36.0
"""Half an inch: what most printers leave white."""

STEP, FINE_STEP = 6.0, 1.0
"""Points that one press of an arrow moves."""

GROWTH = 1.15
"""Of each side, by one press."""

MOST_A_PARTY = 30
MOST_A_DOCUMENT = 200
MOST_UNDONE = 100

_NEAR = 0.005  # points; half of what the service lets pass, so that rounding never decides
_LINES = 48  # places that are tried in each direction, where a free one is looked for
_LEAST_LINE = 12.0


class Kind(StrEnum):
    """Names as those of verifield.v1.MarkKind, less the prefix."""

    SIGNATURE = "SIGNATURE"
    SEAL = "SEAL"
    SIGN_DATE = "SIGN_DATE"


LEAST = {Kind.SIGNATURE: (24.0, 10.0), Kind.SEAL: (24.0, 24.0), Kind.SIGN_DATE: (36.0, 8.0)}
"""Width and height, in points, below which a mark cannot be read on paper. The service's own rule."""

USUAL = {Kind.SIGNATURE: (150.0, 48.0), Kind.SEAL: (120.0, 120.0), Kind.SIGN_DATE: (150.0, 16.0)}
"""As large as the service makes them where nobody places any; a seal has 42 mm."""


@dataclass(frozen=True, slots=True)
class Paper:
    """A page as a reader shows it, in points."""

    width: float
    height: float

    def points(self, across: float, down: float) -> tuple[float, float]:
        """A place, or a size, that is told in shares of the page's picture."""
        return across * self.width, down * self.height

    def shares(self, box: Box) -> tuple[float, float, float, float]:
        """Left, top, width and height of ``box`` as shares of the page's picture."""
        return (
            box.x / self.width,
            box.y / self.height,
            box.width / self.width,
            box.height / self.height,
        )


@dataclass(frozen=True, slots=True)
class Box:
    """``x`` and ``y``: its top left corner, from that of the page; points."""

    x: float
    y: float
    width: float
    height: float

    def overlaps(self, other: Box) -> bool:
        """Whether they share more than an edge."""
        return (
            self.x + self.width > other.x + _NEAR
            and other.x + other.width > self.x + _NEAR
            and self.y + self.height > other.y + _NEAR
            and other.y + other.height > self.y + _NEAR
        )


@dataclass(frozen=True, slots=True)
class Signer:
    """A party that signs. ``seals``: an organisation, which alone has a seal."""

    number: int
    name: str = field(repr=False)
    seals: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """``number``: on this board. ``party``: the signer's. ``page``: from 1."""

    number: int
    party: int
    kind: Kind
    page: int
    box: Box


@dataclass(frozen=True, slots=True)
class Board:
    """The pages of a document with the marks on them. ``past``: the marks before each change, newest last.

    Every method returns the next board, or raises InputError and changes nothing.
    """

    papers: tuple[Paper, ...]
    signers: tuple[Signer, ...]
    marks: tuple[Mark, ...] = ()
    past: tuple[tuple[Mark, ...], ...] = ()
    newest: int = 0

    @classmethod
    def of(cls, papers: Iterable[Paper], signers: Iterable[Signer], marks: Iterable[Mark] = ()) -> Board:
        """Begin with marks that the service has, and so has found right."""
        found = tuple(marks)
        return cls(tuple(papers), tuple(signers), found, newest=max((one.number for one in found), default=0))

    def on_page(self, page: int) -> tuple[Mark, ...]:
        return tuple(one for one in self.marks if one.page == page)

    def without_place(self) -> tuple[Signer, ...]:
        """Signers who would have nowhere to sign, as it cannot be sent. A date alone is no signature."""
        placed = {one.party for one in self.marks if one.kind is not Kind.SIGN_DATE}
        return tuple(one for one in self.signers if one.number not in placed)

    def add(self, party: int, kind: Kind, *, page: int, centre: tuple[float, float] | None = None) -> Board:
        """Lay down a mark of the usual size around ``centre``; None: at the first free place of the page.

        Raises:
            InputError: NO_PAGE, MARK_PARTY, MARK_NO_SEAL, MARKS_TOO_MANY, MARKS_NO_ROOM or MARKS_OVERLAP.
        """
        paper = self._paper(page)
        signer = next((one for one in self.signers if one.number == party), None)
        if signer is None:
            raise InputError("MARK_PARTY", "No signer has this number.", hint="Choose one of those listed.")
        if kind is Kind.SEAL and not signer.seals:
            raise InputError("MARK_NO_SEAL", "A person has no seal.", hint="Lay down a signature.")
        own = sum(one.party == party for one in self.marks)
        if own >= MOST_A_PARTY or len(self.marks) >= MOST_A_DOCUMENT:
            raise InputError(
                "MARKS_TOO_MANY",
                f"A party has at most {MOST_A_PARTY} marks, a document {MOST_A_DOCUMENT}.",
                hint="Take one away first.",
            )
        width, height = (min(a, b) for a, b in zip(USUAL[kind], (paper.width, paper.height), strict=True))
        if centre is None:
            box = self._free_place(page, width, height)
        else:
            box = _fitted(paper, Box(centre[0] - width / 2, centre[1] - height / 2, width, height))
        return self._with(Mark(self.newest + 1, party, kind, page, box), snapping=centre is not None)

    def move(self, number: int, x: float, y: float, *, snapping: bool = False) -> Board:
        """Set the top left corner of a mark; what would lie outside of its page stays at its edge.

        Raises:
            InputError: MARK_UNKNOWN or MARKS_OVERLAP.
        """
        mark = self.mark(number)
        box = _fitted(self._paper(mark.page), replace(mark.box, x=x, y=y))
        return self._with(replace(mark, box=box), snapping=snapping)

    def centre(self, number: int, x: float, y: float) -> Board:
        """Set the middle of a mark; errors as :meth:`move`."""
        box = self.mark(number).box
        return self.move(number, x - box.width / 2, y - box.height / 2, snapping=True)

    def nudge(self, number: int, across: int, down: int, *, fine: bool = False) -> Board:
        """Move a mark by steps; errors as :meth:`move`."""
        box, step = self.mark(number).box, FINE_STEP if fine else STEP
        return self.move(number, box.x + across * step, box.y + down * step)

    def resize(self, number: int, width: float, height: float) -> Board:
        """Set a mark's size; its top left corner stays. Not below what can be read, nor beyond the page.

        Raises:
            InputError: MARK_UNKNOWN or MARKS_OVERLAP.
        """
        mark = self.mark(number)
        paper, least = self._paper(mark.page), LEAST[mark.kind]
        wide = min(max(width, least[0]), paper.width - mark.box.x)
        high = min(max(height, least[1]), paper.height - mark.box.y)
        wanted = replace(mark.box, width=max(wide, least[0]), height=max(high, least[1]))
        return self._with(replace(mark, box=_fitted(paper, wanted)))

    def grow(self, number: int, by: int) -> Board:
        """Make a mark larger (1) or smaller (-1); errors as :meth:`resize`."""
        box, factor = self.mark(number).box, GROWTH**by
        return self.resize(number, box.width * factor, box.height * factor)

    def remove(self, number: int) -> Board:
        """Raises InputError: MARK_UNKNOWN."""
        gone = self.mark(number)
        return self._after(tuple(one for one in self.marks if one != gone))

    def undo(self) -> Board:
        """Take back the last change.

        Raises:
            InputError: NOTHING_TO_UNDO.
        """
        if not self.past:
            raise InputError("NOTHING_TO_UNDO", "Nothing was changed here.", hint="Go on.")
        return replace(self, marks=self.past[-1], past=self.past[:-1])

    def mark(self, number: int) -> Mark:
        """Raises InputError: MARK_UNKNOWN."""
        for one in self.marks:
            if one.number == number:
                return one
        raise InputError("MARK_UNKNOWN", "This mark is gone.", hint="Choose another one.")

    def _paper(self, page: int) -> Paper:
        if not 1 <= page <= len(self.papers):
            raise InputError("NO_PAGE", "The document has no such page.", hint="Go back to the first page.")
        return self.papers[page - 1]

    def _with(self, mark: Mark, *, snapping: bool = False) -> Board:
        """With a mark in its place, drawn to what it nearly touches where that is free."""
        if snapping:
            drawn = replace(mark, box=self._snapped(mark))
            mark = mark if self._in_the_way(drawn) else drawn
        if self._in_the_way(mark):
            raise InputError(
                "MARKS_OVERLAP",
                "It would lie over the mark of another party.",
                hint="Lay it where the page is free.",
            )
        others = tuple(one for one in self.marks if one.number != mark.number)
        return replace(
            self._after(tuple(sorted((*others, mark), key=lambda one: one.number))),
            newest=max(self.newest, mark.number),
        )

    def _in_the_way(self, mark: Mark) -> bool:
        """Marks of one party may lie over each other: a seal is often set over a signature."""
        return any(one.party != mark.party and one.box.overlaps(mark.box) for one in self.on_page(mark.page))

    def _after(self, marks: tuple[Mark, ...]) -> Board:
        if marks == self.marks:
            return self
        return replace(self, marks=marks, past=(*self.past, self.marks)[-MOST_UNDONE:])

    def _snapped(self, mark: Mark) -> Box:
        paper, box = self._paper(mark.page), mark.box
        others = [one.box for one in self.on_page(mark.page) if one.number != mark.number]
        across = [
            MARGIN,
            paper.width - MARGIN,
            *(side for one in others for side in (one.x, one.x + one.width)),
        ]
        down = [
            MARGIN,
            paper.height - MARGIN,
            *(side for one in others for side in (one.y, one.y + one.height)),
        ]
        x, y = _nearest(box.x, box.width, across), _nearest(box.y, box.height, down)
        return _fitted(paper, replace(box, x=x, y=y))

    def _free_place(self, page: int, width: float, height: float) -> Box:
        """The lowest free place, from the left: documents are signed at their foot."""
        paper, taken = self._paper(page), [one.box for one in self.on_page(page)]
        for y in _lines(paper.height, height, from_end=True):
            for x in _lines(paper.width, width):
                box = _fitted(paper, Box(x, y, width, height))
                if not any(one.overlaps(box) for one in taken):
                    return box
        raise InputError(
            "MARKS_NO_ROOM", "No place of this page is free.", hint="Move a mark, or drag it there."
        )


def _fitted(paper: Paper, box: Box) -> Box:
    """Within the page, in thousandths of a point, as the service keeps it.

    Raises:
        InputError: BAD_REQUEST: places that are no numbers.
    """
    if not all(map(math.isfinite, (box.x, box.y, box.width, box.height))):
        raise InputError("BAD_REQUEST", "A place is given in numbers.", hint="Reload the page.")
    width, height = min(box.width, paper.width), min(box.height, paper.height)
    x = min(max(box.x, 0.0), paper.width - width)
    y = min(max(box.y, 0.0), paper.height - height)
    return Box(round(x, 3), round(y, 3), round(width, 3), round(height, 3))


def _nearest(at: float, size: float, lines: Iterable[float]) -> float:
    """Where something of ``size`` begins, once its nearer side stands on a line that is near enough."""
    moves = [line - side for line in lines for side in (at, at + size)]
    move = min(moves, key=abs, default=SNAP + 1)
    return at + move if abs(move) <= SNAP else at


def _lines(length: float, size: float, *, from_end: bool = False) -> Iterator[float]:
    """Beginnings that are tried along one side of a page, within its margins where those leave room."""
    first, last = MARGIN, length - MARGIN - size
    if last < first:
        first, last = 0.0, length - size
    step = max(_LEAST_LINE, (last - first) / _LINES)
    count = int((last - first) / step)
    for number in range(count + 1):
        yield last - number * step if from_end else first + number * step
