"""What a running service tells of itself: figures, traces, log lines, health and status, over real ports."""

from __future__ import annotations

import io
import json
import re
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from prometheus_client.parser import text_string_to_metric_families

from cloud.commands.status import ALARM_DAYS, CERTIFICATE_DAYS, DISK_FREE_BYTES, facts, warn
from cloud.errors import ClientError
from cloud.operations import health as watching
from cloud.sources import from_us
from cloud.store import alarms
from cloud.telemetry.logs import open_log
from tests.support.cloud import CloudDevice, RunningCloud, next_envelopes, running_cloud
from tests.support.collector import attributes, running_collector
from verifield.v1 import device_service_pb2, sync_service_pb2
from verifield.v1.attestation_pb2 import Statement
from verifield.v1.bundle_pb2 import Envelope
from verifield.v1.policy_service_pb2 import ListPoliciesRequest
from verifield.v1.status_service_pb2 import GetStatusRequest, GetStatusResponse
from verifield.v1.sync_service_pb2_grpc import SyncServiceStub

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = f"00-{TRACE_ID}-b7ad6b7169203331-01"
SYNC = "verifield.v1.SyncService"


def figures(cloud: RunningCloud) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    with urllib.request.urlopen(f"http://{cloud.endpoint.metrics_listen}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def figure(found: Mapping[tuple[str, tuple[tuple[str, str], ...]], float], name: str, **labels: str) -> float:
    return found[name, tuple(sorted(labels.items()))]


def test_prometheus_reads_what_was_done(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data", metrics_listen="127.0.0.1:0") as cloud:
        device = cloud.enroll()
        cloud.deliver(device, next_envelopes(device, 3), next_envelopes(device, 2))
        assert without_token(cloud, "/verifield.v1.DeviceService/ListDevices") == "UNAUTHENTICATED"
        found = figures(cloud)
    deliver = {"grpc_type": "bidi_stream", "grpc_service": SYNC, "grpc_method": "Deliver"}
    assert figure(found, "grpc_server_handled_total", **deliver, grpc_code="OK") == 1
    assert figure(found, "grpc_server_msg_received_total", **deliver) == 2
    assert figure(found, "verifield_ingest_records_total", verdict="accepted") == 5
    assert figure(found, "verifield_ingest_batches_total") == 2
    assert figure(found, "verifield_verify_records_total") == 5
    assert figure(found, "verifield_log_leaves_total") == 5
    assert figure(found, "verifield_log_tree_size") == 5
    assert figure(found, "verifield_sequencer_commit_seconds_count") >= 2
    assert figure(found, "verifield_sequencer_queue_depth") == 0
    assert figure(found, "verifield_devices", state="active") == 1
    assert figure(found, "verifield_census_up") == 1
    assert figure(found, "verifield_database_bytes") > 0
    listed = {
        "grpc_type": "unary",
        "grpc_service": "verifield.v1.DeviceService",
        "grpc_method": "ListDevices",
    }
    assert figure(found, "grpc_server_handled_total", **listed, grpc_code="Unauthenticated") == 1
    refusals = [labels for name, labels in found if name == "verifield_refusals_total"]
    assert len(refusals) == 1
    soonest = min(
        value for (name, _), value in found.items() if name.startswith("verifield_certificate_expiry")
    )
    assert soonest > 1.7e9
    assert not any(device.device_id in value for _, labels in found for _, value in labels)


def without_token(cloud: RunningCloud, method: str) -> str:
    """The code of a call that proves nothing."""
    with cloud.public_channel() as channel:
        call: Any = channel.unary_unary(method)
        with pytest.raises(grpc.RpcError) as caught:
            call(b"", timeout=10)
    refused: Any = caught.value
    return str(refused.code().name)


def traced_delivery(cloud: RunningCloud, device: CloudDevice, envelopes: list[bytes]) -> None:
    request = sync_service_pb2.DeliverRequest(envelopes=envelopes, certificates=device.chain)
    with cloud.device_channel(device.tls_chain, device.tls_key) as channel:
        [answer] = SyncServiceStub(channel).Deliver(
            iter([request]), timeout=30, metadata=(("traceparent", SAMPLED),)
        )
    assert len(answer.results) == len(envelopes)


def test_a_delivery_is_one_trace_from_the_device_to_the_commit(tmp_path: Path) -> None:
    with running_collector() as collector:
        with running_cloud(tmp_path / "data", otlp_endpoint=collector.endpoint, otlp_ratio=1.0) as cloud:
            device = cloud.enroll()
            envelopes = next_envelopes(device, 3)
            traced_delivery(cloud, device, envelopes)
            device_id = device.device_id
        spans = {span.name: span for span in collector.spans if span.trace_id.hex() == TRACE_ID}
        assert set(spans) == {f"{SYNC}/Deliver", "ingest.verify", "log.wait", "log.commit"}
        call = spans[f"{SYNC}/Deliver"]
        assert attributes(call)["rpc.grpc.status_code"] == "OK"
        assert attributes(call)["verifield.caller_kind"] == "device"
        for name in ("ingest.verify", "log.wait", "log.commit"):
            assert spans[name].parent_span_id == call.span_id
            assert spans[name].start_time_unix_nano >= call.start_time_unix_nano - 1_000_000
            assert spans[name].end_time_unix_nano <= call.end_time_unix_nano
        assert spans["log.wait"].end_time_unix_nano <= spans["log.commit"].end_time_unix_nano
        assert attributes(spans["ingest.verify"]) == {"records": 3}
        assert attributes(spans["log.commit"]) == {"works": 1}
        sent = b"".join(one.SerializeToString() for one in collector.requests)
        assert device_id.encode() not in sent
        assert not any(envelope in sent for envelope in envelopes)


def test_health_and_reflection_make_no_spans(tmp_path: Path) -> None:
    with running_collector() as collector:
        with running_cloud(tmp_path / "data", otlp_endpoint=collector.endpoint, otlp_ratio=1.0) as cloud:
            cloud.operator.call(cloud.operator.health.List, health_pb2.HealthListRequest())
            cloud.operator.call(cloud.operator.status.GetStatus, GetStatusRequest())
        assert {span.name for span in collector.spans} == {"verifield.v1.StatusService/GetStatus"}


def test_a_dead_collector_is_not_noticed_by_callers(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data", otlp_endpoint="http://127.0.0.1:1", otlp_ratio=1.0) as cloud:
        device = cloud.enroll()
        traced_delivery(cloud, device, next_envelopes(device, 2))
        assert cloud.head(device).seq == 2


def values_of(message: Message) -> set[str]:
    """Texts and bytes (in hex and base64's alphabet) of a message that are long enough to be told."""
    texts = set()
    for _, value in message.ListFields():
        parts = value if isinstance(value, list | tuple) or hasattr(value, "append") else [value]
        for part in parts:
            if isinstance(part, Message):
                texts |= values_of(part)
            elif isinstance(part, bytes):
                texts.add(part.hex())
            elif isinstance(part, str):
                texts.add(part)
    return {text for text in texts if len(text) >= 12}


def test_the_log_of_a_whole_run_has_neither_secrets_nor_what_records_say(tmp_path: Path) -> None:
    stream = io.StringIO()
    with running_collector() as collector:
        with running_cloud(
            tmp_path / "data",
            log=open_log(stream, level="debug"),
            otlp_endpoint=collector.endpoint,
            otlp_ratio=1.0,
        ) as cloud:
            token = cloud.join_token()
            device = cloud.enroll(token)
            envelopes = next_envelopes(device, 3)
            traced_delivery(cloud, device, envelopes)
            with pytest.raises(grpc.RpcError):
                cloud.enroll(token)  # used up
            provoke_a_fault(cloud)
            operator_token = Path(cloud.endpoint.operator_token_file).read_text().strip()
        key_files = [path.read_text() for path in (tmp_path / "data").rglob("*.key")]
    text = stream.getvalue()
    lines = [json.loads(line) for line in text.splitlines()]
    assert {line["event"] for line in lines} >= {"call", "call failed"}
    assert not any("dropped" in line for line in lines), "a line holds something that redaction does not know"
    calls = [line for line in lines if line["event"] == "call"]
    assert all(line["request_id"] for line in calls)
    [delivery] = [line for line in calls if line["method"].endswith("/Deliver")]
    assert delivery["trace_id"] == TRACE_ID
    assert delivery["caller"] == device.device_id
    secrets = {token, operator_token, *(line for pem in key_files for line in pem.splitlines()[1:-1])}
    personal = set[str]()
    for envelope in envelopes:
        personal |= values_of(Statement.FromString(Envelope.FromString(envelope).payload))
    personal -= {device.device_id}
    assert len(personal) > 5
    assert not [value for value in secrets | personal if value in text]
    assert not re.search(r"vf[a-z]_[A-Za-z0-9_-]{8}", text)


def provoke_a_fault(cloud: RunningCloud) -> None:
    """A call that ends as nobody expected, with a text in its error that must not be written."""
    with cloud.database() as connection:
        connection.exec_driver_sql("ALTER TABLE policies RENAME TO policies_of_maria_example")
    with pytest.raises(ClientError) as caught:
        cloud.operator.call(cloud.operator.policies.ListPolicies, ListPoliciesRequest())
    assert caught.value.code in {"STORE_UNAVAILABLE", "INTERNAL"}


def test_status_tells_what_is_there(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data") as cloud:
        device = cloud.enroll()
        cloud.deliver(device, next_envelopes(device, 2))
        with cloud.database() as connection:
            alarms.add_alarm(
                connection,
                alarms.AlarmRow(
                    device_id=device.device_id,
                    alarm_id="01919191-0000-7000-8000-000000000001",
                    kind=device_service_pb2.ALARM_KIND_FORK,
                    raised_us=1_700_000_000_000_000,
                    chain_epoch=1,
                    seq=1,
                    reason="OTHER_BYTES",
                ),
            )
        found = cloud.operator.call(cloud.operator.status.GetStatus, GetStatusRequest())
        listed = cloud.operator.call(cloud.operator.health.List, health_pb2.HealthListRequest())
    assert found.database.reachable
    assert found.database.engine == "sqlite"
    assert found.database.size_bytes > 0
    assert found.database.schema_revision
    assert found.log_size == 2
    assert found.devices["active"] == 1
    assert {kind: many for kind, many in found.open_alarms.items() if many} == {"fork": 1}
    assert found.oldest_alarm_time.seconds == 1_700_000_000
    assert {"root", "issuing", "server", "receipt", "log", "policy"} <= set(found.certificate_expire_times)
    assert facts(found)["log_size"] == 2
    serving = health_pb2.HealthCheckResponse.SERVING
    assert {name for name, one in listed.statuses.items() if one.status == serving} == set(listed.statuses)
    assert {"", "verifield.v1.DeviceService"} <= set(listed.statuses)


def test_status_is_not_for_everybody(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data") as cloud:
        assert without_token(cloud, "/verifield.v1.StatusService/GetStatus") == "UNAUTHENTICATED"


def test_a_server_whose_database_is_away_says_so_in_health_until_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "INTERVAL_S", 0.05)
    with running_cloud(tmp_path / "data") as cloud, cloud.public_channel() as channel:
        changes = HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=""), timeout=30)
        assert next(changes).status == health_pb2.HealthCheckResponse.SERVING
        monkeypatch.setattr("cloud.operations.vitals.database_answers", lambda _store: False)
        assert next(changes).status == health_pb2.HealthCheckResponse.NOT_SERVING
        found = cloud.operator.call(cloud.operator.status.GetStatus, GetStatusRequest())
        assert not found.database.reachable
        assert not found.devices
        monkeypatch.setattr("cloud.operations.vitals.database_answers", lambda _store: True)
        assert next(changes).status == health_pb2.HealthCheckResponse.SERVING
        changes.cancel()


NOW_S = 1_800_000_000


def healthy() -> GetStatusResponse:
    found = GetStatusResponse(disk_free_bytes=DISK_FREE_BYTES)
    found.database.reachable = True
    return found


def test_all_well_is_not_worth_a_word() -> None:
    found = healthy()
    found.certificate_expire_times["server"].seconds = NOW_S + CERTIFICATE_DAYS * 86400
    found.oldest_alarm_time.seconds = NOW_S - ALARM_DAYS * 86400
    found.last_backup_time.seconds = NOW_S - 2 * 86400
    assert list(warn(found, now=from_us(NOW_S * 1_000_000))) == []


@pytest.mark.parametrize(
    ("name", "seconds", "word"),
    [
        ("certificate", NOW_S + CERTIFICATE_DAYS * 86400 - 1, "server key ends in 29 days"),
        ("certificate", NOW_S - 5, "server key ends in 0 days"),
        ("alarm", NOW_S - ALARM_DAYS * 86400 - 1, "open for 7 days"),
        ("backup", NOW_S - 2 * 86400 - 1, "2 days old"),
        ("disk", DISK_FREE_BYTES - 1, "2047 MiB left"),
        ("database", 0, "does not answer"),
    ],
)
def test_what_needs_care_is_said_in_time(name: str, seconds: int, word: str) -> None:
    found = healthy()
    if name == "certificate":
        found.certificate_expire_times["server"].seconds = seconds
    elif name == "alarm":
        found.oldest_alarm_time.seconds = seconds
    elif name == "backup":
        found.last_backup_time.seconds = seconds
    elif name == "disk":
        found.disk_free_bytes = seconds
    else:
        found.database.reachable = False
    [warning] = warn(found, now=from_us(NOW_S * 1_000_000))
    assert word in warning
