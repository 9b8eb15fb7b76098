"""What one server knows of the log: its newest checkpoint, and the right edge of the tree under it.

A view is never changed; a newer one takes its place. It is believed because its edge gives the root that
the log's key has signed, whatever the rows are that it was read from.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection

from cloud.errors import SetupError
from cloud.store import log as rows
from verifield.errors import VerifieldError
from verifield.note import Checkpoint, check_checkpoint, sign_checkpoint
from verifield.tiles import TILE_HEIGHT, RightEdge, edge_widths


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


@dataclass(frozen=True, slots=True)
class View:
    """``edge`` is the right edge of the tree under ``checkpoint``; not to be changed."""

    checkpoint: SignedCheckpoint
    edge: RightEdge

    @property
    def size(self) -> int:
        return self.checkpoint.size


def sign_edge(connection: Connection, edge: RightEdge, signer: LogSigner, *, signed_us: int) -> View:
    """Sign the tree of ``edge`` and keep the checkpoint; the head is the caller's."""
    note = sign_checkpoint(Checkpoint(signer.origin, edge.size, edge.root()), key=signer.key)
    rows.add_checkpoint(connection, tree_size=edge.size, note=note, signed_us=signed_us)
    return View(SignedCheckpoint(edge.size, note), edge)


def read_view(connection: Connection, signer: LogSigner) -> View | None:
    """Read the log's end and check it against the head; None where there is no log yet.

    Raises:
        LogInconsistentError: LOG_INCONSISTENT, where the rows are not what was signed last.
    """
    head, newest = rows.get_head(connection), rows.last_checkpoint(connection)
    last_leaf = rows.newest_index(connection)
    if head is None:
        if newest is None and last_leaf is None:
            return None
        raise inconsistent("its head is gone")
    if head != newest:
        raise inconsistent("its head is not its newest checkpoint")
    if (last_leaf is None and head.tree_size) or (last_leaf is not None and last_leaf + 1 != head.tree_size):
        count = 0 if last_leaf is None else last_leaf + 1
        raise inconsistent(f"it has {count} leaves and a checkpoint over {head.tree_size}")
    try:
        edge = RightEdge.load(head.tree_size, _last_tiles(connection, head.tree_size))
    except ValueError as error:
        raise inconsistent("leaves or tiles at its end are missing or damaged") from error
    return _checked(head, edge, signer)


def advance_view(connection: Connection, view: View, head: rows.HeadRow | None, signer: LogSigner) -> View:
    """The view at ``head``, reached from ``view`` over the leaves between them: so the log only grew.

    Raises:
        LogInconsistentError: LOG_INCONSISTENT, where the log is no more the one that was published.
    """
    if head is None:
        raise inconsistent("its head is gone")
    if head.tree_size == view.size:
        if head.note != view.checkpoint.note:
            raise inconsistent(f"another checkpoint over its {view.size} leaves was published")
        return view
    if head.tree_size < view.size:
        raise inconsistent(f"it ends at {head.tree_size} leaves, and {view.size} were published")
    edge = view.edge.copy()
    try:
        for leaves in rows.leaf_hashes(connection, view.size, head.tree_size):
            edge.extend(leaves)
    except ValueError as error:
        raise inconsistent("a leaf is damaged") from error
    return _checked(head, edge, signer)


class LogInconsistentError(SetupError):
    """The log's rows contradict what its key has signed: nothing may be appended any more."""


def inconsistent(why: str) -> LogInconsistentError:
    """The fault, with its reason in half a sentence."""
    return LogInconsistentError(
        "LOG_INCONSISTENT",
        f"The log does not agree with what it has signed: {why}.",
        hint="Do not go on with this database: restore it from a backup, and find out who changed it.",
    )


def check_note(note: str, signer: LogSigner) -> Checkpoint:
    """A stored checkpoint, if this log's key signed it.

    Raises:
        LogInconsistentError: LOG_INCONSISTENT.
    """
    try:
        checkpoint = check_checkpoint(note, key=signer.key.public_key())
    except VerifieldError as error:
        raise inconsistent("a checkpoint is not signed by this log's key") from error
    if checkpoint.origin != signer.origin:
        raise inconsistent("a checkpoint is that of another log")
    return checkpoint


def _last_tiles(connection: Connection, size: int) -> list[list[bytes]]:
    """The hashes in the last tile of each level: leaves, and above them the roots of full tiles."""
    tiles = []
    for level, width in enumerate(edge_widths(size)):
        first = (size >> TILE_HEIGHT * level) - width
        if level:
            tiles.append(rows.tile_roots(connection, level - 1, first, width))
        else:
            tiles.append([leaf for piece in rows.leaf_hashes(connection, first, size) for leaf in piece])
    return tiles


def _checked(head: rows.HeadRow, edge: RightEdge, signer: LogSigner) -> View:
    checkpoint = check_note(head.note, signer)
    if not checkpoint.size == head.tree_size == edge.size:
        raise inconsistent(f"it has {edge.size} leaves and a checkpoint over {checkpoint.size}")
    if checkpoint.root != edge.root():
        raise inconsistent("its leaves do not give the root of its last checkpoint")
    return View(SignedCheckpoint(checkpoint.size, head.note), edge)
