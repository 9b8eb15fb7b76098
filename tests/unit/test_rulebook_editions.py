"""Rules with a date: which edition counts at which instant, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, delete

from cloud.api.rules import check_rules
from cloud.errors import Reason, ServiceError
from cloud.rulebook.desk import RulebookDesk
from cloud.rulebook.editions import find, get, live, pin
from cloud.rulebook.kinds import KINDS, RuleKind
from cloud.rulebook.segments import judge_number
from cloud.rulebook.versions import check_client, version_key
from cloud.sources import Sources, from_us, to_us
from cloud.store import rulebook as rows
from cloud.store import schema
from cloud.store.database import Store, StoreOptions
from verifield.v1 import rulebook_pb2 as pb

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)
SEGMENTS = RuleKind.NUMBER_SEGMENTS


@dataclass
class Desk:
    """A desk on a database, whose clock stands where a test puts it."""

    store: Store
    now: datetime = NOON
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        sources = Sources(now=lambda: self.now, random_bytes=bytes)
        self.desk = RulebookDesk(sources, (self._hear,))

    def _hear(self, connection: Connection, kind: RuleKind[Message]) -> None:
        versions = [one.version for one in live(connection, kind, to_us(self.now))]
        self.told.append(f"{kind.name} {versions}")

    def publish(self, rules: pb.Rules, at: datetime | None = None) -> int:
        moment = None
        if at is not None:
            moment = Timestamp()
            moment.FromDatetime(at)
        return self.store.run(
            lambda connection: self.desk.publish(
                connection, rules, effective=moment, author="user/a", note="why"
            )
        ).version

    def withdraw(self, version: int, kind: RuleKind[Message] = SEGMENTS) -> None:  # type: ignore[assignment]
        self.store.run(lambda connection: self.desk.withdraw(connection, kind, version))

    def version_at(self, moment: datetime) -> int:
        with self.store.reading() as connection:
            return find(connection, SEGMENTS, to_us(moment)).version


@pytest.fixture
def desk(database_url: str) -> Iterator[Desk]:
    store = Store.open(database_url, StoreOptions(require_durable=False))
    yield Desk(store)
    store.close()


def segments(status: pb.SegmentStatus.ValueType, *prefixes: str) -> pb.Rules:
    return pb.Rules(
        number_segments=pb.NumberSegmentRules(
            segments=[pb.PhoneSegment(prefix=prefix, status=status) for prefix in prefixes or ("199",)]
        )
    )


SERVED = segments(pb.SEGMENT_STATUS_SUPPORTED)
NOT_SERVED = segments(pb.SEGMENT_STATUS_UNSUPPORTED)


def reason_of(error: pytest.ExceptionInfo[ServiceError]) -> Reason:
    return error.value.reason


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_rules_that_the_service_comes_with_keep_the_contract(kind: RuleKind[Message]) -> None:
    check_rules(kind.wrap(kind.default))
    assert kind.of(kind.wrap(kind.default)) == kind.default


def test_without_editions_the_first_rules_count(desk: Desk) -> None:
    with desk.store.reading() as connection:
        for kind in KINDS:
            edition = find(connection, kind, 0)
            assert (edition.version, edition.rules) == (0, kind.default)


def test_an_edition_counts_from_its_very_microsecond(desk: Desk) -> None:
    month_end = NOON + timedelta(days=1, microseconds=7)
    assert desk.publish(SERVED, month_end) == 1
    before = month_end - timedelta(microseconds=1)

    assert desk.version_at(before) == 0
    assert desk.version_at(month_end) == 1
    with desk.store.reading() as connection:
        for moment, supported in ((before, False), (month_end, True)):
            rules = find(connection, SEGMENTS, to_us(moment)).rules
            assert judge_number(rules, 86, "19912345678").supported is supported


def test_what_another_server_publishes_counts_at_the_next_look(desk: Desk, database_url: str) -> None:
    other = Store.open(database_url, StoreOptions(require_durable=False))
    try:
        assert desk.version_at(NOON) == 0
        Desk(other).publish(SERVED)
        assert desk.version_at(NOON) == 1
    finally:
        other.close()


def test_nothing_is_published_for_the_past_or_far_away(desk: Desk) -> None:
    for at, reason in (
        (NOON - timedelta(microseconds=1), Reason.RULES_PAST),
        (NOON + timedelta(days=732), Reason.REQUEST_INVALID),
    ):
        with pytest.raises(ServiceError) as caught:
            desk.publish(SERVED, at)
        assert reason_of(caught) is reason
    assert desk.publish(SERVED, NOON) == 1


def test_editions_take_effect_in_the_order_of_their_versions(desk: Desk) -> None:
    later = NOON + timedelta(days=2)
    desk.publish(SERVED, later)
    for at in (None, NOON + timedelta(days=1), later):
        with pytest.raises(ServiceError) as caught:
            desk.publish(NOT_SERVED, at)
        assert reason_of(caught) is Reason.RULES_ORDER
        assert caught.value.metadata == {"version": "1"}

    desk.withdraw(1)
    assert desk.publish(NOT_SERVED) == 2
    assert desk.publish(SERVED, later) == 3
    assert desk.version_at(NOON) == 2
    assert desk.version_at(later) == 3
    assert desk.told == [
        "NUMBER_SEGMENTS [0, 1]",
        "NUMBER_SEGMENTS [0]",
        "NUMBER_SEGMENTS [2]",
        "NUMBER_SEGMENTS [2, 3]",
    ]


def test_what_has_taken_effect_is_never_withdrawn(desk: Desk) -> None:
    desk.publish(SERVED, NOON + timedelta(seconds=1))
    desk.now += timedelta(seconds=1)
    with pytest.raises(ServiceError) as caught:
        desk.withdraw(1)
    assert reason_of(caught) is Reason.RULES_IN_EFFECT
    with pytest.raises(ServiceError) as caught:
        desk.withdraw(2)
    assert reason_of(caught) is Reason.RULES_NOT_FOUND
    assert desk.version_at(desk.now) == 1


def test_what_was_withdrawn_never_counts_and_stays_readable(desk: Desk) -> None:
    at = NOON + timedelta(hours=1)
    desk.publish(SERVED, at)
    desk.withdraw(1)
    with pytest.raises(ServiceError) as caught:
        desk.withdraw(1)
    assert reason_of(caught) is Reason.RULES_WITHDRAWN
    assert desk.version_at(at) == 0
    with desk.store.reading() as connection:
        assert get(connection, SEGMENTS, 1).rules == SERVED.number_segments
        with pytest.raises(ServiceError) as caught:
            get(connection, SEGMENTS, 2)
    assert reason_of(caught) is Reason.RULES_NOT_FOUND


def test_a_kind_does_not_touch_another(desk: Desk) -> None:
    desk.publish(SERVED)
    with desk.store.reading() as connection:
        assert pin(connection, RuleKind.LOGIN, to_us(NOON)) == 0
        assert pin(connection, SEGMENTS, to_us(NOON)) == 1


def test_publishers_at_the_same_moment_get_different_versions(desk: Desk) -> None:
    """All but the first are told that theirs comes too late for the order, or get the next version."""
    done: list[object] = []

    def publish(number: int) -> None:
        try:
            done.append(desk.publish(SERVED, NOON + timedelta(days=number)))
        except ServiceError as error:
            done.append(error.reason)

    threads = [threading.Thread(target=publish, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    published = [one for one in done if isinstance(one, int)]
    assert sorted(published) == list(range(1, len(published) + 1))
    assert {one for one in done if not isinstance(one, int)} <= {Reason.RULES_ORDER}
    assert len(done) == 8
    with desk.store.reading() as connection:
        kept = rows.list_editions(connection, SEGMENTS.number, before=None, limit=9)
    assert [row.version for row in kept] == sorted(published, reverse=True)
    times = [row.effective_us for row in kept]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    ("country", "number", "prefix", "supported"),
    [
        (86, "19912345678", "199", False),
        (86, "13812345678", "", True),
        (86, "19981234567", "1998", True),  # the longer prefix counts
        (1, "9912345678", "99", False),
        (44, "19912345678", "", True),
    ],
)
def test_the_longest_prefix_of_the_country_counts(
    country: int, number: str, prefix: str, supported: bool
) -> None:
    status, no = pb.SEGMENT_STATUS_SUPPORTED, pb.SEGMENT_STATUS_UNSUPPORTED
    rules = pb.NumberSegmentRules(
        segments=[
            pb.PhoneSegment(prefix="199", status=no, note="soon"),
            pb.PhoneSegment(country_code=86, prefix="1998", status=status),
            pb.PhoneSegment(country_code=1, prefix="99", status=no),
        ]
    )
    found = judge_number(rules, country, number)
    assert (found.prefix, found.supported) == (prefix, supported)


def test_clients_are_told_from_which_version_on_they_are_served(desk: Desk) -> None:
    client = pb.ClientVersions(
        client="kiosk",
        min_version="1.2",
        latest_version="1.10.1",
        features=[pb.ClientFeature(feature="long_term", min_version="1.10")],
    )
    desk.publish(pb.Rules(client_versions=pb.ClientVersionRules(clients=[client])))
    now_us = to_us(NOON)
    with desk.store.reading() as connection:
        for told, feature in (
            (None, "long_term"),
            ("kiosk/1.2", ""),
            ("kiosk/1.2.0", ""),
            ("kiosk/1.10", "long_term"),
            ("kiosk/1.9", "another"),
            ("grpcurl/0.1", "long_term"),
        ):
            check_client(connection, told, now_us=now_us, feature=feature)
        with pytest.raises(ServiceError) as caught:
            check_client(connection, "kiosk/1.9.99", now_us=now_us, feature="long_term")
        assert reason_of(caught) is Reason.UPGRADE_REQUIRED
        assert caught.value.metadata == {
            "client": "kiosk",
            "min_version": "1.10",
            "latest_version": "1.10.1",
            "feature": "long_term",
        }
        with pytest.raises(ServiceError) as caught:
            check_client(connection, "kiosk/1.1.9", now_us=now_us)
        assert "feature" not in caught.value.metadata
        for broken in ("kiosk", "kiosk/1", "kiosk/1.2;", "Kiosk/1.2", "kiosk/1.2 ", "k/1.2"):
            with pytest.raises(ServiceError) as caught:
                check_client(connection, broken, now_us=now_us)
            assert reason_of(caught) is Reason.REQUEST_INVALID


def test_versions_are_numbers_not_texts() -> None:
    assert version_key("1.10") > version_key("1.9")
    assert version_key("1.4.0") == version_key("1.4")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.one_of(st.none(), st.integers(-3, 20))),
        st.tuples(st.just("withdraw"), st.integers(1, 6)),
        st.tuples(st.just("pass"), st.integers(1, 6)),
    ),
    max_size=16,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_whatever_is_done_a_moment_that_has_passed_keeps_its_edition(
    desk: Desk, steps: list[tuple[str, int | None]]
) -> None:
    """History never changes: what counted at an instant is answered for it for ever."""
    desk.store.run(lambda connection: connection.execute(delete(schema.rule_editions)))
    desk.now = NOON
    seen: dict[int, int] = {}
    for step, amount in steps:
        kept, refused = dump(desk), None
        try:
            if step == "pass":
                desk.now += timedelta(minutes=amount or 0)
            elif step == "publish":
                at = None if amount is None else desk.now + timedelta(minutes=amount)
                desk.publish(SERVED, at)
            else:
                desk.withdraw(amount or 0)
        except ServiceError as error:
            refused = error.reason
        if refused is not None:
            assert refused.name.startswith("RULES_")
            assert dump(desk) == kept
        now_us = to_us(desk.now)
        for moment, version in seen.items():
            if moment < now_us:
                assert desk.version_at(from_us(moment)) == version
        seen = {moment: version for moment, version in seen.items() if moment < now_us}
        seen[now_us] = desk.version_at(desk.now)


def dump(desk: Desk) -> list[rows.EditionRow]:
    with desk.store.reading() as connection:
        return rows.list_editions(connection, SEGMENTS.number, before=None, limit=100)
