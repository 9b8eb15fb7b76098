"""Signing in with one's own face: a live preview and the whole liveness, as in any session, on the same page.

The person says who they are first; one face is compared with one that was enrolled. What refuses it is told
on the sign-in page, beside the field for the PIN. Attempts are counted as those with the PIN are, together.
Nothing is recorded of it but what every record says: who worked here, and how they had signed in.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from urllib.parse import urlencode

from edge.answers import NotSignedIn, SignedIn, SignInFactor
from edge.attest.clock import SystemClock
from edge.errors import EdgeError, InputError
from edge.kiosk.desk import WebDesk, WebScreen
from edge.kiosk.office import Office
from edge.kiosk.people import SIGN_IN, welcome
from edge.kiosk.preview import PreviewCamera
from edge.kiosk.server import Kiosk
from edge.kiosk.sessions import PATH, sessions_of
from edge.kiosk.showing import fault_text
from edge.kiosk.state import Stage
from edge.operators.face import LiveFace
from edge.station import Counter, open_face_check, sign_in_stopped
from edge.texts import REFUSALS

PAGE_S = 20.0
"""For the page to open: who sees no prompt cannot follow it. Longer, and nobody is there."""

LOOK_S = 0.05  # between two looks at whether it is there

SHOWN_S = 60.0
"""For which a refusal stands on the sign-in page: whoever comes later is somebody else."""

KIND = "signin"

SIGN_IN_CODE = "SIGN_IN_"
"""Beginning of the codes of ``edge.answers.Refusal``."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Refused:
    """Why the newest attempt came to nothing, and when. ``until``: no attempt is allowed before. Both in
    monotonic seconds."""

    who: str
    code: str
    at: float
    until: float = 0.0


class FaceSignIn:
    """One at a time. A refusal is shown until somebody tries again, signs in, or a minute has passed."""

    def __init__(self, kiosk: Kiosk) -> None:
        self._kiosk = kiosk
        self._refused: Refused | None = None

    def begin(self, who: str, to: str) -> str:
        """Look at ``who``; return where it is shown. ``to``: a path of this kiosk, for who has signed in.

        Errors as ``Kiosk.hold``.
        """
        self.forget()
        self._kiosk.hold(lambda office: self._hold(office, who, to))
        return PATH

    def forget(self) -> None:
        """Whoever was refused is not there any more."""
        self._refused = None

    def refusal(self) -> tuple[str, str, str]:
        """Who it was, the code, and what to say in the kiosk's language; empty where there is nothing."""
        refused = self._refused
        if refused is None or time.monotonic() > max(refused.at + SHOWN_S, refused.until):
            return "", "", ""
        kiosk = self._kiosk
        known = {f"{SIGN_IN_CODE}{one}": texts[kiosk.language] for one, texts in REFUSALS.items()}
        text = known.get(refused.code) or " ".join(fault_text(refused.code, kiosk.texts()))
        wait_s = math.ceil(refused.until - time.monotonic())
        if wait_s > 0:
            text += " " + kiosk.texts()("signin.wait", seconds=wait_s)
        return refused.who, refused.code, text

    def _hold(self, office: Office, who: str, to: str) -> None:
        hub = self._kiosk.hub
        back = f"{SIGN_IN}?{urlencode({'to': to})}"
        hub.update(
            session=hub.view.session + 1,
            kind=KIND,
            back=back,
            stage=Stage.WORKING,
            prompt=None,
            light=None,
            question=None,
            result=None,
            fault=("", ""),
            stopping=False,
            still=False,
        )
        code = "INTERNAL_FAULT"
        try:
            answer = self._look(office, who)
            if isinstance(answer, SignedIn):
                welcome(self._kiosk, office, answer)
                back, code = to, ""
            else:
                code = f"{SIGN_IN_CODE}{answer.refusal}"
                now = time.monotonic()
                self._refused = Refused(who, code, now, now + answer.wait_s)
        except EdgeError as error:
            code = error.code
            self._refused = Refused(who, code, time.monotonic())
        finally:
            if code:
                _log.info("nobody has signed in with a face: %s", code)
            if code == "INTERNAL_FAULT":
                self._refused = Refused(who, code, time.monotonic())
            hub.forget_frame()
            hub.update(stage=Stage.NONE, back=back, prompt=None, light=None, question=None)

    def _look(self, office: Office, who: str) -> SignedIn | NotSignedIn:
        kiosk, hub = self._kiosk, self._kiosk.hub
        operators = office.operators
        known = [one for one in operators.list() if who in (one.name, one.operator_id)]
        if known and SignInFactor.FACE not in known[0].factors:
            raise InputError(
                "FACE_NOT_ENROLLED", "This person has enrolled no face here.", hint="Sign in with the PIN."
            )
        desk = WebDesk(
            hub,
            present=lambda: None,
            names=list,
            check_operator=lambda name, pin: operators.try_sign_in(name, pin=pin),
        )
        counter = Counter(
            desk=desk,
            screen=WebScreen(hub),
            operators=operators,
            vision=office.vision,
            watch=lambda camera: PreviewCamera(camera, hub.offer_frame, rest=hub.rest),
        )
        with sessions_of(kiosk).stoppable(desk):
            return operators.try_sign_in(who, face=_Look(office, counter, desk, kiosk))


@dataclass(frozen=True, slots=True)
class _Look:
    """Implements ``edge.operators.face.FaceCheck``: the camera is opened only where an attempt is allowed."""

    office: Office
    counter: Counter
    desk: WebDesk
    kiosk: Kiosk

    def capture(self) -> LiveFace:
        self._wait_for_page()
        office = self.office
        with open_face_check(office.config, office.policy, SystemClock(), counter=self.counter) as check:
            return check.capture()

    def _wait_for_page(self) -> None:
        """Until a page draws what it is told to, as that of a session does: before, no prompt would be seen.

        Raises:
            InputError: SIGN_IN_STOPPED.
        """
        hub = self.kiosk.hub
        until = hub.now + PAGE_S
        hub.light(None)
        while not hub.can_light:
            if hub.now >= until or self.desk.stop_requested() is not None:
                raise sign_in_stopped()
            time.sleep(LOOK_S)
