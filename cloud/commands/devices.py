"""``verifield-cloud devices``: who is enrolled, and how far each one's chain goes."""

from __future__ import annotations

from typing import Any

import typer

from cloud.commands.common import (
    DEFAULT_DATA,
    DataOption,
    EndpointOption,
    JsonOption,
    RootOption,
    TokenOption,
    connect,
    ends_with_exit_code,
    print_json,
    print_table,
    show_time,
)
from cloud.paging import MAX_PAGE_SIZE
from verifield.v1.attestation_pb2 import KeyProtection
from verifield.v1.device_service_pb2 import Device, ListDevicesRequest

app = typer.Typer(help="Enrolled devices.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keep ``list`` a command of its own while it is the only one."""


@app.command("list")
@ends_with_exit_code
def list_devices(
    data: DataOption = DEFAULT_DATA,
    endpoint: EndpointOption = None,
    root: RootOption = None,
    token_file: TokenOption = None,
    as_json: JsonOption = False,
) -> None:
    """List all devices in order of their ids."""
    devices: list[Device] = []
    request = ListDevicesRequest(page_size=MAX_PAGE_SIZE)
    with connect(data, endpoint, root, token_file) as client:
        while True:
            answer = client.call(client.devices.ListDevices, request)
            devices += answer.devices
            request.page_token = answer.next_page_token
            if not request.page_token:
                break
    rows = [_describe(device) for device in devices]
    if as_json:
        print_json({"devices": rows})
        return
    print_table(
        ["DEVICE", "SITE", "KEY", "ENROLLED", "RECORDS", "LAST DELIVERY"],
        [
            [
                row["device_id"],
                row["site_id"],
                row["key_protection"],
                row["enrolled_time"],
                str(row["seq"]),
                row["last_delivery_time"] or "never",
            ]
            for row in rows
        ],
    )


def _describe(device: Device) -> dict[str, Any]:
    delivered = device.HasField("last_delivery_time")
    return {
        "device_id": device.device_id,
        "site_id": device.site_id,
        "key_protection": KeyProtection.Name(device.key_protection).removeprefix("KEY_PROTECTION_"),
        "enrolled_time": show_time(device.enrolled_time),
        "chain_epoch": device.chain_epoch,
        "seq": device.seq,
        "last_delivery_time": show_time(device.last_delivery_time) if delivered else None,
    }
