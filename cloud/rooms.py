"""The rooms of the cloud service, and how each one is given the others that it needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from cloud.access.callers import Issuer
from cloud.accounts import serve as accounts
from cloud.accounts.desk import Accounts, Watcher
from cloud.accounts.phone_ports import PendingCodes, phone_ports
from cloud.accounts.sessions import Sessions
from cloud.accounts.tickets import handlers as account_tickets
from cloud.approvals import serve as approvals
from cloud.attestations.bundles import Bundles
from cloud.attestations.deliverer import Deliverer
from cloud.audit.upkeep import Audit
from cloud.authorities import serve as authorities
from cloud.authorities.bundle import Authorities
from cloud.authority import Authority
from cloud.bank import serve as bank
from cloud.bank.faces import DeviceFaces
from cloud.business import serve as business
from cloud.business.desk import BusinessDesk
from cloud.certifications import serve as certifications
from cloud.certifications.core import Core as CertificationCore
from cloud.certifications.standing import Standings
from cloud.codes import serve as codes
from cloud.config import Config
from cloud.contracts import serve as contracts
from cloud.contracts.acting import Acting
from cloud.contracts.core import Core as ContractCore
from cloud.contracts.freezing import PlatformFreezer
from cloud.devices.revocation import current_list
from cloud.escalations import serve as escalations
from cloud.escalations.port import TicketHandler, TicketKind
from cloud.feed.pull import Feed
from cloud.feed.vault import TaskVault
from cloud.feedback import serve as feedback
from cloud.log.sequencer import Sequencer
from cloud.media.intake import MediaIntake
from cloud.messages import serve as messages
from cloud.messages.ways import open_ways
from cloud.mutations import Mutations
from cloud.objects import serve as objects
from cloud.objects.care import Care
from cloud.objects.files import ObjectFolder
from cloud.objects.replicas import Replicas
from cloud.objects.store import Objects
from cloud.operations import Telemetry
from cloud.organisations import serve as organisations
from cloud.organisations.registry import Registry
from cloud.papers.fonts import open_fonts
from cloud.pdf.preview import Previews
from cloud.persons import Persons
from cloud.privacy.ring import KeyRing
from cloud.reports import serve as reports
from cloud.reviews import serve as reviews
from cloud.reviews.core import Core as ReviewCore
from cloud.reviews.desk import Reviews
from cloud.reviews.port import ReviewHandler, ReviewKind
from cloud.rulebook import serve as rulebook
from cloud.seals import serve as seals
from cloud.seals.desk import Seals
from cloud.serving import Base, Served
from cloud.signatures import serve as signatures
from cloud.signatures.watcher import SigningWatcher
from cloud.signers import serve as signers
from cloud.signers.keys import SignerKeys
from cloud.signers.room import Signers, open_signers
from cloud.sources import Sources
from cloud.storage import serve as storage
from cloud.store.database import Store
from cloud.upkeep import Job
from cloud.verifications import serve as verifications
from cloud.verifications.desk import Verifications


@dataclass(frozen=True, slots=True)
class Opened:
    """What a running service needs from its data directory."""

    store: Store
    sequencer: Sequencer
    authority: Authority
    operator_sha256: bytes
    tpm_roots: list[x509.Certificate]
    deliverer: Deliverer
    feed: Feed
    media: MediaIntake
    telemetry: Telemetry
    ring: KeyRing
    issuer: Issuer | None
    audit: Audit
    authorities: Authorities
    previews: Previews
    replicas: Replicas
    sessions: Sessions
    signer_keys: SignerKeys


def make_base(opened: Opened, sources: Sources) -> Base:
    """What all rooms stand on; it keeps nothing, so that it may be made more than once."""
    return Base(
        opened.store,
        sources,
        opened.authority,
        Persons(opened.ring, sources),
        Mutations(opened.store, sources, secret=opened.authority.renewal_secret),
        opened.replicas,
        opened.audit.trail,
    )


def make_objects(base: Base, config: Config) -> Objects:
    """The files of persons; it keeps nothing either."""
    return Objects(
        base.replicas or ObjectFolder(config.objects_folder),
        base.persons,
        base.sources,
        reads=base.trail,
        backup_grace=timedelta(days=config.backup_keep_days),
    )


def make_care(opened: Opened, sources: Sources) -> Care:
    """What keeps the stores of files whole."""
    root = opened.authority.root.fingerprint(SHA256())
    return Care(opened.store, opened.replicas, sources, root_sha256=root)


def make_signers(opened: Opened, base: Base, config: Config) -> Signers:
    """Who issues certificates to signers, and who says what time it is; it keeps nothing either."""
    return open_signers(opened.signer_keys, config, base.sources)


def make_accounts(opened: Opened, base: Base, watchers: Iterable[Watcher] = ()) -> Accounts:
    """Accounts; ``watchers``: the rooms that are told what their holders change."""
    return Accounts.of(base, opened.sessions, watchers)


def account_watchers(opened: Opened, base: Base, config: Config) -> tuple[Watcher, ...]:
    """The rooms that are told what holders change: first what they were verified with, then what for."""
    return (
        make_identity(opened, base, config).verifications,
        make_certifications(opened, base, config).watcher,
        business.watcher(base, make_business(opened, base, config, make_reviews(opened, base, config))),
        organisations.watcher(make_registry(opened, base, config, make_reviews(opened, base, config))),
        seals.watcher(base, make_registry(opened, base, config, make_reviews(opened, base, config))),
        contracts.watcher(make_contracts(opened, base, config)),
        SigningWatcher(),
        PendingCodes(codes.make_codes(base, config)),
    )


def make_identity(opened: Opened, base: Base, config: Config) -> verifications.Room:
    """Verifications of identity; they keep nothing either."""
    return verifications.open_room(
        base,
        opened.authorities,
        make_accounts(opened, base),
        TaskVault(opened.ring, base.sources),
        simulated=config.allow_simulated_cameras,
    )


def make_reviews(opened: Opened, base: Base, config: Config) -> ReviewCore:
    """Reviews; it keeps nothing either."""
    handlers: dict[ReviewKind, ReviewHandler] = {}
    core = reviews.make_core(base, handlers)
    handlers.update(review_handlers(opened, base, config, core))
    return core


def review_handlers(
    opened: Opened, base: Base, config: Config, core: ReviewCore
) -> dict[ReviewKind, ReviewHandler]:
    """The rooms that have something reviewed, by what that is."""
    return {
        ReviewKind.CERTIFICATION: certifications.make_handler(make_certification_core(base, config)),
        ReviewKind.BUSINESS: business.handler(base, make_business(opened, base, config, core)),
        ReviewKind.ORGANISATION_REAL_NAME: organisations.handler(
            base, make_registry(opened, base, config, core)
        ),
        ReviewKind.SEAL: seals.handler(base, make_registry(opened, base, config, core)),
    }


def make_registry(opened: Opened, base: Base, config: Config, core: ReviewCore) -> Registry:
    """Organisations; it keeps nothing either."""
    holders = make_accounts(opened, base)
    return organisations.make_registry(
        base,
        accounts=holders,
        verifications=Verifications(holders, base.sources),
        reviews=Reviews(core),
        objects=make_objects(base, config),
    )


def make_seals(opened: Opened, base: Base, config: Config) -> Seals:
    """For those who sign with seals; it keeps nothing either."""
    return seals.make_seals(base, make_registry(opened, base, config, make_reviews(opened, base, config)))


def make_business(opened: Opened, base: Base, config: Config, core: ReviewCore) -> BusinessDesk:
    """Requests for registration business; it keeps nothing either."""
    holders = make_accounts(opened, base)
    return business.make_desk(
        base,
        accounts=holders,
        verifications=Verifications(holders, base.sources),
        reviews=Reviews(core),
        objects=make_objects(base, config),
    )


def make_certification_core(base: Base, config: Config) -> CertificationCore:
    """It only reads accounts and verifications: nobody has to be told of anything."""
    holders = Accounts(base.persons, base.sources)
    return certifications.make_core(
        base,
        accounts=holders,
        identities=Verifications(holders, base.sources),
        objects=make_objects(base, config),
        fonts=open_fonts(config.paper_font),
    )


def make_certifications(opened: Opened, base: Base, config: Config) -> certifications.Room:
    """Certifications; it keeps nothing either."""
    core = make_certification_core(base, config)
    return certifications.make_room(base, core, make_reviews(opened, base, config))


def make_contracts(opened: Opened, base: Base, config: Config) -> ContractCore:
    """Contracts; it keeps nothing either."""
    holders = make_accounts(opened, base)
    return contracts.make_core(
        base,
        accounts=holders,
        identities=Verifications(holders, base.sources),
        organisations=Acting(make_seals(opened, base, config)),
        objects=make_objects(base, config),
        links=config.contract_links,
        zone=config.sign_time_zone,
    )


def make_signatures(opened: Opened, base: Base, config: Config) -> signatures.Room:
    """The signing of contracts; it keeps nothing either."""
    identity, usable = make_identity(opened, base, config), make_seals(opened, base, config)
    around = signatures.Around(
        contracts=contracts.make_desk(make_contracts(opened, base, config)),
        verifications=identity.verifications,
        certifications=Standings(make_certification_core(base, config)),
        organisations=usable.organisations,
        seals=usable,
        codes=codes.make_codes(base, config),
        evidence=identity.evidence,
        signers=make_signers(opened, base, config),
        tasks=TaskVault(opened.ring, base.sources),
        fonts=open_fonts(config.paper_font),
        told=opened.telemetry.metrics.signed,
    )
    return signatures.make_room(base, around, config)


def ticket_handlers(opened: Opened, base: Base, config: Config) -> dict[TicketKind, TicketHandler]:
    """The rooms that can do something about a ticket, by its kind."""
    holders = make_accounts(opened, base, account_watchers(opened, base, config))
    return {
        TicketKind.SMS_PHONE: codes.make_attestation(
            base, codes.make_codes(base, config), phone_ports(holders)
        ),
        **account_tickets(holders, codes.make_proofs(base), base.sources),
        **make_identity(opened, base, config).tickets,
    }


def make_jobs(opened: Opened, config: Config, sources: Sources) -> list[Job]:
    """What the rooms do by themselves while the service runs."""
    base = make_base(opened, sources)
    return [
        *objects.jobs(opened.store, make_objects(base, config)),
        *objects.care_jobs(
            opened.replicas,
            make_care(opened, sources),
            sources,
            scrub_every=timedelta(days=config.scrub_days),
        ),
        *certifications.jobs(make_certifications(opened, base, config)),
        *contracts.jobs(base, make_contracts(opened, base, config)),
        *make_signatures(opened, base, config).jobs(),
        *bank.jobs(base),
        *feedback.jobs(base),
        *accounts.jobs(base, make_accounts(opened, base, account_watchers(opened, base, config))),
        *make_identity(opened, base, config).jobs,
        *messages.jobs(base, open_ways(config)),
        *codes.jobs(base, codes.make_codes(base, config)),
        *reviews.jobs(
            base, make_reviews(opened, base, config), overdue=opened.telemetry.metrics.review_overdue
        ),
    ]


def report_services(opened: Opened, base: Base, config: Config) -> list[Served]:
    """Evidence reports of contracts, and what devices are given for contracts that are signed there."""
    return reports.services(
        base,
        contracts.make_desk(make_contracts(opened, base, config)),
        make_identity(opened, base, config).verifications,
        make_signers(opened, base, config),
        bundles=Bundles(
            opened.authority,
            opened.sequencer,
            revocation_list=partial(current_list, authority=opened.authority, sources=base.sources),
        ),
        sequencer=opened.sequencer,
        fonts=open_fonts(config.paper_font),
    )


def room_services(opened: Opened, base: Base, config: Config) -> list[Served]:
    """What the rooms serve."""
    core = make_reviews(opened, base, config)
    registry = make_registry(opened, base, config, core)
    return [
        *authorities.services(opened.authorities),
        *signers.services(base, config, make_signers(opened, base, config)),
        *storage.services(base, opened.replicas, make_care(opened, base.sources)),
        *bank.services(
            base,
            bank=opened.authorities.bank,
            budget=timedelta(seconds=config.authority_budget_s),
            faces=DeviceFaces(make_identity(opened, base, config).evidence),
            fonts=open_fonts(config.paper_font),
        ),
        *rulebook.services(base, on_published=(codes.RulesDown(base).on_published,)),
        *reviews.services(base, core, blind=config.review_blind_fields),
        *business.services(base, make_business(opened, base, config, core)),
        *organisations.services(base, registry, may_act=seals.make_seals(base, registry).may_act),
        *seals.services(base, registry, font=config.paper_font),
        *approvals.services(
            base,
            seals=seals.make_seals(base, registry),
            objects=registry.objects,
            codes=codes.make_codes(base, config),
            signers=make_signers(opened, base, config),
            previews=opened.previews,
        ),
        *certifications.services(base, make_certifications(opened, base, config)),
        *contracts.services(
            base,
            make_contracts(opened, base, config),
            PlatformFreezer(make_signers(opened, base, config), base.store, base.sources),
            opened.previews,
        ),
        *make_signatures(opened, base, config).services(opened.previews),
        *report_services(opened, base, config),
        *feedback.services(base),
        *escalations.services(base, escalations.make_desk(base, ticket_handlers(opened, base, config))),
        *messages.services(base),
        *codes.services(
            base,
            codes.make_codes(base, config),
            binding=codes.make_binding(base, opened.authorities.carrier),
            ports=phone_ports(make_accounts(opened, base, account_watchers(opened, base, config))),
        ),
        *make_identity(opened, base, config).services,
        *accounts.services(
            base,
            config,
            accounts=make_accounts(opened, base, account_watchers(opened, base, config)),
            sessions=opened.sessions,
            codes=codes.make_codes(base, config),
            objects=make_objects(base, config),
            binding=codes.make_binding(base, opened.authorities.carrier),
        ),
    ]
