"""Who is let in where: every role, device, token and nobody against every method of a live service."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cloud.access.roles import Role, permissions_of
from cloud.access.rules import rule_of
from tests.support.authority import new_key
from tests.support.cloud import CloudDevice, FakeClock, RunningCloud, refusal, running_cloud
from tests.support.issuer import AUDIENCE, Issuer, open_issuer
from tests.support.people import (
    Person,
    add_person,
    all_methods,
    bearer,
    channel_of,
    give_certificate,
    path_of,
    reason_of,
    try_empty,
    users_as,
)
from verifield.v1 import sync_service_pb2
from verifield.v1 import user_service_pb2 as pb
from verifield.v1.sync_service_pb2_grpc import SyncServiceStub
from verifield.v1.user_service_pb2_grpc import UserServiceStub

REFUSALS = {"PERMISSION_MISSING", "METHOD_CLOSED"}


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with open_issuer(tmp_path_factory.mktemp("issuer")) as opened:
        yield opened


@pytest.fixture(scope="module")
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="module")
def cloud(
    tmp_path_factory: pytest.TempPathFactory, issuer: Issuer, clock: FakeClock
) -> Iterator[RunningCloud]:
    with running_cloud(
        tmp_path_factory.mktemp("cloud") / "data",
        clock=clock,
        oidc_issuer=issuer.url,
        oidc_audience=AUDIENCE,
        oidc_ca=issuer.ca,
        oidc_roles_claim="groups",
        oidc_roles={"auditors": "auditor"},
        failed_calls_per_minute=10_000,
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def on_time(clock: FakeClock) -> Iterator[None]:
    yield
    clock.offset = timedelta()


@pytest.fixture(scope="module")
def device(cloud: RunningCloud) -> CloudDevice:
    return cloud.enroll()


@pytest.fixture(scope="module")
def people(cloud: RunningCloud) -> dict[Role, Person]:
    """One person for each role, who has that one alone."""
    return {role: add_person(cloud, f"one-{role.value.replace('_', '-')}", role) for role in Role}


def ids(method: MethodDescriptor) -> str:
    return path_of(method)


def for_devices_alone(method: MethodDescriptor) -> bool:
    """Whether its service is not served on the port without client certificates."""
    rules = map(rule_of, method.containing_service.methods)
    return all(rule is not None and rule.device for rule in rules)


# The truth table


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_what_the_table_says_and_nothing_else(
    cloud: RunningCloud, people: dict[Role, Person], role: Role
) -> None:
    with channel_of(cloud, people[role]) as channel:
        for method in all_methods():
            rule = rule_of(method)
            assert rule is not None
            code, reason = try_empty(channel, method)
            allowed = rule.open or (rule.permission in permissions_of([role]))
            assert (reason not in REFUSALS) == allowed, (path_of(method), code, reason)
            assert code is not grpc.StatusCode.UNAUTHENTICATED
            if not allowed:
                assert code is grpc.StatusCode.PERMISSION_DENIED


def test_a_person_without_roles_may_do_nothing(cloud: RunningCloud) -> None:
    nobody = add_person(cloud, "no-roles")
    with channel_of(cloud, nobody) as channel:
        for method in all_methods():
            rule = rule_of(method)
            assert rule is not None
            assert (try_empty(channel, method)[1] in REFUSALS) != rule.open, path_of(method)


def test_a_device_may_do_what_is_for_devices(cloud: RunningCloud) -> None:
    device = cloud.enroll()
    with cloud.device_channel(device.tls_chain, device.tls_key) as channel:
        for method in all_methods():
            rule = rule_of(method)
            assert rule is not None
            code, reason = try_empty(channel, method)
            assert (reason != "METHOD_CLOSED") == (rule.open or rule.device), (path_of(method), code, reason)


def test_nobody_is_let_in_without_proof_but_to_what_is_open(cloud: RunningCloud) -> None:
    with cloud.public_channel() as channel:
        for method in all_methods():
            rule = rule_of(method)
            assert rule is not None
            code, _ = try_empty(channel, method)
            if rule.open:
                assert code is not grpc.StatusCode.UNAUTHENTICATED
            elif for_devices_alone(method):
                assert code is grpc.StatusCode.UNIMPLEMENTED  # not on this port at all
            else:
                assert code is grpc.StatusCode.UNAUTHENTICATED, path_of(method)


def test_the_operators_token_may_do_everything_but_be_a_device(cloud: RunningCloud) -> None:
    token = Path(cloud.endpoint.operator_token_file).read_text().strip()
    with cloud.public_channel() as channel:
        for method in all_methods():
            rule = rule_of(method)
            assert rule is not None
            code, reason = try_empty(channel, method, bearer(token))
            assert (reason == "METHOD_CLOSED") == (
                rule.account or (rule.device and not for_devices_alone(method))
            ), path_of(method)
            assert reason != "PERMISSION_MISSING"
            assert code is not grpc.StatusCode.UNAUTHENTICATED
            assert (code is grpc.StatusCode.UNIMPLEMENTED) == for_devices_alone(method), path_of(method)


def test_a_method_that_is_not_there_is_not_there_for_anybody(
    cloud: RunningCloud, people: dict[Role, Person]
) -> None:
    with channel_of(cloud, people[Role.SUPERUSER]) as channel:
        for path in ("/verifield.v1.DeviceService/Destroy", "/verifield.v1.NoService/Do"):
            with pytest.raises(grpc.RpcError) as caught:
                channel.unary_unary(path)(b"", timeout=20)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_channelz_is_for_those_who_may_look_inside(cloud: RunningCloud, people: dict[Role, Person]) -> None:
    request = channelz_pb2.GetServersRequest()
    for role, allowed in ((Role.SUPERUSER, True), (Role.AUDITOR, False), (Role.CLERK, False)):
        with channel_of(cloud, people[role]) as channel:
            stub = channelz_pb2_grpc.ChannelzStub(channel)
            if allowed:
                assert len(stub.GetServers(request, timeout=20).server) >= 2
                continue
            with pytest.raises(grpc.RpcError) as caught:
                stub.GetServers(request, timeout=20)
            assert reason_of(caught.value) == "PERMISSION_MISSING"
    with cloud.public_channel() as channel, pytest.raises(grpc.RpcError) as caught:
        channelz_pb2_grpc.ChannelzStub(channel).GetServers(request, timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_health_is_for_everybody_on_both_ports(cloud: RunningCloud, people: dict[Role, Person]) -> None:
    request = health_pb2.HealthCheckRequest(service="verifield.v1.UserService")
    with cloud.public_channel() as public, channel_of(cloud, people[Role.WINDOW_STAFF]) as mutual:
        for channel in (public, mutual):
            status = health_pb2_grpc.HealthStub(channel).Check(request, timeout=20).status
            assert status == health_pb2.HealthCheckResponse.SERVING


# By certificate


def refused_as(cloud: RunningCloud, person: Person, *, metadata: tuple[tuple[str, str], ...] = ()) -> str:
    with users_as(cloud, person) as users, pytest.raises(grpc.RpcError) as caught:
        users.ListUsers(pb.ListUsersRequest(), timeout=20, metadata=metadata)
    return reason_of(caught.value)


def lists_users(cloud: RunningCloud, person: Person) -> bool:
    with users_as(cloud, person) as users:
        return bool(users.ListUsers(pb.ListUsersRequest(), timeout=20).users)


def test_a_certificate_counts_until_its_user_is_disabled_and_never_again(cloud: RunningCloud) -> None:
    person = add_person(cloud, "leaves-soon", Role.AUDITOR)
    assert lists_users(cloud, person)
    user_id = person.user.user_id
    cloud.operator.call(cloud.operator.users.DisableUser, pb.DisableUserRequest(user_id=user_id))
    assert refused_as(cloud, person) == "CLIENT_CERTIFICATE_REFUSED"
    cloud.operator.call(cloud.operator.users.EnableUser, pb.EnableUserRequest(user_id=user_id))
    assert refused_as(cloud, person) == "CLIENT_CERTIFICATE_REFUSED"
    give_certificate(cloud, person)
    assert lists_users(cloud, person)


def test_a_disabled_user_is_thrown_out_of_an_open_connection(cloud: RunningCloud) -> None:
    person = add_person(cloud, "already-here", Role.AUDITOR)
    with users_as(cloud, person) as users:
        users.ListUsers(pb.ListUsersRequest(), timeout=20)
        request = pb.DisableUserRequest(user_id=person.user.user_id)
        cloud.operator.call(cloud.operator.users.DisableUser, request)
        with pytest.raises(grpc.RpcError) as caught:
            users.ListUsers(pb.ListUsersRequest(), timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(("days", "within"), [(0, 90), (1, 1), (397, 397)])
def test_a_certificate_ends_when_it_says(
    cloud: RunningCloud, clock: FakeClock, days: int, within: int
) -> None:
    person = add_person(cloud, f"for-{days}-days", Role.AUDITOR, days=days)
    with users_as(cloud, person) as users:
        users.ListUsers(pb.ListUsersRequest(), timeout=20)
        clock.offset = timedelta(days=within, minutes=-5)
        found = users.GetUser(pb.GetUserRequest(user_id=person.user.user_id), timeout=20).user
        ends = found.certificate_expire_time.ToDatetime(UTC)
        assert abs(ends - datetime.now(UTC) - timedelta(days=within)) < timedelta(minutes=5)
        clock.offset = timedelta(days=within, minutes=5)  # the connection is older than its end
        with pytest.raises(grpc.RpcError) as caught:
            users.ListUsers(pb.ListUsersRequest(), timeout=20)
    assert reason_of(caught.value) == "CLIENT_CERTIFICATE_REFUSED"


def test_a_certificate_that_was_never_given_out_does_not_count(
    cloud: RunningCloud, people: dict[Role, Person]
) -> None:
    """Also where our own authority signed it: the table is what counts."""
    person = people[Role.AUDITOR]
    with cloud.database() as connection:
        connection.exec_driver_sql("DELETE FROM user_certificates WHERE user_id = ?", (person.user.user_id,))
    assert refused_as(cloud, person) == "CLIENT_CERTIFICATE_REFUSED"
    give_certificate(cloud, person)
    assert lists_users(cloud, person)


def test_people_and_devices_are_not_taken_for_each_other(
    cloud: RunningCloud, people: dict[Role, Person], device: CloudDevice
) -> None:
    with channel_of(cloud, people[Role.SUPERUSER]) as channel, pytest.raises(grpc.RpcError) as caught:
        SyncServiceStub(channel).GetHead(sync_service_pb2.GetHeadRequest(), timeout=20)
    assert reason_of(caught.value) == "METHOD_CLOSED"
    with cloud.device_channel(device.tls_chain, device.tls_key) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            UserServiceStub(channel).ListUsers(pb.ListUsersRequest(), timeout=20)
        assert reason_of(caught.value) == "METHOD_CLOSED"
        SyncServiceStub(channel).GetHead(sync_service_pb2.GetHeadRequest(), timeout=20)
    # A certificate that signs records opens no connection at all.
    with cloud.device_channel(device.chain, device.key) as channel, pytest.raises(grpc.RpcError) as caught:
        SyncServiceStub(channel).GetHead(sync_service_pb2.GetHeadRequest(), timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_certificate_and_a_token_together_are_refused(
    cloud: RunningCloud, people: dict[Role, Person]
) -> None:
    token = Path(cloud.endpoint.operator_token_file).read_text().strip()
    assert refused_as(cloud, people[Role.CLERK], metadata=bearer(token)) == "IDENTITY_AMBIGUOUS"
    assert refused_as(cloud, people[Role.AUDITOR], metadata=bearer("x")) == "IDENTITY_AMBIGUOUS"


# By sign-in token


def sign_in(cloud: RunningCloud, token: str) -> str:
    """Call with a token; return the reason of the refusal, or nothing."""
    with cloud.public_channel() as channel:
        try:
            UserServiceStub(channel).ListUsers(pb.ListUsersRequest(), timeout=20, metadata=bearer(token))
        except grpc.RpcError as error:
            return reason_of(error)
    return ""


def test_a_person_signs_in_by_token(cloud: RunningCloud, issuer: Issuer) -> None:
    assert sign_in(cloud, issuer.token("zhang.san")) == "USER_UNKNOWN"
    person = add_person(
        cloud, "zhang", Role.AUDITOR, certificate=False, issuer=issuer.url, subject="zhang.san"
    )
    assert sign_in(cloud, issuer.token("zhang.san")) == ""
    assert sign_in(cloud, issuer.token("zhang.san2")) == "USER_UNKNOWN"
    assert sign_in(cloud, issuer.token("zhang.san", aud="other")) == "SIGN_IN_TOKEN_REFUSED"
    assert sign_in(cloud, issuer.token("zhang.san", iat=1, exp=2)) == "SIGN_IN_TOKEN_REFUSED"
    roles = pb.SetUserRolesRequest(user_id=person.user.user_id, roles=[pb.ROLE_WINDOW_STAFF])
    cloud.operator.call(cloud.operator.users.SetUserRoles, roles)
    assert sign_in(cloud, issuer.token("zhang.san")) == "PERMISSION_MISSING"
    disable = pb.DisableUserRequest(user_id=person.user.user_id)
    cloud.operator.call(cloud.operator.users.DisableUser, disable)
    assert sign_in(cloud, issuer.token("zhang.san")) == "USER_DISABLED"


def test_a_group_of_the_issuer_brings_a_role_but_not_to_who_is_disabled(
    cloud: RunningCloud, issuer: Issuer
) -> None:
    assert sign_in(cloud, issuer.token("group.member", groups=["auditors"])) == ""
    assert sign_in(cloud, issuer.token("group.member", groups=["superusers"])) == "USER_UNKNOWN"
    person = add_person(cloud, "member", certificate=False, issuer=issuer.url, subject="group.member")
    assert sign_in(cloud, issuer.token("group.member", groups=["auditors"])) == ""
    assert sign_in(cloud, issuer.token("group.member")) == "PERMISSION_MISSING"
    disable = pb.DisableUserRequest(user_id=person.user.user_id)
    cloud.operator.call(cloud.operator.users.DisableUser, disable)
    assert sign_in(cloud, issuer.token("group.member", groups=["auditors"])) == "USER_DISABLED"


def test_people_sign_in_while_the_issuer_is_away(
    cloud: RunningCloud, issuer: Issuer, clock: FakeClock
) -> None:
    """For as long as its keys are here and count."""
    assert sign_in(cloud, issuer.token("abroad", groups=["auditors"])) == ""
    issuer.answers["/keys"] = lambda: (503, b"")
    issuer.answers["/.well-known/openid-configuration"] = lambda: (503, b"")

    def token_at(offset: timedelta) -> str:
        clock.offset = offset
        now = int(clock.now().timestamp())
        return issuer.token("abroad", groups=["auditors"], iat=now, exp=now + 600)

    try:
        for hours in (1, 12, 23):
            assert sign_in(cloud, token_at(timedelta(hours=hours))) == ""
        token = token_at(timedelta(hours=25))
        assert sign_in(cloud, token) == "SIGN_IN_UNAVAILABLE"
    finally:
        issuer.answers.clear()
    clock.offset += timedelta(minutes=1)
    assert sign_in(cloud, token) == ""


def test_the_log_names_a_stranger_by_nothing_personal(cloud: RunningCloud, issuer: Issuer) -> None:
    token = issuer.token("someone.private@example.org", groups=["auditors"])
    assert sign_in(cloud, token) == ""
    line = cloud.log.calls[-1].kwargs
    assert line["caller"].startswith("sign-in-")
    text = repr([call.kwargs for call in cloud.log.calls])
    assert "someone.private" not in text
    assert token not in text


def test_the_database_has_no_names_and_no_subjects(cloud: RunningCloud, issuer: Issuer) -> None:
    add_person(
        cloud,
        "sealed",
        certificate=False,
        issuer=issuer.url,
        subject="very.personal.subject",
        display_name="Zhang Personal Wei",
    )
    content = b"".join(file.read_bytes() for file in cloud.data.glob("verifield.db*"))
    assert b"sealed" in content  # the login is there, and told to be no personal data
    assert b"very.personal.subject" not in content
    assert b"Zhang Personal Wei" not in content


# What comes with every answer


def test_every_answer_has_a_request_id(cloud: RunningCloud) -> None:
    request = health_pb2.HealthCheckRequest()
    with cloud.public_channel() as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        for given, kept in (
            ("my-request.0001", True),
            ("a" * 64, True),
            ("a" * 65, False),
            ("short", False),
            ("with space in it", False),
            ("-begins-with-a-dash", False),
        ):
            _, call = check.with_call(request, timeout=20, metadata=(("x-request-id", given),))
            [told] = [value for key, value in call.trailing_metadata() if key == "x-request-id"]
            assert (told == given) == kept
            assert kept or uuid.UUID(told)
        twice = (("x-request-id", "my-request.0001"), ("x-request-id", "my-request.0002"))
        _, call = check.with_call(request, timeout=20, metadata=twice)
        [told] = [value for key, value in call.trailing_metadata() if key == "x-request-id"]
        assert uuid.UUID(told)


def test_a_refusal_and_the_log_have_the_same_request_id(cloud: RunningCloud) -> None:
    with cloud.public_channel() as channel, pytest.raises(grpc.RpcError) as caught:
        UserServiceStub(channel).ListUsers(
            pb.ListUsersRequest(), timeout=20, metadata=(("x-request-id", "incident-0042"),)
        )
    assert "incident-0042" in repr(caught.value.trailing_metadata())
    lines = [call for call in cloud.log.calls if call.kwargs.get("request_id") == "incident-0042"]
    assert {(call.method_name, call.kwargs["event"]) for call in lines} == {
        ("warning", "authentication failed"),
        ("info", "call"),
    }


def test_a_failed_authentication_is_logged_without_its_secret(cloud: RunningCloud, issuer: Issuer) -> None:
    stranger = issuer.token("who", aud="another")
    assert sign_in(cloud, stranger) == "SIGN_IN_TOKEN_REFUSED"
    failures = [call.kwargs for call in cloud.log.calls if call.method_name == "warning"]
    line = failures[-1]
    assert (line["reason"], line["check"]) == ("SIGN_IN_TOKEN_REFUSED", "AUDIENCE")
    assert stranger not in repr(line)
    assert "who" not in line.values()


# Limits


def test_a_call_has_so_much_metadata_and_no_more(cloud: RunningCloud) -> None:
    request = health_pb2.HealthCheckRequest()
    with cloud.public_channel() as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        check(request, timeout=20, metadata=(("x-much", "a" * 15_000),))
        with pytest.raises(grpc.RpcError) as caught:
            check(request, timeout=20, metadata=(("x-much", "a" * 16_500),))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_so_many_calls_of_a_caller_a_minute_and_others_go_on(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data", read_calls_per_minute=3, open_calls_per_minute=5) as cloud:
        first, second = (add_person(cloud, f"person-{one}", Role.AUDITOR) for one in "ab")
        with users_as(cloud, first) as users:
            for _ in range(3):
                users.ListUsers(pb.ListUsersRequest(), timeout=20)
            with pytest.raises(grpc.RpcError) as caught:
                users.ListUsers(pb.ListUsersRequest(), timeout=20)
        code, info, _ = refusal(caught.value)
        assert (code, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        assert dict(info.metadata) == {"class": "read", "limit": "3", "window_s": "60"}
        assert b"google.rpc.RetryInfo" in dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
        assert lists_users(cloud, second)
        with cloud.public_channel() as channel:
            check = health_pb2_grpc.HealthStub(channel).Check
            codes = []
            for _ in range(6):
                try:
                    check(health_pb2.HealthCheckRequest(), timeout=20)
                except grpc.RpcError as error:
                    codes.append(error.code())
        assert codes == [grpc.StatusCode.RESOURCE_EXHAUSTED]


def test_asking_in_vain_has_a_limit_too(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data", read_calls_per_minute=2) as cloud:
        clerk = add_person(cloud, "curious", Role.CLERK)
        assert [refused_as(cloud, clerk) for _ in range(3)] == ["PERMISSION_MISSING"] * 2 + ["RATE_LIMITED"]


def test_strangers_of_the_issuer_are_shut_out_like_others(tmp_path: Path, issuer: Issuer) -> None:
    settings = {"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE, "oidc_ca": issuer.ca}
    with running_cloud(tmp_path / "data", failed_calls_per_minute=2, **settings) as cloud:
        found = [sign_in(cloud, issuer.token("stranger")) for _ in range(3)]
    assert found == ["USER_UNKNOWN"] * 2 + ["RATE_LIMITED"]


def test_who_guesses_tokens_is_shut_out_and_who_has_a_certificate_is_not(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data", failed_calls_per_minute=3) as cloud:
        person = add_person(cloud, "somebody", Role.AUDITOR)
        good = Path(cloud.endpoint.operator_token_file).read_text().strip()
        assert [sign_in(cloud, "wrong") for _ in range(4)] == ["OPERATOR_TOKEN_REFUSED"] * 3 + [
            "RATE_LIMITED"
        ]
        assert sign_in(cloud, good) == "RATE_LIMITED"  # what comes is not even looked at
        assert lists_users(cloud, person)
        with cloud.public_channel() as channel:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)


def test_a_stranger_with_a_certificate_of_another_authority_is_not_connected(
    cloud: RunningCloud, tmp_path: Path
) -> None:
    with running_cloud(tmp_path / "data") as other:
        stranger = add_person(other, "stranger", Role.SUPERUSER)
    with channel_of(cloud, stranger) as channel, pytest.raises(grpc.RpcError) as caught:
        UserServiceStub(channel).ListUsers(pb.ListUsersRequest(), timeout=20)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    mine = Person(stranger.user, new_key(), add_person(cloud, "victim", Role.SUPERUSER).chain)
    with pytest.raises((grpc.RpcError, ValueError)), users_as(cloud, mine) as users:
        users.ListUsers(pb.ListUsersRequest(), timeout=5)
