"""Checkpoints: round trip, strictness, and notes signed by foreign implementations."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from verifield.errors import Forged, Malformed
from verifield.merkle import MAX_TREE_SIZE, MerkleTree, leaf_hash
from verifield.note import (
    MAX_NOTE_BYTES,
    MAX_NOTE_SIGNATURES,
    Checkpoint,
    check_checkpoint,
    parse_checkpoint,
    sign_checkpoint,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
POINT = Checkpoint("log.test.example/verifield", 42, bytes(range(32)))

# The public test key of the Tessera project's test log, and the checkpoint that its (Go) code signed
# over the fifteen leaves below; both are published with that project.
FOREIGN_KEY = "AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
FOREIGN_LEAVES = b"one two three four five six seven eit nain ten ileven twelf threeten fourten fivten"
FOREIGN_CHECKPOINT = (
    "example.com/log/testdata\n15\nrKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=\n\n"
    "— example.com/log/testdata "
    "M9e0luh4jTG+UMBqOUo9/q+yAEvx1ilBEniMvjf1zfcBOhg+CKubMt53MvIt/uEWP6zdkdIQzd/fmwlM/dlPWF74ewI=\n"
)


def foreign_key() -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(base64.b64decode(FOREIGN_KEY)[1:])


def test_a_checkpoint_of_a_foreign_log_verifies_and_our_tree_has_its_root() -> None:
    checkpoint = check_checkpoint(FOREIGN_CHECKPOINT, key=foreign_key())
    tree = MerkleTree()
    for leaf in FOREIGN_LEAVES.split():
        tree.append(leaf_hash(leaf))
    assert checkpoint == Checkpoint("example.com/log/testdata", 15, tree.root())


@given(
    st.from_regex(r"[a-z]{1,20}\.example(/[a-z0-9-]{1,20})?", fullmatch=True),
    st.integers(0, MAX_TREE_SIZE),
    st.binary(min_size=32, max_size=32),
)
def test_round_trip(origin: str, size: int, root: bytes) -> None:
    checkpoint = Checkpoint(origin, size, root)
    text = sign_checkpoint(checkpoint, key=KEY)
    assert check_checkpoint(text, key=KEY.public_key()) == parse_checkpoint(text) == checkpoint


def test_every_changed_character_is_refused() -> None:
    text = sign_checkpoint(POINT, key=KEY)
    for index, char in enumerate(text):
        for other in {"A", "0", "\n", " ", "é"} - {char}:
            with pytest.raises((Forged, Malformed)):
                check_checkpoint(text[:index] + other + text[index + 1 :], key=KEY.public_key())


def test_a_foreign_key_and_a_foreign_name_are_refused() -> None:
    text = sign_checkpoint(POINT, key=KEY)
    with pytest.raises(Forged):
        check_checkpoint(text, key=Ed25519PrivateKey.generate().public_key())
    other = sign_checkpoint(Checkpoint("other.example", 42, POINT.root), key=KEY)
    body, signature = text.split("\n\n")[0], other.split("\n\n")[1]
    with pytest.raises(Forged):
        check_checkpoint(f"{body}\n\n{signature}", key=KEY.public_key())


def test_signatures_of_witnesses_and_extension_lines_are_allowed() -> None:
    text = sign_checkpoint(POINT, key=KEY)
    witnessed = text + "— witness.example " + base64.b64encode(bytes(76)).decode() + "\n"
    assert check_checkpoint(witnessed, key=KEY.public_key()) == POINT
    body = f"{POINT.origin}\n42\n{base64.b64encode(POINT.root).decode()}\nextension 1\n"
    blob = base64.b64decode(text.rsplit(" ", 1)[1])[:4] + KEY.sign(body.encode())
    extended = f"{body}\n— {POINT.origin} {base64.b64encode(blob).decode()}\n"
    assert check_checkpoint(extended, key=KEY.public_key()) == POINT


def test_a_false_signature_beside_a_good_one_is_refused() -> None:
    text = sign_checkpoint(POINT, key=KEY)
    blob = base64.b64decode(text.rsplit(" ", 1)[1])[:4] + bytes(64)
    with pytest.raises(Forged):
        check_checkpoint(f"{text}— {POINT.origin} {base64.b64encode(blob).decode()}\n", key=KEY.public_key())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "origin\n1\n\n— origin AAAAAAA=\n",
        "a b\n1\n" + "A" * 43 + "=\n\n— a AAAAAAA=\n",
        "a+b\n1\n" + "A" * 43 + "=\n\n— a AAAAAAA=\n",
        "a\x9b\n1\n" + "A" * 43 + "=\n\n— a AAAAAAA=\n",
        "a\n01\n" + "A" * 43 + "=\n\n— a AAAAAAA=\n",
        "a\n-1\n" + "A" * 43 + "=\n\n— a AAAAAAA=\n",
        "a\n1\n" + "A" * 42 + "B=\n\n— a AAAAAAA=\n",  # bits beyond the root
        "a\n1\nAAAA\n\n— a AAAAAAA=\n",
        "a\n1\n" + "A" * 43 + "=\n\n- a AAAAAAA=\n",
        "a\n1\n" + "A" * 43 + "=\n\n— a AAAA\n",
        "a\n1\n" + "A" * 43 + "=\n\n— a AAAAAAA=",
        "a\r\n1\n" + "A" * 43 + "=\n\n— a AAAAAAA=\n",
        f"a\n{MAX_TREE_SIZE + 1}\n" + "A" * 43 + "=\n\n— a AAAAAAA=\n",
    ],
)
def test_what_is_no_checkpoint_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        parse_checkpoint(text)


def test_the_limits_hold_on_both_sides() -> None:
    text = sign_checkpoint(POINT, key=KEY)
    line = "— w.example " + base64.b64encode(bytes(76)).decode() + "\n"
    parse_checkpoint(text + line * (MAX_NOTE_SIGNATURES - 1))
    with pytest.raises(Malformed):
        parse_checkpoint(text + line * MAX_NOTE_SIGNATURES)
    head, _, tail = text.partition("\n\n")
    fill = MAX_NOTE_BYTES - len(text.encode()) - 1
    parse_checkpoint(f"{head}\n{'x' * fill}\n\n{tail}")
    with pytest.raises(Malformed):
        parse_checkpoint(f"{head}\n{'x' * (fill + 1)}\n\n{tail}")


def test_an_origin_that_cannot_be_a_key_name_is_never_signed() -> None:
    with pytest.raises(Malformed):
        sign_checkpoint(Checkpoint("two words", 1, bytes(32)), key=KEY)


@given(st.text(max_size=300))
def test_random_text_is_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        parse_checkpoint(text)
