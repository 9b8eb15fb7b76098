"""Steps 16 and 17 of the verification: what the caller brings beside the bundle."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.authority import (
    SALT,
    Authority,
    device_event,
    new_key,
    sign_envelope,
    verification,
)
from tests.support.cases import (
    Case,
    answer,
    build_case,
    statuses,
)
from tests.support.events import MEDIA_CONTENT
from tests.support.policies import sample_policy, sign_policy
from verifield.commitments import Disclosure
from verifield.dsse import parse_envelope
from verifield.errors import Malformed
from verifield.policy import encode_policy, policy_sha256
from verifield.statement import encode_statement
from verifield.v1 import attestation_pb2 as pb
from verifield.v1 import policy_pb2 as pb_policy
from verifield.verify import verify_bundle


@pytest.fixture(scope="module")
def case() -> Case:
    return build_case()


def test_the_policy_that_the_record_names_is_compared(case: Case) -> None:
    report = case.verify_with_all(case.good)
    assert set(statuses(report).values()) == {"passed"}
    assert report.facts is not None
    assert report.facts.policy_version == 1
    assert any("version 1 of the policy" in sentence for sentence in report.proved)
    unsigned = verify_bundle(case.good.SerializeToString(), roots=[case.authority.root], policy=case.policy)
    detail = next(check.detail for check in unsigned.checks if check.name == "policy")
    assert "who signed the policy was not checked" in detail


def test_another_policy_or_one_by_another_key_is_refused(case: Case) -> None:
    data, roots = case.good.SerializeToString(), [case.authority.root]
    chain = case.authority.policy_chain
    other = sign_policy(case.authority, sample_policy(version=2))
    assert answer(verify_bundle(data, roots=roots, policy=other)) == ("forged", "POLICY_MISMATCH", "policy")
    payload = encode_policy(sample_policy())
    foreign = sign_envelope(payload, payload_type=parse_envelope(case.policy).payload_type, key=new_key())
    report = verify_bundle(data, roots=roots, policy=foreign, policy_certificates=chain)
    assert answer(report) == ("forged", "SIGNATURE", "policy")
    report = verify_bundle(
        data, roots=roots, policy=case.policy, policy_certificates=Authority.create().policy_chain
    )
    assert answer(report)[0] == "forged"
    assert answer(verify_bundle(data, roots=roots, policy=case.good.receipt))[1] == "POLICY_TYPE"
    assert answer(verify_bundle(data, roots=roots, policy=b"?"))[0] == "malformed"


def compare_live_faces(statement: pb.Statement) -> None:
    """Hold the document's photo against the threshold for two pictures of the camera, which is lower."""
    policy = sample_policy()
    statement.match.domain = "live/live"
    statement.match.threshold = policy.match.live_live_threshold
    statement.match.false_match_rate = policy.match.live_live_false_match_rate


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda s: setattr(s.match, "threshold", 0.4), "POLICY_THRESHOLD"),
        (lambda s: setattr(s.match, "false_match_rate", 1e-6), "POLICY_THRESHOLD"),
        (lambda s: setattr(s.liveness.experts[0], "threshold", 0.01), "POLICY_THRESHOLD"),
        (lambda s: s.liveness.ClearField("challenge"), "POLICY_THRESHOLD"),  # nobody was asked to turn
        (lambda s: setattr(s.liveness.experts[0], "name", "own_rule"), "POLICY_THRESHOLD"),
        (lambda s: s.liveness.experts.add(name="head_turn", score=1, threshold=0.2, passed=True), None),
        (lambda s: setattr(s.match, "domain", "live/live"), "POLICY_THRESHOLD"),
        (compare_live_faces, "POLICY_THRESHOLD"),
        (lambda s: setattr(s.match, "domain", "live/sketch"), "MATCH_DOMAIN"),
        (lambda s: setattr(s.document, "photo_origin", pb.PHOTO_ORIGIN_PRINTED), "POLICY_PHOTO"),
        (lambda s: s.liveness.challenge.actions.remove("TURN_LEFT"), "POLICY_THRESHOLD"),
        (lambda s: s.liveness.challenge.actions.append("LOOK_STRAIGHT"), None),
        (lambda s: s.liveness.challenge.kinds.append(pb.CHALLENGE_KIND_TURNS), None),
        (lambda s: s.liveness.challenge.kinds.append(pb.CHALLENGE_KIND_LIGHT), "POLICY_THRESHOLD"),
        (lambda s: setattr(s.liveness.challenge, "variant", pb.CHALLENGE_VARIANT_NO_SCREEN), None),
        (
            lambda s: setattr(s.liveness.challenge, "variant", pb.CHALLENGE_VARIANT_NO_TURN),
            "POLICY_THRESHOLD",
        ),
        (lambda s: s.liveness.challenge.ClearField("actions"), "POLICY_THRESHOLD"),
    ],
)
def test_a_device_that_did_not_keep_its_policy_is_caught(
    change: Callable[[pb.Statement], object], code: str | None
) -> None:
    authority = Authority.create()
    device = authority.enroll("device-1")
    policy = sign_policy(authority, sample_policy())
    statement = verification(device)
    statement.configuration.policy_sha256 = policy_sha256(parse_envelope(policy).payload)
    change(statement)
    statement.liveness.challenge.completed = len(statement.liveness.challenge.actions)
    if not statement.liveness.challenge.nonce:
        statement.liveness.ClearField("challenge")
    bundle = authority.bundle(device, device.sign(statement))
    assert verify_bundle(bundle, roots=[authority.root]).verdict == "verified"
    assert answer(verify_bundle(bundle, roots=[authority.root], policy=policy))[1] == code


def leave_out_turns(statement: pb.Statement) -> None:
    """Make it a record whose verdict stood after light."""
    liveness = statement.liveness
    liveness.ClearField("experts")
    scores = {"light": 12.0, "light_shape": 0.2, "sign_of_life": 0.3, "passive": 0.8, "camera_origin": 1.0}
    for name, score in scores.items():
        liveness.experts.add(name=name, score=score, threshold=score / 2, passed=True)
    challenge = liveness.challenge
    challenge.ClearField("actions")
    challenge.actions.append("WATCH_SCREEN")
    challenge.completed = 1
    challenge.kinds.append(pb.CHALLENGE_KIND_LIGHT)
    challenge.omitted.append(pb.CHALLENGE_KIND_TURNS)


def expert(statement: pb.Statement, name: str) -> pb.LivenessExpert:
    return next(one for one in statement.liveness.experts if one.name == name)


def policy_without_turns(when: pb_policy.TurnsWhen, early: float | None = None) -> pb_policy.Policy:
    policy = sample_policy()
    policy.liveness.turns_when = when
    if early is not None:
        policy.liveness.early_passive_threshold = early
    return policy


UNSAID, ALWAYS, NEEDED = (
    pb_policy.TURNS_WHEN_UNSPECIFIED,
    pb_policy.TURNS_WHEN_ALWAYS,
    pb_policy.TURNS_WHEN_NEEDED,
)


@pytest.mark.parametrize(
    ("policy", "change", "code"),
    [
        (policy_without_turns(UNSAID), lambda _: None, None),
        (policy_without_turns(NEEDED, 0.7), lambda _: None, None),
        (policy_without_turns(ALWAYS), lambda _: None, "POLICY_THRESHOLD"),
        (policy_without_turns(NEEDED, 0.9), lambda _: None, "POLICY_THRESHOLD"),
        *(
            (policy_without_turns(NEEDED), change, "POLICY_THRESHOLD")
            for change in (
                lambda s: s.liveness.experts.remove(expert(s, "sign_of_life")),
                lambda s: s.liveness.experts.remove(expert(s, "light")),
                lambda s: s.liveness.experts.remove(expert(s, "light_shape")),
                lambda s: s.liveness.experts.remove(expert(s, "passive")),
                lambda s: setattr(expert(s, "sign_of_life"), "advisory", True),
                lambda s: setattr(expert(s, "passive"), "score", 0.39),
                lambda s: s.liveness.challenge.ClearField("omitted"),
                lambda s: s.liveness.challenge.ClearField("kinds"),
                lambda s: s.liveness.challenge.actions.append("TURN_LEFT"),
                lambda s: setattr(s.liveness.challenge, "variant", pb.CHALLENGE_VARIANT_NO_SCREEN),
            )
        ),
    ],
)
def test_turns_are_left_out_only_with_the_evidence_that_stands_for_them(
    policy: pb_policy.Policy, change: Callable[[pb.Statement], object], code: str | None
) -> None:
    authority = Authority.create()
    device = authority.enroll("device-1")
    signed = sign_policy(authority, policy)
    statement = verification(device)
    statement.configuration.policy_sha256 = policy_sha256(parse_envelope(signed).payload)
    leave_out_turns(statement)
    change(statement)
    statement.liveness.challenge.completed = len(statement.liveness.challenge.actions)
    passive = [one for one in statement.liveness.experts if one.name == "passive"]
    for one in passive:
        one.threshold = min(one.threshold, one.score / 2)
    bundle = authority.bundle(device, device.sign(statement))
    assert answer(verify_bundle(bundle, roots=[authority.root], policy=signed))[1] == code


@pytest.mark.parametrize("kinds", [[pb.CHALLENGE_KIND_LIGHT], [pb.CHALLENGE_KIND_TURNS] * 2, [0]])
def test_what_was_left_out_was_not_asked_for_and_is_named_once(kinds: list[pb.ChallengeKind]) -> None:
    statement = verification(Authority.create().enroll("device-1"))
    leave_out_turns(statement)
    del statement.liveness.challenge.omitted[:]
    statement.liveness.challenge.omitted.extend(kinds)
    with pytest.raises(Malformed, match=r"challenge\.omitted"):
        encode_statement(statement)


def test_a_printed_photo_counts_where_the_policy_says_so_and_the_report_tells_it() -> None:
    authority = Authority.create()
    device = authority.enroll("device-1")
    open_minded = sample_policy()
    open_minded.match.accept_printed_photo = True
    policy = sign_policy(authority, open_minded)
    statement = verification(device)
    statement.configuration.policy_sha256 = policy_sha256(parse_envelope(policy).payload)
    statement.document.photo_origin = pb.PHOTO_ORIGIN_PRINTED
    bundle = authority.bundle(device, device.sign(statement))
    report = verify_bundle(bundle, roots=[authority.root], policy=policy)
    assert report.ok
    assert report.facts is not None
    assert (report.facts.read_method, report.facts.printed_photo) == ("CHIP", True)
    assert any("printed on the card" in sentence for sentence in report.not_proved)


@pytest.mark.req("E036")
@pytest.mark.parametrize(
    ("method", "word"), [(pb.READ_METHOD_TYPED, "TYPED"), (pb.READ_METHOD_SCANNED, "SCANNED")]
)
def test_a_document_that_no_chip_gave_is_told_as_such(method: pb.ReadMethod.ValueType, word: str) -> None:
    authority = Authority.create()
    device = authority.enroll("device-1")
    statement = verification(device, outcome=pb.OUTCOME_INCONCLUSIVE)
    statement.document.read_method = method
    report = verify_bundle(authority.bundle(device, device.sign(statement)), roots=[authority.root])
    assert report.ok
    assert report.facts is not None
    assert (report.facts.read_method, report.facts.printed_photo) == (word, False)
    assert any(word in sentence for sentence in report.not_proved)
    assert word not in " ".join(report.proved)


def test_no_policy_decides_a_device_event() -> None:
    authority = Authority.create()
    device = authority.enroll("device-1")
    bundle = authority.bundle(device, device.sign(device_event(device)))
    report = verify_bundle(bundle, roots=[authority.root], policy=sign_policy(authority, sample_policy()))
    assert statuses(report)["policy"] == "passed"
    assert report.facts is not None
    assert report.facts.policy_version is None


# --- 17: disclosures


@pytest.mark.req("E043")
def test_disclosed_values_are_proved_one_by_one(case: Case) -> None:
    data, roots = case.good.SerializeToString(), [case.authority.root]
    file = Disclosure("media.best_shot", MEDIA_CONTENT, SALT)
    report = verify_bundle(data, roots=roots, disclosures=[*case.disclosures, file])
    assert report.verdict == "verified"
    assert report.facts is not None
    assert [item.field for item in report.facts.disclosed] == [
        "document.name",
        "customer.phone",
        "media.best_shot",
    ]
    assert "测试" not in repr(report)
    assert any("beyond the disclosed values" in sentence for sentence in report.not_proved)
    for false in (
        Disclosure("document.name", "别人".encode(), SALT),
        Disclosure("document.number", "测试".encode(), SALT),
        Disclosure("customer.phone", b"13800000000", bytes(32)),
        Disclosure("media.photo", MEDIA_CONTENT, SALT),
    ):
        refused = verify_bundle(data, roots=roots, disclosures=[*case.disclosures, false])
        assert answer(refused) == ("forged", "DISCLOSURE", "disclosures")
        assert refused.facts is None
