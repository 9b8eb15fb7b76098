"""What is personal of feedback: its words, sealed under the key of who wrote them."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from cloud.persons import Persons
from cloud.privacy.sealing import Place
from cloud.store.feedback import FeedbackRow
from cloud.store.schema import feedback
from cloud.store.sealed import SealedTable

SEALED = SealedTable(feedback, key="feedback_id", person="person_id", sealed=("text",))
"""For erasing a person."""


class FeedbackVault:
    """Seals and opens, in the caller's transaction."""

    def __init__(self, persons: Persons) -> None:
        self._persons = persons

    def seal(self, connection: Connection, person_id: str, feedback_id: str, text: str) -> bytes | None:
        """The text as it is stored.

        Raises:
            ServiceError: PERSON_ERASED.
        """
        key = self._persons.key_of(connection, person_id)
        return self._persons.seal_text(key, _place(feedback_id), text)

    def open_all(self, connection: Connection, rows: Sequence[FeedbackRow]) -> dict[str, str]:
        """The texts by the ids of rows; empty where the person was erased."""
        keys = self._persons.keys_of(connection, {row.person_id for row in rows})
        return {
            row.feedback_id: self._persons.open_text(
                keys.get(row.person_id), _place(row.feedback_id), row.text
            )
            for row in rows
        }


def _place(feedback_id: str) -> Place:
    return Place("feedback", "text", feedback_id)
