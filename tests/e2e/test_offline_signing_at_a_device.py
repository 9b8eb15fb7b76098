"""A contract signed with the device's own commands, as processes, with a simulated person and no network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from demo.processes import ask
from edge.models.store import ModelStore
from tests.e2e.test_identity_at_a_device import OWNER, SEED, SITE, Counter, owner_of, simulator
from tests.support.accounts import Citizen, new_citizen
from tests.support.field_office import wait_until
from tests.support.identity import running_identity
from tests.support.reports import get_report
from tests.support.signing import (
    begin,
    contract_of,
    download,
    open_invitation,
    sent_contract,
    sign_with_code,
    signer_of,
    signing,
)
from verifield.v1 import contract_service_pb2 as contract_pb
from verifield.v1 import signing_service_pb2 as pb


@pytest.mark.timeout(600)
def test_a_contract_is_read_and_signed_at_the_devices_own_commands(
    tmp_path: Path, model_store: ModelStore
) -> None:
    person = owner_of(OWNER, SEED)
    with (
        running_identity(tmp_path / "data", person, allow_simulated_cameras=True) as room,
        simulator(tmp_path) as sim,
    ):
        cloud, counter = room.cloud, Counter(room, tmp_path, sim)
        sender = signer_of(cloud)
        citizen = Citizen(person.name, person.id_number, new_citizen().phone, person.elements.validity)
        signer = signer_of(cloud, citizen)
        sent = sent_contract(cloud, sender, [signer])
        sign_with_code(cloud, sender, sent)
        open_invitation(cloud, signer)
        started = begin(cloud, signer, sent)
        request = pb.StartOfflineSigningRequest(
            signing_id=started.signing.signing_id, preview_hash=started.preview_hash, site_id=SITE
        )
        task_id = signing(cloud, signer, "StartOfflineSigning", request).signing.task_id
        counter.edge("sync", "--once")

        [waiting] = counter.edge("contract", "list")["waiting"]
        assert (waiting["task_id"], waiting["document"]["complete"]) == (task_id, True)
        assert person.name not in json.dumps(waiting, ensure_ascii=False)
        alone = counter.edge("verify", "--task", task_id, expect=(5,))
        assert alone["error"]["code"] == "IS_CONTRACT"
        counter.edge("contract", "read", task_id, "--to", "lease.pdf")
        unsure = counter.edge("contract", "sign", task_id, expect=(5,), stdin="no\n")
        assert unsure["error"]["code"] == "NOT_CONFIRMED"
        counter.comes("astronaut", 5, "astronaut")  # somebody else, with the own card
        other = counter.edge("contract", "sign", task_id, "--was-read", expect=(1,))
        assert (other["reasons"], other["signature"]) == (["OTHER_PERSON"], None)
        counter.comes(OWNER, SEED, OWNER)
        own = counter.edge("contract", "sign", task_id, stdin="yes\n")
        assert (own["outcome"], own["signature"]["state"]) == ("VERIFIED", "QUEUED")
        again = counter.edge("contract", "sign", task_id, "--was-read", expect=(5,))
        assert again["error"]["code"] == "ALREADY_SIGNED"

        counter.edge("sync", "--once")
        [answer] = counter.edge("contract", "list")["signatures"]
        assert (answer["state"], answer["attestation_id"]) == ("COMPLETED", own["attestation_id"])
        wait_until(
            lambda: (
                contract_of(cloud, sender, sent.contract_id).contract.state
                == contract_pb.CONTRACT_STATE_COMPLETED
            )
        )
        report, _ = get_report(cloud, signer, sent.contract_id)
        (tmp_path / "report.zip").write_bytes(report)
        (tmp_path / "contract.pdf").write_bytes(download(cloud, sender, sent.contract_id))
        (tmp_path / "root.pem").write_bytes(cloud.root_pem)
        found = ask(
            *("verifield-verify", "report", "report.zip", "--contract", "contract.pdf"),
            *("--root", "root.pem"),
            cwd=tmp_path,
        )
        assert (found["ok"], found["contract_checked"], found["not_checked"]) == (True, True, {})
