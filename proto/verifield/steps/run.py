"""What the steps of a verification share: what was given, and what is established so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509

from verifield.commitments import Disclosure
from verifield.note import Checkpoint
from verifield.revocation import RevocationList
from verifield.v1.attestation_pb2 import Statement
from verifield.v1.bundle_pb2 import Bundle, Envelope, Receipt


class Missing(Exception):
    """What a step needs is not there; the text says what that means."""


@dataclass(slots=True)
class Run:
    """``given_list`` and ``given_policy``: bytes of files that the caller brought beside the bundle.

    ``cited_at``: server time of the receipt that the record cites. ``revocations``: the genuine lists.
    """

    data: bytes
    roots: Sequence[x509.Certificate]
    disclosures: Sequence[Disclosure] = ()
    given_list: bytes | None = None
    given_policy: bytes | None = None
    policy_certificates: Sequence[bytes] = ()
    bundle: Bundle = field(init=False)
    envelope: Envelope = field(init=False)
    statement: Statement = field(init=False)
    leaf: x509.Certificate = field(init=False)
    receipt: Receipt | None = None
    cited_at: datetime | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    revocations: Sequence[RevocationList] = ()
    revocation_checked: bool = False
    checkpoint: Checkpoint | None = None
    witnesses: int = 0
    policy_version: int | None = None
    disclosed: tuple[Disclosure, ...] = ()
