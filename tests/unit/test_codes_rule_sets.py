"""Dated rules on a device: believed only where signed, kept until they expire, replaced by newer ones."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edge.state.records import ItemKind
from edge.state.rule_sets import rules_at
from tests.support.authority import NOW, Authority, sign_envelope
from tests.support.known import KnownDevice, policy_item
from verifield.errors import Malformed, VerifieldError
from verifield.rule_sets import (
    MAX_EDITIONS,
    RULES_TYPE,
    check_rule_set,
    edition_at,
    encode_rule_set,
    name_of,
    open_rule_set,
)
from verifield.v1 import rulebook_pb2 as rules_pb
from verifield.v1 import sync_service_pb2 as sync
from verifield.v1.rule_set_pb2 import RuleSet

SEGMENTS = rules_pb.RULE_KIND_NUMBER_SEGMENTS
DAY = timedelta(days=1)
LATER = NOW + DAY


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture
def device(tmp_path: Path, authority: Authority) -> Iterator[KnownDevice]:
    known = KnownDevice(tmp_path, authority)
    yield known
    known.state.close()


def edition(version: int, at: datetime | None, *unsupported: str) -> rules_pb.RuleEdition:
    made = rules_pb.RuleEdition(kind=SEGMENTS, version=version)
    made.rules.number_segments.segments.extend(
        rules_pb.PhoneSegment(prefix=prefix, status=rules_pb.SEGMENT_STATUS_UNSUPPORTED)
        for prefix in unsupported
    )
    made.rules.number_segments.SetInParent()
    if at is not None:
        made.effective_time.FromDatetime(at)
    return made


def rule_set(*editions: rules_pb.RuleEdition, issued: datetime = NOW, lives: timedelta = 90 * DAY) -> RuleSet:
    made = RuleSet(kind=SEGMENTS, editions=editions or [edition(0, None, "199")])
    made.issue_time.FromDatetime(issued)
    made.expire_time.FromDatetime(issued + lives)
    return made


def item(authority: Authority, rules: RuleSet, *, key: Any = None, item_id: str = "") -> sync.DownItem:
    envelope = sign_envelope(encode_rule_set(rules), payload_type=RULES_TYPE, key=key or authority.policy_key)
    return sync.DownItem(
        kind=sync.DOWN_ITEM_KIND_RULES, item_id=item_id or name_of(rules.kind), content=envelope
    )


def unsupported_at(device: KnownDevice, at: datetime) -> list[str] | None:
    found = rules_at(device.state, SEGMENTS, at)
    return None if found is None else [one.prefix for one in found.rules.number_segments.segments]


def test_what_is_in_effect_changes_at_the_instant_of_an_edition(device: KnownDevice) -> None:
    assert unsupported_at(device, NOW) is None  # nothing came down: the cloud decides
    opens = NOW + 10 * DAY
    outcome = device.pull(
        item(device.authority, rule_set(edition(0, None, "199"), edition(1, opens))), cursor="c1"
    )
    assert (outcome.stored, outcome.refused) == (1, ())
    for _ in range(2):
        assert unsupported_at(device, opens - timedelta(microseconds=1)) == ["199"]
        assert unsupported_at(device, opens) == []
        device.restart()


def test_rules_are_gone_by_once_they_have_expired(device: KnownDevice) -> None:
    device.pull(item(device.authority, rule_set(lives=30 * DAY)))
    assert unsupported_at(device, NOW + 30 * DAY - timedelta(microseconds=1)) == ["199"]
    assert unsupported_at(device, NOW + 30 * DAY) is None
    assert device.state.drop_expired(by=NOW + 30 * DAY) == 1
    assert device.state.items(ItemKind.RULES) == []


def test_only_newer_rules_that_the_policy_key_signed_are_believed(device: KnownDevice) -> None:
    authority = device.authority
    stranger = Authority.create()
    good = item(authority, rule_set())
    device.pull(good)
    forged = bytearray(good.content)
    forged[len(forged) // 2] ^= 1
    bad = {
        "RULES_NOT_NEWER": item(authority, rule_set(edition(3, None))),
        "RULES_EXPIRED": item(authority, rule_set(edition(3, None), issued=NOW + DAY / 4, lives=DAY / 4)),
        "RULES_KIND": item(authority, rule_set(issued=LATER), item_id="LOGIN"),
        "SIGNATURE": item(authority, rule_set(issued=LATER), key=stranger.policy_key),
        "changed": sync.DownItem(kind=good.kind, item_id=good.item_id, content=bytes(forged)),
        "RULES_TYPE": sync.DownItem(
            kind=good.kind, item_id=good.item_id, content=policy_item(authority, 1).content
        ),
    }
    for number, (code, one) in enumerate(bad.items()):
        outcome = device.pull(one, cursor=f"bad-{number}", at=LATER)
        assert len(outcome.refused) == 1, code
        assert code in {"changed", "SIGNATURE"} or outcome.refused[0].code == code
        assert unsupported_at(device, NOW) == ["199"], code
        assert device.state.pull_cursor() == f"bad-{number}"  # and the news go on
    assert device.pull(item(authority, rule_set(edition(4, None, "170"), issued=LATER))).stored == 1
    assert unsupported_at(device, NOW) == ["170"]


def test_a_page_that_comes_twice_changes_nothing(device: KnownDevice) -> None:
    page = item(device.authority, rule_set())
    assert device.pull(page).stored == 1
    outcome = device.pull(page)
    assert (outcome.stored, outcome.refused) == (0, ())


def test_rules_that_the_disk_changed_are_asked_for_again(device: KnownDevice) -> None:
    device.pull(item(device.authority, rule_set()), cursor="c7")
    connection = sqlite3.connect(device.path, isolation_level=None)
    connection.execute("UPDATE down_items SET content = ?", (b"nonsense",))
    connection.close()
    assert unsupported_at(device, NOW) is None
    assert device.state.pull_cursor() == ""
    assert device.pull(item(device.authority, rule_set())).stored == 1


def test_a_kind_of_rules_that_this_version_does_not_know_keeps_nothing_away(device: KnownDevice) -> None:
    newer = rule_set()
    newer.kind = 77  # type: ignore[assignment]
    for one in newer.editions:
        one.kind = 77  # type: ignore[assignment]
    payload = newer.SerializeToString(deterministic=True)
    envelope = sign_envelope(payload, payload_type=RULES_TYPE, key=device.authority.policy_key)
    odd = sync.DownItem(kind=sync.DOWN_ITEM_KIND_RULES, item_id="TIDES", content=envelope)
    outcome = device.pull(odd, item(device.authority, rule_set()))
    assert (outcome.stored, len(outcome.refused)) == (1, 1)
    assert unsupported_at(device, NOW) == ["199"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: one.ClearField("kind"),
        lambda one: one.ClearField("issue_time"),
        lambda one: one.ClearField("expire_time"),
        lambda one: one.ClearField("editions"),
        lambda one: one.expire_time.FromDatetime(NOW),
        lambda one: one.expire_time.FromDatetime(NOW + 401 * DAY),
        lambda one: one.editions.add(kind=rules_pb.RULE_KIND_LOGIN),
        lambda one: one.editions.extend([edition(2, NOW + DAY), edition(1, NOW)]),
        lambda one: one.editions.extend([edition(1, NOW), edition(2, NOW)]),
        lambda one: one.editions.extend(edition(n, NOW + n * DAY) for n in range(1, MAX_EDITIONS + 1)),
    ],
)
def test_rules_that_break_a_rule_are_neither_signed_nor_believed(authority: Authority, spoil: Any) -> None:
    spoiled = rule_set()
    spoil(spoiled)
    with pytest.raises(VerifieldError):
        encode_rule_set(spoiled)
    payload = spoiled.SerializeToString(deterministic=True)
    envelope = sign_envelope(payload, payload_type=RULES_TYPE, key=authority.policy_key)
    with pytest.raises(Malformed):
        check_rule_set(envelope, certificates=authority.policy_chain, roots=[authority.root])
    with pytest.raises(Malformed):
        open_rule_set(envelope)


def test_before_the_first_edition_the_first_one_counts() -> None:
    rules = rule_set(edition(3, NOW, "170"), edition(4, NOW + DAY))
    found = edition_at(rules, NOW - DAY)
    assert found is not None
    assert found.version == 3
