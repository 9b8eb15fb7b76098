"""How telephone numbers were proven: by a code that reached them, or by two persons of the staff."""

from __future__ import annotations

from sqlalchemy import Connection

from cloud.codes.phones import mask
from cloud.codes.values import Match, Method
from cloud.persons import Persons
from cloud.privacy.sealing import Place
from cloud.sources import Sources, from_us, to_us
from cloud.store import codes as rows
from cloud.store.schema import phone_proofs
from cloud.store.sealed import SealedTable
from verifield.v1 import otp_service_pb2 as pb

SEALED = SealedTable(phone_proofs, key="proof_id", person="account_id", sealed=("phone",))
"""For erasing a person."""

SHOWN = 20
"""The newest proofs of an account: a person changes a number some times in a life."""


class Proofs:
    """Kept for ever, in the caller's transaction."""

    def __init__(self, persons: Persons, sources: Sources) -> None:
        self._persons = persons
        self._sources = sources

    def add(
        self,
        connection: Connection,
        account_id: str,
        phone: str,
        *,
        method: Method,
        evidence_id: str,
        match: Match = Match.NOT_ASKED,
        requested_by: str = "",
        confirmed_by: str = "",
    ) -> rows.ProofRow:
        """Keep that a number (E.164) was proven, and by what.

        Raises:
            ServiceError: PERSON_ERASED.
        """
        proof_id = self._sources.uuid7()
        key = self._persons.key_of(connection, account_id)
        row = rows.ProofRow(
            proof_id=proof_id,
            account_id=account_id,
            phone=self._persons.seal_text(key, _place(proof_id), phone),
            method=method,
            evidence_id=evidence_id,
            requested_by=requested_by,
            confirmed_by=confirmed_by,
            match=match,
            proved_us=to_us(self._sources.now()),
        )
        rows.add_proof(connection, row)
        return row

    def newest(self, connection: Connection, account_id: str) -> list[rows.ProofRow]:
        """The newest proofs of an account, newest first."""
        return rows.proofs_of(connection, account_id, limit=SHOWN)

    def describe(
        self, connection: Connection, found: list[rows.ProofRow], *, staff: bool
    ) -> list[pb.PhoneProof]:
        """As they are shown; ``staff``: with the names of the staff."""
        keys = self._persons.keys_of(connection, {row.account_id for row in found})
        return [
            _to_proof(
                row,
                self._persons.open_text(keys.get(row.account_id), _place(row.proof_id), row.phone),
                staff=staff,
            )
            for row in found
        ]


def _to_proof(row: rows.ProofRow, phone: str, *, staff: bool) -> pb.PhoneProof:
    proof = pb.PhoneProof(
        proof_id=row.proof_id,
        account_id=row.account_id,
        masked_phone=mask(phone) if phone else "",
        method=pb.PhoneMethod.ValueType(row.method),
        evidence_id=row.evidence_id,
        requested_by=row.requested_by if staff else "",
        confirmed_by=row.confirmed_by if staff else "",
        match=pb.PhoneMatch.ValueType(row.match),
    )
    proof.prove_time.FromDatetime(from_us(row.proved_us))
    return proof


def _place(proof_id: str) -> Place:
    return Place(phone_proofs.name, "phone", proof_id)
