"""Figures and traces of the running service, and where they are fetched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version

from cryptography import x509

from cloud.config import Config, format_address, parse_address
from cloud.errors import SetupError
from cloud.sources import Sources
from cloud.telemetry.census import Census, CensusCollector
from cloud.telemetry.metrics import Metrics
from cloud.telemetry.scrape import Scrape
from cloud.telemetry.tracing import Exporting, Tracing


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What the parts of the service count with, and tell of their work by."""

    metrics: Metrics
    tracing: Tracing

    @classmethod
    def silent(cls) -> Telemetry:
        """For commands that open the data without serving it."""
        return cls(Metrics(), Tracing())


@asynccontextmanager
async def telling(config: Config, sources: Sources) -> AsyncIterator[Telemetry]:
    """Figures, and traces where a collector is named, until the block ends.

    Raises:
        SetupError: OTLP_CA, the CA of the collector cannot be read.
    """
    if config.otlp_endpoint is None:
        yield Telemetry.silent()
        return
    exporting = Exporting(
        endpoint=config.otlp_endpoint,
        ratio=config.otlp_ratio,
        version=version("verifield"),
        instance=sources.uuid7(),
        certificates=_read_ca(config),
    )
    telemetry = Telemetry(Metrics(), Tracing.open(exporting))
    try:
        yield telemetry
    finally:
        await asyncio.to_thread(telemetry.tracing.close)


@asynccontextmanager
async def scraped(
    config: Config, metrics: Metrics, census: Callable[[], Census | None]
) -> AsyncIterator[str | None]:
    """Let Prometheus read while the block runs, where it is wanted; gives HOST:PORT.

    Raises:
        SetupError: the address cannot be used.
    """
    if config.metrics_listen is None:
        yield None
        return
    metrics.registry.register(CensusCollector(census))
    address = parse_address(config.metrics_listen)
    scrape = await Scrape.start(address, metrics.registry, exposed=config.metrics_exposed)
    try:
        yield format_address(address[0], scrape.port)
    finally:
        await scrape.stop()


def _read_ca(config: Config) -> bytes | None:
    if config.otlp_ca is None:
        return None
    try:
        pem = config.otlp_ca.read_bytes()
        x509.load_pem_x509_certificates(pem)
    except (OSError, ValueError) as error:
        raise SetupError(
            "OTLP_CA",
            f"The CA of the collector in {config.otlp_ca} cannot be used ({type(error).__name__}).",
            hint="Give a PEM file with certificates with otlp_ca, or leave it out.",
        ) from error
    return pem
