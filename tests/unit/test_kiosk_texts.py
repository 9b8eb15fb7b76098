"""Every sentence of the kiosk is there in every language, and every key that a page names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge.answers import ChallengeVariant
from edge.kiosk.menu import MENU, Function, Module, offered
from edge.kiosk.server import PAGES
from edge.kiosk.showing import fault_text, qr_svg, reason_text
from edge.kiosk.texts import LANGUAGES, TABLES, Texts, all_texts
from edge.session.events import OPERATOR_IS_APPLICANT, SAID_NO
from edge.session.plan import DEFAULT_LIMITS_S

SOURCES = sorted(PAGES.parent.glob("*.py"))
TEMPLATES = sorted(PAGES.rglob("*.html"))
PLACE = re.compile(r"{(\w+)}")


def test_every_text_is_there_in_every_language_with_the_same_places() -> None:
    assert len(all_texts()) == sum(len(table) for table in TABLES)  # no flow overwrites another's
    for key, text in all_texts().items():
        assert set(text) == set(LANGUAGES), key
        assert all(words.strip() for words in text.values()), key
        assert len({frozenset(PLACE.findall(words)) for words in text.values()}) == 1, key


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.relative_to(PAGES).as_posix())
def test_every_key_that_a_template_names_exists(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    keys = re.findall(r"""\bt\(\s*["']([\w.]+)["']\s*[,)]""", source)
    starts = re.findall(r"""\bt\(\s*["']([\w.]+\.)["']\s*[+~]""", source)
    assert [key for key in keys if key not in all_texts()] == []
    assert [start for start in starts if not any(key.startswith(start) for key in all_texts())] == []


def test_every_key_that_the_code_names_exists() -> None:
    named = [
        key for path in SOURCES for key in re.findall(r"""\btexts(?:\(\))?\("([\w.]+)\"""", path.read_text())
    ]
    assert len(named) > 3
    assert [key for key in named if key not in all_texts()] == []


def test_a_key_that_is_missing_is_a_bug_and_a_code_that_is_unknown_is_not() -> None:
    texts = Texts("es")
    with pytest.raises(KeyError):
        texts("no.such.text")
    assert texts.find("no.such.text") is None
    assert texts("shell.pending", count=3) == "3 por enviar"


def test_every_function_of_the_menu_has_its_words_and_every_way_too() -> None:
    for module in MENU:
        assert f"menu.{module.code}" in all_texts()
        for function in module.functions:
            assert {f"menu.{function.code}", f"menu.{function.code}.about"} <= set(all_texts())
            icon = PAGES.parent / "static" / "icons" / f"{function.code.lower()}.svg"
            assert icon.is_file()
    assert all(f"verify.way.{variant}" in all_texts() for variant in ChallengeVariant)


def test_what_has_no_page_is_not_offered() -> None:
    shown = offered(lambda path: path in {"/verify", "/queue"})
    assert shown == (
        Module("IDENTITY", (Function("VERIFY", "/verify"),)),
        Module("DEVICE", (Function("QUEUE", "/queue"),)),
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_of_a_session_has_plain_words(language: str) -> None:
    texts = next(Texts(one) for one in LANGUAGES if one == language)
    codes = {
        *SAID_NO,
        OPERATOR_IS_APPLICANT,
        "SCORE_BELOW_THRESHOLD",
        "NO_DOCUMENT_PHOTO",
        "BLURRED",
        "NO_CARD",
    }
    codes |= {f"TIMEOUT_{state}" for state in DEFAULT_LIMITS_S}
    for code in codes:
        assert code not in reason_text(code, texts)
    assert reason_text("SPOOF_OF_A_NEW_KIND", texts) == texts("reason.SPOOF")
    assert reason_text("LIVENESS_NEW", texts) == texts("reason.LIVENESS_INSUFFICIENT")
    assert "QUITE_UNKNOWN" in reason_text("QUITE_UNKNOWN", texts)
    assert all(fault_text("NO_READER", texts))


def test_every_reason_that_the_code_can_give_has_its_own_words_or_a_family() -> None:
    texts = Texts("en")
    root = PAGES.parent.parent
    folders = ("liveness", "session")
    sources = [path for folder in folders for path in (root / folder).glob("*.py")]
    codes = {
        code
        for path in [*sources, root / "decision.py"]
        for code in re.findall(
            r'"((?:LIVENESS|SPOOF|DOCUMENT|GALLERY|CAPTURE|NO)_[A-Z_]+)"', path.read_text()
        )
    }
    assert len(codes) > 15
    bare = {code for code in codes if code in reason_text(code, texts)} - {
        "NO_TURN",
        "NO_SCREEN",
        "NO_ANSWER_",
    }
    assert bare == set()


def test_the_receipt_is_a_qr_code_without_style_and_script() -> None:
    svg = qr_svg("0198f6a2-0000-7000-8000-000000000001")
    assert svg.startswith("<svg")
    assert "style" not in svg
    assert "script" not in svg
    assert qr_svg("") == ""
