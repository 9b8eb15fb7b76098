"""An audit chain to check and to tamper with: a store of either kind, its log, and events in it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import Connection, text

from cloud.audit import chain
from cloud.audit.check import check_chain
from cloud.audit.heads import Asked, HeadSigner
from cloud.audit.walk import Fault, Report
from cloud.authority import Authority
from cloud.log.leaves import OwnLeaves
from cloud.log.sequencer import LogSigner, Sequencer
from cloud.sources import Sources, to_us
from cloud.store.database import Store, StoreOptions
from tests.support.cloud import FakeClock
from verifield.v1 import audit_pb2 as pb


@dataclass
class AuditBook:
    store: Store
    sequencer: Sequencer
    authority: Authority
    clock: FakeClock
    signer: HeadSigner
    sources: Sources

    def add(self, count: int = 1, *, action: str = "devices.revoke", caller: str = "user/one") -> None:
        """Events, each in a transaction of its own."""
        for number in range(count):
            self.store.run(partial(self._record, action, caller, number))

    def sign(self) -> pb.SignedAuditHead:
        """A head on demand; adds an event about it."""
        signed = asyncio.run(self.signer.sign(Asked("user/auditor", "request-1")))
        assert signed is not None
        return signed

    def sign_if_due(self) -> pb.SignedAuditHead | None:
        return asyncio.run(self.signer.sign())

    def check(self, kept: Sequence[pb.SignedAuditHead] = ()) -> Report:
        with self.store.reading() as connection:
            return check_chain(connection, roots=[self.authority.root], kept=kept)

    def faults(self, kept: Sequence[pb.SignedAuditHead] = ()) -> set[Fault]:
        return {finding.fault for finding in self.check(kept).findings}

    def tamper(self, *statements: str) -> None:
        """What somebody does who can write to the database, and has no key."""
        with self.store.writing() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def _record(self, action: str, caller: str, number: int, connection: Connection) -> None:
        chain.record(
            connection,
            action=action,
            subject=f"device-{number}",
            caller=caller,
            request_id=f"request-{number}",
            now_us=to_us(self.clock.now()),
            facts={"reason": "KEY_COMPROMISE"},
        )


@contextmanager
def audit_book(data: Path, url: str) -> Iterator[AuditBook]:
    """Open everything on ``url``, with keys under ``data``."""
    data.mkdir(exist_ok=True)
    clock = FakeClock()
    sources = Sources(now=clock.now, random_bytes=Sources.system().random_bytes)
    authority = Authority.open(data, server_names=["localhost"], now=clock.now())
    store = Store.open(url, StoreOptions(require_durable=False))
    sequencer = Sequencer.open(store, LogSigner(authority.log_origin, authority.log_key), sources)
    try:
        signer = HeadSigner(store, OwnLeaves(sequencer, name="audit"), authority, sources)
        yield AuditBook(store, sequencer, authority, clock, signer, sources)
    finally:
        sequencer.close()
        store.close()
