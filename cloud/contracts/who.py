"""Parties as the sender names them, each in one form: nothing here asks whether anybody has an account."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cloud.accounts.creation import parse_email
from cloud.codes.phones import parse_phone
from cloud.contracts.turns import ACTING
from cloud.contracts.vault import Asked
from cloud.elements import parse_name
from cloud.errors import Reason, ServiceError
from cloud.privacy.normal import normal_name
from verifield.v1 import contract_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Named:
    """``address``: a telephone number in E.164 or an e-mail address; empty of the sender and of accounts."""

    kind: int
    role: int
    group: int
    is_sender: bool
    name: str = field(default="", repr=False)
    address: str = field(default="", repr=False)
    asked: Asked = field(default_factory=Asked)

    @property
    def identity(self) -> tuple[str, ...]:
        """Equal for the same party named twice."""
        if self.is_sender:
            return ("self",)
        if self.kind == pb.CONTRACT_PARTY_KIND_ORGANISATION:
            return ("organisation", self.asked.organisation_id or normal_name(self.name))
        return ("person", self.asked.account_id or self.address)


def parse_parties(given: Iterable[pb.NewParty], *, organisation_id: str | None) -> list[Named]:
    """The parties of a draft that ``organisation_id`` (None: a person) sends.

    Raises:
        ServiceError: PARTY_INVALID, PARTY_DUPLICATE, PARTIES_TOO_FEW, PARTIES_ORDER.
    """
    found = [
        _parse(one, number, organisation_id=organisation_id) for number, one in enumerate(given, start=1)
    ]
    seen: set[tuple[str, ...]] = set()
    for number, one in enumerate(found, start=1):
        if one.identity in seen:
            raise ServiceError(Reason.PARTY_DUPLICATE, "A party is named twice.", {"number": str(number)})
        seen.add(one.identity)
    return found


def check_whole(parties: Iterable[Named | pb.ContractParty], *, flow: int) -> None:
    """Check that a contract can be concluded by these parties.

    Raises:
        ServiceError: PARTIES_TOO_FEW, PARTIES_ORDER.
    """
    found = list(parties)
    signers = [_place(one) for one in found if one.role == pb.CONTRACT_PARTY_ROLE_SIGNER]
    acting = [one for one in found if one.role in ACTING]
    alone = len(acting) == 1 and acting[0].is_sender
    enough = len(acting) > 1 or alone or (flow == pb.CONTRACT_FLOW_SHORT and len(acting) == 1)
    if not signers or not enough:
        raise ServiceError(Reason.PARTIES_TOO_FEW, "There are two parties or more, or the sender alone.")
    approvers = [_place(one) for one in found if one.role == pb.CONTRACT_PARTY_ROLE_APPROVER]
    if approvers and max(approvers) >= max(signers):
        raise ServiceError(Reason.PARTIES_ORDER, "Somebody would approve after the last signature.")


def _place(one: Named | pb.ContractParty) -> int:
    return one.group if isinstance(one, Named) else one.order


def _parse(given: pb.NewParty, number: int, *, organisation_id: str | None) -> Named:
    match given.WhichOneof("who"):
        case "self":
            as_organisation = given.self.as_organisation
            if as_organisation and organisation_id is None:
                raise _invalid(number, "NO_ORGANISATION", "no organisation sends this contract")
            kind = pb.CONTRACT_PARTY_KIND_ORGANISATION if as_organisation else pb.CONTRACT_PARTY_KIND_PERSON
            return Named(kind, given.role, given.order, is_sender=True)
        case "organisation":
            one = given.organisation
            return Named(
                pb.CONTRACT_PARTY_KIND_ORGANISATION,
                given.role,
                given.order,
                is_sender=False,
                name=_plain(one.name, number),
                address=_address(one, number),
                asked=Asked(organisation_id=one.organisation_id),
            )
        case _:
            person = given.person
            return Named(
                pb.CONTRACT_PARTY_KIND_PERSON,
                given.role,
                given.order,
                is_sender=False,
                name=_name(person.name, number),
                address=_address(person, number),
                asked=Asked(account_id=person.account_id),
            )


def _address(given: pb.PartyPerson | pb.PartyOrganisation, number: int) -> str:
    if given.phone:
        try:
            return parse_phone(given.phone)
        except ServiceError as error:
            raise _invalid(number, "PHONE", "the telephone number is none") from error
    try:
        return parse_email(given.email) if given.email else ""
    except ServiceError as error:
        raise _invalid(number, "EMAIL", "the e-mail address is none") from error


def _name(name: str, number: int) -> str:
    try:
        return parse_name(name)
    except ServiceError as error:
        raise _invalid(number, "NAME", "the name cannot be one of a person") from error


def _plain(name: str, number: int) -> str:
    plain = " ".join(name.split())
    if not plain:
        raise _invalid(number, "NAME", "the name is empty")
    return plain


def _invalid(number: int, why: str, told: str) -> ServiceError:
    return ServiceError(
        Reason.PARTY_INVALID, f"Of party {number}, {told}.", {"number": str(number), "why": why}
    )
