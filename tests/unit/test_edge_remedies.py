"""Every stable code has a text and a remedy in every language: the appliance's from its code, the cloud's."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud.errors import Reason
from cloud.hints import LANGUAGES as CLOUD_LANGUAGES
from cloud.hints import hint_of
from edge.reader.faults import FAULTS
from edge.remedies import LANGUAGES, catalogue
from edge.sqlite import _WORDS

ROOT = Path(__file__).resolve().parents[2]
EDGE = ROOT / "edge"
RAISES = re.compile(r"(Error|Gone|CameraLost|Trouble|PartLook|fault)$")
CODE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")
ENGINEERS = ("evaluation", "liveness")
"""Folders of commands that measure: an engineer reads them, in a terminal, in English."""


def codes_in(source: str) -> Iterator[str]:
    """Codes that this code gives to a fault when it makes one."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        first = node.args[0]
        if not RAISES.search(name) or not isinstance(first, ast.Constant):
            continue
        if isinstance(first.value, str) and CODE.fullmatch(first.value):
            yield first.value


def all_codes() -> dict[str, str]:
    """Code and the file that raises it."""
    found = {
        code: path.relative_to(ROOT).as_posix()
        for path in sorted(EDGE.rglob("*.py"))
        if path.relative_to(EDGE).parts[0] not in ENGINEERS
        for code in codes_in(path.read_text(encoding="utf-8"))
    }
    found |= dict.fromkeys(FAULTS, "edge/reader/faults.py")
    return found | {f"{store}_{kind}": "edge/sqlite.py" for store in ("OUTBOX", "STATE") for kind in _WORDS}


@pytest.mark.req("R182")
def test_every_code_of_the_appliance_has_a_text_and_a_remedy() -> None:
    known = catalogue()
    missing = {code: path for code, path in all_codes().items() if code not in known}
    assert missing == {}, "give each an entry [codes.X] at the end of edge/remedies/texts.toml"


@pytest.mark.req("R182")
@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_and_remedies_are_sentences_in_their_language(language: str) -> None:
    for code, told in catalogue().items():
        for text in (told.text[language], told.remedy[language]):
            assert text, code
            assert any("\u4e00" <= letter <= "\u9fff" for letter in text) is (language == "zh"), code
        assert told.text[language].endswith("。" if language == "zh" else "."), code


@pytest.mark.req("R182")
@pytest.mark.parametrize("language", CLOUD_LANGUAGES)
def test_every_reason_of_the_service_has_a_remedy_in_every_language(language: str) -> None:
    assert set(CLOUD_LANGUAGES) >= set(LANGUAGES)
    assert [reason for reason in Reason if not hint_of(reason, language)] == []


def test_every_remedy_is_used_and_every_one_that_is_named_is_there() -> None:
    data = tomllib.loads((EDGE / "remedies" / "texts.toml").read_text(encoding="utf-8"))
    assert {entry["remedy"] for entry in data["codes"].values()} == set(data["remedies"])


def test_a_code_that_is_raised_is_found() -> None:
    source = 'raise SetupError("NEW_CODE", "Text.")\nhandle(Trouble("OTHER", "x"))\nlog.info("QUIET_ONE")\n'
    assert list(codes_in(source)) == ["NEW_CODE", "OTHER"]
    assert len(all_codes()) > 150
