"""Changes that operators ask for: each is done once, and told in the audit chain, in one transaction.

1  a caller that gives a request_id claims it; who comes second waits until the first one's end is known
2  a request_id that was used is answered as then, byte for byte, where the request is the same
3  the work is done, and its answer kept
4  the audit chain tells of it

What is kept can be read by nobody who has the database alone. Callers, ids and requests stand there as
keyed digests, the subject as the audit chain has it; the answer (it may hold a join token, or what belongs
to a person) is sealed under a key that is made of the service's secret and the request id. Where the secret
is lost, nothing is found any more.
A refusal undoes the transaction and is not kept: asking again means trying again. Where it must leave
something behind (a wrong code counts as a try), ``work`` returns the error in the place of an answer: what
it wrote is committed, the audit chain tells of the refusal, and then the caller is refused. What was
answered about a person goes with the person: who asks again then asks anew.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Protocol, TypeVar, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.protobuf.symbol_database import Default
from sqlalchemy import Connection

from cloud.access.call import CALL
from cloud.audit import chain
from cloud.errors import Reason, ServiceError
from cloud.sources import Sources, from_us, to_us
from cloud.store import requests as rows
from cloud.store.database import Store
from verifield.v1 import audit_pb2

KEPT_FOR = timedelta(days=7)
"""Longer than a command that was broken off waits for the person who repeats it after a long weekend."""

CLEANED_AT_ONCE = 16
"""Old answers that a change takes away beside its own work: more than it adds, and still quick."""

_NONCE_BYTES = 12  # of AES-GCM

Response = TypeVar("Response", bound=Message)


class Request(Protocol):
    """A request that changes something; ``request_id``: a UUID, or empty."""

    request_id: str


class Mutations:
    """``secret``: 32 bytes or more that are never in the database, the same on all servers."""

    def __init__(self, store: Store, sources: Sources, *, secret: bytes) -> None:
        self._store = store
        self._sources = sources
        self._secret = hmac.digest(secret, b"verifield kept answers", hashlib.sha256)

    async def run(
        self,
        request: Request,
        *,
        action: str,
        subject: str | Callable[[Response], str],
        work: Callable[[Connection], Response | ServiceError],
        facts: Mapping[str, str] = chain.NO_FACTS,
    ) -> Response:
        """Do ``work`` once and return its answer, or the one that was given before.

        ``work`` may be called again where the database asks for it: it has no effects but its rows.
        ``action`` (for example ``devices.revoke``), ``subject`` (for example ``devices/ID``; for a thing that
        ``work`` makes it is read from the answer) and ``facts`` go into the audit chain: nothing personal.

        Raises:
            ServiceError: REQUEST_ID_REUSED, or what ``work`` raises; then nothing was changed. What it
                returned as an error, once that is committed.
        """
        call = CALL.get()
        caller = call.caller.path if call.caller else "service"
        message = cast("Message", request)
        request_id = request.request_id.lower()

        def about(answer: Response | ServiceError) -> str:
            if isinstance(subject, str):
                return subject
            return call.method if isinstance(answer, ServiceError) else subject(answer)

        def change(connection: Connection) -> Response | ServiceError:
            answer = work(connection)
            refused = isinstance(answer, ServiceError)
            chain.record(
                connection,
                action=action,
                subject=about(answer),
                caller=caller,
                request_id=request_id or call.request_id,
                now_us=to_us(self._sources.now()),
                facts={**facts, "reason": answer.reason.value} if isinstance(answer, ServiceError) else facts,
                outcome=audit_pb2.AUDIT_OUTCOME_REFUSED if refused else audit_pb2.AUDIT_OUTCOME_DONE,
            )
            return answer

        def once(connection: Connection) -> Response | ServiceError:
            identity = "\0".join((caller, message.DESCRIPTOR.full_name, request_id)).encode()
            return self._once(connection, message, identity, change=change, about=about)

        answer = await asyncio.to_thread(self._store.run, once if request_id else change)
        if isinstance(answer, ServiceError):
            raise answer
        return answer

    def _once(
        self,
        connection: Connection,
        request: Message,
        identity: bytes,
        *,
        change: Callable[[Connection], Response | ServiceError],
        about: Callable[[Response], str],
    ) -> Response | ServiceError:
        now_us = to_us(self._sources.now())
        key, mac = self._digest(b"key", identity), self._digest(b"request", _without_id(request))
        rows.drop_old(connection, key, before_us=to_us(from_us(now_us) - KEPT_FOR), limit=CLEANED_AT_ONCE)
        row = rows.KeptRow(key, mac, b"", now_us, rows.bucket_of(key))
        sealer = AESGCM(self._digest(b"seal", identity))
        if not rows.claim(connection, row):  # step 1
            return cast("Response", _replay(rows.get_kept(connection, key), sealer, mac=mac))  # step 2
        answer = change(connection)  # steps 3 and 4
        if isinstance(answer, ServiceError):
            rows.drop(connection, key)
            return answer
        packed = AnyMessage()
        packed.Pack(answer, deterministic=True)
        nonce = self._sources.random_bytes(_NONCE_BYTES)
        sealed = nonce + sealer.encrypt(nonce, packed.SerializeToString(), key + mac)
        rows.put_answer(connection, key, sealed, subject=about(answer))
        return answer

    def _digest(self, purpose: bytes, data: bytes) -> bytes:
        return hmac.digest(self._secret, purpose + b"\0" + data, hashlib.sha256)


def _without_id(request: Message) -> bytes:
    plain = type(request)()
    plain.CopyFrom(request)
    plain.ClearField("request_id")
    return plain.SerializeToString(deterministic=True)


def _replay(row: rows.KeptRow | None, sealer: AESGCM, *, mac: bytes) -> Message:
    if row is None:  # it grew old, and another transaction took it away, between two statements
        raise ServiceError(Reason.STORE_UNAVAILABLE, "The answer to this request id was just removed.")
    if not hmac.compare_digest(row.request_mac, mac):
        raise ServiceError(Reason.REQUEST_ID_REUSED, "This request id was used for another request.")
    nonce, sealed = row.answer[:_NONCE_BYTES], row.answer[_NONCE_BYTES:]
    try:
        packed = AnyMessage.FromString(sealer.decrypt(nonce, sealed, row.request_key + row.request_mac))
    except (InvalidTag, ValueError, DecodeError) as error:
        raise ServiceError(Reason.RECORD_DAMAGED, "The kept answer was changed from outside.") from error
    answer = Default().GetSymbol(packed.TypeName())()
    packed.Unpack(answer)
    return answer
