"""UserService: the people who operate the service."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

import grpc
from cryptography import x509
from sqlalchemy import Connection

from cloud.access.call import caller_of_call
from cloud.authority import Authority
from cloud.devices.certificates import parse_csr
from cloud.errors import Reason, ServiceError
from cloud.mutations import Mutations
from cloud.sources import Sources
from cloud.store import users as rows
from cloud.store.database import Store
from cloud.users.desk import DEFAULT_LIFETIME, Desk, describe
from cloud.users.lists import page_of_users
from cloud.users.personal import PersonalVault
from verifield.v1 import user_service_pb2 as pb
from verifield.v1.user_service_pb2_grpc import UserServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


class UserService(UserServiceServicer):
    """Changes go through ``mutations``: once each, and told in the audit chain."""

    def __init__(
        self,
        store: Store,
        authority: Authority,
        sources: Sources,
        *,
        vault: PersonalVault,
        mutations: Mutations,
    ) -> None:
        self._store = store
        self._vault = vault
        self._mutations = mutations
        self._desk = Desk(authority, vault, sources)

    async def CreateUser(self, request: pb.CreateUserRequest, context: Context) -> pb.CreateUserResponse:
        caller = caller_of_call()

        def work(connection: Connection) -> pb.CreateUserResponse:
            user_id = self._desk.add(connection, request.user, caller=caller)
            return pb.CreateUserResponse(user=self._user(connection, user_id))

        return await self._mutations.run(
            request,
            action="users.create",
            subject=lambda answer: _name(answer.user.user_id),
            work=work,
            facts={"roles": _names(request.user.roles)},
        )

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        def read(connection: Connection) -> pb.User:
            if request.WhichOneof("key") == "login":
                row = rows.get_by_login(connection, request.login)
            else:
                row = rows.get_user(connection, request.user_id)
            return describe(connection, self._vault, [_found(row)])[0]

        return pb.GetUserResponse(user=await self._store.look(read))

    async def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:
        def read(connection: Connection) -> pb.ListUsersResponse:
            found, token = page_of_users(connection, request)
            return pb.ListUsersResponse(users=describe(connection, self._vault, found), next_page_token=token)

        return await self._store.look(read)

    async def UpdateUser(self, request: pb.UpdateUserRequest, context: Context) -> pb.UpdateUserResponse:
        caller = caller_of_call()
        mask = request.update_mask if request.HasField("update_mask") else None

        def work(connection: Connection) -> pb.UpdateUserResponse:
            self._desk.update(connection, request.user, mask, caller=caller)
            return pb.UpdateUserResponse(user=self._user(connection, request.user.user_id))

        return await self._mutations.run(
            request,
            action="users.update",
            subject=_name(request.user.user_id),
            work=work,
            facts={"fields": " ".join(sorted(mask.paths))[:256]} if mask else {},
        )

    async def SetUserRoles(
        self, request: pb.SetUserRolesRequest, context: Context
    ) -> pb.SetUserRolesResponse:
        caller = caller_of_call()

        def work(connection: Connection) -> pb.SetUserRolesResponse:
            self._desk.set_roles(connection, request.user_id, request.roles, etag=request.etag, caller=caller)
            return pb.SetUserRolesResponse(user=self._user(connection, request.user_id))

        return await self._mutations.run(
            request,
            action="users.set_roles",
            subject=_name(request.user_id),
            work=work,
            facts={"roles": _names(request.roles)},
        )

    async def DisableUser(self, request: pb.DisableUserRequest, context: Context) -> pb.DisableUserResponse:
        caller = caller_of_call()

        def work(connection: Connection) -> pb.DisableUserResponse:
            self._desk.disable(connection, request.user_id, etag=request.etag, caller=caller)
            return pb.DisableUserResponse(user=self._user(connection, request.user_id))

        return await self._mutations.run(
            request, action="users.disable", subject=_name(request.user_id), work=work
        )

    async def EnableUser(self, request: pb.EnableUserRequest, context: Context) -> pb.EnableUserResponse:
        caller = caller_of_call()

        def work(connection: Connection) -> pb.EnableUserResponse:
            self._desk.enable(connection, request.user_id, etag=request.etag, caller=caller)
            return pb.EnableUserResponse(user=self._user(connection, request.user_id))

        return await self._mutations.run(
            request, action="users.enable", subject=_name(request.user_id), work=work
        )

    async def IssueUserCertificate(
        self, request: pb.IssueUserCertificateRequest, context: Context
    ) -> pb.IssueUserCertificateResponse:
        caller = caller_of_call()
        key = parse_csr(request.csr, what="client")
        lifetime = timedelta(days=request.lifetime_days) if request.lifetime_days else DEFAULT_LIFETIME

        def work(connection: Connection) -> pb.IssueUserCertificateResponse:
            chain = self._desk.issue(connection, request.user_id, key, lifetime=lifetime, caller=caller)
            answer = pb.IssueUserCertificateResponse(certificates=chain)
            answer.expire_time.FromDatetime(x509.load_der_x509_certificate(chain[0]).not_valid_after_utc)
            return answer

        return await self._mutations.run(
            request,
            action="users.issue_certificate",
            subject=_name(request.user_id),
            work=work,
            facts={"days": str(lifetime.days)},
        )

    def _user(self, connection: Connection, user_id: str) -> pb.User:
        return describe(connection, self._vault, [_found(rows.get_user(connection, user_id))])[0]


def _found(row: rows.UserRow | None) -> rows.UserRow:
    if row is None:
        raise ServiceError(Reason.USER_NOT_FOUND, "There is no such user.")
    return row


def _name(user_id: str) -> str:
    return f"users/{user_id}"[:256]


def _names(roles: Any) -> str:
    return " ".join(pb.Role.Name(role).removeprefix("ROLE_").lower() for role in roles)
