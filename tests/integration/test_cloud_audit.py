"""The audit chain: written with what it tells of, and every way of changing it afterwards is found out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
import structlog.testing
from sqlalchemy import Connection, text

from cloud.audit import chain, trail
from cloud.audit.heads import HeadSigner, check_head, head_leaf, sign_head
from cloud.audit.trail import Trail
from cloud.audit.walk import Fault, Walk
from cloud.errors import Reason, ServiceError
from cloud.log.leaves import OwnLeaves
from cloud.sources import to_us
from cloud.store import audit as rows
from cloud.store import log as log_rows
from cloud.store.database import Store, StoreOptions
from tests.support.audit import AuditBook, audit_book
from verifield.errors import Untrusted
from verifield.merkle import leaf_hash
from verifield.v1 import audit_pb2 as pb


@pytest.fixture
def book(tmp_path: Path, database_url: str) -> Iterator[AuditBook]:
    with audit_book(tmp_path / "data", database_url) as opened:
        yield opened


def test_events_follow_each_other_and_hold(book: AuditBook) -> None:
    book.add(3)
    report = book.check()
    assert report.holds
    assert report.end.seq == 3
    with book.store.reading() as connection:
        first, second, third = rows.all_events(connection)
        assert rows.read_end(connection) == rows.ChainEnd(3, third.sha256)
    event = pb.AuditEvent.FromString(second.content)
    assert (event.seq, event.prev_sha256, event.caller) == (2, first.sha256, "user/one")
    assert [(fact.key, fact.value) for fact in event.facts] == [("reason", "KEY_COMPROMISE")]
    assert sha256(first.content).digest() == first.sha256


def test_an_event_is_there_exactly_if_its_change_is(book: AuditBook) -> None:
    def fails(connection: Connection) -> None:
        chain.record(
            connection, action="devices.lock", subject="d", caller="user/one", request_id="r", now_us=1
        )
        raise RuntimeError("the change is undone")

    book.add(1)
    with pytest.raises(RuntimeError):
        book.store.run(fails)
    book.add(1)
    report = book.check()
    assert report.holds
    assert report.end.seq == 2  # without a gap


def test_two_servers_with_several_writers_make_one_chain_without_gaps(
    book: AuditBook, database_url: str
) -> None:
    other = Store.open(database_url, StoreOptions(require_durable=False))
    books = [book, replace(book, store=other)]
    threads = [threading.Thread(target=one.add, args=(10,)) for one in books * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    other.close()
    report = book.check()
    assert report.holds
    assert report.end.seq == 40


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # what is listed of an event
        (["UPDATE audit_events SET caller = 'user/two' WHERE seq = 3"], {Fault.COPY_CHANGED}),
        # deleted
        (["DELETE FROM audit_events WHERE seq = 3"], {Fault.EVENT_MISPLACED}),
        (["DELETE FROM audit_events WHERE seq = 1"], {Fault.EVENT_MISPLACED}),
        # put into another order
        (
            [
                "UPDATE audit_events SET seq = 99 WHERE seq = 2",
                "UPDATE audit_events SET seq = 2 WHERE seq = 3",
                "UPDATE audit_events SET seq = 3 WHERE seq = 99",
            ],
            {Fault.EVENT_MISPLACED, Fault.COPY_CHANGED},
        ),
        # cut off behind, clumsily
        (["DELETE FROM audit_events WHERE seq = 6"], {Fault.END_CHANGED}),
        # the chain's end alone
        (["UPDATE audit_chains SET seq = 5"], {Fault.END_CHANGED}),
    ],
)
def test_clumsy_changes_are_found_without_anything_kept(
    book: AuditBook, changes: list[str], expected: set[Fault]
) -> None:
    book.add(6)
    book.tamper(*changes)
    assert expected <= book.faults()


def test_no_byte_of_an_event_can_be_changed(book: AuditBook) -> None:
    book.add(3)
    with book.store.reading() as connection:
        events = list(rows.all_events(connection))
        end = rows.read_end(connection)
    for place in range(len(events[1].content)):
        content = bytearray(events[1].content)
        content[place] ^= 1
        walk = Walk()
        for event in (events[0].content, bytes(content), events[2].content):
            walk.step(event)
        walk.finish(end)
        assert walk.findings, f"byte {place} was changed unseen"
    changed = events[2].content.replace(b"user/one", b"user/two")
    with book.store.writing() as connection:
        change = text("UPDATE audit_events SET content = :content, caller = 'user/two' WHERE seq = 3")
        connection.execute(change, {"content": changed})
    assert book.faults() == {Fault.EVENT_CHANGED, Fault.END_CHANGED}


def rewrite(book: AuditBook, keep: int, *extra: str) -> None:
    """Write the chain anew from event ``keep`` on, with all digests as they should be."""
    with book.store.writing() as connection:
        connection.execute(text(f"DELETE FROM audit_events WHERE seq > {keep}"))
        last = rows.get_event(connection, keep)
        end = rows.ChainEnd(keep, last.sha256) if last else rows.ChainEnd(0, b"")
        connection.execute(
            text("UPDATE audit_chains SET seq = :seq, sha256 = :sha256"),
            {"seq": end.seq, "sha256": end.sha256},
        )
        for caller in extra:
            chain.record(
                connection,
                action="devices.revoke",
                subject="device-9",
                caller=caller,
                request_id="forged",
                now_us=to_us(book.clock.now()),
            )


def test_a_perfect_cut_or_rewrite_is_found_by_whoever_kept_a_head(book: AuditBook) -> None:
    book.add(4)
    kept = book.sign()  # names event 4; event 5 tells of it
    book.add(2)
    rewrite(book, 3)
    book.tamper("DELETE FROM audit_heads")
    found = book.faults([kept])
    assert Fault.CHAIN_CUT in found
    # The same, with other events in the place of those cut off.
    rewrite(book, 3, "user/x", "user/y", "user/z", "user/w")
    assert Fault.HEAD_CONTRADICTED in book.faults([kept])
    # What was added since the kept head is not covered by it: a newer one has to be.
    assert Fault.CHAIN_CUT not in book.faults()


def test_an_event_between_two_others_is_found(book: AuditBook) -> None:
    book.add(4)
    with book.store.writing() as connection:
        second = rows.get_event(connection, 2)
        assert second is not None
        connection.execute(text("UPDATE audit_events SET seq = seq + 10 WHERE seq > 2"))
        forged = pb.AuditEvent(
            seq=3, prev_sha256=second.sha256, caller="user/x", action="a.b", subject="s"
        ).SerializeToString(deterministic=True)
        row = rows.EventRow(3, forged, sha256(forged).digest(), 0, "user/x", "a.b", "s", 0)
        rows.append(connection, row, after=rows.ChainEnd(4, b""))
        connection.execute(text("UPDATE audit_events SET seq = seq - 9 WHERE seq > 10"))
        end = rows.get_event(connection, 5)
        assert end is not None
        connection.execute(text("UPDATE audit_chains SET seq = 5, sha256 = :d"), {"d": end.sha256})
    assert {Fault.EVENT_MISPLACED, Fault.COPY_CHANGED} <= book.faults()


def test_the_log_remembers_a_head_that_the_database_was_made_to_forget(book: AuditBook) -> None:
    book.add(4)
    book.sign()
    rewrite(book, 2)
    book.tamper("DELETE FROM audit_heads")
    assert book.faults() == {Fault.HEAD_MISSING}  # nobody kept anything but the log
    with book.store.reading() as connection:
        assert log_rows.get_leaf(connection, 0) is not None


def test_a_head_in_the_database_is_worth_nothing_unless_the_right_key_signed_it(book: AuditBook) -> None:
    book.add(4)
    kept = book.sign()
    head = check_head(kept, roots=[book.authority.root])
    assert head.seq == 4
    with book.store.reading() as connection:
        assert log_rows.get_leaf(connection, kept.log_index) == head_leaf(kept.envelope)
    head.seq = 2
    forged = pb.SignedAuditHead(
        envelope=sign_head(head, book.authority.policy_key),
        certificates=book.authority.chain_of(book.authority.policy.certificate),
    )
    with pytest.raises(Untrusted):
        check_head(forged, roots=[book.authority.root])
    assert Fault.HEAD_FORGED in book.faults([forged])
    with book.store.writing() as connection:
        connection.execute(text("UPDATE audit_heads SET envelope = :bytes"), {"bytes": forged.envelope})
    assert {Fault.HEAD_FORGED, Fault.HEAD_NOT_LOGGED} <= book.faults()


def test_heads_are_signed_once_a_day_by_themselves(book: AuditBook) -> None:
    assert book.sign_if_due() is None  # nothing happened yet
    book.add(1)
    assert book.sign_if_due() is None
    book.clock.offset += timedelta(hours=24, seconds=-5)
    assert book.sign_if_due() is None
    book.clock.offset += timedelta(seconds=5)
    first = book.sign_if_due()
    assert first is not None
    assert book.sign_if_due() is None
    assert book.sequencer.published.size == 1
    book.clock.offset += timedelta(hours=24)
    second = book.sign_if_due()
    assert second is not None
    assert check_head(second, roots=[book.authority.root]).seq == 1  # by itself: no event of its own
    report = book.check([first, second])
    assert report.holds
    assert (report.heads, report.kept_heads) == (2, 2)


def test_a_head_whose_transaction_was_undone_is_not_handed_out(
    book: AuditBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is run again; by then another server has signed, and no further head is due."""
    book.add(1)
    book.clock.offset += timedelta(days=1)
    other = HeadSigner(book.store, OwnLeaves(book.sequencer, name="other"), book.authority, book.sources)

    class Undone:
        """A log whose first transaction fails after all that it was given was run."""

        async def append(
            self, work: Callable[[Connection], bytes | None], keep: Callable[[Connection, int], None]
        ) -> None:
            with suppress(LookupError), book.store.writing() as connection:
                assert work(connection)
                keep(connection, 10**6)
                raise LookupError("another server was first")
            assert await other.sign() is not None
            with book.store.writing() as connection:
                assert work(connection) is None

    monkeypatch.setattr(book.signer, "_log", Undone())
    assert book.sign_if_due() is None
    assert book.check().holds


def test_a_clock_that_was_far_ahead_once_does_not_end_the_signing(book: AuditBook) -> None:
    book.add(1)
    book.clock.offset += timedelta(days=3650)
    assert book.sign_if_due() is not None
    book.clock.offset -= timedelta(days=3650)
    assert book.sign_if_due() is not None


def test_a_leaf_of_a_head_is_never_taken_for_that_of_a_record(book: AuditBook) -> None:
    book.add(1)
    signed = book.sign()
    assert head_leaf(signed.envelope) != leaf_hash(signed.envelope)


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "Revoke"},
        {"action": "a." + "b" * 63},
        {"subject": ""},
        {"subject": "s" * 257},
        {"caller": ""},
        {"caller": "c" * 129},
        {"facts": {"k": "v" * 257}},
        {"facts": {str(number): "" for number in range(17)}},
    ],
)
def test_what_does_not_fit_is_refused(book: AuditBook, wrong: dict[str, object]) -> None:
    good: dict[str, object] = {
        "action": "a." + "b" * 62,
        "subject": "s" * 256,
        "caller": "c" * 128,
        "facts": {f"{number:02}": "v" * 256 for number in range(16)},
        "request_id": "r" * 1000,
        "now_us": 1,
    }
    with book.store.writing() as connection:
        chain.record(connection, **good)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="audit chain"):
            chain.record(connection, **good | wrong)  # type: ignore[arg-type]
    assert book.check().end.seq == 1


def make_trail(book: AuditBook) -> Trail:
    return Trail(book.store, book.sources)


def events_of(book: AuditBook) -> list[pb.AuditEvent]:
    with book.store.reading() as connection:
        return [pb.AuditEvent.FromString(row.content) for row in rows.all_events(connection)]


def count_of(event: pb.AuditEvent) -> str:
    return {fact.key: fact.value for fact in event.facts}.get("count", "1")


def test_reads_are_counted_together_and_written_at_once(book: AuditBook) -> None:
    notes = make_trail(book)
    for number in range(100):
        subject = f"user-{number % 2}"
        notes.record_read(action="users.read", subject=subject, caller="user/one", request_id=str(number))
    assert events_of(book) == []
    assert asyncio.run(notes.flush()) == 2
    one, two = events_of(book)
    assert (one.outcome, one.subject, one.request_id) == (pb.AUDIT_OUTCOME_READ, "user-0", "0")
    assert (count_of(one), count_of(two)) == ("50", "50")
    assert book.check().holds


def test_the_trail_writes_by_itself_and_once_more_at_the_end(
    book: AuditBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "FLUSH_S", 0.01)
    notes = make_trail(book)

    async def serve() -> None:
        stop = asyncio.Event()
        written = asyncio.Event()
        loop, write = asyncio.get_running_loop(), book.store.run

        def run(work: Callable[[Connection], None]) -> None:
            write(work)
            loop.call_soon_threadsafe(written.set)

        monkeypatch.setattr(book.store, "run", run)
        running = asyncio.create_task(notes.run(stop, structlog.testing.CapturingLogger()))
        notes.record_read(action="users.read", subject="one", caller="user/one", request_id="1")
        await written.wait()
        monkeypatch.setattr(trail, "FLUSH_S", 60)
        notes.record_read(action="users.read", subject="two", caller="user/one", request_id="2")
        stop.set()
        await running

    asyncio.run(asyncio.wait_for(serve(), 30))
    assert [event.subject for event in events_of(book)] == ["one", "two"]


def test_a_refused_caller_costs_one_event_a_minute(book: AuditBook) -> None:
    notes = make_trail(book)

    def refuse() -> None:
        notes.record_refusal(method="/s/M", reason="ROLE_MISSING", caller="user/one", request_id="r")

    refuse()
    assert asyncio.run(notes.flush()) == 1
    for _ in range(1000):
        refuse()
    assert asyncio.run(notes.flush()) == 0
    book.clock.offset += timedelta(seconds=trail.REPEAT_S)
    assert asyncio.run(notes.flush()) == 1
    first, second = events_of(book)
    assert (first.action, first.outcome, count_of(first)) == ("calls.refused", pb.AUDIT_OUTCOME_REFUSED, "1")
    assert count_of(second) == "1000"
    assert {fact.key: fact.value for fact in second.facts}["reason"] == "ROLE_MISSING"


def test_notes_do_not_wait_for_a_clock_that_was_set_back(book: AuditBook) -> None:
    notes = make_trail(book)

    def refuse() -> None:
        notes.record_refusal(method="/s/M", reason="ROLE_MISSING", caller="user/one", request_id="r")

    refuse()
    assert asyncio.run(notes.flush()) == 1
    refuse()  # waits for its minute
    notes.record_read(action="users.read", subject="one", caller="user/one", request_id="r")
    book.clock.offset -= timedelta(days=1)
    assert asyncio.run(notes.flush()) == 2
    refuse()
    assert asyncio.run(notes.flush()) == 0  # a minute is one again


def test_ever_new_refusals_end_in_one_count(book: AuditBook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "MAX_GROUPS", 3)
    notes = make_trail(book)
    for number in range(3 + 7):
        notes.record_refusal(method=f"/s/M{number}", reason="X", caller="user/one", request_id="r")
    assert asyncio.run(notes.flush()) == 4
    last = events_of(book)[-1]
    assert (last.caller, count_of(last)) == (trail.OTHERS, "7")


def test_nothing_personal_is_read_while_it_cannot_be_written_down(
    book: AuditBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = make_trail(book)

    def read(subject: str) -> None:
        notes.record_read(action="users.read", subject=subject, caller="user/one", request_id="r")

    read("one")
    with monkeypatch.context() as patched:
        patched.setattr(book.store, "run", lambda _work: (_ for _ in ()).throw(OSError("no space")))
        assert asyncio.run(notes.flush()) == 0
    with pytest.raises(ServiceError) as caught:
        read("two")
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert asyncio.run(notes.flush()) == 1  # what was noted before is not lost
    read("two")
    monkeypatch.setattr(trail, "MAX_GROUPS", 1)
    with pytest.raises(ServiceError):
        read("three")
