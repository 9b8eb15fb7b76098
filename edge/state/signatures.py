"""Signatures of contracts on their way to the cloud: what a person did here is kept until the cloud answers.

    PREPARED   the picture is sealed and durable; the session's record may be stored or not
    QUEUED     the record is durable, and the whole package is here: the cloud is told until it answers
    COMPLETED  the cloud has taken the signature, and does the rest by itself
    REFUSED    the cloud will not, and says why

A device cannot read back a picture that belongs to a record: it is encrypted to the service. So the picture
is put down here before the record is stored, and the package is put together after it. Whoever is killed in
between loses nothing: what is PREPARED and has its record becomes QUEUED at the next start, and what has none
is forgotten, because its session is recorded as cut off and the task still waits.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from edge.errors import InputError
from edge.model import Position
from edge.state.database import StateDatabase, text_of, time_of

MAX_ANSWERED = 500
"""Answers that stay to be looked at; a busy office has as many in a few months."""


class SignatureState(StrEnum):
    PREPARED = "PREPARED"
    QUEUED = "QUEUED"
    COMPLETED = "COMPLETED"
    REFUSED = "REFUSED"


@dataclass(frozen=True, slots=True)
class About:
    """What the operator sees of a signature, also when its task is no more. ``read_at``: when it was read."""

    title: str = field(repr=False)
    party: str = field(repr=False)
    masked_name: str = field(repr=False)
    document_sha256: bytes
    read_at: datetime


@dataclass(frozen=True, slots=True)
class SignatureRow:
    """``submission_id``: UUID 7, by which the cloud knows it again. ``head``: of the chain before its record.

    ``reason``: the cloud's word: why it is REFUSED, or the state of the signing that is COMPLETED here.
    ``content``: the picture and certificates of a PREPARED one, the package of a QUEUED one, else empty.
    """

    submission_id: str
    task_id: str
    contract_id: str
    state: SignatureState
    session_id: bytes
    head: Position
    attestation_id: str
    reason: str
    noted: datetime
    about: About
    content: bytes = field(repr=False)


class SignatureTable:
    """Every method may raise StorageError."""

    def __init__(self, db: StateDatabase) -> None:
        self._db = db

    def prepare(self, row: SignatureRow) -> None:
        """Put down what a session is about to attest; durable when this returns.

        Raises:
            InputError: ALREADY_SIGNED: for this task a signature is here that the cloud has not refused.
        """
        try:
            with self._db.writing():
                self._db.run("DELETE FROM signatures WHERE task_id = ? AND state = 'REFUSED'", row.task_id)
                self._db.run(
                    "INSERT INTO signatures (submission_id, task_id, contract_id, state, session_id, epoch, "
                    "seq, attestation_id, reason, sealed, about, noted) "
                    "VALUES (?, ?, ?, 'PREPARED', ?, ?, ?, '', '', ?, ?, ?)",
                    row.submission_id,
                    row.task_id,
                    row.contract_id,
                    row.session_id,
                    row.head.epoch,
                    row.head.seq,
                    self._seal(row.submission_id, "sealed", row.content),
                    self._seal(row.submission_id, "about", _write_about(row.about)),
                    text_of(row.noted),
                )
        except sqlite3.IntegrityError:
            raise already_signed() from None

    def queue(self, submission_id: str, *, attestation_id: str, package: bytes) -> bool:
        """The record is durable: let the cloud be told; False where that was said before."""
        with self._db.writing():
            changed = self._db.run(
                "UPDATE signatures SET state = 'QUEUED', attestation_id = ?, sealed = ? "
                "WHERE submission_id = ? AND state = 'PREPARED'",
                attestation_id,
                self._seal(submission_id, "sealed", package),
                submission_id,
            )
        return changed == 1

    def drop(self, submission_id: str) -> None:
        """Forget a PREPARED one whose session was cut off before its record."""
        with self._db.writing():
            self._db.run(
                "DELETE FROM signatures WHERE submission_id = ? AND state = 'PREPARED'", submission_id
            )

    def answer(self, submission_id: str, word: str, *, refused: bool, at: datetime) -> bool:
        """Keep the cloud's answer, once; the package is no longer needed.

        ``word``: why it is refused, or how the signing stood when it was taken.
        """
        state = SignatureState.REFUSED if refused else SignatureState.COMPLETED
        with self._db.writing():
            changed = self._db.run(
                "UPDATE signatures SET state = ?, reason = ?, sealed = X'', noted = ? "
                "WHERE submission_id = ? AND state = 'QUEUED'",
                state.value,
                word,
                text_of(at),
                submission_id,
            )
            self._db.run(
                "DELETE FROM signatures WHERE state IN ('COMPLETED', 'REFUSED') AND submission_id NOT IN "
                "(SELECT submission_id FROM signatures WHERE state IN ('COMPLETED', 'REFUSED') "
                "ORDER BY noted DESC LIMIT ?)",
                MAX_ANSWERED,
            )
        return changed == 1

    def all(self, *states: SignatureState) -> list[SignatureRow]:
        """Return those in these states, or all, the oldest first."""
        wanted = [state.value for state in states or SignatureState]
        marks = ", ".join("?" * len(wanted))
        sql = f"SELECT * FROM signatures WHERE state IN ({marks}) ORDER BY submission_id"  # noqa: S608
        return [self._read(row) for row in self._db.all(sql, *wanted)]

    def count(self, state: SignatureState) -> int:
        """How many are in this state; needs no key."""
        row = self._db.one("SELECT count(*) AS n FROM signatures WHERE state = ?", state.value)
        return int(row["n"]) if row else 0

    def queued(self) -> list[str]:
        """Return the ids of those that the cloud has to be told of, the oldest first; needs no key."""
        rows = self._db.all(
            "SELECT submission_id FROM signatures WHERE state = 'QUEUED' ORDER BY submission_id"
        )
        return [row["submission_id"] for row in rows]

    def get(self, submission_id: str) -> SignatureRow | None:
        row = self._db.one("SELECT * FROM signatures WHERE submission_id = ?", submission_id)
        return self._read(row) if row else None

    def of_task(self, task_id: str) -> SignatureRow | None:
        """Return the newest for a task."""
        row = self._db.one(
            "SELECT * FROM signatures WHERE task_id = ? ORDER BY submission_id DESC LIMIT 1", task_id
        )
        return self._read(row) if row else None

    def _read(self, row: dict[str, Any]) -> SignatureRow:
        name = row["submission_id"]
        return SignatureRow(
            submission_id=name,
            task_id=row["task_id"],
            contract_id=row["contract_id"],
            state=SignatureState(row["state"]),
            session_id=row["session_id"],
            head=Position(row["epoch"], row["seq"]),
            attestation_id=row["attestation_id"],
            reason=row["reason"],
            noted=time_of(row["noted"]),
            about=_read_about(self._unseal(name, "about", row["about"])),
            content=self._unseal(name, "sealed", row["sealed"]) if row["sealed"] else b"",
        )

    def _seal(self, submission_id: str, column: str, content: bytes) -> bytes:
        return self._db.vault.seal(content, label=f"signatures/{submission_id}/{column}")

    def _unseal(self, submission_id: str, column: str, sealed: bytes) -> bytes:
        return self._db.vault.unseal(sealed, label=f"signatures/{submission_id}/{column}")


def already_signed() -> InputError:
    """A task is signed once."""
    return InputError(
        "ALREADY_SIGNED",
        "For this task a signature is already here.",
        hint="See what became of it with: verifield-edge contract list",
    )


def _write_about(about: About) -> bytes:
    return json.dumps(
        {
            "title": about.title,
            "party": about.party,
            "masked_name": about.masked_name,
            "document_sha256": about.document_sha256.hex(),
            "read_at": text_of(about.read_at),
        },
        ensure_ascii=False,
    ).encode()


def _read_about(content: bytes) -> About:
    found = json.loads(content)
    return About(
        title=found["title"],
        party=found["party"],
        masked_name=found["masked_name"],
        document_sha256=bytes.fromhex(found["document_sha256"]),
        read_at=time_of(found["read_at"]),
    )
