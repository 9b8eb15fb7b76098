"""The liveness suite's own arithmetic: what is counted, what is kept, and what the report says of a miss."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from benchmarks import bench_pad
from benchmarks.bench_pad import (
    KINDS,
    Kept,
    code_digest,
    figures_of,
    hold,
    read_published,
    refused_without_networks,
    sheets_of,
)
from benchmarks.pad_presentation import FPS, Presented, Stage, Verdict
from benchmarks.pad_report import TEMPLATE, against, write_report
from verifield_sim.camera import PersonKind, Scene


def shown(kind: str, seed: int, verdict: Verdict, *, seconds: float = 2.0, matches: bool = True) -> Presented:
    return Presented(kind, "astronaut", seed, verdict, ("WHY",), seconds, 30, matches, 0.7, {"light": None})


def test_every_kind_of_the_simulator_but_nobody_is_presented() -> None:
    assert set(KINDS) == set(get_args(PersonKind)) - {"none"}
    text = TEMPLATE.read_text(encoding="utf-8")
    assert all(f"| {kind} |" in text for kind in KINDS), "the report says what each is"


def test_counts_intervals_and_times() -> None:
    presented = [
        shown("mask", seed, "accepted" if seed < 3 else "attack", seconds=seed) for seed in range(100)
    ]
    presented[0] = shown("mask", 0, "accepted", seconds=0.0, matches=False)
    one = figures_of(presented)
    assert (one["presentations"], one["accepted"], one["attack"], one["inconclusive"]) == (100, 3, 97, 0)
    assert one["accepted_and_matches"] == 2
    assert one["refused_share"] == 0.97
    low, high = one["accepted_interval"]
    assert low == pytest.approx(0.0103, abs=2e-4)  # Wilson, 3 of 100
    assert high == pytest.approx(0.0845, abs=2e-4)
    assert (one["seconds_median"], one["seconds_p95"]) == (49.5, 95)
    assert one["accepted_seeds"] == [0, 1, 2]
    none = figures_of([shown("mask", seed, "attack") for seed in range(150)])
    assert none["accepted_interval"][0] == 0.0
    assert none["accepted_interval"][1] == pytest.approx(0.025, abs=1e-3)


def test_an_interrupted_run_goes_on_and_a_damaged_answer_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[tuple[str, int]] = []

    def work(order: tuple[PersonKind, int]) -> Presented:
        held.append(order)
        if len(held) == 3:
            raise KeyboardInterrupt
        return shown(*order, "attack")

    monkeypatch.setattr(bench_pad, "_work", work)
    kept, orders = Kept(tmp_path, "new"), [("print", 1), ("phone", 1), ("print", 2), ("phone", 2)]
    with pytest.raises(KeyboardInterrupt):
        hold(orders, kept, 1)  # type: ignore[arg-type]
    (tmp_path / "new" / "phone-1.json").write_text('{"kind": "phone", "se', encoding="utf-8")
    presented = hold(orders, kept, 1)  # type: ignore[arg-type]
    assert [(one.kind, one.seed) for one in presented] == orders
    assert held == [*orders[:3], ("phone", 1), ("print", 2), ("phone", 2)]
    assert hold(orders, kept, 1) == presented  # type: ignore[arg-type]
    assert len(held) == 6, "nothing is held twice"
    kept.publish(tmp_path / "all.jsonl", [*orders, ("mask", 1)])
    elsewhere = Kept(tmp_path / "elsewhere", "new", read_published(tmp_path / "all.jsonl", "new"))
    assert hold(orders, elsewhere, 1) == presented  # type: ignore[arg-type]
    assert len(held) == 6, "nor what was published"
    Kept(tmp_path / "elsewhere", "changed").publish(tmp_path / "all.jsonl", orders)
    assert len(read_published(tmp_path / "all.jsonl", "new")) == 4, "nothing new does not put out what was"
    assert read_published(tmp_path / "all.jsonl", "changed") == {}
    (tmp_path / "all.jsonl").write_text('{"code": "new"}\n{"kind": "pho', encoding="utf-8")
    assert read_published(tmp_path / "all.jsonl", "new") == {}


def test_the_state_of_the_code_is_part_of_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    before = code_digest()
    assert before == code_digest()
    monkeypatch.setattr(bench_pad, "FILES", (*bench_pad.FILES, "pyproject.toml"))
    assert code_digest() != before


def figures(**changes: Any) -> dict[str, dict[str, Any]]:
    kinds = {
        "mask": [shown("mask", seed, "attack") for seed in range(150)],
        "phone": [shown("phone", seed, "inconclusive") for seed in range(150)],
        "live": [shown("live", seed, "accepted") for seed in range(150)],
    }
    return {kind: figures_of(presented) for kind, presented in (kinds | changes).items()}


def test_the_report_says_met_only_where_it_was() -> None:
    assert all(line.endswith("Met.") for line in against(figures()))
    slow = [shown("live", seed, "accepted", seconds=3.5) for seed in range(150)]
    refused = [shown("live", seed, "accepted" if seed % 12 else "inconclusive") for seed in range(150)]
    passed = [shown("phone", 0, "accepted"), *(shown("phone", seed, "attack") for seed in range(1, 150))]
    for change, missed in (
        ({"phone": passed}, [True, False, False]),
        ({"live": refused}, [False, True, True]),  # nobody who is refused was accepted in time
        ({"live": slow}, [False, False, True]),
    ):
        assert ["**Missed" in line for line in against(figures(**change))] == missed, change.keys()
    assert "phone 1 of 150" in against(figures(phone=passed))[0]


def test_the_worst_instrument_comes_first_and_the_report_is_whole(tmp_path: Path) -> None:
    passed = [shown("phone", seed, "accepted" if seed < 2 else "attack") for seed in range(150)]
    told = figures(phone=passed)
    still = {"attack/a.jpg": {"score": 0.9, "reason": "", "passes": True}}
    unaided = {"live": 0.05, "phone": 0.9, "mask": 1.0}
    sheets = sheets_of(told, still, unaided)
    assert [row[0] for row in sheets[0].rows] == ["phone", "mask", "live"]
    assert sheets[1].rows == [("phone", "90.0 %"), ("mask", "100.0 %"), ("live", "5.0 %")]
    whole = {
        "machine": {"date": "2026-01-01", "revision": "abc"},
        "fps": FPS,
        "code": "0123",
        "per_instrument": 150,
        "kinds": told,
        "stills": still,
        "refused_without_networks": unaided,
    }
    write_report(whole, sheets[0], tmp_path / "report.md")
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "$" not in text
    assert "attack/a.jpg" in text
    assert "| phone | 150 | 2 |" in text
    assert "refuses 5.0 % of the living: phone 90.0 %, mask 100.0 %" in text
    json.dumps(whole)


def test_without_networks_a_limit_is_laid_by_the_living() -> None:
    def one(kind: str, seed: int, motion: float, texture: float) -> Presented:
        experts = {"face_motion": motion, "texture": texture, "minifasnet": None}
        return dataclasses.replace(shown(kind, seed, "accepted"), experts=experts)

    living = [one("live", seed, 0.6 + seed / 1000, 0.5) for seed in range(100)]
    prints = [one("print", seed, 0.2, 0.99) for seed in range(10)]
    phones = [one("phone", seed, 0.2 if seed else 0.9, 0.99) for seed in range(10)]
    told = refused_without_networks([*living, *prints, *phones])
    assert told == {"live": 0.05, "print": 1.0, "phone": 0.9}, "the network's word does not count"
    assert refused_without_networks(prints) == {}
    blind = dataclasses.replace(one("print", 11, 0.9, 0.9), experts={"texture": 0.9})
    assert refused_without_networks([*living, blind])["print"] == 1.0, "who cannot be judged is refused"


def test_the_stage_is_a_camera_with_the_jitter_of_one() -> None:
    stage = Stage(Scene("none", None, seed=0), np.random.default_rng(0))
    frames = [stage.read(1.0) for _ in range(12)]
    steps = np.diff([frame.captured_at for frame in frames])
    assert steps.mean() == pytest.approx(1 / FPS, abs=2e-3)
    assert 1e-4 < steps.std() < 5e-3
    assert [frame.number for frame in frames] == list(range(1, 13))
