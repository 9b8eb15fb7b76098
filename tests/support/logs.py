"""A log on a database of its own, without devices: works that append named leaves, and a look at all rows.

with open_log(url) as log:
    log.run(log.append("device-1", "a", "b"))
    log.check()
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, text

from cloud.log.sequencer import Entry, LogSigner, Place, Sequencer, SignedCheckpoint
from cloud.sources import Sources
from cloud.store import log as rows
from cloud.store.database import Store, StoreOptions
from cloud.store.retries import Retries
from verifield.merkle import MerkleTree, leaf_hash
from verifield.note import check_checkpoint

SIGNER = LogSigner("verifield/log/test", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))

T = TypeVar("T")


@dataclass(frozen=True)
class Sealed:
    """What a seal was given."""

    first: int
    checkpoint: SignedCheckpoint


def leaves(*names: str) -> list[bytes]:
    return [leaf_hash(name.encode()) for name in names]


def many(count: int, prefix: str = "leaf") -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def sealed(connection: Connection, first: int, checkpoint: SignedCheckpoint) -> Sealed:
    """A seal that writes nothing."""
    return Sealed(first, checkpoint)


def adding(*names: str, places: list[Place] | None = None) -> Callable[[Connection], Entry[Sealed]]:
    """A work that reads and writes nothing but its leaves."""
    return lambda _: Entry(leaves(*names), sealed, places or ())


@dataclass
class Log:
    store: Store
    sequencer: Sequencer

    async def append(self, key: str, *names: str) -> Sealed:
        return await self.sequencer.transact(adding(*names), key=key)

    def run(self, *works: Coroutine[Any, Any, T]) -> list[T]:
        """Run these together."""

        async def together() -> list[T]:
            return await asyncio.gather(*works)

        return asyncio.run(together())

    def stored(self) -> list[bytes]:
        """All leaf hashes; their indexes have no hole."""
        found: list[bytes] = []
        with self.store.reading() as connection:
            while piece := rows.list_leaves(connection, len(found)):
                assert [row.log_index for row in piece] == list(range(len(found), len(found) + len(piece)))
                found += [row.leaf_hash for row in piece]
        return found

    def sizes(self) -> list[int]:
        """Of all checkpoints."""
        with self.store.reading() as connection:
            return [row.tree_size for row in rows.list_checkpoints(connection, after=-1, limit=10**6)]

    def tree(self) -> MerkleTree:
        tree = MerkleTree()
        for leaf in self.stored():
            tree.append(leaf)
        return tree

    def check(self) -> None:
        """Every checkpoint is that of the leaves of its size, and the newest one covers them all."""
        tree = self.tree()
        with self.store.reading() as connection:
            kept = rows.list_checkpoints(connection, after=-1, limit=10**6)
            head = rows.get_head(connection)
        for row in kept:
            point = check_checkpoint(row.note, key=SIGNER.key.public_key())
            assert (point.size, point.root) == (row.tree_size, tree.root(row.tree_size))
        assert head == rows.HeadRow(tree.size, kept[-1].note)

    def execute(self, statement: str, **values: object) -> int:
        """Change rows from outside; return how many."""
        with self.store.writing() as connection:
            return connection.execute(text(statement), values).rowcount


def open_store(url: str, retries: Retries | None = None) -> Store:
    """Open it also where the server of the tests does not wait for its disk."""
    return Store.open(url, StoreOptions(require_durable=False, retries=retries or Retries()))


@contextmanager
def open_log(
    url: str, *, signer: LogSigner = SIGNER, retries: Retries | None = None, **options: Any
) -> Iterator[Log]:
    """The log of the database at ``url``; further arguments are those of ``Sequencer.open``."""
    store = open_store(url)
    sources = Sources(now=lambda: datetime.now(UTC), random_bytes=bytes)
    try:
        sequencer = Sequencer.open(store, signer, sources, retries=retries, **options)
        try:
            yield Log(store, sequencer)
        finally:
            sequencer.close()
    finally:
        store.close()
