"""Which instructions come out of the inner loop, and when it is compiled."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path as File

import pytest
from llvmlite import binding, ir

from edge.gallery.vector_ir import Path, emit_block, emit_second

ROOT = File(__file__).resolve().parents[2]
MACHINES = {
    Path.NEON_DOT: ("aarch64-unknown-linux-gnu", "cortex-a76", "+neon,+dotprod,+fullfp16"),
    Path.AVX512_VNNI: ("x86_64-unknown-linux-gnu", "icelake-server", ""),
    Path.AVX2: ("x86_64-unknown-linux-gnu", "haswell", ""),
}
INSTRUCTION = {Path.NEON_DOT: "sdot", Path.AVX512_VNNI: "vpdpbusd", Path.AVX2: "vpmaddubsw"}
PRODUCTS = {Path.NEON_DOT: 16, Path.AVX512_VNNI: 64, Path.AVX2: 32}


def assembly(path: Path, queries: int, *, on: Path) -> str:
    """The inner loop and the second pass, for a machine that need not be this one."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    triple, cpu, features = MACHINES[on]
    module = ir.Module(name="gallery")
    module.triple = triple
    address = ir.IntType(64)
    block = ir.Function(module, ir.FunctionType(ir.IntType(32), [address] * 6), "block")
    builder = ir.IRBuilder(block.append_basic_block())
    builder.ret(emit_block(builder, path, list(block.args), queries))
    second = ir.Function(module, ir.FunctionType(ir.FloatType(), [address] * 3), "second")
    builder = ir.IRBuilder(second.append_basic_block())
    builder.ret(emit_second(builder, list(second.args)))
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    machine = binding.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features, opt=3)
    return str(machine.emit_assembly(parsed))


@pytest.mark.req("E023")
@pytest.mark.parametrize("queries", [1, 8])
@pytest.mark.parametrize("path", list(MACHINES))
def test_the_inner_loop_is_the_instructions_that_it_is_named_for(path: Path, queries: int) -> None:
    """16 templates of 128 numbers each take so many of them for each query, and no more."""
    text = assembly(path, queries, on=path)
    count = len(re.findall(rf"\b{INSTRUCTION[path]}\b", text))
    assert count == queries * 16 * 128 // PRODUCTS[path]


@pytest.mark.req("E023")
@pytest.mark.parametrize("machine", list(MACHINES))
def test_the_portable_loop_can_be_compiled_for_every_machine(machine: Path) -> None:
    assert "block:" in assembly(Path.PORTABLE, 1, on=machine)


@pytest.mark.req("E023")
def test_what_was_warmed_is_kept_and_read_by_the_next_process(tmp_path: File) -> None:
    script = (
        "from edge.gallery.warming import warm\n"
        "from edge.gallery import kernels, search, codes\n"
        "warm()\n"
        "path = search.machine_path()\n"
        "groups = 1, search.queries_together(path)\n"
        "hits = [s.stats.cache_hits for s in (search.scanner(path, g) for g in groups)]\n"
        "hits += [sum(f.stats.cache_hits.values()) for f in (kernels.exact_scores, codes._write)]\n"
        "print(sum(sum(h.values()) if hasattr(h, 'values') else h for h in hits))\n"
    )

    def run() -> int:
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env=os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        return int(done.stdout)

    assert run() == 0
    assert any(tmp_path.rglob("*.nbc"))
    assert run() >= 4
