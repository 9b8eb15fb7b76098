"""Proof that a key lives in a genuine TPM, as ``TpmEvidence`` of the wire contract wants it.

1. The manufacturer vouches for the endorsement key (EK): its certificate lies in the TPM's memory.
2. A restricted key (AK) signs only what the TPM itself says; here, that the enrolled key is in this TPM.
3. ``activate`` shows that EK and AK are in one TPM: only there is the challenge's secret released
   (TPM2_ActivateCredential; Library, Part 1, 24.5).

The AK is a primary key of the owner: derived anew whenever it is needed, the same as long as the owner
is the same, so that nothing has to be kept between the two calls to the cloud.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from cryptography import x509

from edge.attest.keystore_tpm import TpmKeyStore
from edge.attest.tpm_forms import (
    TpmFormError,
    encode_credential,
    parse_signing_key,
    parse_sized,
    split_certificates,
)
from edge.attest.tpm_tools import (
    PRIME_TIMEOUT_S,
    WANTED,
    Given,
    TpmRefusedError,
    TpmTools,
    authorised_by,
    file_name,
    memory_file,
    read_memory,
)
from edge.errors import SetupError
from verifield.v1.enrollment_service_pb2 import TpmChallenge, TpmEvidence

EK_PLACES = (("rsa", 0x01C00002), ("ecc", 0x01C0000A))
"""Where the certificates of EKs from the templates L-1 (RSA 2048) and L-2 (P-256) lie, best first
(TCG EK Credential Profile 2.5, 2.2.1.4)."""
CHAIN_PLACES = range(0x01C00100, 0x01C00200)
"""Certificates above the EK's, where the manufacturer left them (same profile, 2.2.1.5)."""
MAX_CERTIFICATES = 8
"""EK, issuing and root certificate are three; more than this is not a chain."""

_AK_ATTRIBUTES = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign"


@dataclass(frozen=True, slots=True)
class _Object:
    """``context``: saved by the TPM; ``public``: TPMT_PUBLIC."""

    context: bytes
    public: bytes


def gather_evidence(store: TpmKeyStore, key_name: str) -> TpmEvidence:
    """Return the evidence for the key called ``key_name``.

    Raises:
        SetupError: TPM_NO_CERTIFICATE, or as ``TpmKeyStore.open``.
    """
    tools = store.tools
    key = store.load(key_name)
    algorithm, certificates = _ek_certificates(tools)
    ek = _ek(tools, algorithm)
    ak = _ak(tools)
    certify_info, certify_signature = tools.run(
        "tpm2_certify",
        *("--certifiedkey-context", Given(key.context), "--certifiedkey-auth", authorised_by(key.auth)),
        *("--signingkey-context", Given(ak.context), "--hash-algorithm", "sha256", "--format", "tss"),
        *("--attestation", WANTED, "--signature", WANTED),
    )
    return TpmEvidence(
        ek_certificates=certificates,
        ek_public=ek.public,
        ak_public=ak.public,
        key_public=key.public,
        certify_info=certify_info,
        certify_signature=certify_signature,
    )


def activate(store: TpmKeyStore, challenge: TpmChallenge) -> bytes:
    """Return the secret that the TPM releases for ``challenge``.

    Raises:
        SetupError: TPM_CHALLENGE_REFUSED (made for other keys, or damaged), or KEY_STORE_AWAY.
    """
    tools = store.tools
    algorithm, _certificates = _ek_certificates(tools)
    ek, ak = _ek(tools, algorithm), _ak(tools)
    credential = encode_credential(challenge.credential_blob, challenge.encrypted_secret)
    try:
        return _activate(tools, ek=ek, ak=ak, credential=credential)
    except TpmRefusedError as error:
        raise SetupError(
            "TPM_CHALLENGE_REFUSED",
            f"The TPM does not release the secret of the cloud's challenge ({error.rc:#05x}).",
            hint="Enrol again. If it stays so, the operator's cloud has another TPM's evidence on file.",
        ) from None


def _activate(tools: TpmTools, *, ek: _Object, ak: _Object, credential: bytes) -> bytes:
    """The EK may be used only in a session in which the endorsement hierarchy authorised it."""
    with (
        memory_file(b"") as session,
        memory_file(ek.context) as ek_file,
        memory_file(ak.context) as ak_file,
        memory_file(credential) as given,
        memory_file(b"") as released,
    ):
        files = (session, ek_file, ak_file, given, released)
        name = file_name(session)
        tools.run_with("tpm2_startauthsession", "--policy-session", "--session", name, files=files)
        try:
            tools.run_with("tpm2_policysecret", "--session", name, "--object-context", "e", files=files)
            tools.run_with(
                "tpm2_activatecredential",
                *("--credentialedkey-context", file_name(ak_file)),
                *("--credentialkey-context", file_name(ek_file)),
                *("--credentialkey-auth", f"session:{name}"),
                *("--credential-blob", file_name(given), "--certinfo-data", file_name(released)),
                files=files,
            )
        finally:
            with suppress(SetupError):  # a session that is left over ends with the TPM's next restart
                tools.run_with("tpm2_flushcontext", name, files=files)
        return read_memory(released)


def _ek_certificates(tools: TpmTools) -> tuple[str, list[bytes]]:
    """Return the EK's algorithm for tpm2_createek, and the certificates, the EK's first."""
    for algorithm, index in EK_PLACES:
        found = split_certificates(_read_public_place(tools, index), limit=1)
        if found and _is_certificate(found[0]):
            return algorithm, [*found, *_chain(tools)]
    raise SetupError(
        "TPM_NO_CERTIFICATE",
        "The TPM holds no certificate of its maker.",
        hint="Enrol with a token that lets a person approve the key instead, or use the maker's tool to "
        "put the certificate into the TPM.",
    )


def _chain(tools: TpmTools) -> list[bytes]:
    data = b""
    for index in CHAIN_PLACES:  # the parts of one list, in indexes without a hole between them
        part = _read_public_place(tools, index)
        if not part:
            break
        data += part
    return [der for der in split_certificates(data, limit=MAX_CERTIFICATES - 1) if _is_certificate(der)]


def _read_public_place(tools: TpmTools, index: int) -> bytes:
    """What everybody may read at ``index``; nothing where there is nothing."""
    try:
        [data] = tools.run("tpm2_nvread", hex(index), "--hierarchy", "o", "--output", WANTED)
    except TpmRefusedError:
        return b""
    return data


def _is_certificate(der: bytes) -> bool:
    try:
        x509.load_der_x509_certificate(der)
    except ValueError:
        return False
    return True


def _ek(tools: TpmTools, algorithm: str) -> _Object:
    context, public = tools.run(
        "tpm2_createek",
        *("--ek-context", WANTED, "--key-algorithm", algorithm, "--public", WANTED, "--format", "tss"),
        timeout_s=PRIME_TIMEOUT_S,
    )
    return _Object(context, parse_sized(public))


def _ak(tools: TpmTools) -> _Object:
    [context] = tools.run(
        "tpm2_createprimary",
        *("--hierarchy", "o", "--key-algorithm", "ecc256:ecdsa-sha256:null", "--hash-algorithm", "sha256"),
        *("--attributes", _AK_ATTRIBUTES, "--key-context", WANTED),
    )
    [public] = tools.run(
        "tpm2_readpublic", "--object-context", Given(context), "--format", "tss", "--output", WANTED
    )
    area = parse_sized(public)
    try:
        parse_signing_key(area, restricted=True)
    except TpmFormError as error:
        raise SetupError(
            "KEY_STORE_REFUSED",
            f"The TPM's restricted key is not as asked for: {error}.",
            hint="Report the maker and the firmware of the TPM (tpm2_getcap properties-fixed).",
        ) from None
    return _Object(context, area)
