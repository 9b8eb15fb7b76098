"""``verifield-cloud phones``: how the telephone number of an account was proven."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cloud.commands.common import Connect, JsonOption, operator_command, print_json, print_table, show_time
from verifield.v1 import otp_service_pb2 as pb

app = typer.Typer(help="How telephone numbers were proven.", no_args_is_help=True)


@app.callback()
def phones() -> None:
    """Keeps this a group, though it has one command."""


@app.command("show")
@operator_command
def show(
    connect: Connect,
    account: Annotated[str, typer.Argument(metavar="ACCOUNT", help="Id of the account.")],
    as_json: JsonOption = False,
) -> None:
    """Show how the number of an account was proven, newest first.

    Example: verifield-cloud phones show 019ca5a0-0000-7000-8000-000000000001
    """
    with connect() as client:
        request = pb.GetPhoneProofsRequest(account_id=account)
        found = client.call(client.phones.GetPhoneProofs, request).proofs
    rows = [_describe(proof) for proof in found]
    if as_json:
        print_json({"proofs": rows})
        return
    columns = ("masked_phone", "method", "match", "requested_by", "confirmed_by", "prove_time")
    print_table(
        ["NUMBER", "METHOD", "CARRIER", "ASKED", "VOUCHED", "WHEN"],
        [[row[name] or "-" for name in columns] for row in rows],
    )


def _describe(proof: pb.PhoneProof) -> dict[str, Any]:
    return {
        "proof_id": proof.proof_id,
        "account_id": proof.account_id,
        "masked_phone": proof.masked_phone,
        "method": pb.PhoneMethod.Name(proof.method).removeprefix("PHONE_METHOD_"),
        "evidence_id": proof.evidence_id,
        "requested_by": proof.requested_by,
        "confirmed_by": proof.confirmed_by,
        "match": pb.PhoneMatch.Name(proof.match).removeprefix("PHONE_MATCH_"),
        "prove_time": show_time(proof.prove_time),
    }
