"""What people are told about contracts: never the title, and the link to nobody but the party it is for."""

from __future__ import annotations

from datetime import timedelta

from cloud.messages.templates.template import Template, Text

LINK_LIVES = timedelta(days=30)
"""A link that could not be sent in so long a time is not sent any more: a reminder makes another one."""

INVITATION = Template(
    "contract_invitation",
    zh=Text("请签署合同", "{sender} 邀请您在 {deadline} 前签署合同 {number}。请登录后打开：{link}"),
    en=Text(
        "A contract to sign",
        "{sender} asks you to sign contract {number} before {deadline}. Sign in and open: {link}",
    ),
    es=Text(
        "Un contrato para firmar",
        "{sender} le pide firmar el contrato {number} antes del {deadline}. Inicie sesión y abra: {link}",
    ),
    lives=LINK_LIVES,
)
COPY = Template(
    "contract_copy",
    zh=Text("合同抄送", "{sender} 向您抄送合同 {number}。请登录后打开：{link}"),
    en=Text(
        "A contract for your information",
        "{sender} sends you contract {number} for your information. Sign in and open: {link}",
    ),
    es=Text(
        "Un contrato para su información",
        "{sender} le envía el contrato {number} para su información. Inicie sesión y abra: {link}",
    ),
    lives=LINK_LIVES,
)
REMINDER = Template(
    "contract_reminder",
    zh=Text("合同待签署提醒", "{sender} 的合同 {number} 仍待您处理，截止 {deadline}。请登录后打开：{link}"),
    en=Text(
        "A contract waits for you",
        "Contract {number} of {sender} still waits for you, until {deadline}. Sign in and open: {link}",
    ),
    es=Text(
        "Un contrato le espera",
        "El contrato {number} de {sender} aún le espera, hasta el {deadline}. Inicie sesión y abra: {link}",
    ),
    lives=LINK_LIVES,
)
COMPLETED = Template(
    "contract_completed",
    zh=Text("合同已完成", "合同 {number} 已由各方签署完成。登录后可查看和下载。"),
    en=Text("Contract concluded", "Contract {number} was signed by all. Sign in to read or download it."),
    es=Text(
        "Contrato firmado", "El contrato {number} fue firmado por todos. Inicie sesión para verlo o bajarlo."
    ),
)
DECLINED = Template(
    "contract_declined",
    zh=Text("合同已被拒签", "合同 {number} 已被一方拒签，不再继续。登录后可查看理由。"),
    en=Text("Contract declined", "A party declined contract {number}; it has ended. Sign in to see why."),
    es=Text(
        "Contrato rechazado",
        "Una parte rechazó el contrato {number}; ha terminado. Inicie sesión para ver por qué.",
    ),
)
WITHDRAWN = Template(
    "contract_withdrawn",
    zh=Text("合同已撤回", "合同 {number} 已由发起方撤回，无需再签署。"),
    en=Text("Contract withdrawn", "Its sender withdrew contract {number}; there is nothing to sign."),
    es=Text("Contrato retirado", "El remitente retiró el contrato {number}; no hay nada que firmar."),
)
EXPIRED = Template(
    "contract_expired",
    zh=Text("合同已过期", "合同 {number} 在截止时间前未全部签署，已过期。"),
    en=Text("Contract expired", "Contract {number} was not signed by all before its deadline."),
    es=Text("Contrato vencido", "El contrato {number} no fue firmado por todos dentro del plazo."),
)
REVIEW = Template(
    "contract_review",
    zh=Text("合同待审批", "合同 {number} 等待您的内部审批。请登录处理。"),
    en=Text("A contract to approve", "Contract {number} waits for your approval. Sign in to look at it."),
    es=Text(
        "Un contrato por aprobar", "El contrato {number} espera su aprobación. Inicie sesión para verlo."
    ),
)
REVIEWED = Template(
    "contract_reviewed",
    zh=Text("合同审批结果", "合同 {number} 的内部审批已有结果。请登录查看。"),
    en=Text("Contract reviewed", "The review of contract {number} has ended. Sign in to see how."),
    es=Text("Contrato revisado", "La revisión del contrato {number} terminó. Inicie sesión para ver cómo."),
)

TEMPLATES = (INVITATION, COPY, REMINDER, COMPLETED, DECLINED, WITHDRAWN, EXPIRED, REVIEW, REVIEWED)
