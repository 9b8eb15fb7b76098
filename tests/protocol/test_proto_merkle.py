"""The tree against an independent implementation, a foreign log, and every single-bit lie."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from verifield.errors import Forged, Malformed
from verifield.merkle import (
    EMPTY_ROOT,
    MAX_TREE_SIZE,
    MerkleTree,
    check_consistency,
    check_inclusion,
    leaf_hash,
    node_hash,
)

SIZES = st.integers(1, 70)


def build(size: int) -> MerkleTree:
    tree = MerkleTree()
    for number in range(size):
        assert tree.append(leaf_hash(b"%d" % number)) == number
    return tree


def build_oracle(size: int) -> InmemoryTree:
    oracle = InmemoryTree(algorithm="sha256")
    for number in range(size):
        oracle.append_entry(b"%d" % number)
    return oracle


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


def test_hashes_are_those_of_the_rfc() -> None:
    assert hashlib.sha256().digest() == EMPTY_ROOT == MerkleTree().root()
    assert leaf_hash(b"") == hashlib.sha256(b"\0").digest()
    assert node_hash(b"l" * 32, b"r" * 32) == hashlib.sha256(b"\1" + b"l" * 32 + b"r" * 32).digest()


def test_the_tree_of_seven_has_the_shape_that_the_rfc_draws() -> None:
    """RFC 9162, section 2.1.5: the example tree and the proofs that it lists."""
    tree = build(7)
    a, b, c, d, e, f, j = (leaf_hash(b"%d" % number) for number in range(7))
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, l_ = node_hash(g, h), node_hash(i, j)
    assert tree.root() == node_hash(k, l_)
    assert tree.inclusion_proof(0, 7) == [b, h, l_]
    assert tree.inclusion_proof(3, 7) == [c, g, l_]
    assert tree.inclusion_proof(4, 7) == [f, j, k]
    assert tree.inclusion_proof(6, 7) == [i, k]
    assert tree.consistency_proof(3, 7) == [c, d, g, l_]
    assert tree.consistency_proof(4, 7) == [l_]
    assert tree.consistency_proof(6, 7) == [i, j, k]


@given(SIZES, st.data())
def test_roots_and_proofs_equal_the_oracle(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    first = data.draw(st.integers(1, size))
    tree, oracle = build(size), build_oracle(size)
    assert tree.root() == oracle.get_root()
    assert tree.root(first) == oracle.get_root(first)
    # the oracle counts from one, and its paths begin with what they start from
    inclusion = oracle.prove_inclusion(index + 1, size).path
    assert [leaf_hash(b"%d" % index), *tree.inclusion_proof(index, size)] == inclusion
    check_consistency(  # the oracle's proofs of growth have another form, so its roots judge ours
        first_size=first,
        first_root=oracle.get_root(first),
        second_size=size,
        second_root=oracle.get_root(size),
        proof=tree.consistency_proof(first, size),
    )


@given(SIZES, st.data())
def test_every_leaf_is_proved_and_every_lie_is_refused(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    bit = data.draw(st.integers(0, 255))
    tree = build(size)
    leaf, proof, root = leaf_hash(b"%d" % index), tree.inclusion_proof(index, size), tree.root()
    check_inclusion(leaf=leaf, index=index, size=size, proof=proof, root=root)
    lies = [
        {"leaf": flip(leaf, bit)},
        {"root": flip(root, bit)},
        {"proof": [*proof, root]},
        {"index": index + 1 if index + 1 < size else index - 1} if size > 1 else {"root": flip(root, 0)},
    ]
    lies += [{"proof": [*proof[:n], flip(proof[n], bit), *proof[n + 1 :]]} for n in range(len(proof))]
    lies += [{"proof": proof[:-1]}] if proof else []
    for lie in lies:
        claim = {"leaf": leaf, "index": index, "size": size, "proof": proof, "root": root} | lie
        with pytest.raises(Forged):
            check_inclusion(**claim)  # type: ignore[arg-type]


@given(SIZES, st.data())
def test_growth_is_proved_and_every_lie_is_refused(second: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, second))
    bit = data.draw(st.integers(0, 255))
    tree = build(second)
    truth = {
        "first_size": first,
        "first_root": tree.root(first),
        "second_size": second,
        "second_root": tree.root(second),
        "proof": tree.consistency_proof(first, second),
    }
    check_consistency(**truth)  # type: ignore[arg-type]
    proof = tree.consistency_proof(first, second)
    lies: list[dict[str, object]] = [
        {"first_root": flip(tree.root(first), bit)},
        {"proof": [*proof, bytes(32)]},
    ]
    lies += [{"second_root": flip(tree.root(second), bit)}] if first else []
    lies += [{"proof": [*proof[:n], flip(proof[n], bit), *proof[n + 1 :]]} for n in range(len(proof))]
    lies += [{"proof": proof[:-1]}] if proof else []
    for lie in lies:
        with pytest.raises(Forged):
            check_consistency(**(truth | lie))  # type: ignore[arg-type]


def test_a_rewritten_log_cannot_prove_that_it_grew() -> None:
    honest, rewritten = build(6), MerkleTree()
    for number in range(9):
        rewritten.append(leaf_hash(b"%d" % (number if number != 2 else 99)))
    with pytest.raises(Forged) as caught:
        check_consistency(
            first_size=6,
            first_root=honest.root(),
            second_size=9,
            second_root=rewritten.root(),
            proof=rewritten.consistency_proof(6, 9),
        )
    assert caught.value.code == "CONSISTENCY"


@pytest.mark.parametrize(
    "lie",
    [
        {"index": 3},
        {"index": -1},
        {"size": 0},
        {"size": MAX_TREE_SIZE + 1},
        {"leaf": bytes(31)},
        {"root": b""},
        {"proof": [bytes(33)]},
    ],
)
def test_what_cannot_be_an_inclusion_proof_is_malformed(lie: dict[str, object]) -> None:
    claim: dict[str, object] = {
        "leaf": bytes(32),
        "index": 0,
        "size": 3,
        "proof": [bytes(32)] * 2,
        "root": bytes(32),
    }
    with pytest.raises(Malformed):
        check_inclusion(**(claim | lie))  # type: ignore[arg-type]


@pytest.mark.parametrize(("first", "second"), [(4, 3), (-1, 3), (1, MAX_TREE_SIZE + 1)])
def test_what_cannot_be_a_consistency_proof_is_malformed(first: int, second: int) -> None:
    with pytest.raises(Malformed):
        check_consistency(
            first_size=first, first_root=bytes(32), second_size=second, second_root=bytes(32), proof=[]
        )


def test_the_largest_tree_is_within_the_limit() -> None:
    with pytest.raises(Forged):
        check_inclusion(leaf=bytes(32), index=0, size=MAX_TREE_SIZE, proof=[bytes(32)] * 63, root=bytes(32))


def test_asking_for_what_the_tree_does_not_have_is_an_error_of_the_caller() -> None:
    tree = build(3)
    for ask in (
        lambda: tree.root(4),
        lambda: tree.root(-1),
        lambda: tree.inclusion_proof(3, 3),
        lambda: tree.inclusion_proof(0, 4),
        lambda: tree.consistency_proof(3, 2),
        lambda: tree.consistency_proof(-1, 2),
        lambda: tree.append(bytes(31)),
    ):
        with pytest.raises(ValueError, match=r"tree|leaf|prefix"):
            ask()
    assert tree.size == 3


def test_proofs_stay_short_in_a_large_tree() -> None:
    tree = build(5000)
    assert len(tree.inclusion_proof(4321, 5000)) <= 13
    assert len(tree.consistency_proof(1234, 5000)) <= 14


def test_nodes_are_the_complete_subtrees_of_a_level() -> None:
    tree = build(11)
    for level, width in ((0, 1), (1, 2), (2, 4), (3, 8)):
        count = 11 // width
        assert tree.nodes(level, 0, count) == [_root_of(number * width, width) for number in range(count)]
        assert tree.nodes(level, count, 0) == []
        for first, many in ((0, count + 1), (count, 1), (-1, 1), (1, -1)):
            with pytest.raises(ValueError, match="complete subtrees"):
                tree.nodes(level, first, many)
    for level in (-1, 4):
        with pytest.raises(ValueError, match="complete subtrees"):
            tree.nodes(level, 0, 1)


def _root_of(first: int, width: int) -> bytes:
    tree = MerkleTree()
    for number in range(first, first + width):
        tree.append(leaf_hash(b"%d" % number))
    return tree.root()
