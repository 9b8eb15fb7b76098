"""docs/operator.md: every command in it is run against a live service on PostgreSQL, and compared.

``python -m tests.e2e.test_operator_service`` writes the outputs anew.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.processes import Service
from edge.models.store import ModelStore
from tests.support.postgres import NoPostgresError, find_programs, fresh_database
from tests.support.walk import Walk, masked, tablet

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/operator.md"

LISTEN, DEVICE_LISTEN, METRICS = "127.0.0.1:7443", "127.0.0.1:7444", "127.0.0.1:9464"
DATABASE = "postgresql+psycopg://verifield-cloud@/verifield"
RESTORED = "postgresql+psycopg://verifield-cloud@/restored"
"""Where things are in the page."""


def settings(database: str, *, listen: str, device_listen: str, metrics_listen: str) -> str:
    return (
        f'data = "data"\n'
        f'database = "{database}"\n'
        f'listen = "{listen}"\n'
        f'device_listen = "{device_listen}"\n'
        f'server_names = ["cloud.example"]\n'
        f'metrics_listen = "{metrics_listen}"\n'
    )


@contextmanager
def the_walk(folder: Path) -> Iterator[Walk]:
    """A service as the page has installed and started it; free ports take the place of those in the page."""
    image = [sys.executable, "scripts/protos.py", "image", str(folder / "verifield.binpb")]
    subprocess.run(image, cwd=ROOT, check=True)
    free = "127.0.0.1:0"
    with fresh_database(durable=True) as database, fresh_database(durable=True) as restored:
        start = settings(database, listen=free, device_listen=free, metrics_listen=free)
        (folder / "start.toml").write_text(start)
        cloud = Service.start(
            *("verifield-cloud", "serve", "--config", "start.toml"), cwd=folder, log=folder / "cloud.log"
        )
        try:
            at = cloud.endpoints()
            ports = {name: at[name] for name in ("listen", "device_listen", "metrics_listen")}
            (folder / "cloud.toml").write_text(settings(database, **ports))
            here = [*ports.values(), database, restored]
            programs = (str(Path(sys.executable).parent), str(find_programs()), os.environ["PATH"])
            token = Path(at["operator_token_file"]).read_text(encoding="utf-8").strip()
            with tablet(folder, "tablet-1"):
                yield Walk(
                    folder,
                    dict(zip((LISTEN, DEVICE_LISTEN, METRICS, DATABASE, RESTORED), here, strict=True)),
                    {"PATH": os.pathsep.join(programs), "TOKEN": token},
                )
        finally:
            cloud.stop()


@pytest.mark.timeout(600)
def test_every_command_of_the_page_prints_what_the_page_says(tmp_path: Path, model_store: ModelStore) -> None:
    try:
        find_programs()
    except NoPostgresError as missing:
        pytest.skip(str(missing))
    with the_walk(tmp_path) as walk:
        walk.rewritten(PAGE.read_text(encoding="utf-8"))
        assert len(walk.told) >= 50
        tools = {command.split()[0] for command, _, _ in walk.told}
        assert {"grpcurl", "buf", "verifield-cloud"} <= tools
        for command, said, output in walk.told:
            assert masked(walk.as_in_the_page(output)) == masked(said), command


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch, the_walk(Path(scratch)) as walk:
        PAGE.write_text(walk.rewritten(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
