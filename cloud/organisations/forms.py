"""What somebody types who says who an organisation is."""

from __future__ import annotations

from cloud.elements import parse_id_number, parse_name
from cloud.organisations.numbers import parse_numbers, parse_organisation_name
from cloud.organisations.vault import Profile
from verifield.v1 import organisation_service_pb2 as pb


def parse_profile(given: pb.OrganisationRealName) -> Profile:
    """What was typed, each value in its one form.

    Raises:
        ServiceError: ORG_NAME_INVALID, NAME_INVALID, ID_NUMBER_INVALID, and those of numbers.
    """
    numbers = parse_numbers(
        uscc=given.uscc, licence_number=given.licence_number, organisation_code=given.organisation_code
    )
    path = "real_name.legal_representative"
    return Profile(
        name=parse_organisation_name(given.name),
        uscc=numbers.uscc,
        licence_number=numbers.licence_number,
        organisation_code=numbers.organisation_code,
        representative_name=parse_name(given.legal_representative.name, path=f"{path}.name"),
        representative_id_number=parse_id_number(
            given.legal_representative.id_number, path=f"{path}.id_number"
        ),
    )
