"""What reviews tell this room, each within the transaction of what it is told of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection

from cloud.certifications.core import Core, show_time
from cloud.certifications.results import Results
from cloud.certifications.states import Event
from cloud.certifications.vault import APPLICATIONS
from cloud.messages.templates.certifications import CLOSED, REOPENED, SUPPLEMENT
from cloud.privacy.sealing import Place
from cloud.reviews.port import Decision, Supplement, Task
from cloud.store import certifications as rows


@dataclass(frozen=True, slots=True)
class CertificationHandler:
    """A ReviewHandler: its subjects are ``certifications/ID``."""

    core: Core
    results: Results

    def hold(self, connection: Connection, subject: str) -> None:
        """Lock the application."""
        self.core.lock(connection, _id(subject))

    def shown(self, connection: Connection, task: Task) -> Mapping[str, str]:
        """The four elements and the form, and which files there are: those are read in the archive."""
        core = self.core
        row = core.find(connection, _id(task.subject))
        personal = core.accounts.personal(connection, row.account_id)
        validity = personal.validity
        shown = {
            "name": personal.name,
            "id_number": personal.id_number,
            "id_valid_from": str(validity.valid_from) if validity else "",
            "id_valid_to": str(validity.valid_to or "LONG_TERM") if validity else "",
            "phone": personal.phone,
            "email": personal.email,
            "type": row.type_code,
        }
        form = core.vault.open_form(connection, row)
        shown |= {f"form.{name}": value for name, value in form.items()}
        for number, one in enumerate(rows.materials_of(connection, row.application_id), 1):
            shown[f"material.{number:02}"] = f"{one.kind} {one.material_id}"
        return shown

    def assigned(self, connection: Connection, task: Task) -> None:
        """A reviewer has it now."""
        row = self.core.lock(connection, _id(task.subject))
        number = _number(task)
        self.core.move(connection, row, Event.ASSIGN, told_reviewer=number, reviewer=number)

    def supplement_asked(self, connection: Connection, task: Task, supplement: Supplement) -> None:
        """The holder is told, and may change the application until the deadline."""
        core = self.core
        row = core.lock(connection, _id(task.subject))
        content = json.dumps(
            [supplement.reason.code, supplement.reason.text, list(supplement.items)], ensure_ascii=False
        )
        place = Place(APPLICATIONS, "supplement", row.application_id)
        row = core.move(
            connection,
            row,
            Event.ASK_SUPPLEMENT,
            told_reviewer=_number(task),
            due_us=supplement.deadline_us,
            supplement=core.vault.seal(connection, row.account_id, place, content.encode()),
            supplement_due_us=supplement.deadline_us,
        )
        core.tell(connection, row, SUPPLEMENT, {"deadline": show_time(supplement.deadline_us)})

    def decided(self, connection: Connection, task: Task, decision: Decision) -> None:
        """Make the result."""
        row = self.core.lock(connection, _id(task.subject))
        self.results.make(connection, row, decision, _number(task) or row.reviewer or "0")

    def supplement_expired(self, connection: Connection, task: Task) -> None:
        """Close it; the holder is told."""
        row = self.core.lock(connection, _id(task.subject))
        row = self.core.move(connection, row, Event.EXPIRE, supplement=None, supplement_due_us=None)
        self.core.tell(connection, row, CLOSED)

    def reopened(self, connection: Connection, task: Task) -> None:
        """The decision does not stand: its badge counts no more, and the holder is told."""
        row = self.core.lock(connection, _id(task.subject))
        self.results.take_back(connection, row)
        row = self.core.move(connection, row, Event.REOPEN, task_id=task.task_id, reviewer=None)
        self.core.tell(connection, row, REOPENED)


def _id(subject: str) -> str:
    return subject.rpartition("/")[2]


def _number(task: Task) -> str | None:
    return str(task.reviewer_number) if task.reviewer_number is not None else None
