"""The embedded time-stamping authority: RFC 3161 with ESSCertIDv2 (RFC 5816), whole seconds of UTC.

What it takes: requests over SHA-256, SHA-384 or SHA-512. What it gives: tokens signed with P-256 and
SHA-256 that carry its certificate and that of its issuer.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from asn1crypto import algos, cms, core, tsp
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from cloud.pdf.ports import StampUnavailable
from cloud.signers.keys import SignerKeys
from cloud.sources import Sources
from verifield.documents.identifiers import STAMP_POLICY

ACCURACY = timedelta(seconds=1)
"""That of whole seconds: the machine's own clock is kept by its operator."""

MAX_REQUEST_BYTES = 4096

_SERIAL_BYTES = 16
_LENGTHS = {"sha256": 32, "sha384": 48, "sha512": 64}


class Refusal(core.Sequence):  # type: ignore[misc]
    """A TimeStampResp without a token, which asn1crypto's own cannot be."""

    _fields = [("status", tsp.PKIStatusInfo)]  # noqa: RUF012 (asn1crypto's way to say it)


class EmbeddedAuthority:
    """A ``Stamper`` of the deployment's own. Any thread may use it."""

    def __init__(self, keys: SignerKeys, sources: Sources) -> None:
        self._keys = keys
        self._sources = sources
        self._certificates = [_asn1(keys.stamps.certificate), _asn1(keys.signers.certificate)]

    def stamp(self, digest: bytes) -> bytes:
        """A token over a SHA-256 ``digest``.

        Raises:
            StampUnavailable: the clock stands outside of the time in which the certificate counts.
        """
        imprint = tsp.MessageImprint({"hash_algorithm": {"algorithm": "sha256"}, "hashed_message": digest})
        return bytes(self._token(imprint, None).dump())

    def answer(self, request: bytes) -> bytes:
        """The TimeStampResp to a TimeStampReq, both DER; what cannot be served is refused in it.

        Raises:
            StampUnavailable: as :meth:`stamp`.
        """
        fault = _fault_of(request)
        if fault:
            refused = {"status": "rejection", "fail_info": {fault}}
            return bytes(Refusal({"status": tsp.PKIStatusInfo(refused)}).dump())
        asked = tsp.TimeStampReq.load(request, strict=True)
        token = self._token(asked["message_imprint"], asked["nonce"].native, whole=asked["cert_req"].native)
        granted = tsp.PKIStatusInfo({"status": "granted"})
        return bytes(tsp.TimeStampResp({"status": granted, "time_stamp_token": token}).dump())

    def _token(
        self, imprint: tsp.MessageImprint, nonce: int | None, *, whole: bool = True
    ) -> cms.ContentInfo:
        now = self._sources.now().replace(microsecond=0)
        certificate = self._keys.stamps.certificate
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise StampUnavailable("the clock stands outside of the time of the authority's certificate")
        values = {
            "version": "v1",
            "policy": STAMP_POLICY,
            "message_imprint": imprint,
            "serial_number": int.from_bytes(self._sources.random_bytes(_SERIAL_BYTES), "big") | 1,
            "gen_time": now,
            "accuracy": tsp.Accuracy({"seconds": int(ACCURACY.total_seconds())}),
            "tsa": asn1_x509.GeneralName(name="directory_name", value=self._certificates[0].subject),
        }
        if nonce is not None:
            values["nonce"] = nonce
        content = tsp.TSTInfo(values).dump()
        return cms.ContentInfo(
            {
                "content_type": "signed_data",
                "content": cms.SignedData(
                    {
                        "version": "v3",
                        "digest_algorithms": [{"algorithm": "sha256"}],
                        "encap_content_info": {
                            "content_type": "tst_info",
                            "content": cms.ParsableOctetString(content),
                        },
                        "certificates": self._certificates if whole else None,
                        "signer_infos": [self._sign(content)],
                    }
                ),
            }
        )

    def _sign(self, content: bytes) -> cms.SignerInfo:
        certificate = self._certificates[0]
        attributes = cms.CMSAttributes(
            [
                {"type": "content_type", "values": ["tst_info"]},
                {"type": "message_digest", "values": [hashlib.sha256(content).digest()]},
                {"type": "signing_certificate_v2", "values": [_signing_certificate(certificate)]},
            ]
        )
        return cms.SignerInfo(
            {
                "version": "v1",
                "sid": cms.SignerIdentifier(
                    {
                        "issuer_and_serial_number": {
                            "issuer": certificate.issuer,
                            "serial_number": certificate.serial_number,
                        }
                    }
                ),
                "digest_algorithm": {"algorithm": "sha256"},
                "signed_attrs": attributes,
                "signature_algorithm": {"algorithm": "sha256_ecdsa"},
                "signature": self._keys.stamps.key.sign(attributes.dump(), ec.ECDSA(SHA256())),
            }
        )


def _signing_certificate(certificate: asn1_x509.Certificate) -> tsp.SigningCertificateV2:
    return tsp.SigningCertificateV2(
        {
            "certs": [
                {
                    "hash_algorithm": algos.DigestAlgorithm({"algorithm": "sha256"}),
                    "cert_hash": hashlib.sha256(certificate.dump()).digest(),
                    "issuer_serial": {
                        "issuer": [asn1_x509.GeneralName(name="directory_name", value=certificate.issuer)],
                        "serial_number": certificate.serial_number,
                    },
                }
            ]
        }
    )


def _fault_of(request: bytes) -> str:
    """Why a request cannot be served (PKIFailureInfo); empty where it can."""
    if len(request) > MAX_REQUEST_BYTES:
        return "bad_data_format"
    try:
        asked = tsp.TimeStampReq.load(request, strict=True)
        native = asked.native  # parses all of it
        algorithm = native["message_imprint"]["hash_algorithm"]["algorithm"]
        length = len(native["message_imprint"]["hashed_message"])
    except (ValueError, TypeError, KeyError):
        return "bad_data_format"
    if algorithm not in _LENGTHS:
        return "bad_alg"
    if length != _LENGTHS[algorithm] or native["version"] != "v1":
        return "bad_data_format"
    if native["req_policy"] not in (None, STAMP_POLICY):
        return "unaccepted_policy"
    return "unaccepted_extensions" if native["extensions"] else ""


def _asn1(certificate: x509.Certificate) -> asn1_x509.Certificate:
    return asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))
