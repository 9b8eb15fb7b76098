"""Forms, types and badges, each by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from cloud.authority import Authority
from cloud.certifications.catalogue import DEFAULT_DECLARATION, DEFAULT_TYPES, check_type, to_declaration
from cloud.certifications.forms import parse_form
from cloud.errors import Reason, ServiceError
from tests.support.certifications import FORM, ORGANISATION_FORM, form
from verifield.badge import BADGE_TYPE, STATUS_TYPE, check_badge
from verifield.dsse import encode_envelope, pae
from verifield.errors import VerifieldError
from verifield.v1 import badge_pb2
from verifield.v1 import certification_service_pb2 as pb

NOW = datetime(2026, 11, 2, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000
DAY_US = 86_400_000_000
PERSONAL, ORGANISATION = DEFAULT_TYPES


@pytest.mark.parametrize("kind", DEFAULT_TYPES)
def test_the_types_that_come_with_the_service_can_be_published(kind: pb.CertificationType) -> None:
    check_type(kind)
    for one in (*kind.fields, *kind.materials, kind):
        assert one.title.zh
        assert one.title.en
        assert one.title.es


@pytest.mark.parametrize(
    ("kind", "values", "fields"),
    [
        (PERSONAL, {}, "address"),
        (PERSONAL, {"address": "x" * 201}, "address"),
        (PERSONAL, FORM | {"email": "nobody"}, "email"),
        (PERSONAL, FORM | {"colour": "red"}, "colour"),
        (ORGANISATION, ORGANISATION_FORM | {"credit_code": "91350100M000100Y44"}, "credit_code"),
        (ORGANISATION, ORGANISATION_FORM | {"founded": "2026-02-30"}, "founded"),
    ],
)
@pytest.mark.req("R086")
def test_each_field_that_breaks_a_rule_is_named(
    kind: pb.CertificationType, values: dict[str, str], fields: str
) -> None:
    with pytest.raises(ServiceError) as refused:
        parse_form(form(values), kind, whole=True)
    assert refused.value.reason is Reason.FORM_INVALID
    assert refused.value.metadata["fields"] == fields
    assert [one.field for one in refused.value.violations] == [f"form.{fields}"]
    assert not any(value in str(refused.value.violations) for value in values.values() if len(value) > 12)


@given(st.dictionaries(st.sampled_from([field.name for field in PERSONAL.fields]), st.text(max_size=300)))
def test_whatever_is_given_is_taken_whole_or_refused(values: dict[str, str]) -> None:
    try:
        taken = parse_form(form(values), PERSONAL, whole=False)
    except ServiceError:
        return
    assert taken == {name: value.strip() for name, value in values.items() if value.strip()}


@pytest.mark.parametrize(
    "change",
    [
        {"fields": [pb.FormField(name="same", kind=1), pb.FormField(name="same", kind=1)]},
        {"fields": [pb.FormField(name="choice", kind=pb.FORM_FIELD_KIND_CHOICE)]},
        {"fields": [pb.FormField(name="slow", kind=1, pattern="(a+)+b")]},
        {"fields": [pb.FormField(name="slow", kind=1, pattern="a*a*a*b")]},
        {"fields": [pb.FormField(name="broken", kind=1, pattern="[a")]},
        {"materials": [pb.MaterialRule(kind="same", category=1), pb.MaterialRule(kind="same", category=1)]},
        {"checks": []},
        {"level": 0},
    ],
)
def test_rules_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    values = {"code": "NOTARY", "version": 1, "level": 1, "checks": ["licence"]} | change
    with pytest.raises(ServiceError) as refused:
        check_type(pb.CertificationType(**values))  # type: ignore[arg-type]
    assert refused.value.reason is Reason.CERTIFICATION_RULES_INVALID


def test_every_change_of_a_declaration_changes_its_digest() -> None:
    known = {to_declaration(1, DEFAULT_DECLARATION).sha256, to_declaration(2, DEFAULT_DECLARATION).sha256}
    moved = pb.CertificationText(
        zh=DEFAULT_DECLARATION.zh + "I", en=DEFAULT_DECLARATION.en[1:], es=DEFAULT_DECLARATION.es
    )
    known.add(to_declaration(1, moved).sha256)
    assert len(known) == 3


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.open(tmp_path_factory.mktemp("keys"), server_names=(), now=NOW)


def sign(key: ec.EllipticCurvePrivateKey, kind: str, message: object) -> bytes:
    payload = message.SerializeToString(deterministic=True)  # type: ignore[attr-defined]
    signature = key.sign(pae(kind, payload), ec.ECDSA(SHA256()))
    return encode_envelope(payload_type=kind, payload=payload, signatures=[signature])


def file_of(authority: Authority, **status: object) -> bytes:
    badge = badge_pb2.Badge(
        badge_id="b", type_code="PERSONAL", level=1, issued_us=NOW_US, expires_us=NOW_US + 365 * DAY_US
    )
    said = {"badge_id": "b", "state": badge_pb2.BADGE_STATE_VALID, "checked_us": NOW_US} | status
    said.setdefault("fresh_until_us", NOW_US + DAY_US)
    key = authority.certification_key
    signed = badge_pb2.SignedBadge(
        envelope=sign(key, BADGE_TYPE, badge),
        certificates=authority.chain_of(authority.certification.certificate),
        status=sign(key, STATUS_TYPE, badge_pb2.BadgeStatus(**said)),  # type: ignore[arg-type]
    )
    return signed.SerializeToString(deterministic=True)


@pytest.mark.req("R100")
@pytest.mark.parametrize(
    ("status", "days", "code"),
    [
        ({}, 0, None),
        ({}, 2, "BADGE_STATUS_OLD"),
        ({}, 400, "BADGE_TIME"),
        ({}, -1, "BADGE_TIME"),
        ({"state": badge_pb2.BADGE_STATE_REVOKED, "revoked_us": NOW_US}, 0, "BADGE_REVOKED"),
        ({"state": badge_pb2.BADGE_STATE_EXPIRED}, 0, "BADGE_STATUS"),
        ({"badge_id": "another"}, 0, "BADGE_STATUS"),
    ],
)
def test_a_badge_counts_in_its_time_and_until_it_is_taken_back(
    authority: Authority, status: dict[str, object], days: int, code: str | None
) -> None:
    file, at = file_of(authority, **status), NOW + timedelta(days=days, hours=1 if days >= 0 else 0)
    if code is None:
        assert check_badge(file, roots=[authority.root], at=at).badge.badge_id == "b"
        return
    with pytest.raises(VerifieldError) as refused:
        check_badge(file, roots=[authority.root], at=at)
    assert refused.value.code == code


@pytest.mark.req("R100")
def test_a_badge_of_another_deployment_or_another_key_is_refused(
    authority: Authority, tmp_path: Path
) -> None:
    other = Authority.open(tmp_path, server_names=(), now=NOW)
    with pytest.raises(VerifieldError):
        check_badge(file_of(other), roots=[authority.root], at=NOW)
    signed = badge_pb2.SignedBadge.FromString(file_of(authority))
    for key, chain in (
        (other.certification_key, authority.certification.certificate),
        (authority.audit_key, authority.audit.certificate),
    ):
        badge = badge_pb2.Badge(badge_id="b", issued_us=NOW_US, expires_us=NOW_US + DAY_US)
        signed.envelope = sign(key, BADGE_TYPE, badge)
        del signed.certificates[:]
        signed.certificates.extend(authority.chain_of(chain))
        with pytest.raises(VerifieldError):
            check_badge(signed.SerializeToString(), roots=[authority.root], at=NOW)


@given(st.integers(0, 5_000), st.integers(1, 255))
def test_a_changed_badge_is_refused_or_says_the_same(authority: Authority, at: int, flip: int) -> None:
    file = bytearray(file_of(authority))
    file[at % len(file)] ^= flip
    try:
        found = check_badge(bytes(file), roots=[authority.root], at=NOW)
    except VerifieldError:
        return
    assert found.badge.badge_id == "b"
