"""The sync daemon through days without its cloud: few tries, and the first that can succeed does."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from edge.delivery import run_sync
from edge.outbox.records import RecordState
from edge.sync.pacing import BACKOFF_CAP_S, BACKOFF_FIRST_S
from edge.sync.uplink import GrpcUplink, UplinkIdentity
from tests.support.bad_days import Field, open_field
from tests.support.bad_network import (
    REFUSING,
)
from tests.support.cloud import FakeClock, RunningCloud, running_cloud
from tests.support.field_office import FieldOffice, wait_until
from tests.support.haste import make_haste
from tests.support.virtual_days import JumpingClock, JumpingStop

SOAK = int(os.environ.get("VERIFIELD_SOAK", "1"))

pytestmark = [pytest.mark.req("E052"), pytest.mark.timeout(300 * SOAK)]

DAY_S = 86_400.0
LOOKS_S = 30.0
"""How often the daemon looks for new records while days go by."""


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    data = tmp_path_factory.mktemp("cloud") / "data"
    with running_cloud(data, clock=FakeClock(-timedelta(days=200))):
        pass  # the authority is older than the certificates that some tests need
    with running_cloud(data) as running:
        yield running


@pytest.fixture
def field(cloud: RunningCloud, tmp_path: Path) -> Iterator[Field]:
    with open_field(cloud, tmp_path / "device") as opened:
        yield opened
    cloud.clock.offset = timedelta()


@pytest.fixture
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    make_haste(monkeypatch.setattr)
    monkeypatch.setattr("edge.sync.machine.AUTH_RECHECK_S", 0.4)
    monkeypatch.setattr("edge.sync.machine.HALT_RECHECK_S", 0.4)
    monkeypatch.setattr("edge.sync.machine.RENEW_RETRY_S", 0.4)
    monkeypatch.setattr("edge.sync.machine.RENEW_INTERVAL_S", 0.4)


class TestDaysOffline:
    """The real daemon with its real delays; only its clock jumps."""

    def test_attempts_are_few_for_days_and_the_first_that_can_succeed_does(
        self, field: Field, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = JumpingClock()
        stop = JumpingStop(clock)
        tried: list[float] = []
        real_open = GrpcUplink.open

        def open_uplink(identity: UplinkIdentity) -> GrpcUplink:
            tried.append(clock.now_s())
            return real_open(identity)

        monkeypatch.setattr("edge.delivery.SystemClock", lambda: clock)
        monkeypatch.setattr("edge.sync.daemon.POLL_S", LOOKS_S)
        monkeypatch.setattr(GrpcUplink, "open", open_uplink)
        field.hear(field.office.verify(4))
        field.device.weather = field.public.weather = REFUSING
        began, days = clock.now_s(), SOAK
        with running(field.office, stop):
            wait_until(lambda: clock.now_s() > began + days * DAY_S)
            offline = list(tried)
            assert set(field.office.states()) == {RecordState.PENDING}
            field.device.calm()
            field.public.calm()
            back = clock.now_s()
            wait_until(field.office.all_settled)
            ended = next((at for at in tried if at >= back), back)
        gaps = [later - earlier for earlier, later in pairwise(offline)]
        assert min(gaps) >= BACKOFF_FIRST_S
        assert max(gaps) <= BACKOFF_CAP_S + 2 * LOOKS_S
        mean = days * DAY_S / len(offline)
        assert BACKOFF_CAP_S / 3 < mean < BACKOFF_CAP_S  # full jitter under the cap
        assert ended - back <= BACKOFF_CAP_S + 2 * LOOKS_S
        field.promised.look(field.office)
        field.assert_at_rest()

    def test_each_new_record_is_one_more_try_and_no_more(
        self, field: Field, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = JumpingClock()
        stop = JumpingStop(clock)
        monkeypatch.setattr("edge.delivery.SystemClock", lambda: clock)
        monkeypatch.setattr("edge.sync.daemon.POLL_S", LOOKS_S)
        field.device.weather = field.public.weather = REFUSING
        with running(field.office, stop):
            wait_until(lambda: field.device.connections > 40)
            skipped, before = clock.skipped_s, field.device.connections
            for _ in range(20):
                field.hear(field.office.verify())
                seen = field.device.connections
                wait_until(lambda seen=seen: field.device.connections > seen)
            hours = (clock.skipped_s - skipped) / 3600
            assert field.device.connections - before <= 20 + 2 * hours * 3600 / BACKOFF_CAP_S * 2
            field.device.calm()
            field.public.calm()
            wait_until(field.office.all_settled)
        field.promised.look(field.office)
        field.assert_at_rest()


class running:  # noqa: N801 - used like a function
    """The daemon in a thread, until the block ends."""

    def __init__(self, office: FieldOffice, stop: threading.Event) -> None:
        self._stop = stop
        self._thread = threading.Thread(
            target=run_sync,
            args=(office.settings,),
            kwargs={
                "stop": stop,
                "once": False,
                "accept_log": False,
                "on_trouble": lambda _state, trouble: office.troubles.append(trouble.code),
                "on_news": office.news.append,
            },
        )

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
