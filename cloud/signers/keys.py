"""The keys of signers' certificates and of time-stamps, beside the deployment's others.

    DATA/keys/
        signers.key signers.pem    issuing CA of signers, under the deployment's root
        root.crl                   what the root has revoked, which is nothing
        stamps.key stamps.pem      P-256, signs time-stamps (RFC 3161); issued by the CA of signers

They are made when a deployment that lacks them is opened, which is the one time that the root's key is needed
here: operators move it away afterwards. A certificate without its key means that the key was lost: then
nothing opens, as with the other keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec

from cloud.errors import SetupError
from cloud.keyfiles import (
    Credential,
    load_credential,
    load_service_key,
    locked,
    save_credential,
    write_private,
)
from cloud.signers.certificates import Issuer, revocation_list, signers_certificate, stamping_certificate
from verifield.profile import BACKDATE

STAMP_LIFETIME = timedelta(days=15 * 365)
"""A time-stamp is believed until the certificate of its authority ends, or a later one covers it: what is
never looked after again should last as long as contracts are kept."""

STAMP_RENEWAL = timedelta(days=10 * 365)
"""A certificate with less time than this is renewed at start, with the same key and beginning."""

_SIGNERS = "signers"
_STAMPS = "stamps"
_ROOT_LIST = "root.crl"


@dataclass(frozen=True, slots=True)
class SignerKeys:
    """The opened keys. ``list_url``: where programs fetch the list of revoked signers; empty: nowhere.

    ``root_list``: what the root has revoked (DER): readers of PDF want a list of each who issues.
    """

    root: x509.Certificate
    signers: Issuer
    stamps: Issuer
    root_list: bytes
    list_url: str

    @classmethod
    def open(cls, data: Path, *, list_url: str, now: datetime) -> SignerKeys:
        """Open the keys under ``data``, whose others stand there already; make those that lack.

        Raises:
            SetupError: files are missing, damaged, not readable, or do not fit together.
        """
        keys = data / "keys"
        try:
            with locked(data / "keys.lock"):
                root = x509.load_pem_x509_certificate((keys / "root.pem").read_bytes())
                signers = _open_signers(keys, root, now=now)
                root_list = _open_root_list(keys, root)
                stamps = _open_stamps(keys, signers, list_url=list_url, now=now)
        except (OSError, ValueError, TypeError, InvalidSignature) as error:
            raise SetupError(
                "KEYS_UNUSABLE",
                f"The keys of signers in {keys} cannot be used ({type(error).__name__}).",
                hint="Restore the folder from a backup: new signatures need it.",
            ) from error
        return cls(root, signers, stamps, root_list, list_url)

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The issuers of a signer, from the nearest to the root."""
        return self.signers.certificate, self.root


def _open_signers(keys: Path, root: x509.Certificate, *, now: datetime) -> Issuer:
    if not (keys / f"{_SIGNERS}.pem").exists():
        issuer = _open_root(keys)
        listed = revocation_list(issuer, (), number=1, now=now, until=root.not_valid_after_utc)
        write_private(keys / _ROOT_LIST, listed)
        key = _key(keys, _SIGNERS)
        name = f"{_organisation(root)} signers"
        certificate = signers_certificate(issuer, key.public_key(), name=name, now=now)
        save_credential(keys, _SIGNERS, Credential(key, certificate))
    found = _issuer(load_credential(keys, _SIGNERS))
    found.certificate.verify_directly_issued_by(root)
    return found


def _open_root_list(keys: Path, root: x509.Certificate) -> bytes:
    content = (keys / _ROOT_LIST).read_bytes()
    if not x509.load_der_x509_crl(content).is_signature_valid(_public(root)):
        raise ValueError("the list of the root is not the root's")
    return content


def _open_root(keys: Path) -> Issuer:
    if not (keys / "root.key").exists():
        raise SetupError(
            "ROOT_KEY_NEEDED",
            f"The CA of signers is to be made, and the root's key is not in {keys}.",
            hint="Put root.key back for one start; it is not needed afterwards.",
        )
    return _issuer(load_credential(keys, "root"))


def _open_stamps(keys: Path, signers: Issuer, *, list_url: str, now: datetime) -> Issuer:
    begin = now
    if (keys / f"{_STAMPS}.pem").exists():
        found = _issuer(load_credential(keys, _STAMPS))
        found.certificate.verify_directly_issued_by(signers.certificate)
        left = found.certificate.not_valid_after_utc - now
        ends_with_issuer = found.certificate.not_valid_after_utc >= signers.certificate.not_valid_after_utc
        if left > STAMP_RENEWAL or ends_with_issuer:
            return found
        begin = found.certificate.not_valid_before_utc + BACKDATE
    key = _key(keys, _STAMPS)
    certificate = stamping_certificate(
        signers,
        key.public_key(),
        name=f"{_organisation(signers.certificate).removesuffix(' signers')} time-stamps",
        begin=begin,
        end=min(now + STAMP_LIFETIME, signers.certificate.not_valid_after_utc),
        list_url=list_url,
    )
    save_credential(keys, _STAMPS, Credential(key, certificate))
    return Issuer(certificate, key)


def _key(keys: Path, name: str) -> ec.EllipticCurvePrivateKey:
    """The key that a cut start left, else a new one."""
    if not (keys / f"{name}.key").exists():
        return ec.generate_private_key(ec.SECP256R1())
    key = load_service_key(keys, name)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("a key of signers is not an EC key")
    return key


def _issuer(credential: Credential) -> Issuer:
    if not isinstance(credential.key, ec.EllipticCurvePrivateKey):
        raise TypeError("a key of signers is not an EC key")
    return Issuer(credential.certificate, credential.key)


def _organisation(issuer: x509.Certificate) -> str:
    [name] = issuer.subject
    return str(name.value).removesuffix(" root")


def _public(issuer: x509.Certificate) -> ec.EllipticCurvePublicKey:
    key = issuer.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("the root has another kind of key")
    return key
