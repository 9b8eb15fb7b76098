"""The document of a result, in the language of its holder."""

from __future__ import annotations

from collections.abc import Sequence

from cloud.accounts.personal import Personal
from cloud.certifications.core import number_of, show_time
from cloud.certifications.states import State
from cloud.papers.render import Fonts, Paper, Row, Section, render
from cloud.privacy.masks import mask_id_number
from cloud.sources import from_us
from cloud.store.certifications import ApplicationRow
from verifield.v1 import certification_service_pb2 as pb

_WORDS = {
    "zh": (
        "认证结果通知书",
        ("结果", "申请类型", "申请人", "证件号码", "决定时间", "审核员编号"),
        ("通过", "未通过"),
        "理由",
    ),
    "en": (
        "Result of a certification",
        ("Outcome", "Type", "Applicant", "Identity number", "Decided", "Reviewer, by number"),
        ("PASSED", "NOT PASSED"),
        "Reasons",
    ),
    "es": (
        "Resultado de una certificación",
        ("Resultado", "Tipo", "Solicitante", "Número de identidad", "Decidido", "Revisor, por número"),
        ("APROBADA", "NO APROBADA"),
        "Motivos",
    ),
}


def make_document(
    row: ApplicationRow,
    kind: pb.CertificationType,
    *,
    personal: Personal,
    language: str,
    reasons: Sequence[tuple[str, str]],
    reviewer: str,
    fonts: Fonts | None,
) -> bytes:
    """PDF: the same result gives the same bytes. ``fonts``: None for those that are found."""
    language = language if language in _WORDS else "zh"
    title, labels, outcomes, heading = _WORDS[language]
    values = (
        outcomes[0 if row.state == State.PASSED else 1],
        str(getattr(kind.title, language)) or kind.code,
        personal.name or personal.organisation_name or "-",
        mask_id_number(personal.id_number) or "-",
        show_time(row.decided_us or 0),
        reviewer,
    )
    sections = [Section(title, rows=tuple(map(Row, labels, values)))]
    if reasons:
        sections.append(Section(heading, rows=tuple(Row(code, text or "-") for code, text in reasons)))
    paper = Paper(
        number=number_of(row),
        title=title,
        language=language,
        made=from_us(row.decided_us or 0),
        sections=tuple(sections),
    )
    return render(paper, fonts)
