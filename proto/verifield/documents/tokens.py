"""Time-stamp tokens (RFC 3161): whose they are, over what, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from asn1crypto import cms, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko.sign.validation import generic_cms
from pyhanko.sign.validation.errors import SignatureValidationError
from pyhanko.sign.validation.status import TimestampSignatureStatus
from pyhanko_certvalidator import ValidationContext

from verifield.documents.identifiers import TIME_STAMPING
from verifield.errors import Forged, Malformed, Untrusted

MAX_TOKEN_BYTES = 64 * 1024
"""A token with a whole chain has under 10 KiB."""


Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Token:
    """A token whose signature, imprint and chain hold. ``time``: UTC. ``nonce``: None where it has none.

    ``path``: the certificates (DER) from the root to its signer, both included.
    """

    time: datetime
    nonce: int | None
    path: tuple[bytes, ...]


def check_token(content: bytes, digest: bytes, *, roots: Sequence[x509.Certificate]) -> Token:
    """Check a token (the DER of its ContentInfo) over a SHA-256 ``digest`` against ``roots``.

    Raises:
        Malformed: it is no token.
        Forged: it is over something else, or its signature does not hold.
        Untrusted: no certificate of an authority for time-stamps leads from its signer to a root.
    """
    if len(content) > MAX_TOKEN_BYTES:
        raise Malformed("STAMP_SIZE", f"A time-stamp has at most {MAX_TOKEN_BYTES} bytes.")
    try:
        signed = cms.ContentInfo.load(content, strict=True)["content"]
        info = signed["encap_content_info"]["content"].parsed
        if not isinstance(info, tsp.TSTInfo):
            raise _no_token()
        algorithm = info["message_imprint"]["hash_algorithm"]["algorithm"].native
        moment = info["gen_time"].native
        nonce = info["nonce"].native
        if algorithm != "sha256" or not isinstance(moment, datetime):
            raise _no_token()
        status = run_apart(_validate(signed, digest, roots=roots, at=moment))
    except (SignatureValidationError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _no_token() from error
    if not status.intact or not status.valid:
        raise Forged("STAMP_FORGED", "The time-stamp is over something else, or was changed.")
    path = status.validation_path
    if not status.trusted or path is None or not is_for_stamps(status.signing_cert):
        raise Untrusted("STAMP_UNTRUSTED", "The time-stamp is not of an authority that is trusted.")
    return Token(moment, nonce, tuple(one.dump() for one in path.iter_certs(include_root=True)))


def is_for_stamps(certificate: asn1_x509.Certificate) -> bool:
    """Whether it is for time-stamps and nothing else (RFC 3161, 2.3)."""
    usage = certificate.extended_key_usage_value
    critical = "extended_key_usage" in certificate.critical_extensions
    return critical and usage is not None and [one.dotted for one in usage] == [TIME_STAMPING]


def run_apart(work: Coroutine[Any, Any, Result]) -> Result:
    """Run ``work`` to its end in a thread of its own: whoever calls may stand in an event loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def to_asn1(certificates: Sequence[x509.Certificate]) -> list[asn1_x509.Certificate]:
    """The same certificates, as pyHanko takes them."""
    return [asn1_x509.Certificate.load(one.public_bytes(Encoding.DER)) for one in certificates]


async def _validate(
    signed: cms.SignedData, digest: bytes, *, roots: Sequence[x509.Certificate], at: datetime
) -> TimestampSignatureStatus:
    context = ValidationContext(trust_roots=to_asn1(roots), moment=at, allow_fetching=False)
    values = await generic_cms.validate_tst_signed_data(signed, context, lambda _algorithm: digest)
    return TimestampSignatureStatus(**values)


def _no_token() -> Malformed:
    return Malformed("STAMP_MALFORMED", "What should be a time-stamp is none.")
