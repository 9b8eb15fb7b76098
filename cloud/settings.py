"""Settings of who may call and how often, how authorities are asked, and how a setting tells what it is for.

One part of ``cloud.config``, which has the others and says where values come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

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

_THIS_MACHINE = frozenset({"127.0.0.1", "::1", "localhost"})


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


FieldName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


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
            "Calls that need no proof (enrolment, health, each question of reflection) from one address.",
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

    review_blind_fields: Annotated[
        tuple[FieldName, ...],
        Field(max_length=100),
        Told(
            "Fields of reviewed material that reviewers see only as a mask.",
            "Who decides by a name or a number is not neutral; the documents themselves are not masked.",
        ),
    ] = ("name", "id_number", "phone", "email")

    @model_validator(mode="after")
    def _check_oidc(self) -> AccessSettings:
        if (self.oidc_issuer is None) != (self.oidc_audience is None):
            raise ValueError("oidc_issuer and oidc_audience are needed together")
        if bool(self.oidc_roles) != (self.oidc_roles_claim is not None):
            raise ValueError("oidc_roles_claim and oidc_roles are needed together")
        return self


AuthorityUrl = Annotated[
    str | None, Field(max_length=256, pattern=r"^https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._~/-]*)?$")
]


class PasswordSettings(BaseModel):
    """What a password of an account costs to work out (Argon2id)."""

    password_memory_kib: Annotated[
        int,
        Field(ge=8, le=4 * 1024 * 1024),
        Told(
            "Memory of one password's hash.",
            "RFC 9106's second recommended option; whoever steals the database pays it for each guess.",
            unit="KiB",
        ),
    ] = 64 * 1024
    password_passes: Annotated[
        int, Field(ge=1, le=64), Told("Passes over that memory.", "Of the same option.")
    ] = 3
    password_lanes: Annotated[
        int,
        Field(ge=1, le=64),
        Told("Lanes of that memory, worked out side by side.", "Of the same option."),
    ] = 4
    password_threads: Annotated[
        int,
        Field(ge=1, le=64),
        Told(
            "Passwords that are worked out at the same time; others wait.",
            "Each takes its memory, and a core for some tenths of a second.",
        ),
    ] = 2

    @model_validator(mode="after")
    def _check_memory(self) -> PasswordSettings:
        if self.password_memory_kib < 8 * self.password_lanes:
            raise ValueError("password_memory_kib is at least 8 for each of password_lanes (RFC 9106, 3.1)")
        return self


class AuthoritySettings(BaseModel):
    """How authorities are asked: where, with which proof, how long and how often."""

    authority_registry: Annotated[
        AuthorityUrl,
        Told(
            "Gateway to the people's registry (four elements, faces), `https://HOST/...`.",
            "Who is asked is the operator's contract; docs/authorities.md has the interface.",
            unset="not connected: AUTHORITY_NOT_CONFIGURED, and people are verified at windows",
        ),
    ] = None
    authority_bank: Annotated[
        AuthorityUrl,
        Told(
            "Gateway to the central bank's corporate-account online verification.",
            "As above.",
            unset="not connected: AUTHORITY_NOT_CONFIGURED",
        ),
    ] = None
    authority_ctid: Annotated[
        AuthorityUrl,
        Told(
            "Gateway to verification by network certificate (CTID).",
            "As above.",
            unset="not connected: AUTHORITY_NOT_CONFIGURED",
        ),
    ] = None
    authority_carrier: Annotated[
        AuthorityUrl,
        Told(
            "Gateway to the carriers' register of who holds a telephone number.",
            "As above; asked only where the rules want telephone and ID number to belong together.",
            unset="not connected: AUTHORITY_NOT_CONFIGURED",
        ),
    ] = None
    authority_ca: Annotated[
        Path | None,
        Told(
            "PEM file with the CA of the gateways' TLS certificates.",
            "A gateway inside often has a CA of its own.",
            unset="the system's CAs",
        ),
    ] = None
    authority_certificate: Annotated[
        Path | None,
        Told(
            "PEM file with our client certificate for the gateways, and its chain.",
            "The stronger of the two proofs; both may be set.",
            unset="none is shown",
        ),
    ] = None
    authority_key: Annotated[
        Path | None,
        Told(
            "PEM file with its key.",
            "Kept apart from the settings.",
            unset="needed with `authority_certificate`",
        ),
    ] = None
    authority_token_file: Annotated[
        Path | None,
        Told(
            "File with a bearer token for the gateways; sent to all of them, read at the start.",
            "A secret in a file of its own is not shown with the settings.",
            unset="none is sent",
        ),
    ] = None
    authority_connect_s: Annotated[
        float,
        Field(gt=0, le=30),
        Told("How long a connection may take, TLS included.", "Longer, and it is down.", unit="s"),
    ] = 3.0
    authority_read_s: Annotated[
        float,
        Field(gt=0, le=60),
        Told(
            "How long one try may take in all, from connecting to the last byte of the answer.",
            "A face comparison of a registry takes a second or two.",
            unit="s",
        ),
    ] = 8.0
    authority_tries: Annotated[
        int,
        Field(ge=1, le=10),
        Told(
            "How often a question is sent at most, where the authority is busy or cannot be reached.",
            "With pauses that double, four tries bridge short peaks.",
        ),
    ] = 4
    authority_budget_s: Annotated[
        float,
        Field(gt=0, le=60),
        Told(
            "How long a question may take in all, with its tries and pauses.",
            "A person waits before a screen, and a call of ours ends after `max_call_s`.",
            unit="s",
        ),
    ] = 20.0
    authority_parallel: Annotated[
        int,
        Field(ge=1, le=256),
        Told(
            "Questions under way to one authority at the same time; further ones wait within their budget.",
            "Gateways are sized by contract, and a flood would only make them busy.",
        ),
    ] = 16
    authority_open_after: Annotated[
        int,
        Field(ge=1, le=1000),
        Told(
            "After so many questions in a row without an answer, an authority is not asked for a while.",
            "People hear at once what they would hear after the whole budget, and the authority can recover.",
        ),
    ] = 5
    authority_open_s: Annotated[
        float,
        Field(gt=0, le=3600),
        Told(
            "How long that while is; then one question probes.", "Most faults end within a minute.", unit="s"
        ),
    ] = 15.0

    @model_validator(mode="after")
    def _check_authorities(self) -> AuthoritySettings:
        if (self.authority_certificate is None) != (self.authority_key is None):
            raise ValueError("authority_certificate and authority_key are needed together")
        for url in (
            self.authority_registry,
            self.authority_bank,
            self.authority_ctid,
            self.authority_carrier,
        ):
            if url is not None:
                check_gateway(url)
        if self.authority_connect_s > self.authority_read_s:
            raise ValueError("authority_connect_s is a part of authority_read_s, and at most as long")
        return self


def check_gateway(url: str) -> None:
    """Check the address of a gateway: over TLS, or on this very machine.

    Raises:
        ValueError: personal data would cross a network in the open, or there is no such address.
    """
    parts = urlsplit(url)
    if not parts.hostname or parts.port == 0:  # reading the port raises for nonsense
        raise ValueError("a gateway is https://HOST[:PORT]/...")
    if parts.scheme != "https" and not is_this_machine(parts.hostname):
        raise ValueError("a gateway is called over https; http is for this machine alone (127.0.0.1)")


def is_this_machine(host: str) -> bool:
    """Whether a host of an address is this very machine, whatever its name server says."""
    return host in _THIS_MACHINE
