"""The verification of bundles that lie, are damaged, or are something else: none is ever verified."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.authority import (
    ORIGIN,
    new_key,
    sign_envelope,
)
from tests.support.cases import KEYID, Case, build_case, statuses
from verifield.bundle import MAX_BUNDLE_BYTES
from verifield.dsse import encode_envelope, parse_envelope
from verifield.note import Checkpoint, sign_checkpoint
from verifield.statement import RECEIPT_TYPE, STATEMENT_TYPE
from verifield.v1.bundle_pb2 import Bundle
from verifield.verify import verify_bundle


@pytest.fixture(scope="module")
def case() -> Case:
    return build_case()


@pytest.mark.req("E043")
def test_no_flipped_bit_is_ever_verified_but_in_the_receipts_hint(case: Case) -> None:
    """Every third byte, one bit each.

    The one region without protection is the keyid of the receipt's envelope: DSSE leaves it unsigned,
    nothing here reads it, and no record names the digest of its own receipt. The keyid of the device's
    envelope, in contrast, is covered by the digest in the receipt.
    """
    data = case.good.SerializeToString()
    hint = range(data.index(KEYID), data.index(KEYID) + len(KEYID))
    verdicts = set()
    for index in range(0, len(data), 3):
        damaged = bytearray(data)
        damaged[index] ^= 1 << index % 7
        report = case.verify(bytes(damaged))
        if index in hint:
            assert report.verdict == "verified"
            continue
        assert report.verdict != "verified", f"byte {index}"
        assert report.error is not None
        verdicts.add(report.verdict)
    assert verdicts == {"malformed", "forged", "untrusted", "unknown"}


def test_no_cut_and_no_tail_is_ever_verified(case: Case) -> None:
    data = case.good.SerializeToString()
    for length in range(0, len(data), 41):
        assert not case.verify(data[:length]).ok
    for tail in (b"\0", b"\x7a\x00", data[:1]):
        assert not case.verify(data + tail).ok


@settings(max_examples=100)
@given(st.binary(max_size=400))
def test_random_bytes_get_an_answer(data: bytes) -> None:
    report = verify_bundle(data, roots=[])
    assert report.verdict in {"malformed", "unknown"}


@pytest.mark.parametrize(("size", "code"), [(0, "EMPTY"), (MAX_BUNDLE_BYTES + 1, "TOO_LARGE")])
def test_the_size_of_a_bundle_is_limited(case: Case, size: int, code: str) -> None:
    report = case.verify(bytes(size))
    assert report.error is not None
    assert (report.verdict, report.error.code) == ("malformed", code)


def test_the_largest_bundle_is_still_read(case: Case) -> None:
    bundle = case.changed()
    room = MAX_BUNDLE_BYTES - len(bundle.SerializeToString())
    bundle.certificates.append(bytes(room - 4))
    assert len(bundle.SerializeToString()) == MAX_BUNDLE_BYTES
    report = case.verify(bundle)
    assert report.error is not None
    assert report.error.code == "CERTIFICATE"


Change = Callable[[Case, Bundle], object]


def other_receipt(case: Case, bundle: Bundle) -> None:
    """A genuine receipt, for the record before."""
    bundle.receipt = bundle.cited_receipt


def other_signature(case: Case, bundle: Bundle) -> None:
    payload = parse_envelope(bundle.envelope).payload
    bundle.envelope = sign_envelope(payload, payload_type=STATEMENT_TYPE, key=new_key())


def twin_signature(case: Case, bundle: Bundle) -> None:
    """ECDSA: from one valid signature anybody can make another one for the same content."""
    envelope = parse_envelope(bundle.envelope)
    r, s = decode_dss_signature(envelope.signatures[0].sig)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    twin = encode_dss_signature(r, order - s)
    bundle.envelope = encode_envelope(payload_type=STATEMENT_TYPE, payload=envelope.payload, signature=twin)


def device_hint(case: Case, bundle: Bundle) -> None:
    envelope = parse_envelope(bundle.envelope)
    envelope.signatures[0].keyid = "another"
    bundle.envelope = envelope.SerializeToString()


def other_device(case: Case, bundle: Bundle) -> None:
    """Device 2 signs, with its own genuine certificate, what device 1 would say."""
    thief = case.authority.enroll("device-2")
    bundle.envelope = sign_envelope(
        parse_envelope(bundle.envelope).payload, payload_type=STATEMENT_TYPE, key=thief.key
    )
    bundle.ClearField("certificates")
    bundle.certificates.extend(thief.chain)


def receipt_by_device(case: Case, bundle: Bundle) -> None:
    """The device confirms itself, with its genuine attestation certificate."""
    bundle.receipt = sign_envelope(
        parse_envelope(bundle.receipt).payload, payload_type=RECEIPT_TYPE, key=case.device.key
    )
    bundle.ClearField("receipt_certificates")
    bundle.receipt_certificates.extend(case.device.chain)


def checkpoint_of_another_log(case: Case, bundle: Bundle) -> None:
    tree = case.authority.tree
    bundle.log_entry.checkpoint = sign_checkpoint(
        Checkpoint("other.example", tree.size, tree.root()), key=case.authority.log_key
    )


def checkpoint_of_another_size(case: Case, bundle: Bundle) -> None:
    bundle.log_entry.checkpoint = case.authority.checkpoint(4)


def checkpoint_of_another_root(case: Case, bundle: Bundle) -> None:
    bundle.log_entry.checkpoint = sign_checkpoint(
        Checkpoint(ORIGIN, bundle.log_entry.tree_size, bytes(32)), key=case.authority.log_key
    )


def other_index(case: Case, bundle: Bundle) -> None:
    bundle.log_entry.index = 5


def other_cited(case: Case, bundle: Bundle) -> None:
    bundle.cited_receipt = bundle.receipt


def receipt_as_record(case: Case, bundle: Bundle) -> None:
    bundle.envelope = bundle.receipt


def newer_bundle(case: Case, bundle: Bundle) -> None:
    bundle.media_type = "application/vnd.verifield.bundle.v2+protobuf"


def no_type(case: Case, bundle: Bundle) -> None:
    bundle.ClearField("media_type")


def no_certificate(case: Case, bundle: Bundle) -> None:
    bundle.ClearField("certificates")


@pytest.mark.parametrize(
    ("change", "verdict", "code", "failed"),
    [
        (no_type, "malformed", "NOT_A_BUNDLE", "bundle"),
        (no_certificate, "malformed", "BUNDLE_SHAPE", "bundle"),
        (newer_bundle, "unknown", "BUNDLE_TYPE", "bundle"),
        (receipt_as_record, "unknown", "STATEMENT_TYPE", "envelope"),
        (receipt_by_device, "untrusted", "CERTIFICATE_PURPOSE", "receipt"),
        (other_signature, "forged", "SIGNATURE", "signature"),
        (other_device, "forged", "DEVICE", "device"),
        (other_receipt, "forged", "RECEIPT_MISMATCH", "position"),
        (twin_signature, "forged", "RECEIPT_MISMATCH", "position"),
        (device_hint, "forged", "RECEIPT_MISMATCH", "position"),
        (other_cited, "forged", "CITED_RECEIPT", "not-before"),
        (checkpoint_of_another_log, "untrusted", "LOG_NAME", "checkpoint"),
        (checkpoint_of_another_size, "forged", "LOG_SIZE", "checkpoint"),
        (checkpoint_of_another_root, "forged", "INCLUSION", "inclusion"),
        (other_index, "forged", "INCLUSION", "inclusion"),
    ],
)
def test_each_lie_has_its_verdict(case: Case, change: Change, verdict: str, code: str, failed: str) -> None:
    bundle = case.changed()
    change(case, bundle)
    report = case.verify(bundle)
    assert report.error is not None
    assert (report.verdict, report.error.code) == (verdict, code)
    assert [name for name, status in statuses(report).items() if status == "failed"] == [failed]
    assert report.facts is None
    assert report.proved == ()
