"""Delivers what is in the outbox: at least once, on any number of servers.

1  messages that are due are claimed, with a lease: no other server takes them up before it ends
2  they are sent outside of any transaction, several at once
3  what became of each is written where the lease is still ours

Each channel has a lane for what expires (codes) and one for all else: lanes never wait for each other,
however slow a server is or how many are before them.

A server that dies between 2 and 3 leaves a lease that ends, and the message is sent once more with the same
id, by which its receiver tells the repeat. An attempt that failed is repeated after a pause that doubles, up
to an hour, and is different for each message; after MAX_ATTEMPTS (half a day and more) the message is given
up, and people may take it up again. One that has expired is never sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from sqlalchemy import Connection

from cloud.messages.outbox import Messages
from cloud.messages.ports import DeliveryError, Fault, Gateway, Outgoing
from cloud.messages.values import MACHINE, Channel, Event, State
from cloud.sources import Sources, to_us
from cloud.store import messages as rows
from cloud.store.database import Store
from cloud.store.messages import Lane

AT_ONCE = 8
"""Messages of one claim, each in a thread."""

LEASE_MARGIN_S = 10.0
"""More than the longest attempt may take: what comes before and behind it, on a machine that is busy."""

MAX_ATTEMPTS = 24
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 3600.0

UNSURE_PAUSE_S = 60.0
"""Before a message that expires is sent again where the other side may have it: of codes one is sent in a
minute, and not every gateway tells repeats by their key."""

LANES = tuple(Lane(channel, brief) for channel in Channel for brief in (True, False))

_UNSURE = frozenset({Fault.TIMEOUT, Fault.NONSENSE})
_MICRO = 1_000_000
_JITTER_BYTES = 4
_LEASE_BYTES = 16


def pause_s(attempts: int, *, chance: float) -> float:
    """Until the next attempt, after so many: doubled each time, capped, and then from the upper half of it.

    ``chance``: 0 to 1. Without it all that failed in an outage would come back in one moment.
    """
    whole = min(FIRST_PAUSE_S * 2.0 ** min(attempts - 1, 32), LONGEST_PAUSE_S)
    return whole * (0.5 + chance / 2)


class Delivery:
    """One for each server. ``gateways``: one for each channel. ``longest_s``: of one attempt."""

    def __init__(
        self,
        store: Store,
        messages: Messages,
        gateways: Mapping[Channel, Gateway],
        sources: Sources,
        *,
        longest_s: float,
    ) -> None:
        self._store = store
        self._messages = messages
        self._gateways = gateways
        self._sources = sources
        self._longest_us = int(longest_s * _MICRO)
        self._lease_us = int((longest_s + LEASE_MARGIN_S) * _MICRO)

    def run(self, lane: Lane) -> int:
        """Attempt what is due now in a lane, up to AT_ONCE messages; return how many were looked at."""
        with self._store.reading() as connection:
            if not rows.has_due(connection, lane, now_us=self._now_us()):
                return 0
        lease = self._sources.random_bytes(_LEASE_BYTES)
        count, claimed = self._store.run(lambda connection: self._claim(connection, lane, lease))
        if claimed:
            found = [row for row, _ in claimed]
            with ThreadPoolExecutor(max_workers=len(claimed)) as pool:
                outcomes = list(pool.map(self._attempt, found, [outgoing for _, outgoing in claimed]))
            self._store.run(lambda connection: self._settle(connection, found, outcomes))
        return count

    def _claim(
        self, connection: Connection, lane: Lane, lease: bytes
    ) -> tuple[int, list[tuple[rows.MessageRow, Outgoing]]]:
        """Step 1: how many were due, and those to be sent; those that are not are ended here."""
        now_us = self._now_us()
        found = rows.lock_due(connection, lane, now_us=now_us, limit=AT_ONCE)
        claimed = []
        for row, outgoing in zip(found, self._messages.open(connection, found), strict=True):
            fault = _why_not(row, outgoing, now_us=now_us)
            if fault is not None:
                rows.change_message(connection, self._messages.given_up(row, fault), lease=row.lease)
                continue
            mine = replace(
                row,
                state=MACHINE.after(State(row.state), Event.CLAIM),
                attempts=row.attempts + 1,
                due_us=now_us + self._lease_us,
                lease=lease,
                updated_us=now_us,
            )
            rows.change_message(connection, mine, lease=row.lease)
            if isinstance(outgoing, Outgoing):
                claimed.append((mine, outgoing))
        return len(found), claimed

    def _attempt(self, row: rows.MessageRow, message: Outgoing) -> DeliveryError | None:
        """Step 2. Time may have passed since the claim: a thread that was held up, a machine that slept."""
        now_us = self._now_us()
        if message.expires_us is not None and message.expires_us <= now_us:
            return DeliveryError(Fault.EXPIRED, final=True)
        if now_us + self._longest_us > row.due_us:  # it could outlast its lease
            return DeliveryError(Fault.GIVEN_UP)
        try:
            self._gateways[message.channel].send(message)
        except DeliveryError as error:
            return error
        except Exception:  # a fault of ours: it must neither stop the others nor lose the message
            return DeliveryError(Fault.NONSENSE)
        return None

    def _settle(
        self,
        connection: Connection,
        found: Sequence[rows.MessageRow],
        outcomes: Sequence[DeliveryError | None],
    ) -> None:
        """Step 3: of the rows as they are now, which may have been withdrawn or emptied meanwhile."""
        current = rows.lock_messages(connection, [row.message_id for row in found])
        for row, error in zip(found, outcomes, strict=True):
            now = current.get(row.message_id)
            if now is not None and now.lease == row.lease:
                rows.change_message(connection, self._after(now, error), lease=row.lease)

    def _after(self, row: rows.MessageRow, error: DeliveryError | None) -> rows.MessageRow:
        now_us = self._now_us()
        if error is None:
            state = MACHINE.after(State(row.state), Event.ARRIVE)
            return replace(row, state=state, content=None, fault="", lease=None, updated_us=now_us)
        chance = int.from_bytes(self._sources.random_bytes(_JITTER_BYTES), "big") / 2 ** (8 * _JITTER_BYTES)
        wait_s = pause_s(row.attempts, chance=chance)
        if row.expires_us is not None and error.fault in _UNSURE:
            wait_s = max(wait_s, UNSURE_PAUSE_S)
        next_us = now_us + int(wait_s * _MICRO)
        too_late = row.expires_us is not None and next_us >= row.expires_us
        if error.final or too_late or row.attempts >= MAX_ATTEMPTS:
            return self._messages.given_up(row, error.fault)
        state = MACHINE.after(State(row.state), Event.TRY_LATER)
        return replace(
            row, state=state, fault=error.fault.value, due_us=next_us, lease=None, updated_us=now_us
        )

    def _now_us(self) -> int:
        return to_us(self._sources.now())


def _why_not(row: rows.MessageRow, outgoing: Outgoing | Fault, *, now_us: int) -> Fault | None:
    """Why a message is not to be sent; None where it is."""
    if row.expires_us is not None and row.expires_us <= now_us:
        return Fault.EXPIRED
    if isinstance(outgoing, Fault):
        return outgoing
    # Its sender died again and again before it could say what became of it.
    return Fault.GIVEN_UP if row.attempts >= MAX_ATTEMPTS else None


KEPT_US = 180 * 24 * 3600 * _MICRO
"""Half a year: what a complaint about a message that never came is answered with."""

CONTENT_KEPT_US = 7 * 24 * 3600 * _MICRO
"""Of what was given up: time enough to mend a gateway, and to take the messages up again."""


def sweep(connection: Connection, *, now_us: int, limit: int) -> int:
    """Empty and delete what was kept long enough; return how many rows that were."""
    emptied = rows.empty_contents(connection, before_us=now_us - CONTENT_KEPT_US, limit=limit)
    return emptied + rows.drop_old(connection, before_us=now_us - KEPT_US, limit=limit)
