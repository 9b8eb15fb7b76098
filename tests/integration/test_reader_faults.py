"""Every fault that a reader, a card or a cable is known for, over a real pseudo-terminal.

Each row says what the driver makes of it: the right document all the same, the other card's where that
one lay on the reader, or a clear error. What concerns ports that vanish stands in test_reader_over_pty.py.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from edge.errors import EdgeError
from edge.model import Prompt
from edge.reader.photo import NoPhotoDecoder
from edge.reader.reader import SamVReader
from tests.support.id_reader import RecordingScreen
from tests.support.virtual_reader import SAM_ID, fields_of, many_cards
from verifield_sim.reader import ReaderModule
from verifield_sim.reader_faults import ALWAYS, Content, Fault, FaultKind, Target
from verifield_sim.reader_pty import ReaderPty

OWN_CARD, SPARE_CARD = many_cards(2, random.Random(9))
OWN, SPARE = "the own card's data", "the data of the other card that lay there"
DEADLINE_S = 20.0

ON_ANY = {"on": Target.ANY, "times": ALWAYS}
FAULTS: dict[str, tuple[Fault, str]] = {
    # bytes
    "a bit is turned": (Fault(FaultKind.FLIP, offset=60), OWN),
    "a bit of the name is turned twice over": (
        Fault(FaultKind.EVEN_FLIPS, offset=136, other=144),
        "CARD_DATA_INVALID",
    ),
    "two digits of the number change places": (
        Fault(FaultKind.BYTES_SWAPPED, offset=148, other=150),
        "CARD_DATA_INVALID",
    ),
    "a preamble before the reply": (Fault(FaultKind.FALSE_PREAMBLE, length=0x05AA), OWN),
    "a preamble with a length that could be": (Fault(FaultKind.FALSE_PREAMBLE, length=0x090A), OWN),
    "a length that is far too large": (Fault(FaultKind.LENGTH, length=0xFFFF), OWN),
    "a length that is too small": (Fault(FaultKind.LENGTH, length=3), OWN),
    "a length of another reply": (Fault(FaultKind.LENGTH, length=74), OWN),
    "the module misheard": (Fault(FaultKind.MISHEARD, on=Target.FIND), OWN),
    "the module mishears always": (Fault(FaultKind.MISHEARD, on=Target.FIND, times=ALWAYS), "READER_REFUSED"),
    # time
    "fragments after 1 ms": (Fault(FaultKind.FRAGMENTED, chunk=100, gap_s=0.001), OWN),
    "fragments after 40 ms": (Fault(FaultKind.FRAGMENTED, chunk=100, gap_s=0.04), OWN),
    "the record comes twice": (Fault(FaultKind.DUPLICATE), OWN),
    "every reply comes twice": (Fault(FaultKind.DUPLICATE, **ON_ANY), "READER_SILENT"),
    "one command in eight is lost": (Fault(FaultKind.SILENT, on=Target.ANY, times=ALWAYS, every=8), OWN),
    # the module
    "busy until a reset": (Fault(FaultKind.BUSY, on=Target.FIND), OWN),
    "stuck until the power is off": (Fault(FaultKind.STUCK, on=Target.FIND), "READER_SILENT"),
    "self-test failed": (Fault(FaultKind.STATUS, status=0x60, **ON_ANY), "READER_OUT_OF_SERVICE"),
    "not authorised": (Fault(FaultKind.STATUS, status=0x66, **ON_ANY), "READER_OUT_OF_SERVICE"),
    "out of sequence": (Fault(FaultKind.STATUS, status=0x24, on=Target.SELECT), OWN),
    "a status that nobody knows": (Fault(FaultKind.STATUS, status=0x55, on=Target.FIND), "READER_REFUSED"),
    # the card
    "removed halfway through the record": (Fault(FaultKind.REMOVED_HALFWAY), OWN),
    "swapped, and seen": (Fault(FaultKind.SWAPPED), SPARE),
    "swapped between select and read, unseen": (Fault(FaultKind.SWAPPED_UNSEEN), SPARE),
    "the card does not trust the module": (Fault(FaultKind.STATUS, status=0x31), OWN),
    "the module does not trust the card": (
        Fault(FaultKind.STATUS, status=0x32, times=ALWAYS),
        "CARD_NOT_GENUINE",
    ),
    "the card's signature is wrong": (Fault(FaultKind.STATUS, status=0x33, times=ALWAYS), "CARD_NOT_GENUINE"),
    "the card's length is wrong": (Fault(FaultKind.STATUS, status=0x3F, times=ALWAYS), "CARD_NOT_READABLE"),
    "the card's type is not recognised": (Fault(FaultKind.STATUS, status=0x40), "CARD_TYPE_UNKNOWN"),
    "no random number": (Fault(FaultKind.STATUS, status=0x47, on=Target.SELECT, times=2), OWN),
    "the fingerprint failed, and none was asked for": (
        Fault(FaultKind.STATUS, status=0x37),
        "READER_REFUSED",
    ),
    "the card has no such item": (Fault(FaultKind.STATUS, status=0x91, on=Target.ADDRESS), OWN),
}
CONTENTS = {
    Content.TYPE: "CARD_TYPE_UNKNOWN",
    Content.ETHNICITY: OWN,  # shown as the code
    Content.NUL: OWN,  # as padding
} | {one: "CARD_DATA_INVALID" for one in Content if one not in {Content.TYPE, Content.ETHNICITY, Content.NUL}}
FAULTS |= {f"wrong inside: {one}": (Fault(FaultKind.CONTENT, content=one), CONTENTS[one]) for one in Content}


class Clerk(RecordingScreen):
    """Does what the screen says."""

    def __init__(self, device: ReaderPty) -> None:
        super().__init__({Prompt.PLACE_CARD: self._place, Prompt.LIFT_CARD: device.lift})
        self._device = device

    def _place(self) -> None:
        if not self._device.card_present:
            self._device.place(OWN_CARD)


def read(folder: Path, fault: Fault) -> tuple[str, tuple[str, str, str] | None]:
    """What came of one person's visit: the fault's code, or number, name and address."""
    module = ReaderModule(sam_id=SAM_ID, faults=(fault,), seed=7, spare=SPARE_CARD)
    device = ReaderPty.open(module, link=folder / "reader", baud=115200)
    device.place(OWN_CARD)
    try:
        reader = SamVReader.open(
            str(device.path), baud=115200, decoder=NoPhotoDecoder(), expected_sam_id=None
        )
        try:
            document = reader.read_document(DEADLINE_S, Clerk(device))
        finally:
            reader.close()
    except EdgeError as error:
        return error.code, None
    finally:
        device.close()
    return "", (document.number, document.name, document.address)


@pytest.mark.req("E032")
@pytest.mark.parametrize("case", sorted(FAULTS))
def test_each_fault_is_handled_as_it_should_be(tmp_path: Path, case: str) -> None:
    fault, wanted = FAULTS[case]
    code, seen = read(tmp_path, fault)
    if wanted in (OWN, SPARE):
        own = fields_of(OWN_CARD if wanted == OWN else SPARE_CARD)
        assert code == ""
        assert seen is not None
        assert seen[0] == own[0]
        assert own[1].startswith(seen[1])  # NULs cut a name short
        no_newest = case == "the card has no such item"
        assert no_newest or seen[2] == own[2]
    else:
        assert code == wanted
