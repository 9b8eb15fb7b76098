"""An hour without the cloud: what the policy allows goes on, and arrives once and in order afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cloud.commands.policies import first_policy
from edge.app import open_identity, open_state
from edge.attest.clock import SystemClock, bounded_now
from edge.model import Decision, Evidence, Outcome, Standing
from edge.outbox.records import RecordState
from edge.policy import Policy
from edge.readiness import check_ready
from tests.support.bad_network import CLEAR, REFUSING, BadNetwork, bad_network
from tests.support.cloud import FakeClock, RunningCloud, running_cloud
from tests.support.field_office import FieldOffice, wait_until
from verifield.certificates import load_roots
from verifield.v1 import attestation_service_pb2, policy_service_pb2

HOUR, STEP = timedelta(hours=1), timedelta(minutes=10)
EXPIRES = timedelta(days=30)


class LaterClock(SystemClock):
    """The machine's clocks, some time later: nobody waits an hour."""

    later = timedelta(0)

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self.later // timedelta(microseconds=1) * 1000

    def wall(self) -> datetime:
        return super().wall() + self.later


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cloud(tmp_path: Path, clock: FakeClock) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path / "cloud", clock=clock) as running:
        yield running


@pytest.fixture
def network(cloud: RunningCloud) -> Iterator[BadNetwork]:
    with bad_network(cloud.endpoint.device_listen) as network:
        yield network


def delivered(cloud: RunningCloud, office: FieldOffice) -> list[tuple[int, int]]:
    """Places of the device's records at the cloud, in the order of its log."""
    request = attestation_service_pb2.ListAttestationsRequest(device_id=office.device_id, page_size=500)
    answer = cloud.operator.call(cloud.operator.attestations.ListAttestations, request)
    return [(one.chain_epoch, one.seq) for one in reversed(answer.attestations)]


def policy_of(office: FieldOffice) -> Policy:
    identity = open_identity(office.settings)
    with open_state(office.settings, identity) as state:
        return state.policy(load_roots(identity.root_pem))


def hold_session(office: FieldOffice, number: int) -> None:
    """What a session needs of the device: it may begin by the policy, and its record is durable."""
    with office.recorder() as recorder, open_state(office.settings, recorder.identity) as state:
        assert check_ready(recorder, state) is Standing.NORMAL
        assert recorder.policy.version == 1
        reason = "TIMEOUT" if number % 2 else "PERSON_STOPPED"
        record = recorder.record(Evidence(aborted=reason), Decision(Outcome.ABORTED, (reason,)))
        assert record.state is RecordState.PENDING


@pytest.mark.req("R180")
def test_an_hour_without_the_cloud_stops_nothing_and_loses_nothing(
    cloud: RunningCloud,
    network: BadNetwork,
    clock: FakeClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("edge.app", "edge.delivery"):
        monkeypatch.setattr(f"{module}.SystemClock", LaterClock)
    for name, seconds in (
        ("edge.sync.daemon.POLL_S", 0.05),
        ("edge.sync.machine.BACKOFF_FIRST_S", 0.1),
        ("edge.sync.pacing.BACKOFF_FIRST_S", 0.1),
        ("edge.sync.pacing.BACKOFF_CAP_S", 1.0),
        # On a slow machine the link stays away long enough for a renewal. What the cloud issues then is valid
        # by its clock an hour later; TLS keeps the real time and would refuse it.
        ("edge.sync.machine.RENEW_AFTER_FAILURES", 1_000_000),
    ):
        monkeypatch.setattr(name, seconds)
    monkeypatch.setattr(LaterClock, "later", timedelta(0))
    wanted = first_policy()
    wanted.version = 1
    wanted.expire_time.FromDatetime(datetime.now(UTC) + EXPIRES)
    request = policy_service_pb2.PublishPolicyRequest(policy=wanted)
    cloud.operator.call(cloud.operator.policies.PublishPolicy, request)
    office = FieldOffice.open(cloud, tmp_path / "device")
    office.go_through(device=network.endpoint)
    office.sync()
    cached = policy_of(office)
    assert (cached.version, cached.expire_time) == (1, wanted.expire_time.ToDatetime(UTC))

    network.weather = REFUSING  # the link is cut
    network.cut_all()
    before = len(office.states())
    with office.daemon():
        for number in range(HOUR // STEP + 1):
            hold_session(office, number)
            later = LaterClock.later + STEP
            monkeypatch.setattr(LaterClock, "later", later)
            clock.offset = later
        wait_until(lambda: "CLOUD_AWAY" in office.troubles)
        assert policy_of(office) == cached
        waiting = office.states()
        assert waiting.count(RecordState.PENDING) == HOUR // STEP + 1
        assert delivered(cloud, office) == [(1, seq) for seq in range(1, before + 1)]

        network.weather = CLEAR  # and mended
        wait_until(office.all_confirmed)
    records = len(office.states())
    assert records == before + HOUR // STEP + 1
    assert delivered(cloud, office) == [(1, seq) for seq in range(1, records + 1)]
    office.sync()
    assert len(delivered(cloud, office)) == records


@pytest.mark.req("R180")
def test_a_policy_that_expires_meanwhile_stays_in_force_and_is_told(
    cloud: RunningCloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.app.SystemClock", LaterClock)
    monkeypatch.setattr(LaterClock, "later", timedelta(0))
    wanted = first_policy()
    wanted.version = 1
    wanted.expire_time.FromDatetime(datetime.now(UTC) + HOUR)
    cloud.operator.call(
        cloud.operator.policies.PublishPolicy, policy_service_pb2.PublishPolicyRequest(policy=wanted)
    )
    office = FieldOffice.open(cloud, tmp_path / "device")
    office.sync()
    monkeypatch.setattr(LaterClock, "later", HOUR + STEP)
    with office.recorder() as recorder, open_state(office.settings, recorder.identity) as state:
        assert recorder.policy.version == 1
        assert bounded_now(recorder.clock, contact=state.contact()).likely > wanted.expire_time.ToDatetime(
            UTC
        )
        assert check_ready(recorder, state) is Standing.DEGRADED
