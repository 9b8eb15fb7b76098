"""The identity card of a flow that is no session: read beside the office, recorded nowhere.

Every page needs the office, and a card is waited for up to half a minute: the office is only asked which
reader is pinned.

What the reader wants of the card (lay it down, lift it, plug the reader in) is told to the page as
``card_prompt``: a reader does not find a card that it has read and that still lies there.
"""

from __future__ import annotations

from contextlib import closing

from edge.documents import open_card_reader
from edge.kiosk.server import Kiosk
from edge.kiosk.state import CARD_PROMPTS
from edge.kiosk.stream import Hub
from edge.model import Colour, IdDocument, PeripheralKind, Prompt
from edge.screen import open_screens

CARD_S = 30.0


class _CardPrompts:
    """The page as a screen of the reader."""

    can_light = False

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def show(self, prompt: Prompt) -> None:
        self._hub.tell(card_prompt=prompt.value if prompt in CARD_PROMPTS else "")

    def light(self, colour: Colour | None) -> None: ...


async def read_card(kiosk: Kiosk) -> IdDocument:
    """Read the card that lies on the reader, or is laid on it now.

    Raises:
        KioskBusy: a session is under way, and has the reader.
        HardwareError: NO_READER, NO_CARD and the like.
        InputError: the card is there but not readable or not genuine; STEP_RUNNING: another card is waited
            for.
    """
    pinned = await kiosk.at_desk(lambda office: office.state.pinned(PeripheralKind.READER))
    return await kiosk.run(lambda: _read(kiosk, pinned))


def _read(kiosk: Kiosk, pinned: str) -> IdDocument:
    config, hub = kiosk.config, kiosk.hub
    screen = open_screens(config.language, config.screen_url, page=_CardPrompts(hub))
    with kiosk.reader_alone():
        try:
            with closing(open_card_reader(config, pinned=pinned)) as reader:
                return reader.read_document(CARD_S, screen)
        finally:
            hub.tell(card_prompt="")
