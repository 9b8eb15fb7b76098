"""What the issuing authority has taken back: step 12 of ``verify.py``, and what later steps ask of it."""

from __future__ import annotations

from datetime import datetime

from cryptography import x509

from verifield.certificates import parse_certificate
from verifield.errors import Untrusted
from verifield.revocation import RevocationList, parse_revocation_list
from verifield.steps.run import Missing, Run


def check_revocation(run: Run) -> str:
    """Step 12. The caller's list and the bundle's both count, so that an old one hides nothing."""
    lists = [one for one in (run.given_list, run.bundle.revocation_list or None) if one is not None]
    if not lists:
        raise Missing("No revocation list: whether the device's certificate was revoked is not known.")
    run.revocations = [_parse_list(run, data) for data in lists]
    _check_device(run)
    earliest = _check_receipts(run)
    newest = max(one.issued for one in run.revocations)
    issued = f"{newest:%Y-%m-%d %H:%M:%S} UTC"
    if run.not_after is None:
        raise Missing(f"The revocation list of {issued} is genuine, but no trusted time bounds the record.")
    if newest < run.not_after:
        raise Missing(
            f"The revocation list of {issued} is older than the receipt: it cannot name what was revoked "
            "in between. Give a newer one with --revocations."
        )
    run.revocation_checked = True
    return f"Not revoked when the record was confirmed, says the list of {issued}.{earliest}"


def revoked_by(run: Run, certificate: x509.Certificate, at: datetime | None) -> datetime | None:
    """When one of the lists says that ``certificate`` was revoked, if that is not after ``at``.

    ``at`` None: where nothing says when its key signed, any revocation counts.
    """
    times = [
        revoked
        for one in run.revocations
        if one.issuer == certificate.issuer
        and (revoked := one.revoked_at(certificate.serial_number)) is not None
        and (at is None or revoked <= at)
    ]
    return min(times, default=None)


def check_not_revoked(run: Run, certificate: bytes, *, at: datetime | None, whose: str) -> None:
    """Raise Untrusted where a key of the service may have signed after it was taken back.

    ``at``: by when its signature was there for certain; what it says of its own time proves nothing.
    """
    revoked = revoked_by(run, parse_certificate(certificate), at)
    if revoked is not None:
        raise Untrusted(
            "REVOKED",
            f"The {whose} certificate was revoked at {revoked:%Y-%m-%d %H:%M} UTC, and nothing shows that "
            "its key signed before that.",
            hint="Ask the service for what its present keys have signed.",
        )


def _parse_list(run: Run, data: bytes) -> RevocationList:
    parsed = parse_revocation_list(data, issuers=run.bundle.certificates[1:], roots=run.roots)
    if parsed.issuer != run.leaf.issuer:
        raise Untrusted(
            "REVOCATION_ISSUER",
            "The revocation list is not by the authority that issued the device's certificate.",
            hint="Fetch the list of the deployment that issued the certificate.",
        )
    return parsed


def _check_device(run: Run) -> None:
    """Without a receipt any revocation counts: the record may have been made after it."""
    revoked = revoked_by(run, run.leaf, run.not_after)
    if revoked is not None:
        raise Untrusted(
            "REVOKED",
            f"The device's certificate was revoked at {revoked:%Y-%m-%d %H:%M} UTC, before the record was "
            "confirmed.",
            hint="Whoever holds the key may have made the record after that: do not rely on it.",
        )


def _check_receipts(run: Run) -> str:
    """Return what that means for the earliest time of the record; most often nothing.

    The receipt's time is its own word. The earlier one was there when the record was confirmed; where its
    key had been taken back by then, it no longer bounds anything.
    """
    if run.receipt is not None:
        check_not_revoked(run, run.bundle.receipt_certificates[0], at=None, whose="receipt's")
    if run.cited_at is None:
        return ""
    certificates = run.bundle.cited_receipt_certificates or run.bundle.receipt_certificates
    check_not_revoked(run, certificates[0], at=run.cited_at, whose="earlier receipt's")
    if revoked_by(run, parse_certificate(certificates[0]), run.not_after) is None:
        return ""
    run.not_before = None
    return " The key of the earlier receipt had been, so that the earliest time is open."
