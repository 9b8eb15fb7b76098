"""What a screen's template is given: codes turned into sentences of the page's language. Pure."""

from __future__ import annotations

from typing import Any

import segno

from edge.kiosk.desk import refusal_text
from edge.kiosk.state import Question, Result, View
from edge.kiosk.texts import Texts
from edge.model import Outcome
from edge.remedies import told
from edge.texts import FIELDS, OUTCOMES, QUALITY_REASONS

SHOWN_EARLIER = 5  # the newest; the whole list is for the record, not for a screen
ATTESTATION_URI = "urn:uuid:"
"""What the QR code says: RFC 9562's name of the attestation id. Which service knows it is not in it."""

_FAMILIES = {"SPOOF_": "SPOOF", "LIVENESS_": "LIVENESS_INSUFFICIENT"}
"""Which sentence stands for codes that have none of their own, by how they begin."""

_TONES = {Outcome.VERIFIED: "good", Outcome.SPOOF: "bad", Outcome.NOT_MATCHED: "bad"}


def screen_values(view: View, texts: Texts) -> dict[str, Any]:
    """The values that the template of the view's screen needs beside the view itself."""
    if view.question is not None:
        return _question_values(view.question, texts)
    if view.result is not None:
        return _result_values(view.result, texts)
    code, hint = view.fault
    if code:
        text, remedy = fault_text(code, texts)
        return {"code": code, "text": text, "hint": remedy or hint}
    return {}


def reason_text(code: str, texts: Texts) -> str:
    """One plain sentence for a reason of a decision; a code that has none is shown itself."""
    quality = QUALITY_REASONS.get(code)
    if quality is not None:
        return quality[texts.language]
    for prefix in ("TIMEOUT_", "NO_ANSWER_"):
        if code.startswith(prefix):
            step = texts.find(f"step.{code.removeprefix(prefix)}")
            if step is not None:
                return texts(f"reason.{prefix.rstrip('_')}", step=step)
    return fault_text(code, texts)[0]


def fault_text(code: str, texts: Texts) -> tuple[str, str]:
    """What is the matter, and what to do; the second may be empty."""
    own, known = texts.find(f"reason.{code}"), told(code)
    remedy = known.remedy[texts.language] if known else ""
    if own is None and known is not None:
        own = known.text[texts.language]
    if own is None:
        family = next((general for start, general in _FAMILIES.items() if code.startswith(start)), "")
        own = texts.find(f"reason.{family}") or texts("reason.unknown", code=code)
    return own, texts.find(f"hint.{code}") or remedy


def qr_svg(attestation_id: str) -> str:
    """The QR code of a receipt as an SVG element, without style and script; empty where there is no id."""
    if not attestation_id:
        return ""
    code = segno.make(ATTESTATION_URI + attestation_id, error="m", micro=False)
    return str(code.svg_inline(border=2, omitsize=True, svgclass="qr-code", lineclass=None))


def _question_values(question: Question, texts: Texts) -> dict[str, Any]:
    shown: dict[str, Any] = dict(question.shown)
    values: dict[str, Any] = {"question": question}
    match question.kind:
        case "consent" | "notice":
            values["body"] = shown["text"].in_language(texts.language)
        case "earlier":
            records = shown["records"]
            values["more"] = max(0, len(records) - SHOWN_EARLIER)
            values["records"] = [
                {
                    "at": f"{one.at:%Y-%m-%d %H:%M} UTC",
                    "text": OUTCOMES[Outcome(one.outcome)][texts.language],
                    "tone": _TONES.get(Outcome(one.outcome), "plain"),
                }
                for one in records[:SHOWN_EARLIER]
            ]
        case "field":
            name = shown["name"]
            values |= {"name": name, "label": FIELDS.get(name, {}).get(texts.language, name)}
            values["again"] = shown["again"] and (
                texts.find(f"verify.field.again.{name}") or texts("verify.field.again")
            )
        case "identify":
            refused = shown.get("refused", "")
            wait_s = shown.get("wait_s", 0)
            text = refusal_text(refused, texts.language) or (refused and fault_text(refused, texts)[0])
            if wait_s:
                text += " " + texts("signin.wait", seconds=wait_s)
            values |= {"names": shown["names"], "refused": text}
    return values


def _reasons(codes: tuple[str, ...], texts: Texts) -> list[tuple[str, str]]:
    """Codes with their sentences; several that are one to a person are told once, under the first."""
    told_once: dict[str, str] = {}
    for code in codes:
        told_once.setdefault(reason_text(code, texts), code)
    return [(code, text) for text, code in told_once.items()]


def _result_values(result: Result, texts: Texts) -> dict[str, Any]:
    return {
        "result": result,
        "outcome": OUTCOMES[result.outcome][texts.language],
        "tone": _TONES.get(result.outcome, "plain"),
        "reasons": _reasons(result.reasons, texts),
        "advice": texts.find(f"advice.{result.outcome}") or "",
        "fault": result.fault and reason_text(result.fault, texts),
        "qr": qr_svg(result.attestation_id),
    }
