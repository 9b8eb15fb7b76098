"""A folder in the place of a gateway: each message is a file, for a program to take or a person to read.

    SPOOL/MESSAGE_ID.json   0600, {"id", "channel", "to", "subject", "text", "template", "language",
                            "values", "expires_us"}

A repeated message replaces itself. Files hold what people are told, codes among them: whoever reads the
folder reads them. Those that expired are swept away; nothing else is, and a full folder takes no more.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from cloud.keyfiles import write_private
from cloud.messages.ports import DeliveryError, Fault, Outgoing

MAX_FILES = 10_000
"""Some 5 MB; whoever takes files out of the folder keeps it near empty."""

_SUFFIX = ".json"


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
            path = self._folder / f"{message.message_id}{_SUFFIX}"
            if not path.exists() and len(os.listdir(self._folder)) >= self._max_files:  # noqa: PTH208 (faster)
                raise DeliveryError(Fault.SPOOL_FULL)
            write_private(path, json.dumps(content, ensure_ascii=False, indent=1).encode())
        except OSError as error:
            raise DeliveryError(Fault.UNREACHABLE) from error

    def sweep(self, *, now_us: int) -> int:
        """Delete the files of messages that expired; return how many there were."""
        count = 0
        for path in self._files():
            with suppress(OSError, ValueError, TypeError, AttributeError):  # files of others
                expires_us = json.loads(path.read_bytes()).get("expires_us")
                if expires_us is not None and expires_us <= now_us:
                    path.unlink(missing_ok=True)
                    count += 1
        return count

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self._folder.iterdir() if path.suffix == _SUFFIX)
        except OSError:
            return []
