"""Bad input from outside: one clear sentence with what to do, a documented exit status, nothing lost."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from demo.processes import Service, command_path
from edge.errors import ExitCode
from edge.models.store import ModelStore


def call(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [command_path(args[0]), *args[1:], "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), **env},
    )
    assert "Traceback" not in done.stderr
    return done


def run(*args: str, **env: str) -> tuple[int, dict[str, str]]:
    """The exit status and the fault of a command that must fail."""
    done = call(*args, **env)
    error = json.loads(done.stdout)["error"]
    assert error["message"].strip(), error
    assert error["hint"].strip(), error
    if args[0] != "verifield-verify":  # whose report is its answer, on standard output
        assert error["message"] in " ".join(done.stderr.split())
    return done.returncode, error


def answer_of(*args: str) -> dict[str, Any]:
    """What a command that must succeed prints."""
    done = call(*args)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    folder = tmp_path_factory.mktemp("cloud")
    cloud = Service.start(
        *("verifield-cloud", "serve", "--listen", "127.0.0.1:0", "--data", "data"),
        cwd=folder,
        log=folder / "cloud.log",
    )
    endpoints = cloud.endpoints()
    yield {"folder": str(folder), **endpoints}
    cloud.stop()


@pytest.fixture(scope="module")
def device(service: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An enrolled device without hardware."""
    data = tmp_path_factory.mktemp("device")
    cloud_data = f"{service['folder']}/data"
    create = ("join-token", "create", "--site", "s", "--waive-approval")
    made = answer_of("verifield-cloud", *create, "--data", cloud_data)
    token = data / "token"
    token.write_text(made["join_token"])
    answer_of(
        *("verifield-edge", "enroll", "--cloud", service["listen"], "--root", f"{cloud_data}/root.pem"),
        *("--token-file", str(token), "--data", str(data)),
    )
    return data


def test_an_unknown_configuration_key(tmp_path: Path) -> None:
    (tmp_path / "verifield-edge.toml").write_text('camrea = "v4l2:0"\n')
    status, error = run("verifield-edge", "verify", "--data", str(tmp_path))
    assert (status, error["code"]) == (ExitCode.SETUP, "CONFIG_INVALID")
    assert "camrea" in error["message"]


def test_a_device_that_is_not_enrolled(tmp_path: Path) -> None:
    status, error = run("verifield-edge", "verify", "--data", str(tmp_path))
    assert (status, error["code"]) == (ExitCode.SETUP, "NOT_ENROLLED")


def test_missing_models(device: Path, tmp_path: Path) -> None:
    status, error = run("verifield-edge", "verify", "--data", str(device), XDG_CACHE_HOME=str(tmp_path))
    assert (status, error["code"]) == (ExitCode.SETUP, "MODEL_MISSING")
    assert "models pull" in error["hint"]


def test_a_model_with_a_wrong_digest(device: Path, tmp_path: Path, model_store: ModelStore) -> None:
    for status_of in model_store.list():
        if status_of.path.is_file():
            copy = tmp_path / "verifield" / "models" / "prepared" / status_of.path.name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(status_of.path.read_bytes()[:-1] + b"\x00")
    status, error = run("verifield-edge", "verify", "--data", str(device), XDG_CACHE_HOME=str(tmp_path))
    assert (status, error["code"]) == (ExitCode.SETUP, "MODEL_DIGEST")


def test_no_camera(device: Path, model_store: ModelStore) -> None:
    status, error = run("verifield-edge", "verify", "--data", str(device), "--camera", "v4l2:97")
    assert (status, error["code"]) == (ExitCode.HARDWARE, "NO_CAMERA")


def test_an_unknown_camera_is_refused_with_what_is_possible(device: Path, model_store: ModelStore) -> None:
    status, error = run("verifield-edge", "verify", "--data", str(device), "--camera", "telepathy:1")
    assert (status, error["code"]) == (ExitCode.HARDWARE, "CAMERA_UNKNOWN")
    assert "v4l2" in error["hint"]


def test_a_simulated_camera_is_refused_unless_allowed(
    device: Path, tmp_path: Path, model_store: ModelStore
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "1.png").write_bytes(one_pixel_png())
    status, error = run("verifield-edge", "verify", "--data", str(device), "--camera", f"folder:{pictures}")
    assert (status, error["code"]) == (ExitCode.SETUP, "CAMERA_NOT_ALLOWED")


def test_no_reader(device: Path, tmp_path: Path, model_store: ModelStore) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "1.png").write_bytes(one_pixel_png())
    status, error = run(
        *("verifield-edge", "verify", "--data", str(device), "--camera", f"folder:{pictures}"),
        *("--reader", str(tmp_path / "no-such-port")),
        VERIFIELD_EDGE_ALLOW_SIMULATED_CAMERA="true",
    )
    assert (status, error["code"]) == (ExitCode.HARDWARE, "NO_READER")


def test_a_cloud_that_is_away_loses_nothing(device: Path, service: dict[str, str], tmp_path: Path) -> None:
    status, error = run(
        *("verifield-edge", "enroll", "--cloud", "127.0.0.1:1", "--data", str(tmp_path)),
        *("--root", f"{service['folder']}/data/root.pem", "--token-file", str(device / "token")),
    )
    assert (status, error["code"]) == (ExitCode.CLOUD, "CLOUD_AWAY")


def test_a_used_join_token(device: Path, service: dict[str, str], tmp_path: Path) -> None:
    status, error = run(
        *("verifield-edge", "enroll", "--cloud", service["listen"], "--data", str(tmp_path)),
        *("--root", f"{service['folder']}/data/root.pem", "--token-file", str(device / "token")),
    )
    assert (status, error["code"]) == (ExitCode.CLOUD, "ENROLL_REFUSED")


def test_a_device_that_waits_for_approval(service: dict[str, str], tmp_path: Path) -> None:
    cloud_data = f"{service['folder']}/data"
    made = answer_of("verifield-cloud", "join-token", "create", "--site", "s", "--data", cloud_data)
    (tmp_path / "token").write_text(made["join_token"])
    root = ("--root", f"{cloud_data}/root.pem", "--token-file", str(tmp_path / "token"))
    waiting = call("verifield-edge", "enroll", "--cloud", service["listen"], *root, "--data", str(tmp_path))
    assert waiting.returncode == ExitCode.NEGATIVE
    assert json.loads(waiting.stdout)["state"] == "PENDING_APPROVAL"
    device_id = json.loads(waiting.stdout)["device_id"]
    status, error = run("verifield-edge", "verify", "--data", str(tmp_path))
    assert (status, error["code"]) == (ExitCode.SETUP, "NOT_ENROLLED")
    approve = ("verifield-cloud", "devices", "approve", device_id, "--data", cloud_data)
    status, error = run(*approve, "--fingerprint", "00" * 32)
    assert (status, error["code"]) == (6, "FINGERPRINT_MISMATCH")
    assert call("verifield-edge", "enroll", "--data", str(tmp_path)).returncode == ExitCode.NEGATIVE


def test_files_of_a_stick_that_are_not_what_they_should_be(
    device: Path, service: dict[str, str], tmp_path: Path
) -> None:
    edge, data = ("--data", str(device)), ("--data", f"{service['folder']}/data")
    there, back, bad = (str(tmp_path / name) for name in ("there", "back", "bad"))
    status, error = run("verifield-edge", "export", str(tmp_path / "no" / "stick" / "file"), *edge)
    assert (status, error["code"]) == (ExitCode.INPUT, "TRANSFER_UNWRITABLE")
    assert answer_of("verifield-edge", "export", there, *edge)["records"] == 1

    content = Path(there).read_bytes()
    for damaged in (b"", b"no transfer file", content[:-10], content[:200] + b"\x00" + content[201:]):
        Path(bad).write_bytes(damaged)
        status, error = run("verifield-cloud", "import", bad, "--out", back, *data)
        assert (status, error["code"]) == (6, "TRANSFER_INVALID")
        assert not Path(back).exists()
    assert answer_of("verifield-cloud", "import", there, "--out", back, *data)["accepted"] == 1
    status, error = run("verifield-cloud", "import", back, "--out", bad, *data)
    assert (status, error["code"]) == (6, "TRANSFER_INVALID")

    status, error = run("verifield-edge", "import", there, *edge)
    assert (status, error["code"]) == (ExitCode.INPUT, "TRANSFER_NOT_AN_ANSWER")
    answer = Path(back).read_bytes()
    for damaged in (b"", b"no transfer file", answer[:-10]):
        Path(bad).write_bytes(damaged)
        status, error = run("verifield-edge", "import", bad, *edge)
        assert (status, error["code"]) in (
            (ExitCode.INPUT, "TRANSFER_DAMAGED"),
            (ExitCode.INPUT, "TRANSFER_NOT_AN_ANSWER"),
        )
    assert answer_of("verifield-edge", "outbox", "stats", *edge)["unconfirmed"] == 1
    assert answer_of("verifield-edge", "import", back, *edge)["confirmed"] == 1
    assert answer_of("verifield-edge", "outbox", "stats", *edge)["unconfirmed"] == 0


def test_a_policy_that_is_none(service: dict[str, str], tmp_path: Path) -> None:
    data = ("--data", f"{service['folder']}/data")
    for content in (b"\xff", b"[1]", b'{"version": "1", "threshold": 0.5}'):
        (tmp_path / "policy.json").write_bytes(content)
        status, error = run("verifield-cloud", "policies", "publish", str(tmp_path / "policy.json"), *data)
        assert (status, error["code"]) == (3, "POLICY_UNREADABLE")
    (tmp_path / "policy.json").write_text('{"version": "1"}')
    status, error = run("verifield-cloud", "policies", "publish", str(tmp_path / "policy.json"), *data)
    assert (status, error["code"]) == (6, "POLICY_INVALID")


def test_a_file_that_is_no_picture(tmp_path: Path, model_store: ModelStore) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"not a picture")
    status, error = run("verifield-edge", "compare", str(path), str(path))
    assert (status, error["code"]) == (ExitCode.INPUT, "NOT_A_PICTURE")


def test_a_picture_without_a_face(tmp_path: Path, model_store: ModelStore) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(one_pixel_png())
    status, error = run("verifield-edge", "compare", str(path), str(path))
    assert (status, error["code"]) == (ExitCode.INPUT, "NO_FACE")


def test_a_corrupt_bundle(service: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.bundle"
    path.write_bytes(b"\xff" * 100)
    status, error = run("verifield-verify", str(path), "--root", f"{service['folder']}/data/root.pem")
    assert status == 3
    assert error["code"]


def one_pixel_png() -> bytes:
    done, data = cv2.imencode(".png", np.full((200, 200, 3), 90, np.uint8))
    assert done
    return data.tobytes()
