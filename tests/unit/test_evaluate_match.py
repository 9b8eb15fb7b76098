"""``verifield-edge evaluate match``, from pictures to the report."""

from __future__ import annotations

import builtins
import csv
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.commands import evaluate
from edge.errors import InputError
from edge.evaluation import templates as made
from edge.evaluation.pairs import PairList, parse_pairs
from edge.evaluation.statistics import wilson
from edge.evaluation.templates import CACHE_NAME, Maker, Templates, as_chip_photo, make_templates
from edge.evaluation.trial import Figures, judge_all, judge_pairs
from edge.model import Embedding, Face, Image
from edge.models.store import ModelStore
from edge.policy import MatchThreshold
from edge.vision import Vision
from tests.support.faces import PORTRAITS, portrait, shared_folder

Judge = Callable[[PairList, Templates, Templates, MatchThreshold], Figures]

CHANGES: dict[str, Callable[[Image], Image]] = {
    "plain": lambda image: image,
    "dark": lambda image: (image * 0.5).astype(np.uint8),
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "soft": lambda image: np.asarray(cv2.GaussianBlur(image, (0, 0), 1.5), np.uint8),
}
HEADER = ["path_a", "path_b", "same"]
KEYS = {"accuracy", "accuracy_std", "accuracy_at_policy", "eer", "tmr_at_fmr", "failed_to_detect"}


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people in four pictures each, one picture of nobody, and the list of their pairs."""
    folder = tmp_path_factory.mktemp("album")
    names = {person: [f"{person}_{change}.png" for change in CHANGES] for person in PORTRAITS}
    for person in PORTRAITS:
        for change, made_of in CHANGES.items():
            cv2.imwrite(str(folder / f"{person}_{change}.png"), made_of(portrait(person)[:360]))
    cv2.imwrite(str(folder / "nobody.png"), np.full((200, 200, 3), 90, np.uint8))
    rows = [(one, other, 1) for own in names.values() for one, other in itertools.pairwise(own)]
    rows += [(one, other, 0) for one, other in zip(*names.values(), strict=True)]
    rows += [(names[PORTRAITS[0]][0], "nobody.png", 0), (names[PORTRAITS[1]][1], names[PORTRAITS[0]][2], 0)]
    with (folder / "pairs.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([HEADER, *rows])
    return folder


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VERIFIELD_DATA_DIR", str(tmp_path / "device"))


def run(capsys: pytest.CaptureFixture[str], **options: Any) -> tuple[int, str]:
    """Exit status, and what was printed."""
    try:
        evaluate.match(**options)
    except SystemExit as stopped:
        return int(stopped.code or 0), capsys.readouterr().out
    return 0, capsys.readouterr().out


def test_everything_is_told(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], model_store: ModelStore
) -> None:
    report = tmp_path / "report"
    status, printed = run(
        capsys, pairs=album / "pairs.csv", images=album, report=report, data=tmp_path, as_json=True
    )
    told = json.loads(printed)
    assert status == 0
    assert told.keys() >= KEYS
    assert told["accuracy"] == 1.0
    assert told["accuracy_at_policy"] == 1.0
    assert told["eer"] == 0.0
    assert told["tmr_at_fmr"] == {"1e-3": None, "1e-4": None, "1e-5": None, "1e-6": None}
    assert (told["failed_to_detect"], told["failed_pictures"]) == (1, ["nobody.png"])
    assert (told["failed_pairs"], told["genuine_pairs"], told["impostor_pairs"]) == (1, 6, 5)
    assert told["domain"] == "live/live"
    assert told["threshold_from"] == "the policy that is built in"
    assert json.loads((report / "match.json").read_text()) == told
    page = (report / "match.md").read_text()
    assert "- nobody.png" in page
    assert "det.png" in page
    assert 'answered "not the same person"' in page
    drawing = cv2.imread(str(report / "det.png"))
    assert drawing is not None
    assert drawing.size


def test_what_was_made_is_not_made_again(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"pairs": album / "pairs.csv", "images": album, "cache": tmp_path / "kept"}
    first = run(capsys, **options, data=tmp_path, as_json=True)[1]

    def never(*_: object) -> Any:
        raise AssertionError("made again")

    monkeypatch.setattr(made.Maker, "make", never)
    assert run(capsys, **options, data=tmp_path, as_json=True)[1] == first


def test_all_against_all_and_chip_photos(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options: dict[str, Any] = {
        "pairs": album / "pairs.csv",
        "images": album,
        "data": tmp_path,
        "as_json": True,
    }
    told = json.loads(run(capsys, **options, all_against_all=True)[1])
    assert (told["genuine_pairs"], told["impostor_pairs"], told["accuracy"]) == (12, 16, None)
    assert told["failed_pairs"] == 8
    chip = json.loads(run(capsys, **options, all_against_all=True, chip_photos=True)[1])
    assert (chip["genuine_pairs"], chip["impostor_pairs"], chip["domain"]) == (24, 32, "live/chip_photo")
    assert chip["policy"]["tmr"] == 1.0
    assert chip["policy"]["fmr"] == 0.0


def test_without_matplotlib_everything_but_the_drawing(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    evaluate.match(pairs=album / "pairs.csv", images=album, report=tmp_path / "report", data=tmp_path)
    said = capsys.readouterr()
    assert "matplotlib is not installed" in said.err
    assert "EER" in said.out
    assert sorted(path.name for path in (tmp_path / "report").glob("*.[mjp]*")) == ["match.json", "match.md"]


@pytest.mark.parametrize(
    ("change", "code", "status"),
    [
        ("no list", "PAIRS_UNREADABLE", 5),
        ("an empty list", "PAIRS_EMPTY", 5),
        ("no folder", "NO_IMAGES", 5),
        ("a picture that is not there", "PICTURE_MISSING", 5),
        ("a name with a NUL byte", "PICTURE_MISSING", 5),
        ("a picture that is none", "NOT_A_PICTURE", 5),
        ("nobody on any", "EVALUATION_NO_SCORES", 5),
        ("a damaged cache", "EVALUATION_CACHE", 5),
        ("a cache that is one array", "EVALUATION_CACHE", 5),
        ("a report that is a file", "EVALUATION_UNWRITABLE", 3),
    ],
)
def test_what_cannot_be_used_is_said(
    album: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, code: str, status: int
) -> None:
    listed, images = tmp_path / "pairs.csv", tmp_path / "images"
    images.mkdir()
    for name in "abcd":
        cv2.imwrite(str(images / f"{name}.png"), np.full((60, 60, 3), 90, np.uint8))
    lines = ["a.png,b.png,1", "c.png,d.png,1", "a.png,c.png,0", "b.png,d.png,0"]
    listed.write_text("\n".join([",".join(HEADER), *lines]))
    options: dict[str, Any] = {"pairs": listed, "images": images, "data": tmp_path, "as_json": True}
    match change:
        case "no list":
            listed.unlink()
        case "an empty list":
            listed.write_text("")
        case "no folder":
            options["images"] = tmp_path / "nowhere"
        case "a picture that is not there":
            (images / "d.png").unlink()
        case "a name with a NUL byte":
            listed.write_text("\n".join([",".join(HEADER), *lines]).replace("d.png", "d\0.png"))
        case "a picture that is none":
            (images / "d.png").write_bytes(b"\x89PNG\r\n\x1a\n")
        case "a damaged cache":
            options["cache"] = tmp_path / "kept"
            options["cache"].mkdir()
            (options["cache"] / CACHE_NAME).write_bytes(b"PK\x03\x04")
        case "a cache that is one array":
            options["cache"] = tmp_path / "kept"
            options["cache"].mkdir()
            with (options["cache"] / CACHE_NAME).open("wb") as stream:
                np.save(stream, np.zeros(3))
        case "a report that is a file":
            options |= {"pairs": album / "pairs.csv", "images": album, "report": tmp_path / "report"}
            options["report"].write_bytes(b"")
    ended, printed = run(capsys, **options)
    assert (ended, json.loads(printed)["error"]["code"]) == (status, code)
    assert json.loads(printed)["error"]["hint"]


class _Finder:
    """Finds one face wherever it looks."""

    def detect(self, image: Image) -> list[Face]:
        points = np.array([[40, 50], [60, 50], [50, 60], [42, 70], [58, 70]], np.float32)
        return [Face((30.0, 35.0, 40.0, 45.0), points, 0.9)] if image.any() else []


class _Broken:
    """A network that gives no direction."""

    model_sha256 = "ab" * 32

    def embed(self, aligned: Image) -> Embedding:
        raise ValueError("an embedding without a direction")


def test_a_template_that_is_no_number_ends_it_with_the_pictures_name(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((100, 100, 3), 90, np.uint8))
    with pytest.raises(InputError) as caught:
        make_templates([path], Maker(_Finder(), _Broken()), cache=None)
    assert caught.value.code == "TEMPLATE_INVALID"
    assert "a.png" in caught.value.message


def made_up(persons: int, pictures: int, spread: float) -> tuple[PairList, Templates]:
    """Directions around one of each person."""
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((persons, 128))
    vectors = np.repeat(centres, pictures, axis=0) + spread * rng.standard_normal((persons * pictures, 128))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = []
    for person in range(persons):
        own = [f"{person}/{number}" for number in range(pictures)]
        rows += [f"{one},{other},1" for one, other in itertools.pairwise(own)]
        rows.append(f"{own[0]},{(person + 1) % persons}/0,0")
    listed = parse_pairs("\n".join([",".join(HEADER), *rows]).encode())
    order = [int(name.split("/")[0]) * pictures + int(name.split("/")[1]) for name in listed.pictures]
    found = np.ones(len(order), np.bool_)
    return listed, Templates(vectors[order].astype(np.float32), found, 0)


def test_all_against_all_is_every_pair_once() -> None:
    listed, templates = made_up(40, 3, 0.8)
    templates.found[5] = False
    figures = judge_all(listed, templates, templates, MatchThreshold(0.3, 1e-3))
    scores = templates.vectors.astype(np.float64) @ templates.vectors.T.astype(np.float64)
    upper = np.triu(np.ones_like(scores, dtype=bool), 1) & templates.found[:, None] & templates.found[None]
    same = listed.persons[:, None] == listed.persons[None]
    assert figures.impostor == int((upper & ~same).sum())
    assert figures.genuine - figures.failed_genuine == int((upper & same).sum())
    assert figures.failed_genuine == 2
    assert figures.failed_pairs == 119
    assert figures.policy.fmr == pytest.approx((scores[upper & ~same] >= 0.3).mean(), abs=1e-9)
    hits = (scores[upper & same] >= 0.3).sum()
    assert figures.policy.tmr == pytest.approx(hits / figures.genuine)
    both_ways = judge_all(
        listed, templates, Templates(templates.vectors.copy(), templates.found, 0), MatchThreshold(0.3, 1e-3)
    )
    assert both_ways.impostor == 2 * figures.impostor
    assert both_ways.policy.fmr == pytest.approx(figures.policy.fmr)


def test_a_pair_without_a_template_is_refused_never_scored() -> None:
    listed, templates = made_up(30, 2, 0.5)
    one = judge_pairs(listed, templates, templates, MatchThreshold(0.3, 1e-3))
    templates.found[listed.second[0]] = False
    other = judge_pairs(listed, templates, templates, MatchThreshold(0.3, 1e-3))
    assert listed.same[0]
    assert (one.failed_pairs, other.failed_genuine) == (0, 1)
    assert other.policy.tmr == pytest.approx(one.policy.tmr - 1 / 30)
    assert one.accuracy is not None
    assert other.accuracy is not None
    assert other.accuracy.mean < one.accuracy.mean


def test_what_could_not_be_scored_is_accepted_nowhere() -> None:
    """Though to accept everybody would answer more pairs right: most are genuine."""
    people = 12
    rows = [f"{p}a,{p}b,1" for p in range(people)] + [f"{p}a,{p + 3}b,0" for p in range(3)]
    listed = parse_pairs("\n".join([",".join(HEADER), *rows]).encode())
    vectors = np.eye(people, 128, dtype=np.float32)[[int(name[:-1]) for name in listed.pictures]]
    found = np.array([int(name[:-1]) < people // 2 for name in listed.pictures])
    templates = Templates(vectors, found, 0)
    figures = judge_pairs(listed, templates, templates, MatchThreshold(0.3, 1e-3))
    assert figures.failed_genuine == people // 2
    assert figures.accuracy is not None
    assert figures.accuracy.mean <= (people // 2 + 3) / len(rows)
    assert figures.policy.accuracy == (people // 2 + 3) / len(rows)


@pytest.mark.parametrize("judge", [judge_pairs, judge_all])
@pytest.mark.parametrize("people", [30, 300])
def test_nobody_missed_among_few_is_no_proof_that_nobody_ever_is(judge: Judge, people: int) -> None:
    listed, templates = made_up(people, 2, 0.02)
    figures = judge(listed, templates, templates, MatchThreshold(0.3, 1e-3))
    assert figures.eer == 0.0
    assert figures.intervals.eer is not None
    missed_at_most = 1.0 - wilson(people, people).low
    assert (figures.intervals.eer.low, figures.intervals.eer.high) == (0.0, missed_at_most)


def test_a_chip_photo_of_a_face_is_small_and_of_the_same_person(model_store: ModelStore) -> None:
    vision = Vision.open(model_store, threads=1)
    image = portrait("astronaut")
    face = vision.detect(image)[0]
    chip = as_chip_photo(image, face)
    assert chip.shape == (126, 102, 3)
    cosine = float(vision.embed_chip_photo(chip).vector @ vision.embed(image, face).vector)
    assert cosine > 0.5


def test_pictures_of_many_people_are_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model_store: ModelStore
) -> None:
    """People of whom there are two pictures or more, each with a stranger; the whole set: benchmarks."""
    folder = shared_folder("faces/lfw-dev")
    people = [sorted(one.iterdir()) for one in sorted(folder.iterdir()) if len(list(one.iterdir())) > 1]
    rows = [(own[0], own[1], 1) for own in people]
    rows += [(one[0], other[1], 0) for one, other in zip(people, [*people[1:], people[0]], strict=True)]
    listed = tmp_path / "pairs.csv"
    with listed.open("w", newline="") as stream:
        named = [(one.relative_to(folder), other.relative_to(folder), same) for one, other, same in rows]
        csv.writer(stream).writerows([HEADER, *named])
    status, printed = run(capsys, pairs=listed, images=folder, data=tmp_path, as_json=True)
    told = json.loads(printed)
    assert status == 0
    assert told["accuracy"] >= 0.97
    assert told["accuracy_at_policy"] >= 0.97
    assert told["failed_to_detect"] == 0
    assert sys.getsizeof(printed) < 100_000
