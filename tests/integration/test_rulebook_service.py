"""Rules with a date through the service: published, listed, withdrawn, and told to clients."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from cloud.access.roles import Role
from cloud.errors import ClientError
from cloud.rulebook.kinds import KINDS, RuleKind
from tests.support.cloud import FakeClock, RunningCloud, refusal, running_cloud
from tests.support.people import Person, add_person, channel_of, reason_of
from verifield.v1 import audit_service_pb2, rulebook_pb2
from verifield.v1 import rulebook_service_pb2 as pb
from verifield.v1.rulebook_service_pb2_grpc import RulebookServiceStub

SEGMENTS = rulebook_pb2.RULE_KIND_NUMBER_SEGMENTS
SERVED = rulebook_pb2.Rules(
    number_segments=rulebook_pb2.NumberSegmentRules(
        segments=[rulebook_pb2.PhoneSegment(prefix="199", status=rulebook_pb2.SEGMENT_STATUS_SUPPORTED)]
    )
)


@pytest.fixture
def cloud(tmp_path: Any) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path / "data", clock=FakeClock()) as running:
        yield running


@pytest.fixture
def admin(cloud: RunningCloud) -> Person:
    return add_person(cloud, "admin", Role.ORGANISATION_ADMIN)


def at(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def publish(cloud: RunningCloud, rules: rulebook_pb2.Rules, **more: Any) -> rulebook_pb2.RuleEdition:
    request = pb.PublishRulesRequest(rules=rules, note="as agreed in November", **more)
    return cloud.operator.call(cloud.operator.rules.PublishRules, request).edition


def get(cloud: RunningCloud, kind: int = SEGMENTS, **more: Any) -> rulebook_pb2.RuleEdition:
    request = pb.GetRulesRequest(kind=kind, **more)  # type: ignore[arg-type]
    return cloud.operator.call(cloud.operator.rules.GetRules, request).edition


def refused(cloud: RunningCloud, method: Any, request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        cloud.operator.call(method, request)
    return caught.value.code


def test_an_edition_has_its_author_its_note_and_its_time(cloud: RunningCloud, admin: Person) -> None:
    effective = cloud.clock.now() + timedelta(days=8)
    request = pb.PublishRulesRequest(
        rules=SERVED, effective_time=at(effective), note="the segment is served from the month's end"
    )
    with channel_of(cloud, admin) as channel:
        made = RulebookServiceStub(channel).PublishRules(request, timeout=20).edition
    assert made.author == f"user/{admin.user.user_id}"
    assert made.note == "the segment is served from the month's end"
    assert made.effective_time.ToDatetime() == effective.replace(tzinfo=None)
    assert (made.version, made.state, made.rules) == (1, rulebook_pb2.RULES_STATE_DRAFT, SERVED)

    now = get(cloud)
    assert (now.version, now.state, now.author) == (0, rulebook_pb2.RULES_STATE_EFFECTIVE, "service")
    assert now.retire_time == made.effective_time
    just_before = get(cloud, at=at(effective - timedelta(microseconds=1)))
    assert (just_before.version, just_before.state) == (0, rulebook_pb2.RULES_STATE_EFFECTIVE)
    then = get(cloud, at=at(effective))
    assert (then.version, then.state) == (1, rulebook_pb2.RULES_STATE_EFFECTIVE)

    cloud.clock.offset = timedelta(days=9)
    assert get(cloud).version == 1
    assert get(cloud, at=at(effective)).rules == SERVED
    request = audit_service_pb2.ListAuditEventsRequest(action="rules.publish")
    [event] = cloud.operator.call(cloud.operator.audit.ListAuditEvents, request).events
    assert (event.subject, event.caller) == ("rules/NUMBER_SEGMENTS/1", made.author)


def test_editions_are_listed_with_the_states_of_the_moment(cloud: RunningCloud) -> None:
    now = cloud.clock.now()
    publish(cloud, SERVED)
    publish(cloud, SERVED, effective_time=at(now + timedelta(days=1)))
    publish(cloud, SERVED, effective_time=at(now + timedelta(days=2)))
    withdraw = pb.WithdrawRulesRequest(kind=SEGMENTS, version=2)
    taken_back = cloud.operator.call(cloud.operator.rules.WithdrawRules, withdraw).edition
    assert taken_back.state == rulebook_pb2.RULES_STATE_WITHDRAWN
    assert taken_back.HasField("withdraw_time")

    def states(size: int) -> list[tuple[int, int]]:
        pages = cloud.operator.pages(
            cloud.operator.rules.ListEditions, pb.ListEditionsRequest(kind=SEGMENTS, page_size=size)
        )
        return [(one.version, one.state) for page in pages for one in page.editions]

    draft, effective = rulebook_pb2.RULES_STATE_DRAFT, rulebook_pb2.RULES_STATE_EFFECTIVE
    withdrawn, retired = rulebook_pb2.RULES_STATE_WITHDRAWN, rulebook_pb2.RULES_STATE_RETIRED
    assert states(50) == states(1) == [(3, draft), (2, withdrawn), (1, effective), (0, retired)]
    cloud.clock.offset = timedelta(days=3)
    assert states(50) == [(3, effective), (2, withdrawn), (1, retired), (0, retired)]


def test_what_cannot_be_is_refused_with_its_reason(cloud: RunningCloud) -> None:
    rules, now = cloud.operator.rules, cloud.clock.now()
    past = pb.PublishRulesRequest(rules=SERVED, note="n", effective_time=at(now - timedelta(minutes=1)))
    assert refused(cloud, rules.PublishRules, past) == "RULES_PAST"
    publish(cloud, SERVED, effective_time=at(now + timedelta(days=1)))
    assert refused(cloud, rules.PublishRules, pb.PublishRulesRequest(rules=SERVED, note="n")) == "RULES_ORDER"
    unknown = pb.WithdrawRulesRequest(kind=SEGMENTS, version=9)
    assert refused(cloud, rules.WithdrawRules, unknown) == "RULES_NOT_FOUND"
    cloud.clock.offset = timedelta(days=2)
    late = pb.WithdrawRulesRequest(kind=SEGMENTS, version=1)
    assert refused(cloud, rules.WithdrawRules, late) == "RULES_IN_EFFECT"
    assert refused(cloud, rules.GetRules, pb.GetRulesRequest(kind=SEGMENTS, version=9)) == "RULES_NOT_FOUND"


@pytest.mark.parametrize(
    "rules",
    [
        rulebook_pb2.Rules(),
        rulebook_pb2.Rules(login=rulebook_pb2.LoginRules()),
        rulebook_pb2.Rules(
            number_segments=rulebook_pb2.NumberSegmentRules(
                segments=[rulebook_pb2.PhoneSegment(prefix="199", status=1)] * 2
            )
        ),
        rulebook_pb2.Rules(verification=rulebook_pb2.VerificationRules(phone_id_binding=9)),  # type: ignore[arg-type]
    ],
    ids=["nothing", "empty", "twice", "unknown"],
)
def test_rules_that_break_the_contract_are_not_published(
    cloud: RunningCloud, rules: rulebook_pb2.Rules
) -> None:
    request = pb.PublishRulesRequest(rules=rules, note="n")
    assert refused(cloud, cloud.operator.rules.PublishRules, request) == "REQUEST_INVALID"


def test_who_publishes_says_why(cloud: RunningCloud) -> None:
    for note in ("", "   "):
        request = pb.PublishRulesRequest(rules=SERVED, note=note)
        assert refused(cloud, cloud.operator.rules.PublishRules, request) == "REQUEST_INVALID"


def test_every_kind_can_be_published_and_read(cloud: RunningCloud) -> None:
    for kind in KINDS:
        made = publish(cloud, kind.wrap(kind.default))
        assert (made.kind, made.version) == (kind.number, 1)
        assert get(cloud, kind.number) == made


def test_a_repeated_request_publishes_once(cloud: RunningCloud) -> None:
    request_id = str(uuid.uuid4())
    first = publish(cloud, SERVED, request_id=request_id)
    assert publish(cloud, SERVED, request_id=request_id) == first
    assert get(cloud).version == 1


def test_who_may_not_publish_does_not(cloud: RunningCloud) -> None:
    clerk = add_person(cloud, "clerk", Role.CLERK)
    with channel_of(cloud, clerk) as channel:
        rules = RulebookServiceStub(channel)
        assert rules.GetRules(pb.GetRulesRequest(kind=SEGMENTS), timeout=20).edition.version == 0
        with pytest.raises(grpc.RpcError) as caught:
            rules.PublishRules(pb.PublishRulesRequest(rules=SERVED, note="n"), timeout=20)
    assert reason_of(caught.value) == "PERMISSION_MISSING"


@pytest.mark.req("R081")
def test_anybody_is_told_which_versions_of_a_client_are_served(cloud: RunningCloud) -> None:
    notes = rulebook_pb2.RuleText(
        zh="提升稳定性；修复问题。",
        en="Improved stability; bugs fixed.",
        es="Más estabilidad; errores corregidos.",
    )
    client = rulebook_pb2.ClientVersions(
        client="kiosk",
        min_version="1.2",
        latest_version="1.4.1",
        notes=notes,
        features=[rulebook_pb2.ClientFeature(feature="long_term", min_version="1.3")],
    )
    effective = cloud.clock.now() + timedelta(days=1)
    publish(
        cloud,
        rulebook_pb2.Rules(client_versions=rulebook_pb2.ClientVersionRules(clients=[client])),
        effective_time=at(effective),
    )
    with cloud.public_channel() as channel:
        rules = RulebookServiceStub(channel)
        request = pb.GetVersionInfoRequest(client="kiosk")
        before = rules.GetVersionInfo(request, timeout=20)
        assert (before.rules_version, before.min_version) == (
            0,
            RuleKind.CLIENT_VERSIONS.default.clients[0].min_version,
        )
        assert before.notes.zh
        cloud.clock.offset = timedelta(days=1, seconds=1)
        told = rules.GetVersionInfo(request, timeout=20)
        assert (told.min_version, told.latest_version, told.notes) == ("1.2", "1.4.1", notes)
        assert [one.feature for one in told.features] == ["long_term"]
        with pytest.raises(grpc.RpcError) as caught:
            rules.GetVersionInfo(pb.GetVersionInfoRequest(client="another"), timeout=20)
    status, info, _ = refusal(caught.value)
    assert (status, info.reason) == (grpc.StatusCode.NOT_FOUND, "CLIENT_UNKNOWN")
