"""The issuer's keys (RFC 7517): fetched when they are needed, kept, and asked for again with measure.

While the issuer is away, the keys that are here go on counting for a day. A token that names an unknown
key makes us ask again, but not more often than the interval: tokens come from anybody.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from cloud.access.fetch import FetchError
from cloud.access.oidc import ALGORITHMS, MAX_KEY_ID_CHARS
from cloud.errors import Reason, ServiceError

FRESH_FOR = timedelta(minutes=15)
"""Then they are asked for again, beside the calls: a key that the issuer took back stops counting here."""

KEPT_FOR = timedelta(hours=24)
"""Longer than an outage of an issuer that anybody would bear; after it, no sign-in token counts."""

MIN_INTERVAL = timedelta(seconds=30)
"""Between two attempts, whatever comes: a rotation of keys is noticed within that time."""

MAX_KEYS = 32
"""Issuers have two to six."""

MIN_RSA_BITS = 2048
"""RFC 7518, section 3.3."""

_log = structlog.get_logger("cloud.access.jwks")


class Fetch(Protocol):
    """Returns the JSON object at an address. Blocks; raises FetchError."""

    def __call__(self, url: str) -> Mapping[str, Any]: ...


class IssuerKeys:
    """``keys_url``: None to ask the issuer's discovery document for it. For one event loop."""

    def __init__(
        self, issuer: str, *, keys_url: str | None, fetch: Fetch, now: Callable[[], datetime]
    ) -> None:
        self._issuer = issuer
        self._keys_url = keys_url
        self._fetch = fetch
        self._now = now
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched: datetime | None = None
        self._tried: datetime | None = None
        self._asking: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """The key with this id; None where the issuer has none.

        Raises:
            ServiceError: SIGN_IN_UNAVAILABLE: there are no keys, and the issuer does not answer.
        """
        known = self._current().get(key_id)
        if self._may_ask() and (known is None or not self._is_fresh()):
            self._asking = asyncio.create_task(self._ask())
        if known is not None:
            return known
        if self._asking is not None:
            await asyncio.shield(self._asking)  # a caller who goes away must not stop it for the others
        keys = self._current()
        if not keys:
            raise ServiceError(Reason.SIGN_IN_UNAVAILABLE, "The issuer of sign-in tokens does not answer.")
        return keys.get(key_id)

    async def close(self) -> None:
        """Wait for what is under way; it is bounded in time."""
        if self._asking is not None:
            await asyncio.shield(self._asking)

    def _current(self) -> Mapping[str, jwt.PyJWK]:
        return self._keys if self._age() <= KEPT_FOR else {}

    def _age(self) -> timedelta:
        return self._now() - self._fetched if self._fetched is not None else timedelta.max

    def _is_fresh(self) -> bool:
        return timedelta() <= self._age() <= FRESH_FOR

    def _may_ask(self) -> bool:
        if self._asking is not None and not self._asking.done():
            return False
        # A clock that was set back must not make us wait for the old time.
        return self._tried is None or not timedelta() <= self._now() - self._tried < MIN_INTERVAL

    async def _ask(self) -> None:
        self._tried = self._now()
        try:
            keys = await asyncio.to_thread(self._read)
        except FetchError:
            return  # what is here goes on counting, and whoever asks again later tries again
        except Exception as error:
            _log.error("issuer_keys_unreadable", fault=type(error).__name__)  # its text may hold a key
            return
        self._keys, self._fetched = keys, self._now()

    def _read(self) -> Mapping[str, jwt.PyJWK]:
        url = self._keys_url or self._discover()
        return parse_keys(self._fetch(url))

    def _discover(self) -> str:
        """OpenID Connect Discovery 1.0, section 4."""
        found = self._fetch(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        url = found.get("jwks_uri")
        if found.get("issuer") != self._issuer or not isinstance(url, str):
            raise FetchError("the discovery document is not one of this issuer")
        return url


def parse_keys(document: Mapping[str, Any]) -> dict[str, jwt.PyJWK]:
    """The keys of a JWK set that may sign tokens, by id; others are left out.

    Raises:
        FetchError: not a key set, too many keys, or none that can be used.
    """
    listed = document.get("keys")
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise FetchError(f"not a set of up to {MAX_KEYS} keys")
    found = {}
    for one in listed:
        key = _parse_key(one)
        if key is not None:
            found[str(key.key_id)] = key
    if not found:
        raise FetchError("no key of the set can check tokens")
    return found


def parse_json(content: bytes) -> Mapping[str, Any]:
    """A JSON object.

    Raises:
        FetchError: it is none.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FetchError("the answer is not JSON") from error
    if not isinstance(value, dict):
        raise FetchError("the answer is not a JSON object")
    return value


def _parse_key(one: object) -> jwt.PyJWK | None:
    if not isinstance(one, dict) or one.get("use", "sig") != "sig" or "d" in one:
        return None
    key_id = one.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= MAX_KEY_ID_CHARS:
        return None
    try:
        key = jwt.PyJWK(one)
    except (jwt.PyJWTError, KeyError, TypeError, ValueError):  # the library lets through what it meets
        return None
    if key.algorithm_name not in ALGORITHMS:
        return None
    if isinstance(key.key, RSAPublicKey) and key.key.key_size < MIN_RSA_BITS:
        return None
    return key
