"""The whole story with real processes: as `make run` tells it, and with the two people's roles swapped."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from demo.processes import StoryError
from demo.story import Act, Cast, Story
from edge.models.store import ModelStore
from edge.reader.cards import parse_text
from verifield_sim.cards import card_for

SCENARIO = """
seed = {seed}
[card]
portrait = "{card}"
[person]
kind = "{kind}"
portrait = "{person}"
"""


README = Path(__file__).parents[2] / "README.md"

PLACES = (
    "logs/*.log",
    "device/outbox/*.sqlite",
    "device/outbox/*.media/*",
    "device/state/*.sqlite",
    "stick/records.verifield",
    "stick/answer.verifield",
    "cloud/verifield.db",
    "cloud/media/*/*",
    "bundles/*.bundle",
)
"""What a run must have left: an empty folder tells nothing either."""

PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00\x10JFIF", b"WEBPVP8")
"""How files of pictures begin."""


def scenario(folder: Path, kind: str, person: str, card: str, seed: int) -> str:
    path = folder / f"{kind}-{person}-on-{card}.toml"
    path.write_text(SCENARIO.format(seed=seed, kind=kind, person=person, card=card))
    return str(path)


def tell(folder: Path, cast: Cast) -> str:
    written = io.StringIO()
    Story(folder, Console(file=written, width=200), cast).tell()
    return written.getvalue()


def personal_values(portrait: str, seed: int) -> list[str]:
    """What the simulated card says of its holder."""
    card = parse_text(card_for(portrait, seed=seed).text)
    return [card.name, card.number, card.address, card.issuer, f"{card.birth:%Y%m%d}", card.birth.isoformat()]


def assert_nothing_personal(folder: Path, told: str, cards: list[tuple[str, int]]) -> None:
    """No file of the run, on the device, the stick or in the cloud, tells a card's fields or shows a face."""
    written = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for place in PLACES:
        assert [path for path in folder.glob(place) if path.stat().st_size], place
    for signature in PICTURES:
        assert [path for path, data in written.items() if signature in data] == []
    written[Path("told")] = told.encode()
    for portrait, seed in cards:
        for value in personal_values(portrait, seed):
            assert len(value) > 2
            for encoded in (value.encode(), value.encode("utf-16-le"), json.dumps(value)[1:-1].encode()):
                assert [path for path, data in written.items() if encoded in data] == []


def steps(text: str) -> set[str]:
    """Lines about steps, without what differs from run to run: ids, digests, counts and seconds."""
    lines = [line.strip() for line in text.splitlines() if line.startswith("  ✓") and "[score" not in line]
    return {re.sub(r"[0-9a-f]{8,}|[0-9]+(\.[0-9]+)?", "#", line) for line in lines}


@pytest.mark.req("E037", "E055")
@pytest.mark.timeout(600)
def test_swapping_the_portraits_swaps_the_outcomes(tmp_path: Path, model_store: ModelStore) -> None:
    owner, stranger = "grace_hopper", "astronaut"
    cast = Cast(
        acts=(
            Act("the owner", scenario(tmp_path, "live", owner, owner, 11), "VERIFIED"),
            Act("somebody else", scenario(tmp_path, "live", stranger, owner, 12), "NOT_MATCHED"),
            Act("a print", scenario(tmp_path, "print", owner, owner, 13), "SPOOF"),
        ),
        offline=Act(
            "the other one's own card", scenario(tmp_path, "live", stranger, stranger, 14), "VERIFIED"
        ),
    )
    told = tell(tmp_path / "run", cast)
    assert "All as said" in told
    assert len(list((tmp_path / "run" / "bundles").glob("*.bundle"))) == 8
    assert (tmp_path / "run" / "root.pem").is_file()
    assert steps(told) == steps(README.read_text(encoding="utf-8"))
    assert_nothing_personal(tmp_path / "run", told, [(owner, 11), (owner, 12), (owner, 13), (stranger, 14)])


@pytest.mark.timeout(600)
def test_the_story_fails_where_a_step_is_not_as_said(tmp_path: Path, model_store: ModelStore) -> None:
    wrong = scenario(tmp_path, "live", "astronaut", "grace_hopper", 15)
    cast = Cast(acts=(Act("said to be the owner", wrong, "VERIFIED"),))
    with pytest.raises(StoryError, match="expected VERIFIED, got NOT_MATCHED"):
        tell(tmp_path / "run", cast)
