"""Verification by the holder: four elements, face, network certificate; each answer of an authority."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import grpc
import pytest

from cloud.accounts.states import State
from cloud.elements import FourElements, Validity, to_message
from cloud.store.schema import identities, verifications
from tests.support.accounts import as_account, new_citizen
from tests.support.authorities import Somebody, face_of, somebody
from tests.support.cloud import FakeClock
from tests.support.identity import OTHER_FACE, IdentityRoom, running_identity
from tests.support.people import reason_of
from verifield.v1 import account_service_pb2, identity_pb2, rulebook_pb2, rulebook_service_pb2
from verifield.v1 import identity_service_pb2 as pb
from verifield.v1.account_service_pb2_grpc import AccountServiceStub


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityRoom]:
    """One service for those tests that change no rules and no clock."""
    with running_identity(tmp_path_factory.mktemp("identity")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _well(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "room" in request.fixturenames:
        request.getfixturevalue("room").authorities.well()


NUMBERS = iter(range(1000, 100_000))


def known(room: IdentityRoom, **changes: object) -> Somebody:
    """Somebody new whom the registers know."""
    person = somebody(next(NUMBERS), **changes)
    room.authorities.add(person)
    return person


@pytest.mark.req("R021")
def test_a_person_without_any_role_comes_to_verified_from_afar(tmp_path: Path, database_url: str) -> None:
    person = somebody(1)
    with running_identity(tmp_path, person, database=database_url) as room:
        holder = room.holder(person)
        assert holder.identity().state == pb.IDENTITY_STATE_UNVERIFIED
        elements = holder.verify_elements()
        assert (elements.state, elements.method) == (
            pb.VERIFICATION_STATE_PASSED,
            pb.VERIFICATION_METHOD_FOUR_ELEMENTS,
        )
        assert holder.identity().state == pb.IDENTITY_STATE_ELEMENTS_VERIFIED
        face = holder.verify_face()
        assert (face.state, face.method) == (pb.VERIFICATION_STATE_PASSED, pb.VERIFICATION_METHOD_FACE)
        assert face.device_id == room.kiosk.device_id
        identity = holder.identity()
        assert (identity.state, identity.method) == (pb.IDENTITY_STATE_VERIFIED, pb.VERIFICATION_METHOD_FACE)
        assert identity.verification_id == face.verification_id
        own = holder.call("ListOwnVerifications", pb.ListOwnVerificationsRequest()).verifications
        assert [one.verification_id for one in own] == [face.verification_id, elements.verification_id]


def changed(elements: FourElements) -> dict[str, FourElements]:
    """Each of the four changed by one character or one day."""
    start, end = elements.validity.valid_from, elements.validity.valid_to
    assert start is not None
    assert end is not None
    day = timedelta(days=1)
    number = elements.id_number
    first = number[:14] + f"{(int(number[14:17]) + 2) % 1000:03d}"
    total = sum(int(digit) * (1 << (17 - place)) for place, digit in enumerate(first))
    return {
        "name": replace(elements, name=elements.name[:-1] + "庚辛"[elements.name.endswith("庚")]),
        "id_number": replace(elements, id_number=first + "10X98765432"[total % 11]),
        "valid_from": replace(elements, validity=Validity(start + day, end)),
        "valid_to": replace(elements, validity=Validity(start, end + day)),
    }


@pytest.mark.req("R056")
@pytest.mark.req("R057")
def test_any_single_element_that_is_wrong_is_missing_data_and_nobody_is_told_which(
    room: IdentityRoom,
) -> None:
    person = known(room)
    told = set()
    for which, elements in changed(person.elements).items():
        holder = room.holder(replace(person, id_number=new_citizen().id_number))
        error = holder.elements_refused(elements)
        assert error.reason == "VERIFICATION_DATA_MISSING", which
        assert error.metadata["check_list"] == "name,id_number,valid_from,valid_to"
        assert holder.identity().state == pb.IDENTITY_STATE_UNVERIFIED
        told.add(tuple(sorted(error.metadata.items())))
    assert len(told) == 1  # whichever was wrong, the same is said
    holder = room.holder(replace(person, id_number=new_citizen().id_number))
    assert holder.verify_elements(person.elements).state == pb.VERIFICATION_STATE_PASSED


def test_elements_that_were_mistyped_are_put_right_by_the_ones_that_are_known(room: IdentityRoom) -> None:
    person = known(room)
    holder = room.holder(replace(person, name="测试错", id_number=new_citizen().id_number))
    holder.elements_refused()
    holder.verify_elements(person.elements)
    holder.person = replace(holder.person, id_number=person.id_number, name=person.name)
    assert holder.verify_face().state == pb.VERIFICATION_STATE_PASSED
    another = room.holder(replace(person, id_number=new_citizen().id_number))
    assert another.elements_refused(person.elements).reason == "ACCOUNT_EXISTS"


def test_the_telephone_number_of_somebody_else_is_no_hindrance(room: IdentityRoom) -> None:
    holder = room.holder(known(room), phone=known(room).phone)
    assert holder.verify_elements().state == pb.VERIFICATION_STATE_PASSED


@pytest.mark.req("R059")
@pytest.mark.parametrize("text", ["长期", "9999-12-31", "2099-12-31", "00000000"])
def test_long_term_is_verified_in_all_its_spellings(room: IdentityRoom, text: str) -> None:
    person = known(room, valid_to=None)
    holder = room.holder(person)
    elements = identity_pb2.FourElements(
        name=person.name,
        id_number=person.id_number,
        validity=identity_pb2.Validity(valid_from="2020-01-01", valid_to=text),
    )
    request = pb.VerifyFourElementsRequest(elements=elements)
    assert holder.call("VerifyFourElements", request).verification.state == pb.VERIFICATION_STATE_PASSED
    wrong = room.holder(known(room, valid_to=None))
    validity = Validity(date(2020, 1, 2), None)
    assert wrong.elements_refused(replace(wrong.person.elements, validity=validity)).reason == (
        "VERIFICATION_DATA_MISSING"
    )


@pytest.mark.req("R059")
def test_both_ends_may_be_long_term(room: IdentityRoom) -> None:
    person = known(room, valid_from=None, valid_to=None)
    assert room.holder(person).verify_elements().state == pb.VERIFICATION_STATE_PASSED


@pytest.mark.req("R062")
@pytest.mark.parametrize("point", "\u30fb\u2022\u2027\u22c5\u2219\uff65\uff0e.")
def test_names_with_look_alikes_of_the_point_are_verified(room: IdentityRoom, point: str) -> None:
    person = known(room, name="欧阳\u00b7明")
    holder = room.holder(replace(person, name="欧阳明"))
    elements = identity_pb2.FourElements(
        name=f"欧阳{point}明",
        id_number=person.id_number,
        validity=identity_pb2.Validity(valid_from="2020-01-01", valid_to="2040-01-01"),
    )
    request = pb.VerifyFourElementsRequest(elements=elements)
    assert holder.call("VerifyFourElements", request).verification.state == pb.VERIFICATION_STATE_PASSED


@pytest.mark.req("R062")
def test_a_name_without_its_point_is_not_verified_and_one_with_a_star_is_told_which_to_write(
    room: IdentityRoom,
) -> None:
    holder = room.holder(known(room, name="欧阳\u00b7明"))
    assert holder.elements_refused(replace(holder.person.elements, name="欧阳明")).reason == (
        "VERIFICATION_DATA_MISSING"
    )
    error = holder.elements_refused(replace(holder.person.elements, name="欧阳*明"))
    assert (error.reason, error.metadata["rule"]) == ("NAME_INVALID", "CHARACTER")


@pytest.mark.req("R060")
def test_a_client_that_is_too_old_for_long_term_is_told_so(tmp_path: Path) -> None:
    plain, endless = somebody(1), somebody(2, valid_to=None)
    with running_identity(tmp_path, plain, endless) as room:
        rules = rulebook_pb2.ClientVersionRules(
            clients=[
                rulebook_pb2.ClientVersions(
                    client="phone",
                    min_version="1.0",
                    latest_version="2.0",
                    features=[rulebook_pb2.ClientFeature(feature="long_term", min_version="1.5")],
                )
            ]
        )
        room.cloud.operator.call(
            room.cloud.operator.rules.PublishRules,
            rulebook_service_pb2.PublishRulesRequest(
                rules=rulebook_pb2.Rules(client_versions=rules), note="long-term cards"
            ),
        )
        old, new = (("verifield-client", "phone/1.4.9"),), (("verifield-client", "phone/1.5"),)
        holder = room.holder(endless)
        error = holder.elements_refused(metadata=old)
        assert error.reason == "UPGRADE_REQUIRED"
        assert error.metadata["feature"] == "long_term"
        assert (
            holder.elements_refused(
                replace(endless.elements, validity=Validity(date(2020, 1, 1), None)), metadata=old
            ).reason
            == "UPGRADE_REQUIRED"
        )
        assert holder.identity().element_tries == 0
        assert room.authorities.asked("registry.elements") == 0
        assert holder.verify_elements(metadata=new).state == pb.VERIFICATION_STATE_PASSED
        assert room.holder(plain).verify_elements(metadata=old).state == pb.VERIFICATION_STATE_PASSED


@pytest.mark.req("R075")
@pytest.mark.parametrize(
    ("mode", "reason", "retry_class"),
    [("busy", "AUTHORITY_BUSY", "AUTOMATIC"), ("system_error", "REALNAME_SYSTEM_ERROR", "LATER")],
)
def test_an_authority_that_gives_no_answer_counts_as_no_try_and_its_evidence_may_be_sent_again(
    room: IdentityRoom, mode: str, reason: str, retry_class: str
) -> None:
    holder = room.holder(known(room))
    holder.verify_elements()
    request = holder.face_request()
    room.authorities.mode(registry_face=mode)
    error = holder.refused("SubmitFaceEvidence", request)
    assert (error.reason, error.metadata["retry_class"]) == (reason, retry_class)
    assert holder.identity().face_tries == 0
    newest = holder.call("ListOwnVerifications", pb.ListOwnVerificationsRequest()).verifications[0]
    assert (newest.state, newest.code) == (pb.VERIFICATION_STATE_ERROR_RETRYABLE, reason)
    room.authorities.well()
    again = holder.call("SubmitFaceEvidence", request).verification
    assert again.state == pb.VERIFICATION_STATE_PASSED
    assert holder.refused("SubmitFaceEvidence", request).reason == "EVIDENCE_REPLAYED"


@pytest.mark.req("R075")
def test_missing_data_is_another_thing_than_an_authority_without_an_answer(
    room: IdentityRoom,
) -> None:
    holder = room.holder(known(room))
    room.authorities.mode(registry_elements="busy")
    assert holder.elements_refused().reason == "AUTHORITY_BUSY"
    room.authorities.well()
    error = holder.elements_refused(replace(holder.person.elements, name="测试错"))
    assert (error.reason, error.metadata["retry_class"]) == ("VERIFICATION_DATA_MISSING", "NEVER")


@pytest.mark.req("R076")
def test_missing_is_asked_once_and_busy_again_within_its_budget(room: IdentityRoom) -> None:
    person = known(room)
    holder = room.holder(person)
    before = room.authorities.asked("registry.elements")
    holder.elements_refused(replace(person.elements, name="测试错"))
    assert room.authorities.asked("registry.elements") == before + 1
    room.authorities.mode(registry_elements="busy*2")
    assert holder.verify_elements().state == pb.VERIFICATION_STATE_PASSED
    assert room.authorities.asked("registry.elements") == before + 4


@pytest.mark.req("R077")
def test_while_the_registry_is_busy_a_network_certificate_verifies(tmp_path: Path, database_url: str) -> None:
    person = somebody(1)
    with running_identity(tmp_path, person, database=database_url) as room:
        holder = room.holder(person)
        room.authorities.mode(registry="busy")
        assert holder.elements_refused().reason == "AUTHORITY_BUSY"
        started = holder.call("StartCtid", pb.StartCtidRequest())
        assert started.link.startswith("http")
        finish = pb.FinishCtidRequest(verification_id=started.verification.verification_id)
        assert holder.call("FinishCtid", finish).verification.state == pb.VERIFICATION_STATE_PENDING
        assert holder.identity().state == pb.IDENTITY_STATE_UNVERIFIED
        [transaction] = room.authorities.server.office.transactions()
        room.authorities.act(transaction["transaction_id"])
        assert holder.call("FinishCtid", finish).verification.state == pb.VERIFICATION_STATE_PASSED
        identity = holder.identity()
        assert (identity.state, identity.method) == (pb.IDENTITY_STATE_VERIFIED, pb.VERIFICATION_METHOD_CTID)
        assert holder.call("FinishCtid", finish).verification.state == pb.VERIFICATION_STATE_PASSED
        stranger = room.holder()
        assert stranger.refused("FinishCtid", finish).reason == "VERIFICATION_NOT_FOUND"


def test_a_network_certificate_that_is_refused_verifies_nobody(room: IdentityRoom) -> None:
    holder = room.holder(known(room, ctid="refuses"))
    started = holder.call("StartCtid", pb.StartCtidRequest()).verification
    finish = pb.FinishCtidRequest(verification_id=started.verification_id)
    assert holder.refused("FinishCtid", finish).reason == "CTID_REFUSED"
    assert holder.refused("FinishCtid", finish).reason == "CTID_REFUSED"
    assert holder.identity().state == pb.IDENTITY_STATE_UNVERIFIED
    room.authorities.mode(ctid="down")
    assert holder.refused("StartCtid", pb.StartCtidRequest()).reason == "REALNAME_SYSTEM_ERROR"


def test_a_new_network_certificate_takes_the_place_of_one_that_waits(room: IdentityRoom) -> None:
    holder = room.holder(known(room))
    first = holder.call("StartCtid", pb.StartCtidRequest()).verification
    second = holder.call("StartCtid", pb.StartCtidRequest()).verification
    late = pb.FinishCtidRequest(verification_id=first.verification_id)
    assert holder.refused("FinishCtid", late).reason == "CTID_UNKNOWN"
    waiting = pb.FinishCtidRequest(verification_id=second.verification_id)
    assert holder.call("FinishCtid", waiting).verification.state == pb.VERIFICATION_STATE_PENDING


def test_another_face_does_not_verify_and_after_some_tries_a_window_is_advised(room: IdentityRoom) -> None:
    holder = room.holder(known(room))
    assert holder.refused("StartFaceCheck", pb.StartFaceCheckRequest()).reason == "ELEMENTS_REQUIRED"
    holder.verify_elements()
    for number in (1, 2, 3):
        error = holder.face_refused(holder.seen(picture=face_of(OTHER_FACE)))
        assert error.reason == "FACE_MISMATCH"
        assert error.metadata["tries"] == str(number)
        assert error.metadata["window_advised"] == str(number >= 3).lower()
    assert holder.identity().window_advised
    assert holder.identity().state == pb.IDENTITY_STATE_ELEMENTS_VERIFIED


@pytest.mark.req("R063")
def test_who_registered_with_an_old_card_cannot_go_on_and_cannot_choose_other_days(
    tmp_path: Path, database_url: str
) -> None:
    new = somebody(1, old_cards=((date(2010, 1, 1), date(2030, 1, 1)),))
    old = replace(new, valid_from=date(2010, 1, 1), valid_to=date(2030, 1, 1))
    with running_identity(tmp_path, new, database=database_url) as room:
        holder = room.holder(old)
        assert holder.verify_elements().state == pb.VERIFICATION_STATE_PASSED  # the old record still matches
        error = holder.face_refused(holder.seen(card=new.elements))
        assert (error.reason, error.metadata["remedies"]) == ("ID_VALIDITY_CONFLICT", "TICKET_OLD_CARD")
        assert holder.identity().state == pb.IDENTITY_STATE_VALIDITY_CONFLICT
        with room.cloud.database() as connection:
            before = [*connection.execute(identities.select()), *connection.execute(verifications.select())]
        for method, request in (
            ("VerifyFourElements", pb.VerifyFourElementsRequest()),
            ("VerifyFourElements", pb.VerifyFourElementsRequest(elements=to_message(new.elements))),
            ("StartFaceCheck", pb.StartFaceCheckRequest()),
            ("StartCtid", pb.StartCtidRequest()),
        ):
            assert holder.refused(method, request).reason == "ID_VALIDITY_CONFLICT", method
        with room.cloud.database() as connection:
            after = [*connection.execute(identities.select()), *connection.execute(verifications.select())]
        assert after == before


@pytest.mark.req("R063")
def test_no_other_call_takes_new_days_while_the_old_card_is_in_the_way(room: IdentityRoom) -> None:
    person = known(room)
    holder = room.holder(person)
    holder.verify_elements()
    other = replace(person.elements, validity=Validity(date(2021, 5, 5), date(2041, 5, 5)))
    assert holder.face_refused(holder.seen(card=other)).reason == "ID_VALIDITY_CONFLICT"
    request = account_service_pb2.UpdateIdentityRequest(
        validity=identity_pb2.Validity(valid_from="2021-05-05", valid_to="2041-05-05")
    )
    with as_account(room.cloud, holder.signed_in) as stub, pytest.raises(grpc.RpcError) as caught:
        stub(AccountServiceStub).UpdateIdentity(request)
    assert reason_of(caught.value) in {"ACCOUNT_NOT_ACTIVE", "ID_VALIDITY_CONFLICT"}


def test_a_request_that_is_repeated_asks_nobody_again(room: IdentityRoom) -> None:
    holder = room.holder(known(room))
    before = room.authorities.asked("registry.elements")
    request = pb.VerifyFourElementsRequest(request_id="7b1d5a3e-8a77-4c11-9a55-0c5d8a4c1f01")
    first = holder.call("VerifyFourElements", request)
    assert holder.call("VerifyFourElements", request) == first
    assert room.authorities.asked("registry.elements") == before + 1


def test_nobody_tries_more_than_thirty_times_a_day(tmp_path: Path) -> None:
    clock = FakeClock()
    with running_identity(tmp_path, clock=clock, account_calls_per_minute=10_000) as room:
        holder = room.holder(state=State.PHONE_VERIFIED)
        for number in range(30):
            error = holder.elements_refused()
            assert error.reason == "VERIFICATION_DATA_MISSING"
            assert error.metadata["escalation_allowed"] == str(number >= 2).lower()
        asked = room.authorities.asked("registry.elements")
        assert holder.elements_refused().reason == "VERIFICATION_TRIES_USED"
        assert room.authorities.asked("registry.elements") == asked
