"""What a figure needs beside it: the machine, the noise while it was measured, and its spread."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parent.parent
FILE_COLUMNS = 130  # of a table that goes to a file or a pipe

_FLAG_PREFIXES = ("avx", "fma", "f16c", "sse4_2", "sha_ni", "aes", "vaes", "amx", "asimd", "neon", "sve")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Summary:
    """Of one thing that was measured ``count`` times; p99 by nearest rank, so one of the values seen."""

    count: int
    median: float
    p99: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        ordered = sorted(values)
        rank = math.ceil(0.99 * len(ordered)) - 1
        return cls(len(ordered), statistics.median(ordered), ordered[rank], ordered[0], ordered[-1])


WARM_UP_S = 30.0
"""Seen: the first half minute of work after a rest took twice the time."""


class Noise:
    """How busy the machine was with other things, and how fast, between the making of this and ``stop``."""

    def __init__(self) -> None:
        self._speed_ms = _speed_probe_ms()
        self._load = os.getloadavg()
        self._at, self._busy, self._stolen = time.monotonic(), *_busy_s()
        self._own = _own_cpu_s()

    def stop(self) -> dict[str, float]:
        """Load averages, and cores that others took on average; own child processes must be over."""
        seconds = time.monotonic() - self._at
        busy, stolen = _busy_s()
        others = busy - self._busy - (_own_cpu_s() - self._own)
        return {
            "seconds": round(seconds, 1),
            "load_average_at_start": round(self._load[0], 2),
            "load_average_at_end": round(os.getloadavg()[0], 2),
            "cores_taken_by_others": round(max(0.0, others) / seconds, 2),
            "cores_stolen_by_host": round((stolen - self._stolen) / seconds, 2),
            "speed_probe_ms_at_start": self._speed_ms,
            "speed_probe_ms_at_end": _speed_probe_ms(),
        }


def warm_up() -> None:
    """Keep all cores busy for ``WARM_UP_S``: a virtual machine that idled runs at half its speed at first."""
    until = time.monotonic() + WARM_UP_S
    spinners = [multiprocessing.Process(target=_spin, args=(until,)) for _ in range(os.cpu_count() or 1)]
    for spinner in spinners:
        spinner.start()
    for spinner in spinners:
        spinner.join()


def _spin(until: float) -> None:
    while time.monotonic() < until:
        _speed_probe_ms()


def _speed_probe_ms() -> float:
    """Median time of a fixed piece of Python: shows a host that slows this machine down without saying so."""

    def once() -> float:
        start = time.perf_counter()
        sum(number * number for number in range(200_000))
        return (time.perf_counter() - start) * 1e3

    return round(statistics.median(once() for _ in range(21)), 2)


def _busy_s() -> tuple[float, float]:
    """Seconds since boot that cores worked for this system, and that the host kept them back."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq) / _TICKS_PER_S, steal / _TICKS_PER_S


def _own_cpu_s() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def cpu_s_of(pid: int) -> float:
    """Processor seconds that a running process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def family_of(pid: int) -> list[int]:
    """A process and those that it started and that still run, and theirs."""
    family = [pid]
    for one in family:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            family += map(int, children.read_text().split())
    return family


def rss_mib_of(pid: int) -> float:
    """Resident memory of a running process."""
    return _kib(Path(f"/proc/{pid}/status").read_text(), "VmRSS") / 1024


def describe_machine(*packages: str) -> dict[str, Any]:
    """What the figures depend on; nothing that names the machine."""
    cpu = _fields_of(Path("/proc/cpuinfo").read_text().split("\n\n")[0])
    flags = (cpu.get("flags") or cpu.get("Features") or "").split()
    return {
        "cpu": cpu.get("model name", platform.machine()),
        "cpu_family_model": f"{cpu.get('cpu family', '?')}/{cpu.get('model', '?')}",
        "flags": sorted(flag for flag in flags if flag.startswith(_FLAG_PREFIXES)),
        "virtual": "hypervisor" in flags,
        "cores": os.cpu_count(),
        "memory_gib": round(_kib(Path("/proc/meminfo").read_text(), "MemTotal") / 2**20, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
        "revision": _revision(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _fields_of(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _kib(text: str, name: str) -> float:
    return float(_fields_of(text)[name].split()[0])


def _revision() -> str:
    def git(*args: str) -> str:
        return subprocess.run(
            ["git", *args], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip()

    return (git("rev-parse", "--short", "HEAD") or "unknown") + (
        " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    )


def progress() -> Progress:
    """A bar on standard error, so that standard output holds the answer alone."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table of a result: its heading, its columns and rows as text, and what must be said of it."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


def publish(
    name: str, title: str, figures: dict[str, Any], sheets: Sequence[Sheet], *, as_json: bool, keep: bool
) -> None:
    """Print the result, as JSON or as tables; ``keep`` also writes results/NAME.json and results/NAME.md."""
    console = Console()
    if not console.is_terminal:
        console.width = FILE_COLUMNS
    if as_json:
        print(json.dumps(figures, ensure_ascii=False))
    else:
        for sheet in sheets:
            console.print(_to_table(sheet))
            console.print(sheet.note, markup=False, highlight=False)
            console.print()
        console.print(_noise_sentence(figures["noise"]), highlight=False)
    if keep:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
        (RESULTS / f"{name}.md").write_text(_to_markdown(title, figures, sheets))


def _to_table(sheet: Sheet) -> Table:
    table = Table(title=sheet.title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(sheet.columns):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in sheet.rows:
        table.add_row(*row)
    return table


def _to_markdown(title: str, figures: dict[str, Any], sheets: Sequence[Sheet]) -> str:
    machine = figures["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    lines = [
        f"# {title}",
        "",
        f"{machine['date']}, revision {machine['revision']}. {machine['cpu']}"
        f" (family/model {machine['cpu_family_model']}{', virtual machine' if machine['virtual'] else ''}),"
        f" {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']},"
        f" Python {machine['python']}, {packages}. Flags: {' '.join(machine['flags'])}.",
        "",
        _noise_sentence(figures["noise"]),
    ]
    for sheet in sheets:
        rule = ["---"] + ["---:"] * (len(sheet.columns) - 1)
        lines += ["", f"## {sheet.title}", ""]
        lines += [f"| {' | '.join(row)} |" for row in (sheet.columns, rule, *sheet.rows)]
        lines += ["", sheet.note] if sheet.note else []
    return "\n".join(lines) + "\n"


def _noise_sentence(noise: dict[str, float]) -> str:
    return (
        f"Noise: load average {noise['load_average_at_start']} at the start and"
        f" {noise['load_average_at_end']} at the end of {noise['seconds']} s; other programs took"
        f" {noise['cores_taken_by_others']} cores on average, the host kept back"
        f" {noise['cores_stolen_by_host']}. A fixed loop took {noise['speed_probe_ms_at_start']} ms at the"
        f" start and {noise['speed_probe_ms_at_end']} ms at the end."
    )


def summary_json(values: Sequence[float]) -> dict[str, float]:
    """A summary with four significant digits, for a result file."""
    return {key: float(f"{value:.4g}") for key, value in asdict(Summary.of(values)).items()}
