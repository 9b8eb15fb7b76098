"""Copies of the database that are not sealed go with whoever made them, and before a person is erased."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.cloud import running_cloud
from verifield.v1 import user_service_pb2

HELD = """
import sys, time
from cloud.backup import create, restore
from cloud.cli import main
module, name, *words = sys.argv[1:]
setattr({"create": create, "restore": restore}[module], name, lambda *_: time.sleep(300))
sys.argv = ["verifield-cloud", *words]
main()
"""
"""A command whose next step after the copy lasts."""

WITHIN_S = 60.0


class Service:
    """One that stands, with a user, and a key for backups."""

    def __init__(self, base: Path) -> None:
        self.data, self.backups, self.key = base / "data", base / "backups", base / "backup.key"
        with running_cloud(self.data) as cloud:
            user = user_service_pb2.User(
                login="li",
                display_name="Li Wei",
                issuer="https://issuer.example",
                subject="subject",
                roles=[user_service_pb2.ROLE_VIEWER],
            )
            wish = user_service_pb2.CreateUserRequest(user=user)
            self.user_id = cloud.operator.call(cloud.operator.users.CreateUser, wish).user.user_id
        run("backup", "keygen", str(self.key))

    @property
    def create(self) -> list[str]:
        to = ["--recipient", f"{self.key}.pub", "--data", str(self.data)]
        return ["backup", "create", str(self.backups), *to]

    def verify(self, *where: str) -> list[str]:
        return ["backup", "verify", self.made, "--identity", str(self.key), *where]

    @property
    def made(self) -> str:
        return str(run(*self.create)["backup"])

    def erase(self) -> dict[str, Any]:
        return run("persons", "erase", self.user_id, "--yes", "--data", str(self.data))


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


def run(*words: str) -> dict[str, Any]:
    """The answer of a command, or its fault."""
    code = "from cloud.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--json"], capture_output=True, timeout=WITHIN_S, check=False
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def copies(place: Path) -> list[Path]:
    return [path for path in place.rglob("database") if path.read_bytes().startswith(b"SQLite format")]


@contextmanager
def held(place: Path, step: tuple[str, str], words: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A command that has made its copy in ``place``, and works with it while the block runs."""
    command = [sys.executable, "-c", HELD, *step, *words, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + WITHIN_S
            while not copies(place):
                assert time.monotonic() < end
                assert process.poll() is None, process.communicate()
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


CREATE, VERIFY = ("create", "read_state"), ("restore", "_check_copy")


def test_a_backup_that_is_told_to_stop_leaves_no_copy(service: Service) -> None:
    verify = service.verify("--data", str(service.data))
    for step, words in ((CREATE, service.create), (VERIFY, verify)):
        with held(service.data, step, words) as process:
            process.send_signal(signal.SIGTERM)
            printed, _ = process.communicate(timeout=WITHIN_S)
        assert process.returncode == 130
        assert json.loads(printed)["error"]["code"] == "INTERRUPTED"
        assert not list(service.data.glob(".verifield-backup-*"))
        assert len(list(service.backups.glob("[!.]*"))) == 1


@pytest.mark.parametrize("step", [CREATE, VERIFY], ids=["create", "verify"])
def test_nobody_is_erased_beside_a_copy_and_what_a_kill_left_goes_first(
    service: Service, step: tuple[str, str]
) -> None:
    verify = service.verify("--data", str(service.data))
    words = service.create if step == CREATE else verify
    with held(service.data, step, words) as process:
        [copy] = copies(service.data)
        assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
        assert service.erase()["error"]["code"] == "BACKUP_RUNS"
        assert run(*verify)["opened"]  # which makes a copy too
        assert copies(service.data) == [copy]
        process.kill()
    assert copy.exists()
    assert service.erase()["erased"]
    assert not list(service.data.glob(".verifield-backup-*"))


def test_where_there_is_no_service_a_backup_is_unpacked_beside_it(service: Service) -> None:
    elsewhere = ["--root", str(service.data / "root.pem"), "--data", str(service.data.with_name("none"))]
    verify = service.verify(*elsewhere)
    with held(service.backups, VERIFY, verify) as process:
        process.kill()
    [copy] = copies(service.backups)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert run(*verify)["opened"]
    assert not copies(service.backups)
