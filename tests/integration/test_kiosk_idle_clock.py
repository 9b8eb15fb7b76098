"""A screen that nobody touches: who works here is warned and signed out; any touch lets them stay."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from argon2 import PasswordHasher

from edge.answers import SignedIn
from edge.attest.clock import SystemClock
from edge.kiosk import visits
from edge.kiosk.state import Stage
from edge.operators import pins
from edge.operators.machine import IDLE_LIMIT_NS
from edge.operators.service import Operators
from tests.support.kiosk_counter import StandIn
from tests.support.local_device import CLERK, LocalDevice
from tests.support.local_kiosk import Client, LocalKiosk, local_kiosk

LIMIT_S = IDLE_LIMIT_NS / 1e9

Idle = Callable[[float], None]
"""Let so many seconds go by, all at once."""


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKiosk]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pins, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=4))
        device = LocalDevice.open(tmp_path_factory.mktemp("idle") / "device")
        device.add_operators()
        with local_kiosk(device) as local:
            yield local


@pytest.fixture
def client(local: LocalKiosk) -> Iterator[Client]:
    with local.client() as client:
        client.sign_in(CLERK)
        yield client
        client.post("/sign-out")


@pytest.fixture
def idle(monkeypatch: pytest.MonkeyPatch) -> Idle:
    awake = SystemClock.monotonic_ns
    passed_ns = 0

    def pass_by(seconds: float) -> None:
        nonlocal passed_ns
        passed_ns += int(seconds * 1e9)

    monkeypatch.setattr(SystemClock, "monotonic_ns", lambda self: awake(self) + passed_ns)
    return pass_by


def touch(client: Client, flow: str = "") -> None:
    client.stream.send(json.dumps({"touched": flow}))


def left(client: Client) -> None:
    """Wait until the pages are told that nobody is signed in."""
    client.until("operator", lambda operator: not operator)


@pytest.mark.req("E041")
def test_an_operator_whom_nobody_sees_any_more_is_signed_out_without_a_request(
    local: LocalKiosk, client: Client, idle: Idle
) -> None:
    assert client.until("operator", bool)["ends"] is False
    assert 'data-operator="op-' in client.get("/queue").text
    idle(LIMIT_S + 1)
    left(client)
    assert local.kiosk.operator is None
    assert client.get("/queue").path == "/sign-in?to=/queue"


def test_half_a_minute_before_the_pages_say_so_and_a_touch_lets_the_operator_stay(
    client: Client, idle: Idle
) -> None:
    client.get("/queue")
    for _ in range(3):  # longer than the limit, with nothing but touches
        idle(LIMIT_S - 25)
        client.until("ends", bool)
        touch(client)
        client.until("ends", lambda ends: not ends)
    assert client.get("/queue").path == "/queue"


def test_a_page_without_the_controls_keeps_nobody_signed_in(
    local: LocalKiosk, client: Client, idle: Idle
) -> None:
    with local.client() as newer:
        idle(LIMIT_S - 25)
        newer.until("ends", bool)
        touch(client)
        assert newer.state()["ends"]  # the heartbeat: nothing has changed
        idle(30)
        left(newer)


def test_what_is_said_too_often_is_ignored(
    client: Client, idle: Idle, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = 0
    note = Operators.note_activity

    def count(self: Operators, person: SignedIn) -> bool:
        nonlocal noted
        noted += 1
        return note(self, person)

    monkeypatch.setattr(Operators, "note_activity", count)
    idle(LIMIT_S - 25)
    client.until("ends", bool)
    for _ in range(200):
        touch(client)
    client.until("ends", lambda ends: not ends)
    client.post("/language", language="en")
    assert noted == 1


def test_a_session_counts_as_touched_and_its_result_is_put_away_with_the_operator(
    local: LocalKiosk, client: Client, idle: Idle
) -> None:
    local.kiosk.hub.update(stage=Stage.CAPTURE)
    client.until("stage", lambda stage: stage == "capture")
    idle(LIMIT_S * 3)
    beat = client.state()
    assert beat["operator"]
    assert beat["ends"] is False
    local.kiosk.hub.update(stage=Stage.FAULT, fault=("CAMERA_LOST", ""))
    client.until("stage", lambda stage: stage == "fault")
    assert local.kiosk.operator is not None
    idle(LIMIT_S + 1)
    client.until("stage", lambda stage: stage == "none")
    assert local.kiosk.operator is None


def test_who_signs_in_after_a_night_stays(client: Client, idle: Idle) -> None:
    idle(LIMIT_S + 1)
    left(client)
    idle(LIMIT_S * 100)
    client.sign_in(CLERK)
    client.until("operator", bool)
    assert client.state()["operator"]  # the heartbeat


def test_a_visit_is_touched_by_the_pages_that_show_it_alone(
    client: Client, idle: Idle, monkeypatch: pytest.MonkeyPatch
) -> None:
    StandIn().serve(monkeypatch)
    client.post("/coop/begin")
    client.until("/coop", lambda said: said["visit"] and not said["waits"])
    monkeypatch.setattr(visits, "IDLE_S", 0.0)  # the next touch is the last
    idle(LIMIT_S - 25)
    client.until("ends", bool)
    touch(client, "/accounts")
    assert client.until("ends", lambda ends: not ends)["/coop"]["visit"]
    idle(20)
    touch(client, "/coop")
    client.until("/coop", lambda said: not said["visit"])
