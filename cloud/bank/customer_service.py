"""CustomerService: customers of bank verification, at the device and for those who look after them."""

# ruff: noqa: N802, ARG002 (names and arguments of methods come from the contract)

from __future__ import annotations

from typing import Any, TypeVar

import grpc
from sqlalchemy import Connection

from cloud.access.call import caller_of_call
from cloud.bank.customers import Customers
from cloud.bank.sessions import Sessions
from cloud.bank.states import Event
from cloud.elements import parse_id_number
from cloud.errors import Reason, ServiceError
from cloud.mutations import Mutations
from cloud.store.database import Store
from verifield.v1 import customer_service_pb2 as pb
from verifield.v1.customer_service_pb2_grpc import CustomerServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]
T = TypeVar("T")


class CustomerService(CustomerServiceServicer):
    """Changes go through ``mutations``: once each, and told in the audit chain."""

    def __init__(
        self, store: Store, mutations: Mutations, *, sessions: Sessions, customers: Customers
    ) -> None:
        self._store = store
        self._mutations = mutations
        self._sessions = sessions
        self._customers = customers

    async def UpsertCustomer(
        self, request: pb.UpsertCustomerRequest, context: Context
    ) -> pb.UpsertCustomerResponse:
        device_id = caller_of_call().name

        def work(connection: Connection) -> pb.UpsertCustomerResponse:
            row = self._sessions.take(
                connection, request.session_id, Event.CHANGE_CUSTOMER, device_id=device_id
            )
            moved = self._sessions.move(connection, row, Event.CHANGE_CUSTOMER)
            customer = self._customers.upsert(connection, moved, request.info, version=request.version)
            return pb.UpsertCustomerResponse(customer=customer)

        return await self._mutations.run(
            request,
            action="customers.upsert",
            subject=lambda answer: name_of(answer.customer.customer_id),
            work=work,
            facts={"session": request.session_id},
        )

    async def GetSessionCustomer(
        self, request: pb.GetSessionCustomerRequest, context: Context
    ) -> pb.GetSessionCustomerResponse:
        device_id = caller_of_call().name

        def read(connection: Connection) -> pb.GetSessionCustomerResponse:
            row = self._sessions.look(
                connection, request.session_id, Event.SHOW_CUSTOMER, device_id=device_id
            )
            number = self._sessions.card_of(connection, row).number
            found = self._customers.of_number(connection, number)
            if found is None:
                return pb.GetSessionCustomerResponse()
            return pb.GetSessionCustomerResponse(customer=self._customers.read(connection, found.customer_id))

        return await self._store.look(read)

    async def GetCustomer(self, request: pb.GetCustomerRequest, context: Context) -> pb.GetCustomerResponse:
        def read(connection: Connection) -> pb.GetCustomerResponse:
            found = self._customers.read(connection, request.customer_id, request.version)
            return pb.GetCustomerResponse(customer=found)

        return await self._store.look(read)

    async def FindCustomer(
        self, request: pb.FindCustomerRequest, context: Context
    ) -> pb.FindCustomerResponse:
        number = parse_id_number(request.id_number, path="id_number")

        def read(connection: Connection) -> pb.FindCustomerResponse:
            found = self._customers.of_number(connection, number)
            if found is None:
                raise ServiceError(Reason.CUSTOMER_NOT_FOUND, "There is no customer with this card.")
            return pb.FindCustomerResponse(customer=self._customers.read(connection, found.customer_id))

        return await self._store.look(read)

    async def LinkOrganisation(
        self, request: pb.LinkOrganisationRequest, context: Context
    ) -> pb.LinkOrganisationResponse:
        def work(connection: Connection) -> pb.LinkOrganisationResponse:
            linked = self._customers.link(connection, request.customer_id, request.name)
            return pb.LinkOrganisationResponse(organisation=linked)

        return await self._mutations.run(
            request, action="customers.link", subject=name_of(request.customer_id), work=work
        )

    async def UnlinkOrganisation(
        self, request: pb.UnlinkOrganisationRequest, context: Context
    ) -> pb.UnlinkOrganisationResponse:
        def work(connection: Connection) -> pb.UnlinkOrganisationResponse:
            self._customers.unlink(connection, request.customer_id, request.organisation_id)
            return pb.UnlinkOrganisationResponse()

        return await self._mutations.run(
            request, action="customers.unlink", subject=name_of(request.customer_id), work=work
        )


def name_of(customer_id: str) -> str:
    """How the audit chain names a customer; what was answered about one is forgotten by it."""
    return f"customers/{customer_id}"[:256]
