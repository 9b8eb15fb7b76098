"""Objects: files that belong to persons, each sealed with a key of its own, which the person's key seals.

    file        sealed with the object's key, in pieces (cloud.privacy.streams); named by its digest
    row         the object's key and the digest of the content, sealed under the person's key

A file is durable before the row that names it is written; without the row nobody can open it, and the sweep
takes it away after a grace. Who erases a person makes the rows useless at once, and the sweep takes their
files and rows. Files of objects that were dropped stay for the grace: a backup that is being made still
copies them. Where a service has several stores, see ``cloud.objects.replicas``; each opening of an object is
an event of the audit trail.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from itertools import islice
from typing import Protocol

from sqlalchemy import Connection

from cloud.access.call import CALL
from cloud.errors import Reason, ServiceError
from cloud.objects.files import Backend
from cloud.objects.guard import Role
from cloud.objects.inflow import Inflow
from cloud.objects.kinds import DOCUMENTS, MediaType, sniff
from cloud.objects.replicas import Replicas
from cloud.persons import Persons
from cloud.privacy.sealing import Place, SealBrokenError, SealKey
from cloud.privacy.streams import seal_pieces, unseal_pieces
from cloud.sources import Sources, to_us
from cloud.store import objects as rows
from cloud.store import replicas as replica_rows
from cloud.store.database import Store
from cloud.store.objects import ObjectRow
from cloud.store.schema import objects
from cloud.store.sealed import SealedTable

SEALED = SealedTable(objects, key="object_id", person="person_id", sealed=("opener",))
"""For erasing a person."""

MAX_BYTES = 16 * 1024 * 1024
"""Of one object that somebody sends: a scan of some pages. A call may allow less, or more."""

MAX_KEPT_BYTES = 64 * 1024 * 1024
"""Of any object: a long document with many signatures."""

READ_ACTION = "objects.read"
"""How the audit trail calls the opening of an object."""

GRACE = timedelta(hours=1)
"""Far longer than from a file to its row, and than a backup copies from its database to its last file."""

SWEPT_AT_ONCE = 500

_MAGIC = b"vfobj1"
_KEY_BYTES = 32
_OPENER = "opener"


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """What others keep of an object. ``sha256``: of the content as it came."""

    object_id: str
    sha256: bytes
    size: int
    media_type: str


@dataclass(frozen=True, slots=True)
class Staged:
    """A sealed file that no row names yet: keep it within a transaction, or forget it."""

    ref: ObjectRef
    person_id: str
    sealed_sha256: bytes
    key: bytes = field(repr=False)
    there: frozenset[str] = frozenset()
    """The stores that have the file."""


class Reads(Protocol):
    """Who is told that something is about to be read (``cloud.audit.trail``)."""

    def record_read(self, *, action: str, subject: str, caller: str, request_id: str) -> None: ...


class Objects:
    """Any thread may use it. ``reads``: None for commands and tests alone, where no audit trail runs.

    ``backup_grace``: how long stores for backups keep what was dropped, for as long as an older backup of
    the database may be restored with them.
    """

    def __init__(
        self,
        files: Backend | Replicas,
        persons: Persons,
        sources: Sources,
        *,
        reads: Reads | None = None,
        backup_grace: timedelta = GRACE,
    ) -> None:
        self._files = files if isinstance(files, Replicas) else Replicas.single(files)
        self._inflow = Inflow()
        self._persons = persons
        self._sources = sources
        self._reads = reads
        self._backup_grace = backup_grace

    def put(self, connection: Connection, *, person_id: str, media_type: str, content: bytes) -> ObjectRef:
        """Keep what the service made itself, in the caller's transaction.

        Raises:
            ServiceError: OBJECT_TOO_LARGE, OBJECT_NO_ROOM, PERSON_ERASED.
        """
        return self.keep(connection, self.stage(content, person_id=person_id, media_type=media_type))

    async def receive(
        self,
        chunks: AsyncIterator[bytes],
        *,
        person_id: str,
        limit: int = MAX_BYTES,
        kinds: frozenset[MediaType] = DOCUMENTS,
    ) -> Staged:
        """Take what somebody sends, of one of ``kinds`` and at most ``limit`` bytes; then :meth:`keep` it.

        Raises:
            ServiceError: OBJECT_TOO_LARGE, OBJECT_TYPE_REFUSED, OBJECT_NO_ROOM, OBJECTS_BUSY.
        """
        with self._inflow.one(person_id) as held:
            content = bytearray()
            async for chunk in chunks:
                _check_size(len(content) + len(chunk), limit)
                held.add(len(chunk))
                content += chunk
            return await asyncio.to_thread(self.take, bytes(content), person_id=person_id, kinds=kinds)

    def take(
        self,
        content: bytes,
        *,
        person_id: str,
        limit: int = MAX_BYTES,
        kinds: frozenset[MediaType] = DOCUMENTS,
    ) -> Staged:
        """As :meth:`receive`, for what came at once."""
        _check_size(len(content), limit)
        return self.stage(content, person_id=person_id, media_type=sniff(content, kinds=kinds))

    def stage(self, content: bytes, *, person_id: str, media_type: str) -> Staged:
        """Seal a content and write its file, durably; outside of transactions, which would wait for it."""
        _check_size(len(content), MAX_KEPT_BYTES)
        key = self._sources.random_bytes(_KEY_BYTES)
        sealed = b"".join(seal_pieces(io.BytesIO(content), key=key, magic=_MAGIC))
        placed = self._files.place(sealed)
        ref = ObjectRef(self._sources.uuid7(), sha256(content).digest(), len(content), str(media_type))
        return Staged(ref, person_id, placed.digest, key, placed.there)

    def keep(self, connection: Connection, staged: Staged) -> ObjectRef:
        """Write the row of a staged file, and which stores lack it, in the caller's transaction.

        Raises:
            ServiceError: PERSON_ERASED.
        """
        person = self._persons.key_of(connection, staged.person_id)
        ref, now_us = staged.ref, to_us(self._sources.now())
        rows.add_object(
            connection,
            ObjectRow(
                object_id=ref.object_id,
                person_id=staged.person_id,
                opener=self._persons.seal_bytes(person, _place(ref.object_id), staged.key + ref.sha256),
                sealed_sha256=staged.sealed_sha256,
                media_type=ref.media_type,
                size_bytes=ref.size,
                created_us=now_us,
            ),
        )
        replica_rows.note_kept(connection, staged.sealed_sha256, staged.there, now_us=now_us)
        return ref

    def settle(self, store: Store, staged: Staged) -> None:
        """Take a staged file away again where no row names it: what was refused does not fill the disk.

        Only where it is known that the transaction has ended, one way or the other; else the sweep does it.
        """
        with store.reading() as connection:
            known = rows.known_digests(connection, [staged.sealed_sha256])
        if not known:
            self._files.delete(staged.sealed_sha256)

    def count_dropped(self, connection: Connection, person_id: str) -> int:
        """How many files of a person were dropped and still lie on the disk."""
        return rows.count_dropped(connection, person_id)

    def find(self, connection: Connection, object_ids: Collection[str]) -> dict[str, ObjectRef]:
        """What is known of these; those that are gone, or whose person was erased, are left out."""
        found = rows.get_objects(connection, object_ids)
        keys = self._persons.keys_of(connection, {row.person_id for row in found.values()})
        refs = {}
        for row in found.values():
            opener = self._opener(row, keys.get(row.person_id))
            if opener is not None:
                refs[row.object_id] = ObjectRef(
                    row.object_id, opener[_KEY_BYTES:], row.size_bytes, row.media_type
                )
        return refs

    def open(self, connection: Connection, object_id: str) -> bytes:
        """The content, checked against its digests; that somebody reads it is noted before.

        Raises:
            ServiceError: OBJECT_NOT_FOUND: dropped, or its person was erased. OBJECT_DAMAGED; STORES_AWAY.
                STORE_UNAVAILABLE while reads cannot be noted.
        """
        row, opener = self._find(connection, object_id)
        if self._reads is not None:
            call = CALL.get(None)
            self._reads.record_read(
                action=READ_ACTION,
                subject=f"objects/{object_id}",
                caller=call.caller.path if call and call.caller else "service",
                request_id=call.request_id if call else "",
            )
        return _unseal(self._files.open(bytes(row.sealed_sha256)), opener)

    def confirm(self, connection: Connection, object_id: str) -> ObjectRef:
        """Read an object back from the local stores before something is called complete; shown to nobody.

        As many stores have it as a file must be on, each with the digest that it was put with, and its
        content is what came. ``connection`` may be that of the transaction which keeps it. This reads the
        disks: call it where nobody waits for the transaction.

        Raises:
            ServiceError: OBJECT_NOT_FOUND, OBJECT_DAMAGED; STORES_AWAY: too few stores answer.
        """
        row, opener = self._find(connection, object_id)
        content = _unseal(self._files.confirm(bytes(row.sealed_sha256)), opener)
        return ObjectRef(object_id, sha256(content).digest(), len(content), row.media_type)

    def drop(self, connection: Connection, object_id: str) -> None:
        """Let go of one; nobody can open it once the caller's transaction is committed."""
        rows.drop_object(connection, object_id, now_us=to_us(self._sources.now()))

    def sweep(self, store: Store) -> int:
        """Take away files and rows that nothing can open; return how many there were."""
        before_us = to_us(self._sources.now() - GRACE)
        done = 0
        with store.reading() as connection:
            gone = rows.gone_objects(connection, dropped_before_us=before_us, limit=SWEPT_AT_ONCE)
        if gone:
            digests = [bytes(row.sealed_sha256) for row in gone]
            store.run(lambda connection: self._forget(connection, gone))
            for digest in digests:
                self._files.delete(digest)
        old = self._files.list_before(before_us)
        while digests := list(islice(old, SWEPT_AT_ONCE)):
            with store.reading() as connection:
                known = rows.known_digests(connection, digests)
            for digest in set(digests) - known:
                self._files.delete(digest)
                done += 1
        return done + len(gone)

    def _forget(self, connection: Connection, gone: list[ObjectRow]) -> None:
        """Rows go, and with them stands which stores have to let go of the files, each in its time."""
        now = self._sources.now()
        due = {Role.BACKUP: now + self._backup_grace, Role.LOCAL: now, Role.OFFSITE: now}
        replica_rows.drop(
            connection,
            [bytes(row.sealed_sha256) for row in gone],
            due_us={int(role): to_us(moment) for role, moment in due.items()},
        )
        rows.forget_objects(connection, [row.object_id for row in gone])

    def _find(self, connection: Connection, object_id: str) -> tuple[ObjectRow, bytes]:
        """Row and opener of one.

        Raises:
            ServiceError: OBJECT_NOT_FOUND.
        """
        row = rows.get_objects(connection, [object_id]).get(object_id)
        keys = self._persons.keys_of(connection, [row.person_id]) if row else {}
        opener = self._opener(row, keys.get(row.person_id)) if row else None
        if row is None or opener is None:
            raise ServiceError(Reason.OBJECT_NOT_FOUND, "There is no such file, or no more.")
        return row, opener

    def _opener(self, row: ObjectRow, key: SealKey | None) -> bytes | None:
        try:
            return self._persons.open_bytes(key, _place(row.object_id), row.opener)
        except SealBrokenError as error:
            raise _damaged() from error


def _unseal(sealed: bytes, opener: bytes) -> bytes:
    """The content of a file.

    Raises:
        ServiceError: OBJECT_DAMAGED.
    """
    key, digest = opener[:_KEY_BYTES], opener[_KEY_BYTES:]
    try:
        content = b"".join(unseal_pieces(io.BytesIO(sealed), key=key, magic=_MAGIC))
    except SealBrokenError as error:
        raise _damaged() from error
    if sha256(content).digest() != digest:
        raise _damaged()
    return content


def _place(object_id: str) -> Place:
    return Place("objects", _OPENER, object_id)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise ServiceError(
            Reason.OBJECT_TOO_LARGE, f"A file may have at most {limit} bytes here.", {"limit": str(limit)}
        )


def _damaged() -> ServiceError:
    return ServiceError(Reason.OBJECT_DAMAGED, "The file is not what was put there.")
