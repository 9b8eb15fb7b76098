"""A segment is opened by an edition of the rules with a date: in the cloud, and on the devices."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cloud.accounts.states import State
from cloud.authority import Authority
from cloud.codes.rules_down import RulesDown
from cloud.feed.rules import RENEWED_AFTER
from cloud.mutations import Mutations
from cloud.rulebook.desk import RulebookDesk
from cloud.rulebook.kinds import RuleKind
from cloud.serving import Base
from cloud.store import feed
from cloud.store.database import Store
from edge.app import open_identity, open_state
from edge.state.rule_sets import rules_at
from tests.support.accounts import as_account, new_citizen, registered, sign_in
from tests.support.cloud import FakeClock, RunningCloud, refusal, running_cloud
from tests.support.codes import SECRET, SetClock, open_office
from tests.support.field_office import FieldOffice
from tests.support.spool import last_code
from verifield.rule_sets import open_rule_set
from verifield.v1 import otp_service_pb2 as pb
from verifield.v1 import rulebook_pb2, rulebook_service_pb2
from verifield.v1.otp_service_pb2_grpc import OtpServiceStub
from verifield.v1.rule_set_pb2 import RuleSet
from verifield.v1.sync_service_pb2 import DOWN_ITEM_KIND_RULES

SEGMENTS = rulebook_pb2.RULE_KIND_NUMBER_SEGMENTS
PHONE = "+8619912345678"


def segments(*unsupported: str, note: str = "") -> rulebook_pb2.Rules:
    return rulebook_pb2.Rules(
        number_segments=rulebook_pb2.NumberSegmentRules(
            segments=[
                rulebook_pb2.PhoneSegment(
                    prefix=prefix, status=rulebook_pb2.SEGMENT_STATUS_UNSUPPORTED, note=note
                )
                for prefix in unsupported
            ]
        )
    )


def publish(cloud: RunningCloud, rules: rulebook_pb2.Rules, at: datetime) -> int:
    request = rulebook_service_pb2.PublishRulesRequest(rules=rules, note="Segment 199 opens")
    request.effective_time.FromDatetime(at)
    return cloud.operator.call(cloud.operator.rules.PublishRules, request).edition.version


def version_on(office: FieldOffice, at: datetime) -> int | None:
    with open_state(office.settings, open_identity(office.settings)) as state:
        found = rules_at(state, SEGMENTS, at)
    return found.version if found else None


@pytest.mark.req("R045")
def test_a_segment_opens_at_its_instant_in_the_cloud_and_on_devices(tmp_path: Path) -> None:
    clock = FakeClock()
    with running_cloud(tmp_path / "cloud", clock=clock) as cloud:
        office = FieldOffice.open(cloud, tmp_path / "device")
        office.sync()
        assert version_on(office, clock.now()) is None
        opens = datetime.now(UTC) + timedelta(hours=6)
        version = publish(cloud, segments("170"), opens)
        office.sync()
        assert [outcome.refused for outcome in office.news] == [()] * len(office.news)
        assert version_on(office, opens - timedelta(seconds=1)) == 0  # what the service came with
        assert version_on(office, opens) == version == 1
        signed_in = registered(cloud, new_citizen(phone=PHONE), state=State.DRAFT)
        for passed, supported in (
            (timedelta(), False),
            (timedelta(hours=5, minutes=59), False),
            (timedelta(hours=6, seconds=1), True),
        ):
            clock.offset = passed  # no restart in between
            with as_account(cloud, sign_in(cloud, signed_in)) as stubs:
                codes = stubs(OtpServiceStub)
                request = pb.SendCodeRequest(purpose=pb.CODE_PURPOSE_REGISTER)
                if supported:
                    sent = codes.SendCode(request)
                    code = last_code(cloud, PHONE)
                    verify = pb.VerifyCodeRequest(challenge_id=sent.challenge_id, code=code)
                    assert codes.VerifyCode(verify).proof.method == pb.PHONE_METHOD_CODE
                    continue
                with pytest.raises(grpc.RpcError) as caught:
                    codes.SendCode(request)
                _, info, _ = refusal(caught.value)
                assert (info.reason, info.metadata["segment"]) == ("PHONE_SEGMENT_UNSUPPORTED", "199")


def test_an_edition_that_is_withdrawn_is_withdrawn_on_devices(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "cloud") as cloud:
        office = FieldOffice.open(cloud, tmp_path / "device")
        opens = datetime.now(UTC) + timedelta(hours=6)
        version = publish(cloud, segments(), opens)
        office.sync()
        assert version_on(office, opens) == version
        request = rulebook_service_pb2.WithdrawRulesRequest(kind=SEGMENTS, version=version)
        cloud.operator.call(cloud.operator.rules.WithdrawRules, request)
        office.sync()
        assert version_on(office, opens) == 0


def told(store: Store) -> RuleSet | None:
    """What devices are told."""
    with store.reading() as connection:
        row = feed.get_item(connection, feed.SCOPE_ALL, kind=DOWN_ITEM_KIND_RULES, item_id="NUMBER_SEGMENTS")
    return open_rule_set(bytes(row.content)) if row else None


@pytest.fixture
def base(database_url: str, tmp_path: Path) -> Iterator[Base]:
    clock = SetClock()
    (tmp_path / "data").mkdir()
    authority = Authority.open(tmp_path / "data", server_names=["localhost"], now=clock.now)
    with open_office(database_url, tmp_path, clock=clock) as office:
        mutations = Mutations(office.store, office.sources, secret=SECRET)
        yield Base(office.store, office.sources, authority, office.persons, mutations)


def put(base: Base, rules: rulebook_pb2.Rules, at: datetime) -> None:
    desk = RulebookDesk(base.sources, (RulesDown(base).on_published,))
    stamp = Timestamp()
    stamp.FromDatetime(at)
    base.store.run(
        lambda connection: desk.publish(connection, rules, effective=stamp, author="user/u", note="n")
    )


def test_devices_are_told_anew_before_what_they_know_expires(base: Base) -> None:
    down = RulesDown(base)
    assert down.refresh() == 0  # nothing was ever published: there is nothing to tell
    begin = base.sources.now()
    put(base, segments("199"), begin)
    assert down.refresh() == 0
    clock = base.sources.now
    assert isinstance(clock, SetClock)
    clock.now = begin + RENEWED_AFTER
    assert (down.refresh(), down.refresh()) == (1, 0)
    rules = told(base.store)
    assert rules is not None
    assert rules.issue_time.ToDatetime(UTC) == clock.now
    assert [one.version for one in rules.editions] == [1]
    assert not rules.editions[0].author
    assert not rules.editions[0].note


def test_what_is_told_later_is_newer_whatever_the_clocks_say(base: Base) -> None:
    """Another server's clock is behind: devices would refuse what it tells as older than what they have."""
    begin = base.sources.now()
    put(base, segments("199"), begin + timedelta(days=1))
    first = told(base.store)
    clock = base.sources.now
    assert isinstance(clock, SetClock)
    clock.now = begin - timedelta(seconds=2)
    put(base, segments(), begin + timedelta(days=2))
    second = told(base.store)
    assert first is not None
    assert second is not None
    assert len(second.editions) > len(first.editions)
    assert second.issue_time.ToDatetime(UTC) > first.issue_time.ToDatetime(UTC)


def test_other_kinds_of_rules_are_not_told(base: Base) -> None:
    down = RulesDown(base)
    base.store.run(lambda connection: down.on_published(connection, RuleKind.LOGIN))  # type: ignore[arg-type]
    assert told(base.store) is None


def test_what_does_not_fit_is_told_without_its_notes_and_from_the_nearest_on(base: Base) -> None:
    begin = base.sources.now()
    many = [f"{number:05}" for number in range(500)]
    for day in range(3):
        put(base, segments(*many, note="\u5f85\u5f00\u901a" * 10), begin + timedelta(days=day))
    rules = told(base.store)
    assert rules is not None
    assert [one.version for one in rules.editions] == [1, 2, 3]
    assert {segment.note for one in rules.editions for segment in one.rules.number_segments.segments} == {""}
    for day in range(3, 20):
        put(base, segments(*many), begin + timedelta(days=day))
    rules = told(base.store)
    assert rules is not None
    versions = [one.version for one in rules.editions]
    assert versions == list(range(1, len(versions) + 1))
    assert 3 < len(versions) < 20
