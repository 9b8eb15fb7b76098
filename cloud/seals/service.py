"""SealService: pictures of seals, who may use them, and who did."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from sqlalchemy import Connection

from cloud.access.call import caller_of_call
from cloud.api.rules import refuse_field
from cloud.objects.kinds import MediaType
from cloud.organisations import uploads
from cloud.organisations.desk import check_verified
from cloud.organisations.lists import page_of
from cloud.seals import views
from cloud.seals.drawing import Drawn, Pen
from cloud.seals.grants import Grants
from cloud.seals.policy import bare_picture, check_beginning, check_bytes, check_image
from cloud.seals.states import Scope
from cloud.seals.workshop import Picture, Wanted, Workshop, seal_subject
from cloud.serving import Base
from cloud.store import seals as rows
from cloud.store.seals import GrantRow, SealRow, UseRow
from verifield.v1 import seal_service_pb2 as pb
from verifield.v1.seal_service_pb2_grpc import SealServiceServicer

M = TypeVar("M", bound=Message)
HandIn = Callable[[Connection], SealRow]
Context = grpc.aio.ServicerContext[Any, Any]
_PNG = frozenset({MediaType.PNG})
_grants = partial(page_of, read=rows.select_grants, row=GrantRow, position="grant_id")
_seals = partial(page_of, read=rows.select_seals, row=SealRow, position="seal_id")


class SealService(SealServiceServicer):
    """``font``: of the seals that are drawn here; None: the system's."""

    def __init__(self, base: Base, workshop: Workshop, grants: Grants, *, font: Path | None) -> None:
        self._base = base
        self._workshop = workshop
        self._grants = grants
        self._font = font

    async def GetSealPolicy(
        self, request: pb.GetSealPolicyRequest, context: Context
    ) -> pb.GetSealPolicyResponse:
        return pb.GetSealPolicyResponse(policy=views.policy())

    async def UploadSeal(
        self, request_iterator: AsyncIterator[pb.UploadSealRequest], context: Context
    ) -> pb.UploadSealResponse:
        caller = caller_of_call().name
        header: pb.UploadSealHeader = await uploads.read_header(request_iterator)
        wanted = _wanted(header)
        await self._look_submit(wanted, caller, again=bool(header.request_id))
        content = await _receive(request_iterator, header)
        size = (header.width_dmm, header.height_dmm)
        content = await asyncio.to_thread(bare_picture, content)
        check = partial(check_image, width_dmm=size[0], height_dmm=size[1])
        picture = Picture(await asyncio.to_thread(check, content), *size, pb.SEAL_SOURCE_UPLOADED)
        submit = partial(self._submit, wanted, picture, content, caller=caller)
        return await self._run_submit(header, submit, pb.UploadSealResponse, source="UPLOADED")

    async def PreviewGeneratedSeal(
        self, request: pb.PreviewGeneratedSealRequest, context: Context
    ) -> pb.PreviewGeneratedSealResponse:
        drawn = await self._draw(request.organisation_id, request.drawing, caller_of_call().name)
        return pb.PreviewGeneratedSealResponse(
            image=drawn.png, width_dmm=drawn.width_dmm, height_dmm=drawn.height_dmm
        )

    async def GenerateSeal(
        self, request: pb.GenerateSealRequest, context: Context
    ) -> pb.GenerateSealResponse:
        caller, wanted = caller_of_call().name, _wanted(request)
        await self._look_submit(wanted, caller, again=bool(request.request_id))
        drawn = await self._draw(request.organisation_id, request.drawing, caller)
        size = (drawn.width_dmm, drawn.height_dmm)
        check = partial(check_image, width_dmm=size[0], height_dmm=size[1])
        picture = Picture(await asyncio.to_thread(check, drawn.png), *size, pb.SEAL_SOURCE_GENERATED)
        submit = partial(self._submit, wanted, picture, drawn.png, caller=caller)
        return await self._run_submit(request, submit, pb.GenerateSealResponse, source="GENERATED")

    async def GetSeal(self, request: pb.GetSealRequest, context: Context) -> pb.GetSealResponse:
        caller = caller_of_call().name

        def read(connection: Connection) -> pb.Seal:
            row, admin = self._grants.visible(connection, request.seal_id, caller)
            return views.describe(connection, self._workshop, row, admin=admin)

        return pb.GetSealResponse(seal=await self._base.store.look(read))

    async def GetSealImage(
        self, request: pb.GetSealImageRequest, context: Context
    ) -> AsyncIterator[pb.GetSealImageResponse]:
        caller = caller_of_call().name

        def read(connection: Connection) -> bytes:
            row, admin = self._grants.visible(connection, request.seal_id, caller)
            return views.open_image(connection, self._workshop, row, request.version, any_version=admin)

        for piece in uploads.pieces(await self._base.store.look(read)):
            yield pb.GetSealImageResponse(content=piece)

    async def ListSeals(self, request: pb.ListSealsRequest, context: Context) -> pb.ListSealsResponse:
        caller = caller_of_call().name

        def read(connection: Connection) -> tuple[list[SealRow], str]:
            organisations = self._workshop.registry.organisations
            organisations.require_admin(connection, request.organisation_id, caller)
            organisations.require_known(connection, request.organisation_id)
            return _seals(connection, request, organisation_id=request.organisation_id)

        found, token = await self._base.store.look(read)
        return pb.ListSealsResponse(seals=map(views.outline, found), next_page_token=token)

    async def FreezeSeal(self, request: pb.FreezeSealRequest, context: Context) -> pb.FreezeSealResponse:
        return await self._change(
            request, self._workshop.freeze, pb.FreezeSealResponse, action="seals.freeze"
        )

    async def UnfreezeSeal(
        self, request: pb.UnfreezeSealRequest, context: Context
    ) -> pb.UnfreezeSealResponse:
        change = self._workshop.unfreeze
        return await self._change(request, change, pb.UnfreezeSealResponse, action="seals.unfreeze")

    async def RevokeSeal(self, request: pb.RevokeSealRequest, context: Context) -> pb.RevokeSealResponse:
        return await self._change(
            request, self._workshop.revoke, pb.RevokeSealResponse, action="seals.revoke"
        )

    async def GrantSeal(self, request: pb.GrantSealRequest, context: Context) -> pb.GrantSealResponse:
        caller = caller_of_call().name

        def work(connection: Connection) -> pb.GrantSealResponse:
            row = self._grants.give(
                connection,
                request.seal_id,
                caller=caller,
                account_id=request.account_id,
                scopes=[Scope(scope) for scope in request.scopes],
                valid_from=request.valid_from if request.HasField("valid_from") else None,
                valid_until=request.valid_until,
                max_uses=request.max_uses,
            )
            return pb.GrantSealResponse(grant=self._grants.describe(row))

        return await self._base.mutations.run(
            request,
            action="seals.grant",
            subject=seal_subject(request.seal_id),
            work=work,
            facts={
                "account": request.account_id,
                "scopes": ",".join(Scope(scope).name for scope in sorted(request.scopes)),
                "max_uses": str(request.max_uses),
            },
        )

    async def RevokeSealGrant(
        self, request: pb.RevokeSealGrantRequest, context: Context
    ) -> pb.RevokeSealGrantResponse:
        caller = caller_of_call().name

        def work(connection: Connection) -> pb.RevokeSealGrantResponse:
            row = self._grants.revoke(connection, request.grant_id, caller=caller)
            return pb.RevokeSealGrantResponse(grant=self._grants.describe(row))

        return await self._base.mutations.run(
            request, action="seals.revoke_grant", subject=f"seal_grants/{request.grant_id}", work=work
        )

    async def ListSealGrants(
        self, request: pb.ListSealGrantsRequest, context: Context
    ) -> pb.ListSealGrantsResponse:
        caller = caller_of_call().name

        def read(connection: Connection) -> tuple[list[GrantRow], str]:
            self._workshop.own(connection, request.seal_id, caller)
            return _grants(connection, request, seal_id=request.seal_id)

        found, token = await self._base.store.look(read)
        return pb.ListSealGrantsResponse(grants=map(self._grants.describe, found), next_page_token=token)

    async def ListOwnSealGrants(
        self, request: pb.ListOwnSealGrantsRequest, context: Context
    ) -> pb.ListOwnSealGrantsResponse:
        caller = caller_of_call().name
        found, token = await self._base.store.look(partial(_grants, request=request, account_id=caller))
        return pb.ListOwnSealGrantsResponse(grants=map(self._grants.describe, found), next_page_token=token)

    async def ListSealUses(
        self, request: pb.ListSealUsesRequest, context: Context
    ) -> pb.ListSealUsesResponse:
        caller = caller_of_call().name

        def read(connection: Connection) -> pb.ListSealUsesResponse:
            self._workshop.own(connection, request.seal_id, caller)
            found, token = page_of(
                connection,
                request,
                read=rows.select_uses,
                row=UseRow,
                position="use_id",
                seal_id=request.seal_id,
            )
            uses = views.describe_uses(connection, self._base.persons, found)
            return pb.ListSealUsesResponse(uses=uses, next_page_token=token)

        return await self._base.store.look(read)

    async def InspectSeal(self, request: pb.InspectSealRequest, context: Context) -> pb.InspectSealResponse:
        def read(connection: Connection) -> pb.Seal:
            return views.inspect(connection, self._workshop.find(connection, request.seal_id))

        return pb.InspectSealResponse(seal=await self._base.store.look(read))

    async def SearchSeals(self, request: pb.SearchSealsRequest, context: Context) -> pb.SearchSealsResponse:
        wanted = {"organisation_id": request.organisation_id, "state": int(request.state)}
        found, token = await self._base.store.look(partial(_seals, request=request, **wanted))
        return pb.SearchSealsResponse(seals=map(views.outline, found), next_page_token=token)

    async def ReadSealImage(
        self, request: pb.ReadSealImageRequest, context: Context
    ) -> AsyncIterator[pb.ReadSealImageResponse]:
        def read(connection: Connection) -> bytes:
            row = self._workshop.find(connection, request.seal_id)
            return views.open_image(connection, self._workshop, row, request.version, any_version=True)

        for piece in uploads.pieces(await self._base.store.look(read)):
            yield pb.ReadSealImageResponse(content=piece)

    async def _look_submit(self, wanted: Wanted, caller: str, *, again: bool) -> None:
        check = partial(self._workshop.check_may_submit, wanted=wanted, caller=caller, again=again)
        await self._base.store.look(check)

    async def _submit(self, wanted: Wanted, picture: Picture, content: bytes, *, caller: str) -> HandIn:
        """The work that hands a picture in; its file is on disk by then."""
        take = partial(
            self._workshop.registry.objects.take, content, person_id=wanted.organisation_id, kinds=_PNG
        )
        staged = await asyncio.to_thread(take)
        return lambda connection: self._workshop.submit(connection, wanted, picture, staged, caller=caller)

    async def _run_submit(
        self,
        request: Any,
        submit: Callable[[], Awaitable[HandIn]],
        answer: Callable[..., M],
        *,
        source: str,
    ) -> M:
        hand_in = await submit()
        return await self._base.mutations.run(
            request,
            action="seals.submit",
            subject=_seal_of,
            work=lambda connection: answer(seal=views.outline(hand_in(connection))),
            facts={"organisation": request.organisation_id, "source": source},
        )

    async def _change(
        self,
        request: Any,
        change: Callable[..., SealRow],
        answer: Callable[..., M],
        *,
        action: str,
    ) -> M:
        caller = caller_of_call().name
        return await self._base.mutations.run(
            request,
            action=action,
            subject=seal_subject(request.seal_id),
            work=lambda connection: answer(
                seal=views.outline(change(connection, request.seal_id, caller=caller))
            ),
        )

    async def _draw(self, organisation_id: str, drawing: pb.SealDrawing, caller: str) -> Drawn:
        def read(connection: Connection) -> str:
            organisations = self._workshop.registry.organisations
            row = organisations.require_admin(connection, organisation_id, caller)
            check_verified(row)
            return organisations.profile(connection, row).name

        name = await self._base.store.look(read)
        return await asyncio.to_thread(lambda: Pen.open(self._font).draw(name, drawing))


async def _receive(requests: AsyncIterator[pb.UploadSealRequest], header: pb.UploadSealHeader) -> bytes:
    """The picture, small enough to be held; what is none is refused at its first bytes."""

    def check(content: bytearray) -> None:
        check_beginning(bytes(content[:8]))
        check_bytes(len(content))

    content = await uploads.collect(requests, check)
    uploads.check_digest(sha256(content).digest(), header)
    return content


def _wanted(request: pb.UploadSealHeader | pb.GenerateSealRequest) -> Wanted:
    if not request.seal_id and not request.kind:
        refuse_field("kind", rule="seal.kind", why="says what a new seal is")
    return Wanted(request.organisation_id, request.seal_id, request.kind, request.label)


def _seal_of(answer: Any) -> str:
    return seal_subject(answer.seal.seal_id)
