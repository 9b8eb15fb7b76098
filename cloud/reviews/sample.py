"""Which decisions a second person looks at: chosen by a keyed hash, so that nobody can know beforehand.

The choice depends on the task's id and a secret alone. Asked again, on any server and after any crash, it
is the same, and over many tasks the share is the one that the rules set.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

PER_MILLE = 1000

_PURPOSE = b"verifield second review\0"
_BYTES = 8


def is_sampled(secret: bytes, task_id: str, *, per_mille: int) -> bool:
    """Whether the decision of this task gets a second review; 0 is never, 1000 is always."""
    digest = hmac.digest(secret, _PURPOSE + task_id.encode(), sha256)
    # Without rounding: of all values of the hash, exactly this share lies below the limit.
    return int.from_bytes(digest[:_BYTES], "big") * PER_MILLE < per_mille << (8 * _BYTES)
