"""docs/signing.md: every command in it is run against a live service, and compared.

``python -m tests.e2e.test_signing_page`` writes the outputs anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.accounts import new_citizen
from tests.support.cloud import running_cloud
from tests.support.signing import read_all, sent_contract, signer_of
from tests.support.walk import Walk, masked

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/signing.md"
LISTEN = "127.0.0.1:7443"


@contextmanager
def the_walk(folder: Path) -> Iterator[Walk]:
    """A service, and somebody who has read a contract of their own."""
    with running_cloud(folder / "data") as cloud:
        signer = signer_of(cloud, new_citizen(name="欧阳·明"))
        sent = sent_contract(cloud, signer, [])
        read_all(cloud, signer, sent)
        env = {"SIGNER": signer.token, "CONTRACT": sent.contract_id}
        yield Walk(folder, {LISTEN: cloud.endpoint.listen}, env)


@pytest.mark.timeout(300)
def test_every_command_of_the_page_prints_what_the_page_says(tmp_path: Path) -> None:
    with the_walk(tmp_path) as walk:
        walk.rewritten(PAGE.read_text(encoding="utf-8"))
    assert len(walk.told) >= 7
    for command, said, output in walk.told:
        assert masked(walk.as_in_the_page(output)) == masked(said), command


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch, the_walk(Path(scratch)) as walk:
        PAGE.write_text(walk.rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
