"""Delivery by hand: a device that never sees a network, a stick, and the real cloud."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from typer.testing import CliRunner

from cloud.authority import Authority
from cloud.signing import sign_for_devices
from edge.answers import PrivateField
from edge.app import open_identity, open_state
from edge.attest.media import seal_media
from edge.cli import app
from edge.contact import BY_HAND, Contact
from edge.delivery import export_records, import_answer
from edge.errors import CloudError, EdgeError, InputError, Interrupted
from edge.model import Position
from edge.outbox.records import RecordState
from edge.sync.answer import ImportReport
from edge.sync.export import ExportReport
from tests.integration.test_sync_recovery import (
    alarms,
    chain,
    copy_of,
    damage,
    delivered,
    media_state,
    side_records,
    stored_media,
)
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.field_office import FieldOffice
from tests.support.tasks import account_item
from verifield.dsse import parse_envelope
from verifield.transfer import (
    ANSWER_TYPE,
    MAGIC,
    encode_answer_manifest,
    frames_digest,
    read_frames,
    write_frame,
)
from verifield.v1 import device_service_pb2 as devices_pb
from verifield.v1.sync_service_pb2 import DELIVER_STATUS_INVALID
from verifield.v1.transfer_pb2 import AnswerManifest, AnswerSeal, TransferFrame
from verifield.v1.transfer_service_pb2 import ImportRequest

NOWHERE = "127.0.0.1:1"

pytestmark = pytest.mark.req("E051")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("cloud") / "data") as running:
        yield running


@pytest.fixture
def office(cloud: RunningCloud, tmp_path: Path) -> FieldOffice:
    office = FieldOffice.open(cloud, tmp_path / "device")
    office.go_through(device=NOWHERE, public=NOWHERE)
    return office


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


def write_out(office: FieldOffice, path: Path) -> ExportReport:
    return export_records(office.settings, path, stop=threading.Event(), progress=lambda _records: None)


def read_in(office: FieldOffice, path: Path) -> ImportReport:
    return import_answer(office.settings, path, stop=threading.Event())


def carry(cloud: RunningCloud, exported: Path) -> Path:
    """What the operator does; the answer lies beside the file."""
    data = exported.read_bytes()
    pieces = [ImportRequest(content=data[start : start + 40_000]) for start in range(0, len(data), 40_000)]
    answer = exported.with_suffix(".answer")
    messages = cloud.operator.stream(cloud.operator.transfers.Import, iter(pieces))
    answer.write_bytes(b"".join(message.content for message in messages))
    return answer


def read_all(path: Path) -> list[TransferFrame]:
    with path.open("rb") as file:
        return list(read_frames(file))


def write_all(path: Path, frames: Sequence[TransferFrame]) -> None:
    with path.open("wb") as file:
        file.write(MAGIC)
        for frame in frames:
            write_frame(file, frame)


def write_sealed(office: FieldOffice, path: Path, frames: Sequence[TransferFrame]) -> None:
    """What a service would write that has lost its mind, but not its keys."""
    authority = Authority.open(office.cloud.data, server_names=("localhost",), now=datetime.now(UTC))
    write_all(path, frames[:-1])
    with path.open("rb") as file:
        file.seek(len(MAGIC))
        found = frames_digest(file)
    manifest = AnswerManifest.FromString(parse_envelope(frames[-1].seal.envelope).payload)
    manifest.frames, manifest.frames_sha256 = found.frames, found.sha256
    seal = AnswerSeal(
        envelope=sign_for_devices(
            authority, payload_type=ANSWER_TYPE, payload=encode_answer_manifest(manifest)
        ),
        certificates=authority.chain_of(authority.policy.certificate),
    )
    write_all(path, [*frames[:-1], TransferFrame(seal=seal)])


def contact_of(office: FieldOffice) -> Contact | None:
    with open_state(office.settings, open_identity(office.settings)) as state:
        return state.contact()


def round_trip(office: FieldOffice, stick: Path) -> tuple[ExportReport, ImportReport]:
    exported = write_out(office, stick)
    return exported, read_in(office, carry(office.cloud, exported.path))


def test_records_go_out_and_receipts_come_back_with_no_network(office: FieldOffice, stick: Path) -> None:
    office.verify(4)
    exported, imported = round_trip(office, stick)
    assert (exported.records, exported.files, exported.complete) == (5, 0, True)
    assert exported.path.parent == stick
    assert exported.size_bytes == exported.path.stat().st_size
    assert (imported.delivered, imported.confirmed, imported.refused) == (5, 5, 0)
    assert delivered(office) == chain(1, 1, 2, 3, 4, 5)
    assert set(office.states()) == {RecordState.CONFIRMED}
    office.verify()
    exported, imported = round_trip(office, stick)
    assert (exported.records, imported.confirmed) == (1, 1)  # only what no receipt covers


def test_importing_again_changes_nothing_on_either_side(office: FieldOffice, stick: Path) -> None:
    office.verify(2)
    exported = write_out(office, stick)
    answer = carry(office.cloud, exported.path)
    assert read_in(office, answer).confirmed == 3
    again = carry(office.cloud, exported.path)
    before = office.states()
    for path in (answer, again):
        report = read_in(office, path)
        assert (report.confirmed, report.notes) == (0, 0)
        assert office.states() == before
    assert delivered(office) == chain(1, 1, 2, 3)


def test_an_old_answer_renews_no_lease(office: FieldOffice, stick: Path) -> None:
    """The answer to a file without records changes no receipt and no cursor: it can be read in for ever."""
    round_trip(office, stick)
    answer = carry(office.cloud, write_out(office, stick).path)
    read_in(office, answer)
    before = contact_of(office)
    assert before is not None
    assert before.arrival == BY_HAND
    for _ in range(2):
        read_in(office, answer)
        after = contact_of(office)
        assert after is not None
        assert (after.server_time, after.arrival) == (before.server_time, BY_HAND)
        assert after.uptime_ns > before.uptime_ns
        before = after


def test_a_second_export_before_the_answer_is_fine(office: FieldOffice, stick: Path) -> None:
    office.verify(2)
    first = write_out(office, stick)
    office.verify(2)
    second = write_out(office, stick)
    assert (first.records, second.records) == (3, 5)
    assert read_in(office, carry(office.cloud, second.path)).confirmed == 5
    late = read_in(office, carry(office.cloud, first.path))
    assert (late.stale, late.confirmed) == (True, 0)
    assert set(office.states()) == {RecordState.CONFIRMED}


def test_what_went_over_the_network_meanwhile_is_not_undone(office: FieldOffice, stick: Path) -> None:
    office.verify(2)
    exported = write_out(office, stick)
    office.go_through(device=office.cloud.endpoint.device_listen, public=office.cloud.endpoint.listen)
    office.verify()
    assert office.sync().confirmed == 4
    report = read_in(office, carry(office.cloud, exported.path))
    assert report.stale
    assert set(office.states()) == {RecordState.CONFIRMED}
    office.verify()
    assert office.sync().trouble is None


def test_files_travel_with_their_records(office: FieldOffice, stick: Path) -> None:
    public = X25519PrivateKey.generate().public_key().public_bytes_raw()
    media = seal_media((PrivateField("best_shot", bytes(700_000)),), recipient_key=public)
    office.verify(1, media=media)
    exported, imported = round_trip(office, stick)
    assert (exported.records, exported.files, imported.files) == (2, 1, 1)
    assert media_state(office) == {"DELIVERED"}
    assert stored_media(office) == {media[0].sha256}
    assert write_out(office, stick).files == 0


def test_orders_come_down_by_hand(office: FieldOffice, stick: Path) -> None:
    request = devices_pb.SendDirectiveRequest(device_id=office.device_id, action=1, reason="moved")
    office.cloud.operator.call(office.cloud.operator.devices.SendDirective, request)
    _, imported = round_trip(office, stick)
    assert imported.news
    assert office.lock().locked


def test_broken_records_are_given_up_without_being_asked(office: FieldOffice, stick: Path) -> None:
    office.verify(4)
    damage(office, Position(1, 3))
    _, imported = round_trip(office, stick)
    assert delivered(office) == chain(1, 1, 2, 4, 5, 6)
    assert side_records(office) == [("DAMAGED", 1, 3)]
    assert imported.notes == 0


def test_a_restored_store_begins_a_new_epoch_by_hand(
    office: FieldOffice, stick: Path, tmp_path: Path
) -> None:
    round_trip(office, stick)
    restored = copy_of(office, tmp_path / "restored")
    office.verify(3)
    round_trip(office, stick)
    restored.verify()
    _, imported = round_trip(restored, stick)
    assert (imported.forked, imported.notes) == (1, 1)
    _, imported = round_trip(restored, stick)
    assert imported.notes == 0
    assert delivered(office) == chain(1, 1, 2, 3, 4) + chain(2, 1)
    assert "RESET" in alarms(office)
    restored.verify()
    _, imported = round_trip(restored, stick)
    assert imported.confirmed >= 1
    assert delivered(office)[-1] == (2, 2)


class TestBadFiles:
    @pytest.fixture
    def answer(self, office: FieldOffice, stick: Path) -> Path:
        office.verify(2)
        return carry(office.cloud, write_out(office, stick).path)

    def refused(self, office: FieldOffice, path: Path) -> EdgeError:
        before = office.states()
        with pytest.raises((InputError, CloudError)) as error:
            read_in(office, path)
        assert office.states() == before
        assert error.value.hint
        return error.value

    def test_the_export_itself_is_no_answer(self, office: FieldOffice, stick: Path) -> None:
        assert self.refused(office, write_out(office, stick).path).code == "TRANSFER_NOT_AN_ANSWER"

    def test_the_answer_to_another_device(
        self, cloud: RunningCloud, office: FieldOffice, answer: Path, tmp_path: Path
    ) -> None:
        other = FieldOffice.open(cloud, tmp_path / "other")
        assert self.refused(other, answer).code == "TRANSFER_FOREIGN"

    def test_an_answer_to_an_export_that_is_not_remembered(self, office: FieldOffice, answer: Path) -> None:
        for path in (office.settings.data_dir / "outbox").glob("*.exports/*.json"):
            path.unlink()
        assert self.refused(office, answer).code == "TRANSFER_UNKNOWN"

    @pytest.mark.parametrize("keep", [0, len(MAGIC) - 1, len(MAGIC) + 2, 0.3, 0.6, 0.95])
    def test_a_file_that_was_cut_short(self, office: FieldOffice, answer: Path, keep: float) -> None:
        data = answer.read_bytes()
        answer.write_bytes(data[: int(keep if keep >= 1 else keep * len(data))])
        assert self.refused(office, answer).code in ("TRANSFER_DAMAGED", "TRANSFER_NOT_AN_ANSWER")

    def test_a_file_whose_bytes_changed(self, office: FieldOffice, answer: Path) -> None:
        """Whatever byte it is: the file is refused, or what counts in it still stands."""
        data = answer.read_bytes()
        for place in range(len(MAGIC) + 4, len(data), max(1, len(data) // 60)):
            answer.write_bytes(data[:place] + bytes([data[place] ^ 0x40]) + data[place + 1 :])
            try:
                report = read_in(office, answer)
            except (InputError, CloudError) as error:
                assert error.hint  # noqa: PT017
            else:
                assert report.refused + report.forked == 0
        answer.write_bytes(data)
        read_in(office, answer)
        assert set(office.states()) == {RecordState.CONFIRMED}

    def test_a_receipt_that_was_signed_by_somebody_else(self, office: FieldOffice, answer: Path) -> None:
        frames = read_all(answer)
        for frame in frames:
            if frame.HasField("answer"):
                frame.answer.receipt_certificates[:] = frame.answer.log_certificates
        write_sealed(office, answer, frames)
        assert self.refused(office, answer).code == "RECEIPT_REFUSED"

    def test_answers_that_do_not_fit_the_questions(self, office: FieldOffice, answer: Path) -> None:
        frames = read_all(answer)
        frames.insert(1, next(frame for frame in frames if frame.HasField("answer")))
        write_sealed(office, answer, frames)
        assert self.refused(office, answer).code == "TRANSFER_DAMAGED"

    def test_nothing_that_the_carrier_changes_counts(self, office: FieldOffice, answer: Path) -> None:
        """Most of an answer has no signature of its own: the seal is over all of it."""

        def all_refused(frames: list[TransferFrame]) -> None:
            for frame in frames:
                for result in frame.answer.results:
                    result.status, result.reason = DELIVER_STATUS_INVALID, "FORGED"

        def file_is_there(frames: list[TransferFrame]) -> None:
            frames.insert(-2, TransferFrame(media_complete=bytes(32)))

        def order_taken_out(frames: list[TransferFrame]) -> None:
            for frame in frames:
                if frame.HasField("down"):
                    del frame.down.items[:]

        def task_put_in(frames: list[TransferFrame]) -> None:
            next(frame for frame in frames if frame.HasField("down")).down.items.append(account_item("a"))

        def newer_time(frames: list[TransferFrame]) -> None:
            next(frame for frame in frames if frame.HasField("down")).down.server_time.seconds += 86_400

        def no_seal(frames: list[TransferFrame]) -> None:
            del frames[-1]

        def more_behind_it(frames: list[TransferFrame]) -> None:
            frames.append(TransferFrame(media_complete=bytes(32)))

        lock = devices_pb.SendDirectiveRequest(device_id=office.device_id, action=1, reason="moved")
        office.cloud.operator.call(office.cloud.operator.devices.SendDirective, lock)
        answer = carry(office.cloud, write_out(office, answer.parent).path)
        whole = answer.read_bytes()
        changes = (
            all_refused,
            file_is_there,
            order_taken_out,
            task_put_in,
            newer_time,
            no_seal,
            more_behind_it,
        )
        for change in changes:
            answer.write_bytes(whole)
            frames = read_all(answer)
            change(frames)
            write_all(answer, frames)
            assert self.refused(office, answer).code == "TRANSFER_DAMAGED", change
            assert not office.lock().locked
        answer.write_bytes(whole)
        assert read_in(office, answer).news
        assert office.lock().locked

    def test_the_seal_of_another_answer(self, office: FieldOffice, answer: Path) -> None:
        other = read_all(carry(office.cloud, write_out(office, answer.parent).path))
        write_all(answer, [*read_all(answer)[:-1], other[-1]])
        assert self.refused(office, answer).code == "TRANSFER_DAMAGED"

    def test_a_seal_by_a_key_for_something_else(self, office: FieldOffice, answer: Path) -> None:
        frames = read_all(answer)
        receipts = next(frame.answer.receipt_certificates for frame in frames if frame.answer.receipt)
        frames[-1].seal.certificates[:] = receipts
        write_all(answer, frames)
        assert self.refused(office, answer).code == "TRANSFER_DAMAGED"

    def test_no_file_at_all(self, office: FieldOffice, stick: Path) -> None:
        assert self.refused(office, stick / "nothing").code == "TRANSFER_UNREADABLE"

    def test_a_stick_that_cannot_be_written_leaves_nothing(self, office: FieldOffice, stick: Path) -> None:
        with pytest.raises(InputError) as error:
            write_out(office, stick / "missing" / "file")
        assert error.value.code == "TRANSFER_UNWRITABLE"
        assert list(stick.iterdir()) == []


def test_it_waits_for_its_turn_and_can_be_stopped(office: FieldOffice, stick: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with office.turn(), pytest.raises(Interrupted):
        export_records(office.settings, stick, stop=stop, progress=lambda _records: None)


def test_the_commands(office: FieldOffice, stick: Path) -> None:
    office.verify(2)
    data = ["--data", str(office.settings.data_dir), "--json"]
    exported = CliRunner().invoke(app, ["export", str(stick), *data])
    assert exported.exit_code == 0, exported.output
    answer = json.loads(exported.stdout)
    assert (answer["records"], answer["complete"]) == (3, True)
    path = carry(office.cloud, Path(answer["path"]))
    imported = CliRunner().invoke(app, ["import", str(path), *data])
    assert imported.exit_code == 0, imported.output
    assert json.loads(imported.stdout)["confirmed"] == 3
    again = CliRunner().invoke(app, ["import", str(stick / "nothing"), *data])
    assert again.exit_code == 5
    assert json.loads(again.stdout)["error"]["code"] == "TRANSFER_UNREADABLE"
