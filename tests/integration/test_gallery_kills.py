"""kill -9 at random points of additions, removals and compactions: what was acknowledged is there, whole.

VERIFIELD_SOAK=10 makes it ten times as many kills.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.gallery.salvage import verify
from edge.gallery.store import Gallery
from tests.support.galleries import KEY, MODEL, embedding, person
from tests.support.gallery_worker import template_of

SOAK = int(os.environ.get("VERIFIELD_SOAK", "1"))
KILLS = 60 * SOAK
ROOT = Path(__file__).resolve().parents[2]


class Oracle:
    """Which edition of whom was acknowledged, and what one step under way may have changed."""

    def __init__(self) -> None:
        self.known: dict[int, int] = {}
        self.begun: dict[str, Any] | None = None
        self.done = dict.fromkeys(("add", "remove", "compact"), 0)

    def hear(self, line: bytes) -> None:
        said = json.loads(line)
        if "try" in said:
            self.begun = said
        elif self.begun:
            self.done[said["ok"]] += 1
            self.known = self.after()
            self.begun = None

    def after(self) -> dict[int, int]:
        """As it is when the step under way is done."""
        step = self.begun
        if step is None or step["try"] == "compact":
            return dict(self.known)
        if step["try"] == "remove":
            return {who: edition for who, edition in self.known.items() if who not in step["who"]}
        return self.known | dict.fromkeys(step["who"], step["edition"])

    def check(self, path: Path) -> None:
        """All of the step under way, or nothing of it; and every template is the one that was added."""
        numbers = {person(number): number for number in range(300)}
        with Gallery.open(path, KEY) as gallery:
            people = {numbers[one.candidate_id] for one in gallery.people()}
            states = [self.known, self.after()]
            assert people in [set(state) for state in states]
            for state in states:
                if set(state) == people and self._holds(gallery, state):
                    self.known, self.begun = state, None
                    return
        raise AssertionError("a template is not the one that was acknowledged")

    def _holds(self, gallery: Gallery, state: dict[int, int]) -> bool:
        if not state:
            return gallery.size == 0
        who = sorted(state)
        probes = np.concatenate([template_of(number, state[number]) for number in who])
        found = gallery.search([embedding(probe) for probe in probes], k=1)
        return all(
            hits[0].candidate_id == person(number) and hits[0].score > 0.999999
            for number, hits in zip(who, found, strict=True)
        )


@pytest.mark.req("E025")
def test_kill_9_during_additions_and_compaction_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path, oracle, chance = tmp_path / "people.gallery", Oracle(), random.Random(7)
    Gallery.create(path, KEY, model=MODEL).close()
    cut_compactions = 0
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.gallery_worker", str(path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(1, KILLS + 1):
            process.stdin.write(f"{number}\n".encode())
            process.stdin.flush()
            pid, wanted = 0, chance.randint(1, 24)
            for line in process.stdout:
                if line.startswith(b"PID"):
                    pid = int(line.split()[1])
                elif line.startswith(b"END"):
                    break
                else:
                    oracle.hear(line)
                    wanted -= 1
                if pid and wanted <= 0:
                    time.sleep(chance.random() * 0.004)
                    os.kill(pid, signal.SIGKILL)
                    pid = 0
            cut_compactions += bool(oracle.begun and oracle.begun["try"] == "compact")
            oracle.check(path)
        process.stdin.close()
        assert process.wait(60) == 0
    assert verify(path, KEY).whole
    assert min(oracle.done.values()) > KILLS // 4
    assert cut_compactions > 0
    assert len(list(tmp_path.iterdir())) == 2, "the gallery and its lock, and nothing half done"
