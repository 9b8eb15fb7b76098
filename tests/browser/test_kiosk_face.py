"""An operator signs in with the own face at the office screen: preview, a refusal, stop, and the PIN."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from edge.answers import NotSignedIn, SignInFactor
from edge.kiosk import face_sign_in
from edge.kiosk.manual import decide
from edge.kiosk.office import Office
from edge.models.store import ModelStore
from edge.policy import Policy
from edge.ports import Camera
from edge.screen import Screens
from edge.station import CameraFaceCheck, Counter
from tests.browser.conftest import Enter
from tests.support.booth import Booth, Watched
from tests.support.liveness import QUICK
from tests.support.local_device import CLERK, PINS, ROLES, SUPERVISOR, LocalDevice
from tests.support.local_kiosk import LocalKiosk, local_kiosk
from tests.support.screen_checks import arrived, check_accessible, check_fits, speak
from verifield.dsse import parse_envelope
from verifield.statement import parse_statement
from verifield.v1 import attestation_pb2 as pb

OWN, STRANGER = "astronaut", "grace_hopper"
POLICY = Policy(liveness=QUICK)
TIMEOUT_S = 40.0  # of the person's own time, which is virtual
LOOKED_AT = 3  # frames, until somebody looks at the page
PATIENCE_S = 300.0


@dataclass
class Scene:
    """Who comes before the camera next; ``go_on``: once the page was looked at."""

    portrait: str = OWN
    go_on: threading.Event = dataclasses.field(default_factory=threading.Event)

    def comes(self, portrait: str) -> None:
        self.portrait = portrait
        self.go_on.clear()


@dataclass
class Patient(Watched):
    """A camera that gives no further frame until the page was looked at; no time goes by meanwhile."""

    scene: Scene = dataclasses.field(default_factory=Scene)

    def read(self, timeout_s: float) -> Any:
        if len(self.frames) == LOOKED_AT:
            assert self.scene.go_on.wait(PATIENCE_S)
        return super().read(timeout_s)


def face_check(booth: Booth, office: Office) -> CameraFaceCheck:
    return CameraFaceCheck(booth.eyes(office.vision, POLICY), timeout_s=TIMEOUT_S)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


@pytest.fixture(scope="module")
def local(
    tmp_path_factory: pytest.TempPathFactory, model_store: ModelStore, scene: Scene
) -> Iterator[LocalKiosk]:
    device = LocalDevice.open(tmp_path_factory.mktemp("face") / "device")
    device.add_operators(SUPERVISOR)

    @contextmanager
    def before_the_booth(
        _config: Any, _policy: Any, _clock: Any, *, counter: Counter
    ) -> Iterator[CameraFaceCheck]:
        """In the place of ``edge.station.open_face_check``: a simulated person in virtual time."""
        booth = Booth.with_person("live", scene.portrait)
        seen: Camera = counter.watch(booth.camera)
        eyes = dataclasses.replace(
            booth.eyes(counter.vision, POLICY),
            camera=Patient(seen, scene=scene),
            screen=Screens([booth, counter.screen]),
        )
        try:
            yield CameraFaceCheck(eyes, timeout_s=TIMEOUT_S, desk=counter.desk)
        finally:
            seen.close()

    def enrol(office: Office) -> None:
        face = face_check(Booth.with_person("live", OWN), office).capture()
        office.operators.add(CLERK, ROLES[CLERK], pin=PINS[CLERK], face=face)

    with pytest.MonkeyPatch.context() as patched, local_kiosk(device) as local:
        patched.setattr(face_sign_in, "open_face_check", before_the_booth)
        patched.setattr(face_sign_in, "PAGE_S", PATIENCE_S)
        local.kiosk.office.submit(enrol).result()
        yield local


@pytest.fixture
def page(local: LocalKiosk, enter: Enter) -> Iterator[Page]:
    room: Any = local
    page = enter(room)
    page.goto(f"{local.origin}/sign-in", wait_until="load")
    yield page
    page.goto(f"{local.origin}/sign-in", wait_until="load")
    if page.get_by_role("button", name="Sign out").count():
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("button", name="Sign out")).to_have_count(0)


def ask_with_face(page: Page, who: str) -> None:
    """Choose a name, once anything can be chosen, and press."""
    expect(page.locator("html[data-ready]")).to_be_attached()
    page.get_by_role("radio", name=who).check(force=True)
    page.get_by_role("button", name="With my face").click()


def show_face(page: Page, who: str = CLERK) -> None:
    """Choose a name, and look into the camera until the preview is there."""
    ask_with_face(page, who)
    arrived(page, "/session")
    expect(page.locator("#preview[data-frames]")).to_be_visible()


def failures(local: LocalKiosk) -> int:
    """Of the clerk, in a row."""

    def count(office: Office) -> int:
        [known] = [one for one in office.operators.list() if one.name == CLERK]
        lockout = office.state.operators.lockout(known.operator_id)
        assert lockout is not None
        return lockout.failures

    return local.kiosk.office.submit(count).result()


@pytest.mark.timeout(600)
@pytest.mark.req("E065")
def test_an_operator_signs_in_with_the_own_face_and_records_say_so(
    local: LocalKiosk, page: Page, scene: Scene
) -> None:
    scene.comes(OWN)
    for language in ("zh", "es", "en"):
        speak(page, language)
        check_accessible(page)
        check_fits(page)
    page.get_by_role("button", name="With my face").click()
    expect(page.locator("#alert[data-code=NOBODY_CHOSEN]")).to_be_visible()
    show_face(page)
    check_accessible(page)
    scene.go_on.set()
    arrived(page, "/")
    expect(page.locator(".who")).to_contain_text(CLERK)
    operator = local.kiosk.operator
    assert operator is not None
    assert operator.person.factors == {SignInFactor.FACE}

    attempt_id = local.device.attempt().attestation_id
    decided = local.kiosk.office.submit(
        lambda office: decide(
            office,
            attempt_id,
            decided_by=operator.person,
            second=SUPERVISOR,
            pin=PINS[SUPERVISOR],
            accepted=True,
        )
    ).result()
    assert not isinstance(decided, NotSignedIn)
    statement = parse_statement(parse_envelope(decided.envelope).payload)
    assert statement.operator.operator_id == operator.person.operator_id
    assert list(statement.operator.factors) == [pb.AUTHENTICATION_FACTOR_FACE]


@pytest.mark.timeout(600)
def test_another_face_is_refused_and_the_pin_is_there_at_once(
    local: LocalKiosk, page: Page, scene: Scene
) -> None:
    scene.comes(STRANGER)
    show_face(page)
    scene.go_on.set()
    arrived(page, "/sign-in")
    refused = page.locator("#refused[data-code=SIGN_IN_WRONG]")
    expect(refused).to_have_text("The sign-in failed; try again.")
    check_accessible(page)
    assert failures(local) == 1  # counted as a wrong PIN is
    expect(page.get_by_role("radio", name=CLERK)).to_be_checked()
    page.locator("#pin").fill(PINS[CLERK])
    page.keyboard.press("Enter")
    arrived(page, "/")
    operator = local.kiosk.operator
    assert operator is not None
    assert operator.person.factors == {SignInFactor.PIN}
    assert failures(local) == 0


@pytest.mark.timeout(600)
def test_a_sign_in_that_was_stopped_is_no_failure_and_who_has_no_face_here_is_told(
    local: LocalKiosk, page: Page, scene: Scene
) -> None:
    scene.comes(OWN)
    before = failures(local)
    show_face(page)
    page.locator("#stop").click()
    expect(page.locator("#stop-dialog")).to_contain_text("Stop signing in?")
    check_accessible(page)
    page.get_by_role("button", name="Yes, stop").click()
    expect(page.locator("#stop")).to_be_disabled()
    scene.go_on.set()
    arrived(page, "/sign-in")
    expect(page.locator("#refused[data-code=SIGN_IN_STOPPED]")).to_be_visible()
    assert failures(local) == before
    ask_with_face(page, SUPERVISOR)
    expect(page.locator("#refused[data-code=FACE_NOT_ENROLLED]")).to_be_visible()
