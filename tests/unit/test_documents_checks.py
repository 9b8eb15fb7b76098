"""Places for checks of documents, and how a document is received."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from cloud.errors import Reason, ServiceError
from cloud.signers import checks
from cloud.signers.checks import MAX_OF_ONE_SOURCE, WAITING_PER_CHECK, Checks, Trust, receive
from tests.support.documents import Notary, named, place
from verifield.documents import Limits, Outcome


@pytest.fixture
def desk(tmp_path: Path) -> Checks:
    return desk_of(Notary(tmp_path / "notary"))


def desk_of(notary: Notary) -> Checks:
    return Checks(Trust(notary.root, ()), notary.sources, at_once=1, limits=Limits())


def test_one_source_has_few_places(desk: Checks) -> None:
    with ExitStack() as held:
        for _ in range(MAX_OF_ONE_SOURCE):
            held.enter_context(desk.place("address/192.0.2.1"))
        assert refused(desk, "address/192.0.2.1") is Reason.RATE_LIMITED
        held.enter_context(desk.place("address/192.0.2.2"))
    with desk.place("address/192.0.2.1"):
        pass


def test_all_together_have_some(desk: Checks) -> None:
    with ExitStack() as held:
        for number in range(1 + WAITING_PER_CHECK):
            held.enter_context(desk.place(f"device/{number}"))
        assert refused(desk, "device/another") is Reason.DOCUMENT_CHECKS_BUSY
    with desk.place("device/another"):
        pass


def test_a_document_comes_in_pieces_up_to_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MAX_DOCUMENT_BYTES", 10)
    assert asyncio.run(receive(given(b"12345", b"", b"67890"))) == b"1234567890"
    for pieces, reason in (((b"12345", b"678901"), Reason.DOCUMENT_SIZE), ((), Reason.DOCUMENT_EMPTY)):
        with pytest.raises(ServiceError) as caught:
            asyncio.run(receive(given(*pieces)))
        assert caught.value.reason is reason


def test_a_line_that_falls_silent_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent() -> AsyncIterator[bytes]:
        yield b"%PDF-"
        await asyncio.Event().wait()

    monkeypatch.setattr(checks, "PIECE_WAIT_S", 0.01)
    with pytest.raises(ServiceError) as caught:
        asyncio.run(receive(silent()))
    assert caught.value.reason is Reason.STREAM_IDLE


def test_without_a_process_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notary = Notary(tmp_path / "notary")
    document = notary.signed(notary.frozen([place("name1", "first")]), [named("name1")])
    notary.now += timedelta(minutes=1)
    verdict = asyncio.run(desk_of(notary).judge(document, revocations=[]))
    assert verdict.outcome is Outcome.VALID

    def away(*_: object, **__: object) -> None:
        raise OSError(11, "no process")

    monkeypatch.setattr(checks, "judge_apart", away)
    with pytest.raises(ServiceError) as caught:
        asyncio.run(desk_of(notary).judge(document, revocations=[]))
    assert caught.value.reason is Reason.DOCUMENT_CHECKS_AWAY


def refused(desk: Checks, source: str) -> Reason:
    with pytest.raises(ServiceError) as caught, desk.place(source):
        pass
    return caught.value.reason


async def given(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
