"""Who may do what: the contract states one rule for each method, and one table gives roles permissions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, empty_pb2
from google.protobuf.descriptor import MethodDescriptor
from hypothesis import given
from hypothesis import strategies as st

from cloud.access.call import Caller, Kind
from cloud.access.callers import to_number, to_roles
from cloud.access.rates import address_of
from cloud.access.roles import PERMISSIONS, Permission, Role, parse_role, permissions_of
from cloud.access.rules import FOREIGN_RULES, Rule, Rules, rule_of
from cloud.errors import Reason, ServiceError
from cloud.interceptors.identity import check_may
from cloud.services import SERVICES
from cloud.settings import RoleName
from cloud.users.rules import check_not_above, check_not_self, check_one_stays
from verifield.v1 import access_pb2
from verifield.v1 import user_service_pb2 as pb

USER = Caller(Kind.USER, "somebody")


def methods() -> list[MethodDescriptor]:
    pool = descriptor_pool.Default()
    return [method for name in SERVICES for method in pool.FindServiceByName(name).methods]


def caller(*roles: Role, kind: Kind = Kind.USER, name: str = "somebody") -> Caller:
    return Caller(kind, name, frozenset(roles))


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
def test_the_contract_says_of_every_method_who_may_call_it(method: MethodDescriptor) -> None:
    assert rule_of(method) is not None, f"{method.full_name} is closed to everybody"


def test_every_service_of_the_contract_is_known_to_the_wiring() -> None:
    folder = Path(access_pb2.__file__).parent
    names = {
        f"verifield.v1.{found[1]}"
        for file in folder.glob("*.proto")
        for found in re.finditer(r"^service (\w+) \{", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert names == set(SERVICES)


def test_the_table_names_the_permissions_of_the_contract_and_no_others() -> None:
    rules = [*map(rule_of, methods()), *FOREIGN_RULES.values()]
    assert {rule.permission for rule in rules if rule and rule.permission} == set(Permission)


def test_every_role_may_do_something_and_every_permission_is_somebodys() -> None:
    assert set(PERMISSIONS) == set(Role)
    assert all(PERMISSIONS.values())
    assert permissions_of(Role) == set(Permission)
    assert PERMISSIONS[Role.SUPERUSER] == set(Permission)


def test_an_auditor_sees_who_did_what_and_no_pictures_and_changes_nothing() -> None:
    reading = {one for one in Permission if one.value.endswith(".read")}
    beyond = {Permission.MEDIA_READ, Permission.SERVICE_READ}
    assert PERMISSIONS[Role.AUDITOR] == reading - beyond | {Permission.AUDIT_SIGN}


def made_method(rule: access_pb2.AccessRule | None) -> MethodDescriptor:
    """A method of a contract that was never compiled, with this rule."""
    file = descriptor_pb2.FileDescriptorProto(name="made.proto", package="made", syntax="proto3")
    file.dependency.append(empty_pb2.DESCRIPTOR.name)
    method = file.service.add(name="Made").method.add(
        name="Do", input_type=".google.protobuf.Empty", output_type=".google.protobuf.Empty"
    )
    if rule is not None:
        method.options.Extensions[access_pb2.access].CopyFrom(rule)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(empty_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return pool.FindServiceByName("made.Made").methods_by_name["Do"]


@pytest.mark.parametrize(
    "rule",
    [
        None,
        access_pb2.AccessRule(),
        access_pb2.AccessRule(permission="devices.destroy"),
        access_pb2.AccessRule(permission=""),
        access_pb2.AccessRule(open=False),
        access_pb2.AccessRule(device=False),
    ],
)
def test_what_the_contract_does_not_open_is_closed(rule: access_pb2.AccessRule | None) -> None:
    assert rule_of(made_method(rule)) is None
    for one in (caller(Role.SUPERUSER), caller(kind=Kind.DEVICE)):
        with pytest.raises(ServiceError) as caught:
            check_may(one, None)
        assert caught.value.reason is Reason.METHOD_CLOSED


def test_a_rule_is_read_as_it_is_written() -> None:
    assert rule_of(made_method(access_pb2.AccessRule(open=True))) == Rule(open=True)
    assert rule_of(made_method(access_pb2.AccessRule(device=True))) == Rule(device=True)
    read = rule_of(made_method(access_pb2.AccessRule(permission="users.read")))
    assert read == Rule(permission=Permission.USERS_READ)


def test_methods_that_nobody_serves_have_no_rule() -> None:
    rules = Rules.of(SERVICES)
    assert rules.find("/verifield.v1.DeviceService/Destroy") is None
    assert rules.find("/verifield.v2.DeviceService/ListDevices") is None
    assert rules.find("") is None
    assert rules.is_for_devices("verifield.v1.SyncService")
    assert not rules.is_for_devices("verifield.v1.DeviceService")
    assert not rules.is_for_devices("verifield.v1.NoService")


def test_devices_do_not_operate_and_people_do_not_deliver() -> None:
    check_may(caller(kind=Kind.DEVICE), Rule(device=True))
    for one, rule in (
        (caller(kind=Kind.DEVICE), Rule(permission=Permission.LOG_READ)),
        (Caller(Kind.DEVICE, "device-1", frozenset(Role)), Rule(permission=Permission.LOG_READ)),
        (caller(Role.SUPERUSER), Rule(device=True)),
    ):
        with pytest.raises(ServiceError) as caught:
            check_may(one, rule)
        assert caught.value.reason is Reason.METHOD_CLOSED


def test_a_missing_permission_is_named() -> None:
    with pytest.raises(ServiceError) as caught:
        check_may(caller(Role.VIEWER, Role.CLERK), Rule(permission=Permission.DEVICES_REVOKE))
    assert caught.value.reason is Reason.PERMISSION_MISSING
    assert caught.value.metadata == {"permission": "devices.revoke"}


def test_the_roles_of_table_contract_and_settings_are_the_same() -> None:
    names = {name.removeprefix("ROLE_").lower() for name in pb.Role.DESCRIPTOR.values_by_name} - {
        "unspecified"
    }
    assert names == {role.value for role in Role} == set(get_args(RoleName))
    assert to_roles(map(to_number, Role)) == set(Role)


@pytest.mark.parametrize("name", ["window-staff", "WINDOW_STAFF", " window_staff "])
def test_people_write_roles_as_they_like(name: str) -> None:
    assert parse_role(name) is Role.WINDOW_STAFF
    with pytest.raises(ValueError, match="nobody"):
        parse_role("nobody")


# Who may change whom

ROLES = st.frozensets(st.sampled_from(sorted(Role)))


@given(own=ROLES, before=ROLES, after=ROLES)
def test_nobody_touches_or_makes_somebody_above_oneself(
    own: frozenset[Role], before: frozenset[Role], after: frozenset[Role]
) -> None:
    above = not permissions_of(before | after) <= permissions_of(own)
    above |= Role.SUPERUSER in before | after and Role.SUPERUSER not in own
    if not above:
        check_not_above(caller(*own), before, after)
        return
    with pytest.raises(ServiceError) as caught:
        check_not_above(caller(*own), before, after)
    assert caught.value.reason is Reason.ABOVE_OWN_ROLES
    lacking = permissions_of(before | after) - permissions_of(own)
    assert set(caught.value.metadata["permissions"].split()) == {one.value for one in lacking}


def test_nobody_changes_oneself() -> None:
    check_not_self(USER, "somebody-else")
    with pytest.raises(ServiceError) as caught:
        check_not_self(USER, USER.name)
    assert caught.value.reason is Reason.OWN_ROLES


def test_the_last_superuser_stays() -> None:
    check_one_stays(["a", "b"], "a")
    check_one_stays(["a"], "b")
    check_one_stays([], "b")
    with pytest.raises(ServiceError) as caught:
        check_one_stays(["a"], "a")
    assert caught.value.reason is Reason.LAST_SUPERUSER


# Addresses


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:203.0.113.7:51022", "203.0.113.7"),
        ("ipv6:[2001:db8:1:2:3:4:5:6]:443", "2001:db8:1:2::/64"),
        ("ipv6:%5B2001:db8:1:2:ffff::1%5D:443", "2001:db8:1:2::/64"),
        ("ipv6:[fe80::1%25eth0]:443", "fe80::/64"),
        ("ipv6:[::1]:443", "::/64"),
        ("unix:/run/verifield.sock", "unix:/run/verifield.sock"),
        ("ipv6:[zz::1]:443", "ipv6:[zz::1]:443"),
        ("", ""),
    ],
)
def test_a_machine_is_one_address_whatever_port_it_calls_from(peer: str, address: str) -> None:
    assert address_of(peer) == address
