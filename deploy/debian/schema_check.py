"""Ends with 1 where a store was written by a newer version; reads, and changes nothing.

Part of the package's preinst, so it needs no library. KNOWN is filled in when the package is built.
"""

import sqlite3
import sys
from pathlib import Path

KNOWN = {}  # filled in: kind of store to the names of its migrations


def newer(data):
    """The stores that hold migrations which this version does not know."""
    for kind, names in KNOWN.items():
        for path in sorted((Path(data) / kind).glob("*.sqlite")):
            try:
                connection = sqlite3.connect(path.resolve().as_uri() + "?mode=ro", uri=True, timeout=30)
                try:
                    rows = connection.execute("SELECT name FROM _sqlite_migrations").fetchall()
                finally:
                    connection.close()
            except sqlite3.Error:
                continue  # a store that is damaged is no reason to keep a version that could mend it out
            unknown = sorted({row[0] for row in rows} - set(names))
            if unknown:
                yield path, unknown


def main(data):
    """Say what was found; 1 where there is something."""
    found = list(newer(data))
    for path, unknown in found:
        what = f"{path} was written by a newer version ({', '.join(unknown)})"
        print(f"verifield-edge: {what}.", file=sys.stderr)
    if found:
        print(
            "verifield-edge: this version is not installed, and nothing was changed. The newer one goes on; "
            "see 'Going back' in /usr/share/doc/verifield-edge/operations.md",
            file=sys.stderr,
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
