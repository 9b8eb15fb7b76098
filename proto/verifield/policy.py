"""What a service tells its devices: policies and directives, in envelopes signed by a policy key."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from datetime import timedelta

from cryptography import x509
from google.protobuf.duration_pb2 import Duration

from verifield.certificates import Purpose, check_chain
from verifield.dsse import MAX_ENVELOPE_BYTES
from verifield.errors import Forged, Malformed
from verifield.media import KEY_BYTES
from verifield.rules import FIELD, MAX_COUNTER, MAX_ITEMS, check_device_id, check_uuid7
from verifield.signed import check_signed
from verifield.v1 import policy_pb2 as pb
from verifield.v1.attestation_pb2 import CHALLENGE_KIND_LIGHT, CHALLENGE_KIND_TURNS
from verifield.v1.policy_pb2 import Directive, Policy
from verifield.wire import check_all_known, parse_message, parse_time

POLICY_TYPE = "application/vnd.verifield.policy.v1+protobuf"
DIRECTIVE_TYPE = "application/vnd.verifield.directive.v1+protobuf"

LANGUAGES = frozenset({"zh", "es", "en"})
"""Languages of the device's screen."""

MEDIA_NAMES = frozenset({"best_shot", "document_photo"})
"""Files that a device can keep."""

MAX_TEXT_CHARS = 4000
"""A consent text is read on a small screen; all texts together must fit into an envelope."""

MAX_REASON_CHARS = 200
"""Two lines on a device's screen."""

MIN_TURNS, MAX_TURNS = 2, 8
"""One turn is guessed every other time; nobody turns the head nine times."""

MIN_STEP_TIMEOUT = timedelta(seconds=5)
"""Shorter, and nobody could answer."""

MAX_STEP_TIMEOUT = timedelta(minutes=30)
"""Longer, and a session left alone would show its data to whoever passes by."""

MAX_OFFLINE = timedelta(days=400)
"""A device's certificates do not outlast more."""

MAX_RETENTION = timedelta(days=3660)
"""Ten years; a device is no archive."""

MIN_DIGITS, MAX_DIGITS = 3, 15
"""Of a phone number: emergency numbers, and the longest of ITU-T E.164."""

FLOOR_MATCH_THRESHOLD = 0.415
"""One false match in ten thousand on Labeled Faces in the Wild: weaker is no check of a person."""

MAX_FALSE_MATCH_RATE = 1e-4
"""What that floor costs; a policy that admits to more has been calibrated on something weaker."""

FLOOR_RELIEF = 0.026
"""Flat things show up to 0.016, and from here down the signal accuses: it cannot vouch there as well."""

FLOOR_LIVENESS_SCORE = 0.4
"""0.5 is the calibrated operating point; from here down more attacks pass than any use could bear."""

FLOOR_PASSIVE_SCORE = 0.1
"""Of the passive signals alone, beside answered challenges: nine attacks to one living face."""

FLOOR_EARLY_PASSIVE = 0.4
"""Of the passive signals alone where turns are left out: light and a sign of life alone stand beside."""

MAX_ATTEMPTS = 10
"""Failed attempts that may be allowed with one document: more is trying out."""

MAX_TIME_FACTOR = 5.0
"""By which time limits may be multiplied: half a minute for one turn of the head."""

_DIGITS = re.compile(rf"[0-9]{{1,{MAX_DIGITS}}}")


def encode_policy(policy: Policy) -> bytes:
    """Return the bytes to sign; the same policy always gives the same bytes.

    Raises:
        Malformed, Unknown: it breaks a rule that :func:`check_policy` would refuse.
    """
    check_all_known(policy, what="policy")
    check_policy_rules(policy)
    return policy.SerializeToString(deterministic=True)


def check_policy(
    envelope: bytes, *, certificates: Sequence[bytes], roots: Sequence[x509.Certificate]
) -> Policy:
    """Check a policy envelope and return the policy that was signed.

    The chain is checked at the policy's own issue time. Whether its version is a newer one, and
    whether it has expired, is for the caller to check.

    Raises:
        Malformed: not a policy, one that breaks a rule, or a certificate is damaged.
        Forged: the signature is not by the first certificate's key.
        Untrusted: the certificate was not valid then, not for policies, or not from this root.
        Unknown: of another type or version.
    """
    payload = check_signed(envelope, payload_type=POLICY_TYPE, certificates=certificates, what="policy")
    policy = parse_policy(payload)
    issued = parse_time(policy.issue_time, what="policy's issue time")
    check_chain(certificates, roots=roots, at=issued, purpose=Purpose.POLICY)
    return policy


def parse_policy(payload: bytes) -> Policy:
    """Parse the payload of a policy envelope.

    Raises:
        Malformed, Unknown: not a policy, one that breaks a rule, or of a newer version.
    """
    policy = parse_message(Policy, payload, what="policy", max_bytes=MAX_ENVELOPE_BYTES)
    check_policy_rules(policy)
    return policy


def check_floors(policy: Policy) -> None:
    """Check that no check of a person is loosened further than a device of this version accepts.

    For the service before it signs, and for the device before it adopts. No rule of :func:`check_policy`:
    floors rise with the models, and what was signed before stays the policy that it was.

    Raises:
        Malformed: POLICY_BELOW_FLOOR, naming what is too loose.
    """
    match = policy.match
    holds = {
        "match.live_chip_photo_threshold": match.live_chip_photo_threshold >= FLOOR_MATCH_THRESHOLD,
        "match.live_chip_photo_false_match_rate": match.live_chip_photo_false_match_rate
        <= MAX_FALSE_MATCH_RATE,
        "match.live_live_threshold": match.live_live_threshold >= FLOOR_MATCH_THRESHOLD,
        "match.live_live_false_match_rate": match.live_live_false_match_rate <= MAX_FALSE_MATCH_RATE,
        "liveness.relief_threshold": policy.liveness.relief_threshold > FLOOR_RELIEF,
        **_liveness_floors(policy.liveness),
    }
    for name, holds_here in holds.items():
        if not holds_here:
            raise Malformed(
                "POLICY_BELOW_FLOOR",
                f"The policy would loosen a check of people too far: {name}.",
                hint="Publish a stricter one; the one before it stays in force meanwhile.",
            )


def _liveness_floors(liveness: pb.LivenessPolicy) -> dict[str, bool]:
    """By field, whether it holds. A field that is left out is as the device has it."""
    kinds = list(liveness.challenges)
    return {
        "liveness.score_threshold": not liveness.HasField("score_threshold")
        or liveness.score_threshold >= FLOOR_LIVENESS_SCORE,
        "liveness.passive_threshold": not liveness.HasField("passive_threshold")
        or liveness.passive_threshold >= FLOOR_PASSIVE_SCORE,
        "liveness.early_passive_threshold": not liveness.HasField("early_passive_threshold")
        or liveness.early_passive_threshold >= FLOOR_EARLY_PASSIVE,
        "liveness.challenges": not kinds or CHALLENGE_KIND_TURNS in kinds,
    }


def policy_sha256(payload: bytes) -> bytes:
    """Digest of the signed payload (32 bytes), as statements name their policy."""
    return hashlib.sha256(payload).digest()


def encode_directive(directive: Directive) -> bytes:
    """Return the bytes to sign; the same directive always gives the same bytes.

    Raises:
        Malformed, Unknown: it breaks a rule that :func:`check_directive` would refuse.
    """
    check_all_known(directive, what="directive")
    _check_directive_rules(directive)
    return directive.SerializeToString(deterministic=True)


def check_directive(
    envelope: bytes, *, certificates: Sequence[bytes], roots: Sequence[x509.Certificate], device_id: str
) -> Directive:
    """Check a directive envelope that came to ``device_id``, and return what was signed.

    Raises:
        Malformed, Untrusted, Unknown: as :func:`check_policy`.
        Forged: the signature is not by the first certificate's key, or it is for another device.
    """
    payload = check_signed(envelope, payload_type=DIRECTIVE_TYPE, certificates=certificates, what="directive")
    directive = parse_message(Directive, payload, what="directive", max_bytes=MAX_ENVELOPE_BYTES)
    _check_directive_rules(directive)
    issued = parse_time(directive.issue_time, what="directive's issue time")
    check_chain(certificates, roots=roots, at=issued, purpose=Purpose.POLICY)
    if directive.device_id != device_id:
        raise Forged("DIRECTIVE_DEVICE", "The directive is for another device.")
    return directive


def check_policy_rules(policy: Policy) -> None:
    """Check what every policy keeps; for the service, before it has issue time and signature as well.

    Raises:
        Malformed: a rule is broken; the sentence says which.
    """
    _require(1 <= policy.version <= MAX_COUNTER, "version is out of range")
    _require(policy.HasField("issue_time") and policy.HasField("expire_time"), "a time is missing")
    issued = parse_time(policy.issue_time, what="policy's issue time")
    expires = parse_time(policy.expire_time, what="policy's expire time")
    _require(issued < expires, "expire_time is not after issue_time")
    present = {field.name for field, _ in policy.ListFields()}
    for part in ("match", "liveness", "session", "offline", "retention"):
        _require(part in present, f"{part} is missing")
    _check_thresholds(policy)
    _check_session(policy.session)
    offline = policy.offline
    degraded = _check_duration(offline.degraded_after, what="offline.degraded_after", most=MAX_OFFLINE)
    stopped = _check_duration(offline.stopped_after, what="offline.stopped_after", most=MAX_OFFLINE)
    _require(timedelta() < degraded <= stopped, "offline.stopped_after is sooner than degraded_after")
    confirmed = policy.retention.confirmed_records
    _check_duration(confirmed, what="retention.confirmed_records", most=MAX_RETENTION)
    _check_segments(policy.number_segments)
    _check_media(policy.media)


def _check_thresholds(policy: Policy) -> None:
    match = policy.match
    values = [
        match.live_chip_photo_threshold,
        match.live_chip_photo_false_match_rate,
        match.live_live_threshold,
        match.live_live_false_match_rate,
        policy.liveness.relief_threshold,
    ]
    sound = all(math.isfinite(value) and 0 < value < 1 for value in values)
    _require(sound, "a threshold or a rate is not between 0 and 1")
    _require(MIN_TURNS <= policy.liveness.turns <= MAX_TURNS, "liveness.turns is out of range")
    _check_challenges(policy.liveness)


def _check_challenges(liveness: pb.LivenessPolicy) -> None:
    for name in ("score_threshold", "passive_threshold", "early_passive_threshold"):
        value = getattr(liveness, name)
        sound = math.isfinite(value) and 0 < value < 1
        _require(sound or not liveness.HasField(name), f"liveness.{name} is not between 0 and 1")
    kinds = list(liveness.challenges)
    _require(0 not in kinds and len(set(kinds)) == len(kinds), "liveness.challenges has one twice, or none")
    lit = not kinds or CHALLENGE_KIND_LIGHT in kinds
    _require(lit or not liveness.require_light, "liveness.require_light asks for what challenges leave out")
    attempts = 1 <= liveness.max_attempts <= MAX_ATTEMPTS
    _require(attempts or not liveness.HasField("max_attempts"), "liveness.max_attempts is out of range")
    factor = 1 <= liveness.more_time_factor <= MAX_TIME_FACTOR
    _require(factor or not liveness.HasField("more_time_factor"), "liveness.more_time_factor is out of range")


def _check_session(session: pb.SessionPolicy) -> None:
    steps = list(session.steps)
    _require(
        0 not in steps and len(set(steps)) == len(steps), "session.steps has one twice, or one without name"
    )
    _check_duration(
        session.step_timeout, what="session.step_timeout", least=MIN_STEP_TIMEOUT, most=MAX_STEP_TIMEOUT
    )
    needs = {
        pb.SESSION_STEP_CONSENT: ("consent", session.HasField("consent")),
        pb.SESSION_STEP_NOTICE: ("notices", bool(session.notices)),
        pb.SESSION_STEP_CUSTOMER_DATA: ("customer_fields", bool(session.customer_fields)),
    }
    for step, (name, present) in needs.items():
        _require(present or step not in steps, f"session.{name} is missing")
    _require(len(session.notices) <= MAX_ITEMS, "session.notices has too many entries")
    consent = [session.consent] if session.HasField("consent") else []
    for text in (*consent, *session.notices):
        _check_text(text)
    _check_plain(session.customer_fields, what="session.customer_fields")


def _check_text(text: pb.Text) -> None:
    _check_plain([text.text_id], what="text_id")
    _require(
        len(text.by_language) > 0 and set(text.by_language) <= LANGUAGES, "a text is in no known language"
    )
    for words in text.by_language.values():
        _require(
            0 < len(words) <= MAX_TEXT_CHARS, f"a text has none or more than {MAX_TEXT_CHARS} characters"
        )


def _check_segments(segments: Sequence[pb.NumberSegment]) -> None:
    _require(len(segments) <= MAX_ITEMS, "number_segments has too many entries")
    for segment in segments:
        plain = _DIGITS.fullmatch(segment.prefix) is not None
        least = max(MIN_DIGITS, len(segment.prefix))
        _require(plain and least <= segment.digits <= MAX_DIGITS, "a number segment is out of range")


def _check_media(media: pb.MediaPolicy) -> None:
    names = list(media.keep)
    _require(set(names) <= MEDIA_NAMES and len(set(names)) == len(names), "media.keep has an unknown name")
    has_key = len(media.recipient_key) == KEY_BYTES
    _require(has_key if names else has_key or not media.recipient_key, "media.recipient_key is not a key")


def _check_plain(names: Sequence[str], *, what: str) -> None:
    _require(len(names) <= MAX_ITEMS, f"{what} has too many entries")
    _require(len(set(names)) == len(names), f"{what} has a name twice")
    _require(all(FIELD.fullmatch(name) for name in names), f"a name in {what} is not plain")


def _check_duration(
    duration: Duration, *, what: str, least: timedelta = timedelta(), most: timedelta
) -> timedelta:
    seconds = int(most.total_seconds())
    _require(0 <= duration.seconds <= seconds and 0 <= duration.nanos < 10**9, f"{what} is out of range")
    value = duration.ToTimedelta()
    _require(least <= value <= most, f"{what} is out of range")
    return value


def _check_directive_rules(directive: Directive) -> None:
    check_uuid7(directive.directive_id, what="directive_id")
    check_device_id(directive.device_id)
    _require(directive.HasField("issue_time"), "issue_time is missing", of="directive")
    parse_time(directive.issue_time, what="directive's issue time")
    _require(bool(directive.action), "action is missing", of="directive")
    reason = directive.reason
    short = len(reason) <= MAX_REASON_CHARS and reason.isprintable()
    _require(short, "reason is too long or not printable", of="directive")


def _require(condition: bool, what: str, *, of: str = "policy") -> None:
    if not condition:
        raise _malformed(what, of=of)


def _malformed(what: str, *, of: str = "policy") -> Malformed:
    return Malformed(of.upper(), f"The {of} breaks a rule: {what}.")
