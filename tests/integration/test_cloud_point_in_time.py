"""PostgreSQL goes back to any moment: a base backup, and the write-ahead log that the server archived since.

These are the commands and the settings that docs/backup.md gives.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from cloud.backup.restore import check_restored
from cloud.sources import Sources
from tests.support.cloud import running_cloud
from tests.support.field_office import FieldOffice
from tests.support.postgres import NoPostgresError, PostgresServer, find_programs
from verifield.v1.attestation_service_pb2 import ListAttestationsRequest


@dataclass
class Archived:
    """A server that archives, and the folder of its archive."""

    server: PostgresServer
    archive: Path


@pytest.fixture
def archived() -> Iterator[Archived]:
    archive = Path(tempfile.mkdtemp(prefix="vf-wal-"))
    archive.chmod(0o777)  # the server may belong to another user
    settings = {
        "wal_level": "replica",
        "max_wal_senders": "4",
        "archive_mode": "on",
        "archive_command": (
            f"test ! -f {archive}/%f && cp %p {archive}/%f.part && mv {archive}/%f.part {archive}/%f"
        ),
    }
    try:
        server = PostgresServer.create(settings=settings)
    except NoPostgresError as error:
        shutil.rmtree(archive)
        pytest.skip(str(error))
    try:
        yield Archived(server, archive)
    finally:
        server.remove()
        shutil.rmtree(archive)


def take_base_backup(archived: Archived, target: Path) -> None:
    """``pg_basebackup`` of a server that runs."""
    server = archived.server
    subprocess.run(
        [
            *(str(find_programs() / "pg_basebackup"), "--host", str(server.folder), "--username", "tester"),
            *("--pgdata", str(target), "--wal-method=none", "--checkpoint=fast", "--no-sync"),
        ],
        check=True,
        capture_output=True,
    )


def archive_all(archived: Archived) -> None:
    """Let the server archive what it has written so far."""
    [[segment]] = archived.server.execute("SELECT pg_walfile_name(pg_switch_wal())")
    pause = threading.Event()
    for _ in range(3000):
        if (archived.archive / segment).exists():
            return
        pause.wait(0.01)
    raise AssertionError("the server archives nothing")


def recover(archived: Archived, base: Path, moment: str) -> PostgresServer:
    """A new server on the base backup, rolled forward to ``moment``."""
    folder = Path(tempfile.mkdtemp(prefix="vf-pg-"))
    shutil.copytree(base, folder / "data", symlinks=True)
    (folder / "data").chmod(0o700)
    (folder / "data" / "recovery.signal").touch()
    with (folder / "data" / "postgresql.auto.conf").open("a") as file:
        file.write(f"restore_command = 'cp {archived.archive}/%f %p'\n")
        file.write(f"recovery_target_time = '{moment}'\n")
        file.write("recovery_target_action = 'promote'\n")
    server = PostgresServer(
        folder, find_programs(), durable=False, settings={"wal_level": "replica", "max_wal_senders": "4"}
    )
    if server._owner:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, server._owner.pw_uid, server._owner.pw_gid)
    server.start()
    pause = threading.Event()
    for _ in range(3000):
        if server.execute("SELECT pg_is_in_recovery()") == [(False,)]:
            return server
        pause.wait(0.01)
    raise AssertionError("the recovery does not end")


def test_the_moment_before_a_mistake_comes_back_and_devices_notice_nothing(
    archived: Archived, tmp_path: Path
) -> None:
    data, base = tmp_path / "data", tmp_path / "base"
    with archived.server.database() as url:
        with running_cloud(data, database=url) as cloud:
            office = FieldOffice.open(cloud, tmp_path / "device")
            office.verify(2)
            assert office.sync().trouble is None
            take_base_backup(archived, base)
            office.verify(3)
            assert office.sync().trouble is None
        database = make_url(url).database
        assert database is not None
        [[moment]] = archived.server.execute("SELECT clock_timestamp()::text")
        archived.server.execute("DROP TABLE staged, attestations CASCADE", database=database)
        archive_all(archived)
        archived.server.stop()
    recovered = recover(archived, base, moment)
    try:
        again = recovered.url(database)
        checked = check_restored(data, again, Sources.system(), lambda *_: None)
        assert checked.holds
        with running_cloud(data, database=again) as cloud:
            office.cloud = cloud
            office.go_through(device=cloud.endpoint.device_listen, public=cloud.endpoint.listen)
            office.verify()
            assert office.sync().trouble is None
            assert office.all_settled()
            answer = cloud.operator.call(
                cloud.operator.attestations.ListAttestations, ListAttestationsRequest()
            )
            assert sorted(one.seq for one in answer.attestations) == [1, 2, 3, 4, 5, 6, 7]
    finally:
        recovered.remove()
