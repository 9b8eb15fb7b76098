"""What the report for people says: English, Chinese, Spanish."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

LANGUAGES = ("en", "zh", "es")


class Word(StrEnum):
    """Headings and labels."""

    TITLE = "TITLE"
    CONTRACT = "CONTRACT"
    PARTY = "PARTY"
    SEAL_USES = "SEAL_USES"
    REVISIONS = "REVISIONS"
    TIMELINE = "TIMELINE"
    CHECK = "CHECK"
    NAME = "NAME"
    NUMBER = "NUMBER"
    STATE = "STATE"
    SENT = "SENT"
    COMPLETED = "COMPLETED"
    DEADLINE = "DEADLINE"
    METHODS = "METHODS"
    UPLOAD_HASH = "UPLOAD_HASH"
    DOCUMENT_HASH = "DOCUMENT_HASH"
    CURRENT_HASH = "CURRENT_HASH"
    JSON_HASH = "JSON_HASH"
    ROLE = "ROLE"
    USCC = "USCC"
    PERSON = "PERSON"
    ID_NUMBER = "ID_NUMBER"
    VERIFIED = "VERIFIED"
    NOTIFIED = "NOTIFIED"
    OPENED = "OPENED"
    READ = "READ"
    READ_HASH = "READ_HASH"
    AUTHENTICATED = "AUTHENTICATED"
    ACTED = "ACTED"
    SIGNATURE = "SIGNATURE"
    CERTIFICATE = "CERTIFICATE"
    REVOKED = "REVOKED"
    METHOD = "METHOD"
    EVIDENCE = "EVIDENCE"
    DEVICE = "DEVICE"
    BOUND_TO = "BOUND_TO"
    STAMP = "STAMP"
    BEFORE_AFTER = "BEFORE_AFTER"
    SEAL = "SEAL"
    HOW = "HOW"
    NOT_IN_LOG = "NOT_IN_LOG"


class _Text(NamedTuple):
    en: str
    zh: str
    es: str


_TEXTS: Mapping[Word, _Text] = MappingProxyType(
    {
        Word.TITLE: _Text("Evidence report", "电子签约证据报告", "Informe de evidencias"),
        Word.CONTRACT: _Text("Contract", "合同", "Contrato"),
        Word.PARTY: _Text("Party {number}", "签约方 {number}", "Parte {number}"),
        Word.SEAL_USES: _Text("Uses of seals", "印章使用记录", "Usos de sellos"),
        Word.REVISIONS: _Text("States of the file", "文件版本", "Estados del archivo"),
        Word.TIMELINE: _Text("What happened", "时间线", "Lo que ocurrió"),
        Word.CHECK: _Text("How to check this report", "如何核验本报告", "Cómo comprobar este informe"),
        Word.NAME: _Text("Name", "名称", "Nombre"),
        Word.NUMBER: _Text("Contract number", "合同编号", "Número de contrato"),
        Word.STATE: _Text("State", "状态", "Estado"),
        Word.SENT: _Text("Sent", "发送时间", "Enviado"),
        Word.COMPLETED: _Text("Completed", "完成时间", "Concluido"),
        Word.DEADLINE: _Text("Deadline", "截止时间", "Plazo"),
        Word.METHODS: _Text("Allowed methods", "允许的认证方式", "Métodos permitidos"),
        Word.UPLOAD_HASH: _Text("SHA-256 of the upload", "上传文件 SHA-256", "SHA-256 de lo subido"),
        Word.DOCUMENT_HASH: _Text("SHA-256 as sent", "发送文件 SHA-256", "SHA-256 de lo enviado"),
        Word.CURRENT_HASH: _Text("SHA-256 now", "当前文件 SHA-256", "SHA-256 actual"),
        Word.JSON_HASH: _Text("SHA-256 of report.json", "report.json 的 SHA-256", "SHA-256 de report.json"),
        Word.ROLE: _Text("Role", "角色", "Papel"),
        Word.USCC: _Text("Unified social credit code", "统一社会信用代码", "Código de crédito social"),
        Word.PERSON: _Text("Person", "经办人", "Persona"),
        Word.ID_NUMBER: _Text("Identity number", "证件号码", "Número de identidad"),
        Word.VERIFIED: _Text("Identity verified", "实名认证", "Identidad verificada"),
        Word.NOTIFIED: _Text("Notified", "通知时间", "Avisado"),
        Word.OPENED: _Text("Opened", "打开时间", "Abierto"),
        Word.READ: _Text("Confirmed as read", "确认已读", "Lectura confirmada"),
        Word.READ_HASH: _Text("SHA-256 of what was read", "已读文件 SHA-256", "SHA-256 de lo leído"),
        Word.AUTHENTICATED: _Text("Authenticated", "身份认证时间", "Autenticado"),
        Word.ACTED: _Text("Signed or approved", "签署时间", "Firmado o aprobado"),
        Word.SIGNATURE: _Text("Signature", "签名", "Firma"),
        Word.CERTIFICATE: _Text("Certificate", "证书序列号", "Certificado"),
        Word.REVOKED: _Text(
            "Revoked, counts for nothing from", "已吊销，自此时起无效", "Revocado, sin valor desde"
        ),
        Word.METHOD: _Text("Method", "认证方式", "Método"),
        Word.EVIDENCE: _Text("Evidence", "证据", "Evidencia"),
        Word.DEVICE: _Text("Device", "设备", "Dispositivo"),
        Word.BOUND_TO: _Text("Bound to", "绑定值", "Vinculado a"),
        Word.STAMP: _Text("Time-stamp", "时间戳", "Sello de tiempo"),
        Word.BEFORE_AFTER: _Text("File before, after", "签署前、后文件", "Archivo antes, después"),
        Word.SEAL: _Text("Seal", "印章", "Sello"),
        Word.NOT_IN_LOG: _Text(
            "the device's record has not come yet",
            "设备记录尚未到达",
            "el registro del dispositivo aún no ha llegado",
        ),
        Word.HOW: _Text(
            "This page is for people; report.json in the same file says the same for programs, and MANIFEST "
            "lists both with their SHA-256 under a signature of the service.\n"
            "Check it offline, with the root certificate of the service from another source:\n"
            "verifield-verify report REPORT.zip --contract CONTRACT.pdf --root root.pem\n"
            "The check holds what each person showed against the document: the value under “Bound to” is "
            "SHA-256 over the contract, the party, the document and 16 random bytes, all of which stand in "
            "report.json. Records of devices come with their place in the transparency log. That a code "
            "reached a telephone rests on the word of the service.\n"
            "The signatures themselves stand in the contract: any reader of PDF shows them.",
            "本页供人阅读；同一文件中的 report.json 以机器可读方式载有相同内容，MANIFEST 列出两者的 SHA-256 "
            "并由服务方签名。\n"
            "离线核验（根证书须从其他渠道取得）：\n"
            "verifield-verify report REPORT.zip --contract CONTRACT.pdf --root root.pem\n"
            "核验时会将每位签署人的认证与文件对照：“绑定值”是对合同、签约方、文件及 16 个随机字节计算的 "
            "SHA-256，这些数据均载于 report.json。设备记录附有其在透明日志中的位置证明。短信验证码送达手机"
            "一事以服务方的陈述为准。\n"
            "签名本身位于合同文件中，任何 PDF 阅读器均可显示。",
            "Esta página es para las personas; report.json, en el mismo archivo, dice lo mismo para los "
            "programas, y MANIFEST enumera ambos con su SHA-256 bajo una firma del servicio.\n"
            "Compruébelo sin conexión, con el certificado raíz del servicio obtenido por otra vía:\n"
            "verifield-verify report REPORT.zip --contract CONTRACT.pdf --root root.pem\n"
            "La comprobación confronta lo que mostró cada persona con el documento: «Vinculado a» es "
            "SHA-256 sobre el contrato, la parte, el documento y 16 bytes aleatorios, que constan en "
            "report.json. Los registros de dispositivos traen su lugar en el registro de transparencia. Que "
            "un código llegó a un teléfono descansa en la palabra del servicio.\n"
            "Las firmas mismas están en el contrato: cualquier lector de PDF las muestra.",
        ),
    }
)


def say(word: Word, language: str, **values: object) -> str:
    """A word in one of LANGUAGES."""
    text: str = getattr(_TEXTS[word], language)
    return text.format(**values) if values else text
