"""Which tests show which requirements: reads the marks, writes docs/requirements.md.

The test files are parsed, never imported, so the trace needs no camera, no model and no
optional package. A mark that cannot be attributed to a test, or that names an ID that is
not in docs/requirements.tsv, is refused: a silent gap would look like evidence.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = ("id", "area", "title")
ID_PATTERN = re.compile(r"[ER]\d{3}")
TEST_FILES = ("test_*.py", "*_test.py")  # pytest's own default patterns
SIDES = {"E": "appliance", "R": "cloud"}

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


class TraceError(Exception):
    """The catalogue or a mark is not usable; the message names the file and the line."""


@dataclass(frozen=True, slots=True)
class Requirement:
    id: str
    area: str
    title: str


@dataclass(frozen=True, slots=True)
class Shown:
    """``test`` is what pytest takes on its command line: path::name."""

    id: str
    test: str


def load_catalogue(path: Path) -> list[Requirement]:
    """Read the catalogue.

    Raises:
        TraceError: a wrong header, a line without three fields, a bad or repeated ID.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines or tuple(lines[0].split("\t")) != HEADER:
        raise TraceError(f"{path.name}:1: the header must be {', '.join(HEADER)}")
    found: dict[str, Requirement] = {}
    for number, line in enumerate(lines[1:], start=2):
        fields = line.split("\t")
        if len(fields) != len(HEADER) or not all(fields):
            raise TraceError(f"{path.name}:{number}: expected id, area and title, separated by tabs")
        requirement = Requirement(*fields)
        if not ID_PATTERN.fullmatch(requirement.id):
            raise TraceError(f"{path.name}:{number}: {requirement.id!r} is not an ID")
        if requirement.id in found:
            raise TraceError(f"{path.name}:{number}: {requirement.id} is there twice")
        found[requirement.id] = requirement
    return list(found.values())


def collect_tree(tests: Path, root: Path) -> list[Shown]:
    """All marks under ``tests``; test names are relative to ``root``.

    Raises:
        TraceError: see ``collect_source``.
    """
    files = {path for pattern in TEST_FILES for path in tests.rglob(pattern)}
    shown: set[Shown] = set()
    for path in sorted(files):
        shown.update(collect_source(path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()))
    return sorted(shown, key=lambda one: (one.id, one.test))


def collect_source(source: str, name: str) -> list[Shown]:
    """All marks in one test file: on functions, classes, the module and on ``pytest.param``.

    Raises:
        TraceError: the file does not parse, an ID is not a plain string, or a mark belongs to no test.
    """
    try:
        module = ast.parse(source, filename=name)
    except SyntaxError as error:
        raise TraceError(f"{name}:{error.lineno}: does not parse") from error
    return _Collector(module, name).collect()


def check_known(shown: Sequence[Shown], catalogue: Sequence[Requirement]) -> None:
    """Check that the catalogue has every ID.

    Raises:
        TraceError: a mark names one that it has not.
    """
    known = {requirement.id for requirement in catalogue}
    for one in shown:
        if one.id not in known:
            raise TraceError(f"{one.test}: {one.id} is not in docs/requirements.tsv")


def render(catalogue: Sequence[Requirement], shown: Sequence[Shown]) -> str:
    """The whole page, Markdown."""
    tests: dict[str, list[str]] = {}
    for one in shown:
        tests.setdefault(one.id, []).append(one.test)
    done = [requirement for requirement in catalogue if requirement.id in tests]
    open_ones = [requirement for requirement in catalogue if requirement.id not in tests]
    lines = [
        "# Requirements and the tests that show them",
        "",
        "Written by `make trace` from `docs/requirements.tsv` and the `@pytest.mark.req(...)` marks in",
        "`tests/`; do not edit by hand. A requirement counts as shown when at least one test carries its ID.",
        "",
        "## Summary",
        "",
        *_summary(catalogue, set(tests)),
        "",
        "## Shown",
        "",
        "| ID | Requirement | Tests |",
        "|---|---|---|",
    ]
    for requirement in done:
        cells = "<br>".join(f"`{test}`" for test in tests[requirement.id])
        lines.append(f"| {requirement.id} | {requirement.title} | {cells} |")
    lines += ["", "## Not yet shown", ""]
    area = ""
    for requirement in open_ones:
        if requirement.area != area:
            area = requirement.area
            lines += ["", f"### {area} ({SIDES[requirement.id[0]]})", ""]
        lines.append(f"- {requirement.id} {requirement.title}")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or with --check compare it; the exit status."""
    parser = argparse.ArgumentParser(prog="trace.py", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository (default: this one)")
    options = parser.parse_args(arguments)
    root: Path = options.root
    page = root / "docs" / "requirements.md"
    try:
        catalogue = load_catalogue(root / "docs" / "requirements.tsv")
        shown = collect_tree(root / "tests", root)
        check_known(shown, catalogue)
    except TraceError as error:
        print(error, file=sys.stderr)
        return 1
    text = render(catalogue, shown)
    if not options.check:
        page.write_text(text, encoding="utf-8")
        return 0
    if page.is_file() and page.read_text(encoding="utf-8") == text:
        return 0
    print("docs/requirements.md is stale: run 'make trace' and commit the result", file=sys.stderr)
    return 1


class _Collector:
    """Walks one module; remembers which marks were attributed, so that none is lost."""

    def __init__(self, module: ast.Module, name: str) -> None:
        self._module = module
        self._name = name
        self._seen: set[ast.AST] = set()
        self._shown: set[Shown] = set()
        self._constants = _module_values(module)

    def collect(self) -> list[Shown]:
        self._body(self._module.body, prefix="", inherited=self._module_marks(self._module.body))
        for node in ast.walk(self._module):
            if _is_req(node) and node not in self._seen:
                raise TraceError(
                    f"{self._name}:{_line(node)}: a req mark that belongs to no test, or has no ID"
                )
        return sorted(self._shown, key=lambda one: (one.id, one.test))

    def _body(self, body: Sequence[ast.stmt], *, prefix: str, inherited: frozenset[str]) -> None:
        for node in body:
            if isinstance(node, FunctionNode) and node.name.startswith("test"):
                self._add(prefix + node.name, inherited | self._decorators(node))
            elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
                marks = inherited | self._decorators(node) | self._module_marks(node.body)
                self._body(node.body, prefix=f"{prefix}{node.name}::", inherited=marks)
            elif isinstance(node, ast.Assign) and not prefix:
                for name in _test_class_names(node):  # TestLink = pytest.mark.req("E030")(Machine.TestCase)
                    self._add(name, inherited | self._ids(node.value))

    def _decorators(self, node: FunctionNode | ast.ClassDef) -> frozenset[str]:
        found: set[str] = set()
        for decorator in node.decorator_list:
            found |= self._ids(decorator)
            for name in ast.walk(decorator):  # parametrize("x", CASES): the marks stand in CASES
                if isinstance(name, ast.Name) and name.id in self._constants:
                    found |= self._ids(self._constants[name.id])
        return frozenset(found)

    def _module_marks(self, body: Sequence[ast.stmt]) -> frozenset[str]:
        found: set[str] = set()
        for node in body:
            if isinstance(node, ast.Assign) and _targets(node) == ["pytestmark"]:
                found |= self._ids(node.value)
        return frozenset(found)

    def _ids(self, expression: ast.expr) -> frozenset[str]:
        found: set[str] = set()
        for node in ast.walk(expression):
            if isinstance(node, ast.Call) and _is_req(node.func):
                self._seen.add(node.func)
                found |= set(self._arguments(node))
        return frozenset(found)

    def _arguments(self, call: ast.Call) -> Iterator[str]:
        if not call.args or call.keywords:
            raise TraceError(f"{self._name}:{call.lineno}: a req mark takes one or more IDs and nothing else")
        for argument in call.args:
            if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
                raise TraceError(f"{self._name}:{call.lineno}: an ID in a req mark must be a plain string")
            yield argument.value

    def _add(self, test: str, ids: frozenset[str]) -> None:
        self._shown |= {Shown(one, f"{self._name}::{test}") for one in ids}


def _is_req(node: ast.AST) -> bool:
    """Whether the node is ``pytest.mark.req`` or ``mark.req``."""
    if not isinstance(node, ast.Attribute) or node.attr != "req":
        return False
    owner = node.value
    return (isinstance(owner, ast.Attribute) and owner.attr == "mark") or (
        isinstance(owner, ast.Name) and owner.id == "mark"
    )


def _line(node: ast.AST) -> int:
    return int(getattr(node, "lineno", 0))


def _targets(node: ast.Assign) -> list[str]:
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


def _test_class_names(node: ast.Assign) -> list[str]:
    return [name for name in _targets(node) if name.startswith("Test")]


def _module_values(module: ast.Module) -> dict[str, ast.expr]:
    """What the module's own names stand for: lists of cases are often named."""
    values: dict[str, ast.expr] = {}
    for node in module.body:
        if isinstance(node, ast.Assign):
            values.update((name, node.value) for name in _targets(node))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            values[node.target.id] = node.value
    return values


def _summary(catalogue: Sequence[Requirement], done: set[str]) -> Iterator[str]:
    yield "| Side | Area | Requirements | Shown |"
    yield "|---|---|--:|--:|"
    areas: dict[tuple[str, str], list[str]] = {}
    for requirement in catalogue:
        areas.setdefault((SIDES[requirement.id[0]], requirement.area), []).append(requirement.id)
    for (side, area), ids in areas.items():
        yield f"| {side} | {area} | {len(ids)} | {len(done.intersection(ids))} |"
    ids = [requirement.id for requirement in catalogue]
    yield f"| **both** | **all** | **{len(ids)}** | **{len(done.intersection(ids))}** |"


if __name__ == "__main__":
    sys.exit(main())
