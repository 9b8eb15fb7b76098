"""How much is taken and kept of one device, each limit with its reason."""

from __future__ import annotations

MAX_BATCH_ENVELOPES = 256
"""Above this a batch costs the same per record, and only delays its answer."""

MAX_BATCH_BYTES = 2 * 1024 * 1024
"""Envelopes of a batch in all; the port's message limit leaves room for what stands beside them."""

MAX_WORK_BYTES = 32 * 1024 * 1024
"""Of batches that are verified, written or answered at once, of all devices: sixteen of the largest, and a
hundred usual ones, more than two cores finish in a second."""

MAX_WORK_BATCHES = 192
"""However small: the log's waiting list takes 256 works (``cloud.log.sequencer``), and people's need some."""

MAX_DEVICE_WORK_BYTES = 4 * 1024 * 1024
"""Of those of one device: two of the largest batches, so that one is verified while another is written."""

MAX_WAITING_BYTES = 64 * 1024 * 1024
"""Of batches that were read and wait for a place: two or three seconds of work at full load. A device whose
batch finds no place keeps its records and comes again."""

MAX_STREAMS = 512
"""Deliveries open at once. Each may hold one message of 3 MiB that is not complete yet, where its sender
dawdles; other calls of the port (``cloud.server.MAX_CALLS``) must find room beside them."""

STREAM_PATIENCE_S = 15.0
"""How long a delivery may keep its place without bringing a whole batch, once others need places. The first
batch of a device on a bad link has 16 KiB, which at 2 KiB/s takes 8 s."""

MAX_BATCH_DAMAGED = 16
MAX_DAMAGED_BYTES = 64 * 1024
"""What is left of damaged records: no record was larger (``verifield.dsse``)."""

MAX_STAGED_RECORDS = 4096
MAX_STAGED_BYTES = 32 * 1024 * 1024
"""Records behind a hole: days of a busy device. What waits counts against the disk, and can be filled
at will by whoever holds a device's key."""

MAX_STAGED_EXCUSES = 4096
MAX_STAGED_EXCUSE_BYTES = 8 * 1024 * 1024
"""GAP and TOMBSTONE records beside those, which have about 1 KiB: what closes a hole must fit when all
else is full."""

MAX_ADVANCE = 1024
"""Records that one transaction appends: half a second in which all other devices wait."""

MAX_REFUSED_RECORDS = 4096
MAX_REFUSED_BYTES = 8 * 1024 * 1024
"""Of refused bytes. The first ones explain what went wrong; beyond the bytes a digest is kept, which is
all that a TOMBSTONE needs, and beyond the records nothing is taken from the device."""

MAX_BRANCH_RECORDS = 4096
MAX_BRANCH_BYTES = 32 * 1024 * 1024
"""Of other branches: as much as can be staged. Beyond either the device keeps the record itself. What was
staged moves here also beyond the limit: when a RESET closes its epoch, which a second one does only after
a person has looked, or when its turn comes in the chain, which has grown by a record then."""

MAX_DAMAGED_RECORDS = 1024
MAX_DAMAGED_KEPT_BYTES = 16 * 1024 * 1024
"""Of what failing disks left over; the GAP in the chain is the proof, this is for examination."""

MAX_SIDE_CONTENT_BYTES = 64 * 1024
"""Of one side record: whatever is larger is no envelope, and its beginning shows what it is."""

MAX_MISSING_RANGES = 64
"""Ranges of missing places in one answer: the device sends those first, and asks again."""
