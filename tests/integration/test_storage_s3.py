"""Stores behind the S3 protocol, over real HTTP: two providers, off-site recovery, and servers that fail."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cloud.errors import ServiceError
from cloud.objects.files import Fault, ObjectFolder, StoreFault
from cloud.objects.guard import Role
from cloud.objects.replicas import MAIN
from cloud.objects.s3 import Address, S3Store, read_credentials
from cloud.store.replicas import ReplicaState
from tests.support.buckets import SECRET, Provider, empty, running_providers
from tests.support.databases import in_file
from tests.support.storage import Storage, open_storage

OK, LAGGING, REPAIRED = ReplicaState.OK, ReplicaState.LAGGING, ReplicaState.REPAIRED


@pytest.fixture(scope="module")
def providers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Provider]]:
    with running_providers(tmp_path_factory.mktemp("providers")) as found:
        yield found


@pytest.fixture
def buckets(providers: list[Provider]) -> list[Provider]:
    """Empty ones."""
    empty(providers[0])
    return providers


@pytest.fixture
def clouds(buckets: list[Provider], tmp_path: Path) -> Iterator[Storage]:
    """One local store, and backups at two providers."""
    remotes = {
        "alpha": (Role.BACKUP, "Alpha Cloud", buckets[0].store("alpha")),
        "beta": (Role.BACKUP, "Beta Storage", buckets[1].store("beta")),
    }
    with open_storage(in_file(tmp_path / "db"), tmp_path, remotes=remotes) as storage:
        yield storage


def key_of(storage: Storage, prefix: str, ref: Any) -> str:
    name = storage.digest(ref).hex()
    return f"{prefix}/objects/{name[:2]}/{name}"


def test_a_bucket_keeps_what_a_folder_keeps(buckets: list[Provider]) -> None:
    store = buckets[0].store()
    sealed = os.urandom(70_000)
    digest = store.put(sealed)
    assert digest == sha256(sealed).digest()
    assert store.put(sealed) == digest
    assert store.open(digest) == sealed
    assert list(store.list_before(2**60)) == [digest]
    assert list(store.list_before(0)) == []
    assert store.read_mark() is None
    store.write_mark(b"whose it is")
    assert store.read_mark() == b"whose it is"
    assert list(store.list_before(2**60)) == [digest]
    store.delete(digest)
    store.delete(digest)
    with pytest.raises(StoreFault) as gone:
        store.open(digest)
    assert gone.value.fault is Fault.MISSING


@pytest.mark.req("R143")
def test_a_flipped_byte_at_any_of_three_places_is_found_and_mended(
    clouds: Storage, buckets: list[Provider]
) -> None:
    refs = [clouds.put(os.urandom(3000)) for _ in range(3)]
    assert clouds.states(refs[0]) == {MAIN: OK, "alpha": LAGGING, "beta": LAGGING}
    clouds.mend()
    assert clouds.states(refs[0]) == {MAIN: OK, "alpha": OK, "beta": OK}
    good = clouds.path(MAIN, refs[1]).read_bytes()
    bad = bytearray(good)
    bad[1500] ^= 4
    for bucket, name in zip(buckets, ("alpha", "beta"), strict=True):
        key = key_of(clouds, name, refs[1])
        assert bucket.bytes_of(key) == good
        bucket.client.put_object(Bucket="files", Key=key, Body=bytes(bad))
        done = clouds.scrub(name)
        assert (done.looked, done.damaged, done.mended) == (3, 1, 1)
        assert bucket.bytes_of(key) == good
    clouds.path(MAIN, refs[1]).write_bytes(bytes(bad))
    assert clouds.scrub(MAIN).mended == 1
    assert clouds.path(MAIN, refs[1]).read_bytes() == good
    assert clouds.states(refs[1]) == {MAIN: REPAIRED, "alpha": REPAIRED, "beta": REPAIRED}


@pytest.mark.req("R142")
def test_a_site_that_is_wiped_comes_back_from_elsewhere_with_the_same_digests(
    buckets: list[Provider], database_url: str, tmp_path: Path
) -> None:
    remotes = {"far": (Role.OFFSITE, "Alpha Cloud", buckets[0].store("far"))}
    with open_storage(database_url, tmp_path, mirrors=["second"], remotes=remotes) as storage:
        contents = [os.urandom(500 + number) for number in range(6)]
        refs = [storage.put(content) for content in contents]
        storage.mend()
        before = {ref.object_id: storage.path(MAIN, ref).read_bytes() for ref in refs}
    for name in (MAIN, "second"):
        shutil.rmtree(tmp_path / name)
    with open_storage(database_url, tmp_path, mirrors=["second"], remotes=remotes) as storage:
        assert [storage.guard(name).fault for name in (MAIN, "second")] == [Fault.AWAY, Fault.AWAY]
        # The site is read from elsewhere at once.
        assert [storage.open(ref) for ref in refs] == contents
        told: list[tuple[str, int, int]] = []
        for name in (MAIN, "second"):
            storage.care.look_at(storage.guard(name), renew=True)
            done = storage.care.restore(storage.guard(name), lambda *step: told.append(step))
            assert (done.looked, done.mended, done.failed) == (6, 6, 0)
        assert told[-1] == ("second", 6, 6)
        for ref in refs:
            for name in (MAIN, "second"):
                assert storage.path(name, ref).read_bytes() == before[ref.object_id]
            assert storage.states(ref) == {MAIN: OK, "second": OK, "far": OK}
        assert [storage.confirm(ref).sha256 for ref in refs] == [sha256(one).digest() for one in contents]


def test_what_waits_for_a_store_elsewhere_survives_a_restart(buckets: list[Provider], tmp_path: Path) -> None:
    url = in_file(tmp_path / "db")
    remotes = {"far": (Role.OFFSITE, "Alpha Cloud", buckets[0].store("far"))}
    with open_storage(url, tmp_path, remotes=remotes) as storage:
        ref = storage.put(b"queued")
    with open_storage(url, tmp_path, remotes=remotes) as storage:
        assert storage.states(ref)["far"] == LAGGING
        assert storage.mend("far").mended == 1
        assert storage.states(ref)["far"] == OK


@pytest.mark.req("R144")
def test_no_store_and_no_database_holds_a_byte_of_what_was_kept(
    clouds: Storage, buckets: list[Provider], tmp_path: Path
) -> None:
    content = b"%PDF-1.7 The lessee pays 4711 yuan a month. " * 200
    ref = clouds.put(content)
    clouds.mend()
    assert clouds.open(ref) == content
    bytes_of_keys = [bucket.bytes_of(key) for bucket in buckets for key in bucket.names()]
    on_disk = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(bytes_of_keys) >= 4
    for held in bytes_of_keys + on_disk:
        assert b"lessee" not in held
        assert b"%PDF" not in held
        assert content[100:116] not in held


class _Answers(BaseHTTPRequestHandler):
    """Answers everything with one status, or not at all."""

    status = 500
    body = b""
    wait: threading.Event | None = None

    def _answer(self) -> None:
        if self.wait is not None:
            self.wait.wait(30)
            return
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _answer  # noqa: N815 (names of the library)

    def log_message(self, *_arguments: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "code", "fault"),
    [
        (500, "InternalError", Fault.AWAY),
        (503, "SlowDown", Fault.AWAY),
        (403, "AccessDenied", Fault.DENIED),
        (403, "SignatureDoesNotMatch", Fault.DENIED),
        (404, "NoSuchBucket", Fault.AWAY),
        (507, "XMinioStorageFull", Fault.FULL),
        (418, "Teapot", Fault.BROKEN),
    ],
)
def test_a_server_that_refuses_is_a_fault_of_its_kind_and_its_words_go_nowhere(
    tmp_path: Path, status: int, code: str, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    body = f"<Error><Code>{code}</Code><Message>{SECRET} of the server</Message></Error>".encode()
    handler = type("Handler", (_Answers,), {"status": status, "body": body})
    with _serving(handler) as endpoint:
        far = S3Store(_address(tmp_path, endpoint), timeout_s=20.0)
        with pytest.raises(StoreFault) as error:
            far.put(b"content")
        assert error.value.fault is fault
        assert SECRET not in str(error.value) + caplog.text
        remotes = {"far": (Role.BACKUP, "Elsewhere", far)}
        with open_storage(in_file(tmp_path / "db"), tmp_path, remotes=remotes) as storage:
            assert storage.guard("far").fault is fault
            ref = storage.put(b"content")  # nobody waits for what is elsewhere
            assert storage.open(ref) == b"content"
            assert storage.mend("far").looked == 0


def test_a_server_that_does_not_answer_in_time_is_slow_and_none_is_away(tmp_path: Path) -> None:
    wait = threading.Event()
    with _serving(type("Handler", (_Answers,), {"wait": wait})) as endpoint:
        slow = S3Store(_address(tmp_path, endpoint), timeout_s=0.2)
        with pytest.raises(StoreFault) as error:
            slow.open(b"\0" * 32)
        assert error.value.fault is Fault.SLOW
        wait.set()
    away = S3Store(_address(tmp_path, endpoint), timeout_s=20.0)  # its port is closed now
    with pytest.raises(StoreFault) as error:
        away.open(b"\0" * 32)
    assert error.value.fault is Fault.AWAY


def test_credentials_come_from_a_file_or_the_environment_and_are_never_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    with pytest.raises(StoreFault) as error:
        read_credentials(None)
    assert error.value.fault is Fault.DENIED
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    assert read_credentials(None) == ("id", SECRET, None)
    broken = tmp_path / "broken.toml"
    broken.write_text(f'access_key_id = "id"\nsecret_access_key = {SECRET}\n')
    with pytest.raises(StoreFault) as error:
        read_credentials(broken)
    seen: BaseException | None = error.value
    while seen is not None:
        assert SECRET not in str(seen)
        seen = seen.__cause__
    assert SECRET not in repr(S3Store(Address("files", credentials=broken), timeout_s=1.0).__dict__)


def test_a_folder_of_another_site_is_a_store_too(tmp_path: Path) -> None:
    remotes = {"hill": (Role.OFFSITE, "Our second site", ObjectFolder(tmp_path / "hill", min_free_bytes=0))}
    with open_storage(in_file(tmp_path / "db"), tmp_path, remotes=remotes) as storage:
        ref = storage.put(b"content")
        storage.mend()
        storage.path(MAIN, ref).unlink()
        assert storage.open(ref) == b"content"
        assert storage.path(MAIN, ref).exists()  # mended by the way
        storage.path(MAIN, ref).unlink()
        storage.path("hill", ref).unlink()
        with pytest.raises(ServiceError):
            storage.open(ref)


def _address(folder: Path, endpoint: str) -> Address:
    credentials = folder / "credentials.toml"
    credentials.write_text(f'access_key_id = "id"\nsecret_access_key = "{SECRET}"\n')
    return Address("files", endpoint=endpoint, credentials=credentials)


class _serving:  # noqa: N801 (used as a function)
    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
