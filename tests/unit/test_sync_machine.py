from __future__ import annotations

import itertools

import pytest

from edge.rpc import FailureKind, RpcFailure
from edge.sync.machine import (
    BACKOFF_CAP_S,
    BACKOFF_FIRST_S,
    HALT_RECHECK_S,
    TRANSITIONS,
    AskHead,
    BatchAnswered,
    Command,
    Disconnect,
    Drained,
    Event,
    Failed,
    HeadAnswered,
    IllegalEvent,
    LocalChain,
    MarkDelivered,
    MarkInvalid,
    RecordResult,
    SendBatch,
    State,
    SyncMachine,
    Timer,
    Trouble,
    Verdict,
    Wake,
    backoff_s,
    judge_head,
)
from verifield.chain import ChainHead

AWAY = Failed(RpcFailure(FailureKind.TRANSIENT, "CLOUD_AWAY", "The cloud cannot be reached."))
REFUSED = Failed(RpcFailure(FailureKind.AUTH, "DEVICE_UNKNOWN", "The cloud refused."))
BROKEN = Failed(RpcFailure(FailureKind.PERMANENT, "RECEIPT_REFUSED", "The receipt was refused."))
HASH = b"h" * 32


def local(
    seq: int, *, confirmed: int = 0, oldest: int | None = 1, sha256_at_cloud: bytes | None = HASH
) -> LocalChain:
    head = ChainHead(1, seq, HASH) if seq else None
    return LocalChain(head, confirmed, oldest if seq else None, sha256_at_cloud)


def answered(*verdicts: Verdict, first: int = 1, confirmed: int = 0, reason: str = "") -> BatchAnswered:
    return BatchAnswered(
        tuple(RecordResult(seq, verdict, reason) for seq, verdict in enumerate(verdicts, first)), confirmed
    )


def run(machine: SyncMachine, *events: Event, now: float = 0.0) -> tuple[SyncMachine, tuple[Command, ...]]:
    commands: tuple[Command, ...] = ()
    for event in events:
        machine, commands = machine.handle(event, now=now, jitter=0.5)
    return machine, commands


def delivering(after_seq: int = 0) -> SyncMachine:
    return SyncMachine(state=State.DELIVERING, cursor=after_seq)


def test_a_backlog_is_delivered_and_confirmed() -> None:
    machine, commands = run(SyncMachine(), Wake())
    assert (machine.state, commands) == (State.RESUMING, (AskHead(),))
    machine, commands = run(machine, HeadAnswered(None, local(3)))
    assert (machine.state, commands) == (State.DELIVERING, (SendBatch(0),))
    machine, commands = run(machine, answered(*[Verdict.ACCEPTED] * 3, confirmed=3))
    assert commands == (MarkDelivered((1, 2, 3)), SendBatch(3))
    machine, commands = run(machine, Drained(unconfirmed=False, invalid=None))
    assert (machine.state, machine.trouble, commands) == (State.IDLE, None, ())


def test_a_new_record_needs_no_second_look_at_the_head() -> None:
    idle = SyncMachine(cursor=3)
    machine, commands = run(idle, Wake())
    assert (machine.state, commands) == (State.DELIVERING, (SendBatch(3),))


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize(
    "event",
    [Wake(), Timer(), HeadAnswered(None, local(0)), answered(), Drained(False, None), AWAY],
    ids=lambda event: type(event).__name__,
)
def test_the_table_says_which_events_a_state_takes(state: State, event: Event) -> None:
    machine = SyncMachine(state=state, cursor=0)
    allowed = TRANSITIONS.get((state, type(event)))
    if allowed is None:
        with pytest.raises(IllegalEvent):
            run(machine, event)
    else:
        assert run(machine, event)[0].state in allowed


@pytest.mark.parametrize("machine", [SyncMachine(state=State.RESUMING), delivering()])
def test_a_cloud_that_is_away_is_waited_for(machine: SyncMachine) -> None:
    machine, commands = run(machine, AWAY, now=100.0)
    assert (machine.state, commands) == (State.WAITING, (Disconnect(),))
    assert machine.until == 100.0 + BACKOFF_FIRST_S
    assert machine.trouble == Trouble("CLOUD_AWAY", "The cloud cannot be reached.")
    machine, commands = run(machine, Timer())
    assert (machine.state, commands) == (State.RESUMING, (AskHead(),))
    assert machine.cursor is None


@pytest.mark.parametrize("failure", [REFUSED, BROKEN])
@pytest.mark.parametrize("machine", [SyncMachine(state=State.RESUMING), delivering()])
def test_what_a_retry_cannot_mend_halts_and_says_why(machine: SyncMachine, failure: Failed) -> None:
    machine, commands = run(machine, failure, now=100.0)
    assert (machine.state, commands) == (State.HALTED, (Disconnect(),))
    assert machine.until == 100.0 + HALT_RECHECK_S
    assert machine.trouble is not None
    assert machine.trouble.code == failure.failure.code
    assert run(machine, Timer())[1] == (AskHead(),)


def test_delays_double_up_to_the_cap_and_never_vanish() -> None:
    for attempts in range(12):
        ceiling = min(BACKOFF_CAP_S, 2.0**attempts)
        assert backoff_s(attempts, 0.0) == BACKOFF_FIRST_S
        assert backoff_s(attempts, 1.0) == ceiling
        assert BACKOFF_FIRST_S <= backoff_s(attempts, 0.5) <= ceiling
    assert backoff_s(10**9, 1.0) == BACKOFF_CAP_S  # weeks offline overflow nothing


def test_failures_add_up_until_there_is_progress() -> None:
    machine = SyncMachine(state=State.RESUMING)
    for attempts in (1, 2, 3):
        machine, _ = run(machine, AWAY)
        assert machine.attempts == attempts
        machine, _ = run(machine, Timer())
    machine, _ = run(machine, HeadAnswered(None, local(2)))
    assert machine.attempts == 3  # an answer alone is no progress
    machine, _ = run(machine, answered(Verdict.ACCEPTED, confirmed=0))
    assert (machine.attempts, machine.trouble) == (0, None)


def test_records_that_the_cloud_has_without_a_receipt_wait_for_it_without_haste() -> None:
    machine, commands = run(SyncMachine(state=State.RESUMING), HeadAnswered(ChainHead(1, 3, HASH), local(3)))
    assert commands == (SendBatch(2),)  # the cloud's newest again, for its receipt
    machine, _ = run(machine, answered(Verdict.ALREADY_HAVE, first=3), Drained(True, None), Timer())
    machine, _ = run(machine, HeadAnswered(ChainHead(1, 3, HASH), local(3)))
    machine, _ = run(machine, answered(Verdict.ALREADY_HAVE, first=3), Drained(True, None))
    assert machine.state is State.WAITING
    assert machine.attempts == 2
    assert machine.trouble is not None
    assert machine.trouble.code == "RECEIPT_MISSING"


def test_a_refused_record_is_marked_and_stops_those_behind_it() -> None:
    event = BatchAnswered(
        (
            RecordResult(1, Verdict.ACCEPTED),
            RecordResult(2, Verdict.INVALID, "STATEMENT"),
            RecordResult(3, Verdict.OUT_OF_ORDER),
        ),
        newly_confirmed=1,
    )
    machine, commands = run(delivering(), event)
    assert machine.state is State.HALTED
    assert commands == (MarkDelivered((1,)), MarkInvalid(2, "STATEMENT"), Disconnect())
    assert machine.trouble is not None
    assert machine.trouble.code == "RECORD_REFUSED"
    for word in ("record 2", "STATEMENT", "operator"):
        assert word in machine.trouble.message


def test_a_refused_record_halts_again_after_a_restart() -> None:
    machine, _ = run(delivering(1), Drained(unconfirmed=True, invalid=(2, "STATEMENT")))
    assert machine.state is State.HALTED
    assert machine.trouble is not None
    assert machine.trouble.code == "RECORD_REFUSED"


def test_a_fork_stops_everything() -> None:
    machine, commands = run(delivering(), answered(Verdict.ALREADY_HAVE, Verdict.FORK))
    assert machine.state is State.HALTED
    assert commands == (MarkDelivered((1,)), Disconnect())
    assert machine.trouble is not None
    assert machine.trouble.code == "FORK"


def test_out_of_order_asks_again_after_progress_and_waits_without() -> None:
    machine, commands = run(delivering(), answered(Verdict.ACCEPTED, Verdict.OUT_OF_ORDER))
    assert (machine.state, commands) == (State.RESUMING, (MarkDelivered((1,)), AskHead()))
    machine, commands = run(delivering(), answered(Verdict.OUT_OF_ORDER))
    assert (machine.state, commands) == (State.WAITING, (Disconnect(),))


@pytest.mark.parametrize(
    ("cloud_seq", "local_chain", "after_seq"),
    [
        (0, local(0), 0),
        (0, local(5), 0),
        (2, local(5), 1),  # the cloud's newest again: no receipt of ours covers it
        (2, local(5, confirmed=2), 2),
        (5, local(5, confirmed=5), 5),
        (5, local(5, confirmed=4), 4),
        (5, local(5, confirmed=5, oldest=None), 5),  # everything delivered and deleted
        (5, local(7, confirmed=5, oldest=6), 5),
        (5, local(7, confirmed=5, oldest=6, sha256_at_cloud=None), 5),
        (3, local(7, confirmed=5, oldest=4), 3),  # the cloud lost some that we still have
        (3, local(7, confirmed=5, oldest=2), 3),
    ],
)
def test_where_to_resume(cloud_seq: int, local_chain: LocalChain, after_seq: int) -> None:
    cloud = ChainHead(1, cloud_seq, HASH) if cloud_seq else None
    assert judge_head(cloud, local_chain) == after_seq


@pytest.mark.parametrize(
    ("cloud", "local_chain", "code"),
    [
        (ChainHead(1, 1, HASH), local(0, sha256_at_cloud=None), "STORE_BEHIND"),
        (ChainHead(1, 6, HASH), local(5, sha256_at_cloud=None), "STORE_BEHIND"),
        (ChainHead(2, 5, HASH), local(5), "OTHER_EPOCH"),
        (ChainHead(1, 5, b"x" * 32), local(5), "FORK"),
        (ChainHead(1, 5, b"x" * 32), local(7, confirmed=5), "FORK"),
        (ChainHead(1, 3, HASH), local(7, confirmed=5, oldest=5), "GAP"),
        (ChainHead(1, 3, HASH), local(5, confirmed=5, oldest=None), "GAP"),
        (None, local(5, confirmed=5, oldest=2), "GAP"),
    ],
)
def test_chains_that_contradict_each_other(
    cloud: ChainHead | None, local_chain: LocalChain, code: str
) -> None:
    trouble = judge_head(cloud, local_chain)
    assert isinstance(trouble, Trouble)
    assert trouble.code == code
    machine, _ = run(SyncMachine(state=State.RESUMING), HeadAnswered(cloud, local_chain))
    assert machine.state is State.HALTED


def test_no_result_of_a_batch_is_ignored() -> None:
    good = {Verdict.ACCEPTED, Verdict.ALREADY_HAVE}
    for verdicts in itertools.product(Verdict, repeat=3):
        machine, commands = run(delivering(), answered(*verdicts))
        taken = list(itertools.takewhile(good.__contains__, verdicts))
        marked = [command.seqs for command in commands if isinstance(command, MarkDelivered)]
        assert marked == ([tuple(range(1, len(taken) + 1))] if taken else [])
        assert (machine.state is State.DELIVERING) == (len(taken) == 3)
