"""Files of contracts on their way in and out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from sqlalchemy import Connection

from cloud.api.rules import refuse_field
from cloud.contracts import views
from cloud.contracts.acts import Acts, may_read
from cloud.contracts.core import Core, Seen, View, subject_of
from cloud.contracts.drafts import Drafts
from cloud.contracts.states import MACHINE, Event, State
from cloud.contracts.terms import MAX_BYTES
from cloud.errors import Reason, ServiceError
from cloud.mutations import Mutations
from cloud.objects.inflow import Held, Inflow
from cloud.objects.kinds import MediaType
from cloud.pdf.intake import Document, PdfRefused
from cloud.pdf.preview import LEAST_WIDTH, NoPreview, PreviewFailed, Previews
from cloud.store.contracts import ContractRow
from cloud.store.database import Store
from verifield.v1 import contract_service_pb2 as pb

CHUNK_BYTES = 64 * 1024
"""Of an answer."""

DEFAULT_WIDTH_PX = 1000

PIECE_WAIT_S = 30.0
"""A line that brings nothing for so long was lost."""

UPLOAD_S = 900.0
"""For a whole file: 12 KB in a second. Who sends byte by byte holds a call, and room, no longer."""


class Files:
    """``previews``: of this server; they look at what comes, in processes of their own."""

    def __init__(
        self,
        store: Store,
        core: Core,
        drafts: Drafts,
        acts: Acts,
        mutations: Mutations,
        *,
        previews: Previews,
    ) -> None:
        self._store = store
        self._core = core
        self._drafts = drafts
        self._acts = acts
        self._mutations = mutations
        self._previews = previews
        self._inflow = Inflow()

    async def receive(
        self, requests: AsyncIterator[pb.UploadContractRequest], account_id: str
    ) -> pb.UploadContractResponse:
        """Take one file: whether it may come is known before its content is taken.

        Raises:
            ServiceError: REQUEST_INVALID: no header, or more than one. OBJECT_TOO_LARGE, OBJECTS_BUSY,
                STREAM_IDLE, CONTRACT_PDF_REFUSED, and as cloud.contracts.drafts.Drafts.create.
        """
        header = await _header(requests)
        refusal = await self._allowed(account_id, header)
        if refusal is not None and not header.request_id:
            raise refusal
        with self._inflow.one(account_id) as held:
            try:
                async with asyncio.timeout(UPLOAD_S):
                    content = await _collect(requests, held)
            except TimeoutError as error:
                raise ServiceError(Reason.STREAM_IDLE, "The upload takes too long.") from error
            return await self._keep(header, account_id, content)

    async def copy(self, request: pb.CopyContractRequest, account_id: str) -> pb.CopyContractResponse:
        """Begin a draft with the file of a contract that came to nothing.

        Raises:
            ServiceError: as cloud.contracts.drafts.Drafts.copy.
        """
        core, contract_id = self._core, self._core.sources.uuid7()

        def read(connection: Connection) -> tuple[ContractRow, bytes]:
            row = core.own(connection, request.contract_id, account_id)
            MACHINE.after(State(row.state), Event.COPY)
            return row, core.objects.open(connection, row.upload_id)

        old, content = await self._store.look(read)
        staged = await asyncio.to_thread(
            core.objects.stage, content, person_id=contract_id, media_type=MediaType.PDF
        )

        def work(connection: Connection) -> pb.CopyContractResponse:
            row = self._drafts.copy(connection, account_id, old, contract_id, staged)
            return pb.CopyContractResponse(contract=views.contract(row))

        try:
            return await self._mutations.run(
                request,
                action="contracts.copy",
                subject=lambda answer: subject_of(answer.contract.contract_id),
                work=work,
                facts={"previous": request.contract_id},
            )
        finally:
            await asyncio.to_thread(core.objects.settle, self._store, staged)

    async def page(self, request: pb.GetPageRequest, account_id: str) -> tuple[bytes, ContractRow, bytes]:
        """A page as a picture, the contract, and the digest of the file that was shown.

        Raises:
            ServiceError: CONTRACT_OTHERS, CONTRACT_NOT_COMPLETE, CONTRACT_NO_PAGE, CONTRACT_PAGE_FAILED,
                OBJECT_DAMAGED.
        """
        core = self._core

        def read(connection: Connection) -> tuple[ContractRow, bytes, bytes]:
            row = core.find(connection, request.contract_id)
            view = core.view(connection, row, account_id)
            if request.page > row.page_count:
                raise _no_page(row)
            object_id, sha256 = _shown(row, view)
            return row, core.objects.open(connection, object_id), sha256

        row, content, shown = await self._store.look(read)
        try:
            picture = await self._previews.page(
                content, request.page, width_px=max(request.width_px or DEFAULT_WIDTH_PX, LEAST_WIDTH)
            )
        except PreviewFailed as error:
            raise _preview_failed(error, row) from error
        return picture, row, shown

    async def delivered(self, request: pb.GetPageRequest, account_id: str) -> None:
        """Note that a page has reached whoever asked for it, where that is a party."""
        await asyncio.to_thread(self._note, request, account_id)

    async def download(
        self, request: pb.DownloadContractRequest, account_id: str
    ) -> tuple[bytes, pb.DownloadContractResponse]:
        """A file, its digest checked, and what is told with the first piece; told in the audit chain.

        Raises:
            ServiceError: CONTRACT_OTHERS, CONTRACT_NOT_COMPLETE, CONTRACT_STATE, OBJECT_DAMAGED.
        """
        opened: list[bytes] = []

        def work(connection: Connection) -> pb.DownloadContractResponse:
            row, object_id, sha256 = self._chosen(connection, request, account_id)
            opened[:] = [self._core.objects.open(connection, object_id)]
            return pb.DownloadContractResponse(
                sha256=sha256,
                size_bytes=len(opened[0]),
                half_signed=row.completed_us is None and row.sent_us is not None,
            )

        plain = pb.DownloadContractRequest()
        plain.CopyFrom(request)
        plain.ClearField("request_id")  # each download is one: it changes nothing that could be done twice
        answer = await self._mutations.run(
            plain,
            action="contracts.download",
            subject=subject_of(request.contract_id),
            work=work,
            facts={"file": pb.ContractFile.Name(request.file).removeprefix("CONTRACT_FILE_").lower()},
        )
        return opened[0], answer

    def _chosen(
        self, connection: Connection, request: pb.DownloadContractRequest, account_id: str
    ) -> tuple[ContractRow, str, bytes]:
        row = self._core.find(connection, request.contract_id)
        view = self._core.view(connection, row, account_id)
        if not may_read(view, row):
            raise ServiceError(Reason.CONTRACT_NOT_COMPLETE, "Not all have signed yet.")
        if request.file == pb.CONTRACT_FILE_UPLOAD:
            if view.seen is Seen.PARTY:
                raise ServiceError(Reason.CONTRACT_OTHERS, "The uploaded file is the sender's own.")
            return row, row.upload_id, row.upload_sha256
        chosen = (
            (row.revision_id, row.revision_sha256)
            if request.file == pb.CONTRACT_FILE_CURRENT
            else (row.document_id, row.document_sha256)
        )
        if chosen[0] is None or chosen[1] is None:
            raise ServiceError(Reason.CONTRACT_STATE, "It was not sent.", {"state": State(row.state).name})
        return row, chosen[0], chosen[1]

    async def _allowed(self, account_id: str, header: pb.ContractHeader) -> ServiceError | None:
        try:
            await self._store.look(
                lambda connection: self._drafts.check_upload(connection, account_id, header)
            )
        except ServiceError as error:
            return error
        return None

    async def _keep(
        self, header: pb.ContractHeader, account_id: str, content: bytes
    ) -> pb.UploadContractResponse:
        document = await self._check(content)
        if header.sha256 and header.sha256 != document.sha256:
            refuse_field("header.sha256", rule="contract.sha256", why="is not that of the content")
        header.sha256 = document.sha256  # the same request is one with the same content
        core, contract_id = self._core, self._core.sources.uuid7()
        staged = await asyncio.to_thread(
            core.objects.stage, content, person_id=contract_id, media_type=MediaType.PDF
        )

        def work(connection: Connection) -> pb.UploadContractResponse:
            row = self._drafts.create(
                connection, account_id, contract_id, header, document=document, staged=staged
            )
            return pb.UploadContractResponse(
                contract=views.contract(row), pages=views.page_sizes(document.pages)
            )

        try:
            return await self._mutations.run(
                header,
                action="contracts.upload",
                subject=lambda answer: subject_of(answer.contract.contract_id),
                work=work,
            )
        finally:
            await asyncio.to_thread(core.objects.settle, self._store, staged)

    async def _check(self, content: bytes) -> Document:
        try:
            return await self._previews.check(content)
        except PdfRefused as error:
            raise ServiceError(
                Reason.CONTRACT_PDF_REFUSED, f"The file is refused: {error}.", {"why": error.why.value}
            ) from error
        except PreviewFailed as error:
            raise _preview_failed(error, None) from error

    def _note(self, request: pb.GetPageRequest, account_id: str) -> None:
        def work(connection: Connection) -> None:
            row = self._core.find(connection, request.contract_id, lock=True)
            party = self._core.party_of(connection, row, account_id)
            if party is not None and not _has(party.pages_seen, request.page):
                self._acts.seen(connection, row, party, request.page)

        self._store.run(work)


def pieces(content: bytes) -> Iterator[bytes]:
    """A content as it travels."""
    for at in range(0, max(1, len(content)), CHUNK_BYTES):
        yield content[at : at + CHUNK_BYTES]


def _shown(row: ContractRow, view: View) -> tuple[str, bytes]:
    """The file that somebody is shown: who is only told of a contract sees no signatures of some alone."""
    if row.revision_id is None or row.document_id is None:
        return row.upload_id, row.upload_sha256
    if may_read(view, row):
        return row.revision_id, row.revision_sha256 or b""
    return row.document_id, row.document_sha256 or b""


def _has(pages_seen: bytes, page: int) -> bool:
    return bool(int.from_bytes(bytes(pages_seen), "little") >> (page - 1) & 1)


def _too_large() -> ServiceError:
    return ServiceError(
        Reason.OBJECT_TOO_LARGE, f"A contract may have at most {MAX_BYTES} bytes.", {"limit": str(MAX_BYTES)}
    )


def _no_page(row: ContractRow) -> ServiceError:
    return ServiceError(
        Reason.CONTRACT_NO_PAGE, "The document has fewer pages.", {"pages": str(row.page_count)}
    )


def _preview_failed(error: PreviewFailed, row: ContractRow | None) -> ServiceError:
    if error.why is NoPreview.NO_PAGE and row is not None:
        return _no_page(row)
    return ServiceError(
        Reason.CONTRACT_PAGE_FAILED, "No picture could be made of this page.", {"why": error.why.value}
    )


async def _header(requests: AsyncIterator[pb.UploadContractRequest]) -> pb.ContractHeader:
    first = await _next_in_time(requests)
    if first is None or first.WhichOneof("part") != "header":
        refuse_field("header", rule="contract.header_first", why="comes first, and tells the flow")
    header = pb.ContractHeader()
    header.CopyFrom(first.header)
    return header


async def _collect(requests: AsyncIterator[pb.UploadContractRequest], held: Held) -> bytes:
    content = bytearray()
    while (request := await _next_in_time(requests)) is not None:
        if request.WhichOneof("part") != "chunk":
            refuse_field("header", rule="contract.header_once", why="comes once")
        if len(content) + len(request.chunk) > MAX_BYTES:
            raise _too_large()
        held.add(len(request.chunk))
        content += request.chunk
    return bytes(content)


async def _next_in_time(
    requests: AsyncIterator[pb.UploadContractRequest],
) -> pb.UploadContractRequest | None:
    try:
        async with asyncio.timeout(PIECE_WAIT_S):
            return await anext(requests, None)
    except TimeoutError as error:
        raise ServiceError(Reason.STREAM_IDLE, "The upload brought nothing for too long.") from error
