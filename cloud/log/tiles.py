"""Reads the tree below a view from stored tiles, and believes none that does not lead up to the view.

Each tile must give the hash that the tile above it has in its place, up to the view's own edge, whose root is
signed: a tile that was changed from outside is found out before a proof is made of it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from sqlalchemy import Connection

from cloud.log.view import View, inconsistent
from cloud.store import log as rows
from cloud.store.database import Store
from verifield.merkle import MerkleTree, NodeOf
from verifield.tiles import TILE_BYTES, TILE_HEIGHT, place_of, split_hashes, tile_tree

TILES_KEPT = 256
"""In memory, with the nodes above their hashes: 10 MiB. The newest ones, which most proofs are made of, and
the few upper ones that every proof crosses, stay among them."""

_Key = tuple[int, int]


class TileReader:
    """Full tiles of one log, the last ones used in memory. For any thread."""

    def __init__(self, store: Store, *, kept: int = TILES_KEPT) -> None:
        self._store = store
        self._kept = kept
        self._tiles: OrderedDict[_Key, MerkleTree] = OrderedDict()
        self._lock = threading.Lock()

    def nodes(self, view: View, connection: Connection | None = None) -> NodeOf:
        """The hashes of complete subtrees of the view's tree; read with ``connection`` where that sees them.

        The function raises LogInconsistentError where a tile is missing or damaged.
        """

        def node(level: int, index: int) -> bytes:
            place = place_of(level, index)
            return place.take(self.tile(view, place.level, place.index, connection))

        return node

    def tile(self, view: View, level: int, index: int, connection: Connection | None = None) -> MerkleTree:
        """The tree over the hashes of a tile of the view's tree, maybe its last one. Not to be changed.

        Raises:
            LogInconsistentError: it is missing or damaged.
        """
        if not view.edge.is_full(level, index):
            return view.edge.last_tile(level)
        key = level, index
        with self._lock:
            found = self._tiles.get(key)
            if found is not None:
                self._tiles.move_to_end(key)
                return found
        tile = self._read(level, index, connection)
        above = place_of((level + 1) * TILE_HEIGHT, index)
        if tile.root() != above.take(self.tile(view, above.level, above.index, connection)):
            raise inconsistent(f"tile {index} of level {level} is damaged")
        with self._lock:
            self._tiles[key] = tile
            while len(self._tiles) > self._kept:
                self._tiles.popitem(last=False)
        return tile

    def _read(self, level: int, index: int, connection: Connection | None) -> MerkleTree:
        hashes = rows.get_tile(connection, level, index) if connection is not None else None
        if hashes is None:  # a transaction that began before the tile was full does not see it
            with self._store.reading() as fresh:
                hashes = rows.get_tile(fresh, level, index)
        if hashes is None or len(hashes) != TILE_BYTES:
            raise inconsistent(f"tile {index} of level {level} is missing or damaged")
        return tile_tree(split_hashes(hashes))
