"""The half of SigningService about what a person signs with: pictures of signatures, and passkeys."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from typing import Any

import grpc
from sqlalchemy import Connection

from cloud.access.call import caller_of_call
from cloud.accounts.sessions import FRESH
from cloud.errors import Reason, ServiceError
from cloud.serving import Base
from cloud.signatures import views
from cloud.signatures.assets import Assets, Look
from cloud.signatures.desk import Desk
from cloud.signatures.passkeys import Passkeys
from cloud.signatures.previews import Pictures
from verifield.v1 import signing_service_pb2 as pb
from verifield.v1.signing_service_pb2_grpc import SigningServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class OwnService(SigningServiceServicer):
    """Changes go through the mutations of ``base``: once each, and told in the audit chain."""

    def __init__(
        self, base: Base, desk: Desk, *, assets: Assets, passkeys: Passkeys, pictures: Pictures
    ) -> None:
        self._base = base
        self._desk = desk
        self._assets = assets
        self._passkeys = passkeys
        self._pictures = pictures

    async def ListSignatureAssets(
        self, request: pb.ListSignatureAssetsRequest, context: Context
    ) -> pb.ListSignatureAssetsResponse:
        account_id = caller_of_call().name

        def read(connection: Connection) -> tuple[Look, list[pb.SignatureAsset]]:
            name = self._desk.ground.contracts.core.require_real_name(connection, account_id)
            drawn = self._assets.drawn(connection, account_id)
            return self._assets.default(name), [views.asset(one) for one in drawn]

        look, drawn = await self._base.store.look(read)
        return pb.ListSignatureAssetsResponse(assets=[await self._pictures.asset(look), *drawn])

    async def DrawSignature(
        self, request: pb.DrawSignatureRequest, context: Context
    ) -> pb.DrawSignatureResponse:
        account_id = caller_of_call().name

        def work(connection: Connection) -> pb.DrawSignatureResponse:
            drawn = self._assets.draw(connection, account_id, request.strokes)
            return pb.DrawSignatureResponse(asset=views.asset(drawn))

        return await self._base.mutations.run(
            request,
            action="signatures.draw",
            subject=_account(account_id),
            work=work,
        )

    async def RetireSignature(
        self, request: pb.RetireSignatureRequest, context: Context
    ) -> pb.RetireSignatureResponse:
        account_id = caller_of_call().name

        def work(connection: Connection) -> pb.RetireSignatureResponse:
            self._assets.retire(connection, account_id, request.asset_id.lower())
            return pb.RetireSignatureResponse()

        return await self._base.mutations.run(
            request,
            action="signatures.retire",
            subject=_account(account_id),
            work=work,
            facts={"asset": request.asset_id.lower()},
        )

    async def StartPasskey(
        self, request: pb.StartPasskeyRequest, context: Context
    ) -> pb.StartPasskeyResponse:
        account_id = self._fresh()
        return await self._base.mutations.run(
            request,
            action="passkeys.start",
            subject=_account(account_id),
            work=lambda connection: self._passkeys.begin(connection, account_id),
        )

    async def FinishPasskey(
        self, request: pb.FinishPasskeyRequest, context: Context
    ) -> pb.FinishPasskeyResponse:
        account_id = self._fresh()

        def work(connection: Connection) -> pb.FinishPasskeyResponse | ServiceError:
            made = self._passkeys.finish(
                connection, account_id, request.registration_id.lower(), request.response_json, request.name
            )
            if isinstance(made, ServiceError):
                return made
            return pb.FinishPasskeyResponse(passkey=views.passkey(made))

        return await self._base.mutations.run(
            request, action="passkeys.register", subject=_account(account_id), work=work
        )

    async def ListPasskeys(
        self, request: pb.ListPasskeysRequest, context: Context
    ) -> pb.ListPasskeysResponse:
        account_id = caller_of_call().name
        found = await self._base.store.look(lambda connection: self._passkeys.of(connection, account_id))
        return pb.ListPasskeysResponse(passkeys=[views.passkey(one) for one in found])

    async def RenamePasskey(
        self, request: pb.RenamePasskeyRequest, context: Context
    ) -> pb.RenamePasskeyResponse:
        account_id, passkey_id = caller_of_call().name, request.passkey_id.lower()

        def work(connection: Connection) -> pb.RenamePasskeyResponse:
            renamed = self._passkeys.rename(connection, account_id, passkey_id, request.name)
            return pb.RenamePasskeyResponse(passkey=views.passkey(renamed))

        return await self._base.mutations.run(
            request,
            action="passkeys.rename",
            subject=_account(account_id),
            work=work,
            facts={"passkey": passkey_id},
        )

    async def RemovePasskey(
        self, request: pb.RemovePasskeyRequest, context: Context
    ) -> pb.RemovePasskeyResponse:
        account_id, passkey_id = caller_of_call().name, request.passkey_id.lower()

        def work(connection: Connection) -> pb.RemovePasskeyResponse:
            self._passkeys.remove(connection, account_id, passkey_id)
            return pb.RemovePasskeyResponse()

        return await self._base.mutations.run(
            request,
            action="passkeys.remove",
            subject=_account(account_id),
            work=work,
            facts={"passkey": passkey_id},
        )

    def _fresh(self) -> str:
        """The account, where whoever calls has shown lately that it is theirs.

        Raises:
            ServiceError: SIGN_IN_TOO_OLD.
        """
        caller = caller_of_call()
        if caller.proven is None or self._base.sources.now() - caller.proven > FRESH:
            raise ServiceError(Reason.SIGN_IN_TOO_OLD, "The sign-in is older than ten minutes.")
        return caller.name


def _account(account_id: str) -> str:
    return f"accounts/{account_id}"
