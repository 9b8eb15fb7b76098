"""Signed documents for tests: made with the service's own keys, clock and functions, as contracts are."""

from __future__ import annotations

import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pikepdf
from cryptography import x509
from sqlalchemy import Connection

from cloud.authority import Authority
from cloud.pdf.fields import Box, Kind, Place
from cloud.pdf.freeze import freeze
from cloud.pdf.marks import date_mark, name_mark, picture_mark
from cloud.pdf.ports import Identity, Stamper
from cloud.pdf.sign import Filled, finish, sign
from cloud.signers.authority import Proven, SignerAuthority, Subject
from cloud.signers.keys import SignerKeys
from cloud.signers.tsa import EmbeddedAuthority
from cloud.sources import Sources
from cloud.store.database import Store, StoreOptions
from tests.support.cloud import RunningCloud
from tests.support.databases import migrated
from verifield.documents.judging import judge
from verifield.documents.verdict import Verdict

START = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
NAME = "欧阳·明"
OTHER = "María Ñusta"
COMPANY = "杭州云栖科技有限公司"
USCC = "91330100MA2KXYZ12Q"


@dataclass
class Said:
    """A proof that says what a test wants."""

    proven_: Proven

    def proven(self, connection: Connection, account_id: str) -> Proven:
        del connection, account_id
        return self.proven_


@dataclass
class Notary:
    """One deployment that signs documents. ``now``: what its clock says."""

    folder: Path
    now: datetime = START
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True, parents=True)
        self.sources = Sources(now=lambda: self.now, random_bytes=Sources.system().random_bytes)
        (self.folder / "signers").mkdir(exist_ok=True)
        self.root = Authority.open(self.folder, server_names=[], now=self.now).root
        with migrated("sqlite", self.folder / "signers") as url:
            self.store = Store.open(url)
        self.reopen()

    @classmethod
    def running(cls, cloud: RunningCloud) -> Notary:
        """The deployment of a running service: its keys, its database, its clock."""
        made = cls.__new__(cls)
        made.folder, made.now = cloud.data, cloud.clock.now()
        made.sources = Sources(now=lambda: made.now, random_bytes=Sources.system().random_bytes)
        made.root = x509.load_pem_x509_certificate(cloud.root_pem)
        made.store = Store.open(cloud.database_url, StoreOptions(require_durable=False))
        made.reopen()
        return made

    @classmethod
    def of(cls, other: Notary, *, at: datetime) -> Notary:
        """The same deployment on a machine with another clock."""
        made = copy.copy(other)
        made.now = at
        made.sources = Sources(now=lambda: made.now, random_bytes=other.sources.random_bytes)
        made.authority = SignerAuthority(made.keys, made.sources)
        made.stamper = EmbeddedAuthority(made.keys, made.sources)
        return made

    def reopen(self) -> None:
        """As a service that starts anew: what nears its end is renewed."""
        self.keys = SignerKeys.open(self.folder, list_url="http://lists.example/signers.crl", now=self.now)
        self.authority = SignerAuthority(self.keys, self.sources)
        self.stamper: Stamper = EmbeddedAuthority(self.keys, self.sources)

    def identity(self, name: str = NAME, organisation: str = "", uscc: str = "") -> Identity:
        subject = Subject(name, f"account of {name}", organisation, uscc)
        proof = Said(Proven(name, organisation, uscc))
        return self.store.run(
            lambda connection: self.authority.issue(connection, subject, proof=proof, now=self.now)
        )

    def platform(self) -> Identity:
        return self.store.run(lambda connection: self.authority.platform(connection, now=self.now))

    def crls(self) -> tuple[bytes, ...]:
        return self.store.run(self.authority.crls)

    def frozen(self, places: Sequence[Place], *, pages: int = 1) -> bytes:
        return freeze(
            plain(pages), places, identity=self.platform(), stamper=self.stamper, at=self.now, reason="frozen"
        )

    def signed(self, content: bytes, filled: Sequence[Filled], identity: Identity | None = None) -> bytes:
        return sign(
            content,
            filled,
            identity=identity or self.identity(),
            stamper=self.stamper,
            at=self.now,
            reason="signed",
        ).content

    def finished(self, content: bytes) -> bytes:
        return finish(content, stamper=self.stamper, chain=self.keys.chain, crls=self.crls())

    def judged(self, content: bytes, *, at: datetime | None = None, known: bool = True) -> Verdict:
        """``known``: whether the newest list of what was revoked is at hand."""
        return judge(
            content,
            roots=[self.root],
            at=at or self.now + timedelta(minutes=1),
            revocations=self.crls() if known else (),
        )


def place(name: str, party: str, *, at: int = 0, kind: Kind = Kind.SIGNATURE, page: int = 1) -> Place:
    """A place in a column down the page."""
    size = {Kind.SIGNATURE: (120, 40), Kind.SEAL: (60, 60), Kind.SIGN_DATE: (110, 20)}[kind]
    return Place(name, kind, page, Box(60, 60 + 70 * at, *size), party)


def plain(pages: int = 1) -> bytes:
    """A document as it is uploaded."""
    with pikepdf.new() as pdf:
        for number in range(1, pages + 1):
            page = pdf.add_blank_page(page_size=(595, 842))
            page.Contents = pdf.make_stream(
                b"BT /F1 18 Tf 72 700 Td (Page %d of the contract) Tj ET" % number
            )
            font = pikepdf.Dictionary(
                Type=pikepdf.Name.Font, Subtype=pikepdf.Name.Type1, BaseFont=pikepdf.Name.Helvetica
            )
            page.Resources = pikepdf.Dictionary(Font=pikepdf.Dictionary(F1=font))
        output = io.BytesIO()
        pdf.save(output)
    return output.getvalue()


def named(field_name: str, name: str = NAME) -> Filled:
    return Filled(field_name, name_mark(name))


def dated(field_name: str, text: str = "2026-03-02") -> Filled:
    return Filled(field_name, date_mark(text))


def sealed(field_name: str, png: bytes) -> Filled:
    return Filled(field_name, picture_mark(png))
