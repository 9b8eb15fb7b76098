"""The identity card of a flow that is no session: read on the office's thread, recorded nowhere.

What the reader wants of the card (lay it down, lift it, plug the reader in) is told to the page as
``card_prompt``: a reader does not find a card that it has read and that still lies there.
"""

from __future__ import annotations

from contextlib import closing

from edge.documents import open_card_reader
from edge.kiosk.office import Office
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


def read_card(office: Office, hub: Hub) -> IdDocument:
    """Read the card that lies on the reader, or is laid on it now.

    Raises:
        HardwareError: NO_READER, NO_CARD and the like.
        InputError: the card is there but not readable or not genuine.
    """
    config = office.config
    screen = open_screens(config.language, config.screen_url, page=_CardPrompts(hub))
    try:
        with closing(open_card_reader(config, pinned=office.state.pinned(PeripheralKind.READER))) as reader:
            return reader.read_document(CARD_S, screen)
    finally:
        hub.tell(card_prompt="")
