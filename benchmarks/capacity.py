"""What a deployment of the cloud service needs, computed from what was measured.

python -m benchmarks.capacity --devices 1000000 --records-per-day 30 --batch 1

Each figure has a part for each record and a part for each batch, taken from the smallest and the largest
batch that was measured (results/storage.json, results/drain.json); docs/scale.md has the formulas.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.machine import RESULTS

DAY_S = 86_400
YEAR_DAYS = 365
GB = 1e9


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one record in a batch of so many: a part of its own, and its share of what the batch costs."""

    each: float
    batch: float

    @classmethod
    def fit(cls, measured: Mapping[int, float]) -> Cost:
        """Through the smallest and the largest batch that was measured."""
        small, large = min(measured), max(measured)
        batch = (measured[small] - measured[large]) / (1 / small - 1 / large)
        return cls(measured[large] - batch / large, batch)

    def at(self, batch: float) -> float:
        return self.each + self.batch / batch


@dataclass(frozen=True, slots=True)
class Measured:
    """``stored``: bytes beside the envelope by engine; ``wire_up`` and ``wire_down``: bytes of the network
    for each byte of envelopes; ``drain_revision``: of the service whose processor time it is."""

    stored: dict[str, Cost]
    wal: Cost
    cpu_us: Cost
    wire_up: Cost
    wire_down: Cost

    @classmethod
    def read(cls) -> Measured:
        """From the kept results."""
        storage = read_result("storage")["storage"]
        drain = read_result("drain")
        stored = {
            engine: Cost.fit({one["batch"]: one["beside_envelope_bytes_each"] for one in of})
            for engine in ("SQLite", "PostgreSQL")
            if (of := [one for one in storage if one["engine"] == engine])
        }
        written = {
            one["batch"]: one["wal_bytes_each"] - one["envelope_bytes"]
            for one in storage
            if one["engine"] == "PostgreSQL"
        }
        cpu = {
            int(batch): one["server_cpu_us_per_envelope"]["median"]
            for batch, one in drain["one_stream"].items()
        }
        wire = {
            int(batch): (one["up"], one["down"])
            for batch, one in drain["wire_bytes_over_envelope_bytes"].items()
        }
        return cls(
            stored,
            Cost.fit(written),
            Cost.fit(cpu),
            Cost.fit({batch: up for batch, (up, _) in wire.items()}),
            Cost.fit({batch: down for batch, (_, down) in wire.items()}),
        )


@dataclass(frozen=True, slots=True)
class Fleet:
    """``peak``: the busiest second over the mean of a day."""

    devices: int
    records_per_day: float
    envelope_bytes: float
    batch: float
    peak: float

    @property
    def a_day(self) -> float:
        return self.devices * self.records_per_day

    @property
    def a_second(self) -> float:
        return self.a_day / DAY_S


def plan(fleet: Fleet, measured: Measured) -> list[tuple[str, str]]:
    """What and how much, line by line."""
    stored = {engine: fleet.envelope_bytes + cost.at(fleet.batch) for engine, cost in measured.stored.items()}
    wal = fleet.envelope_bytes + measured.wal.at(fleet.batch)
    cores = fleet.a_second * measured.cpu_us.at(fleet.batch) / 1e6
    peak_bits = fleet.a_second * fleet.peak * fleet.envelope_bytes * 8 / 1e6
    return [
        ("records a day", f"{fleet.a_day:,.0f}"),
        ("records a second, mean / peak", f"{fleet.a_second:,.0f} / {fleet.a_second * fleet.peak:,.0f}"),
        *(
            (f"{engine}: bytes each, a day, a year", _volume(size, fleet.a_day))
            for engine, size in stored.items()
        ),
        ("PostgreSQL: written ahead each, a day", _volume(wal, fleet.a_day, year=False)),
        ("log entries a year", f"{fleet.a_day * YEAR_DAYS:,.0f}"),
        ("cores of the service, mean / peak", f"{cores:,.1f} / {cores * fleet.peak:,.1f}"),
        (
            "network at the peak, up / down",
            f"{peak_bits * measured.wire_up.at(fleet.batch):,.0f} / "
            f"{peak_bits * measured.wire_down.at(fleet.batch):,.0f} Mbit/s",
        ),
    ]


def _volume(size: float, records: float, *, year: bool = True) -> str:
    a_day = size * records / GB
    more = f", {a_day * YEAR_DAYS / 1000:,.2f} TB" if year else ""
    return f"{size:,.0f} B, {a_day:,.2f} GB{more}"


def read_result(name: str) -> Any:
    """A kept result."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def main(
    devices: Annotated[list[int] | None, typer.Option(help="Several make several columns.")] = None,
    records_per_day: Annotated[float, typer.Option(help="Of one device.")] = 30.0,
    envelope_bytes: Annotated[float, typer.Option(help="A verification with its statement: 1368.")] = 1368.0,
    batch: Annotated[
        float, typer.Option(min=1, help="Records that are delivered at once, on average.")
    ] = 1.0,
    peak: Annotated[float, typer.Option(min=1, help="The busiest second over the mean of a day.")] = 5.0,
) -> None:
    """Compute the needs of a fleet."""
    measured = Measured.read()
    counts: Sequence[int] = devices or (1_000, 10_000, 100_000, 1_000_000)
    plans = [plan(Fleet(count, records_per_day, envelope_bytes, batch, peak), measured) for count in counts]
    table = Table(title=f"Batches of {batch:g}", title_justify="left", box=None, header_style="bold")
    for column in ("", *(f"{count:,} devices" for count in counts)):
        table.add_column(column)
    for lines in zip(*plans, strict=True):
        table.add_row(lines[0][0], *(value for _, value in lines))
    console = Console()
    if not console.is_terminal:
        console.width = 200
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
