"""Takes feedback, within the transaction that it is given.

1  neither the account nor the place sends more than the rules of the moment allow (APPLICATION_LIMITS)
2  it gets a number by which its writer can ask for it: ten random characters that cannot be confused
3  its words are sealed under the key of the account, or under one of their own
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError
from cloud.feedback.personal import FeedbackVault
from cloud.persons import Persons
from cloud.rulebook.editions import find
from cloud.rulebook.kinds import RuleKind
from cloud.sources import Sources, from_us, to_us
from cloud.store import feedback as rows
from cloud.store.database import Store
from verifield.v1 import feedback_service_pb2 as pb
from verifield.v1 import rulebook_pb2

ACK_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O or U."""

_ACK_CHARS = 10  # 50 bits: the chance that a million numbers hold one twice is below one in 2,000

LONGEST_WINDOW = timedelta(days=366)
"""What the contract allows a limit to look back; older senders are forgotten."""

SWEPT_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Sender:
    """``source``: device/ID or address/...; ``account_id`` None: nobody has signed in."""

    source: str
    account_id: str | None = None
    device_id: str = ""


class FeedbackDesk:
    """Any thread may use it."""

    def __init__(self, persons: Persons, sources: Sources) -> None:
        self.vault = FeedbackVault(persons)
        self._persons = persons
        self._sources = sources

    def take(
        self,
        connection: Connection,
        sender: Sender,
        *,
        category: pb.FeedbackCategory.ValueType,
        text: str,
        context: pb.FeedbackContext,
    ) -> rows.FeedbackRow:
        """Keep it and return it, with its number.

        Raises:
            ServiceError: FEEDBACK_TOO_OFTEN, PERSON_ERASED.
        """
        now_us = to_us(self._sources.now())
        self._charge(connection, sender, now_us)  # step 1
        feedback_id = self._sources.uuid7()
        person_id = sender.account_id or feedback_id
        row = rows.FeedbackRow(
            feedback_id=feedback_id,
            ack_number=self._ack_number(),  # step 2
            category=category,
            person_id=person_id,
            account_id=sender.account_id,
            device_id=sender.device_id,
            text=self.vault.seal(connection, person_id, feedback_id, text),  # step 3
            app=context.app,
            app_version=context.app_version,
            screen=context.screen,
            language=context.language,
            received_us=now_us,
        )
        rows.add_feedback(connection, row)
        return row

    def sweep(self, store: Store) -> int:
        """Forget senders whose last words are older than any limit looks back."""
        before_us = to_us(self._sources.now() - LONGEST_WINDOW)
        return store.run(
            lambda connection: rows.drop_senders(connection, before_us=before_us, limit=SWEPT_AT_ONCE)
        )

    def _charge(self, connection: Connection, sender: Sender, now_us: int) -> None:
        limits = find(connection, RuleKind.APPLICATION_LIMITS, now_us).rules
        charged = [(f"source {sender.source}", limits.feedback_of_source)]
        if sender.account_id:
            charged.append((f"account {sender.account_id}", limits.feedback_of_account))
        keyed = [
            (self._persons.blind("feedback_senders", "sender_key", who), limit) for who, limit in charged
        ]
        for key, limit in sorted(keyed, key=lambda one: one[0]):  # locked in one order
            self._charge_one(connection, key, limit, now_us)

    def _charge_one(
        self, connection: Connection, key: bytes, limit: rulebook_pb2.RuleLimit, now_us: int
    ) -> None:
        within_us = limit.within.ToMicroseconds()
        # In order: the clocks of servers differ.
        times = sorted(time for time in rows.lock_sender(connection, key) if time > now_us - within_us)
        if len(times) >= limit.count:
            free_us = times[len(times) - limit.count] + within_us
            raise ServiceError(
                Reason.FEEDBACK_TOO_OFTEN,
                "There was much feedback from here lately.",
                {"limit": str(limit.count), "until": from_us(free_us).isoformat(timespec="seconds")},
                retry_s=max(1.0, (free_us - now_us) / 1_000_000),
            )
        rows.put_sender(connection, key, [*times, now_us])

    def _ack_number(self) -> str:
        chosen = [ACK_ALPHABET[byte % len(ACK_ALPHABET)] for byte in self._sources.random_bytes(_ACK_CHARS)]
        return f"F-{''.join(chosen[:5])}-{''.join(chosen[5:])}"
