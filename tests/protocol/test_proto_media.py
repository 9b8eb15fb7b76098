"""Files: readable for the service alone, bound to what was encrypted, cut into chunks."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from verifield.errors import Forged, Malformed
from verifield.media import (
    CHUNK_BYTES,
    KEY_BYTES,
    MAX_MEDIA_BYTES,
    OVERHEAD_BYTES,
    chunk_count,
    decrypt_media,
    encrypt_media,
)

KEY = X25519PrivateKey.from_private_bytes(bytes(range(32)))
RECIPIENT = KEY.public_key().public_bytes_raw()


@given(st.binary(min_size=1, max_size=300))
def test_what_goes_in_comes_out_for_the_recipient_alone(content: bytes) -> None:
    data = encrypt_media(content, recipient_key=RECIPIENT)
    assert len(data) == len(content) + OVERHEAD_BYTES
    assert decrypt_media(data, private_key=KEY) == content
    with pytest.raises(Forged):
        decrypt_media(data, private_key=X25519PrivateKey.generate())


def test_the_same_picture_twice_gives_other_bytes() -> None:
    first, second = (encrypt_media(b"picture", recipient_key=RECIPIENT) for _ in range(2))
    assert first != second


def test_every_flipped_bit_shows() -> None:
    data = encrypt_media(b"picture", recipient_key=RECIPIENT)
    for index in range(len(data)):
        damaged = bytearray(data)
        damaged[index] ^= 1
        with pytest.raises(Forged):
            decrypt_media(bytes(damaged), private_key=KEY)


def test_the_sizes_are_limited_on_both_sides() -> None:
    largest = encrypt_media(bytes(MAX_MEDIA_BYTES - OVERHEAD_BYTES), recipient_key=RECIPIENT)
    assert len(largest) == MAX_MEDIA_BYTES
    decrypt_media(largest, private_key=KEY)
    for content in (b"", bytes(MAX_MEDIA_BYTES - OVERHEAD_BYTES + 1)):
        with pytest.raises(Malformed):
            encrypt_media(content, recipient_key=RECIPIENT)
    for data in (b"", bytes(OVERHEAD_BYTES), largest + b"\0"):
        with pytest.raises(Malformed):
            decrypt_media(data, private_key=KEY)


@pytest.mark.parametrize("key", [b"", bytes(KEY_BYTES - 1), bytes(KEY_BYTES + 1), bytes(KEY_BYTES)])
def test_keys_that_are_none_are_refused(key: bytes) -> None:
    """The last one is of small order: everybody knows what it would agree on."""
    with pytest.raises(Malformed) as caught:
        encrypt_media(b"picture", recipient_key=key)
    assert caught.value.code == "MEDIA_KEY"


@pytest.mark.parametrize(
    ("size", "chunks"),
    [(1, 1), (CHUNK_BYTES, 1), (CHUNK_BYTES + 1, 2), (MAX_MEDIA_BYTES, MAX_MEDIA_BYTES // CHUNK_BYTES)],
)
def test_the_last_chunk_may_be_shorter(size: int, chunks: int) -> None:
    assert chunk_count(size) == chunks


@pytest.mark.parametrize("size", [0, -1, MAX_MEDIA_BYTES + 1])
def test_no_file_has_such_a_size(size: int) -> None:
    with pytest.raises(Malformed):
        chunk_count(size)
