"""Pages of users, as their requests ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from sqlalchemy import Connection

from cloud.api.filter_sql import Field, Keyed, choice, moment, read_filter, text
from cloud.paging import encode_page_token, page_size, parse_page_token
from cloud.store import lists, scans
from cloud.store.schema import users
from cloud.store.users import UserRow
from verifield.v1 import user_service_pb2 as pb

FIELDS: Mapping[str, Field | Keyed] = {
    "user_id": text(users.c.user_id),
    "login": text(users.c.login),
    "state": choice(users.c.state, pb.UserState),
    "create_time": moment(users.c.created_us),
    "update_time": moment(users.c.updated_us),
}


def page_of_users(connection: Connection, request: pb.ListUsersRequest) -> tuple[list[UserRow], str]:
    """The rows of one page, and the token of the next.

    Raises:
        ServiceError: FILTER_INVALID or PAGE_TOKEN_INVALID.
    """
    wanted = read_filter(request.filter, FIELDS)
    asked = f"users {request.state} {request.role} {request.order_by} {request.filter}"
    after = parse_page_token(request.page_token, filters=asked)
    begin = lists.Begin(after or None, descending=request.order_by.endswith(" desc"))
    page = scans.read_page(
        connection,
        partial(lists.select_users, begin, state=request.state, role=request.role),
        size=page_size(request.page_size),
        position="login",
        descending=begin.descending,
        condition=wanted.condition if wanted else None,
    )
    token = "" if page.end is None else encode_page_token(page.end, filters=asked)
    return [UserRow(**row._mapping) for row in page.rows], token
