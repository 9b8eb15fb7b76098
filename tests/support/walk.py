"""Pages that show commands and what they print: every command is run against a live service, and compared.

Ids, times, digests, tokens and ports differ from run to run. They are compared by their form; and what a
command printed in the page is replaced, in the commands behind it, by what it printed here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from demo.processes import Service

BLOCK = re.compile(r"```console\n(?P<block>.*?)```|<!-- \$ (?P<hidden>.*?) -->", re.DOTALL)
COMMAND = re.compile(r"^(?P<machine>[a-z0-9-]+)\$ (?P<line>.*(?:(?<=\\)\n.*)*)\n", re.MULTILINE)

NAMES = {
    "a fingerprint": r"(?:[0-9A-F]{4}\s+){15}[0-9A-F]{4}",
    "an id": r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "a digest": r"\b[0-9a-f]{64}\b",
    "an acknowledgement": r"\bF-[0-9A-Z]{5}-[0-9A-Z]{5}\b",
}
"""What a command prints and later ones are given."""

FORMS = NAMES | {
    "a token": r"\bvf[a-z]_[A-Za-z0-9_-]{43}",
    "base64": r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{40,}={0,2}",
    "a log": r"\bverifield/log/[0-9a-f]{16}\b",
    "an etag": r'(?<=etag)(?:": "| +)[A-Za-z0-9_-]{12,}',
    "a backup": r"\b\d{8}T\d{6}Z-[0-9a-f]{8}\b",
    "a size": r"(?:(?<= size)|(?<=^bytes)) +\d+(?: [KMGT]iB)?$|(?<=  )\d{5,}(?=$)",
    "a time": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00| UTC)?",
    "some bytes": r"\b\d+ bytes\b",
    "a place in the chain": r"^\d+ +(?=\d{4}-\d\d-\d\dT)|(?:(?<=^audit_seq)|(?<=^events)|(?<=seq)) +\d+$",
}
"""All that differs from run to run. The audit chain tells a refusal once a minute: slow runs have more."""

ANY = re.compile(
    "|".join(f"(?P<{name.replace(' ', '_')}>{form})" for name, form in FORMS.items()), re.MULTILINE
)
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
    """One way through the page. ``known``: a value in the page, and the same thing here.

    ``places``: of those, addresses and the like that what is printed here is given back by.
    """

    folder: Path
    known: dict[str, str]
    env: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(init=False)
    told: list[tuple[str, str, str]] = field(default_factory=list)  # command, output in the page, output here

    def __post_init__(self) -> None:
        self.places = dict(self.known)

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
                **self.env,
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
        for said, here in self.places.items():
            text = text.replace(here, said)
        return text


@contextmanager
def tablet(folder: Path, name: str) -> Iterator[None]:
    """A device with simulated hardware that is not enrolled yet."""
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
        (folder / name).mkdir()
        (folder / name / "verifield-edge.toml").write_text("".join(lines) + "allow_simulated_camera = true\n")
        yield
    finally:
        sim.stop()
