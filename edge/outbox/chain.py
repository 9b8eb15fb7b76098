"""The device's side of its chains: the head of each epoch, holes and their excuses, the need of a RESET."""

from __future__ import annotations

from edge.errors import StorageError
from edge.model import Hole, Position, ResetReason
from edge.outbox.database import Store, digest, integer
from edge.outbox.holes import Places, find_holes
from edge.outbox.records import HoleReason, RecordState, StoredRecord
from edge.outbox.rows import Records, statement_of
from verifield.chain import ChainBreak, ChainHead, excuses_of, is_reset, position_of
from verifield.v1.attestation_pb2 import Statement

ANY_EPOCH = "SELECT 1 AS there FROM epochs LIMIT 1"
"""Finds nothing in a store that never held a record."""

_EXCUSES = (
    "SELECT e.first_seq, e.last_seq FROM excuses AS e WHERE EXISTS "
    "(SELECT 1 FROM records AS b WHERE b.epoch = e.epoch AND b.seq = e.by_seq) AND NOT EXISTS "
    "(SELECT 1 FROM damaged AS d WHERE d.epoch = e.epoch AND d.seq = e.by_seq)"
)
"""What GAP and TOMBSTONE records give up that are here themselves: a broken one excuses nothing."""


class Chain:
    """The tables ``epochs``, ``excuses`` and ``reset_needed``. Every method may raise StorageError."""

    def __init__(self, store: Store, records: Records) -> None:
        self._store = store
        self._records = records

    def head(self) -> ChainHead | None:
        """Return the newest record's place and digest; None before the first."""
        row = self._store.one("SELECT epoch, seq, sha256 FROM epochs ORDER BY epoch DESC LIMIT 1")
        if row is None:
            return None
        return ChainHead(
            integer(row["epoch"], at_least=1), integer(row["seq"], at_least=1), digest(row["sha256"])
        )

    def confirmed(self) -> Position | None:
        """Return the newest place that a verified receipt covers."""
        row = self._store.one(
            "SELECT epoch, confirmed_seq FROM epochs WHERE confirmed_seq > 0 ORDER BY epoch DESC LIMIT 1"
        )
        return Position(integer(row["epoch"]), integer(row["confirmed_seq"])) if row else None

    def confirmed_seq(self, epoch: int) -> int:
        """Return through where receipts cover ``epoch``; 0 where none does."""
        row = self._store.one("SELECT confirmed_seq FROM epochs WHERE epoch = ?", epoch)
        return integer(row["confirmed_seq"]) if row else 0

    def newest_seq(self, epoch: int) -> int:
        """Return the newest seq that this device made in ``epoch``; 0 where it has none."""
        row = self._store.one("SELECT seq FROM epochs WHERE epoch = ?", epoch)
        return integer(row["seq"]) if row else 0

    def digest_at(self, position: Position) -> bytes | None:
        """Return the digest of the record at ``position``; None where it was purged, lost or never was."""
        record = self._records.at(position)
        if record is not None:
            return record.sha256
        row = self._store.one("SELECT * FROM epochs WHERE epoch = ?", position.epoch)
        if row is not None and row["seq"] == position.seq:
            return digest(row["sha256"])
        if row is not None and row["confirmed_seq"] == position.seq:
            return digest(row["confirmed_sha256"])
        return self._previous_of(position.epoch, position.seq + 1)

    def holes(self, after: Position | None) -> list[Hole]:
        """Return the places of the newest epoch behind ``after`` that no record of ours excuses yet."""
        head = self.head()
        if head is None or (after is not None and after.epoch > head.epoch):
            return []
        after_seq = after.seq if after is not None and after.epoch == head.epoch else 0
        holes = self._find_holes(head, after_seq)
        if any(hole.reason is HoleReason.LOST for hole in holes) and self._index_lost_rows(head.epoch):
            holes = self._find_holes(head, after_seq)
        return holes

    def refused(self) -> list[StoredRecord]:
        """Return the records of the newest epoch that the cloud refused and no TOMBSTONE closes yet."""
        head = self.head()
        if head is None:
            return []
        found = (
            self._records.at(Position(head.epoch, seq))
            for seq in self._refused_openly(head.epoch)
            if seq > self.confirmed_seq(head.epoch)
        )
        return [record for record in found if record is not None]

    def check_may_append(self, statement: Statement, head: ChainHead | None) -> None:
        """Refuse what would hide a loss.

        Raises:
            StorageError: EPOCH_NEEDED, only a RESET may follow.
            ChainBreak: a RESET that does not cite the device's own head.
        """
        if not is_reset(statement):
            self.check_may_go_on()
            return
        cited = statement.device_event.reset
        device_head = position_of(cited.device_head) if cited.HasField("device_head") else None
        if device_head != head:
            raise ChainBreak("The reset does not cite the newest record of the device.")

    def check_may_go_on(self) -> None:
        """Refuse where only a RESET may follow; errors as :meth:`check_may_append`."""
        if self.reset_needed() is not None:
            raise StorageError(
                "EPOCH_NEEDED",
                "Records of this device were lost, and with them the end of its chain.",
                hint="Connect the device and run: verifield-edge sync. It begins a new chain that says so.",
            )

    def advance(self, statement: Statement, head: ChainHead) -> None:
        """Make ``head``, the place of ``statement``, the newest record; within its transaction."""
        if is_reset(statement):
            self._store.execute("DELETE FROM reset_needed")
            self.deliver_again(before_epoch=head.epoch)  # nobody knows what the cloud still has of them
        excuse = excuses_of(statement)
        if excuse is not None:
            self._store.execute(
                "INSERT INTO excuses (epoch, by_seq, first_seq, last_seq, refused) VALUES (?, ?, ?, ?, ?)",
                head.epoch,
                head.seq,
                excuse.first_seq,
                excuse.last_seq,
                excuse.refused,
            )
        self.set_head(head)

    def deliver_again(self, *, before_epoch: int) -> None:
        """Queue what is here of earlier epochs once more, within a transaction; refused ones stay refused."""
        self._store.execute(
            "UPDATE delivery SET state = 'PENDING' "
            "WHERE epoch < ? AND state IN ('DELIVERED', 'CONFIRMED', 'BRANCH')",
            before_epoch,
        )

    def reset_needed(self) -> ResetReason | None:
        """Return why only a RESET may follow; None where the chain may go on."""
        row = self._store.one("SELECT reason FROM reset_needed")
        if row is None:
            return None
        return ResetReason(row["reason"]) if row["reason"] in set(ResetReason) else ResetReason.STORE_LOST

    def need_reset(self, reason: ResetReason) -> None:
        """Refuse everything but a RESET from now on; within a transaction."""
        self._store.put("reset_needed", reason=reason.value)

    def settle(self, mark: ChainHead | None) -> None:
        """Compare the head with the mark beside the store, and mend what one of them lost.

        A mark ahead in the same epoch is taken over: what lies between is lost, and shows as a hole. One
        of a later epoch says that its RESET is lost too, so the chain cannot go on.

        """
        head = self.head()
        if mark is None or head == mark:
            return
        if head is not None and mark.epoch < head.epoch:
            return
        if mark.epoch > (head.epoch if head else 1):
            if not self.reset_needed():
                self._store.write(lambda: self.need_reset(ResetReason.STORE_LOST))
        elif head is None or mark.seq > head.seq:
            self._store.write(lambda: self.set_head(mark))
        elif mark.seq == head.seq:
            self._settle_digest(head, mark)

    def set_head(self, head: ChainHead) -> None:
        """Make ``head`` the newest record of its epoch; within a transaction."""
        self._store.execute(
            "INSERT INTO epochs (epoch, seq, sha256) VALUES (?, ?, ?) "
            "ON CONFLICT (epoch) DO UPDATE SET seq = excluded.seq, sha256 = excluded.sha256",
            head.epoch,
            head.seq,
            head.sha256,
        )

    def _settle_digest(self, head: ChainHead, mark: ChainHead) -> None:
        """One of two digests for the same place is broken: the record itself decides, or else the mark."""
        record = self._records.at(Position(head.epoch, head.seq))
        if record is None or record.sha256 == mark.sha256:
            self._store.write(lambda: self.set_head(mark))

    def _find_holes(self, head: ChainHead, after_seq: int) -> list[Hole]:
        while True:
            places = self._places(head, after_seq)
            holes = list(
                find_holes(
                    places, after_seq=after_seq, previous_of=lambda seq: self._previous_of(head.epoch, seq)
                )
            )
            if self._damaged(head.epoch) == places.damaged:
                return holes  # looking has found no further damage

    def _refused_openly(self, epoch: int) -> list[int]:
        """Return the places of refused records that no TOMBSTONE which is here closes."""
        rows = self._store.all(
            "SELECT seq FROM delivery AS r WHERE epoch = ? AND state = ? AND NOT EXISTS "  # noqa: S608
            f"({_EXCUSES} AND e.epoch = r.epoch AND r.seq BETWEEN e.first_seq AND e.last_seq) ORDER BY seq",
            epoch,
            RecordState.INVALID,
        )
        return [row["seq"] for row in rows]

    def _places(self, head: ChainHead, after_seq: int) -> Places:
        found = self._records.places(Position(head.epoch, after_seq))
        excuses = self._store.all(f"{_EXCUSES} AND e.epoch = ?", head.epoch)
        confirmed_seq = self.confirmed_seq(head.epoch)
        # Its TOMBSTONE was confirmed and purged: a cloud that lost both can only be told of a gap.
        closed = {seq for seq in self._refused_openly(head.epoch) if seq <= confirmed_seq}
        return Places(
            head=head,
            intact=(
                place.position.seq
                for place in found
                if place.position.epoch == head.epoch and place.position.seq not in closed
            ),
            damaged=self._damaged(head.epoch),
            excused=tuple((integer(row["first_seq"]), integer(row["last_seq"])) for row in excuses),
            confirmed_seq=confirmed_seq,
        )

    def _damaged(self, epoch: int) -> frozenset[int]:
        return frozenset(place.seq for place in self._records.damaged_positions() if place.epoch == epoch)

    def _previous_of(self, epoch: int, seq: int) -> bytes | None:
        """Return which digest the record at ``seq`` names as that of its predecessor."""
        record = self._records.at(Position(epoch, seq))
        return statement_of(record).previous_envelope_sha256 if record else None

    def _index_lost_rows(self, epoch: int) -> bool:
        """Look for rows that only the index has lost; rebuild it where there are some."""
        indexed = {place.position.seq for place in self._records.places(Position(epoch, 0))}
        try:
            rows = self._store.all("SELECT seq FROM records NOT INDEXED WHERE epoch = ?", epoch)
        except StorageError:
            return False  # the table is broken as well: what cannot be read is lost
        if all(row["seq"] in indexed for row in rows):
            return False
        self._records.rebuild_indexes()
        return True
