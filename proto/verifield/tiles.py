"""A log's tree cut into tiles of 256 hashes (C2SP tlog-tiles): where a node stands, and how tiles come about.

Tile (level, index) holds the hashes of 256 complete subtrees of 256**level leaves each. A tile that is full
never changes; what is in no full tile is the tree's right edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from verifield.merkle import HASH_BYTES, MAX_TREE_SIZE, MerkleTree, fold_nodes

TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
"""A tile has the hashes of 256 nodes of one level; each level of tiles is 8 levels of the tree."""

TILE_BYTES = TILE_WIDTH * HASH_BYTES

MAX_TILE_LEVEL = 7
"""Trees have at most 2**63 leaves."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A full tile: ``hashes`` of its nodes one behind the other, ``root`` the one over all of them."""

    level: int
    index: int
    hashes: bytes
    root: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands: in a tile, ``height`` levels above its hashes, at ``position`` from the left."""

    level: int
    index: int
    height: int
    position: int

    def take(self, tile: MerkleTree) -> bytes:
        """The node's hash, from the tree over the tile's hashes."""
        [found] = tile.nodes(self.height, self.position, 1)
        return found


def place_of(level: int, index: int) -> Place:
    """The place of the complete subtree ``index`` of 2**level leaves."""
    height = level % TILE_HEIGHT
    first = index << height
    return Place(level // TILE_HEIGHT, first // TILE_WIDTH, height, (first % TILE_WIDTH) >> height)


def split_hashes(hashes: bytes) -> list[bytes]:
    """The hashes of a tile."""
    return [hashes[start : start + HASH_BYTES] for start in range(0, len(hashes), HASH_BYTES)]


def tile_tree(hashes: Sequence[bytes]) -> MerkleTree:
    """The small tree over the hashes of a tile, in which every node of it can be read.

    Raises:
        ValueError: a hash does not have 32 bytes.
    """
    tree = MerkleTree()
    for one in hashes:
        tree.append(one)
    return tree


class RightEdge:
    """What of a tree is in no full tile: enough to append and to take the root, under 256 hashes a level."""

    def __init__(self) -> None:
        self.size = 0
        # The last tile of each level, never full; those above the highest are empty.
        self._tiles = [MerkleTree()]

    @classmethod
    def load(cls, size: int, tiles: Sequence[Sequence[bytes]]) -> RightEdge:
        """The edge of a tree of ``size`` leaves; ``tiles``: by level, the hashes that its last tile has.

        Raises:
            ValueError: these are not the hashes that such a tree has in its last tiles.
        """
        if [len(hashes) for hashes in tiles] != edge_widths(size):
            raise ValueError(f"a tree of {size} has other last tiles")
        edge = cls()
        edge.size = size
        edge._tiles = [tile_tree(hashes) for hashes in tiles]
        return edge

    def copy(self) -> RightEdge:
        """Another edge of the same tree, to go on from."""
        other = RightEdge()
        other.size = self.size
        other._tiles = [tile.copy() for tile in self._tiles]
        return other

    def extend(self, leaves: Sequence[bytes]) -> list[Tile]:
        """Append leaf hashes; return the tiles that this has filled, those of lower levels first."""
        full: list[Tile] = []
        for leaf in leaves:
            tile = self._tiles[0]
            tile.append(leaf)
            if tile.size == TILE_WIDTH:
                self._close(0, full)
            self.size += 1
        return full

    def root(self) -> bytes:
        """Root of the whole tree."""
        nodes: list[bytes] = []
        for tile in reversed(self._tiles):
            nodes += tile.edge()
        return fold_nodes(nodes)

    def last_tile(self, level: int) -> MerkleTree:
        """The tile of this level that is not full, maybe empty. Not to be changed."""
        return self._tiles[level] if level < len(self._tiles) else MerkleTree()

    def is_full(self, level: int, index: int) -> bool:
        """Whether this tile of the tree is full, so that it is not part of the edge."""
        return index < self.size >> TILE_HEIGHT * (level + 1)

    def _close(self, level: int, full: list[Tile]) -> None:
        tile = self._tiles[level]
        index = self.size >> TILE_HEIGHT * (level + 1)
        closed = Tile(level, index, b"".join(tile.nodes(0, 0, TILE_WIDTH)), tile.root())
        full.append(closed)
        self._tiles[level] = MerkleTree()
        if level + 1 == len(self._tiles):
            self._tiles.append(MerkleTree())
        above = self._tiles[level + 1]
        above.append(closed.root)
        if above.size == TILE_WIDTH:
            self._close(level + 1, full)


def edge_widths(size: int) -> list[int]:
    """How many hashes the last tile of each level has in a tree of ``size``; the highest level's come last.

    Raises:
        ValueError: no tree has this size.
    """
    if not 0 <= size <= MAX_TREE_SIZE:
        raise ValueError(f"no tree has {size} leaves")
    widths = [size % TILE_WIDTH]
    while size >= TILE_WIDTH:
        size //= TILE_WIDTH
        widths.append(size % TILE_WIDTH)
    return widths
