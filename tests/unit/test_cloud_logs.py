"""Lines of the log: what gets through, what is dropped, and what systemd is told."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import socket
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

from cloud.telemetry.logs import (
    KEYS,
    MAX_CAUSES,
    MAX_FRAMES,
    MAX_TEXT_CHARS,
    LibraryHandler,
    describe_exception,
    open_log,
)
from cloud.telemetry.notify import READY, STOPPING, WATCHDOG, Notifier

SECRETS = [
    "vfo_dG8aL02rTM0ZZda7RqOPA5o92tjbaHuIIE4C28qAFoM",
    "Bearer abc.def",
    "bearer vfo_0123456789",
    "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.sig",
    "-----BEGIN PRIVATE KEY-----\nMIG",
    "postgresql://verifield:hunter2@db/verifield",
]


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def logged(**values: object) -> dict[str, Any]:
    stream = io.StringIO()
    open_log(stream).info("call", **values)
    [line] = lines(stream)
    return line


def test_a_line_is_one_json_object_with_level_and_time() -> None:
    line = logged(method="/a.B/C", duration_ms=1.5, reason=None)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "call", "level": "info", "method": "/a.B/C", "duration_ms": 1.5, "reason": None}


def test_unknown_keys_are_named_and_not_written() -> None:
    line = logged(method="m", person_name="Maria", **{"Maria Example": 1})
    assert line["dropped"] == "?,person_name"
    assert "Maria" not in json.dumps(line)


@pytest.mark.parametrize(
    "value", [b"bytes", ["list"], {"a": 1}, ("t",), object(), "x" * (MAX_TEXT_CHARS + 1)]
)
def test_values_that_could_hold_anything_are_dropped(value: object) -> None:
    line = logged(reason=value)
    assert line["dropped"] == "reason"
    assert "reason" not in line


def test_a_text_at_the_limit_is_written() -> None:
    assert logged(reason="x" * MAX_TEXT_CHARS)["reason"] == "x" * MAX_TEXT_CHARS


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_in_known_texts_are_hidden(secret: str) -> None:
    line = logged(text=f"before {secret} after")
    assert secret not in line["text"]
    assert "***" in line["text"]
    assert line["text"].startswith(("before ***", "before postgresql***"))


def test_an_id_is_no_secret() -> None:
    given = "15e939a7-136d-4adb-901a-b8439bb2d744"
    assert logged(device_id=given)["device_id"] == given


def fail_deep(depth: int, error: Exception) -> None:
    if depth:
        fail_deep(depth - 1, error)
    raise error


def test_of_an_exception_the_types_and_places_are_written_and_not_what_it_says() -> None:
    stream = io.StringIO()
    log = open_log(stream)
    try:
        try:
            fail_deep(2 * MAX_FRAMES, ValueError("Maria Example"))
        except ValueError as error:
            raise RuntimeError("1010-22") from error
    except RuntimeError as error:
        log.exception("call failed", error_id="abc", exc_info=error)
        log.exception("call failed", error_id="abc")
    first, second = lines(stream)
    assert first["exception"] == second["exception"]
    runtime, value = first["exception"]
    assert runtime.startswith("RuntimeError: unit/test_cloud_logs.py:")
    assert value.startswith("ValueError: unit/test_cloud_logs.py:")
    assert value.count(" < ") == MAX_FRAMES - 1
    assert "fail_deep" in value
    assert "Maria" not in stream.getvalue()
    assert "1010" not in stream.getvalue()


def test_a_long_chain_of_causes_is_cut() -> None:
    error = ValueError("0")
    for number in range(2 * MAX_CAUSES):
        later = ValueError(str(number))
        later.__cause__ = error
        error = later
    assert len(describe_exception(error)) == MAX_CAUSES


def test_a_line_stands_in_its_trace() -> None:
    context = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1))
    with use_span(NonRecordingSpan(context)):
        line = logged(method="m")
    assert (line["trace_id"], line["span_id"]) == (f"{0xABC:032x}", f"{0xDEF:016x}")


def test_levels_and_the_form_for_people() -> None:
    stream = io.StringIO()
    log = open_log(stream, form="console", level="warning")
    log.info("call", method="m")
    log.warning("library", person="Maria", text="plain")
    [line] = stream.getvalue().splitlines()
    assert "library" in line
    assert "plain" in line
    assert "Maria" not in line


def test_lines_of_libraries_keep_their_text_and_lose_their_values() -> None:
    stream = io.StringIO()
    library = logging.getLogger("some.library")
    handler = LibraryHandler(open_log(stream))
    library.addHandler(handler)
    try:
        library.warning("Row %s is damaged", "Maria")
        library.warning(f"Row {'Maria'} is damaged")
        library.info("Row %s", "Maria")
        try:
            fail_deep(0, KeyError("Maria"))
        except KeyError:
            library.exception("Failed at %d", 5)
    finally:
        library.removeHandler(handler)
    first, second, third = lines(stream)
    assert (first["logger"], first["text"], first["level"]) == (
        "some.library",
        "Row %s is damaged",
        "warning",
    )
    assert second["text"].startswith("test_cloud_logs:")
    assert third["level"] == "error"
    assert third["exception"][0].startswith("KeyError: unit/test_cloud_logs.py:")
    assert "Maria" not in stream.getvalue()


def test_every_key_is_a_plain_name() -> None:
    assert all(key.isidentifier() and key.islower() for key in KEYS)


def test_systemd_hears_what_it_asked_for(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(10)
        notifier = Notifier.of({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "60000"}, pid=7)
        assert notifier.watchdog_s == 0.06
        notifier.tell(READY)
        assert listener.recv(100) == b"READY=1"
        notifier.tell(STOPPING, "STATUS=x")
        assert listener.recv(100) == b"STOPPING=1\nSTATUS=x"

        async def feed() -> None:
            feeding = asyncio.create_task(notifier.feed())
            for _ in range(3):
                assert (await asyncio.to_thread(listener.recv, 100)).decode() == WATCHDOG
            feeding.cancel()

        asyncio.run(feed())


def test_an_abstract_address_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("")  # the system chooses an abstract name
        name = listener.getsockname()
        assert name[:1] == b"\0"
        listener.settimeout(10)
        Notifier.of({"NOTIFY_SOCKET": "@" + name[1:].decode()}, pid=1).tell(READY)
        assert listener.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    ("environment", "watchdog_s"),
    [
        ({}, None),
        ({"NOTIFY_SOCKET": "relative", "WATCHDOG_USEC": "5000000"}, None),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "5000000"}, 5.0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "7"}, 5.0),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "8"}, None),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "0"}, None),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "often"}, None),
    ],
)
def test_what_systemd_says_in_the_environment(environment: dict[str, str], watchdog_s: float | None) -> None:
    assert Notifier.of(environment, pid=7).watchdog_s == watchdog_s


def test_a_supervisor_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    Notifier.of({"NOTIFY_SOCKET": str(tmp_path / "gone")}, pid=1).tell(READY)
    Notifier.of({}, pid=1).tell(READY)
    asyncio.run(asyncio.wait_for(Notifier.of({}, pid=1).feed(), 1))
