"""One device's clerk, played by a process: it records verifications without pause, until it is killed.

python -m benchmarks.soak_writer DATA LEDGER COUNT

DATA is an enrolled device's folder. After each record that the outbox has acknowledged, one line with
its place and digest is written to LEDGER: what the screen would have shown as done. A line that a kill cut
short stands for a record that was acknowledged to nobody.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from edge.app import open_recorder
from edge.config import load_config
from edge.model import Decision, Evidence, Outcome
from tests.support.appliance import verified_evidence

EXIT_DONE = 0

WHOLE_EVERY = 10
"""One record in ten is of a whole verification; the others are attempts that were broken off, which are
shorter: a run of a million is about order and kills, not about bytes."""


def main() -> int:
    data, ledger, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    whole = verified_evidence(), Decision(Outcome.VERIFIED, ())
    attempt = Evidence(aborted="NO_CARD"), Decision(Outcome.ABORTED, ("NO_CARD",))
    done = ledger.read_bytes().count(b"\n") if ledger.exists() else 0
    handle = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with open_recorder(load_config(None, data_dir=data)) as recorder:
        while done < count:
            record = recorder.record(*(attempt if done % WHOLE_EVERY else whole))
            os.write(handle, f"{record.epoch} {record.seq} {record.sha256.hex()}\n".encode())
            done += 1
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main())
