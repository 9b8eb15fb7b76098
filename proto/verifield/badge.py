"""Badges of certifications, checked offline: who signed one, whether it counts, whether it was taken back.

1  the key of a certificate for certifications signed the badge, and a chain leads from it to the root
2  the badge counts at the time in question
3  a status is there: the same key signed it, at a time for which its certificate counts, it is of this badge,
   fresh, at most two days old whatever it says, and says that the badge is valid
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509

from verifield.certificates import Purpose, check_chain
from verifield.errors import Malformed, Unknown, Untrusted
from verifield.signed import check_signed
from verifield.v1 import badge_pb2 as pb
from verifield.wire import parse_message

BADGE_TYPE = "application/vnd.verifield.badge.v1+protobuf"
STATUS_TYPE = "application/vnd.verifield.badge-status.v1+protobuf"

MAX_BADGE_BYTES = 32 * 1024
"""Badge, status and two certificates have about 3 KiB."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_US = 253_402_300_799_000_000  # the year 9999


@dataclass(frozen=True, slots=True)
class CheckedBadge:
    """``status``: what the service last said of the badge."""

    badge: pb.Badge
    status: pb.BadgeStatus


def check_badge(data: bytes, *, roots: Sequence[x509.Certificate], at: datetime) -> CheckedBadge:
    """Check a file that holds a badge, as it counts ``at`` that time (aware).

    Raises:
        Malformed, Forged, Unknown: it is none, or was changed.
        Untrusted: somebody else signed it, it does not count any more, or it was taken back.
    """
    signed = parse_message(pb.SignedBadge, data, what="badge", max_bytes=MAX_BADGE_BYTES)
    badge = read_badge(signed, roots=roots)
    if not badge.issued_us <= _to_us(at) < badge.expires_us:
        raise Untrusted(
            "BADGE_TIME",
            f"The badge counts from {_day(badge.issued_us)} to {_day(badge.expires_us)}.",
            hint="Ask its holder for a newer one.",
        )
    if not signed.status:  # who was told that it is taken back could cut it out
        raise Unknown(
            "BADGE_STATUS_MISSING",
            "The file does not say whether the badge was taken back.",
            hint="Ask its holder for the file as CertificationService.GetBadge gives it, or ask CheckBadge.",
        )
    status = _read_status(signed, roots=roots)
    if status.badge_id != badge.badge_id:
        raise Untrusted("BADGE_STATUS", "The status in the file is that of another badge.")
    if status.state == pb.BADGE_STATE_REVOKED:
        raise Untrusted(
            "BADGE_REVOKED",
            f"The badge was taken back on {_day(status.revoked_us)}.",
            hint="It counts no more, whoever shows it.",
        )
    if status.state != pb.BADGE_STATE_VALID:
        raise Untrusted("BADGE_STATUS", "The status in the file does not say that the badge is valid.")
    fresh_until_us = min(status.fresh_until_us, status.checked_us + _STATUS_LIVES_US)
    if not status.checked_us - _SKEW_US <= _to_us(at) < fresh_until_us:
        raise Untrusted(
            "BADGE_STATUS_OLD",
            "The status in the file is not of now.",
            hint="Fetch the badge again: CertificationService.GetBadge, or ask CheckBadge.",
        )
    return CheckedBadge(badge, status)


def read_badge(signed: pb.SignedBadge, *, roots: Sequence[x509.Certificate]) -> pb.Badge:
    """Check who signed a badge (step 1), whatever the time.

    Raises:
        Malformed, Forged, Unknown, Untrusted: as :func:`check_badge`.
    """
    payload = check_signed(
        signed.envelope, payload_type=BADGE_TYPE, certificates=signed.certificates, what="badge"
    )
    badge = parse_message(pb.Badge, payload, what="badge", max_bytes=MAX_BADGE_BYTES)
    if not badge.badge_id or not 0 < badge.issued_us < badge.expires_us <= _LATEST_US:
        raise Malformed("BADGE", "The badge has no id, or times that cannot be.")
    check_chain(signed.certificates, roots=roots, at=_from_us(badge.issued_us), purpose=Purpose.CERTIFICATION)
    return badge


_SKEW_US = int(timedelta(minutes=5) / timedelta(microseconds=1))
"""A clock may be so far behind that of the service."""


_STATUS_LIVES_US = int(timedelta(days=2) / timedelta(microseconds=1))
"""The service says a day; who checks does not believe one of any age."""


def _read_status(signed: pb.SignedBadge, *, roots: Sequence[x509.Certificate]) -> pb.BadgeStatus:
    payload = check_signed(
        signed.status, payload_type=STATUS_TYPE, certificates=signed.certificates, what="badge status"
    )
    status = parse_message(pb.BadgeStatus, payload, what="badge status", max_bytes=MAX_BADGE_BYTES)
    if not 0 < status.checked_us <= _LATEST_US:
        raise Malformed("BADGE_STATUS", "The status in the file has a time that cannot be.")
    at = _from_us(status.checked_us)
    check_chain(signed.certificates, roots=roots, at=at, purpose=Purpose.CERTIFICATION)
    return status


def _from_us(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _to_us(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _day(microseconds: int) -> str:
    return f"{_from_us(min(max(microseconds, 0), _LATEST_US)):%Y-%m-%d}"
