"""The service as a process: TLS 1.3 alone, orderly ends and kills; a changed log is never served."""

from __future__ import annotations

import signal
import socket
import sqlite3
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from cloud.errors import SetupError
from cloud.tls13 import check_tls13
from tests.support.cloud import RunningCloud, next_envelopes, running_cloud
from tests.support.cloud_process import COMMAND as CLOUD
from tests.support.cloud_process import begin, ready
from verifield.chain import envelope_sha256
from verifield.note import parse_checkpoint
from verifield.v1 import log_service_pb2
from verifield.v1 import sync_service_pb2 as pb


@contextmanager
def cloud_process(data: Path) -> Iterator[tuple[RunningCloud, subprocess.Popen[str]]]:
    """The real command in a process of its own; killed at the end if it still runs."""
    with ready(begin(data), data) as served:
        yield served.cloud, served.process


def log_size(cloud: RunningCloud) -> int:
    answer = cloud.operator.call(cloud.operator.log.GetCheckpoint, log_service_pb2.GetCheckpointRequest())
    return parse_checkpoint(answer.checkpoint).size


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    with cloud_process(tmp_path / "data") as (cloud, process):
        device = cloud.enroll()
        envelopes = next_envelopes(device, 3)
        cloud.deliver(device, envelopes)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    with cloud_process(tmp_path / "data") as (cloud, process):
        head = cloud.head(device)
        assert (head.seq, head.head_sha256) == (3, envelope_sha256(envelopes[-1]))
        assert log_size(cloud) == 3
        [answer] = cloud.deliver(device, [*envelopes, *next_envelopes(device, 1)])
        assert [one.status for one in answer.results] == [pb.DELIVER_STATUS_ALREADY_HAVE] * 3 + [
            pb.DELIVER_STATUS_ACCEPTED
        ]
        assert log_size(cloud) == 4


def test_what_waits_survives_a_kill(tmp_path: Path) -> None:
    with cloud_process(tmp_path / "data") as (cloud, process):
        device = cloud.enroll()
        envelopes = next_envelopes(device, 4)
        [answer] = cloud.deliver(device, envelopes[1:])
        assert [one.status for one in answer.results] == [pb.DELIVER_STATUS_STAGED] * 3
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    with cloud_process(tmp_path / "data") as (cloud, process):
        assert (cloud.head(device).seq, cloud.head(device).newest_seq) == (0, 4)
        cloud.deliver(device, envelopes[:1])
        assert cloud.head(device).seq == 4
        assert log_size(cloud) == 4


def newest_tls(address: str, root: str, newest: ssl.TLSVersion) -> str | None:
    """Shake hands, at most with ``newest``; return the version agreed on."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=root)
    context.maximum_version = newest
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=host) as secure,
    ):
        return secure.version()


def test_both_ports_speak_tls_1_3_and_nothing_older(tmp_path: Path) -> None:
    with cloud_process(tmp_path / "data") as (cloud, _):
        for address in (cloud.endpoint.listen, cloud.endpoint.device_listen):
            assert newest_tls(address, cloud.endpoint.root, ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
            with pytest.raises(OSError, match=r"EOF|reset|alert|handshake"):
                newest_tls(address, cloud.endpoint.root, ssl.TLSVersion.TLSv1_2)


def test_a_server_that_speaks_tls_1_2_is_found_out(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data") as cloud:  # gRPC was imported before its setting was made
        host, _, port = cloud.endpoint.listen.rpartition(":")
        assert newest_tls(cloud.endpoint.listen, cloud.endpoint.root, ssl.TLSVersion.TLSv1_2) == "TLSv1.2"
        with pytest.raises(SetupError) as caught:
            check_tls13(host, int(port))
    assert caught.value.code == "TLS_1_2_ENABLED"


def test_sigterm_ends_the_service_in_order(tmp_path: Path) -> None:
    with cloud_process(tmp_path / "data") as (cloud, process):
        cloud.enroll()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_what_the_service_writes_is_for_its_user_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with cloud_process(data):
        files = [path for path in data.rglob("*") if path.is_file()]
        assert {path.name for path in files} > {"root.key", "operator.token", "verifield.db"}
        readable = [path.name for path in files if path.stat().st_mode & 0o077]
        assert readable == ["root.pem"]
        assert data.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE log_leaves SET leaf_hash = zeroblob(32) WHERE log_index = 1",
        "UPDATE log_leaves SET leaf_hash = zeroblob(31) WHERE log_index = 1",
        "DELETE FROM log_leaves WHERE log_index = 2",
        "DELETE FROM log_leaves WHERE log_index = 1",
        "INSERT INTO log_leaves (log_index, leaf_hash) VALUES (3, zeroblob(32))",
        "DELETE FROM checkpoints",
        "DELETE FROM checkpoints WHERE tree_size = 3",
        "UPDATE checkpoints SET note = replace(note, 'verifield', 'verifielt') WHERE tree_size = 3",
        "UPDATE checkpoints SET note = 'x' WHERE tree_size = 3",
    ],
)
def test_a_log_changed_from_outside_is_not_served(tmp_path: Path, change: str) -> None:
    with running_cloud(tmp_path / "data") as cloud:
        device = cloud.enroll()
        cloud.deliver(device, next_envelopes(device, 3))
    with closing(sqlite3.connect(tmp_path / "data" / "verifield.db")) as database:
        assert database.execute(change).rowcount > 0
        database.commit()
    with pytest.raises(SetupError) as caught, running_cloud(tmp_path / "data"):
        pass
    assert caught.value.code == "LOG_INCONSISTENT"


def test_a_restart_keeps_keys_tokens_and_places(tmp_path: Path) -> None:
    with running_cloud(tmp_path / "data") as cloud:
        device = cloud.enroll()
        cloud.deliver(device, next_envelopes(device, 2))
        root, token = cloud.root_pem, (cloud.data / "operator.token").read_text()
    with running_cloud(tmp_path / "data") as cloud:
        assert cloud.root_pem == root
        assert (cloud.data / "operator.token").read_text() == token
        assert cloud.head(device).seq == 2
        cloud.deliver(device, next_envelopes(device, 1))
        assert log_size(cloud) == 3


def serve_and_fail(data: Path, *options: str) -> str:
    """Start the real command, which must end with the status of set-up and one sentence; return it."""
    command = [CLOUD, "serve", "--listen", "127.0.0.1:0", "--data", str(data), *options]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 3, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert "What to do:" in result.stderr
    return result.stderr


def test_a_damaged_database_is_one_sentence(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_cloud(data) as cloud:
        device = cloud.enroll()
        cloud.deliver(device, next_envelopes(device, 3))
    file = data / "verifield.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        [page] = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'log_leaves'").fetchone()
        [size] = database.execute("PRAGMA page_size").fetchone()
    content = bytearray(file.read_bytes())
    content[(page - 1) * size : page * size] = b"\xff" * size
    file.write_bytes(content)
    told = serve_and_fail(data)
    assert told.startswith("DATABASE_UNUSABLE: ")
    assert "malformed" in told
    assert "backup" in told


def test_a_database_in_memory_is_not_taken_for_a_store(tmp_path: Path) -> None:
    assert serve_and_fail(tmp_path / "data", "--database", "sqlite://").startswith("DATABASE_NOT_DURABLE: ")


def test_an_endpoint_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "data" / "endpoint.json").mkdir(parents=True, mode=0o700)
    assert serve_and_fail(tmp_path / "data").startswith("DATA_UNUSABLE: ")


@pytest.mark.parametrize("token", ["", "vfo_", "vfo_short", "something else"])
def test_a_cut_operator_token_opens_nothing(tmp_path: Path, token: str) -> None:
    (tmp_path / "operator.token").write_text(token)
    with pytest.raises(SetupError) as caught, running_cloud(tmp_path):
        pass
    assert caught.value.code == "OPERATOR_TOKEN"


def test_the_rights_of_a_folder_that_was_there_are_left_alone(tmp_path: Path) -> None:
    """A mistyped --data must not lock everybody out of a shared folder."""
    tmp_path.chmod(0o755)
    with running_cloud(tmp_path):
        pass
    assert tmp_path.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_a_folder_that_others_can_write_holds_no_keys(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    with pytest.raises(SetupError) as caught, running_cloud(tmp_path):
        pass
    assert caught.value.code == "DATA_UNUSABLE"
    assert "chmod" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_the_log_of_a_start_is_json_alone(tmp_path: Path) -> None:
    command = [CLOUD, "serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, logged = process.communicate(timeout=30)
    assert [line for line in logged.splitlines() if not line.startswith("{")] == []
