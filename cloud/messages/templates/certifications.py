"""What applicants are told about their certifications: one message for each event."""

from __future__ import annotations

from cloud.messages.templates.template import Template, Text

SUBMITTED = Template(
    "certification_submitted",
    zh=Text("认证申请已提交", "您的认证申请 {number} 已提交，正在等待审核。"),
    en=Text(
        "Application received",
        "Your application {number} for certification has arrived and waits for review.",
    ),
    es=Text("Solicitud recibida", "Su solicitud de certificación {number} ha llegado y espera revisión."),
)
SUPPLEMENT = Template(
    "certification_supplement",
    zh=Text("请补充材料", "您的认证申请 {number} 需要补充材料，请在 {deadline} 前登录查看并提交。"),
    en=Text(
        "Something is missing",
        "Your application {number} needs something more. Sign in to see what; hand it in before {deadline}.",
    ),
    es=Text(
        "Falta algo",
        "Su solicitud {number} necesita algo más. Inicie sesión y entréguelo antes del {deadline}.",
    ),
)
CLOSED = Template(
    "certification_closed",
    zh=Text("认证申请已关闭", "您的认证申请 {number} 因逾期未补充材料而关闭。您可以重新申请。"),
    en=Text(
        "Application closed", "Your application {number} was closed: what was asked for did not come in time."
    ),
    es=Text("Solicitud cerrada", "Su solicitud {number} se cerró: lo que se pidió no llegó a tiempo."),
)
PASSED = Template(
    "certification_passed",
    zh=Text("认证已通过", "您的认证申请 {number} 已通过。登录后可下载结果文件和认证标识。"),
    en=Text(
        "Certification passed",
        "Your application {number} was passed. Sign in for the document and your badge.",
    ),
    es=Text(
        "Certificación aprobada",
        "Su solicitud {number} fue aprobada. Inicie sesión para el documento y su distintivo.",
    ),
)
NOT_PASSED = Template(
    "certification_not_passed",
    zh=Text("认证未通过", "您的认证申请 {number} 未通过。登录后可查看理由，并可修改后重新申请。"),
    en=Text(
        "Certification not passed",
        "Your application {number} was not passed. Sign in to see why, and apply again.",
    ),
    es=Text(
        "Certificación no aprobada",
        "Su solicitud {number} no fue aprobada. Inicie sesión para ver por qué y solicite otra vez.",
    ),
)
RECERT = Template(
    "certification_recert",
    zh=Text("请重新认证", "您的认证 {number} 中的信息已变更或过期，请更新后重新提交认证。"),
    en=Text(
        "Certify again",
        "Something in your certification {number} has changed or expired: correct it and apply again.",
    ),
    es=Text(
        "Certifíquese de nuevo",
        "Algo en su certificación {number} cambió o caducó: actualícelo y solicite de nuevo.",
    ),
)
REVOKED = Template(
    "certification_revoked",
    zh=Text("认证已撤销", "您的认证 {number} 因信息不实被撤销，认证标识不再有效。"),
    en=Text(
        "Certification revoked",
        "Your certification {number} was revoked for false information; its badge counts no more.",
    ),
    es=Text(
        "Certificación revocada",
        "Su certificación {number} fue revocada por información falsa; su distintivo ya no vale.",
    ),
)
REOPENED = Template(
    "certification_reopened",
    zh=Text("认证重新审核", "您的认证申请 {number} 将重新审核，之前的结果不再有效。"),
    en=Text(
        "Reviewed anew",
        "Your application {number} is being reviewed anew; the earlier result does not stand.",
    ),
    es=Text("Nueva revisión", "Su solicitud {number} se revisa de nuevo; el resultado anterior no vale."),
)

TEMPLATES = (SUBMITTED, SUPPLEMENT, CLOSED, PASSED, NOT_PASSED, RECERT, REVOKED, REOPENED)
