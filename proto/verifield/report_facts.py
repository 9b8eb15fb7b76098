"""What an evidence report says, as values, and their one form as JSON (docs/evidence-report.md).

The form is canonical: UTF-8, keys in the order of the alphabet, no spaces, no numbers but integers, times in
UTC with six digits behind the second, digests in lower-case hexadecimal. Whatever is written otherwise is
refused, so that a report has one digest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from verifield.errors import Malformed, Unknown

REPORT_TYPE = "verifield-evidence-report"
REPORT_VERSION = 1

MAX_REPORT_BYTES = 4 * 1024 * 1024
"""50 parties, 200 marks and a timeline of years have a tenth of it."""
MAX_ITEMS = 5_000
"""Of one list."""

_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who somebody is, as it was verified; ``id_number`` is masked. ``method``: FACE, CTID or MANUAL."""

    name: str = field(repr=False)
    id_number: str = field(repr=False)
    method: str
    verified: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyFacts:
    """``name``: of the person or organisation that was invited. ``identity``: of the person who acted."""

    number: int
    party_id: str
    kind: str
    role: str
    state: str
    sender: bool
    name: str = field(repr=False)
    uscc: str
    identity: Identity | None
    notified: datetime | None
    opened: datetime | None
    read: datetime | None
    read_sha256: bytes
    authenticated: datetime | None
    acted: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureFacts:
    """One signature. ``nonce``: what the authentication was bound to. ``file``: its evidence in this report.

    ``stamp``: common name of the time-stamping authority; ``signed``: its time. ``revoked``: from when on
    what the certificate signed counts for nothing, as far as the service had revoked it.
    """

    record_id: str
    party_number: int
    signer: str = field(repr=False)
    kind: str
    field: str
    page: int
    certificate: str
    certificate_sha256: bytes
    revoked: datetime | None
    method: str
    evidence_id: str
    evidence_sha256: bytes
    device_id: str
    task_id: str
    file: str
    document_sha256: bytes
    challenge: bytes
    nonce: bytes
    preview_sha256: bytes
    before_sha256: bytes
    after_sha256: bytes
    authenticated: datetime
    signed: datetime
    stamp: str
    seal_id: str
    seal_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SealUseFacts:
    """One use of a seal: who used which, on which field, when."""

    use_id: str
    seal_id: str
    version: int
    organisation_id: str
    grant_id: str
    field: str
    document_sha256: bytes
    time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionFacts:
    """The file after a signature; number 0 is the document as it was sent."""

    number: int
    sha256: bytes
    time: datetime
    party_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFacts:
    """A line of the timeline; ``party_number`` 0: of no party."""

    number: int
    event: str
    state: str
    time: datetime
    party_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractFacts:
    """``sent``: exact to the millisecond, as the service tells it everywhere."""

    contract_id: str
    state: str
    flow: str
    title: str = field(repr=False)
    number: str = field(repr=False)
    category: str
    allowed_methods: tuple[str, ...]
    page_count: int
    created: datetime
    sent: datetime
    deadline: datetime | None
    completed: datetime | None
    upload_sha256: bytes
    document_sha256: bytes
    revision_number: int
    revision_sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFacts:
    """All of a report."""

    type: str
    version: int
    report_id: str
    made: datetime
    root_sha256: bytes
    contract: ContractFacts
    parties: tuple[PartyFacts, ...]
    signatures: tuple[SignatureFacts, ...]
    seal_uses: tuple[SealUseFacts, ...]
    revisions: tuple[RevisionFacts, ...]
    timeline: tuple[EventFacts, ...]


def encode_report(facts: ReportFacts) -> bytes:
    """The canonical JSON of a report."""
    return _encode(_to_json(facts))


def parse_report(content: bytes) -> ReportFacts:
    """Read a report.

    Raises:
        Malformed: it is none, or not in the one form.
        Unknown: it is of a newer version.
    """
    if len(content) > MAX_REPORT_BYTES:
        raise Malformed("REPORT_SIZE", f"A report has at most {MAX_REPORT_BYTES} bytes.")
    try:
        value = json.loads(content)
        head = (value["type"], value["version"])
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Malformed("REPORT_JSON", "The report is no JSON of a report.") from error
    if head != (REPORT_TYPE, REPORT_VERSION):
        raise Unknown("REPORT_VERSION", "The report is of a type or version that is not known here.")
    try:
        facts: ReportFacts = _read(ReportFacts, value)
        same = encode_report(facts) == content
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise Malformed(
            "REPORT_JSON", "The report lacks something, or has something that does not belong."
        ) from error
    if not same:
        raise Malformed("REPORT_FORM", "The report's JSON is not in its one form.")
    return facts


def _encode(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _to_json(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _to_json(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, tuple):
        return [_to_json(one) for one in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime(_TIME)
    return value


def _read(kind: Any, value: Any) -> Any:
    """A dataclass of JSON; raises what :func:`parse_report` catches."""
    hints = _hints(kind)
    if not isinstance(value, dict) or value.keys() != hints.keys():
        raise ValueError("keys")
    return kind(**{name: _value(hint, value[name]) for name, hint in hints.items()})


def _value(hint: Any, value: Any) -> Any:
    origin = get_origin(hint)
    if origin is UnionType:
        return (
            None
            if value is None
            else _value(next(one for one in get_args(hint) if one is not NoneType), value)
        )
    if origin is tuple:
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            raise ValueError("list")
        return tuple(_value(get_args(hint)[0], one) for one in value)
    if is_dataclass(hint):
        return _read(hint, value)
    if hint in (bytes, datetime):
        if not isinstance(value, str):
            raise ValueError("text")
        return bytes.fromhex(value) if hint is bytes else datetime.strptime(value, _TIME).replace(tzinfo=UTC)
    if type(value) is not hint:
        raise ValueError("type")
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
