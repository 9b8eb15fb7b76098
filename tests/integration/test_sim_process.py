"""The simulator as a process: its line of endpoints, its HTTP levers, its end."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from edge.attest.keystore_pkcs11 import Pkcs11KeyStore
from edge.attest.keystore_tpm import TpmKeyStore
from edge.model import Prompt
from edge.ports import KeyStore
from edge.reader.photo import SimulatorPhotoDecoder
from edge.reader.reader import SamVReader
from tests.support.hardware import missing
from tests.support.id_reader import RecordingScreen
from verifield_sim.scenario import SHIPPED
from verifield_sim.server import MAX_BODY_BYTES

ROOT = Path(__file__).resolve().parents[2]
PAPER = ("cutout", "mask", "print", "print-bent")
DISPLAYS = ("monitor", "phone", "replay-turns", "tablet")
TIMEOUT_S = 60  # a busy machine takes seconds to import everything


def start(*options: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "firmware-sim"), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Simulator:
    def __init__(self, endpoints: dict[str, Any]) -> None:
        self.endpoints = endpoints
        self.address = urlsplit(endpoints["camera"].removeprefix("sim+")).netloc

    def request(self, method: str, path: str, body: bytes | dict[str, Any] = b"") -> tuple[int, Any]:
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body=data)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def pictures(self, count: int) -> list[tuple[int, np.ndarray[Any, Any]]]:
        """Number and pixels of ``count`` pictures in a row."""
        connection = http.client.HTTPConnection(self.address, timeout=TIMEOUT_S)
        try:
            connection.request("GET", "/camera")
            answer = connection.getresponse()
            assert answer.status == 200
            assert answer.headers.get_content_type() == "multipart/x-mixed-replace"
            boundary = answer.headers.get_boundary()
            taken = []
            for _ in range(count):
                assert answer.readline() == f"--{boundary}\r\n".encode()
                head = dict(iter(lambda: tuple(answer.readline().decode().strip().split(": ")), ("",)))
                assert head["Content-Type"] == "image/jpeg"
                jpeg = answer.read(int(head["Content-Length"]))
                assert answer.readline() == b"\r\n"
                picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
                assert picture is not None
                taken.append((int(head["X-Frame-Number"]), picture))
            return taken
        finally:
            connection.close()

    def card_number(self) -> str:
        """Read whatever card is there, as a person who does what the screen says."""
        reader = SamVReader.open(
            self.endpoints["reader"],
            baud=self.endpoints["baud"],
            decoder=SimulatorPhotoDecoder(),
            expected_sam_id=self.endpoints["sam_id"],
        )
        try:
            return reader.read_document(30, RecordingScreen(self.obeying())).number
        finally:
            reader.close()

    def obeying(self) -> dict[Prompt, object]:
        return {
            prompt: lambda prompt=prompt: self.request("POST", "/screen", {"prompt": prompt.value})
            for prompt in (Prompt.PLACE_CARD, Prompt.LIFT_CARD)
        }


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    process = start("--scenario", "happy")
    try:
        assert process.stdout is not None
        yield Simulator(json.loads(process.stdout.readline()))
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT_S)


@pytest.mark.req("E067")
def test_the_endpoints_are_whole(simulator: Simulator) -> None:
    endpoints = simulator.endpoints
    assert set(endpoints) == {"scenario", "reader", "baud", "camera", "screen", "control", "sam_id"}
    assert endpoints["scenario"] == "happy"
    assert endpoints["baud"] == 115200
    assert Path(endpoints["reader"]).is_symlink()
    assert simulator.address.startswith("127.0.0.1:")
    assert simulator.request("GET", "/health") == (200, {"scenario": "happy", "card_present": True})


def test_the_camera_streams_numbered_pictures(simulator: Simulator) -> None:
    first, second = simulator.pictures(2)
    assert first[1].shape == second[1].shape == (480, 640, 3)
    assert second[0] > first[0]
    assert simulator.pictures(1)[0][0] > second[0]  # numbers only grow, also for the next client


def test_a_card_is_read_again_by_doing_what_the_screen_says(simulator: Simulator) -> None:
    assert simulator.card_number() == simulator.card_number()


def test_switching_the_scenario_brings_another_card_and_another_person(simulator: Simulator) -> None:
    before, with_person = simulator.card_number(), simulator.pictures(1)[0][1]
    assert simulator.request("POST", "/control/scenario", {"name": "happy-hopper"}) == (200, {"ok": True})
    assert simulator.request("GET", "/health")[1]["scenario"] == "happy-hopper"
    assert simulator.card_number() != before
    assert simulator.request("POST", "/control/scenario", {"name": "empty"})[0] == 200
    assert np.abs(simulator.pictures(1)[0][1].astype(int) - with_person).mean() > 10
    assert simulator.request("POST", "/control/scenario", {"name": "happy"})[0] == 200
    assert simulator.card_number() == before


def test_the_card_can_be_lifted_and_replaced(simulator: Simulator) -> None:
    assert simulator.request("POST", "/control/card", {"action": "lift"})[0] == 200
    assert simulator.request("GET", "/health")[1]["card_present"] is False
    assert simulator.request("POST", "/control/card", {"action": "place"})[0] == 200
    own = simulator.card_number()
    request = {"action": "place", "portrait": "grace_hopper"}
    assert simulator.request("POST", "/control/card", request)[0] == 200
    assert simulator.card_number() != own


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/nowhere", b"{}", 404),
        ("/screen", b"", 400),
        ("/screen", b"[]", 400),
        ("/screen", b"{", 400),
        ("/screen", b'{"prompt": 3}', 400),
        ("/screen", b'{"light": "red"}', 400),
        ("/screen", b'{"light": 3}', 400),
        ("/control/scenario", b'{"name": "/etc/passwd"}', 400),
        ("/control/card", b'{"action": "eat"}', 400),
        ("/control/card", b'{"action": "place", "portrait": "/etc/passwd"}', 400),
    ],
)
def test_bad_requests_are_answered_with_a_reason(
    simulator: Simulator, path: str, body: bytes, status: int
) -> None:
    answered, answer = simulator.request("POST", path, body)
    assert answered == status
    assert answer["error"]


@pytest.mark.parametrize(("size", "status"), [(MAX_BODY_BYTES, 200), (MAX_BODY_BYTES + 1, 400)])
def test_a_request_may_have_so_many_bytes_and_no_more(simulator: Simulator, size: int, status: int) -> None:
    body = b'{"prompt": "DONE"}'.ljust(size)
    assert simulator.request("POST", "/screen", body)[0] == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_and_takes_its_link_along(tmp_path: Path, number: signal.Signals) -> None:
    process = start("--scenario", "empty", "--dir", str(tmp_path))
    assert process.stdout is not None
    endpoints = json.loads(process.stdout.readline())
    assert endpoints["reader"] == str(tmp_path / "reader")
    process.send_signal(number)
    assert process.communicate(timeout=TIMEOUT_S) == ("", "")
    assert process.returncode == 0
    assert not os.path.lexists(tmp_path / "reader")


def test_the_scenarios_are_listed() -> None:
    process = start("--list")
    out, _ = process.communicate(timeout=TIMEOUT_S)
    people = ("empty", "happy", "happy-hopper", "impostor")
    assert out.split() == sorted([*people, *PAPER, *DISPLAYS, "injection"])


def test_every_instrument_can_be_brought_on(simulator: Simulator) -> None:
    """Each before the camera of the running simulator, under light, and then the right person again."""
    seen = []
    for name in (*PAPER, *DISPLAYS, "injection"):
        assert simulator.request("POST", "/control/scenario", {"name": name}) == (200, {"ok": True})
        assert simulator.request("POST", "/screen", {"prompt": "TURN_LEFT", "light": "#FF6CFF"})[0] == 200
        assert simulator.request("GET", "/health")[1]["scenario"] == name
        seen.append(simulator.pictures(1)[0][1].astype(int))
    for one, other in itertools.combinations(seen, 2):
        assert np.abs(one - other).mean() > 2
    assert simulator.request("POST", "/screen", {"light": None}) == (200, {"ok": True})
    assert simulator.request("POST", "/control/scenario", {"name": "happy"})[0] == 200


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """The path of a socket has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="vf-") as folder:
        yield Path(folder)


@pytest.mark.req("E067")
@pytest.mark.parametrize("kind", ["tpm", "pkcs11"])
def test_all_the_hardware_of_one_appliance(
    short_folder: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Card reader, camera, screen and secure element of one process, each used by what its endpoint says."""
    if why := missing(kind):
        pytest.skip(why)
    text = (SHIPPED / "happy.toml").read_text(encoding="utf-8")
    (short_folder / "happy.toml").write_text(f'{text}\n[element]\nkind = "{kind}"\n', encoding="utf-8")
    process = start("--scenario", str(short_folder / "happy.toml"), "--dir", str(short_folder))
    try:
        assert process.stdout is not None
        simulator = Simulator(json.loads(process.stdout.readline()))
        element = simulator.endpoints["element"]
        assert element.pop("kind") == kind
        for setting in filter(None, [element.pop("environment", "")]):
            monkeypatch.setenv(*setting.split("=", 1))
        store = key_store(kind, short_folder / "keys", element)
        signer = store.create("device")
        message = b"what an appliance says"
        key = load_der_public_key(signer.public_key_der())
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(signer.sign(message), message, ec.ECDSA(hashes.SHA256()))
        assert simulator.card_number() == simulator.card_number()
        assert simulator.pictures(1)[0][1].shape == (480, 640, 3)
        for action in ("unplug", "plug"):
            assert simulator.request("POST", "/control/element", {"action": action}) == (200, {"ok": True})
        again = key_store(kind, short_folder / "keys", element).open("device")
        assert again.public_key_der() == signer.public_key_der(), "keys stay in it"
        assert simulator.request("POST", "/control/element", {"action": "eat"})[0] == 400
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT_S)
    assert not (short_folder / "element").exists()


def key_store(kind: str, folder: Path, element: dict[str, str]) -> KeyStore:
    """What an appliance opens with the settings that the simulator names."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if kind == "tpm":
        return TpmKeyStore.open_store(folder, tcti=element["tpm_tcti"])
    return Pkcs11KeyStore.open_store(
        folder,
        module=Path(element["pkcs11_module"]),
        token=element["pkcs11_token"],
        pin_file=Path(element["pkcs11_pin_file"]),
    )


def test_a_scenario_without_a_secure_element_says_so(simulator: Simulator) -> None:
    status, answer = simulator.request("POST", "/control/element", {"action": "unplug"})
    assert status == 400
    assert "secure element" in answer["error"]


def test_an_unknown_scenario_ends_with_status_2_and_says_what_there_is(tmp_path: Path) -> None:
    process = start("--scenario", "nope", "--dir", str(tmp_path))
    out, complaint = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out) == (2, "")
    assert "impostor" in complaint
    assert "Traceback" not in complaint


def test_a_port_that_is_taken_ends_with_status_2(simulator: Simulator, tmp_path: Path) -> None:
    process = start("--port", simulator.address.rpartition(":")[2], "--dir", str(tmp_path))
    out, complaint = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out) == (2, "")
    assert "cannot be had" in complaint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [("--port", "65536"), ("--dir", __file__), ("--dir", "/proc/none")])
def test_words_that_cannot_be_obeyed_end_with_status_2(words: tuple[str, str]) -> None:
    process = start("--scenario", "empty", *words)
    out, complaint = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out) == (2, "")
    assert "Traceback" not in complaint


def test_the_readers_path_holds_in_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    process = start("--scenario", "empty", "--dir", "here")
    assert process.stdout is not None
    endpoints = json.loads(process.stdout.readline())
    process.terminate()
    process.communicate(timeout=TIMEOUT_S)
    assert endpoints["reader"] == str(tmp_path / "here" / "reader")
