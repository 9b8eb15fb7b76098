"""Compiled code is kept for the sources that it was made of, and for no others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge.compute import kept
from edge.compute.compiling import COMPILED

ROOT = Path(__file__).parents[2]
WRITER = """from llvmlite import ir

def emit(builder):
    return ir.Constant(ir.IntType(64), {value})
"""
KERNELS = """from edge.compute.compiling import compiled, intrinsic, types
from edge.probe.probe_ir import emit

@intrinsic
def told(typing_context):
    return types.int64(), lambda context, builder, signature, values: emit(builder)

@compiled
def run():
    return told()
"""


@pytest.fixture
def product(tmp_path: Path) -> Path:
    """The real package of compiled code, with one kernel whose instructions another module writes."""
    made = tmp_path / "edge"
    shutil.copytree(ROOT / "edge" / "compute", made / "compute", ignore=shutil.ignore_patterns("__pycache__"))
    (made / "probe").mkdir()
    for folder in (made, made / "probe"):
        (folder / "__init__.py").touch()
    (made / "probe" / "probe_kernels.py").write_text(KERNELS)
    (made / "probe" / "probe_ir.py").write_text(WRITER.format(value=1))
    return made


@pytest.mark.req("E023")
@pytest.mark.skipif(not COMPILED, reason="nothing is compiled under NUMBA_DISABLE_JIT")
def test_code_of_other_instructions_is_never_run(product: Path, tmp_path: Path) -> None:
    def run() -> list[str]:
        code = "from edge.probe.probe_kernels import run; print(run(), sum(run.stats.cache_hits.values()))"
        environ = {name: value for name, value in os.environ.items() if name != "NUMBA_DISABLE_JIT"}
        environ |= {"NUMBA_CACHE_DIR": str(tmp_path / "kept"), "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return done.stdout.split()

    assert run() == ["1", "0"]
    assert run() == ["1", "1"], "what was compiled is kept"
    (product / "probe" / "probe_ir.py").write_text(WRITER.format(value=2))
    assert run() == ["2", "0"], "the kernel's own file is as it was"
    assert len(list((tmp_path / "kept").glob(kept.PREFIX + "*"))) == 2


def test_the_state_is_of_what_has_a_part_in_compiled_code(product: Path) -> None:
    state = kept.state_of(product)
    (product / "probe" / "words.py").write_text("HELLO = 'hello'\n")
    assert kept.state_of(product) == state
    (product / "probe" / "answers.py").write_text("from edge.compute.compiling import compiled\n")
    assert kept.state_of(product) != state


def test_code_is_kept_where_somebody_may_write(
    product: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    name = kept.PREFIX + kept.state_of(product)
    assert kept.folder(product) == product / "__pycache__" / name
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert kept.folder(product) == tmp_path / "cache" / "verifield" / name
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "named"))
    assert kept.folder(product) == tmp_path / "named" / name


def test_code_of_earlier_releases_is_removed_and_nothing_else(tmp_path: Path) -> None:
    present = tmp_path / (kept.PREFIX + "b")
    for name in (present.name, kept.PREFIX + "a", "other"):
        (tmp_path / name / "within").mkdir(parents=True)
    assert kept.forget_others(present) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [present.name, "other"]
