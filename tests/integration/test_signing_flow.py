"""Signing a contract over gRPC: opened, read, previewed, authenticated, signed, complete."""

from __future__ import annotations

import re
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection

from cloud.signatures.marks import show_time
from cloud.store import accounts
from tests.support import pdf_samples
from tests.support.accounts import Room, SignedIn, in_database, new_citizen
from tests.support.cloud import FakeClock, RunningCloud
from tests.support.final import signing_cloud
from tests.support.pdf_signing import pdfsig, qpdf_check
from tests.support.signing import (
    DATE,
    Sent,
    Started,
    ask_code,
    begin,
    contract_of,
    download,
    judged,
    look,
    mark,
    open_invitation,
    read_all,
    refused_of,
    rewritten,
    self_party,
    send,
    sent_contract,
    sign_request,
    sign_with_code,
    signer_of,
    signing,
    signing_refused,
    start,
    strokes,
    text_of,
    unverify,
)
from tests.support.spool import wait_for
from verifield.documents.verdict import Outcome
from verifield.v1 import contract_service_pb2 as contract_pb
from verifield.v1 import signing_service_pb2 as pb

ZONE = ZoneInfo("America/Lima")


@pytest.fixture(scope="module")
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory, clock: FakeClock) -> Iterator[RunningCloud]:
    folder = tmp_path_factory.mktemp("signing")
    with signing_cloud(folder, clock=clock, sign_time_zone=ZONE.key, metrics_listen="127.0.0.1:0") as running:
        yield running


def alone(cloud: RunningCloud, **more: object) -> tuple[SignedIn, Sent]:
    """Somebody with a contract of their own."""
    sender = signer_of(cloud)
    return sender, sent_contract(cloud, sender, [], **more)


def state_of(cloud: RunningCloud, who: SignedIn, sent: Sent) -> contract_pb.ContractState.ValueType:
    return contract_of(cloud, who, sent.contract_id).contract.state


@pytest.mark.req("R126", "R133", "R153", "R178")
def test_who_signs_has_nothing_more_to_do_and_the_last_one_completes(
    cloud: RunningCloud, clock: FakeClock, tmp_path: Path
) -> None:
    sender, other = signer_of(cloud), signer_of(cloud, new_citizen(name="欧阳·明"))
    sent = sent_contract(cloud, sender, [other])
    begun = clock.now().replace(microsecond=0)
    first = sign_with_code(cloud, sender, sent)
    assert first.state == pb.SIGNING_STATE_SIGNED
    assert state_of(cloud, sender, sent) == contract_pb.CONTRACT_STATE_PARTIALLY_SIGNED
    open_invitation(cloud, other)
    second = sign_with_code(cloud, other, sent)
    assert second.state == pb.SIGNING_STATE_SIGNED

    assert state_of(cloud, other, sent) == contract_pb.CONTRACT_STATE_COMPLETED
    assert wait_for(cloud, to=sender.person.phone, template="contract_completed")
    content = download(cloud, other, sent.contract_id)
    verdict = judged(cloud, content)
    assert verdict.outcome is Outcome.VALID
    assert verdict.complete
    people = [one for one in verdict.signatures if one.signer in (sender.person.name, "欧阳·明")]
    assert [one.signer for one in people] == [sender.person.name] * 2 + ["欧阳·明"] * 2
    qpdf_check(content, tmp_path)
    if shutil.which("pdfsig"):
        assert pdfsig(content, tmp_path).count("Signature is Valid") == 1 + len(people)  # and the platform's
    dates = re.findall(r"2026-\d\d-\d\d \d\d:\d\d:\d\d -05:00", " ".join(text_of(content).split()))
    shown = [datetime.fromisoformat(one.replace(" -", "-")) for one in dates]
    assert len(shown) == 2
    assert begun <= min(shown) <= max(shown) <= clock.now()
    assert {show_time(one, ZONE) for one in shown} == set(dates)


@pytest.mark.req("R126")
def test_a_sender_may_choose_in_which_time_zone_dates_are_shown(cloud: RunningCloud) -> None:
    terms = contract_pb.ContractTerms(time_zone="Asia/Kathmandu")
    sender, sent = alone(cloud, terms=terms)
    sign_with_code(cloud, sender, sent)
    found = contract_of(cloud, sender, sent.contract_id)
    shown = re.findall(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d\d:\d\d",
        " ".join(text_of(download(cloud, sender, sent.contract_id)).split()),
    )
    assert len(shown) == 1
    assert shown[0].endswith(" +05:45")
    at = datetime.fromisoformat(shown[0].replace(" +", "+"))
    signed = found.contract.complete_time.ToDatetime(tzinfo=at.tzinfo)
    assert timedelta(0) <= signed - at < timedelta(minutes=1)


@pytest.mark.req("R156")
def test_each_signature_has_a_time_stamp_of_its_moment(cloud: RunningCloud, clock: FakeClock) -> None:
    sender, sent = alone(cloud)
    signed = sign_with_code(cloud, sender, sent)
    verdict = judged(cloud, download(cloud, sender, sent.contract_id))
    tolerance = timedelta(seconds=60)
    for one in verdict.signatures:
        assert one.time is not None
        assert abs(one.time - clock.now()) < tolerance
        assert one.time_source.name in {"AUTHORITY", "STAMP", "TIME_STAMP", "TIMESTAMP"}, one.time_source
    assert abs(signed.sign_time.ToDatetime(tzinfo=clock.now().tzinfo) - clock.now()) < tolerance


@pytest.mark.req("R124")
def test_the_signature_of_who_draws_none_is_the_name(cloud: RunningCloud) -> None:
    sender = signer_of(cloud, new_citizen(name="买买提·吐尔逊"))
    [asset] = signing(cloud, sender, "ListSignatureAssets", pb.ListSignatureAssetsRequest()).assets
    assert (asset.asset_id, asset.kind) == ("", pb.SIGNATURE_ASSET_KIND_DEFAULT)
    assert asset.image.startswith(b"\x89PNG")
    sent = sent_contract(cloud, sender, [])
    sign_with_code(cloud, sender, sent)
    assert "买买提·吐尔逊" in text_of(download(cloud, sender, sent.contract_id))


@pytest.mark.req("R125")
def test_a_signature_that_was_drawn_is_on_the_page(cloud: RunningCloud) -> None:
    sender, sent = alone(cloud)
    request = pb.DrawSignatureRequest(strokes=strokes())
    asset = signing(cloud, sender, "DrawSignature", request).asset
    listed = signing(cloud, sender, "ListSignatureAssets", pb.ListSignatureAssetsRequest()).assets
    assert [one.asset_id for one in listed] == ["", asset.asset_id]
    assert listed[1].image == asset.image
    read_all(cloud, sender, sent)
    started = start(cloud, sender, sent)
    plain_hash, plain = look(cloud, sender, started.signing_id)
    drawn_hash, drawn = look(cloud, sender, started.signing_id, asset_id=asset.asset_id)
    assert plain_hash != drawn_hash
    assert plain[1] != drawn[1]
    done = Started(started, drawn_hash, drawn)
    code = ask_code(cloud, sender, started.signing_id)
    signing(cloud, sender, "Sign", sign_request(done, sms_code=code))
    content = download(cloud, sender, sent.contract_id)
    assert sender.person.name not in text_of(content)
    assert judged(cloud, content).outcome is Outcome.VALID

    for pen in (strokes(0), strokes(1)):
        info = signing_refused(cloud, sender, "DrawSignature", pb.DrawSignatureRequest(strokes=pen))
        assert info.reason == "SIGNATURE_EMPTY"


def test_nobody_chooses_the_signature_of_somebody_else(cloud: RunningCloud) -> None:
    sender, sent = alone(cloud)
    stranger = signer_of(cloud)
    request = pb.DrawSignatureRequest(strokes=strokes())
    asset = signing(cloud, stranger, "DrawSignature", request).asset
    read_all(cloud, sender, sent)
    started = start(cloud, sender, sent)
    preview = pb.PreviewSignedRequest(signing_id=started.signing_id, asset_id=asset.asset_id)
    assert signing_refused(cloud, sender, "PreviewSigned", preview).reason == "SIGNATURE_ASSET_NOT_FOUND"
    retire = pb.RetireSignatureRequest(asset_id=asset.asset_id)
    assert signing_refused(cloud, sender, "RetireSignature", retire).reason == "SIGNATURE_ASSET_NOT_FOUND"
    signing(cloud, stranger, "RetireSignature", retire)
    listed = signing(cloud, stranger, "ListSignatureAssets", pb.ListSignatureAssetsRequest()).assets
    assert len(listed) == 1


@pytest.mark.req("R135", "R178")
def test_a_code_counts_for_one_signing_once(cloud: RunningCloud) -> None:
    sender, sent = alone(cloud)
    other = sent_contract(cloud, sender, [])
    first, second = begin(cloud, sender, sent), begin(cloud, sender, other)
    code = ask_code(cloud, sender, first.signing.signing_id)
    too_soon = pb.RequestSignCodeRequest(signing_id=second.signing.signing_id)
    status, info = refused_of(cloud, sender, "RequestSignCode", too_soon)
    assert (status, info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SMS_TOO_OFTEN")
    before = contract_of(cloud, sender, other.contract_id)
    info = signing_refused(cloud, sender, "Sign", sign_request(second, sms_code=code))
    assert info.reason == "CODE_WRONG"  # another contract
    wrong = pb.SmsCode(challenge_id=code.challenge_id, code="000000" if code.code != "000000" else "111111")
    info = signing_refused(cloud, sender, "Sign", sign_request(first, sms_code=wrong))
    assert info.reason == "CODE_WRONG"
    assert contract_of(cloud, sender, other.contract_id) == before
    again = start(cloud, sender, sent)  # another act of signing of the same document
    restarted = Started(again, *look(cloud, sender, again.signing_id))
    info = signing_refused(cloud, sender, "Sign", sign_request(restarted, sms_code=code))
    assert info.reason == "CODE_WRONG"

    cloud.clock.offset += timedelta(minutes=2)  # the next message may be sent
    code = ask_code(cloud, sender, again.signing_id)
    assert signing(cloud, sender, "Sign", sign_request(restarted, sms_code=code)).signing.state == (
        pb.SIGNING_STATE_SIGNED
    )
    info = signing_refused(cloud, sender, "Sign", sign_request(second, sms_code=code))
    assert info.reason == "CODE_USED"


@pytest.mark.req("R177")
def test_what_was_confirmed_is_what_is_signed(cloud: RunningCloud) -> None:
    sender, sent = alone(cloud)
    older = begin(cloud, sender, sent)
    asset = signing(cloud, sender, "DrawSignature", pb.DrawSignatureRequest(strokes=strokes())).asset
    newer, _ = look(cloud, sender, older.signing.signing_id, asset_id=asset.asset_id)
    code = ask_code(cloud, sender, older.signing.signing_id)
    status, info = refused_of(cloud, sender, "Sign", sign_request(older, sms_code=code))
    assert (status, info.reason) == (grpc.StatusCode.ABORTED, "PREVIEW_OUTDATED")
    confirmed = Started(older.signing, newer, {})
    done = signing(cloud, sender, "Sign", sign_request(confirmed, sms_code=code)).signing
    assert done.state == pb.SIGNING_STATE_SIGNED  # the code was not spent on what was refused


def test_nothing_is_signed_that_was_not_previewed(cloud: RunningCloud) -> None:
    sender, sent = alone(cloud)
    read_all(cloud, sender, sent)
    started = Started(start(cloud, sender, sent), bytes(32), {})
    code = ask_code(cloud, sender, started.signing.signing_id)
    info = signing_refused(cloud, sender, "Sign", sign_request(started, sms_code=code))
    assert info.reason == "PREVIEW_REQUIRED"


@pytest.mark.req("R116")
def test_who_is_not_verified_signs_nothing(cloud: RunningCloud) -> None:
    sender, sent = alone(cloud)
    started = begin(cloud, sender, sent)
    code = ask_code(cloud, sender, started.signing.signing_id)
    unverify(cloud, sender)
    status, info = refused_of(cloud, sender, "Sign", sign_request(started, sms_code=code))
    assert (status, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "REAL_NAME_REQUIRED")
    request = pb.StartSigningRequest(contract_id=sent.contract_id)
    assert signing_refused(cloud, sender, "StartSigning", request).reason == "REAL_NAME_REQUIRED"
    assert state_of(cloud, sender, sent) == contract_pb.CONTRACT_STATE_SENT


@pytest.mark.req("R131")
def test_who_signs_is_who_was_invited(cloud: RunningCloud) -> None:
    sender, sent = alone(cloud)
    started = begin(cloud, sender, sent)
    code = ask_code(cloud, sender, started.signing.signing_id)
    _rename(cloud, sender, "另外一人")
    info = signing_refused(cloud, sender, "Sign", sign_request(started, sms_code=code))
    assert info.reason == "PARTY_IDENTITY_MISMATCH"
    assert state_of(cloud, sender, sent) == contract_pb.CONTRACT_STATE_SENT


@pytest.mark.req("R138")
def test_a_contract_may_allow_some_methods_alone(cloud: RunningCloud) -> None:
    terms = contract_pb.ContractTerms(allowed_methods=[pb.SIGN_METHOD_PASSKEY])
    sender, sent = alone(cloud, terms=terms)
    started = begin(cloud, sender, sent)
    assert list(started.signing.allowed_methods) == [pb.SIGN_METHOD_PASSKEY]
    request = pb.RequestSignCodeRequest(signing_id=started.signing.signing_id)
    status, info = refused_of(cloud, sender, "RequestSignCode", request)
    assert (status, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SIGN_METHOD_NOT_ALLOWED")
    code = pb.SmsCode(challenge_id=started.signing.signing_id, code="123456")
    status, info = refused_of(cloud, sender, "Sign", sign_request(started, sms_code=code))
    assert (status, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SIGN_METHOD_NOT_ALLOWED")
    assert info.metadata["allowed"] == "PASSKEY"


@pytest.mark.req("R175", "R176")
def test_every_mark_is_a_signature_of_its_own(cloud: RunningCloud, tmp_path: Path) -> None:
    sender = signer_of(cloud)
    marks = [mark(1, row=number // 4, column=number % 4) for number in range(11)]
    marks.append(mark(1, DATE, page=2))
    sent = send(cloud, sender, [self_party()], marks, content=pdf_samples.plain(2))
    started = begin(cloud, sender, sent)
    assert sorted(started.pages) == [1, 2]
    code = ask_code(cloud, sender, started.signing.signing_id)
    signing(cloud, sender, "Sign", sign_request(started, sms_code=code))
    content = download(cloud, sender, sent.contract_id)
    verdict = judged(cloud, content)
    assert verdict.outcome is Outcome.VALID
    assert len([one for one in verdict.signatures if one.signer == sender.person.name]) == 12
    assert text_of(content).count(sender.person.name) == 11
    assert "2026-" in text_of(content, 2)
    qpdf_check(content, tmp_path)
    [date] = [one.field for one in started.signing.marks if one.kind == DATE]
    other = next(one.field for one in started.signing.marks if one.kind != DATE)
    assert judged(cloud, rewritten(content, date, other)).outcome is Outcome.ALTERED

    listed = pb.ListSignaturesRequest(contract_id=sent.contract_id, page_size=8)
    first = signing(cloud, sender, "ListSignatures", listed)
    listed.page_token = first.next_page_token
    found = [*first.signatures, *signing(cloud, sender, "ListSignatures", listed).signatures]
    assert {one.field for one in found} == {one.field for one in started.signing.marks}
    for before, after in pairwise(found):
        assert before.after_sha256 == after.before_sha256
    stranger = signer_of(cloud)
    assert signing_refused(cloud, stranger, "ListSignatures", listed).reason == "CONTRACT_OTHERS"


def test_a_signing_has_an_end(cloud: RunningCloud) -> None:
    sender, sent = alone(cloud)
    started = begin(cloud, sender, sent)
    for _ in range(5):
        code = pb.SmsCode(challenge_id=started.signing.signing_id, code="123456")
        info = signing_refused(cloud, sender, "Sign", sign_request(started, sms_code=code))
        assert info.reason == "CODE_NOT_FOUND"
    for _ in range(4):
        signing_refused(cloud, sender, "Sign", sign_request(started, sms_code=code))
    info = signing_refused(cloud, sender, "Sign", sign_request(started, sms_code=code))
    assert info.reason == "SIGNING_TRIES"
    info = signing_refused(cloud, sender, "Sign", sign_request(started, sms_code=code))
    assert info.reason == "SIGNING_STATE"
    assert start(cloud, sender, sent).state == pb.SIGNING_STATE_STARTED


def test_a_request_that_is_sent_again_signs_once(cloud: RunningCloud) -> None:
    sender, sent = alone(cloud)
    started = begin(cloud, sender, sent)
    request = sign_request(started, sms_code=ask_code(cloud, sender, started.signing.signing_id))
    first = signing(cloud, sender, "Sign", request)
    assert signing(cloud, sender, "Sign", request) == first
    assert contract_of(cloud, sender, sent.contract_id).contract.revision_no == 1
    listed = pb.ListSignaturesRequest(contract_id=sent.contract_id)
    assert len(signing(cloud, sender, "ListSignatures", listed).signatures) == 2


@pytest.mark.req("R139")
def test_a_party_opens_reads_authenticates_and_signs_within_a_minute(cloud: RunningCloud) -> None:
    sender, other = signer_of(cloud), signer_of(cloud)
    sent = sent_contract(cloud, sender, [other])
    sign_with_code(cloud, sender, sent)
    before = _flows(cloud)
    open_invitation(cloud, other)
    assert sign_with_code(cloud, other, sent).state == pb.SIGNING_STATE_SIGNED
    after = _flows(cloud)
    assert after["sms_code", "+Inf"] - before["sms_code", "+Inf"] == 1
    assert after["sms_code", "60.0"] - before["sms_code", "60.0"] == 1


def _flows(cloud: RunningCloud) -> dict[tuple[str, str], float]:
    """How many parties have signed so far, by method and the longest time that they took."""
    with urllib.request.urlopen(f"http://{cloud.endpoint.metrics_listen}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {
        (sample.labels["method"], sample.labels["le"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name == "sign_flow_seconds_bucket"
    }


def _rename(cloud: RunningCloud, who: SignedIn, name: str) -> None:
    """The person has another name now, and was verified with it."""

    def work(connection: Connection, room: Room) -> None:
        row = room.accounts.find(connection, who.account_id, lock=True)
        key = room.accounts.vault.key_of(connection, who.account_id)
        sealed = room.accounts.vault.text(key, who.account_id, "name", name)
        accounts.change_account(connection, replace(row, name=sealed))

    in_database(cloud, work)
