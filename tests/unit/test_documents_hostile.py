"""Files that were made to break whoever reads them: none is VALID, none hangs, none grows for ever."""

from __future__ import annotations

import importlib.util
import subprocess
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.documents import START, Notary, named, place, plain
from verifield.documents import Code, Finding, Limits, Outcome, apart, judge_apart
from verifield.errors import Unknown

SMALL = Limits(seconds=5, memory_bytes=400 * 1024 * 1024)


@pytest.fixture(scope="module")
def notary(tmp_path_factory: pytest.TempPathFactory) -> Notary:
    return Notary(tmp_path_factory.mktemp("notary"))


@pytest.fixture(scope="module")
def signed(notary: Notary) -> bytes:
    return notary.signed(notary.frozen([place("name1", "first")]), [named("name1")])


def with_xref(body: bytes, trailer: bytes, *, xref: bytes = b"") -> bytes:
    head = b"%PDF-1.7\n" + body
    table = xref or b"xref\n0 1\n0000000000 65535 f \n"
    return head + table + b"trailer\n" + trailer + b"\nstartxref\n%d\n%%%%EOF\n" % len(head)


def bomb() -> bytes:
    """A cross-reference stream that unpacks to a gigabyte."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1024 * 1024)) for _ in range(1024)) + packer.flush()
    head = b"%PDF-1.7\n"
    entry = b"1 0 obj\n<</Type/XRef/W[1 4 2]/Size 999999999/Root 2 0 R/Filter/FlateDecode/Length %d>>stream\n"
    stream = entry % len(packed) + packed + b"\nendstream\nendobj\n"
    return head + stream + b"startxref\n%d\n%%%%EOF\n" % len(head)


def nested(opening: bytes) -> bytes:
    return with_xref(b"", b"<</Size 1/Root 1 0 R/X " + opening * 100_000)


def circle_of_tables() -> bytes:
    head = b"%PDF-1.7\n"
    table = b"xref\n0 1\n0000000000 65535 f \ntrailer\n<</Size 1/Root 1 0 R/Prev %d>>\n" % len(head)
    return head + table + b"startxref\n%d\n%%%%EOF\n" % len(head)


def circle_of_fields() -> bytes:
    first = b"1 0 obj\n<</Type/Catalog/AcroForm<</Fields[2 0 R]>>>>\nendobj\n"
    second = b"2 0 obj\n<</T(a)/Kids[2 0 R]>>\nendobj\n"
    places = b"xref\n0 3\n0000000000 65535 f \n%010d 00000 n \n%010d 00000 n \n" % (9, 9 + len(first))
    return with_xref(first + second, b"<</Size 3/Root 1 0 R>>", xref=places)


def many_ranges() -> bytes:
    return b"%PDF-1.7\n" + b"/ByteRange [0 9 400000 9]<30" * 20_000 + b"0" * 400_000 + b">"


@pytest.mark.parametrize(
    "make",
    [
        lambda: nested(b"["),
        lambda: nested(b"<</A "),
        lambda: nested(b"("),
        circle_of_tables,
        circle_of_fields,
        many_ranges,
        lambda: plain()[:-60],
        lambda: plain().replace(b"startxref", b"startxxxx"),
        lambda: with_xref(b"", b"<</Size 1>>"),
        lambda: with_xref(b"", b"<</Size -1/Root 5 0 R/Prev -9>>"),
    ],
)
def test_broken_files_are_unknown(notary: Notary, make: Callable[[], bytes]) -> None:
    verdict = notary.judged(make())
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.findings[0].code in {Code.UNREADABLE, Code.UNSIGNED, Code.NOT_OURS}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_cuts_and_splices_are_never_valid(notary: Notary, signed: bytes, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(signed) - 1))
    end = data.draw(st.integers(begin, min(len(signed), begin + 4000)))
    middle = data.draw(st.binary(max_size=60))
    changed = signed[:begin] + middle + signed[end:]
    if changed != signed:
        assert notary.judged(changed).outcome is not Outcome.VALID


def test_a_bomb_ends_at_its_limits(notary: Notary) -> None:
    verdict = judge_apart(bomb(), roots=[notary.root], at=START, limits=SMALL)
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.findings[0].code in {Code.TOO_COSTLY, Code.UNREADABLE}


def test_what_takes_too_long_is_ended(
    notary: Notary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The limit is the system's: whatever the process does, it does not outlive it."""
    endless = (
        "import verifield.documents.worker as w\nw.judge = lambda *a, **k: exec('while True: pass')\nw.main()"
    )
    monkeypatch.setattr(apart, "_WORKER", (*apart._WORKER[:1], "-c", endless))
    verdict = judge_apart(plain(), roots=[notary.root], at=START, limits=Limits(seconds=1))
    assert verdict.findings == (Finding(Code.TOO_COSTLY),)


def test_a_process_that_waits_is_ended_too(notary: Notary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "_WORKER", (*apart._WORKER[:1], "-c", "import time; time.sleep(60)"))
    monkeypatch.setattr(apart, "START_S", 0.1)
    verdict = judge_apart(plain(), roots=[notary.root], at=START, limits=Limits(seconds=0.2))
    assert verdict.findings == (Finding(Code.TOO_COSTLY),)


def test_the_process_gets_no_secrets(notary: Notary, signed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    real = subprocess.run

    def looked_at(*args: Any, **given: Any) -> Any:
        seen.update(given)
        return real(*args, **given)

    monkeypatch.setenv("VERIFIELD_CLOUD_DATABASE", "postgresql://user:secret@db")
    monkeypatch.setattr(apart.subprocess, "run", looked_at)
    verdict = judge_apart(signed, roots=[notary.root], at=START + timedelta(minutes=1))
    assert verdict.outcome is Outcome.VALID
    assert not any("VERIFIELD" in name or "secret" in value for name, value in seen["env"].items())


def test_too_large_a_file_is_not_read(notary: Notary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "MAX_DOCUMENT_BYTES", 100)
    verdict = judge_apart(b"%PDF-" + bytes(100), roots=[notary.root], at=START)
    assert verdict.findings == (Finding(Code.TOO_LARGE),)


def test_without_the_extra_it_says_what_to_install(notary: Notary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Unknown) as caught:
        judge_apart(plain(), roots=[notary.root], at=START)
    assert caught.value.code == "DOCUMENTS_EXTRA"
    assert "verifield[documents]" in caught.value.hint
