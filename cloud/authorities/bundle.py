"""All authorities, opened from the settings."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cloud.authorities.breaker import BreakerLimits
from cloud.authorities.http_bank import HttpBank
from cloud.authorities.http_carrier import HttpCarrier
from cloud.authorities.http_ctid import HttpCtid
from cloud.authorities.http_registry import HttpRegistry
from cloud.authorities.line import Limits, Line, Watch
from cloud.authorities.port import Authority, Bank, Carrier, Ctid, Registry
from cloud.authorities.retry import Budget
from cloud.authorities.transport import HttpTransport
from cloud.errors import SetupError
from cloud.settings import AuthoritySettings
from cloud.sources import Sources

MAX_TOKEN_CHARS = 4096


@dataclass(frozen=True, slots=True)
class Authorities:
    """One port each, and the lines below them. To be used in one event loop."""

    registry: Registry
    bank: Bank
    ctid: Ctid
    carrier: Carrier
    lines: tuple[Line, ...]

    @classmethod
    def open(
        cls,
        settings: AuthoritySettings,
        sources: Sources,
        *,
        ended: Callable[[str, str, float], None] = lambda *_: None,
    ) -> Self:
        """Read what proves who we are; nothing is connected yet. ``ended``: see ``Watch``.

        Raises:
            SetupError: AUTHORITY_FILES, a file that the settings name cannot be used.
        """
        urls = (
            settings.authority_registry,
            settings.authority_bank,
            settings.authority_ctid,
            settings.authority_carrier,
        )
        # Reading the system's CAs takes a while, and commands that ask nobody open this, too.
        needed = any(url and url.startswith("https:") for url in urls) or any(_files(settings))
        context = _open_context(settings) if needed else None
        secret = _read_token(settings.authority_token_file)
        limits = Limits(
            Budget(
                tries=settings.authority_tries,
                seconds=settings.authority_budget_s,
                try_s=settings.authority_read_s,
            ),
            BreakerLimits(open_after=settings.authority_open_after, open_s=settings.authority_open_s),
            parallel=settings.authority_parallel,
        )
        # Jitter is no secret.
        watch = Watch(random.random, sources.now, ended)

        def line(authority: Authority, url: str | None) -> Line:
            transport = url and HttpTransport.open(
                url,
                context=context if url.startswith("https:") else None,
                connect_s=settings.authority_connect_s,
                secret=secret,
            )
            return Line(authority, transport or None, limits, watch)

        registry = line(Authority.REGISTRY, settings.authority_registry)
        bank = line(Authority.BANK, settings.authority_bank)
        ctid = line(Authority.CTID, settings.authority_ctid)
        carrier = line(Authority.CARRIER, settings.authority_carrier)
        return cls(
            HttpRegistry(registry),
            HttpBank(bank),
            HttpCtid(ctid, sources),
            HttpCarrier(carrier),
            (registry, bank, ctid, carrier),
        )

    async def close(self) -> None:
        """End all connections."""
        for line in self.lines:
            await line.close()


def check_files(settings: AuthoritySettings) -> None:
    """Check what the settings name, as at a start.

    Raises:
        SetupError: AUTHORITY_FILES.
    """
    if any(_files(settings)):
        _open_context(settings)
    _read_token(settings.authority_token_file)


def _open_context(settings: AuthoritySettings) -> ssl.SSLContext:
    ca, certificate = settings.authority_ca, settings.authority_certificate
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate is not None:
            context.load_cert_chain(certificate, settings.authority_key)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        names = ", ".join(map(str, _files(settings)))
        raise SetupError(
            "AUTHORITY_FILES",
            f"The certificates for the gateways cannot be used: {names} ({type(error).__name__}).",
            hint="authority_ca, authority_certificate and authority_key are PEM; the key has no password.",
        ) from error
    return context


def _files(settings: AuthoritySettings) -> Iterator[Path]:
    for file in (settings.authority_ca, settings.authority_certificate, settings.authority_key):
        if file is not None:
            yield file


def _read_token(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise _no_token(file) from error
    if not token or len(token) > MAX_TOKEN_CHARS or not token.isprintable() or " " in token:
        raise _no_token(file)
    return token


def _no_token(file: Path) -> SetupError:
    return SetupError(
        "AUTHORITY_FILES",
        f"The file {file} does not hold a bearer token.",
        hint="Write the token that the gateway's operator gave you into it: one line of ASCII characters.",
    )
