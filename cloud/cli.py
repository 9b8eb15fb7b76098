"""``verifield-cloud``: run the service, and operate it over gRPC.

Exit statuses: 0 done; 1 a person answered no; 2 wrong options; 3 set-up (configuration, keys, database,
ports, files); 6 the cloud is away, or it refused.
"""

from __future__ import annotations

import os
from types import ModuleType

import typer

from cloud.tls13 import require_tls13


def main() -> None:
    """Entry point."""
    require_tls13()
    # gRPC's own remarks would stand among our lines, the first about the proof that TLS 1.2 is off.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    build_app()()


HELP = (
    "The cloud service and its operator's commands. Exit statuses: 0 done, 1 answered no, "
    "2 usage, 3 set-up, 6 the cloud is away or refused."
)


def build_app() -> typer.Typer:
    """The commands. Imported here because gRPC reads its TLS settings when it is imported."""
    from cloud.commands import backup, business, keys, seals  # noqa: PLC0415
    from cloud.commands.migrate import migrate  # noqa: PLC0415
    from cloud.commands.serve import serve  # noqa: PLC0415
    from cloud.commands.status import status  # noqa: PLC0415
    from cloud.commands.transfer import import_file  # noqa: PLC0415
    from cloud.commands.verify_log import verify_log  # noqa: PLC0415

    app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    for command in (serve, migrate, backup.restore, status, business.catalogue):
        app.command()(command)
    app.command("verify-log")(verify_log)
    app.command("import")(import_file)
    for group in _groups():
        app.add_typer(group.app, name=group.__name__.rpartition(".")[2].replace("_", "-"))
    app.add_typer(keys.persons_app, name="persons")
    app.add_typer(seals.approvals_app, name="approvals")
    return app


def _groups() -> tuple[ModuleType, ...]:
    """What has commands of its own below its name."""
    from cloud.commands import (  # noqa: PLC0415
        accounts,
        alarms,
        archive,
        attestations,
        audit,
        authorities,
        backup,
        bank,
        business,
        certifications,
        config,
        contracts,
        customers,
        devices,
        documents,
        escalations,
        feedback,
        identity,
        join_token,
        keys,
        log,
        media,
        messages,
        organisations,
        phones,
        policies,
        reviewers,
        reviews,
        rules,
        seals,
        storage,
        users,
    )

    return (
        *(config, join_token, devices, alarms, policies, rules, authorities),
        *(attestations, media, log, audit, backup, storage, keys, users),
        *(accounts, identity, phones, messages, escalations, reviews, reviewers),
        *(certifications, contracts, archive, business, bank, customers, documents, feedback),
        *(organisations, seals),
    )
