"""IdentityService for the holder of an account."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from sqlalchemy import Connection

from cloud.access.call import CALL, caller_of_call
from cloud.authorities.port import AuthorityFault, CtidTransaction, Elements, FaceResult
from cloud.elements import FourElements, last_today, parse_elements
from cloud.errors import ServiceError
from cloud.rulebook.versions import CLIENT_KEY, check_client
from cloud.store import verifications as rows
from cloud.verifications.base import Context, Desks, answered, ask, path_of
from cloud.verifications.lists import page_of_own
from cloud.verifications.online import NONCE_BYTES, Asked, read
from cloud.verifications.views import stamp, to_identity, to_verification
from verifield.v1 import identity_service_pb2 as pb
from verifield.v1.identity_service_pb2_grpc import IdentityServiceServicer

LONG_TERM = "long_term"
"""The feature that old versions of clients do not have (ClientVersionRules)."""


class HolderMethods(IdentityServiceServicer):
    """Needs ``_desks``."""

    _desks: Desks

    async def VerifyFourElements(
        self, request: pb.VerifyFourElementsRequest, context: Context
    ) -> pb.VerifyFourElementsResponse:
        desks, account_id, told = self._desks, caller_of_call().name, CALL.get().one(CLIENT_KEY)
        given: FourElements | None = None
        if request.HasField("elements"):
            given = parse_elements(request.elements, today=last_today(desks.base.sources.now()))

        def begin(connection: Connection) -> Asked:
            asked = desks.online.begin_elements(
                connection, account_id, given, request_id=request.request_id.lower()
            )
            feature = LONG_TERM if asked.elements.validity.is_long_term else ""
            check_client(connection, told, now_us=desks.verifications.now_us, feature=feature)
            return asked

        asked = await desks.begin(begin)
        registry = desks.authorities.registry
        answer: Elements | AuthorityFault | None = None
        if not asked.again:
            answer = await ask(
                lambda: registry.check_elements(asked.elements, request_id=asked.row.verification_id)
            )

        def work(connection: Connection) -> pb.VerifyFourElementsResponse | ServiceError:
            ended = (
                read(connection, asked.row.verification_id)
                if answer is None
                else desks.online.conclude_elements(connection, asked, answer)
            )
            return answered(
                ended, lambda row: pb.VerifyFourElementsResponse(verification=to_verification(row))
            )

        return await desks.base.mutations.run(
            request, action="identity.verify_elements", subject=path_of(account_id), work=work
        )

    async def StartFaceCheck(
        self, request: pb.StartFaceCheckRequest, context: Context
    ) -> pb.StartFaceCheckResponse:
        desks, account_id = self._desks, caller_of_call().name

        def work(connection: Connection) -> pb.StartFaceCheckResponse:
            nonce = desks.base.sources.random_bytes(NONCE_BYTES)
            row = desks.online.start_face_check(connection, account_id, nonce=nonce)
            return pb.StartFaceCheckResponse(
                face_check_id=row.face_check_id, nonce=row.nonce, expire_time=stamp(row.expires_us)
            )

        return await desks.base.mutations.run(
            request, action="identity.start_face_check", subject=path_of(account_id), work=work
        )

    async def SubmitFaceEvidence(
        self, request: pb.SubmitFaceEvidenceRequest, context: Context
    ) -> pb.SubmitFaceEvidenceResponse:
        desks, account_id = self._desks, caller_of_call().name

        def begin(connection: Connection) -> Asked | ServiceError:
            return desks.online.begin_face(
                connection,
                account_id,
                request.face_check_id,
                request.evidence,
                request_id=request.request_id.lower(),
            )

        begun = await desks.begin(begin)
        answer: FaceResult | AuthorityFault | None = None
        if not isinstance(begun, ServiceError) and not begun.again:
            asked, registry = begun, desks.authorities.registry
            answer = await ask(
                lambda: registry.compare_face(
                    asked.known.id_number,
                    request.evidence.picture,
                    validity=asked.known.validity,
                    request_id=asked.row.verification_id,
                ),
            )

        def work(connection: Connection) -> pb.SubmitFaceEvidenceResponse | ServiceError:
            if isinstance(begun, ServiceError):
                return begun
            ended = (
                read(connection, begun.row.verification_id)
                if answer is None
                else desks.online.conclude_face(connection, begun, answer)
            )
            return answered(
                ended, lambda row: pb.SubmitFaceEvidenceResponse(verification=to_verification(row))
            )

        return await desks.base.mutations.run(
            request, action="identity.verify_face", subject=path_of(account_id), work=work
        )

    async def StartCtid(self, request: pb.StartCtidRequest, context: Context) -> pb.StartCtidResponse:
        desks, account_id = self._desks, caller_of_call().name
        asked = await desks.begin(
            lambda connection: desks.ctid.begin(connection, account_id, request_id=request.request_id.lower())
        )
        person, ctid = asked.known, desks.authorities.ctid
        answer: CtidTransaction | AuthorityFault | None = None
        if not asked.again:
            answer = await ask(lambda: ctid.start(person.name, person.id_number))

        def work(connection: Connection) -> pb.StartCtidResponse | ServiceError:
            started = desks.ctid.started(connection, asked, answer)
            link = answer.link if isinstance(answer, CtidTransaction) else ""
            return answered(
                started,
                lambda row: pb.StartCtidResponse(
                    verification=to_verification(row), link=link, expire_time=stamp(row.expires_us)
                ),
            )

        return await desks.base.mutations.run(
            request, action="identity.start_ctid", subject=path_of(account_id), work=work
        )

    async def FinishCtid(self, request: pb.FinishCtidRequest, context: Context) -> pb.FinishCtidResponse:
        desks, account_id = self._desks, caller_of_call().name
        waiting = await desks.read(
            lambda connection: desks.ctid.find(connection, account_id, request.verification_id)
        )
        person, ctid = waiting.person, desks.authorities.ctid
        answer = None
        if not waiting.ended:  # a fault is told as it is: the person may answer yet
            answer = await ctid.finish(
                waiting.transaction_id, nonce=waiting.nonce, name=person.name, id_number=person.id_number
            )

        def work(connection: Connection) -> pb.FinishCtidResponse | ServiceError:
            ended = desks.ctid.finished(connection, waiting, answer)
            return answered(ended, lambda row: pb.FinishCtidResponse(verification=to_verification(row)))

        return await desks.base.mutations.run(
            request, action="identity.finish_ctid", subject=path_of(account_id), work=work
        )

    async def GetIdentity(self, request: pb.GetIdentityRequest, context: Context) -> pb.GetIdentityResponse:
        desks, account_id = self._desks, caller_of_call().name
        return pb.GetIdentityResponse(
            identity=await desks.read(
                lambda connection: to_identity(
                    rows.get_identity(connection, account_id), desks.verifications.rules(connection)
                )
            )
        )

    async def ListOwnVerifications(
        self, request: pb.ListOwnVerificationsRequest, context: Context
    ) -> pb.ListOwnVerificationsResponse:
        account_id = caller_of_call().name
        return await self._desks.read(
            lambda connection: page_of_own(connection, request, account_id=account_id)
        )
