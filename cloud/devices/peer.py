"""Which device is at the other end of a mutual-TLS connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from cloud.errors import Reason, ServiceError
from verifield.errors import VerifieldError
from verifield.profile import device_id_of
from verifield.v1.device_service_pb2 import DEVICE_STATE_PENDING, DEVICE_STATE_REVOKED


def device_of_peer(auth_context: Mapping[str, Iterable[bytes]], *, now: datetime) -> str:
    """Return the device id in the client certificate.

    The TLS layer has checked the chain to our root, and the times when the connection was made. Here
    the certificate must be one for TLS clients alone, so that no other certificate of the same root
    opens this door, and must not have expired since: a connection can be kept for ever.

    Raises:
        ServiceError: there is no client certificate, or it is for another purpose.
    """
    pems = list(auth_context.get("x509_pem_cert", ()))
    if len(pems) != 1:
        raise ServiceError(Reason.CLIENT_CERTIFICATE_REFUSED, "The connection has no client certificate.")
    try:
        certificate = x509.load_pem_x509_certificate(pems[0])
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        device_id = device_id_of(certificate)
    except (ValueError, x509.ExtensionNotFound, VerifieldError) as error:
        raise ServiceError(
            Reason.CLIENT_CERTIFICATE_REFUSED, "The client certificate is not one of a device."
        ) from error
    if list(usage) != [ExtendedKeyUsageOID.CLIENT_AUTH]:
        raise ServiceError(
            Reason.CLIENT_CERTIFICATE_REFUSED, "The client certificate is not one for TLS connections."
        )
    if now > certificate.not_valid_after_utc:
        raise ServiceError(Reason.CLIENT_CERTIFICATE_REFUSED, "The client certificate has expired.")
    return device_id


def check_may_connect(state: int) -> None:
    """Check that a device in ``state`` (of DeviceState) is one to talk to.

    A suspended one is: what it delivers is kept. A replaced one is: it may have a backlog.

    Raises:
        ServiceError: it was revoked, or waits to be let in.
    """
    if state == DEVICE_STATE_REVOKED:
        raise ServiceError(Reason.DEVICE_REVOKED, "This device was revoked.")
    if state == DEVICE_STATE_PENDING:
        raise ServiceError(Reason.DEVICE_PENDING, "This device waits to be let in.")
