"""Sending, killed at its steps: the contract was sent and its messages lie in the outbox, or neither.

VERIFIELD_SOAK=10 kills it at more steps.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from cloud.contracts.states import State
from tests.support.cloud import running_cloud
from tests.support.contract_desk import Bench, open_bench
from tests.support.contracts import TITLE, contracting, myself, sent_contract
from tests.support.spool import wait_for
from verifield.v1 import contract_service_pb2 as pb

ROOT = Path(__file__).resolve().parents[2]
PLACES = 3 * int(os.environ.get("VERIFIELD_SOAK", "1"))

pytestmark = pytest.mark.timeout(300)


def told(bench: Bench) -> int:
    with bench.store.reading() as connection:
        return int(connection.execute(text("SELECT count(*) FROM messages WHERE state = 1")).scalar_one())


def test_a_contract_is_sent_with_its_messages_or_not_at_all(database_url: str, tmp_path: Path) -> None:
    with open_bench(database_url, tmp_path) as bench:
        account_id, _ = bench.account()
        _, other = bench.account()
        contract_id = bench.begin(account_id, other)
        before = bench.dump()
        environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}"}
        arguments = [database_url, str(tmp_path), account_id, contract_id, str(PLACES)]
        with subprocess.Popen(
            [sys.executable, "-m", "tests.support.contract_worker", *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            steps = []
            for line in process.stdout:
                if line.strip() == "through":
                    break
                steps.append(int(line))
                assert bench.dump() == before
                process.stdin.write("\n")
                process.stdin.flush()
        assert len(steps) >= min(PLACES, steps[0])
        row = bench.row(contract_id)
        assert row.state == State.SENT
        assert told(bench) == 1
        with bench.store.reading() as connection:
            assert bench.desk.document(connection, row).startswith(b"%PDF")


@pytest.mark.req("R127")
def test_a_message_that_was_not_sent_before_a_stop_leaves_after_it(database_url: str, tmp_path: Path) -> None:
    """Between the commit and the message the service ends: here its gateway does not answer."""
    closed = "https://127.0.0.1:9/{phone}"
    with (
        running_cloud(tmp_path, database=database_url, sms_url=closed) as cloud,
        contracting(cloud) as office,
    ):
        sender, other = office.person(), office.person()
        contract_id = sent_contract(cloud, sender, [myself(), other], title=TITLE)
        assert sender.get(contract_id).contract.state == pb.CONTRACT_STATE_SENT
        phone = other.phone
    with running_cloud(tmp_path, database=database_url) as cloud:
        cloud.clock.offset += timedelta(hours=1)
        [message] = wait_for(cloud, to=phone)
        assert message["template"] == "contract_invitation"
        # And where nothing stops it, a message leaves at once.
        with contracting(cloud) as office:
            sender, other = office.person(), office.person()
            sent_contract(cloud, sender, [myself(), other])
            wait_for(cloud, to=other.phone, template="contract_invitation")
