"""Every field of every request has its limits in the contract, and both sides of each are kept."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import protovalidate
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from cloud.api.described import describing_pool
from cloud.api.rules import MAX_VIOLATIONS, check_compiles, check_rules, refuse_field
from cloud.attestations import limits
from cloud.devices import tpm_credential
from cloud.errors import Reason, ServiceError
from cloud.feed.pull import MAX_PAGE_SIZE as MAX_PULL
from cloud.paging import MAX_PAGE_SIZE, MAX_SMALL_POSITION
from cloud.transfer.service import PIECE_BYTES
from tests.support.contract import FIELD_RULES, Place, methods, places, rules_of
from verifield.contract_rules import RULES_FILE
from verifield.media import CHUNK_BYTES
from verifield.policy import MAX_REASON_CHARS
from verifield.rules import MAX_COUNTER
from verifield.v1 import access_pb2, device_service_pb2, sync_service_pb2, user_service_pb2

PLACES = {place.name: place for place in places()}
NUMBERS = {
    FieldDescriptor.TYPE_UINT64: MAX_COUNTER,
    FieldDescriptor.TYPE_INT64: MAX_COUNTER,
    FieldDescriptor.TYPE_UINT32: MAX_SMALL_POSITION,
    FieldDescriptor.TYPE_INT32: MAX_SMALL_POSITION,
}
"""Of a column of the database that keeps such a field."""

CHECKED_ELSEWHERE = {
    # The hot path: deliverer.check_batch counts them and their bytes.
    "DeliverRequest.envelopes",
}

PRINTABLE = "^[ -~]*$"

MAY_HOLD_ANY_CHARACTER = {
    # Parsed by a grammar of its own, which refuses what cannot be printed.
    "filter",
    "page_token",
    "cursor",
    # Compared, hashed, signed or sealed; never a text of the database.
    "etag",
    "join_token",
    "display_name",
    "subject",
    "reason",
}

PARSED = {
    # By cloud.elements and cloud.codes.phones, which take nothing that cannot be printed.
    "FourElements.name",
    "FourElements.id_number",
    "DeclareStaffIdentityRequest.id_number",
    "SendCodeRequest.phone",
    "Validity.valid_from",
    "Validity.valid_to",
    # JSON that is parsed, and texts that are sealed.
    "FinishPasskeyRequest.response_json",
    "FinishPasskeyRequest.name",
    "PasskeyAssertion.response_json",
    "RenamePasskeyRequest.name",
    # Kept as keyed digests alone.
    "VerifyCodeRequest.code",
    "SealApprovalRequest.code",
    "SmsCode.code",
    "ReviewerMarks.id_numbers",
    "ReviewerMarks.phones",
    "ReviewerMarks.companies",
}

NO_REQUEST_ID = {
    # A stream; doing it again changes nothing, because records are known by their content.
    "/verifield.v1.TransferService/Import",
    # Twice is as good as once: a second head over the same end says the same.
    "/verifield.v1.AuditService/SignAuditHead",
}

validator = protovalidate.Validator()


def is_broken(message: Message, field: str) -> bool:
    """Whether a rule of this field, or of an item of it, is broken."""
    return any(
        violation.proto.field is not None and violation.proto.field.elements[0].field_name == field
        for violation in validator.collect_violations(message)
    )


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
def test_all_rules_of_a_method_compile(method: Any) -> None:

    check_compiles(GetMessageClass(method.input_type)())


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_every_field_is_bounded(place: Place) -> None:
    if place.name in CHECKED_ELSEWHERE:
        return
    field, own = place.field, place.own
    if field.is_repeated:
        assert place.rules.repeated.HasField("max_items"), "a list without a limit"
    if field.type == FieldDescriptor.TYPE_STRING:
        assert own is not None
        bounds = ("max_len", "max_bytes", "len", "pattern", "const")
        assert any(own.HasField(bound) for bound in bounds) or own.uuid or len(getattr(own, "in")), (
            "a text without a limit"
        )
    elif field.type == FieldDescriptor.TYPE_BYTES:
        assert own is not None
        assert own.HasField("max_len") or own.HasField("len"), "bytes without a limit"
    elif field.type == FieldDescriptor.TYPE_ENUM:
        assert own is not None
        assert own.defined_only or len(getattr(own, "in")), "an enum that takes any number"
    elif field.type in NUMBERS:
        assert own is not None
        assert own.HasField("lte") or own.HasField("lt")
        assert max(own.lte, own.lt) <= NUMBERS[field.type], "a number that no column holds"
    if field.name == "page_size":
        assert own.lte
    if field.name == "request_id":
        assert own.uuid
        assert place.rules.ignore == 1  # IGNORE_IF_ZERO_VALUE


def test_no_text_reaches_the_database_with_a_character_that_it_does_not_take() -> None:
    """PostgreSQL knows no NUL, and would answer as if the fault were ours."""
    for place in PLACES.values():
        if place.field.type != FieldDescriptor.TYPE_STRING:
            continue
        if place.field.name in MAY_HOLD_ANY_CHARACTER and place.name != "ListAuditEventsRequest.subject":
            continue
        if place.name in PARSED:
            continue
        message = place.message()
        put(message, place.field, ["a\0b"] if place.field.is_repeated else "a\0b")
        assert is_broken(message, place.field.name), place.name


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_both_sides_of_every_limit(place: Place) -> None:
    for good, bad in limits_of(place):
        for value, broken in ((good, False), (bad, True)):
            message = place.message()
            if value is not None:
                put(message, place.field, value)
            assert is_broken(message, place.field.name) is broken, (value if value is None else str(value))[
                :80
            ]


def put(message: Message, field: FieldDescriptor, value: Any) -> None:
    if field.is_repeated:
        getattr(message, field.name).extend(value)
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)


def limits_of(place: Place) -> list[tuple[Any, Any]]:
    """Values on both sides of each limit that can be read from the rules."""
    field, own, found = place.field, place.own, []
    if field.is_repeated:
        most = place.rules.repeated.max_items
        if field.message_type is not None and most:
            item = GetMessageClass(field.message_type)
            return [([item()] * most, [item()] * (most + 1))] if not rules_inside(place) else []
        if field.type == FieldDescriptor.TYPE_BYTES and most:
            longest = own.max_len
            least = bytes(own.min_len)
            return [([least] * most, [least] * (most + 1)), ([bytes(longest)], [bytes(longest + 1)])]
        if field.type == FieldDescriptor.TYPE_ENUM and most and not place.rules.repeated.unique:
            return [([1] * most, [1] * (most + 1))]
        return []
    if own is None:
        return []
    if field.type == FieldDescriptor.TYPE_STRING:
        for bound in ("max_len", "max_bytes"):
            if own.HasField(bound) and own.pattern in ("", PRINTABLE):
                most = getattr(own, bound)
                found.append(("x" * most, "x" * (most + 1)))
        if own.pattern.endswith("{0,63}$"):
            found += [("x" * 64, "x" * 65), ("a.b", "a/b"), ("a", "a\n"), ("a", "a\0")]
        if own.pattern.endswith("-]{0,35}$"):
            found += [("x" * 36, "x" * 37), ("a-b", "a_b"), ("a", "a\0")]
        if own.uuid:
            found.append(("01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d-ac96-774b-bcce-b302099a805"))
    elif field.type == FieldDescriptor.TYPE_BYTES:
        if own.HasField("len"):
            found += [(bytes(own.len), bytes(own.len - 1)), (bytes(own.len), bytes(own.len + 1))]
        if own.HasField("max_len"):
            found.append((bytes(own.max_len), bytes(own.max_len + 1)))
        if own.HasField("min_len"):
            found.append((bytes(own.min_len), bytes(own.min_len - 1)))
    elif field.type == FieldDescriptor.TYPE_ENUM:
        found.append((next(iter(getattr(own, "in")), 1), 999))
        if 0 in own.not_in:
            found.append((1, None))
    elif own.DESCRIPTOR.name.startswith("UInt") and own.HasField("lte"):
        found.append((own.lte, own.lte + 1) if own.lte < 2**64 - 1 else (own.lte, None))
        if own.HasField("gte"):
            found.append((own.gte, own.gte - 1))
    elif own.DESCRIPTOR.name == "DurationRules":
        found += _durations(own)
    return found


def rules_inside(place: Place) -> bool:
    """Whether an empty item breaks rules of its own, so that a list of them shows nothing."""
    rules = [rules_of(field) for field in place.field.message_type.fields]
    return any(one.WhichOneof("type") in ("string", "enum") or one.uint32.gte > 0 for one in rules)


def _durations(own: Any) -> list[tuple[Any, Any]]:

    least, most = Duration(), Duration()
    least.MergeFromString(own.gte.SerializeToString())  # of another pool
    most.MergeFromString(own.lte.SerializeToString())
    below, above = (
        Duration(seconds=least.seconds - 1, nanos=999_999_999),
        Duration(seconds=most.seconds, nanos=1),
    )
    return [(least, below), (most, above)]


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
def test_every_change_takes_a_request_id(method: Any) -> None:
    rule = method.GetOptions().Extensions[access_pb2.access]
    path = f"/{method.containing_service.full_name}/{method.name}"
    changes = rule.WhichOneof("rule") == "permission" and not rule.permission.endswith(".read")
    if changes and not method.name.startswith("List") and path not in NO_REQUEST_ID:
        assert "request_id" in method.input_type.fields_by_name, "a change that cannot be repeated safely"


@pytest.mark.parametrize("name", ["Eve\x1b[2Kroot", "a\nb", "a\tb", "a\x9b1m", "a\x7f"])
def test_the_name_of_a_user_has_no_control_characters(name: str) -> None:
    assert is_broken(user_service_pb2.User(display_name=name), "display_name")
    assert not is_broken(user_service_pb2.User(display_name="王芳 O'Neil-Ñandú"), "display_name")


def test_limits_in_the_contract_are_those_in_the_code() -> None:
    def rules(name: str) -> Any:
        return PLACES[name].own

    for place in PLACES.values():
        if place.field.name == "page_size" and place.name not in (
            "PullRequest.page_size",
            "ListSideRecordsRequest.page_size",
        ):
            assert place.own.lte == MAX_PAGE_SIZE
    assert rules("PullRequest.page_size").lte == MAX_PULL
    assert PLACES["DeliverRequest.damaged"].rules.repeated.max_items == limits.MAX_BATCH_DAMAGED
    assert rules("DamagedRecord.content").max_len == limits.MAX_DAMAGED_BYTES
    assert rules("PutMediaChunkRequest.content").max_len == CHUNK_BYTES
    assert rules("SendDirectiveRequest.reason").max_len == MAX_REASON_CHARS
    assert rules("ImportRequest.content").max_len == PIECE_BYTES
    assert rules("TpmEvidence.ek_certificates").max_len == tpm_credential.MAX_EK_CERTIFICATE_BYTES
    assert (
        PLACES["TpmEvidence.ek_certificates"].rules.repeated.max_items == tpm_credential.MAX_EK_CERTIFICATES
    )


def test_a_refusal_names_every_field_and_repeats_no_value() -> None:
    request = device_service_pb2.CreateJoinTokenRequest(
        site_id="a secret place", account_id="/", request_id="no"
    )
    with pytest.raises(ServiceError) as caught:
        check_rules(request)
    error = caught.value
    assert error.reason is Reason.REQUEST_INVALID
    assert [one.field for one in error.violations] == ["site_id", "account_id", "request_id"]
    assert [one.rule for one in error.violations] == ["string.pattern", "string.pattern", "string.uuid"]
    assert "secret" not in repr(error.violations) + error.message + repr(error.metadata)


def test_paths_lead_into_lists_and_many_violations_are_cut() -> None:
    labels = [device_service_pb2.DeviceLabel(key="K", value="v")] * 16
    request = device_service_pb2.UpdateDeviceRequest(device={"device_id": "a", "labels": labels})
    with pytest.raises(ServiceError) as caught:
        check_rules(request)
    assert [one.field for one in caught.value.violations] == [
        f"device.labels[{number}].key" for number in range(MAX_VIOLATIONS)
    ]


@pytest.mark.parametrize(
    "message",
    [
        sync_service_pb2.DeliverRequest.FromString(b"\x22\x00" * 1_500_000),  # 3 MB of empty damaged records
        device_service_pb2.UpdateDeviceRequest(
            device=device_service_pb2.DeviceUpdate(
                device_id="a", labels=[device_service_pb2.DeviceLabel()] * 32_000
            )
        ),
    ],
    ids=["damaged", "labels"],
)
def test_a_list_that_is_far_too_long_holds_nobody_up(message: Message) -> None:
    """Every item looked at took three seconds, in which the service answered nobody."""
    started = time.process_time()
    with pytest.raises(ServiceError) as caught:
        check_rules(message)
    assert time.process_time() - started < 1.0
    assert [one.rule for one in caught.value.violations] == ["repeated.max_items"]


def test_a_full_batch_costs_less_than_two_percent_of_its_records() -> None:
    """Counted in bytes that are looked at, not in time: envelopes have no rule at all."""
    envelopes = PLACES["DeliverRequest.envelopes"]
    assert envelopes.rules.ByteSize() == 0
    check_rules(sync_service_pb2.DeliverRequest(envelopes=[b"x" * 8192] * 256))


def test_rules_that_need_code_are_refused_in_the_same_form() -> None:
    with pytest.raises(ServiceError) as caught:
        refuse_field("device.labels", rule="labels.unique", why="has a key twice")
    assert caught.value.violations[0].field == "device.labels"


WITHOUT_LIBRARY = """
import sys
for name in ("protovalidate", "protobuf", "protobuf_ext", "buf"):
    sys.modules[name] = None
import importlib, pkgutil, verifield.v1
for module in pkgutil.iter_modules(verifield.v1.__path__):
    if module.name.endswith("_pb2"):
        importlib.import_module(f"verifield.v1.{module.name}")
from verifield.v1.sync_service_pb2 import PullRequest
print(PullRequest.FromString(PullRequest(page_size=7).SerializeToString()).page_size)
"""


def test_devices_and_verifiers_load_the_contract_without_the_library_for_rules() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LIBRARY], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "7"


def test_what_tools_read_by_reflection_has_the_rules() -> None:
    pool = describing_pool(["verifield.v1.DeviceService"])
    [extension] = [
        one
        for one in pool.FindFileByName(RULES_FILE).extensions_by_name.values()
        if one.full_name == "buf.validate.field"
    ]
    assert extension.number == FIELD_RULES
    assert descriptor_pool.Default().FindFileByName(RULES_FILE).extensions_by_name == {}
