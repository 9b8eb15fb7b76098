"""The deployment's own keys: made once, renewed without breaking what was signed, never open to others."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from cloud.attestations.receipts import sign_receipt
from cloud.authority import (
    REVOCATION_LIST_LIFETIME,
    SERVER_LIFETIME,
    SERVICE_LIFETIME,
    Authority,
    Revoked,
)
from cloud.errors import SetupError
from cloud.keyfiles import write_private
from cloud.sources import to_us
from verifield.certificates import Purpose, check_chain
from verifield.chain import ChainHead
from verifield.merkle import EMPTY_ROOT
from verifield.note import Checkpoint, sign_checkpoint
from verifield.receipt import check_receipt

START = datetime(2026, 3, 1, tzinfo=UTC)
NAMES = ("localhost", "127.0.0.1")


def open_authority(data: Path, *, now: datetime = START, names: tuple[str, ...] = NAMES) -> Authority:
    return Authority.open(data, server_names=names, now=now)


def test_the_first_start_makes_what_later_ones_load(tmp_path: Path) -> None:
    first, second = (open_authority(tmp_path) for _ in range(2))
    assert second.root == first.root
    assert second.server.certificate == first.server.certificate
    assert second.log_origin == first.log_origin
    assert (tmp_path / "root.pem").read_bytes() == first.root_pem()
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_each_deployment_names_its_own_log(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert open_authority(tmp_path / "a").log_origin != open_authority(tmp_path / "b").log_origin


def test_every_leaf_has_its_purpose_and_leads_to_the_root(tmp_path: Path) -> None:
    authority = open_authority(tmp_path)
    roots = [authority.root]
    check_chain(
        authority.chain_of(authority.receipt.certificate), roots=roots, at=START, purpose=Purpose.RECEIPT
    )
    check_chain(authority.chain_of(authority.log.certificate), roots=roots, at=START, purpose=Purpose.LOG)
    check_chain(
        authority.chain_of(authority.policy.certificate), roots=roots, at=START, purpose=Purpose.POLICY
    )
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    chain = authority.issue_device(key, device_id="d-1", usage=Purpose.ATTESTATION, now=START)
    check_chain(chain, roots=roots, at=START, purpose=Purpose.ATTESTATION)


@pytest.mark.parametrize(
    ("age", "renewed"),
    [(SERVER_LIFETIME * 2 / 3 - timedelta(days=1), False), (SERVER_LIFETIME * 2 / 3, True)],
)
def test_the_server_certificate_is_renewed_in_its_last_third(
    tmp_path: Path, age: timedelta, renewed: bool
) -> None:
    before = open_authority(tmp_path).server.certificate
    after = open_authority(tmp_path, now=START + age).server.certificate
    assert (after != before) is renewed
    assert after.public_key() == before.public_key()


def test_a_new_host_name_renews_the_server_certificate(tmp_path: Path) -> None:
    open_authority(tmp_path)
    certificate = open_authority(tmp_path, names=(*NAMES, "cloud.example")).server.certificate
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "cloud.example"]


def test_a_renewed_receipt_key_still_vouches_for_the_time_before(tmp_path: Path) -> None:
    """A bundle that is asked for years later carries the time at which its record became durable."""
    old = open_authority(tmp_path)
    later = START + SERVICE_LIFETIME - timedelta(days=1)
    new = open_authority(tmp_path, now=later)
    assert new.receipt.certificate != old.receipt.certificate
    assert new.receipt.certificate.not_valid_after_utc > later + timedelta(days=365)
    note = sign_checkpoint(Checkpoint(new.log_origin, 0, EMPTY_ROOT), key=new.log_key)
    receipt = sign_receipt(
        new.receipt_key,
        device_id="d-1",
        head=ChainHead(1, 1, bytes(32)),
        server_us=to_us(START),
        checkpoint=note,
    )
    chain = new.chain_of(new.receipt.certificate)
    assert check_receipt(receipt, certificates=chain, roots=[new.root]).through_seq == 1


NEW_IN_0_2 = ("policy.key", "policy.pem", "media.key", "media.pub", "renewal.secret")


def test_a_deployment_from_before_gets_the_keys_that_it_lacks(tmp_path: Path) -> None:
    old = open_authority(tmp_path)
    for name in NEW_IN_0_2:
        (tmp_path / "keys" / name).unlink()
    new = open_authority(tmp_path)
    assert new.root == old.root
    assert new.receipt.certificate == old.receipt.certificate
    again = open_authority(tmp_path)
    assert again.policy.certificate == new.policy.certificate
    assert again.media_key.private_bytes_raw() == new.media_key.private_bytes_raw()
    assert again.renewal_secret == new.renewal_secret
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "keys").iterdir()} == {0o600}


@pytest.mark.parametrize("left", [(), ("policy.pem",), ("media.pub",)])
def test_a_lost_secret_is_never_replaced(tmp_path: Path, left: tuple[str, ...]) -> None:
    """Marks and answers in the database were made with it: with another one nothing would be found again."""
    before, keys = open_authority(tmp_path), tmp_path / "keys"
    shutil.copytree(keys, tmp_path / "backup")
    for name in NEW_IN_0_2 if left else ("renewal.secret",):
        if name not in left:
            (keys / name).unlink()
    with pytest.raises(SetupError) as caught:
        open_authority(tmp_path)
    assert caught.value.code == "KEYS_UNUSABLE"
    assert str(keys / "renewal.secret") in caught.value.message
    assert "backup" in caught.value.hint
    assert not (keys / "renewal.secret").exists()
    shutil.copytree(tmp_path / "backup", keys, dirs_exist_ok=True)
    assert open_authority(tmp_path).renewal_secret == before.renewal_secret


@pytest.mark.parametrize("name", ["policy.pem", "media.pub"])
def test_a_key_whose_making_was_cut_off_is_completed(tmp_path: Path, name: str) -> None:
    before = open_authority(tmp_path)
    (tmp_path / "keys" / name).unlink()
    after = open_authority(tmp_path)
    assert after.policy_key.private_numbers() == before.policy_key.private_numbers()
    assert after.media_key.private_bytes_raw() == before.media_key.private_bytes_raw()
    check_chain(
        after.chain_of(after.policy.certificate), roots=[after.root], at=START, purpose=Purpose.POLICY
    )


def test_starts_at_once_end_up_with_the_same_keys(tmp_path: Path) -> None:
    (tmp_path / ".keys.cut").mkdir()  # left by a start that broke off
    with ThreadPoolExecutor(6) as pool:
        opened = list(pool.map(lambda _: open_authority(tmp_path), range(6)))
    assert len({authority.root for authority in opened}) == 1
    assert len({authority.policy.certificate for authority in opened}) == 1
    assert len({authority.media_key.private_bytes_raw() for authority in opened}) == 1
    assert len({authority.renewal_secret for authority in opened}) == 1
    assert not list(tmp_path.glob(".keys.*"))


def test_a_revocation_list_is_signed_by_the_issuing_authority(tmp_path: Path) -> None:
    authority = open_authority(tmp_path)
    at = START + timedelta(days=3)
    entries = [Revoked(0xABC, START, x509.ReasonFlags.key_compromise)]
    der = authority.revocation_list(entries, number=7, now=at)
    revocations = x509.load_der_x509_crl(der)
    issuing = x509.load_der_x509_certificate(authority.chain_of(authority.receipt.certificate)[1])
    assert revocations.is_signature_valid(issuing.public_key())  # type: ignore[arg-type]
    assert revocations.issuer == issuing.subject
    assert revocations.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 7
    assert revocations.last_update_utc == at
    assert revocations.next_update_utc == at + REVOCATION_LIST_LIFETIME
    entry = revocations.get_revoked_certificate_by_serial_number(0xABC)
    assert entry is not None
    assert entry.revocation_date_utc == START
    reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    assert reason is x509.ReasonFlags.key_compromise
    assert revocations.get_revoked_certificate_by_serial_number(0xABD) is None


@pytest.mark.parametrize(
    "name",
    ["root.pem", "issuing.key", "server.pem", "receipt.key", "log.key", "policy.key", "media.key"],
)
@pytest.mark.parametrize("content", [None, b"junk"], ids=["missing", "damaged"])
def test_keys_that_cannot_be_used_stop_the_start(tmp_path: Path, name: str, content: bytes | None) -> None:
    open_authority(tmp_path)
    if content is None:
        (tmp_path / "keys" / name).unlink()
    else:
        (tmp_path / "keys" / name).write_bytes(content)
    with pytest.raises(SetupError) as caught:
        open_authority(tmp_path)
    assert caught.value.code == "KEYS_UNUSABLE"
    assert "backup" in caught.value.hint


def test_a_key_of_another_pair_stops_the_start(tmp_path: Path) -> None:
    open_authority(tmp_path)
    keys = tmp_path / "keys"
    (keys / "receipt.key").write_bytes((keys / "server.key").read_bytes())
    with pytest.raises(SetupError):
        open_authority(tmp_path)


def test_lost_keys_are_never_replaced_by_new_ones(tmp_path: Path) -> None:
    """No device would trust them, and the root that verifiers hold must not be overwritten."""
    open_authority(tmp_path)
    root = (tmp_path / "root.pem").read_bytes()
    shutil.rmtree(tmp_path / "keys")
    with pytest.raises(SetupError) as caught:
        open_authority(tmp_path)
    assert caught.value.code == "KEYS_UNUSABLE"
    assert (tmp_path / "root.pem").read_bytes() == root
    assert not (tmp_path / "keys").exists()


def test_a_file_that_cannot_be_put_in_place_leaves_no_copy_of_a_secret(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_private(tmp_path / "taken", b"secret")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
