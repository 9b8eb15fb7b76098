"""``verifield-cloud verify-log``: check the whole transparency log of a database."""

from __future__ import annotations

import sys

from cloud.commands.common import JsonOption, ends_with_exit_code, print_json, print_table, print_values
from cloud.commands.offline import (
    ConfigOption,
    DatabaseOption,
    FolderOption,
    opened_store,
    progress_bars,
    settings,
)
from cloud.errors import ExitCode


@ends_with_exit_code
def verify_log(
    config_file: ConfigOption = None,
    data: FolderOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check every leaf, record, tile and checkpoint of the log; status 4 where something is wrong.

    Works beside a running service, and on a database that was restored.

    Example: verifield-cloud verify-log --data data --json
    """
    from cloud.authority import Authority  # noqa: PLC0415 (half a second)
    from cloud.log.sequencer import LogSigner  # noqa: PLC0415
    from cloud.log.verify import verify_log as verify  # noqa: PLC0415
    from cloud.sources import Sources  # noqa: PLC0415

    config = settings(config_file, data, database)
    with opened_store(config) as store, progress_bars() as bars:
        authority = Authority.open(config.keys_folder, server_names=(), now=Sources.system().now())
        signer = LogSigner(authority.log_origin, authority.log_key)
        report = verify(store, signer, lambda done, total: bars("leaves", done, total))
    values = {
        "sound": report.sound,
        "tree_size": report.tree_size,
        "records": report.records,
        "other_leaves": report.others,
        "tiles": report.tiles,
        "checkpoints": report.checkpoints,
        "faults_in_all": report.wrong,
    }
    faults = [{"kind": one.kind.value, "index": one.index, "what": one.what} for one in report.faults]
    if as_json:
        print_json(values | {"faults": faults})
    else:
        print_values(values)
        if faults:
            print_table(["KIND", "INDEX", "WHAT"], [[str(cell) for cell in one.values()] for one in faults])
    if not report.sound:
        sys.exit(ExitCode.UNSOUND)
