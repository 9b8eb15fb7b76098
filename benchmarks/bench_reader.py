"""Opening the card reader and reading one card, against the time that the bytes take on the wire.

python -m benchmarks.bench_reader

The reader is the simulated one behind a pseudo-terminal, which sends its replies at the pace of the
line. A pseudo-terminal carries requests at once, so the module here also holds each request for as long
as its bytes would have taken: the wire time of all bytes is then a floor that cannot be gone below.
The module itself needs no time; a real one needs some for the card.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from benchmarks.machine import Noise, Sheet, Summary, describe_machine, progress, publish, summary_json
from edge.model import Prompt
from edge.reader.dialogue import QUIET_S
from edge.reader.photo import SimulatorPhotoDecoder
from edge.reader.reader import SamVReader
from verifield_sim.cards import Card, card_for
from verifield_sim.reader import Bytes, Event, ReaderModule
from verifield_sim.reader_pty import ReaderPty

SAM_ID = "05.03-20240115-0000123456-0987654321"
BITS_PER_BYTE = 10  # 8N1
REPETITIONS = {115200: 200, 9600: 50}
QUICK_REPETITIONS = 3
READ_TIMEOUT_S = 30.0
NEWEST_ADDRESS = "模拟市样本区虚构新路1号".ljust(35).encode("utf-16-le")
MAX_OVER_WIRE = 1.15
"""What is required of a read, besides the module's own time; the simulated module takes none."""

NOTE = (
    "The floor of a read is the wire time of its bytes, requests and replies (find, select, read, newest"
    " address, and the find that confirms); required is at most"
    f" {MAX_OVER_WIRE} times as much. Opening also waits {QUIET_S * 1e3:.0f} ms for a quiet line, which is"
    " counted into its floor."
)


class PacedModule(ReaderModule):
    """Takes requests at the pace of the line, and counts what is exchanged."""

    def __init__(self, *, baud: int) -> None:
        super().__init__(sam_id=SAM_ID)
        self._baud = baud
        self.bytes = 0

    def handle(self, event: Event, now: float) -> list[bytes]:
        if isinstance(event, Bytes):
            self.bytes += len(event.data)
            time.sleep(len(event.data) * BITS_PER_BYTE / self._baud)
        replies = super().handle(event, now)
        self.bytes += sum(map(len, replies))
        return replies


class NoPrompt:
    """The card is there before it is asked for: a prompt would mean another path."""

    def show(self, prompt: Prompt) -> None:
        raise ValueError(f"{prompt} was shown")


@dataclass(slots=True)
class Series:
    """One speed. Times in ms; wire times follow from the bytes counted."""

    baud: int
    open_ms: list[float] = field(default_factory=list)
    read_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)  # of host and simulator together, open and read
    open_bytes: int = 0
    read_bytes: int = 0

    def wire_ms(self, count: int) -> float:
        return count * BITS_PER_BYTE / self.baud * 1e3

    @property
    def read_ratios(self) -> list[float]:
        return [value / self.wire_ms(self.read_bytes) for value in self.read_ms]


def one_session(series: Series, module: PacedModule, device: ReaderPty, card: Card) -> None:
    """Open, read once, close."""
    module.bytes = 0
    cpu, start = time.process_time(), time.perf_counter()
    reader = SamVReader.open(
        str(device.path), baud=series.baud, decoder=SimulatorPhotoDecoder(), expected_sam_id=SAM_ID
    )
    opened, series.open_bytes = time.perf_counter(), module.bytes
    try:
        device.place(card)
        begun = time.perf_counter()
        document = reader.read_document(READ_TIMEOUT_S, NoPrompt())
        done = time.perf_counter()
    finally:
        reader.close()
    device.lift()
    if document.photo is None or not document.address.startswith("模拟市样本区虚构新路"):
        raise ValueError("the photo or the newest address was not read")
    series.cpu_ms.append((time.process_time() - cpu) * 1e3)
    series.read_bytes = module.bytes - series.open_bytes
    series.open_ms.append((opened - start) * 1e3)
    series.read_ms.append((done - begun) * 1e3)


def measure(baud: int, repetitions: int, bar: Progress) -> Series:
    """Open and read ``repetitions`` times at one speed."""
    series, module = Series(baud), PacedModule(baud=baud)
    card = replace(card_for("astronaut"), newest_address=NEWEST_ADDRESS)
    with tempfile.TemporaryDirectory() as folder:
        device = ReaderPty.open(module, link=Path(folder) / "reader", baud=baud)
        try:
            for _ in bar.track(range(repetitions), description=f"{baud} baud"):
                one_session(series, module, device, card)
        finally:
            device.close()
    return series


def to_figures(series: Series) -> dict[str, Any]:
    return {
        "open_ms": summary_json(series.open_ms),
        "open_bytes": series.open_bytes,
        "open_wire_ms": round(series.wire_ms(series.open_bytes), 2),
        "open_quiet_ms": QUIET_S * 1e3,
        "read_ms": summary_json(series.read_ms),
        "read_bytes": series.read_bytes,
        "read_wire_ms": round(series.wire_ms(series.read_bytes), 2),
        "read_over_wire": summary_json(series.read_ratios),
        "cpu_ms": summary_json(series.cpu_ms),
    }


def to_sheets(all_series: list[Series]) -> list[Sheet]:
    rows = []
    for one in all_series:
        for name, values, count, pause in (
            ("open", one.open_ms, one.open_bytes, QUIET_S * 1e3),
            ("read", one.read_ms, one.read_bytes, 0.0),
        ):
            spread, floor = Summary.of(values), one.wire_ms(count) + pause
            times = (spread.median, spread.p99, spread.minimum, floor)
            ratios = (f"{value / floor:.3f}" for value in (spread.median, spread.p99))
            cells = (f"{name}, {one.baud} baud", str(spread.count), str(count))
            rows.append((*cells, *(f"{value:.1f}" for value in times), *ratios))
    cpu = ", ".join(f"{Summary.of(one.cpu_ms).median:.0f} ms at {one.baud}" for one in all_series)
    return [
        Sheet(
            "Open and read, over the simulated reader",
            (
                "",
                "times",
                "bytes",
                "median ms",
                "p99 ms",
                "best ms",
                "floor ms",
                "median / floor",
                "p99 / floor",
            ),
            rows,
            f"{NOTE} Processor time of host and simulator for both: {cpu} baud.",
        )
    ]


def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quick: Annotated[bool, typer.Option(help="A few reads, to try it; keeps no result.")] = False,
) -> None:
    """Measure opening and reading at two line speeds."""
    noise = Noise()
    machine = describe_machine("pyserial", "numpy", "pillow")
    with progress() as bar:
        all_series = [
            measure(baud, QUICK_REPETITIONS if quick else count, bar) for baud, count in REPETITIONS.items()
        ]
    figures = {
        "machine": machine,
        "noise": noise.stop(),
        "baud": {str(one.baud): to_figures(one) for one in all_series},
    }
    publish("reader", "Reading a card", figures, to_sheets(all_series), as_json=as_json, keep=not quick)


if __name__ == "__main__":
    typer.run(main)
