"""docs/verify.md: every command in it is run, and gives the output that stands below it.

``python -m tests.protocol.test_proto_guide`` writes the outputs anew.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from verifield.cli import ExitCode
from verifield.verify import _STEPS

GUIDE = Path(__file__).parents[2] / "docs/verify.md"
FOLDER = Path(__file__).parents[1] / "vectors/attestation"
CONSOLE = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)
SCRIPT = re.compile(r"```python\n(.*?)```", re.DOTALL)
MARK = "@@@"


def rewritten(text: str, folder: Path) -> str:
    """Return the guide with what its commands really print, run one after the other in ``folder``."""
    for file in FOLDER.iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    (folder / "proto").symlink_to(GUIDE.parents[1] / "proto")
    protoc = folder / "protoc"
    protoc.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m grpc_tools.protoc "$@"\n')
    protoc.chmod(0o755)
    (script,) = SCRIPT.findall(text)
    (folder / "unpack.py").write_text(script, encoding="utf-8")
    return CONSOLE.sub(lambda block: run_block(block[0], folder), text)


def run_block(block: str, folder: Path) -> str:
    """Run the commands of one block in one shell, and put its output below each."""
    commands = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    steps = [f"{command}\nstatus=$?; echo '{MARK}'; (exit $status)" for command in commands]
    path = os.pathsep.join((str(folder), str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "-c", "\n".join(steps)],
        cwd=folder,
        env={"PATH": path, "LANG": "C.UTF-8", "PYTHONWARNINGS": "ignore"},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    outputs = done.stdout.split(f"{MARK}\n")
    return "".join(f"$ {command}\n{output}" for command, output in zip(commands, outputs, strict=False))


@pytest.mark.req("E043")
@pytest.mark.skipif(shutil.which("openssl") is None, reason="the guide's last part needs the openssl command")
def test_every_command_of_the_guide_prints_what_the_guide_says(tmp_path: Path) -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert text.count("\n$ ") >= 25
    assert rewritten(text, tmp_path) == text


def test_the_guide_names_every_step_and_every_exit_status() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    for number, (name, required, _) in enumerate(_STEPS, start=1):
        assert f"| {number} | {name}{'' if required else ' *'} |" in text
    statuses = {int(found) for found in re.findall(r"^\| [^|]*\| (\d) \|", text, re.MULTILINE)}
    assert statuses == {int(code) for code in ExitCode}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        GUIDE.write_text(rewritten(GUIDE.read_text(encoding="utf-8"), Path(scratch)), encoding="utf-8")
