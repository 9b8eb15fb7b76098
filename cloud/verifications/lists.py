"""Pages of verifications, requests to offices and conflicts: the newest first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection, Select

from cloud.paging import encode_page_token, page_size, parse_page_token
from cloud.store import identity_conflicts, scans, site_verifications
from cloud.store import verifications as rows
from cloud.store.lists import Begin
from cloud.verifications.views import to_conflict, to_site, to_verification
from verifield.v1 import identity_service_pb2 as pb

R = TypeVar("R")
Read = Callable[[Begin, int], Select[Any]]


def page_of_verifications(
    connection: Connection, request: pb.ListVerificationsRequest
) -> pb.ListVerificationsResponse:
    """For staff."""
    found, token = _page(
        connection,
        lambda begin, limit: rows.select_verifications(
            begin, limit, account_id=request.account_id, state=request.state, method=request.method
        ),
        rows.VerificationRow,
        request,
        position="verification_id",
        asked=f"verifications {request.account_id} {request.state} {request.method}",
    )
    return pb.ListVerificationsResponse(verifications=map(to_verification, found), next_page_token=token)


def page_of_own(
    connection: Connection, request: pb.ListOwnVerificationsRequest, *, account_id: str
) -> pb.ListOwnVerificationsResponse:
    """For the holder of an account."""
    found, token = _page(
        connection,
        lambda begin, limit: rows.select_verifications(begin, limit, account_id=account_id),
        rows.VerificationRow,
        request,
        position="verification_id",
        asked=f"own verifications {account_id}",
    )
    return pb.ListOwnVerificationsResponse(verifications=map(to_verification, found), next_page_token=token)


def page_of_sites(
    connection: Connection, request: pb.ListSiteVerificationsRequest
) -> pb.ListSiteVerificationsResponse:
    """Requests to offices, each with its results."""
    found, token = _page(
        connection,
        lambda begin, limit: site_verifications.select_tasks(
            begin, limit, account_id=request.account_id, site_id=request.site_id, state=request.state
        ),
        site_verifications.TaskRow,
        request,
        position="task_id",
        asked=f"sites {request.account_id} {request.site_id} {request.state}",
    )
    results = site_verifications.results_of_tasks(connection, [row.task_id for row in found])
    shown = [to_site(row, [one for one in results if one.task_id == row.task_id]) for row in found]
    return pb.ListSiteVerificationsResponse(requests=shown, next_page_token=token)


def page_of_conflicts(connection: Connection, request: pb.ListConflictsRequest) -> pb.ListConflictsResponse:
    """Conflicts, each with both results."""
    found, token = _page(
        connection,
        lambda begin, limit: identity_conflicts.select_conflicts(
            begin, limit, account_id=request.account_id, state=request.state
        ),
        identity_conflicts.ConflictRow,
        request,
        position="conflict_id",
        asked=f"conflicts {request.account_id} {request.state}",
    )
    named = [one for row in found for one in (row.first_id, row.second_id) if one]
    results = site_verifications.get_results(connection, named)
    return pb.ListConflictsResponse(
        conflicts=[to_conflict(row, results) for row in found], next_page_token=token
    )


def _page(
    connection: Connection, read: Read, made: type[R], request: Any, *, position: str, asked: str
) -> tuple[list[R], str]:
    after = parse_page_token(request.page_token, filters=asked)
    begin = Begin(after or None, descending=True)
    page = scans.read_page(
        connection,
        lambda limit: read(begin, limit),
        size=page_size(request.page_size),
        position=position,
        descending=True,
    )
    token = "" if page.end is None else encode_page_token(page.end, filters=asked)
    return [made(**row._mapping) for row in page.rows], token
