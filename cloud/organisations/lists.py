"""Pages of lists, newest first, as requests of these rooms ask for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Select

from cloud.paging import encode_page_token, page_size, parse_page_token
from cloud.store import lists, organisations, scans
from cloud.store.organisations import OrganisationRow

R = TypeVar("R")


class Paged(Protocol):
    """What every request for a list has."""

    page_size: int
    page_token: str


def page_of(
    connection: Connection,
    request: Paged,
    *,
    read: Callable[..., Select[Any]],
    row: Callable[..., R],
    position: str,
    **wanted: Any,
) -> tuple[list[R], str]:
    """Rows that ``read`` selects with ``wanted``, in the order of ``position``; the token of the next page.

    Raises:
        ServiceError: PAGE_TOKEN_INVALID.
    """
    asked = f"{read.__name__} {sorted(wanted.items())}"
    begin = lists.Begin(parse_page_token(request.page_token, filters=asked) or None, descending=True)
    page = scans.read_page(
        connection,
        partial(read, begin, **wanted),
        size=page_size(request.page_size),
        position=position,
        descending=True,
    )
    token = "" if page.end is None else encode_page_token(page.end, filters=asked)
    return [row(**one._mapping) for one in page.rows], token


def page_of_organisations(
    connection: Connection, request: Paged, **wanted: Any
) -> tuple[list[OrganisationRow], str]:
    """Organisations, by ``account_id`` and ``state``.

    Raises:
        ServiceError: PAGE_TOKEN_INVALID.
    """
    return page_of(
        connection,
        request,
        read=organisations.select_organisations,
        row=OrganisationRow,
        position="organisation_id",
        **wanted,
    )
