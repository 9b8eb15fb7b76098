"""How long signing takes: freezing, one field, 25 fields, a party among many, a large file, the end; and all
that a party does who signs at a distance, over gRPC.

python -m benchmarks.bench_signing            all of it, about three minutes
python -m benchmarks.bench_signing --quick    a few rounds; keeps no result

What turns PDF into signed PDF: with the service's own certificates (P-256) and its embedded time-stamping
authority, in one thread, on the bytes alone: no database, no network. As floor, what nobody can leave out:
two signatures with P-256 for each field (the signer's and the time-stamp's), and SHA-256 over the file.

The flow: a service with SQLite, TLS, and a folder in the place of the gateway; a contract of one page with a
signature and a date for each of two parties. The second one opens the link, reads, previews, asks for a code,
waits for its message, and signs, which completes the contract. A program has no eyes: of the minute that is
promised, what is left is the person's.
"""

from __future__ import annotations

import hashlib
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import pikepdf
import typer
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # where this file is run by its path

from benchmarks.machine import Noise, Sheet, Summary, describe_machine, progress, publish, summary_json
from cloud.pdf.fields import Box, Kind, Place
from cloud.pdf.freeze import freeze
from cloud.pdf.intake import check_document
from cloud.pdf.marks import name_mark
from cloud.pdf.ports import Identity
from cloud.pdf.sign import Filled, finish, preview, sign
from tests.support import pdf_samples, signing
from tests.support.cloud import running_cloud
from tests.support.documents import Notary
from tests.support.spool import wait_for

ROUNDS, QUICK_ROUNDS = 15, 2
FLOWS, QUICK_FLOWS = 20, 2
AN_HOUR = timedelta(hours=1)
FLOW_STEPS = ("open the link", "read", "start and preview", "code", "sign", "all of it")
MANY = 25
PARTIES, EACH = 20, 5
LARGE_BYTES = 19 * 1024 * 1024
NAME = "欧阳·明"

Step = Callable[[], object]


def places(count: int, party: str = "p", *, row: int = 0) -> list[Place]:
    """Places of one party, five to a row."""
    boxes = [Box(40 + 100 * (n % 5), 300 + 22 * (row + n // 5), 90, 20) for n in range(count)]
    return [Place(f"{party}{n}", Kind.SIGNATURE, 1, box, party) for n, box in enumerate(boxes)]


def large_document() -> bytes:
    """Nearly as many bytes as are accepted, as scanned pages have them."""

    def fill(pdf: pikepdf.Pdf) -> None:
        noise = pdf.make_stream(os.urandom(LARGE_BYTES))
        noise.update({"/Type": pikepdf.Name.XObject, "/Subtype": pikepdf.Name.Form})
        noise.BBox = pikepdf.Array([0, 0, 0, 0])
        pdf.pages[0].obj.Resources.XObject = pikepdf.Dictionary(Noise=noise)

    return pdf_samples.changed(pdf_samples.plain(), fill)


class Desk:
    """Signs as the service does."""

    def __init__(self, notary: Notary) -> None:
        self._notary = notary
        self.person: Identity = notary.identity(NAME)
        self._mark = name_mark(NAME)

    def freeze(self, content: bytes, wanted: list[Place]) -> bytes:
        notary = self._notary
        return freeze(content, wanted, identity=notary.platform(), stamper=notary.stamper, at=notary.now)

    def filled(self, wanted: list[Place]) -> list[Filled]:
        return [Filled(place.name, self._mark) for place in wanted]

    def sign(self, content: bytes, wanted: list[Place]) -> bytes:
        return sign(
            content,
            self.filled(wanted),
            identity=self.person,
            stamper=self._notary.stamper,
            at=self._notary.now,
            reason="contract",
        ).content

    def finish(self, content: bytes) -> bytes:
        return finish(content, stamper=self._notary.stamper, chain=self.person.chain, crls=self.person.crls)


def steps_of(desk: Desk) -> dict[str, Step]:
    """What is measured; everything that leads up to it is done once, here."""
    plain, large = pdf_samples.plain(10), large_document()
    one, many = places(1), places(MANY)
    with_one, with_many = desk.freeze(plain, one), desk.freeze(plain, many)
    with_large, long = desk.freeze(large, many), desk.freeze(pdf_samples.large(300), one)
    crowd = [places(EACH, f"party{n}_", row=n) for n in range(PARTIES)]
    half = desk.freeze(plain, [place for party in crowd for place in party])
    for party in crowd[:-1]:
        half = desk.sign(half, party)
    complete = desk.sign(half, crowd[-1])
    fields = PARTIES * EACH
    key = ec.generate_private_key(ec.SECP256R1())

    def floor() -> None:
        for _ in range(2):
            key.sign(b"contract", ec.ECDSA(hashes.SHA256()))
        hashlib.sha256(with_one).digest()

    return {
        "floor: two P-256 signatures, one SHA-256": floor,
        "check an upload of 10 pages": lambda: check_document(plain),
        "check an upload of 19 MiB": lambda: check_document(large),
        f"freeze 10 pages with {MANY} fields": lambda: desk.freeze(plain, many),
        f"preview of {MANY} marks, unsigned": lambda: preview(with_many, desk.filled(many)),
        "sign one field": lambda: desk.sign(with_one, one),
        "sign one field of 300 pages": lambda: desk.sign(long, one),
        f"sign {MANY} fields": lambda: desk.sign(with_many, many),
        f"sign {MANY} fields of 19 MiB": lambda: desk.sign(with_large, many),
        f"last of {PARTIES} parties signs {EACH} of {fields} fields": lambda: desk.sign(half, crowd[-1]),
        f"finish with {fields} signatures": lambda: desk.finish(complete),
    }


def flow(folder: Path, count: int) -> dict[str, list[float]]:
    """The milliseconds of each step, of so many parties that sign one after the other."""
    wall: dict[str, list[float]] = {step: [] for step in FLOW_STEPS}
    with running_cloud(folder / "flow") as cloud, progress() as bar:
        for _ in bar.track(range(count), description="flows"):
            sender, other = signing.signer_of(cloud), signing.signer_of(cloud)
            sent = signing.sent_contract(cloud, sender, [other])
            signing.sign_with_code(cloud, sender, sent)
            wait_for(cloud, to=other.person.phone, template="contract_invitation")
            times = [time.perf_counter()]
            signing.open_invitation(cloud, other)
            times.append(time.perf_counter())
            signing.read_all(cloud, other, sent)
            times.append(time.perf_counter())
            begun = signing.start(cloud, other, sent)
            started = signing.Started(begun, *signing.look(cloud, other, begun.signing_id, width_px=800))
            times.append(time.perf_counter())
            code = signing.ask_code(cloud, other, begun.signing_id)
            times.append(time.perf_counter())
            signing.signing(cloud, other, "Sign", signing.sign_request(started, sms_code=code))
            times.append(time.perf_counter())
            for step, (begin, end) in zip(FLOW_STEPS, (*pairwise(times), (times[0], times[-1])), strict=True):
                wall[step].append((end - begin) * 1e3)
            cloud.clock.offset += AN_HOUR  # one address may ask for so many codes an hour
    return wall


def p95(values: list[float]) -> float:
    """By nearest rank: one of the values seen."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def main(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    quick: Annotated[bool, typer.Option(help="A few rounds, to try it; keeps no result.")] = False,
) -> None:
    """Measure what turns PDF into signed PDF."""
    noise = Noise()
    machine = describe_machine("pyhanko", "pikepdf", "cryptography", "reportlab")
    with tempfile.TemporaryDirectory(prefix="verifield-signing-") as name:
        steps = steps_of(Desk(Notary(Path(name))))
        wall: dict[str, list[float]] = {step: [] for step in steps}
        with progress() as bar:
            for _ in bar.track(range(QUICK_ROUNDS if quick else ROUNDS), description="rounds"):
                for step, run in steps.items():
                    begun = time.perf_counter()
                    run()
                    wall[step].append((time.perf_counter() - begun) * 1e3)
        flows = flow(Path(name), QUICK_FLOWS if quick else FLOWS)
    rows = []
    for step, values in wall.items():
        seen = Summary.of(values)
        figures_of = (seen.median, seen.p99, seen.minimum)
        rows.append((step, f"{seen.count}", *(f"{one:,.1f}" for one in figures_of)))
    note = (
        f"Asked for: one field with its time-stamp within 500 ms, {MANY} fields within 5,000 ms. Each field "
        "is a revision of its own; the file is read again for each."
    )
    figures = {
        "machine": machine,
        "noise": noise.stop(),
        "wall_ms": {step: summary_json(values) for step, values in wall.items()},
        "flow_ms": {
            step: summary_json(values) | {"p95": float(f"{p95(values):.4g}")}
            for step, values in flows.items()
        },
    }
    sheet = Sheet("Signing", ("", "times", "median ms", "p99 ms", "best ms"), rows, note)
    told = [
        (step, f"{len(values)}", f"{Summary.of(values).median:,.0f}", f"{p95(values):,.0f}")
        for step, values in flows.items()
    ]
    asked = "Asked for: all of it within 60,000 ms in 95 of 100, of which signing itself within 2,000 ms."
    remote = Sheet("A party at a distance", ("", "times", "median ms", "p95 ms"), told, asked)
    publish("signing", "Signing", figures, [sheet, remote], as_json=as_json, keep=not quick)


if __name__ == "__main__":
    typer.run(main)
