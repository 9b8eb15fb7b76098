"""The sync daemon on links and with clouds that fail for days, in every way: it waits, and loses nothing."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cloud.attestations.deliverer import Deliverer
from cloud.attestations.sync import MAX_STREAMS_PER_DEVICE, SyncService
from cloud.errors import Reason, ServiceError
from cloud.server import KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS, MIN_CLIENT_PING_MS
from edge.app import open_identity
from edge.delivery import run_sync
from edge.outbox.records import RecordState
from edge.rpc import KEEPALIVE_S, KEEPALIVE_TIMEOUT_S
from edge.sync.pacing import BACKOFF_CAP_S, BACKOFF_FIRST_S
from edge.sync.uplink import CALL_TIMEOUT_S, SLOWEST_LINK_BYTES_PER_S, GrpcUplink, UplinkIdentity
from tests.support import wrong_servers
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
from tests.support.replay import batches_of, stub_of
from tests.support.virtual_days import JumpingClock, JumpingStop
from verifield.certificates import parse_certificate
from verifield.media import CHUNK_BYTES
from verifield.v1 import sync_service_pb2 as pb

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


def refuse(reason: Reason) -> Callable[[], None]:
    def call() -> None:
        raise ServiceError(reason, "Not now.")

    return call


def crash() -> None:
    raise RuntimeError("a bug in the cloud")


@pytest.mark.usefixtures("haste")
class TestCloudThatAnswersErrors:
    """The real service, whose methods fail by plan: before the work, or after it, when all is durable."""

    @pytest.fixture
    def fail(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, Callable[[], None] | None], None]:
        plan: dict[tuple[str, str], Callable[[], None] | None] = {}

        def wrap(owner: type, name: str, method: str) -> None:
            real = getattr(owner, name)

            async def call(*arguments: Any, **options: Any) -> Any:
                for when in ("before", "after"):
                    if when == "after":
                        answer = await real(*arguments, **options)
                    if (planned := plan.get((method, when))) is not None:
                        planned()
                return answer

            monkeypatch.setattr(owner, name, call)

        wrap(Deliverer, "deliver", "Deliver")
        wrap(SyncService, "_answer", "GetHead and Pull")
        return lambda method, when, what: plan.update({(method, when): what})

    @pytest.mark.parametrize("method", ["Deliver", "GetHead and Pull"])
    @pytest.mark.parametrize("when", ["before", "after"])
    @pytest.mark.parametrize(
        ("what", "code"),
        [
            (refuse(Reason.STORE_UNAVAILABLE), "CLOUD_AWAY"),  # UNAVAILABLE
            (crash, "INTERNAL"),
            (refuse(Reason.TOO_MANY_STREAMS), "TOO_MANY_STREAMS"),  # RESOURCE_EXHAUSTED
        ],
        ids=["UNAVAILABLE", "INTERNAL", "RESOURCE_EXHAUSTED"],
    )
    def test_an_error_is_waited_out(
        self, field: Field, fail: Any, method: str, when: str, what: Callable[[], None], code: str
    ) -> None:
        calls = 0

        def count_and_fail() -> None:
            nonlocal calls
            calls += 1
            what()

        field.hear(field.office.verify(5))
        fail(method, when, count_and_fail)
        with field.office.daemon():
            wait_until(lambda: code in field.office.troubles)
            before, began = calls, time.monotonic()
            field.hear(field.office.verify(2))
            wait_until(lambda: calls > before + 3)
            seconds = time.monotonic() - began
            assert calls - before <= 4 + 4 * seconds / 0.05  # no faster than the first delay of the back-off
            assert RecordState.CONFIRMED not in field.office.states()
            fail(method, when, None)
            wait_until(field.office.all_settled)
        field.promised.look(field.office)
        assert field.assert_at_rest().alarms == []

    @pytest.mark.parametrize("spoil", ["no results", "too many", "unknown status", "unspecified", "nothing"])
    def test_an_answer_that_makes_no_sense_is_waited_out(
        self, field: Field, monkeypatch: pytest.MonkeyPatch, spoil: str
    ) -> None:
        real = Deliverer._answer

        def answer(self: Deliverer, *arguments: Any, **options: Any) -> pb.DeliverResponse:
            response = real(self, *arguments, **options)
            match spoil:
                case "no results":
                    del response.results[:]
                case "too many":
                    response.results.extend(list(response.results))
                case "unknown status":
                    for one in response.results:
                        one.status = 99  # type: ignore[assignment]
                case "unspecified":
                    for one in response.results:
                        one.status = pb.DELIVER_STATUS_UNSPECIFIED
                case _:
                    response.Clear()
            return response

        field.hear(field.office.verify(3))
        with monkeypatch.context() as patch, field.office.daemon():
            patch.setattr(Deliverer, "_answer", answer)
            wait_until(lambda: "CLOUD_ANSWER" in field.office.troubles)
            assert set(field.office.states()) == {RecordState.PENDING}
            patch.undo()
            wait_until(field.office.all_settled)
        field.promised.look(field.office)
        field.assert_at_rest()

    def test_streams_that_nobody_ended_hold_a_device_up_only_until_they_are_noticed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Half-open on the cloud's side: its keepalive frees what broken links left behind."""
        monkeypatch.setattr("cloud.server.KEEPALIVE_MS", 1500)
        monkeypatch.setattr("cloud.server.KEEPALIVE_TIMEOUT_MS", 500)
        with (
            running_cloud(tmp_path / "cloud") as cloud,
            open_field(cloud, tmp_path / "device") as field,
            bad_network(cloud.endpoint.device_listen) as lost,
        ):
            field.hear(field.office.verify(2))
            [batch] = batches_of(field.office, size=10)
            leave = threading.Event()

            def never_ends() -> Iterator[pb.DeliverRequest]:
                yield batch
                leave.wait()

            with stub_of(field.office, lost.endpoint) as stub:
                streams = [stub.Deliver(never_ends()) for _ in range(MAX_STREAMS_PER_DEVICE)]
                for stream in streams:
                    next(stream)
                lost.weather = SILENT
                began = time.monotonic()
                with field.office.daemon():
                    field.hear(field.office.verify())
                    wait_until(lambda: "TOO_MANY_STREAMS" in field.office.troubles)
                    wait_until(field.office.all_settled)
                    assert time.monotonic() - began < 2 + 1 + 4  # keepalive, its time-out, a loaded machine
                leave.set()
            field.promised.look(field.office)
            field.assert_at_rest()


@pytest.mark.usefixtures("haste")
class TestWrongServers:
    @pytest.mark.parametrize(
        ("server", "code"),
        [
            ("noise", "CLOUD_AWAY"),
            ("web_page", "CLOUD_AWAY"),
            ("hang_up", "CLOUD_AWAY"),
            ("tls_alert", "CLOUD_AWAY"),
            ("another_cloud", "ROOT_MISMATCH"),
            ("right_certificate_wrong_words", "CLOUD_AWAY"),
        ],
    )
    def test_what_is_not_the_cloud_gets_nothing_and_is_left_when_the_cloud_is_back(
        self, field: Field, cloud: RunningCloud, tmp_path: Path, server: str, code: str
    ) -> None:
        match server:
            case "another_cloud":
                answer = wrong_servers.another_cloud(tmp_path)
            case "right_certificate_wrong_words":
                answer = wrong_servers.right_certificate_wrong_words(cloud.data, tmp_path)
            case _:
                answer = getattr(wrong_servers, server)
        field.hear(field.office.verify(3))
        with wrong_servers.serving(answer) as wrong:
            field.device.target = field.public.target = wrong
            with field.office.daemon():
                wait_until(lambda: code in field.office.troubles)
                field.hear(field.office.verify())
                assert set(field.office.states()) == {RecordState.PENDING}
                field.device.target = cloud.endpoint.device_listen
                field.public.target = cloud.endpoint.listen
                wait_until(field.office.all_settled)
        field.promised.look(field.office)
        field.assert_at_rest()


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
