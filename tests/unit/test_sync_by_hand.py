"""Small parts: whose turn it is, what an export held."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import uuid_utils

from edge.model import Position
from edge.sync.journal import MAX_EXPORTS, Entry, Journal
from edge.sync.turns import Turns


def entry(transfer_id: str) -> Entry:
    return Entry(transfer_id, 7, "cursor", ((Position(1, 1), Position(1, 2)), ()), (Position(1, 3),))


def test_what_an_export_held_is_remembered(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "exports")
    transfer_id = str(uuid_utils.uuid7())
    journal.keep(entry(transfer_id))
    assert Journal(tmp_path / "exports").find(transfer_id) == entry(transfer_id)
    assert journal.find(str(uuid_utils.uuid7())) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"tree_size": 1}', b'{"tree_size": "x"}'])
def test_a_damaged_entry_is_none(tmp_path: Path, content: bytes) -> None:
    journal = Journal(tmp_path)
    (tmp_path / "1_a.json").write_bytes(content)
    assert journal.find("a") is None


def test_the_oldest_are_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    ids = [
        f"00000000-{MAX_EXPORTS + 2 - number:04d}" for number in range(MAX_EXPORTS + 2)
    ]  # a clock set back
    for transfer_id in ids:
        journal.keep(entry(transfer_id))
    assert [journal.find(transfer_id) is None for transfer_id in ids] == [True] * 2 + [False] * MAX_EXPORTS


def test_one_at_a_time(tmp_path: Path) -> None:
    turns, order = Turns(tmp_path / "outbox"), []
    inside, done = threading.Event(), threading.Event()

    def other() -> None:
        inside.set()
        with turns.turn(threading.Event()) as ours:
            order.append(("other", ours))
        done.set()

    with turns.turn(threading.Event()) as ours:
        thread = threading.Thread(target=other)
        thread.start()
        inside.wait()
        assert not done.wait(0.3)
        order.append(("first", ours))
    thread.join()
    assert order == [("first", True), ("other", True)]


def test_a_stop_ends_the_waiting(tmp_path: Path) -> None:
    turns, stop = Turns(tmp_path), threading.Event()
    with turns.turn(threading.Event()):
        threading.Timer(0.1, stop.set).start()
        with turns.turn(stop) as ours:
            assert not ours


def test_a_call_is_seen(tmp_path: Path) -> None:
    turns = Turns(tmp_path / "outbox")
    assert turns.last_call() == 0
    turns.call()
    first = turns.last_call()
    assert first > 0
    threading.Event().wait(0.02)
    turns.call()
    assert turns.last_call() > first
