"""Sealed values, the key ring, blind indexes, masks: what protects personal data, each by itself."""

from __future__ import annotations

import json
import os
import stat
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.errors import SetupError
from cloud.keyfiles import locked
from cloud.privacy.blind import BLIND_BYTES, blind, candidates, first_of_version
from cloud.privacy.masks import mask_email, mask_id_number, mask_name, mask_phone
from cloud.privacy.normal import normal_email, normal_id_number, normal_name, normal_phone
from cloud.privacy.ring import INDEX, LOCK_FILE, RETIRE_AFTER, RING_FILE, SEAL, KeyRing
from cloud.privacy.sealing import (
    Place,
    SealBrokenError,
    SealKey,
    seal,
    seal_text,
    sealed_version,
    unseal,
    unseal_text,
)

KEY = SealKey(7, bytes(range(32)))
PLACE = Place("users", "display_name", "user-1")
LATER_US = 6 + RETIRE_AFTER // timedelta(microseconds=1)


@given(st.binary(max_size=300))
def test_what_was_sealed_is_read_back_and_not_seen(content: bytes) -> None:
    sealed = seal(KEY, PLACE, content, random_bytes=os.urandom)
    assert unseal(KEY, PLACE, sealed) == content
    assert sealed_version(sealed) == 7
    assert len(content) < 8 or content not in sealed
    assert sealed != seal(KEY, PLACE, content, random_bytes=os.urandom)


@pytest.mark.parametrize(
    ("key", "place"),
    [
        (SealKey(7, bytes(32)), PLACE),
        (SealKey(8, KEY.secret), PLACE),
        (KEY, Place("users", "display_name", "user-2")),
        (KEY, Place("users", "subject", "user-1")),
        (KEY, Place("orgs", "display_name", "user-1")),
        # The parts cannot run into each other.
        (KEY, Place("users", "display_nameu", "ser-1")),
    ],
)
def test_another_key_or_place_is_refused(key: SealKey, place: Place) -> None:
    sealed = seal_text(KEY, PLACE, "Li Wei", random_bytes=os.urandom)
    with pytest.raises(SealBrokenError):
        unseal(key, place, sealed)


def test_no_byte_of_a_sealed_value_can_be_changed_and_none_left_out() -> None:
    sealed = seal_text(KEY, PLACE, "Li Wei", random_bytes=os.urandom)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(SealBrokenError):
            unseal(KEY, PLACE, bytes(changed))
        with pytest.raises(SealBrokenError):
            unseal(KEY, PLACE, sealed[:place])
    with pytest.raises(SealBrokenError):
        unseal(KEY, PLACE, sealed + b"\0")


def test_errors_and_keys_show_nothing() -> None:
    sealed = seal_text(KEY, PLACE, "Li Wei", random_bytes=os.urandom)
    with pytest.raises(SealBrokenError) as caught:
        unseal(SealKey(7, bytes(32)), PLACE, sealed)
    assert "Li Wei" not in str(caught.value)
    assert "user-1" not in str(caught.value)
    assert str(KEY.secret) not in repr(KEY)


def test_without_a_key_there_is_nothing_to_read() -> None:
    sealed = seal_text(KEY, PLACE, "Li Wei", random_bytes=os.urandom)
    assert unseal_text(KEY, PLACE, sealed) == "Li Wei"
    assert unseal_text(None, PLACE, sealed) is None


def open_ring(keys: Path) -> KeyRing:
    return KeyRing.open(keys, now_us=5, random_bytes=os.urandom)


def test_the_ring_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    ring = open_ring(tmp_path)
    assert stat.S_IMODE((tmp_path / RING_FILE).stat().st_mode) == 0o600
    again = open_ring(tmp_path)
    for family in (SEAL, INDEX):
        assert ring.current(family) == again.current(family)
        assert [key.version for key in ring.versions(family)] == [1]
    assert ring.current(SEAL).secret != ring.current(INDEX).secret
    assert str(ring.current().secret) not in repr(ring.versions(SEAL))


def test_a_server_notices_what_another_one_rotated(tmp_path: Path) -> None:
    one, two = open_ring(tmp_path), open_ring(tmp_path)
    first = one.current()
    assert one.rotate(SEAL, now_us=6, random_bytes=os.urandom) == 2
    assert two.current().version == 2
    assert two.current() == one.current()
    assert two.key(1) == first
    assert two.current(INDEX).version == 1
    one.retire(SEAL, 1, now_us=LATER_US)
    with pytest.raises(SetupError) as caught:
        two.key(1)
    assert caught.value.code == "RING_VERSION_LOST"
    assert one.rotate(SEAL, now_us=7, random_bytes=os.urandom) == 3  # numbers do not come again


def test_who_only_reads_the_ring_does_not_wait_for_a_backup(tmp_path: Path) -> None:
    """Else a service could not be started while one is made, for hours."""
    open_ring(tmp_path)
    opened = threading.Thread(target=open_ring, args=(tmp_path,), daemon=True)
    with locked(tmp_path / LOCK_FILE):
        opened.start()
        opened.join(10)
        assert not opened.is_alive()


def test_a_version_is_retired_only_when_nothing_from_before_the_newest_can_run(tmp_path: Path) -> None:
    ring, told = open_ring(tmp_path), list[str]()
    ring.rotate(SEAL, now_us=6, random_bytes=os.urandom, tell=lambda version: told.append(f"new {version}"))

    def tell(version: int) -> None:
        assert ring.key(version).version == version  # it is still there
        told.append(f"old {version}")

    with pytest.raises(SetupError) as caught:
        ring.retire(SEAL, 1, now_us=LATER_US - 1, tell=tell)
    assert caught.value.code == "RING_VERSION_IN_USE"
    assert told == ["new 2"]  # nothing is told of what is not done
    ring.retire(SEAL, 1, now_us=LATER_US, tell=tell)
    assert told == ["new 2", "old 1"]


def test_nothing_changes_where_it_cannot_be_told(tmp_path: Path) -> None:
    ring = open_ring(tmp_path)

    def refuse(_version: int) -> None:
        raise LookupError("the database is away")

    with pytest.raises(LookupError):
        ring.rotate(SEAL, now_us=6, random_bytes=os.urandom, tell=refuse)
    assert [key.version for key in ring.versions(SEAL)] == [1]
    with pytest.raises(SetupError) as caught:
        KeyRing(tmp_path / "nowhere").rotate(SEAL, now_us=6, random_bytes=os.urandom)
    assert caught.value.code == "KEYS_UNUSABLE"


def test_the_version_in_use_and_one_that_is_not_there_cannot_be_retired(tmp_path: Path) -> None:
    ring = open_ring(tmp_path)
    with pytest.raises(SetupError) as caught:
        ring.retire(SEAL, 1, now_us=LATER_US)
    assert caught.value.code == "RING_VERSION_IN_USE"
    with pytest.raises(SetupError) as caught:
        ring.retire(INDEX, 9, now_us=LATER_US)
    assert caught.value.code == "RING_VERSION_LOST"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"seal": [], "index": []}',
        b'{"seal": [{"version": 1, "created_us": 1, "secret": "AAAA"}], "index": []}',
        b"\xff",
    ],
)
def test_a_damaged_ring_stops_the_start(tmp_path: Path, content: bytes) -> None:
    open_ring(tmp_path)
    (tmp_path / RING_FILE).write_bytes(content)
    with pytest.raises(SetupError) as caught:
        open_ring(tmp_path)
    assert caught.value.code == "KEYS_UNUSABLE"


def test_a_ring_with_a_version_twice_is_damaged(tmp_path: Path) -> None:
    open_ring(tmp_path)
    content = json.loads((tmp_path / RING_FILE).read_bytes())
    content["seal"] *= 2
    (tmp_path / RING_FILE).write_text(json.dumps(content))
    with pytest.raises(SetupError):
        open_ring(tmp_path)


def test_blind_values_find_equal_values_of_one_column_only(tmp_path: Path) -> None:
    ring = open_ring(tmp_path)
    value = blind(ring, "persons", "id_number", "11010119900307123X")
    assert len(value) == BLIND_BYTES
    assert value == blind(ring, "persons", "id_number", "11010119900307123X")
    assert value != blind(ring, "persons", "id_number", "110101199003071239")
    assert value != blind(ring, "persons", "phone", "11010119900307123X")
    assert value != blind(ring, "accounts", "id_number", "11010119900307123X")
    assert b"1101" not in value


def test_look_up_goes_on_while_the_index_key_changes(tmp_path: Path) -> None:
    ring = open_ring(tmp_path)
    old = blind(ring, "persons", "phone", "13812345678")
    ring.rotate(INDEX, now_us=6, random_bytes=os.urandom)
    new = blind(ring, "persons", "phone", "13812345678")
    assert candidates(ring, "persons", "phone", "13812345678") == [new, old]
    assert old < first_of_version(2) <= new


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("110101199003071239", "110*************39"),
        ("E12345678", "E12****78"),
        ("E1234567", "********"),
        ("", ""),
    ],
)
def test_masked_id_numbers(number: str, shown: str) -> None:
    assert mask_id_number(number) == shown


@pytest.mark.parametrize(
    ("phone", "shown"),
    [
        ("13812345678", "138****5678"),
        ("+86 13812345678", "+86 138****5678"),
        ("+8613812345678", "+86*******5678"),
        ("1234567890", "**********"),
    ],
)
def test_masked_phones(phone: str, shown: str) -> None:
    assert mask_phone(phone) == shown


@pytest.mark.parametrize(
    ("address", "shown"),
    [("anna@example.org", "a***@example.org"), ("@example.org", "***"), ("anna", "***"), ("", "***")],
)
def test_masked_addresses(address: str, shown: str) -> None:
    assert mask_email(address) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("王小明", "**明"),
        ("王明", "*明"),
        ("王", "*"),
        ("Anna Maria Schmidt", "A** M** S**"),
        ("Bartholomew", "B**"),
        ("", "*"),
    ],
)
def test_masked_names(name: str, shown: str) -> None:
    assert mask_name(name) == shown


@given(st.text(min_size=5, max_size=60))
def test_masks_never_show_the_whole_value(text: str) -> None:
    for mask in (mask_id_number, mask_phone):
        shown = mask(text)
        assert shown != text or set(text) == {"*"}
    assert len(mask_id_number(text)) == len(text)


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("11010119900307123x", "11010119900307123X"),
        ("１１０１０１ 19900307-123ｘ", "11010119900307123X"),
        ("\u200b110101–199003\u00a007123X", "11010119900307123X"),
    ],
)
def test_one_form_of_id_numbers(typed: str, normal: str) -> None:
    assert normal_id_number(typed) == normal


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        ("138 1234 5678", "13812345678"),
        ("138-1234-5678", "13812345678"),
        ("＋86 (138) 1234.5678", "+8613812345678"),
        ("0086 13812345678", "+8613812345678"),
    ],
)
def test_one_form_of_phones(typed: str, normal: str) -> None:
    assert normal_phone(typed) == normal


@pytest.mark.parametrize(
    ("typed", "normal"),
    [
        (" Anna@Example.ORG ", "anna@example.org"),
        ("anna@bücher.example", "anna@xn--bcher-kva.example"),
        ("no address", "noaddress"),
    ],
)
def test_one_form_of_addresses(typed: str, normal: str) -> None:
    assert normal_email(typed) == normal


@pytest.mark.parametrize(
    ("typed", "normal"),
    [(" LI  Wei", "li wei"), ("阿不都・热合曼", "阿不都·热合曼"), ("阿不都•热合曼", "阿不都·热合曼")],
)
def test_one_form_of_names(typed: str, normal: str) -> None:
    assert normal_name(typed) == normal


@given(st.text(st.characters(categories=["L", "N", "Zs", "Pd"]), max_size=40))
def test_a_normal_form_is_its_own_normal_form(text: str) -> None:
    for normal in (normal_id_number, normal_name):
        assert normal(normal(text)) == normal(text)
