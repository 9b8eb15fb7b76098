from __future__ import annotations

import dataclasses
import hashlib
import io
import subprocess
import zipfile
from pathlib import Path

import pytest

from edge.errors import SetupError
from edge.models import fetch
from edge.models.fetch import Fetcher, SourceFailed, download_https, read_from_folder, read_member
from edge.models.manifest import Export, HttpsSource, ModelEntry, Role, WheelSource
from edge.models.prepare import Preparation

DATA = b"the published file"


def entry(*sources: WheelSource | HttpsSource) -> ModelEntry:
    digest = hashlib.sha256(DATA).hexdigest()
    return ModelEntry(
        name="m",
        role=Role.QUALITY,
        licence="MIT",
        file="m.onnx",
        sha256=digest,
        size=len(DATA),
        default=False,
        preparation=Preparation.NONE,
        prepared_sha256=digest,
        sources=sources,
    )


def test_a_folder_serves_the_file_under_any_name(tmp_path: Path) -> None:
    (tmp_path / "decoy.onnx").write_bytes(b"x" * len(DATA))
    (tmp_path / "renamed.onnx").write_bytes(DATA)
    assert read_from_folder(tmp_path, entry()) == DATA


def test_a_folder_serves_another_export_of_the_same_network(tmp_path: Path) -> None:
    other = b"the same weights, written by another tool"
    export = Export(hashlib.sha256(other).hexdigest(), len(other))
    (tmp_path / "theirs.onnx").write_bytes(other)
    assert read_from_folder(tmp_path, dataclasses.replace(entry(), exports=(export,))) == other
    with pytest.raises(SourceFailed):
        read_from_folder(tmp_path, entry())


@pytest.mark.parametrize("content", [b"", DATA[:-1], DATA + b"!", DATA.upper()])
def test_a_folder_with_another_file_fails(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(SourceFailed):
        read_from_folder(tmp_path, entry())


def test_a_missing_folder_fails(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed):
        read_from_folder(tmp_path / "none", entry())


def wheel(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "p-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("p/m.onnx", data)
    return path


def test_a_wheel_gives_one_member(tmp_path: Path) -> None:
    assert read_member(wheel(tmp_path, DATA), "p/m.onnx", limit=len(DATA)) == DATA


def test_a_member_beyond_the_limit_fails(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed, match="larger"):
        read_member(wheel(tmp_path, DATA), "p/m.onnx", limit=len(DATA) - 1)


def test_a_missing_member_or_archive_fails(tmp_path: Path) -> None:
    with pytest.raises(SourceFailed):
        read_member(wheel(tmp_path, DATA), "p/other.onnx", limit=99)
    (tmp_path / "broken.whl").write_bytes(b"PK")
    with pytest.raises(SourceFailed):
        read_member(tmp_path / "broken.whl", "p/m.onnx", limit=99)


def test_only_https_is_spoken() -> None:
    for url in ("http://localhost/m", "file:///etc/passwd"):
        with pytest.raises(SourceFailed, match="https"):
            download_https(url, limit=1, progress=lambda _: None)


def test_the_first_intact_source_wins_and_a_wheel_is_downloaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads: list[str] = []

    def fake_download(source: WheelSource, destination: Path) -> Path:
        downloads.append(source.package)
        return wheel(tmp_path, DATA)

    monkeypatch.setattr(fetch, "download_wheel", fake_download)
    source = WheelSource("p", "1", "p/m.onnx")
    with Fetcher(folder=tmp_path / "none", progress=lambda *_: None) as fetcher:
        assert fetcher.fetch(entry(source)) == DATA
        assert fetcher.fetch(entry(source)) == DATA
    assert downloads == ["p"]


def test_wrong_bytes_are_passed_over_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "download_wheel", lambda *_: wheel(tmp_path, DATA[::-1]))
    monkeypatch.setattr(fetch, "download_https", lambda *_, **__: DATA)
    bad, good = WheelSource("p", "1", "p/m.onnx"), HttpsSource("https://example.org/m.onnx")
    with Fetcher(folder=None, progress=lambda *_: None) as fetcher:
        assert fetcher.fetch(entry(bad, good)) == DATA
        with pytest.raises(SetupError, match="wrong digest") as caught:
            fetcher.fetch(entry(bad))
    assert caught.value.code == "MODEL_FETCH"
    assert "VERIFIELD_MODELS" in caught.value.hint


def test_pip_is_told_to_run_no_code_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def fake_run(command: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        commands.append(command)
        assert options["timeout"] == fetch.PIP_TIMEOUT_S
        return subprocess.CompletedProcess(command, 1, b"", b"WARNING: x\nERROR: no such version\n")

    monkeypatch.setattr(subprocess, "run", fake_run)
    with pytest.raises(SourceFailed, match="no such version"):
        fetch.download_wheel(WheelSource("p", "1", "p/m.onnx"), tmp_path)
    assert {"download", "--no-deps", "--only-binary=:all:", "p==1"} <= set(commands[0])


def test_reading_stops_at_the_limit() -> None:
    stream = io.BytesIO(b"x" * 1_000_000)
    with pytest.raises(SourceFailed, match="larger"):
        fetch._read_limited(stream, 100_000, lambda _: None)
    assert stream.tell() < 200_000
