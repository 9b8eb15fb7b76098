"""Contracts that wait at this device: listed, read page by page with the places of their marks, and signed.

Signing is a verification of its own, for this task and nobody else's: ``edge.contracts`` keeps the
signature around its record. Marks are placed by whoever sends a contract, before it is sent: at this screen
with ``edge.kiosk.prepare``.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import partial

import uuid_utils
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from edge.attest.clock import SystemClock, bounded_now
from edge.attest.package import picture_not_kept
from edge.contracts.keeping import BEST_SHOT, SignatureKeeper, settle
from edge.contracts.pages import MOST_WIDTH, PaperPage, PictureShelf, look_at_pages
from edge.contracts.reading import begin_signing, contract_of
from edge.delivery import sync_folder
from edge.errors import InputError
from edge.kiosk.answers import bad_request, check_controls, done, go, read_json
from edge.kiosk.office import Office
from edge.kiosk.people import to_sign_in
from edge.kiosk.reading import Reading, Readings, in_words
from edge.kiosk.server import Kiosk
from edge.kiosk.sessions import SessionRequest, sessions_of
from edge.kiosk.shown import moment
from edge.pipeline import Pipeline, Verification
from edge.recorder import Recorder
from edge.state.records import ItemKind
from edge.state.signatures import SignatureRow, already_signed
from edge.state.signatures import SignatureState as State
from edge.state.store import StateStore
from edge.tasks import WaitingTask, find_task, waiting_tasks

WIDTHS = (640, 900, 1200, MOST_WIDTH)
"""Pixels of the pictures that are made; others are made larger or smaller by the browser."""

MAX_SIGNED = 50
"""Signatures that the list shows, the newest first."""

MAX_PAPERS = 4
"""Documents whose pages are known: what two people read, and what was read before."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One contract that waits. ``percent`` of its document that is here; ``signed``: what was done here."""

    task: WaitingTask
    title: str
    party: str
    until: str
    percent: int
    signed: SignatureRow | None

    @property
    def open(self) -> bool:
        """Whether it is still to be signed here: the cloud's no to a signature lets the person sign anew."""
        return self.signed is None or self.signed.state is State.REFUSED

    @property
    def ready(self) -> bool:
        return self.open and self.percent == 100


@dataclass(frozen=True, slots=True)
class Paper:
    """One document that is read."""

    task_id: str
    title: str
    sha256: bytes
    pages: tuple[PaperPage, ...]


def routes(kiosk: Kiosk) -> list[BaseRoute]:
    """The pages of this flow."""
    flow = _Contracts(kiosk)
    return [
        Route("/contracts", flow.listing, methods=["GET"]),
        Route("/contracts/{task_id}", flow.resume, methods=["GET"]),
        Route("/contracts/{task_id}/page/{number:int}", flow.page, methods=["GET"]),
        Route("/contracts/{task_id}/picture/{number:int}", flow.picture, methods=["GET"]),
        Route("/contracts/{task_id}/seen", flow.seen, methods=["POST"]),
        Route("/contracts/{task_id}/sign", flow.ask_to_sign, methods=["GET"]),
        Route("/contracts/{task_id}/sign", flow.sign, methods=["POST"]),
    ]


class _Contracts:
    def __init__(self, kiosk: Kiosk) -> None:
        self._kiosk = kiosk
        self._readings = Readings()
        self._papers: dict[tuple[str, bytes], Paper] = {}
        self._shelf = PictureShelf()

    async def listing(self, request: Request) -> Response:
        kiosk = self._kiosk
        if (first := await to_sign_in(kiosk, request)) is not None:
            return first
        waiting, signed = await kiosk.run(lambda: list_contracts(kiosk))
        rows = [(row, moment(row.noted)) for row in signed]
        return kiosk.page(request, "contracts.html", waiting=waiting, signed=rows)

    async def resume(self, request: Request) -> Response:
        if (first := await to_sign_in(self._kiosk, request)) is not None:
            return first
        paper, reading = await self._open(request)
        return RedirectResponse(f"/contracts/{paper.task_id}/page/{reading.resume_at}", 303)

    async def page(self, request: Request) -> Response:
        kiosk = self._kiosk
        if (first := await to_sign_in(kiosk, request)) is not None:
            return first
        paper, reading = await self._open(request)
        number = request.path_params["number"]
        if not 1 <= number <= len(paper.pages):
            return RedirectResponse(f"/contracts/{paper.task_id}/page/1", 303)
        shown = paper.pages[number - 1]
        return kiosk.page(
            request,
            "contract_page.html",
            paper=paper,
            number=number,
            shown=shown,
            height=round(1000 * shown.height / shown.width),
            widths=WIDTHS,
            missing=tuple(page for page in reading.missing if page != number),
        )

    async def picture(self, request: Request) -> Response:
        kiosk = self._kiosk
        paper, reading = await self._open(request)
        number, wanted = request.path_params["number"], request.query_params.get("w", "")
        if wanted not in [str(width) for width in WIDTHS]:
            raise bad_request("no picture is so wide")
        content = await kiosk.run(
            lambda: self._shelf.picture(
                paper.sha256, lambda: read_document(kiosk, paper), number, width_px=int(wanted)
            )
        )
        reading.hand_out(number)
        return Response(content, media_type="image/png")

    async def seen(self, request: Request) -> Response:
        given = await read_json(request)
        paper, reading = await self._open(request)
        number = given.get("page")
        if type(number) is not int or not reading.note_seen(number):
            raise bad_request("this page was not shown")
        return done(missing=len(reading.missing), pages=len(paper.pages))

    async def ask_to_sign(self, request: Request) -> Response:
        kiosk = self._kiosk
        if (first := await to_sign_in(kiosk, request)) is not None:
            return first
        paper, reading = await self._open(request)
        return kiosk.page(
            request,
            "contract_sign.html",
            paper=paper,
            missing=reading.missing,
            missing_words=in_words(reading.missing),
        )

    async def sign(self, request: Request) -> Response:
        kiosk = self._kiosk
        given = await read_json(request)
        check_controls(kiosk, request)
        if given.get("was_read") is not True:
            raise bad_request("nobody says that it was read")
        if await to_sign_in(kiosk, request) is not None:
            raise InputError("NOT_SIGNED_IN", "The operator is no longer signed in.", hint="Sign in again.")
        paper, reading = await self._open(request)
        if not reading.complete:
            raise InputError(
                "DOCUMENT_NOT_READ", "Not all pages were shown.", hint="Go through all pages first."
            )
        await kiosk.run(lambda: note_read(kiosk, paper))
        path = sessions_of(kiosk).begin(
            SessionRequest(
                kind="contract",
                back="/contracts",
                find_task=partial(_find_to_sign, paper.task_id),
                adapt=_with_keeper,
                after=partial(self._afterwards, paper.task_id),
            )
        )
        return go(path)

    def _afterwards(self, task_id: str, office: Office, verification: Verification) -> None:
        """Once it is signed, nothing of the document stays in memory, and the daemon is called."""
        row = office.state.signatures.of_task(task_id)
        if row is not None and row.attestation_id == verification.record.attestation_id:
            self._readings.forget(task_id)
            self._shelf.clear()
            sync_folder(self._kiosk.config).call()

    async def _open(self, request: Request) -> tuple[Paper, Reading]:
        """The document that is asked for and how far it was read.

        Raises:
            InputError: TASK_UNKNOWN, NO_CONTRACT, ALREADY_SIGNED, DOCUMENT_AWAY or DOCUMENT_UNREADABLE.
        """
        kiosk, task_id = self._kiosk, request.path_params["task_id"]
        sha256, title = await kiosk.run(lambda: which_document(kiosk, task_id))
        paper = self._papers.get((task_id, sha256))
        if paper is None:
            paper = await kiosk.run(lambda: open_paper(kiosk, task_id, sha256, title))
            while len(self._papers) >= MAX_PAPERS:
                self._papers.pop(next(iter(self._papers)))
            self._papers[(task_id, sha256)] = paper
        return paper, self._readings.of(task_id, sha256, len(paper.pages))


def list_contracts(kiosk: Kiosk) -> tuple[list[Listed], list[SignatureRow]]:
    """What waits, the first to expire first, and what was signed here, the newest first."""
    with kiosk.open_state() as state:
        tasks = waiting_tasks(state, bounded_now(SystemClock(), contact=state.contact()))
        waiting = [_listed(state, task) for task in tasks if task.kind is ItemKind.CONTRACT]
        signed = list(reversed(state.signatures.all()))[:MAX_SIGNED]
    waits = {one.task.task_id for one in waiting}
    return waiting, [row for row in signed if row.state is not State.REFUSED or row.task_id not in waits]


def which_document(kiosk: Kiosk, task_id: str) -> tuple[bytes, str]:
    """Digest and title of the document that this task is to sign now.

    Raises:
        InputError: TASK_UNKNOWN, NO_CONTRACT or ALREADY_SIGNED.
    """
    with kiosk.open_state() as state:
        task = _find(state, task_id)
        before = state.signatures.of_task(task_id)
    if before is not None and before.state is not State.REFUSED:
        raise already_signed()
    contract = contract_of(task)
    return contract.document_sha256, contract.title


def open_paper(kiosk: Kiosk, task_id: str, sha256: bytes, title: str) -> Paper:
    """Look at the document's pages; errors as :func:`read_document`, and DOCUMENT_UNREADABLE."""
    paper = Paper(task_id, title, sha256, ())
    return dataclasses.replace(paper, pages=look_at_pages(read_document(kiosk, paper)))


def read_document(kiosk: Kiosk, paper: Paper) -> bytes:
    """The PDF, which has the digest that the task names.

    Raises:
        InputError: DOCUMENT_AWAY.
    """
    with kiosk.open_state() as state:
        content = state.documents.read(paper.task_id, paper.sha256)
    if content is None:
        raise InputError(
            "DOCUMENT_AWAY", "The document has not come to this device.", hint="Connect the device."
        )
    return content


def note_read(kiosk: Kiosk, paper: Paper) -> None:
    """Note that all of the document was shown; the device's store of documents remembers when first."""
    with kiosk.open_state() as state:
        at = bounded_now(SystemClock(), contact=state.contact()).likely
        state.documents.note_shown(paper.task_id, paper.sha256, at=at)


def _find(state: StateStore, task_id: str) -> WaitingTask:
    return find_task(state, task_id, bounded_now(SystemClock(), contact=state.contact()))


def _find_to_sign(task_id: str, recorder: Recorder, state: StateStore) -> WaitingTask:
    """The task, once what an earlier process left is settled; errors as ``find_task``."""
    settle(recorder.outbox, state.signatures)
    return _find(state, task_id)


def _with_keeper(
    pipeline: Pipeline, recorder: Recorder, state: StateStore, task: WaitingTask | None
) -> Pipeline:
    """Keep the signature around the record of the session; errors as ``begin_signing``, PICTURE_NOT_KEPT."""
    if task is None:
        raise AssertionError("a contract is signed for its task")
    if BEST_SHOT not in pipeline.plan.media:
        raise picture_not_kept()
    at = bounded_now(recorder.clock, contact=state.contact()).likely
    about = begin_signing(state, task, at=at)
    keeper = SignatureKeeper(
        outbox=recorder.outbox,
        signatures=state.signatures,
        certificates=recorder.identity.attestation_certificates,
        task=task,
        about=about,
        new_id=lambda: str(uuid_utils.uuid7()),
        now=lambda: about.read_at,
    )
    return dataclasses.replace(pipeline, attest=keeper.around(pipeline.attest))


def _listed(state: StateStore, task: WaitingTask) -> Listed:
    contract = contract_of(task)
    known = state.documents.get(task.task_id, contract.document_sha256)
    percent = 0 if known is None or not known.size else known.here * 100 // known.size
    signed = state.signatures.of_task(task.task_id)
    return Listed(task, contract.title, contract.party, moment(task.expires), percent, signed)
