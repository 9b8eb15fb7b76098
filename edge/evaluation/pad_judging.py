"""Presentations judged as the device would: a face is found and chosen, and what looks at it says its score.

Each presentation is judged by itself and from its beginning, so neither their order nor how many processes
share the work changes an answer.
"""

from __future__ import annotations

import itertools
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import cv2

from edge.capture.choose import Choice, Chosen, FaceChooser, MultipleFaces, choose_face
from edge.errors import InputError, SetupError
from edge.evaluation.pad_figures import Judged
from edge.evaluation.pad_manifest import Presentation
from edge.evaluation.pad_media import Kind, Media, open_media, without_words
from edge.interrupts import STOPS
from edge.model import ExpertScore, Face, Image

WINDOW_S = 3.0
"""The product decides within so long of a face in view."""

MAX_WINDOW_S = 60.0
PATIENCE_S = 30.0
"""For a first face, in the time of the recording."""

FASTEST = 1 / 40
"""Seconds between two frames that are judged, at least: the device's cameras give 30 a second."""

FOLLOWED_FROM = 10.0
"""Frames a second from which a face is followed as the device does. Below, and where nobody told, three
frames in a row are too much to ask, and each frame is taken by itself."""

MAX_JOBS = 64
_SLACK_S = 1e-6


class PassiveResult(Protocol):
    """See ``edge.liveness.passive.PassiveResult``."""

    @property
    def score(self) -> float | None: ...

    @property
    def experts(self) -> tuple[ExpertScore, ...]: ...

    @property
    def reason(self) -> str: ...

    @property
    def values(self) -> Mapping[str, float]: ...


class PassiveJudge(Protocol):
    """What judges one presentation; see ``edge.liveness.passive.PassiveEvidence``."""

    def observe(self, image: Image, face: Face | None, at: float) -> None: ...

    def result(self) -> PassiveResult: ...


@dataclass(frozen=True, slots=True)
class Examiner:
    """``detect``: all faces of a picture. ``begin``: a judge that has seen nothing yet.

    ``models``: names and digests of whatever decides on a score.
    """

    detect: Callable[[Image], list[Face]]
    begin: Callable[[], PassiveJudge]
    models: tuple[tuple[str, str], ...] = ()


Opener = Callable[[], Examiner]
"""Can be sent to another process, and makes an examiner there."""

Tell = Callable[[int, int], None]


def judge_all(
    presentations: Sequence[Presentation],
    opener: Opener,
    *,
    seconds: float = WINDOW_S,
    jobs: int = 1,
    tell: Tell = lambda _done, _all: None,
) -> list[Judged]:
    """Judge every presentation; answers come in the order of the list.

    ``seconds``: how long a face is looked at. ``jobs``: processes.

    Raises:
        SetupError: as ``opener``, or EVALUATION_WORKER_LOST.
    """
    found: list[Judged] = []
    tell(0, len(presentations))
    jobs = min(jobs, len(presentations))
    answers = (
        _here(presentations, opener, seconds)
        if jobs <= 1
        else _in_processes(presentations, opener, seconds, jobs)
    )
    with closing(answers):  # also where it is told no more: a person has pressed stop
        for one in answers:
            found.append(one)
            tell(len(found), len(presentations))
    return found


def judge_one(presentation: Presentation, examiner: Examiner, *, seconds: float = WINDOW_S) -> Judged:
    """Judge one presentation; what cannot be read is undecided, with the code that says why."""
    try:
        with open_media(presentation.place, presentation.fps) as media:
            return _look(presentation, media, examiner, seconds)
    except InputError as error:
        return Judged(presentation, None, error.code, unreadable=True)


def _look(presentation: Presentation, media: Media, examiner: Examiner, seconds: float) -> Judged:
    told = media.kind is Kind.VIDEO or presentation.fps is not None
    chooser = FaceChooser() if told and media.rate >= FOLLOWED_FROM else None
    judge, frames, seen, crowded = examiner.begin(), 0, False, False
    began, last = math.inf, -math.inf
    for moment in media.moments:
        if moment.at - began > seconds + _SLACK_S or (not frames and moment.at > PATIENCE_S):
            break
        if moment.at - last < FASTEST - _SLACK_S:
            continue
        last = moment.at
        faces = examiner.detect(moment.image)
        choice = _choose(chooser, faces, moment.image)
        face = choice.face if isinstance(choice, Chosen) else None
        crowded |= isinstance(choice, MultipleFaces)
        seen |= bool(faces)
        if face is None and not frames:
            continue
        began = min(began, moment.at)
        judge.observe(moment.image, face, moment.at)
        frames += 1
    if not frames:
        reason = "MULTIPLE_FACES" if crowded else "FACE_NOT_STEADY" if seen else "NO_FACE"
        return Judged(presentation, None, reason, kind=media.kind)
    result = judge.result()
    score, reason = result.score, result.reason
    if score is not None and not 0.0 <= score <= 1.0:  # also what is no number
        score, reason = None, "SCORE_NOT_USABLE"
    if score is None:
        reason = reason or "UNDECIDED"
    cues: dict[str, float | None] = dict.fromkeys(expert.name for expert in result.experts)
    return Judged(presentation, score, reason, cues | dict(result.values), frames, kind=media.kind)


def _choose(chooser: FaceChooser | None, faces: Sequence[Face], image: Image) -> Choice:
    return choose_face(faces, image.shape[:2]) if chooser is None else chooser.choose(faces, image)


def _here(
    presentations: Sequence[Presentation], opener: Opener, seconds: float
) -> Generator[Judged, None, None]:
    examiner = opener()
    for one in presentations:
        yield judge_one(one, examiner, seconds=seconds)


def _in_processes(
    presentations: Sequence[Presentation], opener: Opener, seconds: float, jobs: int
) -> Generator[Judged, None, None]:
    """A few more than ``jobs`` are under way at a time: when a person stops it, little is waited for."""
    # not forked: the networks' threads would not live on in a copy
    context = multiprocessing.get_context("spawn")
    waiting: list[Future[Judged]] = []
    left = iter(presentations)
    with ProcessPoolExecutor(jobs, context, _begin_worker, (opener, seconds)) as pool:
        try:
            waiting += [pool.submit(_work, one) for one in itertools.islice(left, 2 * jobs)]
            while waiting:
                yield waiting.pop(0).result()
                waiting += [pool.submit(_work, one) for one in itertools.islice(left, 1)]
        except BrokenProcessPool as error:
            raise SetupError(
                "EVALUATION_WORKER_LOST",
                "A process that judged presentations ended by itself.",
                hint="Memory may be short: use fewer --jobs.",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


_worker: tuple[Examiner, float]


def _begin_worker(opener: Opener, seconds: float) -> None:
    global _worker  # noqa: PLW0603 - what a process pool's worker keeps between its tasks
    for stop in STOPS:
        if (
            stop != signal.SIGTERM
        ):  # the others reach all processes of a terminal; the first one ends the rest
            signal.signal(stop, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    without_words()
    _worker = (opener(), seconds)


def _end_with_parent() -> None:
    """Nobody tells a worker that waits for work when the first process was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(presentation: Presentation) -> Judged:
    examiner, seconds = _worker
    return judge_one(presentation, examiner, seconds=seconds)
