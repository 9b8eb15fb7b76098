from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from edge.model import Hole, Position, ResetReason
from edge.rpc import FailureKind, RpcFailure
from edge.sync.events import (
    AskHead,
    BatchAnswered,
    Called,
    CloudChain,
    Command,
    DeliverAgain,
    Disconnect,
    Event,
    Failed,
    HeadAnswered,
    LocalChain,
    Lock,
    MarkBranch,
    MarkDelivered,
    MarkRefused,
    MediaStepped,
    Pulled,
    PullPage,
    RecordHoles,
    RecordResult,
    RecordTombstone,
    Renew,
    RenewalDue,
    Renewed,
    Repaired,
    SendBatch,
    SendMedia,
    Span,
    SpanSent,
    StartEpoch,
    Timer,
    Trouble,
    Verdict,
    Wake,
)
from edge.sync.machine import (
    AUTH_RECHECK_S,
    FRESH_S,
    HALT_RECHECK_S,
    IDLE_CHECK_S,
    MAX_REPAIRS,
    RENEW_AFTER_FAILURES,
    RENEW_INTERVAL_S,
    RENEW_RETRY_S,
    SWEEP_S,
    TRANSITIONS,
    IllegalEvent,
    State,
    SyncMachine,
)
from edge.sync.pacing import BACKOFF_CAP_S, BACKOFF_FIRST_S
from verifield.chain import ChainHead

AWAY = Failed(RpcFailure(FailureKind.TRANSIENT, "CLOUD_AWAY", "The cloud cannot be reached."))
REFUSED = Failed(RpcFailure(FailureKind.AUTH, "CERTIFICATES_REFUSED", "The cloud refused."))
REVOKED = Failed(RpcFailure(FailureKind.AUTH, "DEVICE_REVOKED", "The cloud has revoked this device."))
BROKEN = Failed(RpcFailure(FailureKind.PERMANENT, "RECEIPT_REFUSED", "The receipt was refused."))
HASH = b"h" * 32
DONE = SpanSent(unconfirmed=False)
LEFT = SpanSent(unconfirmed=True)
CALLS = (Renew, PullPage, AskHead, SendBatch, SendMedia, StartEpoch, RecordHoles, RecordTombstone)


def at(seq: int, epoch: int = 1) -> Position:
    return Position(epoch, seq)


def heads(cloud_seq: int, local_seq: int, *, confirmed: int = 0, **more: object) -> HeadAnswered:
    cloud = CloudChain(ChainHead(1, cloud_seq, HASH) if cloud_seq else None, cloud_seq)
    values: dict[str, object] = {"confirmed": at(confirmed) if confirmed else None, "sha256_at_cloud": HASH}
    return HeadAnswered(cloud, LocalChain(ChainHead(1, local_seq, HASH), **(values | more)))  # type: ignore[arg-type]


def answered(
    *verdicts: Verdict, first: int = 1, epoch: int = 1, confirmed: int = 0, **more: object
) -> BatchAnswered:
    results = tuple(
        RecordResult(at(seq, epoch), verdict, **more)  # type: ignore[arg-type]
        for seq, verdict in enumerate(verdicts, first)
    )
    return BatchAnswered(results, confirmed)


def run(machine: SyncMachine, *events: Event, now: float = 0.0) -> tuple[SyncMachine, tuple[Command, ...]]:
    commands: tuple[Command, ...] = ()
    for event in events:
        machine, commands = machine.handle(event, now=now, jitter=0.5)
    return machine, commands


def resuming() -> SyncMachine:
    return SyncMachine(state=State.RESUMING, pulled_at=0.0)


def delivering(after: int = 0) -> SyncMachine:
    return SyncMachine(state=State.DELIVERING, spans=(Span(at(after)),), pulled_at=0.0)


def waiting(**more: object) -> SyncMachine:
    return SyncMachine(state=State.WAITING, until=100.0, **more)  # type: ignore[arg-type]


def test_a_backlog_is_delivered_and_confirmed() -> None:
    machine, commands = run(SyncMachine(), Wake())
    assert (machine.state, commands) == (State.PULLING, (PullPage(),))
    machine, commands = run(machine, Pulled(more=True))
    assert (machine.state, commands) == (State.PULLING, (PullPage(),))
    machine, commands = run(machine, Pulled(more=False))
    assert (machine.state, commands) == (State.RESUMING, (AskHead(),))
    machine, commands = run(machine, heads(0, 3))
    assert (machine.state, commands) == (State.DELIVERING, (SendBatch(Span(at(0))),))
    machine, commands = run(machine, answered(*[Verdict.ACCEPTED] * 3, confirmed=3))
    assert commands == (MarkDelivered((at(1), at(2), at(3))), SendBatch(Span(at(3))))
    machine, commands = run(machine, DONE)
    assert (machine.state, machine.trouble, commands) == (State.IDLE, None, ())
    assert machine.until == IDLE_CHECK_S


def test_a_new_record_needs_no_second_look_while_the_last_one_is_fresh() -> None:
    idle = SyncMachine(cursor=at(3), pulled_at=0.0, asked_at=0.0)
    machine, commands = run(idle, Wake(), now=FRESH_S - 1)
    assert (machine.state, commands) == (State.DELIVERING, (SendBatch(Span(at(3))),))
    assert run(idle, Wake(), now=FRESH_S)[1] == (PullPage(),)


@pytest.mark.parametrize("event", [Timer(), Called()])
def test_a_quiet_device_looks_again_from_the_start(event: Event) -> None:
    idle = SyncMachine(cursor=at(3), pulled_at=-FRESH_S, asked_at=0.0)
    machine, commands = run(idle, event)
    assert (machine.state, commands) == (State.PULLING, (PullPage(),))
    assert run(machine, Pulled(more=False))[1] == (AskHead(),)


SOME_EVENTS: tuple[Event, ...] = (
    Wake(),
    Called(),
    Timer(),
    RenewalDue(),
    Renewed(),
    Pulled(more=False),
    heads(0, 3),
    Repaired(at(4), at(4)),
    answered(Verdict.ACCEPTED),
    DONE,
    MediaStepped(left=False, records=False),
    AWAY,
)


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("event", SOME_EVENTS, ids=lambda event: type(event).__name__)
def test_the_table_says_which_events_a_state_takes(state: State, event: Event) -> None:
    machine = SyncMachine(state=state, spans=(Span(at(0)),))
    allowed = TRANSITIONS.get((state, type(event)))
    if allowed is None:
        with pytest.raises(IllegalEvent):
            run(machine, event)
    else:
        assert run(machine, event)[0].state in allowed


def test_every_event_and_every_state_is_in_the_table() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State)
    assert {event for _, event in TRANSITIONS} == {type(event) for event in SOME_EVENTS}


ASKING = [
    SyncMachine(state=State.PULLING),
    resuming(),
    delivering(),
    SyncMachine(state=State.REPAIRING),
    SyncMachine(state=State.UPLOADING),
]


@pytest.mark.parametrize("machine", ASKING, ids=lambda machine: machine.state.name)
def test_a_cloud_that_is_away_is_waited_for(machine: SyncMachine) -> None:
    machine, commands = run(machine, AWAY, now=100.0)
    assert (machine.state, commands) == (State.WAITING, (Disconnect(),))
    assert machine.until == 100.0 + BACKOFF_FIRST_S
    assert machine.trouble == Trouble("CLOUD_AWAY", "The cloud cannot be reached.")
    machine, commands = run(replace(machine, pulled_at=100.0), Timer(), now=101.0)
    assert (machine.state, commands) == (State.RESUMING, (AskHead(),))


@pytest.mark.parametrize("machine", ASKING[1:], ids=lambda machine: machine.state.name)
def test_what_a_retry_cannot_mend_halts_and_says_why(machine: SyncMachine) -> None:
    machine, commands = run(machine, BROKEN, now=100.0)
    assert (machine.state, commands) == (State.HALTED, (Disconnect(),))
    assert machine.until == 100.0 + HALT_RECHECK_S
    assert machine.trouble is not None
    assert machine.trouble.code == "RECEIPT_REFUSED"
    for event in (Timer(), Called()):
        assert run(machine, event, now=machine.until)[0].state is State.PULLING


def test_what_comes_down_never_keeps_records_from_going_up() -> None:
    machine, commands = run(SyncMachine(state=State.PULLING), BROKEN)
    assert (machine.state, commands) == (State.RESUMING, (AskHead(),))
    assert machine.trouble is None
    assert machine.aside == Trouble("RECEIPT_REFUSED", "The receipt was refused.")


def test_failures_add_up_until_there_is_progress() -> None:
    machine = resuming()
    for attempts in (1, 2, 3):
        machine, _ = run(machine, AWAY)
        assert machine.attempts == attempts
        machine, _ = run(replace(machine, pulled_at=0.0), Timer())
    machine, _ = run(machine, heads(0, 2))
    assert machine.attempts == 3  # an answer alone is no progress
    machine, _ = run(machine, answered(Verdict.ACCEPTED))
    assert (machine.attempts, machine.trouble) == (0, None)


def test_a_link_that_only_fails_is_tried_less_and_less_and_never_in_a_busy_loop() -> None:
    """A week offline: one event in, one event out, and the clock only moves by what the machine says."""
    chance, machine, now, calls = random.Random(1), SyncMachine(), 0.0, 0
    event: Event = Wake()
    while now < 7 * 86_400:
        machine, commands = machine.handle(event, now=now, jitter=chance.random())
        calls += sum(isinstance(command, CALLS) for command in commands)
        if isinstance(commands[-1], CALLS):
            event = AWAY
        else:
            assert machine.state is State.WAITING
            assert BACKOFF_FIRST_S <= machine.until - now <= BACKOFF_CAP_S
            event, now = Timer(), machine.until
    assert calls < 7 * 86_400 / (BACKOFF_CAP_S / 2) * 1.5


class TestNewRecordsWhileWaiting:
    def test_one_ends_the_wait_at_once(self) -> None:
        machine, commands = run(waiting(earliest=50.0), Wake(), now=50.0)
        assert (machine.state, commands) == (State.PULLING, (PullPage(),))

    def test_but_not_before_the_first_delay_is_over(self) -> None:
        machine, commands = run(waiting(earliest=50.0), Wake(), now=49.0)
        assert (machine.state, machine.until, commands) == (State.WAITING, 50.0, ())

    def test_it_forgives_no_failures(self) -> None:
        machine, _ = run(waiting(attempts=7), Wake())
        assert machine.attempts == 7
        assert run(waiting(attempts=7), Called())[0].attempts == 0  # a person does


class TestRenewal:
    def test_half_way_through_their_life_certificates_are_renewed(self) -> None:
        for quiet in (SyncMachine(), waiting()):
            assert quiet.may_renew(0.0)
            machine, commands = run(quiet, RenewalDue())
            assert (machine.state, commands) == (State.RENEWING, (Disconnect(), Renew()))
            assert run(machine, Renewed())[1] == (PullPage(),)
        assert not delivering().may_renew(0.0)

    def test_a_renewal_ahead_of_time_that_fails_keeps_nothing_back(self) -> None:
        for failure in (AWAY, REFUSED, BROKEN):
            machine, commands = run(SyncMachine(), RenewalDue(), failure)
            assert (machine.state, commands) == (State.PULLING, (PullPage(),))
            assert machine.aside is not None
            assert not machine.may_renew(RENEW_INTERVAL_S - 1)

    @pytest.mark.parametrize("machine", ASKING, ids=lambda machine: machine.state.name)
    def test_refused_certificates_are_renewed_once(self, machine: SyncMachine) -> None:
        machine, commands = run(machine, REFUSED)
        assert (machine.state, commands) == (State.RENEWING, (Disconnect(), Renew()))
        machine, _ = run(replace(machine, pulled_at=0.0), Renewed())
        machine, commands = run(machine, REFUSED, now=10.0)  # the new ones are refused as well
        assert (machine.state, commands) == (State.HALTED, (Disconnect(),))
        assert machine.until == 10.0 + AUTH_RECHECK_S
        assert machine.trouble == Trouble("CERTIFICATES_REFUSED", "The cloud refused.")
        later = RENEW_INTERVAL_S + 1
        assert run(replace(machine, state=State.RESUMING), REFUSED, now=later)[0].state is State.RENEWING

    def test_a_renewal_that_did_not_come_through_is_tried_with_the_next_contact(self) -> None:
        machine, commands = run(resuming(), REFUSED, AWAY)
        assert (machine.state, commands) == (State.WAITING, (Disconnect(),))
        machine, _ = run(machine, Timer(), REFUSED)
        assert machine.state is State.RENEWING

    def test_a_renewal_that_is_refused_holds(self) -> None:
        machine, _ = run(resuming(), REFUSED, BROKEN)
        assert (machine.state, machine.until) == (State.HALTED, AUTH_RECHECK_S)
        assert machine.trouble == Trouble("CERTIFICATES_REFUSED", "The cloud refused.")

    @pytest.mark.parametrize("event", [RenewalDue(), AWAY])
    def test_one_that_did_not_come_through_is_tried_again_minutes_later(self, event: Event) -> None:
        """The network is down, and the certificates have expired: when it is back, nothing else helps."""
        machine = waiting(attempts=RENEW_AFTER_FAILURES - 1)
        machine, commands = run(machine, *([Timer(), event] if event is AWAY else [event]))
        assert commands == (Disconnect(), Renew())
        machine, _ = run(machine, AWAY)
        machine = replace(machine, state=State.WAITING)
        assert not machine.may_renew(RENEW_RETRY_S - 1)
        assert machine.may_renew(RENEW_RETRY_S)
        machine, commands = run(machine, Timer(), AWAY, now=RENEW_RETRY_S)
        assert commands == (Disconnect(), Renew())

    def test_a_link_that_only_fails_may_be_a_refusal_within_tls(self) -> None:
        machine = replace(resuming(), attempts=RENEW_AFTER_FAILURES - 1)
        machine, commands = run(machine, AWAY)
        assert (machine.state, commands) == (State.RENEWING, (Disconnect(), Renew()))
        machine, _ = run(machine, AWAY)
        assert (machine.state, machine.trouble) == (
            State.WAITING,
            Trouble("CLOUD_AWAY", AWAY.failure.message),
        )
        machine, _ = run(replace(machine, pulled_at=0.0), Timer(), AWAY)
        assert machine.state is State.WAITING  # not again within the hour


@pytest.mark.parametrize("machine", ASKING, ids=lambda machine: machine.state.name)
def test_a_revoked_device_locks_and_holds(machine: SyncMachine) -> None:
    machine, commands = run(machine, REVOKED)
    assert (machine.state, commands) == (State.HALTED, (Lock(), Disconnect()))
    assert machine.trouble is not None
    assert machine.trouble.code == "DEVICE_REVOKED"


def test_records_without_a_receipt_wait_for_it_without_haste() -> None:
    machine, commands = run(resuming(), heads(3, 3))
    assert commands == (SendBatch(Span(at(2), at(3))),)  # the cloud's newest again, for its receipt
    machine, commands = run(machine, answered(Verdict.ALREADY_HAVE, first=3, new=False), LEFT)
    assert commands == (SendBatch(Span(at(3))),)
    machine, _ = run(machine, LEFT)
    assert (machine.state, machine.attempts) == (State.WAITING, 1)
    assert machine.trouble is not None
    assert machine.trouble.code == "RECEIPT_MISSING"


def test_after_progress_the_chains_are_compared_again_at_once() -> None:
    machine, commands = run(delivering(), answered(Verdict.STAGED), LEFT)
    assert (machine.state, commands) == (State.RESUMING, (AskHead(),))


def test_a_staged_record_is_delivered_but_not_confirmed() -> None:
    machine, commands = run(delivering(), answered(Verdict.STAGED, Verdict.STAGED))
    assert commands == (MarkDelivered((at(1), at(2))), SendBatch(Span(at(2))))
    machine, commands = run(replace(machine, epoch=2), answered(Verdict.STAGED, first=3))
    assert commands == (
        SendBatch(Span(at(3))),
    )  # of an epoch that is over: not before the cloud has settled it


def test_what_the_cloud_keeps_back_is_said_and_waited_for() -> None:
    kept = heads(2, 5, confirmed=2)
    kept = replace(kept, cloud=replace(kept.cloud, newest_seq=5))
    machine, _ = run(resuming(), kept, LEFT)
    assert machine.state is State.WAITING
    assert machine.trouble is not None
    assert machine.trouble.code == "HELD_BACK"


class TestRefused:
    def test_a_tombstone_closes_its_place_and_goes_first(self) -> None:
        event = answered(Verdict.ACCEPTED, Verdict.INVALID, Verdict.STAGED, confirmed=1, reason="STATEMENT")
        machine, commands = run(delivering(), event)
        assert machine.state is State.REPAIRING
        assert commands == (MarkDelivered((at(1), at(3))), RecordTombstone(at(2), "STATEMENT"))
        assert machine.aside is not None
        assert machine.aside.code == "RECORD_REFUSED"
        machine, commands = run(machine, Repaired(at(9), at(9)))
        assert commands == (SendBatch(Span(at(8), at(9))),)
        machine, commands = run(machine, answered(Verdict.ACCEPTED, first=9), LEFT)
        assert commands == (SendBatch(Span(at(3))),)  # and on behind it

    def test_one_at_a_time(self) -> None:
        """If the tombstone is refused as well, the fault lies elsewhere, and only one record was given up."""
        machine, commands = run(delivering(), answered(*[Verdict.INVALID] * 5, reason="OTHER_SITE"))
        assert commands == (RecordTombstone(at(1), "OTHER_SITE"),)
        machine, _ = run(machine, Repaired(at(6), at(6)))
        machine, commands = run(
            machine, answered(Verdict.INVALID, first=6, excuse=True, reason="OTHER_SITE"), now=5.0
        )
        assert (machine.state, machine.until, commands) == (
            State.HALTED,
            5.0 + HALT_RECHECK_S,
            (Disconnect(),),
        )
        assert machine.trouble is not None
        assert machine.trouble.code == "NOTE_REFUSED"
        assert "OTHER_SITE" in machine.trouble.message

    def test_one_of_an_earlier_epoch_is_only_noted(self) -> None:
        machine = replace(delivering(), epoch=2)
        machine, commands = run(machine, answered(Verdict.INVALID, reason="STATEMENT"))
        assert commands == (MarkRefused(at(1), "STATEMENT"), SendBatch(Span(at(1))))

    def test_one_whose_tombstone_a_power_cut_prevented_gets_it(self) -> None:
        _, commands = run(resuming(), heads(1, 3, confirmed=1, refused=((at(2), "STATEMENT"),)))
        assert commands == (RecordTombstone(at(2), "STATEMENT"),)


class TestFork:
    def test_a_new_epoch_begins_and_both_branches_are_kept(self) -> None:
        machine, commands = run(delivering(), answered(Verdict.ALREADY_HAVE, Verdict.FORK, Verdict.STAGED))
        assert commands == (MarkDelivered((at(1), at(3))), MarkBranch((at(2),)), AskHead())
        cloud_head = ChainHead(1, 2, b"x" * 32)
        machine, commands = run(machine, HeadAnswered(CloudChain(cloud_head, 2), heads(0, 3).local))
        assert (machine.state, commands) == (State.REPAIRING, (StartEpoch(cloud_head, ResetReason.FORK),))
        machine, commands = run(machine, Repaired(at(1, 2), at(1, 2)))
        assert commands == (SendBatch(Span(at(0, 2), at(1, 2))),)
        machine, commands = run(machine, answered(Verdict.ACCEPTED, epoch=2, confirmed=1), LEFT)
        assert commands == (AskHead(),)
        new = ChainHead(2, 1, HASH)
        local = LocalChain(new, confirmed=at(1, 2), sha256_at_cloud=HASH, pending=at(1))
        machine, commands = run(machine, HeadAnswered(CloudChain(new, 1), local), LEFT)
        assert commands == (SendBatch(Span(at(0), at(0, 2))),)  # what is here of the old epoch, once more
        machine, commands = run(machine, answered(Verdict.ALREADY_HAVE, Verdict.FORK))
        assert commands == (
            MarkDelivered((at(1),)),
            MarkBranch((at(2),)),
            SendBatch(Span(at(2), at(0, 2))),
        )
        machine, commands = run(machine, DONE)
        assert (machine.state, machine.cursor) == (State.IDLE, None)

    def test_one_of_an_earlier_epoch_is_only_noted(self) -> None:
        machine = replace(delivering(), epoch=2)
        _, commands = run(machine, answered(Verdict.FORK))
        assert commands == (MarkBranch((at(1),)), SendBatch(Span(at(1))))

    @pytest.mark.parametrize("verdict", [Verdict.FORK, Verdict.INVALID])
    def test_a_reset_that_is_refused_is_followed_by_another(self, verdict: Verdict) -> None:
        machine = replace(delivering(), epoch=2)
        machine, commands = run(machine, answered(verdict, epoch=2, reason="CHAIN_BREAK"))
        assert commands[-1] == AskHead()
        cloud_head = ChainHead(1, 12, HASH)
        answer = HeadAnswered(CloudChain(cloud_head, 12), LocalChain(ChainHead(2, 1, HASH), cited=cloud_head))
        _, commands = run(machine, answer)
        assert commands == (StartEpoch(cloud_head, ResetReason.FORK),)

    def test_a_receipt_that_contradicts_us_is_no_fork_unless_the_cloud_says_so(self) -> None:
        conflict = Trouble("RECEIPT_FORK", "The receipt names another record.")
        event = replace(answered(Verdict.ACCEPTED), conflict=conflict)
        machine, commands = run(delivering(), event)
        assert commands[-1] == AskHead()
        halted, _ = run(machine, heads(1, 3))
        assert (halted.state, halted.trouble) == (State.HALTED, conflict)
        other = HeadAnswered(CloudChain(ChainHead(1, 1, b"x" * 32), 1), heads(1, 3).local)
        assert run(machine, other)[0].state is State.REPAIRING


class TestRepairs:
    def test_holes_are_given_up_before_anything_is_sent(self) -> None:
        lost = Hole(1, 2, 3, HASH, "DAMAGED")
        machine, commands = run(resuming(), heads(1, 5, confirmed=1, holes=(lost,)))
        assert (machine.state, commands) == (State.REPAIRING, (RecordHoles((lost,)),))
        assert machine.aside is not None
        assert machine.aside.code == "RECORDS_LOST"
        machine, commands = run(machine, Repaired(at(6), at(6)))
        assert commands == (SendBatch(Span(at(5), at(6))),)

    def test_notes_that_mend_nothing_end(self) -> None:
        machine, lost = resuming(), Hole(1, 2, 3, HASH, "LOST")
        for number in range(MAX_REPAIRS):
            machine, commands = run(machine, heads(1, 5, holes=(lost,)))
            assert commands == (RecordHoles((lost,)),), number
            machine, commands = run(machine, Repaired(at(6), at(6)), answered(Verdict.STAGED, first=6), LEFT)
            assert commands == (AskHead(),)
        machine, _ = run(machine, heads(1, 5, holes=(lost,)))
        assert machine.state is State.HALTED
        assert machine.trouble is not None
        assert machine.trouble.code == "CANNOT_REPAIR"


def test_out_of_order_asks_again_after_progress_and_waits_without() -> None:
    machine, commands = run(delivering(), answered(Verdict.ACCEPTED, Verdict.OUT_OF_ORDER))
    assert (machine.state, commands) == (State.RESUMING, (MarkDelivered((at(1),)), AskHead()))
    machine, commands = run(delivering(), answered(Verdict.OUT_OF_ORDER))
    assert (machine.state, commands) == (State.WAITING, (Disconnect(),))


def test_what_is_kept_back_is_sent_again_once_an_hour() -> None:
    cloud_head = ChainHead(1, 10, HASH)
    answer = HeadAnswered(
        CloudChain(cloud_head, 10), LocalChain(ChainHead(2, 4, HASH), at(10), cited=cloud_head)
    )
    machine, commands = run(resuming(), answer)
    assert commands == (SendBatch(Span(at(10))),)
    machine = replace(machine, state=State.RESUMING)
    assert run(machine, answer, now=SWEEP_S - 1)[1] == (SendBatch(Span(at(4, 2))),)  # nothing
    assert run(machine, answer, now=SWEEP_S)[1] == (SendBatch(Span(at(10))),)


def test_a_cloud_that_lost_something_gets_earlier_epochs_again_but_not_all_the_time() -> None:
    local = LocalChain(ChainHead(2, 4, HASH), at(4, 2), HASH)
    answer = HeadAnswered(CloudChain(ChainHead(2, 2, HASH), 2), local)
    machine, commands = run(resuming(), answer)
    assert commands == (DeliverAgain(2), SendBatch(Span(at(2, 2))))
    machine = replace(machine, state=State.RESUMING)
    assert run(machine, answer, now=SWEEP_S - 1)[1] == (SendBatch(Span(at(2, 2))),)
    assert run(machine, answer, now=SWEEP_S)[1] == commands
    again = replace(answer, cloud=CloudChain(ChainHead(2, 1, HASH), 1))
    assert run(machine, again)[1][0] == DeliverAgain(2)  # it lost more meanwhile


class TestMedia:
    def test_they_come_last_chunk_by_chunk(self) -> None:
        machine, commands = run(delivering(3), SpanSent(unconfirmed=False, media=True))
        assert (machine.state, commands) == (State.UPLOADING, (SendMedia(),))
        machine, commands = run(machine, MediaStepped(left=True, records=False))
        assert (machine.state, commands) == (State.UPLOADING, (SendMedia(),))
        machine, commands = run(machine, MediaStepped(left=False, records=False))
        assert (machine.state, commands) == (State.IDLE, ())

    def test_new_records_go_first(self) -> None:
        uploading = SyncMachine(state=State.UPLOADING, cursor=at(3), pulled_at=0.0, asked_at=0.0)
        _, commands = run(uploading, MediaStepped(left=True, records=True))
        assert commands == (SendBatch(Span(at(3))),)

    def test_a_file_that_is_refused_is_said_and_passed_over(self) -> None:
        refused = Trouble("MEDIA_REFUSED", "The cloud did not take a picture.")
        uploading = SyncMachine(state=State.UPLOADING)
        machine, commands = run(uploading, MediaStepped(left=True, records=False, refused=refused))
        assert (machine.aside, commands) == (refused, (SendMedia(),))


def test_no_result_of_a_batch_is_ignored() -> None:
    good = {Verdict.ACCEPTED, Verdict.ALREADY_HAVE, Verdict.STAGED}
    for verdicts in itertools.product(Verdict, repeat=3):
        machine, commands = run(delivering(), answered(*verdicts))
        marked = [command.positions for command in commands if isinstance(command, MarkDelivered)]
        taken = tuple(at(seq) for seq, verdict in enumerate(verdicts, 1) if verdict in good)
        assert marked == ([taken] if taken else [])
        branched = [command.positions for command in commands if isinstance(command, MarkBranch)]
        forks = tuple(at(seq) for seq, verdict in enumerate(verdicts, 1) if verdict is Verdict.FORK)
        assert branched == ([forks] if forks else [])
        assert (machine.state is State.REPAIRING) == (Verdict.INVALID in verdicts)
        assert (machine.state is State.DELIVERING) == set(verdicts).issubset(good)
