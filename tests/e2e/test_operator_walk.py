"""docs/operator-devices.md: every command in it is run against a live service, and prints what the page says.

Ids, times, digests, tokens and ports differ from run to run. They are compared by their form; and what a
command printed in the page is replaced, in the commands behind it, by what it printed here.
``python -m tests.e2e.test_operator_walk`` writes the outputs anew.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from demo.processes import Service
from edge.models.store import ModelStore

PAGE = Path(__file__).parents[2] / "docs/operator-devices.md"
SERVICE = "127.0.0.1:7443"
"""Where the service listens in the page."""

BLOCK = re.compile(r"```console\n(?P<block>.*?)```|<!-- \$ (?P<hidden>.*?) -->", re.DOTALL)
COMMAND = re.compile(r"^(?P<machine>[a-z0-9-]+)\$ (?P<line>.*(?:(?<=\\)\n.*)*)\n", re.MULTILINE)

NAMES = {
    "a fingerprint": r"(?:[0-9A-F]{4}\s+){15}[0-9A-F]{4}",
    "an id": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "a digest": r"\b[0-9a-f]{64}\b",
}
"""What a command prints and later ones are given."""

FORMS = NAMES | {
    "a token": r"\bvf[a-z]_[A-Za-z0-9_-]{43}",
    "base64": r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{40,}={0,2}",
    "a time": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00| UTC)?",
    "some bytes": r"\b\d+ bytes\b",
}
"""All that differs from run to run."""

ANY = re.compile("|".join(f"(?P<{name.replace(' ', '_')}>{form})" for name, form in FORMS.items()))
A_NAME = re.compile("|".join(NAMES.values()))
ROWS = re.compile(rf"(?:^{NAMES['an id']}  .*\n)+", re.MULTILINE)


def masked(text: str) -> str:
    """Return the text with the form in the place of each value that differs from run to run."""
    return ANY.sub(lambda found: f"<{found.lastgroup}>", in_order(text))


def names(text: str) -> list[str]:
    """Return ids, digests and fingerprints, each fingerprint as one line."""
    return [" ".join(found[0].split()) for found in A_NAME.finditer(in_order(text))]


def in_order(text: str) -> str:
    """Sort the rows of tables by what does not differ: some are listed by ids, which are random."""

    def sort(found: re.Match[str]) -> str:
        return "".join(sorted(found[0].splitlines(keepends=True), key=lambda row: ANY.sub("", row)))

    return ROWS.sub(sort, text)


@dataclass
class Walk:
    """One way through the page. ``known``: a value in the page, and the same thing here."""

    folder: Path
    known: dict[str, str]
    told: list[tuple[str, str, str]] = field(default_factory=list)  # command, output in the page, output here

    def rewritten(self, text: str) -> str:
        """Run all commands of the page in their order; return the page with what they print here."""
        return BLOCK.sub(lambda found: self._block(found[0], found["block"], found["hidden"]), text)

    def _block(self, whole: str, block: str | None, hidden: str | None) -> str:
        if block is None:
            self._run("cloud", hidden or "")
            return whole
        parts = COMMAND.split(block)
        assert parts[0] == "", f"output without a command: {parts[0]}"
        text = ""
        for machine, line, said in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
            output = self._run(machine, line)
            self.told.append((line, said, output))
            text += f"{machine}$ {self._here(line)}\n{output}"  # before what it printed is known
            self.known = dict(zip(names(said), names(output), strict=False)) | self.known
        return f"```console\n{self.as_in_the_page(text)}```"

    def _run(self, machine: str, line: str) -> str:
        done = subprocess.run(
            ["bash", "-c", self._here(line)],
            cwd=self.folder,
            env={
                "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
                "HOME": str(Path.home()),
                "LANG": "C.UTF-8",
                "VERIFIELD_CLOUD_DATA": "data",
                "VERIFIELD_EDGE_DATA_DIR": machine,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
            timeout=120,
        )
        assert "Traceback" not in done.stdout, done.stdout
        return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())

    def _here(self, line: str) -> str:
        for said in sorted(self.known, key=len, reverse=True):
            line = line.replace(said, self.known[said])
        return line

    def as_in_the_page(self, text: str) -> str:
        return text.replace(self.known[SERVICE], SERVICE)


@contextmanager
def the_walk(folder: Path) -> Iterator[Walk]:
    """A service, and a device with simulated hardware that is not enrolled yet."""
    cloud = Service.start(
        *("verifield-cloud", "serve", "--data", "data", "--listen", "127.0.0.1:0"),
        *("--device-listen", "127.0.0.1:0"),
        cwd=folder,
        log=folder / "cloud.log",
    )
    try:
        sim = Service.start(
            "verifield-sim", "--scenario", "happy", "--dir", "sim", cwd=folder, log=folder / "sim.log"
        )
        try:
            hardware = sim.endpoints()
            settings = {
                "camera": hardware["camera"],
                "reader_port": hardware["reader"],
                "screen_url": hardware["screen"],
                "photo_decoder": "simulator",
            }
            lines = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items()]
            (folder / "tablet-1").mkdir()
            (folder / "tablet-1" / "verifield-edge.toml").write_text(
                "".join(lines) + "allow_simulated_camera = true\n"
            )
            yield Walk(folder, {SERVICE: str(cloud.endpoints()["listen"])})
        finally:
            sim.stop()
    finally:
        cloud.stop()


@pytest.mark.timeout(600)
def test_every_command_of_the_page_prints_what_the_page_says(tmp_path: Path, model_store: ModelStore) -> None:
    with the_walk(tmp_path) as walk:
        walk.rewritten(PAGE.read_text(encoding="utf-8"))
        assert len(walk.told) >= 40
        for command, said, output in walk.told:
            assert masked(walk.as_in_the_page(output)) == masked(said), command


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch, the_walk(Path(scratch)) as walk:
        PAGE.write_text(walk.rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
