"""``verifield-cloud customers``: the customers of bank verification."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import typer

from cloud.commands.bank import CustomerArgument, show_row
from cloud.commands.common import (
    MAX_NUMBER,
    Connect,
    JsonOption,
    ask,
    err,
    operator_command,
    print_json,
    print_values,
    show_time,
)
from verifield.v1 import customer_service_pb2

app = typer.Typer(help="The customers of bank verification.", no_args_is_help=True)


@app.command("find")
@operator_command
def find_customer(
    connect: Connect,
    id_number: Annotated[
        str | None, typer.Option("--id-number", help="Of the card; asked for if left out.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find a customer by the number of the identity card.

    Example: verifield-cloud customers find --json
    """
    number = ask("ID number") if id_number is None else id_number
    request = customer_service_pb2.FindCustomerRequest(id_number=number)
    with connect() as client:
        answer = client.call(client.customers.FindCustomer, request)
    _print_customer(answer.customer, as_json=as_json)


@app.command("show")
@operator_command
def show_customer(
    connect: Connect,
    customer: CustomerArgument,
    version: Annotated[
        int, typer.Option(min=0, max=MAX_NUMBER, help="An earlier one; 0 for the newest.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Show one version of a customer.

    Example: verifield-cloud customers show 019ca5a0-0000-7000-8000-000000000001 --version 1
    """
    request = customer_service_pb2.GetCustomerRequest(customer_id=customer, version=version)
    with connect() as client:
        answer = client.call(client.customers.GetCustomer, request)
    _print_customer(answer.customer, as_json=as_json)


@app.command("link")
@operator_command
def link_organisation(
    connect: Connect,
    customer: CustomerArgument,
    name: Annotated[str, typer.Argument(help="The organisation's registered name.")],
    as_json: JsonOption = False,
) -> None:
    """Say that a customer acts for an organisation.

    Example: verifield-cloud customers link 019ca5a0-0000-7000-8000-000000000001 "Sample Ltd"
    """
    request = customer_service_pb2.LinkOrganisationRequest(
        request_id=str(uuid.uuid4()), customer_id=customer, name=name
    )
    with connect() as client:
        answer = client.call(client.customers.LinkOrganisation, request)
    row = {"organisation_id": answer.organisation.organisation_id, "name": answer.organisation.name}
    show_row(row, as_json=as_json)


@app.command("unlink")
@operator_command
def unlink_organisation(
    connect: Connect,
    customer: CustomerArgument,
    organisation: Annotated[str, typer.Argument(help="Its id; see customers show.")],
    as_json: JsonOption = False,
) -> None:
    """End that; records that were made stay as they are.

    Example: verifield-cloud customers unlink 019ca5a0-0000-7000-8000-000000000001
    019ca5a0-0000-7000-8000-000000000002
    """
    request = customer_service_pb2.UnlinkOrganisationRequest(
        request_id=str(uuid.uuid4()), customer_id=customer, organisation_id=organisation
    )
    with connect() as client:
        client.call(client.customers.UnlinkOrganisation, request)
    if as_json:
        print_json({"organisation_id": organisation, "linked": False})
    else:
        err().print("The customer is no longer linked to it.")


def _print_customer(customer: customer_service_pb2.Customer, *, as_json: bool) -> None:
    row: dict[str, Any] = {
        "customer_id": customer.customer_id,
        "version": customer.version,
        "name": customer.name,
        "id_number": customer.id_number,
        "address": customer.info.address,
        "phone": customer.info.phone,
        "email": customer.info.email,
        "occupation": customer.info.occupation,
        "create_time": show_time(customer.create_time),
    }
    linked = [{"organisation_id": one.organisation_id, "name": one.name} for one in customer.organisations]
    if as_json:
        print_json(row | {"organisations": linked})
        return
    print_values(row)
    for one in linked:
        print_values({"organisation": f"{one['organisation_id']}  {one['name']}"})
