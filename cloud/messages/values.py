"""What messages are: by which way they go, to whom, and how far they have come."""

from __future__ import annotations

from enum import IntEnum
from types import MappingProxyType
from typing import Protocol

from cloud.errors import Reason
from cloud.transitions import Machine
from verifield.v1 import message_service_pb2 as pb


class Channel(IntEnum):
    """Numbers equal those of verifield.v1.MessageChannel."""

    SMS = pb.MESSAGE_CHANNEL_SMS
    EMAIL = pb.MESSAGE_CHANNEL_EMAIL


class State(IntEnum):
    """Numbers equal those of verifield.v1.MessageState."""

    QUEUED = pb.MESSAGE_STATE_QUEUED
    SENDING = pb.MESSAGE_STATE_SENDING
    DELIVERED = pb.MESSAGE_STATE_DELIVERED
    FAILED = pb.MESSAGE_STATE_FAILED


class Event(IntEnum):
    """What happens to a message. CLAIM also takes one over whose sender's time ran out."""

    CLAIM = 1
    ARRIVE = 2
    TRY_LATER = 3
    GIVE_UP = 4
    TAKE_UP = 5


MACHINE: Machine[State, Event] = Machine(
    MappingProxyType(
        {
            (State.QUEUED, Event.CLAIM): State.SENDING,
            (State.QUEUED, Event.GIVE_UP): State.FAILED,
            (State.SENDING, Event.CLAIM): State.SENDING,
            (State.SENDING, Event.ARRIVE): State.DELIVERED,
            (State.SENDING, Event.TRY_LATER): State.QUEUED,
            (State.SENDING, Event.GIVE_UP): State.FAILED,
            (State.FAILED, Event.TAKE_UP): State.QUEUED,
        }
    ),
    refusal=Reason.MESSAGE_STATE,
    refusals=MappingProxyType({}),
)


class Contact(Protocol):
    """How a person can be reached. ``phone``: E.164; both may be empty. ``prefers``: None where no matter."""

    @property
    def phone(self) -> str: ...
    @property
    def email(self) -> str: ...
    @property
    def language(self) -> str: ...
    @property
    def prefers(self) -> Channel | None: ...


def choose(contact: Contact) -> tuple[Channel, str] | None:
    """The way that the person prefers, where there is an address for it; else the other one, or none."""
    ways = [(Channel.SMS, contact.phone), (Channel.EMAIL, contact.email)]
    if contact.prefers is Channel.EMAIL:
        ways.reverse()
    return next(((channel, address) for channel, address in ways if address), None)
