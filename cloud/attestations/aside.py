"""What is kept beside a device's chain, within its limits, and the alarms that tell of it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from sqlalchemy import Connection

from cloud.attestations.ingest import Aside
from cloud.attestations.limits import (
    MAX_BRANCH_BYTES,
    MAX_BRANCH_RECORDS,
    MAX_DAMAGED_KEPT_BYTES,
    MAX_DAMAGED_RECORDS,
    MAX_REFUSED_BYTES,
    MAX_REFUSED_RECORDS,
    MAX_SIDE_CONTENT_BYTES,
)
from cloud.attestations.record import Place
from cloud.sources import Sources
from cloud.store import alarms, side
from verifield.v1 import device_service_pb2 as pb

_LIMITS = {
    pb.SIDE_RECORD_KIND_REFUSED: (MAX_REFUSED_RECORDS, MAX_REFUSED_BYTES),
    pb.SIDE_RECORD_KIND_BRANCH: (MAX_BRANCH_RECORDS, MAX_BRANCH_BYTES),
    pb.SIDE_RECORD_KIND_DAMAGED: (MAX_DAMAGED_RECORDS, MAX_DAMAGED_KEPT_BYTES),
}

_DIGEST_IS_ENOUGH = {pb.SIDE_RECORD_KIND_REFUSED, pb.SIDE_RECORD_KIND_DAMAGED}
"""Of these something is known without their bytes; a branch is genuine, and kept whole or by the device."""


class AsideBook:
    """The side records and alarms of one device in one transaction."""

    def __init__(self, connection: Connection, device_id: str, *, now_us: int, sources: Sources) -> None:
        self._connection = connection
        self._device_id = device_id
        self._now_us = now_us
        self._sources = sources

    def keep(self, asides: Sequence[Aside], *, limited: bool = True) -> set[bytes]:
        """Keep what is not kept already, and raise its alarms; return digests for which there is no room."""
        return {
            digest
            for kind in sorted({one.kind for one in asides})
            for digest in self._keep(kind, [one for one in asides if one.kind == kind], limited=limited)
        }

    def keep_damaged(self, pieces: Sequence[tuple[Place, bytes]]) -> None:
        """Keep what failing disks left over, as far as there is room: a GAP tells of each anyway."""
        kind = pb.SIDE_RECORD_KIND_DAMAGED
        self.keep(
            [Aside(kind, place, sha256(content).digest(), content, "DAMAGED") for place, content in pieces]
        )

    def raise_alarm(self, kind: pb.AlarmKind.ValueType, place: Place, reason: str) -> None:
        """Tell of an event that is in the chain, so that there are no more alarms than records."""
        epoch, seq = place
        alarms.add_alarm(
            self._connection,
            alarms.AlarmRow(
                device_id=self._device_id,
                alarm_id=self._sources.uuid7(),
                kind=kind,
                raised_us=self._now_us,
                chain_epoch=epoch,
                seq=seq,
                reason=reason,
            ),
        )

    def raise_at_place(self, kind: pb.AlarmKind.ValueType, place: Place, reason: str) -> None:
        """Tell of an event once, however often its turn comes."""
        epoch, seq = place
        if not alarms.was_raised(self._connection, self._device_id, kind=kind, chain_epoch=epoch, seq=seq):
            self.raise_alarm(kind, place, reason)

    def has_open(self, kind: pb.AlarmKind.ValueType) -> bool:
        """Whether nobody has acknowledged an alarm of this kind."""
        return alarms.has_open(self._connection, self._device_id, kind=kind)

    def _keep(
        self, kind: pb.SideRecordKind.ValueType, asides: Sequence[Aside], *, limited: bool
    ) -> set[bytes]:
        known = side.known_side_records(
            self._connection, self._device_id, kind=kind, digests={one.sha256 for one in asides}
        )
        fill = side.fill_of(self._connection, self._device_id, kind)
        records, size = fill.records, fill.content_bytes
        most_records, most_bytes = _LIMITS[kind]
        rows: list[side.SideRow] = []
        no_room: set[bytes] = set()
        for one in asides:
            if (one.sha256, one.place) in known:
                continue
            known.add((one.sha256, one.place))
            if one.alarm is not None:
                self._raise_unless_open(one.alarm, one.place, one.reason)
            content = one.content[:MAX_SIDE_CONTENT_BYTES]
            too_much = limited and size + len(content) > most_bytes
            if limited and (records >= most_records or (too_much and kind not in _DIGEST_IS_ENOUGH)):
                no_room.add(one.sha256)
                continue
            if too_much:
                content = b""
            records, size = records + 1, size + len(content)
            rows.append(self._to_row(one, content))
        side.add_side_records(self._connection, rows)
        return no_room

    def _raise_unless_open(self, kind: pb.AlarmKind.ValueType, place: Place, reason: str) -> None:
        """Tell of what a device may do without end: once, until a person has looked."""
        if not alarms.has_open(self._connection, self._device_id, kind=kind, chain_epoch=place[0]):
            self.raise_alarm(kind, place, reason)

    def _to_row(self, one: Aside, content: bytes) -> side.SideRow:
        epoch, seq = one.place
        return side.SideRow(
            device_id=self._device_id,
            sha256=one.sha256,
            kind=one.kind,
            chain_epoch=epoch,
            seq=seq,
            record_id=self._sources.uuid7(),
            reason=one.reason,
            received_us=self._now_us,
            content=content,
        )
