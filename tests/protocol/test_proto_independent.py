"""The committed bundles checked by other hands: openssl, pymerkle and forty lines that read protobuf.

Nothing of the package under test is imported here, and no generated code: what stands in the bundles
must be checkable by anybody, years from now, from the description of the format alone.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pymerkle import InmemoryTree
from pymerkle.proof import InvalidProof

FOLDER = Path(__file__).parents[1] / "vectors/attestation"
pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="the independent check needs the openssl command"
)

# field numbers of Bundle, Envelope, EnvelopeSignature, Receipt, LogEntry, Witness and Statement
ENVELOPE, CERTIFICATES, RECEIPT, CITED, LOG_ENTRY = 2, 3, 4, 5, 6
RECEIPT_CERTIFICATES, LOG_CERTIFICATES, CITED_CERTIFICATES, WITNESSES, REVOCATIONS = 7, 8, 9, 10, 11
PAYLOAD, PAYLOAD_TYPE, SIGNATURES = 1, 2, 3
DEVICE_ID, EPOCH, SEQ, LAST_RECEIPT, LAST_CHECKPOINT, DOCUMENT, CONFIGURATION, MANUAL = (
    2,
    3,
    4,
    6,
    7,
    13,
    17,
    23,
)
LIST_TIME = "2026-03-01T13:00:00+00:00"

Fields = dict[int, list[bytes | int]]


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def read_message(data: bytes | int) -> Fields:
    """Field number to values: numbers, or bytes (texts, messages, fixed-width numbers)."""
    assert isinstance(data, bytes)
    fields: Fields = {}
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        wire = key & 7
        if wire == 0:
            value, at = read_varint(data, at)
            fields.setdefault(key >> 3, []).append(value)
            continue
        length, at = read_varint(data, at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
        assert at + length <= len(data)
        fields.setdefault(key >> 3, []).append(data[at : at + length])
        at += length
    return fields


def content(value: bytes | int) -> bytes:
    assert isinstance(value, bytes)
    return value


def pae(envelope: Fields) -> bytes:
    kind, payload = content(envelope[PAYLOAD_TYPE][0]), content(envelope[PAYLOAD][0])
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def openssl(*arguments: str | Path) -> str:
    done = subprocess.run(
        ["openssl", *map(str, arguments)], check=False, capture_output=True, text=True, timeout=30
    )
    return done.stdout + done.stderr if done.returncode else "OK " + done.stdout


def public_key(der: bytes, folder: Path) -> Path:
    (folder / "certificate.der").write_bytes(der)
    path = folder / "key.pem"
    text = openssl("x509", "-inform", "DER", "-in", folder / "certificate.der", "-pubkey", "-noout")
    path.write_text(text.removeprefix("OK "))
    return path


def ecdsa_holds(envelope: Fields, key: Path, folder: Path, *, number: int = 0) -> bool:
    signature = read_message(envelope[SIGNATURES][number])[1][0]
    (folder / "signature").write_bytes(content(signature))
    (folder / "message").write_bytes(pae(envelope))
    return openssl(
        "dgst", "-sha256", "-verify", key, "-signature", folder / "signature", folder / "message"
    ).startswith("OK")


def as_pem(ders: list[bytes | int]) -> str:
    """PEM is base64 between two lines."""
    parts = [base64.encodebytes(content(der)).decode() for der in ders]
    return "".join(f"-----BEGIN CERTIFICATE-----\n{part}-----END CERTIFICATE-----\n" for part in parts)


def check_path(chain: list[bytes | int], *, at: str, folder: Path, root: Path, revoked: bytes = b"") -> str:
    """Let openssl build the path at a time; with a revocation list, let it look there as well."""
    (folder / "leaf.pem").write_text(as_pem(chain[:1]))
    (folder / "between.pem").write_text(as_pem(chain[1:]))
    options: list[str | Path] = []
    if revoked:
        (folder / "list.der").write_bytes(revoked)
        made = openssl("crl", "-inform", "DER", "-in", folder / "list.der", "-out", folder / "list.pem")
        assert made.startswith("OK")
        options = ["-crl_check", "-CRLfile", folder / "list.pem"]
    moment = str(int(datetime.fromisoformat(at).timestamp()))
    return openssl(
        *("verify", "-x509_strict", "-attime", moment, "-CAfile", root),
        *("-untrusted", folder / "between.pem", *options, folder / "leaf.pem"),
    )


def note_holds(note: str, certificate: bytes, folder: Path) -> bool:
    """Signed note of C2SP: Ed25519 over the text up to and with the line before the empty one."""
    body, _, signatures = note.rpartition("\n\n")
    blob = base64.b64decode(signatures.split(" ")[2])
    (folder / "body").write_text(body + "\n", encoding="utf-8")
    (folder / "sig").write_bytes(blob[4:])
    key = public_key(certificate, folder)
    return openssl(
        *("pkeyutl", "-verify", "-pubin", "-inkey", key, "-rawin"),
        *("-in", folder / "body", "-sigfile", folder / "sig"),
    ).startswith("OK")


def tree_of(note: str) -> tuple[int, bytes]:
    _, size, root, *_ = note.split("\n")
    return int(size), base64.b64decode(root)


def seconds(timestamp: bytes | int) -> int:
    value = read_message(timestamp)[1][0]
    assert isinstance(value, int)
    return value


def load(name: str) -> tuple[Fields, Fields, Fields]:
    bundle = read_message((FOLDER / f"{name}.bundle").read_bytes())
    envelope = read_message(bundle[ENVELOPE][0])
    return bundle, envelope, read_message(envelope[PAYLOAD][0])


GENUINE = [
    "verified",
    "spoof",
    "aborted",
    "manual",
    "device_event",
    "gap",
    "tombstone",
    "peripheral",
    "reset",
]


@pytest.mark.req("E043")
@pytest.mark.parametrize("name", GENUINE)
def test_openssl_finds_the_signature_the_chain_and_the_receipt_genuine(tmp_path: Path, name: str) -> None:
    bundle, envelope, statement = load(name)
    device = public_key(content(bundle[CERTIFICATES][0]), tmp_path)
    assert ecdsa_holds(envelope, device, tmp_path)
    subject = openssl(
        *("x509", "-inform", "DER", "-in", tmp_path / "certificate.der"),
        *("-noout", "-subject", "-nameopt", "RFC2253"),
    )
    assert f"subject=CN={content(statement[DEVICE_ID][0]).decode()}\n" in subject
    confirmed = read_message(bundle[RECEIPT][0])
    receipt = read_message(confirmed[PAYLOAD][0])
    assert ecdsa_holds(confirmed, public_key(content(bundle[RECEIPT_CERTIFICATES][0]), tmp_path), tmp_path)
    assert receipt[1] == statement[DEVICE_ID]
    assert (receipt[2], receipt[3]) == (statement[EPOCH], statement[SEQ])
    assert receipt[4][0] == hashlib.sha256(content(bundle[ENVELOPE][0])).digest()
    at = datetime.fromtimestamp(seconds(receipt[5][0]), UTC).isoformat()
    for chain in (bundle[CERTIFICATES], bundle[RECEIPT_CERTIFICATES], bundle[LOG_CERTIFICATES]):
        assert check_path(chain, at=at, folder=tmp_path, root=FOLDER / "root.pem").startswith("OK")
    if name == "manual":
        (tmp_path / "second.der").write_bytes(content(read_message(statement[MANUAL][0])[4][0]))
        second = tmp_path / "second.pem"
        openssl("pkey", "-pubin", "-inform", "DER", "-in", tmp_path / "second.der", "-out", second)
        assert ecdsa_holds(envelope, second, tmp_path, number=1)


@pytest.mark.req("E043")
def test_openssl_finds_the_forged_one_forged_and_the_untrusted_one_untrusted(tmp_path: Path) -> None:
    bundle, envelope, _ = load("forged")
    assert not ecdsa_holds(envelope, public_key(content(bundle[CERTIFICATES][0]), tmp_path), tmp_path)
    bundle, envelope, _ = load("untrusted")
    assert ecdsa_holds(envelope, public_key(content(bundle[CERTIFICATES][0]), tmp_path), tmp_path)
    answer = check_path(bundle[CERTIFICATES], at=LIST_TIME, folder=tmp_path, root=FOLDER / "root.pem")
    assert not answer.startswith("OK")
    _, envelope, statement = load("manual_alone")
    assert MANUAL in statement
    assert len(envelope[SIGNATURES]) == 1


@pytest.mark.req("E043")
def test_openssl_reads_the_revocation_lists_in_the_same_way(tmp_path: Path) -> None:
    root = FOLDER / "root.pem"
    for name, word in (("verified", "OK"), ("revoked", "certificate revoked")):
        bundle, _, _ = load(name)
        revoked = content(bundle[REVOCATIONS][0])
        answer = check_path(bundle[CERTIFICATES], at=LIST_TIME, folder=tmp_path, root=root, revoked=revoked)
        assert word in answer
    bundle, _, _ = load("verified")
    later = (FOLDER / "revoked.crl").read_bytes()
    answer = check_path(bundle[CERTIFICATES], at=LIST_TIME, folder=tmp_path, root=root, revoked=later)
    assert "certificate revoked" in answer


def leaf_of(bundle: Fields, envelope: Fields) -> bytes:
    """Prefix, then SHA-256 of signed bytes, first signature and certificate; hashed as a leaf (RFC 9162)."""
    parts = (
        pae(envelope),
        content(read_message(envelope[SIGNATURES][0])[1][0]),
        content(bundle[CERTIFICATES][0]),
    )
    leaf = b"verifield-leaf-v1\0" + b"".join(hashlib.sha256(part).digest() for part in parts)
    return hashlib.sha256(b"\0" + leaf).digest()


def of_size(size: int) -> InmemoryTree:
    """Some tree of that size: the form of a proof depends on nothing else."""
    return InmemoryTree.init_from_entries([b"%d" % number for number in range(size)], algorithm="sha256")


@pytest.mark.req("E043")
@pytest.mark.parametrize("name", GENUINE)
def test_pymerkle_finds_the_record_in_the_signed_tree(tmp_path: Path, name: str) -> None:
    bundle, envelope, _ = load(name)
    entry = read_message(bundle[LOG_ENTRY][0])
    index, size = entry.get(1, [0])[0], entry[2][0]
    note = content(entry[4][0]).decode()
    assert isinstance(index, int)
    assert isinstance(size, int)
    assert note_holds(note, content(bundle[LOG_CERTIFICATES][0]), tmp_path)
    assert not note_holds(
        note.replace(f"\n{size}\n", f"\n{size + 1}\n"), content(bundle[LOG_CERTIFICATES][0]), tmp_path
    )
    signed_size, root = tree_of(note)
    assert signed_size == size
    proof = of_size(size).prove_inclusion(index + 1, size)
    leaf = leaf_of(bundle, envelope)
    proof.path = [leaf, *entry[3]]
    proof.verify(leaf, root, index=index + 1, size=size, algorithm="sha256")
    proof.path = [leaf, *entry[3][:-1], bytes(32)]
    with pytest.raises(InvalidProof):
        proof.verify(leaf, root, index=index + 1, size=size, algorithm="sha256")


@pytest.mark.req("E043")
def test_pymerkle_finds_the_witness_and_the_log_consistent(tmp_path: Path) -> None:
    bundle, _, _ = load("verified")
    witness = read_message(bundle[WITNESSES][0])
    envelope = read_message(witness[1][0])
    assert ecdsa_holds(envelope, public_key(content(witness[2][0]), tmp_path), tmp_path)
    note = content(witness[3][0])
    assert read_message(envelope[PAYLOAD][0])[LAST_CHECKPOINT][0] == hashlib.sha256(note).digest()
    assert note_holds(note.decode(), content(bundle[LOG_CERTIFICATES][0]), tmp_path)
    first, first_root = tree_of(content(read_message(bundle[LOG_ENTRY][0])[4][0]).decode())
    second, second_root = tree_of(note.decode())
    proof = of_size(second).prove_consistency(first, second)
    seventh, eighth, *rest = witness[4]
    proof.path = [eighth, seventh, *rest]  # pymerkle begins with the newer one of the deepest pair
    assert (first, second) == (7, 11)  # for these sizes that is the only difference from RFC 9162
    proof.verify(first_root, second_root, prior_size=first, later_size=second, algorithm="sha256")
    forged = read_message(load("forged_witness")[0][WITNESSES][0])[4]
    proof.path = [forged[1], forged[0], *forged[2:]]
    with pytest.raises(InvalidProof):
        proof.verify(first_root, second_root, prior_size=first, later_size=second, algorithm="sha256")


@pytest.mark.req("E043")
def test_the_cited_receipt_the_policy_and_the_disclosures_by_hand(tmp_path: Path) -> None:
    bundle, _, statement = load("verified")
    cited = content(bundle[CITED][0])
    assert statement[LAST_RECEIPT][0] == hashlib.sha256(cited).digest()
    key = public_key(content(bundle[CITED_CERTIFICATES][0]), tmp_path)
    assert ecdsa_holds(read_message(cited), key, tmp_path)
    policy = read_message((FOLDER / "policy.envelope").read_bytes())
    named = read_message(statement[CONFIGURATION][0])[1][0]
    assert named == hashlib.sha256(content(policy[PAYLOAD][0])).digest()
    committed = {
        content(read_message(item)[1][0]).decode(): read_message(item)[2][0]
        for item in read_message(statement[DOCUMENT][0])[3]
    }
    for name, holds in (("disclosures.json", True), ("disclosures-false.json", False)):
        (item,) = [
            item for item in json.loads((FOLDER / name).read_text()) if item["field"] == "document.name"
        ]
        message = item["field"].encode() + b"\0" + base64.b64decode(item["value"])
        digest = hmac.new(base64.b64decode(item["salt"]), message, hashlib.sha256).digest()
        assert (committed["document.name"] == digest) == holds
