"""The verification of bundles that lie, are damaged, or are something else: none is ever verified."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support.authority import (
    ORIGIN,
    new_key,
    sign_envelope,
)
from tests.support.cases import KEYID, RECEIVED_AT, Case, build_case, statuses
from verifield.bundle import MAX_BUNDLE_BYTES
from verifield.chain import ChainHead, envelope_sha256
from verifield.dsse import encode_envelope, parse_envelope
from verifield.note import Checkpoint, sign_checkpoint
from verifield.statement import RECEIPT_TYPE, STATEMENT_TYPE, encode_statement, parse_statement
from verifield.v1 import attestation_pb2 as pb
from verifield.v1.attestation_pb2 import Statement
from verifield.v1.bundle_pb2 import Bundle, Envelope, Receipt
from verifield.verify import verify_bundle


@pytest.fixture(scope="module")
def case() -> Case:
    return build_case()


STRIDE = max(1, round(5 / float(os.environ.get("VERIFIELD_SOAK", "1"))))
"""Every fifth byte in the short run, every byte at a soak factor of five."""


def unprotected(data: bytes) -> range:
    """Where a bit may flip without effect: the keyid of the receipt's envelope.

    DSSE leaves it unsigned, nothing here reads it, and no record names the digest of its own receipt.
    The keyids of all other envelopes are covered by digests, or absent.
    """
    return range(data.index(KEYID), data.index(KEYID) + len(KEYID))


@pytest.mark.req("E043")
def test_no_flipped_bit_is_ever_verified_but_in_the_receipts_hint(case: Case) -> None:
    data = case.good.SerializeToString()
    hint = unprotected(data)
    verdicts = set()
    for index in range(0, len(data), STRIDE):
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


@pytest.mark.req("E043")
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_changed_bytes_are_ever_verified(case: Case, draw: st.DataObject) -> None:
    """Several bits at once, bytes cut out, bytes put in; with all that may lie beside the bundle."""
    data = bytearray(case.good.SerializeToString())
    hint = unprotected(bytes(data))
    places = st.integers(0, len(data) - 1).filter(lambda place: place not in hint)
    place = draw.draw(places)
    match draw.draw(st.sampled_from(["flip", "cut", "insert"])):
        case "flip":
            data[place] ^= draw.draw(st.integers(1, 255))
        case "cut":
            del data[place : place + draw.draw(st.integers(1, 40))]
        case _:
            data[place:place] = draw.draw(st.binary(min_size=1, max_size=40))
    assume(bytes(data) != case.good.SerializeToString())
    assert case.verify_with_all(bytes(data)).verdict != "verified"


def changed_fields(message: Message, path: str = "") -> Iterator[tuple[str, Callable[[], None]]]:
    """Every field that is set, at any depth: with a change to another value, and with one that clears it."""
    for descriptor, value in message.ListFields():
        name = f"{path}{descriptor.name}"
        if descriptor.message_type is not None:
            children = value if descriptor.is_repeated else [value]
            for number, child in enumerate(children):
                yield from changed_fields(child, f"{name}.{number}.")
        elif descriptor.is_repeated:
            for number, item in enumerate(value):
                yield f"{name}.{number}", partial(value.__setitem__, number, other_value(item, descriptor))
        else:
            yield name, partial(setattr, message, descriptor.name, other_value(value, descriptor))
        yield f"{name} cleared", partial(message.ClearField, descriptor.name)


def other_value(value: object, descriptor: FieldDescriptor) -> object:
    if descriptor.enum_type is not None:
        return next(n for n in descriptor.enum_type.values_by_number if n not in {0, value})
    if isinstance(value, bool):
        return not value
    if isinstance(value, bytes):
        middle = len(value) // 2  # at the end of the receipt's envelope stands its keyid
        return value[:middle] + bytes([value[middle] ^ 1]) + value[middle + 1 :]
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1] != "0" else "1")
    assert isinstance(value, int | float)
    return value + 1


def count_fields(message: Message) -> int:
    return sum(1 for _ in changed_fields(message))


@pytest.mark.req("E043")
def test_no_changed_field_of_the_bundle_is_ever_verified(case: Case) -> None:
    optional = {"witnesses cleared", "revocation_list cleared", "cited_receipt cleared"}
    for number in range(count_fields(case.good)):
        bundle = case.changed()
        name, change = next(islice(changed_fields(bundle), number, None))
        change()
        report = case.verify(bundle)
        if name in optional:
            assert report.verdict == "verified"
            assert "missing" in statuses(report).values()
        else:
            assert report.verdict != "verified", name


@pytest.mark.req("E043")
@pytest.mark.parametrize("outcome", [pb.OUTCOME_VERIFIED, pb.OUTCOME_MANUAL])
def test_no_changed_field_of_the_statement_keeps_its_signature(outcome: pb.Outcome.ValueType) -> None:
    """Each field of the signed content, of each signature, and of the receipt: forged, or not even read."""
    built = build_case(outcome)
    for part in ("envelope", "receipt", "cited_receipt"):
        kind = Statement if part == "envelope" else Receipt
        envelope = parse_envelope(getattr(built.good, part))
        for number in range(count_fields(kind.FromString(envelope.payload))):
            content = kind.FromString(envelope.payload)
            name, change = next(islice(changed_fields(content), number, None))
            change()
            bundle = built.changed()
            changed = Envelope(
                payload=content.SerializeToString(deterministic=True),
                payload_type=envelope.payload_type,
                signatures=envelope.signatures,
            )
            setattr(bundle, part, changed.SerializeToString())
            assert changed.payload != envelope.payload, name
            report = built.verify(bundle)
            assert report.verdict == "forged", f"{part}: {name}"


def test_no_cut_and_no_tail_is_ever_verified(case: Case) -> None:
    data = case.good.SerializeToString()
    bare = case.changed()
    bare.ClearField("witnesses")
    bare.ClearField("revocation_list")
    whole = {len(bare.SerializeToString())}
    bare.witnesses.extend(case.good.witnesses)
    whole.add(len(bare.SerializeToString()))
    for length in {*range(0, len(data), 41), *(size - 1 for size in whole)} - whole:
        assert not case.verify(data[:length]).ok
    for field in ("witnesses", "revocation_list"):  # the last two; what they would prove is then open
        shorter = case.changed()
        shorter.ClearField(field)  # type: ignore[arg-type]
        report = case.verify(shorter)
        assert (report.verdict, statuses(report)[field.removesuffix("_list")]) == ("verified", "missing")
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
    bundle.certificates.append(bytes(room - 5))
    assert len(bundle.SerializeToString()) == MAX_BUNDLE_BYTES
    report = case.verify(bundle)
    assert report.error is not None
    assert report.error.code == "CERTIFICATE"


Change = Callable[[Case, Bundle], object]


def other_receipt(case: Case, bundle: Bundle) -> None:
    """A genuine receipt, for the record before."""
    bundle.receipt = bundle.cited_receipt
    del bundle.receipt_certificates[:]
    bundle.receipt_certificates.extend(bundle.cited_receipt_certificates)


def other_signature(case: Case, bundle: Bundle) -> None:
    payload = parse_envelope(bundle.envelope).payload
    bundle.envelope = sign_envelope(payload, payload_type=STATEMENT_TYPE, key=new_key())


def twin_signature(case: Case, bundle: Bundle) -> None:
    """ECDSA: from one valid signature anybody can make another one for the same content."""
    envelope = parse_envelope(bundle.envelope)
    r, s = decode_dss_signature(envelope.signatures[0].sig)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    twin = encode_dss_signature(r, order - s)
    bundle.envelope = encode_envelope(
        payload_type=STATEMENT_TYPE, payload=envelope.payload, signatures=[twin]
    )


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


def cited_by_device(case: Case, bundle: Bundle) -> None:
    """The receipt that the record cites comes with the device's own certificate, and its signature."""
    device, statement = case.device, parse_statement(parse_envelope(bundle.envelope).payload)
    cited = sign_envelope(
        parse_envelope(bundle.cited_receipt).payload, payload_type=RECEIPT_TYPE, key=device.key
    )
    statement.last_receipt_sha256 = envelope_sha256(cited)
    envelope = sign_envelope(encode_statement(statement), payload_type=STATEMENT_TYPE, key=device.key)
    made = case.authority.receipt(
        "device-1", ChainHead(1, statement.seq, envelope_sha256(envelope)), at=RECEIVED_AT
    )
    bundle.envelope, bundle.receipt, bundle.cited_receipt = envelope, made, cited
    del bundle.cited_receipt_certificates[:]
    bundle.cited_receipt_certificates.extend(device.chain)


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
        (cited_by_device, "untrusted", "CERTIFICATE_PURPOSE", "not-before"),
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
