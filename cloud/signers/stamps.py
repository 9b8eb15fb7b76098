"""Who is asked for the time: the embedded authority, or others over HTTP, one after the other.

What an authority gives counts only where all of this holds; else the next one is asked:
1  it answers in time, with status 200, in the form of RFC 3161, within the size of any good answer
2  it grants the request
3  the token holds the digest and the number (nonce) that were sent
4  its certificate is for time-stamps alone, and leads to a root that the operator configured
5  its time is that of this machine's clock, within the tolerance
6  without the certificates that do not lead to that root, a check of documents takes its form and size
Where none is left, nothing was stamped: no other time ever stands in its place.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import httpx
from asn1crypto import cms, tsp
from cryptography import x509

from cloud.pdf.ports import MAX_TOKEN, Stamper, StampUnavailable
from cloud.signers.tsa import EmbeddedAuthority
from cloud.sources import Sources
from verifield.documents.shape import has_our_form
from verifield.documents.tokens import MAX_TOKEN_BYTES, check_token, run_apart
from verifield.errors import VerifieldError

MAX_ANSWER_BYTES = MAX_TOKEN_BYTES + 1024
"""A token, and the status around it."""

_log = logging.getLogger(__name__)
_NONCE_BYTES = 8
_HEADERS = {"Content-Type": "application/timestamp-query", "Accept-Encoding": "identity"}
_GRANTED = frozenset({"granted", "granted_with_mods"})


@dataclass(frozen=True, slots=True)
class Limits:
    """``timeout``: of one authority, in all. ``tolerance``: between its time and this machine's."""

    timeout: timedelta
    tolerance: timedelta


class HttpAuthority:
    """One authority over HTTP (RFC 3161, 3.4): no redirects, no cookies, no proxies of the environment."""

    def __init__(
        self, url: str, *, roots: Sequence[x509.Certificate], limits: Limits, sources: Sources
    ) -> None:
        self._url = url
        self._roots = list(roots)
        self._limits = limits
        self._sources = sources
        self._tls = ssl.create_default_context()

    def stamp(self, digest: bytes) -> bytes:
        """A token over a SHA-256 ``digest``.

        Raises:
            StampUnavailable: the authority did not answer as it should; the text says why.
        """
        nonce = int.from_bytes(self._sources.random_bytes(_NONCE_BYTES), "big") | 1
        request = tsp.TimeStampReq(
            {
                "version": "v1",
                "message_imprint": {"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": digest},
                "nonce": nonce,
                "cert_req": True,
            }
        )
        token = _granted(self._ask(request.dump()))  # steps 1 and 2
        try:
            found = check_token(token, digest, roots=self._roots)  # steps 3 and 4
        except VerifieldError as error:
            raise StampUnavailable(f"the authority's answer does not hold ({error.code})") from error
        if found.nonce != nonce:
            raise StampUnavailable("the authority answered another request")
        if abs(found.time - self._sources.now()) > self._limits.tolerance:  # step 5
            raise StampUnavailable("the authority's time is not that of this machine's clock")
        return self._fitted(token, found.path)  # step 6

    def _fitted(self, token: bytes, path: Sequence[bytes]) -> bytes:
        """The token as documents carry it, where ``verifield.documents`` would take it from there.

        Whoever checks knows more roots, the deployment's own: where these are enough, more do no harm.
        """
        try:
            content = _trimmed(token, path)
            signed = cms.ContentInfo.load(content, strict=True)["content"]
            is_taken = has_our_form(signed, roots=self._roots, is_token=True)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StampUnavailable("the authority's time-stamp cannot be read") from error
        if not is_taken:
            raise StampUnavailable("the authority's time-stamp has a form that checks of documents refuse")
        if len(content) > MAX_TOKEN:
            raise StampUnavailable("the authority's time-stamp is too large")
        return content

    def _ask(self, request: bytes) -> bytes:
        """Send, and read all of the answer within the time for it."""
        try:
            return run_apart(self._exchange(request))
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:  # of which TimeoutError is one
            raise StampUnavailable(f"the authority cannot be reached ({type(error).__name__})") from error

    async def _exchange(self, request: bytes) -> bytes:
        """Asynchronous, because only so all of it can be bounded, however slowly bytes come."""
        seconds = self._limits.timeout.total_seconds()
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(
                verify=self._tls, timeout=seconds, follow_redirects=False, trust_env=False
            ) as client,
            client.stream("POST", self._url, content=request, headers=_HEADERS) as answer,
        ):
            return await _read(answer)


class Stampers:
    """A ``Stamper``: those it was given, in their order. Any thread may use it."""

    def __init__(self, authorities: Sequence[Stamper]) -> None:
        if not authorities:
            raise ValueError("somebody has to say what time it is")
        self._authorities = list(authorities)

    @classmethod
    def open(
        cls,
        embedded: EmbeddedAuthority,
        urls: Sequence[str],
        *,
        roots: Sequence[x509.Certificate],
        limits: Limits,
        sources: Sources,
    ) -> Stampers:
        """The authorities at ``urls``; the embedded one where there are none.

        The embedded one never steps in for others: an operator who wants another's word gets it or nothing.
        """
        if not urls:
            return cls([embedded])

        others = [HttpAuthority(url, roots=roots, limits=limits, sources=sources) for url in urls]
        return cls(others)

    def stamp(self, digest: bytes) -> bytes:
        """A token of the first authority that gives a good one.

        Raises:
            StampUnavailable: none does.
        """
        for place, authority in enumerate(self._authorities):
            try:
                return authority.stamp(digest)
            except StampUnavailable:
                _log.warning("time-stamping authority %d was passed over", place, exc_info=True)
        raise StampUnavailable("no time-stamping authority gave a time-stamp that can be used")


async def _read(answer: httpx.Response) -> bytes:
    if answer.status_code != httpx.codes.OK:
        raise StampUnavailable(f"the authority answered with status {answer.status_code}")
    if answer.headers.get("content-type", "").partition(";")[0].strip() != "application/timestamp-reply":
        raise StampUnavailable("the authority answered in another form")
    content = b""
    async for piece in answer.aiter_raw():
        content += piece
        if len(content) > MAX_ANSWER_BYTES:
            raise StampUnavailable("the authority's answer is too large")
    return content


def _granted(answer: bytes) -> bytes:
    """The token in a TimeStampResp (DER)."""
    try:
        parsed = tsp.TimeStampResp.load(answer, strict=True)
        if parsed["status"]["status"].native not in _GRANTED:
            raise StampUnavailable("the authority refused the request")
        return bytes(parsed["time_stamp_token"].dump())
    except (ValueError, TypeError, KeyError) as error:
        raise StampUnavailable("the authority's answer cannot be read") from error


def _trimmed(token: bytes, path: Sequence[bytes]) -> bytes:
    """The token with only those of its certificates that are on ``path``: nothing signs which it carries."""
    whole = cms.ContentInfo.load(token, strict=True)
    signed = whole["content"]
    signed["certificates"] = [one for one in signed["certificates"] if one.chosen.dump() in path]
    return bytes(whole.dump())
