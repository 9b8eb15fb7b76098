"""Organisations and their seals."""

from __future__ import annotations

from cloud.messages.templates.template import Template, Text

DECIDED = Template(
    "organisation_decided",
    zh=Text("企业实名认证已有结果", "您的企业实名认证已有结果，请登录查看。"),
    en=Text(
        "Your organisation was reviewed",
        "The review of your organisation has a result. Sign in to see it.",
    ),
    es=Text(
        "Su organización fue revisada",
        "La revisión de su organización tiene un resultado. Inicie sesión para verlo.",
    ),
)

SUPPLEMENT = Template(
    "organisation_supplement",
    zh=Text("请补充企业材料", "您的企业实名认证需要补充材料，请在 {until} 前登录办理。"),
    en=Text(
        "Something is missing",
        "The review of your organisation needs more. Sign in and add it before {until}.",
    ),
    es=Text(
        "Falta documentación",
        "La revisión de su organización necesita algo más. Añádalo antes del {until}.",
    ),
)

SEAL_DECIDED = Template(
    "seal_decided",
    zh=Text("印章审核已有结果", "您提交的电子印章审核已有结果，请登录查看。"),
    en=Text("Your seal was reviewed", "The review of your seal has a result. Sign in to see it."),
    es=Text("Su sello fue revisado", "La revisión de su sello tiene un resultado. Inicie sesión para verlo."),
)

SEAL_GRANTED = Template(
    "seal_granted",
    zh=Text("您获得了印章使用授权", "您获得了一枚电子印章的使用授权，请登录查看。"),
    en=Text("You may use a seal", "You were given a grant of an electronic seal. Sign in to see it."),
    es=Text(
        "Puede usar un sello",
        "Ha recibido autorización para usar un sello electrónico. Inicie sesión para verla.",
    ),
)

OFFERED = Template(
    "organisation_offered",
    zh=Text("请接管企业管理权", "一家企业的管理员拟将企业管理权移交给您，请登录查看；与您无关请勿理会。"),
    en=Text(
        "You may take over an organisation",
        "The administration of an organisation is offered to you. Sign in to see it, or leave it be.",
    ),
    es=Text(
        "Puede asumir una organización",
        "Se le ofrece la administración de una organización. Inicie sesión para verla, o no haga nada.",
    ),
)

TEMPLATES = (DECIDED, SUPPLEMENT, SEAL_DECIDED, SEAL_GRANTED, OFFERED)
