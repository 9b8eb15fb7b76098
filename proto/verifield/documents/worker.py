"""The process behind ``apart``: reads one question, sets its own limits, and writes one verdict."""

from __future__ import annotations

import json
import logging
import resource
import sys
from datetime import datetime

from cryptography import x509

from verifield.documents.apart import LENGTH
from verifield.documents.judging import judge
from verifield.documents.verdict import Code, Verdict, encode_verdict


def main() -> None:
    """Answer the one question on standard input."""
    logging.disable(logging.CRITICAL)  # what a file holds goes into no log
    [size] = LENGTH.unpack(sys.stdin.buffer.read(LENGTH.size))
    asked = json.loads(sys.stdin.buffer.read(size))
    _limit(asked["seconds"], asked["memory_bytes"])
    try:
        verdict = judge(
            sys.stdin.buffer.read(),
            roots=_certificates(asked["roots"]),
            at=datetime.fromisoformat(asked["at"]),
            stamp_roots=_certificates(asked["stamp_roots"]),
            revocations=[bytes.fromhex(one) for one in asked["revocations"]],
        )
    except MemoryError:
        verdict = Verdict.unknown(Code.TOO_COSTLY)
    sys.stdout.write(json.dumps(encode_verdict(verdict)))
    sys.stdout.flush()


def _limit(seconds: float, memory_bytes: int) -> None:
    processor = max(1, round(seconds))
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, processor),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        _, hard = resource.getrlimit(what)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (limit, limit))


def _certificates(encoded: list[str]) -> list[x509.Certificate]:
    return [x509.load_der_x509_certificate(bytes.fromhex(one)) for one in encoded]


if __name__ == "__main__":
    main()
