"""What every room is given, and what it gives to be served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import grpc

from cloud.audit.trail import Trail
from cloud.authority import Authority
from cloud.mutations import Mutations
from cloud.objects.replicas import Replicas
from cloud.persons import Persons
from cloud.sources import Sources
from cloud.store.database import Store


@dataclass(frozen=True, slots=True)
class Base:
    """What the rooms stand on. ``mutations``: for what callers ask for; ``persons``: for what is personal.

    ``replicas``: the stores of files, with what is known of each; ``trail``: who is told of what is read.
    None only where no service runs: in commands, and in tests of one room.
    """

    store: Store
    sources: Sources
    authority: Authority
    persons: Persons
    mutations: Mutations
    replicas: Replicas | None = None
    trail: Trail | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """One service: its full name, and how it is added to a server."""

    name: str
    add: Callable[[grpc.aio.Server], None]


def served(file: Any, add: Callable[[Any, grpc.aio.Server], None], servicer: object) -> Served:
    """The one service of a file of the contract."""
    [service] = file.DESCRIPTOR.services_by_name.values()
    return Served(service.full_name, partial(add, servicer))
