"""What this room serves, and what it does by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from cloud.certifications.standing import Standings
from cloud.codes.desk import Codes
from cloud.contracts.desk import Contracts
from cloud.feed.vault import TaskVault
from cloud.organisations.desk import Organisations
from cloud.papers.fonts import Fonts
from cloud.pdf.preview import Previews
from cloud.seals.desk import Seals
from cloud.serving import Base, Served, served
from cloud.signatures import jobs as upkeep
from cloud.signatures.assets import Assets
from cloud.signatures.desk import Desk
from cloud.signatures.ground import Ground
from cloud.signatures.maker import Maker
from cloud.signatures.methods import Faces, PasskeyAssertions, SmsCodes, registry
from cloud.signatures.offline import Offline
from cloud.signatures.passkeys import Passkeys
from cloud.signatures.previews import Pictures
from cloud.signatures.service import SigningService
from cloud.signers.room import Signers
from cloud.signing_settings import SigningSettings
from cloud.upkeep import Job
from cloud.verifications.desk import Verifications
from cloud.verifications.evidence import FaceEvidence
from verifield.v1 import signing_service_pb2, signing_service_pb2_grpc


@dataclass(frozen=True, slots=True)
class Around:
    """The rooms that signing stands on. ``told``: that of cloud.telemetry.metrics.Metrics.signed."""

    contracts: Contracts
    verifications: Verifications
    certifications: Standings
    organisations: Organisations
    seals: Seals
    codes: Codes
    evidence: FaceEvidence
    signers: Signers
    tasks: TaskVault
    fonts: Fonts | None
    told: Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Room:
    """The parts of this room; it keeps nothing, so that it may be made more than once."""

    base: Base
    desk: Desk
    assets: Assets
    passkeys: Passkeys
    maker: Maker
    offline: Offline
    fonts: Fonts | None

    def services(self, previews: Previews) -> list[Served]:
        """SigningService. ``previews``: the pool of processes that make pictures of pages."""
        service = SigningService(
            self.base,
            self.desk,
            assets=self.assets,
            passkeys=self.passkeys,
            pictures=Pictures(previews, self.base.sources, fonts=self.fonts),
            maker=self.maker,
            offline=self.offline,
        )
        add = signing_service_pb2_grpc.add_SigningServiceServicer_to_server
        return [served(signing_service_pb2, add, service)]

    def jobs(self) -> list[Job]:
        """Signatures that were left, and what nobody came for."""
        return upkeep.jobs(self.base.store, self.desk, maker=self.maker, offline=self.offline)


def make_room(base: Base, around: Around, settings: SigningSettings) -> Room:
    """From what every room is given, and the rooms below."""
    persons, sources = base.persons, base.sources
    accounts = around.verifications.accounts
    assets = Assets(accounts, persons, sources, fonts=around.fonts)
    passkeys = Passkeys(accounts, persons, sources, domain=settings.passkey_domain)
    faces = Faces(around.evidence, accounts, life=timedelta(seconds=settings.sign_face_age_s))
    ground = Ground(
        around.contracts,
        around.verifications,
        around.organisations,
        around.seals,
        assets=assets,
        certifications=around.certifications,
    )
    methods = registry([SmsCodes(around.codes, accounts), PasskeyAssertions(passkeys), faces])
    desk = Desk(ground, around.codes, persons, sources, methods=methods)
    maker = Maker(base.store, sources, desk, signers=around.signers, fonts=around.fonts, told=around.told)
    offline = Offline(desk, faces, around.tasks, sources)
    return Room(base, desk, assets, passkeys, maker, offline, around.fonts)
