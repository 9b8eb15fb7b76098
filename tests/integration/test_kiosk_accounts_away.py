"""Accounts and feedback while the service is away: what is said then, what the device keeps of people."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edge.attest.identity import DeviceIdentity
from edge.kiosk import visits
from edge.kiosk.texts import LANGUAGES, Texts
from tests.support.authority import new_key
from tests.support.local_device import DEVICE_ID, LocalDevice
from tests.support.local_kiosk import Client, LocalKiosk, local_kiosk
from verifield.certificates import Purpose
from verifield.v1 import account_service_pb2

NAME, NUMBER, PHONE, PASSWORD = "测试甲", "11010119900307803X", "13800138000", "sieben-Kamele-7"
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKiosk]:
    """A device on whose way to the service nobody listens."""
    device = LocalDevice.open(tmp_path_factory.mktemp("kiosk") / "device")
    key = new_key()
    chain = device.authority.issue(key.public_key(), name=DEVICE_ID, purpose=Purpose.ATTESTATION)
    certificates = b"".join(to_pem(one) for one in chain)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.MonkeyPatch.context() as patched, local_kiosk(device) as local:
        patched.setattr(DeviceIdentity, "tls_key_pem", lambda _: secret)
        patched.setattr(DeviceIdentity, "tls_certificates_pem", lambda _: certificates)
        yield local


def to_pem(certificate: bytes) -> bytes:
    return x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM)


@pytest.fixture
def client(local: LocalKiosk) -> Iterator[Client]:
    with local.client() as client:
        client.post("/language", language="en")
        yield client
        client.post("/accounts/leave")


def files_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_the_network_is_away_and_the_page_says_what_still_works(local: LocalKiosk, client: Client) -> None:
    client.post("/accounts/begin", what="login")
    assert client.post("/accounts/login", identifier=PHONE, password=PASSWORD).json == {"go": "/accounts"}
    for language in LANGUAGES:
        client.post("/language", language=language)
        page, texts = client.get("/accounts").text, Texts(language)
        assert 'data-code="CLOUD_AWAY"' in page
        for key in ("accounts.away", "accounts.away.lead", "accounts.away.works"):
            assert texts(key) in page
        assert PHONE not in page
        assert PASSWORD not in page
    assert PHONE.encode() not in files_of(local.device.config.data_dir)


def test_what_was_typed_is_there_until_the_person_leaves(local: LocalKiosk, client: Client) -> None:
    client.post("/accounts/begin", what="register")
    typed = {"name": NAME, "number": NUMBER, "valid_from": "2020-01-02", "valid_to": "2040-01-02"}
    for field in typed:
        assert client.post("/accounts/elements", **{**typed, field: " "}).code == "FIELD_EMPTY"
    assert client.post("/accounts/elements", **typed).json == {"go": "/accounts"}
    assert 'data-step="portrait"' in client.get("/accounts").text
    assert client.post("/accounts/code", code="123456").code == "VISIT_OVER"
    stored = files_of(local.device.config.data_dir)
    assert NAME.encode() not in stored
    assert NUMBER.encode() not in stored
    assert client.post("/accounts/leave").json == {"go": "/"}
    assert "data-step" not in client.get("/accounts").text


def test_a_visit_that_nobody_goes_on_with_is_forgotten(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "IDLE_S", 0.0)
    client.post("/accounts/begin", what="register")
    until = time.monotonic() + WITHIN_S
    while "data-step" in client.get("/accounts").text:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert client.post("/accounts/card").code == "VISIT_OVER"


class SlowService:
    """Lets who signs in wait until ``answers``. ``called``: its methods, as they came."""

    language = "en"

    def __init__(self) -> None:
        self.called: list[str] = []
        self.asked, self.answers, self.signed_out = threading.Event(), threading.Event(), threading.Event()

    def ask(self, _config: Any, _language: Any, work: Callable[[Any], Any]) -> Any:
        return work(self)

    def call(self, _stub: Any, method: str, _request: Any, *, token: str = "") -> Any:
        self.called.append(method)
        if method == "SignOut":
            assert token == "session"
            self.signed_out.set()
            return None
        self.asked.set()
        assert self.answers.wait(WITHIN_S)
        answer = account_service_pb2.LoginResponse(next_step=account_service_pb2.NEXT_STEP_VERIFY_FACE)
        answer.session.token = "session"
        return answer


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> SlowService:
    service = SlowService()
    monkeypatch.setattr(visits, "ask", service.ask)
    return service


def test_a_page_that_is_loaded_while_a_step_is_under_way_goes_on_after_it(
    client: Client, slow: SlowService
) -> None:
    """Switching the language loads it anew, and nobody is there any more to whom the step's end is told."""
    client.post("/accounts/begin", what="login")
    assert "data-waits" not in client.get("/accounts").text
    with ThreadPoolExecutor(2) as pages:
        first = pages.submit(client.post, "/accounts/login", identifier=PHONE, password=PASSWORD)
        assert slow.asked.wait(WITHIN_S)
        client.until("/accounts", lambda said: said["waits"])
        client.post("/language", language="zh")
        page = client.get("/accounts").text
        assert re.search(r'<html lang="zh" .* data-waits="yes">', page)
        assert 'data-step="login"' in page
        again = pages.submit(client.post, "/accounts/login", identifier=PHONE, password=PASSWORD)
        slow.answers.set()
        assert first.result().json == {"go": "/accounts"}
        assert again.result().code in {"", "VISIT_OVER"}  # it came before the end, or after
    client.until("/accounts", lambda said: not said["waits"])
    assert slow.called == ["Login"], "whatever is pressed meanwhile"
    page = client.get("/accounts").text
    assert 'data-step="face"' in page
    assert "data-waits" not in page


def test_who_leaves_while_they_are_signed_in_is_signed_out_behind_it(
    client: Client, slow: SlowService
) -> None:
    client.post("/accounts/begin", what="login")
    with ThreadPoolExecutor(1) as pages:
        signing_in = pages.submit(client.post, "/accounts/login", identifier=PHONE, password=PASSWORD)
        assert slow.asked.wait(WITHIN_S)
        assert client.post("/accounts/leave").json == {"go": "/"}
        assert "data-step" not in client.get("/accounts").text
        slow.answers.set()
        assert signing_in.result().json == {"go": "/accounts"}
    assert slow.signed_out.wait(WITHIN_S)
    assert slow.called == ["Login", "SignOut"]
    assert "data-step" not in client.get("/accounts").text


def test_nobody_is_forgotten_while_a_step_is_under_way(
    client: Client, slow: SlowService, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.post("/accounts/begin", what="login")
    with ThreadPoolExecutor(1) as pages:
        signing_in = pages.submit(client.post, "/accounts/login", identifier=PHONE, password=PASSWORD)
        assert slow.asked.wait(WITHIN_S)
        monkeypatch.setattr(visits, "IDLE_S", 0.0)
        for _ in range(3):
            assert 'data-step="login"' in client.get("/accounts").text
        slow.answers.set()
        signing_in.result()
    assert slow.signed_out.wait(WITHIN_S), "but after it"


@pytest.mark.parametrize("what", ["", "LOGIN", "steal"])
def test_what_cannot_be_begun_is_refused(client: Client, what: str) -> None:
    assert client.post("/accounts/begin", what=what).code == "BAD_REQUEST"


def test_words_that_cannot_be_sent_stay_on_the_page(local: LocalKiosk, client: Client) -> None:
    words = {"id": "01980000-0000-4000-8000-000000000001", "subject": "FACE", "text": "Zu dunkel hier."}
    refused = client.post("/feedback", **words)
    assert refused.code == "CLOUD_AWAY"
    assert refused.json["error"]["hint"] == Texts("en")("feedback.away")
    assert b"Zu dunkel" not in files_of(local.device.config.data_dir)
    assert client.post("/feedback", **{**words, "text": " "}).code == "FIELD_EMPTY"
    assert client.post("/feedback", **{**words, "subject": "REVIEWER"}).code == "BAD_REQUEST"
    assert client.post("/feedback", **{**words, "id": "x"}).code == "BAD_REQUEST"
