"""Proof that an attestation key lives in a genuine TPM 2.0, and cannot leave it.

1  the endorsement key's certificate leads to a manufacturer that the operator trusts, and is one of an
   endorsement key where it says what it is for
2  the endorsement key is the one in the certificate, and a storage key bound to its TPM
3  the identity key (AK) signs only what its TPM itself says: restricted, and bound to its TPM
4  the AK certifies the enrolled key by its Name, in a structure that only a TPM makes
5  that Name is of the enrolled public area: made inside the TPM, bound to it, for signatures
6  the enrolled public area holds the key of the certificate request
7  the TPM of the endorsement key releases a secret that is bound to the AK's Name (make_credential)

Steps 1 to 6 are :func:`check_evidence`; without step 7 they prove nothing, because the three keys could
be of different TPMs. A key can be certified only by the TPM that holds it, and a secret be released
only by the TPM that holds both the endorsement key and the AK: so all three are in one.

TCG, TPM 2.0 Library, Part 1: 11.4.10 (key derivation), 24 (credential protection), Annex B.10.4 and
C.6.4 (secret sharing); Part 3: 12.6 (TPM2_MakeCredential). TCG EK Credential Profile 2.x.
"""

from __future__ import annotations

import hmac
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from cloud.devices.tpm_structures import (
    Attributes,
    Public,
    Signature,
    TpmFormatError,
    parse_certified_name,
    parse_public,
    parse_signature,
    sized,
)
from cloud.errors import Reason, ServiceError
from verifield.certificates import DAMAGED
from verifield.v1.enrollment_service_pb2 import TpmChallenge, TpmEvidence

SECRET_BYTES = 32
"""Beyond guessing, and no longer than the digest of the weakest endorsement key, as a TPM demands."""

MAX_EK_CERTIFICATES = 8
"""Leaf and the maker's own, of which three levels are known; a TPM may hold a few for other keys."""

MAX_EK_CERTIFICATE_BYTES = 8 * 1024
"""Those of known makers have 1 to 2 KiB."""

MAX_TPM_ROOTS = 256
"""All makers together have a few dozen."""

MAX_TPM_ROOT_BYTES = 1024 * 1024
"""That many in PEM."""

ENDORSEMENT_USAGE = x509.ObjectIdentifier("2.23.133.8.1")
"""tcg-kp-EKCertificate: makers certify other keys too, those of platforms or of servers, under one root."""

_BOUND = Attributes.FIXED_TPM | Attributes.FIXED_PARENT | Attributes.SENSITIVE_DATA_ORIGIN
_DAMAGED = (*DAMAGED, UnsupportedAlgorithm, x509.ExtensionNotFound)
_IV_BYTES = 16


@dataclass(frozen=True, slots=True)
class Checked:
    """What step 7 needs of good evidence: whom to ask, and for which key (its Name)."""

    endorsement: Public
    identity_name: bytes


def load_tpm_roots(pem: bytes) -> list[x509.Certificate]:
    """Parse the manufacturers' CA certificates that the operator trusts; roots or those below them.

    Raises:
        ValueError: no PEM certificates, too many, or one that is no CA.
    """
    if len(pem) > MAX_TPM_ROOT_BYTES:
        raise ValueError(f"it has more than {MAX_TPM_ROOT_BYTES} bytes")
    roots = x509.load_pem_x509_certificates(pem)
    if len(roots) > MAX_TPM_ROOTS:
        raise ValueError(f"it has more than {MAX_TPM_ROOTS} certificates")
    for root in roots:
        try:
            ca = root.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except x509.ExtensionNotFound:
            ca = False
        if not ca:
            raise ValueError("one of its certificates is not of a CA")
    return roots


def check_evidence(
    evidence: TpmEvidence,
    *,
    enrolled: ec.EllipticCurvePublicKey,
    roots: Sequence[x509.Certificate],
    now: datetime,
) -> Checked:
    """Check steps 1 to 6 for the key ``enrolled`` of the certificate request.

    Raises:
        ServiceError: KEY_PROTECTION_UNPROVEN, saying which step failed.
    """
    if not roots:
        raise unproven("This service trusts no maker of TPMs, so that no TPM can prove itself.")
    try:
        certified = _check_endorsement_certificate(evidence.ek_certificates, roots=roots, now=now)  # step 1
        endorsement = parse_public(evidence.ek_public)
        _check_endorsement(endorsement, certified)  # step 2
        identity = parse_public(evidence.ak_public)
        _check_attributes(
            identity,
            "identity",
            needs=_BOUND | Attributes.RESTRICTED | Attributes.SIGN,
            bars=Attributes.DECRYPT,
        )  # step 3
        _check_signed(evidence.certify_info, parse_signature(evidence.certify_signature), identity)  # step 4
        key = parse_public(evidence.key_public)
        if not hmac.compare_digest(parse_certified_name(evidence.certify_info), key.name()):  # step 5
            raise unproven("The TPM certifies another key than the one given.")
        _check_attributes(
            key,
            "attestation",
            needs=_BOUND | Attributes.SIGN,
            bars=Attributes.RESTRICTED | Attributes.DECRYPT,
        )
    except TpmFormatError as error:
        raise unproven(f"The evidence cannot be read: {error}.") from error
    if key.key != enrolled:  # step 6
        raise unproven("The certificate request is for another key than the one in the TPM.")
    return Checked(endorsement, identity.name())


def make_credential(checked: Checked, secret: bytes, *, random_bytes: Callable[[int], bytes]) -> TpmChallenge:
    """Encrypt ``secret`` so that only the TPM with both keys of ``checked`` releases it (step 7)."""
    endorsement = checked.endorsement
    algorithm = endorsement.name_hash
    if not 0 < len(secret) <= algorithm.digest_size:
        raise ValueError("a TPM refuses secrets longer than its digests")
    if isinstance(endorsement.key, rsa.RSAPublicKey):
        seed = random_bytes(algorithm.digest_size)
        encrypted = endorsement.key.encrypt(
            seed, padding.OAEP(padding.MGF1(algorithm), algorithm, label=b"IDENTITY\0")
        )
    else:
        seed, encrypted = _share_seed(endorsement.key, algorithm)
    name = checked.identity_name
    storage_key = kdfa(
        algorithm, seed, "STORAGE", context_u=name, context_v=b"", bits=endorsement.symmetric_bits
    )
    encryptor = Cipher(algorithms.AES(storage_key), CFB(bytes(_IV_BYTES))).encryptor()
    protected = encryptor.update(sized(secret)) + encryptor.finalize()
    bits = algorithm.digest_size * 8
    integrity_key = kdfa(algorithm, seed, "INTEGRITY", context_u=b"", context_v=b"", bits=bits)
    integrity = hmac.digest(integrity_key, protected + name, algorithm.name)
    return TpmChallenge(credential_blob=sized(integrity) + protected, encrypted_secret=encrypted)


def kdfa(
    algorithm: hashes.HashAlgorithm, key: bytes, label: str, *, context_u: bytes, context_v: bytes, bits: int
) -> bytes:
    """KDFa (Part 1, 11.4.10.2): NIST SP 800-108 in counter mode over HMAC; ``bits`` is a multiple of 8."""
    rest = label.encode() + b"\0" + context_u + context_v + bits.to_bytes(4)
    return _stretch(lambda counter: hmac.digest(key, counter + rest, algorithm.name), bits)


def kdfe(
    algorithm: hashes.HashAlgorithm, z: bytes, label: str, *, party_u: bytes, party_v: bytes, bits: int
) -> bytes:
    """KDFe (Part 1, 11.4.10.3): NIST SP 800-56A over a plain hash; ``bits`` is a multiple of 8."""

    def block(counter: bytes) -> bytes:
        digest = hashes.Hash(algorithm)
        digest.update(counter + z + label.encode() + b"\0" + party_u + party_v)
        return digest.finalize()

    return _stretch(block, bits)


def unproven(message: str) -> ServiceError:
    """The refusal of every failed step."""
    return ServiceError(Reason.KEY_PROTECTION_UNPROVEN, message)


def _stretch(block: Callable[[bytes], bytes], bits: int) -> bytes:
    out = b""
    for counter in itertools.count(1):
        if len(out) * 8 >= bits:
            break
        out += block(counter.to_bytes(4))
    return out[: bits // 8]


def _share_seed(key: ec.EllipticCurvePublicKey, algorithm: hashes.HashAlgorithm) -> tuple[bytes, bytes]:
    """Agree on a seed with the owner of ``key`` (Part 1, C.6.4); also return the TPMS_ECC_POINT to send."""
    ephemeral = ec.generate_private_key(key.curve)
    z = ephemeral.exchange(ec.ECDH(), key)
    u, v = (_coordinates(public) for public in (ephemeral.public_key(), key))
    bits = algorithm.digest_size * 8
    seed = kdfe(algorithm, z, "IDENTITY", party_u=u[0], party_v=v[0], bits=bits)
    return seed, sized(u[0]) + sized(u[1])


def _coordinates(key: ec.EllipticCurvePublicKey) -> tuple[bytes, bytes]:
    numbers, size = key.public_numbers(), (key.key_size + 7) // 8
    return numbers.x.to_bytes(size), numbers.y.to_bytes(size)


def _check_endorsement_certificate(
    chain: Sequence[bytes], *, roots: Sequence[x509.Certificate], now: datetime
) -> bytes:
    """Step 1; returns the certified key (SubjectPublicKeyInfo, DER)."""
    if not 1 <= len(chain) <= MAX_EK_CERTIFICATES or max(map(len, chain)) > MAX_EK_CERTIFICATE_BYTES:
        raise unproven(
            f"The endorsement key needs 1 to {MAX_EK_CERTIFICATES} certificates "
            f"of at most {MAX_EK_CERTIFICATE_BYTES} bytes."
        )
    # Makers put a directory name into a critical subjectAltName and leave the subject empty: what an
    # endorsement certificate looks like is for the maker to say, whose signature is what counts.
    verifier = (
        PolicyBuilder()
        .store(Store(list(roots)))
        .time(now)
        .max_chain_depth(MAX_EK_CERTIFICATES)
        .extension_policies(ca_policy=_maker_policy(), ee_policy=ExtensionPolicy.permit_all())
        .build_client_verifier()
    )
    try:
        leaf, *issuers = [x509.load_der_x509_certificate(der) for der in chain]
        verifier.verify(leaf, issuers)
        _check_endorsement_usage(leaf)
        return _spki(leaf.public_key())
    except VerificationError as error:
        raise unproven("The TPM's maker is not one that this service trusts.") from error
    except _DAMAGED as error:
        raise unproven("A certificate of the endorsement key cannot be parsed.") from error


def _check_endorsement_usage(leaf: x509.Certificate) -> None:
    """Older certificates say nothing of their use; one that does must be of an endorsement key."""
    try:
        usage = list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return
    if ENDORSEMENT_USAGE not in usage:
        raise unproven("The first certificate is not one of an endorsement key.")


def _maker_policy() -> ExtensionPolicy:
    """Issuers are CAs that may sign certificates."""

    def check_ca(_policy: Policy, _certificate: x509.Certificate, basic: x509.BasicConstraints) -> None:
        if not basic.ca:
            raise ValueError("an issuer is no CA")

    def check_usage(_policy: Policy, _certificate: x509.Certificate, usage: x509.KeyUsage) -> None:
        if not usage.key_cert_sign:
            raise ValueError("an issuer may not sign certificates")

    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, check_ca)
        .require_present(x509.KeyUsage, Criticality.AGNOSTIC, check_usage)
    )


def _check_endorsement(endorsement: Public, certified: bytes) -> None:
    if _spki(endorsement.key) != certified:
        raise unproven("The endorsement key is not the one in its certificate.")
    _check_attributes(
        endorsement,
        "endorsement",
        needs=_BOUND | Attributes.RESTRICTED | Attributes.DECRYPT,
        bars=Attributes.SIGN,
    )
    if not endorsement.symmetric_bits:
        raise unproven("The endorsement key is not a storage key.")


def _check_attributes(public: Public, what: str, *, needs: Attributes, bars: Attributes) -> None:
    if public.attributes & needs != needs or public.attributes & bars:
        raise unproven(f"The {what} key's attributes do not keep it in its TPM, or allow it too much.")


def _check_signed(data: bytes, signature: Signature, identity: Public) -> None:
    """Step 4: ``signature`` over ``data`` is by the identity key."""
    try:
        if isinstance(identity.key, ec.EllipticCurvePublicKey) and signature.ecdsa:
            identity.key.verify(signature.value, data, ec.ECDSA(signature.hash))
        elif isinstance(identity.key, rsa.RSAPublicKey) and not signature.ecdsa:
            pad = _pss(signature.hash) if signature.pss else padding.PKCS1v15()
            identity.key.verify(signature.value, data, pad, signature.hash)
        else:
            raise unproven("The certification's signature is of another kind than the identity key.")
    except InvalidSignature as error:
        raise unproven("The certification is not signed by the identity key.") from error


def _pss(algorithm: hashes.HashAlgorithm) -> padding.PSS:
    """TPMs salt as long as they can, or as long as a digest (FIPS 186-4)."""
    return padding.PSS(padding.MGF1(algorithm), padding.PSS.AUTO)


def _spki(key: object) -> bytes:
    if not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise TypeError("neither an RSA nor an ECC key")
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
