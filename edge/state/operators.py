"""Operators as rows: names and credentials sealed, failed attempts in the open so that they always count."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

from edge.errors import InputError
from edge.model import Embedding, Role
from edge.state.database import StateDatabase
from edge.state.records import Cosigner, Credentials, Lockout, OperatorRecord

MAX_OPERATORS = 200
"""More people than ever share one device; each is unsealed to find a name."""


class OperatorTable:
    """Every method may raise StorageError."""

    def __init__(self, db: StateDatabase) -> None:
        self._db = db

    def all(self) -> list[OperatorRecord]:
        """Return those who may sign in, by name."""
        rows = self._db.all("SELECT * FROM operators WHERE removed = 0")
        return sorted((self._record(row) for row in rows), key=lambda one: one.credentials.name)

    def get(self, operator_id: str) -> OperatorRecord | None:
        """Return one who may sign in."""
        row = self._db.one("SELECT * FROM operators WHERE operator_id = ? AND removed = 0", operator_id)
        return self._record(row) if row else None

    def count(self) -> int:
        row = self._db.one("SELECT count(*) AS n FROM operators WHERE removed = 0")
        return int(row["n"]) if row else 0

    def add(self, operator: OperatorRecord) -> None:
        """Add one whose name nobody has yet.

        Raises:
            InputError: OPERATOR_EXISTS, or TOO_MANY_OPERATORS.
        """
        with self._db.writing():
            others = self.all()
            if any(one.credentials.name == operator.credentials.name for one in others):
                raise InputError(
                    "OPERATOR_EXISTS",
                    "There is an operator of this name already.",
                    hint="Give a name that tells the two apart, or remove the other one first.",
                )
            if len(others) >= MAX_OPERATORS:
                raise InputError(
                    "TOO_MANY_OPERATORS",
                    f"This device has {MAX_OPERATORS} operators, and takes no more.",
                    hint="Remove those who no longer work with it.",
                )
            self._write(operator)

    def replace(self, operator: OperatorRecord) -> None:
        """Store new credentials of one who is there; the failed attempts stay as they are in the store."""
        with self._db.writing():
            if self.get(operator.operator_id) is not None:
                self._write(operator)

    def remove(self, operator_id: str) -> bool:
        """Take the right to sign in and destroy the credentials; the pseudonym is never given again."""
        with self._db.writing():
            return bool(
                self._db.run(
                    "UPDATE operators SET removed = 1, sealed = x'', cosigner_wrapped = x'' "
                    "WHERE operator_id = ? AND removed = 0",
                    operator_id,
                )
            )

    def lockout(self, operator_id: str) -> Lockout | None:
        """Return the failed attempts of one who may sign in."""
        row = self._db.one(
            "SELECT failures, blocked_ns, blocked_boot_id, blocked_at_ns FROM operators "
            "WHERE operator_id = ? AND removed = 0",
            operator_id,
        )
        return _lockout(row) if row else None

    def swap_lockout(self, operator_id: str, *, known: Lockout, new: Lockout) -> bool:
        """Store ``new`` if ``known`` is still what is stored: two attempts at once count as two."""
        with self._db.writing():
            if self.lockout(operator_id) != known:
                return False
            self._db.run(
                "UPDATE operators SET failures = ?, blocked_ns = ?, blocked_boot_id = ?, blocked_at_ns = ? "
                "WHERE operator_id = ?",
                new.failures,
                new.blocked_ns,
                new.boot_id,
                new.at_ns,
                operator_id,
            )
        return True

    def _write(self, operator: OperatorRecord) -> None:
        kept = self.lockout(operator.operator_id) or operator.lockout
        sealed = self._db.vault.seal(
            _encode(operator.credentials), label=_label(operator.operator_id, operator.role)
        )
        self._db.upsert(
            "operators",
            operator_id=operator.operator_id,
            role=operator.role.value,
            sealed=sealed,
            cosigner_public=operator.cosigner.public_key,
            cosigner_wrapped=operator.cosigner.wrapped,
            removed=0,
            failures=kept.failures,
            blocked_ns=kept.blocked_ns,
            blocked_boot_id=kept.boot_id,
            blocked_at_ns=kept.at_ns,
        )

    def _record(self, row: dict[str, Any]) -> OperatorRecord:
        plain = self._db.vault.unseal(row["sealed"], label=_label(row["operator_id"], row["role"]))
        return OperatorRecord(
            operator_id=row["operator_id"],
            role=Role(row["role"]),
            credentials=_decode(plain),
            cosigner=Cosigner(row["cosigner_public"], row["cosigner_wrapped"]),
            lockout=_lockout(row),
        )


def _lockout(row: dict[str, Any]) -> Lockout:
    return Lockout(row["failures"], row["blocked_ns"], row["blocked_boot_id"], row["blocked_at_ns"])


def _label(operator_id: str, role: str) -> str:
    """Names the role too: a row that is changed from outside makes nobody a supervisor."""
    return f"operators/{operator_id}/{role}"


def _encode(credentials: Credentials) -> bytes:
    face = credentials.face
    values = {
        "name": credentials.name,
        "pin_hash": credentials.pin_hash,
        "face": None
        if face is None
        else {
            "vector": base64.b64encode(face.vector.astype("<f4").tobytes()).decode(),
            "model_name": face.model_name,
            "model_sha256": face.model_sha256,
        },
    }
    return json.dumps(values, ensure_ascii=False).encode()


def _decode(plain: bytes) -> Credentials:
    values = json.loads(plain)
    face = values["face"]
    return Credentials(
        name=values["name"],
        pin_hash=values["pin_hash"],
        face=None
        if face is None
        else Embedding(
            vector=np.frombuffer(base64.b64decode(face["vector"]), "<f4").astype(np.float32),
            model_name=face["model_name"],
            model_sha256=face["model_sha256"],
        ),
    )
