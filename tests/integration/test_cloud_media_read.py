"""Kept pictures: listed and downloaded encrypted, opened by whoever holds the key, and never unnoticed."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from cloud.cli import app as commands
from cloud.keyfiles import open_x25519
from cloud.store.schema import audit_events
from tests.integration.test_cloud_media import chunks, put
from tests.support.chains import Chain
from tests.support.cloud import CloudDevice, RunningCloud, refusal, running_cloud
from verifield.dsse import parse_envelope
from verifield.media import CHUNK_BYTES, encrypt_media
from verifield.statement import parse_statement
from verifield.v1 import media_service_pb2 as pb
from verifield.v1.attestation_pb2 import MediaReference
from verifield.v1.audit_pb2 import AuditEvent

PICTURE = bytes(range(256)) * 1200  # two chunks


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        yield running


def key_file(cloud: RunningCloud) -> Path:
    return cloud.data / "keys" / "media.key"


def delivered(cloud: RunningCloud, *, arrived: bool = True, key: X25519PrivateKey | None = None) -> str:
    """A record that names two pictures, the first of which has come; returns its id."""
    device: CloudDevice = cloud.enroll()
    recipient = key or open_x25519(cloud.data / "keys", "media")
    data = encrypt_media(PICTURE, recipient_key=recipient.public_key().public_bytes_raw())
    envelope = Chain(device).add(
        media=(_reference("best_shot", data), _reference("document_photo", b"still on the device"))
    )
    cloud.deliver(device, [envelope])
    if arrived:
        assert put(cloud, device, *chunks(data))[-1]
    return parse_statement(parse_envelope(envelope).payload).attestation_id


def _reference(name: str, data: bytes) -> MediaReference:
    return MediaReference(
        name=name,
        sha256=hashlib.sha256(data).digest(),
        size_bytes=len(data),
        content_commitment=bytes(32),
    )


def run(cloud: RunningCloud, *args: str | Path) -> tuple[int, dict[str, Any]]:
    words = ["media", *map(str, args), "--data", str(cloud.data), "--json"]
    result = CliRunner().invoke(commands, words)
    return result.exit_code, json.loads(result.stdout)


def reads(cloud: RunningCloud) -> list[AuditEvent]:
    with cloud.database() as connection:
        rows = connection.execute(audit_events.select().order_by(audit_events.c.seq)).all()
    events = [AuditEvent.FromString(row.content) for row in rows]
    return [event for event in events if event.action == "media.read"]


def test_a_picture_is_opened_with_the_key_and_the_audit_tells(cloud: RunningCloud, tmp_path: Path) -> None:
    attestation_id, output = delivered(cloud), tmp_path / "face.png"
    code, listed = run(cloud, "list", attestation_id)
    assert code == 0
    first, second = listed["media"]
    assert (first["name"], first["complete"]) == ("best_shot", True)
    assert (second["name"], second["complete"]) == ("document_photo", False)
    before = len(reads(cloud))
    code, told = run(cloud, "get", attestation_id, "best_shot", "-o", output, "--key", key_file(cloud))
    assert (code, told["bytes"]) == (0, len(PICTURE))
    assert output.read_bytes() == PICTURE
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    [event] = reads(cloud)[before:]
    assert event.subject == f"attestations/{attestation_id}/media/best_shot"
    assert [(fact.key, fact.value) for fact in event.facts] == [("sha256", first["sha256"])]
    assert event.caller != "unknown"


def test_no_file_is_written_over_and_nothing_is_read_for_it(cloud: RunningCloud, tmp_path: Path) -> None:
    attestation_id, output = delivered(cloud), tmp_path / "mine"
    output.write_bytes(b"mine")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    before = len(reads(cloud))
    for taken in (output, link):
        code, told = run(cloud, "get", attestation_id, "best_shot", "-o", taken, "--key", key_file(cloud))
        assert (code, told["error"]["code"]) == (3, "OUTPUT_EXISTS")
    assert output.read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()
    assert len(reads(cloud)) == before


@pytest.mark.parametrize("content", [b"", b"nonsense", "another kind"])
def test_what_is_no_key_of_pictures_is_said_before_anything_is_read(
    cloud: RunningCloud, tmp_path: Path, content: bytes | str
) -> None:
    attestation_id, key = delivered(cloud), tmp_path / "key.pem"
    if isinstance(content, str):
        pem = generate_private_key(SECP256R1())
        content = pem.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key.write_bytes(content)
    before = len(reads(cloud))
    code, told = run(cloud, "get", attestation_id, "best_shot", "-o", tmp_path / "out", "--key", key)
    assert (code, told["error"]["code"]) == (3, "MEDIA_KEY_UNREADABLE")
    assert len(reads(cloud)) == before


def test_another_key_opens_nothing_and_leaves_nothing(cloud: RunningCloud, tmp_path: Path) -> None:
    attestation_id = delivered(cloud, key=X25519PrivateKey.generate())
    output = tmp_path / "out"
    code, told = run(cloud, "get", attestation_id, "best_shot", "-o", output, "--key", key_file(cloud))
    assert (code, told["error"]["code"]) == (3, "MEDIA_KEY_WRONG")
    assert not output.exists()


def test_a_file_that_was_changed_on_the_disk_is_found_out(cloud: RunningCloud, tmp_path: Path) -> None:
    attestation_id = delivered(cloud)
    _, listed = run(cloud, "list", attestation_id)
    name = listed["media"][0]["sha256"]
    [path] = (cloud.data / "media").glob(f"*/{name}")
    data = bytearray(path.read_bytes())
    data[CHUNK_BYTES] ^= 1
    path.write_bytes(data)
    code, told = run(
        cloud, "get", attestation_id, "best_shot", "-o", tmp_path / "out", "--key", key_file(cloud)
    )
    assert (code, told["error"]["code"]) == (6, "MEDIA_CHANGED")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("attestation_id", "name", "reason"),
    [
        (None, "document_photo", "MEDIA_NOT_HERE"),
        (None, "nobody", "MEDIA_NOT_HERE"),
        ("unknown", "best_shot", "ATTESTATION_NOT_FOUND"),
    ],
)
def test_what_is_not_here_is_refused_and_not_in_the_audit_chain(
    cloud: RunningCloud, attestation_id: str | None, name: str, reason: str
) -> None:
    request = pb.DownloadMediaRequest(attestation_id=attestation_id or delivered(cloud), name=name)
    before = len(reads(cloud))
    media = cloud.operator.media
    with pytest.raises(grpc.RpcError) as caught:
        list(media.DownloadMedia(request, metadata=cloud.operator._metadata, timeout=20))
    assert refusal(caught.value)[1].reason == reason
    assert len(reads(cloud)) == before
