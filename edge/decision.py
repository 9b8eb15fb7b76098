"""From evidence to outcome: the rule that everything else serves. Pure; fails closed.

Order matters and is deliberate. A presentation attack outranks everything: a picture of the right person
does match, and whoever holds it up would rather be remembered for having stopped. An aborted session says
so. Without a document that counts today, a face or a liveness answer nothing can be said of the person.
Only then does the comparison count, and a match is VERIFIED only when every step that was planned has its
answer.
"""

from __future__ import annotations

from edge.answers import SessionAnswers, Step
from edge.model import Decision, Evidence, LivenessDecision, Outcome, ReadMethod, Validity

DOCUMENT_EXPIRED = "DOCUMENT_EXPIRED"
DOCUMENT_NOT_YET_VALID = "DOCUMENT_NOT_YET_VALID"
"""The document certainly does not count today."""

VALIDITY_UNCERTAIN = "DOCUMENT_VALIDITY_UNCERTAIN"
"""Beside any outcome: the device's clock cannot tell whether the document counts today."""

CAPTURE_INTERRUPTED = "CAPTURE_INTERRUPTED"
"""Beside any outcome: the camera was lost during the capture, and the challenge began anew."""

DOCUMENT_NOT_FROM_CHIP = "DOCUMENT_NOT_FROM_CHIP"
"""What was typed or pictured can be made up: only two people may accept it, by hand."""

GALLERY_SECOND_CHECK = "GALLERY_SECOND_CHECK"
"""Others in the gallery are as like, or nearly: the clerk is asked, as two people decide by hand."""

GALLERY_REFERRED = "GALLERY_REFERRED"
"""Somebody so like is on the watch-list: two people decide by hand. It stands beside every other reason, so
that these two know; code and text keep it from the person, who may see the screen.
"""

NOT_VALID = {Validity.EXPIRED: DOCUMENT_EXPIRED, Validity.NOT_YET: DOCUMENT_NOT_YET_VALID}


def decide(evidence: Evidence, planned: frozenset[Step] = frozenset()) -> Decision:
    """Judge one session's evidence; VERIFIED needs a yes of every stage and every planned step.

    Whether a document counts today is uncertain where the clock is: then the outcome stands, and says so.
    So it does where the camera was lost on the way.
    """
    decision = _judge(evidence, planned)
    notes = []
    if evidence.gallery is not None and evidence.gallery.watched and decision.outcome is not Outcome.SPOOF:
        notes.append(GALLERY_REFERRED)
    if evidence.document is not None and evidence.validity is Validity.UNCERTAIN:
        notes.append(VALIDITY_UNCERTAIN)
    if evidence.capture is not None and evidence.capture.interruptions > 0:
        notes.append(CAPTURE_INTERRUPTED)
    return Decision(decision.outcome, (*decision.reasons, *notes)) if notes else decision


def _judge(evidence: Evidence, planned: frozenset[Step]) -> Decision:
    liveness = evidence.liveness
    aborted = (evidence.aborted,) if evidence.aborted else ()
    if evidence.document and evidence.capture and liveness and liveness.decision is LivenessDecision.ATTACK:
        return Decision(Outcome.SPOOF, (liveness.reasons or ("SPOOF",)) + aborted)
    if aborted:
        return Decision(Outcome.ABORTED, aborted)
    if evidence.document is None:
        return Decision(Outcome.INCONCLUSIVE, ("NO_DOCUMENT",))
    if evidence.validity is None:
        return Decision(Outcome.INCONCLUSIVE, ("NO_DOCUMENT_VALIDITY",))
    if evidence.validity in NOT_VALID:
        return Decision(Outcome.INCONCLUSIVE, (NOT_VALID[evidence.validity],))
    if evidence.capture is None or liveness is None:
        return Decision(Outcome.INCONCLUSIVE, ("NO_CAPTURE",))
    flaws = tuple(component.reason for component in evidence.capture.quality if not component.passed)
    if liveness.decision is not LivenessDecision.LIVE:
        causes = flaws if evidence.capture.best_shot is None else ()  # no face that could be judged
        lacks = liveness.reasons or ("LIVENESS_INSUFFICIENT",)
        return Decision(Outcome.INCONCLUSIVE, (*causes, *lacks))
    if evidence.document.photo is None:
        return Decision(Outcome.INCONCLUSIVE, ("NO_DOCUMENT_PHOTO",))
    if evidence.match is None or evidence.capture.best_shot is None or flaws:
        return Decision(Outcome.INCONCLUSIVE, flaws or ("NO_MATCH_SCORE",))
    if not evidence.match.matched:
        return Decision(Outcome.NOT_MATCHED, ("SCORE_BELOW_THRESHOLD",))
    return _judge_matched(evidence, evidence.document.read_method, planned)


def _judge_matched(evidence: Evidence, read_method: ReadMethod, planned: frozenset[Step]) -> Decision:
    """The face is the document's: what else there must be."""
    if read_method is not ReadMethod.CHIP:
        return Decision(Outcome.INCONCLUSIVE, (DOCUMENT_NOT_FROM_CHIP,))
    if evidence.gallery is not None and evidence.gallery.second_check:
        alike = () if evidence.gallery.watched else (GALLERY_SECOND_CHECK,)  # ``decide`` refers it
        return Decision(Outcome.INCONCLUSIVE, alike)
    unanswered = tuple(
        f"NO_ANSWER_{step}" for step in Step if step in planned and not _answered(step, evidence)
    )
    if unanswered:
        return Decision(Outcome.INCONCLUSIVE, unanswered)
    return Decision(Outcome.VERIFIED, ())


def _answered(step: Step, evidence: Evidence) -> bool:
    session = evidence.session or SessionAnswers(b"")
    return {
        Step.OPERATOR: session.operator is not None,
        Step.CONSENT: session.consent is not None and session.consent.accepted,
        Step.EARLIER_RECORDS: session.earlier_records is not None,
        Step.GALLERY: evidence.gallery is not None,
        Step.CUSTOMER_DATA: bool(session.customer),
        Step.NOTICE: bool(session.notices) and all(notice.accepted for notice in session.notices),
        Step.SIGNATURE: bool(session.signature),
    }[step]
