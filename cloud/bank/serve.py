"""What this room serves, and what it does by itself."""

from __future__ import annotations

from datetime import timedelta

from cloud.authorities.port import Bank
from cloud.bank.bank_service import BankService
from cloud.bank.catalogue import Catalogue
from cloud.bank.checks import Checks
from cloud.bank.coop_service import CoopService
from cloud.bank.customer_service import CustomerService
from cloud.bank.customers import Customers
from cloud.bank.jobs import jobs as session_jobs
from cloud.bank.ports import Faces
from cloud.bank.questions import Questions
from cloud.bank.requests import Requests
from cloud.bank.sessions import Sessions
from cloud.bank.steps import Steps
from cloud.bank.vault import Vault
from cloud.papers.render import Fonts
from cloud.serving import Base, Served, served
from cloud.upkeep import Job
from verifield.v1 import (
    bank_service_pb2,
    bank_service_pb2_grpc,
    coop_service_pb2,
    coop_service_pb2_grpc,
    customer_service_pb2,
    customer_service_pb2_grpc,
)


def services(base: Base, *, bank: Bank, budget: timedelta, faces: Faces, fonts: Fonts | None) -> list[Served]:
    """``bank``: the authority, ``budget``: the longest that it is asked for; ``fonts``: of papers."""
    sessions = make_sessions(base)
    customers, catalogue = Customers(sessions), Catalogue(base.sources)
    requests = Requests(sessions, customers, catalogue, fonts)
    coop = CoopService(
        base.store,
        base.mutations,
        sessions=sessions,
        customers=customers,
        catalogue=catalogue,
        steps=Steps(sessions, customers, catalogue),
        requests=requests,
        checks=Checks(
            base.store,
            base.mutations,
            customers,
            sessions,
            questions=Questions(base.store, sessions, bank, budget=budget),
            faces=faces,
        ),
    )
    return [
        served(coop_service_pb2, coop_service_pb2_grpc.add_CoopServiceServicer_to_server, coop),
        served(
            customer_service_pb2,
            customer_service_pb2_grpc.add_CustomerServiceServicer_to_server,
            CustomerService(base.store, base.mutations, sessions=sessions, customers=customers),
        ),
        served(
            bank_service_pb2,
            bank_service_pb2_grpc.add_BankServiceServicer_to_server,
            BankService(
                base.store, base.mutations, sessions=sessions, catalogue=catalogue, requests=requests
            ),
        ),
    ]


def jobs(base: Base) -> list[Job]:
    """Sessions whose time is over."""
    return session_jobs(base.store, make_sessions(base))


def make_sessions(base: Base) -> Sessions:
    """Sessions; it keeps nothing, so that it may be made more than once."""
    return Sessions(Vault(base.persons), base.sources)
