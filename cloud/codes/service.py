"""OtpService: whoever signed in to an account proves its telephone number."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import grpc
from sqlalchemy import Connection

from cloud.access.call import CALL, caller_of_call
from cloud.api.statuses import LANGUAGE_KEY
from cloud.codes.binding import Finding, PhoneBinding
from cloud.codes.desk import Codes, Purpose
from cloud.codes.ports import HolderOf, PhoneVerified
from cloud.codes.proofs import Proofs
from cloud.codes.values import Method
from cloud.errors import Reason, ServiceError
from cloud.hints import choose_language, hint_of
from cloud.serving import Base
from verifield.v1 import otp_service_pb2 as pb
from verifield.v1.otp_service_pb2_grpc import OtpServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ports:
    """What other rooms give."""

    holder_of: HolderOf
    phone_verified: PhoneVerified


class OtpService(OtpServiceServicer):
    """Codes of SIGN_CONTRACT are bound to a digest, those of the others to their number alone."""

    def __init__(
        self, base: Base, codes: Codes, proofs: Proofs, *, binding: PhoneBinding, ports: Ports
    ) -> None:
        self._base = base
        self._codes = codes
        self._proofs = proofs
        self._binding = binding
        self._ports = ports

    async def SendCode(self, request: pb.SendCodeRequest, context: Context) -> pb.SendCodeResponse:
        account_id, call = caller_of_call().name, CALL.get()
        purpose = Purpose(request.purpose)
        hint = hint_of(Reason.SMS_TOO_OFTEN, choose_language(call.one(LANGUAGE_KEY)))
        if purpose is Purpose.REBIND_PHONE:
            await self._judge_new(account_id, request.phone)

        def work(connection: Connection) -> pb.SendCodeResponse:
            holder = self._ports.holder_of(connection, account_id, purpose)
            phone = request.phone or holder.phone
            if not phone:
                raise ServiceError(Reason.PHONE_MISSING, "The account has no telephone number.")
            sent = self._codes.send(
                connection,
                phone=phone,
                purpose=purpose,
                bound=request.bound,
                person_id=account_id,
                source=call.source,
                language=holder.language,
            )
            answer = pb.SendCodeResponse(
                challenge_id=sent.challenge_id, masked_phone=sent.masked_phone, hint=hint
            )
            answer.expire_time.FromDatetime(sent.expire_time)
            answer.retry_after.FromTimedelta(timedelta(seconds=sent.retry_s))
            return answer

        return await self._base.mutations.run(
            request,
            action="codes.send",
            subject=f"accounts/{account_id}",
            work=work,
            facts={"purpose": purpose.name},
        )

    async def VerifyCode(self, request: pb.VerifyCodeRequest, context: Context) -> pb.VerifyCodeResponse:
        account_id, challenge_id = caller_of_call().name, request.challenge_id.lower()
        finding = await self._judge(account_id, challenge_id)

        def work(connection: Connection) -> pb.VerifyCodeResponse | ServiceError:
            holder = self._ports.holder_of(connection, account_id, Purpose.REGISTER, lock=True)
            refused = self._codes.verify(
                connection,
                challenge_id,
                request.code,
                purpose=Purpose.REGISTER,
                bound=b"",
                phone=holder.phone,
                person_id=account_id,
            )
            if refused is not None:
                return refused
            # When the carrier was asked it was another one, or the code was not to be taken.
            if (finding.phone, finding.id_number) != (holder.phone, holder.id_number):
                return ServiceError(Reason.PHONE_CHANGED, "The account's number was just changed.")
            if finding.refusal is not None:
                return finding.refusal
            row = self._proofs.add(
                connection,
                account_id,
                holder.phone,
                method=Method.CODE,
                evidence_id=challenge_id,
                match=finding.match,
            )
            self._ports.phone_verified(connection, account_id)
            [proof] = self._proofs.describe(connection, [row], staff=False)
            return pb.VerifyCodeResponse(proof=proof)

        return await self._base.mutations.run(
            request,
            action="phones.verify",
            subject=f"accounts/{account_id}",
            work=work,
            facts={"match": finding.match.name},
        )

    async def ListPhoneProofs(
        self, request: pb.ListPhoneProofsRequest, context: Context
    ) -> pb.ListPhoneProofsResponse:
        return pb.ListPhoneProofsResponse(proofs=await self._newest(caller_of_call().name, staff=False))

    async def GetPhoneProofs(
        self, request: pb.GetPhoneProofsRequest, context: Context
    ) -> pb.GetPhoneProofsResponse:
        return pb.GetPhoneProofsResponse(proofs=await self._newest(request.account_id.lower(), staff=True))

    async def _judge(self, account_id: str, challenge_id: str) -> Finding:
        """What the carrier says, where the rules want to know; only for a code that may still be taken."""

        def read(connection: Connection) -> tuple[str, str]:
            holder = self._ports.holder_of(connection, account_id, Purpose.REGISTER)
            awaited = self._codes.awaits(connection, challenge_id, account_id)
            return holder.phone, holder.id_number if awaited else ""

        phone, id_number = await self._base.store.look(read)
        return await self._binding.judge(phone, id_number, request_id=challenge_id)

    async def _judge_new(self, account_id: str, text: str) -> None:
        """Refuse a number before a code is sent there, where the rules want the holder's own.

        Raises:
            ServiceError: PHONE_INVALID, PHONE_SEGMENT_UNSUPPORTED, PHONE_OTHER_HOLDER, PHONE_HOLDER_UNKNOWN.
        """

        def read(connection: Connection) -> tuple[str, str]:
            holder = self._ports.holder_of(connection, account_id, Purpose.REBIND_PHONE)
            return self._codes.check_phone(connection, text), holder.id_number

        finding = await self._binding.judge(*await self._base.store.look(read))
        if finding.refusal is not None:
            raise finding.refusal

    async def _newest(self, account_id: str, *, staff: bool) -> list[pb.PhoneProof]:
        def read(connection: Connection) -> list[pb.PhoneProof]:
            found = self._proofs.newest(connection, account_id)
            return self._proofs.describe(connection, found, staff=staff)

        return await self._base.store.look(read)
