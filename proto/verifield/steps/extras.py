"""Steps about what the caller brought beside the bundle, as ``verify.py`` numbers them: 16 and 17."""

from __future__ import annotations

import hmac

from verifield.commitments import check_disclosure
from verifield.dsse import parse_envelope
from verifield.errors import Forged, Unknown
from verifield.policy import FLOOR_EARLY_PASSIVE, POLICY_TYPE, check_policy, parse_policy, policy_sha256
from verifield.steps.revocation import check_not_revoked
from verifield.steps.run import Missing, Run
from verifield.v1 import attestation_pb2 as pb
from verifield.v1.policy_pb2 import TURNS_WHEN_ALWAYS, LivenessPolicy, MatchPolicy, Policy

RELIEF_EXPERT = "planar_motion"
"""The expert to which the policy's relief threshold belongs."""

PASSIVE_EXPERT = "passive"
"""The expert to which the policy's passive threshold belongs."""

WITHOUT_TURNS = frozenset({"light", "light_shape", PASSIVE_EXPERT, "sign_of_life", "camera_origin"})
"""The experts that must have passed, each by itself, where turns were left out."""

TURN = "TURN_"
"""How the actions of a challenge begin that the policy counts as turns."""

LIVE_CHIP_PHOTO = "live/chip_photo"
LIVE_LIVE = "live/live"
"""The domains of comparison for which a policy has a threshold."""


def check_named_policy(run: Run) -> str:
    """Step 16."""
    statement = run.statement
    if statement.kind == pb.RECORD_KIND_DEVICE_EVENT:
        return "Not needed: no policy decides a device event."
    named = statement.configuration.policy_sha256
    if run.given_policy is None:
        raise Missing(
            f"The record names the policy with SHA-256 {named.hex()}, which was not given: "
            "the scores were held against the thresholds in the record alone."
        )
    envelope = parse_envelope(run.given_policy)
    if envelope.payload_type != POLICY_TYPE:
        raise Unknown("POLICY_TYPE", "The given policy is of a type that this version does not know.")
    if not hmac.compare_digest(policy_sha256(envelope.payload), named):
        raise Forged(
            "POLICY_MISMATCH",
            "The given policy is another one than the record names.",
            hint=f"Give the policy whose signed content has SHA-256 {named.hex()}.",
        )
    policy = parse_policy(envelope.payload)
    _check_thresholds(statement, policy)
    _check_photo(statement, policy.match)
    run.policy_version = policy.version
    words = f"The device decided by version {policy.version} of the policy, with that policy's thresholds"
    if not run.policy_certificates:
        return f"{words}; who signed the policy was not checked."
    check_policy(run.given_policy, certificates=run.policy_certificates, roots=run.roots)
    # The record names the policy, so it was there when the record was confirmed.
    check_not_revoked(run, run.policy_certificates[0], at=run.not_after, whose="policy's")
    return f"{words}; the service signed it."


def check_disclosures(run: Run) -> str:
    """Step 17."""
    if not run.disclosures:
        raise Missing("No field was disclosed: what the record says of the person stays hidden.")
    for item in run.disclosures:
        check_disclosure(run.statement, field=item.field, value=item.value, salt=item.salt)
    run.disclosed = tuple(run.disclosures)
    names = ", ".join(item.field for item in run.disclosures)
    return f"The record committed to exactly the disclosed values of {names}."


def _check_thresholds(statement: pb.Statement, policy: Policy) -> None:
    if not (_match_keeps(statement, policy.match) and _liveness_keeps(statement.liveness, policy.liveness)):
        raise Forged(
            "POLICY_THRESHOLD",
            "The record was judged by other thresholds than those of the policy that it names.",
            hint="The device did not keep its policy: do not rely on the outcome.",
        )


def _check_photo(statement: pb.Statement, policy: MatchPolicy) -> None:
    """A printed photo may stand in for the chip's only where the policy says so."""
    printed = statement.document.photo_origin == pb.PHOTO_ORIGIN_PRINTED
    if statement.HasField("match") and printed and not policy.accept_printed_photo:
        raise Forged(
            "POLICY_PHOTO",
            "The face was held against a printed photo, which the named policy does not accept.",
            hint="The device did not keep its policy: do not rely on the outcome.",
        )


def _match_keeps(statement: pb.Statement, policy: MatchPolicy) -> bool:
    if not statement.HasField("match"):
        return True
    match = statement.match
    wanted = {
        LIVE_CHIP_PHOTO: (policy.live_chip_photo_threshold, policy.live_chip_photo_false_match_rate),
        LIVE_LIVE: (policy.live_live_threshold, policy.live_live_false_match_rate),
    }
    if match.domain not in wanted:
        raise Unknown("MATCH_DOMAIN", "The policy has no threshold for the comparison in the record.")
    with_document = statement.outcome in {pb.OUTCOME_VERIFIED, pb.OUTCOME_NOT_MATCHED}
    if with_document and match.domain != LIVE_CHIP_PHOTO:
        return False
    return (match.threshold, match.false_match_rate) == wanted[match.domain]


def _liveness_keeps(liveness: pb.Liveness, policy: LivenessPolicy) -> bool:
    """A face that counts as live had the policy's challenge, and passed the expert of its threshold."""
    relief = [expert.threshold for expert in liveness.experts if expert.name == RELIEF_EXPERT]
    passive = [expert.threshold for expert in liveness.experts if expert.name == PASSIVE_EXPERT]
    challenge = liveness.challenge
    turns = sum(action.startswith(TURN) for action in challenge.actions)
    omitted = bool(challenge.omitted)
    turned = challenge.variant != pb.CHALLENGE_VARIANT_NO_TURN and not omitted
    live = liveness.decision == pb.LIVENESS_DECISION_LIVE
    asked = liveness.HasField("challenge")
    if live and not (asked and (relief or not turned) and _kinds_keep(challenge, policy)):
        return False
    if omitted and not _stood_without_turns(liveness, policy):
        return False
    holds = [threshold == policy.relief_threshold for threshold in relief]
    if policy.HasField("passive_threshold"):
        holds += [threshold == policy.passive_threshold for threshold in passive]
        holds.append(bool(passive) or not live)
    if policy.HasField("score_threshold"):
        holds.append(liveness.threshold == policy.score_threshold)
    if asked and turned and (live or challenge.actions):  # a challenge that was refused asked for nothing
        holds.append(turns == policy.turns)
    return all(holds)


def _stood_without_turns(liveness: pb.Liveness, policy: LivenessPolicy) -> bool:
    """Whether the policy lets turns be left out, and the record has the evidence that stands for them."""
    challenge = liveness.challenge
    asked, omitted = set(challenge.kinds), set(challenge.omitted)
    if policy.turns_when == TURNS_WHEN_ALWAYS or challenge.variant != pb.CHALLENGE_VARIANT_UNSPECIFIED:
        return False
    if omitted != {pb.CHALLENGE_KIND_TURNS} or asked != {pb.CHALLENGE_KIND_LIGHT}:
        return False
    if any(action.startswith(TURN) for action in challenge.actions):
        return False
    passed = {
        item.name: item.score
        for item in liveness.experts
        if item.passed and not item.advisory and item.HasField("score") and item.score >= item.threshold
    }
    limit = max(FLOOR_EARLY_PASSIVE, policy.early_passive_threshold, policy.passive_threshold)
    return passed.keys() >= WITHOUT_TURNS and passed[PASSIVE_EXPERT] >= limit


def _kinds_keep(challenge: pb.Challenge, policy: LivenessPolicy) -> bool:
    """Whether the policy lets somebody pass by this. Earlier versions asked for turns, and said no kind."""
    kinds = set(challenge.kinds) | set(challenge.omitted) or {pb.CHALLENGE_KIND_TURNS}
    if challenge.variant == pb.CHALLENGE_VARIANT_NO_SCREEN:
        return not policy.refuse_variants and kinds == {pb.CHALLENGE_KIND_TURNS}
    if challenge.variant == pb.CHALLENGE_VARIANT_NO_TURN:
        return not policy.refuse_variants and kinds == {pb.CHALLENGE_KIND_LIGHT}
    wanted = set(policy.challenges) or {pb.CHALLENGE_KIND_LIGHT, pb.CHALLENGE_KIND_TURNS}
    if not policy.require_light:
        wanted.discard(pb.CHALLENGE_KIND_LIGHT)
    return wanted <= kinds
