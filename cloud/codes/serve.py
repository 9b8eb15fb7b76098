"""What codes do by themselves while the service runs, and what of them is served."""

from __future__ import annotations

from functools import partial

from cloud.authorities.port import Carrier
from cloud.codes.attestation import PhoneAttestation
from cloud.codes.binding import PhoneBinding
from cloud.codes.desk import Codes
from cloud.codes.ledger import SourceLimits
from cloud.codes.proofs import Proofs
from cloud.codes.rules_down import RulesDown
from cloud.codes.service import OtpService, Ports
from cloud.message_settings import MessageSettings
from cloud.serving import Base, Served, served
from cloud.upkeep import Job
from verifield.v1 import otp_service_pb2, otp_service_pb2_grpc

__all__ = ["RulesDown", "jobs", "make_attestation", "make_binding", "make_codes", "make_proofs", "services"]

SWEEP_EVERY_S = 60.0
SWEPT_AT_ONCE = 500
RULES_EVERY_S = 3600.0


def make_codes(base: Base, settings: MessageSettings) -> Codes:
    """With the limits of the settings; it keeps nothing, so that it may be made more than once."""
    limits = SourceLimits(
        settings.sms_source_per_minute, settings.sms_source_per_hour, settings.sms_source_per_day
    )
    return Codes.of(base, limits=limits)


def make_binding(base: Base, carrier: Carrier) -> PhoneBinding:
    """For whoever takes a number of an account whose holder is known."""
    return PhoneBinding(base.store, base.sources, carrier)


def make_proofs(base: Base) -> Proofs:
    """How numbers were proven."""
    return Proofs(base.persons, base.sources)


def make_attestation(base: Base, codes: Codes, ports: Ports) -> PhoneAttestation:
    """The handler of tickets of the kind SMS_PHONE."""
    return PhoneAttestation(codes, make_proofs(base), ports.holder_of, ports.phone_verified)


def services(base: Base, codes: Codes, *, binding: PhoneBinding, ports: Ports) -> list[Served]:
    """OtpService."""
    proofs = make_proofs(base)
    return [
        served(
            otp_service_pb2,
            otp_service_pb2_grpc.add_OtpServiceServicer_to_server,
            OtpService(base, codes, proofs, binding=binding, ports=ports),
        )
    ]


def jobs(base: Base, codes: Codes) -> list[Job]:
    """Codes that expired end, what no limit needs any more goes, and devices are told the rules anew."""

    def sweep() -> int:
        return base.store.run(partial(codes.sweep, limit=SWEPT_AT_ONCE))

    return [
        Job("codes_sweep", sweep, every_s=SWEEP_EVERY_S, full=SWEPT_AT_ONCE),
        Job("rules_down", RulesDown(base).refresh, every_s=RULES_EVERY_S),
    ]
