"""``verifield-cloud devices``: who is enrolled, what each one's chain waits for, and how to end one."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cloud.commands.common import (
    Connect,
    JsonOption,
    confirm,
    err,
    operator_command,
    print_json,
    print_table,
    print_values,
    show_maybe,
    show_time,
)
from cloud.commands.files import write_output
from cloud.commands.listing import FilterOption, PageOption, fetch, tell_next, with_next
from verifield.v1 import device_service_pb2 as pb
from verifield.v1.attestation_pb2 import KeyProtection
from verifield.v1.policy_pb2 import DirectiveAction

app = typer.Typer(help="Enrolled devices.", no_args_is_help=True)

DeviceArgument = Annotated[str, typer.Argument(metavar="DEVICE", help="The device's id.")]
WhyOption = Annotated[str, typer.Option("--reason", help="Shown to the people at the device.")]


class State(StrEnum):
    """Names equal those of verifield.v1.DeviceState without the prefix."""

    PENDING = "pending"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    REPLACED = "replaced"


class Why(StrEnum):
    """Names equal those of verifield.v1.RevocationReason without the prefix."""

    KEY_COMPROMISE = "key-compromise"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessation-of-operation"


@app.command("list")
@operator_command
def list_devices(
    connect: Connect,
    state: Annotated[State | None, typer.Option(help="Only devices in this state.")] = None,
    site: Annotated[str, typer.Option(help="Only devices of this site.")] = "",
    filter_text: FilterOption = "",
    page: PageOption = None,
    as_json: JsonOption = False,
) -> None:
    """List devices in order of their ids.

    Example: verifield-cloud devices list --filter 'labels.room = "12"' --page first
    """
    wanted = pb.DeviceState.Value(f"DEVICE_STATE_{state.name}") if state else pb.DEVICE_STATE_UNSPECIFIED
    request = pb.ListDevicesRequest(state=wanted, site_id=site, filter=filter_text)
    with connect() as client:
        found, more = fetch(client, client.devices.ListDevices, request, items="devices", page=page)
    rows = [_describe(device) for device in found]
    if as_json:
        print_json(with_next({"devices": rows}, page, more))
        return
    print_table(
        ["DEVICE", "SITE", "STATE", "KEY", "HEAD", "WAITING", "ALARMS", "LAST CONTACT"],
        [
            [
                row["device_id"],
                row["site_id"],
                row["state"],
                row["key_protection"],
                f"{row['chain_epoch']}/{row['seq']}",
                str(row["staged_records"]),
                str(row["open_alarms"]),
                row["last_contact_time"] or "never",
            ]
            for row in rows
        ],
    )
    tell_next(more)


@app.command()
@operator_command
def show(
    connect: Connect,
    device: DeviceArgument,
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of one device.

    Example: verifield-cloud devices show f4489e84-f09f-41fc-a46e-1a4eee298613
    """
    with connect() as client:
        answer = client.call(client.devices.GetDevice, pb.GetDeviceRequest(device_id=device))
    _print_device(answer.device, as_json=as_json)


@app.command()
@operator_command
def label(
    connect: Connect,
    device: DeviceArgument,
    labels: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="All of its labels; none takes all away.")
    ] = None,
    etag: Annotated[
        str, typer.Option(help="As the device was read; where others changed it since, nothing is done.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Replace the labels of a device: for people, and for --filter. Nothing about persons belongs there.

    Example: verifield-cloud devices label f4489e84-f09f-41fc-a46e-1a4eee298613 room=12 area=north
    """
    wanted = [pb.DeviceLabel(key=key, value=value) for key, value in map(parse_label, labels or ())]
    request = pb.UpdateDeviceRequest(device=pb.DeviceUpdate(device_id=device, labels=wanted), etag=etag)
    with connect() as client:
        answer = client.call(client.devices.UpdateDevice, request)
    _print_device(answer.device, as_json=as_json)


def parse_label(text: str) -> tuple[str, str]:
    """KEY=VALUE to its two parts; the service says what they may be.

    Raises:
        typer.BadParameter: there is no equals sign.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"{text} is not of the form KEY=VALUE.")
    return key, value


@app.command()
@operator_command
def approve(
    connect: Connect,
    device: DeviceArgument,
    fingerprint: Annotated[
        str, typer.Option(help="The key's fingerprint as the device shows it; spaces do not matter.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Admit a device that waits, after comparing its key's fingerprint with the people who are there.

    Example: verifield-cloud devices approve f4489e84-f09f-41fc-a46e-1a4eee298613
    --fingerprint "4FEF 309B 4FEF 309B 4FEF 309B 4FEF 309B 4FEF 309B 4FEF 309B 4FEF 309B 4FEF 309B"
    """
    request = pb.ApproveDeviceRequest(device_id=device, key_sha256=parse_fingerprint(fingerprint))
    with connect() as client:
        answer = client.call(client.devices.ApproveDevice, request)
    _print_device(answer.device, as_json=as_json)


@app.command()
@operator_command
def revoke(
    connect: Connect,
    device: DeviceArgument,
    why: Annotated[Why, typer.Option("--why", help="What goes into the revocation list.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask: a revocation is for ever.")] = False,
    as_json: JsonOption = False,
) -> None:
    """End a device for ever; what it delivers from now on is refused.

    Example: verifield-cloud devices revoke f4489e84-f09f-41fc-a46e-1a4eee298613 --why key-compromise --yes
    """
    confirm(f"Revoke {device} for ever?", yes=yes)
    reason = pb.RevocationReason.Value(f"REVOCATION_REASON_{why.name}")
    with connect() as client:
        answer = client.call(
            client.devices.RevokeDevice, pb.RevokeDeviceRequest(device_id=device, reason=reason)
        )
    _print_device(answer.device, as_json=as_json)


@app.command()
@operator_command
def lock(
    connect: Connect,
    device: DeviceArgument,
    reason: WhyOption = "",
    as_json: JsonOption = False,
) -> None:
    """Let a device take no new person from its next contact on.

    Example: verifield-cloud devices lock f4489e84-f09f-41fc-a46e-1a4eee298613 --reason "Reported stolen."
    """
    _direct(connect, device, "LOCK", reason=reason, as_json=as_json)


@app.command()
@operator_command
def unlock(
    connect: Connect,
    device: DeviceArgument,
    reason: WhyOption = "",
    as_json: JsonOption = False,
) -> None:
    """Take a lock back.

    Example: verifield-cloud devices unlock f4489e84-f09f-41fc-a46e-1a4eee298613
    """
    _direct(connect, device, "UNLOCK", reason=reason, as_json=as_json)


@app.command()
@operator_command
def wipe(
    connect: Connect,
    device: DeviceArgument,
    reason: WhyOption = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Destroy the keys of all personal data on a device at its next contact.

    Example: verifield-cloud devices wipe f4489e84-f09f-41fc-a46e-1a4eee298613 --yes
    """
    confirm(f"Destroy the personal data on {device} for ever?", yes=yes)
    _direct(connect, device, "WIPE", reason=reason, as_json=as_json)


@app.command("revocation-list")
@operator_command
def revocation_list(
    connect: Connect,
    out: Annotated[Path, typer.Option("--out", help="Where to write the list (DER).")],
    as_json: JsonOption = False,
) -> None:
    """Write the newest revocation list (RFC 5280), which verifiers take with --revocations.

    Example: verifield-cloud devices revocation-list --out newest.crl
    """
    with connect() as client:
        answer = client.call(client.devices.GetRevocationList, pb.GetRevocationListRequest())
    write_output(out, answer.revocation_list)
    if as_json:
        print_json({"file": str(out), "bytes": len(answer.revocation_list)})
    else:
        err().print(f"Wrote {out}.", markup=False)


def parse_fingerprint(text: str) -> bytes:
    """SHA-256 in hex, in groups or not, to 32 bytes; typer turns the error into a usage error."""
    digits = "".join(text.split()).replace(":", "").replace("-", "")
    try:
        digest = bytes.fromhex(digits)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise typer.BadParameter("a fingerprint has 64 hexadecimal digits")
    return digest


def _direct(
    connect: Connect,
    device: str,
    action: str,
    *,
    reason: str,
    as_json: bool,
) -> None:
    request = pb.SendDirectiveRequest(
        device_id=device, action=DirectiveAction.Value(f"DIRECTIVE_ACTION_{action}"), reason=reason
    )
    with connect() as client:
        directive_id = client.call(client.devices.SendDirective, request).directive_id
    if as_json:
        print_json({"directive_id": directive_id, "device_id": device, "action": action})
    else:
        err().print(f"{device} will {action} at its next contact.", markup=False)


def _print_device(device: pb.Device, *, as_json: bool) -> None:
    row = _describe(device)
    if as_json:
        print_json(row)
    else:
        print_values(row | {"labels": " ".join(f"{one.key}={one.value}" for one in device.labels)})


def _describe(device: pb.Device) -> dict[str, Any]:
    return {
        "device_id": device.device_id,
        "site_id": device.site_id,
        "account_id": device.account_id,
        "state": pb.DeviceState.Name(device.state).removeprefix("DEVICE_STATE_"),
        "key_protection": KeyProtection.Name(device.key_protection).removeprefix("KEY_PROTECTION_"),
        "residency_proved": device.residency_proved,
        "key_sha256": device.key_sha256.hex(),
        "predecessor_id": device.predecessor_id,
        "enrolled_time": show_time(device.enrolled_time),
        "chain_epoch": device.chain_epoch,
        "seq": device.seq,
        "staged_records": device.staged_records,
        "open_alarms": device.open_alarms,
        "labels": {one.key: one.value for one in device.labels},
        "etag": device.etag,
        "last_delivery_time": show_maybe(device, "last_delivery_time"),
        "last_contact_time": show_maybe(device, "last_contact_time"),
    }
