"""A process that stores records until it is killed, and says each one that it was promised.

    python -m tests.support.outbox_worker PATH COUNT

Each line on standard output is "SEQ SHA256": what a screen would have shown as done.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.appliance import Appliance, MemorySigner


def main() -> None:
    appliance = Appliance(Path(sys.argv[1]), MemorySigner())
    for number in range(int(sys.argv[2])):
        record = appliance.verify_person() if number % 3 == 0 else appliance.verify()
        print(record.seq, record.sha256.hex(), flush=True)


if __name__ == "__main__":
    main()
