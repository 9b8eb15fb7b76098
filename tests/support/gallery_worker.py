"""Processes that change a gallery until they are killed, and say what they were promised.

    python -m tests.support.gallery_worker PATH

One process imports everything once. For each line on its standard input, a seed, it forks a child, says
"PID n", and, when the child has ended, "END status". The child says what it is about to do ("try") and what
is durable ("ok"), each as one line of JSON that is written whole.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path

import numpy as np

from edge.gallery import store
from edge.gallery.store import Gallery
from edge.gallery.warming import warm
from tests.support.galleries import KEY, Floats, person, random_templates, rows_of

PEOPLE = 300
MOST = 40
JOURNAL_ROWS = 120
"""So small that the journal is compacted by itself again and again."""


def template_of(number: int, edition: int) -> Floats:
    """Of person(number), when they were added with this edition."""
    return random_templates(1, edition * PEOPLE + number)


def run(path: Path, seed: int) -> None:
    """Take steps for ever."""
    store.JOURNAL_ROWS = JOURNAL_ROWS
    chance = random.Random(seed)
    with Gallery.open(path, KEY) as gallery:
        edition = seed * 100_000
        while True:
            edition += 1
            step = chance.choices(("add", "remove", "compact"), (6, 2, 2))[0]
            who = sorted(chance.sample(range(PEOPLE), chance.randint(1, MOST)))
            say({"try": step, "who": who, "edition": edition})
            if step == "add":
                rows = [template_of(number, edition)[0] for number in who]
                gallery.add_rows(rows_of([person(number) for number in who], np.stack(rows)))
            elif step == "remove":
                gallery.remove([person(number) for number in who])
            else:
                gallery.compact()
            say({"ok": step})


def say(values: dict[str, object]) -> None:
    os.write(1, json.dumps(values).encode() + b"\n")


def main(path: Path) -> None:
    warm()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(path, int(line))
        say_text(f"PID {child}")
        _, status = os.waitpid(child, 0)
        say_text(f"END {status}")


def say_text(text: str) -> None:
    os.write(1, text.encode() + b"\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
