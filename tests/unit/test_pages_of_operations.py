"""The pages about devices in operation: what they name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge.cli import COMMANDS
from edge.health import BAD
from edge.health_items import ITEM_NAMES
from edge.remedies import catalogue
from scripts import deb

ROOT = Path(__file__).parents[2]
PAGES = ("operations", "guide-operator", "guide-agent", "threat-model", "privacy")
CODE = re.compile(r"`([A-Z]+(?:_[A-Z]+)+)`")
PATH = re.compile(r"`((?:tests|edge|cloud|deploy|locks|docs)/[\w./-]+)`")


@pytest.mark.parametrize("name", PAGES)
def test_every_file_that_a_page_names_is_there(name: str) -> None:
    text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    assert [path for path in PATH.findall(text) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", PAGES)
def test_every_code_that_a_page_names_has_its_texts(name: str) -> None:
    text = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    assert [code for code in CODE.findall(text) if code not in catalogue()] == []


def test_the_page_of_operations_names_every_part_and_every_grave_problem() -> None:
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    assert set(CODE.findall(text)) >= BAD
    assert [name for name in ITEM_NAMES if not re.search(rf"^\| [^|]*\b{name}\b", text, re.MULTILINE)] == []


def test_the_readme_leads_to_every_page() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in (*PAGES, "configuration") if f"(docs/{name}.md)" not in text] == []
    assert set(deb.DOCUMENTS) <= {path.name for path in (ROOT / "docs").glob("*.md")}


def test_the_readme_names_every_command_of_a_device() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| `verifield-edge` | the device |"))
    assert set(re.findall(r"`([a-z]+)`", row.split("|")[3])) == set(COMMANDS)


def test_the_threats_that_are_defended_name_what_shows_it() -> None:
    text = (ROOT / "docs/threat-model.md").read_text(encoding="utf-8")
    rows = text.split("## What is defended")[1].split("## What is not")[0].splitlines()
    threats = [row for row in rows if row.startswith("| ") and not row.startswith("| Attack |")]
    assert len(threats) >= 20
    assert [row for row in threats if not re.search(r"`[\w/.]+`|\]\(", row.split("|")[3])] == []
