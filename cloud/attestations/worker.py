"""A process that verifies batches, one after the other, for the service that started it.

``python -m cloud.attestations.worker FD``: frames come and go over the socket FD, an 8-byte length and
a pickle each. The first frame is the root certificate (DER), each other one a Job; its answer is what
:func:`encode_answer` gives. It keeps nothing between batches and ends when the socket closes, so with the
service. Pickles are read only from the other end of a socket pair that the service itself has made.
"""

from __future__ import annotations

import gc
import pickle
import signal
import socket
import struct
import sys
from collections.abc import Callable
from functools import partial
from typing import BinaryIO

from cryptography import x509

from cloud.attestations.record import Record, Refused
from cloud.attestations.signer import Signer
from cloud.attestations.verifying import Job, Verified, verify_batch
from cloud.errors import Reason, ServiceError

LENGTH = struct.Struct(">Q")


def encode_frame(content: bytes) -> bytes:
    """Return ``content`` behind its length."""
    return LENGTH.pack(len(content)) + content


def encode_answer(verify: Callable[[], Verified]) -> bytes:
    """Run ``verify``, and return its result or its refusal without the envelopes: the asker has those."""
    try:
        signer, records = verify()
    except ServiceError as error:
        return pickle.dumps((None, (error.reason.value, error.message, error.metadata)))
    columns = [
        tuple(one)[1:] if isinstance(one, Record) else Refused(b"", one.sha256, one.reason, one.place)
        for one in records
    ]
    return pickle.dumps((tuple(signer), columns))


def parse_answer(answer: bytes, job: Job) -> Verified:
    """Return what :func:`encode_answer` had for ``job``.

    Raises:
        ServiceError: its refusal.
        ValueError: it is not an answer to this job.
    """
    signer, rest = pickle.loads(answer)  # noqa: S301 (of our own process)
    if signer is None:
        reason, message, metadata = rest
        raise ServiceError(Reason(reason), message, metadata)
    records = [
        Refused(envelope, one.sha256, one.reason, one.place)
        if isinstance(one, Refused)
        else Record(envelope, *one)
        for envelope, one in zip(job.envelopes, rest, strict=True)
    ]
    return Verified(Signer(*signer), records)


def serve(channel: socket.socket) -> None:
    """Answer jobs until the other end closes."""
    with channel, channel.makefile("rb") as incoming:
        root = x509.load_der_x509_certificate(_read(incoming) or b"")
        while (frame := _read(incoming)) is not None:
            job = Job(*pickle.loads(frame))  # noqa: S301 (of the service that started us)
            channel.sendall(encode_frame(encode_answer(partial(verify_batch, job, root=root))))


def _read(incoming: BinaryIO) -> bytes | None:
    header = incoming.read(LENGTH.size)
    if len(header) < LENGTH.size:
        return None
    [size] = LENGTH.unpack(header)
    content = incoming.read(size)
    return content if len(content) == size else None


def main() -> None:
    """Serve the socket whose number is the one argument."""
    # A stop is told by the closed socket: signals go to whole groups, and running batches end first.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    gc.freeze()  # what was imported stays for good: no need to look at it again and again
    try:
        serve(socket.socket(fileno=int(sys.argv[1])))
    except (BrokenPipeError, ConnectionResetError):
        return  # the service is gone


if __name__ == "__main__":
    main()
