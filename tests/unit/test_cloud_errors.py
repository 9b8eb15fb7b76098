"""One table of refusals; page tokens and secrets that hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from google.rpc.error_details_pb2 import ErrorInfo, LocalizedMessage

from cloud.devices.peer import device_of_peer
from cloud.devices.tokens import OPERATOR_PREFIX, check_operator_token, encode_token, token_sha256
from cloud.errors import REMEDIES, Reason, ServiceError
from cloud.interceptors import to_status
from cloud.paging import encode_page_token, parse_page_token
from cloud.sources import from_us, to_us
from tests.support.authority import Authority
from verifield.profile import leaf_certificate


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_travels_with_status_domain_and_hint(reason: Reason) -> None:
    assert reason in REMEDIES
    status = to_status(ServiceError(reason, "One sentence.", {"fact": "1"}))
    info, hint = ErrorInfo(), LocalizedMessage()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(hint)
    assert status.code > 0
    assert (info.reason, info.domain, dict(info.metadata)) == (reason, "verifield", {"fact": "1"})
    assert hint.message.endswith(".")


def test_page_tokens_there_and_back() -> None:
    token = encode_page_token("123", filters="a|b")
    assert parse_page_token(token, filters="a|b") == "123"
    assert parse_page_token("", filters="a|b") == ""


@pytest.mark.parametrize(
    "token",
    ["x", "====", "AAAA", "ü", encode_page_token("1", filters="other"), encode_page_token("", filters="a")],
)
def test_other_page_tokens_are_refused(token: str) -> None:
    with pytest.raises(ServiceError) as caught:
        parse_page_token(token, filters="a")
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
