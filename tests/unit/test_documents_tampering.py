"""Nothing that was done to a signed document comes out as VALID, and it is told what was done."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from cloud.pdf.fields import Kind as MarkKind
from cloud.pdf.freeze import freeze
from tests.support import tampering
from tests.support.documents import NAME, START, Notary, dated, named, place
from verifield.documents import Code, Finding, Outcome

FLIPS = 60 * int(os.environ.get("VERIFIELD_SOAK", "1"))
PLACES = (
    place("name1", "first"),
    place("date1", "first", at=1, kind=MarkKind.SIGN_DATE),
    place("name2", "second", at=2),
)


@pytest.fixture(scope="module")
def notary(tmp_path_factory: pytest.TempPathFactory) -> Notary:
    return Notary(tmp_path_factory.mktemp("notary"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Notary:
    """Another deployment: all its names are the same, and its keys are its own."""
    return Notary(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def states(notary: Notary) -> dict[str, bytes]:
    frozen = notary.frozen(PLACES, pages=2)
    notary.now = START + timedelta(hours=1)
    first = notary.signed(frozen, [named("name1"), dated("date1")])
    both = notary.signed(first, [named("name2")])
    closed = notary.finished(both)
    small = notary.signed(notary.frozen(PLACES[:1]), [named("name1")])
    return {"first": first, "both": both, "closed": closed, "small": small}


ATTACKS: dict[str, Callable[[bytes], bytes]] = {
    "painted over": tampering.painted_over,
    "object replaced": tampering.replaced,
    "page added": tampering.page_added,
    "page removed": tampering.page_removed,
    "pages swapped": tampering.pages_swapped,
    "form removed": tampering.form_removed,
    "annotation added": tampering.annotated,
    "text field added": tampering.field_added,
    "signature field added": lambda content: tampering.field_added(content, "/Sig"),
    "title changed": tampering.titled,
    "hidden object": tampering.lying_about,
    "script added": tampering.scripted,
    "saved anew": tampering.saved_anew,
    "bytes appended": lambda content: content + b"% seen and agreed\n",
    "white space appended": lambda content: content + b"   ",
    "cut off": lambda content: content[:-7],
    "cut in the last signature": lambda content: content[: content.rindex(b"/Contents") + 300],
}


@pytest.mark.req("R155")
@pytest.mark.parametrize("state", ["first", "closed"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_tampering_is_told(notary: Notary, states: dict[str, bytes], state: str, attack: str) -> None:
    changed = ATTACKS[attack](states[state])
    assert changed != states[state]
    verdict = notary.judged(changed)
    assert verdict.outcome is Outcome.ALTERED, verdict
    assert verdict.findings


@pytest.mark.parametrize(("state", "field"), [("first", "date1"), ("closed", "name1")])
@pytest.mark.parametrize(
    "attack",
    [
        tampering.look_rewritten,
        tampering.drawn_anew,
        tampering.stripped,
        tampering.field_removed,
        tampering.moved,
    ],
)
def test_marks_cannot_be_touched(
    notary: Notary, states: dict[str, bytes], state: str, attack: Callable[[bytes, str], bytes], field: str
) -> None:
    verdict = notary.judged(attack(states[state], field))
    assert verdict.outcome is Outcome.ALTERED
    assert Code.CONTENT_CHANGED in {one.code for one in verdict.findings}


def test_a_date_that_was_rewritten_is_detected(notary: Notary, states: dict[str, bytes]) -> None:
    """Even before the next party signs, and though the date is a mark of its own."""
    verdict = notary.judged(tampering.look_rewritten(states["first"], "date1"))
    assert Finding(Code.CONTENT_CHANGED, "date1") in verdict.findings
    assert not next(one for one in verdict.signatures if one.field == "date1").valid


@pytest.mark.req("R155")
@pytest.mark.parametrize(("state", "flips"), [("small", FLIPS), ("closed", FLIPS // 2)])
def test_bytes_flipped_anywhere(notary: Notary, states: dict[str, bytes], state: str, flips: int) -> None:
    content = states[state]
    chance = random.Random(20260302)
    # Half of them where nothing signs: in the last signature itself.
    gap = max(re.finditer(rb"<[0-9A-F]{400,}>", content), key=lambda found: found.start())
    for turn in range(flips):
        low, high = (0, len(content)) if turn % 2 else gap.span()
        at = chance.randrange(low, high)
        changed = bytearray(content)
        changed[at] ^= 1 << chance.randrange(8)
        verdict = notary.judged(bytes(changed), known=False)
        assert verdict.outcome is not Outcome.VALID, (at, bytes(changed[at - 9 : at + 9]))
        assert verdict.outcome is Outcome.ALTERED or not turn % 2 or at < 9, (at, verdict)


def test_an_earlier_state_is_genuine_and_told(notary: Notary, states: dict[str, bytes]) -> None:
    """Whoever cuts revisions off has what somebody else was sent before: it says that fields are empty."""
    ends = [found.end() for found in re.finditer(rb"%%EOF\n?", states["closed"])]
    seen = []
    for end in ends[1:-1]:
        verdict = notary.judged(states["closed"][:end])
        assert verdict.outcome is Outcome.VALID
        assert Finding(Code.NOT_CLOSED) in verdict.notes
        seen.append({one.field for one in verdict.notes if one.code is Code.INCOMPLETE})
    assert seen == [{"name1", "date1", "name2"}, {"date1", "name2"}, {"name2"}, set()]
    assert notary.judged(states["closed"][: ends[0]]).findings == (Finding(Code.UNSIGNED),)


def test_the_same_names_of_a_foreign_authority(notary: Notary, stranger: Notary) -> None:
    stranger.now = notary.now
    document = stranger.finished(stranger.signed(stranger.frozen(PLACES[:1]), [named("name1")]))
    assert stranger.judged(document).outcome is Outcome.VALID
    verdict = notary.judged(document)
    assert (verdict.outcome, verdict.findings) == (Outcome.UNKNOWN, (Finding(Code.NOT_OURS),))
    assert {one.signer for one in verdict.signatures} == {""}  # a name that nobody vouches for is not shown


def test_signed_anew_by_a_forger(notary: Notary, stranger: Notary, states: dict[str, bytes]) -> None:
    stranger.now = notary.now
    pages = tampering.without_signatures(states["closed"])
    forged = freeze(
        pages, PLACES[:1], identity=stranger.platform(), stamper=stranger.stamper, at=stranger.now
    )
    verdict = notary.judged(stranger.finished(stranger.signed(forged, [named("name1")])))
    assert (verdict.outcome, verdict.findings) == (Outcome.UNKNOWN, (Finding(Code.NOT_OURS),))


def test_a_foreign_signature_in_an_empty_field(
    notary: Notary, stranger: Notary, states: dict[str, bytes]
) -> None:
    stranger.now = notary.now
    verdict = notary.judged(stranger.signed(states["first"], [named("name2", NAME)]))
    assert verdict.outcome is Outcome.ALTERED
    assert Finding(Code.SIGNATURE_FOREIGN, "name2") in verdict.findings


def test_a_foreign_time_stamp_over_the_document(
    notary: Notary, stranger: Notary, states: dict[str, bytes]
) -> None:
    stranger.now = notary.now
    """It changes nothing of the document; who it is of may be known to others, and is not to us."""
    verdict = notary.judged(stranger.finished(states["both"]))
    assert verdict.outcome is Outcome.UNKNOWN
    assert verdict.findings == (Finding(Code.STAMP_UNTRUSTED, "Archive1"),)


def test_a_foreign_time_stamp_in_a_signature(notary: Notary, stranger: Notary) -> None:
    """Who signs is ours, and who says when is not: nothing can be said."""
    stranger.now, own = notary.now, notary.stamper
    notary.stamper = stranger.stamper
    try:
        document = notary.frozen(PLACES[:1])
    finally:
        notary.stamper = own
    verdict = notary.judged(document)
    assert (verdict.outcome, verdict.findings) == (
        Outcome.UNKNOWN,
        (Finding(Code.STAMP_UNTRUSTED, "Platform"),),
    )


def test_hidden_signatures_are_found_in_the_bytes(notary: Notary, states: dict[str, bytes]) -> None:
    """A whole new document that only carries the old one's bytes along."""
    verdict = notary.judged(tampering.form_removed(states["closed"]))
    assert verdict.findings == (Finding(Code.SIGNATURE_REMOVED),)
