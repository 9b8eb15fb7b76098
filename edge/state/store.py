"""What the device knows besides its records: policy, orders, news, peripherals, the cloud's last word.

    with StateStore.open(path, device_id=..., key_store=...) as state:
        state.apply_pull(response.items, ...)     # all or nothing, then wipes if it was told to
        policy = state.policy(roots)              # verified anew each time it is read
        state.operators, state.ledger             # in modules of their own

Several processes may have it open: each write takes its turn. What is not the cloud's word is refused,
kept visible, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography import x509

from edge.answers import EarlierRecord
from edge.contact import Arrival, Contact
from edge.errors import StorageError
from edge.model import DocumentType, PeripheralKind
from edge.policy import Policy
from edge.ports import KeyStore
from edge.state.database import StateDatabase, text_of, time_of
from edge.state.documents import DocumentTable
from edge.state.ledger import ManualLedger
from edge.state.news import (
    begin_anew,
    drop_expired,
    end_anew,
    read_item,
    read_known,
    read_lock,
    read_policy,
    write_changes,
)
from edge.state.operators import OperatorTable
from edge.state.pull import AdoptPolicy, KeepItem, Refuse, SetLock, Trust, plan_pull
from edge.state.records import DownItem, ItemKind, LockState, PullOutcome, RefusedItem
from edge.state.signatures import SignatureState, SignatureTable
from verifield.v1 import sync_service_pb2

MAX_EARLIER = 20
"""Earlier records of one document that a person still looks through; more than anybody may fail in a row."""


class StateStore:
    """Open with :meth:`open`; one object for each thread and process. Every method may raise StorageError."""

    def __init__(self, db: StateDatabase, *, device_id: str) -> None:
        self._db = db
        self._device_id = device_id
        self.operators = OperatorTable(db)
        self.ledger = ManualLedger(db)
        self.documents = DocumentTable(db)
        self.signatures = SignatureTable(db)

    @classmethod
    def open(cls, path: Path, *, device_id: str, key_store: KeyStore) -> StateStore:
        """Open this device's store at ``path``, or make it; errors as ``StateDatabase.open``."""
        return cls(StateDatabase.open(path, device_id=device_id, key_store=key_store), device_id=device_id)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # News from the cloud

    def pull_cursor(self) -> str:
        """Where the next pull begins; empty for everything."""
        row = self._db.one("SELECT cursor FROM pull")
        return row["cursor"] if row else ""

    def pull_anew(self) -> None:
        """Let the next pull begin at the beginning: something that is stored here no longer counts."""
        with self._db.writing():
            self._db.put("pull", cursor="")

    def apply_pull(
        self,
        items: Iterable[sync_service_pb2.DownItem],
        *,
        cursor: str,
        server_time: datetime,
        arrival: Arrival,
        certificates: Sequence[bytes],
        roots: Sequence[x509.Certificate],
        wipe: Callable[[], None],
        restarted: bool = False,
        more: bool = False,
        by_hand: bool = False,
    ) -> PullOutcome:
        """Take one page of news that the cloud surely wrote, in one durable transaction.

        ``restarted``: it is the first of everything that the cloud has for us. ``more``: others follow it.
        ``by_hand``: it did not come over our own connection, so it is older, nobody knows how much.
        ``certificates``: of the policy key, DER, leaf first. ``wipe`` destroys the keys of all personal
        data; it is called after the order is durable, and must bear to be called again after a crash.

        Raises:
            StorageError, SetupError: the key for personal data of the page is away or gone. All else in
                the page counts; the cursor stays, so that the page comes again.
        """
        trust = Trust(self._device_id, tuple(certificates), tuple(roots))
        with self._db.writing():
            if restarted:
                begin_anew(self._db)
            changes = plan_pull(items, read_known(self._db, trust, now=server_time), trust)
            fault = write_changes(self._db, changes, trust)
            if fault is None:
                self._db.put("pull", cursor=cursor)
                if not more:
                    end_anew(self._db)
            if by_hand:
                self._put_contact(self._by_hand(server_time, arrival))
            else:
                self._db.run("DELETE FROM revoked")  # the cloud speaks with us
                self._put_contact(Contact(server_time, arrival, arrival))
        wiped = self.finish_wipe(wipe)
        if not more:
            self.scrub()
        if fault is not None and not wiped:
            raise fault
        policies = [change.policy for change in changes if isinstance(change, AdoptPolicy)]
        locks = [change.lock for change in changes if isinstance(change, SetLock)]
        return PullOutcome(
            policy=policies[-1] if policies else None,
            lock=locks[-1] if locks else None,
            wiped=wiped,
            stored=sum(isinstance(change, KeepItem) for change in changes),
            refused=tuple(change.item for change in changes if isinstance(change, Refuse)),
        )

    def check_key(self) -> None:
        """Whether what is sealed here can be read: operators, tasks, documents. After a wipe nothing is.

        Raises:
            StorageError: DATA_KEY_MISSING, DATA_KEY_WRONG and the like.
            SetupError: the key store is away or refuses.
        """
        if not self.lock().wiped:
            self._db.vault.unlock()

    def finish_wipe(self, wipe: Callable[[], None]) -> bool:
        """Carry out an order to wipe that is not done yet; False where there is none.

        To be called whenever the device is opened: the power may have failed right after the order.
        """
        row = self._db.one("SELECT done FROM wipe")
        if row is None or row["done"]:
            return False
        self._db.vault.destroy()  # first: ``wipe`` fails where the key store is away
        wipe()
        with self._db.writing():
            for table in ("down_items", "earlier", "operators", "signatures"):
                self._db.run(f"DELETE FROM {table}")  # noqa: S608
            self._db.run("UPDATE wipe SET done = 1")
        return True

    def items(self, kind: ItemKind) -> list[DownItem]:
        """Return what waits of that kind, by item id."""
        rows = self._db.all(
            "SELECT item_id, content FROM down_items WHERE kind = ? ORDER BY item_id", kind.value
        )
        return [self._read(kind, row) for row in rows]

    def item(self, kind: ItemKind, item_id: str) -> DownItem | None:
        row = self._db.one(
            "SELECT item_id, content FROM down_items WHERE kind = ? AND item_id = ?", kind.value, item_id
        )
        return self._read(kind, row) if row else None

    def count(self, kind: ItemKind) -> int:
        """How many of that kind wait; needs no key."""
        row = self._db.one("SELECT count(*) AS n FROM down_items WHERE kind = ?", kind.value)
        return int(row["n"]) if row else 0

    def drop_expired(self, *, by: datetime) -> int:
        """Forget tasks that have expired at ``by``, a time that it certainly is; return how many."""
        with self._db.writing():
            dropped = drop_expired(self._db, by=by)
        if dropped:
            self.scrub()  # also where no news come any more
        return dropped

    def scrub(self) -> bool:
        """Take what was deleted from the write-ahead log too; False where that is not possible now.

        The last of each news does it: until then, what was deleted may still be read from the file, by
        whoever has this device's keys.
        """
        return self._db.scrub()

    def refused(self) -> list[RefusedItem]:
        """Return what came down and was not believed, newest first; a good item of that id clears it."""
        rows = self._db.all("SELECT kind, item_id, code, message FROM refused ORDER BY id DESC")
        return [RefusedItem(**row) for row in rows]

    # Policy and lock

    def policy(self, roots: Sequence[x509.Certificate]) -> Policy:
        """Return the policy in force: the adopted one, checked anew, or the built-in one before the first.

        Raises:
            StorageError: STATE_POLICY_DAMAGED: what is stored is no longer what the cloud signed.
        """
        try:
            return read_policy(self._db, self._device_id, roots) or Policy()
        except ValueError as error:
            self.pull_anew()
            raise StorageError(
                "STATE_POLICY_DAMAGED",
                f"The stored policy is not what the cloud signed ({error}).",
                hint="Connect the device: the next sync fetches the policy again.",
            ) from None

    def lock(self) -> LockState:
        """Return whether new sessions are forbidden, and why."""
        return read_lock(self._db)

    def note_revoked(self) -> None:
        """Remember that the cloud refused this device for good; its next news undo that."""
        with self._db.writing():
            self._db.put("revoked")

    # The cloud's last word

    def contact(self) -> Contact | None:
        """Return the cloud's last word; None before :meth:`touch` was called for the first time."""
        row = self._db.one("SELECT * FROM contact")
        if row is None:
            return None
        return Contact(
            server_time=time_of(row["server_time"]) if row["server_time"] else None,
            arrival=Arrival(row["arrival_boot_id"], row["arrival_ns"]),
            mark=Arrival(row["mark_boot_id"], row["mark_ns"]),
            uptime_ns=row["uptime_ns"],
        )

    def touch(self, now: Arrival) -> Contact:
        """Note that the device is on, so that this time counts even after a reboot; a few times an hour."""
        with self._db.writing():
            known = self.contact()
            contact = known.until(now) if known else Contact(None, now, now)
            self._put_contact(contact)
        return contact

    def note_word(self, server_time: datetime, arrival: Arrival, *, by_hand: bool = False) -> None:
        """Note a verified receipt's time; one that is not newer than the last word is no new word.

        ``by_hand``: it lay on a stick before it was read, at ``arrival``.
        """
        with self._db.writing():
            known = self.contact()
            if by_hand:
                self._put_contact(self._by_hand(server_time, arrival))
            elif known is None or known.server_time is None or server_time > known.server_time:
                self._put_contact(Contact(server_time, arrival, arrival))

    def unanswered_signatures(self) -> int:
        """How many signatures were made here of which the cloud has not said what became; needs no key."""
        return sum(self.signatures.count(state) for state in (SignatureState.PREPARED, SignatureState.QUEUED))

    # Peripherals and earlier records

    def peripheral(self, kind: PeripheralKind) -> str:
        """Return what was seen last as the device's camera or reader; empty before the first."""
        row = self._db.one("SELECT peripheral_id FROM peripherals WHERE kind = ?", kind.value)
        return row["peripheral_id"] if row else ""

    def note_peripheral(self, kind: PeripheralKind, peripheral_id: str) -> None:
        """Remember what is there now, once the event of the change is recorded."""
        with self._db.writing():
            self._db.upsert("peripherals", kind=kind.value, peripheral_id=peripheral_id)

    def pinned(self, kind: PeripheralKind) -> str:
        """Return the only peripheral of that kind that may be used; empty where any may."""
        row = self._db.one("SELECT peripheral_id FROM pins WHERE kind = ?", kind.value)
        return row["peripheral_id"] if row else ""

    def pin(self, kind: PeripheralKind, peripheral_id: str) -> None:
        """Let no other peripheral of that kind be used from now on; empty lets any."""
        with self._db.writing():
            self._db.upsert("pins", kind=kind.value, peripheral_id=peripheral_id)

    def pseudonym(self, document_type: DocumentType, number: str) -> str:
        """Name a document on this device only, so that its number cannot be found by trying all."""
        return self._db.vault.pseudonym(f"{document_type.value}\0{number}".encode())

    def earlier(self, pseudonym: str) -> list[EarlierRecord]:
        """Return the newest records of one document, newest first, at most 20."""
        rows = self._db.all(
            "SELECT * FROM earlier WHERE pseudonym = ? ORDER BY at DESC LIMIT ?",
            pseudonym,
            MAX_EARLIER,
        )
        return [_earlier_record(row) for row in rows]

    def earlier_with(self, pseudonym: str, outcomes: Collection[str]) -> list[EarlierRecord]:
        """Return the records of one document with one of these outcomes, the last noted first, at most 20.

        What was noted before another record of the document is no later than that one, whatever a clock
        said that ran ahead for a while: such a time neither hides what follows it nor stays in the future.
        """
        rows = self._db.all(
            "SELECT attestation_id, outcome, at, boot_id, monotonic_ns FROM (SELECT rowid AS noted, "  # noqa: S608
            "attestation_id, outcome, min(at) OVER (ORDER BY rowid DESC) AS at, boot_id, monotonic_ns "
            "FROM earlier WHERE pseudonym = ?) "
            f"WHERE outcome IN ({', '.join('?' * len(outcomes))}) ORDER BY noted DESC LIMIT ?",
            pseudonym,
            *outcomes,
            MAX_EARLIER,
        )
        return [_earlier_record(row) for row in rows]

    def note_earlier(self, pseudonym: str, record: EarlierRecord) -> None:
        with self._db.writing():
            self._db.upsert(
                "earlier",
                attestation_id=record.attestation_id,
                pseudonym=pseudonym,
                outcome=record.outcome,
                at=text_of(record.at),
                boot_id=record.boot_id,
                monotonic_ns=record.monotonic_ns,
            )

    def forget_earlier(self, *, before: datetime, mark: Arrival) -> int:
        """Delete what is older by the clock of then, in the boot of ``mark`` by its own; return how many."""
        with self._db.writing():
            return self._db.run(
                "DELETE FROM earlier WHERE CASE boot_id WHEN ? THEN monotonic_ns < ? ELSE at < ? END",
                mark.boot_id,
                mark.monotonic_ns,
                text_of(before),
            )

    def _read(self, kind: ItemKind, row: dict[str, Any]) -> DownItem:
        try:
            return read_item(self._db, kind, **row)
        except StorageError as error:
            if error.code == "DATA_KEY_WRONG":  # as a rule it is this row that a disk has changed
                self.pull_anew()
            raise

    def _by_hand(self, server_time: datetime, now: Arrival) -> Contact:
        return (self.contact() or Contact(None, now, now)).after_word_by_hand(server_time, now)

    def _put_contact(self, contact: Contact) -> None:
        self._db.put(
            "contact",
            server_time=text_of(contact.server_time) if contact.server_time else None,
            arrival_boot_id=contact.arrival.boot_id,
            arrival_ns=contact.arrival.monotonic_ns,
            mark_boot_id=contact.mark.boot_id,
            mark_ns=contact.mark.monotonic_ns,
            uptime_ns=contact.uptime_ns,
        )


def _earlier_record(row: dict[str, Any]) -> EarlierRecord:
    at = time_of(row["at"])
    return EarlierRecord(row["attestation_id"], row["outcome"], at, row["boot_id"], row["monotonic_ns"])
