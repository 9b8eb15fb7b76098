"""Rules of what a verification saw, and that its outcome follows from that."""

from __future__ import annotations

from verifield.challenges import check_challenge
from verifield.media import MAX_MEDIA_BYTES
from verifield.rules import (
    CODE,
    FIELD,
    MAX_ITEMS,
    MAX_PATH_CHARS,
    NONCE_BYTES,
    check_codes,
    check_commitments,
    check_digest,
    check_finite,
    check_names,
    check_plain_name,
    check_uuid7,
    require,
)
from verifield.v1 import attestation_pb2 as pb
from verifield.v1.attestation_pb2 import Statement

MAX_COSIGNER_KEY_BYTES = 128
"""A P-256 SubjectPublicKeyInfo has 91 bytes."""

MEDIA_PREFIX = "media."
"""A file called best_shot is committed to under the field media.best_shot."""

ACCUSES = "SPOOF_"
"""How the reason of an expert begins that saw an attack."""

_JUDGED = {pb.OUTCOME_VERIFIED, pb.OUTCOME_NOT_MATCHED, pb.OUTCOME_SPOOF}
"""Outcomes that rest on the person's face."""


def check_evidence(statement: Statement) -> None:
    """Check all parts of a verification and that its outcome follows from them.

    Raises:
        Malformed: a rule is broken; the sentence says which.
    """
    _check_operator(statement.operator, what="operator")
    committed: list[str] = []
    if statement.HasField("document"):
        committed += _check_document(statement.document)
    if statement.HasField("capture"):
        require(bool(statement.assurance.camera), "assurance.camera is missing")
        _check_capture(statement.capture)
    if statement.HasField("liveness"):
        _check_liveness(statement.liveness)
    if statement.HasField("match"):
        _check_match(statement.match)
    if statement.HasField("session"):
        committed += _check_session(statement.session)
    if statement.HasField("gallery"):
        _check_gallery(statement.gallery)
    _check_media(statement, committed)
    _check_manual(statement)
    _check_outcome(statement)


def _check_operator(operator: pb.Operator, *, what: str) -> None:
    if operator.operator_id:
        check_plain_name(operator.operator_id, what=f"{what}.operator_id")
    check_names(operator.role, what=f"{what}.role", required=False)
    factors = list(operator.factors)
    require(factors == sorted(set(factors)) and 0 not in factors, f"{what}.factors is not in ascending order")
    require(bool(operator.operator_id) or not factors, f"{what}.factors belong to nobody")


def _check_document(document: pb.Document) -> list[str]:
    """Return the fields that it commits to."""
    require(bool(document.type), "document.type is missing")
    require(bool(document.read_method), "document.read_method is missing")
    lent = document.photo_origin == pb.PHOTO_ORIGIN_PRINTED
    require(
        not lent or document.read_method == pb.READ_METHOD_CHIP, "a printed photo was lent to no chip's data"
    )
    return check_commitments(document.fields, what="document.fields")


def _check_capture(capture: pb.Capture) -> None:
    check_names(capture.camera_id, what="capture.camera_id", limit=MAX_PATH_CHARS)
    require(capture.frames_used <= capture.frames_seen, "capture used more frames than it saw")
    check_digest(capture.best_shot_sha256, what="capture.best_shot_sha256", required=False)
    quality = list(capture.quality)
    require(len(quality) <= MAX_ITEMS, "capture.quality has too many entries")
    check_names(*[part.name for part in quality], what="capture.quality.name")
    check_finite([part.value for part in quality])


def _check_liveness(liveness: pb.Liveness) -> None:
    decision, experts = liveness.decision, list(liveness.experts)
    require(bool(decision), "liveness.decision is missing")
    require(len(experts) <= MAX_ITEMS, "liveness.experts has too many entries")
    check_names(*[expert.name for expert in experts], what="liveness.experts.name")
    check_finite((liveness.score, liveness.threshold))
    all_passed = not liveness.HasField("score") or liveness.score >= liveness.threshold
    for expert in experts:
        score, threshold, passed = expert.score, expert.threshold, expert.passed
        check_finite((score, threshold))
        check_digest(expert.model_sha256, what="an expert's model_sha256", required=False)
        scored = score >= threshold and expert.HasField("score")
        require(passed == scored, "an expert's decision contradicts its score")
        require(not expert.reason or CODE.fullmatch(expert.reason) is not None, "a reason is not a code")
        all_passed = all_passed and (passed or (expert.advisory and not expert.reason.startswith(ACCUSES)))
    asked = completed = 0
    if liveness.HasField("challenge"):
        check_challenge(liveness.challenge)
        asked, completed = len(liveness.challenge.actions), liveness.challenge.completed
    if decision == pb.LIVENESS_DECISION_LIVE:
        decisive = any(not expert.advisory for expert in experts)
        require(all_passed and decisive, "LIVE with a score or an expert that did not pass, or none")
        require(completed == asked, "LIVE with a challenge that was not answered")
    if decision == pb.LIVENESS_DECISION_ATTACK:
        require(not all_passed, "ATTACK although every expert passed")


def _check_match(match: pb.Match) -> None:
    check_names(match.model_name, match.domain, what="match.model_name or match.domain")
    check_digest(match.model_sha256, what="match.model_sha256")
    check_finite((match.score, match.threshold, match.false_match_rate))
    require(0 <= match.false_match_rate <= 1, "match.false_match_rate is not between 0 and 1")
    require(bool(match.decision), "match.decision is missing")
    matched = match.decision == pb.MATCH_DECISION_MATCH
    require(matched == (match.score >= match.threshold), "match.decision contradicts its score")


def _check_session(session: pb.Session) -> list[str]:
    """Return the fields that it commits to."""
    require(len(session.session_id) == NONCE_BYTES, f"session.session_id has not {NONCE_BYTES} bytes")
    require(len(session.notices) <= MAX_ITEMS, "session.notices has too many entries")
    consent = [session.consent] if session.HasField("consent") else []
    for text in (*consent, *session.notices):
        check_names(text.text_id, what="a text's text_id")
        check_digest(text.text_sha256, what="a text's text_sha256")
    return check_commitments(session.fields, what="session.fields")


def _check_gallery(gallery: pb.GallerySearch) -> None:
    require(bool(gallery.decision), "gallery.decision is missing")
    require(
        len(gallery.candidates) <= min(MAX_ITEMS, gallery.size), "gallery.candidates has too many entries"
    )
    names = [candidate.candidate_id for candidate in gallery.candidates]
    check_names(*names, what="gallery.candidates.candidate_id")
    require(len(set(names)) == len(names), "gallery.candidates names somebody twice")
    scores = [candidate.score for candidate in gallery.candidates]
    check_finite(scores)
    require(scores == sorted(scores, reverse=True), "gallery.candidates is not in order, best first")
    found = gallery.decision == pb.GALLERY_DECISION_FOUND
    require(bool(names) or not found, "somebody was found in the gallery, but no candidate is named")


def _check_media(statement: Statement, committed: list[str]) -> None:
    names = [media.name for media in statement.media]
    require(len(names) <= MAX_ITEMS, "media has too many entries")
    require(len(set(names)) == len(names), "media has a name twice")
    for media in statement.media:
        plain = FIELD.fullmatch(media.name) and FIELD.fullmatch(MEDIA_PREFIX + media.name)
        require(plain is not None, "a media name is not plain")
        check_digest(media.sha256, what="media.sha256")
        require(0 < media.size_bytes <= MAX_MEDIA_BYTES, "media.size_bytes is out of range")
        check_digest(media.content_commitment, what="media.content_commitment")
    fields = committed + [MEDIA_PREFIX + name for name in names]
    require(len(set(fields)) == len(fields), "two commitments have the same field name")


def _check_manual(statement: Statement) -> None:
    """Check that a decision by people was made by two, and that nothing else claims to be one."""
    manual, operator = statement.manual, statement.operator
    present = statement.HasField("manual")
    require(present == (statement.outcome == pb.OUTCOME_MANUAL), "manual and the outcome MANUAL go together")
    if not present:
        return
    check_codes(manual.causes, what="manual.causes")
    _check_operator(manual.cosigner, what="manual.cosigner")
    people = {operator.operator_id.lower(), manual.cosigner.operator_id.lower()}
    require(len(people) == 2 and "" not in people, "a manual decision is not by two people")
    known = bool(operator.factors) and bool(manual.cosigner.factors)
    require(known, "a manual decision is by somebody who had not signed in")
    require(
        0 < len(manual.cosigner_key) <= MAX_COSIGNER_KEY_BYTES, "manual.cosigner_key is missing or too long"
    )
    if manual.attempt_id:
        check_uuid7(manual.attempt_id, what="manual.attempt_id")
        require(manual.attempt_id != statement.attestation_id, "a manual decision follows itself")


def _check_outcome(statement: Statement) -> None:
    """Check that the outcome follows from the evidence; a missing part is never a pass."""
    liveness, match, capture = statement.liveness.decision, statement.match.decision, statement.capture
    if statement.outcome in {pb.OUTCOME_VERIFIED, pb.OUTCOME_NOT_MATCHED}:
        verified = statement.outcome == pb.OUTCOME_VERIFIED
        wanted = pb.MATCH_DECISION_MATCH if verified else pb.MATCH_DECISION_NO_MATCH
        require(
            statement.HasField("document") and liveness == pb.LIVENESS_DECISION_LIVE and match == wanted,
            "the outcome does not follow from document, liveness and match",
        )
        from_chip = statement.document.read_method == pb.READ_METHOD_CHIP
        require(from_chip or not verified, "the outcome VERIFIED rests on a document that no chip gave")
        good = bool(capture.best_shot_sha256) and all(part.passed for part in capture.quality)
        require(good, "the outcome rests on a capture without a picture of good quality")
    if statement.outcome == pb.OUTCOME_SPOOF:
        require(liveness == pb.LIVENESS_DECISION_ATTACK, "the outcome SPOOF has no attack in its liveness")
    declined = statement.session.HasField("consent") and not statement.session.consent.accepted
    require(not (declined and statement.outcome in _JUDGED), "the face was judged without consent")
