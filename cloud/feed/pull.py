"""What comes down to a device: its directives first, then what is for all, then what is for its site.

A cursor holds how far the device has come in each of the three scopes. One that is ahead of its scope
comes from a store that was lost and restored from a backup: the scope begins anew, which costs the device
nothing but time, because the newest item of a kind and id replaces those before it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import Connection

from cloud.authority import Authority
from cloud.errors import Reason, ServiceError
from cloud.sources import Sources
from cloud.store import feed
from cloud.store.devices import DeviceRow
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.device_service_pb2 import DEVICE_STATE_REVOKED

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 100

MAX_PAGE_BYTES = 3 * 1024 * 1024
"""Of the items of a page: with what stands beside them below gRPC's default of 4 MiB for a message."""

_CURSOR = re.compile(r"1\.([0-9]{1,18})\.([0-9]{1,18})\.([0-9]{1,18})\.([0-9a-f]{16})")


@dataclass(frozen=True, slots=True)
class Cursor:
    """How many items of each scope are known; ``site``: a digest of the site that they are of."""

    device_seq: int = 0
    all_seq: int = 0
    site_seq: int = 0
    site: str = "0" * 16


class Feed:
    """Answers Pull."""

    def __init__(self, authority: Authority, sources: Sources) -> None:
        self._policy_chain = authority.chain_of(authority.policy.certificate)
        self._sources = sources

    def pull(
        self, connection: Connection, device: DeviceRow, *, cursor: str, page_size: int
    ) -> pb.PullResponse:
        """One page behind ``cursor``. A revoked device is told only what is for it alone.

        Raises:
            ServiceError: the cursor is not one of ours, or the page is too large.
        """
        start = parse_cursor(cursor)
        size = check_page_size(page_size)
        items, after, more = read_page(connection, device, start, limit=size)
        stamp = Timestamp()
        stamp.FromDatetime(self._sources.now())
        return pb.PullResponse(
            items=[_to_item(row) for row in items],
            next_cursor=encode_cursor(after),
            more=more,
            server_time=stamp,
            policy_certificates=self._policy_chain,
        )


def read_page(
    connection: Connection, device: DeviceRow, start: Cursor, *, limit: int
) -> tuple[list[feed.FeedRow], Cursor, bool]:
    """At most ``limit`` items behind ``start``, the cursor behind them, and whether there are more."""
    site = hashlib.sha256(device.site_id.encode()).hexdigest()[:16]
    known = {
        feed.device_scope(device.device_id): start.device_seq,
        feed.SCOPE_ALL: start.all_seq,
        feed.site_scope(device.site_id): start.site_seq if start.site == site else 0,
    }
    scopes = list(known)[:1] if device.state == DEVICE_STATE_REVOKED else list(known)
    found: list[tuple[str, int, int]] = []
    for scope in scopes:
        if known[scope] > feed.newest_seq(connection, scope):
            known[scope] = 0
        sizes = feed.sizes_behind(connection, scope, seq=known[scope], limit=limit + 1 - len(found))
        found += [(scope, seq, size) for seq, size in sizes]
        if len(found) > limit:
            break
    # Only what makes the page is read: a hundred of the largest items would be 200 MiB.
    count = _fitting([size for _, _, size in found], limit=limit)
    page: list[feed.FeedRow] = []
    for scope, through in {scope: seq for scope, seq, _ in found[:count]}.items():
        page += feed.read_behind(connection, scope, seq=known[scope], through=through)
        known[scope] = through
    device_seq, all_seq, site_seq = known.values()
    return page, Cursor(device_seq, all_seq, site_seq, site), count < len(found)


def parse_cursor(text: str) -> Cursor:
    """Return the places in a cursor; the beginning for none.

    Raises:
        ServiceError: not a cursor of ours.
    """
    if not text:
        return Cursor()
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise ServiceError(Reason.CURSOR_INVALID, "The cursor is not one that this service gave out.")
    device_seq, all_seq, site_seq = map(int, match.groups()[:3])
    return Cursor(device_seq, all_seq, site_seq, match[4])


def encode_cursor(cursor: Cursor) -> str:
    """The cursor as text, which only this service understands."""
    return f"1.{cursor.device_seq}.{cursor.all_seq}.{cursor.site_seq}.{cursor.site}"


def check_page_size(size: int) -> int:
    """Return the page size to use.

    Raises:
        ServiceError: over the limit.
    """
    if size > MAX_PAGE_SIZE:
        raise ServiceError(
            Reason.PULL_SIZE_OUT_OF_RANGE, f"A page of {size} items is too large; at most {MAX_PAGE_SIZE}."
        )
    return size or DEFAULT_PAGE_SIZE


def _fitting(sizes: Sequence[int], *, limit: int) -> int:
    """How many items of these sizes make a page: one at least, however large it is."""
    for count, total in enumerate(accumulate(sizes[:limit])):
        if count and total > MAX_PAGE_BYTES:
            return count
    return min(len(sizes), limit)


def _to_item(row: feed.FeedRow) -> pb.DownItem:
    return pb.DownItem(
        kind=pb.DownItemKind.ValueType(row.kind),
        item_id=row.item_id,
        content=row.content,
        removed=row.removed,
    )
