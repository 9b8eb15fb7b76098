"""What this device recorded today and what waits to be uploaded; each receipt can be shown again.

Nothing here tells of a person: a record shows as its number, its time, its outcome and where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from edge.app import open_identity, open_outbox
from edge.attest.clock import SystemClock, TimeBounds, bounded_now
from edge.errors import InputError
from edge.kiosk.people import to_sign_in
from edge.kiosk.server import Kiosk
from edge.kiosk.showing import qr_svg
from edge.kiosk.shown import ago, hour, moment
from edge.kiosk.texts import Texts
from edge.model import Outcome
from edge.outbox.records import OutboxStats, RecordState, StoredRecord
from edge.outbox.rows import statement_of
from edge.state.signatures import SignatureState
from edge.texts import OUTCOMES
from verifield.v1.attestation_pb2 import OUTCOME_UNSPECIFIED, TIME_QUALITY_SUSPECT
from verifield.v1.attestation_pb2 import Outcome as OutcomePb

MAX_LOOKED_AT = 400
"""Newest records of the store that are looked at for today's."""

MAX_ROWS = 100
"""Rows of the list: a busy counter has fewer people in a day."""

ID_CHARS = 64


@dataclass(frozen=True, slots=True)
class Recorded:
    """One verification as the list shows it. ``at``: the device's clock of then."""

    attestation_id: str
    outcome: str
    state: RecordState
    at: datetime
    seq: int


@dataclass(frozen=True, slots=True)
class Desk:
    """All that the screen shows. ``signatures``: of contracts, that wait for the cloud."""

    today: tuple[Recorded, ...]
    stats: OutboxStats
    signatures: int
    bounds: TimeBounds


def routes(kiosk: Kiosk) -> list[BaseRoute]:
    """The pages of this flow."""
    flow = _Records(kiosk)
    return [
        Route("/queue", flow.queue, methods=["GET"]),
        Route("/receipt/{attestation_id}", flow.receipt, methods=["GET"]),
    ]


class _Records:
    def __init__(self, kiosk: Kiosk) -> None:
        self._kiosk = kiosk

    async def queue(self, request: Request) -> Response:
        kiosk = self._kiosk
        if (first := await to_sign_in(kiosk, request)) is not None:
            return first
        desk = await kiosk.run(lambda: look_at_desk(kiosk))
        texts = kiosk.texts()
        return kiosk.page(
            request,
            "queue.html",
            figures=figures(desk, texts),
            rows=[(one, hour(one.at)) for one in desk.today[:MAX_ROWS]],
            cut=len(desk.today) > MAX_ROWS,
            most=MAX_ROWS,
            doubt=desk.bounds.quality == TIME_QUALITY_SUSPECT,
        )

    async def receipt(self, request: Request) -> Response:
        kiosk = self._kiosk
        if (first := await to_sign_in(kiosk, request)) is not None:
            return first
        wanted = request.path_params["attestation_id"]
        found = await kiosk.run(lambda: find_record(kiosk, wanted))
        qr = qr_svg(found.attestation_id)
        verdict = OUTCOMES[Outcome(found.outcome)][kiosk.language]
        return kiosk.page(request, "receipt.html", one=found, time=moment(found.at), qr=qr, verdict=verdict)


def look_at_desk(kiosk: Kiosk) -> Desk:
    """Read what the screen shows; errors as ``open_outbox`` and ``open_state``."""
    identity = open_identity(kiosk.config)
    clock = SystemClock()
    with open_outbox(kiosk.config, identity) as outbox, kiosk.open_state(identity) as state:
        return Desk(
            today=of_day(outbox.newest(limit=MAX_LOOKED_AT), clock.wall().astimezone().date()),
            stats=outbox.stats(),
            signatures=state.signatures.count(SignatureState.QUEUED)
            + state.signatures.count(SignatureState.PREPARED),
            bounds=bounded_now(clock, contact=state.contact()),
        )


def find_record(kiosk: Kiosk, attestation_id: str) -> Recorded:
    """Return one verification of this device.

    Raises:
        InputError: RECORD_UNKNOWN.
    """
    found = None
    if len(attestation_id) <= ID_CHARS:
        with open_outbox(kiosk.config, open_identity(kiosk.config)) as outbox:
            record = outbox.get(attestation_id)
        found = recorded(record) if record is not None else None
    if found is None:
        raise InputError(
            "RECORD_UNKNOWN",
            "There is no such record on this device.",
            hint="It may have been delivered and deleted in its time.",
        )
    return found


def of_day(records: list[StoredRecord], day: date) -> tuple[Recorded, ...]:
    """Return the verifications of a day, by the device's own clock and time zone, in the order given."""
    found = (recorded(record) for record in records)
    return tuple(one for one in found if one is not None and one.at.astimezone().date() == day)


def recorded(record: StoredRecord) -> Recorded | None:
    """What the list shows of a record; None of one that is broken, or tells of the device alone."""
    if record.created_at is None:
        return None
    outcome = statement_of(record).outcome
    if outcome == OUTCOME_UNSPECIFIED:
        return None
    name = OutcomePb.Name(outcome).removeprefix("OUTCOME_")
    return Recorded(record.attestation_id, name, record.state, record.created_at, record.seq)


def figures(desk: Desk, texts: Texts) -> list[dict[str, Any]]:
    """Label and value of what waits, the most pressing first."""
    stats, now = desk.stats, desk.bounds.likely

    def since(at: datetime | None) -> str:
        return ago(texts, max(timedelta(0), now - at)) if at is not None else texts("device.none")

    rows = [
        ("pending", str(stats.pending)),
        ("oldest", since(stats.oldest_pending)),
        ("unreceipted", str(stats.delivered)),
        ("pictures", str(stats.media_pending)),
        ("signatures", str(desk.signatures)),
        ("receipt", since(stats.last_receipt_time)),
    ]
    return [{"key": key, "label": texts(f"device.{key}"), "value": value} for key, value in rows]
