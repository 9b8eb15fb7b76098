"""What a signing stands on: the contract, the party, and who the person is, as they are now.

1  the contract awaits this party, its deadline has not passed, and its     the contract's reasons
   document was read
2  the person is verified, and nothing that was certified of the person     REAL_NAME_REQUIRED,
   waits to be certified anew                                              CERTIFICATION_REQUIRED
3  the verified name is that of the party who was invited                  PARTY_IDENTITY_MISMATCH
4  for an organisation: it is verified, and the person may act for it      ORG_REAL_NAME_REQUIRED, ...
   in contracts
5  a seal that is to be used may be used, on this document                 SEAL_...
6  whatever was signed in the contract before still counts                  SIGNATURE_REVOKED
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from google.rpc import code_pb2
from sqlalchemy import Connection

from cloud.accounts.desk import Accounts
from cloud.certifications.standing import Standings
from cloud.contracts.desk import Contracts
from cloud.errors import Reason, ServiceError
from cloud.organisations.desk import Organisations
from cloud.pdf.fields import Kind
from cloud.privacy.normal import normal_name
from cloud.seals.desk import Scope, Seals
from cloud.signatures.assets import Assets
from cloud.signatures.marks import Field, Plan, Signer, Stamp, kinds_of
from cloud.signers.authority import Proven, counts_until
from cloud.sources import from_us
from cloud.store import signatures, signers
from cloud.store.contracts import ContractRow, PartyRow, WidgetRow
from cloud.store.signatures import SigningRow
from cloud.verifications.desk import Verifications
from verifield.v1 import signing_service_pb2 as pb

_KINDS = {
    pb.MARK_KIND_SIGNATURE: Kind.SIGNATURE,
    pb.MARK_KIND_SEAL: Kind.SEAL,
    pb.MARK_KIND_SIGN_DATE: Kind.SIGN_DATE,
}
_UNITS = 1000  # of a point

_FINAL = frozenset(
    {code_pb2.FAILED_PRECONDITION, code_pb2.PERMISSION_DENIED, code_pb2.NOT_FOUND, code_pb2.ABORTED}
)
_TRANSIENT = frozenset({Reason.OBJECT_NOT_FOUND, Reason.OBJECT_DAMAGED})
"""Of the stores: somebody repairs them."""


@dataclass(frozen=True, slots=True)
class Act:
    """Who may sign what, now. ``contract`` is locked."""

    contract: ContractRow
    party: PartyRow
    signer: Signer
    fields: tuple[Field, ...]

    @property
    def document_sha256(self) -> bytes:
        return bytes(self.contract.document_sha256 or b"")


@dataclass(frozen=True, slots=True)
class SignerProof:
    """Who a person was shown to be, for an organisation or in the own name: a Proof of cloud.signers."""

    ground: Ground
    organisation_id: str = ""

    def proven(self, connection: Connection, account_id: str) -> Proven:
        """What counts in this transaction.

        Raises:
            ServiceError: IDENTITY_REQUIRED, ORG_REAL_NAME_REQUIRED, CONTRACT_OTHERS.
        """
        self.ground.verifications.require_verified(connection, account_id)
        name = self.ground.accounts.elements(connection, account_id).name
        if not self.organisation_id:
            return Proven(name)
        identity = self.ground.organisations.identity(connection, self.organisation_id)
        if not self.ground.seals.may_act(connection, self.organisation_id, account_id, scope=Scope.CONTRACTS):
            raise ServiceError(Reason.CONTRACT_OTHERS, "This person does not act for the organisation.")
        return Proven(name, identity.name, identity.uscc)


class Ground:
    """In the caller's transaction."""

    def __init__(
        self,
        contracts: Contracts,
        verifications: Verifications,
        organisations: Organisations,
        seals: Seals,
        *,
        assets: Assets,
        certifications: Standings,
    ) -> None:
        self.contracts = contracts
        self.verifications = verifications
        self.organisations = organisations
        self.seals = seals
        self._assets = assets
        self._certifications = certifications

    @property
    def accounts(self) -> Accounts:
        return self.verifications.accounts

    def stand(self, connection: Connection, contract_id: str, account_id: str, *, party_id: str = "") -> Act:
        """Who may sign, where that is this account; ``party_id``: of a signing that was started before.

        Raises:
            ServiceError: the reason of the step that does not hold.
        """
        contract = self.contracts.hold(connection, contract_id)
        party = self.contracts.party_of(connection, contract, account_id, party_id=party_id)
        self.contracts.require_turn(connection, contract, party)  # step 1
        self._check_deadline(contract)
        self.contracts.require_read(contract, party)
        self.contracts.core.require_real_name(connection, account_id)  # step 2
        self._certifications.refuse_outdated(connection, account_id)
        signer = self.signer(connection, party, account_id)  # step 4
        self._check_name(connection, party, signer)  # step 3
        self._check_earlier(connection, contract_id)  # step 6
        fields = fields_of(self.contracts.marks(connection, contract, party))
        return Act(contract, party, signer, fields)

    def _check_deadline(self, contract: ContractRow) -> None:
        """A contract that waits for a time-stamp outlives its deadline, but nobody signs it then."""
        if contract.deadline_us is not None and contract.deadline_us <= self.contracts.core.now_us:
            raise ServiceError(Reason.CONTRACT_EXPIRED, "The deadline of this contract has passed.")

    def _check_earlier(self, connection: Connection, contract_id: str) -> None:
        signed = {
            one.serial: from_us(one.signed_us) for one in signatures.records_of(connection, contract_id)
        }
        for serial, row in signers.revoked_among(connection, signed).items():
            until = counts_until(row)
            if until is not None and until <= signed[serial]:
                raise ServiceError(
                    Reason.SIGNATURE_REVOKED,
                    "A signature in this contract was revoked: it counts for nothing.",
                )

    def _check_name(self, connection: Connection, party: PartyRow, signer: Signer) -> None:
        invited = self.contracts.name_of(connection, party)
        if invited and normal_name(invited) != normal_name(signer.organisation or signer.name):
            raise ServiceError(
                Reason.PARTY_IDENTITY_MISMATCH, "The verified name is not that of the invited party."
            )

    def signer(self, connection: Connection, party: PartyRow, account_id: str) -> Signer:
        """Who this person is, for this party.

        Raises:
            ServiceError: IDENTITY_REQUIRED, ORG_REAL_NAME_REQUIRED, CONTRACT_OTHERS.
        """
        organisation_id = party.organisation_id or ""
        proven = SignerProof(self, organisation_id).proven(connection, account_id)
        return Signer(account_id, proven.name, organisation_id, proven.organisation, proven.uscc)

    def plan(
        self,
        connection: Connection,
        act: Act,
        *,
        asset_id: str | None,
        seal_id: str | None,
        used: bool = False,
    ) -> Plan:
        """What will be put on the pages; ``used``: the person has authenticated for it.

        Raises:
            ServiceError: SIGNATURE_ASSET_NOT_FOUND, SEAL_CHOICE_REQUIRED, or why the seal may not be used.
        """
        signer = act.signer
        return Plan(
            contract_id=act.contract.contract_id,
            party_id=act.party.party_id,
            document_sha256=act.document_sha256,
            signer=signer,
            fields=act.fields,
            look=self._assets.choose(connection, signer.account_id, asset_id, name=signer.name, used=used),
            stamp=self._stamp(connection, act, seal_id),
            zone=ZoneInfo(act.contract.time_zone),
        )

    def plan_of(self, connection: Connection, act: Act, row: SigningRow, *, used: bool = False) -> Plan:
        """As :meth:`plan`, of what was chosen."""
        return self.plan(connection, act, asset_id=row.asset_id, seal_id=row.seal_id, used=used)

    def _stamp(self, connection: Connection, act: Act, seal_id: str | None) -> Stamp | None:
        if Kind.SEAL not in kinds_of(act.fields):
            return None
        if not seal_id:
            raise ServiceError(Reason.SEAL_CHOICE_REQUIRED, "A seal has to be chosen.")
        seal = self.seals.check(  # step 5
            connection,
            seal_id=seal_id,
            account_id=act.signer.account_id,
            scope=Scope.CONTRACTS,
            document_sha256=act.document_sha256,
            marks=sum(one.kind is Kind.SEAL for one in act.fields),
        )
        if seal.organisation_id != act.signer.organisation_id:
            raise ServiceError(Reason.SEAL_CHOICE_REQUIRED, "The seal is of another organisation.")
        return Stamp(seal.seal_id, seal.version, seal.image_png)


def fields_of(marks: Iterable[WidgetRow]) -> tuple[Field, ...]:
    """What a party fills, in the order of the pages."""
    found = [
        Field(
            name=row.field_name,
            kind=_KINDS[pb.MarkKind.ValueType(row.kind)],
            page=row.page,
            x=row.x / _UNITS,
            y=row.y / _UNITS,
            width=row.width / _UNITS,
            height=row.height / _UNITS,
        )
        for row in marks
    ]
    return tuple(sorted(found, key=lambda one: (one.page, one.y, one.x, one.name)))


def is_final(refusal: ServiceError) -> bool:
    """Whether trying again cannot help: the contract, the person or the seal is not as it was confirmed."""
    return refusal.status in _FINAL and refusal.reason not in _TRANSIENT
