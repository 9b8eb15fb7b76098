"""Every contract that a running service has stored, looked at by other programs: pyHanko, pdfsig, qpdf.

with signing_cloud(tmp_path) as cloud:
    ...  # whatever was completed is checked when the block ends
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyhanko.pdf_utils.reader import PdfFileReader
from sqlalchemy import Connection, func, select

from cloud.contracts.states import State
from cloud.objects.files import ObjectFolder
from cloud.objects.store import Objects
from cloud.store.schema import contracts, signature_records
from tests.support.accounts import Room, in_database
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.pdf_signing import installed, pdfsig, qpdf_check
from tests.support.signing import judged
from verifield.documents.verdict import Kind, Outcome


@dataclass(frozen=True)
class Stored:
    """The newest revision of a contract. ``records``: signatures that the service keeps of it."""

    contract_id: str
    state: State
    content: bytes
    records: int


def stored_contracts(cloud: RunningCloud) -> list[Stored]:
    """All that were sent, read from the service's own store of files."""

    def work(connection: Connection, room: Room) -> list[Stored]:
        objects = Objects(ObjectFolder(cloud.data / "objects"), room.persons, room.sources)
        counted = select(signature_records.c.contract_id, func.count()).group_by(
            signature_records.c.contract_id
        )
        records = {row[0]: row[1] for row in connection.execute(counted)}
        found = connection.execute(select(contracts).where(contracts.c.revision_id.is_not(None)))
        return [
            Stored(
                row.contract_id,
                State(row.state),
                objects.open(connection, row.revision_id),
                records.get(row.contract_id, 0),
            )
            for row in found
        ]

    return in_database(cloud, work)


def seal_fields(content: bytes) -> list[str]:
    """The signed fields of a file that show a picture, as seals do: other marks are text or lines."""
    found = []
    for one in PdfFileReader(io.BytesIO(content)).embedded_signatures:
        if "/AP" in one.sig_field and _pictures(one.sig_field["/AP"]["/N"]):
            found.append(one.field_name)
    return found


def _pictures(form: Any) -> bool:
    """Whether a form has a picture, itself or in one of its forms."""
    try:
        inner = form["/Resources"]["/XObject"]
    except KeyError:
        return False
    return any(inner[name]["/Subtype"] == "/Image" or _pictures(inner[name]) for name in inner)


def check_final(cloud: RunningCloud, folder: Path) -> int:
    """Check each completed contract; return how many there are."""
    final = [one for one in stored_contracts(cloud) if one.state in (State.COMPLETED, State.ARCHIVED)]
    for one in final:
        verdict = judged(cloud, one.content)
        assert verdict.outcome is Outcome.VALID, verdict
        assert verdict.complete
        kinds = Counter(signature.kind for signature in verdict.signatures)
        assert kinds[Kind.PERSONAL] + kinds[Kind.SEAL] == one.records
        if installed("qpdf"):
            qpdf_check(one.content, folder)
        if installed("pdfsig"):  # the platform's, and one of each signed field
            assert pdfsig(one.content, folder).count("Signature is Valid") == 1 + one.records
    return len(final)


@contextmanager
def signing_cloud(folder: Path, **settings: Any) -> Iterator[RunningCloud]:
    """A running service, whose completed contracts are checked at its end."""
    with running_cloud(folder / "data", **settings) as cloud:
        yield cloud
        check_final(cloud, folder)
