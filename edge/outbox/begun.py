"""Sessions that have begun and have no record yet: what a power cut or a killed process leaves behind.

The mark is durable before a person is asked anything, and goes in the transaction that stores the
session's record. So whatever happens in between, exactly one record tells of each session. A mark holds no
personal data: the session's random id, and who was signed in, under the pseudonym that records show too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from edge.answers import SessionAnswers, SignedIn, SignInFactor
from edge.files import locked
from edge.model import Standing
from edge.outbox.database import Store
from edge.outbox.layout import SESSION_LOCK_SUFFIX, beside
from edge.outbox.records import BegunSession
from verifield.errors import Malformed
from verifield.rules import check_names, check_plain_name

SESSION_ID_BYTES = 16


class Begun:
    """The table ``begun``. Every method may raise StorageError."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, begun: BegunSession) -> None:
        """Note a session; durable when this returns."""
        operator = begun.session.operator
        self._store.write(
            lambda: self._store.execute(
                "INSERT OR REPLACE INTO begun (session_id, operator_id, role, factors, standing) "
                "VALUES (?, ?, ?, ?, ?)",
                begun.session.session_id,
                operator.operator_id if operator else "",
                operator.role if operator else "",
                " ".join(sorted(operator.factors)) if operator else "",
                begun.standing.value,
            )
        )

    def end(self, session_id: bytes) -> None:
        """Forget a session; within the transaction that stores its record."""
        self._store.execute("DELETE FROM begun WHERE session_id = ?", session_id)

    def all(self) -> list[BegunSession]:
        """Return those that have not ended, oldest first. A row that a failing disk changed tells nothing."""
        rows = self._store.all("SELECT * FROM begun ORDER BY rowid")
        return [found for row in rows if (found := _read(row)) is not None]

    @contextmanager
    def open_for_sessions(self) -> Iterator[None]:
        """While the block runs, sessions of this process may be under way."""
        with locked(self._lock(), shared=True):
            yield

    @contextmanager
    def closed_for_sessions(self) -> Iterator[bool]:
        """Give whether no session is under way, and let none begin while the block runs."""
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self._lock(), wait=False))
            except BlockingIOError:
                yield False
            else:
                yield True

    def _lock(self) -> Path:
        return beside(self._store.path, SESSION_LOCK_SUFFIX)


def _read(row: dict[str, Any]) -> BegunSession | None:
    session_id = row["session_id"]
    if not isinstance(session_id, bytes) or len(session_id) != SESSION_ID_BYTES:
        return None
    try:
        answers = SessionAnswers(session_id, operator=_operator(row))
        return BegunSession(answers, Standing(row["standing"]))
    except (TypeError, ValueError, AttributeError, Malformed):
        return BegunSession(SessionAnswers(session_id), Standing.NORMAL)


def _operator(row: dict[str, Any]) -> SignedIn | None:
    """Raises what a value raises that no record could show."""
    factors = frozenset(SignInFactor(word) for word in row["factors"].split())
    if not row["operator_id"]:
        return None
    check_plain_name(row["operator_id"], what="operator_id")
    check_names(row["role"], what="role", required=False)
    return SignedIn(row["operator_id"], row["role"], factors)
