"""The device's identity: who it is, with what keys, under which root, and where its cloud is.

    identity/
      (what the key store keeps)
      current -> id-<device id>.<random>   appears in one step, when everything below is complete
      id-<device id>.<random>/
        identity.json  attestation.pem  tls.pem  root.pem
        tls.key                            the mutual-TLS key, wrapped by the key store
      enrolling/                           an enrolment that is under way (edge.attest.pending)

A renewal makes a new folder for the same device and moves ``current``; one version back is kept, for
processes that are using it. A new enrolment does the same for a new device; the folders of older devices
stay, because their records do. The first version kept both keys as files in ``id-<device id>``: such an
identity still opens, and gets the present form with its next renewal.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from edge.attest.keystore_software import SoftwareKeyStore
from edge.attest.tls_key import encode_tls_key, open_tls_key
from edge.errors import SetupError
from edge.files import sync_folder, write_private
from edge.model import KeyProtection
from edge.ports import KeyStore, Signer
from verifield.certificates import load_roots, parse_certificate
from verifield.errors import VerifieldError
from verifield.profile import BACKDATE

CURRENT = "current"
TLS_KEY = "tls.key"
IDENTITY = "identity.json"
CHANGING_LOCK = ".changing.lock"
"""Held by whoever moves ``current``."""

KEY_PREFIX = "attestation-"

_ATTESTATION_CHAIN = "attestation.pem"
_TLS_CHAIN = "tls.pem"
_ROOT = "root.pem"
_RANDOM_BYTES = 4
_FORMAT = 2
_FIRST_FORMAT = 1
_FIRST_ATTESTATION_KEY = "attestation.key"
_RANK = (KeyProtection.SOFTWARE, KeyProtection.PKCS11, KeyProtection.TPM)


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """``root_pem``: the pinned roots. Certificates: DER, leaf first, root left out. Endpoints: host:port.

    ``attestation_key``: its name in ``key_store``. ``predecessor_id``: the device whose place this one
    took, or empty. ``folder`` holds the files of this version of the identity.
    """

    device_id: str
    site_id: str
    key_protection: KeyProtection
    attestation_key: str
    enrollment_endpoint: str
    device_endpoint: str
    root_pem: bytes = field(repr=False)
    attestation_certificates: tuple[bytes, ...] = field(repr=False)
    tls_certificates: tuple[bytes, ...] = field(repr=False)
    folder: Path
    key_store: KeyStore = field(repr=False, compare=False)
    predecessor_id: str = ""

    @classmethod
    def open(cls, folder: Path, *, key_store: KeyStore) -> DeviceIdentity:
        """Open the current identity in ``folder``, whose keys are in ``key_store``.

        Raises:
            SetupError: NOT_ENROLLED; IDENTITY_UNREADABLE; KEY_PROTECTION_FALLEN or KEY_STORE_OTHER where the
                keys are in another kind of store.
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
            identity = load_identity(current.resolve(strict=True), key_store=key_store)
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
        check_protection(identity.key_protection, key_store)
        return identity

    def open_signer(self) -> Signer:
        """Open the attestation key.

        Raises:
            SetupError: KEY_OTHER where it is not the certificate's, or as ``KeyStore.open``.
        """
        signer = self.key_store.open(self.attestation_key)
        certificate = parse_certificate(self.attestation_certificates[0])
        certified = certificate.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        if signer.public_key_der() != certified:
            raise SetupError(
                "KEY_OTHER",
                "The attestation key is not the one that this device was enrolled with.",
                hint="Restore the identity folder and the key store together, or enrol the device anew.",
            )
        return signer

    def tls_key_pem(self) -> bytes:
        """Return the mutual-TLS key as unencrypted PEM, for the TLS library alone: never written anywhere."""
        key = open_tls_key(self.folder / TLS_KEY, key_store=self.key_store, secret_folder=self.folder.parent)
        return encode_tls_key(key)

    def tls_certificates_pem(self) -> bytes:
        return _to_pem(self.tls_certificates)

    def certified_at(self) -> datetime:
        """When the cloud issued the mutual-TLS certificate, which it does anew in each answer."""
        return parse_certificate(self.tls_certificates[0]).not_valid_before_utc + BACKDATE

    def attestation_serial(self) -> str:
        """Serial number of the attestation certificate, lower-case hex."""
        return f"{parse_certificate(self.attestation_certificates[0]).serial_number:x}"


def check_protection(protection: KeyProtection, key_store: KeyStore) -> None:
    """Check that keys enrolled with ``protection`` can be in ``key_store``.

    Raises:
        SetupError: KEY_PROTECTION_FALLEN, or KEY_STORE_OTHER.
    """
    configured = key_store.protection
    message = f"This device's key was enrolled in {protection}, but the configuration says {configured}."
    if _RANK.index(configured) < _RANK.index(protection):
        raise SetupError(
            "KEY_PROTECTION_FALLEN",
            message,
            hint=f"Set key_store to {protection.lower()} again: a device never works on with weaker keys. If "
            "the hardware is lost, keep this data directory and enrol in a new one, named with --data.",
        )
    if configured is not protection:
        raise SetupError(
            "KEY_STORE_OTHER",
            message,
            hint=f"Set key_store to {protection.lower()} again; to change it, enrol in a new data directory.",
        )


def stage_folder(folder: Path, *, prefix: str) -> Path:
    """Return a new private folder for what nobody may see before it is complete.

    Those that earlier owners of ``prefix`` left behind are removed: the caller holds the lock of its use.
    """
    for path in folder.glob(f"{prefix}*"):
        with suppress(OSError):
            shutil.rmtree(path)
    staged = folder / f"{prefix}{secrets.token_hex(8)}"
    staged.mkdir(mode=0o700)
    return staged


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
        "predecessor_id": identity.predecessor_id,
        "key_protection": identity.key_protection.value,
        "attestation_key": identity.attestation_key,
        "enrollment_endpoint": identity.enrollment_endpoint,
        "device_endpoint": identity.device_endpoint,
    }
    write_private(folder / IDENTITY, json.dumps(values, indent=2).encode() + b"\n")


def publish(folder: Path, *, staged: Path, device_id: str) -> None:
    """Give the complete ``staged`` folder its name and make it the current identity, in one step.

    The caller holds CHANGING_LOCK.
    """
    previous = current_folder(folder)
    final = folder / f"id-{device_id}.{secrets.token_hex(_RANDOM_BYTES)}"
    staged.rename(final)
    sync_folder(folder)
    temporary = folder / f".{CURRENT}.{secrets.token_hex(8)}"
    temporary.symlink_to(final.name)
    temporary.replace(folder / CURRENT)
    sync_folder(folder)
    _remove_older(folder, device_id=device_id, keep={final, previous})


def current_folder(folder: Path) -> Path | None:
    """Where ``current`` points, or None."""
    current = folder / CURRENT
    return current.parent / current.readlink() if current.is_symlink() else None


def folders_of_identities(folder: Path) -> list[Path]:
    """All versions of all identities, older devices included."""
    return sorted(path for path in folder.glob("id-*") if path.is_dir())


def attestation_key_of(folder: Path) -> str | None:
    """The name of the attestation key of the identity in ``folder``; None where that cannot be told."""
    try:
        return _key_name(_read_values(folder))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def load_identity(folder: Path, *, key_store: KeyStore) -> DeviceIdentity:
    """Load the version of an identity in ``folder``; raises whatever is wrong with a file."""
    values = _read_values(folder)
    root_pem = (folder / _ROOT).read_bytes()
    load_roots(root_pem)
    name = _key_name(values)
    if values["format"] == _FIRST_FORMAT and isinstance(key_store, SoftwareKeyStore):
        key_store.adopt(folder / _FIRST_ATTESTATION_KEY, name=name)
    return DeviceIdentity(
        device_id=str(values["device_id"]),
        site_id=str(values["site_id"]),
        predecessor_id=str(values.get("predecessor_id", "")),
        key_protection=KeyProtection(values["key_protection"]),
        attestation_key=name,
        enrollment_endpoint=str(values["enrollment_endpoint"]),
        device_endpoint=str(values["device_endpoint"]),
        root_pem=root_pem,
        attestation_certificates=_from_pem((folder / _ATTESTATION_CHAIN).read_bytes()),
        tls_certificates=_from_pem((folder / _TLS_CHAIN).read_bytes()),
        folder=folder,
        key_store=key_store,
    )


def _read_values(folder: Path) -> dict[str, Any]:
    values = json.loads((folder / IDENTITY).read_bytes())
    if not isinstance(values, dict) or values["format"] not in {_FIRST_FORMAT, _FORMAT}:
        raise ValueError("an identity of another format")
    return values


def _key_name(values: dict[str, Any]) -> str:
    if values["format"] == _FIRST_FORMAT:
        return KEY_PREFIX + hashlib.sha256(str(values["device_id"]).encode()).hexdigest()[:16]
    return str(values["attestation_key"])


def _remove_older(folder: Path, *, device_id: str, keep: set[Path | None]) -> None:
    """What cannot be removed now goes with the next renewal: it holds no key that opens without the store."""
    versions = folder.glob(f"id-{device_id}.{'[0-9a-f]' * 2 * _RANDOM_BYTES}")
    for path in (*folder.glob(f"id-{device_id}"), *versions):
        if path not in keep:
            with suppress(OSError):
                shutil.rmtree(path)


def _to_pem(chain: tuple[bytes, ...]) -> bytes:
    return b"".join(parse_certificate(der).public_bytes(serialization.Encoding.PEM) for der in chain)


def _from_pem(pem: bytes) -> tuple[bytes, ...]:
    certificates = x509.load_pem_x509_certificates(pem)
    return tuple(item.public_bytes(serialization.Encoding.DER) for item in certificates)
