"""The room of contracts, put together."""

from __future__ import annotations

from cloud.accounts.desk import Accounts
from cloud.contracts.acts import Acts
from cloud.contracts.core import Core
from cloud.contracts.desk import Contracts
from cloud.contracts.drafts import Drafts
from cloud.contracts.files import Files
from cloud.contracts.ports import Freezer, Identities, Organisations
from cloud.contracts.sending import Sending
from cloud.contracts.service import ContractService
from cloud.contracts.shelf import Shelf
from cloud.contracts.upkeep import ContractWatcher, Upkeep
from cloud.contracts.vault import Vault
from cloud.contracts.words import Words
from cloud.messages.outbox import Messages
from cloud.objects.store import Objects
from cloud.pdf.preview import Previews
from cloud.serving import Base, Served, served
from cloud.upkeep import Job
from verifield.v1 import contract_service_pb2, contract_service_pb2_grpc


def make_core(
    base: Base,
    *,
    accounts: Accounts,
    identities: Identities,
    organisations: Organisations,
    objects: Objects,
    links: str,
    zone: str,
) -> Core:
    """It keeps nothing, so that it may be made again. ``links`` and ``zone``: as Core has them."""
    return Core(
        sources=base.sources,
        accounts=accounts,
        identities=identities,
        organisations=organisations,
        objects=objects,
        messages=Messages.of(base),
        vault=Vault(base.persons),
        words=Words(base.authority.renewal_secret),
        links=links,
        zone=zone,
    )


def make_desk(core: Core) -> Contracts:
    """For those who build on contracts."""
    return Contracts(core)


def services(base: Base, core: Core, freezer: Freezer, previews: Previews) -> list[Served]:
    """The one service. ``previews``: those of this server."""
    sending = Sending(core, freezer, base.store, base.mutations)
    files = Files(base.store, core, Drafts(core), Acts(core), base.mutations, previews=previews)
    return [
        served(
            contract_service_pb2,
            contract_service_pb2_grpc.add_ContractServiceServicer_to_server,
            ContractService(base.store, core, base.mutations, sending=sending, files=files),
        )
    ]


def jobs(base: Base, core: Core) -> list[Job]:
    """Deadlines, reminders, and what is kept no longer."""
    return Upkeep(core, Acts(core), Shelf(core), base.store).jobs()


def watcher(core: Core) -> ContractWatcher:
    """For cloud.accounts."""
    return ContractWatcher(Acts(core), Shelf(core))
