"""Documents that no chip gives, from the desk to the signed record and to the decision by two people.

The whole appliance is opened as ``verifield-edge verify`` opens it, over the simulator's reader and
camera; only the head turns, which take ten seconds each time, are canned where they do not matter.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from argon2 import PasswordHasher

from edge.answers import Stop
from edge.attest.clock import SystemClock
from edge.config import EdgeConfig
from edge.contact import Arrival
from edge.desk import ScriptedDesk
from edge.documents import Front, Given, Pictured, Typed
from edge.errors import SetupError
from edge.face_capture import Eyes
from edge.manual import check_attempt, decide_by_hand, find_attempt
from edge.model import CaptureRecord, Frame, LivenessResult, Outcome, Role, Standing
from edge.models.store import ModelStore
from edge.operators import pins
from edge.pipeline import Verification
from edge.policy import Policy, from_signed
from edge.reader.cards import parse_text
from edge.reader.scan.text import RapidTextReader
from edge.reader.traffic import TRAFFIC
from edge.station import open_pipeline
from edge.vision import Vision
from tests.support.appliance import verified_evidence
from tests.support.authority import Authority
from tests.support.bench_device import BenchDevice
from tests.support.evidence import CAPTURE
from tests.support.paper_card import FONT, FONT_MISSING, PaperCard, draw_back, draw_front, photograph
from tests.support.policies import sample_policy
from verifield.policy import encode_policy
from verifield.v1 import attestation_pb2 as pb
from verifield_sim import portraits
from verifield_sim.cards import Card, card_for
from verifield_sim.scenario import CardSpec, PersonSpec, Scenario
from verifield_sim.server import SimServer
from verifield_sim.world import World

OWNER, STRANGER = "astronaut", "grace_hopper"
CHIP = card_for(OWNER, seed=1)
PAPER = PaperCard(
    name=parse_text(CHIP.text).name, number=parse_text(CHIP.text).number, validity="2020.01.01-2040.01.01"
)
TYPED_WORDS = {
    "document_name": ["测试甲"],
    "document_number": ["11010519491231002X"],
    "document_valid_from": ["2020-01-01"],
    "document_valid_to": ["长期"],
}
needs_font = pytest.mark.skipif(not FONT.is_file(), reason=FONT_MISSING)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture(scope="module", autouse=True)
def networks_loaded_once(model_store: ModelStore) -> Iterator[None]:
    """The real ones, for all tests here."""
    vision, texts = Vision.open(model_store, threads=1), RapidTextReader(threads=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("edge.station.open_vision", lambda _config: vision)
        patched.setattr("edge.documents.RapidTextReader", lambda **_options: texts)
        yield


@dataclasses.dataclass
class Office:
    """A device, and the simulated hardware around it."""

    device: BenchDevice
    world: World
    config: EdgeConfig

    def verify(self, given: Given | None) -> Verification:
        with open_pipeline(self.config, self.device.recorder, self.device.state, given=given) as pipeline:
            return pipeline.run()

    def newest(self) -> pb.Statement:
        return self.device.statements()[0]


@contextmanager
def open_office(
    folder: Path, authority: Authority, policy: Policy, *, person: str = OWNER, card: Card = CHIP
) -> Iterator[Office]:
    device = BenchDevice(folder, authority)
    clock = SystemClock()
    device.recorder = dataclasses.replace(device.recorder, clock=clock, policy=policy)
    device.state.note_word(clock.wall(), Arrival(clock.boot_id(), clock.monotonic_ns()))
    scenario = Scenario("test", 1, CardSpec(OWNER), PersonSpec("live", person))
    world = World.open(scenario, link=folder / "reader")
    world.reader.place(card)
    with SimServer(world) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        base = f"http://127.0.0.1:{server.port}"
        config = EdgeConfig(
            data_dir=folder,
            camera=f"sim+{base}/camera",
            screen_url=f"{base}/screen",
            allow_simulated_camera=True,
            reader_port=str(world.reader.path),
            reader_baud=115200,
            photo_decoder="simulator",
        )
        try:
            yield Office(device, world, config)
        finally:
            server.shutdown()
            thread.join()
            world.close()
            device.close()


def signed_policy(*, printed: bool) -> Policy:
    """A policy as the cloud signs it, without the steps that ask people."""
    message = sample_policy()
    message.match.accept_printed_photo = printed
    message.session.steps[:] = []
    message.session.ClearField("consent")
    del message.session.notices[:]
    del message.session.customer_fields[:]
    message.liveness.challenges[:] = [pb.CHALLENGE_KIND_TURNS]  # light wants frames at their time
    message.liveness.turns = 2
    del message.media.keep[:]
    message.media.recipient_key = b""
    return from_signed(message, payload=encode_policy(message))


class CannedFace:
    """The owner's face, captured and judged before."""

    def __init__(self, eyes: Eyes, *, nonce: bytes, asking: object) -> None:
        pixels = portraits.load(OWNER)
        self.shot = Frame(pixels, 1.0, 1)
        self.probe = eyes.vision.embed(pixels, eyes.vision.detect(pixels)[0])

    def run(self, timeout_s: float, *, stop_code: Any) -> str:
        return str(stop_code())

    def record(self) -> CaptureRecord:
        return dataclasses.replace(CAPTURE, best_shot=self.shot)

    def judge(self) -> LivenessResult:
        liveness = verified_evidence().liveness
        assert liveness is not None
        return liveness


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.face_capture.FaceCapture", CannedFace)


def at_the_desk(monkeypatch: pytest.MonkeyPatch, desk: ScriptedDesk) -> None:
    monkeypatch.setattr("edge.station._open_desk", lambda *_args, **_more: desk)


def pictures_of(card: PaperCard) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    return photograph(draw_front(card), seed=1), photograph(draw_back(card), seed=51)


@pytest.fixture
def office(tmp_path: Path, authority: Authority) -> Iterator[Office]:
    with open_office(tmp_path, authority, signed_policy(printed=False)) as opened:
        yield opened


@pytest.mark.req("E036")
def test_what_was_typed_is_never_verified_and_two_people_decide(
    office: Office, canned: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_desk(monkeypatch, ScriptedDesk(customer=TYPED_WORDS))
    verification = office.verify(Typed())
    assert verification.decision.outcome is Outcome.INCONCLUSIVE
    attempt = office.newest()
    assert attempt.document.read_method == pb.READ_METHOD_TYPED
    assert attempt.assurance.reader_sam_id == ""
    assert [item.field for item in attempt.document.fields].count("document.name") == 1
    assert_two_people_decide(office, attempt, monkeypatch)


@needs_font
@pytest.mark.req("E036")
def test_pictures_of_a_card_are_compared_and_never_verified(
    office: Office, canned: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the face matches the printed portrait; another person is NOT_MATCHED as ever."""
    verification = office.verify(Pictured(pictures_of(PAPER)))
    match = verification.evidence.match
    assert match is not None
    assert match.matched
    assert verification.decision.outcome is Outcome.INCONCLUSIVE
    assert verification.decision.reasons == ("DOCUMENT_NOT_FROM_CHIP",)
    attempt = office.newest()
    assert attempt.document.read_method == pb.READ_METHOD_SCANNED
    assert_two_people_decide(office, attempt, monkeypatch)
    other = office.verify(Pictured(pictures_of(dataclasses.replace(PAPER, portrait=STRANGER))))
    assert other.decision.outcome is Outcome.NOT_MATCHED


def assert_two_people_decide(office: Office, attempt: pb.Statement, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pins, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=4))
    operators = office.device.operators
    operators.add("Li Wei", Role.CLERK, pin="835062")
    operators.add("Ana Ruiz", Role.SUPERVISOR, pin="472910")
    found = find_attempt(office.device.recorder, attempt.attestation_id)
    check_attempt(found)
    decide_by_hand(
        office.device.recorder,
        office.device.state,
        operators,
        attempt=found,
        decided_by=operators.sign_in("Li Wei", pin="835062"),
        agreed_by=operators.sign_in("Ana Ruiz", pin="472910"),
        accepted=True,
        standing=Standing.NORMAL,
    )
    manual = office.newest()
    assert manual.outcome == pb.OUTCOME_MANUAL
    assert manual.manual.accepted
    assert manual.document == attempt.document  # also how it was read


@needs_font
@pytest.mark.req("E035")
def test_a_printed_photo_stands_in_where_nothing_decodes_the_chips(
    tmp_path: Path, authority: Authority
) -> None:
    """With the real challenge before the simulator's camera."""
    with open_office(tmp_path, authority, signed_policy(printed=True)) as office:
        office.config = office.config.model_copy(update={"photo_decoder": "none"})
        verification = office.verify(Front(pictures_of(PAPER)[0]))
        assert verification.decision.outcome is Outcome.VERIFIED, verification.decision
        statement = office.newest()
    assert statement.document.read_method == pb.READ_METHOD_CHIP
    assert statement.document.photo_origin == pb.PHOTO_ORIGIN_PRINTED
    assert statement.assurance.reader_sam_id


@needs_font
def test_a_printed_photo_of_another_card_or_person(
    tmp_path: Path, authority: Authority, canned: None
) -> None:
    with open_office(tmp_path, authority, signed_policy(printed=True)) as office:
        office.config = office.config.model_copy(update={"photo_decoder": "none"})
        other = dataclasses.replace(PAPER, number="11010519491231002X")
        assert office.verify(Front(pictures_of(other)[0])).decision.reasons == ("SCAN_OTHER_CARD",)
        office.world.place()
        stranger = dataclasses.replace(PAPER, portrait=STRANGER)
        assert office.verify(Front(pictures_of(stranger)[0])).decision.outcome is Outcome.NOT_MATCHED
        assert office.newest().document.photo_origin == pb.PHOTO_ORIGIN_PRINTED
        office.world.place()
        blank = np.full((480, 640, 3), 90, np.uint8)
        assert office.verify(Front(blank)).decision.reasons == ("SCAN_NO_CARD",)


@needs_font
def test_a_photo_that_the_chip_gives_is_never_replaced(
    tmp_path: Path, authority: Authority, canned: None
) -> None:
    with open_office(tmp_path, authority, signed_policy(printed=True)) as office:
        stranger = dataclasses.replace(PAPER, portrait=STRANGER)
        verification = office.verify(Front(pictures_of(stranger)[0]))
        assert verification.decision.outcome is Outcome.VERIFIED
        assert office.newest().document.photo_origin == pb.PHOTO_ORIGIN_UNSPECIFIED


def test_a_policy_that_does_not_accept_a_printed_photo_is_kept(office: Office) -> None:
    before = len(office.device.statements())
    with pytest.raises(SetupError) as caught:
        office.verify(Front(np.zeros((10, 10, 3), np.uint8)))
    assert caught.value.code == "PRINTED_PHOTO_NOT_ACCEPTED"
    assert caught.value.hint
    assert len(office.device.statements()) == before


def test_typing_that_is_stopped_is_recorded_and_a_person_who_said_no_is_not_overruled(
    office: Office, canned: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answers, stop_at, reason in (
        ({}, {}, "NO_DOCUMENT_TYPED"),
        (TYPED_WORDS, {"field document_number": Stop.OPERATOR}, "OPERATOR_STOPPED"),
        (TYPED_WORDS, {"field document_name": Stop.PERSON}, "PERSON_STOPPED"),
        (TYPED_WORDS, {"field document_name": Stop.TIMEOUT}, "NO_DOCUMENT_TYPED"),
    ):
        at_the_desk(monkeypatch, ScriptedDesk(customer=answers, stop_at=stop_at))
        verification = office.verify(Typed())
        assert (verification.decision.outcome, verification.decision.reasons) == (Outcome.ABORTED, (reason,))
        assert office.newest().reasons == [reason]


@needs_font
@pytest.mark.req("E037")
def test_no_log_tells_what_was_typed_or_pictured(
    office: Office,
    canned: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(1)
    caplog.set_level(TRAFFIC, logger="edge.reader.traffic")
    at_the_desk(monkeypatch, ScriptedDesk(customer=TYPED_WORDS))
    verifications = [office.verify(given) for given in (Typed(), Pictured(pictures_of(PAPER)), None)]
    values = [TYPED_WORDS["document_name"][0], TYPED_WORDS["document_number"][0], PAPER.name, PAPER.number]
    for one in verifications:
        document = one.evidence.document
        assert document is not None
        values += [document.name, document.number, document.birth.isoformat(), f"{document.birth:%Y%m%d}"]
        values += [value for value in (document.address, document.issuer) if value]
        assert document.name not in repr(one)
    said = caplog.text + "".join(capfd.readouterr())
    assert "TRAFFIC" in said
    assert [value for value in values if value in said] == []


@needs_font
def test_the_pictures_may_be_turned_as_cameras_turn_them(tmp_path: Path) -> None:
    """A telephone writes the turn into the file, and leaves the pixels as they came."""
    from PIL import Image as PilImage  # noqa: PLC0415

    from edge.capture.pictures import read_picture  # noqa: PLC0415

    upright = photograph(draw_front(PAPER), seed=2)
    turned = cv2.rotate(upright, cv2.ROTATE_90_COUNTERCLOCKWISE)
    exif = PilImage.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    PilImage.fromarray(np.ascontiguousarray(turned[..., ::-1])).save(
        tmp_path / "a.jpg", exif=exif, quality=95
    )
    seen = read_picture(tmp_path / "a.jpg")
    assert seen.shape == upright.shape
    assert np.abs(seen.astype(int) - upright).mean() < 6
