"""docs/identity-operator.md: every command in it is run against a live service, and compared.

``python -m tests.e2e.test_identity_operator`` writes the outputs anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.processes import Service
from tests.support.walk import Walk, masked

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/identity-operator.md"
LISTEN = "127.0.0.1:7443"
PEOPLE = ("li", "wang", "chen")
FILES = {
    "accounts.csv": "name,id_number,phone,valid_from,valid_to\n"
    "王小明,110101197001010438,13800000001,2020-01-02,2040-01-02\n"
    "李小红,110101197001010446,13800000002,2015-05-05,long-term\n",
    "ticket.json": '{"activation_phone": {"phone": "+8613800000099", "id_number": "110101197001010438"}, '
    '"note": "The card was seen at window 3."}\n',
}


@contextmanager
def the_walk(folder: Path) -> Iterator[Walk]:
    """A service that was just started, and files that somebody brought."""
    for name, content in FILES.items():
        (folder / name).write_text(content, encoding="utf-8")
    free = "127.0.0.1:0"
    cloud = Service.start(
        *("verifield-cloud", "serve", "--data", "data", "--listen", free, "--device-listen", free),
        cwd=folder,
        log=folder / "cloud.log",
    )
    try:
        at = cloud.endpoints()
        token = Path(at["operator_token_file"]).read_text(encoding="utf-8").strip()
        options = {name.upper(): f"--certificate {name}.pem --certificate-key {name}.key" for name in PEOPLE}
        yield Walk(folder, {LISTEN: at["listen"]}, {"TOKEN": token, "PYTHONPATH": str(ROOT), **options})
    finally:
        cloud.stop()


@pytest.mark.timeout(600)
def test_every_command_of_the_page_prints_what_the_page_says(tmp_path: Path) -> None:
    with the_walk(tmp_path) as walk:
        walk.rewritten(PAGE.read_text(encoding="utf-8"))
        assert len(walk.told) >= 40
        assert {"grpcurl", "verifield-cloud"} <= {command.split()[0] for command, _, _ in walk.told}
        for command, said, output in walk.told:
            assert masked(walk.as_in_the_page(output)) == masked(said), command


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch, the_walk(Path(scratch)) as walk:
        PAGE.write_text(walk.rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
