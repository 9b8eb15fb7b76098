"""Rules of contracts that need no service: words, deadlines, methods, and where marks stand by default."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.contracts.marks import check_widgets, default_marks, encode_pages, make_widgets
from cloud.contracts.terms import METHODS, bits_of, check_deadline, methods_of
from cloud.contracts.vault import Details
from cloud.contracts.words import MAX_ASKED, MAX_WORDS, Words, split
from cloud.errors import Reason, ServiceError
from cloud.pdf.intake import Page
from cloud.store.contracts import ContractRow, PartyRow
from verifield.v1 import contract_service_pb2 as pb
from verifield.v1 import signing_service_pb2 as signing_pb

WORDS = Words(b"a secret of the service, 32 bytes")


def contract(*sizes: tuple[float, float]) -> ContractRow:
    names = ContractRow.__dataclass_fields__
    values: dict[str, Any] = dict.fromkeys(names) | {
        "contract_id": "c",
        "pages": encode_pages(Page(width, height) for width, height in sizes),
        "upload_sha256": bytes(32),
    }
    return ContractRow(**values)


def party(number: int, *, organisation: bool = False) -> PartyRow:
    names = PartyRow.__dataclass_fields__
    kinds = pb.CONTRACT_PARTY_KIND_PERSON, pb.CONTRACT_PARTY_KIND_ORGANISATION
    values: dict[str, Any] = dict.fromkeys(names) | {
        "party_id": f"p{number}",
        "number": number,
        "kind": kinds[organisation],
        "role": pb.CONTRACT_PARTY_ROLE_SIGNER,
    }
    return PartyRow(**values)


def test_words_are_split_where_letters_end_and_chinese_into_pairs() -> None:
    assert list(split("Lease-2026, Ａbc")) == ["lease", "2026", "abc"]
    assert list(split("租赁合同")) == ["租", "赁", "合", "同", "租赁", "赁合", "合同"]
    assert set(split("A4纸采购")) == {"a4", "纸", "采", "购", "纸采", "采购"}


@given(st.text(alphabet="abc 租赁合同-9", min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_every_part_between_spaces_is_found_by_itself(text: str) -> None:
    found = WORDS.of(Details(title=text), [])
    for part in text.split():
        assert set(WORDS.text(part)) <= found


def test_words_of_scopes_are_apart_and_of_another_secret_too() -> None:
    found = WORDS.of(Details(title="Li", tags=("Li",), folder="Li"), ["Li"])
    asked = [WORDS.text("Li"), WORDS.party("Li"), WORDS.tag("Li"), WORDS.folder("Li")]
    assert len({digest for one in asked for digest in one}) == 4
    assert all(set(one) <= found for one in asked)
    assert not set(Words(b"another secret of another service").text("Li")) & found


def test_words_are_limited() -> None:
    long = " ".join(f"w{number}" for number in range(3000))
    assert len(WORDS.of(Details(note=long), [])) == MAX_WORDS
    assert len(WORDS.text(long)) == MAX_ASKED


def test_methods_are_bits_and_none_means_all() -> None:
    assert methods_of(bits_of([])) == METHODS
    for count in range(1, len(METHODS) + 1):
        for chosen in itertools.combinations(METHODS, count):
            assert methods_of(bits_of(chosen)) == set(chosen)


@pytest.mark.parametrize("after_us", [0, -1, 366 * 86_400_000_000 + 1])
def test_deadlines_out_of_reach(after_us: int) -> None:
    with pytest.raises(ServiceError) as refused:
        check_deadline(1_000 + after_us, now_us=1_000)
    assert refused.value.reason is Reason.CONTRACT_DEADLINE


@pytest.mark.parametrize(
    ("size", "count"),
    [((595.0, 842.0), 1), ((595.0, 842.0), 8), ((842.0, 595.0), 8), ((300.0, 400.0), 2)],
)
def test_default_marks_lie_on_the_last_page_and_apart(size: tuple[float, float], count: int) -> None:
    row = contract((595.0, 842.0), size)
    parties = [party(number, organisation=number == 2) for number in range(1, count + 1)]
    marks = default_marks(row, parties)
    widgets = make_widgets(row, parties, marks, iter(map(str, range(1000))), by_default=True)
    check_widgets(row, widgets)
    assert {one.page for one in widgets} == {2}
    assert len(widgets) == 2 * count
    seals = {one.party_id for one in widgets if one.kind == signing_pb.MARK_KIND_SEAL}
    assert seals == ({"p2"} if count > 1 else set())


def test_too_many_signers_have_no_room() -> None:
    with pytest.raises(ServiceError) as refused:
        default_marks(contract((595.0, 842.0)), [party(number) for number in range(1, 51)])
    assert refused.value.reason is Reason.MARKS_NO_ROOM
    with pytest.raises(ServiceError):
        default_marks(contract((100.0, 842.0)), [party(1)])


def test_only_signers_have_marks() -> None:
    reader = replace(party(1), role=pb.CONTRACT_PARTY_ROLE_CC)
    mark = pb.NewMark(party_number=1, kind=signing_pb.MARK_KIND_SIGNATURE, page=1)
    with pytest.raises(ServiceError) as refused:
        make_widgets(contract((595.0, 842.0)), [reader], [mark], iter("1"))
    assert refused.value.metadata["why"] == "PARTY"
