"""IdentityService for those at windows, in the information centre, and for auditors."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

from sqlalchemy import Connection

from cloud.access.call import caller_of_call
from cloud.accounts.states import Event as AccountEvent
from cloud.api.rules import refuse_field
from cloud.errors import Reason, ServiceError
from cloud.store import site_verifications
from cloud.store import verifications as rows
from cloud.verifications.base import Context, Desks, path_of
from cloud.verifications.ledger import page_of_ledger
from cloud.verifications.lists import page_of_conflicts, page_of_sites, page_of_verifications
from cloud.verifications.online import read
from cloud.verifications.sites import DEFAULT_LIFE
from cloud.verifications.views import to_entry, to_identity, to_site, to_verification
from verifield.v1 import identity_service_pb2 as pb
from verifield.v1.identity_service_pb2_grpc import IdentityServiceServicer

LONGEST_EXPORT_US = 366 * 86_400_000_000


class StaffMethods(IdentityServiceServicer):
    """Needs ``_desks``."""

    _desks: Desks

    async def GetVerification(
        self, request: pb.GetVerificationRequest, context: Context
    ) -> pb.GetVerificationResponse:
        row = await self._desks.read(lambda connection: read(connection, request.verification_id))
        return pb.GetVerificationResponse(verification=to_verification(row))

    async def ListVerifications(
        self, request: pb.ListVerificationsRequest, context: Context
    ) -> pb.ListVerificationsResponse:
        return await self._desks.read(lambda connection: page_of_verifications(connection, request))

    async def GetAccountIdentity(
        self, request: pb.GetAccountIdentityRequest, context: Context
    ) -> pb.GetAccountIdentityResponse:
        desks = self._desks

        def look(connection: Connection) -> pb.Identity:
            desks.verifications.accounts.find(connection, request.account_id)
            row = rows.get_identity(connection, request.account_id)
            return to_identity(row, desks.verifications.rules(connection))

        return pb.GetAccountIdentityResponse(identity=await desks.read(look))

    async def RecordManualVerification(
        self, request: pb.RecordManualVerificationRequest, context: Context
    ) -> pb.RecordManualVerificationResponse:
        desks, caller = self._desks, caller_of_call()

        def work(connection: Connection) -> pb.RecordManualVerificationResponse:
            row, entry = desks.ledger.record(connection, request, caller=caller)
            return pb.RecordManualVerificationResponse(
                verification=to_verification(row), entry=to_entry(entry)
            )

        return await desks.base.mutations.run(
            request,
            action="identity.verify_manually",
            subject=path_of(request.account_id),
            work=work,
            facts={"reason": pb.ManualReason.Name(request.reason).removeprefix("MANUAL_REASON_")},
        )

    async def ExportManualVerifications(
        self, request: pb.ExportManualVerificationsRequest, context: Context
    ) -> AsyncIterator[pb.ExportManualVerificationsResponse]:
        start_us = request.start_time.ToMicroseconds()
        end_us = request.end_time.ToMicroseconds()
        if not 0 < end_us - start_us <= LONGEST_EXPORT_US:
            refuse_field("end_time", rule="export.span", why="is not after start_time by at most 366 days")
        page = partial(page_of_ledger, start_us=start_us, end_us=end_us)
        found = await self._desks.read(page)
        while found:
            yield pb.ExportManualVerificationsResponse(entries=map(to_entry, found))
            found = await self._desks.read(partial(page, after=found[-1].number))

    async def DeclareStaffIdentity(
        self, request: pb.DeclareStaffIdentityRequest, context: Context
    ) -> pb.DeclareStaffIdentityResponse:
        desks, caller = self._desks, caller_of_call()

        def work(connection: Connection) -> pb.DeclareStaffIdentityResponse:
            desks.staff.declare(connection, request.user_id, request.id_number, caller=caller)
            return pb.DeclareStaffIdentityResponse()

        return await desks.base.mutations.run(
            request, action="identity.declare_staff", subject=f"users/{request.user_id}", work=work
        )

    async def RequestSiteVerification(
        self, request: pb.RequestSiteVerificationRequest, context: Context
    ) -> pb.RequestSiteVerificationResponse:
        desks, caller = self._desks, caller_of_call()
        life = timedelta(days=request.days) if request.days else DEFAULT_LIFE

        def work(connection: Connection) -> pb.RequestSiteVerificationResponse:
            held = desks.verifications.hold(connection, request.account_id)
            desks.verifications.check_open(held, AccountEvent.VERIFY_IDENTITY)
            desks.verifications.check_undisputed(connection, held)
            if held.identity.elements_us is None:
                raise ServiceError(Reason.ELEMENTS_REQUIRED, "The four elements have not been verified.")
            person = desks.verifications.accounts.personal(connection, request.account_id)
            row = desks.sites.request(
                connection,
                account_id=request.account_id,
                site_id=request.site_id,
                name=person.name,
                id_number=person.id_number,
                life=life,
                requested_by=caller.path,
            )
            return pb.RequestSiteVerificationResponse(request=to_site(row))

        return await desks.base.mutations.run(
            request,
            action="identity.request_site",
            subject=path_of(request.account_id),
            work=work,
            facts={"site": request.site_id},
        )

    async def WithdrawSiteVerification(
        self, request: pb.WithdrawSiteVerificationRequest, context: Context
    ) -> pb.WithdrawSiteVerificationResponse:
        desks = self._desks

        def work(connection: Connection) -> pb.WithdrawSiteVerificationResponse:
            desks.sites.cancel(connection, request.task_id)
            row = site_verifications.get_task(connection, request.task_id)
            results = site_verifications.results_of_tasks(connection, [request.task_id])
            if row is None:  # it was there a moment ago, and rows are never deleted
                raise ServiceError(Reason.SITE_TASK_NOT_FOUND, "There is no such request.")
            return pb.WithdrawSiteVerificationResponse(request=to_site(row, results))

        return await desks.base.mutations.run(
            request,
            action="identity.withdraw_site",
            subject=lambda answer: path_of(answer.request.account_id),
            work=work,
        )

    async def ListSiteVerifications(
        self, request: pb.ListSiteVerificationsRequest, context: Context
    ) -> pb.ListSiteVerificationsResponse:
        return await self._desks.read(lambda connection: page_of_sites(connection, request))

    async def ListConflicts(
        self, request: pb.ListConflictsRequest, context: Context
    ) -> pb.ListConflictsResponse:
        return await self._desks.read(lambda connection: page_of_conflicts(connection, request))
