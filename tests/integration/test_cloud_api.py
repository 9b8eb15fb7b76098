"""Lists, changes and refusals in the common style, through the running service."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, LocalizedMessage
from grpc_status import rpc_status

from cloud.errors import ClientError
from tests.support.cloud import (
    TIMEOUT_S,
    CloudDevice,
    RunningCloud,
    next_envelopes,
    running_cloud,
    verification_of,
)
from verifield.v1 import attestation_pb2
from verifield.v1 import attestation_service_pb2 as attestations_pb
from verifield.v1 import device_service_pb2 as pb
from verifield.v1.device_service_pb2_grpc import DeviceServiceStub


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, module_database_url: str) -> Iterator[RunningCloud]:
    data = tmp_path_factory.mktemp("cloud") / "data"
    with running_cloud(data, database=module_database_url) as running:
        yield running


def update(cloud: RunningCloud, device_id: str, labels: dict[str, str], **fields: Any) -> pb.Device:
    wanted = [pb.DeviceLabel(key=key, value=value) for key, value in labels.items()]
    request = pb.UpdateDeviceRequest(device=pb.DeviceUpdate(device_id=device_id, labels=wanted), **fields)
    return cloud.operator.call(cloud.operator.devices.UpdateDevice, request).device


def get(cloud: RunningCloud, device_id: str) -> pb.Device:
    request = pb.GetDeviceRequest(device_id=device_id)
    return cloud.operator.call(cloud.operator.devices.GetDevice, request).device


def refusal_code(cloud: RunningCloud, device_id: str, labels: dict[str, str], **fields: Any) -> str:
    with pytest.raises(ClientError) as caught:
        update(cloud, device_id, labels, **fields)
    return caught.value.code


def listed(cloud: RunningCloud, filter_text: str, **fields: Any) -> list[str]:
    request = pb.ListDevicesRequest(filter=filter_text, page_size=2, **fields)
    pages = cloud.operator.pages(cloud.operator.devices.ListDevices, request)
    return [device.device_id for page in pages for device in page.devices]


def test_labels_are_set_shown_filtered_by_and_taken_away(cloud: RunningCloud) -> None:
    device, other = cloud.enroll(), cloud.enroll()
    before = get(cloud, device.device_id)
    after = update(cloud, device.device_id, {"room": "12", "area": "north"})
    assert [(one.key, one.value) for one in after.labels] == [("area", "north"), ("room", "12")]
    assert after.etag != before.etag
    assert get(cloud, device.device_id) == after
    only = f"device_id = {device.device_id} OR device_id = {other.device_id}"
    assert listed(cloud, f"({only}) AND labels.room = 12") == [device.device_id]
    assert listed(cloud, f"({only}) AND labels.room != 12") == [other.device_id]
    update(cloud, device.device_id, {})
    assert listed(cloud, f"({only}) AND labels.room = 12") == []
    # Back where it was.
    assert get(cloud, device.device_id).etag == before.etag


def test_a_change_with_an_old_etag_is_refused(cloud: RunningCloud) -> None:
    device_id = cloud.enroll().device_id
    read = get(cloud, device_id)
    newer = update(cloud, device_id, {"room": "1"}, etag=read.etag)
    assert refusal_code(cloud, device_id, {"room": "2"}, etag=read.etag) == "ETAG_MISMATCH"
    assert get(cloud, device_id) == newer
    assert update(cloud, device_id, {"room": "2"}, etag=newer.etag).labels[0].value == "2"


def test_deliveries_do_not_stand_in_the_way_of_operators(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    read = get(cloud, device.device_id)
    cloud.deliver(device, next_envelopes(device, 2))
    assert update(cloud, device.device_id, {"room": "1"}, etag=read.etag).seq == 2


def test_only_fields_that_can_be_changed_are_taken(cloud: RunningCloud) -> None:
    device_id = cloud.enroll().device_id
    assert update(cloud, device_id, {"room": "1"}, update_mask=FieldMask(paths=["labels"]))
    for wrong in ({"update_mask": FieldMask(paths=["state"])}, {"etag": "x" * 65}, {"request_id": "1"}):
        assert refusal_code(cloud, device_id, {}, **wrong) == "REQUEST_INVALID"
    assert refusal_code(cloud, device_id, {f"k{number}": "v" for number in range(17)}) == "REQUEST_INVALID"
    assert refusal_code(cloud, device_id, {"Room": "1"}) == "REQUEST_INVALID"
    assert refusal_code(cloud, device_id, {"room": "a b"}) == "REQUEST_INVALID"
    assert refusal_code(cloud, "nobody", {}) == "DEVICE_NOT_FOUND"
    twice = [pb.DeviceLabel(key="room", value=value) for value in "12"]
    request = pb.UpdateDeviceRequest(device=pb.DeviceUpdate(device_id=device_id, labels=twice))
    with pytest.raises(ClientError) as caught:
        cloud.operator.call(cloud.operator.devices.UpdateDevice, request)
    assert caught.value.code == "REQUEST_INVALID"
    assert get(cloud, device_id).labels[0].value == "1"


def test_a_mask_names_the_labels_and_nothing_below(cloud: RunningCloud) -> None:
    device_id = cloud.enroll().device_id
    update(cloud, device_id, {"room": "1", "floor": "2"})
    for path in ("labels.key", "labels.room"):
        code = refusal_code(cloud, device_id, {"room": "3"}, update_mask=FieldMask(paths=["labels", path]))
        assert code == "UPDATE_MASK_INVALID"
    assert {label.key: label.value for label in get(cloud, device_id).labels} == {"room": "1", "floor": "2"}


def test_filters_order_and_pages_go_together(cloud: RunningCloud) -> None:
    site = f"site-{uuid.uuid4().hex[:8]}"
    devices = sorted(cloud.enroll(cloud.join_token(site)).device_id for _ in range(5))
    wanted = f'site_id = "{site}" AND state = ACTIVE'
    assert listed(cloud, wanted) == devices
    assert listed(cloud, wanted, order_by="device_id desc") == devices[::-1]
    assert listed(cloud, f"{wanted} AND NOT device_id = {devices[2]}") == devices[:2] + devices[3:]
    assert listed(cloud, 'enrolled_time > "2999-01-01T00:00:00Z"') == []
    first = pb.ListDevicesRequest(filter=wanted, page_size=2)
    token = cloud.operator.call(cloud.operator.devices.ListDevices, first).next_page_token
    for other in ({"filter": "state = ACTIVE"}, {"filter": wanted, "order_by": "device_id desc"}):
        request = pb.ListDevicesRequest(page_token=token, page_size=2, **other)
        with pytest.raises(ClientError) as caught:
            cloud.operator.call(cloud.operator.devices.ListDevices, request)
        assert caught.value.code == "PAGE_TOKEN_INVALID"


def attested(cloud: RunningCloud, **fields: Any) -> list[int]:
    request = attestations_pb.ListAttestationsRequest(page_size=2, **fields)
    pages = cloud.operator.pages(cloud.operator.attestations.ListAttestations, request)
    return [one.seq for page in pages for one in page.attestations]


def test_attestations_are_filtered_both_ways(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    outcomes = [attestation_pb2.OUTCOME_VERIFIED, attestation_pb2.OUTCOME_SPOOF] * 3
    cloud.deliver(device, [device.sign(verification_of(device, outcome=outcome)) for outcome in outcomes])
    mine = f"device_id = {device.device_id}"
    assert attested(cloud, filter=mine) == [6, 5, 4, 3, 2, 1]
    assert attested(cloud, filter=mine, order_by="log_index") == [1, 2, 3, 4, 5, 6]
    assert attested(cloud, filter=f"{mine} AND outcome = SPOOF") == [6, 4, 2]
    assert attested(cloud, filter=f"{mine} AND outcome = SPOOF", order_by="log_index") == [2, 4, 6]
    assert attested(cloud, filter=f"(seq < 3 OR seq = 5) AND {mine}") == [5, 2, 1]
    assert attested(cloud, device_id=device.device_id, filter="seq >= 5") == [6, 5]
    assert attested(cloud, filter=f'{mine} AND received_time < "2000-01-01T00:00:00Z"') == []
    assert attested(cloud, outcome=attestation_pb2.OUTCOME_SPOOF, filter=mine) == [6, 4, 2]


def test_filters_without_an_index_find_all_in_short_pages(
    cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices: list[CloudDevice] = [cloud.enroll() for _ in range(2)]
    for device in devices:
        cloud.deliver(device, next_envelopes(device, 9))
    monkeypatch.setattr("cloud.store.scans.SCANNED_ROWS", 3)
    both = " OR ".join(f"device_id = {device.device_id}" for device in devices)
    for order, step in (("", -1), ("log_index", 1)):
        found = attested(cloud, filter=f"({both}) AND seq <= 2", order_by=order)
        assert found == [1, 2, 1, 2][::step]


def test_a_wrong_filter_is_refused_at_its_place(cloud: RunningCloud) -> None:
    with pytest.raises(ClientError, match="character 9") as caught:
        listed(cloud, "state = SLEEPY")
    assert caught.value.code == "FILTER_INVALID"


def test_a_request_with_an_id_is_done_once(cloud: RunningCloud) -> None:
    request = pb.CreateJoinTokenRequest(site_id="site-1", request_id=str(uuid.uuid4()))
    create = cloud.operator.devices.CreateJoinToken
    first = cloud.operator.call(create, request)
    assert cloud.operator.call(create, request).SerializeToString() == first.SerializeToString()
    request.site_id = "site-2"
    with pytest.raises(ClientError) as caught:
        cloud.operator.call(create, request)
    assert caught.value.code == "REQUEST_ID_REUSED"
    cloud.enroll(first.join_token)


def refused(cloud: RunningCloud, request: object, *metadata: tuple[str, str]) -> list[Any]:
    """The details of a refused CreateJoinToken."""
    token = ("authorization", f"Bearer {cloud.operator._target.token}")
    with cloud.public_channel() as channel, pytest.raises(grpc.RpcError) as caught:
        DeviceServiceStub(channel).CreateJoinToken(request, metadata=(token, *metadata), timeout=TIMEOUT_S)
    error: Any = caught.value
    status = rpc_status.from_call(error)
    assert status is not None
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    found = []
    for packed in status.details:
        for kind in (ErrorInfo, LocalizedMessage, BadRequest):
            if packed.Is(kind.DESCRIPTOR):
                found.append(kind.FromString(packed.value))
    return found


def test_refusals_name_the_fields_and_speak_the_language_of_the_caller(cloud: RunningCloud) -> None:
    request = pb.CreateJoinTokenRequest(site_id="a b")
    info, hint, fields = refused(cloud, request, ("accept-language", "zh-CN, en;q=0.5"))
    assert (info.reason, info.metadata["field"], info.metadata["rule"]) == (
        "REQUEST_INVALID",
        "site_id",
        "string.pattern",
    )
    assert hint.locale == "zh"
    assert "字段" in hint.message
    assert [(one.field, one.reason) for one in fields.field_violations] == [("site_id", "string.pattern")]
    assert refused(cloud, request, ("accept-language", "es"))[1].locale == "es"
    assert refused(cloud, request)[1].locale == "en"


def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=TIMEOUT_S, env=os.environ | env
    )


def test_commands_filter_and_show_one_page(cloud: RunningCloud) -> None:
    room = f"r{uuid.uuid4().hex[:8]}"
    devices = sorted(cloud.enroll().device_id for _ in range(2))
    where = ("--data", str(cloud.data))
    for device_id in devices:
        labelled = run("verifield-cloud", "devices", "label", device_id, f"room={room}", "--json", *where)
        assert json.loads(labelled.stdout)["labels"] == {"room": room}
    wanted = ("devices", "list", "--filter", f"labels.room = {room}", *where)
    shown = json.loads(run("verifield-cloud", *wanted, "--json").stdout)
    assert [one["device_id"] for one in shown["devices"]] == devices
    first = json.loads(run("verifield-cloud", *wanted, "--json", "--page", "first").stdout)
    assert (first["devices"], first["next_page"]) == (shown["devices"], "")
    wrong = run("verifield-cloud", *wanted, "--page", "AAAA")
    assert wrong.returncode == 6
    assert "PAGE_TOKEN_INVALID" in wrong.stderr


def test_commands_show_what_to_do_in_the_language_of_the_terminal(cloud: RunningCloud) -> None:
    words = ("verifield-cloud", "devices", "show", "nobody", "--data", str(cloud.data))
    assert "请列出设备" in run(*words, LC_ALL="zh_CN.UTF-8", PYTHONUTF8="1").stderr
    assert "List the devices" in run(*words, LC_ALL="C.UTF-8").stderr


def test_tools_see_the_rules(cloud: RunningCloud) -> None:
    call = ("grpcurl", "-cacert", cloud.endpoint.root, cloud.endpoint.listen, "describe")
    described = run(*call, "verifield.v1.CreateJoinTokenRequest")
    assert described.returncode == 0, described.stderr
    assert "buf.validate.field" in described.stdout
    assert "pattern" in described.stdout
    for symbol, known in (("DeviceService.ListDevices", True), ("DeviceService.No", False), ("No.No", False)):
        assert (run(*call, f"verifield.v1.{symbol}").returncode == 0) is known, symbol
