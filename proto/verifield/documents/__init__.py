"""Whether a signed PDF is good: the verdict that the service gives, and that anybody can give without it.

Whoever has the deployment's root gets the same answer from the same code. ``verdict``, ``words`` and
``apart`` need nothing beyond the verifier; what reads the file itself (``judging``) needs the extra
``documents``, and runs in a process of its own.
"""

from verifield.documents.apart import MAX_DOCUMENT_BYTES, Limits, judge_apart
from verifield.documents.verdict import (
    Code,
    Finding,
    Kind,
    Outcome,
    Signature,
    TimeSource,
    Verdict,
    encode_verdict,
)
from verifield.documents.words import Language, say_finding, say_kind, say_verdict

__all__ = [
    "MAX_DOCUMENT_BYTES",
    "Code",
    "Finding",
    "Kind",
    "Language",
    "Limits",
    "Outcome",
    "Signature",
    "TimeSource",
    "Verdict",
    "encode_verdict",
    "judge_apart",
    "say_finding",
    "say_kind",
    "say_verdict",
]
