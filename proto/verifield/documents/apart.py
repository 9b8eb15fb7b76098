"""The verdict in a process of its own, which may end in any way without harm.

A file can be made to unpack without end, to nest without end, or to lead its reader in circles. The process
has limits of time and memory, gets none of the caller's secrets through its environment, opens no file for
writing, and says one thing: the verdict. This module needs nothing but the standard library.
"""

from __future__ import annotations

import importlib.util
import json
import os
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from verifield.documents.verdict import Code, Verdict, parse_verdict
from verifield.errors import Unknown

MAX_DOCUMENT_BYTES = 48 * 1024 * 1024
"""A document of 20 MiB with all its fields signed has less."""

START_S = 30.0
"""For a new process on a machine that swaps; a quiet one takes half a second."""

LENGTH = struct.Struct(">Q")

_WORKER = (sys.executable, "-m", "verifield.documents.worker")
_PASSED = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "LANG", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one check. ``seconds``: of computing, and as much again of waiting."""

    seconds: float = 60.0
    memory_bytes: int = 1024 * 1024 * 1024


def judge_apart(
    content: bytes,
    *,
    roots: Sequence[x509.Certificate],
    at: datetime,
    stamp_roots: Sequence[x509.Certificate] = (),
    revocations: Sequence[bytes] = (),
    limits: Limits | None = None,
) -> Verdict:
    """As ``judging.judge``, under ``limits``: what breaks them is UNKNOWN.

    Raises:
        Unknown: DOCUMENTS_EXTRA: what reads PDF is not installed.
        OSError: no process can be started.
    """
    if importlib.util.find_spec("pyhanko") is None:
        raise Unknown(
            "DOCUMENTS_EXTRA",
            "To check documents, pyHanko is needed beside the verifier.",
            hint="Install it with the extra: pip install 'verifield[documents]'.",
        )
    if len(content) > MAX_DOCUMENT_BYTES:
        return Verdict.unknown(Code.TOO_LARGE)
    limits = limits or Limits()
    asked = {
        "at": at.isoformat(),
        "roots": [_hex(one) for one in roots],
        "stamp_roots": [_hex(one) for one in stamp_roots],
        "revocations": [one.hex() for one in revocations],
        "seconds": limits.seconds,
        "memory_bytes": limits.memory_bytes,
    }
    head = json.dumps(asked).encode()
    try:
        done = subprocess.run(
            _WORKER,
            input=LENGTH.pack(len(head)) + head + content,
            capture_output=True,
            timeout=2 * limits.seconds + START_S,
            env={name: os.environ[name] for name in _PASSED if name in os.environ},
            start_new_session=True,  # signals of a terminal are for whoever waits
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Verdict.unknown(Code.TOO_COSTLY)
    try:
        return parse_verdict(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError, RecursionError):
        return Verdict.unknown(Code.TOO_COSTLY)  # it was ended before it had anything to say


def _hex(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.DER).hex()
