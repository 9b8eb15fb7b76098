"""Passkeys: a person's own authenticator says that it was opened by a finger, a face or a PIN (WebAuthn).

A signature is asked for with H as the challenge (cloud.signatures.binding): what the authenticator signs
counts for this document and this signing alone. User verification is required. The public key is sealed under
the person's own key; of the authenticator's maker nothing is asked.
"""

from __future__ import annotations

import base64
import json
import logging
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from typing import Any

from fido2 import cbor
from fido2.cose import UnsupportedKey
from fido2.server import Fido2Server
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    AuthenticatorData,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.errors import Reason, ServiceError
from cloud.persons import Persons
from cloud.privacy.sealing import Place, SealKey
from cloud.sources import Sources, from_us, to_us
from cloud.store import passkeys as rows
from cloud.store.passkeys import PasskeyRow, RegistrationRow
from cloud.store.schema import passkeys
from cloud.store.sealed import SealedTable
from verifield.v1 import signing_service_pb2 as pb

SEALED = SealedTable(passkeys, key="passkey_id", person="account_id", sealed=("credential", "name"))
"""For erasing a person."""

MAX_PASSKEYS = 10
"""Of one account."""

REGISTRATION_LIFE = timedelta(minutes=5)

_CHALLENGE_BYTES = 32
_REQUIRED = UserVerificationRequirement.REQUIRED

_HOSTILE = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
"""What reading an answer raises that no authenticator gives; the last one of JSON or CBOR in deep nests."""

logging.getLogger("fido2").setLevel(logging.WARNING)  # it would write ids of credentials


@dataclass(frozen=True, slots=True)
class Opened:
    """A passkey, opened."""

    row: PasskeyRow
    credential: AttestedCredentialData = field(repr=False)
    name: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Asserted:
    """A passkey that was used. ``evidence``: what a third party checks; ``sha256``: of it."""

    passkey_id: str
    evidence: bytes = field(repr=False)
    sha256: bytes


class Passkeys:
    """In the caller's transaction. ``domain``: of the pages that people sign at (WebAuthn's RP id)."""

    def __init__(self, accounts: Accounts, persons: Persons, sources: Sources, *, domain: str) -> None:
        self._accounts = accounts
        self._persons = persons
        self._sources = sources
        self._server = Fido2Server(PublicKeyCredentialRpEntity(name="Verifield", id=domain))

    def begin(self, connection: Connection, account_id: str) -> pb.StartPasskeyResponse:
        """What the authenticator is asked for.

        Raises:
            ServiceError: PASSKEYS_TOO_MANY, ACCOUNT_NOT_ACTIVE.
        """
        self._accounts.require_active(connection, account_id, lock=True)
        known = self.of(connection, account_id)
        if len(known) >= MAX_PASSKEYS:
            raise ServiceError(Reason.PASSKEYS_TOO_MANY, f"An account has at most {MAX_PASSKEYS} passkeys.")
        name = self._accounts.elements(connection, account_id).name
        options, _ = self._server.register_begin(
            PublicKeyCredentialUserEntity(name=name, id=uuid.UUID(account_id).bytes, display_name=name),
            [one.credential for one in known],
            resident_key_requirement=ResidentKeyRequirement.PREFERRED,
            user_verification=_REQUIRED,
            challenge=self._sources.random_bytes(_CHALLENGE_BYTES),
        )
        row = RegistrationRow(
            account_id=account_id,
            registration_id=self._sources.uuid7(),
            challenge=options.public_key.challenge,
            expires_us=to_us(self._sources.now() + REGISTRATION_LIFE),
        )
        rows.put_registration(connection, row)
        answer = pb.StartPasskeyResponse(
            registration_id=row.registration_id, options_json=_to_json(options.public_key)
        )
        answer.expire_time.FromDatetime(from_us(row.expires_us))
        return answer

    def finish(
        self, connection: Connection, account_id: str, registration_id: str, response: str, name: str
    ) -> Opened | ServiceError:
        """Keep what the authenticator made. A refusal is returned: the registration is over with it.

        Raises:
            ServiceError: PASSKEY_REGISTRATION_OVER.
        """
        begun = rows.take_registration(connection, account_id, registration_id)
        now_us = to_us(self._sources.now())
        if begun is None or begun.expires_us <= now_us:
            raise ServiceError(Reason.PASSKEY_REGISTRATION_OVER, "This registration is over.")
        try:
            data = self._server.register_complete(
                _state(begun.challenge), RegistrationResponse.from_dict(_from_json(response))
            )
        except _HOSTILE:
            return _refused("REGISTRATION")
        credential = data.credential_data
        if credential is None or isinstance(credential.public_key, UnsupportedKey):
            return _refused("REGISTRATION")
        passkey_id, key = self._sources.uuid7(), self._persons.key_of(connection, account_id)
        row = PasskeyRow(
            passkey_id=passkey_id,
            account_id=account_id,
            credential_sha256=sha256(credential.credential_id).digest(),
            credential=self._persons.seal_bytes(key, _place(passkey_id, "credential"), bytes(credential)),
            name=self._persons.seal_text(key, _place(passkey_id, "name"), name),
            sign_count=data.counter,
            synced=int(data.is_backup_eligible()),
            created_us=now_us,
        )
        if not rows.add_passkey(connection, row):
            return ServiceError(Reason.PASSKEY_KNOWN, "This passkey is registered already.")
        return Opened(row, credential, name)

    def of(self, connection: Connection, account_id: str) -> list[Opened]:
        """Those of an account."""
        key = self._persons.keys_of(connection, [account_id]).get(account_id)
        found = (self._open(key, row) for row in rows.passkeys_of(connection, account_id))
        return [one for one in found if one is not None]

    def rename(self, connection: Connection, account_id: str, passkey_id: str, name: str) -> Opened:
        """Call one by another name.

        Raises:
            ServiceError: PASSKEY_NOT_FOUND.
        """
        self._own(connection, account_id, passkey_id)
        key = self._persons.key_of(connection, account_id)
        sealed = self._persons.seal_text(key, _place(passkey_id, "name"), name)
        rows.rename_passkey(connection, passkey_id, sealed)
        opened = self._open(key, self._own(connection, account_id, passkey_id))
        if opened is None:
            raise _not_found()
        return opened

    def remove(self, connection: Connection, account_id: str, passkey_id: str) -> None:
        """Let one count no more.

        Raises:
            ServiceError: PASSKEY_NOT_FOUND.
        """
        self._own(connection, account_id, passkey_id)
        rows.remove_passkey(connection, passkey_id, now_us=to_us(self._sources.now()))

    def ask(self, connection: Connection, account_id: str, nonce: bytes) -> str:
        """What the authenticator is asked to sign; empty where the account has no passkey."""
        known = self.of(connection, account_id)
        if not known:
            return ""
        options, _ = self._server.authenticate_begin(
            [one.credential for one in known], user_verification=_REQUIRED, challenge=nonce
        )
        return _to_json(options.public_key)

    def check(
        self, connection: Connection, account_id: str, nonce: bytes, response: str
    ) -> Asserted | ServiceError:
        """Whether an authenticator of this account signed ``nonce``. A refusal is returned: it counts."""
        rows.passkeys_of(connection, account_id, lock=True)
        known = self.of(connection, account_id)
        try:
            answer = AuthenticationResponse.from_dict(_from_json(response))
            used = self._server.authenticate_complete(
                _state(nonce), [one.credential for one in known], answer
            )
        except _HOSTILE:
            return _refused("ASSERTION")
        if answer.response.user_handle not in (None, b"", uuid.UUID(account_id).bytes):
            return _refused("ASSERTION")
        passkey = next(one for one in known if one.credential.credential_id == used.credential_id)
        data: AuthenticatorData = answer.response.authenticator_data
        if (data.counter or passkey.row.sign_count) and data.counter <= passkey.row.sign_count:
            return ServiceError(Reason.PASSKEY_CLONED, "The passkey's counter did not go on.")
        rows.use_passkey(
            connection,
            passkey.row.passkey_id,
            sign_count=data.counter,
            now_us=to_us(self._sources.now()),
        )
        evidence = _to_evidence(used, answer)
        return Asserted(passkey.row.passkey_id, evidence, sha256(evidence).digest())

    def _own(self, connection: Connection, account_id: str, passkey_id: str) -> PasskeyRow:
        row = rows.get_passkey(connection, passkey_id, lock=True)
        if row is None or row.account_id != account_id:
            raise _not_found()
        return row

    def _open(self, key: SealKey | None, row: PasskeyRow) -> Opened | None:
        content = self._persons.open_bytes(key, _place(row.passkey_id, "credential"), row.credential)
        if content is None:
            return None
        name = self._persons.open_text(key, _place(row.passkey_id, "name"), row.name)
        return Opened(row, AttestedCredentialData(content), name)


def _state(challenge: bytes) -> dict[str, Any]:
    """As the library keeps it between its two calls."""
    return {"challenge": _websafe(challenge), "user_verification": _REQUIRED}


def _to_json(options: Any) -> str:
    return json.dumps(dict(options), ensure_ascii=False, separators=(",", ":"))


def _from_json(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value


def _to_evidence(used: AttestedCredentialData, answer: AuthenticationResponse) -> bytes:
    """The assertion and the key that verifies it: no name, and nothing that leads to a person."""
    return json.dumps(
        {
            "authenticatorData": _websafe(answer.response.authenticator_data),
            "clientDataJSON": _websafe(answer.response.client_data),
            "publicKey": _websafe(cbor.encode(dict(used.public_key))),
            "signature": _websafe(answer.response.signature),
        },
        separators=(",", ":"),
    ).encode()


def _websafe(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _place(passkey_id: str, column: str) -> Place:
    return Place(passkeys.name, column, passkey_id)


def _refused(check: str) -> ServiceError:
    return ServiceError(
        Reason.PASSKEY_REFUSED, "The passkey's answer is not one for this request.", {"check": check}
    )


def _not_found() -> ServiceError:
    return ServiceError(Reason.PASSKEY_NOT_FOUND, "There is no such passkey of this account.")
