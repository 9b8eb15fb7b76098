"""Callers who take places and do not give them back, and those who are refused and go on asking."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from queue import Queue
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cloud.access.rates import MAX_AT_ONCE
from cloud.access.roles import Role
from cloud.server import MAX_STREAMS_PER_CONNECTION
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.issuer import AUDIENCE, open_issuer
from tests.support.people import add_person, bearer, reason_of, users_as
from verifield.v1 import user_service_pb2 as pb
from verifield.v1.user_service_pb2_grpc import UserServiceStub

TIMEOUT_S = 20.0
FOR_EVER_S = 3600.0
LIST_USERS = "/verifield.v1.UserService/ListUsers"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path / "data", failed_calls_per_minute=1000) as running:
        yield running


class Holding:
    """Calls that send their headers, and never a request: over as many connections as they need."""

    def __init__(self, cloud: RunningCloud, path: str, metadata: Any = ()) -> None:
        self._cloud, self._path, self._metadata = cloud, path, metadata
        self._over = threading.Event()
        self._stack = ExitStack()
        self._calls: list[Any] = []

    def __enter__(self) -> Holding:
        return self

    def __exit__(self, *_: object) -> None:
        for call in self._calls:
            call.cancel()
        self._over.set()
        self._stack.close()

    def begin(self, count: int) -> list[Any]:
        """Calls, begun together."""
        channel = None
        for number in range(count):
            if number % MAX_STREAMS_PER_CONNECTION == 0:
                channel = self._stack.enter_context(self._cloud.public_channel())
            assert channel is not None
            call = channel.stream_stream(self._path)
            self._calls.append(call(self._never(), timeout=FOR_EVER_S, metadata=self._metadata))
        return self._calls[-count:]

    def _never(self) -> Iterator[bytes]:
        self._over.wait(FOR_EVER_S)
        yield from ()


def refusal_of(call: Any) -> str:
    """The reason of a call that was refused."""
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    return reason_of(caught.value)


def test_who_says_nothing_takes_no_place(cloud: RunningCloud) -> None:
    """gRPC would keep a place for each until its request comes, and look at nobody before."""
    with Holding(cloud, LIST_USERS) as holding:
        reasons = {refusal_of(call) for call in holding.begin(100)}
    assert reasons == {"OPERATOR_TOKEN_MISSING"}


def test_one_caller_has_so_many_places_and_no_more(cloud: RunningCloud) -> None:
    token = Path(cloud.endpoint.operator_token_file).read_text(encoding="utf-8").strip()
    person = add_person(cloud, "somebody", Role.AUDITOR)
    with Holding(cloud, LIST_USERS, bearer(token)) as holding:
        ended: Queue[Any] = Queue()
        for call in holding.begin(MAX_AT_ONCE + 1):
            call.add_done_callback(ended.put)
        assert refusal_of(ended.get(timeout=TIMEOUT_S)) == "RATE_LIMITED"
        with users_as(cloud, person) as users:
            users.ListUsers(pb.ListUsersRequest(), timeout=TIMEOUT_S)
        assert ended.empty()


def test_who_watches_health_leaves_places_to_others(cloud: RunningCloud) -> None:
    request = health_pb2.HealthCheckRequest()
    with ExitStack() as stack:
        watching = []
        for number in range(MAX_AT_ONCE):
            if number % MAX_STREAMS_PER_CONNECTION == 0:
                stub = health_pb2_grpc.HealthStub(stack.enter_context(cloud.public_channel()))
            watching.append(stub.Watch(request))
            assert next(watching[-1]).status == health_pb2.HealthCheckResponse.SERVING
        with cloud.public_channel() as channel:
            health = health_pb2_grpc.HealthStub(channel)
            assert refusal_of(health.Watch(request)) == "RATE_LIMITED"
            cloud.operator.call(cloud.operator.users.ListUsers, pb.ListUsersRequest())
            watching[0].cancel()
            while (reason := reason_of_check(health)) == "RATE_LIMITED":  # until the service has noticed
                pass
            assert reason == ""


def reason_of_check(health: health_pb2_grpc.HealthStub) -> str:
    """Why a look at health was refused; empty where it was not."""
    try:
        health.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
    except grpc.RpcError as error:
        return reason_of(error)
    return ""


def test_a_certificate_that_is_refused_again_and_again_is_shut_out_alone(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data", failed_calls_per_minute=3) as cloud:
        ended, other = (add_person(cloud, name, Role.AUDITOR) for name in ("ended", "other"))
        request = pb.DisableUserRequest(user_id=ended.user.user_id)
        cloud.operator.call(cloud.operator.users.DisableUser, request)
        reasons = []
        with users_as(cloud, ended) as users:
            for _ in range(5):
                with pytest.raises(grpc.RpcError) as caught:
                    users.ListUsers(pb.ListUsersRequest(), timeout=TIMEOUT_S)
                reasons.append(reason_of(caught.value))
        assert reasons == ["CLIENT_CERTIFICATE_REFUSED"] * 3 + ["RATE_LIMITED"] * 2
        with users_as(cloud, other) as users:
            users.ListUsers(pb.ListUsersRequest(), timeout=TIMEOUT_S)
        cloud.operator.call(cloud.operator.users.ListUsers, pb.ListUsersRequest())
        failures = [call for call in cloud.log.calls if call.kwargs["event"] == "authentication failed"]
        assert len(failures) == 3


def test_whose_roles_come_from_the_issuer_does_not_write_them_down_here(tmp_path: Path) -> None:
    """They would stay when the issuer takes them back."""
    with (
        open_issuer(tmp_path) as issuer,
        running_cloud(
            tmp_path / "data",
            oidc_issuer=issuer.url,
            oidc_audience=AUDIENCE,
            oidc_ca=issuer.ca,
            oidc_roles_claim="groups",
            oidc_roles={"admins": "organisation_admin"},
        ) as cloud,
        cloud.public_channel() as channel,
    ):
        users = UserServiceStub(channel)
        admin = bearer(issuer.token("the-admin", groups=["admins"]))

        def add(login: str, subject: str) -> None:
            user = pb.User(login=login, issuer=issuer.url, subject=subject, roles=[pb.ROLE_VIEWER])
            users.CreateUser(pb.CreateUserRequest(user=user), timeout=TIMEOUT_S, metadata=admin)

        add("somebody", "somebody-else")
        with pytest.raises(grpc.RpcError) as caught:
            add("myself", "the-admin")
        assert reason_of(caught.value) == "OWN_ROLES"
