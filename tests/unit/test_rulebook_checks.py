"""Rules that would lock everybody out, or that nobody could obey, are not published."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cloud.api.rules import check_rules
from cloud.errors import Reason, ServiceError
from cloud.rulebook.checks import MAX_CONTENT_BYTES
from cloud.rulebook.desk import MAX_TO_COME, SETTLED, RulebookDesk
from cloud.rulebook.editions import find
from cloud.rulebook.kinds import RuleKind, kind_of
from cloud.rulebook.service import MAX_EDITIONS_PAGE
from cloud.rulebook.versions import check_client
from cloud.sources import Sources, to_us
from cloud.store.database import Store, StoreOptions
from tests.support.business import NOON
from verifield.v1 import rulebook_pb2 as pb
from verifield.v1 import rulebook_service_pb2

SEGMENTS = RuleKind.NUMBER_SEGMENTS


class Room:
    def __init__(self, store: Store) -> None:
        self.store, self.now = store, NOON
        self.desk = RulebookDesk(Sources(now=lambda: self.now, random_bytes=bytes))

    def publish(self, rules: pb.Rules, at: datetime | None = None) -> int:
        """As a call does it: what the contract says is checked first."""
        check_rules(rulebook_service_pb2.PublishRulesRequest(rules=rules, note="why"))
        moment = Timestamp()
        moment.FromDatetime(at or self.now)
        return self.store.run(
            lambda connection: self.desk.publish(
                connection, rules, effective=moment, author="user/a", note="why"
            )
        ).version


@pytest.fixture
def room(database_url: str) -> Iterator[Room]:
    store = Store.open(database_url, StoreOptions(require_durable=False))
    yield Room(store)
    store.close()


def like(kind: RuleKind[object], **changes: object) -> pb.Rules:  # type: ignore[type-var]
    """The rules that the service comes with, without some fields, or with others."""
    rules = kind.wrap(kind.default)  # type: ignore[attr-defined]
    part = getattr(rules, kind.part)
    for name, value in changes.items():
        if value is None:
            part.ClearField(name)
        elif isinstance(value, list):
            part.ClearField(name)
            getattr(part, name).extend(value)
        else:
            setattr(part, name, value)
    return rules


def segment(prefix: str, status: int, country: int = 0) -> pb.PhoneSegment:
    return pb.PhoneSegment(country_code=country, prefix=prefix, status=status)  # type: ignore[arg-type]


def client(least: str, latest: str, **features: str) -> pb.Rules:
    one = pb.ClientVersions(
        client="kiosk",
        min_version=least,
        latest_version=latest,
        features=[pb.ClientFeature(feature=name, min_version=version) for name, version in features.items()],
    )
    return pb.Rules(client_versions=pb.ClientVersionRules(clients=[one]))


SPAN = RuleKind.REVIEW.default.decide_within
LOCKING = {
    "no age of evidence": like(RuleKind.VERIFICATION, evidence_max_age=None),  # type: ignore[arg-type]
    "every verification due": like(RuleKind.VERIFICATION, recheck_after=None),  # type: ignore[arg-type]
    "no tries": like(RuleKind.VERIFICATION, tries_before_escalation=0),  # type: ignore[arg-type]
    "every review late": like(RuleKind.REVIEW, decide_within=None),  # type: ignore[arg-type]
    "no time for a supplement": like(RuleKind.REVIEW, supplement_within=None),  # type: ignore[arg-type]
    "no time for one kind": like(RuleKind.REVIEW, times=[pb.ReviewTime(kind="SEAL")]),  # type: ignore[arg-type]
    "nobody reviews": like(RuleKind.REVIEW, tasks_per_reviewer=0),  # type: ignore[arg-type]
    "no sign-in lasts": like(RuleKind.LOGIN, session=None),  # type: ignore[arg-type]
    "every sign-in locks": like(RuleKind.LOGIN, tries_before_lock=0),  # type: ignore[arg-type]
    "nothing unknown": like(RuleKind.LOGIN, unknown_per_minute=0),  # type: ignore[arg-type]
    "no requests": like(RuleKind.APPLICATION_LIMITS, business_requests=None),  # type: ignore[arg-type]
    "newer than the latest": client("1.10", "1.9"),
    "a feature of nobody": client("1.0", "1.9", long_term="1.10"),
}
NONSENSE = {
    "one prefix twice": pb.Rules(
        number_segments=pb.NumberSegmentRules(segments=[segment("199", 1), segment("199", 2, 86)])
    ),
    "no such review": like(
        RuleKind.REVIEW,  # type: ignore[arg-type]
        times=[pb.ReviewTime(kind="BUISNESS", decide_within=SPAN)],
    ),
    "one kind twice": like(
        RuleKind.REVIEW,  # type: ignore[arg-type]
        times=[pb.ReviewTime(kind="SEAL", decide_within=SPAN)] * 2,
    ),
    "one number twice": pb.Rules(
        process=pb.ProcessRules(
            processes=[pb.Process(process="business", numbers=[pb.ProcessNumber(name="days")] * 2)]
        )
    ),
    "one feature twice": pb.Rules(
        client_versions=pb.ClientVersionRules(
            clients=[
                pb.ClientVersions(
                    client="kiosk",
                    min_version="1.0",
                    latest_version="1.1",
                    features=[pb.ClientFeature(feature="long_term", min_version="1.0")] * 2,
                )
            ]
        )
    ),
    "too long": pb.Rules(
        process=pb.ProcessRules(
            processes=[
                pb.Process(process=f"process_{number}", text=pb.RuleText(zh="步" * 2000))
                for number in range(12)
            ]
        )
    ),
    "from a later version": pb.Rules.FromString(
        RuleKind.LOGIN.wrap(RuleKind.LOGIN.default).SerializeToString() + b"\xa2\x06\x02\x08\x01"
    ),
    "a field of a later version": pb.Rules(
        login=pb.LoginRules.FromString(RuleKind.LOGIN.default.SerializeToString() + b"\xa0\x06\x01")
    ),
}


@pytest.mark.parametrize("name", [*LOCKING, *NONSENSE])
def test_rules_that_nobody_could_live_with_are_refused(room: Room, name: str) -> None:
    rules = (LOCKING | NONSENSE)[name]
    with pytest.raises(ServiceError) as caught:
        room.publish(rules)
    assert caught.value.reason is Reason.REQUEST_INVALID
    assert caught.value.violations[0].field
    with room.store.reading() as connection:
        assert find(connection, kind_of(rules), to_us(NOON)).version == 0


def test_a_page_of_the_longest_editions_is_an_answer_that_grpc_carries() -> None:
    of_an_edition = MAX_CONTENT_BYTES + 4 * 500 + 500  # with its note and author
    assert MAX_EDITIONS_PAGE * of_an_edition < 4 * 1024 * 1024


def test_rules_up_to_the_limit_are_published(room: Room) -> None:
    full = pb.Rules(
        number_segments=pb.NumberSegmentRules(
            segments=[
                pb.PhoneSegment(prefix=f"1{number:04}", status=pb.SEGMENT_STATUS_SUPPORTED, note="n" * 100)
                for number in range(500)
            ]
        )
    )
    assert full.ByteSize() < MAX_CONTENT_BYTES
    assert room.publish(full) == 1
    assert room.publish(client("1.9", "1.10", long_term="1.10")) == 1
    times = [pb.ReviewTime(kind=kind, decide_within=SPAN) for kind in ("BUSINESS", "SEAL")]
    assert room.publish(like(RuleKind.REVIEW, times=times)) == 1  # type: ignore[arg-type]


def test_what_takes_effect_in_a_moment_is_not_withdrawn(room: Room) -> None:
    """A server whose clock is ahead obeys it by now, and a transaction takes its time: it has counted."""
    rules = pb.Rules(number_segments=pb.NumberSegmentRules(segments=[segment("199", 1)]))
    room.publish(rules, NOON + SETTLED)
    room.now = NOON + timedelta(microseconds=1)
    with pytest.raises(ServiceError) as caught:
        room.store.run(lambda connection: room.desk.withdraw(connection, SEGMENTS, 1))  # type: ignore[arg-type]
    assert caught.value.reason is Reason.RULES_IN_EFFECT
    room.now = NOON
    room.store.run(lambda connection: room.desk.withdraw(connection, SEGMENTS, 1))  # type: ignore[arg-type]


def test_editions_that_are_to_come_are_few(room: Room) -> None:
    """Devices are sent all of them."""
    rules = pb.Rules(number_segments=pb.NumberSegmentRules(segments=[segment("199", 1)]))
    for day in range(1, MAX_TO_COME + 1):
        room.publish(rules, NOON + timedelta(days=day))
    with pytest.raises(ServiceError) as caught:
        room.publish(rules, NOON + timedelta(days=MAX_TO_COME + 1))
    assert caught.value.violations[0].rule == "rules.to_come"
    room.now += timedelta(days=1)
    room.publish(rules, NOON + timedelta(days=MAX_TO_COME + 1))


@pytest.mark.parametrize(
    "told",
    ["kiosk/1.2-rc1", "kiosk/1.2.3.4.5", "kiosk/1.2.", "kiosk/1.٢", "kiosk/1.2\n", "kiosk/1234567.0", ""],
)
def test_a_version_that_is_no_version_is_refused(room: Room, told: str) -> None:
    with room.store.reading() as connection, pytest.raises(ServiceError) as caught:
        check_client(connection, told, now_us=to_us(NOON))
    assert caught.value.reason is Reason.REQUEST_INVALID
