"""The sync daemon and a cloud that answers errors or nonsense, or something that is no cloud: it waits."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cloud.attestations.deliverer import Deliverer
from cloud.attestations.streams import MAX_STREAMS_PER_DEVICE
from cloud.attestations.sync import SyncService
from cloud.errors import Reason, ServiceError
from edge.outbox.records import RecordState
from tests.support import wrong_servers
from tests.support.bad_days import Field, open_field
from tests.support.bad_network import (
    SILENT,
    bad_network,
)
from tests.support.cloud import FakeClock, RunningCloud, running_cloud
from tests.support.field_office import wait_until
from tests.support.haste import make_haste
from tests.support.replay import batches_of, stub_of
from verifield.v1 import sync_service_pb2 as pb

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

        async def answer(self: Deliverer, *arguments: Any, **options: Any) -> pb.DeliverResponse:
            response = await real(self, *arguments, **options)
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
