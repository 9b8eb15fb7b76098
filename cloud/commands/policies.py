"""``verifield-cloud policies``: the rules that every device obeys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format

from cloud.commands.common import (
    Connect,
    JsonOption,
    err,
    operator_command,
    print_json,
    print_table,
    show_time,
    to_pem,
)
from cloud.commands.files import write_output
from cloud.errors import SetupError
from cloud.paging import MAX_PAGE_SIZE
from verifield.rules import MAX_COUNTER
from verifield.terminal import visible_json
from verifield.v1 import policy_service_pb2 as pb
from verifield.v1.policy_pb2 import TURNS_WHEN_NEEDED, Policy

app = typer.Typer(help="Policies, signed by the service and obeyed by every device.", no_args_is_help=True)

MAX_POLICY_FILE_BYTES = 256 * 1024
"""A policy with all its texts fits into an envelope of 64 KiB; JSON is wordier."""

TEMPLATE_LIFETIME = timedelta(days=365)


@app.command()
@operator_command
def publish(
    connect: Connect,
    file: Annotated[Path, typer.Argument(help="The policy as JSON, for example from `policies template`.")],
    as_json: JsonOption = False,
) -> None:
    """Sign a policy and hand it down to every device.

    Example: verifield-cloud policies publish policy.json
    """
    request = pb.PublishPolicyRequest(policy=read_policy(file))
    with connect() as client:
        answer = client.call(client.policies.PublishPolicy, request)
    if as_json:
        print_json({"version": answer.policy.version, "sha256": answer.sha256.hex()})
    else:
        err().print(f"Published version {answer.policy.version}.", markup=False)
        print(answer.sha256.hex())


@app.command("list")
@operator_command
def list_policies(
    connect: Connect,
    as_json: JsonOption = False,
) -> None:
    """List what was published, newest first.

    Example: verifield-cloud policies list --json
    """
    request = pb.ListPoliciesRequest(page_size=MAX_PAGE_SIZE)
    with connect() as client:
        found = [one for page in client.pages(client.policies.ListPolicies, request) for one in page.policies]
    if as_json:
        print_json({"policies": [json_format.MessageToDict(policy) for policy in found]})
        return
    print_table(
        ["VERSION", "ISSUED", "EXPIRES"],
        [
            [str(policy.version), show_time(policy.issue_time), show_time(policy.expire_time)]
            for policy in found
        ],
    )


@app.command()
@operator_command
def export(
    connect: Connect,
    version: Annotated[int, typer.Argument(min=1, max=MAX_COUNTER, help="The policy's version.")],
    out: Annotated[Path, typer.Option("--out", help="Where to write the signed policy (DSSE envelope).")],
    certificates: Annotated[
        Path, typer.Option("--certificates", help="Where to write the certificates of its key (PEM).")
    ],
    as_json: JsonOption = False,
) -> None:
    """Write a policy as it was signed, for `verifield-verify --policy FILE --policy-certificates FILE`.

    Example: verifield-cloud policies export 1 --out policy.envelope --certificates chain.pem
    """
    with connect() as client:
        answer = client.call(client.policies.GetPolicy, pb.GetPolicyRequest(version=version))
    write_output(out, answer.envelope)
    write_output(certificates, to_pem(answer.certificates))
    if as_json:
        print_json({"version": version, "file": str(out), "certificates": str(certificates)})
    else:
        err().print(f"Wrote {out} and {certificates}.", markup=False)


@app.command()
@operator_command
def template(
    connect: Connect,
    as_json: JsonOption = False,
) -> None:
    """Print the newest policy, or a first one, with the next version: change it, then publish it.

    Example: verifield-cloud policies template > policy.json
    """
    with connect() as client:
        newest = client.call(client.policies.ListPolicies, pb.ListPoliciesRequest(page_size=1)).policies
    policy = newest[0] if newest else first_policy()
    policy.version += 1
    policy.ClearField("issue_time")
    policy.expire_time.FromDatetime(datetime.now(UTC) + TEMPLATE_LIFETIME)
    if as_json:
        print_json(json_format.MessageToDict(policy))
    else:
        print(visible_json(json_format.MessageToJson(policy, ensure_ascii=False)))


def first_policy() -> Policy:
    """What a device does by itself, as a policy of version 0."""
    policy = Policy()
    policy.match.live_chip_photo_threshold, policy.match.live_chip_photo_false_match_rate = 0.466, 1.26e-5
    policy.match.live_live_threshold, policy.match.live_live_false_match_rate = 0.415, 1e-4
    policy.liveness.relief_threshold, policy.liveness.turns = 0.035, 3
    policy.liveness.turns_when = TURNS_WHEN_NEEDED
    policy.session.step_timeout.FromTimedelta(timedelta(minutes=2))
    policy.offline.degraded_after.FromTimedelta(timedelta(days=7))
    policy.offline.stopped_after.FromTimedelta(timedelta(days=30))
    policy.retention.confirmed_records.FromTimedelta(timedelta(days=30))
    return policy


def read_policy(file: Path) -> Policy:
    """Read a policy from JSON.

    Raises:
        SetupError: POLICY_UNREADABLE.
    """
    try:
        with file.open("rb") as source:
            # A longer file is cut in its middle, and then is no JSON.
            text = source.read(MAX_POLICY_FILE_BYTES)
        return json_format.Parse(text.decode(), Policy(), max_recursion_depth=8)
    except (OSError, ValueError, json_format.ParseError) as error:
        raise SetupError(
            "POLICY_UNREADABLE",
            f"The file {file} is not a policy as JSON: {' '.join(str(error).split())[:200].rstrip('.')}.",
            hint="Begin with what `verifield-cloud policies template` prints.",
        ) from error
