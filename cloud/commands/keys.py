"""``verifield-cloud keys``: the key ring that protects personal data; and forgetting a person."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloud.commands.common import (
    JsonOption,
    YesOption,
    confirm,
    ends_with_exit_code,
    print_json,
    print_table,
    print_values,
)
from cloud.commands.offline import (
    ConfigOption,
    DatabaseOption,
    FolderOption,
    opened_store,
    progress_bars,
    settings,
)
from cloud.errors import SetupError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from cloud.config import Config
    from cloud.privacy.ring import KeyRing
    from cloud.store.database import Store
    from cloud.store.sealed import SealedTable

app = typer.Typer(help="The keys that protect personal data.", no_args_is_help=True)
persons_app = typer.Typer(help="What is kept of persons.", no_args_is_help=True)

RESEAL_AT_ONCE = 500
"""Rows in one transaction: some tens of milliseconds, in which devices wait on SQLite."""

CALLER = "command/verifield-cloud"
"""Who did it, as the audit chain has it: somebody at the service's machine."""


class Family(StrEnum):
    """The two families of keys."""

    SEAL = "seal"
    INDEX = "index"


FamilyArgument = Annotated[Family, typer.Argument(help="seal: wraps the keys of persons. index: finds them.")]


@app.command("list")
@ends_with_exit_code
def list_keys(
    config_file: ConfigOption = None,
    data: FolderOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the versions of both keys, and how much in the database needs each.

    Example: verifield-cloud keys list --json
    """
    from cloud.sources import from_us  # noqa: PLC0415

    config = settings(config_file, data, database)
    ring = _ring(config)
    with opened_store(config) as store, store.reading() as connection:
        uses = {family: _count_uses(connection, family) for family in Family}
    found: list[dict[str, Any]] = [
        {
            "family": family.value,
            "version": key.version,
            "created": from_us(key.created_us).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "current": key.version == ring.current(family).version,
            "uses": uses[family].get(key.version, 0),
        }
        for family in Family
        for key in ring.versions(family)
    ]
    if as_json:
        print_json({"keys": found})
    else:
        rows = [[str(cell) for cell in one.values()] for one in found]
        print_table(["FAMILY", "VERSION", "CREATED", "CURRENT", "USES"], rows)


@app.command()
@ends_with_exit_code
def rotate(
    family: FamilyArgument,
    config_file: ConfigOption = None,
    data: FolderOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a new version, which every server uses from its next use on. Then run keys reseal.

    Example: verifield-cloud keys rotate seal
    """
    from cloud.sources import Sources, to_us  # noqa: PLC0415

    config, sources = settings(config_file, data, database), Sources.system()
    ring = _ring(config)
    with opened_store(config) as store:

        def tell(version: int) -> None:
            store.run(lambda connection: _record(connection, "keys.rotate", f"{family}/{version}"))

        version = ring.rotate(
            family, now_us=to_us(sources.now()), random_bytes=sources.random_bytes, tell=tell
        )
    _tell({"family": family.value, "version": version}, as_json=as_json)


@app.command()
@ends_with_exit_code
def reseal(
    config_file: ConfigOption = None,
    data: FolderOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring everything to the newest versions, in small pieces beside the running service.

    When it is broken off, run it again: it goes on where it was.

    Example: verifield-cloud keys reseal
    """
    from cloud.privacy.ring import INDEX, SEAL  # noqa: PLC0415
    from cloud.sources import Sources  # noqa: PLC0415
    from cloud.store import persons  # noqa: PLC0415
    from cloud.store.sealed import renew_blinds  # noqa: PLC0415

    config, random_bytes = settings(config_file, data, database), Sources.system().random_bytes
    ring, done = _ring(config), {"seal": 0, "index": 0}
    with opened_store(config) as store, progress_bars() as bars:
        with store.reading() as connection:
            old = {family: _count_old(connection, ring, family) for family in (SEAL, INDEX)}

        def rewrap(connection: Connection) -> int:
            return persons.rewrap(connection, ring, limit=RESEAL_AT_ONCE, random_bytes=random_bytes)

        while many := store.run(rewrap):
            done["seal"] += many
            bars("keys of persons", done["seal"], old[SEAL])
        for table in sealed_tables():

            def renew(connection: Connection, table: SealedTable = table) -> int:
                return renew_blinds(connection, table, ring, limit=RESEAL_AT_ONCE)

            while many := store.run(renew):
                done["index"] += many
                bars("blind indexes", done["index"], old[INDEX])
        if any(done.values()):
            facts = {name: str(count) for name, count in done.items()}
            store.run(lambda connection: _record(connection, "keys.reseal", "ring", facts))
    _tell(done, as_json=as_json)


@app.command()
@ends_with_exit_code
def retire(
    family: FamilyArgument,
    version: Annotated[int, typer.Argument(min=1, help="See keys list.")],
    config_file: ConfigOption = None,
    data: FolderOption = None,
    database: DatabaseOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Destroy an old version that nothing in the database needs; backups made with it need their own ring.

    Example: verifield-cloud keys retire seal 1
    """
    from cloud.sources import Sources, to_us  # noqa: PLC0415

    config = settings(config_file, data, database)
    ring = _ring(config)
    with opened_store(config) as store:
        confirm(f"Destroy version {version} of the {family} key for ever?", yes=yes)

        # No server seals with an old version: what needs it can only become less.
        def check(connection: Connection) -> None:
            uses = _count_uses(connection, family).get(version, 0)
            if uses:
                raise SetupError(
                    "RING_VERSION_IN_USE",
                    f"Version {version} of the {family} key is needed {uses} times.",
                    hint="Run verifield-cloud keys reseal first.",
                )
            _record(connection, "keys.retire", f"{family}/{version}")

        ring.retire(family, version, now_us=to_us(Sources.system().now()), tell=lambda _: store.run(check))
    _tell({"family": family.value, "version": version}, as_json=as_json)


@persons_app.command()
@ends_with_exit_code
def erase(
    person_id: Annotated[str, typer.Argument(help="Id of the person, for example a user's id.")],
    config_file: ConfigOption = None,
    data: FolderOption = None,
    database: DatabaseOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Destroy a person's key: what is kept of the person can never be read again. Backups still hold it.

    Contracts belong to all of their parties: those whose ids are told still name the person.

    Example: verifield-cloud persons erase 019ca5a0-0000-7000-8000-000000000001
    """
    from cloud.backup.aside import no_copies, place_of  # noqa: PLC0415
    from cloud.signatures.watcher import end_waiting  # noqa: PLC0415
    from cloud.sources import Sources, to_us  # noqa: PLC0415
    from cloud.store.account_sessions import shut_out  # noqa: PLC0415
    from cloud.store.contract_lists import naming  # noqa: PLC0415
    from cloud.store.scrub import scrub  # noqa: PLC0415
    from cloud.store.sealed import forget_person  # noqa: PLC0415
    from cloud.verifications.sites import close_tasks  # noqa: PLC0415
    from verifield.v1.identity_service_pb2 import SITE_VERIFICATION_STATE_WITHDRAWN  # noqa: PLC0415

    config = settings(config_file, data, database)
    tables = sealed_tables()
    with opened_store(config) as store:
        confirm(f"Destroy what is kept of {person_id} for ever?", yes=yes)

        def forget(connection: Connection) -> None:
            now_us = to_us(Sources.system().now())
            if not forget_person(connection, tables, person_id, now_us=now_us):
                raise SetupError(
                    "PERSON_UNKNOWN",
                    "Nothing is kept of this person, or no more.",
                    hint="Check the id; for users: verifield-cloud users list.",
                )
            shut_out(connection, person_id, now_us=now_us)
            end_waiting(connection, person_id)
            close_tasks(connection, person_id, SITE_VERIFICATION_STATE_WITHDRAWN)
            _record(connection, "persons.erase", f"persons/{person_id}")

        with no_copies(place_of(config)):
            store.run(forget)
        _drop_messages(store, config)
        with store.reading() as connection:
            named = naming(connection, person_id)
    names = ["person_keys", "kept_answers", "feed_items", *(one.table.name for one in tables)]
    scrubbed = scrub(config.database_url, names)
    contracts = named if as_json else " ".join(named)
    _tell(
        {"person_id": person_id, "erased": True, "scrubbed": scrubbed, "contracts": contracts},
        as_json=as_json,
    )


def _drop_messages(store: Store, config: Config) -> None:
    """What gateways take is out of reach; what lies in the folder in their place is not."""
    from cloud.messages.spool import FileSpool, drop_erased  # noqa: PLC0415
    from cloud.messages.ways import SPOOL_FOLDER  # noqa: PLC0415

    folder = config.data / SPOOL_FOLDER
    try:
        with store.reading() as connection:
            drop_erased(connection, FileSpool(folder))
    except OSError as error:
        raise SetupError(
            "SPOOL_LEFT",
            f"The person is erased, but messages in {folder} cannot be deleted ({type(error).__name__}).",
            hint="Let the service run for a minute, which deletes them, or delete them by hand.",
        ) from error


def sealed_tables() -> list[SealedTable]:
    """Every table with sealed columns."""
    from cloud.accounts.personal import SEALED as ACCOUNTS  # noqa: PLC0415
    from cloud.approvals.desk import SEALED as APPROVALS  # noqa: PLC0415
    from cloud.bank.vault import SEALED as BANK  # noqa: PLC0415
    from cloud.business.personal import SEALED as BUSINESS  # noqa: PLC0415
    from cloud.certifications.vault import SEALED as CERTIFICATIONS  # noqa: PLC0415
    from cloud.codes.proofs import SEALED as PROOFS  # noqa: PLC0415
    from cloud.contracts.vault import SEALED as CONTRACTS  # noqa: PLC0415
    from cloud.escalations.desk import SEALED as TICKETS  # noqa: PLC0415
    from cloud.feedback.personal import SEALED as FEEDBACK  # noqa: PLC0415
    from cloud.messages.outbox import SEALED as MESSAGES  # noqa: PLC0415
    from cloud.objects import store as objects  # noqa: PLC0415
    from cloud.organisations.vault import SEALED as ORGANISATIONS  # noqa: PLC0415
    from cloud.reviews.personal import SEALED as REVIEWS  # noqa: PLC0415
    from cloud.seals.workshop import SEALED as SEALS  # noqa: PLC0415
    from cloud.signatures.sealed import SEALED as SIGNATURES  # noqa: PLC0415
    from cloud.users.personal import SEALED  # noqa: PLC0415
    from cloud.verifications.ctid import SEALED as CTID  # noqa: PLC0415
    from cloud.verifications.people import SEALED as STAFF  # noqa: PLC0415

    return [
        SEALED,
        CTID,
        STAFF,
        *ACCOUNTS,
        PROOFS,
        MESSAGES,
        objects.SEALED,
        *CERTIFICATIONS,
        *CONTRACTS,
        *REVIEWS,
        *TICKETS,
        *BANK,
        BUSINESS,
        FEEDBACK,
        ORGANISATIONS,
        *SEALS,
        APPROVALS,
        *SIGNATURES,
    ]


def _ring(config: Config) -> KeyRing:
    from cloud.privacy.ring import KeyRing  # noqa: PLC0415

    keys = config.keys_folder / "keys"
    if not keys.is_dir():
        raise SetupError(
            "KEYS_UNUSABLE",
            f"There is no folder {keys}.",
            hint="Name the service's folder with --data, or its settings with --config.",
        )
    return KeyRing.load(keys)


def _count_uses(connection: Connection, family: str) -> dict[int, int]:
    from cloud.privacy.ring import SEAL  # noqa: PLC0415
    from cloud.store.persons import count_by_version  # noqa: PLC0415
    from cloud.store.sealed import count_blinds  # noqa: PLC0415

    return count_by_version(connection) if family == SEAL else count_blinds(connection, sealed_tables())


def _count_old(connection: Connection, ring: KeyRing, family: str) -> int:
    newest = ring.current(family).version
    return sum(count for version, count in _count_uses(connection, family).items() if version < newest)


def _record(connection: Connection, action: str, subject: str, facts: dict[str, str] | None = None) -> None:
    from cloud.audit import chain  # noqa: PLC0415
    from cloud.sources import Sources, to_us  # noqa: PLC0415

    chain.record(
        connection,
        action=action,
        subject=subject,
        caller=CALLER,
        request_id="",
        now_us=to_us(Sources.system().now()),
        facts=facts or {},
    )


def _tell(values: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(values)
    else:
        print_values(values)
