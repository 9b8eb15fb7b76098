"""``verifield-edge wipe``: make everything personal on this device unreadable, for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from edge.app import (
    destroy_abandoned_files,
    destroy_counters,
    destroy_data_keys,
    identity_folder,
    open_identity,
    open_outbox,
    open_state,
    outbox_path,
)
from edge.attest.keystore import open_key_store
from edge.attest.pending import only_enrolment
from edge.attest.wipe import wipe_identity
from edge.commands.common import ConfigOption, DataOption, JsonOption, ends_with_exit_code, out, print_json
from edge.config import EdgeConfig, load_config
from edge.errors import EdgeError, SetupError
from edge.outbox.older import undelivered_elsewhere

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True)
class _Left:
    """What this device would still deliver; None where that cannot be told.

    ``elsewhere``: records of identities that it had before.
    """

    device_id: str | None = None
    records: int | None = None
    media: int | None = None
    signatures: int | None = None
    elsewhere: int | None = None

    def is_nothing(self) -> bool:
        return {self.records, self.media, self.signatures, self.elsewhere} == {0}

    def sentence(self) -> str:
        if self.device_id is None:
            return "Whether records wait for delivery cannot be told."
        if self.is_nothing():
            return "The cloud has confirmed everything."
        return (
            f"Not delivered and confirmed: {self.records} records, {self.media} pictures, "
            f"{self.signatures} signatures; {self.elsewhere} records of earlier identities."
        )


@app.command()
@ends_with_exit_code
def wipe(
    yes: Annotated[bool, typer.Option("--yes", help="Really: nothing brings the keys back.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Destroy all keys: personal data becomes unreadable, and nothing is signed or sent any more.

    What was signed stays as it is, without personal data. Deliver it first: verifield-edge sync --once

    Example: verifield-edge wipe --yes
    """
    settings = load_config(config, data_dir=data)
    left = _look(settings)
    if not yes:
        raise SetupError(
            "WIPE_UNCONFIRMED",
            f"Nothing was wiped. {left.sentence()}",
            hint="Deliver with verifield-edge sync --once (or verifield-edge export) while there are "
            "keys; then run: verifield-edge wipe --yes",
        )
    folder = identity_folder(settings)
    with only_enrolment(folder):
        key_store = open_key_store(settings, folder)
        keys = wipe_identity(folder, key_store=key_store)
        destroy_data_keys(settings)
        destroy_abandoned_files(settings)
        destroy_counters(key_store, keys)
    if as_json:
        print_json(
            {
                "device_id": left.device_id,
                "attestation_keys": len(keys),
                "undelivered_records": left.records,
                "undelivered_media": left.media,
                "undelivered_signatures": left.signatures,
                "undelivered_elsewhere": left.elsewhere,
            }
        )
        return
    out().print("All keys of this device are destroyed.", style="green")
    out().print(left.sentence())
    if not left.is_nothing():
        out().print("They stay on the disk, but this device has no key left to deliver them with.")


def _look(settings: EdgeConfig) -> _Left:
    try:
        identity = open_identity(settings)
        with open_outbox(settings, identity) as outbox:
            figures = outbox.stats()
        with open_state(settings, identity) as state:
            signatures = state.unanswered_signatures()
    except EdgeError:  # whatever is wrong with it is no reason to keep the keys
        return _Left()
    return _Left(
        identity.device_id,
        records=figures.pending + figures.delivered,
        media=figures.media_pending,
        signatures=signatures,
        elsewhere=undelivered_elsewhere(outbox_path(settings, identity.device_id)),
    )
