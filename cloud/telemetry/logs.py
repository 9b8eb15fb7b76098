"""Lines of the log: one JSON object or one line for people each, with nothing personal and no secret.

The last step before a line is written lets through only what is known to be harmless: keys of a closed
list, numbers, and short texts without anything that looks like a secret. Whatever else somebody logs by
mistake is named in ``dropped`` and not written. Of exceptions the line has the types and the places in
the code, and never the messages, which may quote a request or a row.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from cloud.telemetry.tracing import current_ids

Format = Literal["json", "console"]
Level = Literal["debug", "info", "warning", "error"]

KEYS = frozenset(
    {
        *("event", "level", "timestamp", "logger", "text", "dropped", "exception"),
        *("method", "code", "reason", "duration_ms", "peer", "caller", "kind"),
        *("request_id", "error_id", "trace_id", "span_id"),
        *("device_id", "site_id", "alarm_id", "epoch", "seq", "records", "count", "size_bytes"),
        *("tree_size", "works", "seconds", "attempt", "cause", "version", "listen", "device_listen"),
    }
)
"""What a line may have. Ids are random; ``caller`` is an id or the name of a token; ``peer`` is an address
of the network, which incidents cannot be looked into without."""

MAX_TEXT_CHARS = 200
"""Ids, codes and sentences of ours are shorter; documents, keys and requests are longer."""

MAX_FRAMES = 12
"""Of a traceback, innermost last: where it happened and how it came there."""

MAX_CAUSES = 4
"""Exceptions behind exceptions."""

_SECRET = re.compile(
    r"vf[a-z]_[A-Za-z0-9_-]{8,}"  # our tokens
    r"|(?i:bearer)\s+\S+"
    r"|eyJ[A-Za-z0-9_-]{8,}\.\S*"  # JWT
    r"|-----BEGIN\b.*"
    r"|://[^/@\s:]+:[^/@\s]+@",  # a password in an address
    re.DOTALL,
)
_HIDDEN = "***"

Event = MutableMapping[str, Any]


def open_log(
    stream: TextIO | None = None, *, form: Format = "json", level: Level = "info"
) -> FilteringBoundLogger:
    """A logger of its own, to standard error; nothing global is set."""
    last: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=(stream or sys.stderr).isatty())
    )
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(stream or sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            add_trace,
            tell_exception,
            redact,
            last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
    )
    return log


def add_trace(_log: Any, _name: str, event: Event) -> Event:
    """Say in which trace a line stands."""
    if ids := current_ids():
        event["trace_id"], event["span_id"] = ids
    return event


def tell_exception(_log: Any, _name: str, event: Event) -> Event:
    """Replace ``exc_info`` by types and places: ``ValueError: cloud/x.py:12 f < cloud/y.py:3 g``."""
    given = event.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        event["exception"] = describe_exception(error)
    return event


def describe_exception(error: BaseException) -> list[str]:
    """One text for the exception and each of its causes, outermost first, without any message."""
    told: list[str] = []
    current: BaseException | None = error
    while current is not None and len(told) < MAX_CAUSES:
        frames = traceback.extract_tb(current.__traceback__)[-MAX_FRAMES:]
        places = [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in reversed(frames)]
        told.append(f"{type(current).__qualname__}: {' < '.join(places)}")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return told


def redact(_log: Any, _name: str, event: Event) -> Event:
    """Let through what is known, and name the rest."""
    kept: Event = {}
    dropped: list[str] = []
    for key, value in event.items():
        if key == "exception" and isinstance(value, list):
            kept[key] = value  # made above, out of the code's own names
        elif key not in KEYS or not _is_harmless(value):
            dropped.append(key if re.fullmatch(r"[a-z_]{1,40}", key) else "?")
        else:
            kept[key] = _SECRET.sub(_HIDDEN, value) if isinstance(value, str) else value
    if dropped:
        kept["dropped"] = ",".join(sorted(dropped))
    return kept


def _is_harmless(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_TEXT_CHARS
    return value is None or isinstance(value, int | float)


def _short(file: str) -> str:
    """The last two parts of a path: enough to find it, nothing of the machine."""
    return "/".join(file.replace("\\", "/").rsplit("/", 2)[-2:])


class LibraryHandler(logging.Handler):
    """Brings lines of libraries (gRPC, Alembic, OpenTelemetry) into the log.

    Of a text with values the text without them; of one that may hold values already, its place in the code.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        write = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        write(
            "library",
            logger=record.name,
            text=str(record.msg)[:MAX_TEXT_CHARS] if record.args else f"{record.module}:{record.lineno}",
            exc_info=record.exc_info,
        )


def take_libraries(log: FilteringBoundLogger) -> LibraryHandler:
    """Route the standard library's logging of this process; for the process's entry point only."""
    handler = LibraryHandler(log)
    logging.getLogger().addHandler(handler)
    return handler
