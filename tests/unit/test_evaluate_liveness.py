"""``verifield-edge evaluate liveness``, from a list to the report."""

from __future__ import annotations

import builtins
import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.cli import app
from edge.commands import evaluate
from edge.evaluation.pad_judging import Examiner
from edge.evaluation.pad_plots import CEILING, FLOOR, probit
from edge.model import ExpertScore, Face, Image
from edge.models.store import ModelStore
from tests.support.faces import PORTRAITS, face, portrait, shared_folder

KEYS = {
    *("bpcer", "apcer", "apcer_by_instrument", "eer"),
    *("apcer_at_bpcer_1", "apcer_at_bpcer_5", "worst_apcer_at_bpcer_5", "undecided"),
}
HEADER = ["path", "label", "instrument", "subject", "fps"]


class _Verdict:
    def __init__(self, score: float | None) -> None:
        self.score, self.reason = score, "" if score is not None else "TOO_DARK"
        self.experts = (ExpertScore("brightness", score, 0.5),)
        self.values = {} if score is None else {"brightness": score}


class _Brightness:
    """Takes bright pictures for living people; those that are too dark are not judged."""

    def __init__(self) -> None:
        self._levels: list[float] = []

    def observe(self, image: Image, face: Face | None, at: float) -> None:
        self._levels.append(round(float(image.mean())) / 200)

    def result(self) -> _Verdict:
        score = float(np.mean(self._levels))
        return _Verdict(score if score > 0.1 else None)


def _fake(_models: Path | None = None) -> Examiner:
    return Examiner(lambda _image: [face()], _Brightness, (("brightness", "ab" * 32),))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "open_examiner", _fake)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VERIFIELD_DATA_DIR", str(tmp_path / "device"))
    monkeypatch.setattr(evaluate, "obey_stops", lambda: None)  # this process is not the command's own


def grey(path: Path, level: int) -> None:
    cv2.imwrite(str(path), np.full((120, 100, 3), level, np.uint8))


def listed(folder: Path, rows: list[tuple[str, ...]]) -> Path:
    path = folder / "list.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([HEADER, *rows])
    return path


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Pictures, folders of frames and videos of people and of two instruments; two cannot be judged."""
    folder = tmp_path / "album"
    folder.mkdir()
    rows: list[tuple[str, ...]] = []
    for number, level in enumerate((80, 140, 150, 160, 170)):
        grey(folder / f"live{number}.png", level)
        rows.append((f"live{number}.png", "bona_fide", "", f"person{number}", ""))
    (folder / "frames").mkdir()
    for number in range(12):
        grey(folder / "frames" / f"{number}.jpg", 180)
    rows.append(("frames", "bona_fide", "", "person1", "1.5"))
    for number, level in enumerate((20, 40, 60, 120)):
        grey(folder / f"print{number}.png", level)
        rows.append((f"print{number}.png", "attack", "print", "", ""))
    for name, level in (("one.avi", 60), ("two.avi", 190)):
        writer = cv2.VideoWriter(
            str(folder / name), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 15.0, (100, 120)
        )
        for _ in range(8):
            writer.write(np.full((120, 100, 3), level, np.uint8))
        writer.release()
        rows.append((name, "attack", "replay", "", ""))
    (folder / "broken.mp4").write_bytes(b"x")
    rows.append(("broken.mp4", "attack", "replay", "", ""))
    listed(folder, rows)
    return folder


def run(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str, str]:
    """Exit status, and what was printed to each stream."""
    try:
        app(["evaluate", "liveness", "--jobs", "1", *options], prog_name="verifield-edge")
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.mark.req("E015", "E017")
@pytest.mark.usefixtures("fake")
def test_everything_is_told(album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, scores = tmp_path / "report", tmp_path / "scores.csv"
    options = ["--manifest", str(album / "list.csv"), "--report", str(report), "--scores", str(scores)]
    status, printed, said = run(capsys, *options, "--json")
    assert status == 0
    assert len(printed.splitlines()) == 1
    told = json.loads(printed)
    assert told.keys() >= KEYS
    assert told["threshold"] == 0.5
    assert told["bpcer"] == pytest.approx(1 / 6)
    assert told["apcer"] == pytest.approx(2 / 7)
    assert list(told["apcer_by_instrument"].items()) == [("replay", pytest.approx(1 / 3)), ("print", 0.25)]
    assert (told["worst_instrument"], told["worst_apcer"]) == ("replay", pytest.approx(1 / 3))
    assert told["acer"] == pytest.approx((1 / 3 + 1 / 6) / 2)
    assert told["apcer_at_bpcer_5"] == pytest.approx(2 / 7)
    assert told["threshold_from"] == "min_score of the policy that is built in"
    points = [(one["bpcer_at_most"], one["threshold"], one["supported"]) for one in told["operating_points"]]
    assert points == [(0.01, 0.4, False), (0.05, 0.4, False)]  # six people are too few to say so
    assert told["worst_apcer_at_bpcer_5"] == pytest.approx(1 / 3)
    assert (told["undecided"], told["undecided_attacks"], told["unreadable"]) == (2, 2, 1)
    assert told["undecided_reasons"] == {"TOO_DARK": 1, "VIDEO_UNREADABLE": 1}
    assert (told["bona_fide"], told["attacks"]) == (6, 7)
    assert told["intervals_95"]["worst_apcer"][0] < 1 / 3 < told["intervals_95"]["worst_apcer"][1]
    assert [one["apcer"] for one in told["instruments"]] == [pytest.approx(1 / 3), 0.25]
    assert told["instruments"][0]["apcer_of_decided"] == 0.5
    assert (told["cues"][0]["cue"], told["cues"][0]["attacks"]) == ("brightness", 5)
    assert told["models"] == {"brightness": "ab" * 32}
    assert told["passive_only"] is True
    assert [one["row"] for one in told["misses"]["attack"]] == [13, 11]
    assert [one["row"] for one in told["misses"]["bona_fide"]] == [2]
    assert json.loads((report / "report.json").read_text()) == told
    page = (report / "report.md").read_text()
    assert "passive part alone" in page
    assert page.index("| replay | 3 |") < page.index("| print | 4 |")
    assert "person1" not in page + printed + said
    for name in ("det.png", "scores.png", "instruments.png"):
        assert f"![{name}]({name})" in page
        drawing = cv2.imread(str(report / name))
        assert drawing is not None
        assert drawing.std() > 5
    with scores.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows][:2] == ["live0.png", "live1.png"]
    assert (rows[0]["score"], rows[0]["accepted"], rows[0]["brightness"]) == ("0.4", "0", "0.4")
    assert (rows[5]["frames"], rows[-1]["reason"], rows[-1]["score"]) == ("5", "VIDEO_UNREADABLE", "")


@pytest.mark.usefixtures("fake")
def test_people_get_tables_with_the_worst_instrument_first(
    album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, printed, _ = run(capsys, "--manifest", str(album / "list.csv"), "--no-progress")
    assert status == 0
    assert "passive part alone" in printed
    assert "APCER of the worst instrument (replay)" in printed
    lines = [line.split()[0] for line in printed.splitlines() if line.startswith((" replay", " print"))]
    assert lines == ["replay", "print"]
    assert "VIDEO_UNREADABLE" in printed


@pytest.mark.usefixtures("fake")
def test_a_shorter_look_takes_fewer_frames(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = tmp_path / "scores.csv"
    run(capsys, "--manifest", str(album / "list.csv"), "--scores", str(scores), "--seconds", "1")
    with scores.open(newline="") as stream:
        assert [row["frames"] for row in csv.DictReader(stream) if row["path"] == "frames"] == ["2"]


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("label", ["bona_fide", "attack"])
def test_what_cannot_be_had_is_null(tmp_path: Path, capsys: pytest.CaptureFixture[str], label: str) -> None:
    grey(tmp_path / "a.png", 150)
    path, report = listed(tmp_path, [("a.png", label, "print", "", "")]), tmp_path / "report"
    status, printed, _ = run(capsys, "--manifest", str(path), "--report", str(report), "--json")
    told = json.loads(printed)
    live = label == "bona_fide"
    assert status == 0
    assert (told["bpcer"], told["apcer"]) == ((0.0, None) if live else (None, 1.0))
    assert told["apcer_by_instrument"] == ({} if live else {"print": 1.0})
    assert {told[key] for key in ("eer", "apcer_at_bpcer_1", "worst_apcer_at_bpcer_5", "acer")} == {None}
    assert told["notes"]
    assert "NaN" not in printed
    assert not (report / "det.png").exists()
    assert run(capsys, "--manifest", str(path))[0] == 0


@pytest.mark.usefixtures("fake")
def test_without_matplotlib_everything_but_the_drawings(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    report = tmp_path / "report"
    _, _, said = run(capsys, "--manifest", str(album / "list.csv"), "--report", str(report))
    assert "matplotlib is not installed" in said
    assert sorted(path.name for path in report.iterdir()) == ["report.json", "report.md"]


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("change", "code", "status"),
    [
        ("no list", "MANIFEST_UNREADABLE", 5),
        ("an empty list", "MANIFEST_EMPTY", 5),
        ("a column too few", "MANIFEST_FORMAT", 5),
        ("a label that is none", "MANIFEST_FORMAT", 5),
        ("a file that is not there", "PRESENTATION_MISSING", 5),
        ("a report that is a file", "EVALUATION_UNWRITABLE", 3),
    ],
)
def test_what_cannot_be_used_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, code: str, status: int
) -> None:
    grey(tmp_path / "a.png", 150)
    path = listed(tmp_path, [("a.png", "attack", "print", "", "")])
    options = ["--manifest", str(path), "--json"]
    match change:
        case "no list":
            path.unlink()
        case "an empty list":
            path.write_text("")
        case "a column too few":
            path.write_text("path,instrument\na.png,print\n")
        case "a label that is none":
            path.write_text("path,label\na.png,fake\n")
        case "a file that is not there":
            (tmp_path / "a.png").unlink()
        case "a report that is a file":
            (tmp_path / "report").write_bytes(b"")
            options += ["--report", str(tmp_path / "report")]
    ended, printed, said = run(capsys, *options)
    assert (ended, json.loads(printed)["error"]["code"]) == (status, code)
    assert json.loads(printed)["error"]["hint"]
    assert code in said


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    "options", [("--seconds", "0"), ("--seconds", "61"), ("--jobs", "0"), ("--fps", "3")]
)
def test_options_have_limits(
    album: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, str]
) -> None:
    assert run(capsys, "--manifest", str(album / "list.csv"), *options)[0] == 2


def test_the_axes_of_a_det_plot_are_those_of_the_normal_deviate() -> None:
    drawn = probit(np.array([0.0, FLOOR, 0.158655, 0.5, 0.841345, CEILING, 1.0]))
    assert drawn[[2, 3, 4]] == pytest.approx([-1.0, 0.0, 1.0], abs=1e-4)
    assert (drawn[0], drawn[-1]) == (drawn[1], drawn[-2])


@pytest.fixture
def gathering(tmp_path: Path) -> Path:
    """Two people in pictures, a folder of frames and a video; a wall, and what is no video."""
    one, other = (portrait(name)[:400] for name in PORTRAITS)
    cv2.imwrite(str(tmp_path / "picture.png"), one)
    cv2.imwrite(str(tmp_path / "huge.jpg"), cv2.resize(other, (4800, 4200), interpolation=cv2.INTER_LINEAR))
    (tmp_path / "frames").mkdir()
    for number in range(4):
        cv2.imwrite(str(tmp_path / "frames" / f"{number}.jpg"), np.roll(one, 3 * number, axis=1))
    height, width = other.shape[:2]
    writer = cv2.VideoWriter(
        str(tmp_path / "video.mp4"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 15.0, (width, height)
    )
    for number in range(20):
        writer.write(np.roll(other, 2 * number, axis=0))
    writer.release()
    grey(tmp_path / "wall.png", 120)
    (tmp_path / "no-video.mkv").write_bytes(b"\x1aE\xdf\xa3" + bytes(50))
    names = ("picture.png", "huge.jpg", "frames", "video.mp4", "wall.png", "no-video.mkv")
    rows: list[tuple[str, ...]] = [
        (name, "bona_fide", "", "", "1.5" if name == "frames" else "") for name in names
    ]
    grey(tmp_path / "paper.png", 90)
    rows.append(("paper.png", "attack", "print", "", ""))
    return listed(tmp_path, rows)


@pytest.mark.req("E017")
def test_the_products_own_networks_judge(
    gathering: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], model_store: ModelStore
) -> None:
    """The same however many processes share the work."""
    told, scores = [], []
    for jobs in ("1", "2"):
        path = tmp_path / f"scores{jobs}.csv"
        options = ("--manifest", str(gathering), "--scores", str(path), "--jobs", jobs, "--json")
        status, printed, _ = run(capsys, *options)
        assert status == 0
        told.append(json.loads(printed))
        scores.append(path.read_text())
    assert told[0] == told[1]
    assert scores[0] == scores[1]
    rows = {row["path"]: row for row in csv.DictReader(scores[0].splitlines())}
    for name in ("picture.png", "huge.jpg", "frames", "video.mp4"):
        assert 0.0 <= float(rows[name]["score"]) <= 1.0, rows[name]
        assert 0.0 <= float(rows[name]["texture"]) <= 1.0
    assert rows["frames"]["frames"] == "4"
    assert (rows["wall.png"]["score"], rows["wall.png"]["reason"]) == ("", "NO_FACE")
    assert rows["no-video.mkv"]["reason"] == "VIDEO_UNREADABLE"
    assert told[0]["undecided"] == 3
    assert told[0]["models"].keys() >= {"yunet-int8bq", "texture", "calibration"}
    assert all(len(digest) == 64 for digest in told[0]["models"].values())


def test_photographs_of_people_prints_and_screens_are_all_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model_store: ModelStore
) -> None:
    """Nine photographs of people, of screens and of prints: few, and not ours."""
    folder = shared_folder("pad")
    rows: list[tuple[str, ...]] = []
    for kind, label in (("bona-fide", "bona_fide"), ("attack", "attack")):
        rows += [(str(path), label, "", "", "") for path in sorted((folder / kind).iterdir())]
    status, printed, _ = run(capsys, "--manifest", str(listed(tmp_path, rows)), "--json")
    told = json.loads(printed)
    assert status == 0
    assert (told["bona_fide"], told["attacks"], told["undecided"]) == (4, 5, 0)
    assert told["eer"] is not None
