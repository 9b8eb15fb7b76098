"""The one writer of the log: gives out places, signs checkpoints, and commits both with the caller's rows.

A transaction appends to the tree in memory, signs the new checkpoint and commits leaves, checkpoint
and the caller's rows together. Readers see only what is published, and publishing comes after the
commit; when the commit fails, the tree is read again from the database before the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from cloud.errors import Reason, ServiceError, SetupError
from cloud.sources import Sources, to_us
from cloud.store import log as rows
from cloud.store.database import Store
from verifield.errors import VerifieldError
from verifield.merkle import MerkleTree
from verifield.note import Checkpoint, check_checkpoint, sign_checkpoint

TILE_HEIGHT = 8
TILE_WIDTH = 2**TILE_HEIGHT
"""A tile has the hashes of 256 nodes of one level; each level of tiles is 8 levels of the tree."""

MAX_TILE_LEVEL = 7
"""Trees have at most 2**63 leaves."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LogSigner:
    """``origin`` names the log in its checkpoints and is the name of ``key``."""

    origin: str
    key: Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """``note`` is the signed text for the tree of ``size`` leaves."""

    size: int
    note: str


class LogWriter:
    """The log inside one transaction."""

    def __init__(
        self,
        connection: Connection,
        *,
        tree: MerkleTree,
        signer: LogSigner,
        published: SignedCheckpoint,
        signed_us: int,
    ) -> None:
        self._connection = connection
        self._tree = tree
        self._signer = signer
        self._signed_us = signed_us
        self.checkpoint = published

    def append(self, leaf_hashes: Sequence[bytes]) -> int:
        """Append leaves, sign the new checkpoint, and return the first leaf's index."""
        first = self._tree.size
        if leaf_hashes:
            rows.add_leaves(self._connection, first, leaf_hashes)
            for leaf_hash in leaf_hashes:
                self._tree.append(leaf_hash)
            self.checkpoint = _sign(self._connection, self._tree, self._signer, signed_us=self._signed_us)
        return first


class Sequencer:
    """Owns the tree. One instance for each database: the data directory's lock sees to that."""

    def __init__(
        self,
        store: Store,
        signer: LogSigner,
        sources: Sources,
        *,
        tree: MerkleTree,
        published: SignedCheckpoint,
    ) -> None:
        self._store = store
        self._signer = signer
        self._sources = sources
        # One thread: transactions follow each other, whatever becomes of their callers.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sequencer")
        self._tree = tree
        self._published = published

    @classmethod
    def open(cls, store: Store, signer: LogSigner, sources: Sources) -> Sequencer:
        """Read the log and check it against its last signed checkpoint.

        Raises:
            SetupError: leaves or checkpoint were changed, lost or added from outside.
        """
        with store.writing() as connection:
            tree = _read_tree(connection)
            note = rows.last_checkpoint(connection)
            if note is None and tree.size == 0:
                published = _sign(connection, tree, signer, signed_us=to_us(sources.now()))
            else:
                published = _check_self(tree, note, signer)
        return cls(store, signer, sources, tree=tree, published=published)

    @property
    def published(self) -> SignedCheckpoint:
        """The newest checkpoint whose leaves are durable."""
        return self._published

    async def transact(self, work: Callable[[Connection, LogWriter], T]) -> T:
        """Run ``work`` in the log's next transaction, in its thread; return once it is durable."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)

    async def settled(self) -> SignedCheckpoint:
        """What is published once the transactions so far have ended.

        A row can be read as soon as it is committed, a moment before its checkpoint is published.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: self._published)

    def close(self) -> None:
        """Let the transaction that runs come to its end, and begin no other."""
        self._thread.shutdown(cancel_futures=True)

    def inclusion_proof(self, index: int, size: int = 0) -> tuple[int, list[bytes]]:
        """Tree size (the published one for 0) and hashes.

        Raises:
            ServiceError: outside the published tree.
        """
        size = self._check_size(size)
        if index >= size:
            raise ServiceError(Reason.LOG_RANGE, f"The tree of {size} has no leaf {index}.")
        return size, self._tree.inclusion_proof(index, size)

    def consistency_proof(self, first: int, second: int = 0) -> tuple[int, list[bytes]]:
        """Second tree size (the published one for 0) and hashes.

        Raises:
            ServiceError: outside the published tree, or in the wrong order.
        """
        second = self._check_size(second)
        if first > second:
            raise ServiceError(Reason.LOG_RANGE, f"A tree of {first} is no prefix of a tree of {second}.")
        return second, self._tree.consistency_proof(first, second)

    def tile(self, level: int, index: int, width: int) -> list[bytes]:
        """Hashes of a tile of the published tree (C2SP tlog-tiles); width 0 for a full one.

        Raises:
            ServiceError: the published tree has no such tile.
        """
        count = width or TILE_WIDTH
        first = index * TILE_WIDTH
        height = level * TILE_HEIGHT
        known = level <= MAX_TILE_LEVEL and width < TILE_WIDTH
        if not known or (first + count) << height > self._published.size:
            raise ServiceError(
                Reason.LOG_RANGE, f"The log of {self._published.size} leaves has no such tile."
            )
        return self._tree.nodes(height, first, count)

    def _check_size(self, size: int) -> int:
        if size > self._published.size:
            raise ServiceError(Reason.LOG_RANGE, f"The log has {self._published.size} leaves, not {size}.")
        return size or self._published.size

    def _run(self, work: Callable[[Connection, LogWriter], T]) -> T:
        with self._store.writing() as connection:
            if self._tree.size != self._published.size:  # the last transaction did not get through
                self._tree, self._published = self._read_again(connection)
            writer = LogWriter(
                connection,
                tree=self._tree,
                signer=self._signer,
                published=self._published,
                signed_us=to_us(self._sources.now()),
            )
            result = work(connection, writer)
        self._published = writer.checkpoint
        return result

    def _read_again(self, connection: Connection) -> tuple[MerkleTree, SignedCheckpoint]:
        """Read what the database has, which must be what was published, or have grown out of it."""
        tree = _read_tree(connection)
        found = _check_self(tree, rows.last_checkpoint(connection), self._signer)
        size = self._published.size
        if tree.size < size or tree.root(size) != self._tree.root(size):
            raise _inconsistent(f"it is no more the log whose first {size} leaves were published")
        return tree, found


def _read_tree(connection: Connection) -> MerkleTree:
    tree = MerkleTree()
    for leaf in rows.all_leaves(connection):
        if leaf.log_index != tree.size or len(leaf.leaf_hash) != 32:
            raise _inconsistent(f"leaf {tree.size} is missing or damaged")
        tree.append(leaf.leaf_hash)
    return tree


def _check_self(tree: MerkleTree, note: str | None, signer: LogSigner) -> SignedCheckpoint:
    if note is None:
        raise _inconsistent("it has leaves but no checkpoint")
    try:
        checkpoint = check_checkpoint(note, key=signer.key.public_key())
    except VerifieldError as error:
        raise _inconsistent("its last checkpoint is not signed by this log's key") from error
    if checkpoint.origin != signer.origin or checkpoint.size != tree.size:
        raise _inconsistent(f"it has {tree.size} leaves and a checkpoint over {checkpoint.size}")
    if checkpoint.root != tree.root():
        raise _inconsistent("its leaves do not give the root of its last checkpoint")
    return SignedCheckpoint(checkpoint.size, note)


def _sign(connection: Connection, tree: MerkleTree, signer: LogSigner, *, signed_us: int) -> SignedCheckpoint:
    note = sign_checkpoint(Checkpoint(signer.origin, tree.size, tree.root()), key=signer.key)
    rows.add_checkpoint(connection, tree_size=tree.size, note=note, signed_us=signed_us)
    return SignedCheckpoint(tree.size, note)


def _inconsistent(why: str) -> SetupError:
    return SetupError(
        "LOG_INCONSISTENT",
        f"The log does not agree with what it has signed: {why}.",
        hint="Do not go on with this database: restore it from a backup, and find out who changed it.",
    )
