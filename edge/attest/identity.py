"""The device's identity: who it is, with what keys, under which root, and where its cloud is.

    identity/
      device-secret           32 bytes, encrypts the keys (unless systemd holds it)
      current -> id-<device id>  appears in one step, when everything below is complete
      id-<device id>/
        identity.json  attestation.key  tls.key  attestation.pem  tls.pem  root.pem

A new enrolment makes a new folder and moves ``current``; older identities stay for their records.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from edge.attest.keys import SoftwareSigner, open_private_key, open_secret
from edge.errors import SetupError
from edge.files import sync_folder, write_private
from edge.model import KeyProtection
from verifield.certificates import load_roots, parse_certificate
from verifield.errors import VerifieldError

ATTESTATION_KEY = "attestation.key"
TLS_KEY = "tls.key"
CURRENT = "current"
_IDENTITY = "identity.json"
_ATTESTATION_CHAIN = "attestation.pem"
_TLS_CHAIN = "tls.pem"
_ROOT = "root.pem"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """``root_pem``: the pinned roots. Certificates: DER, leaf first, root left out. Endpoints: host:port.

    ``folder`` holds this identity's files, ``secret_folder`` the device secret.
    """

    device_id: str
    site_id: str
    key_protection: KeyProtection
    enrollment_endpoint: str
    device_endpoint: str
    root_pem: bytes = field(repr=False)
    attestation_certificates: tuple[bytes, ...] = field(repr=False)
    tls_certificates: tuple[bytes, ...] = field(repr=False)
    folder: Path
    secret_folder: Path

    @classmethod
    def open(cls, folder: Path) -> DeviceIdentity:
        """Open the current identity in ``folder``.

        Raises:
            SetupError: NOT_ENROLLED, or IDENTITY_UNREADABLE.
        """
        current = folder / CURRENT
        try:
            if not current.is_symlink():
                raise SetupError(
                    "NOT_ENROLLED",
                    "This device is not enrolled.",
                    hint="Ask the operator of the cloud for a join token, then run: "
                    "verifield-edge enroll --help",
                )
            return _load(current.resolve(strict=True), secret_folder=folder)
        except OSError as error:
            raise SetupError(
                "IDENTITY_UNREADABLE",
                f"The device's identity in {current} cannot be read: {error.strerror or error}.",
                hint="Run as the user that enrolled the device, or restore the folder from where it was.",
            ) from None
        except (ValueError, KeyError, TypeError, VerifieldError) as error:
            raise SetupError(
                "IDENTITY_UNREADABLE",
                f"The device's identity in {current} is damaged ({type(error).__name__}).",
                hint="Restore the folder from where it was, or enrol the device anew.",
            ) from None

    def open_signer(self) -> SoftwareSigner:
        """Open the attestation key; errors as ``SoftwareSigner.open``."""
        secret = open_secret(self.secret_folder, environ=os.environ)
        return SoftwareSigner.open(self.folder / ATTESTATION_KEY, secret=secret)

    def tls_key_pem(self) -> bytes:
        """Return the mutual-TLS key as unencrypted PEM, for the TLS library alone: never written anywhere."""
        secret = open_secret(self.secret_folder, environ=os.environ)
        return open_private_key(self.folder / TLS_KEY, secret=secret).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def tls_certificates_pem(self) -> bytes:
        return _to_pem(self.tls_certificates)

    def attestation_serial(self) -> str:
        """Serial number of the attestation certificate, lower-case hex."""
        return f"{parse_certificate(self.attestation_certificates[0]).serial_number:x}"


def save_identity(identity: DeviceIdentity) -> None:
    """Write all but the keys into ``identity.folder``; nobody sees it before :func:`publish`."""
    folder = identity.folder
    write_private(folder / _ROOT, identity.root_pem)
    write_private(folder / _ATTESTATION_CHAIN, _to_pem(identity.attestation_certificates))
    write_private(folder / _TLS_CHAIN, _to_pem(identity.tls_certificates))
    values = {
        "format": _FORMAT,
        "device_id": identity.device_id,
        "site_id": identity.site_id,
        "key_protection": identity.key_protection.value,
        "enrollment_endpoint": identity.enrollment_endpoint,
        "device_endpoint": identity.device_endpoint,
    }
    write_private(folder / _IDENTITY, json.dumps(values, indent=2).encode() + b"\n")


def publish(folder: Path, *, staged: Path, device_id: str) -> None:
    """Give the complete ``staged`` folder its name and make it the current identity, in one step."""
    name = f"id-{device_id}"
    staged.rename(folder / name)
    temporary = folder / f".{CURRENT}.{secrets.token_hex(8)}"
    temporary.symlink_to(name)
    temporary.replace(folder / CURRENT)
    sync_folder(folder)


def _load(folder: Path, *, secret_folder: Path) -> DeviceIdentity:
    values = json.loads((folder / _IDENTITY).read_bytes())
    if values["format"] != _FORMAT:
        raise ValueError("an identity of another format")
    root_pem = (folder / _ROOT).read_bytes()
    load_roots(root_pem)
    return DeviceIdentity(
        device_id=str(values["device_id"]),
        site_id=str(values["site_id"]),
        key_protection=KeyProtection(values["key_protection"]),
        enrollment_endpoint=str(values["enrollment_endpoint"]),
        device_endpoint=str(values["device_endpoint"]),
        root_pem=root_pem,
        attestation_certificates=_from_pem((folder / _ATTESTATION_CHAIN).read_bytes()),
        tls_certificates=_from_pem((folder / _TLS_CHAIN).read_bytes()),
        folder=folder,
        secret_folder=secret_folder,
    )


def _to_pem(chain: tuple[bytes, ...]) -> bytes:
    return b"".join(parse_certificate(der).public_bytes(serialization.Encoding.PEM) for der in chain)


def _from_pem(pem: bytes) -> tuple[bytes, ...]:
    certificates = x509.load_pem_x509_certificates(pem)
    return tuple(item.public_bytes(serialization.Encoding.DER) for item in certificates)
