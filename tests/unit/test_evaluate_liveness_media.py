"""Presentations as they come: pictures, folders of frames, videos; and how they are looked at."""

from __future__ import annotations

import io
import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PilImage

from edge.errors import InputError, SetupError
from edge.evaluation import pad_judging, pad_media
from edge.evaluation.pad_figures import Judged
from edge.evaluation.pad_judging import Examiner, judge_all, judge_one
from edge.evaluation.pad_manifest import Presentation
from edge.evaluation.pad_media import MAX_SIDE, Kind, frames_of, natural, open_media
from edge.model import ExpertScore, Face, Image
from tests.support.faces import face


def grey(level: int, size: tuple[int, int] = (120, 100)) -> Image:
    return np.full((*size, 3), level, np.uint8)


def video(path: Path, levels: list[int], *, fps: float = 20.0, code: str = "MJPG") -> Path:
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*code), fps, (100, 120))
    for level in levels:
        writer.write(grey(level))
    writer.release()
    return path


def folder(path: Path, levels: list[int]) -> Path:
    path.mkdir()
    for number, level in enumerate(levels):
        cv2.imwrite(str(path / f"frame{number}.png"), grey(level))
    return path


def seen(path: Path, fps: float | None = None) -> tuple[Kind, list[int], list[float]]:
    """Kind, mean brightness and time of every frame."""
    with open_media(path, fps) as media:
        moments = list(media.moments)
        return media.kind, [round(one.image.mean()) for one in moments], [round(one.at, 3) for one in moments]


def fault(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        seen(path)
    assert caught.value.hint
    return caught.value.code


class TestPictures:
    def test_upright_as_its_camera_was_held(self, tmp_path: Path) -> None:
        upright = np.zeros((40, 60, 3), np.uint8)
        upright[:20] = 255
        exif = PilImage.Exif()
        exif[274] = 6  # turned by a quarter
        turned = np.ascontiguousarray(np.rot90(upright))
        PilImage.fromarray(turned).save(tmp_path / "a.png", exif=exif)
        with open_media(tmp_path / "a.png", None) as media:
            (moment,) = media.moments
        assert media.kind is Kind.PICTURE
        assert np.array_equal(moment.image, upright)

    def test_a_huge_one_is_made_small(self, tmp_path: Path) -> None:
        stream = io.BytesIO()
        PilImage.new("RGB", (5200, 4000), (90, 90, 90)).save(stream, "JPEG")
        (tmp_path / "a.jpg").write_bytes(stream.getvalue())
        with open_media(tmp_path / "a.jpg", None) as media:
            (moment,) = media.moments
        assert moment.image.shape == (round(4000 * MAX_SIDE / 5200), MAX_SIDE, 3)

    @pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"#EXTM3U\nhttp://example.org/a.mp4\n"])
    def test_what_is_none(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "a.png").write_bytes(data)
        assert fault(tmp_path / "a.png") == "NOT_A_PICTURE"


class TestFolders:
    def test_frames_come_in_the_order_of_their_numbers(self, tmp_path: Path) -> None:
        path = folder(tmp_path / "frames", [20 * number for number in range(12)])
        (path / ".hidden.png").write_bytes(b"x")
        (path / "notes.txt").write_text("x")
        kind, levels, times = seen(path, 1.5)
        assert (kind, levels) == (Kind.FRAMES, [20 * number for number in range(12)])
        assert times[:4] == [0.0, 0.667, 1.333, 2.0]
        assert [one.name for one in frames_of(path)][-3:] == ["frame9.png", "frame10.png", "frame11.png"]

    def test_names_are_sorted_as_people_do(self) -> None:
        names = ["b2.png", "a10.png", "A9.png", "a09.png", "10.png", "9.png"]
        wanted = ["9.png", "10.png", "a09.png", "A9.png", "a10.png", "b2.png"]
        assert sorted(names, key=natural) == wanted

    def test_what_cannot_be_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = folder(tmp_path / "frames", [10, 20])
        (path / "frame2.png").write_bytes(b"x")
        assert fault(path) == "NOT_A_PICTURE"
        (tmp_path / "empty").mkdir()
        assert fault(tmp_path / "empty") == "NO_FRAMES"
        monkeypatch.setattr(pad_media, "MAX_LISTED", 2)
        assert fault(path) == "TOO_MANY_FRAMES"

    def test_frames_have_an_end(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pad_media, "MAX_FRAMES", 3)
        assert len(seen(folder(tmp_path / "frames", [1] * 5))[1]) == 3
        assert len(seen(video(tmp_path / "a.avi", [1] * 5))[1]) == 3


class TestVideos:
    @pytest.mark.parametrize(
        ("name", "code"), [("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.mkv", "mp4v"), ("a.mov", "mp4v")]
    )
    def test_frames_and_times(self, tmp_path: Path, name: str, code: str) -> None:
        path = video(tmp_path / name, [40, 120, 200], code=code)
        kind, levels, times = seen(path)
        assert kind is Kind.VIDEO
        assert times == [0.0, 0.05, 0.1]
        assert levels == pytest.approx([40, 120, 200], abs=8)
        assert seen(path, 4.0)[2] == [0.0, 0.25, 0.5]

    def test_what_it_is_its_bytes_say_and_not_its_name(self, tmp_path: Path) -> None:
        path = video(tmp_path / "a.avi", [40, 120])
        assert len(seen(path.rename(tmp_path / "a.png"))[1]) == 2

    def test_what_cannot_be_used(self, tmp_path: Path) -> None:
        assert fault(video(tmp_path / "zero.avi", [])) == "VIDEO_EMPTY"
        (tmp_path / "nothing.mp4").write_bytes(b"")
        assert fault(tmp_path / "nothing.mp4") == "VIDEO_UNREADABLE"
        (tmp_path / "junk.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(100))
        assert fault(tmp_path / "junk.mp4") == "VIDEO_UNREADABLE"

    def test_one_that_breaks_off_has_the_frames_before(self, tmp_path: Path) -> None:
        path = video(tmp_path / "a.mkv", [40] * 40, code="mp4v")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert 0 < len(seen(path)[1]) < 40

    def test_frames_that_are_too_large(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pad_media, "MAX_PIXELS", 100)
        assert fault(video(tmp_path / "a.avi", [40])) == "VIDEO_TOO_LARGE"


class _Verdict:
    def __init__(self, score: float | None, reason: str) -> None:
        self.score, self.reason = score, reason
        self.values = {} if score is None else {"light": 10 * score}
        self.experts = (ExpertScore("light", score, 0.5), ExpertScore("other", None, 0.5, "MISSING"))


class Brightness:
    """Takes bright faces for living ones, and remembers what it was shown."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.missing = 0
        self._levels: list[float] = []

    def observe(self, image: Image, face: Face | None, at: float) -> None:
        self.times.append(round(at, 3))
        self.missing += face is None
        self._levels.append(float(image.mean()) / 255)

    def result(self) -> _Verdict:
        score = float(np.mean(self._levels))
        return _Verdict(None, "") if score > 0.95 else _Verdict(score, "")


def finds(image: Image) -> list[Face]:
    """A face in whatever is not dark; two in light grey."""
    level = round(image.mean())
    if level < 30:
        return []
    if 180 <= level < 190:
        return [face(), face(at=(5.0, 45.0))]
    return [face()]


def open_fake() -> Examiner:
    return Examiner(finds, Brightness)


def examine(path: Path, *, fps: float | None = None, seconds: float = 3.0) -> tuple[Judged, Brightness]:
    judges: list[Brightness] = []

    def begin() -> Brightness:
        judges.append(Brightness())
        return judges[-1]

    shown = Presentation(2, path.name, path, True, fps=fps)
    return judge_one(shown, Examiner(finds, begin), seconds=seconds), judges[-1]


class TestLooking:
    def test_a_picture_is_one_frame(self, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / "a.png"), grey(102))
        judged, judge = examine(tmp_path / "a.png")
        assert (judged.score, judged.frames, judged.kind) == (pytest.approx(0.4), 1, Kind.PICTURE)
        assert judge.times == [0.0]
        assert judged.cues == {"light": pytest.approx(4.0), "other": None}

    def test_slow_frames_are_all_looked_at_until_time_is_up(self, tmp_path: Path) -> None:
        judged, judge = examine(folder(tmp_path / "frames", [100] * 8), fps=1.5)
        assert judge.times == [0.0, 0.667, 1.333, 2.0, 2.667]
        assert judged.frames == 5
        assert examine(tmp_path / "frames", fps=1.5, seconds=1.0)[1].times == [0.0, 0.667]

    def test_time_counts_from_the_first_face_and_goes_on_without_one(self, tmp_path: Path) -> None:
        path = folder(tmp_path / "frames", [0, 0, 100, 0, 100, 100, 100])
        judged, judge = examine(path, fps=2.0, seconds=1.5)
        assert judge.times == [1.0, 1.5, 2.0, 2.5]
        assert (judge.missing, judged.frames) == (1, 4)

    def test_in_a_video_a_face_is_followed_as_the_device_does(self, tmp_path: Path) -> None:
        judged, judge = examine(video(tmp_path / "a.avi", [100] * 30), seconds=1.0)
        assert judge.times[0] == 0.1  # the third frame with it
        assert judge.times[-1] == 1.1
        assert judged.frames == 21

    def test_a_fast_video_is_thinned(self, tmp_path: Path) -> None:
        judged, judge = examine(video(tmp_path / "a.avi", [100] * 60, fps=120.0))
        assert np.diff(judge.times).min() >= 0.024
        assert judged.frames == 18

    @pytest.mark.parametrize(
        ("level", "reason"), [(0, "NO_FACE"), (185, "MULTIPLE_FACES"), (255, "UNDECIDED")]
    )
    def test_what_cannot_be_judged_is_undecided_with_a_reason(
        self, tmp_path: Path, level: int, reason: str
    ) -> None:
        cv2.imwrite(str(tmp_path / "a.png"), grey(level))
        judged, _ = examine(tmp_path / "a.png")
        assert (judged.score, judged.reason, judged.unreadable) == (None, reason, False)

    def test_a_face_that_is_gone_at_once_is_not_steady(self, tmp_path: Path) -> None:
        judged, _ = examine(video(tmp_path / "a.avi", [100, 100, 0, 0, 0, 0, 0, 0]))
        assert judged.reason == "FACE_NOT_STEADY"

    def test_nobody_is_waited_for_for_ever(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pad_judging, "PATIENCE_S", 2.0)
        path = folder(tmp_path / "frames", [0, 0, 0, 0, 100])
        assert examine(path, fps=1.0)[0].reason == "NO_FACE"
        assert examine(path, fps=2.0)[0].score is not None

    @pytest.mark.parametrize("score", [float("nan"), float("inf"), -0.1, 1.1])
    def test_a_score_that_is_none_is_no_score(self, tmp_path: Path, score: float) -> None:
        class Broken(Brightness):
            def result(self) -> _Verdict:
                return _Verdict(score, "")

        cv2.imwrite(str(tmp_path / "a.png"), grey(100))
        shown = Presentation(2, "a.png", tmp_path / "a.png", False, "print")
        judged = judge_one(shown, Examiner(finds, Broken))
        assert (judged.score, judged.reason) == (None, "SCORE_NOT_USABLE")

    def test_what_cannot_be_read_is_undecided_and_said_to_be_unreadable(self, tmp_path: Path) -> None:
        (tmp_path / "a.mp4").write_bytes(b"x")
        judged = judge_one(Presentation(2, "a.mp4", tmp_path / "a.mp4", True), open_fake())
        assert (judged.score, judged.reason, judged.unreadable) == (None, "VIDEO_UNREADABLE", True)


def open_badly() -> Examiner:
    raise RuntimeError("no networks here")


class TestTogether:
    def test_processes_change_nothing(self, tmp_path: Path) -> None:
        listed = []
        for number in range(7):
            cv2.imwrite(str(tmp_path / f"{number}.png"), grey(40 + 20 * number))
            listed.append(Presentation(number + 2, f"{number}.png", tmp_path / f"{number}.png", number < 3))
        told: list[tuple[int, int]] = []
        alone = judge_all(listed, open_fake, tell=lambda done, every: told.append((done, every)))
        assert told == [(done, 7) for done in range(8)]
        assert judge_all(listed, open_fake, jobs=2) == alone
        assert [one.presentation for one in alone] == listed
        assert len({one.score for one in alone}) == 7

    @pytest.mark.parametrize("jobs", [1, 2])
    def test_who_stops_it_leaves_no_process_behind(self, tmp_path: Path, jobs: int) -> None:
        cv2.imwrite(str(tmp_path / "a.png"), grey(90))
        listed = [Presentation(row, "a.png", tmp_path / "a.png", True) for row in range(2, 40)]

        def stop(done: int, _every: int) -> None:
            if done == 1:
                raise KeyboardInterrupt

        before = set(multiprocessing.active_children())
        with pytest.raises(KeyboardInterrupt):
            judge_all(listed, open_fake, jobs=jobs, tell=stop)
        assert set(multiprocessing.active_children()) <= before

    def test_a_process_that_ends_is_a_fault(self, tmp_path: Path) -> None:
        listed = []
        for level in (50, 60):
            cv2.imwrite(str(tmp_path / f"{level}.png"), grey(level))
            listed.append(Presentation(level, f"{level}.png", tmp_path / f"{level}.png", True))
        with pytest.raises(SetupError) as caught:
            judge_all(listed, open_badly, jobs=2)
        assert caught.value.code == "EVALUATION_WORKER_LOST"
