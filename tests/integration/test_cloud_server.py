"""The two ports as tools see them: tokens, reflection, health, log lines, the operator's commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from cloud.config import Config
from cloud.devices.tokens import OPERATOR_PREFIX, encode_token
from cloud.errors import ClientError, SetupError
from cloud.server import MAX_PUBLIC_MESSAGE_BYTES
from tests.support.authority import new_key
from tests.support.cloud import (
    CloudDevice,
    RunningCloud,
    csr,
    enroll_request,
    next_envelopes,
    refusal,
    running_cloud,
    verification_of,
)
from verifield.v1 import device_service_pb2
from verifield.v1.device_service_pb2_grpc import DeviceServiceStub
from verifield.v1.enrollment_service_pb2_grpc import EnrollmentServiceStub

BIN = Path(sys.executable).parent
SERVICES = {
    "verifield.v1.AttestationService",
    "verifield.v1.DeviceService",
    "verifield.v1.EnrollmentService",
    "verifield.v1.LogService",
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def delivered(cloud: RunningCloud) -> tuple[CloudDevice, str]:
    """A device, and the id of its one delivered attestation."""
    device = cloud.enroll()
    statement = verification_of(device)
    cloud.deliver(device, [device.sign(statement)])
    return device, statement.attestation_id


def run(*command: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **(env or {})},
    )


def list_devices(cloud: RunningCloud, metadata: tuple[tuple[str, str], ...]) -> None:
    with cloud.public_channel() as channel:
        DeviceServiceStub(channel).ListDevices(
            device_service_pb2.ListDevicesRequest(), timeout=20, metadata=metadata
        )


def test_an_operator_call_needs_a_token(cloud: RunningCloud) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list_devices(cloud, ())
    code, info, hint = refusal(caught.value)
    assert code is grpc.StatusCode.UNAUTHENTICATED
    assert (info.reason, info.domain) == ("OPERATOR_TOKEN_MISSING", "verifield")
    assert "authorization" in hint


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_the_operators_token_opens_the_door(cloud: RunningCloud, scheme: str) -> None:
    token = Path(cloud.endpoint.operator_token_file).read_text().strip()
    list_devices(cloud, (("authorization", f"{scheme} {token}"),))


def test_another_token_does_not(cloud: RunningCloud) -> None:
    token = Path(cloud.endpoint.operator_token_file).read_text().strip()
    wrong = encode_token(OPERATOR_PREFIX, bytes(32))
    for value in (f"Bearer {wrong}", f"Basic {token}", token, f"Bearer {token}x", "Bearer "):
        with pytest.raises(grpc.RpcError) as caught:
            list_devices(cloud, (("authorization", value),))
        assert refusal(caught.value)[1].reason == "OPERATOR_TOKEN_REFUSED"


def test_the_operators_services_are_closed_to_devices_and_the_public_port_has_no_sync(
    cloud: RunningCloud,
) -> None:
    device = cloud.enroll()
    with cloud.device_channel(device.tls_chain, device.tls_key) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            DeviceServiceStub(channel).ListDevices(device_service_pb2.ListDevicesRequest(), timeout=20)
        assert refusal(caught.value)[1].reason == "METHOD_CLOSED"
    assert set(list_services(cloud)) & {"verifield.v1.SyncService"} == set()


def test_a_request_over_the_message_limit_is_refused(cloud: RunningCloud) -> None:
    request = enroll_request("any", new_key(), new_key())
    request.attestation_csr = bytes(MAX_PUBLIC_MESSAGE_BYTES)
    with cloud.public_channel() as channel, pytest.raises(grpc.RpcError) as caught:
        EnrollmentServiceStub(channel).Enroll(request, timeout=20)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def list_services(cloud: RunningCloud, protocol: str = "grpc.reflection.v1alpha") -> list[str]:
    with cloud.public_channel() as channel:
        call = channel.stream_stream(
            f"/{protocol}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        [answer] = call(iter([request]), timeout=20)
    return [service.name for service in answer.list_services_response.service]


@pytest.mark.parametrize("protocol", ["grpc.reflection.v1alpha", "grpc.reflection.v1"])
def test_both_reflection_protocols_list_the_services(cloud: RunningCloud, protocol: str) -> None:
    assert set(list_services(cloud, protocol)) > SERVICES


@pytest.mark.parametrize("protocol", ["grpc.reflection.v1alpha", "grpc.reflection.v1"])
def test_one_reflection_call_has_so_many_answers_and_no_more(tmp_path: Path, protocol: str) -> None:
    ask = reflection_pb2.ServerReflectionRequest(file_containing_symbol="verifield.v1.ContractService")
    with running_cloud(tmp_path / "data", open_calls_per_minute=10) as few, few.public_channel() as channel:
        answers = channel.stream_stream(
            f"/{protocol}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        )(repeat(ask, 11), timeout=20)
        for _ in range(9):  # the call itself counts, too
            next(answers)
        with pytest.raises(grpc.RpcError) as caught:
            next(answers)
    assert refusal(caught.value)[1].reason == "RATE_LIMITED"


def test_health_is_open_on_both_ports(cloud: RunningCloud) -> None:
    device = cloud.enroll()

    def check(channel: grpc.Channel, service: str) -> int:
        stub = health_pb2_grpc.HealthStub(channel)
        return int(stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20).status)

    with cloud.public_channel() as channel:
        for service in ("", *SERVICES):
            assert check(channel, service) == health_pb2.HealthCheckResponse.SERVING
    with cloud.device_channel(device.tls_chain, device.tls_key) as channel:
        assert check(channel, "verifield.v1.SyncService") == health_pb2.HealthCheckResponse.SERVING


def test_grpcurl_lists_describes_and_calls(cloud: RunningCloud, delivered: tuple[CloudDevice, str]) -> None:
    token = Path(cloud.endpoint.operator_token_file).read_text().strip()
    base = ("grpcurl", "-cacert", cloud.endpoint.root)
    listed = run(*base, cloud.endpoint.listen, "list")
    assert listed.returncode == 0, listed.stderr
    assert set(listed.stdout.split()) > SERVICES
    described = run(*base, cloud.endpoint.listen, "describe", "verifield.v1.AttestationService")
    assert "rpc GetBundle" in described.stdout, described.stderr
    everything = run(*base, cloud.endpoint.listen, "describe")
    assert everything.returncode == 0, everything.stderr
    health = run(*base, cloud.endpoint.listen, "grpc.health.v1.Health/Check")
    assert json.loads(health.stdout) == {"status": "SERVING"}
    method = "verifield.v1.AttestationService/GetAttestation"
    query = json.dumps({"attestation_id": delivered[1]})
    got = run(*base, "-H", f"authorization: Bearer {token}", "-d", query, cloud.endpoint.listen, method)
    assert json.loads(got.stdout)["summary"]["device_id"] == delivered[0].device_id, got.stderr
    refused = run(*base, "-d", query, cloud.endpoint.listen, method)
    assert refused.returncode != 0
    assert "OPERATOR_TOKEN_MISSING" in refused.stderr


def test_buf_curl_calls_through_the_newer_reflection(cloud: RunningCloud, tmp_path: Path) -> None:
    command = ["buf", "curl", "--protocol", "grpc", "--cacert", cloud.endpoint.root]
    command += ["--reflect", "--reflect-protocol", "grpc-v1", "--list-services"]
    listed = run(*command, f"https://{cloud.endpoint.listen}", env={"HOME": str(tmp_path)})
    assert listed.returncode == 0, listed.stderr
    assert set(listed.stdout.split()) > SERVICES


def test_the_log_names_calls_and_refusals_and_no_secret(cloud: RunningCloud) -> None:
    token = cloud.join_token()
    device = cloud.enroll(token)
    envelopes = next_envelopes(device, 1)
    cloud.deliver(device, envelopes)
    lines = [{**call.kwargs} for call in cloud.log.calls]
    text = repr(lines)
    assert {"method": "/verifield.v1.SyncService/Deliver", "code": "OK"}.items() <= lines[-1].items()
    assert lines[-1]["duration_ms"] >= 0
    operator = Path(cloud.endpoint.operator_token_file).read_text().strip()
    for secret in (token, operator, csr(device.key).hex(), repr(envelopes[0])):
        assert secret not in text


def test_an_unexpected_error_shows_an_id_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("cloud.devices.service.list_devices", fail)
    with running_cloud(tmp_path / "data") as running:
        token = Path(running.endpoint.operator_token_file).read_text().strip()
        with pytest.raises(grpc.RpcError) as caught:
            list_devices(running, (("authorization", f"Bearer {token}"),))
    code, info, _ = refusal(caught.value)
    assert (code, info.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert info.metadata["error_id"] in caught.value.details()
    assert "secret detail" not in str(caught.value)
    [failure] = [call.kwargs for call in running.log.calls if call.method_name == "error"]
    assert failure["error_id"] == info.metadata["error_id"]


def test_a_taken_port_is_a_plain_refusal_to_start(cloud: RunningCloud, tmp_path: Path) -> None:
    taken = run(
        "verifield-cloud", "serve", "--listen", cloud.endpoint.listen, "--data", str(tmp_path / "data")
    )
    assert taken.returncode == 3
    assert "PORT_UNAVAILABLE" in taken.stderr
    assert "Traceback" not in taken.stderr


def test_the_commands_of_an_operator(
    cloud: RunningCloud, delivered: tuple[CloudDevice, str], tmp_path: Path
) -> None:
    device, attestation_id = delivered
    where = ("--data", str(cloud.data), "--json")

    def call(*words: str) -> dict[str, object]:
        result = run("verifield-cloud", *words, *where)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)  # type: ignore[no-any-return]

    token = call("join-token", "create", "--site", "s-9", "--ttl", "2h")["join_token"]
    assert cloud.enroll(str(token)).site_id == "s-9"
    assert device.device_id in str(call("devices", "list"))
    listed = call("attestations", "list", "--device", device.device_id, "--outcome", "verified")
    assert attestation_id in str(listed)
    assert attestation_id in str(call("attestations", "show", attestation_id))
    assert "note" in call("log", "checkpoint")
    file = tmp_path / "one.bundle"
    call("attestations", "bundle", attestation_id, "-o", str(file))
    verified = run("verifield-verify", str(file), "--root", cloud.endpoint.root)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_refusals_of_commands_are_one_sentence_a_hint_and_a_status(
    cloud: RunningCloud, tmp_path: Path
) -> None:
    where = ("--data", str(cloud.data))
    missing = run("verifield-cloud", "attestations", "show", "nothing", *where)
    assert missing.returncode == 6
    assert missing.stderr.startswith("ATTESTATION_NOT_FOUND: ")
    assert "What to do:" in missing.stderr
    away = run("verifield-cloud", "log", "checkpoint", "--endpoint", "127.0.0.1:9", *where)
    assert (away.returncode, away.stderr.split(":")[0]) == (6, "UNAVAILABLE")
    nowhere = run("verifield-cloud", "devices", "list", "--data", str(tmp_path), "--json")
    assert nowhere.returncode == 3
    assert json.loads(nowhere.stdout)["error"]["code"] == "TARGET_UNKNOWN"
    assert (
        run("verifield-cloud", "join-token", "create", "--site", "s", "--ttl", "2x", *where).returncode == 2
    )


def test_one_data_directory_runs_one_service(cloud: RunningCloud) -> None:
    with pytest.raises(SetupError) as caught, running_cloud(cloud.data):
        pass
    assert caught.value.code == "ALREADY_RUNNING"


def test_the_device_port_follows_the_public_one() -> None:
    assert Config(listen="[::1]:7000").device_address == ("::1", 7001)
    assert Config(listen="127.0.0.1:0").device_address == ("127.0.0.1", 0)
    assert Config(device_listen="10.0.0.1:99").device_address == ("10.0.0.1", 99)


def test_a_client_error_keeps_the_reason(cloud: RunningCloud) -> None:
    with pytest.raises(ClientError) as caught:
        cloud.join_token(site="")
    assert caught.value.code == "REQUEST_INVALID"
    assert caught.value.hint


def test_tables_show_ids_whole_and_one_record_a_line(
    cloud: RunningCloud, delivered: tuple[CloudDevice, str]
) -> None:
    device, attestation_id = delivered
    where, narrow = ("--data", str(cloud.data)), {"COLUMNS": "80"}
    listed = run("verifield-cloud", "attestations", "list", *where, env=narrow)
    [line] = [line for line in listed.stdout.splitlines() if line.startswith(attestation_id)]
    assert line.split()[1:3] == [device.device_id, "1/1"]
    listed = run("verifield-cloud", "devices", "list", *where, env=narrow)
    [line] = [line for line in listed.stdout.splitlines() if line.startswith(device.device_id)]
    assert line.split()[1:3] == ["site-1", "ACTIVE"]
    assert all(line == line.rstrip() for line in listed.stdout.splitlines())


def test_an_empty_list_says_so(cloud: RunningCloud) -> None:
    listed = run("verifield-cloud", "attestations", "list", "--device", "nobody", "--data", str(cloud.data))
    assert (listed.returncode, listed.stderr) == (0, "There are none.\n")


def test_the_data_directory_comes_from_the_variable_that_the_service_reads(cloud: RunningCloud) -> None:
    result = run("verifield-cloud", "log", "checkpoint", env={"VERIFIELD_CLOUD_DATA": str(cloud.data)})
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("option", ["--token-file", "--root"])
@pytest.mark.parametrize("content", ["", "vfo_\u00fc\nabc"])
def test_a_token_or_root_that_is_none_is_refused_here(
    cloud: RunningCloud, tmp_path: Path, option: str, content: str
) -> None:
    (tmp_path / "bad").write_text(content, encoding="utf-8")
    where = ("--data", str(cloud.data), option, str(tmp_path / "bad"))
    result = run("verifield-cloud", "devices", "list", *where)
    assert result.returncode == 3
    assert result.stderr.startswith("TARGET_UNKNOWN: ")
    assert str(tmp_path / "bad") in result.stderr.replace("\n", "")


def test_operator_commands_load_what_they_need_alone() -> None:
    """The database layer, the settings and all stubs cost a second, which each command would pay."""
    code = (
        "import grpc, sys; from typer.main import get_command; import cloud.cli; from cloud.client import *\n"
        "get_command(cloud.cli.app).get_command(None, 'users')\n"
        "client = OperatorClient(grpc.insecure_channel('localhost:1'), Target('localhost:1', b'', ''))\n"
        "assert client.users is client.users\n"
        "print(*sys.modules)\n"
        "group = get_command(cloud.cli.app)\n"
        "assert all(group.get_command(None, name) for name in group.list_commands(None))\n"
        "print(*sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, last = result.stdout.splitlines()
    loaded = set(first.split())
    assert {"sqlalchemy", "alembic", "pydantic"}.isdisjoint({*loaded, *last.split()})
    ours = {name for name in loaded if name.endswith("_service_pb2_grpc")}
    assert ours == {"verifield.v1.user_service_pb2_grpc"}
    assert "cloud.commands.users" in loaded
    assert "cloud.commands.reviews" not in loaded
    assert "cloud.commands.seals" in last.split()


@pytest.mark.parametrize("name", ["usrs", "reviewer", "aprovals"])
def test_a_command_that_is_none_is_answered_with_what_it_is_like(name: str) -> None:
    result = run("verifield-cloud", name)
    assert result.returncode == 2
    told = " ".join(result.stderr.replace("\u2502", " ").split())
    assert f"No such command '{name}'. Did you mean" in told
