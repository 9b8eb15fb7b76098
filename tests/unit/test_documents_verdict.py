"""The verdict on honest documents: of several parties, with seals and dates, closed, renewed, years later."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pikepdf
import pytest
from pikepdf import Dictionary, Name

from cloud.pdf.fields import Kind as MarkKind
from cloud.pdf.freeze import freeze
from cloud.pdf.sign import sign
from tests.support.documents import (
    COMPANY,
    NAME,
    OTHER,
    START,
    USCC,
    Notary,
    dated,
    named,
    place,
    plain,
)
from verifield.documents import Code, Finding, Kind, Language, Outcome, TimeSource, say_finding, say_verdict
from verifield.documents.verdict import ALTERED_CODES, encode_verdict, parse_verdict

PLACES = (
    place("name1", "first"),
    place("date1", "first", at=1, kind=MarkKind.SIGN_DATE),
    place("seal2", "second", at=2, kind=MarkKind.SEAL),
    place("name2", "second", at=3),
)
YEAR = timedelta(days=365)


@pytest.fixture(scope="module")
def notary(tmp_path_factory: pytest.TempPathFactory) -> Notary:
    return Notary(tmp_path_factory.mktemp("notary"))


@pytest.fixture(scope="module")
def states(notary: Notary) -> list[bytes]:
    """Frozen; signed by one party; by both; closed."""
    frozen = notary.frozen(PLACES, pages=2)
    notary.now = START + timedelta(hours=1)
    first = notary.signed(frozen, [named("name1"), dated("date1")])
    notary.now = START + timedelta(hours=2)
    of_company = notary.identity(OTHER, COMPANY, USCC)
    both = notary.signed(first, [named("seal2", COMPANY), named("name2", OTHER)], of_company)
    notary.now = START + timedelta(hours=3)
    return [frozen, first, both, notary.finished(both)]


def test_honest_documents_are_valid_in_each_state(notary: Notary, states: list[bytes]) -> None:
    verdicts = [notary.judged(one) for one in states]
    assert [one.outcome for one in verdicts] == [Outcome.VALID] * 4
    assert [one.complete for one in verdicts] == [False, False, True, True]
    assert [len(one.signatures) for one in verdicts] == [1, 3, 5, 6]
    assert verdicts[3].notes == ()
    assert verdicts[2].notes == (Finding(Code.NOT_CLOSED),)
    assert set(verdicts[1].notes) == {
        Finding(Code.NOT_CLOSED),
        Finding(Code.INCOMPLETE, "seal2"),
        Finding(Code.INCOMPLETE, "name2"),
    }
    assert "not finished" in say_verdict(verdicts[1], Language.EN)


def test_the_verdict_says_who_signed_when_and_for_whom(notary: Notary, states: list[bytes]) -> None:
    platform, name1, date1, seal2, name2, closing = notary.judged(states[3]).signatures
    assert platform.kind is Kind.PLATFORM
    assert (name1.kind, name1.signer, name1.organisation) == (Kind.PERSONAL, NAME, "")
    assert name1.time == START + timedelta(hours=1) == date1.time
    assert name1.time_source is TimeSource.TIME_STAMP
    assert (seal2.kind, seal2.signer, seal2.organisation, seal2.uscc) == (Kind.SEAL, OTHER, COMPANY, USCC)
    assert seal2.serial == name2.serial != name1.serial
    assert closing.kind is Kind.TIME_STAMP
    assert [one.covers_file for one in notary.judged(states[3]).signatures] == [False] * 5 + [True]


def test_years_later_with_certificates_that_ended(notary: Notary, states: list[bytes]) -> None:
    for years in (3, 10, 14):
        assert notary.judged(states[3], at=START + years * YEAR, known=False).outcome is Outcome.VALID
        assert notary.judged(states[2], at=START + years * YEAR, known=False).outcome is Outcome.VALID


def test_what_was_never_renewed_cannot_be_shown_for_ever(notary: Notary, states: list[bytes]) -> None:
    verdict = notary.judged(states[3], at=START + 16 * YEAR, known=False)
    assert verdict.outcome is Outcome.UNKNOWN
    assert {one.code for one in verdict.findings} == {Code.STAMP_UNTRUSTED}


def test_a_later_time_stamp_carries_it_on(tmp_path: Path) -> None:
    notary = Notary(tmp_path / "notary")
    document = notary.frozen(PLACES[:1])
    document = notary.finished(notary.signed(document, [named("name1")]))
    notary.now = START + 6 * YEAR
    notary.reopen()
    renewed = notary.finished(document)
    notary.now = START + 16 * YEAR
    notary.reopen()
    assert notary.judged(document).outcome is Outcome.UNKNOWN
    verdict = notary.judged(renewed)
    assert (verdict.outcome, verdict.findings, verdict.notes) == (Outcome.VALID, (), ())
    assert [one.kind for one in verdict.signatures][2:] == [Kind.TIME_STAMP] * 2


def test_without_a_list_at_hand_it_says_so(tmp_path: Path) -> None:
    """Lists in the document were made before its signatures: they are lists all the same."""
    notary = Notary(tmp_path / "notary")
    verdict = notary.judged(notary.frozen(PLACES[:1]), known=False)
    assert verdict.outcome is Outcome.VALID
    assert Finding(Code.REVOCATIONS_UNKNOWN) not in verdict.notes


def test_a_clock_that_is_behind_is_told(notary: Notary, states: list[bytes]) -> None:
    verdict = notary.judged(states[3], at=START - timedelta(days=1))
    assert verdict.outcome is Outcome.UNKNOWN
    assert Code.TIME_AHEAD in {one.code for one in verdict.findings}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", Code.NOT_PDF),
        (b"hello", Code.NOT_PDF),
        (b"%PDF-1.7\n", Code.UNREADABLE),
        (plain(), Code.UNSIGNED),
    ],
)
def test_what_is_not_ours_is_unknown(notary: Notary, content: bytes, code: Code) -> None:
    verdict = notary.judged(content)
    assert (verdict.outcome, verdict.findings) == (Outcome.UNKNOWN, (Finding(code),))


def test_every_code_is_said_in_three_languages() -> None:
    for code in Code:
        sentences = {say_finding(Finding(code), language) for language in Language}
        assert len(sentences) == 3
        assert all(sentences)


def test_a_verdict_survives_its_encoding(notary: Notary, states: list[bytes]) -> None:
    for verdict in (notary.judged(states[3]), notary.judged(states[1][:-40])):
        assert parse_verdict(encode_verdict(verdict)) == verdict
    assert Code.REVOKED not in ALTERED_CODES


def test_a_stated_time_that_is_not_that_of_the_time_stamp(notary: Notary) -> None:
    """PDF readers show what is stated: a service cannot date back what an authority stamped."""
    identity = notary.identity()
    made = freeze(
        plain(), PLACES, identity=notary.platform(), stamper=notary.stamper, at=notary.now, reason="frozen"
    )
    for hours, wanted in ((-0.5, Outcome.VALID), (-30, Outcome.UNKNOWN), (2, Outcome.UNKNOWN)):
        at = notary.now + timedelta(hours=hours)
        filled = [named(PLACES[0].name)]
        signed = sign(made, filled, identity=identity, stamper=notary.stamper, at=at, reason="signed")
        verdict = notary.judged(signed.content)
        assert verdict.outcome is wanted, verdict
        assert (Code.TIME_DIFFERS in {one.code for one in verdict.findings}) is (wanted is Outcome.UNKNOWN)


def tagged(pdf: pikepdf.Pdf) -> None:
    page = pdf.pages[0].obj
    tree = pdf.make_indirect(Dictionary(Type=Name.StructTreeRoot))
    tree.K = pdf.make_indirect(Dictionary(Type=Name.StructElem, S=Name.P, K=0, Pg=page, P=tree))
    pdf.Root.StructTreeRoot, pdf.Root.MarkInfo = tree, Dictionary(Marked=True)


def titled(pdf: pikepdf.Pdf) -> None:
    with pdf.open_metadata() as metadata:
        metadata["dc:title"] = "房屋租赁合同"


def in_a_tree(pdf: pikepdf.Pdf) -> None:
    pages = pdf.Root.Pages
    inner = pdf.make_indirect(Dictionary(Type=Name.Pages, Kids=pages.Kids, Count=pages.Count, Parent=pages))
    for kid in inner.Kids:
        kid.Parent = inner
    pages.Kids = pikepdf.Array([inner])


def linked(pdf: pikepdf.Pdf) -> None:
    action = Dictionary(S=Name.URI, URI="https://example.org")
    link = Dictionary(Type=Name.Annot, Subtype=Name.Link, Rect=[0, 0, 9, 9], A=action)
    pdf.pages[0].obj.Annots = pdf.make_indirect(pikepdf.Array([pdf.make_indirect(link)]))


def of_large_units(pdf: pikepdf.Pdf) -> None:
    pdf.pages[0].obj.UserUnit = 2


@pytest.mark.parametrize("change", [tagged, titled, in_a_tree, linked, of_large_units])
def test_files_of_all_kinds_are_signed_and_valid(
    notary: Notary, change: Callable[[pikepdf.Pdf], None]
) -> None:
    output = io.BytesIO()
    with pikepdf.open(io.BytesIO(plain(2))) as pdf:
        change(pdf)
        pdf.save(output, object_stream_mode=pikepdf.ObjectStreamMode.generate)
    made = freeze(
        output.getvalue(), PLACES[:2], identity=notary.platform(), stamper=notary.stamper, at=notary.now
    )
    closed = notary.finished(notary.signed(made, [named("name1"), dated("date1")]))
    assert notary.judged(closed).outcome is Outcome.VALID
