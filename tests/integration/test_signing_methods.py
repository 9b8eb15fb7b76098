"""How people show that it is them: passkeys and faces, each bound to one document and one signing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest
from fido2 import cbor
from fido2.cose import CoseKey

from cloud.signatures.binding import bind
from cloud.store import signatures as rows
from tests.support.accounts import SignedIn, in_database
from tests.support.authenticator import Authenticator, safe, unsafe
from tests.support.cloud import CloudDevice, RunningCloud
from tests.support.final import signing_cloud
from tests.support.identity import Seen, evidence_of
from tests.support.signing import (
    Started,
    ask_code,
    begin,
    download,
    judged,
    open_invitation,
    sent_contract,
    sign_request,
    signer_of,
    signing,
    signing_refused,
)
from verifield.documents.verdict import Outcome
from verifield.v1 import signing_service_pb2 as pb


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with signing_cloud(tmp_path_factory.mktemp("methods")) as running:
        yield running


@pytest.fixture(scope="module")
def kiosk(cloud: RunningCloud) -> CloudDevice:
    return cloud.enroll()


def register(cloud: RunningCloud, who: SignedIn, pad: Authenticator, name: str = "phone") -> pb.Passkey:
    begun = signing(cloud, who, "StartPasskey", pb.StartPasskeyRequest())
    request = pb.FinishPasskeyRequest(
        registration_id=begun.registration_id, response_json=pad.create(begun.options_json), name=name
    )
    return signing(cloud, who, "FinishPasskey", request).passkey


def ready(cloud: RunningCloud, who: SignedIn | None = None) -> tuple[SignedIn, Started]:
    """Somebody who has previewed a contract of their own."""
    who = who or signer_of(cloud)
    return who, begin(cloud, who, sent_contract(cloud, who, []))


def asserted(started: Started, pad: Authenticator, **changes: str) -> pb.SignRequest:
    answer = pad.get(started.signing.passkey_options_json, **changes)
    return sign_request(started, passkey=pb.PasskeyAssertion(response_json=answer))


@pytest.mark.req("R136")
def test_a_passkey_signs_this_document_alone(cloud: RunningCloud) -> None:
    who, pad = signer_of(cloud), Authenticator()
    passkey = register(cloud, who, pad)
    _, started = ready(cloud, who)
    _, other = ready(cloud, who)
    told = started.signing
    options = json.loads(told.passkey_options_json)
    bound = bind(told.contract_id, told.party_id, told.document_sha256, told.challenge)
    assert unsafe(options["challenge"]) == bound == told.nonce
    assert options["userVerification"] == "required"

    for answer in (
        asserted(started, pad, challenge=safe(other.signing.nonce)),  # another contract's
        asserted(started, pad, challenge=safe(bytes(32))),
        asserted(started, Authenticator(user_handle=pad.user_handle)),  # a passkey of nobody
        asserted(started, replace(pad, verifies=False)),  # nobody's finger
        asserted(started, replace(pad, origin="https://evil.example")),
    ):
        assert signing_refused(cloud, who, "Sign", answer).reason == "PASSKEY_REFUSED"
    done = signing(cloud, who, "Sign", asserted(started, pad)).signing
    assert (done.state, done.method) == (pb.SIGNING_STATE_SIGNED, pb.SIGN_METHOD_PASSKEY)
    assert judged(cloud, download(cloud, who, told.contract_id)).outcome is Outcome.VALID

    request = pb.ListSignaturesRequest(contract_id=told.contract_id)
    record = signing(cloud, who, "ListSignatures", request).signatures[0]
    assert (record.evidence_id, record.challenge) == (passkey.passkey_id, told.challenge)
    _check_evidence(cloud, told.contract_id, record.evidence_sha256, bound)


def _check_evidence(cloud: RunningCloud, contract_id: str, digest: bytes, bound: bytes) -> None:
    """What is kept verifies without the service."""
    row = in_database(cloud, lambda connection, _: rows.records_of(connection, contract_id)[0])
    assert row.evidence is not None
    assert sha256(row.evidence).digest() == digest
    kept = json.loads(row.evidence)
    client = unsafe(kept["clientDataJSON"])
    key = CoseKey.parse(cbor.decode(unsafe(kept["publicKey"])))
    key.verify(unsafe(kept["authenticatorData"]) + sha256(client).digest(), unsafe(kept["signature"]))
    assert unsafe(json.loads(client)["challenge"]) == bound


def test_a_passkey_that_was_copied_is_refused(cloud: RunningCloud) -> None:
    who, pad = signer_of(cloud), Authenticator(counter=10)
    register(cloud, who, pad)
    _, started = ready(cloud, who)
    copy = replace(pad, counter=5)
    assert signing_refused(cloud, who, "Sign", asserted(started, copy)).reason == "PASSKEY_CLONED"
    assert signing(cloud, who, "Sign", asserted(started, pad)).signing.state == pb.SIGNING_STATE_SIGNED


def test_a_passkey_without_a_counter_counts(cloud: RunningCloud) -> None:
    who, pad = signer_of(cloud), Authenticator(counts=0)
    register(cloud, who, pad)
    for _ in range(2):
        _, started = ready(cloud, who)
        assert signing(cloud, who, "Sign", asserted(started, pad)).signing.state == pb.SIGNING_STATE_SIGNED


def test_people_have_several_passkeys_and_let_them_go(cloud: RunningCloud) -> None:
    who, first, second = signer_of(cloud), Authenticator(), Authenticator()
    register(cloud, who, first, "phone")
    kept = register(cloud, who, second, "tablet")
    rename = pb.RenamePasskeyRequest(passkey_id=kept.passkey_id, name="old tablet")
    assert signing(cloud, who, "RenamePasskey", rename).passkey.name == "old tablet"
    listed = signing(cloud, who, "ListPasskeys", pb.ListPasskeysRequest()).passkeys
    assert [one.name for one in listed] == ["phone", "old tablet"]

    stranger = signer_of(cloud)
    remove = pb.RemovePasskeyRequest(passkey_id=kept.passkey_id)
    assert signing_refused(cloud, stranger, "RemovePasskey", remove).reason == "PASSKEY_NOT_FOUND"
    assert signing_refused(cloud, stranger, "RenamePasskey", rename).reason == "PASSKEY_NOT_FOUND"
    signing(cloud, who, "RemovePasskey", remove)
    _, started = ready(cloud, who)
    assert safe(second.credential_id) not in started.signing.passkey_options_json
    assert signing_refused(cloud, who, "Sign", asserted(started, second)).reason == "PASSKEY_REFUSED"
    assert signing(cloud, who, "Sign", asserted(started, first)).signing.state == pb.SIGNING_STATE_SIGNED


def test_a_passkey_is_registered_once_and_in_time(cloud: RunningCloud) -> None:
    who, pad = signer_of(cloud), Authenticator()
    register(cloud, who, pad)
    begun = signing(cloud, who, "StartPasskey", pb.StartPasskeyRequest())
    request = pb.FinishPasskeyRequest(
        registration_id=begun.registration_id, response_json=pad.create(begun.options_json), name="again"
    )
    assert signing_refused(cloud, who, "FinishPasskey", request).reason == "PASSKEY_KNOWN"
    assert signing_refused(cloud, who, "FinishPasskey", request).reason == "PASSKEY_REGISTRATION_OVER"
    begun = signing(cloud, who, "StartPasskey", pb.StartPasskeyRequest())
    for response in ("{}", "[]", "nonsense", '{"id": 1, "rawId": 1}'):
        request = pb.FinishPasskeyRequest(
            registration_id=begun.registration_id, response_json=response, name="x"
        )
        reason = signing_refused(cloud, who, "FinishPasskey", request).reason
        assert reason in ("PASSKEY_REFUSED", "PASSKEY_REGISTRATION_OVER")


def test_a_hostile_answer_of_a_passkey_is_refused_in_words(cloud: RunningCloud) -> None:
    who, pad = signer_of(cloud), Authenticator()
    register(cloud, who, pad)
    _, started = ready(cloud, who)
    good = json.loads(pad.get(started.signing.passkey_options_json))
    for name in ("clientDataJSON", "authenticatorData", "signature"):
        for value in ("", "AAAA", 7, None):
            bad = good | {"response": good["response"] | {name: value}}
            request = sign_request(started, passkey=pb.PasskeyAssertion(response_json=json.dumps(bad)))
            reason = signing_refused(cloud, who, "Sign", request).reason
            assert reason in ("PASSKEY_REFUSED", "SIGNING_TRIES", "SIGNING_STATE")


def test_nests_and_keys_that_nobody_can_read_are_refused_in_words(cloud: RunningCloud) -> None:
    who, pad = signer_of(cloud), Authenticator()
    begun = signing(cloud, who, "StartPasskey", pb.StartPasskeyRequest())
    unknown = json.loads(pad.create(begun.options_json))
    data = unsafe(unknown["response"]["attestationObject"])
    assert data.count(cbor.encode({3: -7})[1:]) == 1  # the algorithm of the key
    unknown["response"]["attestationObject"] = safe(
        data.replace(cbor.encode({3: -7})[1:], cbor.encode({3: -24})[1:])
    )
    for response in (json.dumps(unknown), "[" * 30_000):
        request = pb.FinishPasskeyRequest(
            registration_id=begun.registration_id, response_json=response, name="x"
        )
        reason = signing_refused(cloud, who, "FinishPasskey", request).reason
        assert reason in ("PASSKEY_REFUSED", "PASSKEY_REGISTRATION_OVER")

    register(cloud, who, pad)
    _, started = ready(cloud, who)
    good = json.loads(pad.get(started.signing.passkey_options_json))
    known = bytearray(unsafe(good["response"]["authenticatorData"]))
    known[32] |= 0x80  # extensions follow
    nested = good | {
        "response": good["response"] | {"authenticatorData": safe(bytes(known) + b"\x81" * 5000)}
    }
    for response in ("[" * 16_000, '{"a":' * 3000, json.dumps(nested)):
        request = sign_request(started, passkey=pb.PasskeyAssertion(response_json=response))
        assert signing_refused(cloud, who, "Sign", request).reason == "PASSKEY_REFUSED"
    assert signing(cloud, who, "Sign", asserted(started, pad)).signing.state == pb.SIGNING_STATE_SIGNED


@pytest.mark.req("R135", "R136", "R137")
def test_what_shows_one_party_shows_no_other(cloud: RunningCloud, kiosk: CloudDevice) -> None:
    first, second = signer_of(cloud), signer_of(cloud)
    pads = {first.account_id: Authenticator(), second.account_id: Authenticator()}
    sent = sent_contract(cloud, first, [second])
    open_invitation(cloud, second)
    mine, theirs = begin(cloud, first, sent), begin(cloud, second, sent)
    code = ask_code(cloud, first, mine.signing.signing_id)
    for who, pad in zip((first, second), pads.values(), strict=True):
        register(cloud, who, pad)
    assertion = pads[first.account_id].get(told_again(cloud, first, mine).passkey_options_json)
    face = evidence_of(kiosk, Seen(first.person.elements), nonce=mine.signing.nonce)
    for given, why in (
        ({"sms_code": code}, "CODE_NOT_FOUND"),
        ({"passkey": pb.PasskeyAssertion(response_json=assertion)}, "PASSKEY_REFUSED"),
        ({"face": face}, "EVIDENCE_NONCE"),
    ):
        assert signing_refused(cloud, second, "Sign", sign_request(theirs, **given)).reason == why

    again = begin(cloud, first, sent)  # nor another act of signing of the same party
    for given, why in (
        ({"sms_code": code}, "CODE_WRONG"),
        ({"passkey": pb.PasskeyAssertion(response_json=assertion)}, "PASSKEY_REFUSED"),
        ({"face": face}, "EVIDENCE_NONCE"),
    ):
        assert signing_refused(cloud, first, "Sign", sign_request(again, **given)).reason == why
        assert signing_refused(cloud, first, "Sign", sign_request(mine, **given)).reason == "SIGNING_STATE"


def told_again(cloud: RunningCloud, who: SignedIn, started: Started) -> pb.Signing:
    request = pb.GetSigningRequest(signing_id=started.signing.signing_id)
    return signing(cloud, who, "GetSigning", request).signing


@pytest.mark.req("R137")
def test_a_face_counts_for_this_document_once_and_while_it_is_fresh(
    cloud: RunningCloud, kiosk: CloudDevice
) -> None:
    who, started = ready(cloud)
    seen = Seen(who.person.elements)

    def face(nonce: bytes, what: Seen = seen, of: Started = started) -> pb.SignRequest:
        return sign_request(of, face=evidence_of(kiosk, what, nonce=nonce))

    _, other = ready(cloud, who)
    assert signing_refused(cloud, who, "Sign", face(other.signing.nonce)).reason == "EVIDENCE_NONCE"
    assert signing_refused(cloud, who, "Sign", face(bytes(32))).reason == "EVIDENCE_NONCE"
    stranger = Seen(signer_of(cloud).person.elements)
    info = signing_refused(cloud, who, "Sign", face(started.signing.nonce, stranger))
    assert info.reason == "EVIDENCE_PERSON"
    good = face(started.signing.nonce)
    done = signing(cloud, who, "Sign", good).signing
    assert (done.state, done.method) == (pb.SIGNING_STATE_SIGNED, pb.SIGN_METHOD_FACE)
    replayed = sign_request(other, face=good.face)
    assert signing_refused(cloud, who, "Sign", replayed).reason == "EVIDENCE_NONCE"
    assert judged(cloud, download(cloud, who, started.signing.contract_id)).outcome is Outcome.VALID

    late = face(other.signing.nonce, of=other)
    cloud.clock.offset += timedelta(seconds=601)
    assert signing_refused(cloud, who, "Sign", late).reason == "EVIDENCE_STALE"
