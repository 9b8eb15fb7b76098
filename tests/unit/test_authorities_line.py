"""Questions to an authority in virtual time: tries, pauses, budgets, the circuit breaker, places."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.authorities.answers import Answer
from cloud.authorities.breaker import BreakerLimits, Circuit
from cloud.authorities.line import Limits, Line, Watch
from cloud.authorities.port import RETRIED, Authority, AuthorityFault, Elements, FaultKind
from cloud.authorities.retry import FIRST_PAUSE_S, LONGEST_PAUSE_S, Budget
from cloud.authorities.transport import OversizedError, Reply, UnreachableError
from cloud.errors import Reason, ServiceError
from tests.support.virtual_loop import run_virtually

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SMALL = 1e-6


@dataclass(frozen=True)
class Step:
    """What the gateway does with one try, after ``seconds``."""

    kind: str
    seconds: float = 0.0
    told_s: float | None = None


@dataclass
class Scripted:
    """A gateway that follows a script, and goes on with its last step."""

    script: list[Step]
    sent: list[tuple[float, str, float]] = field(default_factory=list)
    most_at_once: int = 0
    _now: int = 0

    async def send(
        self,
        method: str,
        path: str,
        *,
        content: bytes = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        limit: int,
    ) -> Reply:
        step = self.script[min(len(self.sent), len(self.script) - 1)]
        key = (headers or {}).get("Idempotency-Key", "")
        self.sent.append((now(), key, timeout_s))
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            if step.seconds >= timeout_s:
                await asyncio.sleep(timeout_s)
                raise UnreachableError("Timeout", late=True)
            await asyncio.sleep(step.seconds)
        finally:
            self._now -= 1
        match step.kind:
            case "unreachable":
                raise UnreachableError("ConnectError")
            case "oversized":
                raise OversizedError("TooLarge")
            case "busy":
                return Reply(503, "application/json", b"{}", step.told_s)
            case "nonsense":
                return Reply(200, "application/json", b'{"result": "MATCH"}')
            case kind if kind.isdigit():
                return Reply(int(kind), "text/plain", b"")
        return Reply(
            200,
            "application/json",
            json.dumps({"request_id": key, "result": step.kind, "status": "OK"}).encode(),
        )

    async def close(self) -> None:
        return


def now() -> float:
    return asyncio.get_running_loop().time()


def a_line(
    gateway: Scripted | None,
    *,
    tries: int = 4,
    seconds: float = 20.0,
    try_s: float = 8.0,
    open_after: int = 1000,
    open_s: float = 15.0,
    parallel: int = 16,
    chance: Callable[[], float] = lambda: 0.5,
    ended: list[tuple[str, str, float]] | None = None,
) -> Line:
    limits = Limits(Budget(tries, seconds, try_s), BreakerLimits(open_after, open_s), parallel)
    told = ended if ended is not None else []
    return Line(
        Authority.REGISTRY, gateway, limits, Watch(chance, lambda: NOON, lambda *one: told.append(one))
    )


def read(answer: Answer) -> Elements:
    return answer.one_of("result", Elements)


async def ask(line: Line, request_id: str = "") -> Elements:
    asked = await line.ask(
        "elements", {}, read, outcome=lambda found: found.value.lower(), request_id=request_id
    )
    return asked.value


async def fault_of(line: Line) -> AuthorityFault:
    with pytest.raises(AuthorityFault) as caught:
        await ask(line)
    return caught.value


STEPS = st.builds(
    Step,
    st.sampled_from(
        [
            "MATCH",
            "MISSING",
            "busy",
            "unreachable",
            "oversized",
            "nonsense",
            "500",
            "403",
            "422",
            "302",
            "502",
        ]
    ),
    st.sampled_from([0.0, 0.3, 2.0, 7.9, 8.0, 30.0]) | st.floats(0, 40),
    st.none() | st.floats(0, 60),
)


@pytest.mark.req("R076")
@settings(max_examples=300, deadline=None)
@given(
    script=st.lists(STEPS, min_size=1, max_size=8),
    tries=st.integers(1, 6),
    seconds=st.floats(0.5, 60),
    try_s=st.floats(0.2, 10),
    chances=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=8),
)
def test_whatever_a_gateway_does_a_question_stays_within_its_budget_and_no_answer_is_asked_for_again(
    script: list[Step], tries: int, seconds: float, try_s: float, chances: list[float]
) -> None:
    gateway, ended = Scripted(script), []
    drawn = iter(chances * 10)
    line = a_line(gateway, tries=tries, seconds=seconds, try_s=try_s, chance=lambda: next(drawn), ended=ended)

    async def work() -> tuple[Elements | AuthorityFault, float]:
        started = now()
        try:
            return await ask(line), now() - started
        except AuthorityFault as fault:
            return fault, now() - started

    found, took = run_virtually(work())
    taken = [script[min(number, len(script) - 1)] for number in range(len(gateway.sent))]
    assert 1 <= len(gateway.sent) <= tries
    assert took <= seconds + SMALL
    assert len({key for _, key, _ in gateway.sent}) == 1  # the same question, however often it is sent
    assert all(timeout <= try_s for _, _, timeout in gateway.sent)

    def kind_of(step: Step, timeout: float) -> FaultKind | None:
        if step.seconds >= timeout or step.kind in {"unreachable", "502"}:
            return FaultKind.UNREACHABLE
        if step.kind == "busy":
            return FaultKind.BUSY
        if step.kind in {"oversized", "nonsense"}:
            return FaultKind.NONSENSE
        return FaultKind.SYSTEM_ERROR if step.kind.isdigit() else None

    kinds = [kind_of(step, timeout) for step, (_, _, timeout) in zip(taken, gateway.sent, strict=True)]
    assert all(kind in RETRIED for kind in kinds[:-1])  # only these are tried again
    if kinds[-1] is None:
        assert found == Elements(taken[-1].kind)
    else:
        assert isinstance(found, AuthorityFault)
        assert (found.kind, found.tries) == (kinds[-1], len(gateway.sent))
        assert found.seconds == pytest.approx(took)
    for number, (before, after) in enumerate(zip(gateway.sent, gateway.sent[1:], strict=False), start=1):
        step = taken[number - 1]
        pause = after[0] - before[0] - min(step.seconds, before[2])
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (number - 1))
        told = (step.told_s or 0.0) if kinds[number - 1] is FaultKind.BUSY else 0.0
        assert max(longest / 2, told) - SMALL <= pause <= max(longest, told) + SMALL
    [(authority, outcome, told_seconds)] = ended
    assert (authority, told_seconds) == ("registry", pytest.approx(took))
    assert outcome == (found.kind if isinstance(found, AuthorityFault) else found).value.lower()


@pytest.mark.req("R076")
def test_busy_is_tried_again_up_to_the_budget_and_then_surfaced_with_its_code() -> None:
    gateway = Scripted([Step("busy", 0.1)])
    fault = run_virtually(fault_of(a_line(gateway, tries=4)))
    assert len(gateway.sent) == 4
    assert fault.reason is Reason.AUTHORITY_BUSY
    assert fault.metadata == {
        "authority": "registry",
        "fault": "BUSY",
        "retry_class": "AUTOMATIC",
        "tries": "4",
    }
    assert fault.retry_s == 30.0


@pytest.mark.req("R076")
def test_missing_is_an_answer_and_asked_once() -> None:
    gateway = Scripted([Step("MISSING"), Step("MATCH")])
    assert run_virtually(ask(a_line(gateway))) is Elements.MISSING
    assert len(gateway.sent) == 1


def test_jitter_keeps_those_who_were_refused_together_from_coming_again_together() -> None:
    async def second_try(chance: float) -> float:
        gateway = Scripted([Step("busy"), Step("MATCH")])
        await ask(a_line(gateway, chance=lambda: chance))
        return gateway.sent[1][0] - gateway.sent[0][0]

    pauses = [run_virtually(second_try(number / 100)) for number in range(100)]
    assert min(pauses) == pytest.approx(FIRST_PAUSE_S / 2)
    assert max(pauses) == pytest.approx(FIRST_PAUSE_S * 0.995)
    assert len(set(pauses)) == 100


def test_a_wait_that_the_authority_asks_for_is_kept_or_the_question_ends() -> None:
    gateway = Scripted([Step("busy", 0, 7.0), Step("busy", 0, 90.0), Step("MATCH")])
    fault = run_virtually(fault_of(a_line(gateway)))
    assert (fault.kind, fault.tries) == (FaultKind.BUSY, 2)
    assert gateway.sent[1][0] - gateway.sent[0][0] == pytest.approx(7.0)


def test_an_authority_that_is_not_connected_is_not_asked() -> None:
    fault = run_virtually(fault_of(a_line(None)))
    assert fault.reason is Reason.AUTHORITY_NOT_CONFIGURED
    assert (fault.tries, fault.retry_s) == (0, None)


def test_repeated_faults_open_the_circuit_and_one_question_probes() -> None:
    gateway = Scripted([Step("busy")] * 4 + [Step("500"), Step("MATCH", 1.0), Step("MATCH")])
    line = a_line(gateway, tries=2, open_after=2, open_s=10.0)

    async def work() -> None:
        for _ in range(2):
            assert not (await fault_of(line)).circuit_open
        assert line.status().circuit is Circuit.OPEN
        refused = await fault_of(line)
        assert refused.circuit_open
        assert refused.reason is Reason.AUTHORITY_BUSY  # as the last one heard
        assert refused.retry_s == pytest.approx(10.0)
        assert len(gateway.sent) == 4
        await asyncio.sleep(10.0)
        assert line.status().circuit is Circuit.PROBING
        assert (await fault_of(line)).kind is FaultKind.SYSTEM_ERROR  # the probe: open again
        assert (await fault_of(line)).circuit_open
        await asyncio.sleep(10.0)
        probe = asyncio.create_task(ask(line))
        await asyncio.sleep(0.5)
        assert (await fault_of(line)).circuit_open  # nobody else's is sent meanwhile
        assert await probe is Elements.MATCH
        assert line.status().circuit is Circuit.CLOSED
        assert line.status().failed_in_a_row == 0
        assert await ask(line) is Elements.MATCH

    run_virtually(work())


def test_what_lies_in_the_question_does_not_open_the_circuit_for_others() -> None:
    line = a_line(Scripted([Step("422")]), open_after=2)

    async def work() -> None:
        for _ in range(5):
            assert (await fault_of(line)).reason is Reason.REALNAME_SYSTEM_ERROR
        assert line.status().circuit is Circuit.CLOSED

    run_virtually(work())


def test_who_goes_away_while_probing_leaves_the_probe_to_another_and_gives_the_place_back() -> None:
    line = a_line(
        Scripted([Step("500"), Step("MATCH", 5.0), Step("MATCH")]), open_after=1, open_s=1.0, parallel=1
    )

    async def work() -> None:
        await fault_of(line)
        await asyncio.sleep(1.0)
        probe = asyncio.create_task(ask(line))
        await asyncio.sleep(0.1)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        assert line.status().under_way == 0
        assert await ask(line) is Elements.MATCH

    run_virtually(work())


def test_no_more_questions_than_places_are_under_way_and_waiting_counts_into_the_budget() -> None:
    gateway = Scripted([Step("MATCH", 6.0)])
    line = a_line(gateway, parallel=3, seconds=20.0)

    async def work() -> list[Elements | BaseException]:
        found = await asyncio.gather(*(ask(line) for _ in range(12)), return_exceptions=True)
        assert line.status().under_way == 0
        assert line.status().failed_in_a_row == 0  # that the queue was long says nothing of the authority
        return found

    found = run_virtually(work())
    assert gateway.most_at_once == 3
    answered = [one for one in found if one is Elements.MATCH]
    late = [one for one in found if isinstance(one, AuthorityFault)]
    assert len(answered) == 9  # at 6, 12 and 18 s; the fourth three have 2 s left, and do not get an answer
    assert len(late) == 3
    assert all(one.kind in {FaultKind.BUSY, FaultKind.UNREACHABLE} for one in late)


def test_a_gateway_that_never_answers_opens_the_circuit() -> None:
    line = a_line(Scripted([Step("MATCH", 1e6)]), open_after=2)

    async def work() -> None:
        for _ in range(2):
            fault = await fault_of(line)
            assert (fault.kind, fault.tries) == (FaultKind.UNREACHABLE, 3)  # 8 s, 8 s, and what is left
        assert line.status().circuit is Circuit.OPEN

    run_virtually(work())


def test_a_question_that_is_put_again_after_a_crash_has_the_key_that_it_had() -> None:
    gateway = Scripted([Step("MATCH")])
    key = "019ABCDE-0000-7000-8000-000000000001"

    async def work() -> None:
        line = a_line(gateway)
        await ask(line, key)
        await ask(line, key.lower())
        with pytest.raises(ServiceError) as caught:
            await ask(line, "an id number")
        assert caught.value.reason is Reason.REQUEST_INVALID

    run_virtually(work())
    assert [sent for _, sent, _ in gateway.sent] == [key.lower()] * 2


def test_askers_who_lose_their_patience_open_the_circuit_too() -> None:
    """Each went away in its second try: that the first one had no answer is known all the same."""
    gateway = Scripted([Step("MATCH", 100)])
    line = a_line(gateway, open_after=3)

    async def work() -> None:
        for _ in range(3):
            assert line.status().circuit is Circuit.CLOSED
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(10):
                    await ask(line)
        assert line.status().circuit is Circuit.OPEN

    run_virtually(work())


def test_askers_who_go_at_once_say_nothing_of_the_authority() -> None:
    line = a_line(Scripted([Step("MATCH", 100)]), open_after=1)

    async def work() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await ask(line)
        assert line.status().circuit is Circuit.CLOSED

    run_virtually(work())


def test_a_check_asks_past_the_circuit_and_changes_nothing() -> None:
    line = a_line(Scripted([Step("500"), Step("MATCH")]), open_after=1)

    async def work() -> None:
        await fault_of(line)
        assert await line.check() == ""
        assert line.status().circuit is Circuit.OPEN

    run_virtually(work())


def test_the_last_fault_names_its_kind_and_nothing_else() -> None:
    line = a_line(Scripted([Step("nonsense")]))
    run_virtually(fault_of(line))
    fault = line._last_fault
    assert fault is not None
    assert (fault.kind, fault.detail, fault.time) == (FaultKind.NONSENSE, "request_id: another one", NOON)


def test_every_fault_has_a_reason_and_tells_nothing_personal() -> None:
    for kind in FaultKind:
        fault: Any = AuthorityFault(Authority.BANK, kind, tries=2)
        assert set(fault.metadata) == {"authority", "fault", "retry_class", "tries"}
        assert fault.reason in Reason
