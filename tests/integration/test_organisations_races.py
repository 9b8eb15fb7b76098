"""A former administrator's calls that begin a moment before the hand-over is committed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection

from cloud.errors import ServiceError
from cloud.store import organisations as rows
from cloud.store.database import Store, StoreOptions
from tests.support.databases import KINDS, migrated
from tests.support.organisation_desk import OrganisationDesk

WAITS_S = 0.5
"""For which the hand-over is not committed: the other call stands at its lock by then, or has passed it."""

Act = Callable[[OrganisationDesk, str, str], object]


@pytest.fixture(params=KINDS)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OrganisationDesk]:
    with migrated(request.param, tmp_path) as url:
        store = Store.open(url, StoreOptions(require_durable=False))
        yield OrganisationDesk(store, tmp_path)
        store.close()


def offers_to_a_friend(desk: OrganisationDesk, organisation_id: str, former: str) -> object:
    friend = desk.account()
    return desk.run(desk.handover.offer, organisation_id, caller=former, account_id=friend)


def removes_the_licence(desk: OrganisationDesk, organisation_id: str, former: str) -> object:
    [document] = desk.read(rows.list_documents, organisation_id)
    return desk.run(desk.registry.remove_document, organisation_id, document.document_id, caller=former)


@pytest.mark.parametrize("act", [offers_to_a_friend, removes_the_licence])
def test_behind_the_hand_over_the_former_administrator_does_nothing(desk: OrganisationDesk, act: Act) -> None:
    former, new = desk.account(), desk.account()
    organisation_id = desk.verified(former)
    desk.run(desk.handover.offer, organisation_id, caller=former, account_id=new)
    taken, refused = threading.Event(), []

    def late() -> None:
        taken.wait()
        try:
            act(desk, organisation_id, former)
        except ServiceError as error:
            refused.append(error.reason.name)

    def take_over(connection: Connection) -> None:
        desk.handover.take_over(connection, organisation_id, caller=new)
        taken.set()
        threading.Event().wait(WAITS_S)

    thread = threading.Thread(target=late)
    thread.start()
    desk.store.run(take_over)
    thread.join()
    assert refused == ["ORGANISATION_NOT_FOUND"]
    row = desk.read(rows.get_organisation, organisation_id)
    assert row is not None
    assert (row.account_id, row.offered_to) == (new, None)
    assert len(desk.read(rows.list_documents, organisation_id)) == 1
