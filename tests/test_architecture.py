"""The rules that keep the tree simple: who imports whom, how long a file and a function may be.

Each checker is also run on a made-up tree that breaks its rule, because a checker that cannot
fail protects nothing.
"""

from __future__ import annotations

import ast
import configparser
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CODE = ("edge", "cloud", "proto/verifield", "firmware-sim", "demo")
FIXED_FOLDERS = (
    "edge",
    "edge/capture",
    "edge/liveness",
    "edge/match",
    "cloud",
    "proto",
    "firmware-sim",
    "tests",
    "benchmarks",
)
MAX_FILE_LINES = 400  # longer files hide a second subject
MAX_FUNCTION_LINES = 60  # what a reader can hold; docstring and comments included
LINTER_TIMEOUT_S = 120
RUN_LINTER = "from importlinter.cli import lint_imports_command as run; run()"


def hand_written(root: Path) -> list[Path]:
    files = (path for folder in CODE for path in (root / folder).rglob("*.py"))
    return sorted(path for path in files if "_pb2" not in path.name)


def too_long(root: Path) -> Iterator[str]:
    """One sentence for each file and each function over its limit."""
    for path in hand_written(root):
        name = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        lines = len(text.splitlines())
        if lines > MAX_FILE_LINES:
            yield f"{name}: {lines} lines, at most {MAX_FILE_LINES}"
        for node in ast.walk(ast.parse(text, filename=name)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > MAX_FUNCTION_LINES:
                    yield f"{name}: {node.name} has {length} lines, at most {MAX_FUNCTION_LINES}"


def lint_imports(root: Path) -> tuple[int, str]:
    """Run import-linter with the contracts in ``root``; exit status and output on one line."""
    result = subprocess.run(
        [sys.executable, "-c", RUN_LINTER, "--config", ".importlinter", "--no-cache", "--no-logo"],
        cwd=root,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(root), f"{root}/proto", f"{root}/firmware-sim"]),
        },
        capture_output=True,
        text=True,
        timeout=LINTER_TIMEOUT_S,
        check=False,
    )
    return result.returncode, " ".join((result.stdout + result.stderr).split())


def contract_names() -> list[str]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter", encoding="utf-8")
    return [parser[section]["name"] for section in parser.sections() if ":contract:" in section]


def write_module(root: Path, name: str, source: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")


def made_up_tree(root: Path) -> None:
    """Every package and module that the contracts demand, empty; with the real contracts."""
    shutil.copy(ROOT / ".importlinter", root)
    for package in ("edge", "cloud", "proto/verifield", "firmware-sim/verifield_sim", "demo"):
        write_module(root, f"{package}/__init__.py", "")
        for part in sorted((ROOT / package).glob("*")):
            if part.suffix == ".py":
                write_module(root, f"{package}/{part.name}", "")
            elif (part / "__init__.py").is_file():
                write_module(root, f"{package}/{part.name}/__init__.py", "")


def test_no_file_and_no_function_is_too_long() -> None:
    assert list(too_long(ROOT)) == []


def test_the_size_checker_sees_the_code() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in hand_written(ROOT)}
    assert {"edge/model.py", "proto/verifield/__init__.py", "firmware-sim/verifield_sim/__init__.py"} <= names
    assert not any("_pb2" in name for name in names)


@pytest.mark.parametrize(
    ("body_lines", "sentences"),
    [
        (MAX_FUNCTION_LINES - 1, []),
        (MAX_FUNCTION_LINES, ["edge/long.py: grows has 61 lines, at most 60"]),
    ],
)
def test_a_long_function_is_found(tmp_path: Path, body_lines: int, sentences: list[str]) -> None:
    method = "    async def grows(self):\n" + "        pass\n" * body_lines
    write_module(tmp_path, "edge/long.py", f"class Owner:\n{method}")
    assert list(too_long(tmp_path)) == sentences


@pytest.mark.parametrize(
    ("lines", "sentences"),
    [(MAX_FILE_LINES, []), (MAX_FILE_LINES + 1, ["cloud/store/long.py: 401 lines, at most 400"])],
)
def test_a_long_file_is_found_and_generated_code_is_left_alone(
    tmp_path: Path, lines: int, sentences: list[str]
) -> None:
    write_module(tmp_path, "cloud/store/long.py", "x = 1\n" * lines)
    write_module(tmp_path, "proto/verifield/v1/made_pb2.py", "x = 1\n" * 2 * MAX_FILE_LINES)
    assert list(too_long(tmp_path)) == sentences


@pytest.mark.parametrize("folder", FIXED_FOLDERS)
def test_the_folders_that_the_owner_named_are_there(folder: str) -> None:
    assert (ROOT / folder).is_dir()


def test_the_project_file_is_at_the_root() -> None:
    assert (ROOT / "pyproject.toml").is_file()


def test_imports_keep_the_contracts() -> None:
    status, output = lint_imports(ROOT)
    assert status == 0, output


def test_a_tree_without_imports_keeps_the_contracts(tmp_path: Path) -> None:
    made_up_tree(tmp_path)
    status, output = lint_imports(tmp_path)
    assert status == 0, output


def test_every_contract_can_break(tmp_path: Path) -> None:
    made_up_tree(tmp_path)
    breaks = {
        "edge/errors.py": "import edge.model",  # upwards
        "edge/match/__init__.py": "import edge.capture",  # a stage to another
        "edge/sync/__init__.py": "import edge.outbox",
        "edge/reader/__init__.py": "from verifield_sim import cards",
        "edge/unplaced.py": "",  # a module that nobody gave a layer
        "cloud/store/__init__.py": "import cloud.attestations",
        "cloud/__init__.py": "def later():\n    import edge.policy",  # hidden in a function
        "proto/verifield/__init__.py": "import cloud",
        "firmware-sim/verifield_sim/__init__.py": "import verifield",
        "firmware-sim/verifield_sim/cards.py": "",
        "demo/__init__.py": "import verifield_sim",
    }
    for name, source in breaks.items():
        write_module(tmp_path, name, source + "\n")
    status, output = lint_imports(tmp_path)
    assert status == 1, output
    for name in contract_names():
        assert f"{name} BROKEN" in output
    for importer, imported in (
        ("edge.errors", "edge.model"),
        ("edge.match", "edge.capture"),
        ("edge.sync", "edge.outbox"),
        ("edge.reader", "verifield_sim.cards"),
        ("cloud.store", "cloud.attestations"),
        ("cloud", "edge.policy"),
        ("verifield", "cloud"),
        ("verifield_sim", "verifield"),
        ("demo", "verifield_sim"),
    ):
        assert f"{importer} -> {imported} (" in output, (importer, imported)
    assert "- edge.unplaced" in output
