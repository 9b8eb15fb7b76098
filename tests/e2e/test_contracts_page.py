"""docs/contracts.md: every command in it is run against a live service, and compared.

``python -m tests.e2e.test_contracts_page`` writes the outputs anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import pdf_samples
from tests.support.accounts import SignedIn, new_citizen, registered
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.identity import verified
from tests.support.walk import Walk, masked

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/contracts.md"
LISTEN = "127.0.0.1:7443"


def somebody(cloud: RunningCloud, name: str) -> SignedIn:
    signed_in = registered(cloud, new_citizen(name=name))
    verified(cloud, signed_in)
    return signed_in


@contextmanager
def the_walk(folder: Path) -> Iterator[Walk]:
    """A service with two people in it, and the file of one of them."""
    (folder / "lease.pdf").write_bytes(pdf_samples.plain())
    with running_cloud(folder / "data") as cloud:
        env = {
            "SENDER": somebody(cloud, "王小明").token,
            "OTHER": somebody(cloud, "李小红").token,
            "TOKEN": (cloud.data / "operator.token").read_text(encoding="utf-8").strip(),
            "PYTHONPATH": str(ROOT),
        }
        yield Walk(folder, {LISTEN: cloud.endpoint.listen}, env)


@pytest.mark.timeout(600)
def test_every_command_of_the_page_prints_what_the_page_says(tmp_path: Path) -> None:
    with the_walk(tmp_path) as walk:
        walk.rewritten(PAGE.read_text(encoding="utf-8"))
    assert len(walk.told) >= 15
    for command, said, output in walk.told:
        assert masked(walk.as_in_the_page(output)) == masked(said), command


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch, the_walk(Path(scratch)) as walk:
        PAGE.write_text(walk.rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
