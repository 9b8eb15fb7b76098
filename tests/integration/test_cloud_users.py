"""The people who operate the service: added, changed, ended; by rules that nobody gets round."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from google.protobuf.field_mask_pb2 import FieldMask

from cloud.access.roles import Role
from cloud.errors import ClientError
from cloud.store.sealed import forget_person
from cloud.users.personal import SEALED
from tests.support.authority import new_key
from tests.support.cloud import RunningCloud, csr, refusal, running_cloud
from tests.support.people import Person, add_person, reason_of, users_as
from verifield.certificates import OPERATOR_CLIENT, common_name
from verifield.v1 import user_service_pb2 as pb

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def admin(cloud: RunningCloud) -> Person:
    return add_person(cloud, "the-admin", Role.ORGANISATION_ADMIN)


@pytest.fixture(scope="module")
def root(cloud: RunningCloud) -> Person:
    return add_person(cloud, "the-root", Role.SUPERUSER)


def operator(cloud: RunningCloud, method: str, request: Any) -> Any:
    return cloud.operator.call(getattr(cloud.operator.users, method), request)


def refused(cloud: RunningCloud, method: str, request: Any) -> str:
    with pytest.raises(ClientError) as caught:
        operator(cloud, method, request)
    return caught.value.code


def refused_to(cloud: RunningCloud, person: Person, method: str, request: Any) -> str:
    with users_as(cloud, person) as users, pytest.raises(grpc.RpcError) as caught:
        getattr(users, method)(request, timeout=20)
    return reason_of(caught.value)


def get(cloud: RunningCloud, person: Person) -> pb.User:
    request = pb.GetUserRequest(user_id=person.user.user_id)
    found: pb.User = operator(cloud, "GetUser", request).user
    return found


def test_a_user_is_what_was_written(cloud: RunningCloud) -> None:
    person = add_person(
        cloud,
        "wang-fang",
        Role.CLERK,
        Role.REVIEWER,
        certificate=False,
        display_name="王芳",
        issuer="https://id.example/realm",
        subject="u-123",
    )
    user = person.user
    assert (user.login, user.display_name, user.issuer, user.subject) == (
        "wang-fang",
        "王芳",
        "https://id.example/realm",
        "u-123",
    )
    assert list(user.roles) == [pb.ROLE_CLERK, pb.ROLE_REVIEWER]
    assert user.state == pb.USER_STATE_ACTIVE
    assert not user.HasField("certificate_expire_time")
    assert get(cloud, person) == user
    assert operator(cloud, "GetUser", pb.GetUserRequest(login="wang-fang")).user == user


def test_logins_and_subjects_are_nobody_elses(cloud: RunningCloud) -> None:
    add_person(cloud, "only-one", certificate=False, issuer="https://id.example", subject="only")
    again = pb.CreateUserRequest(user=pb.User(login="only-one"))
    assert refused(cloud, "CreateUser", again) == "LOGIN_TAKEN"
    same = pb.User(login="another-one", issuer="https://id.example", subject="only")
    assert refused(cloud, "CreateUser", pb.CreateUserRequest(user=same)) == "SUBJECT_TAKEN"
    same.issuer = "https://id.example/other"
    other = operator(cloud, "CreateUser", pb.CreateUserRequest(user=same)).user
    change = pb.UpdateUserRequest(
        user=pb.User(user_id=other.user_id, issuer="https://id.example", subject="only"),
        update_mask=FieldMask(paths=["issuer", "subject"]),
    )
    assert refused(cloud, "UpdateUser", change) == "SUBJECT_TAKEN"


@pytest.mark.parametrize(
    ("login", "good"),
    [
        ("ab", True),
        ("a" * 32, True),
        ("a", False),
        ("b" * 33, False),
        ("Ab", False),
        ("1a", False),
        ("a b", False),
    ],
)
def test_a_login_is_short_and_plain(cloud: RunningCloud, login: str, good: bool) -> None:
    request = pb.CreateUserRequest(user=pb.User(login=login))
    if good:
        assert operator(cloud, "CreateUser", request).user.login == login
    else:
        assert refused(cloud, "CreateUser", request) == "REQUEST_INVALID"


def test_the_list_goes_on_page_by_page_and_can_be_narrowed(cloud: RunningCloud) -> None:
    made = [f"listed-{number}" for number in range(5)]
    for login in made:
        add_person(cloud, login, Role.SEAL_REVIEWER, certificate=False)
    request = pb.ListUsersRequest(page_size=2, role=pb.ROLE_SEAL_REVIEWER)
    pages = list(cloud.operator.pages(cloud.operator.users.ListUsers, request))
    assert [user.login for page in pages for user in page.users] == made
    assert [len(page.users) for page in pages] == [2, 2, 1]
    wrong = pb.ListUsersRequest(page_token=pages[0].next_page_token, role=pb.ROLE_CLERK)
    assert refused(cloud, "ListUsers", wrong) == "PAGE_TOKEN_INVALID"
    first = pages[0].users[0].user_id
    operator(cloud, "DisableUser", pb.DisableUserRequest(user_id=first))
    out = pb.ListUsersRequest(role=pb.ROLE_SEAL_REVIEWER, state=pb.USER_STATE_DISABLED)
    assert [user.user_id for user in operator(cloud, "ListUsers", out).users] == [first]


def test_only_what_the_mask_names_is_changed(cloud: RunningCloud) -> None:
    person = add_person(
        cloud, "masked", certificate=False, display_name="Old", issuer="https://i.example", subject="s"
    )
    user_id = person.user.user_id
    update = pb.UpdateUserRequest(
        user=pb.User(user_id=user_id, display_name="New", issuer="https://j.example", subject="t"),
        update_mask=FieldMask(paths=["display_name"]),
    )
    changed = operator(cloud, "UpdateUser", update).user
    assert (changed.display_name, changed.issuer, changed.subject) == ("New", "https://i.example", "s")
    update.ClearField("update_mask")  # all that have a value
    changed = operator(cloud, "UpdateUser", update).user
    assert (changed.issuer, changed.subject) == ("https://j.example", "t")
    gone = pb.UpdateUserRequest(
        user=pb.User(user_id=user_id), update_mask=FieldMask(paths=["issuer", "subject", "display_name"])
    )
    changed = operator(cloud, "UpdateUser", gone).user
    assert (changed.display_name, changed.issuer, changed.subject) == ("", "", "")


@pytest.mark.parametrize("paths", [[], ["login"], ["roles"], ["state"], ["display_name", "nonsense"]])
def test_other_fields_are_not_changed_this_way(cloud: RunningCloud, root: Person, paths: list[str]) -> None:
    user = pb.User(user_id=root.user.user_id)
    request = pb.UpdateUserRequest(user=user, update_mask=FieldMask(paths=paths))
    assert refused(cloud, "UpdateUser", request) == "UPDATE_MASK_INVALID"


def test_issuer_and_subject_are_changed_together(cloud: RunningCloud) -> None:
    person = add_person(cloud, "both-or-none", certificate=False)
    request = pb.UpdateUserRequest(
        user=pb.User(user_id=person.user.user_id, issuer="https://i.example", subject="both"),
        update_mask=FieldMask(paths=["issuer"]),
    )
    assert refused(cloud, "UpdateUser", request) == "UPDATE_MASK_INVALID"


def test_who_was_slower_is_told_so(cloud: RunningCloud) -> None:
    person = add_person(cloud, "contested", certificate=False)
    user_id, old = person.user.user_id, person.user.etag
    named = pb.UpdateUserRequest(user=pb.User(user_id=user_id, etag=old, display_name="One"))
    new = operator(cloud, "UpdateUser", named).user.etag
    assert new != old
    for method, request in (
        ("UpdateUser", named),
        ("SetUserRoles", pb.SetUserRolesRequest(user_id=user_id, roles=[pb.ROLE_CLERK], etag=old)),
        ("DisableUser", pb.DisableUserRequest(user_id=user_id, etag=old)),
        ("EnableUser", pb.EnableUserRequest(user_id=user_id, etag=old)),
    ):
        assert refused(cloud, method, request) == "ETAG_MISMATCH"
    assert get(cloud, person).etag == new
    operator(cloud, "SetUserRoles", pb.SetUserRolesRequest(user_id=user_id, etag=new))


def test_a_repeated_request_is_done_once(cloud: RunningCloud) -> None:
    request = pb.CreateUserRequest(request_id=str(uuid.uuid4()), user=pb.User(login="made-once"))
    first = operator(cloud, "CreateUser", request)
    assert operator(cloud, "CreateUser", request) == first
    person = Person(first.user)
    issue = pb.IssueUserCertificateRequest(
        request_id=str(uuid.uuid4()), user_id=first.user.user_id, csr=csr(person.key)
    )
    certificate = operator(cloud, "IssueUserCertificate", issue).certificates
    assert operator(cloud, "IssueUserCertificate", issue).certificates == certificate
    issue.lifetime_days = 7
    assert refused(cloud, "IssueUserCertificate", issue) == "REQUEST_ID_REUSED"


def test_users_that_are_not_there(cloud: RunningCloud) -> None:
    nobody = str(uuid.uuid4())
    for method, request in (
        ("GetUser", pb.GetUserRequest(user_id=nobody)),
        ("GetUser", pb.GetUserRequest(login="nobody-here")),
        ("UpdateUser", pb.UpdateUserRequest(user=pb.User(user_id=nobody, display_name="A"))),
        ("SetUserRoles", pb.SetUserRolesRequest(user_id=nobody)),
        ("DisableUser", pb.DisableUserRequest(user_id=nobody)),
        ("EnableUser", pb.EnableUserRequest(user_id=nobody)),
        ("IssueUserCertificate", pb.IssueUserCertificateRequest(user_id=nobody, csr=csr(new_key()))),
    ):
        assert refused(cloud, method, request) == "USER_NOT_FOUND", method


# Rules


def test_nobody_changes_oneself(cloud: RunningCloud, admin: Person, root: Person) -> None:
    for person in (admin, root):
        user_id = person.user.user_id
        for method, request in (
            ("SetUserRoles", pb.SetUserRolesRequest(user_id=user_id, roles=[pb.ROLE_CLERK])),
            ("DisableUser", pb.DisableUserRequest(user_id=user_id)),
            ("EnableUser", pb.EnableUserRequest(user_id=user_id)),
            ("IssueUserCertificate", pb.IssueUserCertificateRequest(user_id=user_id, csr=csr(person.key))),
            (
                "UpdateUser",
                pb.UpdateUserRequest(user=pb.User(user_id=user_id, issuer="https://i.example", subject="me")),
            ),
        ):
            assert refused_to(cloud, person, method, request) == "OWN_ROLES", method
        with users_as(cloud, person) as users:
            name = pb.UpdateUserRequest(user=pb.User(user_id=user_id, display_name="My Name"))
            assert users.UpdateUser(name, timeout=20).user.display_name == "My Name"


def test_nobody_reaches_above_oneself(cloud: RunningCloud, admin: Person, root: Person) -> None:
    above = root.user.user_id
    for method, request in (
        ("CreateUser", pb.CreateUserRequest(user=pb.User(login="grab", roles=[pb.ROLE_SUPERUSER]))),
        ("CreateUser", pb.CreateUserRequest(user=pb.User(login="grab", roles=[pb.ROLE_AUDITOR]))),
        ("SetUserRoles", pb.SetUserRolesRequest(user_id=above)),
        ("DisableUser", pb.DisableUserRequest(user_id=above)),
        ("UpdateUser", pb.UpdateUserRequest(user=pb.User(user_id=above, display_name="x"))),
        # A certificate of somebody above would be as good as that person's roles.
        ("IssueUserCertificate", pb.IssueUserCertificateRequest(user_id=above, csr=csr(admin.key))),
    ):
        assert refused_to(cloud, admin, method, request) == "ABOVE_OWN_ROLES", method
    with users_as(cloud, admin) as users:
        below = users.CreateUser(
            pb.CreateUserRequest(user=pb.User(login="below", roles=[pb.ROLE_CLERK])), timeout=20
        ).user
        raising = pb.SetUserRolesRequest(user_id=below.user_id, roles=[pb.ROLE_SUPERUSER])
        with pytest.raises(grpc.RpcError) as caught:
            users.SetUserRoles(raising, timeout=20)
        _, info, _ = refusal(caught.value)
        assert info.reason == "ABOVE_OWN_ROLES"
        assert "policies.publish" in info.metadata["permissions"].split()
        equal = pb.SetUserRolesRequest(user_id=below.user_id, roles=[pb.ROLE_ORGANISATION_ADMIN])
        assert list(users.SetUserRoles(equal, timeout=20).user.roles) == [pb.ROLE_ORGANISATION_ADMIN]


def test_the_last_superuser_stays(tmp_path: Path, database_url: str) -> None:
    with running_cloud(tmp_path / "data", database=database_url) as cloud:
        first = add_person(cloud, "first", Role.SUPERUSER)
        user_id = first.user.user_id
        assert refused(cloud, "DisableUser", pb.DisableUserRequest(user_id=user_id)) == "LAST_SUPERUSER"
        demote = pb.SetUserRolesRequest(user_id=user_id, roles=[pb.ROLE_AUDITOR])
        assert refused(cloud, "SetUserRoles", demote) == "LAST_SUPERUSER"
        keep = pb.SetUserRolesRequest(user_id=user_id, roles=[pb.ROLE_SUPERUSER, pb.ROLE_AUDITOR])
        operator(cloud, "SetUserRoles", keep)
        second = add_person(cloud, "second", Role.SUPERUSER)
        operator(cloud, "DisableUser", pb.DisableUserRequest(user_id=user_id))
        # One who is disabled is not one who stays.
        last = pb.DisableUserRequest(user_id=second.user.user_id)
        assert refused(cloud, "DisableUser", last) == "LAST_SUPERUSER"
        operator(cloud, "EnableUser", pb.EnableUserRequest(user_id=user_id))
        operator(cloud, "DisableUser", last)


def test_two_who_end_each_other_at_once_leave_one(tmp_path: Path, database_url: str) -> None:
    with running_cloud(tmp_path / "data", database=database_url) as cloud:
        both = [add_person(cloud, f"root-{one}", Role.SUPERUSER) for one in "ab"]
        for _ in range(5):
            outcomes: list[str] = []

            def end(mine: Person, other: Person, outcomes: list[str] = outcomes) -> None:
                with users_as(cloud, mine) as users:
                    try:
                        roles = pb.SetUserRolesRequest(user_id=other.user.user_id)
                        users.SetUserRoles(roles, timeout=20)
                        outcomes.append("done")
                    except grpc.RpcError as error:
                        outcomes.append(reason_of(error))

            threads = [threading.Thread(target=end, args=pair) for pair in (both, both[::-1])]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            left = operator(cloud, "ListUsers", pb.ListUsersRequest(role=pb.ROLE_SUPERUSER)).users
            assert len(left) == 1, outcomes
            for person in both:
                again = pb.SetUserRolesRequest(user_id=person.user.user_id, roles=[pb.ROLE_SUPERUSER])
                operator(cloud, "SetUserRoles", again)


def test_disabling_and_enabling_twice_changes_nothing_more(cloud: RunningCloud) -> None:
    person = add_person(cloud, "on-and-off")
    request = pb.DisableUserRequest(user_id=person.user.user_id)
    first = operator(cloud, "DisableUser", request).user
    assert first.state == pb.USER_STATE_DISABLED
    assert not first.HasField("certificate_expire_time")
    assert operator(cloud, "DisableUser", request).user == first
    issue = pb.IssueUserCertificateRequest(user_id=person.user.user_id, csr=csr(person.key))
    assert refused(cloud, "IssueUserCertificate", issue) == "USER_NOT_ACTIVE"
    back = pb.EnableUserRequest(user_id=person.user.user_id)
    second = operator(cloud, "EnableUser", back).user
    assert second.state == pb.USER_STATE_ACTIVE
    assert operator(cloud, "EnableUser", back).user == second


def test_of_who_was_erased_nothing_is_kept_again(cloud: RunningCloud) -> None:
    person = add_person(cloud, "erased", display_name="A Name", issuer="https://i.example", subject="gone")
    user_id = person.user.user_id
    with cloud.database() as connection:
        forget_person(connection, [SEALED], user_id, now_us=1)
    found = get(cloud, person)
    assert (found.login, found.display_name, found.subject) == ("erased", "", "")
    name = pb.UpdateUserRequest(user=pb.User(user_id=user_id, display_name="A Name"))
    assert refused(cloud, "UpdateUser", name) == "PERSON_ERASED"
    operator(cloud, "DisableUser", pb.DisableUserRequest(user_id=user_id))


# Certificates


def test_a_persons_certificate_is_for_that_alone(cloud: RunningCloud, admin: Person) -> None:
    leaf = x509.load_der_x509_certificate(admin.chain[0])
    usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {x509.ExtendedKeyUsageOID.CLIENT_AUTH, OPERATOR_CLIENT}
    assert common_name(leaf) == admin.user.user_id
    assert b"the-admin" not in admin.chain[0]


@pytest.mark.parametrize("request_csr", [b"", b"nonsense", b"a" * 4097])
def test_what_is_no_request_gets_no_certificate(
    cloud: RunningCloud, admin: Person, request_csr: bytes
) -> None:
    request = pb.IssueUserCertificateRequest(user_id=admin.user.user_id, csr=request_csr)
    assert refused(cloud, "IssueUserCertificate", request) in ("REQUEST_INVALID", "CSR_INVALID")


def test_a_certificate_does_not_live_longer_than_a_year_and_a_month(
    cloud: RunningCloud, admin: Person
) -> None:
    request = pb.IssueUserCertificateRequest(
        user_id=admin.user.user_id, csr=csr(admin.key), lifetime_days=398
    )
    assert refused(cloud, "IssueUserCertificate", request) == "REQUEST_INVALID"


# Commands


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "verifield-cloud"), *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


def test_the_commands_from_a_new_user_to_a_call_by_certificate(cloud: RunningCloud, tmp_path: Path) -> None:
    where = ("--data", str(cloud.data))

    def call(*words: str) -> dict[str, Any]:
        done = run("users", *words, *where, "--json")
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    made = call("add", "liu-yang", "--role", "auditor", "--role", "window-staff", "--name", "刘洋")
    assert (made["login"], made["display_name"], made["state"]) == ("liu-yang", "刘洋", "ACTIVE")
    assert made["roles"] == ["window-staff", "auditor"]
    key, request, chain = (tmp_path / name for name in ("liu.key", "liu.csr", "liu.pem"))
    done = run("users", "request", "--key", str(key), "--csr", str(request))
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert run("users", "request", "--key", str(key), "--csr", str(request)).returncode == 3  # never over one
    issued = call("certificate", "liu-yang", "--csr", str(request), "--out", str(chain), "--days", "30")
    assert issued["login"] == "liu-yang"
    by_certificate = ("--certificate", str(chain), "--certificate-key", str(key))
    listed = run("users", "list", *where, *by_certificate)
    assert listed.returncode == 0, listed.stderr
    [line] = [line for line in listed.stdout.splitlines() if line.startswith("liu-yang ")]
    assert "window-staff auditor" in line
    assert "刘洋" in line
    refusing = run("users", "add", "more", *where, *by_certificate)
    assert refusing.returncode == 6
    assert refusing.stderr.startswith("PERMISSION_MISSING: ")
    assert call("roles", "liu-yang", "--role", "viewer")["roles"] == ["viewer"]
    assert call("roles", "liu-yang", "--none")["roles"] == []
    assert run("users", "roles", "liu-yang", *where).returncode == 2
    assert run("users", "add", "x1", "--role", "king", *where).returncode == 2
    assert call("update", "liu-yang", "--name", "")["display_name"] == ""
    assert call("disable", "liu-yang")["state"] == "DISABLED"
    ended = run("users", "list", *where, *by_certificate)
    assert ended.returncode == 6
    assert ended.stderr.startswith("CLIENT_CERTIFICATE_REFUSED: ")
    assert [user["login"] for user in call("list", "--disabled")["users"]].count("liu-yang") == 1
    assert call("enable", made["user_id"])["state"] == "ACTIVE"
    assert call("show", "liu-yang")["user_id"] == made["user_id"]


def test_a_certificate_without_its_key_is_wrong_set_up(cloud: RunningCloud, tmp_path: Path) -> None:
    (tmp_path / "some.pem").write_text("nothing")
    where = ("--data", str(cloud.data))
    some = str(tmp_path / "some.pem")
    for words in (
        ("--certificate", some),
        ("--certificate", some, "--certificate-key", some),
        ("--certificate", str(tmp_path / "away.pem"), "--certificate-key", some),
    ):
        done = run("users", "list", *where, *words)
        assert done.returncode == 3, done.stderr
        assert done.stderr.startswith("TARGET_UNKNOWN: ")
    odd = run("users", "certificate", "anybody", "--csr", some, "--out", str(tmp_path / "out"), *where)
    assert (odd.returncode, odd.stderr.split(":")[0]) == (3, "CSR_UNREADABLE")
