"""The sync daemon on links that die half-way and flap, and with certificates that end: it loses nothing."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from cloud.attestations.streams import MAX_STREAMS_PER_DEVICE
from cloud.server import KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS, MIN_CLIENT_PING_MS
from edge.app import open_identity
from edge.rpc import KEEPALIVE_S, KEEPALIVE_TIMEOUT_S
from edge.sync.uplink import CALL_TIMEOUT_S, SLOWEST_LINK_BYTES_PER_S
from tests.support.bad_days import Field, open_field
from tests.support.bad_network import (
    CLEAR,
    DEAF,
    REFUSING,
    SILENT,
    Weather,
    bad_network,
)
from tests.support.cloud import FakeClock, RunningCloud, running_cloud
from tests.support.field_office import FieldOffice, wait_until
from tests.support.haste import make_haste
from tests.support.replay import batches_of
from verifield.certificates import parse_certificate
from verifield.media import CHUNK_BYTES

SOAK = int(os.environ.get("VERIFIELD_SOAK", "1"))

pytestmark = [pytest.mark.req("E052"), pytest.mark.timeout(300 * SOAK)]


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


class TestHalfOpen:
    def test_a_link_that_dies_in_an_upload_is_noticed_by_its_keepalive(
        self, field: Field, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The call itself has minutes: only the keepalive, here 2 s and 3 s, can notice it sooner."""
        make_haste(monkeypatch.setattr)
        monkeypatch.setattr("edge.sync.uplink.CALL_TIMEOUT_S", 300.0)
        monkeypatch.setattr("edge.rpc.KEEPALIVE_S", 2)
        monkeypatch.setattr("edge.rpc.KEEPALIVE_TIMEOUT_S", 3)
        field.storm(turns=1)
        field.hear(field.office.verify(80))
        field.device.weather = Weather(bytes_per_s=20_000)
        with field.office.daemon():
            sent = field.device.upstream_bytes
            wait_until(lambda: field.device.upstream_bytes > sent + 12_000)
            field.office.troubles.clear()
            field.device.weather = SILENT
            began = time.monotonic()
            wait_until(lambda: "CLOUD_AWAY" in field.office.troubles)
            assert time.monotonic() - began < 2 + 3 + 4  # and a loaded machine
            field.device.weather = CLEAR
            wait_until(field.office.all_settled)
        field.promised.look(field.office)
        field.assert_at_rest()

    def test_the_keepalives_of_both_sides_bear_with_a_slow_link_and_with_each_other(self) -> None:
        behind_s = CHUNK_BYTES / SLOWEST_LINK_BYTES_PER_S  # a ping may stand behind a chunk of a file
        for silence_s, timeout_s in (
            (KEEPALIVE_S, KEEPALIVE_TIMEOUT_S),
            (KEEPALIVE_MS / 1000, KEEPALIVE_TIMEOUT_MS / 1000),
        ):
            assert timeout_s > behind_s
            assert silence_s + timeout_s < MAX_STREAMS_PER_DEVICE * CALL_TIMEOUT_S
        assert KEEPALIVE_S * 1000 >= 2 * MIN_CLIENT_PING_MS  # the cloud does not take it for an attack


@pytest.mark.usefixtures("haste")
class TestFlapping:
    def test_a_backlog_drains_through_windows_of_a_fraction_of_a_second(self, field: Field) -> None:
        """It never has a link for longer; what was delivered in one window is not sent again in the next."""
        field.hear(field.office.verify(400))
        ends = threading.Event()

        def flap() -> None:
            number = 0
            while not ends.wait(0.3):
                number += 1
                field.device.weather = (CLEAR, REFUSING, CLEAR, SILENT, CLEAR, DEAF)[number % 6]
                field.device.cut_all()

        size = sum(len(batch) for one in batches_of(field.office, size=256) for batch in one.envelopes)
        weather = threading.Thread(target=flap)
        weather.start()
        try:
            with field.office.daemon():
                wait_until(field.office.all_settled)
        finally:
            ends.set()
            weather.join()
        field.promised.look(field.office)
        field.assert_at_rest()
        assert field.device.upstream_bytes < 4 * size


class TestExpiredCertificates:
    """Certificates live 90 days; the public port needs none of them."""

    LIFE = timedelta(days=90)

    def expired(self, cloud: RunningCloud, folder: Path, *, ago: timedelta) -> FieldOffice:
        cloud.clock.offset = -self.LIFE - ago
        try:
            office = FieldOffice.open(cloud, folder)
        finally:
            cloud.clock.offset = timedelta()
        return office

    def serial(self, office: FieldOffice) -> int:
        return parse_certificate(open_identity(office.settings).tls_certificates[0]).serial_number

    @pytest.mark.usefixtures("haste")
    def test_one_that_expired_for_tls_is_renewed_over_a_public_port_that_fails_at_first(
        self, cloud: RunningCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Offline for months: both ways are down first, then only the way to the device port is up."""
        monkeypatch.setattr("edge.sync.machine.RENEW_AFTER_FAILURES", 3)
        office = self.expired(cloud, tmp_path / "device", ago=timedelta(days=2))
        with (
            bad_network(cloud.endpoint.device_listen) as device,
            bad_network(cloud.endpoint.listen) as public,
        ):
            office.go_through(device=device.endpoint, public=public.endpoint)
            field = Field(cloud, office, device, public)
            field.hear(office.verify(20))
            before = self.serial(office)
            device.weather = public.weather = REFUSING
            with office.daemon():
                wait_until(lambda: public.connections >= 2)
                device.calm()
                public.weather = SILENT
                cut = public.connections
                wait_until(lambda: public.connections > cut + 1)
                assert self.serial(office) == before
                public.calm()
                wait_until(office.all_settled)
            assert self.serial(office) != before
            field.promised.look(office)
            field.assert_at_rest()

    @pytest.mark.usefixtures("haste")
    def test_one_that_expires_while_its_connection_is_open_is_renewed_and_the_backlog_drained(
        self, cloud: RunningCloud, tmp_path: Path
    ) -> None:
        office = self.expired(cloud, tmp_path / "device", ago=-timedelta(minutes=2))
        with (
            bad_network(cloud.endpoint.device_listen) as device,
            bad_network(cloud.endpoint.listen) as public,
        ):
            office.go_through(device=device.endpoint, public=public.endpoint)
            field = Field(cloud, office, device, public)
            before = self.serial(office)
            field.storm(turns=1)
            cloud.clock.offset = timedelta(minutes=4)
            try:
                field.hear(office.verify(20))
                field.storm()
            finally:
                cloud.clock.offset = timedelta()
            assert self.serial(office) != before
            field.assert_at_rest()
