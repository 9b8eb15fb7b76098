"""A device on the bench: real key store, outbox, state and operators, without an enrolment or a camera."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from edge.attest.clock import BUILD_DATE
from edge.attest.keystore_software import SoftwareKeyStore
from edge.contact import Arrival
from edge.operators.service import Operators
from edge.outbox.store import Outbox
from edge.policy import Policy
from edge.recorder import Recorder
from edge.state.store import StateStore
from tests.support.appliance import RESERVE_BYTES
from tests.support.authority import Authority, Device
from tests.support.clocks import SteeredClock
from verifield.cosign import parse_cosigner_key
from verifield.dsse import check_signature, parse_envelope
from verifield.statement import parse_statement
from verifield.v1 import attestation_pb2 as pb


class BenchDevice:
    """``close`` it at the end. The cloud spoke last at the beginning."""

    def __init__(self, folder: Path, authority: Authority, *, policy: Policy | None = None) -> None:
        self.paper: Device = authority.enroll("device-1")
        self.key_store = SoftwareKeyStore.open_store(folder / "keys", environ={})
        self.signer = self.key_store.create("attestation-1")
        self.clock = SteeredClock(wall=BUILD_DATE + timedelta(days=10))
        self.outbox = Outbox.open(
            folder / "outbox.sqlite",
            device_id="device-1",
            key_store=self.key_store,
            reserve_bytes=RESERVE_BYTES,
        )
        self.state = StateStore.open(folder / "state.sqlite", device_id="device-1", key_store=self.key_store)
        self.state.note_word(self.clock.wall(), Arrival(self.clock.boot_id(), self.clock.monotonic_ns()))
        identity: Any = SimpleNamespace(
            device_id="device-1",
            site_id="site-1",
            predecessor_id="",
            attestation_serial=lambda: "ab",
            attestation_certificates=tuple(self.paper.chain),
            root_pem=authority.root_pem,
            key_store=self.key_store,
            open_signer=lambda: self.key_store.open("attestation-1"),
        )
        self.recorder = Recorder(
            identity=identity,
            signer=self.signer,
            outbox=self.outbox,
            clock=self.clock,
            policy=policy or Policy(),
            config_sha256=bytes(32),
            software_version="0",
        )
        self.recorder.ensure_enrolled()
        self.operators = Operators(
            self.state.operators,
            key_store=self.key_store,
            clock=self.clock,
            live_live=self.recorder.policy.match.live_live,
        )

    def close(self) -> None:
        self.state.close()
        self.outbox.close()

    def statements(self) -> list[pb.Statement]:
        """Every record, newest first, each with the device's signature checked."""
        key = self.public_key()
        return [
            parse_statement(check_signature(parse_envelope(record.envelope), key))
            for record in self.outbox.newest(limit=1000)
        ]

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return parse_cosigner_key(self.signer.public_key_der())
