"""Each part of a statement from the value that it states. Pure; no part decides anything."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable

from edge.answers import ChallengeVariant, GalleryResult, ManualVerdict, SessionAnswers, SignedIn, TextShown
from edge.attest.disclosures import commitments, encode_picture
from edge.model import (
    CaptureRecord,
    ChallengeRecord,
    ExpertScore,
    IdDocument,
    LightRecord,
    LivenessResult,
    MatchResult,
    PhotoOrigin,
)
from verifield.commitments import Disclosure
from verifield.v1 import attestation_pb2 as pb

_PHOTO_ORIGINS = {
    PhotoOrigin.SAME: pb.PHOTO_ORIGIN_UNSPECIFIED,
    PhotoOrigin.PRINTED: pb.PHOTO_ORIGIN_PRINTED,
}

_VARIANTS = {
    ChallengeVariant.STANDARD: pb.CHALLENGE_VARIANT_UNSPECIFIED,
    ChallengeVariant.NO_SCREEN: pb.CHALLENGE_VARIANT_NO_SCREEN,
    ChallengeVariant.NO_TURN: pb.CHALLENGE_VARIANT_NO_TURN,
}


def operator_part(operator: SignedIn | None) -> pb.Operator:
    """Empty for self-service."""
    if operator is None:
        return pb.Operator()
    factors = (pb.AuthenticationFactor.Value(f"AUTHENTICATION_FACTOR_{item}") for item in operator.factors)
    return pb.Operator(operator_id=operator.operator_id, role=operator.role, factors=sorted(factors))


def document_part(document: IdDocument, disclosures: Iterable[Disclosure]) -> pb.Document:
    """``disclosures``: of every field, in ascending order of field name."""
    return pb.Document(
        type=pb.DocumentType.Value(f"DOCUMENT_TYPE_{document.type.value}"),
        read_method=pb.ReadMethod.Value(f"READ_METHOD_{document.read_method.value}"),
        fields=commitments(disclosures),
        photo_origin=_PHOTO_ORIGINS[document.photo_origin],
    )


def capture_part(capture: CaptureRecord) -> pb.Capture:
    """The best shot enters as a digest of its pixels."""
    best = b""
    if capture.best_shot is not None:
        best = hashlib.sha256(encode_picture(capture.best_shot.pixels)).digest()
    return pb.Capture(
        camera_id=capture.camera_id,
        frames_seen=capture.frames_seen,
        frames_used=capture.frames_used,
        best_shot_sha256=best,
        quality=[
            pb.QualityComponent(name=item.name, value=item.value, passed=item.passed)
            for item in capture.quality
        ],
    )


def liveness_part(liveness: LivenessResult) -> pb.Liveness:
    """Scores, thresholds and the challenge with its answer."""
    scored = liveness.score is not None and math.isfinite(liveness.score)
    return pb.Liveness(
        decision=pb.LivenessDecision.Value(f"LIVENESS_DECISION_{liveness.decision.value}"),
        experts=[_expert(item) for item in liveness.experts],
        challenge=_challenge(liveness.challenge),
        score=liveness.score if scored else None,
        threshold=liveness.threshold,
    )


def _challenge(challenge: ChallengeRecord) -> pb.Challenge:
    return pb.Challenge(
        nonce=challenge.nonce,
        actions=[action.value for action in challenge.actions],
        completed=challenge.completed,
        kinds=[pb.ChallengeKind.Value(f"CHALLENGE_KIND_{kind.value}") for kind in challenge.kinds],
        variant=_VARIANTS[challenge.variant],
        light=None if challenge.light is None else _light(challenge.light),
        turns=challenge.turns,
        time_factor=challenge.time_factor,
        attempt=challenge.attempt,
        omitted=[pb.ChallengeKind.Value(f"CHALLENGE_KIND_{kind.value}") for kind in challenge.omitted],
    )


def _light(light: LightRecord) -> pb.LightChallenge:
    return pb.LightChallenge(
        colours=["#{:02X}{:02X}{:02X}".format(*colour) for colour in light.colours],
        shown_ms=light.shown_ms,
        response=[pb.LightResponse(red=red, green=green, blue=blue) for red, green, blue in light.response],
        lag_ms=light.lag_ms,
    )


def match_part(match: MatchResult) -> pb.Match:
    """The score with what it was held against."""
    return pb.Match(
        model_name=match.model_name,
        model_sha256=bytes.fromhex(match.model_sha256),
        score=match.score,
        threshold=match.threshold,
        false_match_rate=match.false_match_rate,
        domain=match.domain,
        decision=pb.MATCH_DECISION_MATCH if match.matched else pb.MATCH_DECISION_NO_MATCH,
    )


def session_part(session: SessionAnswers, disclosures: Iterable[Disclosure]) -> pb.Session:
    """``disclosures``: of customer data and signature, in ascending order of field name."""
    return pb.Session(
        session_id=session.session_id,
        consent=None if session.consent is None else _text(session.consent),
        earlier_records_shown=session.earlier_records or 0,
        notices=[_text(notice) for notice in session.notices],
        fields=commitments(disclosures),
    )


def gallery_part(gallery: GalleryResult) -> pb.GallerySearch:
    """Pseudonyms and scores, best first."""
    return pb.GallerySearch(
        gallery_version=gallery.gallery_version,
        size=gallery.size,
        candidates=[
            pb.GalleryCandidate(candidate_id=item.candidate_id, score=item.score)
            for item in gallery.candidates
        ],
        decision=pb.GalleryDecision.Value(f"GALLERY_DECISION_{gallery.decision}"),
    )


def manual_part(verdict: ManualVerdict) -> pb.ManualDecision:
    """The second person, and what the two decided."""
    return pb.ManualDecision(
        accepted=verdict.accepted,
        causes=verdict.causes,
        cosigner=operator_part(verdict.cosigner),
        cosigner_key=verdict.cosigner_key,
        attempt_id=verdict.attempt_id,
    )


def _expert(expert: ExpertScore) -> pb.LivenessExpert:
    """A score that is not a number is no score: absent, and so never a pass."""
    scored = expert.score is not None and math.isfinite(expert.score)
    return pb.LivenessExpert(
        name=expert.name,
        score=expert.score if scored else None,
        threshold=expert.threshold,
        passed=scored and expert.passed,
        model_sha256=bytes.fromhex(expert.model_sha256),
        advisory=expert.advisory,
        reason=expert.reason,
    )


def _text(shown: TextShown) -> pb.TextShown:
    return pb.TextShown(text_id=shown.text_id, text_sha256=shown.text_sha256, accepted=shown.accepted)
