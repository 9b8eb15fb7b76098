"""Health that tells the truth: each part when it is well, when somebody should look, and when it is bad."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.answers import Step
from edge.attest.clock import MAX_DRIFT, TimeBounds
from edge.errors import SetupError
from edge.health import (
    BAD,
    EXPIRES_SOON,
    NOT_LOOKED_AT,
    WAITS_LONG,
    DeliveryLook,
    Health,
    PartLook,
    Queue,
    judge_health,
)
from edge.health_items import (
    ITEM_NAMES,
    OPTIONAL,
    HealthState,
    health_fault,
    health_items,
    in_days,
    worst_state,
)
from edge.lease import Lease
from edge.metrics import encode_metrics, write_metrics
from edge.model import Standing
from edge.outbox.records import OutboxStats
from edge.outbox.space import Space, SpaceVerdict, judge_space
from edge.policy import Policy
from edge.remedies import LANGUAGES
from edge.state.records import RefusedItem
from verifield.v1.attestation_pb2 import TIME_QUALITY_SUSPECT, TIME_QUALITY_TRUSTED

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
TICK = timedelta(microseconds=1)
STUCK = Policy().offline.degraded_after
STATS = OutboxStats(
    head=None,
    confirmed_through=None,
    pending=0,
    delivered=0,
    confirmed=7,
    invalid=0,
    branch=0,
    damaged=0,
    missing=0,
    pending_bytes=0,
    oldest_pending=None,
    last_receipt_time=NOW,
    media_pending=0,
    media_pending_bytes=0,
    media_lost=0,
    reset_needed=None,
)
LEASE = Lease(Standing.NORMAL, "", "", timedelta(0), timedelta(days=30), policy_expired=False)
SPACE = Space(90, 100, SpaceVerdict.OK)
WELL = Health(
    lease=LEASE,
    bounds=TimeBounds(NOW, TIME_QUALITY_TRUSTED, NOW),
    policy=Policy(version=1),
    certificates=(("attestation", NOW + 2 * EXPIRES_SOON), ("tls", NOW + EXPIRES_SOON)),
    queue=Queue(STATS, SPACE),
    refused=(),
    key=PartLook(),
    camera=PartLook(),
    reader=PartLook(),
    models=PartLook(),
    gallery=PartLook(),
    delivery=DeliveryLook(alive=True, state="IDLE"),
)


def queue(**stats: Any) -> Queue:
    return Queue(replace(STATS, **stats), SPACE)


def space(free: int) -> Queue:
    return Queue(STATS, Space(free, 100, judge_space(free, 100)))


WITHOUT_TEXT = Policy(version=1, session=replace(Policy().session, steps=(Step.CONSENT,)))
"""It asks for consent, and has no words to ask it with."""

AMBER: list[tuple[str, str, dict[str, Any]]] = [
    ("device", "DEVICE_DEGRADED", {"lease": replace(LEASE, standing=Standing.DEGRADED)}),
    ("policy", "POLICY_EXPIRED", {"lease": replace(LEASE, policy_expired=True)}),
    ("policy", "POLICY_MISSING", {"policy": Policy()}),
    ("clock", "CLOCK_SUSPECT", {"bounds": TimeBounds(NOW, TIME_QUALITY_SUSPECT, NOW)}),
    ("certificate", "CERTIFICATE_EXPIRES", {"certificates": (("tls", NOW + EXPIRES_SOON - TICK),)}),
    ("certificate", "CERTIFICATE_EXPIRES", {"certificates": (("tls", NOW),)}),
    ("disk", "DISK_LOW", {"queue": space(19)}),
    ("queue", "QUEUE_WAITS", {"queue": queue(pending=1, oldest_pending=NOW - WAITS_LONG - TICK)}),
    ("queue", "RECORDS_REFUSED", {"queue": queue(invalid=1)}),
    ("queue", "RECORDS_DAMAGED", {"queue": queue(media_lost=1)}),
    ("queue", "RECORDS_LEFT", {"queue": replace(queue(), left=1)}),
    ("queue", "QUEUE_WAITS", {"queue": queue(media_pending=1, oldest_media=NOW - WAITS_LONG - TICK)}),
    ("receipt", "RECEIPT_LATE", {"queue": queue(delivered=1, oldest_delivered=NOW - WAITS_LONG - TICK)}),
    ("delivery", "DELIVERY_SILENT", {"delivery": DeliveryLook(alive=False, state="PULLING")}),
    ("delivery", "DELIVERY_TROUBLE", {"delivery": DeliveryLook(True, "WAITING", "CLOUD_AWAY")}),
    ("news", "NEWS_REFUSED", {"refused": (RefusedItem("POLICY", "p", "SIGNATURE", "x"),)}),
    ("camera", "CAMERA_BUSY", {"camera": PartLook("CAMERA_BUSY", works=True)}),
    ("reader", "MODEM_MANAGER", {"reader": PartLook("MODEM_MANAGER", works=True)}),
]
RED: list[tuple[str, str, dict[str, Any]]] = [
    ("device", "DEVICE_LOCKED", {"lease": replace(LEASE, standing=Standing.LOCKED)}),
    ("device", "DEVICE_STOPPED", {"lease": replace(LEASE, standing=Standing.STOPPED)}),
    ("policy", "POLICY_DAMAGED", {"policy": None}),
    ("policy", "POLICY_INCOMPLETE", {"policy": WITHOUT_TEXT}),
    ("clock", "CLOCK_WRONG", {"bounds": TimeBounds(NOW, TIME_QUALITY_TRUSTED, NOW - MAX_DRIFT - TICK)}),
    ("certificate", "CERTIFICATE_EXPIRED", {"certificates": (("a", NOW + STUCK), ("tls", NOW - TICK))}),
    ("disk", "DISK_RESERVE", {"queue": space(9)}),
    ("queue", "QUEUE_UNUSABLE", {"queue": Queue(unusable="OUTBOX_CORRUPT")}),
    ("queue", "QUEUE_STUCK", {"queue": queue(pending=1, oldest_pending=NOW - STUCK - TICK)}),
    ("queue", "QUEUE_STUCK", {"queue": queue(media_pending=1, oldest_media=NOW - STUCK - TICK)}),
    ("receipt", "RECEIPT_OVERDUE", {"queue": queue(delivered=1, oldest_delivered=NOW - STUCK - TICK)}),
    ("delivery", "DELIVERY_HALTED", {"delivery": DeliveryLook(True, "HALTED", "HELD_BACK", halted=True)}),
    ("key", "KEY_STORE_AWAY", {"key": PartLook("KEY_STORE_AWAY")}),
    ("camera", "NO_CAMERA", {"camera": PartLook("NO_CAMERA")}),
    ("reader", "NO_READER", {"reader": PartLook("NO_READER")}),
    ("models", "MODEL_MISSING", {"models": PartLook("MODEL_MISSING")}),
    ("gallery", "GALLERY_KEY_WRONG", {"gallery": PartLook("GALLERY_KEY_WRONG")}),
]


def states(health: Health) -> dict[str, HealthState]:
    return {item.name: item.state for item in health_items(health)}


@pytest.mark.req("E064")
def test_a_device_that_is_well_is_well_in_every_part() -> None:
    assert judge_health(WELL) == ()
    assert states(WELL) == dict.fromkeys(ITEM_NAMES, HealthState.OK)
    assert worst_state(health_items(WELL)) is HealthState.OK


@pytest.mark.req("E064")
@pytest.mark.parametrize(
    ("name", "code", "changes", "state"),
    [(*one, HealthState.WARN) for one in AMBER] + [(*one, HealthState.BAD) for one in RED],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_part_shows_its_own_trouble_and_no_other_part_does(
    name: str, code: str, changes: dict[str, Any], state: HealthState
) -> None:
    health = replace(WELL, **changes)
    assert code in judge_health(health)
    items = {item.name: item for item in health_items(health)}
    assert (items[name].state, items[name].code) == (state, code)
    assert worst_state(items.values()) is state
    for language in LANGUAGES:
        assert items[name].text[language]
        assert items[name].what_to_do[language]
    others = {other for other, item in items.items() if item.state is not HealthState.OK} - {name}
    assert others <= ({"device"} if code == "POLICY_EXPIRED" else set())


@pytest.mark.req("E064")
@pytest.mark.parametrize("days", [0, 1, 400])
def test_an_expired_certificate_is_never_well(days: int) -> None:
    """However long ago, whichever of the two, and however good everything else is."""
    for name in ("attestation", "tls"):
        ends = {"attestation": NOW + 2 * EXPIRES_SOON, "tls": NOW + 2 * EXPIRES_SOON}
        ends[name] = NOW - timedelta(days=days) - TICK
        items = health_items(replace(WELL, certificates=tuple(ends.items())))
        assert worst_state(items) is HealthState.BAD


@pytest.mark.req("E064")
def test_a_stuck_queue_is_never_well_not_even_where_the_policy_is_lenient() -> None:
    lenient = Policy(version=1, offline=replace(Policy().offline, degraded_after=timedelta(days=300)))
    for policy in (Policy(version=1), lenient, None):
        for days in (2, 30, 299, 3000):
            waiting = queue(pending=1, oldest_pending=NOW - timedelta(days=days))
            assert states(replace(WELL, policy=policy, queue=waiting))["queue"] is not HealthState.OK


@pytest.mark.req("E064")
def test_a_policy_that_wants_word_sooner_than_daily_calls_a_queue_stuck_sooner() -> None:
    hour = timedelta(hours=1)
    strict = Policy(version=1, offline=replace(Policy().offline, degraded_after=hour))
    waiting = queue(pending=1, oldest_pending=NOW - hour - TICK)
    assert judge_health(replace(WELL, policy=strict, queue=waiting)) == ("QUEUE_STUCK",)


@pytest.mark.req("E064")
def test_a_receipt_that_never_came_is_missed() -> None:
    """Also on a device that never had one, and where an old one covers what came before."""
    for last in (None, NOW - timedelta(days=400), NOW):
        delivered = queue(delivered=1, last_receipt_time=last, oldest_delivered=NOW - STUCK - TICK)
        assert judge_health(replace(WELL, queue=delivered)) == ("RECEIPT_OVERDUE",)
    rested = queue(delivered=1, last_receipt_time=NOW - timedelta(days=400), oldest_delivered=NOW - TICK)
    assert judge_health(replace(WELL, queue=rested)) == (), "a device that rested for a year"


def test_a_device_without_a_gallery_is_not_asked_for_one() -> None:
    without = health_items(replace(WELL, gallery=None))
    assert {item.name for item in without} == ITEM_NAMES.keys() - OPTIONAL
    assert worst_state(without) is HealthState.OK


@pytest.mark.req("E064")
def test_what_nobody_has_looked_at_is_not_called_well() -> None:
    unseen = replace(WELL, key=None, camera=None, reader=None, models=None, delivery=None)
    assert judge_health(unseen) == ()
    items = {item.name: item for item in health_items(unseen)}
    for name in ("key", "camera", "reader", "models"):
        assert (items[name].state, items[name].code) == (HealthState.WARN, NOT_LOOKED_AT)
    assert (items["delivery"].state, items["delivery"].code) == (HealthState.WARN, "DELIVERY_ABSENT")
    assert worst_state(()) is HealthState.BAD


def test_the_gravest_comes_first_and_each_item_shows_its_gravest() -> None:
    health = replace(
        WELL,
        queue=queue(pending=1, oldest_pending=NOW - STUCK - TICK, invalid=3),
        camera=PartLook("CAMERA_BUSY", works=True),
        reader=PartLook("NO_READER"),
    )
    assert judge_health(health) == ("NO_READER", "QUEUE_STUCK", "CAMERA_BUSY", "RECORDS_REFUSED")
    assert {item.name: item.code for item in health_items(health)}["queue"] == "QUEUE_STUCK"


def test_a_fault_without_a_text_of_its_own_says_what_it_said() -> None:
    look = PartLook("READER_SINGS", "The reader sings.", "Ask it to stop.")
    item = next(one for one in health_items(replace(WELL, reader=look)) if one.name == "reader")
    assert (item.text["es"], item.what_to_do["zh"]) == ("The reader sings.", "Ask it to stop.")
    (fault,) = health_fault(SetupError("NOT_ENROLLED", "This device is not enrolled."))
    assert (fault.state, fault.text["zh"]) == (HealthState.BAD, "设备尚未注册。")


def test_the_figures_are_there_to_be_read() -> None:
    waiting = queue(pending=3, oldest_pending=NOW - timedelta(hours=5))
    values = {item.name: item.value for item in health_items(replace(WELL, queue=waiting))}
    assert values["queue"] == "3, 5 h"
    assert values["certificate"] == "14 d"
    assert values["disk"] == "90 %"
    assert [in_days(timedelta(hours=hours)) for hours in (47, 48, -50)] == ["47 h", "2 d", "-3 d"]


def metrics(text: bytes) -> dict[tuple[str, str], float]:
    """Value of each sample, by its name and its one label's value."""
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


@pytest.mark.req("E064")
@pytest.mark.parametrize(("name", "code", "changes"), RED, ids=lambda value: str(value)[:24])
def test_prometheus_hears_of_each_trouble(name: str, code: str, changes: dict[str, Any]) -> None:
    told = metrics(encode_metrics(replace(WELL, **changes), fault="", at=NOW))
    assert told["verifield_edge_problem", code] == 1
    assert told["verifield_edge_health", name] == 2


@pytest.mark.req("E064")
def test_the_figures_for_prometheus(tmp_path: Path) -> None:
    hours = timedelta(hours=1)
    waiting = queue(
        pending=3,
        oldest_pending=NOW - 5 * hours,
        oldest_media=NOW - 7 * hours,
        oldest_delivered=NOW - 6 * hours,
    )
    path = tmp_path / "metrics" / "verifield_edge.prom"
    write_metrics(path, replace(WELL, queue=waiting), fault="", at=NOW)
    assert path.stat().st_mode & 0o777 == 0o644
    told = metrics(path.read_bytes())
    assert told["verifield_edge_queue_age_seconds", ""] == 5 * 3600
    assert told["verifield_edge_media_age_seconds", ""] == 7 * 3600
    assert told["verifield_edge_unreceipted_age_seconds", ""] == 6 * 3600
    assert told["verifield_edge_certificate_days_left", "tls"] == 14
    assert told["verifield_edge_last_receipt_seconds", ""] == NOW.timestamp()
    assert told["verifield_edge_looked_at_seconds", ""] == NOW.timestamp()
    assert told["verifield_edge_records", "pending"] == 3
    assert {told["verifield_edge_health", name] for name in ITEM_NAMES} == {0}
    assert not [name for name, _ in told if name == "verifield_edge_problem"]


@pytest.mark.req("E064")
def test_a_device_that_cannot_be_looked_at_says_so_to_prometheus() -> None:
    told = metrics(encode_metrics(None, fault="KEY_STORE_AWAY", at=NOW))
    assert told["verifield_edge_looked", ""] == 0
    assert told["verifield_edge_problem", "KEY_STORE_AWAY"] == 1
    assert not [name for name, _ in told if name == "verifield_edge_health"]


def test_every_grave_problem_can_be_told() -> None:
    assert {code for _, code, _ in RED if code in BAD} == BAD
