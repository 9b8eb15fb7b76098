"""The services and what surrounds their calls: made from what the data directory holds."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial

import grpc
from structlog.typing import FilteringBoundLogger

from cloud.access.call import Layer
from cloud.access.callers import Callers, Issuer
from cloud.access.fetch import get, open_context
from cloud.access.jwks import IssuerKeys, parse_json
from cloud.access.oidc import Trust
from cloud.access.rates import Places, RateLimits, Rates
from cloud.access.roles import Role
from cloud.access.rules import Rules
from cloud.attestations.bundles import Bundles
from cloud.attestations.media_service import MediaService
from cloud.attestations.service import AttestationService
from cloud.attestations.sync import SyncService
from cloud.audit.layer import AuditLayer
from cloud.audit.service import AuditService
from cloud.config import Config
from cloud.devices.enrollment_service import EnrollmentService
from cloud.devices.revocation import current_list
from cloud.devices.service import DeviceService
from cloud.errors import SetupError
from cloud.interceptors.calls import LogLayer, RequestIdLayer
from cloud.interceptors.deadline import DeadlineLayer
from cloud.interceptors.errors import ErrorLayer
from cloud.interceptors.identity import IdentityLayer, PermissionLayer
from cloud.interceptors.rates import AddressLayer, CallerLayer
from cloud.interceptors.telemetry import TelemetryLayer
from cloud.interceptors.validation import ValidationLayer
from cloud.log.service import LogService
from cloud.policies.service import PolicyService
from cloud.rooms import Opened, make_base, room_services
from cloud.serving import Served, served
from cloud.sources import Sources
from cloud.transfer.importer import Importer
from cloud.transfer.service import TransferService
from cloud.users.personal import PersonalVault
from cloud.users.service import UserService
from verifield.v1 import (
    account_service_pb2,
    approval_service_pb2,
    archive_service_pb2,
    attestation_service_pb2,
    attestation_service_pb2_grpc,
    audit_service_pb2,
    audit_service_pb2_grpc,
    authority_service_pb2,
    bank_service_pb2,
    business_service_pb2,
    catalog_service_pb2,
    certification_service_pb2,
    contract_service_pb2,
    coop_service_pb2,
    customer_service_pb2,
    device_service_pb2,
    device_service_pb2_grpc,
    diagnostics_service_pb2,
    document_service_pb2,
    enrollment_service_pb2,
    enrollment_service_pb2_grpc,
    escalation_service_pb2,
    feedback_service_pb2,
    identity_service_pb2,
    log_service_pb2,
    log_service_pb2_grpc,
    media_service_pb2,
    media_service_pb2_grpc,
    message_service_pb2,
    organisation_service_pb2,
    otp_service_pb2,
    policy_service_pb2,
    policy_service_pb2_grpc,
    report_service_pb2,
    review_service_pb2,
    rulebook_service_pb2,
    seal_service_pb2,
    signing_service_pb2,
    status_service_pb2,
    storage_service_pb2,
    sync_service_pb2,
    sync_service_pb2_grpc,
    task_service_pb2,
    transfer_service_pb2,
    transfer_service_pb2_grpc,
    user_service_pb2,
    user_service_pb2_grpc,
)

SERVICES = tuple(
    service.full_name
    for file in (
        archive_service_pb2,
        certification_service_pb2,
        account_service_pb2,
        approval_service_pb2,
        attestation_service_pb2,
        audit_service_pb2,
        authority_service_pb2,
        bank_service_pb2,
        business_service_pb2,
        catalog_service_pb2,
        contract_service_pb2,
        coop_service_pb2,
        customer_service_pb2,
        device_service_pb2,
        diagnostics_service_pb2,
        document_service_pb2,
        enrollment_service_pb2,
        escalation_service_pb2,
        feedback_service_pb2,
        identity_service_pb2,
        log_service_pb2,
        media_service_pb2,
        message_service_pb2,
        organisation_service_pb2,
        otp_service_pb2,
        policy_service_pb2,
        report_service_pb2,
        review_service_pb2,
        rulebook_service_pb2,
        seal_service_pb2,
        signing_service_pb2,
        status_service_pb2,
        storage_service_pb2,
        sync_service_pb2,
        task_service_pb2,
        transfer_service_pb2,
        user_service_pb2,
    )
    for service in file.DESCRIPTOR.services_by_name.values()
)
"""Full names of all services that the contract has."""


def make_layers(opened: Opened, config: Config, sources: Sources, log: FilteringBoundLogger) -> list[Layer]:
    """What surrounds every call, outermost first."""
    rules = Rules.of(SERVICES)
    limits = RateLimits(
        Rates(
            read=config.read_calls_per_minute,
            write=config.write_calls_per_minute,
            device=config.device_calls_per_minute,
            account=config.account_calls_per_minute,
            open=config.open_calls_per_minute,
            failed=config.failed_calls_per_minute,
        ),
        time.monotonic,
    )
    places = Places()
    callers = Callers(opened.store, opened.ring, sources, opened.issuer, sessions=opened.sessions)
    return [
        TelemetryLayer(opened.telemetry.metrics, opened.telemetry.tracing),
        RequestIdLayer(sources.random_bytes),
        LogLayer(log),
        ErrorLayer(log, sources.random_bytes),
        DeadlineLayer(config.max_call_s),
        AuditLayer(opened.audit.trail, rules),
        AddressLayer(limits, places, rules, log),
        IdentityLayer(rules, callers, sources, operator_sha256=opened.operator_sha256, places=places),
        CallerLayer(limits, places, rules),
        PermissionLayer(rules),
        ValidationLayer(),
    ]


def for_anybody(services: Iterable[Served]) -> list[Served]:
    """Those that make sense on a port without client certificates: not those of devices alone."""
    rules = Rules.of(one.name for one in services)
    return [one for one in services if not rules.is_for_devices(one.name)]


def make_services(opened: Opened, config: Config, sources: Sources, *, device_endpoint: str) -> list[Served]:
    """All services. ``device_endpoint``: told to devices, host:port; an empty host means the one called."""
    base = make_base(opened, sources)
    return [
        served(
            enrollment_service_pb2,
            enrollment_service_pb2_grpc.add_EnrollmentServiceServicer_to_server,
            EnrollmentService(
                opened.store,
                opened.authority,
                sources,
                device_endpoint=device_endpoint,
                tpm_roots=opened.tpm_roots,
            ),
        ),
        served(
            device_service_pb2,
            device_service_pb2_grpc.add_DeviceServiceServicer_to_server,
            DeviceService(
                opened.store, opened.authority, sources, base.mutations, resume=opened.deliverer.resume
            ),
        ),
        served(
            policy_service_pb2,
            policy_service_pb2_grpc.add_PolicyServiceServicer_to_server,
            PolicyService(opened.store, opened.authority, sources, base.mutations),
        ),
        *_record_services(opened, config, sources),
        *room_services(opened, base, config),
        served(
            audit_service_pb2,
            audit_service_pb2_grpc.add_AuditServiceServicer_to_server,
            AuditService(opened.store, opened.audit.signer),
        ),
        served(
            user_service_pb2,
            user_service_pb2_grpc.add_UserServiceServicer_to_server,
            UserService(
                opened.store,
                opened.authority,
                sources,
                vault=PersonalVault(base.persons),
                mutations=base.mutations,
            ),
        ),
    ]


def _record_services(opened: Opened, config: Config, sources: Sources) -> list[Served]:
    """What takes records, and what shows them."""
    bundles = Bundles(
        opened.authority,
        opened.sequencer,
        revocation_list=partial(current_list, authority=opened.authority, sources=sources),
    )
    importer = Importer(opened.store, opened.deliverer, opened.feed, opened.media, opened.authority, sources)
    log_chain = opened.authority.chain_of(opened.authority.log.certificate)
    return [
        served(
            sync_service_pb2,
            sync_service_pb2_grpc.add_SyncServiceServicer_to_server,
            SyncService(opened.store, opened.deliverer, opened.feed, opened.media, sources),
        ),
        served(
            transfer_service_pb2,
            transfer_service_pb2_grpc.add_TransferServiceServicer_to_server,
            TransferService(importer, config.data),
        ),
        served(
            attestation_service_pb2,
            attestation_service_pb2_grpc.add_AttestationServiceServicer_to_server,
            AttestationService(opened.store, opened.sequencer, bundles),
        ),
        served(
            media_service_pb2,
            media_service_pb2_grpc.add_MediaServiceServicer_to_server,
            MediaService(opened.store, opened.media, sources),
        ),
        served(
            log_service_pb2,
            log_service_pb2_grpc.add_LogServiceServicer_to_server,
            LogService(opened.sequencer, certificates=log_chain),
        ),
    ]


def open_issuer(config: Config, sources: Sources) -> Issuer | None:
    """Whose sign-in tokens count; None where no issuer is configured. Nothing is fetched yet.

    Raises:
        SetupError: OIDC_CA.
    """
    if config.oidc_issuer is None or config.oidc_audience is None:
        return None
    try:
        context = open_context(config.oidc_ca)
    except OSError as error:
        raise SetupError(
            "OIDC_CA",
            f"The CA of the sign-in issuer in {config.oidc_ca} cannot be used ({type(error).__name__}).",
            hint="Give a PEM file with its CA certificates with oidc_ca, or leave it out for the system's.",
        ) from error
    trust = Trust(
        issuer=config.oidc_issuer,
        audience=config.oidc_audience,
        roles_claim=config.oidc_roles_claim or "",
        roles={value: Role(name) for value, name in config.oidc_roles.items()},
    )
    keys = IssuerKeys(
        config.oidc_issuer,
        keys_url=config.oidc_keys,
        fetch=lambda url: parse_json(get(url, context=context)),
        now=sources.now,
    )
    return Issuer(trust, keys)


def add_services(server: grpc.aio.Server, services: Iterable[Served]) -> list[str]:
    """Add them; return their full names."""
    names = []
    for one in services:
        one.add(server)
        names.append(one.name)
    return names
