"""The whole story with real processes: as `make run` tells it, and with the two people's roles swapped."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from demo.processes import StoryError
from demo.story import Act, Cast, Story
from edge.models.store import ModelStore

SCENARIO = """
seed = {seed}
[card]
portrait = "{card}"
[person]
kind = "{kind}"
portrait = "{person}"
"""


def scenario(folder: Path, kind: str, person: str, card: str, seed: int) -> str:
    path = folder / f"{kind}-{person}-on-{card}.toml"
    path.write_text(SCENARIO.format(seed=seed, kind=kind, person=person, card=card))
    return str(path)


def tell(folder: Path, cast: Cast) -> str:
    written = io.StringIO()
    Story(folder, Console(file=written, width=200), cast).tell()
    return written.getvalue()


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
    assert len(list((tmp_path / "run" / "bundles").glob("*.bundle"))) == 5
    assert (tmp_path / "run" / "root.pem").is_file()


@pytest.mark.timeout(600)
def test_the_story_fails_where_a_step_is_not_as_said(tmp_path: Path, model_store: ModelStore) -> None:
    wrong = scenario(tmp_path, "live", "astronaut", "grace_hopper", 15)
    cast = Cast(acts=(Act("said to be the owner", wrong, "VERIFIED"),))
    with pytest.raises(StoryError, match="expected VERIFIED, got NOT_MATCHED"):
        tell(tmp_path / "run", cast)
