"""Pages of requests and delegations, as their requests ask for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sqlalchemy import Connection, Select

from cloud.api.filter_sql import Field, Keyed, choice, moment, read_filter, text
from cloud.paging import encode_page_token, page_size, parse_page_token
from cloud.store import business as rows
from cloud.store import lists, scans
from cloud.store.business import BusinessRow, DelegationRow
from cloud.store.schema import business_requests
from verifield.v1 import business_service_pb2 as pb

FIELDS: Mapping[str, Field | Keyed] = {
    "business_id": text(business_requests.c.business_id),
    "service_code": text(business_requests.c.service_code),
    "state": choice(business_requests.c.state, pb.BusinessState),
    "account_id": text(business_requests.c.account_id),
    "agent_account_id": text(business_requests.c.agent_account_id),
    "create_time": moment(business_requests.c.created_us),
    "update_time": moment(business_requests.c.updated_us),
}


def page_of_own(
    connection: Connection, request: pb.ListBusinessRequestsRequest, account_id: str
) -> tuple[list[BusinessRow], str]:
    """The caller's requests, newest first, and the token of the next page.

    Raises:
        ServiceError: PAGE_TOKEN_INVALID.
    """
    asked = f"business of {account_id} {request.as_agent}"
    page = _page_of_side(connection, request, account_id, rows.select_requests, asked=asked)
    return [BusinessRow(**row._mapping) for row in page.rows], _token(page, asked)


def page_of_all(
    connection: Connection, request: pb.SearchBusinessRequestsRequest
) -> tuple[list[BusinessRow], str]:
    """Requests for staff, newest first, and the token of the next page.

    Raises:
        ServiceError: FILTER_INVALID or PAGE_TOKEN_INVALID.
    """
    wanted = read_filter(request.filter, FIELDS)
    asked = f"business {request.state} {request.account_id} {request.filter}"
    begin = _behind(request.page_token, asked)
    page = scans.read_page(
        connection,
        partial(rows.select_requests, begin, state=request.state, account_id=request.account_id),
        size=page_size(request.page_size),
        position="business_id",
        descending=True,
        condition=wanted.condition if wanted else None,
    )
    return [BusinessRow(**row._mapping) for row in page.rows], _token(page, asked)


def page_of_delegations(
    connection: Connection, request: pb.ListDelegationsRequest, account_id: str
) -> tuple[list[DelegationRow], str]:
    """What the caller gave, or was given, newest first, and the token of the next page.

    Raises:
        ServiceError: PAGE_TOKEN_INVALID.
    """
    asked = f"delegations {account_id} {request.as_agent}"
    page = _page_of_side(connection, request, account_id, rows.select_delegations, asked=asked)
    return [DelegationRow(**row._mapping) for row in page.rows], _token(page, asked)


def _page_of_side(
    connection: Connection,
    request: pb.ListBusinessRequestsRequest | pb.ListDelegationsRequest,
    account_id: str,
    read: Callable[..., Select[Any]],
    *,
    asked: str,
) -> scans.Page:
    side = "agent_account_id" if request.as_agent else "account_id"
    return scans.read_page(
        connection,
        partial(read, _behind(request.page_token, asked), **{side: account_id}),
        size=page_size(request.page_size),
        position="business_id" if read is rows.select_requests else "delegation_id",
        descending=True,
    )


def _behind(token: str, asked: str) -> lists.Begin:
    return lists.Begin(parse_page_token(token, filters=asked) or None, descending=True)


def _token(page: scans.Page, asked: str) -> str:
    return "" if page.end is None else encode_page_token(page.end, filters=asked)
