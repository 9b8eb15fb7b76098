"""How a person shows, at the moment of signing, that it is them.

A method takes the caller's proof, which names the method in the contract, and says what became of it: shown,
or refused. It is bound to H (cloud.signatures.binding), so that what shows one signing shows no other. A new
method is a class here, a number in SignMethod and a field in SignRequest; contracts may allow some alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Protocol

from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.codes.desk import Codes, Purpose
from cloud.errors import Reason, ServiceError
from cloud.signatures.binding import bind
from cloud.signatures.passkeys import Passkeys
from cloud.sources import from_us
from cloud.store.signatures import SigningRow
from cloud.verifications.evidence import FaceEvidence, Wanted
from verifield.dsse import parse_envelope
from verifield.statement import parse_statement
from verifield.v1 import identity_pb2
from verifield.v1 import signing_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Shown:
    """The person was shown to be who is asked for. ``content``: what a third party checks, if it is kept."""

    method: pb.SignMethod.ValueType
    evidence_id: str
    sha256: bytes | None = None
    content: bytes | None = field(default=None, repr=False)
    device_id: str = ""


class Method(Protocol):
    """One method. ``proof``: the field of SignRequest that brings what it takes."""

    number: pb.SignMethod.ValueType
    proof: str

    def check(self, connection: Connection, row: SigningRow, given: Any) -> Shown | ServiceError:
        """Whether this is the person; a refusal is returned, as it counts."""
        ...


class SmsCodes:
    """A code that reached the telephone that the account has now."""

    number = pb.SIGN_METHOD_SMS_CODE
    proof = "sms_code"

    def __init__(self, codes: Codes, accounts: Accounts) -> None:
        self._codes = codes
        self._accounts = accounts

    def check(self, connection: Connection, row: SigningRow, given: pb.SmsCode) -> Shown | ServiceError:
        refusal = self._codes.verify(
            connection,
            given.challenge_id,
            given.code,
            purpose=Purpose.SIGN_CONTRACT,
            bound=nonce_of(row),
            phone=self._accounts.contact(connection, row.account_id).phone,
            person_id=row.account_id,
        )
        return refusal or Shown(self.number, given.challenge_id.lower())


class PasskeyAssertions:
    """A passkey of the account that signed H, opened by its owner."""

    number = pb.SIGN_METHOD_PASSKEY
    proof = "passkey"

    def __init__(self, passkeys: Passkeys) -> None:
        self._passkeys = passkeys

    def check(
        self, connection: Connection, row: SigningRow, given: pb.PasskeyAssertion
    ) -> Shown | ServiceError:
        asserted = self._passkeys.check(connection, row.account_id, nonce_of(row), given.response_json)
        if isinstance(asserted, ServiceError):
            return asserted
        return Shown(self.number, asserted.passkey_id, asserted.sha256, asserted.evidence)


class Faces:
    """A live face beside the card of the account's holder, taken by a device for H.

    ``life``: how old it may be.
    """

    number = pb.SIGN_METHOD_FACE
    proof = "face"

    def __init__(self, evidence: FaceEvidence, accounts: Accounts, *, life: timedelta) -> None:
        self._evidence = evidence
        self._accounts = accounts
        self._life = life

    def check(
        self, connection: Connection, row: SigningRow, given: identity_pb2.FaceEvidence
    ) -> Shown | ServiceError:
        return self.judge(connection, row, given, life=self._life)

    def judge(
        self,
        connection: Connection,
        row: SigningRow,
        given: identity_pb2.FaceEvidence,
        *,
        life: timedelta,
        task_id: str = "",
    ) -> Shown | ServiceError:
        """As :meth:`check`; ``task_id``: of what was handed to a site, where it was."""
        wanted = Wanted(
            nonce=nonce_of(row),
            issued=from_us(row.started_us),
            id_number=self._accounts.elements(connection, row.account_id).id_number,
            subject=f"signings/{row.signing_id}",
            life=life,
            task_id=task_id,
        )
        try:
            checked = self._evidence.check(connection, given, wanted)
        except ServiceError as refusal:  # nothing was written
            return refusal
        if task_id and read_at_device(given) != row.document_sha256:
            return ServiceError(
                Reason.CONTRACT_NOT_READ, "The record does not say that the document was read at the device."
            )
        return Shown(
            self.number, checked.attestation_id, checked.envelope_sha256, device_id=checked.device_id
        )


def registry(methods: Iterable[Method]) -> Mapping[str, Method]:
    """The methods, by the field of SignRequest that brings their proof."""
    return MappingProxyType({one.proof: one for one in methods})


def read_at_device(given: identity_pb2.FaceEvidence) -> bytes:
    """Which document the person confirmed to have read there; of evidence that was checked."""
    return bytes(parse_statement(parse_envelope(given.envelope).payload).purpose.read_sha256)


def nonce_of(row: SigningRow) -> bytes:
    """H of a signing."""
    return bind(row.contract_id, row.party_id, row.document_sha256, row.challenge)
