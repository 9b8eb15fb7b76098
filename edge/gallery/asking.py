"""What a session asks the gallery; implements ``edge.ports.GallerySearch``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edge.answers import GalleryResult
from edge.gallery.decide import SECOND_CHECK_BAND, Answer, cut_off, decide, to_result
from edge.gallery.records import Found, Kind
from edge.gallery.store import Gallery
from edge.model import Embedding
from edge.policy import MatchThreshold

MAX_CANDIDATES = 20
"""More than a person looks at, and more than a record has to name."""


class SessionGallery:
    """``points``: as ``known_points``. ``fpir``: how often a stranger may be taken for somebody."""

    def __init__(self, gallery: Gallery, *, points: Sequence[MatchThreshold], fpir: float) -> None:
        self._gallery = gallery
        self._points = points
        self._fpir = fpir

    def search(self, probe: Embedding) -> GalleryResult:
        """Nobody is an answer too.

        Raises:
            SetupError: MODEL_MISMATCH; StorageError.
        """
        return to_result(self.answer(probe), version=self._gallery.version, size=self._gallery.size)

    def answer(self, probe: Embedding, *, operator_at_desk: bool = False) -> Answer:
        """All that is known about it; errors as :meth:`search`."""
        self._gallery.model.check(probe)  # an empty gallery has a model too
        size = self._gallery.size
        if not size:
            return decide((), None, operator_at_desk=operator_at_desk)
        cut = cut_off(self._points, fpir=self._fpir, size=size)
        found = self._gallery.search_above([probe], threshold=cut.threshold - SECOND_CHECK_BAND)[0]
        answer = decide(found, cut, operator_at_desk=operator_at_desk)
        return replace(answer, candidates=_named(answer.candidates))


def _named(candidates: Sequence[Found]) -> tuple[Found, ...]:
    """Those that an answer names, best first. Whoever is on the watch-list comes before others do."""
    named = sorted(candidates, key=lambda one: one.kind is not Kind.WATCHED)[:MAX_CANDIDATES]
    return tuple(sorted(named, key=lambda one: -one.score))
