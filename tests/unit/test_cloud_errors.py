"""One table of refusals; page tokens and secrets that hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from google.rpc import code_pb2
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, LocalizedMessage, RetryInfo
from google.rpc.status_pb2 import Status
from sqlalchemy import create_engine

from cloud.api.statuses import to_status
from cloud.devices.peer import device_of_peer
from cloud.devices.tokens import OPERATOR_PREFIX, check_operator_token, encode_token, token_sha256
from cloud.errors import REMEDIES, FieldViolation, Reason, ServiceError
from cloud.hints import LANGUAGES, MAX_HEADER_CHARS, choose_language, hint_of
from cloud.paging import encode_page_token, parse_digest, parse_page_token
from cloud.reasons import TABLES
from cloud.reviews.lists import page_of_events, page_of_reviewers
from cloud.sources import from_us, to_us
from tests.support.authority import Authority
from verifield.profile import leaf_certificate
from verifield.v1 import review_service_pb2 as pb


def details(status: Status) -> dict[str, Any]:
    """The details of a status by the name of their type."""
    found: dict[str, Any] = {}
    for packed in status.details:
        kind = next(
            kind
            for kind in (ErrorInfo, LocalizedMessage, BadRequest, RetryInfo)
            if packed.Is(kind.DESCRIPTOR)
        )
        found[kind.DESCRIPTOR.name] = kind.FromString(packed.value)
    return found


def test_every_reason_stands_in_the_table_of_one_room() -> None:
    assert sorted(reason for table in TABLES for reason in table.REMEDIES) == sorted(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_travels_with_status_domain_and_hint(reason: Reason) -> None:
    assert reason in REMEDIES
    status = to_status(ServiceError(reason, "One sentence.", {"fact": "1"}))
    told = details(status)
    info, hint = told["ErrorInfo"], told["LocalizedMessage"]
    assert status.code > 0
    assert (info.reason, info.domain, dict(info.metadata)) == (reason, "verifield", {"fact": "1"})
    assert (hint.locale, hint.message) == ("en", REMEDIES[reason].en)
    assert hint.message.endswith(".")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_hint_in_every_language(reason: Reason, language: str) -> None:
    hint = hint_of(reason, language)
    assert hint.endswith("。" if language == "zh" else ".")
    assert any("\u4e00" <= letter <= "\u9fff" for letter in hint) is (language == "zh")
    if language == "es":
        assert hint != REMEDIES[reason].en
    told = details(to_status(ServiceError(reason, "One sentence."), accept_language=language))
    assert (told["LocalizedMessage"].locale, told["LocalizedMessage"].message) == (language, hint)


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("zh", "zh"),
        ("zh-Hans-CN", "zh"),
        ("ES", "es"),
        ("fr, es;q=0.5, en;q=0.1", "es"),
        ("en;q=0.2, zh;q=0.9", "zh"),
        ("es, zh", "es"),
        ("zh;q=0", "en"),
        ("fr", "en"),
        ("*", "en"),
        ("es;q=2", "en"),
        ("zh;q=", "en"),
        (",,;;q=1,zh", "zh"),
        ("zh" + "," * (MAX_HEADER_CHARS - 2), "zh"),
        ("zh" + "," * (MAX_HEADER_CHARS - 1), "en"),
    ],
)
def test_the_language_that_is_wanted_most_is_taken(header: str | None, language: str) -> None:
    assert choose_language(header) == language


def test_fields_at_fault_and_the_time_to_wait_are_told() -> None:
    violation = FieldViolation("items[2].name", "string.max_len", "is too long")
    error = ServiceError(Reason.REQUEST_INVALID, "One sentence.", violations=(violation,))
    [told] = details(to_status(error))["BadRequest"].field_violations
    assert (told.field, told.reason, told.description) == (
        "items[2].name",
        "string.max_len",
        "is too long",
    )
    assert "RetryInfo" not in details(to_status(error))
    table = REMEDIES[Reason.TRANSFER_BUSY].retry_s
    assert table is not None
    for given, seconds in ((None, table), (0.25, 0.25)):
        busy = ServiceError(Reason.TRANSFER_BUSY, "One sentence.", retry_s=given)
        delay = details(to_status(busy))["RetryInfo"].retry_delay
        assert delay.ToTimedelta() == timedelta(seconds=seconds)


def test_where_the_caller_is_told_to_come_back_the_status_says_so_too() -> None:
    """Clients that look at the code alone wait in the same cases."""
    patient = {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "FAILED_PRECONDITION"}
    broken = {Reason.LOG_INCONSISTENT}  # until somebody has mended it
    for reason, remedy in REMEDIES.items():
        if remedy.retry_s is not None and reason not in broken:
            assert code_pb2.Code.Name(remedy.status) in patient, reason
            assert 0 < remedy.retry_s <= 86_400


def test_page_tokens_there_and_back() -> None:
    token = encode_page_token("123", filters="a|b")
    assert parse_page_token(token, filters="a|b") == "123"
    assert parse_page_token("", filters="a|b") == ""


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "====",
        "AAAA",
        "ü",
        encode_page_token("1", filters="other"),
        encode_page_token("", filters="a"),
        encode_page_token("a\0", filters="a"),
        encode_page_token("é", filters="a"),
    ],
)
def test_other_page_tokens_are_refused(token: str) -> None:
    with pytest.raises(ServiceError) as caught:
        parse_page_token(token, filters="a")
    assert caught.value.reason is Reason.PAGE_TOKEN_INVALID


@pytest.mark.parametrize("position", ["2147483648", "9" * 18])
def test_a_made_up_position_is_none_that_a_column_cannot_hold(position: str) -> None:
    """PostgreSQL would answer as if the fault were ours."""
    reviewers = encode_page_token(position, filters="reviewers")
    events = encode_page_token(position, filters="review events t")
    with create_engine("sqlite://").connect() as connection:
        for ask in (
            lambda: page_of_reviewers(connection, pb.ListReviewersRequest(page_token=reviewers)),
            lambda: page_of_events(connection, pb.ListTaskEventsRequest(task_id="t", page_token=events)),
        ):
            with pytest.raises(ServiceError) as caught:
                ask()
            assert caught.value.reason is Reason.PAGE_TOKEN_INVALID


def test_digests_as_positions_there_and_back() -> None:
    assert parse_digest("", filters="a") == b""
    assert parse_digest(encode_page_token("00ff", filters="a"), filters="a") == b"\0\xff"
    for position in ("xyz", "abc"):
        with pytest.raises(ServiceError) as caught:
            parse_digest(encode_page_token(position, filters="a"), filters="a")
        assert caught.value.reason is Reason.PAGE_TOKEN_INVALID


def test_an_overlong_page_token_is_refused() -> None:
    with pytest.raises(ServiceError):
        parse_page_token("A" * 257, filters="a")


def test_the_operator_token_is_compared_as_a_whole() -> None:
    token = encode_token(OPERATOR_PREFIX, bytes(32))
    expected = token_sha256(token)
    check_operator_token(f"Bearer {token}", expected_sha256=expected)
    for wrong in (f"Bearer {token[:-1]}", f"Bearer {token}A", f"Token {token}", token, "Bearer"):
        with pytest.raises(ServiceError) as caught:
            check_operator_token(wrong, expected_sha256=expected)
        assert caught.value.reason is Reason.OPERATOR_TOKEN_REFUSED
    for nothing in (None, ""):
        with pytest.raises(ServiceError) as caught:
            check_operator_token(nothing, expected_sha256=expected)
        assert caught.value.reason is Reason.OPERATOR_TOKEN_MISSING


def test_a_peer_is_a_device_only_with_a_tls_client_certificate() -> None:
    authority = Authority.create()
    device = authority.enroll("device-1")
    tls = leaf_certificate(
        issuer_cert=authority.issuing,
        issuer_key=authority.issuing_key,
        public_key=device.key.public_key(),
        common_name="device-1",
        purpose="tls_client",
        now=datetime(2026, 3, 1, tzinfo=UTC),
        lifetime=device.certificate.not_valid_after_utc - device.certificate.not_valid_before_utc,
    )
    tls_pem, last = tls.public_bytes(Encoding.PEM), tls.not_valid_after_utc
    assert device_of_peer({"x509_pem_cert": [tls_pem]}, now=last) == "device-1"
    for pems in ([], [device.certificate.public_bytes(Encoding.PEM)], [authority.root_pem], [b"junk"]):
        with pytest.raises(ServiceError) as caught:
            device_of_peer({"x509_pem_cert": pems}, now=last)
        assert caught.value.reason is Reason.CLIENT_CERTIFICATE_REFUSED
    with pytest.raises(ServiceError, match="expired"):  # on a connection that is older than that
        device_of_peer({"x509_pem_cert": [tls_pem]}, now=last + timedelta(seconds=1))


def test_times_keep_their_microseconds() -> None:
    for moment in (datetime(2026, 3, 1, 1, 2, 3, 456789, UTC), datetime(1, 1, 1, tzinfo=UTC)):
        assert from_us(to_us(moment)) == moment
