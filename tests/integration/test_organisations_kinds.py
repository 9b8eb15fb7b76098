"""Two kinds of real names, a person's and an organisation's, each by evidence of its own; what is erased."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from cloud.accounts.states import State
from cloud.commands.keys import sealed_tables
from cloud.organisations.desk import Organisations
from cloud.sources import to_us
from cloud.store.schema import organisations, seals
from cloud.store.sealed import forget_person
from tests.support.accounts import Room, SignedIn, as_account, in_database, registered
from tests.support.authorities import somebody
from tests.support.cloud import RunningCloud
from tests.support.identity import IdentityRoom, running_identity, verified
from tests.support.organisation_review import review_room
from tests.support.organisations import approved_seal, new_uscc, verified_organisation
from tests.support.samples import jpeg
from verifield.v1 import account_service_pb2
from verifield.v1 import identity_service_pb2 as identity_pb
from verifield.v1 import organisation_service_pb2 as pb
from verifield.v1.organisation_service_pb2_grpc import OrganisationServiceStub


@pytest.fixture(scope="module")
def identities(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityRoom]:
    with running_identity(tmp_path_factory.mktemp("cloud") / "data", somebody(1)) as room:
        yield room


def hand_in(stub: Any, who: SignedIn) -> str:
    """Register an organisation and hand in who it is, its administrator being the representative."""
    organisation_id: str = stub.RegisterOrganisation(
        pb.RegisterOrganisationRequest(name="示例有限公司")
    ).organisation.organisation_id
    header = pb.OrganisationDocumentHeader(
        organisation_id=organisation_id,
        kind=pb.ORGANISATION_DOCUMENT_KIND_LICENCE,
        sha256=hashlib.sha256(jpeg()).digest(),
    )
    parts = [
        pb.UploadOrganisationDocumentRequest(header=header),
        pb.UploadOrganisationDocumentRequest(content=jpeg()),
    ]
    stub.UploadOrganisationDocument(iter(parts))
    given = pb.OrganisationRealName(
        name="示例有限公司",
        uscc=new_uscc(),
        is_legal_representative=True,
        legal_representative=pb.LegalRepresentative(name=who.person.name, id_number=who.person.id_number),
    )
    stub.SubmitOrganisationRealName(
        pb.SubmitOrganisationRealNameRequest(organisation_id=organisation_id, real_name=given)
    )
    return organisation_id


@pytest.mark.req("R117")
def test_a_person_and_an_organisation_are_verified_each_by_evidence_of_its_own(
    identities: IdentityRoom,
) -> None:
    cloud = identities.cloud
    holder = identities.holder(somebody(1), state=State.PHONE_VERIFIED)
    holder.verify_elements()
    shown = holder.verify_face()
    assert shown.state == identity_pb.VERIFICATION_STATE_PASSED
    own = holder.identity()
    assert own.state == identity_pb.IDENTITY_STATE_VERIFIED
    assert own.method == identity_pb.VERIFICATION_METHOD_FACE
    with review_room(cloud) as room, as_account(cloud, holder.signed_in) as stubs:
        reviewer = room.reviewer("wang")
        stub = stubs(OrganisationServiceStub)
        organisation_id = hand_in(stub, holder.signed_in)
        reviewer.decide(reviewer.task_of(f"organisations/{organisation_id}"))
        found = stub.GetOrganisation(pb.GetOrganisationRequest(organisation_id=organisation_id)).organisation
    assert found.state == pb.ORGANISATION_STATE_VERIFIED
    assert found.kind == pb.REAL_NAME_KIND_CORPORATE
    assert [document.kind for document in found.documents] == [pb.ORGANISATION_DOCUMENT_KIND_LICENCE]
    assert found.task_id  # the review, where a person has a verification
    assert found.task_id != own.verification_id


def test_an_organisation_whose_administrator_is_gone_is_stale(identities: IdentityRoom) -> None:
    cloud, admin = identities.cloud, registered(identities.cloud)
    verified(cloud, admin)
    organisation_id = verified_organisation(cloud, admin)
    assert state_of(cloud, organisation_id) == pb.ORGANISATION_STATE_VERIFIED
    request = account_service_pb2.DeregisterRequest(
        account_id=admin.account_id, reason=account_service_pb2.DEREGISTRATION_REASON_HOLDER_ASKED
    )
    cloud.operator.call(cloud.operator.accounts.Deregister, request)
    assert state_of(cloud, organisation_id) == pb.ORGANISATION_STATE_STALE


def state_of(cloud: RunningCloud, organisation_id: str) -> int:
    request = pb.InspectOrganisationRequest(organisation_id=organisation_id)
    return cloud.operator.call(cloud.operator.organisations.InspectOrganisation, request).organisation.state


def test_an_organisation_that_is_erased_cannot_be_read_again(identities: IdentityRoom) -> None:
    cloud, admin = identities.cloud, registered(identities.cloud)
    verified(cloud, admin)
    organisation_id = verified_organisation(cloud, admin)
    seal_id = approved_seal(cloud, admin, organisation_id)

    def erase(connection: Any, room: Room) -> None:
        now_us = to_us(room.sources.now())
        assert forget_person(connection, sealed_tables(), organisation_id, now_us=now_us)
        rooms = Organisations(room.persons)
        assert rooms.profile(connection, rooms.find(connection, organisation_id)).name == ""

    in_database(cloud, erase)
    with cloud.database() as connection:
        profile = connection.execute(
            select(organisations.c.profile).where(organisations.c.organisation_id == organisation_id)
        ).scalar_one()
        label = connection.execute(select(seals.c.label).where(seals.c.seal_id == seal_id)).scalar_one()
    assert (profile, label) == (None, None)
