"""Policies and directives for tests, signed by the policy key of an :class:`Authority`."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.support.authority import NOW, Authority, sign_envelope
from verifield.policy import DIRECTIVE_TYPE, POLICY_TYPE, encode_directive, encode_policy
from verifield.v1 import policy_pb2 as pb


def sample_policy(*, version: int = 1, issued: datetime = NOW) -> pb.Policy:
    """Return a policy with whose thresholds the evidence of :func:`verification` agrees."""
    policy = pb.Policy(
        version=version,
        match=pb.MatchPolicy(
            live_chip_photo_threshold=0.466,
            live_chip_photo_false_match_rate=1e-5,
            live_live_threshold=0.415,
            live_live_false_match_rate=1e-4,
        ),
        liveness=pb.LivenessPolicy(relief_threshold=0.035, turns=2),
        session=pb.SessionPolicy(
            steps=[pb.SESSION_STEP_CONSENT, pb.SESSION_STEP_NOTICE, pb.SESSION_STEP_CUSTOMER_DATA],
            consent=pb.Text(text_id="consent", by_language={"zh": "您同意吗？", "en": "Do you agree?"}),
            notices=[pb.Text(text_id="fees", by_language={"es": "Sin cargo.", "en": "Free of charge."})],
            customer_fields=["phone"],
        ),
        number_segments=[pb.NumberSegment(prefix="138", digits=11)],
        media=pb.MediaPolicy(keep=["best_shot"], recipient_key=bytes(range(32))),
    )
    policy.issue_time.FromDatetime(issued)
    policy.expire_time.FromDatetime(issued + timedelta(days=90))
    policy.session.step_timeout.FromTimedelta(timedelta(minutes=2))
    policy.offline.degraded_after.FromTimedelta(timedelta(days=7))
    policy.offline.stopped_after.FromTimedelta(timedelta(days=30))
    policy.retention.confirmed_records.FromTimedelta(timedelta(days=30))
    return policy


def sign_policy(authority: Authority, policy: pb.Policy) -> bytes:
    return sign_envelope(encode_policy(policy), payload_type=POLICY_TYPE, key=authority.policy_key)


def sample_directive(
    device_id: str, *, action: pb.DirectiveAction.ValueType = pb.DIRECTIVE_ACTION_LOCK, issued: datetime = NOW
) -> pb.Directive:
    directive = pb.Directive(
        directive_id="019ca5a0-0000-7000-8000-0000000000d1",
        device_id=device_id,
        action=action,
        reason="Reported as lost",
    )
    directive.issue_time.FromDatetime(issued)
    return directive


def sign_directive(authority: Authority, directive: pb.Directive) -> bytes:
    return sign_envelope(encode_directive(directive), payload_type=DIRECTIVE_TYPE, key=authority.policy_key)
