"""Files in chunks over bad networks, and delivery by hand beside them: nothing is lost, nothing is twice."""

from __future__ import annotations

import random
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from cloud.errors import ClientError
from cloud.media.files import MediaFolder
from edge.answers import PrivateField
from edge.attest.media import SealedMedia, seal_media
from edge.delivery import export_records, import_answer
from edge.errors import CloudError, InputError
from edge.sync.answer import ImportReport
from edge.sync.export import ExportReport
from edge.sync.ports import Media
from edge.sync.uplink import GrpcUplink
from tests.support.bad_days import Field, damage, lose, open_field, places
from tests.support.bad_network import ROUGH, Weather
from tests.support.cloud import TIMEOUT_S, RunningCloud, refusal, running_cloud
from tests.support.field_office import FieldOffice, wait_until
from tests.support.haste import make_haste
from tests.support.replay import stub_of
from verifield.chain import envelope_sha256
from verifield.media import CHUNK_BYTES, chunk_count, decrypt_media
from verifield.v1 import sync_service_pb2 as pb
from verifield.v1.transfer_service_pb2 import ImportRequest

pytestmark = pytest.mark.req("E051")

RECIPIENT = X25519PrivateKey.generate()
CHUNKS = 5


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


def sealed(*sizes: int, seed: int = 1) -> tuple[SealedMedia, ...]:
    chance = random.Random(seed)
    files = (PrivateField(f"picture_{number}", chance.randbytes(size)) for number, size in enumerate(sizes))
    return seal_media(tuple(files), recipient_key=RECIPIENT.public_key().public_bytes_raw())


def stored(cloud: RunningCloud, office: FieldOffice, media: SealedMedia) -> bytes:
    """The complete file, as it lies in the cloud."""
    return MediaFolder(cloud.data / "media").path(office.device_id, media.sha256).read_bytes()


def delivered_all(field: Field) -> bool:
    with field.office.recorder() as recorder:
        return field.office.all_settled() and recorder.outbox.stats().media_pending == 0


class TestMedia:
    def test_a_file_that_is_cut_at_every_chunk_goes_on_from_there(
        self, field: Field, cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        written: Counter[int] = Counter()
        real = MediaFolder.put_chunk

        def put_chunk(self: MediaFolder, device_id: str, digest: bytes, index: int, content: bytes) -> None:
            written[index] += 1
            real(self, device_id, digest, index, content)
            cut_here()

        def cut_here() -> None:
            """The answer to each chunk is lost, and the link with it."""
            field.device.cut_all()

        monkeypatch.setattr(MediaFolder, "put_chunk", put_chunk)
        media = sealed(CHUNKS * CHUNK_BYTES - 1000)
        assert chunk_count(len(media[0].data)) == CHUNKS
        field.hear(field.office.verify(1, media=media))
        with field.office.daemon():
            wait_until(lambda: delivered_all(field))
        field.promised.look(field.office)
        shelf = field.assert_at_rest()
        assert shelf.media == {media[0].sha256}
        assert written == dict.fromkeys(range(CHUNKS), 1)  # each once, although each answer was lost
        data = stored(cloud, field.office, media[0])
        assert envelope_sha256(data) == media[0].sha256
        assert decrypt_media(data, private_key=RECIPIENT) == media[0].content

    def test_files_and_records_over_a_network_that_fails_in_every_way(
        self, field: Field, cloud: RunningCloud
    ) -> None:
        media = sealed(300_000, 20, CHUNK_BYTES - 48, 1)
        field.hear(field.office.verify(2, media=media[:2]))  # two records name the same files
        field.hear(field.office.verify(1, media=media[2:]))
        field.storm(until=lambda: delivered_all(field))
        shelf = field.assert_at_rest()
        assert shelf.media == {item.sha256 for item in media}
        for item in media:
            assert decrypt_media(stored(cloud, field.office, item), private_key=RECIPIENT) == item.content

    def test_a_chunk_that_was_changed_on_the_way_is_found_by_the_digest_and_sent_again(
        self, field: Field, cloud: RunningCloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        media = sealed(2 * CHUNK_BYTES)
        field.hear(field.office.verify(1, media=media))
        real = GrpcUplink.put_media_chunk

        def put(self: GrpcUplink, item: Media, *, index: int, content: bytes) -> bool:
            return real(self, item, index=index, content=content[:-1] + b"?" if index == 1 else content)

        with monkeypatch.context() as patch:
            patch.setattr(GrpcUplink, "put_media_chunk", put)
            field.storm(turns=1)
            assert field.office.sync().media == 0
        assert "MEDIA_REFUSED" in field.office.troubles
        assert field.shelf().media == set()
        field.storm(until=lambda: delivered_all(field), turns=1)
        assert field.assert_at_rest().media == {media[0].sha256}
        assert envelope_sha256(stored(cloud, field.office, media[0])) == media[0].sha256

    def test_only_files_that_a_record_of_the_device_names_are_taken(
        self, field: Field, cloud: RunningCloud, tmp_path: Path
    ) -> None:
        media = sealed(500)
        field.hear(field.office.verify(1, media=media))
        field.storm(until=lambda: delivered_all(field), turns=1)
        unnamed = sealed(500, seed=2)[0]
        other = FieldOffice.open(cloud, tmp_path / "other")
        other.sync()
        for office, item in ((field.office, unnamed), (other, media[0])):
            chunk = pb.PutMediaChunkRequest(
                sha256=item.sha256, size_bytes=len(item.data), index=0, content=item.data
            )
            with (
                stub_of(office, cloud.endpoint.device_listen) as stub,
                pytest.raises(grpc.RpcError) as caught,
            ):
                stub.PutMediaChunk(chunk, timeout=TIMEOUT_S)
            assert refusal(caught.value)[1].reason == "MEDIA_UNKNOWN"
        assert not (cloud.data / "media" / other.device_id).exists()
        assert field.assert_at_rest().media == {media[0].sha256}


def write_out(office: FieldOffice, path: Path) -> ExportReport:
    return export_records(office.settings, path, stop=threading.Event(), progress=lambda _records: None)


def read_in(office: FieldOffice, path: Path) -> ImportReport:
    return import_answer(office.settings, path, stop=threading.Event())


def carry(cloud: RunningCloud, exported: Path) -> Path:
    """What the operator does; the answer lies beside the file."""
    data = exported.read_bytes()
    pieces = [ImportRequest(content=data[start : start + 40_000]) for start in range(0, len(data), 40_000)]
    answer = exported.with_name(f"{exported.name}.answer-{random.random()}")
    messages = cloud.operator.stream(cloud.operator.transfers.Import, iter(pieces))
    answer.write_bytes(b"".join(message.content for message in messages))
    return answer


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick"
    folder.mkdir()
    return folder


class TestSticks:
    def test_a_device_without_any_network_for_its_whole_life(
        self, field: Field, cloud: RunningCloud, stick: Path, tmp_path: Path
    ) -> None:
        """Broken and lost rows, files, and a restored backup, with nothing but a stick."""
        field.device.weather = field.public.weather = Weather(refuse=True)
        media = sealed(700_000)
        field.hear(field.office.verify(5, media=media))
        damage(field.office, 3)
        lose(field.office, 5)
        backup = field.copy(tmp_path / "backup")
        for _ in range(2):
            read_in(field.office, carry(cloud, write_out(field.office, stick).path))
        field.promised.look(field.office)
        shelf = field.assert_at_rest(lost=places(3, 5))
        assert shelf.media == {media[0].sha256}

        field.hear(backup.verify(2))
        for _ in range(4):
            answer = carry(cloud, write_out(backup, stick).path)
            field.promised.look(backup)
            if read_in(backup, answer).notes == 0 and backup.all_settled():
                break
        field.promised.look(backup)
        shelf = field.assert_at_rest(backup, lost=places(3, 5))
        assert shelf.head.epoch == 2

    def test_sticks_and_a_bad_network_deliver_the_same_records_at_the_same_time(
        self, field: Field, cloud: RunningCloud, stick: Path
    ) -> None:
        files: list[Path] = []
        for number in range(3):
            field.hear(field.office.verify(4, media=sealed(1000, seed=number)))
            files.append(write_out(field.office, stick).path)
        answers: list[Path] = []

        def operator() -> None:
            for file in (files[2], files[0], files[2], files[1]):  # out of order, and one twice
                answers.append(carry(cloud, file))

        work = threading.Thread(target=operator)
        field.device.weather = ROUGH
        with field.office.daemon():
            weather = field.device.flap(7, turns=4, longest_s=0.2)
            work.start()
            for _ in range(4):
                field.hear(field.office.verify())
            work.join()
            for answer in answers:
                read_in(field.office, answer)  # between two turns of the daemon
            weather.join()
            wait_until(lambda: delivered_all(field))
        field.promised.look(field.office)
        before = field.assert_at_rest()
        assert before.alarms == []
        for answer in [*answers, *(carry(cloud, file) for file in files)]:
            assert read_in(field.office, answer).notes == 0
        after = field.assert_at_rest()
        assert (after.chain, after.alarms) == (before.chain, before.alarms)

    def test_a_bad_stick_loses_nothing(
        self, field: Field, cloud: RunningCloud, stick: Path, tmp_path: Path
    ) -> None:
        """Cut and changed files on both ways: each is refused whole, or what counts in it holds."""
        chance = random.Random(4)
        field.device.weather = Weather(refuse=True)
        field.hear(field.office.verify(3))
        exported = write_out(field.office, stick).path
        for _ in range(6):
            with pytest.raises(ClientError) as caught:
                carry(cloud, spoil(exported, chance, tmp_path / "spoilt"))
            assert caught.value.code == "TRANSFER_INVALID"
        assert field.shelf().chain == {}
        answer = carry(cloud, exported)
        for _ in range(12):
            try:
                read_in(field.office, spoil(answer, chance, tmp_path / "spoilt"))
            except (InputError, CloudError) as error:
                assert error.hint  # noqa: PT017
        read_in(field.office, answer)
        read_in(field.office, carry(cloud, write_out(field.office, stick).path))
        field.promised.look(field.office)
        field.assert_at_rest()


def spoil(path: Path, chance: random.Random, to: Path) -> Path:
    """A copy that was pulled out too early, or has a byte changed."""
    shutil.copyfile(path, to)
    data = bytearray(to.read_bytes())
    if chance.random() < 0.5:
        to.write_bytes(data[: chance.randrange(len(data))])
    else:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        to.write_bytes(data)
    return to
