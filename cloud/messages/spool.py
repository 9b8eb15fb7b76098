"""A folder in the place of a gateway: each message is a file, for a program to take or a person to read.

    SPOOL/MESSAGE_ID.json   0600, {"id", "channel", "to", "subject", "text", "template", "language",
                            "values", "expires_us"}

A repeated message replaces itself. Files hold what people are told, codes among them: whoever reads the
folder reads them. Those that expired, that nobody took for long, or that were to people who were erased, are
swept away; nothing else is, and a full folder takes no more.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Connection

from cloud.keyfiles import write_private
from cloud.messages.ports import DeliveryError, Fault, Outgoing
from cloud.store.messages import erased_among

MAX_FILES = 10_000
"""Some 5 MB; whoever takes files out of the folder keeps it near empty."""

KEPT = timedelta(days=30)
"""A program takes files within minutes, a person within days; what lies here for longer is forgotten, and
tells of people."""

_NAME = re.compile(r"\.?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.json(?:\..*)?")
"""Of a message's file, and of what a kill leaves of one that is written."""

_MICRO = 1_000_000


class FileSpool:
    """A gateway for both channels."""

    def __init__(self, folder: Path, *, max_files: int = MAX_FILES) -> None:
        self._folder = folder
        self._max_files = max_files

    def send(self, message: Outgoing) -> None:
        """Write the file.

        Raises:
            DeliveryError: SPOOL_FULL, or UNREACHABLE where the folder cannot be written.
        """
        content = {
            "id": message.message_id,
            "channel": message.channel.name,
            "to": message.address,
            "subject": message.subject,
            "text": message.body,
            "template": message.template,
            "language": message.language,
            "values": dict(message.values),
            "expires_us": message.expires_us,
        }
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / f"{message.message_id}.json"
            if not path.exists() and len(os.listdir(self._folder)) >= self._max_files:  # noqa: PTH208 (faster)
                raise DeliveryError(Fault.SPOOL_FULL)
            write_private(path, json.dumps(content, ensure_ascii=False, indent=1).encode())
        except OSError as error:
            raise DeliveryError(Fault.UNREACHABLE) from error

    def sweep(self, *, now_us: int) -> int:
        """Delete the files of messages that expired or have lain here for KEPT; return how many."""
        return _delete([path for path, _ in self._files() if _is_over(path, now_us=now_us)])

    def message_ids(self) -> set[str]:
        """Of which messages there are files."""
        return {message_id for _, message_id in self._files()}

    def drop(self, message_ids: Collection[str]) -> int:
        """Delete the files of these messages; return how many there were.

        Raises:
            OSError: one cannot be deleted.
        """
        return _delete([path for path, message_id in self._files() if message_id in message_ids])

    def _files(self) -> list[tuple[Path, str]]:
        """Files of messages, each with its message's id; what others put here is left alone."""
        try:
            paths = sorted(self._folder.iterdir())
        except FileNotFoundError:
            return []
        return [(path, found[1]) for path in paths if (found := _NAME.fullmatch(path.name))]


def drop_erased(connection: Connection, spool: FileSpool) -> int:
    """Delete the files of messages to people who were erased; return how many there were.

    Raises:
        OSError: one cannot be deleted.
    """
    return spool.drop(erased_among(connection, spool.message_ids()))


def _is_over(path: Path, *, now_us: int) -> bool:
    with suppress(OSError, ValueError, TypeError, AttributeError):  # taken meanwhile, or not written whole
        if path.stat().st_mtime * _MICRO <= now_us - KEPT / timedelta(microseconds=1):
            return True
        expires_us = json.loads(path.read_bytes()).get("expires_us")
        return expires_us is not None and bool(expires_us <= now_us)
    return False


def _delete(paths: list[Path]) -> int:
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)
