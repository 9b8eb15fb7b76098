"""An enrolled device in a folder, at the real time and without a cloud: identity, stores, operators, tasks.

    device = LocalDevice.open(tmp_path)
    device.add_operators()
    attempt = device.attempt(Decision(Outcome.INCONCLUSIVE, ("LIVENESS_NO_FACE",)))

Everything in the folder is real and made by the product's own code; only the authority that vouches for the
device is the tests'. Programs that are given ``device.config`` open it as any other device.
"""

from __future__ import annotations

import dataclasses
import hashlib
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from cloud.pdf.fields import Box, Kind, Place
from cloud.pdf.freeze import _with_fields
from edge.answers import SessionAnswers
from edge.app import identity_folder, open_recorder, open_state
from edge.attest.clock import SystemClock, arrival_now
from edge.attest.identity import DeviceIdentity, publish, save_identity, stage_folder
from edge.attest.keystore import open_key_store
from edge.config import EdgeConfig
from edge.model import Decision, Evidence, ExpertScore, KeyProtection, LivenessDecision, Outcome, Role
from edge.operators.service import Operators
from edge.outbox.records import StoredRecord
from edge.recorder import Recorder
from edge.state.store import StateStore
from tests.support.appliance import verified_evidence
from tests.support.authority import Authority
from tests.support.pdf_samples import plain
from tests.support.policies import sample_policy, sign_policy
from tests.support.tasks import account_item, contract_task
from verifield.certificates import Purpose
from verifield.profile import PublicKey
from verifield.tasks import encode_task
from verifield.v1 import sync_service_pb2 as sync
from verifield.v1.policy_pb2 import Policy as PolicyPb
from verifield.v1.task_pb2 import ContractTask, TaskPerson

CLERK, SUPERVISOR, AGENT = "Li Wei", "Ana Ruiz", "Bo Chen"
PINS = {CLERK: "835062", SUPERVISOR: "472910", AGENT: "619374"}
ROLES = {CLERK: Role.CLERK, SUPERVISOR: Role.SUPERVISOR, AGENT: Role.AGENT}
NO_FACE = Decision(Outcome.INCONCLUSIVE, ("LIVENESS_NO_FACE",))
DEVICE_ID = "device-1"


def lease_pdf(pages: int = 3) -> bytes:
    """A contract with a place for a signature and one for its date on the last page."""
    places = [
        Place("p1_signature_1", Kind.SIGNATURE, pages, Box(60, 560, 170, 50), "1"),
        Place("p1_sign_date_2", Kind.SIGN_DATE, pages, Box(60, 640, 170, 18), "1"),
    ]
    return _with_fields(plain(pages, text="Lease of a flat"), places)


@dataclass
class LocalDevice:
    """``config``: of the device."""

    config: EdgeConfig
    authority: Authority

    @classmethod
    def open(cls, folder: Path, **settings: object) -> LocalDevice:
        """Enrol a new device whose data lies in ``folder``; its cloud has spoken a moment ago."""
        now = datetime.now(UTC).replace(microsecond=0)
        device = cls(EdgeConfig(data_dir=folder, **settings), Authority.create(now=now - timedelta(hours=1)))  # type: ignore[arg-type]
        device._enroll(now - timedelta(minutes=5))
        device.pull(policy=sample_policy(issued=now - timedelta(minutes=4)))
        return device

    def _enroll(self, at: datetime) -> None:
        folder = identity_folder(self.config)
        folder.mkdir(parents=True, mode=0o700)
        key_store = open_key_store(self.config, folder)
        signer = key_store.create("attestation-1")
        staged = stage_folder(folder, prefix=".staged-")
        public = load_der_public_key(signer.public_key_der())

        def issue(purpose: Purpose) -> tuple[bytes, ...]:
            return tuple(self.authority.issue(_as_public(public), name=DEVICE_ID, purpose=purpose, now=at))

        save_identity(
            DeviceIdentity(
                device_id=DEVICE_ID,
                site_id="site-1",
                key_protection=KeyProtection.SOFTWARE,
                attestation_key="attestation-1",
                enrollment_endpoint="127.0.0.1:1",
                device_endpoint="127.0.0.1:1",
                root_pem=self.authority.root_pem,
                attestation_certificates=issue(Purpose.ATTESTATION),
                tls_certificates=issue(Purpose.ATTESTATION),
                folder=staged,
                key_store=key_store,
            )
        )
        publish(folder, staged=staged, device_id=DEVICE_ID)

    @contextmanager
    def recorder(self) -> Iterator[Recorder]:
        with open_recorder(self.config) as recorder:
            yield recorder

    @contextmanager
    def state(self) -> Iterator[StateStore]:
        with open_recorder(self.config) as recorder, open_state(self.config, recorder.identity) as state:
            yield state

    def add_operators(self, *names: str) -> None:
        """Let these people sign in, with the PINs and roles above; all of them where none is named."""
        with open_recorder(self.config) as recorder, open_state(self.config, recorder.identity) as state:
            operators = Operators(
                state.operators,
                key_store=recorder.identity.key_store,
                clock=recorder.clock,
                live_live=recorder.policy.match.live_live,
            )
            for name in names or tuple(PINS):
                operators.add(name, ROLES[name], pin=PINS[name])

    def pull(self, *items: sync.DownItem, policy: PolicyPb | None = None) -> None:
        """Take news from the cloud, now."""
        news = list(items)
        if policy is not None:
            key = X25519PrivateKey.generate().public_key()
            policy.media.recipient_key = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
            policy.session.ClearField("steps")
            content = sign_policy(self.authority, policy)
            news.append(sync.DownItem(kind=sync.DOWN_ITEM_KIND_POLICY, item_id="policy", content=content))
        with self.state() as state:
            outcome = state.apply_pull(
                news,
                cursor=secrets.token_hex(4),
                server_time=datetime.now(UTC),
                arrival=arrival_now(SystemClock()),
                certificates=self.authority.policy_chain,
                roots=[self.authority.root],
                wipe=lambda: None,
            )
        assert not outcome.refused, outcome.refused

    def expect_account(self, name: str = "account") -> str:
        """A person is expected to activate an account; return the task's id."""
        item = account_item(name, issued=datetime.now(UTC) - timedelta(hours=1))
        self.pull(item)
        return item.item_id

    def send_contract(
        self,
        name: str = "lease",
        *,
        document: bytes | None = None,
        arrive: bool = True,
        title: str = "Lease of a flat",
        person: TaskPerson | None = None,
    ) -> ContractTask:
        """A contract waits here, with its document unless that is on its way. ``person``: who is to sign."""
        content = lease_pdf() if document is None else document
        task = contract_task(name, title=title, issued=datetime.now(UTC) - timedelta(hours=1))
        task.ClearField("steps")
        if person is not None:
            task.person.CopyFrom(person)
        task.document_sha256 = hashlib.sha256(content).digest()
        self.pull(
            sync.DownItem(kind=sync.DOWN_ITEM_KIND_CONTRACT, item_id=task.task_id, content=encode_task(task))
        )
        half = len(content) // 2
        parts: Sequence[tuple[int, bytes]] = ((0, content[:half]), (half, content[half:]))
        with self.state() as state:
            for start, part in parts if arrive else parts[:1]:
                state.documents.add(
                    task.task_id, task.document_sha256, start=start, size=len(content), content=part
                )
        return task

    def attempt(self, decision: Decision = NO_FACE, evidence: Evidence | None = None) -> StoredRecord:
        """Record one session that ended so; each has an id of its own."""
        evidence = evidence or dataclasses.replace(verified_evidence(), liveness=None, match=None)
        if decision.outcome is Outcome.ABORTED:
            evidence = dataclasses.replace(evidence, aborted=decision.reasons[0])
        evidence = dataclasses.replace(evidence, session=SessionAnswers(secrets.token_bytes(16)))
        with self.recorder() as recorder:
            return recorder.record(evidence, decision)

    def spoof(self) -> StoredRecord:
        """Record an attack that was seen."""
        seen = verified_evidence()
        assert seen.liveness is not None
        flat = ExpertScore("planar_motion", 0.001, 0.012, "SPOOF_PLANAR_MOTION")
        liveness = dataclasses.replace(
            seen.liveness, decision=LivenessDecision.ATTACK, experts=(flat,), reasons=(flat.reason,)
        )
        evidence = dataclasses.replace(seen, liveness=liveness)
        return self.attempt(Decision(Outcome.SPOOF, (flat.reason,)), evidence)

    def verified(self) -> StoredRecord:
        """Record one person who was verified."""
        return self.attempt(Decision(Outcome.VERIFIED, ()), verified_evidence())


def _as_public(key: object) -> PublicKey:
    assert isinstance(key, PublicKey)
    return key
