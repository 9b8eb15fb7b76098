"""The real daemon and the real cloud, with a network between them that fails in every way."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from edge.app import open_identity
from edge.model import Decision, Outcome
from edge.outbox.records import RecordState
from tests.support.appliance import verified_evidence
from tests.support.bad_network import CLEAR, DEAF, REFUSING, SILENT, SLOW, BadNetwork, Weather, bad_network
from tests.support.cloud import FakeClock, RunningCloud, running_cloud
from tests.support.field_office import FieldOffice, wait_until
from verifield.certificates import parse_certificate
from verifield.v1 import attestation_service_pb2

SOAK = int(os.environ.get("VERIFIELD_SOAK", "1"))
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    data = tmp_path_factory.mktemp("cloud") / "data"
    with running_cloud(data, clock=FakeClock(-timedelta(days=200))):
        pass  # the authority is older than the certificates that some tests need
    with running_cloud(data) as running:
        yield running


@pytest.fixture
def network(cloud: RunningCloud) -> Iterator[BadNetwork]:
    with bad_network(cloud.endpoint.device_listen) as network:
        yield network


@pytest.fixture
def office(cloud: RunningCloud, network: BadNetwork, tmp_path: Path) -> FieldOffice:
    office = FieldOffice.open(cloud, tmp_path / "device")
    office.go_through(device=network.endpoint)
    return office


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes of the field in fractions of a second; all proportions stay."""
    monkeypatch.setattr("edge.sync.daemon.POLL_S", 0.05)
    monkeypatch.setattr("edge.sync.machine.BACKOFF_FIRST_S", 0.1)
    monkeypatch.setattr("edge.sync.pacing.BACKOFF_FIRST_S", 0.1)
    monkeypatch.setattr("edge.sync.pacing.BACKOFF_CAP_S", 1.0)
    monkeypatch.setattr("edge.sync.machine.IDLE_CHECK_S", 2.0)
    monkeypatch.setattr("edge.sync.machine.FRESH_S", 0.5)
    monkeypatch.setattr("edge.sync.uplink.CALL_TIMEOUT_S", 2.0)
    monkeypatch.setattr("edge.rpc.CONNECT_S", 2)


def delivered(cloud: RunningCloud, office: FieldOffice) -> list[tuple[int, int]]:
    """Places of the device's records in the cloud, oldest first."""
    request = attestation_service_pb2.ListAttestationsRequest(device_id=office.device_id, page_size=500)
    answer = cloud.operator.call(cloud.operator.attestations.ListAttestations, request)
    assert not answer.next_page_token
    return [(one.chain_epoch, one.seq) for one in reversed(answer.attestations)]


def assert_all_is_there_once(cloud: RunningCloud, office: FieldOffice) -> None:
    records = len(office.states())
    assert delivered(cloud, office) == [(1, seq) for seq in range(1, records + 1)]


@pytest.mark.req("E052")
@pytest.mark.parametrize(
    "weather",
    [REFUSING, DEAF, SILENT, Weather(cut_after=1), Weather(cut_after=6_000)],
    ids=["refusing", "deaf", "silent", "cut in the handshake", "cut in the first batch"],
)
def test_each_fault_is_survived_and_said(
    cloud: RunningCloud, network: BadNetwork, office: FieldOffice, weather: Weather
) -> None:
    office.verify(12)
    network.weather = weather
    with office.daemon():
        wait_until(lambda: network.connections >= 2)
        wait_until(lambda: "CLOUD_AWAY" in office.troubles)
        office.verify()
        assert RecordState.CONFIRMED not in office.states()
        network.weather = CLEAR
        network.cut_all()
        wait_until(office.all_confirmed)
    assert_all_is_there_once(cloud, office)


@pytest.mark.req("E052")
def test_a_link_that_dies_in_the_middle_of_a_quiet_connection_is_replaced(
    cloud: RunningCloud, network: BadNetwork, office: FieldOffice
) -> None:
    with office.daemon():
        wait_until(office.all_confirmed)
        network.weather = SILENT  # half-open: neither side is told
        office.verify(3)
        wait_until(lambda: "CLOUD_AWAY" in office.troubles)
        network.weather = CLEAR
        wait_until(office.all_confirmed)
    assert_all_is_there_once(cloud, office)


@pytest.mark.req("E052")
@pytest.mark.parametrize("seed", [1, 2])
def test_a_flapping_network_under_way(
    cloud: RunningCloud, network: BadNetwork, office: FieldOffice, seed: int
) -> None:
    with office.daemon():
        weather = network.flap(seed, turns=12, longest_s=0.5)
        while weather.is_alive():
            office.verify()
            weather.join(0.2)
        wait_until(office.all_confirmed)
    assert_all_is_there_once(cloud, office)


@pytest.mark.req("E052")
def test_a_link_of_23_kbit_s_makes_progress_although_it_is_cut_again_and_again(
    cloud: RunningCloud, network: BadNetwork, office: FieldOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cut every 6 KiB, handshake included, less than a first batch needs: batches shrink and pass."""
    monkeypatch.setattr("edge.sync.uplink.CALL_TIMEOUT_S", 10.0)
    monkeypatch.setattr("edge.sync.machine.IDLE_CHECK_S", 600.0)
    monkeypatch.setattr("edge.rpc.CONNECT_S", 20)
    piece = 6 * 1024
    with office.recorder() as recorder:
        decision = Decision(Outcome.VERIFIED, ())
        records = [recorder.record(verified_evidence(), decision) for _ in range(5)]
    size = sum(len(record.envelope) for record in records)
    assert size > piece / 2
    with office.daemon():
        for _ in range(2):
            cut_after = network.upstream_bytes + piece
            network.weather = replace(SLOW, cut_after=cut_after)
            wait_until(lambda cut_after=cut_after: network.upstream_bytes >= cut_after)
        network.weather = SLOW
        wait_until(office.all_confirmed)
    assert_all_is_there_once(cloud, office)
    assert network.upstream_bytes < 2 * piece + 4 * size  # certificates included: nothing is sent for ever


def test_a_new_record_is_delivered_at_once_while_the_daemon_waits(
    cloud: RunningCloud, network: BadNetwork, office: FieldOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "edge.sync.pacing.BACKOFF_FIRST_S", 600.0
    )  # the wait itself would not end in this test
    monkeypatch.setattr("edge.sync.pacing.BACKOFF_CAP_S", 600.0)
    network.weather = REFUSING
    with office.daemon():
        wait_until(lambda: "CLOUD_AWAY" in office.troubles)
        network.weather = CLEAR
        office.verify()
        wait_until(office.all_confirmed)


def test_a_person_wakes_a_daemon_that_waits(
    cloud: RunningCloud, network: BadNetwork, office: FieldOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.sync.pacing.BACKOFF_FIRST_S", 600.0)
    monkeypatch.setattr("edge.sync.pacing.BACKOFF_CAP_S", 600.0)
    network.weather = REFUSING
    with office.daemon():
        wait_until(lambda: "CLOUD_AWAY" in office.troubles)
        network.weather = CLEAR
        before = network.connections
        assert office.sync().confirmed == 1
        wait_until(lambda: network.connections >= before + 2)  # that of the command, and the daemon's own


class TestCertificates:
    def serial(self, office: FieldOffice) -> int:
        chain = open_identity(office.settings).tls_certificates
        return parse_certificate(chain[0]).serial_number

    @pytest.mark.req("E052")
    def test_one_that_has_expired_for_tls_itself_is_renewed(
        self, cloud: RunningCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The handshake fails without a word of why: after some failures the device tries new ones."""
        monkeypatch.setattr("edge.sync.machine.RENEW_AFTER_FAILURES", 3)
        cloud.clock.offset = -timedelta(days=90)
        try:
            office = FieldOffice.open(cloud, tmp_path / "expired")
        finally:
            cloud.clock.offset = timedelta()
        leaf = parse_certificate(open_identity(office.settings).tls_certificates[0])
        assert leaf.not_valid_after_utc < cloud.clock.now()
        before = self.serial(office)
        with office.daemon():
            wait_until(office.all_confirmed)
        assert self.serial(office) != before

    def test_half_way_through_their_life_they_are_renewed_ahead_of_time(
        self, cloud: RunningCloud, office: FieldOffice, tmp_path: Path
    ) -> None:
        leaf = parse_certificate(open_identity(office.settings).tls_certificates[0])
        life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
        cloud.clock.offset = -life * 6 / 10
        try:
            older = FieldOffice.open(cloud, tmp_path / "older")
        finally:
            cloud.clock.offset = timedelta()
        before = self.serial(older)
        older.sync()  # a device that never heard from its cloud does not know how late it is
        assert self.serial(older) == before
        older.sync()
        assert self.serial(older) != before
        assert older.troubles == []


def test_a_device_that_became_another_goes_on_without_a_restart(
    cloud: RunningCloud, network: BadNetwork, office: FieldOffice
) -> None:
    office.verify()
    with office.daemon():
        wait_until(office.all_confirmed)
        old = office.device_id
        office.enroll(replace=True)
        assert office.device_id != old
        office.verify(2)
        wait_until(office.all_confirmed)
    assert_all_is_there_once(cloud, office)


CPU_SCRIPT = """
import resource, sys, threading, time
from pathlib import Path
from edge.config import EdgeConfig
from edge.delivery import run_sync

def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime

stop, failed = threading.Event(), threading.Event()
thread = threading.Thread(
    target=run_sync,
    args=(EdgeConfig(data_dir=Path(sys.argv[1])),),
    kwargs={
        "stop": stop, "once": False, "accept_log": False,
        "on_trouble": lambda state, trouble: failed.set(), "on_news": lambda outcome: None,
    },
)
thread.start()
assert failed.wait(60)
seconds = float(sys.argv[2])
time.sleep(1)
before, began = used(), time.monotonic()
time.sleep(seconds)
share = (used() - before) / (time.monotonic() - began)
stop.set()
thread.join()
print(share)
"""


@pytest.mark.req("E052")
def test_offline_it_costs_next_to_nothing(cloud: RunningCloud, office: FieldOffice) -> None:
    """Real time-outs and delays, in a process of its own, with a backlog and a cloud that refuses.

    The first minute is the busiest: delays double from a second to five minutes.
    """
    office.verify(20)
    office.go_through(device="127.0.0.1:1", public="127.0.0.1:1")
    result = subprocess.run(
        [sys.executable, "-c", CPU_SCRIPT, str(office.settings.data_dir), str(8 * SOAK)],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT}/proto", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120 + 8 * SOAK,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) < 0.01
    assert office.states() == [RecordState.PENDING] * 21
