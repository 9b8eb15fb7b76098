"""What comes down to a device: its directives, then what is for all, then the tasks of its site and its own.

A cursor holds how far the device has come in each of the four scopes. One that is not of this store and this
device's site begins anew with everything, and the answer says so: the store was restored from a backup and
never gave it out, its newest item was replaced long ago, it is of another site, or of a form before this
one. To begin anew costs the device nothing but time, because the newest item of a kind and id replaces
those before it, and tasks that are not told again are forgotten.

Tasks tell of people, if only a little: what goes over a stick leaves them out, and the cursor where it was
in their scopes.
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
from cloud.feed.vault import TaskVault
from cloud.sources import Sources
from cloud.store import feed
from cloud.store.devices import DeviceRow
from verifield.rules import MAX_COUNTER
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.device_service_pb2 import DEVICE_STATE_REVOKED

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 100

MAX_PAGE_BYTES = 3 * 1024 * 1024
"""Of the items of a page: with what stands beside them below gRPC's default of 4 MiB for a message."""

_SEQ = r"\.([0-9]{1,19})"
_CURSOR = re.compile(rf"2{_SEQ}{_SEQ}{_SEQ}{_SEQ}\.([0-9a-f]{{16}})")
_OLD_CURSOR = re.compile(rf"1{_SEQ}{_SEQ}{_SEQ}\.([0-9a-f]{{16}})")
"""The form before this one, which had no scope for the tasks of one device."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How many items of each scope are known; ``site``: a digest of the site that they are of.

    ``new``: the device knows nothing that counts, and is told to begin anew.
    """

    device_seq: int = 0
    all_seq: int = 0
    site_seq: int = 0
    task_seq: int = 0
    site: str = "0" * 16
    new: bool = False


class Feed:
    """Answers Pull."""

    def __init__(self, authority: Authority, sources: Sources, vault: TaskVault) -> None:
        self._policy_chain = authority.chain_of(authority.policy.certificate)
        self._sources = sources
        self._vault = vault

    def pull(
        self, connection: Connection, device: DeviceRow, *, cursor: str, page_size: int, tasks: bool = True
    ) -> pb.PullResponse:
        """One page behind ``cursor``; without ``tasks`` the tasks are left out, for another time.

        A revoked device is told only its directives.

        Raises:
            ServiceError: the cursor is not one of ours.
        """
        size = page_size or DEFAULT_PAGE_SIZE
        start = check_known(connection, device, parse_cursor(cursor))
        items, after, more = read_page(connection, device, start, limit=size, tasks=tasks)
        stamp = Timestamp()
        stamp.FromDatetime(self._sources.now())
        return pb.PullResponse(
            items=[_to_item(row) for row in self._vault.open_all(connection, items)],
            next_cursor=encode_cursor(after),
            more=more,
            server_time=stamp,
            policy_certificates=self._policy_chain,
            restarted=start.new,
        )


def check_known(connection: Connection, device: DeviceRow, start: Cursor) -> Cursor:
    """Return ``start``, or the beginning where it is not of this store and of the device's site."""
    fits = not start.new and start.site == _digest_of(device.site_id)
    if fits and all(feed.is_known(connection, scope, seq) for scope, seq in _known(device, start)):
        return start
    return Cursor(site=_digest_of(device.site_id), new=True)


def read_page(
    connection: Connection, device: DeviceRow, start: Cursor, *, limit: int, tasks: bool = True
) -> tuple[list[feed.FeedRow], Cursor, bool]:
    """At most ``limit`` items behind ``start``, the cursor behind them, and whether there are more."""
    known = dict(_known(device, start))
    scopes = list(known)[: 4 if tasks else 2]
    if device.state == DEVICE_STATE_REVOKED:
        scopes = scopes[:1]
    found: list[tuple[str, int, int]] = []
    for scope in scopes:
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
    device_seq, all_seq, site_seq, task_seq = known.values()
    return page, Cursor(device_seq, all_seq, site_seq, task_seq, start.site), count < len(found)


def parse_cursor(text: str) -> Cursor:
    """Return the places in a cursor; the beginning for none, and for one of an older form.

    Raises:
        ServiceError: not a cursor of ours.
    """
    if not text or _OLD_CURSOR.fullmatch(text):
        return Cursor(new=True)
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise ServiceError(Reason.CURSOR_INVALID, "The cursor is not one that this service gave out.")
    device_seq, all_seq, site_seq, task_seq = (min(int(seq), MAX_COUNTER) for seq in match.groups()[:4])
    return Cursor(device_seq, all_seq, site_seq, task_seq, match[5])


def encode_cursor(cursor: Cursor) -> str:
    """The cursor as text, which only this service understands."""
    return f"2.{cursor.device_seq}.{cursor.all_seq}.{cursor.site_seq}.{cursor.task_seq}.{cursor.site}"


def _known(device: DeviceRow, cursor: Cursor) -> tuple[tuple[str, int], ...]:
    """Each scope of the device in the order of a pull, and how far it is known."""
    return (
        (feed.device_scope(device.device_id), cursor.device_seq),
        (feed.SCOPE_ALL, cursor.all_seq),
        (feed.site_scope(device.site_id), cursor.site_seq),
        (feed.task_scope(device.device_id), cursor.task_seq),
    )


def _digest_of(site_id: str) -> str:
    return hashlib.sha256(site_id.encode()).hexdigest()[:16]


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
