"""docs/operator-devices.md: every command in it is run against a live service, and prints what the page says.

``python -m tests.e2e.test_operator_walk`` writes the outputs anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.processes import Service
from edge.models.store import ModelStore
from tests.support.walk import Walk, masked, tablet

PAGE = Path(__file__).parents[2] / "docs/operator-devices.md"
SERVICE = "127.0.0.1:7443"
"""Where the service listens in the page."""


@contextmanager
def the_walk(folder: Path) -> Iterator[Walk]:
    """A service, and a device with simulated hardware that is not enrolled yet."""
    cloud = Service.start(
        *("verifield-cloud", "serve", "--data", "data", "--listen", "127.0.0.1:0"),
        *("--device-listen", "127.0.0.1:0"),
        cwd=folder,
        log=folder / "cloud.log",
    )
    try:
        with tablet(folder, "tablet-1"):
            yield Walk(folder, {SERVICE: str(cloud.endpoints()["listen"])})
    finally:
        cloud.stop()


@pytest.mark.timeout(600)
def test_every_command_of_the_page_prints_what_the_page_says(tmp_path: Path, model_store: ModelStore) -> None:
    with the_walk(tmp_path) as walk:
        walk.rewritten(PAGE.read_text(encoding="utf-8"))
        assert len(walk.told) >= 40
        for command, said, output in walk.told:
            assert masked(walk.as_in_the_page(output)) == masked(said), command


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch, the_walk(Path(scratch)) as walk:
        PAGE.write_text(walk.rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
