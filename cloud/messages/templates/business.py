"""Requests for registration business."""

from __future__ import annotations

from cloud.messages.templates.template import Template, Text

DECIDED = Template(
    "business_decided",
    zh=Text("申请已有结果", "您的企业登记业务申请 {number} 已有结果，请登录查看。"),
    en=Text(
        "Your request was decided",
        "Your request {number} for registration business was decided. Sign in to see the result.",
    ),
    es=Text(
        "Su solicitud tiene respuesta",
        "Su solicitud {number} de trámite de registro tiene respuesta. Inicie sesión para verla.",
    ),
)

SUPPLEMENT = Template(
    "business_supplement",
    zh=Text("请补充材料", "您的企业登记业务申请 {number} 需要补充材料，请在 {until} 前登录办理。"),
    en=Text(
        "Something is missing",
        "Your request {number} for registration business needs more. Sign in and add it before {until}.",
    ),
    es=Text(
        "Falta documentación",
        "Su solicitud {number} de trámite de registro necesita algo más. Añádalo antes del {until}.",
    ),
)

TEMPLATES = (DECIDED, SUPPLEMENT)
