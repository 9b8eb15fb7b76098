"""Who works at this kiosk: signing in, being there, leaving. All of it on the office's thread."""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import RedirectResponse

from edge.answers import NotSignedIn, SignedIn
from edge.kiosk.office import Office
from edge.kiosk.server import Kiosk, Operator

SIGN_IN = "/sign-in"

_log = logging.getLogger(__name__)


async def present(kiosk: Kiosk) -> Operator | None:
    """Who is signed in and was not idle for too long; it counts as activity. Errors as ``Kiosk.at_desk``."""

    def look(office: Office) -> Operator | None:
        operator = kiosk.operator
        if operator is not None and not office.operators.note_activity(operator.person):
            kiosk.operator = None
        return kiosk.operator

    operator = await kiosk.at_desk(look)
    kiosk.touch()
    _tell_flows(kiosk)
    return operator


async def has_operators(kiosk: Kiosk) -> bool:
    """Whether anybody can sign in here; where nobody can, the kiosk asks nobody to."""
    return bool(await kiosk.at_desk(lambda office: office.operators.list()))


async def to_sign_in(kiosk: Kiosk, request: Request) -> RedirectResponse | None:
    """Where to go first, for pages that only somebody who is signed in may see; None: stay."""
    if await present(kiosk) is not None or not await has_operators(kiosk):
        return None
    return RedirectResponse(f"{SIGN_IN}?to={request.url.path}", 303)


async def sign_in(kiosk: Kiosk, who: str, pin: str) -> NotSignedIn | None:
    """Sign in for all flows, until they sign out or are idle; a refusal is returned.

    Raises:
        InputError: NO_OPERATOR.
    """

    def check(office: Office) -> NotSignedIn | None:
        answer = office.operators.try_sign_in(who, pin=pin)
        if isinstance(answer, NotSignedIn):
            return answer
        welcome(kiosk, office, answer)
        return None

    return await kiosk.at_desk(check)


def welcome(kiosk: Kiosk, office: Office, person: SignedIn) -> None:
    """Somebody has signed in, and works here from now on. On the office's thread."""
    if kiosk.operator is not None and kiosk.operator.person.operator_id != person.operator_id:
        office.operators.sign_out(kiosk.operator.person)
    named = [one.name for one in office.operators.list() if one.operator_id == person.operator_id]
    kiosk.touch()
    kiosk.operator = Operator(person, named[0] if named else person.operator_id)
    _log.info("an operator has signed in with %s", " and ".join(sorted(person.factors)))


async def sign_out(kiosk: Kiosk) -> None:
    """Forget who is signed in, and their keys. Errors as ``Kiosk.at_desk``."""

    def leave(office: Office) -> None:
        leaving, kiosk.operator = kiosk.operator, None  # whatever the store says
        if leaving is not None:
            office.operators.sign_out(leaving.person)

    try:
        await kiosk.at_desk(leave)
    finally:
        _tell_flows(kiosk)


def _tell_flows(kiosk: Kiosk) -> None:
    """It is known who works here now: what belongs to somebody else is over."""
    for look in kiosk.on_presence:
        look()
