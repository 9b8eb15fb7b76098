"""People who operate a running service: made by its operator, and coming in by certificate or by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from cloud.access.callers import to_number
from cloud.access.roles import Role
from cloud.services import SERVICES
from tests.support.authority import new_key
from tests.support.cloud import RunningCloud, csr
from verifield.v1 import user_service_pb2 as pb
from verifield.v1.user_service_pb2_grpc import UserServiceStub

TIMEOUT_S = 20.0


@dataclass
class Person:
    user: pb.User
    key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    chain: list[bytes] = field(default_factory=list)


def add_person(
    cloud: RunningCloud, login: str, *roles: Role, certificate: bool = True, days: int = 0, **more: str
) -> Person:
    """A new user, with a client certificate unless that is not wanted."""
    wanted = pb.User(login=login, roles=map(to_number, roles), **more)  # type: ignore[arg-type]
    request = pb.CreateUserRequest(user=wanted)
    person = Person(cloud.operator.call(cloud.operator.users.CreateUser, request).user)
    if certificate:
        give_certificate(cloud, person, days=days)
    return person


def give_certificate(cloud: RunningCloud, person: Person, *, days: int = 0) -> None:
    request = pb.IssueUserCertificateRequest(
        user_id=person.user.user_id, csr=csr(person.key), lifetime_days=days
    )
    answer = cloud.operator.call(cloud.operator.users.IssueUserCertificate, request)
    person.chain = list(answer.certificates)


@contextmanager
def channel_of(cloud: RunningCloud, person: Person) -> Iterator[grpc.Channel]:
    """By certificate, on the port on which devices call."""
    with cloud.device_channel(person.chain, person.key) as channel:
        yield channel


@contextmanager
def users_as(cloud: RunningCloud, person: Person) -> Iterator[UserServiceStub]:
    with channel_of(cloud, person) as channel:
        yield UserServiceStub(channel)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def reason_of(error: grpc.RpcError) -> str:
    """The reason of a refusal; empty where there is none."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    info = ErrorInfo()
    for detail in status.details if status else ():
        detail.Unpack(info)
    return info.reason


def all_methods() -> list[MethodDescriptor]:
    pool = descriptor_pool.Default()
    return [method for name in SERVICES for method in pool.FindServiceByName(name).methods]


def path_of(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


def try_empty(
    channel: grpc.Channel, method: MethodDescriptor, metadata: Sequence[tuple[str, str]] = ()
) -> tuple[grpc.StatusCode, str]:
    """Call any method with nothing in its request; return the status and the reason."""
    shape = ("stream" if method.client_streaming else "unary") + (
        "_stream" if method.server_streaming else "_unary"
    )
    call: Any = getattr(channel, shape)(path_of(method))
    request: Any = iter([b""]) if method.client_streaming else b""
    try:
        answer = call(request, timeout=TIMEOUT_S, metadata=metadata)
        if method.server_streaming:
            list(answer)
    except grpc.RpcError as error:
        return error.code(), reason_of(error)
    return grpc.StatusCode.OK, ""
