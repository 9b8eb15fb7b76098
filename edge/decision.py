"""From evidence to outcome: the rule that everything else serves. Pure; fails closed.

Order matters and is deliberate. An aborted session says so. Without a document, a face or a liveness
answer nothing can be said of the person. A presentation attack outranks a match, because a picture of
the right person does match. Only then does the comparison count.
"""

from __future__ import annotations

from edge.model import Decision, Evidence, LivenessDecision, Outcome


def decide(evidence: Evidence) -> Decision:
    """Judge one session's evidence. VERIFIED needs every stage to have answered yes."""
    if evidence.aborted:
        return Decision(Outcome.ABORTED, (evidence.aborted,))
    if evidence.document is None:
        return Decision(Outcome.INCONCLUSIVE, ("NO_DOCUMENT",))
    liveness = evidence.liveness
    if evidence.capture is None or liveness is None:
        return Decision(Outcome.INCONCLUSIVE, ("NO_CAPTURE",))
    if liveness.decision is LivenessDecision.ATTACK:
        return Decision(Outcome.SPOOF, liveness.reasons or ("SPOOF",))
    if liveness.decision is not LivenessDecision.LIVE:
        return Decision(Outcome.INCONCLUSIVE, liveness.reasons or ("LIVENESS_INSUFFICIENT",))
    if evidence.document.photo is None:
        return Decision(Outcome.INCONCLUSIVE, ("NO_DOCUMENT_PHOTO",))
    flaws = tuple(component.reason for component in evidence.capture.quality if not component.passed)
    if evidence.match is None or evidence.capture.best_shot is None or flaws:
        return Decision(Outcome.INCONCLUSIVE, flaws or ("NO_MATCH_SCORE",))
    if not evidence.match.matched:
        return Decision(Outcome.NOT_MATCHED, ("SCORE_BELOW_THRESHOLD",))
    return Decision(Outcome.VERIFIED, ())
