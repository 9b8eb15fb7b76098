"""Write tests/vectors/outbox: a store as the release 0.1.0 left it, for the test of migrations.

Run it once for each released schema, in a checkout of that very release, whose code then makes the
file; it is never run again:

    git archive RELEASE | tar -x -C /tmp/release && cp tests/support/make_released_outbox.py \
        /tmp/release/tests/support/ && cd /tmp/release && PYTHONPATH=.:proto python -m \
        tests.support.make_released_outbox OUTPUT_FOLDER

The people in it are made up, and the keys were thrown away.
"""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import timedelta
from pathlib import Path

from tests.support.appliance import Appliance, MemorySigner
from tests.support.authority import NOW, Authority
from verifield.chain import ChainHead
from verifield.receipt import check_receipt

NAME = "m001.sqlite"


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority.create()
    device = Appliance(folder / NAME, MemorySigner())
    outbox = device.outbox
    records = [device.verify_person() if number == 6 else device.verify() for number in range(1, 8)]

    def receipt_through(seq: int, *, hours: int) -> bytes:
        authority.append(records[seq - 1].envelope, authority.receipt_chain[0])
        at = NOW + timedelta(hours=hours)
        envelope = authority.receipt(device.device_id, ChainHead(1, seq, records[seq - 1].sha256), at=at)
        receipt = check_receipt(envelope, certificates=authority.receipt_chain, roots=[authority.root])
        outbox.apply_receipt(envelope, receipt)
        return envelope

    receipt_through(1, hours=0)
    outbox.purge(now=NOW, retention=timedelta(0))
    newest = receipt_through(3, hours=1)
    outbox.mark_delivered([4])
    outbox.mark_invalid(5, "MALFORMED")
    private = {record.attestation_id: len(outbox.private(record.attestation_id)) for record in records}
    outbox.close()
    expected = {
        "device_id": device.device_id,
        "receipt_sha256": hashlib.sha256(newest).hexdigest(),
        "server_time": (NOW + timedelta(hours=1)).isoformat(),
        "tree_size": authority.tree.size,
        "records": [
            {
                "seq": record.seq,
                "attestation_id": record.attestation_id,
                "sha256": record.sha256.hex(),
                "private_bytes": private[record.attestation_id],
            }
            for record in records
        ],
    }
    (folder / "m001.json").write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")
    for leftover in folder.glob("*.lock"):
        leftover.unlink()


if __name__ == "__main__":
    main()
