"""Sign-in tokens of an OpenID Connect issuer: signed JWTs (RFC 7519), checked by these steps.

1  it is one JWT of a bounded size, and names its key
2  the key is one of the issuer's (cloud.access.jwks); addresses and keys in the token's header are not used
3  the signature holds, by the one algorithm that the key is for, and that is on the list below
4  issuer and audience are the configured ones, and the subject is there
5  the time is right: begun, not expired, and not good for longer than a day
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt

from cloud.access.roles import Role
from cloud.errors import Reason, ServiceError

ALGORITHMS = ("RS256", "ES256", "EdDSA")
"""Signatures with a public key only. ``none`` proves nothing, and with HS256 the issuer's public key could
be used as if it were a shared secret."""

MAX_TOKEN_CHARS = 8192
"""Tokens with long lists of groups have 4 KiB; all metadata of a call has 16 KiB."""

MAX_KEY_ID_CHARS = 256
MAX_SUBJECT_CHARS = 255
"""OpenID Connect Core 1.0, section 2."""

LEEWAY = timedelta(seconds=60)
"""By how much the clocks of the issuer and of this machine may differ."""

MAX_LIFETIME = timedelta(hours=24)
"""A token cannot be taken back: one that is good for months would be a password."""

_REQUIRED = ["iss", "aud", "sub", "exp", "iat"]
_OPTIONS: jwt.types.Options = {
    "require": _REQUIRED,
    # Times are checked below, by the clock that was passed in.
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose tokens count. ``roles``: what a value of ``roles_claim`` stands for, beside our own table."""

    issuer: str
    audience: str
    roles_claim: str = ""
    roles: Mapping[str, Role] | None = None


@dataclass(frozen=True, slots=True)
class SignIn:
    """What a token proved. ``subject`` may be personal: it is never logged."""

    issuer: str
    subject: str
    roles: frozenset[Role]
    valid_until: datetime

    def __repr__(self) -> str:
        return f"SignIn({self.issuer})"


def key_id_of(token: str) -> str:
    """Return the id of the key that a token names; nothing of the token is believed yet.

    Raises:
        ServiceError: SIGN_IN_TOKEN_REFUSED.
    """
    if not 0 < len(token) <= MAX_TOKEN_CHARS or not token.isascii() or token.count(".") != 2:
        raise refused("FORM")
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise refused("FORM") from error
    if header.get("alg") not in ALGORITHMS:
        raise refused("ALGORITHM")
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not 0 < len(key_id) <= MAX_KEY_ID_CHARS:
        raise refused("KEY")
    return key_id


def check_token(token: str, key: jwt.PyJWK, *, trust: Trust, now: datetime) -> SignIn:
    """Check steps 3 to 5; return who signed in.

    Raises:
        ServiceError: SIGN_IN_TOKEN_REFUSED, with the check that failed.
    """
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=ALGORITHMS,
            audience=trust.audience,
            issuer=trust.issuer,
            options=_OPTIONS,
        )
    except jwt.InvalidIssuerError as error:
        raise refused("ISSUER") from error
    except jwt.InvalidAudienceError as error:
        raise refused("AUDIENCE") from error
    except jwt.MissingRequiredClaimError as error:
        raise refused("CLAIMS") from error
    except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError, jwt.InvalidKeyError) as error:
        raise refused("SIGNATURE") from error
    except jwt.PyJWTError as error:
        raise refused("FORM") from error
    subject = claims["sub"]
    if not 0 < len(subject) <= MAX_SUBJECT_CHARS or not _is_text(subject):
        raise refused("CLAIMS")
    return SignIn(
        issuer=trust.issuer,
        subject=subject,
        roles=_roles_in(claims.get(trust.roles_claim), trust.roles or {}),
        valid_until=_check_times(claims, now=now),
    )


def refused(check: str) -> ServiceError:
    """A refusal of a token; ``check``: stable code of what does not hold."""
    return ServiceError(Reason.SIGN_IN_TOKEN_REFUSED, "The sign-in token is not good here.", {"check": check})


def _is_text(value: str) -> bool:
    """JSON can name half of a character."""
    return value.encode(errors="replace").decode() == value


def _check_times(claims: Mapping[str, object], *, now: datetime) -> datetime:
    issued, ends = _time(claims["iat"]), _time(claims["exp"])
    begins = _time(claims["nbf"]) if claims.get("nbf") is not None else issued
    if max(issued, begins) > now + LEEWAY:
        raise refused("NOT_YET")
    if ends + LEEWAY <= now:
        raise refused("EXPIRED")
    if ends - issued > MAX_LIFETIME:
        raise refused("LIFETIME")
    return ends + LEEWAY


def _time(claim: object) -> datetime:
    """NumericDate (RFC 7519, section 2)."""
    if isinstance(claim, bool) or not isinstance(claim, int | float):
        raise refused("CLAIMS")
    try:
        return datetime.fromtimestamp(claim, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise refused("CLAIMS") from error


def _roles_in(claim: object, roles: Mapping[str, Role]) -> frozenset[Role]:
    values = claim if isinstance(claim, list) else [claim]
    return frozenset(roles[value] for value in values if isinstance(value, str) and value in roles)
