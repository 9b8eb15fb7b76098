"""A line that was cut: the device says so with an id, and the cloud knows why as soon as it works again."""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from benchmarks.cloud_service import Identity
from cloud.access.roles import Role
from cloud.authority import Authority
from cloud.errors import ClientError
from edge.cli import app
from edge.errors import CloudError, ExitCode
from edge.sync.line import (
    KEPT,
    DiagnosticsFolder,
    Line,
    NetworkUnavailableError,
    deliver,
    diagnosed,
    examine,
    is_good,
)
from edge.sync.ports import UplinkError
from tests.support.accounts import as_account, registered
from tests.support.bad_network import CLEAR, REFUSING, bad_network
from tests.support.cloud import RunningCloud, refusal, running_cloud
from tests.support.people import add_person, channel_of
from verifield.v1 import diagnostics_service_pb2 as pb
from verifield.v1.diagnostics_service_pb2_grpc import DiagnosticsServiceStub

NOW = datetime(2031, 3, 4, tzinfo=UTC)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        yield running


def get(cloud: RunningCloud, diagnostic_id: str) -> pb.ReceivedDiagnostics:
    request = pb.GetDiagnosticsRequest(diagnostic_id=diagnostic_id)
    found: pb.ReceivedDiagnostics = cloud.operator.call(
        cloud.operator.diagnostics.GetDiagnostics, request
    ).diagnostics
    return found


def line_of(cloud: RunningCloud, endpoint: str) -> Line:
    return Line(endpoint, cloud.root_pem, policy_version=7, client_version="0.1", waiting=3)


@pytest.mark.req("R074")
def test_a_cut_line_is_told_with_an_id_under_which_the_cloud_knows_why(
    cloud: RunningCloud, tmp_path: Path
) -> None:
    device, folder = cloud.enroll(), DiagnosticsFolder(tmp_path / "diagnostics")
    with bad_network(cloud.endpoint.device_listen) as network:
        identity = Identity(device, cloud.root_pem, network.endpoint)
        line = line_of(cloud, network.endpoint)
        assert is_good(examine(line, activity="activation", now=NOW))
        network.weather = REFUSING
        network.cut_all()
        credentials = grpc.ssl_channel_credentials(cloud.root_pem)
        with (
            grpc.secure_channel(network.endpoint, credentials) as channel,
            pytest.raises(NetworkUnavailableError) as caught,
            diagnosed(folder, line, activity="activation", now=lambda: NOW),
        ):
            DiagnosticsServiceStub(channel).GetDiagnostics(pb.GetDiagnosticsRequest(), timeout=5)
        assert caught.value.code == "NETWORK_UNAVAILABLE"
        diagnostic_id = caught.value.diagnostic_id
        with pytest.raises(UplinkError):  # still cut: nothing is lost
            deliver(folder, identity)
        [kept] = folder.waiting()
        with pytest.raises(ClientError):
            get(cloud, diagnostic_id)
        network.weather = CLEAR
        assert deliver(folder, identity) == 1
        assert deliver(folder, identity) == 0
        folder.keep(kept)  # the answer was lost on the way: the same once more changes nothing
        assert deliver(folder, identity) == 1
    received = get(cloud, diagnostic_id)
    found = received.diagnostics
    assert found == kept
    assert received.sender == f"device/{device.device_id}"
    assert (found.error_code, found.activity, found.waiting) == ("network_unavailable", "activation", 3)
    assert found.dns.ok
    assert found.dns.addresses == ["127.0.0.1"]
    assert not found.tls.ok
    assert found.tls.fault
    assert found.policy_version == 7
    assert found.rtt_ms or found.connect.fault


@pytest.mark.req("R074")
def test_each_step_that_fails_is_told_apart(cloud: RunningCloud) -> None:
    good = examine(line_of(cloud, cloud.endpoint.device_listen), activity="check", now=NOW)
    assert is_good(good)
    assert (good.tls.version, len(good.rtt_ms)) == ("TLSv1.3", 3)
    nameless = examine(line_of(cloud, "no-such-host.invalid:443"), activity="check", now=NOW)
    assert not nameless.dns.ok
    assert nameless.dns.fault
    assert not nameless.connect.fault
    closed = examine(line_of(cloud, "127.0.0.1:1"), activity="check", now=NOW)
    assert closed.dns.ok
    assert not closed.connect.ok
    assert closed.connect.fault
    other_root = replace(line_of(cloud, cloud.endpoint.device_listen), root_pem=other_authority())
    stranger = examine(other_root, activity="check", now=NOW)
    assert stranger.connect.ok
    assert not stranger.tls.ok
    assert stranger.tls.fault.startswith("SSLCertVerificationError")


def other_authority() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return Authority.open(Path(folder), server_names=["localhost"], now=datetime.now(UTC)).root_pem()


def test_other_faults_go_through_as_they_are(cloud: RunningCloud, tmp_path: Path) -> None:
    folder = DiagnosticsFolder(tmp_path / "diagnostics")
    line = line_of(cloud, cloud.endpoint.device_listen)
    with (
        pytest.raises(CloudError) as caught,
        diagnosed(folder, line, activity="check", now=lambda: NOW),
    ):
        raise CloudError("DEVICE_REVOKED", "The device was revoked.")
    assert caught.value.code == "DEVICE_REVOKED"
    assert folder.waiting() == []


def test_the_folder_keeps_the_newest_and_lets_go_of_what_is_damaged(tmp_path: Path) -> None:
    folder = DiagnosticsFolder(tmp_path / "diagnostics")
    ids = [str(uuid.UUID(int=number)) for number in range(KEPT + 5)]
    for one in ids:
        folder.keep(pb.Diagnostics(diagnostic_id=one))
    assert [one.diagnostic_id for one in folder.waiting()] == ids[5:]
    damaged = tmp_path / "diagnostics" / f"{ids[10]}.diagnostics"
    damaged.write_bytes(b"\xff\xff")
    assert len(folder.waiting()) == KEPT - 1
    assert not damaged.exists()


def test_a_holder_sends_diagnostics_and_staff_reads_them(cloud: RunningCloud) -> None:
    made = registered(cloud)
    found = examine(line_of(cloud, "127.0.0.1:1"), activity="registration", now=NOW)
    with as_account(cloud, made) as stub:
        diagnostics = stub(DiagnosticsServiceStub)
        request = pb.UploadDiagnosticsRequest(diagnostics=found)
        diagnostics.UploadDiagnostics(request)
        diagnostics.UploadDiagnostics(request)
        request.diagnostics.waiting += 1
        with pytest.raises(grpc.RpcError) as caught:
            diagnostics.UploadDiagnostics(request)
        assert refusal(caught.value)[1].reason == "DIAGNOSTICS_REUSED"
        with pytest.raises(grpc.RpcError) as caught:
            diagnostics.GetDiagnostics(pb.GetDiagnosticsRequest(diagnostic_id=found.diagnostic_id))
        assert refusal(caught.value)[1].reason == "METHOD_CLOSED"
    staff = add_person(cloud, "window-of-lines", Role.WINDOW_STAFF)
    with channel_of(cloud, staff) as channel:
        listed = DiagnosticsServiceStub(channel).ListDiagnostics(
            pb.ListDiagnosticsRequest(sender=f"account/{made.account_id}"), timeout=20
        )
    assert [one.diagnostics for one in listed.diagnostics] == [found]


@dataclass
class Terminal:
    data: Path
    capsys: pytest.CaptureFixture[str]

    def asks(self, *args: str) -> tuple[int, dict[str, Any]]:
        try:
            app([*args, "--data", str(self.data), "--json"], prog_name="verifield-edge")
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        return status, json.loads(self.capsys.readouterr().out.splitlines()[-1])


@pytest.mark.req("R074")
def test_the_command_says_what_is_wrong_and_sends_it_when_the_cloud_is_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal(tmp_path / "edge", capsys)
    with running_cloud(tmp_path / "data") as cloud:
        root, token = tmp_path / "root.pem", tmp_path / "token.txt"
        root.write_bytes(cloud.root_pem)
        token.write_text(cloud.join_token())
        where = ["--cloud", cloud.endpoint.listen, "--root", str(root), "--token-file", str(token)]
        status, answer = terminal.asks("enroll", *where)
        assert status == 0, answer
        device_listen = cloud.endpoint.device_listen
        status, answer = terminal.asks("network")
        assert (status, answer["diagnostics_sent"], answer["tls"]["ok"]) == (0, 0, True)
    status, answer = terminal.asks("network", "--activity", "activation")
    assert status == ExitCode.CLOUD
    assert answer["error"]["code"] == "NETWORK_UNAVAILABLE"
    diagnostic_id = answer["error"]["diagnostic_id"]
    assert answer["connect"]["fault"] == "ConnectionRefusedError_111"
    with running_cloud(tmp_path / "data", device_listen=device_listen) as cloud:
        status, answer = terminal.asks("sync", "--once")
        assert status == 0, answer
        received = get(cloud, diagnostic_id)
    assert received.diagnostics.activity == "activation"
    assert not (tmp_path / "edge" / "diagnostics" / f"{diagnostic_id}.diagnostics").exists()
