"""What the rules of statements, receipts and policies are made of: names, digests, numbers, limits."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

from verifield.errors import Malformed
from verifield.v1 import attestation_pb2 as pb

MAX_NAME_CHARS = 64
"""Names, versions and codes; also the longest common name in a certificate (RFC 5280, A.1)."""

MAX_PATH_CHARS = 4 * MAX_NAME_CHARS
"""Names of cameras and readers may be paths of the operating system."""

MAX_ITEMS = 64
"""Entries of any list: reasons, commitments, experts, actions, quality components."""

MAX_COUNTER = 2**63 - 1
"""Counters are stored as signed 64-bit integers."""

DIGEST_BYTES = 32
NONCE_BYTES = 16

CODE = re.compile(rf"[A-Z][A-Z0-9_]{{0,{MAX_NAME_CHARS - 1}}}")
FIELD = re.compile(rf"[a-z][a-z0-9_.]{{0,{MAX_NAME_CHARS - 1}}}")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_PLAIN = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._:-]{{0,{MAX_NAME_CHARS - 1}}}")


def require(condition: bool, what: str) -> None:
    """Raise Malformed, naming the rule that is broken, unless ``condition`` holds."""
    if not condition:
        raise broken(what)


def broken(what: str) -> Malformed:
    """The error for a broken rule, where its sentence is worth putting together only then."""
    return Malformed("STATEMENT", f"The statement breaks a rule: {what}.")


def check_uuid7(text: str, *, what: str = "attestation_id") -> None:
    """Raise Malformed unless ``text`` is a UUID version 7 (RFC 9562) in lower case with hyphens."""
    if not _UUID7.fullmatch(text):
        raise broken(f"{what} is not a UUID version 7 in lower case")


def check_plain_name(text: str, *, what: str) -> None:
    """Raise Malformed unless ``text`` is 1 to 64 letters, digits, dots, colons, hyphens or underscores."""
    if not _PLAIN.fullmatch(text):
        raise broken(f"{what} is missing or not a plain name")


def check_device_id(text: str, *, what: str = "device_id") -> None:
    """Raise Malformed unless ``text`` is a plain name."""
    check_plain_name(text, what=what)


def check_names(*names: str, what: str, required: bool = True, limit: int = MAX_NAME_CHARS) -> None:
    """Raise Malformed where a name has more than ``limit`` characters, or some that cannot be printed."""
    for name in names:
        if len(name) > limit or not name.isprintable():
            raise broken(f"{what} is too long or not printable")
        if required and not name:
            raise broken(f"{what} is missing")


def check_codes(codes: Sequence[str], *, what: str) -> None:
    """Raise Malformed where there are too many, or one is no upper-case code."""
    if len(codes) > MAX_ITEMS:
        raise broken(f"{what} has too many entries")
    if not all(map(CODE.fullmatch, codes)):
        raise broken(f"an entry of {what} is not a code")


def check_digest(digest: bytes, *, what: str, required: bool = True) -> None:
    """Raise Malformed unless ``digest`` has 32 bytes; or none, where it is not required."""
    size = len(digest)
    if size != DIGEST_BYTES and (size or required):
        raise broken(f"{what} has not {DIGEST_BYTES} bytes")


def check_finite(values: Iterable[float]) -> None:
    """Raise Malformed where a value is no number."""
    if not all(map(math.isfinite, values)):
        raise broken("a score or a measure is not a finite number")


def check_counter(value: int, *, what: str, least: int = 1) -> None:
    """Raise Malformed unless ``value`` is between ``least`` and the largest counter."""
    if not least <= value <= MAX_COUNTER:
        raise broken(f"{what} is out of range")


def check_position(position: pb.ChainPosition, *, what: str) -> None:
    """Raise Malformed unless it names a place of a chain."""
    check_counter(position.chain_epoch, what=f"{what}.chain_epoch")
    check_counter(position.seq, what=f"{what}.seq")
    check_digest(position.envelope_sha256, what=f"{what}.envelope_sha256")


def check_commitments(commitments: Sequence[pb.Commitment], *, what: str) -> list[str]:
    """Return their field names; raise Malformed unless those are plain, each once and in ascending order."""
    names = [commitment.field for commitment in commitments]
    if len(names) > MAX_ITEMS:
        raise broken(f"{what} has too many entries")
    wrong = _wrong_with_fields(tuple(names))
    if wrong:
        raise broken(wrong.format(what=what))
    if names and {*map(len, [commitment.digest for commitment in commitments])} != {DIGEST_BYTES}:
        raise broken(f"a commitment's digest has not {DIGEST_BYTES} bytes")
    return names


@lru_cache(maxsize=1024)
def _wrong_with_fields(names: tuple[str, ...]) -> str:
    """What is wrong with these field names, if anything. Remembered: most documents have the same fields."""
    if not all(map(FIELD.fullmatch, names)):
        return "a field name of {what} is not plain"
    return "" if list(names) == sorted(set(names)) else "{what} is not in ascending order"
