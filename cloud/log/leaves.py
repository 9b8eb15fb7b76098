"""Leaves that belong to no device's record: heads of the audit chain."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from cloud.log.sequencer import Entry, Sequencer, SignedCheckpoint


class OwnLeaves:
    """Appends the service's own leaves; each ``name`` at most once in a group, as if it were a device."""

    def __init__(self, sequencer: Sequencer, *, name: str) -> None:
        self._sequencer = sequencer
        self._name = name

    async def append(
        self, work: Callable[[Connection], bytes | None], keep: Callable[[Connection, int], None]
    ) -> None:
        """Append the leaf hash that ``work`` returns and ``keep`` its index, in one transaction of the log.

        Both may be called again. Where ``work`` returns None, nothing is appended nor kept.

        Raises:
            ServiceError: BUSY, or the log cannot be extended.
        """

        def enter(connection: Connection) -> Entry[None]:
            leaf = work(connection)

            def seal(connection: Connection, first: int, _checkpoint: SignedCheckpoint) -> None:
                if leaf is not None:
                    keep(connection, first)

            return Entry([] if leaf is None else [leaf], seal)

        await self._sequencer.transact(enter, key=self._name)
