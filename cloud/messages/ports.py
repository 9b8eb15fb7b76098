"""Ways out of the service: a gateway for text messages, a mail server, or a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from cloud.messages.values import Channel


class Fault(StrEnum):
    """Why an attempt failed: stable, shown to staff."""

    UNREACHABLE = "UNREACHABLE"
    TIMEOUT = "TIMEOUT"
    BUSY = "BUSY"  # it asked for patience, or has a fault of its own
    REFUSED = "REFUSED"  # it will never take this message
    NONSENSE = "NONSENSE"  # its answer does not say that it has taken the message
    SPOOL_FULL = "SPOOL_FULL"
    EXPIRED = "EXPIRED"
    GIVEN_UP = "GIVEN_UP"
    ERASED = "ERASED"  # the person, and with the person the address
    DAMAGED = "DAMAGED"  # what is kept of the message cannot be opened


class DeliveryError(Exception):
    """An attempt failed. It holds nothing of the message and nothing of the answer.

    ``final``: another attempt would end the same.
    """

    def __init__(self, fault: Fault, *, final: bool = False) -> None:
        super().__init__(fault.value)
        self.fault = fault
        self.final = final


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way out. ``message_id`` is the same at each attempt: a receiver tells repeats by it.

    What is personal is not in ``repr``.
    """

    message_id: str
    channel: Channel
    template: str
    language: str
    address: str = field(repr=False)
    subject: str = field(repr=False)
    body: str = field(repr=False)
    values: Mapping[str, str] = field(repr=False)
    expires_us: int | None = None


class Gateway(Protocol):
    """Takes messages of one channel; called in several threads at once."""

    def send(self, message: Outgoing) -> None:
        """Hand a message over; return only where the other side has said that it has it.

        Raises:
            DeliveryError: it was not taken, or nobody knows.
        """
        ...
