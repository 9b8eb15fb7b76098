"""Every method, called with whatever its descriptor lets one think of, and with bytes that are no message.

Nothing of it may show a fault of the service, keep it busy, or change what it does for others.
VERIFIELD_SOAK=20 looks at twenty times as many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from cloud.config import Config
from tests.support.cloud import CloudDevice, RunningCloud, next_envelopes, running_cloud
from tests.support.contract import methods, rules_of

SOAK = int(os.environ.get("VERIFIELD_SOAK", "1"))
EXAMPLES = 8 * SOAK
CALL_S = 20.0
"""No answer to nonsense takes this long; a call that does hangs."""

MAX_DEPTH = 3
MAX_MESSAGES = 3
MANY = 1_000_000
"""Calls a minute: the limits on rates would hide what is behind them."""

FAULTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS}

OTHERS = (
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
)

Number = FieldDescriptor
BOUNDS: dict[int, list[int]] = {
    Number.CPPTYPE_UINT32: [0, 1, 2, 255, 256, 500, 501, 2**31, 2**32 - 1],
    Number.CPPTYPE_UINT64: [0, 1, 2, 2**53, 2**63 - 2, 2**63 - 1, 2**63, 2**64 - 1],
    Number.CPPTYPE_INT32: [-(2**31), -1, 0, 1, 2**31 - 1],
    Number.CPPTYPE_INT64: [-(2**63), -1, 0, 1, 315_576_000_000, 2**63 - 1],
    Number.CPPTYPE_ENUM: [-1, 0, 1, 2, 3, 99, 2**31 - 1],
}
TEXTS = [
    *(
        "",
        "a",
        "A" * 36,
        "A" * 64,
        "A" * 65,
        "x" * 300,
        "\0",
        "a\0b",
        "\n",
        "é" * 40,
        "𝄞",
        "../../x",
        "' OR 1=1 --",
    ),
    *("00000000-0000-0000-0000-000000000000", "state = ACTIVE", "NOT (((", 'site_id = "\\"', "labels.a != b"),
    *("device_id desc", "AAAAAAAAAAAAAAAA", "vfj_" + "A" * 43, "1.1.1.1.0000000000000000", "{}", "%s%n"),
]
BLOBS = [b"", b"\0", b"\xff" * 32, bytes(32), bytes(31), bytes(33), b"\x30\x80", b"x" * 5000, b"\n\x05abc"]


@dataclass(frozen=True)
class Caller:
    """How the calls of one kind are made."""

    channel: grpc.Channel
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Bench:
    cloud: RunningCloud
    callers: dict[str, Caller]
    device: CloudDevice
    known: list[str]
    """Ids that exist, so that calls come further than "there is no such thing"."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data", **rates()) as cloud:
        device, victim = cloud.enroll(), cloud.enroll()
        envelopes = next_envelopes(device, 3)
        cloud.deliver(device, envelopes)
        token = ("authorization", f"Bearer {cloud.operator._target.token}")
        with cloud.public_channel() as public, cloud.device_channel(device.tls_chain, device.tls_key) as own:
            callers = {"anonymous": Caller(public), "token": Caller(public, (token,)), "device": Caller(own)}
            yield Bench(cloud, callers, device, [victim.device_id, cloud.join_token(), "site-1"])


def rates() -> dict[str, int]:
    """Settings that keep the limits on rates out of the way."""
    return {name: MANY for name in Config.model_fields if name.endswith("_per_minute")}


def messages(kind: Descriptor, known: list[str], depth: int = 0) -> st.SearchStrategy[Any]:
    """Messages of a kind: some fields absent, some in bounds, some far out of them."""
    fields = {
        field.name: values(field, known, depth)
        for field in kind.fields
        if field.message_type is None or depth < MAX_DEPTH
    }
    make = GetMessageClass(kind)
    return st.fixed_dictionaries({}, optional=fields).map(lambda given: _fill(make(), given))


def _fill(message: Any, given: dict[str, Any]) -> Any:
    for name, value in given.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            continue  # maps stand in policies alone, which are judged by rules of their own
        if field.is_repeated:
            getattr(message, name).extend(value)
        elif field.message_type is not None:
            getattr(message, name).CopyFrom(value)
        else:
            setattr(message, name, value)
    return message


def values(field: FieldDescriptor, known: list[str], depth: int) -> st.SearchStrategy[Any]:
    """Values of a field; of a list up to one more than its limit."""
    one = _one(field, known, depth)
    if not field.is_repeated:
        return one
    most = min(rules_of(field).repeated.max_items or 4, 20)
    return st.one_of(st.lists(one, max_size=3), one.map(lambda value: [value] * (most + 1)))


def _one(field: FieldDescriptor, known: list[str], depth: int) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        return messages(field.message_type, known, depth + 1)
    if field.cpp_type in BOUNDS:
        return st.sampled_from(BOUNDS[field.cpp_type])
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return st.floats(width=32)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.one_of(st.sampled_from(BLOBS), st.binary(max_size=64))
    return st.one_of(st.sampled_from(known), st.sampled_from(TEXTS), st.text(max_size=40))


def broken(data: bytes, at: int, how: str) -> bytes:
    """The bytes of a message with a fault at a place in them."""
    at %= len(data) + 1
    if how == "cut":
        return data[:at]
    if how == "flip":
        return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :] if at < len(data) else data
    return data[:at] + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + data[at:]


def call(caller: Caller, path: str, requests: list[bytes], *, streams: tuple[bool, bool]) -> grpc.StatusCode:
    """Call with bytes as they are; how it ended."""
    takes, gives = streams
    channel = caller.channel
    shape = {
        (False, False): channel.unary_unary,
        (False, True): channel.unary_stream,
        (True, False): channel.stream_unary,
        (True, True): channel.stream_stream,
    }[streams]
    given: Any = iter(requests) if takes else requests[0]
    try:
        answer = shape(path)(given, timeout=CALL_S, metadata=caller.metadata)
        if gives:
            for number, _ in enumerate(answer):
                assert number < 1000, "an answer without an end"
    except grpc.RpcError as error:
        found: Any = error
        code: grpc.StatusCode = found.code()
        assert code not in FAULTS, f"{path}: {code.name} {found.details()}"
        assert code is not grpc.StatusCode.DEADLINE_EXCEEDED, f"{path} hangs"
        return code
    return grpc.StatusCode.OK


@contextmanager
def unharmed(bench: Bench) -> Iterator[None]:
    """Afterwards the service is healthy, serves its devices, and has logged no fault."""
    yield
    with bench.cloud.public_channel() as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=CALL_S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    [delivered] = bench.cloud.deliver(bench.device, next_envelopes(bench.device, 1))
    assert len(delivered.results) == 1
    assert [one for one in bench.cloud.log.calls if one.method_name == "error"] == []


@pytest.mark.parametrize("who", ["anonymous", "token", "device"])
@pytest.mark.parametrize(
    "method", methods(), ids=lambda method: method.full_name.removeprefix("verifield.v1.")
)
def test_no_message_shows_a_fault(bench: Bench, method: MethodDescriptor, who: str) -> None:
    path = f"/{method.containing_service.full_name}/{method.name}"
    streams = method.client_streaming, method.server_streaming
    many = MAX_MESSAGES if method.client_streaming else 1
    made = messages(method.input_type, bench.known)
    statuses: set[grpc.StatusCode] = set()

    @seed(f"{path} {who}")
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(
        requests=st.lists(made, min_size=1, max_size=many),
        fault=st.sampled_from(["", "", "", "cut", "flip", "varint"]),
        at=st.integers(0, 2**16),
    )
    def attempt(requests: list[Any], fault: str, at: int) -> None:
        raw = [request.SerializeToString() for request in requests]
        if fault:
            raw[-1] = broken(raw[-1], at, fault)
        statuses.add(call(bench.callers[who], path, raw, streams=streams))

    with unharmed(bench):
        attempt()
    assert statuses
    assert grpc.StatusCode.RESOURCE_EXHAUSTED not in statuses or method.client_streaming


@pytest.mark.parametrize("who", ["anonymous", "token"])
@pytest.mark.parametrize("path", OTHERS)
def test_bytes_that_are_no_message_show_no_fault_elsewhere(bench: Bench, path: str, who: str) -> None:
    streams = (True, True) if path.endswith("Info") else (False, False)
    with unharmed(bench):
        for raw in (b"\xff" * 9, b"\n\xff\xff\xff\xff\x0f", b"", b"\n\x01\xff", os.urandom(64)):
            call(bench.callers[who], path, [raw], streams=streams)


def test_a_method_that_does_not_exist_is_said_so(bench: Bench) -> None:
    for path in ("/verifield.v1.DeviceService/Nothing", "/nobody/Nothing", "/x"):
        code = call(bench.callers["token"], path, [b"\xff"], streams=(False, False))
        assert code in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED)
