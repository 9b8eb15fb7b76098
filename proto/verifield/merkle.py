"""Merkle trees of RFC 9162 section 2.1 (the same trees as RFC 6962), with SHA-256."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence

from verifield.errors import Forged, Malformed

HASH_BYTES = 32

MAX_TREE_SIZE = 2**63 - 1
"""Sizes are stored as signed 64-bit integers."""

EMPTY_ROOT = hashlib.sha256(b"").digest()

NodeOf = Callable[[int, int], bytes]
"""Hash of a complete subtree, by level and index: that of the 2**level leaves from index << level on."""


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf's input (RFC 9162, 2.1.1)."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node (RFC 9162, 2.1.1)."""
    return hashlib.sha256(b"\1" + left + right).digest()


class MerkleTree:
    """An append-only tree in memory that keeps every complete subtree's hash: 64 bytes a leaf.

    ``append`` is amortised O(1), roots of any size and proofs are O(log n).
    """

    def __init__(self) -> None:
        self._levels: list[list[bytes]] = [[]]

    @property
    def size(self) -> int:
        return len(self._levels[0])

    def append(self, leaf: bytes) -> int:
        """Append a leaf hash (32 bytes) and return its index."""
        if len(leaf) != HASH_BYTES:
            raise ValueError(f"a leaf hash has {HASH_BYTES} bytes")
        node, level = leaf, 0
        while True:
            if level == len(self._levels):
                self._levels.append([])
            row = self._levels[level]
            row.append(node)
            if len(row) % 2:
                return self.size - 1
            node, level = node_hash(row[-2], row[-1]), level + 1

    def copy(self) -> MerkleTree:
        """Another tree of the same leaves."""
        other = MerkleTree()
        other._levels = [row.copy() for row in self._levels]
        return other

    def root(self, size: int | None = None) -> bytes:
        """Root of the first ``size`` leaves; of all without ``size``.

        Raises:
            ValueError: the tree is smaller than ``size``.
        """
        size = self.size if size is None else size
        self._check_size(size)
        return root_of(size, self._node)

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """Hashes from the sibling of leaf ``index`` upwards, in the tree of ``size`` leaves.

        Raises:
            ValueError: no such leaf, or the tree is smaller than ``size``.
        """
        self._check_size(size)
        return inclusion_proof(index, size, self._node)

    def consistency_proof(self, first: int, second: int) -> list[bytes]:
        """Proof that the tree of ``first`` leaves is a prefix of the tree of ``second`` (RFC 9162, 2.1.4.1).

        Raises:
            ValueError: not 0 <= first <= second <= size.
        """
        self._check_size(second)
        return consistency_proof(first, second, self._node)

    def nodes(self, level: int, first: int, count: int) -> list[bytes]:
        """Hashes of ``count`` complete subtrees of 2**level leaves each, from subtree ``first`` on.

        Raises:
            ValueError: the tree has no such subtrees.
        """
        row = self._levels[level] if 0 <= level < len(self._levels) else []
        if not 0 <= first <= first + count <= len(row):
            raise ValueError(f"level {level} has {len(row)} complete subtrees")
        return row[first : first + count]

    def edge(self) -> list[bytes]:
        """Its largest complete subtrees from left to right, one for each set bit of the size."""
        return [row[-1] for level, row in reversed(list(enumerate(self._levels))) if self.size >> level & 1]

    def _check_size(self, size: int) -> None:
        if not 0 <= size <= self.size:
            raise ValueError(f"no tree of {size}: there are {self.size} leaves")

    def _node(self, level: int, index: int) -> bytes:
        return self._levels[level][index]


class CompactRange:
    """The right edge of an append-only tree: one hash for each set bit of its size, enough to append and to
    take the root. ``append`` is amortised O(1), ``root`` O(log n).
    """

    def __init__(self) -> None:
        self.size = 0
        # Complete subtrees from left to right, which is from the largest to the smallest.
        self._nodes: list[bytes] = []

    def append(self, leaf: bytes) -> int:
        """Append a leaf hash (32 bytes) and return its index."""
        if len(leaf) != HASH_BYTES:
            raise ValueError(f"a leaf hash has {HASH_BYTES} bytes")
        node, index = leaf, self.size
        carry = index
        while carry & 1:
            node = node_hash(self._nodes.pop(), node)
            carry >>= 1
        self._nodes.append(node)
        self.size = index + 1
        return index

    def root(self) -> bytes:
        """Root of all leaves."""
        return fold_nodes(self._nodes)


def fold_nodes(nodes: Sequence[bytes]) -> bytes:
    """Root over complete subtrees side by side, the largest first; without any, that of the empty tree."""
    if not nodes:
        return EMPTY_ROOT
    root = nodes[-1]
    for node in reversed(nodes[:-1]):
        root = node_hash(node, root)
    return root


def root_of(size: int, node: NodeOf) -> bytes:
    """Root of the tree of ``size`` leaves, from the hashes of its complete subtrees."""
    return _subtree(0, size, node) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, node: NodeOf) -> list[bytes]:
    """Hashes from the sibling of leaf ``index`` upwards, in the tree of ``size`` leaves (RFC 9162, 2.1.3.1).

    Raises:
        ValueError: the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    proof: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            proof.append(_subtree(middle, high, node))
            high = middle
        else:
            proof.append(_subtree(low, middle, node))
            low = middle
    return proof[::-1]


def consistency_proof(first: int, second: int, node: NodeOf) -> list[bytes]:
    """Proof that the tree of ``first`` leaves is a prefix of the tree of ``second`` (RFC 9162, 2.1.4.1).

    Raises:
        ValueError: not 0 <= first <= second.
    """
    if not 0 <= first <= second:
        raise ValueError(f"a tree of {first} is no prefix of a tree of {second}")
    if first in {0, second}:
        return []
    proof: list[bytes] = []
    low, high = 0, second
    while high != first:
        middle = low + _split(high - low)
        if first <= middle:
            proof.append(_subtree(middle, high, node))
            high = middle
        else:
            proof.append(_subtree(low, middle, node))
            low = middle
    if low:
        proof.append(_subtree(low, high, node))
    return proof[::-1]


def check_inclusion(*, leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that leaf hash ``leaf`` is number ``index`` of the tree (RFC 9162, 2.1.3.2).

    Raises:
        Malformed: the numbers or the lengths cannot be those of a proof.
        Forged: the proof does not lead to the root.
    """
    if not 0 <= index < size <= MAX_TREE_SIZE:
        raise Malformed("PROOF_RANGE", f"There is no leaf {index} in a tree of {size}.")
    _check_hashes([leaf, root, *proof])
    node, last, result = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise _not_included()
        if node & 1 or node == last:
            result = node_hash(sibling, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = node_hash(result, sibling)
        node, last = node >> 1, last >> 1
    if last or not hmac.compare_digest(result, root):
        raise _not_included()


def check_consistency(
    *, first_size: int, first_root: bytes, second_size: int, second_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the second tree only appends to the first (RFC 9162, 2.1.4.2).

    Raises:
        Malformed: the numbers or the lengths cannot be those of a proof.
        Forged: the second tree is not shown to continue the first.
    """
    if not 0 <= first_size <= second_size <= MAX_TREE_SIZE:
        raise Malformed("PROOF_RANGE", f"A tree of {first_size} is no prefix of a tree of {second_size}.")
    _check_hashes([first_root, second_root, *proof])
    if first_size in {0, second_size}:
        expected = second_root if first_size else EMPTY_ROOT
        if proof or not hmac.compare_digest(first_root, expected):
            raise _not_consistent()
        return
    path = list(proof)
    if first_size & (first_size - 1) == 0:
        path.insert(0, first_root)  # the first tree is one complete subtree, so the proof leaves it out
    if not path:
        raise _not_consistent()
    node, last = first_size - 1, second_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise _not_consistent()
        if node & 1 or node == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        node, last = node >> 1, last >> 1
    if last or not (hmac.compare_digest(first, first_root) and hmac.compare_digest(second, second_root)):
        raise _not_consistent()


def _subtree(low: int, high: int, node: NodeOf) -> bytes:
    """Hash over leaves low to high - 1, where low is a multiple of the subtree's full width."""
    width = high - low
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return node(level, low >> level)
    middle = low + _split(width)
    return node_hash(_subtree(low, middle, node), _subtree(middle, high, node))


def _split(width: int) -> int:
    """Return the largest power of two below ``width``, which is at least 2."""
    return 1 << ((width - 1).bit_length() - 1)


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(value) != HASH_BYTES for value in hashes):
        raise Malformed("PROOF_HASH", f"A hash in the proof does not have {HASH_BYTES} bytes.")


def _not_included() -> Forged:
    return Forged("INCLUSION", "The proof does not show that the record is in the log.")


def _not_consistent() -> Forged:
    return Forged("CONSISTENCY", "The log's newer tree is not shown to continue the older one.")
