"""Each rule of the queue from end to end: the real device, the real cloud, bad networks on both ways.

In every test the daemon works while connections are refused, reset at random, silent, deaf or slow. When
all has come to rest, the oracle looks at both sides (tests.support.queue_oracle): nothing is lost, nothing
is there twice, every receipt and every bundle verifies.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from edge.model import Decision, Evidence, Outcome, Position
from edge.outbox.records import RecordState, StoredRecord
from tests.support.bad_days import Field, damage, lose, open_disk, open_field, places
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.cloud_shelf import statement_of
from tests.support.field_office import FieldOffice, wait_until
from tests.support.haste import make_haste
from tests.support.queue_oracle import assert_everything_is_there_once
from tests.support.replay import batches_of, deliver_all, record_batches
from verifield.v1 import sync_service_pb2 as pb

pytestmark = pytest.mark.req("E051")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        yield running


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    make_haste(monkeypatch.setattr)


@pytest.fixture
def field(cloud: RunningCloud, tmp_path: Path) -> Iterator[Field]:
    with open_field(cloud, tmp_path / "device") as opened:
        yield opened


def strange_records(office: FieldOffice, count: int) -> list[StoredRecord]:
    """Records that the cloud refuses for ever: of another site, signed by the right key."""
    with office.recorder() as recorder:
        strange = replace(recorder, identity=replace(recorder.identity, site_id="elsewhere"))
        decision = Decision(Outcome.ABORTED, ("TIMEOUT",))
        return [strange.record(Evidence(aborted="TIMEOUT"), decision) for _ in range(count)]


class TestEpochs:
    def test_a_restored_device_begins_an_epoch_each_time_and_the_second_waits_for_a_person(
        self, field: Field, tmp_path: Path
    ) -> None:
        field.hear(field.office.verify(3))
        field.storm()
        first = field.copy(tmp_path / "first")
        field.hear(field.office.verify(2))
        field.storm()

        field.hear(first.verify(2))  # places 5 and 6 of epoch 1, which the cloud has from the old disk
        field.storm(first)
        assert "STORE_BEHIND" in first.troubles or "FORK" in first.troubles
        shelf = field.assert_at_rest(first)
        assert shelf.head.epoch == 2
        assert shelf.beside("BRANCH") == places(5, 6)
        assert "RESET" in shelf.kinds()

        second = field.copy(tmp_path / "second", first)
        field.hear(first.verify(2))
        field.storm(first)
        field.hear(second.verify(3))
        field.storm(second, until=lambda: "HELD_BACK" in second.troubles)
        assert field.shelf().state == "SUSPENDED"
        assert Position(3, 1) in field.shelf().staged  # durable, and not in the chain
        assert RecordState.CONFIRMED not in states_of(second, epoch=3)

        field.acknowledge()
        assert field.shelf().state == "ACTIVE"
        field.storm(second)
        shelf = field.assert_at_rest(second)
        assert {at.epoch for at in shelf.chain} == {1, 2, 3}
        reset = statement_of(shelf.chain[Position(3, 1)]).device_event.reset
        assert (reset.device_head.chain_epoch, reset.cloud_head.chain_epoch) == (2, 2)
        assert reset.cloud_head.seq == max(at.seq for at in shelf.chain if at.epoch == 2)

    def test_two_copies_that_go_on_are_a_fork_and_both_branches_are_kept(
        self, field: Field, tmp_path: Path
    ) -> None:
        field.storm()
        copy = field.copy(tmp_path / "copy")
        field.hear(field.office.verify(2))
        field.storm()
        field.hear(copy.verify(5))  # more than the cloud has, from the same place on
        field.storm(copy)
        assert "FORK" in copy.troubles
        shelf = field.assert_at_rest(copy)
        assert sorted(shelf.chain) == [*places(1, 2, 3), *places(1, epoch=2)]
        assert shelf.beside("BRANCH") == places(2, 3, 4, 5, 6)
        [alarm] = [one for one in shelf.alarms if one.kind == "RESET"]
        assert (alarm.position, alarm.reason) == (Position(2, 1), "FORK")
        field.hear(copy.verify(2))
        field.storm(copy)
        assert max(field.assert_at_rest(copy).chain) == Position(2, 3)

    def test_a_fork_shows_in_a_delivery_where_the_device_did_not_ask_first(
        self, field: Field, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A daemon that has just delivered goes on without asking, and meets what the other copy sent."""
        monkeypatch.setattr("edge.sync.machine.FRESH_S", 60.0)
        field.storm()
        copy = field.copy(tmp_path / "copy")
        field.device.calm()
        with copy.daemon():
            field.hear(copy.verify())
            wait_until(copy.all_settled)
            field.hear(field.office.verify(2))
            batches = batches_of(field.office, size=9)
            deliver_all(field.office, field.cloud.endpoint.device_listen, batches, seed=0, streams=1)
            shelf = field.shelf()
            assert shelf.beside("BRANCH") == places(2, 3)
            assert shelf.kinds() == {"FORK"}
            field.hear(copy.verify())
            wait_until(copy.all_settled)
        assert max(field.assert_at_rest(copy).chain) == Position(1, 3)
        field.storm()
        shelf = field.assert_at_rest()
        assert (shelf.head.epoch, shelf.beside("BRANCH")) == (2, places(2, 3))
        assert shelf.kinds() >= {"FORK", "RESET"}

    def test_a_clone_is_an_alarm_and_both_are_held_until_a_person_has_looked(
        self, field: Field, tmp_path: Path
    ) -> None:
        field.storm()
        clone = field.copy(tmp_path / "clone")
        field.hear(field.office.verify(3))
        field.storm()
        field.hear(clone.verify(2))
        field.storm(clone)  # a fork so far: a RESET tells of it
        field.hear(field.office.verify(2))  # the epoch that the RESET has closed goes on
        field.storm(until=lambda: "HELD_BACK" in field.office.troubles)
        shelf = field.shelf()
        assert shelf.state == "SUSPENDED"
        assert "CLONE" in shelf.kinds()
        field.hear(clone.verify())  # the other one is held back as well; what it delivers is durable
        field.storm(clone, until=lambda: "HELD_BACK" in clone.troubles)
        assert RecordState.CONFIRMED not in states_of(clone, epoch=2)[-1:]
        for turn in range(3):  # as long as two work with one key, people have something to look at
            for office in (field.office, clone):
                field.hear(office.verify())
                settle_with_person(field, office)
            assert_everything_is_there_once(field.shelf(), field.promised, lost=set())
            assert field.shelf().head.epoch >= 3 + turn
        field.assert_at_rest(clone)


class TestGaps:
    def test_damaged_and_deleted_rows_are_given_up_and_everything_else_arrives(self, field: Field) -> None:
        field.hear(field.office.verify(12))
        damage(field.office, 3, 4, 9)
        lose(field.office, 6, 11, 12)
        with open_disk(field.office) as disk:
            left = disk.execute("SELECT envelope FROM records WHERE seq IN (3, 4, 9) ORDER BY seq").fetchall()
        field.storm()
        gone = places(3, 4, 6, 9, 11, 12)
        shelf = field.assert_at_rest(lost=gone)
        assert sorted(set(places(*range(1, 14))) - set(shelf.chain)) == gone
        assert shelf.beside("DAMAGED") == places(3, 4, 9)
        kept = sorted((one for one in shelf.side), key=lambda one: one.position)
        assert [(one.content,) for one in kept] == left
        assert shelf.kinds() == {"GAP"}
        reasons = {
            statement_of(one).device_event.gap.reason
            for one in shelf.chain.values()
            if statement_of(one).device_event.HasField("gap")
        }
        assert reasons == {"DAMAGED", "LOST"}
        field.hear(field.office.verify(2))
        field.storm()
        field.assert_at_rest(lost=gone)

    def test_the_newest_records_are_lost_and_the_chain_goes_on_behind_them(self, field: Field) -> None:
        field.hear(field.office.verify(2))
        field.storm()
        field.hear(field.office.verify(4))
        lose(field.office, 6, 7)
        field.storm()
        assert field.assert_at_rest(lost=places(6, 7)).head.epoch == 1

    def test_what_was_purged_after_its_receipt_is_a_gap_for_a_cloud_that_was_restored(
        self, tmp_path: Path
    ) -> None:
        """The service loses what came since its backup; the device keeps nothing that was confirmed."""
        data, backup = tmp_path / "cloud", tmp_path / "backup"
        with ExitStack() as networks:
            with running_cloud(data) as cloud:
                field = networks.enter_context(open_field(cloud, tmp_path / "device"))
                field.office.settings = field.office.settings.model_copy(update={"retention_days": 0.0})
                field.hear(field.office.verify(3))
                field.storm()
            shutil.copytree(data, backup)
            with running_cloud(data) as cloud:
                field.move(cloud)
                for _ in range(2):
                    field.hear(field.office.verify(3))
                    field.storm()
                deleted = set(field.promised.records.values()) - {at for at, _ in here(field.office)}
            shutil.rmtree(data)
            shutil.copytree(backup, data)
            with running_cloud(data) as cloud:
                field.move(cloud)
                lost = sorted(deleted - set(field.shelf().chain))
                assert lost
                field.hear(field.office.verify(2))
                field.storm(until=lambda: "LOG_INCONSISTENT" in field.office.troubles)
                assert field.office.sync(accept_log=True).trouble is None  # a person believes it as it is
                field.storm()
                shelf = field.assert_at_rest(lost=lost)
        assert shelf.head.epoch == 1
        assert "GAP" in shelf.kinds()
        notes = [statement_of(one).device_event.gap for one in shelf.chain.values()]
        assert [(one.first_seq, one.last_seq, one.reason) for one in notes if one.reason] == [
            (lost[0].seq, lost[-1].seq, "PURGED")
        ]


def here(office: FieldOffice) -> list[tuple[Position, RecordState]]:
    with office.recorder() as recorder:
        return [(one.position, one.state) for one in reversed(recorder.outbox.newest(limit=10_000))]


def states_of(office: FieldOffice, *, epoch: int) -> list[RecordState]:
    return [state for at, state in here(office) if at.epoch == epoch]


def settle_with_person(field: Field, office: FieldOffice) -> None:
    """The daemon works, and a person looks into alarms again and again."""
    field.device.calm()

    def settled() -> bool:
        field.acknowledge()
        return office.all_settled()

    with office.daemon():
        wait_until(settled)
    field.promised.look(office)


def test_a_record_that_is_refused_for_ever_is_closed_by_a_tombstone_and_nothing_waits_behind_it(
    field: Field,
) -> None:
    field.hear(field.office.verify(2))
    strange = [*strange_records(field.office, 2)]
    field.hear(field.office.verify(3))
    strange += strange_records(field.office, 1)
    field.hear(strange)
    field.storm()
    shelf = field.assert_at_rest()
    assert shelf.beside("REFUSED") == [one.position for one in strange]
    assert {one.content for one in shelf.side} == {one.envelope for one in strange}
    assert {one.reason for one in shelf.side} == {"OTHER_SITE"}
    assert not {one.position for one in strange} & set(shelf.chain)
    assert [at for at, state in here(field.office) if state is RecordState.INVALID] == [
        one.position for one in strange
    ]
    assert "RECORD_REFUSED" in field.office.troubles
    field.hear(field.office.verify(2))
    field.storm()
    field.assert_at_rest()


class TestRepeats:
    """Batches that come twice, late, in any order, over several streams at once."""

    def test_old_batches_again_change_nothing(
        self, field: Field, cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tape = record_batches(monkeypatch)
        for _ in range(3):
            field.hear(field.office.verify(4))
            field.storm(turns=2)
        assert len(tape) >= 3
        before = field.assert_at_rest()
        answers = deliver_all(field.office, cloud.endpoint.device_listen, tape * 2, seed=5, streams=3)
        assert {one.status for answer in answers for one in answer.results} == {
            pb.DELIVER_STATUS_ALREADY_HAVE
        }
        after = field.assert_at_rest()
        assert (after.chain, after.alarms) == (before.chain, [])

    def test_batches_in_any_order_over_streams_that_overlap_make_one_chain(
        self, field: Field, cloud: RunningCloud
    ) -> None:
        field.hear(field.office.verify(24))
        damage(field.office, 8)
        batches = batches_of(field.office, size=3)
        deliver_all(field.office, cloud.endpoint.device_listen, batches * 2, seed=9, streams=3)
        assert field.shelf().head.seq == 7
        field.hear(field.office.verify(2))
        field.storm()
        shelf = field.assert_at_rest(lost=places(8))
        assert shelf.kinds() == {"GAP"}
        deliver_all(field.office, cloud.endpoint.device_listen, batches, seed=10, streams=3)
        assert field.assert_at_rest(lost=places(8)).chain == shelf.chain

    def test_a_stream_that_comes_late_beside_a_daemon_at_work(
        self, field: Field, cloud: RunningCloud
    ) -> None:
        for _ in range(2):
            field.hear(field.office.verify(9))
            batches = batches_of(field.office, size=2)
            with field.office.daemon():
                deliver_all(field.office, cloud.endpoint.device_listen, batches, seed=3, streams=2)
                wait_until(field.office.all_settled)
        field.promised.look(field.office)
        assert field.assert_at_rest().alarms == []


def test_a_step_back_of_the_clouds_clock_neither_stops_nor_reorders_anything(
    field: Field, cloud: RunningCloud
) -> None:
    field.hear(field.office.verify(2))
    field.storm(turns=2)
    with field.office.recorder() as recorder:
        before = recorder.outbox.cited().server_time
    cloud.clock.offset = -timedelta(minutes=3)
    try:
        field.hear(field.office.verify(2))
        field.storm(turns=2)
        field.assert_at_rest()
    finally:
        cloud.clock.offset = timedelta()
    with field.office.recorder() as recorder:
        after = recorder.outbox.cited().server_time
    assert before is not None
    assert after is not None
    assert after >= before
