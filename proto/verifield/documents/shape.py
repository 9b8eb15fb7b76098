"""The form of a signature, where nothing signs it: each byte of it has to be what we would have written.

A signature cannot cover itself. Versions, lists of algorithms, certificates beside the signer's, and what is
not signed of its attributes could be changed without its arithmetic noticing.
"""

from __future__ import annotations

from collections.abc import Sequence

from asn1crypto import algos, cms, core, tsp
from cryptography import x509

from verifield.certificates import DAMAGED
from verifield.documents.raw import is_issued

MAX_CERTIFICATES = 8
"""In one signature: the signer's, and those of its issuers."""

_STAMP = "signature_time_stamp_token"


def has_our_form(signed: cms.SignedData, *, roots: Sequence[x509.Certificate], is_token: bool) -> bool:
    """Whether all that nothing signs is as it should be. ``is_token``: of a time-stamp itself."""
    content = signed["encap_content_info"]
    if content["content_type"].native != ("tst_info" if is_token else "data"):
        return False
    if is_token != _is_there(content["content"]):
        return False
    if is_token and not isinstance(content["content"].parsed, tsp.TSTInfo):
        return False
    if signed["version"].native != ("v3" if is_token else "v1") or _is_there(signed["crls"]):
        return False
    if len(signed["signer_infos"]) != 1:
        return False
    [signer] = signed["signer_infos"]
    algorithm = signer["digest_algorithm"]
    if not _is_plain(algorithm) or [one.native for one in signed["digest_algorithms"]] != [algorithm.native]:
        return False
    if signer["version"].native != "v1" or signer["sid"].name != "issuer_and_serial_number":
        return False
    if not _is_plain(signer["signature_algorithm"]):
        return False
    if not _are_issued(signed["certificates"], roots, is_token=is_token):
        return False
    attributes = signer["unsigned_attrs"]
    if is_token:
        return not _is_there(attributes)
    return _is_one_token(attributes, [*roots, *_certificates(signed["certificates"])])


def _is_one_token(attributes: core.Asn1Value, roots: Sequence[x509.Certificate]) -> bool:
    if not _is_there(attributes) or len(attributes) != 1:
        return not _is_there(attributes)  # that there is no time-stamp at all is said elsewhere
    [attribute] = attributes
    if attribute["type"].native != _STAMP or len(attribute["values"]) != 1:
        return False
    [token] = attribute["values"]
    if token["content_type"].native != "signed_data":
        return False
    return has_our_form(token["content"], roots=roots, is_token=True)


def _are_issued(given: core.Asn1Value, known: Sequence[x509.Certificate], *, is_token: bool) -> bool:
    """Whether each certificate was issued by another one here, or by one of ``known``.

    A time-stamp may be of an authority whose root is not known: that is said elsewhere.
    """
    certificates = _certificates(given)
    if not certificates:
        return False
    strangers = sum(not is_issued(one, [*certificates, *known]) for one in certificates)
    of_a_stranger = is_token and not any(is_issued(one, known) for one in certificates)
    return strangers <= (1 if of_a_stranger else 0)


def _certificates(given: core.Asn1Value) -> list[x509.Certificate]:
    """None of them where one cannot be read, or is none, or they are too many."""
    if not _is_there(given) or len(given) > MAX_CERTIFICATES:
        return []
    if any(one.name != "certificate" for one in given):
        return []
    try:
        return [x509.load_der_x509_certificate(one.chosen.dump()) for one in given]
    except DAMAGED:
        return []


def _is_plain(algorithm: algos.AlgorithmIdentifier) -> bool:
    """Whether it has no parameters, or NULL: those of ECDSA and SHA-2 say nothing."""
    parameters = algorithm["parameters"]
    return not _is_there(parameters) or parameters.dump() == b"\x05\x00"


def _is_there(value: core.Asn1Value) -> bool:
    return value is not None and not isinstance(value, core.Void)
