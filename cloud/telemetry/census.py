"""Figures that are counted when they are asked for: what is in the store, on the disk, in the certificates.

Counting costs the database something, so a count is kept for a while: at least MIN_AGE_S, and so long
that counting takes no more than COST_SHARE of the time. Nobody who scrapes often can slow the service.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

MIN_AGE_S = 15.0
"""Prometheus' usual interval: every scrape of one server gets fresh figures, a second server the same."""

COST_SHARE = 0.02
"""A count that takes a second (a million devices on a loaded database) is repeated after 50 s."""


@dataclass(frozen=True, slots=True)
class Census:
    """Counts by label, and times in microseconds since 1970; None where there is nothing to tell."""

    devices: Mapping[str, int] = field(default_factory=dict)  # by state
    open_alarms: Mapping[str, int] = field(default_factory=dict)  # by kind
    oldest_alarm_us: int | None = None
    staged_records: int = 0
    database_bytes: int | None = None
    disk_free_bytes: int | None = None
    last_backup_us: int | None = None
    certificate_ends_us: Mapping[str, int] = field(default_factory=dict)  # by key's name
    schema_revision: str = ""
    stores: Mapping[str, StoreFigures] = field(default_factory=dict)  # by name


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """Of one store of files. ``lag_s``: for how long the oldest file that it is to have has waited."""

    up: bool
    lag_s: float
    files: Mapping[str, int]  # by state


class CachedCensus:
    """Counts when asked, but not too often. ``clock``: monotonic seconds."""

    def __init__(self, count: Callable[[], Census], *, clock: Callable[[], float]) -> None:
        self._count = count
        self._clock = clock
        self._lock = threading.Lock()
        self._last: Census | None = None
        self._until_s = float("-inf")

    def __call__(self) -> Census | None:
        """The newest count; None where counting failed. Blocks: not for the event loop."""
        with self._lock:
            if self._clock() >= self._until_s:
                self._recount()
            return self._last

    def _recount(self) -> None:
        started = self._clock()
        try:
            self._last = self._count()
        except Exception:  # whatever it is: figures and status still tell the rest
            self._last = None
        cost_s = self._clock() - started
        self._until_s = self._clock() + max(MIN_AGE_S, cost_s / COST_SHARE)


class CensusCollector(Collector):
    """Counts at a scrape. Where that failed the figures are absent, and ``verifield_census_up`` is 0."""

    def __init__(self, census: Callable[[], Census | None]) -> None:
        self._census = census

    def collect(self) -> Iterable[Metric]:
        """The newest count."""
        last = self._census()
        yield _gauge("verifield_census_up", "1 if the store could be counted.", 0 if last is None else 1)
        if last is not None:
            yield from _families(last)

    def describe(self) -> list[Metric]:
        """Nothing, so that registering does not count."""
        return []


def _families(census: Census) -> Iterable[Metric]:
    yield _labelled("verifield_devices", "Devices, by state.", "state", census.devices)
    yield _labelled(
        "verifield_alarms_open", "Alarms that nobody closed, by kind.", "kind", census.open_alarms
    )
    yield _gauge("verifield_staged_records", "Records that wait for one before them.", census.staged_records)
    moments = (
        (
            "verifield_alarm_oldest_timestamp_seconds",
            "When the oldest open alarm was raised.",
            census.oldest_alarm_us,
        ),
        (
            "verifield_backup_last_timestamp_seconds",
            "When the newest whole backup was made.",
            census.last_backup_us,
        ),
    )
    for name, text, moment_us in moments:
        if moment_us is not None:
            yield _gauge(name, text, moment_us / 1e6)
    sizes = (
        ("verifield_database_bytes", "Size of the database.", census.database_bytes),
        ("verifield_disk_free_bytes", "Free space for the data directory.", census.disk_free_bytes),
    )
    for name, text, size in sizes:
        if size is not None:
            yield _gauge(name, text, size)
    yield _labelled(
        "verifield_certificate_expiry_timestamp_seconds",
        "When the certificate of a key of this service ends.",
        "key",
        {key: end_us / 1e6 for key, end_us in census.certificate_ends_us.items()},
    )
    yield from _storage(census.stores)


def _storage(stores: Mapping[str, StoreFigures]) -> Iterable[Metric]:
    yield _labelled(
        "verifield_storage_up",
        "1 if the store of files answers and does what it is asked to.",
        "store",
        {name: float(one.up) for name, one in stores.items()},
    )
    yield _labelled(
        "verifield_storage_lag_seconds",
        "For how long the oldest file that the store is to have has waited (recovery point).",
        "store",
        {name: one.lag_s for name, one in stores.items()},
    )
    files = GaugeMetricFamily(
        "verifield_storage_files", "Files, by store and state.", labels=["store", "state"]
    )
    for name, one in stores.items():
        for state, many in one.files.items():
            files.add_metric([name, state], many)
    yield files


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
