"""The rooms of the cloud service, and how each one is given the others that it needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509

from cloud.access.callers import Issuer
from cloud.accounts import serve as accounts
from cloud.accounts.desk import Accounts, Watcher
from cloud.accounts.phone_ports import PendingCodes, phone_ports
from cloud.accounts.sessions import Sessions
from cloud.accounts.tickets import handlers as account_tickets
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
from cloud.codes import serve as codes
from cloud.config import Config
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
from cloud.objects.files import ObjectFolder
from cloud.objects.store import Objects
from cloud.operations import Telemetry
from cloud.papers.fonts import open_fonts
from cloud.persons import Persons
from cloud.privacy.ring import KeyRing
from cloud.reviews import serve as reviews
from cloud.reviews.core import Core as ReviewCore
from cloud.reviews.desk import Reviews
from cloud.reviews.port import ReviewHandler, ReviewKind
from cloud.rulebook import serve as rulebook
from cloud.serving import Base, Served
from cloud.sources import Sources
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
    sessions: Sessions


def make_base(opened: Opened, sources: Sources) -> Base:
    """What all rooms stand on; it keeps nothing, so that it may be made more than once."""
    return Base(
        opened.store,
        sources,
        opened.authority,
        Persons(opened.ring, sources),
        Mutations(opened.store, sources, secret=opened.authority.renewal_secret),
    )


def make_objects(base: Base, config: Config) -> Objects:
    """The files of persons; it keeps nothing either."""
    return Objects(ObjectFolder(config.objects_folder), base.persons, base.sources)


def make_accounts(opened: Opened, base: Base, watchers: Iterable[Watcher] = ()) -> Accounts:
    """Accounts; ``watchers``: the rooms that are told what their holders change."""
    return Accounts.of(base, opened.sessions, watchers)


def account_watchers(opened: Opened, base: Base, config: Config) -> tuple[Watcher, ...]:
    """The rooms that are told what holders change: first what they were verified with, then what for."""
    return (
        make_identity(opened, base, config).verifications,
        make_certifications(opened, base, config).watcher,
        business.watcher(base, make_business(opened, base, config, make_reviews(opened, base, config))),
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
    }


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
        *certifications.jobs(make_certifications(opened, base, config)),
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


def room_services(opened: Opened, base: Base, config: Config) -> list[Served]:
    """What the rooms serve."""
    core = make_reviews(opened, base, config)
    return [
        *authorities.services(opened.authorities),
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
        *certifications.services(base, make_certifications(opened, base, config)),
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
