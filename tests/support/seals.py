"""The desk of seals over the database of a running service."""

from __future__ import annotations

from cloud.objects.files import ObjectFolder
from cloud.objects.store import Objects
from cloud.organisations.desk import Organisations
from cloud.seals.desk import Seals
from cloud.verifications.desk import Verifications
from tests.support.accounts import Room
from tests.support.cloud import RunningCloud


def open_seals(room: Room, cloud: RunningCloud) -> Seals:
    """As the service itself has it; files are looked for in its data folder."""
    objects = Objects(ObjectFolder(cloud.data / "objects"), room.persons, room.sources)
    return Seals(
        Organisations(room.persons),
        Verifications(room.accounts, room.sources),
        objects,
        room.persons,
        room.sources,
    )
