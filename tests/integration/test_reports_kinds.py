"""Reports of contracts that were signed with a passkey, and with the seal of an organisation."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.authenticator import Authenticator
from tests.support.cloud import RunningCloud, running_cloud
from tests.support.organisations import approved_seal, grant_seal, verified_organisation
from tests.support.reports import checked, get_report, roots_of, unpacked
from tests.support.signing import (
    SEAL,
    begin,
    download,
    mark,
    open_invitation,
    self_party,
    send,
    sign_request,
    sign_with_code,
    signer_of,
    signing,
)
from verifield.documents.apart import judge_apart
from verifield.documents.verdict import Outcome
from verifield.reports import check_document
from verifield.v1 import contract_service_pb2 as contract_pb
from verifield.v1 import signing_service_pb2 as pb

COMPANY = "杭州示例网络科技有限公司"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with running_cloud(tmp_path_factory.mktemp("reports")) as running:
        yield running


def test_a_passkey_and_a_seal_stand_in_the_report_with_their_evidence(cloud: RunningCloud) -> None:
    admin, clerk, sender = signer_of(cloud), signer_of(cloud), signer_of(cloud)
    organisation_id = verified_organisation(cloud, admin, name=COMPANY)
    seal_id = approved_seal(cloud, admin, organisation_id)
    grant_seal(cloud, admin, seal_id, clerk)
    party = contract_pb.NewParty(
        organisation=contract_pb.PartyOrganisation(
            name=COMPANY, organisation_id=organisation_id, phone=clerk.person.phone
        ),
        role=contract_pb.CONTRACT_PARTY_ROLE_SIGNER,
        order=1,
    )
    sent = send(cloud, sender, [self_party(), party], [mark(1), mark(2, SEAL, row=2)])
    # the sender by a passkey
    pad = Authenticator()
    begun = signing(cloud, sender, "StartPasskey", pb.StartPasskeyRequest())
    finish = pb.FinishPasskeyRequest(
        registration_id=begun.registration_id, response_json=pad.create(begun.options_json), name="tablet"
    )
    passkey = signing(cloud, sender, "FinishPasskey", finish).passkey
    started = begin(cloud, sender, sent)
    answer = pad.get(started.signing.passkey_options_json)
    signing(cloud, sender, "Sign", sign_request(started, passkey=pb.PasskeyAssertion(response_json=answer)))
    # the company by a seal
    open_invitation(cloud, clerk, organisation_id=organisation_id)
    sign_with_code(cloud, clerk, sent, seal_id=seal_id)

    report, _ = get_report(cloud, clerk, sent.contract_id)
    contract = download(cloud, sender, sent.contract_id)
    found = checked(report, roots_of(cloud), contract)
    first, sealed = found.facts.signatures
    assert (found.missing, first.method, first.evidence_id) == ((), "PASSKEY", passkey.passkey_id)
    assertion = json.loads(unpacked(report)[first.file])
    assert assertion.keys() == {"authenticatorData", "clientDataJSON", "publicKey", "signature"}
    assert (sealed.kind, sealed.seal_id, sealed.seal_version) == ("SEAL", seal_id, 1)
    [use] = found.facts.seal_uses
    assert (use.seal_id, use.field, use.organisation_id) == (seal_id, sealed.field, organisation_id)
    assert use.document_sha256 == sent.document_sha256
    company = found.facts.parties[1]
    assert company.identity is not None
    assert (company.name, company.identity.name) == (COMPANY, clerk.person.name)
    assert len(company.uscc) == 18
    verdict = judge_apart(contract, roots=roots_of(cloud), at=cloud.clock.now())
    assert verdict.outcome is Outcome.VALID
    check_document("contract.pdf", verdict, found.facts)
