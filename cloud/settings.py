"""Settings of who may call and how often, and how a setting tells what it is for.

One part of ``cloud.config``, which has the others and says where values come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

Rate = Annotated[int, Field(ge=1, le=1_000_000)]
RoleName = Literal[
    "viewer",
    "clerk",
    "window_staff",
    "reviewer",
    "information_centre",
    "seal_reviewer",
    "organisation_admin",
    "auditor",
    "superuser",
]


@dataclass(frozen=True, slots=True)
class Told:
    """What docs/configuration.md says of a setting. ``unset``: what happens where it has no value.

    ``secret``: the value, or the password in an address, is shown as MASK.
    """

    what: str
    why: str
    unit: str = ""
    unset: str = ""
    secret: bool = False


class AccessSettings(BaseModel):
    """Limits of calls, and where people sign in."""

    max_call_s: Annotated[
        float,
        Field(gt=0, le=3600),
        Told(
            "The longest that a call may take, whatever its caller asks for; not of deliveries and imports.",
            "A call that nobody waits for any more holds memory and a thread.",
            unit="s",
        ),
    ] = 60.0
    read_calls_per_minute: Annotated[
        Rate,
        Told(
            "Calls of one person or token that change nothing.",
            "Fifty a second: a script that lists all.",
            unit="1/min",
        ),
    ] = 3000
    write_calls_per_minute: Annotated[
        Rate,
        Told(
            "Calls of one person or token that change something.",
            "Ten a second: a large roll-out.",
            unit="1/min",
        ),
    ] = 600
    account_calls_per_minute: Annotated[
        Rate,
        Told(
            "Calls of one account, by whoever signed in to it.",
            "A person makes one a second at most; a page that waits for a result asks now and then.",
            unit="1/min",
        ),
    ] = 240
    device_calls_per_minute: Annotated[
        Rate,
        Told(
            "Calls of one device; a stream of deliveries is one.",
            "A hundred a second: pictures on a fast line, 256 KiB a call.",
            unit="1/min",
        ),
    ] = 6000
    open_calls_per_minute: Annotated[
        Rate,
        Told(
            "Calls that need no proof (enrolment, health, reflection) from one address.",
            "An office may have many devices behind one address.",
            unit="1/min",
        ),
    ] = 600
    failed_calls_per_minute: Annotated[
        Rate,
        Told(
            "Calls from one address whose token is not good; then it waits. Client certificates still count.",
            "A person mistypes some times; secrets here cannot be guessed at any rate.",
            unit="1/min",
        ),
    ] = 30
    oidc_issuer: Annotated[
        str | None,
        Field(max_length=256, pattern=r"^https://[^\s#?@]+$"),
        Told(
            "OpenID Connect issuer whose tokens people sign in with: the claim `iss`, `https://HOST/...`.",
            "People have one account, and one place that ends it.",
            unset="sign-in by token is off; certificates and the operator token work",
        ),
    ] = None
    oidc_audience: Annotated[
        str | None,
        Field(min_length=1, max_length=256),
        Told(
            "The claim `aud` that tokens for this service have.",
            "A token for another service must not open this one.",
            unset="needed with `oidc_issuer`",
        ),
    ] = None
    oidc_keys: Annotated[
        str | None,
        Field(max_length=1024, pattern=r"^https://[^\s#@]+$"),
        Told(
            "Address of the issuer's key set (JWKS).",
            "Few issuers need it.",
            unset="what the issuer's discovery document names",
        ),
    ] = None
    oidc_ca: Annotated[
        Path | None,
        Told(
            "PEM file with the CA of the issuer's TLS certificate.",
            "An issuer inside often has a CA of its own.",
            unset="the system's CAs",
        ),
    ] = None
    oidc_roles_claim: Annotated[
        str | None,
        Field(min_length=1, max_length=256),
        Told(
            "Claim with the groups of a person, mapped by `oidc_roles`.",
            "Roles can come from the issuer, beside those of our own table.",
            unset="roles come from our own table alone",
        ),
    ] = None
    oidc_roles: Annotated[
        dict[str, RoleName],
        Told(
            'Which role a value of `oidc_roles_claim` stands for: `{"auditors": "auditor"}`.',
            "Names of groups are the issuer's own.",
        ),
    ] = {}

    @model_validator(mode="after")
    def _check_oidc(self) -> AccessSettings:
        if (self.oidc_issuer is None) != (self.oidc_audience is None):
            raise ValueError("oidc_issuer and oidc_audience are needed together")
        if bool(self.oidc_roles) != (self.oidc_roles_claim is not None):
            raise ValueError("oidc_roles_claim and oidc_roles are needed together")
        return self
