"""The verdict in plain words: English, Chinese, Spanish."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from verifield.documents.verdict import Code, Finding, Kind, Outcome, Verdict


class Language(StrEnum):
    EN = "en"
    ZH = "zh"
    ES = "es"


class _Words(NamedTuple):
    en: str
    zh: str
    es: str

    def say(self, language: Language) -> str:
        text: str = getattr(self, language.value)
        return text


_OUTCOMES: Mapping[Outcome, _Words] = MappingProxyType(
    {
        Outcome.VALID: _Words(
            "The document is genuine: every signature is good, and nothing was changed since.",
            "文件真实有效：所有签名均有效，签署后未被更改。",
            "El documento es auténtico: todas las firmas son válidas y nada se cambió después.",
        ),
        Outcome.ALTERED: _Words(
            "Do not rely on this file: it was signed here, and is not as it was signed.",
            "请勿采信此文件：它曾在本平台签署，但现在的内容与签署时不一致。",
            "No se fíe de este archivo: se firmó aquí, y no está como se firmó.",
        ),
        Outcome.UNKNOWN: _Words(
            "Nothing can be said of this file: this is neither a yes nor a no.",
            "无法对此文件作出判断：既不能确认有效，也不能认定无效。",
            "No se puede decir nada de este archivo: no es ni un sí ni un no.",
        ),
    }
)
_UNFINISHED = _Words(
    "The document is genuine, and not finished: what is signed is good, other fields are still empty. "
    "A later state of it may exist.",
    "文件真实，但尚未签署完毕：已有签名均有效，仍有空白签署位置。可能存在更新的版本。",
    "El documento es auténtico y no está terminado: lo firmado es válido y otros campos siguen vacíos. "
    "Puede existir un estado posterior.",
)
_FINDINGS: Mapping[Code, _Words] = MappingProxyType(
    {
        Code.CHANGED: _Words(
            "Bytes that a signature covers were changed.",
            "签名所保护的内容已被更改。",
            "Se cambiaron bytes que una firma protege.",
        ),
        Code.CONTENT_CHANGED: _Words(
            "After the signature something was changed that it forbids: a page, a mark, a date, a field.",
            "签署后对文件作了不被允许的更改：页面、印章、日期或签署位置。",
            "Tras la firma se cambió algo que no permite: una página, una marca, una fecha, un campo.",
        ),
        Code.CONTENT_ADDED: _Words(
            "Something was added behind the last signature.",
            "最后一个签名之后被添加了内容。",
            "Se añadió algo detrás de la última firma.",
        ),
        Code.SIGNATURE_CHANGED: _Words(
            "The signature itself was changed.",
            "签名本身已被更改。",
            "La firma misma se cambió.",
        ),
        Code.SIGNATURE_REMOVED: _Words(
            "A signature that was made here was taken out, or hidden.",
            "在本平台作出的签名被移除或隐藏。",
            "Se quitó u ocultó una firma hecha aquí.",
        ),
        Code.SIGNATURE_FOREIGN: _Words(
            "Somebody else's signature stands in a document of this platform.",
            "本平台的文件中出现了其他来源的签名。",
            "Hay una firma ajena en un documento de esta plataforma.",
        ),
        Code.CERTIFICATION_MISSING: _Words(
            "The signature with which the platform freezes a document is not there, or not in its place.",
            "缺少平台锁定文件的认证签名，或该签名不在应有的位置。",
            "Falta la firma con que la plataforma congela el documento, o no está en su lugar.",
        ),
        Code.FIELDS_CHANGED: _Words(
            "Fields came or went since the document was frozen.",
            "文件锁定后，签署位置有增减。",
            "Desde que se congeló el documento aparecieron o desaparecieron campos.",
        ),
        Code.DAMAGED: _Words(
            "It was signed here, and is damaged: it cannot be read any more.",
            "文件曾在本平台签署，但已损坏，无法读取。",
            "Se firmó aquí y está dañado: ya no se puede leer.",
        ),
        Code.NOT_PDF: _Words("It is no PDF.", "不是 PDF 文件。", "No es un PDF."),
        Code.TOO_LARGE: _Words(
            "It is larger than documents of this platform are.",
            "文件超过本平台文件的大小上限。",
            "Es mayor que los documentos de esta plataforma.",
        ),
        Code.UNREADABLE: _Words(
            "It cannot be read: it is damaged, encrypted or made up wrongly.",
            "无法读取：文件损坏、已加密或格式错误。",
            "No se puede leer: está dañado, cifrado o mal formado.",
        ),
        Code.TOO_COSTLY: _Words(
            "To check it would take more time or memory than any document of this platform needs.",
            "核验所需的时间或内存超过本平台任何文件的需要。",
            "Comprobarlo costaría más tiempo o memoria que cualquier documento de esta plataforma.",
        ),
        Code.UNSIGNED: _Words("It carries no signature.", "文件没有签名。", "No lleva ninguna firma."),
        Code.NOT_OURS: _Words(
            "Its signatures are not of this platform, whatever names they show.",
            "其中的签名并非由本平台作出，无论显示何种名称。",
            "Sus firmas no son de esta plataforma, muestren los nombres que muestren.",
        ),
        Code.REVOKED: _Words(
            "The certificate was revoked: who signed is not who it names, or was no longer allowed to.",
            "证书已被吊销：签署人并非证书所载之人，或已无签署权限。",
            "El certificado fue revocado: quien firmó no es quien dice, o ya no podía firmar.",
        ),
        Code.STAMP_MISSING: _Words(
            "No authority says when it was signed.",
            "没有权威机构证明签署时间。",
            "Ninguna autoridad dice cuándo se firmó.",
        ),
        Code.STAMP_UNTRUSTED: _Words(
            "Its time-stamp is of an authority that is not known, or whose certificate has ended.",
            "时间戳来自未知机构，或该机构的证书已到期。",
            "Su sello de tiempo es de una autoridad desconocida, o cuyo certificado terminó.",
        ),
        Code.CERTIFICATE_UNFIT: _Words(
            "Its certificate did not count at that time, or not for documents.",
            "其证书在签署时无效，或不可用于签署文件。",
            "Su certificado no valía en ese momento, o no para documentos.",
        ),
        Code.TIME_AHEAD: _Words(
            "It says that it was signed later than now: check this machine's clock.",
            "签署时间晚于当前时间：请检查本机时钟。",
            "Dice que se firmó más tarde que ahora: compruebe el reloj de esta máquina.",
        ),
        Code.TIME_DIFFERS: _Words(
            "It states another time than its time-stamp: the one of the time-stamp counts.",
            "其自称的签署时间与时间戳不符：以时间戳为准。",
            "Declara otra hora que la de su sello de tiempo: vale la del sello.",
        ),
        Code.INCOMPLETE: _Words(
            "This field is not signed yet.",
            "该位置尚未签署。",
            "Este campo aún no está firmado.",
        ),
        Code.NOT_CLOSED: _Words(
            "The document is not closed with a time-stamp yet: it is a state on the way, or an earlier one.",
            "文件尚未以时间戳封存：这是签署过程中的状态，或较早的版本。",
            "El documento aún no está cerrado con un sello de tiempo: es un estado intermedio o anterior.",
        ),
        Code.REVOCATIONS_UNKNOWN: _Words(
            "Not for all signatures a list of revoked certificates was at hand.",
            "并非所有签名都有可用的证书吊销列表。",
            "No había lista de certificados revocados para todas las firmas.",
        ),
        Code.LIST_FOREIGN: _Words(
            "A list of revoked certificates that was given is none of who issued those of these signatures.",
            "所提供的证书吊销列表并非由本文件签名证书的签发机构出具。",
            "Una lista de certificados revocados que se dio no es de quien emitió los de estas firmas.",
        ),
    }
)
_KINDS: Mapping[Kind, _Words] = MappingProxyType(
    {
        Kind.PLATFORM: _Words("platform", "平台", "plataforma"),
        Kind.PERSONAL: _Words("signature", "个人签名", "firma"),
        Kind.SEAL: _Words("seal", "电子印章", "sello"),
        Kind.TIME_STAMP: _Words("time-stamp", "时间戳", "sello de tiempo"),
    }
)


def say_verdict(verdict: Verdict, language: Language) -> str:
    """The outcome in a sentence or two."""
    if verdict.outcome is Outcome.VALID and not verdict.complete:
        return _UNFINISHED.say(language)
    return _OUTCOMES[verdict.outcome].say(language)


def say_finding(finding: Finding, language: Language) -> str:
    """A finding in a sentence, behind the name of its field."""
    text = _FINDINGS[finding.code].say(language)
    return f"{finding.field}: {text}" if finding.field else text


def say_kind(kind: Kind, language: Language) -> str:
    """What kind of signature it is."""
    return _KINDS[kind].say(language)
