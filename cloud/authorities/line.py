"""The line to one authority: questions in parallel up to a limit, tried again within a budget, cut off by a
circuit breaker, watched.

1  a question waits for its place
2  an open circuit refuses it, with what the last one heard
3  it is sent; BUSY and transport faults are tried again after a pause, all else is not
4  its end goes to the breaker and to the figures
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from cloud.authorities.answers import MAX_PLAIN_BYTES, Answer, NonsenseError, parse_answer
from cloud.authorities.breaker import Breaker, BreakerLimits, Circuit
from cloud.authorities.port import RETRIED, Authority, AuthorityFault, FaultKind
from cloud.authorities.retry import Budget
from cloud.authorities.transport import OversizedError, Reply, Transport, UnreachableError
from cloud.errors import Reason, ServiceError

T = TypeVar("T")

HEALTH_PATH = "health"
MAX_HEALTH_BYTES = 4096

_OK = 200
_BUSY = frozenset({429, 503})
_AWAY = frozenset({408, 502, 504})  # what proxies say of whom they cannot reach
_ABOUT_US = frozenset({400, 404, 409, 413, 422})
_JSON = "application/json"
_REQUEST_ID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


@dataclass(frozen=True, slots=True)
class Limits:
    """``parallel``: questions that are under way at the same time."""

    budget: Budget
    breaker: BreakerLimits
    parallel: int


@dataclass(frozen=True, slots=True)
class Asked(Generic[T]):
    """An answer, and what it took."""

    value: T
    seconds: float
    tries: int


@dataclass(frozen=True, slots=True)
class LastFault:
    """``detail``: a status, the name of a transport fault or the rule that an answer broke."""

    kind: FaultKind
    detail: str
    time: datetime


@dataclass(frozen=True, slots=True)
class LineStatus:
    """How a line is, for those who watch over it; of this server alone."""

    authority: Authority
    configured: bool
    circuit: Circuit
    failed_in_a_row: int
    under_way: int
    last_fault: LastFault | None
    last_answer_time: datetime | None


@dataclass(frozen=True, slots=True)
class Watch:
    """Where a line gets chance and the time of day, and tells of the end of each question.

    ``ended``: authority, outcome (of a closed set), seconds. ``chance``: evenly from 0 to 1.
    """

    chance: Callable[[], float]
    now: Callable[[], datetime]
    ended: Callable[[str, str, float], None]


@dataclass(frozen=True, slots=True)
class _Question(Generic[T]):
    path: str
    content: bytes
    key: str
    read: Callable[[Answer], T]
    limit: int


class _FaultError(Exception):
    """``about_us``: the fault lies in this one question, and says nothing of the authority."""

    def __init__(
        self, kind: FaultKind, detail: str, *, told_s: float | None = None, about_us: bool = False
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.told_s = told_s
        self.about_us = about_us


class Line:
    """To one authority; used in one event loop. ``transport``: None where the authority has no address."""

    def __init__(
        self, authority: Authority, transport: Transport | None, limits: Limits, watch: Watch
    ) -> None:
        self.authority = authority
        self._transport = transport
        self._limits = limits
        self._watch = watch
        self._breaker = Breaker(limits.breaker)
        self._places = asyncio.Semaphore(limits.parallel)
        self._under_way = 0
        self._last_fault: LastFault | None = None
        self._last_answer: datetime | None = None

    @property
    def configured(self) -> bool:
        return self._transport is not None

    async def ask(
        self,
        operation: str,
        body: Mapping[str, Any],
        read: Callable[[Answer], T],
        *,
        outcome: Callable[[T], str],
        request_id: str = "",
        limit: int = MAX_PLAIN_BYTES,
    ) -> Asked[T]:
        """Ask, and return what ``read`` makes of the answer. ``outcome``: its label in the figures.

        Raises:
            AuthorityFault: no answer was got.
            ServiceError: REQUEST_INVALID, the request id is not a UUID.
        """
        question = _Question(
            f"v1/{self.authority.value}/{operation}",
            json.dumps(body, ensure_ascii=False).encode(),
            _key(request_id),
            read,
            limit,
        )
        started, label = _clock(), "abandoned"
        try:
            asked = await self._in_turn(question, started)
            label = outcome(asked.value)
        except AuthorityFault as fault:
            label = "circuit_open" if fault.circuit_open else fault.kind.value.lower()
            raise
        finally:
            self._watch.ended(self.authority.value, label, _clock() - started)
        return asked

    async def check(self) -> str:
        """Ask the gateway whether it is well, past the breaker; empty where it is, else what is wrong.

        Raises:
            AuthorityFault: NOT_CONFIGURED.
        """
        if self._transport is None:
            raise AuthorityFault(self.authority, FaultKind.NOT_CONFIGURED)
        path = f"v1/{self.authority.value}/{HEALTH_PATH}"
        try:
            reply = await self._transport.send(
                "GET", path, timeout_s=self._limits.budget.try_s, limit=MAX_HEALTH_BYTES
            )
            _check_status(reply)
            if parse_answer(reply.content, request_id=None).text("status") != "OK":
                return "status: not OK"
        except (UnreachableError, OversizedError, NonsenseError, _FaultError) as error:
            return str(error)
        return ""

    def status(self) -> LineStatus:
        """How it is now; to be called in the event loop."""
        return LineStatus(
            self.authority,
            configured=self.configured,
            circuit=self._breaker.circuit(_clock()),
            failed_in_a_row=self._breaker.failed_in_a_row,
            under_way=self._under_way,
            last_fault=self._last_fault,
            last_answer_time=self._last_answer,
        )

    async def close(self) -> None:
        """End all connections."""
        if self._transport is not None:
            await self._transport.close()

    async def _in_turn(self, question: _Question[T], started: float) -> Asked[T]:
        if self._transport is None:
            raise AuthorityFault(self.authority, FaultKind.NOT_CONFIGURED)
        try:
            async with asyncio.timeout(self._limits.budget.seconds):
                await self._places.acquire()  # step 1
        except TimeoutError:
            raise AuthorityFault(self.authority, FaultKind.BUSY, seconds=_clock() - started) from None
        self._under_way += 1
        try:
            return await self._admitted(self._transport, question, started)
        finally:
            self._under_way -= 1
            self._places.release()

    async def _admitted(self, transport: Transport, question: _Question[T], started: float) -> Asked[T]:
        wait = self._breaker.admit(_clock())  # step 2
        if wait is not None:
            kind = self._last_fault.kind if self._last_fault else FaultKind.SYSTEM_ERROR
            raise AuthorityFault(self.authority, kind, retry_s=wait, circuit_open=True)
        settle: Callable[[], None] = self._breaker.abandoned
        tries = 0
        try:
            while True:
                tries += 1
                try:
                    value = await self._try(transport, question, started)  # step 3
                    break
                except _FaultError as fault:
                    if not fault.about_us:
                        settle = self._failed  # also where the asker goes away before the end
                    pause = self._pause(fault, tries, started)
                    if pause is None:
                        self._last_fault = LastFault(fault.kind, fault.detail, self._watch.now())
                        raise AuthorityFault(
                            self.authority, fault.kind, tries=tries, seconds=_clock() - started
                        ) from None
                await asyncio.sleep(pause)
            self._last_answer = self._watch.now()
            settle = self._breaker.answered
            return Asked(value, _clock() - started, tries)
        finally:
            settle()  # step 4; where the asker went away at the first try, nothing was learnt

    def _failed(self) -> None:
        self._breaker.failed(_clock())

    def _pause(self, fault: _FaultError, tries: int, started: float) -> float | None:
        if fault.kind not in RETRIED:
            return None
        return self._limits.budget.pause(
            tried=tries, elapsed_s=_clock() - started, chance=self._watch.chance(), told_s=fault.told_s
        )

    async def _try(self, transport: Transport, question: _Question[T], started: float) -> T:
        """Send once.

        Raises:
            _FaultError: no answer that can be understood.
        """
        left = self._limits.budget.time_for_try(_clock() - started)
        if left <= 0:
            raise _FaultError(FaultKind.BUSY, "BudgetUsed", about_us=True)
        headers = {"Content-Type": _JSON, "Idempotency-Key": question.key}
        try:
            reply = await transport.send(
                "POST",
                question.path,
                content=question.content,
                headers=headers,
                timeout_s=left,
                limit=question.limit,
            )
            _check_status(reply)
            return question.read(parse_answer(reply.content, request_id=question.key))
        except UnreachableError as error:
            # A try that had less than its time, because others were before it, says nothing of the authority.
            cut_short = error.late and left < self._limits.budget.try_s
            raise _FaultError(FaultKind.UNREACHABLE, str(error), about_us=cut_short) from None
        except (OversizedError, NonsenseError) as error:
            raise _FaultError(FaultKind.NONSENSE, str(error)) from None


def _check_status(reply: Reply) -> None:
    if reply.status in _BUSY:
        raise _FaultError(FaultKind.BUSY, f"HTTP {reply.status}", told_s=reply.retry_after_s)
    if reply.status in _AWAY:
        raise _FaultError(FaultKind.UNREACHABLE, f"HTTP {reply.status}")
    if reply.status != _OK:
        raise _FaultError(FaultKind.SYSTEM_ERROR, f"HTTP {reply.status}", about_us=reply.status in _ABOUT_US)
    if reply.media_type != _JSON:
        raise _FaultError(FaultKind.NONSENSE, "not JSON")


def _key(request_id: str) -> str:
    """The same for all tries of a question, and for the same question after a crash."""
    if not request_id:
        return str(uuid.uuid4())
    if not _REQUEST_ID.fullmatch(request_id):
        raise ServiceError(Reason.REQUEST_INVALID, "The request id for an authority is a UUID.")
    return request_id.lower()


def _clock() -> float:
    return asyncio.get_running_loop().time()
