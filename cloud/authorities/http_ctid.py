"""Verification by network certificate behind a gateway (docs/authorities.md)."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from datetime import timedelta
from enum import StrEnum
from urllib.parse import urlsplit

from cloud.authorities.answers import Answer, NonsenseError
from cloud.authorities.line import Line
from cloud.authorities.port import NONCE_BYTES, CtidResult, CtidState, CtidTransaction, identity_digest
from cloud.settings import check_gateway
from cloud.sources import Sources

MAX_LINK_CHARS = 512
MAX_LIFE_S = 86_400

_TRANSACTION = re.compile(r"[A-Za-z0-9_-]{8,128}", re.ASCII)
_LINK = re.compile(r"https?://[!-~]+", re.ASCII)


class _Told(StrEnum):
    """What the gateway says; whether it is the right person is for us to see."""

    PENDING = "PENDING"
    VERIFIED = "VERIFIED"
    REFUSED = "REFUSED"
    EXPIRED = "EXPIRED"


class HttpCtid:
    """``Ctid`` of the port."""

    def __init__(self, line: Line, sources: Sources) -> None:
        self._line = line
        self._sources = sources

    async def start(self, name: str, id_number: str) -> CtidTransaction:
        """As the port says."""
        nonce = self._sources.random_bytes(NONCE_BYTES)
        asked = await self._line.ask(
            "start",
            {"name": name, "id_number": id_number, "nonce": nonce.hex()},
            self._transaction(nonce),
            outcome=lambda _: "started",
        )
        return asked.value

    async def finish(self, transaction_id: str, *, nonce: bytes, name: str, id_number: str) -> CtidResult:
        """As the port says."""
        wanted = identity_digest(nonce, name, id_number)

        def read(answer: Answer) -> CtidResult:
            state = CtidState(answer.one_of("state", _Told).value)
            if state is not CtidState.VERIFIED:
                if answer.has("identity_digest"):
                    raise NonsenseError("identity_digest: of nobody")
                return CtidResult(state)
            digest = answer.digest("identity_digest")
            if not hmac.compare_digest(digest, wanted):
                return CtidResult(CtidState.OTHER_PERSON)
            return CtidResult(state, digest)

        asked = await self._line.ask(
            "finish",
            {"transaction_id": transaction_id},
            read,
            outcome=lambda found: found.state.value.lower(),
        )
        return asked.value

    def _transaction(self, nonce: bytes) -> Callable[[Answer], CtidTransaction]:
        def read(answer: Answer) -> CtidTransaction:
            transaction = answer.text("transaction_id")
            link = answer.text("link", longest=MAX_LINK_CHARS)
            if not _TRANSACTION.fullmatch(transaction) or not _LINK.fullmatch(link):
                raise NonsenseError("transaction_id or link: not of its form")
            try:
                check_gateway(link)  # a person opens it: over TLS, or on this very machine
            except ValueError as error:
                raise NonsenseError("link: not https") from error
            if "@" in urlsplit(link).netloc:
                raise NonsenseError("link: with a user in it")
            life = answer.whole("expires_in_s", least=1, most=MAX_LIFE_S)
            return CtidTransaction(transaction, link, nonce, self._sources.now() + timedelta(seconds=life))

        return read
