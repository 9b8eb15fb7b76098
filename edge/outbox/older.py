"""Stores of identities that this device had before: what in them nobody has delivered."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def undelivered_elsewhere(path: Path) -> int:
    """Count the records without a receipt in the stores beside the one at ``path``, which is left out.

    They are only read. One that cannot be read counts as one record: somebody should look at it.
    """
    others = [one for one in path.parent.glob("*.sqlite") if one.name != path.name]
    return sum(_undelivered(one) for one in others)


def _undelivered(path: Path) -> int:
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            query = "SELECT count(*) FROM delivery WHERE state IN ('PENDING', 'DELIVERED')"
            return int(connection.execute(query).fetchone()[0])
    except (sqlite3.Error, OSError):
        return 1
