"""SigningService: the act of signing."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import structlog
from sqlalchemy import Connection

from cloud.access.call import CALL, caller_of_call
from cloud.errors import Reason, ServiceError
from cloud.paging import encode_page_token, page_size, parse_page_token
from cloud.serving import Base
from cloud.signatures import views
from cloud.signatures.assets import Assets
from cloud.signatures.desk import Desk
from cloud.signatures.maker import Maker
from cloud.signatures.marks import Plan
from cloud.signatures.offline import Offline
from cloud.signatures.own_service import Context, OwnService
from cloud.signatures.passkeys import Passkeys
from cloud.signatures.previews import Pictures
from cloud.signatures.states import State
from cloud.signatures.turns import Line
from cloud.signatures.views import Views
from cloud.sources import from_us
from cloud.store import signatures as rows
from cloud.store.signatures import SigningRow
from verifield.v1 import signing_service_pb2 as pb

MAKERS = 4
"""Signatures that are made at the same time; each takes a part of a second of a core."""

_log = structlog.get_logger("cloud.signatures")


class SigningService(OwnService):
    """Changes go through the mutations of ``base``: once each, and told in the audit chain."""

    def __init__(
        self,
        base: Base,
        desk: Desk,
        *,
        assets: Assets,
        passkeys: Passkeys,
        pictures: Pictures,
        maker: Maker,
        offline: Offline,
    ) -> None:
        super().__init__(base, desk, assets=assets, passkeys=passkeys, pictures=pictures)
        self._views = Views(desk, passkeys)
        self._maker = maker
        self._offline = offline
        self._line = Line()
        self._makers = ThreadPoolExecutor(max_workers=MAKERS, thread_name_prefix="signing")

    async def StartSigning(
        self, request: pb.StartSigningRequest, context: Context
    ) -> pb.StartSigningResponse:
        account_id = caller_of_call().name

        def work(connection: Connection) -> pb.StartSigningResponse:
            held = self._desk.start(connection, account_id, request.contract_id.lower())
            return pb.StartSigningResponse(signing=_brief(held.row))

        answer = await self._base.mutations.run(
            request,
            action="signings.start",
            subject=lambda made: _name(made.signing.signing_id),
            work=work,
            facts={"contract": request.contract_id.lower()},
        )
        return pb.StartSigningResponse(signing=await self._show(account_id, answer.signing.signing_id))

    async def GetSigning(self, request: pb.GetSigningRequest, context: Context) -> pb.GetSigningResponse:
        signing = await self._show(caller_of_call().name, request.signing_id.lower())
        return pb.GetSigningResponse(signing=signing)

    async def PreviewSigned(
        self, request: pb.PreviewSignedRequest, context: Context
    ) -> AsyncIterator[pb.PreviewSignedResponse]:
        account_id, signing_id = caller_of_call().name, request.signing_id.lower()
        asset_id, seal_id = request.asset_id.lower() or None, request.seal_id.lower() or None

        def work(connection: Connection) -> pb.PreviewSignedResponse:
            plan = self._desk.preview(connection, account_id, signing_id, asset_id=asset_id, seal_id=seal_id)
            return pb.PreviewSignedResponse(header=pb.PreviewHeader(preview_hash=plan.preview_hash))

        await self._base.mutations.run(
            request, action="signings.preview", subject=_name(signing_id), work=work
        )
        plan, content = await asyncio.to_thread(self._previewed, account_id, signing_id)
        async for part in self._pictures.pages(plan, content, width_px=request.width_px):
            yield part

    async def RequestSignCode(
        self, request: pb.RequestSignCodeRequest, context: Context
    ) -> pb.RequestSignCodeResponse:
        account_id, signing_id = caller_of_call().name, request.signing_id.lower()
        source = CALL.get().source

        def work(connection: Connection) -> pb.RequestSignCodeResponse:
            sent = self._desk.send_code(connection, account_id, signing_id, source=source)
            answer = pb.RequestSignCodeResponse(challenge_id=sent.challenge_id)
            answer.expire_time.FromDatetime(sent.expire_time)
            answer.retry_time.FromMicroseconds(self._desk.now_us + int(sent.retry_s * 1_000_000))
            return answer

        answer = await self._base.mutations.run(
            request, action="signings.send_code", subject=_name(signing_id), work=work
        )
        # Not part of what is kept to be answered again: it goes with the person.
        answer.masked_phone = await self._base.store.look(
            lambda connection: self._desk.code_sent_to(connection, answer.challenge_id)
        )
        return answer

    async def Sign(self, request: pb.SignRequest, context: Context) -> pb.SignResponse:
        account_id, signing_id = caller_of_call().name, request.signing_id.lower()
        proof = request.WhichOneof("authentication") or ""

        def work(connection: Connection) -> pb.SignResponse | ServiceError:
            row = self._desk.authenticate(
                connection,
                account_id,
                signing_id,
                preview_hash=request.preview_hash,
                proof=proof,
                given=getattr(request, proof),
            )
            return row if isinstance(row, ServiceError) else pb.SignResponse(signing=_brief(row))

        answer = await self._base.mutations.run(
            request, action="signings.sign", subject=_name(signing_id), work=work, facts={"method": proof}
        )
        await self._make(answer.signing)
        signing = await self._show(account_id, signing_id)
        if signing.state == pb.SIGNING_STATE_FAILED:
            raise ServiceError(Reason(signing.reason), "It could not be signed any more.")
        return pb.SignResponse(signing=signing)

    async def ListSignatures(
        self, request: pb.ListSignaturesRequest, context: Context
    ) -> pb.ListSignaturesResponse:
        account_id, contract_id = caller_of_call().name, request.contract_id.lower()
        asked, size = f"signatures of {contract_id}", page_size(request.page_size)
        after = parse_page_token(request.page_token, filters=asked)

        def read(connection: Connection) -> pb.ListSignaturesResponse:
            contracts = self._desk.ground.contracts
            contracts.view(connection, contracts.get(connection, contract_id), account_id)
            found = rows.records_of(connection, contract_id, after=after, limit=size + 1)
            page = found[:size]
            token = encode_page_token(page[-1].record_id, filters=asked) if len(found) > size else ""
            return pb.ListSignaturesResponse(signatures=map(views.record, page), next_page_token=token)

        return await self._base.store.look(read)

    async def StartOfflineSigning(
        self, request: pb.StartOfflineSigningRequest, context: Context
    ) -> pb.StartOfflineSigningResponse:
        account_id, signing_id = caller_of_call().name, request.signing_id.lower()

        def work(connection: Connection) -> pb.StartOfflineSigningResponse:
            held = self._offline.hand_out(
                connection,
                account_id,
                signing_id,
                preview_hash=request.preview_hash,
                site_id=request.site_id,
            )
            return pb.StartOfflineSigningResponse(signing=_brief(held.row))

        await self._base.mutations.run(
            request,
            action="signings.hand_out",
            subject=_name(signing_id),
            work=work,
            facts={"site": request.site_id},
        )
        return pb.StartOfflineSigningResponse(signing=await self._show(account_id, signing_id))

    async def CancelOfflineSigning(
        self, request: pb.CancelOfflineSigningRequest, context: Context
    ) -> pb.CancelOfflineSigningResponse:
        account_id, signing_id = caller_of_call().name, request.signing_id.lower()

        def work(connection: Connection) -> pb.CancelOfflineSigningResponse:
            row = self._offline.cancel(connection, account_id, signing_id)
            return pb.CancelOfflineSigningResponse(signing=_brief(row))

        await self._base.mutations.run(
            request, action="signings.cancel", subject=_name(signing_id), work=work
        )
        return pb.CancelOfflineSigningResponse(signing=await self._show(account_id, signing_id))

    async def SubmitOfflineSignature(
        self, request: pb.SubmitOfflineSignatureRequest, context: Context
    ) -> pb.SubmitOfflineSignatureResponse:
        device_id, task_id = CALL.get().device_id, request.task_id.lower()
        made: list[SigningRow] = []

        def work(connection: Connection) -> pb.SubmitOfflineSignatureResponse | ServiceError:
            row = self._offline.submit(connection, device_id, task_id, request.evidence)
            if isinstance(row, ServiceError):
                return row
            made[:] = [row]
            return pb.SubmitOfflineSignatureResponse(
                task_id=task_id, state=pb.SigningState.ValueType(row.state)
            )

        answer = await self._base.mutations.run(
            request, action="signings.submit", subject=f"tasks/{task_id}", work=work
        )
        if made:
            await self._make(_brief(made[0]))
        row = await self._base.store.look(lambda connection: rows.find_by_task(connection, task_id))
        if row is not None and row.state == State.FAILED:
            raise ServiceError(Reason.SIGN_TASK_OVER, "It could not be signed any more.", {"why": row.reason})
        state = pb.SigningState.ValueType(row.state) if row else answer.state
        return pb.SubmitOfflineSignatureResponse(task_id=task_id, state=state)

    async def _make(self, signing: pb.Signing) -> None:
        """Make the signature now; what hinders it is told in the log, and the job takes it up again."""
        loop = asyncio.get_running_loop()
        async with self._line.one(signing.contract_id):
            try:
                await loop.run_in_executor(
                    self._makers, self._maker.make, signing.signing_id, signing.contract_id
                )
            except ServiceError as error:
                _log.warning("signature_left", signing=signing.signing_id, reason=error.reason.value)

    async def _show(self, account_id: str, signing_id: str) -> pb.Signing:
        def read(connection: Connection) -> pb.Signing:
            return self._views.signing(connection, self._desk.find(connection, account_id, signing_id))

        return await self._base.store.look(read)

    def _previewed(self, account_id: str, signing_id: str) -> tuple[Plan, bytes]:
        """What was chosen, and the newest revision of the document."""
        contract, plan = self._base.store.run(
            lambda connection: self._desk.chosen(connection, account_id, signing_id)
        )
        with self._base.store.reading() as connection:
            return plan, self._desk.ground.contracts.open_current(connection, contract)


def _brief(row: SigningRow) -> pb.Signing:
    """What is kept to be answered again: nothing of it is personal."""
    told = pb.Signing(
        signing_id=row.signing_id, contract_id=row.contract_id, state=pb.SigningState.ValueType(row.state)
    )
    told.start_time.FromDatetime(from_us(row.started_us))
    return told


def _name(signing_id: str) -> str:
    return f"signings/{signing_id}"
