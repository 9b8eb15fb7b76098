"""A tree cut into tiles is the same tree: roots and proofs of any size, against two other implementations."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from verifield.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    MAX_TREE_SIZE,
    CompactRange,
    MerkleTree,
    NodeOf,
    check_consistency,
    check_inclusion,
    consistency_proof,
    fold_nodes,
    inclusion_proof,
    leaf_hash,
    root_of,
)
from verifield.tiles import (
    MAX_TILE_LEVEL,
    TILE_BYTES,
    TILE_WIDTH,
    Place,
    RightEdge,
    Tile,
    edge_widths,
    place_of,
    split_hashes,
    tile_tree,
)

MOST = 1300
LARGE = 256 * 256 + 256 * 3 + 7
SIZES = st.integers(0, MOST) | st.sampled_from([255, 256, 257, 511, 512, 513, 1024])


@cache
def leaves(size: int) -> tuple[bytes, ...]:
    return tuple(leaf_hash(b"%d" % number) for number in range(size))


@cache
def tree_of(size: int) -> MerkleTree:
    return tile_tree(leaves(size))


def stored(edge: RightEdge, full: list[Tile]) -> NodeOf:
    """Nodes out of nothing but full tiles and the edge."""
    tiles = {(tile.level, tile.index): tile_tree(split_hashes(tile.hashes)) for tile in full}

    def node(level: int, index: int) -> bytes:
        place = place_of(level, index)
        if edge.is_full(place.level, place.index):
            return place.take(tiles[place.level, place.index])
        return place.take(edge.last_tile(place.level))

    return node


def grow(size: int, cuts: list[int]) -> tuple[RightEdge, list[Tile]]:
    """An edge that was extended piece by piece, each time from a copy."""
    edge, full, done = RightEdge(), [], 0
    for end in [*sorted(cut for cut in cuts if cut < size), size]:
        before, size_before, root_before = edge, edge.size, edge.root()
        edge = edge.copy()
        full += edge.extend(leaves(MOST)[done:end])
        assert (before.size, before.root()) == (size_before, root_before), "a copy shares nothing"
        done = end
    return edge, full


@given(SIZES)
def test_a_compact_range_has_the_roots_of_the_tree_and_of_the_oracle(size: int) -> None:
    edge, oracle = CompactRange(), InmemoryTree(algorithm="sha256")
    for number in range(size):
        assert edge.append(leaves(MOST)[number]) == number
        if number % 101 == 0:
            assert edge.root() == tree_of(MOST).root(number + 1)
    for number in range(size):
        oracle.append_entry(b"%d" % number)
    assert edge.size == size
    assert edge.root() == tree_of(MOST).root(size)
    if size:
        assert edge.root() == oracle.get_root()


@given(SIZES, st.lists(st.integers(0, MOST), max_size=6), st.data())
def test_tiles_and_edge_hold_the_whole_tree(size: int, cuts: list[int], data: st.DataObject) -> None:
    edge, full = grow(size, cuts)
    tree, node = tree_of(MOST), stored(edge, full)
    assert edge.size == size
    assert edge.root() == root_of(size, node) == tree.root(size)
    assert [(tile.level, tile.index) for tile in full if tile.level == 0] == [
        (0, index) for index in range(size // TILE_WIDTH)
    ]
    smaller = data.draw(st.integers(0, size))
    assert root_of(smaller, node) == tree.root(smaller)
    assert consistency_proof(smaller, size, node) == tree.consistency_proof(smaller, size)
    if smaller:
        index = data.draw(st.integers(0, smaller - 1))
        proof = inclusion_proof(index, smaller, node)
        assert proof == tree.inclusion_proof(index, smaller)
        check_inclusion(
            leaf=leaves(MOST)[index], index=index, size=smaller, proof=proof, root=root_of(smaller, node)
        )


@given(st.integers(1, MOST), st.data())
@settings(max_examples=40)
def test_proofs_out_of_tiles_are_those_of_the_oracle(size: int, data: st.DataObject) -> None:
    edge, full = grow(size, [])
    oracle = InmemoryTree(algorithm="sha256")
    for number in range(size):
        oracle.append_entry(b"%d" % number)
    index = data.draw(st.integers(0, size - 1))
    first = data.draw(st.integers(1, size))
    node = stored(edge, full)
    # the oracle counts from one, and its paths begin with the leaf
    assert [leaves(MOST)[index], *inclusion_proof(index, size, node)] == oracle.prove_inclusion(
        index + 1, size
    ).path
    check_consistency(
        first_size=first,
        first_root=oracle.get_root(first),
        second_size=size,
        second_root=oracle.get_root(size),
        proof=consistency_proof(first, size, node),
    )


def test_three_levels_of_tiles() -> None:
    edge, tree = RightEdge(), tree_of(LARGE)
    full = edge.extend(leaves(LARGE))
    counts = [sum(tile.level == level for tile in full) for level in range(3)]
    assert counts == [256 + 3, 1, 0]
    assert [edge.last_tile(level).size for level in range(4)] == [7, 3, 1, 0]
    for tile in full:
        assert len(tile.hashes) == TILE_BYTES
        assert tile.root == tile_tree(split_hashes(tile.hashes)).root()
        assert tile.hashes == b"".join(tree.nodes(8 * tile.level, tile.index * TILE_WIDTH, TILE_WIDTH))
    node = stored(edge, full)
    assert edge.root() == tree.root()
    for index in (0, 255, 256, 65535, 65536, LARGE - 8, LARGE - 1):
        assert inclusion_proof(index, LARGE, node) == tree.inclusion_proof(index, LARGE)
    for first in (1, 256, 65535, 65536, 65537, 66303, LARGE - 1):
        assert consistency_proof(first, LARGE, node) == tree.consistency_proof(first, LARGE)


@given(SIZES)
def test_an_edge_is_read_back_from_its_last_tiles(size: int) -> None:
    edge, full = grow(size, [])
    levels = len(edge_widths(size))
    tiles = [edge.last_tile(level).nodes(0, 0, edge.last_tile(level).size) for level in range(levels)]
    again = RightEdge.load(size, tiles)
    assert (again.size, again.root()) == (size, edge.root())
    more = leaves(MOST + 300)[size : size + 300]
    assert again.extend(more) == edge.copy().extend(more)
    # Hashes of a level above the leaves are the roots of the full tiles below.
    for level in range(1, levels):
        below = [tile.root for tile in full if tile.level == level - 1]
        assert tiles[level] == below[len(below) - len(tiles[level]) :]


def test_an_edge_of_other_tiles_is_refused() -> None:
    one = leaf_hash(b"1")
    for size, tiles in ((1, []), (1, [[one, one]]), (256, [[]]), (257, [[one]]), (0, [[], []])):
        with pytest.raises(ValueError, match="last tiles"):
            RightEdge.load(size, tiles)
    with pytest.raises(ValueError, match="32 bytes"):
        RightEdge.load(1, [[one[:-1]]])
    for size in (-1, MAX_TREE_SIZE + 1):
        with pytest.raises(ValueError, match="no tree has"):
            edge_widths(size)


def test_a_leaf_of_another_length_is_refused() -> None:
    for append in (CompactRange().append, lambda leaf: RightEdge().extend([leaf])):
        for bad in (b"", bytes(HASH_BYTES - 1), bytes(HASH_BYTES + 1)):
            with pytest.raises(ValueError, match="32 bytes"):
                append(bad)


def test_what_is_empty() -> None:
    assert EMPTY_ROOT == RightEdge().root() == CompactRange().root() == fold_nodes([]) == tree_of(0).root()
    assert edge_widths(0) == [0]


def test_where_nodes_stand() -> None:
    assert place_of(0, 0) == Place(0, 0, 0, 0)
    assert place_of(0, 515) == Place(0, 2, 0, 3)
    assert place_of(7, 3) == Place(0, 1, 7, 1)
    assert place_of(8, 3) == Place(1, 0, 0, 3)
    assert place_of(11, 33) == Place(1, 1, 3, 1)
    assert place_of(62, 1) == Place(MAX_TILE_LEVEL, 0, 6, 1)
    assert edge_widths(MAX_TREE_SIZE) == [255] * 7 + [127]
