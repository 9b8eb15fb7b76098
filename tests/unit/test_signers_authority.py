"""Certificates of signers: what they say, for how long, from which keys, and what takes them back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from cloud.authority import Authority
from cloud.errors import Reason, ServiceError, SetupError
from cloud.signers.authority import SIGNER_LIFETIME, Proven, SignerAuthority, Subject
from cloud.signers.certificates import pseudonym, subject_name
from cloud.signers.keys import SignerKeys
from cloud.store import signers as rows
from cloud.store.database import Store, StoreOptions
from tests.support.documents import COMPANY, NAME, OTHER, START, USCC, Notary, Said, named, place
from verifield.documents import Code, Finding, Outcome
from verifield.documents.identifiers import DOCUMENT_SIGNING, ORGANISATION_ID
from verifield.documents.identifiers import NAME as NAME_OID
from verifield.v1 import document_service_pb2 as pb

ACCOUNT = "0199a3e2-7000-7000-8000-000000000001"


@pytest.fixture(scope="module")
def notary(tmp_path_factory: pytest.TempPathFactory) -> Notary:
    return Notary(tmp_path_factory.mktemp("notary"))


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = Store.open(database_url, StoreOptions(require_durable=False))
    yield store
    store.close()


def of_subject(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> list[str]:
    return [str(one.value) for one in certificate.subject.get_attributes_for_oid(oid)]


@pytest.mark.parametrize("name", ["欧阳·明", "阿卜杜拉·买买提", "María Ñusta", "O'Neil-Smith", "𠮷田"])
def test_the_subject_carries_the_name_as_it_was_verified(notary: Notary, name: str) -> None:
    certificate = notary.identity(name, COMPANY, USCC).certificate
    assert of_subject(certificate, NameOID.COMMON_NAME) == [name]
    assert of_subject(certificate, NameOID.ORGANIZATION_NAME) == [COMPANY]
    assert of_subject(certificate, x509.ObjectIdentifier(ORGANISATION_ID)) == [f"NTRCN-{USCC}"]
    assert of_subject(certificate, NameOID.SERIAL_NUMBER) == [pseudonym(f"account of {name}")]


def test_a_long_name_stands_whole_beside_a_short_one(notary: Notary) -> None:
    name = "长" * 90
    certificate = notary.identity(name).certificate
    assert of_subject(certificate, x509.ObjectIdentifier(NAME_OID)) == [name]
    [short] = of_subject(certificate, NameOID.COMMON_NAME)
    assert short == "长" * 20 + "…"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200))
def test_any_name_makes_a_subject_that_can_be_read_back(name: str) -> None:
    subject = subject_name(Subject(name, ACCOUNT))
    assert subject.public_bytes()
    whole = [str(one.value) for one in subject if one.oid.dotted_string in (NAME_OID, "2.5.4.3")]
    assert name in whole


def test_what_the_certificate_may_be_used_for(notary: Notary) -> None:
    certificate = notary.identity().certificate
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.content_commitment
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert x509.ObjectIdentifier(DOCUMENT_SIGNING) in purposes
    [point] = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert point.full_name is not None
    assert [one.value for one in point.full_name] == ["http://lists.example/signers.crl"]
    assert certificate.not_valid_after_utc == notary.now + SIGNER_LIFETIME


def test_the_time_stamping_certificate_is_for_that_alone(notary: Notary) -> None:
    usage = notary.keys.stamps.certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert usage.critical
    assert list(usage.value) == [ExtendedKeyUsageOID.TIME_STAMPING]


def test_each_act_has_a_key_of_its_own_that_nobody_keeps(notary: Notary) -> None:
    before = {path.name: path.read_bytes() for path in sorted((notary.folder / "keys").iterdir())}
    one, two = notary.identity(), notary.identity()
    assert one.key.public_key() != two.key.public_key()
    assert {path.name: path.read_bytes() for path in sorted((notary.folder / "keys").iterdir())} == before
    kept = (notary.folder / "signers" / "verifield.db").read_bytes()
    number = one.key.private_numbers().private_value.to_bytes(32, "big")
    assert number not in kept
    assert NAME.encode() not in kept  # names stand in the documents alone


@pytest.mark.parametrize(
    "subject",
    [
        Subject(OTHER, ACCOUNT),
        Subject(NAME, ACCOUNT, COMPANY, USCC),
        Subject(NAME, ACCOUNT, "", USCC),
        Subject(NAME, ""),
        Subject("", ACCOUNT),
    ],
)
def test_a_certificate_says_nothing_that_was_not_proven(notary: Notary, subject: Subject) -> None:
    def issue(connection: Connection) -> None:
        notary.authority.issue(connection, subject, proof=Said(Proven(NAME)), now=notary.now)

    before = count(notary.store)
    with pytest.raises(ServiceError) as caught:
        notary.store.run(issue)
    assert caught.value.reason is Reason.SIGNER_NOT_PROVEN
    assert count(notary.store) == before


def test_what_is_kept_of_a_certificate(store: Store, notary: Notary) -> None:
    authority = SignerAuthority(notary.keys, notary.sources)
    subject = Subject(NAME, ACCOUNT, COMPANY, USCC)
    proof = Said(Proven(NAME, COMPANY, USCC))
    identity = store.run(lambda connection: authority.issue(connection, subject, proof=proof, now=START))
    platform = store.run(lambda connection: authority.platform(connection, now=START + timedelta(seconds=1)))
    with store.reading() as connection:
        newest, older = rows.list_signers(connection, limit=10)
        assert rows.list_signers(connection, limit=10, account_id=ACCOUNT) == [older]
        assert rows.list_signers(connection, limit=1, behind=(newest.issued_us, newest.serial)) == [older]
    assert newest.serial == f"{platform.certificate.serial_number:x}"
    assert (newest.kind, newest.account_id) == (pb.SIGNER_KIND_PLATFORM, "")
    assert older.serial == f"{identity.certificate.serial_number:x}"
    assert (older.kind, older.account_id) == (pb.SIGNER_KIND_ORGANISATION, ACCOUNT)
    assert (older.revoked_us, older.reason) == (None, None)


def test_revocation_and_its_list(store: Store, tmp_path: Path) -> None:
    notary = Notary(tmp_path / "notary")
    authority = SignerAuthority(notary.keys, notary.sources)
    proof = Said(Proven(NAME))
    identities = [
        store.run(lambda c: authority.issue(c, Subject(NAME, ACCOUNT), proof=proof, now=START))
        for _ in range(3)
    ]
    wrong, withdrawn, good = (f"{one.certificate.serial_number:x}" for one in identities)
    notary.now = START + timedelta(days=1)
    store.run(lambda c: authority.revoke(c, wrong, pb.SIGNER_REVOCATION_REASON_WRONG_IDENTITY))
    row = store.run(lambda c: authority.revoke(c, withdrawn, pb.SIGNER_REVOCATION_REASON_PRIVILEGE_WITHDRAWN))
    again = store.run(lambda c: authority.revoke(c, withdrawn, pb.SIGNER_REVOCATION_REASON_KEY_COMPROMISE))
    assert again == row
    first = x509.load_der_x509_crl(store.run(authority.crl))
    notary.now -= timedelta(days=1)  # a clock that is set back makes no older list
    revocations = x509.load_der_x509_crl(store.run(authority.crl))
    assert number(revocations) >= max(one.revocation_date_utc for one in revocations).timestamp()
    assert number(first) >= number(revocations)
    signers_key = notary.keys.signers.key.public_key()
    assert revocations.is_signature_valid(signers_key)
    entry = revocations.get_revoked_certificate_by_serial_number(int(wrong, 16))
    assert entry is not None
    begun = entry.extensions.get_extension_for_class(x509.InvalidityDate).value.invalidity_date_utc
    assert begun == identities[0].certificate.not_valid_before_utc
    other = revocations.get_revoked_certificate_by_serial_number(int(withdrawn, 16))
    assert other is not None
    assert len(other.extensions) == 1
    assert revocations.get_revoked_certificate_by_serial_number(int(good, 16)) is None
    with pytest.raises(ServiceError) as caught:
        store.run(lambda c: authority.revoke(c, "abc", pb.SIGNER_REVOCATION_REASON_KEY_COMPROMISE))
    assert caught.value.reason is Reason.SIGNER_CERTIFICATE_NOT_FOUND


@pytest.mark.parametrize(
    ("reason", "outcome"),
    [
        (pb.SIGNER_REVOCATION_REASON_WRONG_IDENTITY, Outcome.UNKNOWN),
        (pb.SIGNER_REVOCATION_REASON_KEY_COMPROMISE, Outcome.UNKNOWN),
        (pb.SIGNER_REVOCATION_REASON_PRIVILEGE_WITHDRAWN, Outcome.VALID),
    ],
)
def test_what_a_revoked_signer_signed(
    tmp_path: Path, reason: pb.SignerRevocationReason.ValueType, outcome: Outcome
) -> None:
    notary = Notary(tmp_path / "notary")
    identity = notary.identity()
    document = notary.finished(
        notary.signed(notary.frozen([place("name1", "first")]), [named("name1")], identity)
    )
    notary.now = START + timedelta(days=7)
    serial = f"{identity.certificate.serial_number:x}"
    notary.store.run(lambda connection: notary.authority.revoke(connection, serial, reason))
    verdict = notary.judged(document)
    assert verdict.outcome is outcome
    assert (Finding(Code.REVOKED, "name1") in verdict.findings) == (outcome is Outcome.UNKNOWN)
    late = notary.signed(notary.frozen([place("name1", "first")]), [named("name1")], identity)
    assert Finding(Code.REVOKED, "name1") in notary.judged(late).findings


def test_keys_are_made_once_and_never_anew(tmp_path: Path) -> None:
    Authority.open(tmp_path, server_names=[], now=START)
    first = SignerKeys.open(tmp_path, list_url="", now=START)
    again = SignerKeys.open(tmp_path, list_url="", now=START + timedelta(days=1))
    assert again.signers.certificate == first.signers.certificate
    assert again.stamps.certificate == first.stamps.certificate
    assert (tmp_path / "keys" / "signers.key").stat().st_mode & 0o777 == 0o600
    for lost in ("signers.key", "stamps.key"):
        kept = (tmp_path / "keys" / lost).read_bytes()
        (tmp_path / "keys" / lost).unlink()
        with pytest.raises(SetupError) as caught:
            SignerKeys.open(tmp_path, list_url="", now=START)
        assert caught.value.code == "KEYS_UNUSABLE"
        (tmp_path / "keys" / lost).write_bytes(kept)


def test_the_root_key_is_needed_once(tmp_path: Path) -> None:
    """Operators move it away; a deployment that was made before this room lacks what only it can make."""
    Authority.open(tmp_path, server_names=[], now=START)
    root_key = tmp_path / "keys" / "root.key"
    kept = root_key.read_bytes()
    root_key.unlink()
    with pytest.raises(SetupError) as caught:
        SignerKeys.open(tmp_path, list_url="", now=START)
    assert caught.value.code == "ROOT_KEY_NEEDED"
    root_key.write_bytes(kept)
    first = SignerKeys.open(tmp_path, list_url="", now=START)
    root_key.unlink()
    assert SignerKeys.open(tmp_path, list_url="", now=START).root_list == first.root_list


def test_a_start_that_was_cut_off_is_completed(tmp_path: Path) -> None:
    Authority.open(tmp_path, server_names=[], now=START)
    first = SignerKeys.open(tmp_path, list_url="", now=START)
    (tmp_path / "keys" / "stamps.pem").unlink()
    again = SignerKeys.open(tmp_path, list_url="", now=START)
    assert again.stamps.key.public_key() == first.stamps.key.public_key()


def test_keys_of_another_deployment_are_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        Authority.open(tmp_path / name, server_names=[], now=START)
        SignerKeys.open(tmp_path / name, list_url="", now=START)
    for file in ("signers.key", "signers.pem"):
        (tmp_path / "one" / "keys" / file).write_bytes((tmp_path / "two" / "keys" / file).read_bytes())
    with pytest.raises(SetupError):
        SignerKeys.open(tmp_path / "one", list_url="", now=START)


def number(revocations: x509.CertificateRevocationList) -> float:
    value = revocations.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    return value / 1_000_000


def count(store: Store) -> int:
    with store.reading() as connection:
        return len(rows.list_signers(connection, limit=500))
