"""The one owner of every threshold that a decision depends on, with a version and a digest.

The values below are built in and hold until the cloud's first signed policy. A signed policy may be as
strict as it likes; one that goes below the floors of ``verifield.policy`` is refused whole.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from edge.answers import ChallengeKind, SessionText, Step, TurnsWhen
from verifield.policy import check_floors, policy_sha256
from verifield.v1 import policy_pb2 as pb
from verifield.v1.attestation_pb2 import ChallengeKind as KindNumber

BUILT_IN_VERSION = 0
"""Below every version that a cloud may sign."""

_STEP_PREFIX = "SESSION_STEP_"
_KIND_PREFIX = "CHALLENGE_KIND_"
_WHEN_PREFIX = "TURNS_WHEN_"

LIVE_LIVE = "live/live"
LIVE_CHIP_PHOTO = "live/chip_photo"
"""The domains of comparison, each with an operating point of its own in MatchPolicy."""


@dataclass(frozen=True, slots=True)
class MatchThreshold:
    """Accept at cosine >= ``threshold``; ``false_match_rate`` is what that costs."""

    threshold: float
    false_match_rate: float


@dataclass(frozen=True, slots=True)
class MatchPolicy:
    """Source: all-against-all on Labeled Faces in the Wild, 29.6 million impostor comparisons.

    The chip photo's threshold is stricter than the last one that its own calibration supports, 0.461: chip
    photos were made of pictures there. Its rate is the one measured at that, so the real one is no higher.
    ``accept_printed_photo``: where nothing can decode the chip's photo, the one printed on the card may
    stand in for it.
    """

    live_live: MatchThreshold = MatchThreshold(0.415, 1e-4)
    live_chip_photo: MatchThreshold = MatchThreshold(0.466, 1.26e-5)
    accept_printed_photo: bool = False


@dataclass(frozen=True, slots=True)
class QualityPolicy:
    """Limits of a frame that may be judged; units in the names."""

    min_detection_score: float = 0.7
    min_inter_eye_px: float = 40.0
    max_roll_deg: float = 25.0
    max_yaw_ratio: float = 0.25
    min_sharpness: float = 20.0
    min_mean_luma: float = 40.0
    max_mean_luma: float = 225.0
    min_contrast: float = 12.0
    max_inter_eye_share: float = 0.32  # of the picture's width: nearer, the face does not fit and bends
    min_inside_share: float = 0.95  # of the face's box
    min_nose_drop: float = 0.3  # eyes to nose tip over eyes to mouth: less with the chin up
    max_nose_drop: float = 0.75  # more with the chin down
    min_uniformity: float = 0.45  # the darker half of the face over the lighter one
    min_eye_relief: float = 0.2  # change of brightness at the eye over that of the whole face
    min_mouth_relief: float = 0.25
    min_colour: float = 3.0  # of skin, from grey, in Cr and Cb
    max_colour_cast: float = 10.0  # towards green or blue, where skin never is


@dataclass(frozen=True, slots=True)
class LivenessPolicy:
    """Limits of liveness; where each comes from is said with it, the whole in docs/liveness.md."""

    # What is asked for, light first. It is left out where no screen can show it, unless it is required; the
    # record says so.
    challenges: tuple[ChallengeKind, ...] = (ChallengeKind.LIGHT, ChallengeKind.TURNS)
    require_light: bool = False
    # Whether turns follow light also where the verdict stands without. Then the passive signals alone reach
    # their operating point, and light has the shape of a head: 0 is what a flat sheet answers, glass answers
    # less; of 150 simulated heads, at 15 frames a second, five did.
    turns_when: TurnsWhen = TurnsWhen.NEEDED
    early_passive: float = 0.5
    early_light_shape: float = 0.0
    refuse_variants: bool = False  # then nobody is excused from light or turns
    more_time_factor: float = 2.0  # of the time limits, for people who need longer
    max_attempts: int = 5  # failed ones with one document within a quarter of an hour
    # All signals as one number (edge.liveness.fusion): 0.5 is the operating point that was calibrated.
    min_score: float = 0.5
    # Of the passive signals alone: their operating point. No answer to a challenge makes up for less, unless
    # a policy says so: a video that is made on demand turns its head as well.
    passive_floor: float = 0.5
    max_passive_spoof: float = 0.02  # at or under it they accuse
    # Light. Of replays of another session's answer one in 2^10 reaches 10 bits; simulated heads lit by a
    # small screen in a bright room (4 to 12 % of its light) show 11 to 13, the most that can be measured.
    min_light_bits: float = 10.0
    min_light_strength: float = 0.012
    # Of 150 simulated heads all showed -0.08 to 0.64; of 30 displays that answered in colour 22 showed -0.82
    # to -0.15, and 8 more than that; prints -0.15 to 0.09. It is not validated on people, so only what is far
    # on the displays' side is refused by it alone: the rest is the score's.
    min_light_shape: float = -0.1
    # Head turn. A head turned by 25 degrees changes its yaw ratio by 0.16 to 0.38; a print tilted by up to
    # 38 degrees, flat or bent, by 0.14 at most, because the ratio hardly changes under affine motion.
    challenge_turns: int = 3
    turn_yaw_ratio: float = 0.15
    frontal_yaw_ratio: float = 0.15  # people look slightly past the camera; measured +-0.13 on webcam clips
    first_look_time_limit_s: float = 10.0  # from the card back to the camera
    turn_time_limit_s: float = 6.0  # slow people need three seconds from reading to turned
    min_reaction_s: float = 0.2  # nobody has read a prompt and turned the head sooner
    # The mouth, opened when asked: 0.12 eye distances are 7 mm of lip and chin. People who open it on request
    # do so by two to four times as much; a rigid head that nods or is bent a little shows 0.05.
    min_jaw_opening: float = 0.12
    jaw_time_limit_s: float = 6.0  # as for a turn
    early_jaw_s: float = 2.0  # after light, where nothing else is missing: sooner than turns would be over
    # Continuity of the one face that answers.
    max_face_gap_s: float = 0.7  # longer than a detector's slip, too short to swap what is held up
    min_face_overlap: float = (
        0.4  # intersection over union from frame to frame; a fast turn at 5 fps keeps 0.6
    )
    min_frames: int = 12
    # Planar motion: distance to the best homography over the sine of the tilt, in eye distances. Per turn,
    # simulated heads show 0.060 to 0.125, prints 0.008 to 0.016 (120 sessions); real heads on small, blurred
    # webcam clips go down to 0.03. Between the two limits the signal neither passes nor accuses.
    min_tilt_deg: float = 18.0  # below this tracking noise is as large as the relief of a face
    min_planar_inter_eye_px: float = 36.0  # smaller faces are tracked too coarsely to tell relief from noise
    min_planar_points: int = 24  # a homography takes four; the rest is evidence
    min_planar_readings: int = 3
    min_planar_relief: float = 0.035
    max_flat_relief: float = 0.026


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """``steps``: beside document, capture, liveness and match, in the order of the session."""

    steps: tuple[Step, ...] = ()
    step_timeout: timedelta = timedelta(minutes=2)
    consent: SessionText | None = None
    notices: tuple[SessionText, ...] = ()
    customer_fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OfflinePolicy:
    """Without word from the cloud for longer: records are marked, then no session begins."""

    degraded_after: timedelta = timedelta(days=7)
    stopped_after: timedelta = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long a record stays after its receipt. None: as the configuration says."""

    confirmed_records: timedelta | None = None


@dataclass(frozen=True, slots=True)
class NumberSegment:
    """Numbers of ``digits`` digits that begin with ``prefix``, without the country's code."""

    prefix: str
    digits: int

    def covers(self, number: str) -> bool:
        plain = number.isascii() and number.isdigit()
        return plain and len(number) == self.digits and number.startswith(self.prefix)


@dataclass(frozen=True, slots=True)
class MediaPolicy:
    """Which media are kept (best_shot, document_photo), encrypted to ``recipient_key`` (X25519, 32 bytes)."""

    keep: tuple[str, ...] = ()
    recipient_key: bytes = b""


@dataclass(frozen=True, slots=True)
class Policy:
    """``issue_time`` and ``expire_time`` (aware) and ``signed_sha256`` only where the cloud signed it.

    An expired policy stays in force: the lease says what that means for the device.
    """

    version: int = BUILT_IN_VERSION
    match: MatchPolicy = field(default_factory=MatchPolicy)
    quality: QualityPolicy = field(default_factory=QualityPolicy)
    liveness: LivenessPolicy = field(default_factory=LivenessPolicy)
    session: SessionPolicy = field(default_factory=SessionPolicy)
    offline: OfflinePolicy = field(default_factory=OfflinePolicy)
    retention: RetentionPolicy = field(default_factory=RetentionPolicy)
    number_segments: tuple[NumberSegment, ...] = ()
    media: MediaPolicy = field(default_factory=MediaPolicy)
    issue_time: datetime | None = None
    expire_time: datetime | None = None
    signed_sha256: bytes = b""

    def sha256(self) -> bytes:
        """Digest (32 bytes): of what the cloud signed, else of the canonical JSON of all fields."""
        if self.signed_sha256:
            return self.signed_sha256
        text = json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"), default=_plain)
        return hashlib.sha256(text.encode()).digest()

    def accepts_number(self, number: str) -> bool:
        """Whether a phone may have this number (digits only); with no segments every one is accepted."""
        return not self.number_segments or any(segment.covers(number) for segment in self.number_segments)


def from_signed(message: pb.Policy, *, payload: bytes) -> Policy:
    """Return what a policy that ``verifield.policy.check_policy`` accepted means here.

    ``payload``: the bytes that were signed.

    Raises:
        Malformed: POLICY_BELOW_FLOOR.
    """
    check_floors(message)
    return Policy(
        version=message.version,
        match=_match(message.match),
        liveness=_liveness(message.liveness),
        session=_session(message.session),
        offline=OfflinePolicy(
            message.offline.degraded_after.ToTimedelta(), message.offline.stopped_after.ToTimedelta()
        ),
        retention=RetentionPolicy(message.retention.confirmed_records.ToTimedelta()),
        number_segments=tuple(NumberSegment(item.prefix, item.digits) for item in message.number_segments),
        media=MediaPolicy(tuple(message.media.keep), message.media.recipient_key),
        issue_time=message.issue_time.ToDatetime(tzinfo=UTC),
        expire_time=message.expire_time.ToDatetime(tzinfo=UTC),
        signed_sha256=policy_sha256(payload),
    )


def _match(message: pb.MatchPolicy) -> MatchPolicy:
    return MatchPolicy(
        live_live=MatchThreshold(message.live_live_threshold, message.live_live_false_match_rate),
        live_chip_photo=MatchThreshold(
            message.live_chip_photo_threshold, message.live_chip_photo_false_match_rate
        ),
        accept_printed_photo=message.accept_printed_photo,
    )


def _liveness(message: pb.LivenessPolicy) -> LivenessPolicy:
    """What the message leaves out is as built in."""
    built_in = LivenessPolicy()
    names = [KindNumber.Name(number).removeprefix(_KIND_PREFIX) for number in message.challenges]
    has = message.HasField
    return replace(
        built_in,
        min_planar_relief=message.relief_threshold,
        challenge_turns=message.turns,
        challenges=tuple(map(ChallengeKind, names)) or built_in.challenges,
        require_light=message.require_light,
        refuse_variants=message.refuse_variants,
        turns_when=TurnsWhen(pb.TurnsWhen.Name(message.turns_when).removeprefix(_WHEN_PREFIX))
        if message.turns_when
        else built_in.turns_when,
        early_passive=(
            message.early_passive_threshold
            if has("early_passive_threshold")
            else max(built_in.early_passive, message.passive_threshold)
        ),
        min_score=message.score_threshold if has("score_threshold") else built_in.min_score,
        passive_floor=message.passive_threshold if has("passive_threshold") else built_in.passive_floor,
        max_attempts=message.max_attempts if has("max_attempts") else built_in.max_attempts,
        more_time_factor=(message.more_time_factor if has("more_time_factor") else built_in.more_time_factor),
    )


def _session(message: pb.SessionPolicy) -> SessionPolicy:
    names = {pb.SessionStep.Name(number).removeprefix(_STEP_PREFIX) for number in message.steps}
    return SessionPolicy(
        steps=tuple(step for step in Step if step in names),
        step_timeout=message.step_timeout.ToTimedelta(),
        consent=_text(message.consent) if message.HasField("consent") else None,
        notices=tuple(_text(item) for item in message.notices),
        customer_fields=tuple(message.customer_fields),
    )


def _text(message: pb.Text) -> SessionText:
    return SessionText(message.text_id, dict(message.by_language))


def _plain(value: object) -> object:
    """What JSON does not know, in one way only."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
