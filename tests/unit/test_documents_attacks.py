"""Published attacks on signed PDF are found; the quick analysis of differences finds what pyHanko's does."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.diff_analysis import DiffResult, SuspiciousModification
from pyhanko.sign.fields import MDPPerm

from cloud.pdf.fields import Kind as MarkKind
from cloud.pdf.sign import finish
from tests.support import attacks, tampering
from tests.support.documents import START, Notary, dated, named, place
from verifield.documents import Outcome
from verifield.documents.judging import judge
from verifield.documents.revisions import Reader
from verifield.documents.steps import Stepwise

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
    return Notary(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def states(notary: Notary) -> dict[str, bytes]:
    frozen = notary.frozen(PLACES, pages=2)
    notary.now = START + timedelta(hours=1)
    first = notary.signed(frozen, [named("name1"), dated("date1")])
    both = notary.signed(first, [named("name2")])
    return {"frozen": frozen, "first": first, "both": both, "closed": notary.finished(both)}


@pytest.mark.req("R155")
@pytest.mark.parametrize("state", ["first", "closed"])
@pytest.mark.parametrize("attack", attacks.ATTACKS)
def test_published_attacks_are_found(
    notary: Notary, states: dict[str, bytes], state: str, attack: str
) -> None:
    changed = attacks.ATTACKS[attack](states[state])
    assert changed != states[state]
    verdict = notary.judged(changed)
    assert verdict.outcome is Outcome.ALTERED, verdict


@pytest.mark.parametrize("state", ["first", "both", "closed"])
def test_more_evidence_is_no_change(notary: Notary, states: dict[str, bytes], state: str) -> None:
    more = attacks.evidence_added(states[state])
    assert more != states[state]
    assert notary.judged(more).outcome is Outcome.VALID


CHANGES = {
    "words about the file": attacks.described,
    "title": tampering.titled,
    "unused object": tampering.lying_about,
    "metadata": attacks.ATTACKS["metadata"],
    "painted over": tampering.painted_over,
}


@pytest.mark.parametrize("change", CHANGES)
def test_whom_anybody_may_ask_for_a_time_stamp_closes_no_change(
    notary: Notary, stranger: Notary, states: dict[str, bytes], change: str
) -> None:
    """An authority for all the world stamps whatever it is sent, and its stamp covers the file."""
    stranger.now = notary.now
    changed = CHANGES[change](states["both"])
    stamped = finish(changed, stamper=stranger.stamper, chain=stranger.keys.chain, crls=())
    verdict = judge(
        stamped, roots=[notary.root], stamp_roots=[stranger.root], at=notary.now, revocations=notary.crls()
    )
    assert verdict.outcome is Outcome.ALTERED, verdict


def test_a_time_stamp_of_another_authority_that_is_trusted_is_no_change(
    notary: Notary, stranger: Notary, states: dict[str, bytes]
) -> None:
    stranger.now = notary.now
    stamped = finish(states["both"], stamper=stranger.stamper, chain=stranger.keys.chain, crls=())
    verdict = judge(
        stamped, roots=[notary.root], stamp_roots=[stranger.root], at=notary.now, revocations=notary.crls()
    )
    assert verdict.outcome is Outcome.VALID, verdict


def test_each_step_is_found_as_by_the_analysis_that_looks_at_everything(states: dict[str, bytes]) -> None:
    """The ways to objects that are not listed are those that nobody asks for."""
    compared = 0
    everything = (*attacks.ATTACKS.values(), *CHANGES.values(), attacks.evidence_added)
    for turn, attack in enumerate((bytes, *everything[::2])):
        content = attack(states["first"])
        try:
            quick, whole = Reader(io.BytesIO(content), strict=True), PdfFileReader(io.BytesIO(content))
            last = quick.xrefs.total_revisions - 1
        except Exception:  # a file that no reader takes
            continue
        for revision in range(0 if not turn else max(0, last - 1), last):
            assert _step(quick, revision) == _step(whole, revision), (attack, revision)
            compared += 1
    assert compared > 20


def _step(reader: PdfFileReader, revision: int) -> object:
    old, new = (reader.get_historical_resolver(one) for one in (revision, revision + 1))
    try:
        found = Stepwise().apply(old, new, doc_mdp=MDPPerm.FILL_FORMS)
    except SuspiciousModification as error:
        return str(error).splitlines()[0]
    except Exception as error:
        return type(error)
    assert isinstance(found, DiffResult)
    return found.modification_level, found.changed_form_fields


def test_each_state_of_an_object_is_parsed_once(
    notary: Notary, states: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the time of a check does not grow with the square of what was signed, as far as it is ours."""
    parsed: list[tuple[object, object]] = []
    original = PdfFileReader._read_object

    def counted(self: PdfFileReader, ref: object, marker: object, *args: object, **named: object) -> object:
        parsed.append((ref, marker))
        return original(self, ref, marker, *args, **named)

    monkeypatch.setattr(PdfFileReader, "_read_object", counted)
    assert notary.judged(states["closed"]).outcome is Outcome.VALID
    assert len(parsed) > 50
    assert len(parsed) == len(set(parsed))
