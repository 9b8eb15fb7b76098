"""deploy/: the unit, the user, the container file and the lock, as far as they can be tried without them.

No container is built here. What the file does is checked step by step: that what it copies is there, that
its commands exist, that its lock holds all that the service imports, and that it does not run as root.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from cloud.cli import app as commands
from scripts.cloud_lock import entries, main

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNIT = DEPLOY / "verifield-cloud.service"
CONTAINER = DEPLOY / "Containerfile"
BIN = Path(sys.executable).parent

MAX_EXPOSURE = 15
"""Tenths of systemd's measure, which goes to 100; "OK" ends at 40. What is left is the network."""

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not here")


def unit_values(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)


@needs_systemd
def test_systemd_finds_the_unit_good(tmp_path: Path) -> None:
    here = tmp_path / UNIT.name
    here.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/verifield/bin", str(BIN)))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(here)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
def test_the_unit_is_locked_down() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", f"--threshold={MAX_EXPOSURE}", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-500:]


@pytest.mark.skipif(not shutil.which("systemd-sysusers"), reason="systemd-sysusers is not here")
def test_the_user_is_made(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    file = DEPLOY / "verifield-cloud.sysusers"
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", str(file)], check=True, capture_output=True)
    [line] = (tmp_path / "etc/passwd").read_text().splitlines()
    name, _, uid, _, _, home, shell = line.split(":")
    assert [name] == unit_values("User")
    assert int(uid) != 0
    assert home == f"/var/lib/{unit_values('StateDirectory')[0]}"
    assert shell == "/usr/sbin/nologin"


def known(words: list[str]) -> bool:
    """Whether a command of verifield-cloud has these words and options."""
    command = get_command(commands)
    while words and hasattr(command, "get_command") and not words[0].startswith("-"):
        command = command.get_command(None, words.pop(0))
        if command is None:
            return False
    options = {name for one in command.params for name in one.opts} | {"--help"}
    return all(word in options for word in words if word.startswith("--"))


@pytest.mark.parametrize("key", ["ExecStart", "ExecStartPre"])
def test_the_units_commands_exist(key: str) -> None:
    [line] = unit_values(key)
    program, *words = shlex.split(line)
    assert Path(program).name == "verifield-cloud"
    assert known(words), line


def test_a_command_that_is_gone_is_found() -> None:
    assert not known(["serve", "--sorted"])
    assert not known(["configuration"])


def test_the_unit_waits_longer_for_the_end_than_the_service() -> None:
    from cloud.config import Config  # noqa: PLC0415

    assert int(unit_values("TimeoutStopSec")[0]) > Config.model_fields["stop_grace_s"].default


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"^#.*\n", "", CONTAINER.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [
        (line.split(maxsplit=1)[0], line.split(maxsplit=1)[1].strip())
        for line in text.replace("\\\n", " ").splitlines()
        if line.strip()
    ]


def all_of(name: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == name]


def test_the_container_file_has_two_stages_and_no_root() -> None:
    known_ones = {"ARG", "FROM", "ENV", "RUN", "WORKDIR", "COPY", "LABEL", "USER", "VOLUME"}
    known_ones |= {"EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in instructions()} <= known_ones
    assert all_of("FROM") == ["${BASE} AS build", "${BASE} AS service"]
    assert re.fullmatch(r"BASE=docker\.io/library/python:3\.11-[a-z-]+", all_of("ARG")[0])
    last = [name for name, _ in instructions()]
    assert last.index("USER") > max(i for i, name in enumerate(last) if name == "RUN")
    [user] = all_of("USER")
    assert all(int(part) > 0 for part in user.split(":"))
    assert all_of("STOPSIGNAL") == ["SIGTERM"]


def test_what_the_container_file_copies_is_there() -> None:
    for rest in all_of("COPY"):
        *sources, _ = [word for word in rest.split() if not word.startswith("--")]
        for source in sources:
            if not source.startswith("/"):
                assert (ROOT / source).exists(), source


def test_what_the_container_runs_exists() -> None:
    [entry], [start] = all_of("ENTRYPOINT"), all_of("CMD")
    assert json.loads(entry) == ["verifield-cloud"]
    assert known(json.loads(start))
    health = json.loads(all_of("HEALTHCHECK")[0].partition("CMD ")[2])
    assert health[0] == "verifield-cloud"
    assert known(health[1:])
    [install, own, *_] = [rest for rest in all_of("RUN") if "pip install" in rest]
    assert "--require-hashes" in install
    assert "-r locks/cloud.lock" in install
    assert "--no-deps --no-build-isolation" in own


def test_the_lock_of_the_container_is_part_of_the_products() -> None:
    assert main(["--check"]) == 0, "run 'python -m scripts.cloud_lock' and commit locks/cloud.lock"
    whole = entries((ROOT / "locks/run.lock").read_text(encoding="utf-8"))
    part = entries((ROOT / "locks/cloud.lock").read_text(encoding="utf-8"))
    assert part.items() <= whole.items()
    assert all("--hash=sha256:" in text for text in part.values())


IMPORT_ALL = """
import importlib, importlib.metadata, json, pkgutil, sys

allowed = set(json.loads(sys.argv[1]))
owners = importlib.metadata.packages_distributions()

class OnlyLocked:
    def find_spec(self, name, path=None, target=None):
        owned_by = {one.lower().replace("_", "-") for one in owners.get(name.split(".")[0], [])}
        if owned_by and not owned_by & allowed:
            raise ModuleNotFoundError(f"No module named {name!r} in the container", name=name)

sys.meta_path.insert(0, OnlyLocked())
import cloud
for one in pkgutil.walk_packages(cloud.__path__, "cloud."):
    if ".migrations" not in one.name:
        importlib.import_module(one.name)
from sqlalchemy.dialects.postgresql import psycopg
psycopg.dialect.import_dbapi()
"""


def import_all(allowed: set[str]) -> tuple[int, str]:
    """Load the whole service as if nothing were installed but these distributions."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, json.dumps(sorted(allowed | {"verifield"}))],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), f"{ROOT}/proto"])},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_the_lock_holds_all_that_the_service_imports() -> None:
    part = set(entries((ROOT / "locks/cloud.lock").read_text(encoding="utf-8")))
    code, said = import_all(part)
    assert code == 0, said


def test_a_package_that_is_missing_in_the_lock_is_found() -> None:
    part = set(entries((ROOT / "locks/cloud.lock").read_text(encoding="utf-8")))
    code, said = import_all(part - {"limits"})
    assert code != 0
    assert "No module named 'limits" in said


MEMORY_LOCK = (
    "import ctypes, os, sys\n"
    "PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1\n"
    "locked = ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)\n"
    "print('locked' if locked == 0 else 'not here', file=sys.stderr, flush=True)\n"
    "os.execv(sys.argv[1], sys.argv[1:])\n"
)
"""What the unit's MemoryDenyWriteExecute does, for one process and its children."""


def test_systemd_is_told_of_begin_life_and_end(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(60)
        arguments = [str(BIN / "verifield-cloud"), "serve", "--data", "data", "--listen", "127.0.0.1:0"]
        with (
            (tmp_path / "log").open("wb") as log,
            subprocess.Popen(
                [sys.executable, "-c", MEMORY_LOCK, *arguments],
                cwd=tmp_path,
                env={**os.environ, "NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "600000"},
                stdout=subprocess.PIPE,
                stderr=log,
            ) as service,
        ):
            heard = [listener.recv(100)]
            while b"READY=1" not in heard:
                heard.append(listener.recv(100))
            heard = [listener.recv(100) for _ in range(3)]
            assert set(heard) == {b"WATCHDOG=1"}
            service.send_signal(signal.SIGTERM)
            while (told := listener.recv(100)) == b"WATCHDOG=1":
                pass
            assert told == b"STOPPING=1"
            assert service.wait(60) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_status_ends_with_6_where_nobody_answers(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "endpoint.json").write_text(json.dumps({"listen": "127.0.0.1:1"}))
    (data / "root.pem").write_text("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
    (data / "operator.token").write_text("vfo_" + "A" * 43 + "\n")
    done = subprocess.run(
        [str(BIN / "verifield-cloud"), "status", "--data", str(data), "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 6
    assert json.loads(done.stdout)["error"]["code"] == "UNAVAILABLE"
