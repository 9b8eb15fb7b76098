"""Real inputs, changed at random: every reader gives a value or an error of the tree, and nothing else."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable, Iterator

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.support.authority import NOW, der, device_event, sign_envelope, verification
from tests.support.cases import Case, build_case
from tests.support.events import gap_event, peripheral_event, reset_event, tombstone_event
from tests.support.policies import sample_directive, sample_policy, sign_directive
from verifield.bundle import parse_bundle
from verifield.certificates import Purpose, check_chain, load_chain, load_roots, parse_certificate
from verifield.chain import envelope_sha256
from verifield.commitments import parse_disclosures
from verifield.cosign import encode_cosigner_key, parse_cosigner_key
from verifield.dsse import encode_envelope, parse_envelope
from verifield.errors import VerifieldError
from verifield.note import parse_checkpoint
from verifield.policy import check_directive, parse_policy
from verifield.receipt import check_receipt
from verifield.revocation import parse_revocation_list
from verifield.statement import RECEIPT_TYPE, STATEMENT_TYPE, encode_statement, parse_statement
from verifield.transfer import (
    ANSWER_TYPE,
    MAGIC,
    FramesDigest,
    check_seal,
    encode_answer_manifest,
    read_frames,
    read_seal,
    write_frame,
)
from verifield.v1 import attestation_pb2 as pb
from verifield.v1.bundle_pb2 import Receipt
from verifield.v1.sync_service_pb2 import DeliverRequest
from verifield.v1.transfer_pb2 import AnswerManifest, AnswerSeal, TransferFrame, TransferManifest

ROUNDS = round(150 * float(os.environ.get("VERIFIELD_SOAK", "1")))
"""Changed inputs for each reader; a soak factor of 100 takes minutes."""

NUMBERS = (0, 1, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1, -1, 0.5, float("nan"), float("inf"))
TEXTS = ("", "a", "A_CODE", "op-1", "\u202e", "\0", "\n", "x" * 65, "x" * 300, "live/live", "TURN_LEFT")
BYTES = (b"", bytes(16), bytes(31), bytes(32), bytes(33), b"x" * 200)


@pytest.fixture(scope="module")
def case() -> Case:
    return build_case()


def change_bytes(data: bytes, chance: random.Random) -> bytes:
    """Flip, cut, insert, repeat and copy, a few times."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at, size = chance.randrange(len(changed) + 1), chance.choice((1, 2, 4, 16))
        match chance.randrange(5):
            case 0 if at < len(changed):
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                del changed[at : at + size]
            case 2:
                changed[at:at] = chance.randbytes(size)
            case 3:
                changed[at : at + size] = b"\xff" * size
            case _:
                other = chance.randrange(len(changed) + 1)
                changed[at : at + size] = changed[other : other + size]
    return bytes(changed)


def change_field(message: Message, chance: random.Random) -> None:
    """Set, clear, add or remove one field, at any depth."""
    field = chance.choice(message.DESCRIPTOR.fields)
    if field.message_type is not None:
        if field.is_repeated:
            items = getattr(message, field.name)
            if len(items) and chance.random() < 0.2:
                del items[chance.randrange(len(items))]
            else:
                change_field(chance.choice(items) if len(items) else items.add(), chance)
        elif chance.random() < 0.1:
            message.ClearField(field.name)
        else:
            change_field(getattr(message, field.name), chance)
        return
    value = new_value(field, chance)
    try:
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
    except (TypeError, ValueError):  # protobuf itself has no room for such a value
        message.ClearField(field.name)


def new_value(field: FieldDescriptor, chance: random.Random) -> object:
    if field.enum_type is not None:
        return chance.choice([*field.enum_type.values_by_number, 99])
    if field.type == FieldDescriptor.TYPE_BOOL:
        return chance.random() < 0.5
    choices = {FieldDescriptor.TYPE_STRING: TEXTS, FieldDescriptor.TYPE_BYTES: BYTES}
    return chance.choice(choices.get(field.type, NUMBERS))


def readers(case: Case) -> Iterator[tuple[str, bytes, Callable[[bytes], object]]]:
    authority, roots = case.authority, [case.authority.root]
    frames = io.BytesIO()
    frames.write(MAGIC)
    write_frame(frames, TransferFrame(manifest=b"signed"))
    write_frame(frames, TransferFrame(deliver=DeliverRequest(envelopes=[case.good.envelope])))
    policy_chain = authority.policy_chain
    directive = sign_directive(authority, sample_directive("device-1"))
    yield "bundle", case.good.SerializeToString(), parse_bundle
    yield "verification", case.good.SerializeToString(), case.verify_with_all
    yield "envelope", case.good.envelope, parse_envelope
    yield "statement", parse_envelope(case.good.envelope).payload, parse_statement
    yield (
        "receipt",
        case.good.receipt,
        lambda data: check_receipt(data, certificates=case.good.receipt_certificates, roots=roots),
    )
    note = authority.checkpoint().encode()
    yield "checkpoint", note, lambda data: parse_checkpoint(data.decode(errors="replace"))
    yield "policy", sample_policy().SerializeToString(), parse_policy
    yield (
        "directive",
        directive,
        lambda data: check_directive(data, certificates=policy_chain, roots=roots, device_id="device-1"),
    )
    yield (
        "revocations",
        authority.revocation_list(case.device.certificate),
        lambda data: parse_revocation_list(data, issuers=[der(authority.issuing)], roots=roots).revoked_at(7),
    )
    yield "certificate", case.device.chain[0], parse_certificate
    yield (
        "chain",
        case.device.chain[1],
        lambda data: check_chain(
            [case.device.chain[0], data], roots=roots, at=NOW, purpose=Purpose.ATTESTATION
        ),
    )
    yield "roots", authority.root_pem, load_roots
    yield "pem", authority.root_pem * 2, load_chain
    yield "cosigner", encode_cosigner_key(case.device.key.public_key()), parse_cosigner_key
    yield "frames", frames.getvalue(), lambda data: list(read_frames(io.BytesIO(data)))
    sealed = io.BytesIO(frames.getvalue())
    sealed.seek(0, io.SEEK_END)
    answered_file = TransferManifest(device_id="device-1", transfer_id="019ca5a0-0000-7000-8000-000000000001")
    found = FramesDigest(2, bytes(32))
    manifest = AnswerManifest(
        device_id=answered_file.device_id,
        transfer_id=answered_file.transfer_id,
        frames=found.frames,
        frames_sha256=found.sha256,
    )
    manifest.server_time.FromDatetime(NOW)
    seal = sign_envelope(encode_answer_manifest(manifest), payload_type=ANSWER_TYPE, key=authority.policy_key)
    write_frame(sealed, TransferFrame(seal=AnswerSeal(envelope=seal, certificates=policy_chain)))
    yield "sealed", sealed.getvalue(), lambda data: read_seal(io.BytesIO(data))
    yield (
        "seal",
        seal,
        lambda data: check_seal(
            AnswerSeal(envelope=data, certificates=policy_chain),
            roots=roots,
            found=found,
            answered=answered_file,
        ),
    )
    yield "disclosures", DISCLOSURES, parse_disclosures


DISCLOSURES = b'[{"field": "document.name", "value": "eA==", "salt": "%s"}]' % (b"A" * 43 + b"=")
NAMES = (
    *("bundle", "verification", "envelope", "statement", "receipt", "checkpoint", "policy", "directive"),
    *(
        "revocations",
        "certificate",
        "chain",
        "roots",
        "pem",
        "cosigner",
        "frames",
        "sealed",
        "seal",
        "disclosures",
    ),
)


def answered(call: Callable[[], object]) -> str:
    try:
        call()
    except VerifieldError as error:
        return error.verdict if error.code and error.message.endswith(".") else "an error without words"
    return "value"


@pytest.mark.parametrize("name", NAMES)
def test_changed_bytes_give_a_value_or_an_error_of_the_tree(case: Case, name: str) -> None:
    _, data, read = next(one for one in readers(case) if one[0] == name)
    chance = random.Random(name)
    assert answered(lambda: read(data)) == "value"
    answers = {answered(lambda: read(change_bytes(data, chance))) for _ in range(ROUNDS)}
    assert answers <= {"value", "malformed", "forged", "untrusted", "unknown"}
    assert answers != {"value"} or name == "verification", "the changes change nothing"


@pytest.mark.parametrize("name", ["verification", "manual", "gap", "tombstone", "peripheral", "reset"])
def test_a_changed_statement_under_a_good_signature_gives_an_answer(case: Case, name: str) -> None:
    """The device signs, the service confirms, whatever it says: no rule has a hole through which it falls."""
    device = case.authority.enroll("device-1")
    device.sign(device_event(device))
    device.sign(verification(device, outcome=pb.OUTCOME_ABORTED))
    made = {
        "verification": verification(device),
        "manual": verification(device, outcome=pb.OUTCOME_MANUAL),
        "gap": gap_event(device, first=1, last=2),
        "tombstone": tombstone_event(device, seq=2),
        "peripheral": peripheral_event(device),
        "reset": reset_event(device, cloud_head=device.head),
    }[name]
    data, chance, verdicts = encode_statement(made), random.Random(name), set()
    for _ in range(ROUNDS):
        statement = pb.Statement.FromString(data)
        change_field(statement, chance)
        bundle = case.changed()
        payload = statement.SerializeToString(deterministic=True)
        second = sign_envelope(payload, payload_type=STATEMENT_TYPE, key=device.supervisor)
        envelope = sign_envelope(payload, payload_type=STATEMENT_TYPE, key=device.key)
        signatures = [parse_envelope(one).signatures[0].sig for one in (envelope, second)]
        bundle.envelope = encode_envelope(payload_type=STATEMENT_TYPE, payload=payload, signatures=signatures)
        del bundle.certificates[:]
        bundle.certificates.extend(device.chain)
        receipt = Receipt.FromString(parse_envelope(bundle.receipt).payload)
        receipt.chain_epoch, receipt.through_seq = statement.chain_epoch, statement.seq
        receipt.head_sha256 = envelope_sha256(bundle.envelope)
        bundle.receipt = sign_envelope(
            receipt.SerializeToString(), payload_type=RECEIPT_TYPE, key=case.authority.receipt_key
        )
        report = case.verify_with_all(bundle)
        assert not report.ok, "it is not in the log"
        verdicts.add(report.verdict)
    assert "malformed" in verdicts
    assert "forged" in verdicts
