"""What signing does by itself: signatures that were left are made, and what nobody came for ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from cloud.signatures.desk import Desk
from cloud.signatures.maker import Maker
from cloud.signatures.offline import Offline
from cloud.store import passkeys, signatures
from cloud.store.database import Store
from cloud.upkeep import Job

T = TypeVar("T")

AT_ONCE = 100
MAKE_EVERY_S = 5.0
EXPIRE_EVERY_S = 60.0
CLEAN_EVERY_S = 3600.0


def jobs(store: Store, desk: Desk, *, maker: Maker, offline: Offline) -> list[Job]:
    """All jobs of this room. Any number of servers may run them."""

    def make() -> int:
        """Take up what a server left that died, and what waits for a time-stamp."""
        with store.reading() as connection:
            due = signatures.due_signings(connection, now_us=desk.now_us, limit=AT_ONCE)
        return _each(due, lambda one: maker.make(*one, wait=False))

    def expire() -> int:
        """End what its person did not come for."""
        with store.reading() as connection:
            over = signatures.expired_signings(connection, now_us=desk.now_us, limit=AT_ONCE)
        return _each(over, lambda one: _did(store, partial(desk.expire, signing_id=one)))

    def strand() -> int:
        """Take off the devices what cannot be signed any more."""
        with store.reading() as connection:
            found = signatures.stranded_signings(connection, limit=AT_ONCE)
        return _each(found, lambda one: _did(store, partial(offline.end_stranded, signing_id=one)))

    def clean() -> int:
        """Forget passkeys that nobody ended to register, and pictures of signatures that were retired."""

        def work(connection: Connection) -> int:
            gone = passkeys.drop_registrations(connection, before_us=desk.now_us)
            return gone + passkeys.drop_assets(connection)

        return store.run(work)

    return [
        Job("signing.make", make, every_s=MAKE_EVERY_S),
        Job("signing.expire", expire, every_s=EXPIRE_EVERY_S, full=AT_ONCE),
        Job("signing.strand", strand, every_s=EXPIRE_EVERY_S, full=AT_ONCE),
        Job("signing.clean", clean, every_s=CLEAN_EVERY_S),
    ]


def _did(store: Store, work: Callable[[Connection], object | None]) -> bool:
    return store.run(work) is not None


def _each(found: Sequence[T], do: Callable[[T], bool]) -> int:
    """Each by itself: one that cannot be done holds up none behind it. It is told once all had their turn."""
    done, fault = 0, None
    for one in found:
        try:
            done += do(one)
        except DBAPIError:  # the database is away: so it will be for the others
            raise
        except Exception as error:  # whatever it is: the others are not to blame
            fault = error
    if fault is not None:
        raise fault
    return done
