"""The gallery's search: the answer of comparing with everything, on every path of instructions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path as File

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import binding

from edge.gallery import codes as coding
from edge.gallery.codes import SIZE, Codes, empty_codes, remove_rows, write_codes
from edge.gallery.search import MAX_K, Hit, machine_path, search, search_above
from edge.gallery.vector_ir import ROWS, Path, choose_path

Floats = npt.NDArray[np.float32]
HERE = [
    path for path in Path if path in {Path.PORTABLE, Path.AVX2, machine_path()} and path is not Path.NEON_DOT
]


def unit(rows: npt.NDArray[np.floating]) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def coded(templates: Floats) -> Codes:
    codes = empty_codes(-(-len(templates) // ROWS))
    write_codes(codes, 0, templates)
    return codes


def random_templates(n: int, seed: int) -> Floats:
    return unit(np.random.default_rng(seed).standard_normal((n, SIZE)))


def clustered_templates(n: int, seed: int, *, spread: float = 0.2) -> Floats:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(1, n // 12), SIZE))
    return unit(centres[rng.integers(0, len(centres), n)] + spread * rng.standard_normal((n, SIZE)))


def brute_force(templates: Floats, query: Floats, k: int) -> list[Hit]:
    scores = [float(np.dot(row.astype(np.float64), query.astype(np.float64))) for row in templates]
    order = sorted(range(len(scores)), key=lambda row: (-scores[row], row))
    return [Hit(row, scores[row]) for row in order[:k]]


def same(found: list[Hit], expected: list[Hit]) -> bool:
    rows = [hit.row for hit in found] == [hit.row for hit in expected]
    return rows and np.allclose([hit.score for hit in found], [hit.score for hit in expected], atol=1e-12)


@pytest.mark.req("E022", "E023")
@pytest.mark.parametrize("make", [random_templates, clustered_templates])
@pytest.mark.parametrize("path", HERE)
@pytest.mark.parametrize("n", [1, 15, 16, 17, 1000, 30_000])
def test_the_answer_is_that_of_comparing_with_everything(make: object, path: Path, n: int) -> None:
    templates = make(n, n)  # type: ignore[operator]
    queries = np.concatenate([random_templates(10, 99), templates[:3]])
    found = search(coded(templates), lambda rows: templates[rows], queries, k=10, path=path)
    for query, hits in zip(queries, found, strict=True):
        assert same(hits, brute_force(templates, query, 10))


@pytest.mark.req("E022", "E023")
@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 200),
    k=st.integers(1, 40),
    copies=st.integers(1, 20),
    threads=st.integers(1, 3),
    spikes=st.integers(0, 6),
    seed=st.integers(0, 2**31),
)
def test_ties_and_spikes_change_nothing(
    n: int, k: int, copies: int, threads: int, spikes: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, SIZE))
    rows[:, :spikes] *= 20.0  # a few numbers far larger than all others: what is cut off is large
    templates = unit(np.repeat(rows, copies, axis=0)[rng.permutation(n * copies)])
    query = unit(rng.standard_normal((1, SIZE)))
    found = search(coded(templates), lambda at: templates[at], query, k=k, threads=threads)
    assert same(found[0], brute_force(templates, query[0], k))


@pytest.mark.req("E023")
@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**31), spikes=st.integers(0, SIZE), size=st.floats(0.01, 100.0))
def test_the_errors_bound_what_the_codes_lose(seed: int, spikes: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((ROWS, SIZE))
    rows[:, :spikes] *= size
    templates = unit(rows)
    codes = coded(templates)
    scale = codes.scales[0].astype(np.float64)[:, None]
    steps = codes.blocks[0, :1024].reshape(16, ROWS, 4).astype(int)
    high = np.stack([steps & 15, steps >> 4], axis=2).transpose(1, 0, 2, 3).reshape(ROWS, SIZE)
    rest = codes.low.reshape(ROWS, 16, 4).astype(int)
    low = np.stack([rest & 15, rest >> 4], axis=2).reshape(ROWS, SIZE)
    lost4 = np.linalg.norm(templates.astype(np.float64) - scale * (16 * high - 120), axis=1)
    lost8 = np.linalg.norm(templates.astype(np.float64) - scale * (16 * high + low - 127.5), axis=1)
    assert (lost4 <= codes.error4[0]).all()
    assert (lost8 <= codes.error8[0]).all()
    assert (codes.error4[0] < 2 * lost4 + 1e-3).all(), "a bound that says nothing"


@pytest.mark.req("E023")
def test_all_paths_find_the_same_masks() -> None:
    """Also with the numbers that come nearest to an overflow of 16 bits."""
    templates = unit(np.sign(np.random.default_rng(5).standard_normal((64, SIZE))))
    query = templates[:1].copy()
    fetched: dict[Path, list[list[int]]] = {}
    for path in HERE:
        seen: list[list[int]] = []
        search_above(
            coded(templates),
            lambda rows, seen=seen: (seen.append(rows.tolist()), templates[rows])[1],
            query,
            threshold=0.1,
            path=path,  # type: ignore[misc]
        )
        fetched[path] = seen
    assert len({str(one) for one in fetched.values()}) == 1
    assert fetched[Path.PORTABLE][0]


@pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.25, 0.999, 1.5])
def test_everything_at_the_threshold_and_above_is_found(threshold: float) -> None:
    templates = clustered_templates(3000, 3)
    queries = templates[:2]
    found = search_above(coded(templates), lambda rows: templates[rows], queries, threshold=threshold)
    for query, hits in zip(queries, found, strict=True):
        every = brute_force(templates, query, len(templates))
        assert same(hits, [hit for hit in every if hit.score >= threshold])


def test_more_than_fits_at_first_is_found_as_well() -> None:
    templates = np.repeat(random_templates(1, 1), 150_000, axis=0)
    found = search_above(coded(templates), lambda rows: templates[rows], templates[:1], threshold=0.5)
    assert [hit.row for hit in found[0]] == list(range(150_000))


def test_what_was_removed_is_not_found_and_leaves_nothing() -> None:
    templates = random_templates(40, 8)
    codes = coded(templates)
    remove_rows(codes, np.array([7]))
    found = search(codes, lambda rows: templates[rows], templates[7:8], k=40)
    assert 7 not in [hit.row for hit in found[0]]
    assert len(found[0]) == 39
    assert not codes.low[7].any()
    assert not codes.blocks[0, :1024].reshape(16, ROWS, 4)[:, 7].any()
    write_codes(codes, 7, templates[7:8])
    assert search(codes, lambda rows: templates[rows], templates[7:8], k=1)[0][0].row == 7


def test_an_empty_gallery_and_no_query_give_nothing() -> None:
    nothing = np.empty((0, SIZE), np.float32)
    assert search(empty_codes(0), lambda rows: nothing, random_templates(2, 1), k=5) == [[], []]
    assert search(empty_codes(2), lambda rows: nothing, random_templates(1, 1), k=5) == [[]]
    assert search(coded(random_templates(5, 1)), lambda rows: nothing, nothing, k=5) == []


@pytest.mark.parametrize(
    "spoil", [lambda row: row * 0, lambda row: row * 1.1, lambda row: row * np.nan, lambda row: row + np.inf]
)
def test_what_has_no_unit_length_is_refused(spoil: object) -> None:
    templates = random_templates(3, 1)
    bad = templates.copy()
    bad[1] = spoil(bad[1])  # type: ignore[operator]
    with pytest.raises(ValueError, match="unit length"):
        coded(bad)
    with pytest.raises(ValueError, match="unit length"):
        search(coded(templates), lambda rows: templates[rows], bad, k=1)


def test_limits_of_the_question() -> None:
    codes = coded(random_templates(3, 1))
    for k in (0, MAX_K + 1):
        with pytest.raises(ValueError, match="k is"):
            search(codes, lambda rows: random_templates(3, 1)[rows], random_templates(1, 1), k=k)
    with pytest.raises(ValueError, match="queries"):
        search(codes, lambda rows: random_templates(3, 1)[rows], np.zeros((1, 64), np.float32), k=1)


def test_a_template_takes_less_than_160_bytes() -> None:
    assert empty_codes(1000).nbytes / (1000 * ROWS) < 136


@pytest.mark.req("E023")
def test_the_path_is_chosen_by_what_the_machine_has() -> None:
    assert choose_path({"avx512vnni": True, "avx512bw": True, "avx2": True}) is Path.AVX512_VNNI
    assert choose_path({"avx2": True}) is Path.AVX2
    assert choose_path({"dotprod": True}) is Path.NEON_DOT
    assert choose_path({}) is Path.PORTABLE
    assert machine_path() is choose_path(binding.get_host_cpu_features())


@pytest.mark.req("E023")
def test_nothing_compiled_gives_the_same_answers(tmp_path: File) -> None:
    script = tmp_path / "plain.py"
    script.write_text(
        "import numpy as np\n"
        "from edge.gallery.search import machine_path, search\n"
        "from tests.unit.test_gallery_search import brute_force, clustered_templates, coded, same\n"
        "templates = clustered_templates(300, 4)\n"
        "found = search(coded(templates), lambda rows: templates[rows], templates[:9], k=7)\n"
        "assert all(same(hits, brute_force(templates, q, 7)) for q, hits in zip(templates, found))\n"
        "print(machine_path().name)\n",
        encoding="utf-8",
    )
    root = File(coding.__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(root)},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout.strip() == "PORTABLE", done.stderr[-2000:]
