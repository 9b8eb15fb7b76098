"""What other rooms are given to sign documents with, and whom a check of documents trusts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cryptography import x509

from cloud.config import Config
from cloud.errors import SetupError
from cloud.signers.authority import SignerAuthority
from cloud.signers.keys import SignerKeys
from cloud.signers.stamps import Limits, Stampers
from cloud.signers.tsa import EmbeddedAuthority
from cloud.sources import Sources
from verifield.certificates import MAX_ROOT_BYTES, load_roots
from verifield.errors import VerifieldError


@dataclass(frozen=True, slots=True)
class Signers:
    """``authority``: issues certificates. ``stamper``: says what time it is. Both for any thread.

    ``stamp_roots``: of time-stamping authorities of others, beside the deployment's own root.
    """

    authority: SignerAuthority
    stamper: Stampers
    stamp_roots: tuple[x509.Certificate, ...]

    @property
    def root(self) -> x509.Certificate:
        """The deployment's root."""
        return self.authority.keys.root

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """Certificates of all authorities: what ``cloud.pdf`` puts into a document that is to last."""
        return *self.authority.keys.chain, *self.stamp_roots


def open_signers(keys: SignerKeys, config: Config, sources: Sources) -> Signers:
    """As the settings say; it keeps nothing, so that it may be made more than once.

    Raises:
        SetupError: STAMP_ROOTS.
    """
    roots = _stamp_roots(config.stamp_roots)
    stamper = Stampers.open(
        EmbeddedAuthority(keys, sources),
        config.stamp_authorities,
        roots=roots,
        limits=Limits(timedelta(seconds=config.stamp_timeout_s), timedelta(seconds=config.stamp_tolerance_s)),
        sources=sources,
    )
    return Signers(SignerAuthority(keys, sources), stamper, roots)


def _stamp_roots(path: Path | None) -> tuple[x509.Certificate, ...]:
    if path is None:
        return ()
    try:
        with path.open("rb") as file:
            return tuple(load_roots(file.read(MAX_ROOT_BYTES + 1)))
    except (OSError, VerifieldError) as error:
        raise SetupError(
            "STAMP_ROOTS",
            f"The roots of time-stamping authorities in {path} cannot be used ({type(error).__name__}).",
            hint="Give a PEM file of 1 to 16 self-signed CA certificates with stamp_roots.",
        ) from error
