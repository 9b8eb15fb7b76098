"""What is checked offline: archives that somebody changed, and badges with other words beside them."""

from __future__ import annotations

import io
import os
import random
import struct
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from cloud.authority import Authority
from verifield.archive import ARCHIVE_TYPE, MANIFEST_NAME, check_archive
from verifield.badge import BADGE_TYPE, STATUS_TYPE, check_badge
from verifield.dsse import encode_envelope, pae
from verifield.errors import VerifieldError
from verifield.v1 import badge_pb2 as pb

SOAK = int(os.environ.get("VERIFIELD_SOAK", "1"))
NOW = datetime(2026, 11, 2, 8, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 10**6
DAY_US = 86_400 * 10**6
FILES = {
    "application.json": b"{}",
    "result.pdf": b"%PDF" + b"x" * 500,
    "material/01-id.jpg": bytes(range(200)),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.open(tmp_path_factory.mktemp("service"), server_names=(), now=NOW - timedelta(days=1))


def signed(
    authority: Authority, kind: str, payload: bytes, *, key: ec.EllipticCurvePrivateKey | None = None
) -> bytes:
    key = key or authority.certification_key
    signature = key.sign(pae(kind, payload), ec.ECDSA(SHA256()))
    return encode_envelope(payload_type=kind, payload=payload, signatures=[signature])


def chain(authority: Authority) -> list[bytes]:
    return authority.chain_of(authority.certification.certificate)


def manifest(authority: Authority, files: dict[str, bytes] = FILES) -> bytes:
    listed = pb.ArchiveManifest(
        result_id="r",
        application_id="a",
        decided_us=NOW_US,
        files=[
            pb.ArchivedFile(name=name, size_bytes=len(content), sha256=sha256(content).digest())
            for name, content in files.items()
        ],
    )
    envelope = signed(authority, ARCHIVE_TYPE, listed.SerializeToString())
    return pb.SignedManifest(envelope=envelope, certificates=chain(authority)).SerializeToString()


def packed(authority: Authority, files: dict[str, bytes] = FILES, *, kind: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", kind) as archive:
        archive.writestr(MANIFEST_NAME, manifest(authority))
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def refusal(content: bytes, authority: Authority) -> str:
    with pytest.raises(VerifieldError) as error:
        check_archive(io.BytesIO(content), roots=[authority.root])
    return error.value.code


def changes() -> Iterator[tuple[str, dict[str, bytes]]]:
    yield "added", FILES | {"more.txt": b"x"}
    yield "removed", {name: content for name, content in FILES.items() if name != "result.pdf"}
    yield "renamed", {("other.pdf" if name == "result.pdf" else name): FILES[name] for name in FILES}
    yield "climbing", FILES | {"../../evil": b"x"}
    yield "folder", FILES | {"material/": b""}
    yield "none", {}


@pytest.mark.parametrize(("what", "files"), list(changes()))
def test_files_that_came_went_or_got_another_name_are_found(
    authority: Authority, what: str, files: dict[str, bytes]
) -> None:
    assert check_archive(io.BytesIO(packed(authority)), roots=[authority.root]).application_id == "a"
    assert refusal(packed(authority, files), authority) == "ARCHIVE_FILES", what


def test_swapped_contents_and_two_files_of_one_name_are_found(authority: Authority) -> None:
    swapped = FILES | {"application.json": FILES["result.pdf"], "result.pdf": FILES["application.json"]}
    assert refusal(packed(authority, swapped), authority) == "ARCHIVE_DIGEST"
    target = io.BytesIO(packed(authority))
    with zipfile.ZipFile(target, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("result.pdf", b"another")
    assert refusal(target.getvalue(), authority) == "ARCHIVE"


def test_a_bomb_is_not_unpacked(authority: Authority) -> None:
    bomb = FILES | {"result.pdf": bytes(300 * 1024 * 1024)}
    content = packed(authority, bomb, kind=zipfile.ZIP_DEFLATED)
    assert len(content) < 2 * 1024 * 1024
    assert refusal(content, authority) in {"ARCHIVE", "ARCHIVE_DIGEST"}


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_whatever_is_changed_ends_in_a_clear_refusal(authority: Authority, kind: int) -> None:
    """Any one byte, and many pairs of them: never another error, and never passed with other files."""
    whole, chance = packed(authority, kind=kind), random.Random(7)
    places = [(at,) for at in range(len(whole))] + [
        (chance.randrange(len(whole)), chance.randrange(len(whole) - 200, len(whole)))
        for _ in range(1500 * SOAK)
    ]
    for places_of_one in places:
        changed = bytearray(whole)
        for at in places_of_one:
            changed[at] ^= chance.randrange(1, 256)
        try:
            found = check_archive(io.BytesIO(bytes(changed)), roots=[authority.root])
        except VerifieldError:
            continue
        assert {one.name: one.sha256 for one in found.files} == {
            name: sha256(content).digest() for name, content in FILES.items()
        }
    for length in range(0, len(whole), 3):
        with pytest.raises(VerifieldError):
            check_archive(io.BytesIO(whole[:length]), roots=[authority.root])


@pytest.mark.parametrize("method", [12, 14, 99])
def test_other_ways_of_packing_are_refused(authority: Authority, method: int) -> None:
    changed = bytearray(packed(authority))
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        place = changed.find(mark)
        while place >= 0:
            struct.pack_into("<H", changed, place + at, method)
            place = changed.find(mark, place + 4)
    assert refusal(bytes(changed), authority) == "ARCHIVE"


def badge_file(
    authority: Authority,
    *,
    badge_id: str = "b",
    status: dict[str, int] | None = None,
    status_of: str = "b",
    key: ec.EllipticCurvePrivateKey | None = None,
    status_key: ec.EllipticCurvePrivateKey | None = None,
    certificates: list[bytes] | None = None,
    status_type: str = STATUS_TYPE,
) -> bytes:
    badge = pb.Badge(
        badge_id=badge_id, type_code="PERSONAL", level=1, issued_us=NOW_US, expires_us=NOW_US + DAY_US
    )
    made = pb.SignedBadge(
        envelope=signed(authority, BADGE_TYPE, badge.SerializeToString(), key=key),
        certificates=chain(authority) if certificates is None else certificates,
    )
    if status is not None:
        values = {"state": 1, "checked_us": NOW_US, "fresh_until_us": NOW_US + DAY_US} | status
        said = pb.BadgeStatus(badge_id=status_of, **values)
        made.status = signed(authority, status_type, said.SerializeToString(), key=status_key)
    return made.SerializeToString()


def fault(content: bytes, authority: Authority, *, at: datetime = NOW) -> str:
    try:
        check_badge(content, roots=[authority.root], at=at)
    except VerifieldError as error:
        return error.code
    return ""


def test_badges_of_others_and_words_that_do_not_belong_to_them(authority: Authority, tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    stranger = Authority.open(tmp_path, server_names=(), now=NOW - timedelta(days=1))
    assert fault(badge_file(authority), authority) == "BADGE_STATUS_MISSING"  # its holder may have cut it out
    assert fault(badge_file(authority, status={}), authority) == ""
    audit = authority.chain_of(authority.audit.certificate)
    for content, expected in [
        (badge_file(authority, key=other), "SIGNATURE"),
        (badge_file(stranger), "CHAIN"),
        (badge_file(authority, key=authority.audit_key, certificates=audit), "CERTIFICATE_PURPOSE"),
        (badge_file(authority, certificates=[]), "CHAIN_LENGTH"),
        (badge_file(authority, badge_id=""), "BADGE"),
        (badge_file(authority, status={}, status_of="c"), "BADGE_STATUS"),
        (badge_file(authority, status={}, status_key=other), "SIGNATURE"),
        (badge_file(authority, status={}, status_type=BADGE_TYPE), "BADGE_STATUS_TYPE"),
        (badge_file(authority, status={"state": 3, "revoked_us": 1}), "BADGE_REVOKED"),
        (badge_file(authority, status={"state": 0}), "BADGE_STATUS"),
        (badge_file(authority, status={"fresh_until_us": NOW_US}), "BADGE_STATUS_OLD"),
        (badge_file(authority, status={"checked_us": NOW_US + DAY_US // 2}), "BADGE_STATUS_OLD"),
    ]:
        assert fault(content, authority) == expected
    assert fault(badge_file(authority), authority, at=NOW + timedelta(days=1)) == "BADGE_TIME"
    assert fault(badge_file(authority), authority, at=NOW - timedelta(seconds=1)) == "BADGE_TIME"


@pytest.mark.parametrize("status", [{"fresh_until_us": 2**62}, {"fresh_until_us": NOW_US + 3 * DAY_US}])
def test_a_word_that_claims_to_be_fresh_for_long_is_not_believed(
    authority: Authority, status: dict[str, int]
) -> None:
    """A status counts for two days at most, whatever it says of itself."""
    badge = pb.Badge(badge_id="b", type_code="P", level=1, issued_us=NOW_US, expires_us=NOW_US + 30 * DAY_US)
    said = pb.BadgeStatus(badge_id="b", **({"state": 1, "checked_us": NOW_US} | status))
    made = pb.SignedBadge(
        envelope=signed(authority, BADGE_TYPE, badge.SerializeToString()),
        certificates=chain(authority),
        status=signed(authority, STATUS_TYPE, said.SerializeToString()),
    )
    later = NOW + timedelta(days=2, hours=1)
    assert fault(made.SerializeToString(), authority, at=later) == "BADGE_STATUS_OLD"
    assert fault(made.SerializeToString(), authority, at=NOW + timedelta(hours=20)) == ""


def test_a_word_of_a_time_that_its_certificate_does_not_cover_is_refused(authority: Authority) -> None:
    end = authority.certification.certificate.not_valid_after_utc
    at = end + timedelta(days=2)
    at_us = int(at.timestamp()) * 10**6
    badge = pb.Badge(badge_id="b", type_code="P", level=1, issued_us=NOW_US, expires_us=at_us + DAY_US)
    said = pb.BadgeStatus(badge_id="b", state=1, checked_us=at_us, fresh_until_us=at_us + DAY_US)
    made = pb.SignedBadge(
        envelope=signed(authority, BADGE_TYPE, badge.SerializeToString()),
        certificates=chain(authority),
        status=signed(authority, STATUS_TYPE, said.SerializeToString()),
    )
    assert fault(made.SerializeToString(), authority, at=at) == "CERTIFICATE_TIME"
