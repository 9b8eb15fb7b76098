"""The counter and applications while the service is away: what is said then, what the device keeps."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from edge.attest.identity import DeviceIdentity
from edge.kiosk import document_camera, visits
from edge.kiosk.cloud_line import CloudLine, CloudRefusal
from edge.kiosk.texts import LANGUAGES, Texts
from edge.model import CameraAssurance
from edge.remedies import told
from edge.texts import Language
from tests.support.authority import new_key
from tests.support.document_pictures import Scripted, blurred, page
from tests.support.local_device import DEVICE_ID, LocalDevice
from tests.support.local_kiosk import Client, LocalKiosk, local_kiosk
from verifield.certificates import Purpose
from verifield.v1 import account_service_pb2 as accounts
from verifield.v1 import certification_service_pb2 as pb

NUMBER, PASSWORD = "11010119900307803X", "sieben-Kamele-7"
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKiosk]:
    """A device on whose way to the service nobody listens."""
    device = LocalDevice.open(tmp_path_factory.mktemp("kiosk") / "device")
    key = new_key()
    chain = device.authority.issue(key.public_key(), name=DEVICE_ID, purpose=Purpose.ATTESTATION)
    certificates = b"".join(x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM) for one in chain)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.MonkeyPatch.context() as patched, local_kiosk(device) as local:
        patched.setattr(DeviceIdentity, "tls_key_pem", lambda _: secret)
        patched.setattr(DeviceIdentity, "tls_certificates_pem", lambda _: certificates)
        yield local


@pytest.fixture
def client(local: LocalKiosk) -> Iterator[Client]:
    with local.client() as client:
        client.post("/language", language="en")
        yield client
        client.post("/certifications/leave")


def files_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_no_session_of_the_counter_begins_and_the_page_says_why(client: Client) -> None:
    for language in LANGUAGES:
        client.post("/language", language=language)
        assert client.post("/coop/begin").json == {"go": "/coop"}
        page, texts = client.get("/coop").text, Texts(language)
        assert 'data-code="CLOUD_AWAY"' in page
        for key in ("accounts.away", "counter.away", "accounts.away.works", "counter.begin"):
            assert texts(key) in page
    assert "data-code" not in client.get("/coop").text  # told once
    assert client.post("/coop/card").code == "CARD_REQUIRED"
    assert client.post("/coop/issue").code == "CARD_REQUIRED"


def test_who_signs_in_for_an_application_is_told_and_nothing_is_kept(
    local: LocalKiosk, client: Client
) -> None:
    assert 'data-step="login"' in client.get("/certifications").text
    answer = client.post("/certifications/login", identifier=NUMBER, password=PASSWORD)
    assert answer.json == {"go": "/certifications"}
    for language in LANGUAGES:
        client.post("/language", language=language)
        page, texts = client.get("/certifications").text, Texts(language)
        assert 'data-code="CLOUD_AWAY"' in page
        assert texts("cert.away") in page
        assert NUMBER not in page
        assert PASSWORD not in page
    stored = files_of(local.device.config.data_dir)
    assert NUMBER.encode() not in stored
    assert PASSWORD.encode() not in stored


def test_steps_that_are_not_there_are_refused(client: Client) -> None:
    client.get("/certifications")
    for path in (
        "type",
        "field",
        "document",
        "camera",
        "take",
        "keep",
        "declare",
        "submit",
        "status",
        "list",
    ):
        assert client.post(f"/certifications/{path}").code == "STEP_OVER", path
    assert client.get("/certifications/picture/1").status == 404
    assert client.post("/certifications/login", identifier=" ", password="x").code == "FIELD_EMPTY"
    assert client.post("/certifications/login", identifier="x" * 61, password="x").code == "BAD_REQUEST"


def test_a_visit_that_nobody_goes_on_with_is_forgotten(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visits, "IDLE_S", 0.0)
    client.get("/certifications")
    until = time.monotonic() + WITHIN_S
    while client.post("/certifications/login", identifier="x", password="x").code != "STEP_OVER":
        assert time.monotonic() < until
        time.sleep(0.05)


KIND = pb.CertificationType(
    code="PERSONAL",
    title=pb.CertificationText(zh="个人认证", en="Certification", es="Certificación"),
    fields=[pb.FormField(name="address", kind=pb.FORM_FIELD_KIND_TEXT, required=True)],
    materials=[pb.MaterialRule(kind="front", required=True)],
)
ADDRESS = "模拟市样本区虚构路1号"


@dataclass
class StandIn(CloudLine):
    """A service that answers what it must, and is away when a test says so. ``got``: what arrived."""

    away: bool = False
    language: Language = "en"
    got: list[bytes] = field(default_factory=list)

    def call(self, stub: Any, method: str, request: Any, *, token: str = "") -> Any:
        if self.away:
            raise CloudRefusal("CLOUD_AWAY", away=True)
        application = pb.Application(application_id="01980000-0000-7000-8000-000000000001", state=1)
        signed_in = accounts.LoginResponse(next_step=accounts.NEXT_STEP_NONE)
        signed_in.session.token = "token"
        answers: dict[str, Any] = {
            "Login": signed_in,
            "SignOut": accounts.SignOutResponse(),
            "ListCertificationTypes": pb.ListCertificationTypesResponse(types=[KIND]),
            "ListHistory": pb.ListHistoryResponse(),
            "CreateApplication": pb.CreateApplicationResponse(application=application),
        }
        return answers[method]

    def send(self, stub: Any, method: str, requests: Iterator[Any], *, size: int, token: str = "") -> Any:
        if self.away:
            raise CloudRefusal("CLOUD_AWAY", away=True)
        self.got.append(b"".join(one.chunk for one in requests))
        return pb.UploadMaterialResponse(material=pb.Material(material_id="m", kind="front"))


def test_a_picture_that_cannot_be_sent_stays_in_memory_alone_until_it_is(
    local: LocalKiosk, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = StandIn()
    monkeypatch.setattr(visits, "ask", lambda _config, _language, work: work(service))
    script = itertools.cycle([blurred(page(640, 480)), page(640, 480)])
    source = Scripted(script, CameraAssurance.HOST)
    monkeypatch.setattr(document_camera, "open_camera", lambda *_, **__: source)

    def post(path: str, **values: str) -> None:
        assert client.post(f"/certifications/{path}", **values).json == {"go": "/certifications"}, path

    client.get("/certifications")
    post("login", identifier=NUMBER, password=PASSWORD)
    post("type", code="PERSONAL")
    post("field", value=ADDRESS)
    assert client.post("/certifications/go-on").code == "DOCUMENT_MISSING"
    assert client.post("/certifications/document", kind="back").code == "BAD_REQUEST"
    post("document", kind="front")
    assert client.post("/certifications/take").code == "CAMERA_CLOSED"  # nobody has looked at it
    assert client.post("/certifications/camera").json == {}
    post("take")
    assert source.closed.wait(WITHIN_S)
    shot = client.get("/certifications/picture/1").content
    assert shot.startswith(b"\xff\xd8")

    service.away = True
    for language in LANGUAGES:
        client.post("/language", language=language)
        post("keep")
        shown, texts = client.get("/certifications").text, Texts(language)
        assert 'data-step="look"' in shown
        assert 'data-code="CLOUD_AWAY"' in shown
        assert texts("cert.away") in shown
        assert texts("cert.keep") in shown
    assert client.get("/certifications/picture/1").content == shot
    service.away = False
    post("keep")
    assert service.got == [shot]
    assert 'data-step="documents"' in client.get("/certifications").text
    assert client.get("/certifications/picture/1").status == 404
    stored = files_of(local.device.config.data_dir)
    assert shot not in stored
    assert ADDRESS.encode() not in stored


def test_a_picture_that_nobody_could_read_is_refused_and_the_camera_stays_open(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = StandIn()
    monkeypatch.setattr(visits, "ask", lambda _config, _language, work: work(service))
    source = Scripted(itertools.cycle([blurred(page(640, 480))]), CameraAssurance.HOST)
    monkeypatch.setattr(document_camera, "open_camera", lambda *_, **__: source)
    client.get("/certifications")
    client.post("/certifications/login", identifier=NUMBER, password=PASSWORD)
    client.post("/certifications/type", code="PERSONAL")
    client.post("/certifications/field", value=ADDRESS)
    client.post("/certifications/document", kind="front")
    assert client.post("/certifications/camera").json == {}
    for language in LANGUAGES:
        client.post("/language", language=language)
        refused = client.post("/certifications/take")
        known = told("DOCUMENT_BLURRED")
        assert refused.code == "DOCUMENT_BLURRED"
        assert known is not None
        assert refused.json["error"]["text"] == known.text[language]
        assert refused.json["error"]["hint"] == known.remedy[language]
    assert not source.closed.is_set()
    client.post("/certifications/back")
    assert source.closed.wait(WITHIN_S)
