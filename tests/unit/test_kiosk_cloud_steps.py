"""Steps of the counter and of applications: what is missing, asked again, or stays when a call fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.config import EdgeConfig
from edge.errors import EdgeError, InputError
from edge.kiosk import account_device, application, card, counter_device
from edge.kiosk.application import CHUNK_BYTES, Visit
from edge.kiosk.application import Step as Asked
from edge.kiosk.cloud_line import CloudLine, CloudRefusal
from edge.kiosk.counter_device import draw_strokes, written_signature
from edge.kiosk.counter_steps import MISSING, ORDER, EdgeCard, EdgeSession, Step, decide, submit_face
from edge.kiosk.office import Office
from edge.kiosk.security import Keys
from edge.kiosk.server import Kiosk
from edge.model import Prompt
from verifield.v1 import account_service_pb2 as accounts
from verifield.v1 import bank_pb2
from verifield.v1 import certification_service_pb2 as pb
from verifield.v1 import coop_service_pb2 as coop
from verifield.v1.identity_pb2 import FaceEvidence

CARD = EdgeCard("11010119900307803X", "测试甲", "模拟", "2020-01-01", "2040-01-01", b"photo")
KIND = pb.CertificationType(
    code="PERSONAL",
    fields=[
        pb.FormField(name="address", kind=pb.FORM_FIELD_KIND_TEXT, required=True),
        pb.FormField(name="email", kind=pb.FORM_FIELD_KIND_EMAIL, max_length=20),
    ],
    materials=[pb.MaterialRule(kind="front", required=True), pb.MaterialRule(kind="other")],
)


@dataclass
class Line(CloudLine):
    """A line whose answers are written down: by method, the next one each time; errors are raised."""

    answers: dict[str, list[Any]]
    language: Any = "en"
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def call(self, stub: Any, method: str, request: Any, *, token: str = "") -> Any:
        self.asked.append((method, request))
        return self._answer(method)

    def send(
        self,
        stub: Any,
        method: str,
        requests: Iterator[Any],
        *,
        size: int,
        token: str = "",
    ) -> Any:
        self.asked.append((method, list(requests)))
        return self._answer(method)

    def _answer(self, method: str) -> Any:
        answer = self.answers[method].pop(0)
        if isinstance(answer, EdgeError):
            raise answer
        return answer


def code_of(work: Callable[[], object]) -> str:
    with pytest.raises(InputError) as refused:
        work()
    return refused.value.code


def session(step: Step, card: EdgeCard | None = CARD) -> EdgeSession:
    return EdgeSession("id", "prompt", "en", step=step, card=card)


@pytest.mark.parametrize("step", [one for one in Step if one is not Step.CARD])
def test_no_step_is_possible_without_a_card_wherever_a_session_claims_to_be(step: Step) -> None:
    for claimed in Step:
        assert code_of(lambda claimed=claimed: session(claimed, None).check_step(step)) == "CARD_REQUIRED"  # type: ignore[misc]


@pytest.mark.parametrize("step", list(Step))
def test_every_step_says_what_is_missing_for_the_later_ones(step: Step) -> None:
    at = session(step)
    at.check_step(step)
    for other in Step:
        if other is step:
            continue
        later = ORDER.index(other) > ORDER.index(step) and step in MISSING
        expected = MISSING[step] if later else "STEP_OVER"
        assert code_of(lambda other=other: at.check_step(other)) == expected  # type: ignore[misc]


def test_a_decision_whose_answer_was_lost_is_sent_once_more_with_its_id() -> None:
    at, away = session(Step.RECORDS), CloudRefusal("CLOUD_AWAY", away=True)
    line = Line({"Decide": [away, coop.DecideResponse()], "GetSessionCustomer": [away]})
    for _ in range(2):
        with pytest.raises(CloudRefusal):
            decide(at, line, go_on=True)
        assert at.step is Step.RECORDS
    ids = {request.request_id for method, request in line.asked if method == "Decide"}
    assert len(ids) == 1
    assert "" not in ids


def test_a_face_that_is_not_the_registers_is_tried_again_until_the_service_says_no() -> None:
    at = session(Step.FACE)
    photo = bank_pb2.CoopItem(item=bank_pb2.COOP_ITEM_NAME_PHOTO, result=bank_pb2.COOP_ITEM_RESULT_MISMATCH)
    again = coop.CoopSession(
        state=coop.COOP_STATE_CARD_ACCEPTED, nonce=b"new", face_tries_left=1, items=[photo]
    )
    over = coop.CoopSession(state=coop.COOP_STATE_NOT_PASSED, end=coop.COOP_END_FACE, items=[photo])
    answers = [coop.SubmitFaceResponse(session=one) for one in (again, over)]
    line = Line({"SubmitFace": list(answers)})
    submit_face(at, line, evidence=FaceEvidence(picture=b"1"), matched=True)
    assert (at.step, at.nonce, at.tries_left) == (Step.FACE, b"new", 1)
    assert ("PHOTO", "MISMATCH") in at.items
    submit_face(at, line, evidence=FaceEvidence(picture=b"2"), matched=False)
    assert (at.step, at.end) == (Step.ENDED, "FACE")
    assert [request.local_match for _, request in line.asked] == [1, 2]


def test_a_session_that_is_over_at_the_service_is_over_here() -> None:
    at = session(Step.RECORDS)
    with pytest.raises(CloudRefusal):
        decide(at, Line({"Decide": [CloudRefusal("COOP_SESSION_ENDED")]}), go_on=True)
    assert (at.step, at.end) == (Step.ENDED, "TIME_LIMIT")


def test_what_was_written_is_handed_in_as_strokes_and_as_their_picture() -> None:
    points = [[60 + 20 * number, 100 + 40 * (number % 2), 30 * number] for number in range(12)]
    points[5][2] = 0  # the page's clock was set back
    strokes, image = written_signature({"width": 900, "height": 250, "strokes": [points]})
    times = [point.time_ms for point in strokes.strokes[0].points]
    assert times == sorted(times)
    assert image == draw_strokes(strokes)
    assert image.startswith(b"\x89PNG")
    for given in ({"name": "Somebody"}, {"refused": True}, {"width": 900, "height": 250, "strokes": []}):
        assert code_of(lambda given=given: written_signature(given)) == "SIGNATURE_EMPTY"  # type: ignore[misc]


class Reader:
    """A reader on which a card has lain since it was read."""

    def read_document(self, timeout_s: float, screen: Any) -> Any:
        for prompt in (Prompt.LIFT_CARD, Prompt.PLACE_CARD):
            screen.show(prompt)
        return SimpleNamespace(
            number="11010119900307803X",
            name="测试甲",
            issuer="模拟",
            valid_from=date(2020, 1, 1),
            valid_to=None,
            photo=self.photo,
        )

    photo: Any = np.full((126, 102, 3), 128, np.uint8)

    def close(self) -> None: ...


def test_what_the_reader_wants_of_the_card_is_said_on_the_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reader, told = Reader(), []
    monkeypatch.setattr(card, "open_card_reader", lambda *_, **__: reader)
    monkeypatch.setattr(Office, "state", SimpleNamespace(pinned=lambda _kind: ""))
    kiosk = Kiosk(EdgeConfig(data_dir=tmp_path), keys=Keys(1))
    monkeypatch.setattr(kiosk.hub, "tell", lambda **said: told.append(said["card_prompt"]))
    read = asyncio.run(counter_device.read_card(kiosk))
    assert told == ["LIFT_CARD", "PLACE_CARD", ""]
    assert (read.valid_from, read.valid_to) == ("2020-01-01", "长期")
    assert read.photo.startswith(b"\xff\xd8")
    reader.photo = None
    assert code_of(lambda: asyncio.run(counter_device.read_card(kiosk))) == "NO_CHIP_PHOTO"
    assert told[-1] == ""
    told.clear()
    elements = asyncio.run(account_device.read_elements(kiosk))
    assert told == ["LIFT_CARD", "PLACE_CARD", ""]
    assert (elements.number, elements.valid_to) == ("11010119900307803X", "")
    kiosk.close()


def visit(**changes: Any) -> Visit:
    made = Visit(kind=KIND, application=pb.Application(application_id="a"), step=Asked.FORM)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def test_fields_are_asked_one_after_the_other_and_what_the_service_refuses_is_asked_again() -> None:
    at = visit(application=None)
    refusal = CloudRefusal("FORM_INVALID", facts={"fields": "unknown,email"})
    created = pb.CreateApplicationResponse(application=pb.Application(application_id="new"))
    line = Line({"CreateApplication": [refusal, created]})
    assert code_of(lambda: application.take_value(at, line, value="")) == "FIELD_EMPTY"
    application.take_value(at, line, value="Road 1")
    assert (at.index, at.step) == (1, Asked.FORM)
    assert code_of(lambda: application.take_value(at, line, value="x" * 21)) == "FIELD_TOO_LONG"
    with pytest.raises(CloudRefusal):
        application.take_value(at, line, value="nothing")
    assert (at.index, at.wrong, at.step) == (1, "email", Asked.FORM)
    application.take_value(at, line, value="")
    assert at.step is Asked.DOCUMENTS
    _, request = line.asked[-1]
    assert [(one.name, one.value) for one in request.form] == [("address", "Road 1")]


def test_a_picture_stays_until_the_service_has_it_and_is_sent_once() -> None:
    shot = bytes(range(256)) * 300
    at = visit(step=Asked.LOOK, rule=KIND.materials[0], shot=shot)
    kept = pb.UploadMaterialResponse(material=pb.Material(material_id="m", kind="front"))
    line = Line({"UploadMaterial": [CloudRefusal("CLOUD_AWAY", away=True), kept]})
    with pytest.raises(CloudRefusal):
        application.keep_picture(at, line)
    assert (at.step, at.shot) == (Asked.LOOK, shot)
    assert at.missing == (KIND.materials[0],)
    application.keep_picture(at, line)
    assert (at.step, at.shot, at.missing) == (Asked.DOCUMENTS, b"", ())
    (_, first), (_, second) = line.asked
    assert first[0].header.request_id == second[0].header.request_id != ""
    chunks = [one.chunk for one in second[1:]]
    assert b"".join(chunks) == shot
    assert max(map(len, chunks)) <= CHUNK_BYTES


@pytest.mark.parametrize(
    ("code", "step"),
    [
        ("MATERIAL_MISSING", Asked.DOCUMENTS),
        ("DECLARATION_OUTDATED", Asked.DECLARATION),
        ("FREQUENT_APPLICANT", Asked.CHECK),
    ],
)
def test_what_is_missing_when_it_is_handed_in_is_asked_for(code: str, step: Asked) -> None:
    at = visit(step=Asked.CHECK, declaration=pb.Declaration(version=1))
    with pytest.raises(CloudRefusal):
        application.submit(at, Line({"SubmitApplication": [CloudRefusal(code)]}))
    assert at.step is step


def test_an_account_with_steps_left_is_signed_out_again() -> None:
    answer = accounts.LoginResponse(next_step=accounts.NEXT_STEP_VERIFY_FACE)
    answer.session.token = "t"
    line = Line({"Login": [answer], "SignOut": [accounts.SignOutResponse()]})
    at = Visit()
    refused = code_of(lambda: application.sign_in(at, line, identifier="i", password="p"))
    assert (refused, at.token, at.step) == ("ACCOUNT_UNFINISHED", "", Asked.LOGIN)
