"""Policies and directives: only what a policy key signed, in its time, for this device, within the rules."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.authority import LEAF_LIFETIME, NOW, Authority, new_key, sign_envelope
from tests.support.policies import sample_directive, sample_policy, sign_directive, sign_policy
from verifield import policy as rules
from verifield.certificates import Purpose
from verifield.dsse import parse_envelope
from verifield.errors import Forged, Malformed, Unknown, Untrusted
from verifield.policy import (
    DIRECTIVE_TYPE,
    POLICY_TYPE,
    check_directive,
    check_policy,
    encode_directive,
    encode_policy,
    parse_policy,
    policy_sha256,
)
from verifield.rules import MAX_ITEMS
from verifield.v1 import policy_pb2 as pb

Change = Callable[[pb.Policy], object]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


@pytest.fixture(scope="module")
def chain(authority: Authority) -> list[bytes]:
    return authority.policy_chain


def test_a_signed_policy_is_read_back_and_named_by_the_digest_of_its_payload(
    authority: Authority, chain: list[bytes]
) -> None:
    envelope = sign_policy(authority, sample_policy())
    assert check_policy(envelope, certificates=chain, roots=[authority.root]) == sample_policy()
    payload = parse_envelope(envelope).payload
    assert payload == encode_policy(sample_policy()) == encode_policy(parse_policy(payload))
    assert policy_sha256(payload) != policy_sha256(encode_policy(sample_policy(version=2)))


def test_a_policy_counts_only_by_a_policy_key_of_its_time(authority: Authority, chain: list[bytes]) -> None:
    roots = [authority.root]
    payload = encode_policy(sample_policy())
    foreign = sign_envelope(payload, payload_type=POLICY_TYPE, key=new_key())
    with pytest.raises(Forged):
        check_policy(foreign, certificates=chain, roots=roots)
    by_receipts = sign_envelope(payload, payload_type=POLICY_TYPE, key=authority.receipt_key)
    with pytest.raises(Untrusted) as caught:
        check_policy(by_receipts, certificates=authority.receipt_chain, roots=roots)
    assert caught.value.code == "CERTIFICATE_PURPOSE"
    with pytest.raises(Untrusted):
        check_policy(
            sign_policy(authority, sample_policy()), certificates=chain, roots=[Authority.create().root]
        )
    late = sign_policy(authority, sample_policy(issued=NOW + LEAF_LIFETIME + timedelta(seconds=1)))
    with pytest.raises(Untrusted) as caught:
        check_policy(late, certificates=chain, roots=roots)
    assert caught.value.code == "CERTIFICATE_TIME"
    with pytest.raises(Malformed):
        check_policy(sign_policy(authority, sample_policy()), certificates=[], roots=roots)
    with pytest.raises(Unknown) as unknown:
        check_policy(
            sign_envelope(payload, payload_type=DIRECTIVE_TYPE, key=authority.policy_key),
            certificates=chain,
            roots=roots,
        )
    assert unknown.value.code == "POLICY_TYPE"


def test_a_policy_key_signs_nothing_else(authority: Authority, chain: list[bytes]) -> None:
    assert Purpose.POLICY.value.endswith(".4")
    directive = sample_directive("device-1")
    by_device = sign_envelope(
        encode_directive(directive), payload_type=DIRECTIVE_TYPE, key=(device := authority.enroll("d")).key
    )
    with pytest.raises(Untrusted):
        check_directive(by_device, certificates=device.chain, roots=[authority.root], device_id="device-1")


def change(path: str, value: object) -> Change:
    def apply(policy: pb.Policy) -> None:
        *parents, last = path.split(".")
        target = policy
        for name in parents:
            target = target[int(name)] if name.isdigit() else getattr(target, name)
        if isinstance(value, list):
            target.ClearField(last)
            getattr(target, last).extend(value)
        elif value is None:
            target.ClearField(last)
        elif isinstance(value, timedelta):
            getattr(target, last).FromTimedelta(value)
        else:
            setattr(target, last, value)

    return apply


def words(text: str, language: str = "en") -> Change:
    def apply(policy: pb.Policy) -> None:
        policy.session.consent.by_language[language] = text

    return apply


TINY = timedelta(microseconds=1)
BROKEN: dict[str, Change] = {
    "version zero": change("version", 0),
    "version too large": change("version", 2**63),
    "no issue time": change("issue_time", None),
    "no expire time": change("expire_time", None),
    "expires when issued": lambda p: p.expire_time.CopyFrom(p.issue_time),
    "no match": change("match", None),
    "no liveness": change("liveness", None),
    "no session": change("session", None),
    "no offline": change("offline", None),
    "no retention": change("retention", None),
    "threshold zero": change("match.live_chip_photo_threshold", 0.0),
    "threshold one": change("match.live_live_threshold", 1.0),
    "threshold not a number": change("match.live_live_threshold", math.nan),
    "rate zero": change("match.live_chip_photo_false_match_rate", 0.0),
    "relief zero": change("liveness.relief_threshold", 0.0),
    "too few turns": change("liveness.turns", rules.MIN_TURNS - 1),
    "too many turns": change("liveness.turns", rules.MAX_TURNS + 1),
    "a step twice": change("session.steps", [2, 2]),
    "a step without name": change("session.steps", [0]),
    "no time-out": change("session.step_timeout", None),
    "time-out too short": change("session.step_timeout", rules.MIN_STEP_TIMEOUT - TINY),
    "time-out too long": change("session.step_timeout", rules.MAX_STEP_TIMEOUT + TINY),
    "time-out that is none": change("session.step_timeout.nanos", -1),
    "consent without text": change("session.consent", None),
    "notice without text": change("session.notices", []),
    "customer data without fields": change("session.customer_fields", []),
    "field twice": change("session.customer_fields", ["phone", "phone"]),
    "field that is not plain": change("session.customer_fields", ["Phone number"]),
    "text without name": change("session.consent.text_id", ""),
    "text in no language": lambda p: p.session.consent.by_language.clear(),
    "text in another language": words("Ja?", "de"),
    "empty text": words(""),
    "text too long": words("x" * (rules.MAX_TEXT_CHARS + 1)),
    "score that nobody reaches": change("liveness.score_threshold", 1.0),
    "passive score that is none": change("liveness.passive_threshold", float("nan")),
    "early passive score that is none": change("liveness.early_passive_threshold", 1.5),
    "a kind of challenge twice": change("liveness.challenges", [2, 2]),
    "a kind of challenge without name": change("liveness.challenges", [0]),
    "light that is asked for and left out": lambda p: (
        change("liveness.challenges", [2])(p),
        change("liveness.require_light", True)(p),
    ),
    "no attempt": change("liveness.max_attempts", 0),
    "attempts without end": change("liveness.max_attempts", rules.MAX_ATTEMPTS + 1),
    "less time": change("liveness.more_time_factor", 0.5),
    "time without end": change("liveness.more_time_factor", rules.MAX_TIME_FACTOR + 0.1),
    "degraded at once": change("offline.degraded_after", timedelta()),
    "stopped before degraded": change("offline.stopped_after", timedelta(days=6)),
    "stopped too late": change("offline.stopped_after", rules.MAX_OFFLINE + TINY),
    "retention below zero": change("retention.confirmed_records", -TINY),
    "retention too long": change("retention.confirmed_records", rules.MAX_RETENTION + TINY),
    "segment without digits": change("number_segments.0.prefix", ""),
    "segment of letters": change("number_segments.0.prefix", "13a"),
    "segment longer than its number": change("number_segments.0.digits", 2),
    "number too long": change("number_segments.0.digits", rules.MAX_DIGITS + 1),
    "number too short": lambda p: (
        change("number_segments.0.prefix", "1")(p),
        change("number_segments.0.digits", rules.MIN_DIGITS - 1)(p),
    ),
    "too many segments": change(
        "number_segments", [pb.NumberSegment(prefix="1", digits=11)] * (MAX_ITEMS + 1)
    ),
    "unknown file": change("media.keep", ["film"]),
    "file twice": change("media.keep", ["best_shot", "best_shot"]),
    "files without key": change("media.recipient_key", b""),
    "short key": change("media.recipient_key", bytes(31)),
    "short key and no files": lambda p: (
        change("media.keep", [])(p),
        change("media.recipient_key", bytes(31))(p),
    ),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_policy_is_malformed_on_both_sides(broken: Change) -> None:
    policy = sample_policy()
    broken(policy)
    with pytest.raises(Malformed):
        encode_policy(policy)
    with pytest.raises(Malformed):
        parse_policy(policy.SerializeToString())


ALLOWED: dict[str, Change] = {
    "fewest turns": change("liveness.turns", rules.MIN_TURNS),
    "most turns": change("liveness.turns", rules.MAX_TURNS),
    "shortest time-out": change("session.step_timeout", rules.MIN_STEP_TIMEOUT),
    "longest time-out": change("session.step_timeout", rules.MAX_STEP_TIMEOUT),
    "longest text": words("测" * rules.MAX_TEXT_CHARS),
    "stopped when degraded": change("offline.stopped_after", timedelta(days=7)),
    "longest offline": change("offline.stopped_after", rules.MAX_OFFLINE),
    "no retention time": change("retention.confirmed_records", None),
    "longest retention": change("retention.confirmed_records", rules.MAX_RETENTION),
    "longest number": change("number_segments.0.digits", rules.MAX_DIGITS),
    "shortest number": lambda p: (
        change("number_segments.0.prefix", "1")(p),
        change("number_segments.0.digits", rules.MIN_DIGITS)(p),
    ),
    "most segments": change("number_segments", [pb.NumberSegment(prefix="1", digits=11)] * MAX_ITEMS),
    "no segments": change("number_segments", []),
    "no media": change("media", None),
    "no steps": lambda p: (change("session.steps", [])(p), change("session.consent", None)(p)),
    "all steps": change("session.steps", [1, 2, 3, 4, 5, 6, 7]),
}


@pytest.mark.parametrize("allowed", ALLOWED.values(), ids=ALLOWED)
def test_the_limits_are_inclusive(allowed: Change) -> None:
    policy = sample_policy()
    allowed(policy)
    assert parse_policy(encode_policy(policy)) == policy


def test_what_a_newer_service_says_is_unknown() -> None:
    newer = b"\xf8\x7f\x01"  # field 2047, varint
    with pytest.raises(Unknown):
        parse_policy(sample_policy().SerializeToString() + newer)
    policy = sample_policy()
    policy.session.steps.append(99)  # type: ignore[arg-type]
    with pytest.raises(Unknown):
        encode_policy(policy)


@given(st.binary(max_size=200))
def test_random_bytes_never_escape_the_error_tree(data: bytes) -> None:
    with contextlib.suppress(Malformed, Unknown):
        parse_policy(data)


def test_a_directive_reaches_its_device_only(authority: Authority, chain: list[bytes]) -> None:
    roots = [authority.root]
    envelope = sign_directive(authority, sample_directive("device-1"))
    read = check_directive(envelope, certificates=chain, roots=roots, device_id="device-1")
    assert read == sample_directive("device-1")
    with pytest.raises(Forged) as caught:
        check_directive(envelope, certificates=chain, roots=roots, device_id="device-2")
    assert caught.value.code == "DIRECTIVE_DEVICE"
    foreign = sign_envelope(
        encode_directive(sample_directive("device-1")), payload_type=DIRECTIVE_TYPE, key=new_key()
    )
    with pytest.raises(Forged):
        check_directive(foreign, certificates=chain, roots=roots, device_id="device-1")
    late = sample_directive("device-1", issued=NOW + LEAF_LIFETIME + timedelta(seconds=1))
    with pytest.raises(Untrusted):
        check_directive(
            sign_directive(authority, late), certificates=chain, roots=roots, device_id="device-1"
        )
    with pytest.raises(Unknown):
        check_directive(
            sign_policy(authority, sample_policy()), certificates=chain, roots=roots, device_id="device-1"
        )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("directive_id", "1"),
        ("device_id", ""),
        ("issue_time", None),
        ("action", None),
        ("reason", "x" * (rules.MAX_REASON_CHARS + 1)),
        ("reason", "\x1b[2J"),
    ],
)
def test_a_broken_directive_is_malformed(field: str, value: object) -> None:
    directive = sample_directive("device-1")
    if value is None:
        directive.ClearField(field)  # type: ignore[arg-type]
    else:
        setattr(directive, field, value)
    with pytest.raises(Malformed):
        encode_directive(directive)


def test_the_longest_reason_passes() -> None:
    directive = sample_directive("device-1")
    directive.reason = "错" * rules.MAX_REASON_CHARS
    encode_directive(directive)
