"""A process that takes a step of a session again and again, and is killed at one statement further each time.

    python -m tests.support.bank_worker URL FOLDER STEP DEVICE AUTHORITY

STEP is IssueRequest or SubmitCard; its request is the first line of the input, as base64. It writes the
number of the statement at which a child died, waits for a line, and ends when one came through, with the
answer.
"""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from cloud.access.call import CALL, Call, Caller, Kind
from cloud.authorities.bundle import Authorities
from cloud.authority import Authority
from cloud.bank import serve
from cloud.bank.coop_service import CoopService
from cloud.config import Config
from cloud.mutations import Mutations
from cloud.papers.render import default_fonts
from cloud.persons import Persons
from cloud.privacy.ring import KeyRing
from cloud.serving import Base
from cloud.sources import Sources, to_us
from cloud.store.database import Store, StoreOptions
from verifield.v1 import coop_service_pb2 as pb

REQUESTS: dict[str, Any] = {"IssueRequest": pb.IssueRequestRequest, "SubmitCard": pb.SubmitCardRequest}


def main() -> None:
    url, folder, step, device, gateway = sys.argv[1:]
    request = REQUESTS[step].FromString(base64.b64decode(sys.stdin.readline()))
    default_fonts()  # once, for all children
    number = 0
    while True:
        number += 1
        child = os.fork()
        if child == 0:
            answer = asyncio.run(_do(url, Path(folder), step, device, gateway, request, number))
            print("through", base64.b64encode(answer.SerializeToString()).decode(), flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))
        print(number, flush=True)
        sys.stdin.readline()


async def _do(url: str, folder: Path, step: str, device: str, gateway: str, request: Any, number: int) -> Any:
    sources = Sources.system()
    store = Store.open(url, StoreOptions(require_durable=False))
    ring = KeyRing.open(folder / "keys", now_us=to_us(sources.now()), random_bytes=sources.random_bytes)
    authority = Authority.open(folder, server_names=(), now=sources.now())
    mutations = Mutations(store, sources, secret=authority.renewal_secret)
    base = Base(store, sources, authority, Persons(ring, sources), mutations)
    authorities = Authorities.open(Config(data=folder, authority_bank=gateway), sources)
    faces: Any = None  # of other steps
    [coop, *_] = serve.services(
        base, bank=authorities.bank, budget=timedelta(seconds=5), faces=faces, fonts=None
    )
    add: Any = coop.add
    [service] = add.args
    assert isinstance(service, CoopService)
    left = [number]

    def one_further(*_arguments: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", one_further)
    event.listen(Engine, "commit", one_further)
    CALL.set(Call("/worker", "", request_id="worker", caller=Caller(Kind.DEVICE, device)))
    return await getattr(service, step)(request, None)


if __name__ == "__main__":
    main()
